from __future__ import annotations

from attrs import define

from ..types import Model


@define
class PreviousError(Model):
    """Error of a provider that was tried before. The vendor does not define its fields.

    Example: {'code': 503, 'message': 'Provider returned error'}"""
