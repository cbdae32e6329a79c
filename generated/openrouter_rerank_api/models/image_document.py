from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ImageDocument(Model):
    """Document with an image, and optionally text.

    Example: {'image': 'https://images.example.com/eiffel-tower.jpg'}"""

    image: str
    """Image, as an `http` or `https` URL or a `data:image/...` URI. Up to about 30 MB where a limit is known.

    Example: https://images.example.com/eiffel-tower.jpg"""
    text: str | Unset = UNSET
    """Text of the document.

    Example: The Eiffel Tower at night."""
