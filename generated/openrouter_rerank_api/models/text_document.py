from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class TextDocument(Model):
    """Document with text, and optionally an image.

    Example: {'text': 'Paris is the capital of France.'}"""

    text: str
    """Text of the document.

    Example: Paris is the capital of France."""
    image: str | Unset = UNSET
    """Image, as an `http` or `https` URL or a `data:image/...` URI. Up to about 30 MB where a limit is known.

    Example: https://images.example.com/eiffel-tower.jpg"""
