"""HTTP/1.1 over one connection, by h11.

These connections replace httpcore's HTTP11Connection, which is slower, and which is reused after the server sent more than its
response: the rest is then taken for the response to the next request. They stand inside an `httpcore.HTTPConnection`, which
connects, and whose methods tools such as respx replace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from time import monotonic
from typing import Any, Generic, Self, TypeVar, cast

import h11
import httpcore

# Bytes of the head of a response, at most; the number is httpcore's.
_LONGEST_HEAD = 100 * 1024
# Bytes that are read at once.
_READ = 65536

S = TypeVar("S", httpcore.NetworkStream, httpcore.AsyncNetworkStream)


class FixedHeaders:
    """Headers that many requests have, which h11 validates only here."""

    def __init__(self, lines: list[tuple[bytes, bytes]]) -> None:
        self.lines = lines
        # h11 does not export the class.
        self._class = type(h11.Request(method=b"POST", target=b"/", headers=lines).headers)
        self._items = [(name, name.lower(), value) for name, value in lines]

    def with_length(self, length: int) -> Any:
        """Return the headers of a request whose body has this many bytes."""
        return self._class([*self._items, (b"Content-Length", b"content-length", b"%d" % length)])


class WireRequest:
    """A request as httpcore's connections take it, without the checks of `httpcore.Request`, which take longer than ours."""

    __slots__ = ("content", "extensions", "headers", "method", "stream", "url")

    def __init__(
        self,
        method: str,
        url: httpcore.URL,
        headers: Sequence[tuple[bytes, bytes]],
        content: bytes,
        extensions: dict[str, Any],
    ) -> None:
        self.method = method.encode("ascii")
        self.url = url
        self.headers = headers
        self.content = content
        self.stream: Any = _Content(content)
        self.extensions = extensions


class _Content:
    """The content of one request. httpcore's own is an async generator, about which trio warns after an abort."""

    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._left)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


class WireResponse:
    """A response whose head was received, with the methods of httpcore's."""

    def __init__(self, event: h11.Response, pieces: Any, end: Callable[[], None]) -> None:
        self.status = event.status_code
        self.headers = event.headers.raw_items()
        self._pieces = pieces
        self._end = end

    def iter_stream(self) -> Iterator[bytes]:
        """Return the pieces of the body as they are received."""
        return iter(self._pieces)

    def aiter_stream(self) -> AsyncIterator[bytes]:
        """Return the pieces of the body as they are received."""
        return aiter(self._pieces)

    def close(self) -> None:
        """End the response; the connection is kept if the body was received whole."""
        self._end()

    async def aclose(self) -> None:
        """End the response; the connection is kept if the body was received whole."""
        self._end()


class _Http11(Generic[S]):
    """The base of both connections: everything but I/O."""

    def __init__(self, idle: float) -> None:
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        self._stream: S | None = None
        self._idle = idle
        self._is_idle = False
        self._is_partly_sent = False
        self._expires = 0.0

    def info(self) -> str:
        """Return the text that the repr of httpcore's connection shows."""
        return "HTTP/1.1, IDLE" if self._is_idle else "HTTP/1.1"

    def is_idle(self) -> bool:
        """Return True if the last response was received whole, and another request can be sent."""
        return self._is_idle

    def has_expired(self) -> bool:
        """Return True if it was idle for too long, or if the server closed it or sent more."""
        is_open = self._stream is not None and not self._stream.get_extra_info("is_readable")
        return monotonic() > self._expires or not is_open

    def _parts(self, request: WireRequest) -> Iterator[bytes]:
        """Yield the head and the body of a request."""
        self._is_idle = False
        state = self._state
        try:
            head = h11.Request(
                method=request.method, target=request.url.target, headers=cast(Any, request.headers)
            )
            yield state.send(head) or b""
            yield state.send(h11.Data(request.content)) or b""
            state.send(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from error

    def event(self) -> Any:
        """Return the next event of the response, or `h11.NEED_DATA`."""
        try:
            return self._state.next_event()
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(str(error)) from error

    def receive(self, data: bytes) -> None:
        """Take bytes from the server; none if it closed the connection."""
        if not data and self._state.their_state is h11.SEND_RESPONSE:
            raise httpcore.RemoteProtocolError("the server disconnected without sending a response")
        self._state.receive_data(data)

    def _end(self) -> None:
        """Keep the connection if a whole request got exactly one whole response."""
        state = self._state
        is_done = state.our_state is h11.DONE and state.their_state is h11.DONE
        if is_done and not self._is_partly_sent and not state.trailing_data[0]:
            state.start_next_cycle()
            self._is_idle = True
            self._expires = monotonic() + self._idle


class Http11(_Http11[httpcore.NetworkStream]):
    """A connection for threads.

    Args:
        connect: Returns a connected stream.
        idle: The seconds for which it can be idle and is still reused.
    """

    def __init__(self, connect: Callable[[Any], httpcore.NetworkStream], idle: float) -> None:
        super().__init__(idle)
        self._connect = connect

    def handle_request(self, request: WireRequest) -> WireResponse:
        """Send the request, and return its response when its head has been received."""
        stream = self._stream
        if stream is None:
            stream = self._stream = self._connect(request)
        try:
            # One by one, as a server on the same machine then reads the head while the body is made.
            for part in self._parts(request):
                stream.write(part)
        except httpcore.WriteError:  # it may have responded before it closed the connection
            self._is_partly_sent = True
        while type(event := self.event()) is not h11.Response:
            if event is h11.NEED_DATA:
                self.receive(stream.read(_READ))
        return WireResponse(event, self._pieces(stream), self._end)

    def _pieces(self, stream: httpcore.NetworkStream) -> Iterator[bytes]:
        while type(event := self.event()) is not h11.EndOfMessage:
            if event is h11.NEED_DATA:
                self.receive(stream.read(_READ))
            else:
                yield bytes(event.data)


class AsyncHttp11(_Http11[httpcore.AsyncNetworkStream]):
    """A connection for tasks; the arguments are those of `Http11`."""

    def __init__(self, connect: Callable[[Any], Awaitable[httpcore.AsyncNetworkStream]], idle: float) -> None:
        super().__init__(idle)
        self._connect = connect

    async def handle_async_request(self, request: WireRequest) -> WireResponse:
        """Send the request, and return its response when its head has been received."""
        stream = self._stream
        if stream is None:
            stream = self._stream = await self._connect(request)
        try:
            # By one system call, which is faster with many requests in flight.
            await stream.write(b"".join(self._parts(request)), request.extensions["timeout"].get("write"))
        except httpcore.WriteError:
            self._is_partly_sent = True
        while type(event := self.event()) is not h11.Response:
            if event is h11.NEED_DATA:
                self.receive(await stream.read(_READ))
        return WireResponse(event, _Pieces(self, stream), self._end)


class _Pieces:
    """The pieces of a body as they come; not an async generator, which trio wants closed."""

    def __init__(self, connection: AsyncHttp11, stream: httpcore.AsyncNetworkStream) -> None:
        self._connection = connection
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while type(event := self._connection.event()) is not h11.EndOfMessage:
            if event is not h11.NEED_DATA:
                return bytes(event.data)
            self._connection.receive(await self._stream.read(_READ))
        raise StopAsyncIteration
