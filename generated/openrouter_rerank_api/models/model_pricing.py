from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ModelPricing(Model):
    """Prices in US dollars, as decimal text. Models that rank come with `prompt` and `completion` of "0"
    although they are paid for: a "0" here is not known, and is no promise. What a call cost is in its
    `usage`.

    Example: {'prompt': '0', 'completion': '0'}"""

    prompt: str
    """The price of a token that goes in.

    Example: 0.00000005"""
    completion: str
    """The price of a token that comes out.

    Example: 0"""
    request: str | Unset = UNSET
    """The price of a request; of a search, for models that rank.

    Example: 0.001"""
    image: str | Unset = UNSET
    """The price of an image that goes in.

    Example: 0"""
    discount: float | Unset = UNSET
    """The part of the prices that is taken off, from 0 to 1.

    Example: 0"""
