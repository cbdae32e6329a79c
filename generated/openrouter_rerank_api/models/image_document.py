from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ImageDocument(Model):
    """A document with an image, and perhaps a text.

    Example: {'image': 'https://images.example.com/eiffel-tower.jpg'}"""

    image: str
    """An image, as an `http` or `https` URL or as a `data:image/...` URI, up to about 30 MB where known.

    Example: https://images.example.com/eiffel-tower.jpg"""
    text: str | Unset = UNSET
    """The text of the document.

    Example: The Eiffel Tower at night."""
