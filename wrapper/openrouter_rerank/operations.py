"""The I/O operations that a call yields, and their results."""

from __future__ import annotations

from collections.abc import Generator, ItemsView, Iterator, KeysView, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

LARGEST_ERROR = 2**20
"""Bytes that are read of the body of an error; more of it helps nobody."""


# An answer echoes the documents, escaped at worst sixfold; a larger answer is not a ranking.
LARGEST_ANSWER = 64 * 2**20


class Secrets:
    """Headers whose values no repr shows. It is not a dict, whose values debuggers show whatever its repr says."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | Secrets | None = None) -> None:
        self._values: dict[str, str] = {} if values is None else dict(values.items())

    def keys(self) -> KeysView[str]:
        """Return the names."""
        return self._values.keys()

    def items(self) -> ItemsView[str, str]:
        """Return the names with their values."""
        return self._values.items()

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"


class Load(NamedTuple):
    """Read a file, at most one byte beyond the limit. The result is bytes."""

    path: Path
    limit: int
    where: str
    """The document that the file belongs to, as messages name it."""


class Send(NamedTuple):
    """Send a request, and read the response within a time and a size. The result is an Outcome."""

    headers: Secrets
    content: bytes
    timeout: float
    largest: int
    method: str = "POST"
    url: str | None = None
    """The address on the same server; None for that of the ranking."""

    def limit(self, status: int) -> int:
        """Return how many bytes of the body of a response with this status are read."""
        return self.largest if status < 300 else min(self.largest, LARGEST_ERROR)

    def __repr__(self) -> str:
        return f"<request of {len(self.content)} bytes, {self.timeout:.3g} s>"


class Wait(NamedTuple):
    """Sleep. The result is None."""

    seconds: float


class BackOff(NamedTuple):
    """Report that the server is overloaded. Answered by the seconds that all calls of a run wait, or None outside a run.

    A call that gets a number does not count the refused attempt.
    """

    retry_after: float | None
    """The seconds that the server asks for."""


class Parallel(NamedTuple):
    """Run calls, a number of them at a time. The result is a list of theirs, in the same order.

    The first RerankError of one of them ends the others, and is the result.
    """

    calls: Sequence[Generator[Step, Any, Any]]
    at_once: int


class Recall(NamedTuple):
    """Read the cache. The result is bytes, or None."""

    key: str


class Remember(NamedTuple):
    """Write to the cache. The result is None."""

    key: str
    value: bytes


class Answer(NamedTuple):
    """A response. `whole` is False if its body was truncated: it was too large, or that of an error that broke off."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """As it came over the wire, compressed if it was."""
    whole: bool = True

    def __repr__(self) -> str:
        return f"<answer {self.status} of {len(self.body)} bytes>"

    def __rich_repr__(self) -> Iterator[object]:
        # Rich shows the fields of a tuple, and the server may have echoed the key in any of them.
        yield self.status


class Failure(NamedTuple):
    """The lack of a complete response. `status` is set if its head was received; without an error it is a timeout."""

    error: Exception | None
    status: int | None

    def __repr__(self) -> str:
        return f"<failure {type(self.error).__name__}>"

    def __rich_repr__(self) -> Iterator[object]:
        # As for an Answer: the error may quote the server.
        yield type(self.error).__name__


Step: TypeAlias = Load | Send | Wait | BackOff | Parallel | Recall | Remember
Outcome: TypeAlias = Answer | Failure
