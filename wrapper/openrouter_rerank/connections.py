"""Send requests over our own connections, or through an injected HTTP client.

Our own connections are made by httpcore, on which httpx is built, and speak HTTP by http11.py. On a small call the cookies, redirects
and hooks of httpx.Client take more time than all of our code, and we need none of them. Each request in flight has its own
connection, as httpcore's pool searches all connections for every request, which with 16 of them takes longer than the request.
In a thread, only the socket can bound a whole attempt: a server that sends a byte now and then stays within every other timeout.

A connection is reused only after exactly one complete response. All others are closed, and so are those of an event loop that
has ended and those that a forked process inherits.
"""

from __future__ import annotations

import re
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from inspect import iscoroutinefunction
from math import inf
from os import getpid
from socket import SHUT_RDWR, socket
from threading import Condition, RLock
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakKeyDictionary, WeakSet, finalize

import anyio
import httpcore
import httpx
from anyio.lowlevel import current_token
from httpcore._backends.sync import SyncStream  # private, but what httpcore itself makes of a socket

from openrouter_rerank import forks
from openrouter_rerank.certificates import Verify, ssl_context
from openrouter_rerank.http11 import AsyncHttp11, Http11, RequestHead, WireRequest
from openrouter_rerank.network import connect
from openrouter_rerank.operations import Answer, Failure, Outcome, Secrets, Send
from openrouter_rerank.proxies import SOCKS_ERRORS, Proxy
from openrouter_rerank.redaction import mask, reveal
from openrouter_rerank.streams import AsyncNetwork, has_record

if TYPE_CHECKING:
    from openrouter_rerank.protocols import AsyncHttpClient, HttpClient

# Further requests wait for a free connection. The number is httpx's.
_CONNECTIONS = 100
_ALL_IN_USE = f"all {_CONNECTIONS} connections are in use"
# A server that does not accept a connection within this time is not expected to accept it later.
_CONNECT = 10.0
# Seconds after which an idle connection is not reused; the number is httpx's.
_IDLE = 5.0
# The bytes that are written between two checks of the clock.
_WRITE = 65536


class _Phases(dict[str, float]):
    """The timeouts of a request by phase, each the remaining time when the transport asks for it.

    `sent` is True once the transport has begun to send. The timeout of connecting is a little shorter than the whole, as
    httpcore closes an unfinished connection after its own timeout, but not after ours.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(connect=min(0.95 * seconds, _CONNECT), read=seconds, write=seconds, pool=seconds)
        self.sent = False
        self._began = monotonic()
        self.end = self._began + seconds

    def get(self, phase: str, default: Any = None) -> Any:  # noqa: ARG002 - every phase has a timeout
        """Return the seconds that remain for this phase."""
        self.sent = self.sent or phase in ("write", "read")
        end = self._began + self["connect"] if phase == "connect" else self.end
        # Never 0, which makes a socket non-blocking.
        return max(end - monotonic(), 0.001)

    def error(self) -> Exception | None:
        """Return the error of a request that timed out; None if it was sent."""
        return None if self.sent else httpcore.ConnectTimeout("the time was up")


# ------------------------------------------------------------------------------------------------------------- our own

_ERRORS: tuple[type[Exception], ...] = (
    httpcore.TimeoutException,
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.ProxyError,
    httpcore.UnsupportedProtocol,
    *SOCKS_ERRORS,
)


class _OwnConnections:
    """The base of our own connections, for threads and for tasks."""

    inherited = False
    """True in the child of a fork, if the connections cannot be used there."""

    def __init__(self, url: str, headers: Secrets, verify: Verify, proxy: Proxy | None) -> None:
        # Its query may hold a secret, so no local variable, which a traceback could show, has its value.
        self.url = reveal(url)
        self._url = _Url(httpx.URL(self.url))
        # A zone has a meaning on this machine alone (RFC 6874, section 4).
        self._host = (b"Host", re.sub(rb"%[^]]*", b"", httpx.URL(self.url).netloc))
        self._headers = headers
        self._head = self._encoded("POST", self._url, headers)
        self._closed = False
        # Read once for all connections, as reading certificates takes longer than a call. A path is always read, so that a
        # wrong one raises here.
        needed = self._url.scheme == b"https" or verify is not True
        self._verify = ssl_context(verify) if needed else verify
        self._proxy = proxy
        self._options: dict[str, Any] = {
            "ssl_context": self._verify if needed else None,
            "proxy": None if proxy is None else proxy.to_httpcore(),
            "keepalive_expiry": _IDLE,
        }

    def _encoded(self, method: str, url: _Url, headers: Secrets) -> RequestHead:
        lines = [(name.encode("ascii"), value.encode("ascii")) for name, value in headers.items()]
        has_host = any(name.lower() == b"host" for name, _ in lines)
        return RequestHead(method, url, lines if has_host else [self._host, *lines])

    def _request(self, step: Send, timeouts: Mapping[str, float]) -> WireRequest:
        head = self._head
        if step.headers is not self._headers or step.url is not None or step.method != "POST":
            url = self._url if step.url is None else _Url(httpx.URL(step.url))
            head = self._encoded(step.method, url, step.headers)
        return WireRequest(head, step.content, {"timeout": timeouts})


class _Url(httpcore.URL):
    """A URL with its origin, which httpcore makes anew each time."""

    def __init__(self, url: httpx.URL) -> None:
        # The resolver wants the zone of an address without the encoding that a URL needs.
        host = url.raw_host.replace(b"%25", b"%")
        super().__init__(scheme=url.raw_scheme, host=host, port=url.port, target=url.raw_path)
        self._origin = super().origin

    @property
    def origin(self) -> httpcore.Origin:
        return self._origin


class Connections(_OwnConnections):
    """Connections of our own, for threads."""

    def __init__(
        self,
        url: str,
        headers: Secrets,
        limit: int = _CONNECTIONS,
        *,
        verify: Verify = True,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(url, headers, verify, proxy)
        self._limit = limit
        self._room = _Room(limit)
        forks.register(self)

    def separate(self, limit: int) -> Self:
        """Return separate connections to the same server, which a run of many queries can close."""
        return type(self)(mask(self.url), self._headers, limit, verify=self._verify, proxy=self._proxy)

    def send(self, step: Send) -> Outcome:
        """Send the request and return its outcome."""
        end = monotonic() + step.timeout
        room = self._room  # another one after a fork
        lane = room.take(self._options, end)
        if lane is None:
            return Failure(httpcore.PoolTimeout(_ALL_IN_USE), None)
        outcome: Outcome | None = None
        try:
            outcome = self._exchange(lane, step, end)
            return outcome
        finally:
            room.give_back(lane, outcome)

    def _exchange(self, lane: _ThreadLane, step: Send, end: float) -> Outcome:
        body: _Body | None = None
        request = self._request(step, {})
        try:
            response = lane.connection(request).handle_request(request)
            body = _Body(response.status, httpx.Headers(response.headers), step)
            try:
                return _collect(body, response.iter_stream(), end)
            finally:
                response.close()
        except _ERRORS as error:
            return _cut(body, error)

    def close(self) -> None:
        """Close the idle connections, and those in use when their request ends."""
        self._closed = True
        self._room.close()

    def cut(self) -> None:
        """Close all connections; requests in flight fail at once."""
        self._closed = True
        self._room.cut()

    @property
    def _lock(self) -> Any:
        return self._room.lock

    def _after_fork(self) -> None:
        parents, self._room = self._room, _Room(self._limit, closed=self._closed)
        parents.abandon()


class _Lane:
    """A persistent connection, and the network that makes it. Its sockets are closed when the lane is garbage.

    httpcore's pool is only a factory here: an interrupt can leave its lock acquired, and a cancelled request can stay in its
    list.
    """

    _http11: type[Any]

    def __init__(self, network: _Clock | AsyncNetwork, pool: Any) -> None:
        self.close = network.close
        """Close its sockets, in any thread and in any process."""
        finalize(self, network.close)
        self.expires = inf
        """The time after which it is closed if it is idle."""
        self._pool = pool
        self._connection: Any = None

    def is_idle(self) -> bool:
        """Return True if the server may take another request on its connection."""
        return self._connection is not None and bool(self._connection.is_idle())

    def connection(self, request: WireRequest) -> Any:
        """Return the connection, or a new one if it cannot be reused for this request."""
        origin = request.url.origin
        kept = self._connection
        if kept is None or not _is_reusable(kept) or not kept.can_handle_request(origin):
            self.close()
            kept = self._connection = self._pool.create_connection(origin)
            if _is_direct(kept):
                kept._connection = self._http11(kept._connect, _IDLE)  # noqa: SLF001 - where it puts its own
        return kept


def _is_direct(connection: object) -> bool:
    """Return True if the connection leads to the server itself; one to a proxy is httpcore's own."""
    return isinstance(connection, httpcore.HTTPConnection | httpcore.AsyncHTTPConnection)


def _is_reusable(connection: Any) -> bool:
    """Return True if the connection is open, and its server sent no more than its responses."""
    if not connection.is_idle() or connection.has_expired():
        return False
    # httpcore's connections to a proxy stand in each other. Ours see to it themselves.
    while (inner := getattr(connection, "_connection", None)) is not None:
        connection = inner
    state = getattr(connection, "_h11_state", None)
    return state is None or not state.trailing_data[0]


class _ThreadLane(_Lane):
    """A connection for one thread at a time, and its clock."""

    _http11 = Http11

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.clock = _Clock()
        super().__init__(self.clock, httpcore.ConnectionPool(network_backend=self.clock, **options))


class _TaskLane(_Lane):
    """A connection for one task at a time."""

    _http11 = AsyncHttp11

    def __init__(self, options: Mapping[str, Any]) -> None:
        network = AsyncNetwork()
        super().__init__(network, httpcore.AsyncConnectionPool(network_backend=network, **options))


L = TypeVar("L", bound=_Lane)


class _Lanes(Generic[L]):
    """The idle lanes, and those in use.

    The references to lanes in use are weak, so that a lane whose user ended in any way is not in use any more.
    """

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.idle: deque[L] = deque()
        self.in_use: WeakSet[L] = WeakSet()

    def give_back(self, lane: L, outcome: Outcome | None) -> None:
        """Keep the lane if another request can follow; otherwise close it, as the server may wait for that."""
        self.in_use.discard(lane)
        if isinstance(outcome, Answer) and outcome.whole and lane.is_idle():
            lane.expires = monotonic() + _IDLE
            self.idle.append(lane)
        else:
            lane.close()
        if self.closed:
            self.close()

    def _pop_idle(self) -> L | None:
        """Return the lane that was used last, if one is idle; close those that were idle for too long."""
        now = monotonic()
        # `aclose` in another event loop may take the last one between two steps.
        with suppress(IndexError):
            while self.idle and self.idle[0].expires < now:
                self.idle.popleft().close()
            if self.idle:
                return self.idle.pop()
        return None

    def close(self) -> None:
        """Close the idle lanes now, and those in use when they are given back."""
        self.closed = True
        with suppress(IndexError):
            while self.idle:
                self.idle.pop().close()

    def abandon(self) -> None:
        """Close all lanes, as none is used any more."""
        self.closed = True
        for lane in (*self.idle, *self.in_use):
            lane.close()


class _Room(_Lanes[_ThreadLane]):
    """The lanes that threads share, up to a limit."""

    def __init__(self, limit: int, *, closed: bool = False) -> None:
        super().__init__(closed=closed)
        self._limit = limit
        self._is_cut = False
        # Acquired by itself, as a signal during `Condition.__enter__` would leave it acquired. Reentrant, as a signal
        # handler or a finalizer may call these methods.
        self.lock = RLock()
        self._freed = Condition(self.lock)

    def take(self, options: Mapping[str, Any], end: float) -> _ThreadLane | None:
        """Return a lane for a request that ends by `end`; None if all are in use until then."""
        with self.lock:
            # Looks again at the end: the lane that was freed last may have been meant for this thread, and for no other.
            if not (self._has_room() or self._freed.wait_for(self._has_room, end - monotonic())):
                return None
            lane = self._pop_idle() or _ThreadLane(options)
            lane.clock.end = end
            self.in_use.add(lane)
            if self._is_cut:
                lane.clock.cut()
            return lane

    def _has_room(self) -> bool:
        return len(self.in_use) < self._limit

    def give_back(self, lane: _ThreadLane, outcome: Outcome | None) -> None:
        with self.lock:
            super().give_back(lane, outcome)
            self._freed.notify()

    def close(self) -> None:
        with self.lock:
            super().close()

    def abandon(self) -> None:
        # A call that continues in the child of a fork gives its lane back here, and a lost thread may hold the old lock.
        self.lock = RLock()
        self._freed = Condition(self.lock)
        super().abandon()

    def cut(self) -> None:
        """Close all lanes, and abort the requests of those in use."""
        with self.lock:
            self._is_cut = True
            for lane in list(self.in_use):
                lane.clock.cut()
            self.close()


class _Clock(httpcore.NetworkBackend):
    """The network of one request at a time, bounded by the end of that request."""

    def __init__(self) -> None:
        self.end = 0.0
        self._socket: socket | None = None
        self._cut = False

    def left(self, error: type[Exception], end: float = inf) -> float:
        """Return the seconds until its end, or an earlier one; raise the error if there are none."""
        seconds = min(self.end, end) - monotonic()
        if seconds <= 0 or self._cut:
            raise error("the time is up")
        return seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ARG002 - the clock has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of the host that answers."""
        left = partial(self.left, httpcore.ConnectTimeout, monotonic() + _CONNECT)
        try:
            connected = connect(host, port, left, local_address, socket_options or ())
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore.ConnectError(error) from error
        return self.stream(_ThreadSocket(connected))

    def stream(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """Return the connection, bounded by this clock."""
        self._socket = stream.get_extra_info("socket")
        return _ThreadStream(stream, self)

    def close(self) -> None:
        """Close the socket, if there is one, without a TLS closure."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()

    def cut(self) -> None:
        """Abort the request now, also while another thread uses the socket."""
        self._cut = True
        if self._socket is not None:
            with suppress(OSError):  # it is closed already
                # Not close(), as a thread that reads would keep waiting. Not the shutdown() of an SSLSocket, which would
                # drop its encryption while that thread uses it.
                socket.shutdown(self._socket, SHUT_RDWR)


class _ThreadSocket(SyncStream):
    """httpcore's stream, without its context managers, which take longer than its system calls."""

    def __init__(self, connected: socket) -> None:
        super().__init__(connected)
        self._socket = connected

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the bytes that have arrived."""
        try:
            self._socket.settimeout(timeout)
            return self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(error) from error
        except OSError as error:
            raise httpcore.ReadError(error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it."""
        try:
            self._socket.settimeout(timeout)
            self._socket.sendall(buffer)
        except TimeoutError as error:
            raise httpcore.WriteTimeout(error) from error
        except OSError as error:
            raise httpcore.WriteError(error) from error


class _ThreadStream(httpcore.NetworkStream):
    """A connection that ends with its clock."""

    def __init__(self, stream: httpcore.NetworkStream, clock: _Clock) -> None:
        self._stream = stream
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002 - the clock has it
        """Return the bytes that have arrived."""
        return self._stream.read(max_bytes, self._clock.left(httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002 - the clock has it
        """Send all of it."""
        for start in range(0, len(buffer), _WRITE):
            self._stream.write(buffer[start : start + _WRITE], self._clock.left(httpcore.WriteTimeout))

    def close(self) -> None:
        """Close it."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002 - the clock has it
    ) -> httpcore.NetworkStream:
        """Return the stream with TLS."""
        try:
            return self._start_tls(ssl_context, server_hostname)
        except BaseException:
            self._clock.close()  # no connection has it yet that would close it
            raise

    def _start_tls(self, context: ssl.SSLContext, name: str | None) -> httpcore.NetworkStream:
        left = self._clock.left(httpcore.ConnectTimeout)
        plain = self.get_extra_info("socket")
        if isinstance(plain, ssl.SSLSocket):  # TLS to a proxy, which wrap_socket cannot wrap again
            return self._clock.stream(self._stream.start_tls(context, name, left))
        try:
            # The clock gets the stream before the handshake, so that it can abort it, and close it in a forked process.
            wrap = partial(context.wrap_socket, plain, server_hostname=name, do_handshake_on_connect=False)
            stream = self._clock.stream(_ThreadSocket(wrap()))
            encrypted: ssl.SSLSocket = stream.get_extra_info("socket")
            # Asked again, as `cut` may have shut down the old socket before the clock had this one.
            encrypted.settimeout(self._clock.left(httpcore.ConnectTimeout))
            encrypted.do_handshake()
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore.ConnectError(error) from error
        return stream

    def get_extra_info(self, info: str) -> Any:
        """Return the information that httpcore asks for."""
        if info == "is_readable":
            encrypted = self._stream.get_extra_info("ssl_object")
            # An SSLSocket reads records one by one; TLS within TLS has a buffer.
            if isinstance(encrypted, ssl.SSLObject) and has_record(encrypted):
                return True
        return self._stream.get_extra_info(info)


class AsyncConnections(_OwnConnections):
    """Connections of our own for tasks, separate for each event loop.

    Event loops may run one after the other or in turn, in one thread or in several. The connections of a loop that has ended
    are closed when the next loop appears, as an idle connection can be closed without its loop.
    """

    def __init__(
        self,
        url: str,
        headers: Secrets,
        limit: int = _CONNECTIONS,
        *,
        verify: Verify = True,
        proxy: Proxy | None = None,
    ) -> None:
        super().__init__(url, headers, verify, proxy)
        self._limit = limit
        self._lock = RLock()
        self._rooms: WeakKeyDictionary[Any, _TaskRoom] = WeakKeyDictionary()
        forks.register(self)

    def separate(self, limit: int) -> Self:
        """Return separate connections to the same server, which a run of many queries can close."""
        return type(self)(mask(self.url), self._headers, limit, verify=self._verify, proxy=self._proxy)

    async def send(self, step: Send) -> Outcome:
        """Send the request and return its outcome."""
        room = self._entered()
        body: _Body | None = None
        outcome: Answer | None = None
        timeouts = _Phases(step.timeout)
        try:
            with anyio.fail_after(step.timeout) as scope:
                async with room.free:
                    lane, ended = room.take(self._options), None
                    try:
                        request = self._request(step, timeouts)
                        response = await lane.connection(request).handle_async_request(request)
                        try:
                            body = _Body(response.status, httpx.Headers(response.headers), step)
                            await _acollect(body, response.aiter_stream(), scope)
                        finally:
                            await response.aclose()
                        ended = outcome = body.answer()
                    finally:
                        room.give_back(lane, ended)
        except TimeoutError:
            return _cut(body, timeouts.error())
        except _ERRORS as error:
            return _cut(body, error)
        # A body that is too large was truncated by a cancellation.
        return outcome or body.answer()

    async def close(self) -> None:
        """Close the idle connections of all event loops, and those in use when their request ends."""
        with self._lock:
            self._closed = True
            for room in self._rooms.values():
                room.close()

    def _entered(self) -> _TaskRoom:
        """Return the lanes of the running event loop."""
        token = current_token()
        loop = getattr(token, "native_token", token)  # anyio 4.11 wraps it
        room = self._rooms.get(loop)
        if room is None:
            with self._lock:
                for other, theirs in list(self._rooms.items()):
                    if _has_ended(other):
                        del self._rooms[other]
                        theirs.abandon()
                room = self._rooms[loop] = _TaskRoom(self._limit, closed=self._closed)
        return room

    def _after_fork(self) -> None:
        self._lock = RLock()
        parents, self._rooms = self._rooms, WeakKeyDictionary()
        for room in parents.values():
            room.abandon()


class _TaskRoom(_Lanes[_TaskLane]):
    """The lanes of one event loop, up to a limit."""

    def __init__(self, limit: int, *, closed: bool) -> None:
        super().__init__(closed=closed)
        self.free = anyio.Semaphore(limit, fast_acquire=True)

    def take(self, options: Mapping[str, Any]) -> _TaskLane:
        """Return a lane; the caller has acquired `free`."""
        lane = self._pop_idle() or _TaskLane(options)
        self.in_use.add(lane)
        return lane


def _has_ended(loop: Any) -> bool:
    """Return True if the event loop (trio: the run) never runs again."""
    if hasattr(loop, "is_closed"):
        return bool(loop.is_closed())
    try:
        loop.run_sync_soon(_do_nothing, idempotent=True)
    except RuntimeError:  # trio.RunFinishedError
        return True
    return False


def _do_nothing() -> None:
    pass


# ------------------------------------------------------------------------------------------------------------ injected


class _InjectedConnections:
    """The base of injected clients, whose connections a forked process must not use, as they belong to the parent."""

    _process: int | None = None

    @property
    def inherited(self) -> bool:
        """True in the child of a fork, if the parent sent requests over the network."""
        return self._process not in (None, getpid())

    def _note(self, response: Any) -> None:
        # httpx sets this for every response that came over a connection.
        if "network_stream" in getattr(response, "extensions", ("network_stream",)):
            self._process = getpid()


class Injected(_InjectedConnections):
    """The connections of an injected client, which its owner closes.

    An attempt is bounded at each piece of a response's body, and before that by the timeouts of the client's transport.
    """

    def __init__(self, client: HttpClient, url: str) -> None:
        _check(client, "httpx.Client", awaited=False)
        self._client = client
        self._url = reveal(url)
        self._errors = _transport_errors(client)

    def send(self, step: Send) -> Outcome:
        """Send the request and return its outcome."""
        body: _Body | None = None
        timeouts = _Phases(step.timeout)
        try:
            request = self._client.build_request(
                step.method,
                step.url or self._url,
                content=step.content,
                headers=dict(step.headers.items()),
                extensions={"timeout": timeouts},
            )
            response = self._client.send(request, stream=True, follow_redirects=False)
            self._note(response)
            body = _Body(response.status_code, response.headers, step)
            try:
                if _is_read(response):
                    return _read_already(response, step)
                # Not iter_bytes(), which decompresses without a limit.
                return _collect(body, response.stream, timeouts.end)
            finally:
                response.close()
        except self._errors as error:
            return _cut(body, error)

    def separate(self, limit: int) -> Self:  # noqa: ARG002 - the client has its own
        """Return these connections, as there are no others."""
        return self

    def close(self) -> None:
        """Do nothing, as the owner closes the client."""

    def cut(self) -> None:
        """Do nothing; requests in flight end by their timeouts."""


class AsyncInjected(_InjectedConnections):
    """The connections of an injected async client, which its owner closes."""

    def __init__(self, client: AsyncHttpClient, url: str) -> None:
        _check(client, "httpx.AsyncClient", awaited=True)
        self._client = client
        self._url = reveal(url)
        self._errors = _transport_errors(client)

    async def send(self, step: Send) -> Outcome:
        """Send the request and return its outcome."""
        body: _Body | None = None
        timeouts = _Phases(step.timeout)
        try:
            with anyio.fail_after(step.timeout) as scope:
                request = self._client.build_request(
                    step.method,
                    step.url or self._url,
                    content=step.content,
                    headers=dict(step.headers.items()),
                    extensions={"timeout": timeouts},
                )
                response = await self._client.send(request, stream=True, follow_redirects=False)
                self._note(response)
                body = _Body(response.status_code, response.headers, step)
                try:
                    if _is_read(response):
                        return _read_already(response, step)
                    await _acollect(body, response.stream, scope)
                finally:
                    await response.aclose()
        except TimeoutError:
            return _cut(body, timeouts.error())
        except self._errors as error:
            return _cut(body, error)
        # Also for a body that was truncated by a cancellation.
        return body.answer()

    def separate(self, limit: int) -> Self:  # noqa: ARG002 - the client has its own
        """Return these connections, as there are no others."""
        return self

    async def close(self) -> None:
        """Do nothing, as the owner closes the client."""


def _check(client: object, expected: str, *, awaited: bool) -> None:
    send = getattr(client, "send", None)
    if not (hasattr(client, "build_request") and callable(send)) or iscoroutinefunction(send) is not awaited:
        message = f"http_client must be an {expected}, or one that works like it, not {type(client).__name__}"
        raise TypeError(message)


def _is_read(response: Any) -> bool:
    """Return True if a hook or the transport of the injected client has read the body, which can be read only once."""
    return bool(getattr(response, "is_stream_consumed", False))


def _read_already(response: Any, step: Send) -> Answer:
    """Return the response with its body, which was read and decompressed."""
    headers = httpx.Headers(
        [(name, value) for name, value in response.headers.items() if name != "content-encoding"]
    )
    body = _Body(response.status_code, headers, step)
    body.add(response.content)
    return body.answer()


def _transport_errors(client: object) -> tuple[type[Exception], ...]:
    """Return the errors that the client's own library (httpx or httpx2) raises for a request without a response."""
    packages = {cls.__module__.partition(".")[0] for cls in type(client).__mro__}
    modules = [sys.modules[name] for name in packages if name in sys.modules]
    found = [getattr(module, "RequestError", None) for module in modules]
    return (httpx.RequestError, *(error for error in found if isinstance(error, type)))


# ----------------------------------------------------------------------------------------------------------- the bodies


def _collect(body: _Body, pieces: Iterable[bytes], end: float) -> Outcome:
    for piece in pieces:
        if not body.add(piece):
            break
        if monotonic() > end:
            return _cut(body, None)
    return body.answer()


async def _acollect(body: _Body, pieces: AsyncIterable[bytes], scope: anyio.CancelScope) -> None:
    async for piece in pieces:
        if not body.add(piece):
            # Leaving the loop would leave its generators to the garbage collector, which trio forbids; a cancellation ends
            # them one by one.
            scope.cancel()


def _cut(body: _Body | None, error: Exception | None) -> Outcome:
    """Return the outcome of a request whose response did not arrive whole; without an error, its time was up.

    The status of an error is known without its body.
    """
    if body is None:
        return Failure(error, None)
    return Failure(error, body.status) if body.status < 300 else body.answer(is_cut=True)


class _Body:
    """The body of a response while it is received, up to a limit."""

    def __init__(self, status: int, headers: Mapping[str, str], step: Send) -> None:
        self.status = status
        self._headers = headers
        self._limit = step.limit(status)
        # Not a list of pieces, as an object of two bytes takes twenty times their memory.
        self._content = bytearray()

    def add(self, piece: bytes) -> bool:
        """Add a piece; return True if the limit allows more."""
        self._content += piece
        return len(self._content) <= self._limit

    def answer(self, *, is_cut: bool = False) -> Answer:
        """Return the response; if not whole, with the beginning of an error's body, or no body for a success."""
        whole = len(self._content) <= self._limit and not is_cut
        length = self._limit if whole or self.status >= 300 else 0
        return Answer(self.status, self._headers, bytes(memoryview(self._content)[:length]), whole=whole)
