"""Requests in forms of HTTP that no client library sends by itself, each on a connection of its own."""

import json
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.abc
import h11
import httpx

from rerank_conformance.exchanges import Form

PAUSE = 2.5
"""Seconds for which a connection is idle before the request of `after-pause`; some servers close it after two or five."""
_AFTER_ANOTHER: tuple[Form, ...] = ("after-head", "after-refusal")
_LARGEST = 16 * 1024 * 1024  # bytes of a response; the bound of a check comes after it
_BLOCK = 65536
_OF_BODY = frozenset({b"content-length", b"content-type", b"expect"})


def earlier(content: bytes) -> bytes:
    """Return the body of the request that comes before one of `after-pause`: the same with another query."""
    body: dict[str, Any] = json.loads(content)
    return json.dumps({**body, "query": "An earlier query on this connection"}).encode()


class OneConnection(httpx.AsyncBaseTransport):
    """A transport that opens a connection for each request.

    Args:
        form: `http-1.0` sends HTTP/1.0, `after-head` a HEAD before, `after-refusal` the same without the key before,
            `after-pause` the same with another query before, and then nothing for a while.
    """

    def __init__(self, form: Form) -> None:
        self._form = form

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request and read its response.

        Raises:
            httpx.ConnectError: There was no connection.
            httpx.ReadError: The connection ended within a response.
            httpx.RemoteProtocolError: A response is not HTTP.
        """
        await request.aread()
        connection = await _Connection.open(request.url)
        try:
            for first in self._before(request):
                await connection.exchange(first)
                if self._form == "after-pause" and not connection.is_closed:
                    await connection.stay_idle(PAUSE)
                if connection.is_closed:  # as a server may do at any time
                    await connection.aclose()
                    connection = await _Connection.open(request.url)
            try:
                return await connection.exchange(request, b"1.0" if self._form == "http-1.0" else b"1.1")
            except (h11.RemoteProtocolError, anyio.EndOfStream, anyio.BrokenResourceError):
                if self._form not in _AFTER_ANOTHER or connection.has_response:
                    raise
                # The server closed the connection behind the other response, as it may without saying so.
                await connection.aclose()
                connection = await _Connection.open(request.url)
                return await connection.exchange(request)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error), request=request) from error
        except (anyio.EndOfStream, anyio.BrokenResourceError) as error:
            raise httpx.ReadError("the connection ended within a response", request=request) from error
        finally:
            await connection.aclose()

    def _before(self, request: httpx.Request) -> Iterator[httpx.Request]:
        headers = request.headers.raw
        if self._form == "after-head":
            kept = [(name, value) for name, value in headers if name.lower() not in _OF_BODY]
            yield httpx.Request("HEAD", request.url, headers=kept)
        elif self._form == "after-refusal":
            kept = [(name, value) for name, value in headers if name.lower() != b"authorization"]
            yield httpx.Request(request.method, request.url, headers=kept, content=request.content)
        elif self._form == "after-pause":
            kept = [(name, value) for name, value in headers if name.lower() != b"content-length"]
            yield httpx.Request(request.method, request.url, headers=kept, content=earlier(request.content))


class _Connection:
    """A connection whose bytes h11 reads and writes."""

    def __init__(self, stream: anyio.abc.ByteStream) -> None:
        self._stream = stream
        self._state = h11.Connection(h11.CLIENT)
        self.has_response = False
        """True if the last request got at least one byte."""

    @classmethod
    async def open(cls, url: httpx.URL) -> "_Connection":
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        try:
            if not secure:
                return cls(await anyio.connect_tcp(url.host, port))
            context = httpx.create_ssl_context()
            return cls(
                await anyio.connect_tcp(url.host, port, ssl_context=context, tls_standard_compatible=False)
            )
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error

    @property
    def is_closed(self) -> bool:
        """True where no other request fits on the connection."""
        return self._state.our_state is not h11.IDLE

    async def stay_idle(self, seconds: float) -> None:
        """Send nothing for a while; a server may close the connection meanwhile, and must not send."""
        with anyio.move_on_after(seconds):
            try:
                unasked = await self._stream.receive(_BLOCK)
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                self._state.send(h11.ConnectionClosed())
                return
            message = f"{len(unasked)} bytes that nobody asked for"
            raise h11.RemoteProtocolError(message)

    async def aclose(self) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def exchange(self, request: httpx.Request, version: bytes = b"1.1") -> httpx.Response:
        """Send a request and read its response; the connection is then ready for the next, or closed."""
        self.has_response = False
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"connection"]
        headers.append((b"Connection", b"close" if version == b"1.0" else b"keep-alive"))
        head = self._state.send(
            h11.Request(method=request.method, target=request.url.raw_path, headers=headers)
        )
        # h11 writes HTTP/1.1 alone
        sent = (head or b"").replace(b" HTTP/1.1\r\n", b" HTTP/" + version + b"\r\n", 1)
        if request.content:
            sent += self._state.send(h11.Data(data=request.content)) or b""
        sent += self._state.send(h11.EndOfMessage()) or b""
        await self._stream.send(sent)
        response, body = await self._read()
        names = {bytes(name) for name, _ in response.headers}
        if version == b"1.0" and b"transfer-encoding" in names:
            message = "a body in chunks for a client of HTTP/1.0"
            raise h11.RemoteProtocolError(message)
        if self._state.our_state is h11.DONE and self._state.their_state is h11.DONE:
            self._state.start_next_cycle()
        kept = [(name, value) for name, value in response.headers if name != b"transfer-encoding"]
        return httpx.Response(response.status_code, headers=kept, stream=httpx.ByteStream(body))

    async def _read(self) -> tuple[h11.Response, bytes]:
        response: h11.Response | None = None
        body = bytearray()
        while True:
            event = self._state.next_event()
            if event is h11.NEED_DATA:
                try:
                    self._state.receive_data(await self._stream.receive(_BLOCK))
                    self.has_response = True
                except anyio.EndOfStream:
                    self._state.receive_data(b"")
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > _LARGEST:
                    message = f"a body of more than {_LARGEST} bytes"
                    raise h11.RemoteProtocolError(message)
            elif isinstance(event, h11.EndOfMessage) and response is not None:
                return response, bytes(body)
            elif isinstance(event, h11.ConnectionClosed):
                raise anyio.EndOfStream
