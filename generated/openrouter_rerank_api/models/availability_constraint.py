from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class AvailabilityConstraint(Model):
    """Setting that excluded every endpoint.

    Example: {'field': 'provider.max_price'}"""

    field: str | Unset = UNSET
    """Name of the setting.

    Example: provider.max_price"""
    detail: str | Unset = UNSET
    """Human-readable explanation.

    Example: no endpoint is that cheap"""
