from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class AvailabilityConstraint(Model):
    """The setting that kept every endpoint out.

    Example: {'field': 'provider.max_price'}"""

    field: str | Unset = UNSET
    """The name of the setting.

    Example: provider.max_price"""
    detail: str | Unset = UNSET
    """What about it, for a person.

    Example: no endpoint is that cheap"""
