"""HTTP/1.1 over one connection.

h11 writes the heads of requests and reads responses. As it takes a large part of the time of a small call, a head is written once
for many requests, and a response in the plainest form, which is that of most servers, is read without it.

These connections replace httpcore's HTTP11Connection, which is slower, and which is reused after the server sent more than its
response: the rest is then taken for the response to the next request. They stand inside an `httpcore.HTTPConnection`, which
connects, and whose methods tools such as respx replace.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from time import monotonic
from typing import Any, Generic, Self, TypeAlias, TypeVar

import h11
import httpcore

# Bytes of the head of a response, at most; the number is httpcore's.
_LONGEST_HEAD = 100 * 1024
# Bytes that are read at once.
_READ = 65536
# Bytes of the content that are copied, to be sent with the head by one system call.
_JOINED = 32768

S = TypeVar("S", httpcore.NetworkStream, httpcore.AsyncNetworkStream)
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

# ------------------------------------------------------------------------------------------------------------- requests


class RequestHead:
    """The head of requests that differ only in their content.

    Args:
        method: The method; a POST has content.
        url: The URL.
        headers: The headers without Content-Length.

    Raises:
        httpcore.LocalProtocolError: It cannot be sent.
    """

    def __init__(self, method: str, url: httpcore.URL, headers: Headers) -> None:
        self.method = method.encode("ascii")
        self.url = url
        try:
            request = h11.Request(method=self.method, target=url.target, headers=list(headers))
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from error
        self.headers = headers
        self.is_plain = all(name.lower() != b"connection" for name, _ in headers)
        """True if no header concerns the connection."""
        self.text = (h11.Connection(h11.CLIENT).send(request) or b"").removesuffix(b"\r\n")
        """The head without Content-Length and the empty line at its end."""


class WireRequest:
    """A request as httpcore's connections take it, without the checks of `httpcore.Request`, which take longer than ours.

    Its headers and bytes are made where they are used: as local variables they would show the key in a traceback.
    """

    __slots__ = ("_head", "content", "extensions", "method", "stream", "url")

    def __init__(self, head: RequestHead, content: bytes, extensions: dict[str, Any]) -> None:
        self._head = head
        self.method = head.method
        self.url = head.url
        self.content = content
        self.stream: Any = _Content(content)
        self.extensions = extensions

    @property
    def is_plain(self) -> bool:
        """True if no header concerns the connection."""
        return self._head.is_plain

    @property
    def headers(self) -> Headers:
        """All headers."""
        if self.method != b"POST":
            return self._head.headers
        return [*self._head.headers, (b"Content-Length", b"%d" % len(self.content))]

    def parts(self) -> Iterator[Any]:
        """Yield the bytes to send, as views, whose repr does not show them; httpcore's types know only bytes."""
        if self.method != b"POST":
            yield memoryview(self._head.text + b"\r\n")
            return
        length = len(self.content)
        first = self.content[:_JOINED]
        yield memoryview(b"%sContent-Length: %d\r\n\r\n%s" % (self._head.text, length, first))
        if length > _JOINED:
            yield memoryview(self.content)[_JOINED:]


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


# ------------------------------------------------------------------------------------------------------------ responses


class H11Reader:
    """Reads a response of any form.

    Args:
        request: The request that was sent.
        data: The first bytes that were received.

    Raises:
        httpcore.RemoteProtocolError: It is not HTTP, as in the other methods.
    """

    def __init__(self, request: WireRequest, data: bytes) -> None:
        self.status = 0
        self.headers: Headers = ()
        self._state = h11.Connection(h11.CLIENT, max_incomplete_event_size=_LONGEST_HEAD)
        # What the response may be depends on the request.
        head = h11.Request(method=request.method, target=request.url.target, headers=list(request.headers))
        for event in (head, h11.Data(request.content), h11.EndOfMessage()):
            self._state.send(event)
        self.receive(data)

    def receive(self, data: bytes) -> None:
        """Take more bytes; none if the server closed the connection."""
        if not data and self._state.their_state is h11.SEND_RESPONSE:
            raise httpcore.RemoteProtocolError("the server disconnected without sending a response")
        self._state.receive_data(data)

    def has_head(self) -> bool:
        """Return True if `status` and `headers` are known, False if more bytes must be received."""
        while type(event := self._event()) is not h11.Response:
            if event is h11.NEED_DATA:
                return False
        self.status, self.headers = event.status_code, event.headers.raw_items()
        return True

    def piece(self) -> bytes | None:
        """Return the next piece of the body, b"" at its end, or None if more bytes must be received."""
        event = self._event()
        if event is h11.NEED_DATA:
            return None
        return b"" if type(event) is h11.EndOfMessage else bytes(event.data)

    def is_reusable(self) -> bool:
        """Return True if it was read whole, the server sent no more, and leaves the connection open."""
        state = self._state
        is_done = state.our_state is h11.DONE and state.their_state is h11.DONE
        return is_done and state.trailing_data == (b"", False)

    def _event(self) -> Any:
        try:
            event = self._state.next_event()
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(str(error)) from error
        if event is h11.PAUSED:  # it would be the next event for ever
            raise httpcore.RemoteProtocolError("the server switched to another protocol")
        return event


# RFC 9112, sections 4 and 5; without what h11 accepts for the sake of old servers. No quantifier gives back what it has
# taken, so that the time is linear.
_PLAIN_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) [\t\x20-\x7e\x80-\xff]*+\r\n"
    rb"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[\t\x20-\x7e\x80-\xff]*+\r\n)*+)\r\n"
)
# The statuses whose responses have no body, whatever their headers say.
_WITHOUT_BODY = (204, 304)
# The digits of a length. h11 has its own limit, and an error for what exceeds it.
_MOST_DIGITS = 15


class PlainReader:
    """Reads a response of the plainest form, with the methods of `H11Reader`.

    Its head has been received whole, it gives the length of its body, and it leaves the connection open.
    """

    def __init__(self, status: int, headers: Headers, length: int, data: bytes) -> None:
        self.status = status
        self.headers = headers
        self._length = self._left = length
        self._data = data

    @classmethod
    def of(cls, request: WireRequest, data: bytes) -> Self | None:
        """Return the reader of the response that begins with these bytes, or None if it has another form."""
        head = _PLAIN_HEAD.match(data) if request.is_plain else None
        if head is None or (status := int(head[1])) in _WITHOUT_BODY:
            return None
        lines = [line.partition(b":") for line in head[2].split(b"\r\n")[:-1]]
        headers = [(name, value.strip(b" \t")) for name, _, value in lines]
        length = _length(headers)
        return None if length is None else cls(status, headers, length, data[head.end() :])

    def receive(self, data: bytes) -> None:
        """Take more bytes; none if the server closed the connection."""
        if not data:
            received = self._length - self._left
            message = f"peer closed connection without sending complete message body (received {received} bytes, expected {self._length})"
            raise httpcore.RemoteProtocolError(message)  # as h11 says it
        self._data = data

    def has_head(self) -> bool:
        """Return True, as the head is known."""
        return True

    def piece(self) -> bytes | None:
        """Return the next piece of the body, b"" at its end, or None if more bytes must be received."""
        piece, self._data = self._data[: self._left], self._data[self._left :]
        self._left -= len(piece)
        return piece if piece or not self._left else None

    def is_reusable(self) -> bool:
        """Return True if it was read whole, and the server sent no more."""
        return not self._left and not self._data


def _length(headers: Headers) -> int | None:
    """Return the length of the body if one header gives it, and none concerns the connection; otherwise None."""
    length = None
    for name, value in headers:
        match name.lower():
            case b"content-length":
                if length is not None or not value.isdigit() or len(value) > _MOST_DIGITS:
                    return None
                length = int(value)
            case b"transfer-encoding":
                return None
            case b"connection" if value.lower() != b"keep-alive":
                return None
            case _:
                pass
    return length


Reader: TypeAlias = PlainReader | H11Reader


def reader_of(request: WireRequest, data: bytes) -> Reader:
    """Return the reader of the response that begins with these bytes."""
    return PlainReader.of(request, data) or H11Reader(request, data)


class WireResponse:
    """A response whose head was received, with the methods of httpcore's."""

    def __init__(self, status: int, headers: Headers, pieces: Any, end: Callable[[], None]) -> None:
        self.status = status
        self.headers = headers
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


# ---------------------------------------------------------------------------------------------------------- connections


class _Http11(Generic[S]):
    """The base of both connections: everything but I/O."""

    def __init__(self, idle: float) -> None:
        self._stream: S | None = None
        self._idle = idle
        self._is_idle = False
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

    def _response(self, reader: Reader, pieces: Any, *, is_sent: bool) -> WireResponse:
        """Return the response, whose end makes the connection idle if a whole request got exactly one whole response."""

        def end() -> None:
            if is_sent and reader.is_reusable():
                self._is_idle = True
                self._expires = monotonic() + self._idle

        return WireResponse(reader.status, reader.headers, pieces, end)


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
        self._is_idle = False
        stream = self._stream
        if stream is None:
            stream = self._stream = self._connect(request)
        is_sent = True
        try:
            for part in request.parts():
                stream.write(part)
        except httpcore.WriteError:  # it may have responded before it closed the connection
            is_sent = False
        reader = reader_of(request, stream.read(_READ))
        while not reader.has_head():
            reader.receive(stream.read(_READ))
        return self._response(reader, _pieces(reader, stream), is_sent=is_sent)


def _pieces(reader: Reader, stream: httpcore.NetworkStream) -> Iterator[bytes]:
    while (piece := reader.piece()) != b"":
        if piece is None:
            reader.receive(stream.read(_READ))
        else:
            yield piece


class AsyncHttp11(_Http11[httpcore.AsyncNetworkStream]):
    """A connection for tasks; the arguments are those of `Http11`."""

    def __init__(self, connect: Callable[[Any], Awaitable[httpcore.AsyncNetworkStream]], idle: float) -> None:
        super().__init__(idle)
        self._connect = connect

    async def handle_async_request(self, request: WireRequest) -> WireResponse:
        """Send the request, and return its response when its head has been received."""
        self._is_idle = False
        stream = self._stream
        if stream is None:
            stream = self._stream = await self._connect(request)
        is_sent = True
        try:
            for part in request.parts():
                await stream.write(part, request.extensions["timeout"].get("write"))
        except httpcore.WriteError:
            is_sent = False
        reader = reader_of(request, await stream.read(_READ))
        while not reader.has_head():
            reader.receive(await stream.read(_READ))
        return self._response(reader, _AsyncPieces(reader, stream), is_sent=is_sent)


class _AsyncPieces:
    """The pieces of a body as they come; not an async generator, which trio wants closed."""

    def __init__(self, reader: Reader, stream: httpcore.AsyncNetworkStream) -> None:
        self._reader = reader
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while (piece := self._reader.piece()) != b"":
            if piece is not None:
                return piece
            self._reader.receive(await self._stream.read(_READ))
        raise StopAsyncIteration
