from __future__ import annotations

from attrs import define

from ..types import UNSET, Model, Unset


@define
class Usage(Model):
    """What the request was billed by. What is absent is not known; it is not 0.

    Example: {'total_tokens': 17, 'cost': 3.4e-07}"""

    cost: float | Unset = UNSET
    """The price in credits, which are US dollars. On the wire in exponent form when small.

    Example: 3.4e-07"""
    search_units: int | Unset = UNSET
    """Searches billed, by models that bill per search: one is a query with up to 100 documents, where a
    document of more than 500 tokens counts once per part.

    Example: 1"""
    total_tokens: int | Unset = UNSET
    """Tokens billed, by models that bill per token.

    Example: 150"""
