from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class Usage(Model):
    """Billing of the request. A missing value is unknown; it is not 0.

    Example: {'total_tokens': 17, 'cost': 3.4e-07}"""

    cost: float | Unset = UNSET
    """Price in credits, which are US dollars. Small values are sent in exponent form.

    Example: 3.4e-07"""
    search_units: int | Unset = UNSET
    """Searches billed, for models that bill per search. One search is a query with up to 100 documents; a
    document of more than 500 tokens counts once per part.

    Example: 1"""
    total_tokens: int | Unset = UNSET
    """Tokens billed, for models that bill per token.

    Example: 150"""
