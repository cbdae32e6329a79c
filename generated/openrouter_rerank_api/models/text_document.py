from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class TextDocument(Model):
    """A document with a text, and perhaps an image.

    Example: {'text': 'Paris is the capital of France.'}"""

    text: str
    """The text of the document.

    Example: Paris is the capital of France."""
    image: str | Unset = UNSET
    """An image, as an `http` or `https` URL or as a `data:image/...` URI, up to about 30 MB where known.

    Example: https://images.example.com/eiffel-tower.jpg"""
