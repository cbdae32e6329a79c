"""HTTP/1.1 over a stream in memory; what it does over the network is in test_network."""

from __future__ import annotations

from typing import Any

import anyio
import httpcore
import pytest

from openrouter_rerank.http11 import AsyncHttp11, Http11, WireRequest

WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Stream:
    """A stream that gives these bytes, piece by piece, and then none."""

    def __init__(self, *pieces: bytes, breaks: bool = False, is_readable: bool = False) -> None:
        self.written = b""
        self._pieces = [*pieces, b""]
        self._breaks, self._is_readable = breaks, is_readable

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the next piece."""
        assert max_bytes > 0
        return self._pieces.pop(0)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Take the bytes, or fail once it has some."""
        if self._breaks and self.written:
            raise httpcore.WriteError("broken pipe")
        self.written += buffer

    def get_extra_info(self, info: str) -> Any:
        """Return the only information that is asked for."""
        assert info == "is_readable"
        return self._is_readable


class AsyncStream:
    """The same for tasks; it fails before it has any bytes, as a request is written at once."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.get_extra_info = stream.get_extra_info

    async def read(self, max_bytes: int) -> bytes:
        """Return the next piece."""
        return self._stream.read(max_bytes)

    async def write(self, buffer: bytes, _: float | None) -> None:
        """Take the bytes, or fail."""
        if self._stream._breaks:
            raise httpcore.WriteError("broken pipe")
        self._stream.write(buffer)


def request(**headers: str) -> WireRequest:
    """Return a small request."""
    lines = [(b"Host", b"h"), (b"Content-Length", b"2")]
    lines += [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    url = httpcore.URL(scheme=b"http", host=b"h", port=None, target=b"/rerank")
    return WireRequest("POST", url, lines, b"{}", {"timeout": {}})


class Threads:
    """A connection for threads over the stream."""

    def __init__(self, stream: Stream) -> None:
        self.connection: Any = Http11(lambda _: stream, 5.0)  # type: ignore[arg-type,return-value]

    def send(self, sent: WireRequest) -> bytes:
        """Return the body of the response."""
        response = self.connection.handle_request(sent)
        try:
            return b"".join(response.iter_stream())
        finally:
            response.close()


class Tasks:
    """A connection for tasks over the stream."""

    def __init__(self, stream: Stream) -> None:
        async def connect(_: Any) -> Any:
            return AsyncStream(stream)

        self.connection: Any = AsyncHttp11(connect, 5.0)

    def send(self, sent: WireRequest) -> bytes:
        """Return the body of the response."""

        async def send() -> bytes:
            response = await self.connection.handle_async_request(sent)
            try:
                return b"".join([piece async for piece in response.aiter_stream()])
            finally:
                await response.aclose()

        return anyio.run(send)


both = pytest.mark.parametrize("kind", [Threads, Tasks])


@both
def test_a_request_and_its_response(kind: Any) -> None:
    """The request is written whole, the response is read whole, and another one can follow."""
    stream = Stream(WHOLE[:20], WHOLE[20:-1], WHOLE[-1:], WHOLE)
    client = kind(stream)
    assert not client.connection.is_idle()
    assert client.connection.has_expired(), "it is not connected"
    for _ in range(2):
        assert client.send(request()) == b"{}"
        assert client.connection.is_idle()
        assert not client.connection.has_expired()
    head = b"POST /rerank HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"
    assert stream.written == 2 * (head + b"{}")


@both
def test_a_connection_on_which_something_arrives_is_not_reused(kind: Any) -> None:
    """An idle connection that can be read was closed, or the server sent more."""
    client = kind(Stream(WHOLE, is_readable=True))
    client.send(request())
    assert client.connection.has_expired()


@both
def test_an_idle_connection_expires(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time it is not reused, as the server may close it at that moment."""
    client = kind(Stream(WHOLE))
    client.send(request())
    monkeypatch.setattr("openrouter_rerank.http11.monotonic", lambda: float("inf"))
    assert client.connection.has_expired()


@both
@pytest.mark.parametrize(
    "response",
    [
        WHOLE + b"x",
        WHOLE.replace(b"Content", b"Connection: close\r\nContent"),
        b"HTTP/1.0 200 OK\r\n\r\n{}",
    ],
)
def test_a_connection_that_is_not_reused(kind: Any, response: bytes) -> None:
    """The response is read; the connection ends with it."""
    client = kind(Stream(response))
    assert client.send(request()) == b"{}"
    assert not client.connection.is_idle()


@both
def test_a_server_that_responds_before_it_has_the_request(kind: Any) -> None:
    """Its response is read although the request was cut off, and the connection is not reused."""
    client = kind(Stream(WHOLE, breaks=True))
    assert client.send(request()) == b"{}"
    assert not client.connection.is_idle()


@both
@pytest.mark.parametrize(
    ("pieces", "says"),
    [
        ([], "the server disconnected without sending a response"),
        ([WHOLE[:10]], "the server disconnected without sending a response"),
        ([WHOLE[:-1]], "peer closed connection without sending complete message body"),
        ([b"not HTTP\r\n\r\n"], "illegal status line"),
        ([b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000], "Receive buffer too long"),
        ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], "SWITCH_UPGRADE"),
    ],
)
def test_responses_that_fail(kind: Any, pieces: list[bytes], says: str) -> None:
    """Each ends in httpcore's error, and the connection is not reused."""
    client = kind(Stream(*pieces))
    with pytest.raises(httpcore.RemoteProtocolError, match=says):
        client.send(request())
    assert not client.connection.is_idle()


@both
def test_a_header_that_cannot_be_sent(kind: Any) -> None:
    """It ends in httpcore's error."""
    with pytest.raises(httpcore.LocalProtocolError):
        kind(Stream()).send(request(A="a\nb"))
