from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class MaxPrice(Model):
    """Maximum price in US dollars. The request fails if no provider is cheap enough.

    Example: {'request': '0.002'}"""

    prompt: float | str | Unset = UNSET
    """Dollars per million prompt tokens.

    Example: 0.05"""
    completion: float | str | Unset = UNSET
    """Dollars per million completion tokens.

    Example: 0"""
    image: float | str | Unset = UNSET
    """Dollars per image.

    Example: 0.001"""
    audio: float | str | Unset = UNSET
    """Dollars per unit of audio.

    Example: 0"""
    request: float | str | Unset = UNSET
    """Dollars per request.

    Example: 0.002"""
