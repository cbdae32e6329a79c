"""What a call asks its shell to do, and what the shell tells it of that. Values alone."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias


class Secrets(dict[str, str]):
    """Headers whose values show in no repr, and so in no traceback that prints local variables."""

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

    def __repr__(self) -> str:
        return f"<request of {len(self.content)} bytes, {self.timeout:.3g} s>"


class Wait(NamedTuple):
    """Do nothing for so many seconds. Answered by None."""

    seconds: float


class Together(NamedTuple):
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
    """An answer that came; `whole` says whether its body is, or was cut where it grew too large."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    """As it came over the wire, compressed if it was."""
    whole: bool = True

    def __repr__(self) -> str:
        return f"<answer {self.status} of {len(self.body)} bytes>"


class Failure(NamedTuple):
    """No whole answer came. `status` is there if its head had come; no error means that the time was up."""

    error: Exception | None
    status: int | None


Step: TypeAlias = Load | Send | Wait | Together | Recall | Remember
Outcome: TypeAlias = Answer | Failure
