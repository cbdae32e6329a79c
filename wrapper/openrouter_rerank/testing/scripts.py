"""Scripts of servers, and the pieces to build them from.

A script is a generator, made for each request, that yields the actions of the server in order: bytes are sent, a float is
a pause in seconds, an `End` ends the connection. A script that finishes leaves the connection open for the next request.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from threading import Condition
from typing import Any, TypeAlias, cast

from openrouter_rerank import forks
from openrouter_rerank.arguments import checks_names

PATIENCE = 120.0
"""Seconds until a server hangs up, so that a client without a timeout fails and does not hang."""


class End(Enum):
    """The end of a connection."""

    CLOSE = auto()
    """Close the connection."""
    RESET = auto()
    """Reset the connection; bytes sent before may be lost."""
    HANG = auto()
    """Keep the connection open without another byte. In process the client's timeout expires at once."""


@dataclass(frozen=True)
class Request:
    """A request as the server received it."""

    number: int
    """The place among the requests; the first one is 1."""
    method: str
    target: str
    headers: Mapping[str, str] = field(repr=False)
    """The headers, by names in lower case."""
    body: bytes = field(repr=False)

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body)


Script: TypeAlias = Generator[bytes | float | End, None, None]
Play: TypeAlias = Callable[[Request], Script]
"""A function that makes the script for a request."""


@dataclass(eq=False)
class ReceivedRequests:
    """The requests that a server received."""

    requests: list[Request] = field(default_factory=list[Request])
    """The requests in order."""
    changed: Condition = field(default_factory=Condition, repr=False)
    """The lock of the server's state; it notifies of every change."""

    def __post_init__(self) -> None:
        forks.register(self)

    @property
    def _lock(self) -> Condition:
        return self.changed

    def _after_fork(self) -> None:
        self.changed = Condition()

    def note(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Request:
        """Record a request and return it with its number."""
        with self.changed:
            request = Request(len(self.requests) + 1, method, target, headers, body)
            self.requests.append(request)
            self.changed.notify_all()
        return request


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return the status line and headers of a response."""
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@checks_names
def answer(
    status: int,
    body: bytes | str | Any = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """Return a complete response; a body that is not bytes is sent as JSON.

    Example:
        >>> answer(429, envelope(429, "slow"), headers={"Retry-After": "1"}).splitlines()[-1]
        b'{"error": {"code": 429, "message": "slow"}}'
    """
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": content_type, "Content-Length": str(len(content)), **(headers or {})}
    return head(status, fields) + content


def envelope(code: Any, message: str, **more: Any) -> dict[str, Any]:
    """Return the body of an error, as the contract has it."""
    return {"error": {"code": code, "message": message, **more}}


def results(*pairs: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    """Return the body of a response with these pairs of index and score."""
    found = [
        {"index": index, "relevance_score": score, "document": {"text": "echo"}} for index, score in pairs
    ]
    return {"id": "gen-rerank-1", "model": "rerank-v3.5", "results": found, **more}


def honest(request: Request) -> bytes:
    """Return a valid response that ranks the documents from last to first."""
    asked = cast(dict[str, Any], request.json)
    documents = cast(list[Any], asked["documents"])
    count = min(asked.get("top_n", len(documents)), len(documents))
    order = list(reversed(range(len(documents))))[:count]
    return answer(200, results(*((index, 1 - place / 1000) for place, index in enumerate(order))))
