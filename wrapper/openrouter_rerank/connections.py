"""How requests reach the server: over connections of our own, or through an injected http client. It decides nothing.

Our own are those of httpcore, which httpx itself stands on. On a small call httpx.Client costs more than all that is ours:
cookies, redirects and hooks, none of which we want. Each request under way has a connection to itself, because httpcore's
pool looks at all of its connections for every request, which at 16 of them costs more than the request. And in a thread a
whole attempt can be bounded only at the socket: a server that sends a byte now and then keeps within every other limit.
"""

from __future__ import annotations

import ssl
import sys
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from inspect import iscoroutinefunction
from socket import SHUT_RDWR, socket
from threading import BoundedSemaphore, local
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpcore
import httpx
from anyio.lowlevel import current_token

from openrouter_rerank.steps import Answer, Failure, Outcome, Secrets, Send

if TYPE_CHECKING:
    from openrouter_rerank.client import AsyncHttpClient, HttpClient

# More at a time wait for one to be free. The number is httpx's own.
_CONNECTIONS = 100
_ALL_IN_USE = f"all {_CONNECTIONS} connections are in use"
# A server that does not take a connection by then will not take it later either.
_CONNECT = 10.0
# An idle connection is not used again after so many seconds; httpx's own number.
_IDLE = 5.0
# What is written before the clock is looked at again.
_WRITE = 65536


class _Phases(dict[str, float]):
    """The timeouts of a request by phase, each what is left of the whole when the transport asks for it.

    `sent` says whether the transport has come to sending. Making a connection ends a little before the whole, as
    httpcore closes what is half made after its own timeout, and not after one of ours.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(connect=min(0.95 * seconds, _CONNECT), read=seconds, write=seconds, pool=seconds)
        self.sent = False
        self._began = monotonic()
        self.end = self._began + seconds

    def get(self, phase: str, default: Any = None) -> Any:  # noqa: ARG002 - every phase has a timeout
        """What is left for this phase, in seconds."""
        self.sent = self.sent or phase in ("write", "read")
        end = self._began + self["connect"] if phase == "connect" else self.end
        # Never 0, which would tell a socket not to wait at all.
        return max(end - monotonic(), 0.001)

    def late(self, status: int | None) -> Failure:
        """What it is that the time was up."""
        return Failure(None if self.sent else httpcore.ConnectTimeout("the time was up"), status)


# ------------------------------------------------------------------------------------------------------------- our own

_ERRORS = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
)


class _Own:
    """What our own connections of both kinds have in common."""

    def __init__(self, url: str, headers: Secrets) -> None:
        parsed = httpx.URL(url)
        self.url = url
        self._url = _split(parsed)
        self._host = (b"Host", parsed.netloc)
        self._headers = headers
        self._lines = self._encoded(headers)
        self._proxy = _proxy(url)
        self._closed = False
        encrypted = self._url.scheme == b"https" or self._proxy is not None
        self._options: dict[str, Any] = {
            # One set of certificates for all, as reading them takes longer than a call.
            "ssl_context": _certificates() if encrypted else None,
            "proxy": self._proxy,
            "max_connections": 1,
            "keepalive_expiry": _IDLE,
        }

    def _encoded(self, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        return [
            self._host,
            *((name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()),
        ]

    def _request(self, step: Send, timeouts: Mapping[str, float]) -> httpcore.Request:
        lines = self._lines if step.headers is self._headers else self._encoded(step.headers)
        if step.method == "POST":
            lines = [*lines, (b"Content-Length", str(len(step.content)).encode())]
        return httpcore.Request(
            step.method,
            self._url if step.url is None else _split(httpx.URL(step.url)),
            headers=lines,
            content=step.content,
            extensions={"timeout": timeouts},
        )


def _split(url: httpx.URL) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)


class Connections(_Own):
    """Connections of our own, for threads."""

    def __init__(self, url: str, headers: Secrets, limit: int = _CONNECTIONS) -> None:
        super().__init__(url, headers)
        self._idle: deque[_Lane] = deque()
        self._in_use: set[_Lane] = set()
        self._is_cut = False
        self._free = BoundedSemaphore(limit)

    def apart(self, limit: int) -> Self:
        """So many connections to the same server that are none of these: a run of many queries ends its own."""
        return type(self)(self.url, self._headers, limit)

    def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        end = monotonic() + step.timeout
        if not self._free.acquire(timeout=max(step.timeout, 0)):
            return Failure(httpcore.PoolTimeout(_ALL_IN_USE), None)
        try:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = _Lane(self._options)
            lane.clock.end = end
            self._in_use.add(lane)
            if self._is_cut:  # meanwhile
                lane.clock.cut()
            try:
                return self._exchange(lane.pool, step, end)
            finally:
                self._in_use.discard(lane)
                self._idle.append(lane)
                if self._closed:
                    self.close()
        finally:
            self._free.release()

    def _exchange(self, pool: httpcore.ConnectionPool, step: Send, end: float) -> Outcome:
        status = None
        try:
            response = pool.handle_request(self._request(step, {}))
            status = response.status
            try:
                return _collect(status, httpx.Headers(response.headers), response.iter_stream(), step, end)
            finally:
                response.close()
        except _ERRORS as error:
            return Failure(error, status)

    def close(self) -> None:
        """Close the connections, those in use as soon as they are not."""
        self._closed = True
        while self._idle:
            self._idle.pop().pool.close()

    def cut(self) -> None:
        """Close the connections, those in use too: what is under way fails at once."""
        self._closed = self._is_cut = True
        for lane in list(self._in_use):
            lane.clock.cut()
        self.close()


class _Clock(httpcore.NetworkBackend):
    """The network, for one request at a time, until that request's end and not a moment longer."""

    def __init__(self) -> None:
        self.end = 0.0
        self._network = httpcore.SyncBackend()
        self._socket: socket | None = None
        self._cut = False

    def left(self, error: type[Exception]) -> float:
        """Seconds left; the error where there are none."""
        seconds = self.end - monotonic()
        if seconds <= 0 or self._cut:
            raise error("the time is up")
        return seconds

    def connect_tcp(self, host: str, port: int, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        """A connection."""
        options["timeout"] = min(_CONNECT, self.left(httpcore.ConnectTimeout))
        return self.stream(self._network.connect_tcp(host, port, *arguments, **options))

    def stream(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """The connection, bound to this clock."""
        self._socket = stream.get_extra_info("socket")
        return _Stream(stream, self)

    def cut(self) -> None:
        """End it now, whatever another thread does with it."""
        self._cut = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not close(), which leaves a thread that reads from it waiting. And not an encrypted socket's own, which
                # would forget its encryption under that thread.
                socket.shutdown(self._socket, SHUT_RDWR)


class _Stream(httpcore.NetworkStream):
    """A connection that ends with its clock."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the clock knows better
        """What has come."""
        return self._stream.read(max_bytes, self._clock.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the clock knows better
        """Send all of it."""
        for start in range(0, len(buffer), _WRITE):
            self._stream.write(buffer[start : start + _WRITE], self._clock.left(httpcore.WriteTimeout))

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def start_tls(self, *arguments: Any, **options: Any) -> httpcore.NetworkStream:
        """The same, encrypted."""
        try:
            options["timeout"] = self._clock.left(httpcore.ConnectTimeout)
        except httpcore.ConnectTimeout:
            self.close()  # nobody else would: it is no connection's yet
            raise
        return self._clock.stream(self._stream.start_tls(*arguments, **options))

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks of it."""
        return self._stream.get_extra_info(info)


class _Lane:
    """One connection, kept alive, and its clock."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.clock = _Clock()
        self.pool = httpcore.ConnectionPool(network_backend=self.clock, **options)


class _AsyncNetwork(httpcore.AsyncNetworkBackend):
    """The network, for tasks."""

    def __init__(self) -> None:
        self._network = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())

    async def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        """Connect."""
        return _AsyncStream(await self._network.connect_tcp(*arguments, **options))


class _AsyncStream(httpcore.AsyncNetworkStream):
    """A connection that is closed when its handshake is cancelled; httpcore leaves it to the garbage collector."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        """Return what has come."""
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        """Send all of it."""
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        """Close it."""
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> Any:
        """Return what httpcore asks of it."""
        return self._stream.get_extra_info(info)

    async def start_tls(self, *arguments: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        """Return the connection, encrypted."""
        try:
            return _AsyncStream(await self._stream.start_tls(*arguments, **options))
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.aclose()
            raise


class _Content:
    """The content of one request. httpcore's own is an async generator, of which trio warns when a request is cut."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class AsyncConnections(_Own):
    """Connections of our own, for tasks."""

    def __init__(self, url: str, headers: Secrets, limit: int = _CONNECTIONS) -> None:
        super().__init__(url, headers)
        self._options["network_backend"] = _AsyncNetwork()
        # Connections belong to the event loop that made them. Loops that run at the same time run in different threads;
        # of those that run one after the other (`asyncio.run` once per question, say) each starts anew.
        self._here = _Here(limit)

    def apart(self, limit: int) -> Self:
        """So many connections to the same server that are none of these: a run of many queries ends its own."""
        return type(self)(self.url, self._headers, limit)

    def _request(self, step: Send, timeouts: Mapping[str, float]) -> httpcore.Request:
        request = super()._request(step, timeouts)
        request.stream = _Content(step.content)
        return request

    async def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        here = self._here.entered()
        status = None
        headers = httpx.Headers()
        outcome: Outcome | None = None
        timeouts = _Phases(step.timeout)
        try:
            with anyio.fail_after(step.timeout) as scope:
                async with here.free:
                    pool = here.idle.pop() if here.idle else httpcore.AsyncConnectionPool(**self._options)
                    try:
                        response = await pool.handle_async_request(self._request(step, timeouts))
                        status = response.status
                        try:
                            headers = httpx.Headers(response.headers)
                            outcome = await _acollect(status, headers, response.aiter_stream(), step, scope)
                        finally:
                            await response.aclose()
                    finally:
                        here.idle.append(pool)
                        if self._closed:
                            await self.close()
        except TimeoutError:
            return timeouts.late(status)
        except _ERRORS as error:
            return Failure(error, status)
        return outcome or Answer(cast(int, status), headers, b"", whole=False)

    async def close(self) -> None:
        """Close the connections of this loop, those in use as soon as they are not."""
        self._closed = True
        here = self._here.entered()
        while here.idle:
            await here.idle.pop().aclose()


class _Here(local):
    """The connections of the event loop that runs in this thread."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._loop: object = None
        self.idle: deque[httpcore.AsyncConnectionPool] = deque()

    def entered(self) -> Self:
        """This, emptied if another loop has left something here."""
        loop = current_token()
        if loop != self._loop:
            self._loop = loop
            self.idle = deque()
            self.free = anyio.Semaphore(self._limit, fast_acquire=True)
        return self


def _certificates() -> ssl.SSLContext:
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        message = f"SSL_CERT_FILE or SSL_CERT_DIR names certificates that cannot be read ({error}); mend or unset it"
        raise ValueError(message) from error


def _proxy(url: str) -> httpcore.Proxy | None:
    """The proxy that the environment names for the URL, as httpx.Client would use it."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None or proxy_bypass(parts.hostname or ""):
        return None
    parsed = httpx.URL(proxy if "://" in proxy else f"http://{proxy}")
    if parsed.scheme not in ("http", "https") and find_spec("socksio") is None:
        raise ValueError("the environment names a SOCKS proxy: pip install 'httpx[socks]', or unset it")
    auth = (unquote(parsed.username), unquote(parsed.password)) if parsed.username else None
    return httpcore.Proxy(str(parsed.copy_with(userinfo=b"")), auth=auth)


# ------------------------------------------------------------------------------------------------------------ injected


class Injected:
    """The connections of an injected client, which stay its owner's to close.

    An attempt is bounded at each piece of an answer's body; before that, by what the client's transport bounds.
    """

    def __init__(self, client: HttpClient, url: str) -> None:
        _check(client, "httpx.Client", awaited=False)
        self._client = client
        self._url = url
        self._errors = _transport_errors(client)

    def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        status = None
        timeouts = _Phases(step.timeout)
        try:
            request = self._client.build_request(
                step.method,
                step.url or self._url,
                content=step.content,
                headers=step.headers,
                extensions={"timeout": timeouts},
            )
            response = self._client.send(request, stream=True, follow_redirects=False)
            status = response.status_code
            try:
                if _is_read(response):
                    return _read_already(response, step)
                # Not iter_bytes(): it unpacks what is compressed without a limit.
                return _collect(status, response.headers, response.stream, step, timeouts.end)
            finally:
                response.close()
        except self._errors as error:
            return Failure(error, status)

    def apart(self, limit: int) -> Self:  # noqa: ARG002 - the client has its own
        """These, as there are no others."""
        return self

    def close(self) -> None:
        """Nothing."""

    def cut(self) -> None:
        """Nothing: what is under way ends by its timeout."""


class AsyncInjected:
    """The connections of an injected async client, which stay its owner's to close."""

    def __init__(self, client: AsyncHttpClient, url: str) -> None:
        _check(client, "httpx.AsyncClient", awaited=True)
        self._client = client
        self._url = url
        self._errors = _transport_errors(client)

    async def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        status = None
        headers: Mapping[str, str] = {}
        outcome: Outcome | None = None
        timeouts = _Phases(step.timeout)
        try:
            with anyio.fail_after(step.timeout) as scope:
                request = self._client.build_request(
                    step.method,
                    step.url or self._url,
                    content=step.content,
                    headers=step.headers,
                    extensions={"timeout": timeouts},
                )
                response = await self._client.send(request, stream=True, follow_redirects=False)
                status, headers = response.status_code, response.headers
                try:
                    if _is_read(response):
                        return _read_already(response, step)
                    outcome = await _acollect(status, headers, response.stream, step, scope)
                finally:
                    await response.aclose()
        except TimeoutError:
            return timeouts.late(status)
        except self._errors as error:
            return Failure(error, status)
        return outcome or Answer(cast(int, status), headers, b"", whole=False)

    def apart(self, limit: int) -> Self:  # noqa: ARG002 - the client has its own
        """These, as there are no others."""
        return self

    async def close(self) -> None:
        """Nothing."""


def _check(client: object, expected: str, *, awaited: bool) -> None:
    send = getattr(client, "send", None)
    if not (hasattr(client, "build_request") and callable(send)) or iscoroutinefunction(send) is not awaited:
        message = f"http_client must be an {expected}, or one that works like it, not {type(client).__name__}"
        raise TypeError(message)


def _is_read(response: Any) -> bool:
    """Whether a hook or the transport of the injected client has read the body: it can be read but once."""
    return bool(getattr(response, "is_stream_consumed", False))


def _read_already(response: Any, step: Send) -> Answer:
    """The answer whose body has been read, and unpacked with that."""
    headers = httpx.Headers(
        [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
    )
    whole = len(response.content) <= step.largest
    return Answer(response.status_code, headers, response.content if whole else b"", whole=whole)


def _transport_errors(client: object) -> tuple[type[Exception], ...]:
    """The errors that the client's own library raises for a request that got no answer: httpx's, or httpx2's."""
    packages = {cls.__module__.partition(".")[0] for cls in type(client).__mro__}
    modules = [sys.modules[name] for name in packages if name in sys.modules]
    found = [getattr(module, "RequestError", None) for module in modules]
    return (httpx.RequestError, *(error for error in found if isinstance(error, type)))


# ----------------------------------------------------------------------------------------------------------- the bodies


def _collect(
    status: int, headers: Mapping[str, str], pieces: Iterable[bytes], step: Send, end: float
) -> Outcome:
    body: list[bytes] = []
    size = 0
    for piece in pieces:
        body.append(piece)
        size += len(piece)
        if size > step.largest:
            return Answer(status, headers, b"", whole=False)
        if monotonic() > end:
            return Failure(None, status)
    return Answer(status, headers, b"".join(body))


async def _acollect(
    status: int,
    headers: Mapping[str, str],
    pieces: AsyncIterable[bytes],
    step: Send,
    scope: anyio.CancelScope,
) -> Outcome:
    body: list[bytes] = []
    size = 0
    async for piece in pieces:
        if size <= step.largest:
            body.append(piece)
            size += len(piece)
        else:
            # To leave the loop would leave the generators below it to the garbage collector, which trio forbids; to be
            # cancelled ends them one by one.
            scope.cancel()
    return Answer(status, headers, b"".join(body), whole=size <= step.largest)
