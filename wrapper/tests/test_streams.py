"""The sockets of async connections: connecting to hosts of several addresses, encryption, and what breaks."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import anyio
import httpcore
import pytest
import trustme

from openrouter_rerank import streams
from openrouter_rerank.connections import _Clock
from openrouter_rerank.streams import AsyncNetwork
from openrouter_rerank.testing import answer, deaf, serving

AUTHORITY = trustme.CA()
REQUEST = b"POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Every test of this file runs on both kinds of event loop."""
    if request.param == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    return request.param


@pytest.fixture
def network() -> Generator[AsyncNetwork]:
    """Provide a network that is closed, and has closed its sockets, after the test."""
    made = AsyncNetwork()
    yield made
    made.close()
    assert not made._sockets


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def _client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def _refused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def _address(port: int, host: str = "127.0.0.1") -> Any:
    return (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))


@contextmanager
def _listening() -> Generator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def _resolves_to(monkeypatch: pytest.MonkeyPatch, *ports: int) -> None:
    async def resolve(host: str, port: int) -> list[Any]:
        return [_address(port) for port in ports]

    monkeypatch.setattr(streams, "_resolve", resolve)


# Addresses


async def test_the_next_address_is_tried_where_one_is_refused(
    network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host is reached over whichever of its addresses answers."""
    with _listening() as port:
        _resolves_to(monkeypatch, _refused(), _refused(), port)
        stream = await network.connect_tcp("host", 1, 5.0)
        assert stream.get_extra_info("socket").getpeername()[1] == port
        assert len(network._sockets) == 1


async def test_the_next_address_is_tried_beside_one_that_is_silent(
    network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dead first address does not keep a live second from being reached, and its socket is closed."""
    connect = streams._connect

    async def silent(candidate: socket.socket, target: Any) -> None:
        if target[1] == 1:
            await anyio.sleep_forever()
        await connect(candidate, target)

    monkeypatch.setattr(streams, "_connect", silent)
    with _listening() as port:
        _resolves_to(monkeypatch, 1, port)
        stream = await network.connect_tcp("host", 1, 60.0)
        assert stream.get_extra_info("socket").getpeername()[1] == port
        assert len(network._sockets) == 1


async def test_two_addresses_that_answer_at_once(
    network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is used, and the other closed."""
    both = anyio.Event()
    begun: list[Any] = []

    async def together(_: socket.socket, target: Any) -> None:
        begun.append(target)
        if len(begun) == 2:
            both.set()
        with anyio.CancelScope(shield=True):
            await both.wait()

    monkeypatch.setattr(streams, "_connect", together)
    _resolves_to(monkeypatch, 1, 2)
    await network.connect_tcp("host", 1, 60.0)
    assert len(network._sockets) == 1


async def test_no_address_answers(network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error has what each of them said."""
    _resolves_to(monkeypatch, _refused())
    with pytest.raises(httpcore.ConnectError, match="refused") as caught:
        await network.connect_tcp("host", 1, 5.0)
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    _resolves_to(monkeypatch, _refused(), _refused())
    with pytest.raises(httpcore.ConnectError, match="refused") as caught:
        await network.connect_tcp("host", 1, 5.0)
    assert isinstance(caught.value.__cause__, OSError)
    assert isinstance(caught.value.__cause__.__cause__, ExceptionGroup)


async def test_an_address_that_is_refused_at_once(network: AsyncNetwork) -> None:
    """A connection that the system cannot begin is not waited for."""
    with pytest.raises(httpcore.ConnectError):
        await network.connect_tcp("255.255.255.255", 1, 60.0)


async def test_names_are_resolved(network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name's addresses alternate between the families; one that there is not is a failed connection."""
    found = [
        (socket.AF_INET6, 1, 6, "", ("::1", 1)),
        (socket.AF_INET6, 1, 6, "", ("::2", 1)),
        (socket.AF_INET, 1, 6, "", ("1", 1)),
    ]

    async def getaddrinfo(host: str, *_: Any, **__: Any) -> list[Any]:
        if host == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return found

    monkeypatch.setattr(anyio, "getaddrinfo", getaddrinfo)
    assert await streams._resolve("host", 1) == [found[0], found[2], found[1]]
    assert (await streams._resolve("127.0.0.1", 7))[0][4] == ("127.0.0.1", 7)
    with pytest.raises(httpcore.ConnectError, match="not known") as caught:
        await network.connect_tcp("unknown", 1, 5.0)
    assert isinstance(caught.value.__cause__, socket.gaierror)


async def test_where_it_comes_from(network: AsyncNetwork) -> None:
    """A local address and options of sockets are used as httpcore gives them."""
    with _listening() as port:
        options = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
        stream = await network.connect_tcp("127.0.0.1", port, None, "127.0.0.1", options)
        connected = stream.get_extra_info("socket")
        assert connected.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert stream.get_extra_info("anything else") is None
        assert stream.get_extra_info("ssl_object") is None


async def test_an_address_to_come_from_that_is_not_ours(network: AsyncNetwork) -> None:
    """A socket that cannot be bound is closed, and the error is that of a connection."""
    with _listening() as port, pytest.raises(httpcore.ConnectError):
        await network.connect_tcp("127.0.0.1", port, None, "192.0.2.1")


async def test_a_host_that_says_nothing(network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is bounded, and its socket closed."""

    async def silent(*_: Any) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(streams, "_connect", silent)
    with pytest.raises(httpcore.ConnectTimeout):
        await network.connect_tcp("127.0.0.1", 1, 0.01)
    assert not network._sockets


# Bytes


async def test_bytes_there_and_back(network: AsyncNetwork) -> None:
    """All is sent however much that is, and read to the end; whether there is more can be asked without reading it."""
    with _listening() as port, socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await network.connect_tcp("127.0.0.1", listener.getsockname()[1], 5.0)
        assert port
        other, _ = listener.accept()
        with other:
            assert not stream.get_extra_info("is_readable")
            received = bytearray()
            reader = threading.Thread(target=_read_all, args=(other, received))
            reader.start()
            await stream.write(b"x" * 2**23)
            await stream.write(b"")
            await stream._stream.send_eof()
            reader.join()
            assert len(received) == 2**23
            other.sendall(b"answer")
            assert await stream.read(3) == b"ans"
            assert stream.get_extra_info("is_readable")
            assert await stream.read(100) == b"wer"
        assert await stream.read(100) == b""
        await stream.aclose()
        assert stream.get_extra_info("is_readable"), "what is closed is not waited for"
        assert not network._sockets


def _read_all(connected: socket.socket, received: bytearray) -> None:
    while data := connected.recv(2**16):
        received += data


async def test_readiness_that_was_none(network: AsyncNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is said to be ready and is not is waited for again."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await network.connect_tcp("127.0.0.1", listener.getsockname()[1], 5.0)
        other, _ = listener.accept()
        with other:
            wait, waits = anyio.wait_readable, 0

            async def early(one: Any) -> None:
                nonlocal waits
                waits += 1
                if waits == 1:
                    return
                other.sendall(b"now")
                await wait(one)

            monkeypatch.setattr(anyio, "wait_readable", early)
            assert await stream.read(100) == b"now"
            assert waits == 2


async def test_a_connection_that_breaks(network: AsyncNetwork) -> None:
    """A fault of the other side is an error of httpcore's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await network.connect_tcp("127.0.0.1", listener.getsockname()[1], 5.0)
        other, _ = listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()  # a reset
        with pytest.raises(httpcore.ReadError):
            await stream.read(100)
        with pytest.raises(httpcore.WriteError):
            await stream.write(b"x")


def test_a_connection_that_breaks_for_threads() -> None:
    """The same for the connections of threads."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clock = _Clock()
        clock.end = time.monotonic() + 60
        stream = clock.connect_tcp("127.0.0.1", listener.getsockname()[1])
        other, _ = listener.accept()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        other.close()
        with pytest.raises(httpcore.ReadError):
            stream.read(100)
        with pytest.raises(httpcore.WriteError):
            stream.write(b"x")
        clock.close()


def test_a_server_that_does_not_read_for_threads() -> None:
    """A body that does not get through ends in time."""
    with deaf() as url:
        clock = _Clock()
        clock.end = time.monotonic() + 60
        stream = clock.connect_tcp("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
        clock.end = time.monotonic() + 0.2
        with pytest.raises(httpcore.WriteTimeout):
            while True:
                stream.write(bytes(2**20))
        clock.close()


async def test_a_server_that_never_stops_keeps_no_loop(network: AsyncNetwork) -> None:
    """While more data keeps arriving, other tasks run and a cancellation takes effect."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await network.connect_tcp("127.0.0.1", listener.getsockname()[1], 5.0)
        other, _ = listener.accept()

        def send() -> None:
            with other, suppress(OSError):
                while not stop.is_set():
                    other.sendall(b"x" * 2**16)

        sender = threading.Thread(target=send)
        sender.start()
        turns = 0

        async def count() -> None:
            nonlocal turns
            while turns < 50:
                turns += 1
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(count)
            while True:
                await stream.read(2**16)
        assert turns == 50
        stop.set()
        network.close()
        sender.join()


# Encryption


@contextmanager
def _encrypted_again(port: int) -> Generator[int]:
    """Provide a server that takes the outer encryption away, and passes on what it finds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with (
                plain,
                _server_context().wrap_socket(plain, server_side=True) as outer,
                socket.create_connection(("127.0.0.1", port)) as inner,
            ):
                back = threading.Thread(target=_pass_on, args=(inner, outer))
                back.start()
                _pass_on(outer, inner)
                with suppress(OSError):
                    inner.shutdown(socket.SHUT_RDWR)
                back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


def _pass_on(reading: socket.socket, writing: socket.socket) -> None:
    with suppress(OSError):
        while data := reading.recv(2**16):
            writing.sendall(data)


async def test_encryption_and_encryption_again(network: AsyncNetwork) -> None:
    """The tunnel through an encrypted proxy to an encrypted server."""
    with (
        serving(lambda _: iter([answer(200, b"there")]), tls=_server_context()) as server,
        _encrypted_again(int(server.url.split(":")[2].partition("/")[0])) as port,
    ):
        stream = await network.connect_tcp("127.0.0.1", port, 5.0)
        for _ in range(2):
            stream = await stream.start_tls(_client_context(), "localhost", 5.0)
            assert stream.get_extra_info("ssl_object").version() is not None
        await stream.write(REQUEST)
        assert (await stream.read(2**16)).endswith(b"there")
        await stream.aclose()
        assert not network._sockets


def test_encryption_and_encryption_again_for_threads() -> None:
    """The same for the connections of threads."""
    with (
        serving(lambda _: iter([answer(200, b"there")]), tls=_server_context()) as server,
        _encrypted_again(int(server.url.split(":")[2].partition("/")[0])) as port,
    ):
        clock = _Clock()
        clock.close()  # nothing yet
        clock.end = time.monotonic() + 60
        stream = clock.connect_tcp("127.0.0.1", port)
        for _ in range(2):
            stream = stream.start_tls(_client_context(), "localhost", 5.0)
            assert stream.get_extra_info("ssl_object") is not None
        stream.write(REQUEST)
        assert stream.read(2**16).endswith(b"there")
        clock.close()


@contextmanager
def _sending_records(number: int) -> Generator[int]:
    """Provide a TLS server that sends so many records, each of one byte, by one system call."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
            encrypted = _server_context().wrap_bio(received, sent, server_side=True)
            with connection:
                while True:
                    try:
                        encrypted.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        connection.sendall(sent.read())
                        received.write(connection.recv(2**16))
                for _ in range(number):
                    encrypted.write(b"x")
                connection.sendall(sent.read())
                with suppress(OSError):  # reset, if the client did not read all of it
                    connection.recv(2**16)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join()


@contextmanager
def _in_layers(number: int, layers: int) -> Generator[int]:
    """Provide the same within so many layers of TLS."""
    with ExitStack() as stack:
        port = stack.enter_context(_sending_records(number))
        yield port if layers == 1 else stack.enter_context(_encrypted_again(port))


in_layers = pytest.mark.parametrize(("number", "layers"), [(1, 1), (2, 1), (1, 2), (2, 2)])


@in_layers
async def test_a_record_behind_the_one_that_was_read(number: int, layers: int, network: AsyncNetwork) -> None:
    """The connection is readable while a record is left, also if the socket is empty."""
    with _in_layers(number, layers) as port:
        stream = await network.connect_tcp("127.0.0.1", port, 60.0)
        for _ in range(layers):
            stream = await stream.start_tls(_client_context(), "localhost", 60.0)
        first = await stream.read(2**16)
        is_readable = stream.get_extra_info("is_readable")
        await stream.aclose()
    assert (first, is_readable) == (b"x", number > 1)


@in_layers
def test_a_record_behind_the_one_that_was_read_for_threads(number: int, layers: int) -> None:
    """The same for the connections of threads."""
    with _in_layers(number, layers) as port:
        clock = _Clock()
        clock.end = time.monotonic() + 60
        stream = clock.connect_tcp("127.0.0.1", port)
        for _ in range(layers):
            stream = stream.start_tls(_client_context(), "localhost", 60.0)
        first = stream.read(2**16)
        is_readable = stream.get_extra_info("is_readable")
        clock.close()
    assert (first, is_readable) == (b"x", number > 1)


async def test_a_handshake_that_fails(network: AsyncNetwork) -> None:
    """A certificate that is not trusted, and a server that speaks no TLS, are failed connections."""
    with serving(lambda _: iter([b""]), tls=_server_context()) as server:
        stream = await network.connect_tcp("127.0.0.1", int(server.url.split(":")[2].partition("/")[0]), 5.0)
        with pytest.raises(httpcore.ConnectError) as caught:
            await stream.start_tls(ssl.create_default_context(), "localhost", 5.0)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        network.close()
    with deaf() as url:
        stream = await network.connect_tcp("127.0.0.1", int(url.split(":")[2].partition("/")[0]), 5.0)
        with pytest.raises(httpcore.ConnectTimeout):
            await stream.start_tls(_client_context(), "localhost", 0.05)
        network.close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await network.connect_tcp("127.0.0.1", listener.getsockname()[1], 5.0)
        listener.accept()[0].close()
        with pytest.raises(httpcore.ConnectError):
            await stream.start_tls(_client_context(), "localhost", 5.0)


def test_a_handshake_that_ends_late_for_threads() -> None:
    """A server that takes no part in it is given up in time, and its socket closed."""
    with deaf() as url:
        clock = _Clock()
        clock.end = time.monotonic() + 60
        stream = clock.connect_tcp("127.0.0.1", int(url.split(":")[2].partition("/")[0]))
        clock.end = time.monotonic() + 0.2
        with pytest.raises(httpcore.ConnectTimeout):
            stream.start_tls(_client_context(), "localhost")
        assert clock._socket.fileno() == -1


def test_closing_needs_no_loop() -> None:
    """The sockets of a loop that is gone are closed from anywhere."""
    with _listening() as port:
        network = AsyncNetwork()
        asyncio.run(network.connect_tcp("127.0.0.1", port, 5.0))
        (connected,) = network._sockets
        thread = threading.Thread(target=network.close)
        thread.start()
        thread.join()
        assert connected.fileno() == -1
