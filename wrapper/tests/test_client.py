"""The shells at work: injected clients, closing, threads, tasks, event loops, proxies, cancellation, the local mode."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpcore
import httpx
import pytest
import trustme

from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
    InvalidResponseError,
    Ranking,
    Reranker,
    Retries,
    ServerError,
)
from openrouter_rerank.connections import _Clock
from openrouter_rerank.testing import Request, Script, Server, answer, deaf, faulty, honest, results, serving
from shells import KEY, LONG, QUICK, SOON, TIMEOUTS, Shell

AUTHORITY = trustme.CA()


def well(request: Request) -> Script:
    """Return a server without a fault."""
    yield honest(request)


def stalling(request: Request) -> Script:
    """Return a server that never answers its first request, and each other at once."""
    while request.number == 1:
        yield 1.0
    yield honest(request)


def _asked(server: Server) -> bool:
    return bool(server.requests)


def good(_: httpx.Request) -> httpx.Response:
    """Return a ranking of one document."""
    return httpx.Response(200, json=results((0, 0.5)))


# Injected clients


def test_an_injected_client_is_used_and_stays_open() -> None:
    """Its transport and its own headers serve the request; ours win over them; it is its owner's to close."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return good(request)

    headers = {"X-Mine": "1", "User-Agent": "mine", "Authorization": "mine"}
    with httpx.Client(transport=httpx.MockTransport(handler), headers=headers) as client:
        with Reranker(KEY, http_client=client) as reranker:
            reranker.rerank("q", ["a"])

        assert not client.is_closed
        assert seen[0].headers["x-mine"] == "1"
        assert seen[0].headers["user-agent"].startswith("openrouter-rerank/")
        assert seen[0].headers["authorization"] == f"Bearer {KEY}"


async def test_an_injected_async_client_is_used_and_stays_open() -> None:
    """As the sync one."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(good)) as client:
        async with AsyncReranker(KEY, http_client=client) as reranker:
            assert (await reranker.rerank("q", ["a"])).indices == [0]

        assert not client.is_closed


def test_the_auth_of_an_injected_client() -> None:
    """With an empty key, the client's own way to authenticate is left alone."""

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"].startswith("Basic ")
        return good(request)

    with httpx.Client(transport=httpx.MockTransport(handler), auth=("user", "password")) as client:
        assert Reranker("", http_client=client).rerank("q", ["a"]).indices == [0]


def test_injected_clients_over_the_network(shell: Shell) -> None:
    """An injected client with a transport of its own ranks over the network like ours, a compressed answer too."""
    for fault in ("gzip_honest", "unsorted"):
        with faulty(fault) as server:
            if shell.name == "sync":
                with httpx.Client() as client:
                    ranking = Reranker(KEY, base_url=server.url, http_client=client).rerank(
                        "q", ["a", "b", "c"]
                    )
            else:
                ranking = asyncio.run(_through_an_async_client(server.url))
        assert ranking.indices == [2, 1, 0]


async def _through_an_async_client(url: str) -> Ranking[str]:
    async with httpx.AsyncClient() as client:
        return await AsyncReranker(KEY, base_url=url, http_client=client).rerank("q", ["a", "b", "c"])


@pytest.mark.parametrize("fault", ["gzip_honest", "unsorted"])
def test_hooks_that_read_the_answer(fault: str, shell: Shell) -> None:
    """A hook of an injected client may read the answer, to log it say, before it is ranked by."""
    read: list[bytes] = []

    def hook(response: httpx.Response) -> None:
        read.append(response.read())

    async def ahook(response: httpx.Response) -> None:
        read.append(await response.aread())

    async def ask(url: str) -> Ranking[str]:
        async with httpx.AsyncClient(event_hooks={"response": [ahook]}) as client:
            reranker = AsyncReranker(KEY, base_url=url, timeout=LONG, http_client=client)
            return await reranker.rerank("q", ["a", "b", "c"])

    with faulty(fault) as server:
        if shell.name == "sync":
            with httpx.Client(event_hooks={"response": [hook]}) as client:
                reranker = Reranker(KEY, base_url=server.url, timeout=LONG, http_client=client)
                ranking = reranker.rerank("q", ["a", "b", "c"])
        else:
            ranking = asyncio.run(ask(server.url))

    assert b"results" in read[0]
    assert ranking.indices == [2, 1, 0]


@pytest.mark.parametrize("fault", ["trickling_body", "stalls_in_body", "silent", "endless_body", "zip_bomb"])
def test_faults_through_an_injected_client(fault: str, shell: Shell) -> None:
    """Time and size are bounded through an injected client too, as far as its transport lets go."""
    kind = InvalidResponseError if fault in ("endless_body", "zip_bomb") else APITimeoutError

    async def ask(url: str, seconds: float) -> None:
        async with httpx.AsyncClient() as client:
            await AsyncReranker(KEY, base_url=url, timeout=seconds, http_client=client).rerank("q", ["a"])

    for timeout in (LONG,) if kind is InvalidResponseError else TIMEOUTS:
        with faulty(fault) as server:
            began = time.monotonic()
            with pytest.raises(kind) as caught:
                if shell.name == "sync":
                    with httpx.Client() as client:
                        reranker = Reranker(KEY, base_url=server.url, timeout=timeout, http_client=client)
                        reranker.rerank("q", ["a"])
                else:
                    asyncio.run(ask(server.url, timeout))

            assert kind is InvalidResponseError or time.monotonic() - began < timeout + SOON
        if len(server.requests) == len(caught.value.attempts):  # it was sent in time
            break

    assert len(server.requests) == 1


@pytest.mark.parametrize(("kind", "client"), [(Reranker, httpx.AsyncClient), (AsyncReranker, httpx.Client)])
def test_the_other_twins_client(kind: type[Any], client: type[Any]) -> None:
    """A sync client for the async shell, or the other way round, is told at once, with the one to pass."""
    with pytest.raises(TypeError, match=r"http_client.*httpx\.(Async)?Client"):
        kind(KEY, http_client=client(transport=httpx.MockTransport(good)))


@pytest.mark.parametrize("client", ["https://proxy.example", 5, object()])
@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_no_client_at_all(kind: type[Any], client: object) -> None:
    """An object that cannot send is refused as http client."""
    with pytest.raises(TypeError, match="http_client"):
        kind(KEY, http_client=client)


class Bare:
    """All that is asked of an injected client, and a class that is nobody's."""

    def __init__(self) -> None:
        self._client = httpx.Client(transport=httpx.MockTransport(good))

    def build_request(self, *arguments: Any, **options: Any) -> httpx.Request:
        """Return a request."""
        return self._client.build_request(*arguments, **options)

    def send(self, *arguments: Any, **options: Any) -> httpx.Response:
        """Return the answer to it."""
        return self._client.send(*arguments, **options)


def test_a_client_is_taken_by_what_it_can_do() -> None:
    """Nothing but `build_request` and `send` is asked of it."""
    assert Reranker(KEY, http_client=Bare()).rerank("q", ["a"]).indices == [0]


# httpx2, to which parts of the field have moved


def test_httpx2() -> None:
    """A client of httpx2 can be injected, and what it raises is the cause of an error of ours."""
    httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed")

    with serving(well) as server, httpx2.Client() as client:
        ranking = Reranker(KEY, base_url=server.url, http_client=client).rerank("q", ["a", "b", "c"])
        assert ranking.indices == [2, 1, 0]
        assert ranking.headers["Content-Type"] == "application/json"
    with httpx2.Client() as client:
        with pytest.raises(APIConnectionError) as caught:
            Reranker(KEY, base_url=server.url, http_client=client, retries=QUICK).rerank("q", ["a"])
        assert isinstance(caught.value.__cause__, httpx2.ConnectError)
        assert len(caught.value.attempts) == 3
    with faulty("silent") as server, httpx2.Client() as client, pytest.raises(APITimeoutError):
        Reranker(KEY, base_url=server.url, http_client=client, timeout=0.4).rerank("q", ["a"])


async def test_httpx2_async() -> None:
    """An async client of httpx2 likewise."""
    httpx2 = pytest.importorskip("httpx2", reason="httpx2 is not installed")

    with serving(well) as server:
        async with httpx2.AsyncClient() as client:
            reranker = AsyncReranker(KEY, base_url=server.url, http_client=client, retries=QUICK)
            assert (await reranker.rerank("q", ["a", "b", "c"])).indices == [2, 1, 0]
    async with httpx2.AsyncClient() as client:
        reranker = AsyncReranker(KEY, base_url=server.url, http_client=client, retries=QUICK)
        with pytest.raises(APIConnectionError) as caught:
            await reranker.rerank("q", ["a"])
        assert isinstance(caught.value.__cause__, httpx2.ConnectError)


# Closing


def test_after_close() -> None:
    """A reranker that is closed says so; to close it twice is nothing."""
    with serving(well) as server:
        with Reranker(KEY, base_url=server.url) as reranker:
            reranker.rerank("q", ["a"])
        reranker.close()

        with pytest.raises(RuntimeError, match="closed"):
            reranker.rerank("q", ["a"])
        assert len(server.requests) == 1


async def test_after_aclose() -> None:
    """The async one likewise."""
    with serving(well) as server:
        async with AsyncReranker(KEY, base_url=server.url) as reranker:
            await reranker.rerank("q", ["a"])
        await reranker.aclose()

        with pytest.raises(RuntimeError, match="closed"):
            await reranker.rerank("q", ["a"])
        assert len(server.requests) == 1


def test_closing_hangs_up(shell: Shell) -> None:
    """A reranker that is closed leaves no connection open."""
    with serving(well) as server:
        with shell.open(base_url=server.url) as rank:
            rank("q", ["a"])
            assert server.held == 1

        assert server.wait_until(lambda server: server.held == 0)


def test_closing_while_a_call_is_under_way(shell: Shell) -> None:
    """The call comes to its end, and its connection is closed after it."""
    release = threading.Event()

    def until_released(request: Request) -> Script:
        while not release.is_set():
            yield 0.02
        yield honest(request)

    async def main(url: str) -> Ranking[str]:
        reranker = AsyncReranker(KEY, base_url=url)
        running = asyncio.create_task(reranker.rerank("q", ["a"]))
        assert await anyio.to_thread.run_sync(server.wait_until, _asked)
        await reranker.aclose()
        release.set()
        return await running

    with serving(until_released) as server:
        if shell.name == "sync":
            with ThreadPoolExecutor(1) as pool:
                with Reranker(KEY, base_url=server.url) as reranker:
                    running = pool.submit(reranker.rerank, "q", ["a"])
                    assert server.wait_until(_asked)
                release.set()
                ranking = running.result()
        else:
            ranking = asyncio.run(main(server.url))

        assert ranking.indices == [0]
        assert server.wait_until(lambda server: server.held == 0)


def test_an_error_in_the_block_passes_through() -> None:
    """`with` closes and swallows nothing."""
    with pytest.raises(KeyError, match="mine"), Reranker(KEY):
        raise KeyError("mine")


async def test_an_error_in_the_async_block_passes_through() -> None:
    """`async with` likewise."""
    with pytest.raises(KeyError, match="mine"):
        async with AsyncReranker(KEY):
            raise KeyError("mine")


# One reranker, many users


def test_connections_are_kept(shell: Shell) -> None:
    """Calls one after the other share a connection; one that the server closed meanwhile is replaced unseen."""
    with serving(well) as server, shell.open(base_url=server.url) as rank:
        for _ in range(5):
            rank("q", ["a"])
        assert (len(server.requests), server.connections) == (5, 1)

    with faulty("dropped_while_idle") as server, shell.open(base_url=server.url) as rank:
        for _ in range(5):
            assert server.wait_until(lambda server: server.held == 0)
            assert len(rank("q", ["a"]).attempts) == 1
        assert len(server.requests) == 5


def _own_answer(request: Request) -> Script:
    """Rank last to first, and give the number in the query as the score of the first."""
    documents = request.json["documents"]
    pairs = [
        (index, float(request.json["query"]) - place)
        for place, index in enumerate(range(len(documents) - 1, -1, -1))
    ]
    yield answer(200, results(*pairs))


def test_threads() -> None:
    """Threads share a reranker, and each gets its own answer."""

    def ask(number: int) -> tuple[float, list[str]]:
        documents = [f"{number}.{index}" for index in range(number % 7 + 1)]
        ranking = reranker.rerank(str(number), documents)
        return ranking.scores[0], ranking.documents

    with (
        serving(_own_answer) as server,
        Reranker(KEY, base_url=server.url) as reranker,
        ThreadPoolExecutor(16) as pool,
    ):
        found = list(pool.map(ask, range(200)))

    for number, (score, documents) in enumerate(found):
        assert score == number
        assert documents == [f"{number}.{index}" for index in range(number % 7, -1, -1)]
    assert server.connections <= 16


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_tasks(backend: str) -> None:
    """Tasks share a reranker, and each gets its own answer, more at a time than there are connections."""
    if backend == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    found: dict[int, float] = {}

    async def ask(reranker: AsyncReranker, number: int) -> None:
        found[number] = (await reranker.rerank(str(number), ["a", "b"])).scores[0]

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker, anyio.create_task_group() as tasks:
            for number in range(150):
                tasks.start_soon(ask, reranker, number)

    with serving(_own_answer) as server:
        anyio.run(main, server.url, backend=backend)

    assert found == {number: number for number in range(150)}


def test_waiting_for_a_connection_is_bounded() -> None:
    """If all connections are in use for longer than the timeout, the call times out and can be retried."""
    release = threading.Event()

    def until_released(request: Request) -> Script:
        while not release.is_set():
            yield 0.05
        yield honest(request)

    with (
        serving(until_released) as server,
        Reranker(
            KEY, base_url=server.url, timeout=LONG, deadline=LONG, retries=Retries(attempts=1)
        ) as reranker,
        ThreadPoolExecutor(100) as pool,
    ):
        running = [pool.submit(reranker.rerank, "q", ["a"]) for _ in range(100)]
        assert server.wait_until(lambda server: len(server.requests) == 100)
        with pytest.raises(APITimeoutError, match="no connection") as caught:
            reranker.rerank("q", ["a"], timeout=0.2)
        release.set()

        assert caught.value.retryable
        assert all(future.result().indices == [0] for future in running)


# Cancellation


async def test_cancelled_by_the_caller() -> None:
    """A caller's own timeout is the caller's, and leaves the reranker usable."""
    with serving(stalling) as server:
        async with AsyncReranker(KEY, base_url=server.url) as reranker:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(SOON) as timeout, anyio.create_task_group() as group:

                    async def up_once_asked() -> None:
                        assert await anyio.to_thread.run_sync(server.wait_until, _asked)
                        timeout.reschedule(0)

                    group.start_soon(up_once_asked)
                    await reranker.rerank("q", ["a", "b", "c"])

            assert (await reranker.rerank("q", ["a", "b", "c"])).indices == [2, 1, 0]


async def test_a_task_that_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancelled call ends in CancelledError, also while it waits between attempts."""
    waits = asyncio.Event()

    async def wait(_: AsyncReranker, seconds: float) -> None:
        assert seconds == 20
        waits.set()
        await asyncio.sleep(LONG)

    monkeypatch.setattr(AsyncReranker, "_sleep", wait)

    def failing(_: Request) -> Script:
        yield answer(503, headers={"Retry-After": "20"})

    with serving(failing) as server:
        async with AsyncReranker(KEY, base_url=server.url) as reranker:
            task = asyncio.create_task(reranker.rerank("q", ["a"]))
            async with asyncio.timeout(SOON):
                await waits.wait()
            task.cancel()

            with pytest.raises(asyncio.CancelledError):
                await task
            assert len(server.requests) == 1


def test_a_slow_answer_blocks_no_other(any_shell: Shell) -> None:
    """While one call waits, another one is served."""
    release = threading.Event()

    def first_is_held(request: Request) -> Script:
        while request.number == 1 and not release.is_set():
            yield 0.02
        yield honest(request)

    if any_shell.name == "sync":
        with (
            serving(first_is_held) as server,
            Reranker(KEY, base_url=server.url, timeout=LONG) as reranker,
            ThreadPoolExecutor(1) as pool,
        ):
            slow = pool.submit(reranker.rerank, "q", ["a"])
            assert server.wait_until(_asked)
            assert reranker.rerank("q", ["a"]).indices == [0]
            assert not slow.done()
            release.set()
            assert slow.result().indices == [0]
        return

    async def main(url: str) -> None:
        ended: list[Ranking[str]] = []
        async with (
            AsyncReranker(KEY, base_url=url, timeout=LONG) as reranker,
            anyio.create_task_group() as tasks,
        ):

            async def slow() -> None:
                ended.append(await reranker.rerank("q", ["a"]))

            tasks.start_soon(slow)
            assert await anyio.to_thread.run_sync(server.wait_until, _asked)
            assert (await reranker.rerank("q", ["a"])).indices == [0]
            assert not ended
            release.set()
        assert ended[0].indices == [0]

    with serving(first_is_held) as server:
        anyio.run(main, server.url, backend=any_shell.name)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_request_that_is_cut_leaves_nothing_to_be_collected(backend: str) -> None:
    """A call whose time is up, or that is cancelled, while it sends its content leaves no async generator behind."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url, timeout=LONG) as reranker:
            with pytest.raises(APITimeoutError):
                await reranker.rerank("q", ["x" * 2**25], timeout=TIMEOUTS[0])
            with anyio.move_on_after(TIMEOUTS[0]):
                await reranker.rerank("q", ["x" * 2**25])
        gc.collect()
        await anyio.lowlevel.checkpoint()  # in which trio warns of what was collected

    with deaf() as url:
        anyio.run(main, url, backend=backend)


# Proxies


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_of_the_environment(name: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """An http address is asked for through the environment's proxy."""
    with serving(well) as proxy:
        monkeypatch.setenv(name, proxy.url.removesuffix("/api/v1"))
        ranking = shell.rank(base_url="http://rerank.invalid/api/v1")

    assert ranking.indices == [2, 1, 0]
    assert proxy.requests[0].target == "http://rerank.invalid/api/v1/rerank"
    assert proxy.requests[0].headers["host"] == "rerank.invalid"


def test_the_password_of_a_proxy(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name and a password in the proxy's address go to the proxy."""
    with serving(well) as proxy:
        address = proxy.url.removesuffix("/api/v1").removeprefix("http://")
        monkeypatch.setenv("HTTP_PROXY", f"http://user:p%40ss@{address}")
        shell.rank(base_url="http://rerank.invalid/api/v1")

    assert proxy.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


def test_an_https_address_is_tunnelled(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """An https address is asked for by CONNECT, without the key; a proxy that refuses is a failed connection."""

    def refuse(_: Request) -> Script:
        yield answer(403, b"", "text/plain")

    with serving(refuse) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/api/v1"))
        with pytest.raises(APIConnectionError, match="proxy"):
            shell.rank(base_url="https://rerank.invalid/api/v1")

    assert {(request.method, request.target) for request in proxy.requests} == {
        ("CONNECT", "rerank.invalid:443")
    }
    assert not any("authorization" in request.headers for request in proxy.requests)


@pytest.mark.parametrize("value", ["127.0.0.1", "localhost,127.0.0.1", "*"])
def test_no_proxy(value: str, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hosts in NO_PROXY are reached directly."""
    with faulty("status_500_forever") as proxy, serving(well) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/api/v1"))
        monkeypatch.setenv("NO_PROXY", value)

        assert shell.rank(base_url=server.url).indices == [2, 1, 0]
    assert proxy.connections == 0


# Addresses


@pytest.fixture
def tls() -> ssl.SSLContext:
    """Serve TLS with a certificate of our own authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_tls(shell: Shell, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A certificate that SSL_CERT_FILE vouches for is trusted, and calls share the encrypted connection."""
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))

    with serving(well, tls=tls) as server, shell.open(base_url=server.url) as rank:
        for _ in range(2):
            assert rank("q", ["a", "b", "c"]).indices == [2, 1, 0]

    assert server.url.startswith("https://")
    assert server.connections == 1


def test_tls_that_is_not_trusted(shell: Shell, tls: ssl.SSLContext) -> None:
    """Any other certificate of one's own is refused before the key is sent, once, with a word on what to do."""
    with serving(well, tls=tls) as server, pytest.raises(APIConnectionError, match="SSL_CERT_FILE") as caught:
        shell.rank(base_url=server.url)

    assert (server.connections, server.requests) == (1, [])
    assert not caught.value.retryable


def test_tls_that_never_begins(shell: Shell) -> None:
    """A server that takes the connection and says nothing is given up in time."""
    with deaf() as url, pytest.raises(APITimeoutError):
        shell.rank(base_url=url.replace("http:", "https:"), timeout=0.4, retries=Retries(attempts=1))
    gc.collect()  # a warning of a socket that is left open comes here


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_handshake_that_is_cancelled_is_hung_up(backend: str) -> None:
    """A call that is cancelled while it shakes hands closes its connection at once, and leaves no socket to be collected."""

    def hears(listener: socket.socket) -> socket.socket:
        peer, _ = listener.accept()
        peer.settimeout(SOON)
        assert peer.recv(1)  # the handshake has begun
        return peer

    async def main(listener: socket.socket) -> None:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/api/v1"
        async with (
            AsyncReranker(KEY, base_url=url, timeout=LONG) as reranker,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(reranker.rerank, "q", ["a"])
            peer = await anyio.to_thread.run_sync(hears, listener)
            tasks.cancel_scope.cancel()
        with peer:
            while peer.recv(4096):
                pass

    gc.disable()
    try:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            anyio.run(main, listener, backend=backend)
    finally:
        gc.enable()
        gc.collect()  # likewise


def test_a_connection_whose_time_is_up_before_its_handshake_is_closed() -> None:
    """If connecting takes all the time, no handshake begins, and no socket is left open."""
    with serving(well) as server:
        port = int(server.url.split(":")[2].partition("/")[0])
        clock = _Clock()
        clock.end = time.monotonic() + 5
        stream = clock.connect_tcp("127.0.0.1", port)
        clock.end = time.monotonic() - 1
        with pytest.raises(httpcore.ConnectTimeout):
            stream.start_tls(ssl.create_default_context())
        assert stream.get_extra_info("socket").fileno() == -1


def test_ipv6(shell: Shell) -> None:
    """An address of the newer kind works, where the machine has one."""
    try:
        with serving(well, host="::1") as server:
            assert "[::1]" in server.url
            assert shell.rank(base_url=server.url).indices == [2, 1, 0]
            assert server.requests[0].headers["host"] == server.url.split("/")[2]
    except OSError as error:
        pytest.skip(f"there is no IPv6 loopback here: {error}")


def test_what_goes_over_the_wire(shell: Shell) -> None:
    """Method, path, query and headers arrive as they were decided, the length of the body with them."""
    with serving(well) as server:
        shell.rank(base_url=f"{server.url}?api-version=2", app_title="T", extra_headers={"X-A": "1"})

    (request,) = server.requests
    assert (request.method, request.target) == ("POST", "/api/v1/rerank?api-version=2")
    assert request.json == {"model": "cohere/rerank-v3.5", "query": "q", "documents": ["a", "b", "c"]}
    expected = {
        "host": server.url.split("/")[2],
        "authorization": f"Bearer {KEY}",
        "content-type": "application/json",
        "accept": "application/json",
        "x-openrouter-title": "T",
        "x-a": "1",
        "content-length": str(len(request.body)),
    }
    assert {name: request.headers.get(name) for name in expected} == expected


# The local mode


def test_local_mode(any_shell: Shell) -> None:
    """It ranks in this process, with no key, no network and the same arguments."""
    documents = [{"text": "Paris is the capital of France."}, {"text": "Berlin is the capital of Germany."}]

    def shout(query: str, texts: Any) -> list[float]:
        return [float(len(set(query.split()) & set(text.split()))) for text in texts]

    async def main() -> list[Ranking[Any]]:
        found: list[Ranking[Any]] = []
        for scorer in (None, "lexical", shout):
            async with AsyncReranker.local(scorer, top_n=1) as reranker:
                found.append(await reranker.rerank("capital Germany.", documents))
        return found

    if any_shell.name == "sync":
        found: list[Ranking[Any]] = []
        for scorer in (None, "lexical", shout):
            with Reranker.local(scorer, top_n=1) as reranker:
                found.append(reranker.rerank("capital Germany.", documents))
    else:
        found = anyio.run(main, backend=any_shell.name)

    for ranking in found:
        assert ranking.indices == [1]
        assert ranking[0].document is documents[1]
        assert ranking.response.results[0].document.text == "Berlin is the capital of Germany."


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_local_mode_says_what_is_wrong(kind: type[Any]) -> None:
    """A scorer that there is not is told at once, with those that there are."""
    with pytest.raises(ValueError, match="lexical"):
        kind.local("no-such-scorer")


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_local_mode_without_its_extra(kind: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, the message says what to install."""
    monkeypatch.setitem(sys.modules, "rerank_conformance.reference", None)

    with pytest.raises(ImportError, match=r"pip install 'openrouter-rerank\[local\]'"):
        kind.local()


def test_local_mode_shows_the_errors_of_a_scorer(shell: Shell) -> None:
    """A scorer that fails is a server that fails; a scorer of too few scores is one too."""

    def broken(_: str, __: Any) -> list[float]:
        raise RuntimeError("broken")

    async def main(scorer: Any) -> None:
        async with AsyncReranker.local(scorer, retries=Retries(attempts=1)) as reranker:
            await reranker.rerank("q", ["a"])

    for scorer in (broken, lambda _, __: []):
        with pytest.raises(ServerError) as caught:
            if shell.name == "sync":
                with Reranker.local(scorer, retries=Retries(attempts=1)) as reranker:
                    reranker.rerank("q", ["a"])
            else:
                asyncio.run(main(scorer))
        assert caught.value.status == 500


# Streams that a transport makes


class Pieces(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body in pieces, which breaks in the middle if it is told to."""

    def __init__(self, pieces: list[bytes], breaks: Exception | None = None) -> None:
        self._pieces = pieces
        self._breaks = breaks

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces
        if self._breaks:
            raise self._breaks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


def test_an_answer_in_pieces(shell: Shell) -> None:
    """An answer is assembled from pieces of any size."""
    whole = b'{"results":[{"index":2,"relevance_score":0.5}]}'
    pieces = [whole[place : place + 1] for place in range(len(whole))]

    assert shell.rank(lambda _: httpx.Response(200, stream=Pieces(pieces))).indices == [2]


def test_an_answer_that_breaks(shell: Shell) -> None:
    """An error in the middle of an answer is not retried: the work may have been billed."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, stream=Pieces([b"{"], httpx.ReadError("reset")))

    with pytest.raises(APIConnectionError, match="in the middle of its answer") as caught:
        shell.rank(handler)

    assert not caught.value.retryable
    assert len(seen) == 1


def test_both_shells_call_a_connection_that_never_comes_unsent(shell: Shell) -> None:
    """A handshake that hangs sent nothing, so that it is tried again by either shell."""
    with deaf() as url, pytest.raises(APITimeoutError, match="no connection") as caught:
        shell.rank(base_url=url.replace("http:", "https:"), timeout=0.3)

    assert len(caught.value.attempts) == 3


def test_a_scorer_that_fails_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The local mode says which scorer failed and how, at once; the traceback is in the log of debugging alone."""
    caplog.set_level(logging.DEBUG)

    def broken(query: str, texts: Any) -> list[float]:
        raise KeyError(query + texts[0])

    with (
        Reranker.local(broken) as reranker,
        pytest.raises(ServerError, match="local/broken failed with KeyError") as caught,
    ):
        reranker.rerank("q", ["a"])

    assert len(caught.value.attempts) == 1
    records = [record for record in caplog.records if record.name.startswith(("openrouter", "rerank"))]
    assert {record.levelname for record in records} == {"DEBUG"}
    assert [record.exc_info[0] for record in records if record.exc_info] == [KeyError]


async def test_closed_is_closed() -> None:
    """A closed reranker takes no call, whatever it sends through."""
    local, injected = Reranker.local(), Reranker("k", http_client=httpx.Client())
    for reranker in (local, injected, Reranker("k")):
        reranker.close()
        with pytest.raises(RuntimeError, match="closed"):
            reranker.rerank("q", [])
    twin = AsyncReranker.local()
    await twin.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await twin.rerank("q", ["a"])
