from __future__ import annotations

from attrs import define

from ..types import Model


@define
class ModelListLinks(Model):
    """Link to the next page.

    Example: {'next': None}"""

    next: None | str
    """URL of the next page; null on the last page."""
