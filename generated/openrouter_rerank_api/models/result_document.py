from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ResultDocument(Model):
    """The document as it was sent. A string is returned as `text`.

    Example: {'text': 'Paris is the capital of France.'}"""

    text: str | Unset = UNSET
    """Text of the document.

    Example: Paris is the capital of France."""
    image: str | Unset = UNSET
    """Image of the document, as it was sent.

    Example: https://images.example.com/eiffel-tower.jpg"""
