"""The interfaces of objects that callers pass: HTTP clients, caches and splitters."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias


class HttpClient(Protocol):
    """The interface of an injected HTTP client, such as `httpx.Client`."""

    def build_request(self, method: str, url: Any, *, content: Any, headers: Any, extensions: Any) -> Any:
        """Return a request."""

    def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """Return the response, with its body unread."""


class AsyncHttpClient(Protocol):
    """The interface of an injected async HTTP client, such as `httpx.AsyncClient`."""

    def build_request(self, method: str, url: Any, *, content: Any, headers: Any, extensions: Any) -> Any:
        """Return a request."""

    async def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """Return the response, with its body unread."""


class Cache(Protocol):
    """The interface of a cache: bytes by a key of 64 letters and digits, called from any thread.

    A cache may drop any entry. Async calls use it in a worker thread, unless it has an attribute `blocking` that is
    False.
    """

    def get(self, key: str, /) -> bytes | None:
        """Return the answer under the key, or None."""

    def set(self, key: str, value: bytes, /) -> None:
        """Keep an answer under the key."""


Splitter: TypeAlias = Callable[[str], Iterable[str]]
"""A function of a text that gives its pieces."""
