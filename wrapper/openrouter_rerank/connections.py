"""How requests reach the server: over connections of our own, or through an injected http client. It decides nothing.

Our own go through httpx's transports and not through `httpx.Client`: on a small call the client's cookies, redirects and
hooks, of which we want none, cost more than all of ours. Each request under way has a transport to itself, because
httpcore's pool looks at every one of its connections for every request, which at 16 of them costs more than the request.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property, partial
from threading import BoundedSemaphore
from time import monotonic
from typing import Any, Protocol, TypeAlias
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx
from anyio.lowlevel import current_token

# More at a time wait for one to be free. The number is httpx's own.
_CONNECTIONS = 100
# A server that does not take a connection by then will not take it later either.
_CONNECT = 10.0


class HttpClient(Protocol):
    """What is asked of an injected http client: `httpx.Client` and its likes have it."""

    def build_request(self, method: str, url: Any, *, content: Any, headers: Any, extensions: Any) -> Any:
        """A request."""

    def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """The answer to it, with the body still to be read."""


class AsyncHttpClient(Protocol):
    """What is asked of an injected async http client: `httpx.AsyncClient` and its likes have it."""

    def build_request(self, method: str, url: Any, *, content: Any, headers: Any, extensions: Any) -> Any:
        """A request."""

    async def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """The answer to it, with the body still to be read."""


Exchange: TypeAlias = Callable[[Any], Any]
"""Takes a request and gives its answer (to be awaited, in async), with the body still to be read."""


class Phases(dict[str, float]):
    """The timeouts of a request by phase, each what is left of the whole when the transport asks for it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(connect=min(seconds, _CONNECT), read=seconds, write=seconds, pool=seconds)
        self.end = monotonic() + seconds

    def get(self, phase: str, default: Any = None) -> Any:  # noqa: ARG002 - every phase has a timeout
        """What is left for this phase, in seconds."""
        # Never 0, which would tell a socket not to wait at all.
        left = max(self.end - monotonic(), 0.001)
        return min(left, _CONNECT) if phase == "connect" else left


class _Requests:
    """Makes the requests of one client, and knows how its transport can fail."""

    errors: tuple[type[Exception], ...] = (httpx.RequestError,)

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        # What is the same in each: the parsed URL, the headers with Host.
        self._template = httpx.Request(
            "POST", url, headers={"Accept-Encoding": "gzip, deflate", **headers}, content=b""
        )
        self._headers = headers
        self._scheme = urlsplit(url).scheme
        self._proxy = _proxy(url)

    def request(self, headers: Mapping[str, str], content: bytes, phases: Phases) -> httpx.Request:
        """A request with this content."""
        if headers is self._headers:
            own = self._template.headers.copy()
        else:
            own = httpx.Headers(self._template.headers)
            own.update(headers)
        own["Content-Length"] = str(len(content))
        return httpx.Request(
            "POST",
            self._template.url,
            headers=own,
            stream=httpx.ByteStream(content),
            extensions={"timeout": phases},
        )

    @cached_property
    def _options(self) -> dict[str, Any]:
        # One set of certificates for all, as reading them takes longer than a call; none where nothing is encrypted.
        verify = httpx.create_ssl_context() if self._scheme == "https" or self._proxy else False
        return {"verify": verify, "proxy": self._proxy, "limits": httpx.Limits(max_connections=1)}


class Connections(_Requests):
    """Connections of our own, for threads."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(url, headers)
        self._idle: deque[httpx.HTTPTransport] = deque()
        self._free = BoundedSemaphore(_CONNECTIONS)
        self._closed = False

    @contextmanager
    def lane(self, phases: Phases) -> Generator[Exchange]:
        """The use of one connection. httpx.PoolTimeout: none became free in time."""
        _refuse_if(self._closed)
        if not self._free.acquire(timeout=phases.get("pool")):
            message = f"all {_CONNECTIONS} connections are in use"
            raise httpx.PoolTimeout(message)
        try:
            try:
                transport = self._idle.pop()
            except IndexError:
                transport = httpx.HTTPTransport(**self._options)
            try:
                yield transport.handle_request
            finally:
                self._idle.append(transport)
                if self._closed:
                    self.close()
        finally:
            self._free.release()

    def close(self) -> None:
        """Close the connections, those in use as soon as they are not."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()


class AsyncConnections(_Requests):
    """Connections of our own, for tasks."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        super().__init__(url, headers)
        self._loop: object = None
        self._closed = False

    def _enter_loop(self) -> None:
        """Start anew in another event loop: connections do not outlive theirs (`asyncio.run` once per question, say)."""
        loop = current_token()
        if loop != self._loop:
            self._loop = loop
            self._idle: deque[httpx.AsyncHTTPTransport] = deque()
            self._free = anyio.Semaphore(_CONNECTIONS, fast_acquire=True)

    @asynccontextmanager
    async def lane(self, phases: Phases) -> AsyncGenerator[Exchange]:  # noqa: ARG002 - the caller's scope has the timeout
        """The use of one connection."""
        _refuse_if(self._closed)
        self._enter_loop()
        async with self._free:
            transport = self._idle.pop() if self._idle else httpx.AsyncHTTPTransport(**self._options)
            try:
                yield transport.handle_async_request
            finally:
                self._idle.append(transport)
                if self._closed:
                    await self.close()

    async def close(self) -> None:
        """Close the connections, those in use as soon as they are not."""
        self._closed = True
        self._enter_loop()
        while self._idle:
            await self._idle.pop().aclose()


class _InjectedBase:
    """What the injected clients of both kinds have in common."""

    def __init__(self, client: Any, url: str) -> None:
        self._url = url
        self._build = client.build_request
        self._exchange = partial(client.send, stream=True, follow_redirects=False)
        self.errors = _transport_errors(client)

    def request(self, headers: Mapping[str, str], content: bytes, phases: Phases) -> Any:
        """A request with this content, and with what the client adds of its own."""
        return self._build(
            "POST", self._url, content=content, headers=headers, extensions={"timeout": phases}
        )


class Injected(_InjectedBase):
    """The connections of an injected client, which stay its owner's to close."""

    @contextmanager
    def lane(self, phases: Phases) -> Generator[Exchange]:  # noqa: ARG002 - the client has its own pool
        """The use of the client."""
        yield self._exchange

    def close(self) -> None:
        """Nothing."""


class AsyncInjected(_InjectedBase):
    """The connections of an injected async client, which stay its owner's to close."""

    @asynccontextmanager
    async def lane(self, phases: Phases) -> AsyncGenerator[Exchange]:  # noqa: ARG002 - the client has its own pool
        """The use of the client."""
        yield self._exchange

    async def close(self) -> None:
        """Nothing."""


def _refuse_if(closed: bool) -> None:  # noqa: FBT001 - there is nothing else to say
    if closed:
        raise RuntimeError("this reranker is closed; make a new one, or leave the with block later")


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for the URL, as httpx.Client would use it."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _transport_errors(client: object) -> tuple[type[Exception], ...]:
    """The errors that the client's own library raises for a request that got no answer: httpx's, or httpx2's."""
    packages = {cls.__module__.partition(".")[0] for cls in type(client).__mro__}
    modules = [sys.modules[name] for name in packages if name in sys.modules]
    found = [getattr(module, "RequestError", None) for module in modules]
    return (httpx.RequestError, *(error for error in found if isinstance(error, type)))
