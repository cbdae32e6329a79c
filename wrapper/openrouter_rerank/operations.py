"""What a call asks its shell to do, and what the shell tells it of that. Values alone."""

from __future__ import annotations

from collections.abc import Generator, ItemsView, Iterator, KeysView, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

LARGEST_ERROR = 2**20
"""Bytes that are read of the body of an error; more tell nobody anything."""


# An answer echoes the documents, escaped at worst sixfold; beyond that and this much it is no ranking.
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
    """Read a file, no more of it than the limit and one byte. Answered by bytes."""

    path: Path
    limit: int
    where: str
    """Which document it is for, as messages say it."""


class Send(NamedTuple):
    """Send a request, and read the answer to its end within so many seconds and bytes. Answered by an Outcome."""

    headers: Secrets
    content: bytes
    timeout: float
    largest: int
    method: str = "POST"
    url: str | None = None
    """Where to, on the same server; None for the address that the connections were made for."""

    def limit(self, status: int) -> int:
        """Return how many bytes of the body of a response with this status are read."""
        return self.largest if status < 300 else min(self.largest, LARGEST_ERROR)

    def __repr__(self) -> str:
        return f"<request of {len(self.content)} bytes, {self.timeout:.3g} s>"


class Wait(NamedTuple):
    """Do nothing for so many seconds. Answered by None."""

    seconds: float


class Parallel(NamedTuple):
    """Run these calls, so many at a time. Answered by what each returns, in their order.

    The first RerankError of one of them ends the others, and is the answer.
    """

    calls: Sequence[Generator[Step, Any, Any]]
    at_once: int


class Recall(NamedTuple):
    """Look into the cache. Answered by what is remembered under the key, or None."""

    key: str


class Remember(NamedTuple):
    """Put something into the cache. Answered by None."""

    key: str
    value: bytes


class Answer(NamedTuple):
    """A response. `whole` is False where its body was cut, as it grew too large."""

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
    """No whole answer came. `status` is there if its head had come; no error means that the time was up."""

    error: Exception | None
    status: int | None

    def __repr__(self) -> str:
        return f"<failure {type(self.error).__name__}>"

    def __rich_repr__(self) -> Iterator[object]:
        # As for an Answer: the error may quote the server.
        yield type(self.error).__name__


Step: TypeAlias = Load | Send | Wait | Parallel | Recall | Remember
Outcome: TypeAlias = Answer | Failure
