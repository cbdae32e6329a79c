from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ModelListLinks(Model):
    """What comes after this page.

    Example: {'next': None}"""

    next: None | str
    """The address of the next page; null on the last."""
