"""TCP and TLS streams for asyncio and trio, on sockets that can be closed without their event loop."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable
from contextlib import suppress
from errno import EINPROGRESS, EWOULDBLOCK
from typing import Any, cast

import anyio
import httpcore
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from openrouter_rerank.network import interleave

# Seconds before the next address is tried beside the one before it, as in anyio and trio.
_STAGGER = 0.25
# The bytes that are encrypted at once.
_WRITE = 65536
# EWOULDBLOCK is the code on Windows.
_UNDER_WAY = (EINPROGRESS, EWOULDBLOCK)
# A broken connection; ssl.SSLError is an OSError.
_BROKEN = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream)


class AsyncNetwork(httpcore.AsyncNetworkBackend):
    """The network of one connection pool. `close` closes all its sockets, from any thread and without I/O.

    A socket of asyncio belongs to a transport of one event loop. Closing it needs that loop, and in a forked process it would
    change what the parent's loop waits for.
    """

    def __init__(self) -> None:
        self._sockets: set[socket.socket] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to the first address of the host that answers (happy eyeballs, RFC 8305)."""
        options = [*(socket_options or ()), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
        try:
            with anyio.fail_after(timeout):
                connected = await self._connect(await _resolve(host, port), local_address, options)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore.ConnectError(error) from error
        plain = _TaskSocket(connected, self)
        return _TaskStream(plain, plain)

    def close(self) -> None:
        """Close every socket that is open."""
        while self._sockets:
            self.drop(self._sockets.pop())

    def drop(self, connected: socket.socket) -> None:
        """Close the socket."""
        self._sockets.discard(connected)
        with suppress(OSError):
            connected.close()

    async def _connect(
        self, addresses: Iterable[Any], local_address: str | None, options: Iterable[Any]
    ) -> socket.socket:
        connected: list[socket.socket] = []
        errors: list[OSError] = []
        async with anyio.create_task_group() as attempts:

            async def attempt(address: Any, ended: anyio.Event) -> None:
                try:
                    candidate = await self._attempt(address, local_address, options)
                except OSError as error:
                    errors.append(error)
                    ended.set()
                    return
                connected.append(candidate)
                attempts.cancel_scope.cancel()

            for address in addresses:
                ended = anyio.Event()
                attempts.start_soon(attempt, address, ended)
                with anyio.move_on_after(_STAGGER):
                    await ended.wait()
        for other in connected[1:]:
            self.drop(other)
        if connected:
            return connected[0]
        if len(errors) == 1:
            raise errors[0]
        message = "; ".join(dict.fromkeys(map(str, errors)))
        raise OSError(message) from ExceptionGroup(
            f"none of {len(errors)} addresses takes a connection", errors
        )

    async def _attempt(
        self, address: Any, local_address: str | None, options: Iterable[Any]
    ) -> socket.socket:
        family, kind, protocol, _, target = address
        candidate = socket.socket(family, kind, protocol)
        self._sockets.add(candidate)
        try:
            candidate.setblocking(False)  # noqa: FBT003 - no keyword
            for option in options:
                candidate.setsockopt(*option)
            if local_address is not None:
                candidate.bind((local_address, 0))
            await _connect(candidate, target)
        except BaseException:
            self.drop(candidate)
            raise
        return candidate


async def _connect(candidate: socket.socket, target: Any) -> None:
    code = candidate.connect_ex(target)
    if code in _UNDER_WAY:
        await anyio.wait_writable(candidate)
        code = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


async def _resolve(host: str, port: int) -> list[Any]:
    """Return the addresses of the host, with alternating families, as one family may be unreachable."""
    try:  # an address needs neither a resolver nor a thread
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return interleave(await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM))


def has_record(encrypted: ssl.SSLObject) -> bool:
    """Return True if a record that was received with an earlier one holds data, or the end, and was not read yet."""
    try:
        encrypted.read(1)
    except ssl.SSLError as error:
        return not isinstance(error, ssl.SSLWantReadError)
    return True


class _TaskSocket(ByteStream):
    """A connected socket as a stream of bytes."""

    def __init__(self, connected: socket.socket, network: AsyncNetwork) -> None:
        self.broken: OSError | None = None
        """The error of a send. It is not raised, as TLSStream reads nothing after one, and the server may have responded."""
        self.socket = connected
        self._network = network

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while True:
            # Wait also if data is available: otherwise an endless response would block the event loop.
            await anyio.wait_readable(self.socket)
            with suppress(BlockingIOError):
                data = self.socket.recv(max_bytes)
                if not data:
                    raise anyio.EndOfStream
                return data

    async def send(self, item: bytes) -> None:
        rest = memoryview(item)
        while rest and self.broken is None:
            try:
                rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self.socket)
            except OSError as error:
                self.broken = error

    async def send_eof(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        self._network.drop(self.socket)


class _TaskStream(httpcore.AsyncNetworkStream):
    """A connection, plain or encrypted. It ignores timeouts, as the whole attempt is cancelled."""

    def __init__(self, stream: _TaskSocket | TLSStream, plain: _TaskSocket) -> None:
        self._stream = stream
        self._plain = plain

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002, ASYNC109
        """Receive some bytes; b"" at the end."""
        try:
            return await self._stream.receive(max_bytes)
        except anyio.EndOfStream:
            return b""
        except _BROKEN as error:
            raise httpcore.ReadError(error) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002, ASYNC109
        """Send all of it."""
        try:
            for start in range(0, len(buffer), _WRITE):
                await self._stream.send(buffer[start : start + _WRITE])
                if self._plain.broken is not None:
                    raise self._plain.broken
        except _BROKEN as error:
            raise httpcore.WriteError(error) from error

    async def aclose(self) -> None:
        """Close the socket without a TLS closure."""
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own
    ) -> httpcore.AsyncNetworkStream:
        """Encrypt the connection, also if it is encrypted already."""
        try:
            with anyio.fail_after(timeout):
                encrypted = await TLSStream.wrap(
                    self._stream,
                    server_side=False,
                    hostname=server_hostname,
                    ssl_context=ssl_context,
                    standard_compatible=False,
                )
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error) from error
        except _BROKEN as error:
            raise httpcore.ConnectError(error) from error
        return _TaskStream(encrypted, self._plain)

    def get_extra_info(self, info: str) -> Any:
        """Return the information that httpcore asks for: the TLS object, the socket, or True if the connection is readable."""
        match info:
            case "ssl_object":
                return self._stream.extra(TLSAttribute.ssl_object, None)  # noqa: S610 - this is not Django
            case "is_readable":
                return self._is_readable()
            case "socket":
                return self._plain.socket
            case _:
                return None

    def _is_readable(self) -> bool:
        stream = self._stream
        while isinstance(stream, TLSStream):
            if has_record(stream.extra(TLSAttribute.ssl_object)):  # noqa: S610 - this is not Django
                return True
            stream = cast("_TaskSocket | TLSStream", stream.transport_stream)
        try:
            self._plain.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True
