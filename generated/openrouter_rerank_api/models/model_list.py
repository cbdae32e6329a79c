from __future__ import annotations

from attrs import define

from ..models.listed_model import ListedModel
from ..models.model_list_links import ModelListLinks
from ..types import Model


@define
class ModelList(Model):
    """One page of the list of models.

    Example: {'data': [], 'total_count': 0, 'links': {'next': None}}"""

    data: list[ListedModel]
    """Models on this page.

    Example: []"""
    total_count: int
    """Number of models on all pages.

    Example: 9"""
    links: ModelListLinks
    """Link to the next page.

    Example: {'next': None}"""
