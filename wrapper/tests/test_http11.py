"""HTTP/1.1 over a stream in memory; what it does over the network is in test_network."""

from __future__ import annotations

from itertools import pairwise, product
from typing import Any

import anyio
import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_rerank import http11
from openrouter_rerank.http11 import AsyncHttp11, Http11, RequestHead, WireRequest

LENGTH = b"Content-Length: 2"
WHOLE = b"HTTP/1.1 200 OK\r\n" + LENGTH + b"\r\n\r\n{}"


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
        self.written += buffer[:10] if self._breaks else buffer
        if self._breaks:
            raise httpcore.WriteError("broken pipe")

    def get_extra_info(self, info: str) -> Any:
        """Return the only information that is asked for."""
        assert info == "is_readable"
        return self._is_readable


class AsyncStream:
    """The same for tasks."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.get_extra_info = stream.get_extra_info

    async def read(self, max_bytes: int) -> bytes:
        """Return the next piece."""
        return self._stream.read(max_bytes)

    async def write(self, buffer: bytes, _: float | None) -> None:
        """Take the bytes, or fail once it has some."""
        self._stream.write(buffer)


def request(**headers: str) -> WireRequest:
    """Return a small request."""
    lines = [(b"Host", b"h"), *((name.encode(), value.encode("latin-1")) for name, value in headers.items())]
    url = httpcore.URL(scheme=b"http", host=b"h", port=None, target=b"/rerank")
    return WireRequest(RequestHead("POST", url, lines), b"{}", {"timeout": {}})


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
        b"HTTP/1.1 200 OK\r\n\r\n{}",
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


def test_a_header_that_cannot_be_sent() -> None:
    """It ends in httpcore's error."""
    with pytest.raises(httpcore.LocalProtocolError):
        request(A="a\nb")


@both
def test_a_connection_whose_second_response_broke_off(kind: Any) -> None:
    """It is not reused, although its first response was whole."""
    client = kind(Stream(WHOLE, WHOLE[:-1]))
    client.send(request())
    with pytest.raises(httpcore.RemoteProtocolError, match="received 1 bytes, expected 2"):
        client.send(request())
    assert not client.connection.is_idle()


def test_a_request_without_content() -> None:
    """A GET has no length."""
    url = httpcore.URL(scheme=b"http", host=b"h", port=None, target=b"/models")
    sent = WireRequest(RequestHead("GET", url, [(b"Host", b"h")]), b"", {})
    assert b"".join(sent.parts()) == b"GET /models HTTP/1.1\r\nHost: h\r\n\r\n"
    assert list(sent.headers) == [(b"Host", b"h")]


@both
@pytest.mark.parametrize("size", [0, 1, 32767, 32768, 32769, 1_000_000])
def test_the_content_of_a_request(kind: Any, size: int) -> None:
    """It is sent whole after the head, whatever its size."""
    content = bytes(index % 251 for index in range(size))
    url = httpcore.URL(scheme=b"http", host=b"h", port=None, target=b"/rerank")
    stream = Stream(WHOLE)
    client = kind(stream)
    client.send(WireRequest(RequestHead("POST", url, [(b"Host", b"h")]), content, {"timeout": {}}))
    head = b"POST /rerank HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % size
    assert stream.written == head + content
    assert client.connection.is_idle()


def test_a_large_content_is_not_copied() -> None:
    """The part after the first one is a view of it."""
    content = b"x" * 1_000_000
    url = httpcore.URL(scheme=b"http", host=b"h", port=None, target=b"/rerank")
    first, rest = WireRequest(RequestHead("POST", url, [(b"Host", b"h")]), content, {}).parts()
    assert len(first) < 100_000
    assert rest.obj is content


@both
def test_a_server_that_switches_to_another_protocol(kind: Any) -> None:
    """A request that proposes it ends in an error, and not in an endless loop."""
    client = kind(Stream(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n" + WHOLE))
    with pytest.raises(httpcore.RemoteProtocolError, match="switched to another protocol"):
        client.send(request(Connection="upgrade", Upgrade="x"))
    assert not client.connection.is_idle()


@both
def test_a_request_that_closes_the_connection(kind: Any) -> None:
    """The response is read; the connection ends with it."""
    client = kind(Stream(WHOLE))
    assert client.send(request(Connection="close")) == b"{}"
    assert not client.connection.is_idle()


# The plain reader

PLAIN = {
    "uvicorn": b"HTTP/1.1 200 OK\r\ndate: Fri, 27 Nov 2026 12:00:00 GMT\r\nserver: uvicorn\r\ncontent-length: 2\r\n"
    b"content-type: application/json\r\n\r\n{}",
    "hyper": b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-compute-type: cpu\r\ncontent-length: 2\r\n"
    b"access-control-allow-origin: *\r\nvary: origin, access-control-request-method\r\n"
    b"date: Fri, 27 Nov 2026 12:00:00 GMT\r\n\r\n{}",
    "nginx": b"HTTP/1.1 502 Bad Gateway\r\nServer: nginx/1.27.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
    "llama.cpp": b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=5, max=100\r\nContent-Type: application/json; charset=utf-8\r\n"
    b"Server: llama.cpp\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: \r\n\r\n{}",
    "node": b'HTTP/1.1 429 Too Many Requests\r\nX-Powered-By: Express\r\nETag: W/"2-l"\r\nContent-Length: 2\r\n'
    b"Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n\r\n{}",
}


@pytest.mark.parametrize("response", PLAIN.values(), ids=PLAIN)
def test_the_form_of_most_servers_is_plain(response: bytes) -> None:
    """Their responses are read without h11, also those whose body follows later."""
    assert isinstance(http11.reader_of(request(), response), http11.PlainReader)
    assert isinstance(http11.reader_of(request(), response[:-2]), http11.PlainReader)


def read(make: Any, pieces: list[bytes]) -> tuple[object, ...]:
    """Return what a reader makes of the pieces: all of its response, or the error."""
    left = iter([*pieces[1:], b""])
    try:
        reader = make(request(), pieces[0])
        while not reader.has_head():
            reader.receive(next(left))
        body = b""
        while (piece := reader.piece()) != b"":
            if piece is None:
                reader.receive(next(left))
            else:
                body += piece
    except httpcore.RemoteProtocolError as error:
        return (str(error),)
    else:
        return reader.status, list(reader.headers), body, reader.is_reusable()


LINES = [
    *(
        b"Content-Length:" + value
        for value in (b" 2", b"2\t", b" 2, 2", b" +2", b" -2", b" 0x2", b" 2 2", b" \xb2", b"")
    ),
    *(b"Content-Length: " + value for value in (b"0" * 14 + b"2", b"0" * 30 + b"2", b"9" * 5000, b"3", b"0")),
    *(b"Connection: " + value for value in (b"close", b"Close", b"keep-alive", b"Keep-Alive, Upgrade", b"")),
    *(b"Transfer-Encoding: " + value for value in (b"chunked", b"gzip", b"identity")),
    *(
        b"Content-Length : 2",
        b" Content-Length: 2",
        b"Upgrade: h2c",
        b"X",
        b":",
        b": a",
        b"X:",
        b"X: a\tb",
        b"X:\t a \t",
    ),
    *(
        b"X: a\rb",
        b"X: a\nb",
        b"X: a\0b",
        b"X: a\x7fb",
        b"X: a\x0bb",
        b"X: \xe9",
        b"\xe9: x",
        b"X\t: a",
        b"a b: c",
        b"X: a:b",
    ),
]
STARTS = [
    *(b"HTTP/1.1 %d OK" % status for status in (200, 204, 304, 429, 503, 100, 101, 103, 199, 600, 999)),
    *(
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 \xff",
        b"HTTP/1.1 200 a\0b",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
    ),
    *(
        b"HTTP/1.0 200 OK",
        b"HTTP/2 200 OK",
        b"http/1.1 200 OK",
        b"\r\nHTTP/1.1 200 OK",
        b" HTTP/1.1 200 OK",
        b"",
    ),
]
BODIES = [b"", b"{", b"{}", b"{}x", b"2\r\n{}\r\n0\r\n\r\n", b"{}" + WHOLE]


def check_that_both_readers_agree(pieces: list[bytes]) -> None:
    """Check that a response is read without h11 only if h11 reads it alike: its parts, its end, its error."""
    assert read(http11.reader_of, pieces) == read(http11.H11Reader, pieces)


@pytest.mark.parametrize("start", STARTS)
def test_both_readers_agree_on_odd_responses(start: bytes) -> None:
    """There is one odd line in each, before and after the length, or in its place."""
    for line, body in product(LINES, BODIES):
        for fields in ([line], [line, LENGTH], [LENGTH, line]):
            head = b"\r\n".join([start, *fields, b"", b""])
            check_that_both_readers_agree([head + body])
            check_that_both_readers_agree([head, *([body] if body else [])])


@given(data=st.data(), response=st.sampled_from([*PLAIN.values(), WHOLE]))
def test_both_readers_agree_on_changed_responses(data: st.DataObject, response: bytes) -> None:
    """A few bytes are changed, anywhere, and the response comes in pieces."""
    places = st.integers(0, len(response))
    start, end = sorted((data.draw(places), data.draw(places)))
    new = data.draw(st.one_of(st.binary(max_size=3), st.sampled_from([b"\r\n", b"\r\n\r\n", b"\n", b" "])))
    changed = response[:start] + new + response[min(end, start + 3) :]
    cuts = [0, *sorted(data.draw(st.lists(st.integers(0, len(changed)), max_size=2))), len(changed)]
    check_that_both_readers_agree([changed[a:b] for a, b in pairwise(cuts) if a < b])
