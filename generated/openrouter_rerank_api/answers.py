"""The fields of an answer: base classes of the results, and the tables by which they are read.

Every field is included, nullable or not. Only the models check bounds, closed lists and required fields.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")


class AnswerFields(Struct, frozen=True, kw_only=True):
    """Documents ranked by relevance, most relevant first."""

    id: str | None = None
    """Id of the response. The vendor's ids have the form `gen-rerank-<unix seconds>-<letters and digits>`.

    Example: gen-rerank-1786406400-Yh0uTgGqXvN2b7KpLw4s"""
    model: str | None = None
    """Model that ranked the documents, often by its bare upstream name. Do not compare it with the requested
    model.

    Example: cohere/rerank-v3.5"""
    provider: str | None = None
    """Display name of the provider that served the request (open).

    Example: Cohere"""


class HitFields(Struct, Generic[T], frozen=True):
    """A document in the ranking."""

    index: int
    """The position of the document among those that were passed in, from 0."""
    score: float
    """The relevance as the model gave it (`relevance_score` on the wire)."""
    document: T
    """The caller's own document."""


class UsageFields(Struct, frozen=True):
    """Billing of the request. A missing value is unknown; it is not 0."""

    cost: float | None = None
    """Price in credits, which are US dollars. Small values are sent in exponent form.

    Example: 3.4e-07"""
    search_units: int | None = None
    """Searches billed, for models that bill per search. One search is a query with up to 100 documents; a
    document of more than 500 tokens counts once per part.

    Example: 1"""
    total_tokens: int | None = None
    """Tokens billed, for models that bill per token.

    Example: 150"""


class UsageSums(Struct, frozen=True, kw_only=True):
    """Sums of the known numbers of a usage over many calls."""

    cost: float = 0.0
    """The known sum of `usage.cost`."""
    search_units: int = 0
    """The known sum of `usage.search_units`."""
    total_tokens: int = 0
    """The known sum of `usage.total_tokens`."""


class Summed:
    """The numbers of `UsageSums` as attributes; a subclass has them in `total`."""

    @property
    def total(self) -> UsageSums:
        """All sums at one moment."""
        raise NotImplementedError

    @property
    def cost(self) -> float:
        """The known sum of `usage.cost`."""
        return self.total.cost

    @property
    def search_units(self) -> int:
        """The known sum of `usage.search_units`."""
        return self.total.search_units

    @property
    def total_tokens(self) -> int:
        """The known sum of `usage.total_tokens`."""
        return self.total.total_tokens


SUMS = (
    "cost",
    "search_units",
    "total_tokens",
)
"""The fields of `UsageSums`."""


ANSWER: dict[str, Any] = {
    "id": str,
    "model": str,
    "provider": str,
}
"""The types of the fields of `AnswerFields`, which are read leniently."""


HIT: dict[str, Any] = {}
"""The types of the fields of `HitFields`, which are read leniently."""


USAGE: dict[str, Any] = {
    "cost": float,
    "search_units": int,
    "total_tokens": int,
}
"""The types of the fields of `UsageFields`, which are read leniently."""


NAMES: dict[str, str] = {}
"""The names on the wire of the fields that have another name in Python."""
