"""Prepared calls, and the handlers that turn them into rankings."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from openrouter_rerank.errors import RerankError, StatusError
from openrouter_rerank.operations import Secrets, Step
from openrouter_rerank.ranking import Ranking
from openrouter_rerank.settings import Settings

T = TypeVar("T")

Call: TypeAlias = Generator[Step, Any, Ranking[T]]
"""A generator that yields operations, is sent their results, and returns the ranking."""


class PreparedCall(msgspec.Struct, Generic[T], frozen=True, eq=False):
    """A validated call, or one part of it."""

    settings: Settings
    query: str
    own: list[T]
    """The caller's documents, which the ranking contains."""
    wire: list[Any]
    """The documents as they are sent."""
    options: Mapping[str, Any]
    """The options of the call, with the client's as defaults."""
    headers: Secrets
    timeout: float
    began: float
    min_score: float | None
    indices: Sequence[int]
    """The caller's index of each document."""
    content: bytes = b""
    """The body of the request, where it is known that one request is sent."""

    @property
    def model(self) -> str:
        """The requested model; empty where none is asked for."""
        extra = self.options["extra_body"]
        model = extra["model"] if extra and "model" in extra else self.options["model"]
        return "" if model is None else str(model)

    @property
    def limit(self) -> int:
        """The largest number of hits of the ranking."""
        top_n = self.options["top_n"]
        return len(self.own) if top_n is None else min(int(top_n), len(self.own))


Handler: TypeAlias = Callable[[PreparedCall[Any]], Call[Any]]
"""A function that turns a prepared call into its ranking."""


def is_too_large(error: RerankError) -> bool:
    """Return True if the server takes fewer documents, or shorter ones."""
    return isinstance(error, StatusError) and error.too_large
