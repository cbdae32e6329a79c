from __future__ import annotations

from attrs import define

from ..types import Model


@define
class OpenRouterMetadata(Model):
    """How a request was routed, in a form that the vendor leaves open.

    Example: {'region': 'eu'}"""
