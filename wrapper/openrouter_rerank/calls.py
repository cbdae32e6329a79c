"""A call between its steps: prepared, handled, ranked."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

import msgspec

from openrouter_rerank.operations import Secrets, Step
from openrouter_rerank.ranking import Ranking
from openrouter_rerank.settings import Settings

T = TypeVar("T")

Call: TypeAlias = Generator[Step, Any, Ranking[T]]
"""Yields steps; is sent bytes for a Load, an Outcome for a Send, None for a Wait; returns the ranking."""


class Asked(msgspec.Struct, Generic[T], eq=False):
    """What one request asks for, checked; and how far it has come."""

    settings: Settings
    query: str
    own: list[T]
    """What the ranking gives back, one for each document."""
    wire: list[Any]
    """What is sent, one for each document."""
    chosen: Mapping[str, Any]
    """Every argument of the call, the client's where the call has none."""
    headers: Secrets
    timeout: float
    began: float
    min_score: float | None
    one: Callable[[Asked[Any]], Call[Any]]
    """How a single request is made."""
    indices: Sequence[int]
    """The caller's index of each document that is sent."""
    content: bytes = b""
    sent: int = 0
    answered: int = 0
    unsure: bool = False
    """Whether a request that came to nothing may have been billed."""

    @property
    def model(self) -> str:
        """The model that is asked for."""
        extra = self.chosen["extra_body"]
        return str(extra["model"] if extra and "model" in extra else self.chosen["model"])


Way: TypeAlias = Callable[[Asked[T]], Call[T]]
"""How what is asked for is had."""
