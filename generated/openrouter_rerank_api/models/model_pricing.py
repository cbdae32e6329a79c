from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class ModelPricing(Model):
    """Prices in US dollars, as decimal strings. Rerank models are listed with `prompt` and `completion` of "0"
    although they are not free: here "0" means unknown. The cost of a call is in the `usage` of its response.

    Example: {'prompt': '0', 'completion': '0'}"""

    prompt: str
    """Price of an input token.

    Example: 0.00000005"""
    completion: str
    """Price of an output token.

    Example: 0"""
    request: str | Unset = UNSET
    """Price of a request; for rerank models, of a search.

    Example: 0.001"""
    image: str | Unset = UNSET
    """Price of an input image.

    Example: 0"""
    discount: float | Unset = UNSET
    """Discount on the prices, as a fraction from 0 to 1.

    Example: 0"""
