from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ModelLinks(Model):
    """Where more is said of a model.

    Example: {'details': '/api/v1/models/cohere/rerank-v3.5/endpoints'}"""

    details: str
    """The address of its list of endpoints.

    Example: /api/v1/models/cohere/rerank-v3.5/endpoints"""
