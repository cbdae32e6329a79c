from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ModelLinks(Model):
    """Links to more information about a model.

    Example: {'details': '/api/v1/models/cohere/rerank-v3.5/endpoints'}"""

    details: str
    """URL of the model's list of endpoints.

    Example: /api/v1/models/cohere/rerank-v3.5/endpoints"""
