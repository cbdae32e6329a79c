"""What a server of ours does for a request, as a script, and the pieces that scripts are made of. It does no I/O.

A script is a generator that is made anew for each request and yields what the server does, one thing after the other:
bytes are sent, a float is a pause in seconds, an `End` is the last thing that the connection sees. A script that comes
to its end leaves the connection open for the next request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Condition
from typing import Any, TypeAlias, cast

from openrouter_rerank import forks

PATIENCE = 120.0
"""Seconds after which a server hangs up, so that a client that would wait forever fails and does not hang."""


class End(Enum):
    """How a server leaves a connection."""

    CLOSE = auto()
    """In an orderly way."""
    RESET = auto()
    """By a reset, so that what it sent before may be lost too."""
    HANG = auto()
    """Open, without another byte. In process the client's time is up at once."""


@dataclass(frozen=True)
class Request:
    """A request as the server saw it."""

    number: int
    """The first one is 1."""
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    """By names in lower case."""
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


Script: TypeAlias = Generator[bytes | float | End, None, None]
Play: TypeAlias = Callable[[Request], Script]
"""What makes the script for a request."""


@dataclass(eq=False)
class Seen:
    """The requests that a server was sent."""

    requests: list[Request] = field(default_factory=list[Request])
    """All so far, first to last."""
    changed: Condition = field(default_factory=Condition, repr=False)
    """Guards what is known of the server, and tells of every change."""

    def __post_init__(self) -> None:
        forks.register(self)

    @property
    def _lock(self) -> Condition:
        return self.changed

    def _after_fork(self) -> None:
        self.changed = Condition()

    def note(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        """The request, with its number, entered."""
        with self.changed:
            request = Request(len(self.requests) + 1, method, target, headers, body)
            self.requests.append(request)
            self.changed.notify_all()
        return request


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """An answer's status line and headers, for a script to yield."""
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def answer(
    status: int,
    body: bytes | str | Any = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole answer, for a script to yield; a body that is no bytes is sent as JSON.

    Example:
        >>> answer(429, envelope(429, "slow"), headers={"Retry-After": "1"}).splitlines()[-1]
        b'{"error": {"code": 429, "message": "slow"}}'
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": content_type, "Content-Length": str(len(content)), **(headers or {})}
    return head(status, fields) + content


def envelope(code: Any, message: str, **more: Any) -> dict[str, Any]:
    """The contract's form of an error."""
    return {"error": {"code": code, "message": message, **more}}


def results(*pairs: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    """The body of an answer with these pairs of index and score."""
    found = [
        {"index": index, "relevance_score": score, "document": {"text": "echo"}} for index, score in pairs
    ]
    return {"id": "gen-rerank-1", "model": "rerank-v3.5", "results": found, **more}


def honest(request: Request) -> bytes:
    """A good answer, the documents ranked last to first."""
    asked = cast(dict[str, Any], request.json)
    documents = cast(list[Any], asked["documents"])
    count = min(asked.get("top_n", len(documents)), len(documents))
    order = list(reversed(range(len(documents))))[:count]
    return answer(200, results(*((index, 1 - place / 1000) for place, index in enumerate(order))))
