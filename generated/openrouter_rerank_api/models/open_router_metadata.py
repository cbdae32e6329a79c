from __future__ import annotations

from attrs import define

from ..types import Model


@define
class OpenRouterMetadata(Model):
    """Routing of a request. The vendor does not define its fields.

    Example: {'region': 'eu'}"""
