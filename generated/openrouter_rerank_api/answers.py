"""The scalar fields of an answer: base classes of what a caller gets, and the tables by which they are read.

A field with one scalar type is here, whether it is nullable or not. Lists, objects and mixed types are in the models alone.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class AnswerFields(Struct, frozen=True, kw_only=True):
    """The documents by relevance, best first."""

    id: str | None = None
    """The id of the answer, `gen-rerank-<unix seconds>-<letters and digits>` as the vendor makes them.

    Example: gen-rerank-1786406400-Yh0uTgGqXvN2b7KpLw4s"""
    model: str | None = None
    """The model that ranked, often by its bare upstream name. Do not compare it with the model asked for.

    Example: cohere/rerank-v3.5"""
    provider: str | None = None
    """The display name of the provider that served (open).

    Example: Cohere"""


class HitFields(Struct, Generic[T], frozen=True):
    """One document in the ranking."""

    index: int
    """The position of the document among those that were passed in, from 0."""
    score: float
    """The relevance as the model gave it (`relevance_score` on the wire)."""
    document: T
    """The caller's own document."""


class UsageFields(Struct, frozen=True):
    """What the request was billed by. What is absent is not known; it is not 0."""

    cost: float | None = None
    """The price in credits, which are US dollars. On the wire in exponent form when small.

    Example: 3.4e-07"""
    search_units: int | None = None
    """Searches billed, by models that bill per search: one is a query with up to 100 documents, where a
    document of more than 500 tokens counts once per part.

    Example: 1"""
    total_tokens: int | None = None
    """Tokens billed, by models that bill per token.

    Example: 150"""


ANSWER: dict[str, type] = {
    "id": str,
    "model": str,
    "provider": str,
}
"""The types of the fields of `AnswerFields` that are read leniently."""


HIT: dict[str, type] = {}
"""The types of the fields of `HitFields` that are read leniently."""


USAGE: dict[str, type] = {
    "cost": float,
    "search_units": int,
    "total_tokens": int,
}
"""The types of the fields of `UsageFields` that are read leniently."""
