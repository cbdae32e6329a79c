"""Event loops one after the other, in turn, and beside each other: each has connections of its own, and leaves none behind."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from openrouter_rerank import AsyncReranker, RerankError
from openrouter_rerank.testing import Request, Script, Server, answer, results, serving
from shells import KEY


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of event loop."""
    if request.param == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    return request.param


def echo(request: Request) -> Script:
    """Return a ranking whose model is the query."""
    yield answer(200, results((0, 0.5)) | {"model": request.json["query"]})


def ask(reranker: AsyncReranker, query: str = "q") -> Callable[[], Any]:
    """Return a function that asks, and returns the model of the answer."""

    async def work() -> str | None:
        return (await reranker.rerank(query, ["d"])).model

    return work


def sockets(reranker: AsyncReranker) -> list[socket.socket]:
    """Those that are kept."""
    rooms = reranker._connections._rooms.values()
    return [one for room in rooms for lane in room.idle for one in lane.close.__self__._sockets]


def held(number: int) -> Callable[[Server], bool]:
    """Return True if no more connections are open at the server."""
    return lambda server: server.held <= number


def test_one_run_after_the_other(backend: str) -> None:
    """The connection of a run that is over is closed with the next one's first call at the latest."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        for number in range(5):
            assert anyio.run(ask(reranker, str(number)), backend=backend) == str(number)
            assert server.wait_until(held(1))
        anyio.run(reranker.aclose, backend=backend)
        assert server.wait_until(held(0))


def test_a_thousand_runs() -> None:
    """They leave no file open."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("open files cannot be counted here")

    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        asyncio.run(ask(reranker)())
        before = open_files()
        for number in range(1_000):
            asyncio.run(ask(reranker)())
            if number % 100 == 0:
                assert server.wait_until(held(1))
                assert open_files() <= before + 2
        assert len(reranker._connections._rooms) <= 2
        asyncio.run(reranker.aclose())


def test_a_reranker_that_nobody_closes(backend: str) -> None:
    """It takes its connections along, without a warning."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        anyio.run(ask(reranker), backend=backend)
        del reranker
        gc.collect()
        assert server.wait_until(held(0))


def test_a_loop_that_is_not_closed() -> None:
    """Its connections are closed when it is forgotten, and nothing of ours keeps it."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(ask(reranker)()) == "q"
        (kept,) = sockets(reranker)
        forgotten = weakref.ref(loop)
        loop.close()
        del loop
        gc.collect()

        assert forgotten() is None
        assert kept.fileno() == -1
        assert server.wait_until(held(0))
        assert not reranker._connections._rooms


def test_two_loops_in_turn() -> None:
    """A loop that is left in the middle of a request goes on with its own connection, and each keeps one."""
    release = threading.Event()

    def script(request: Request) -> Script:
        while request.json["query"] == "slow" and not release.is_set():
            yield 0.02
        yield from echo(request)

    with serving(script) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
        try:
            pending = first.create_task(ask(reranker, "slow")())
            first.run_until_complete(
                asyncio.wait_for(anyio_wait(server, lambda server: len(server.requests) == 1), 60)
            )
            assert second.run_until_complete(ask(reranker, "b")()) == "b"
            release.set()
            assert first.run_until_complete(pending) == "slow"
            for number in range(3):
                for loop in (second, first, second):
                    assert loop.run_until_complete(ask(reranker, str(number))()) == str(number)
            assert server.connections == 2
            # closed from one of them, both are
            first.run_until_complete(reranker.aclose())
            assert server.wait_until(held(0))
        finally:
            first.close()
            second.close()


async def anyio_wait(server: Server, said: Callable[[Server], bool]) -> None:
    """Wait, in a thread, until it is true of the server."""
    assert await asyncio.get_running_loop().run_in_executor(None, server.wait_until, said)


def test_trio_and_asyncio_in_turn() -> None:
    """Loops of different kinds share a reranker."""
    pytest.importorskip("trio", reason="trio is not installed")
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        for number in range(6):
            kind = "trio" if number % 2 else "asyncio"
            assert anyio.run(ask(reranker, str(number)), backend=kind) == str(number)
            assert server.wait_until(held(1))
        asyncio.run(reranker.aclose())
        assert server.wait_until(held(0))


def test_a_run_inside_another(backend: str) -> None:
    """A thread of a loop that has a loop of its own; the outer one goes on with its own connection."""

    async def main(reranker: AsyncReranker) -> None:
        for number in range(3):
            assert await ask(reranker, "outer")() == "outer"
            inner = ask(reranker, f"inner {number}")
            found = await anyio.to_thread.run_sync(lambda inner=inner: anyio.run(inner, backend=backend))
            assert found == f"inner {number}"
        assert server.connections == 4
        await reranker.aclose()

    with serving(echo) as server:
        anyio.run(main, AsyncReranker(KEY, base_url=server.url), backend=backend)
        assert server.wait_until(held(0))


def test_a_pool_of_threads_with_a_loop_each() -> None:
    """Threads that each run one event loop after the other may share an async reranker."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        with ThreadPoolExecutor(4) as pool:
            queries = [str(number) for number in range(100)]
            assert list(pool.map(lambda query: asyncio.run(ask(reranker, query)()), queries)) == queries
        asyncio.run(reranker.aclose())
        assert server.wait_until(held(0))


def test_closed_in_another_loop_while_a_call_is_under_way(backend: str) -> None:
    """The call comes to its end, and its connection is closed after it."""
    release = threading.Event()

    def script(request: Request) -> Script:
        while not release.is_set():
            yield 0.02
        yield from echo(request)

    with serving(script) as server, ThreadPoolExecutor(1) as pool:
        reranker = AsyncReranker(KEY, base_url=server.url)
        slow = pool.submit(anyio.run, ask(reranker), backend=backend)
        assert server.wait_until(lambda server: len(server.requests) == 1)
        anyio.run(reranker.aclose, backend=backend)
        with pytest.raises(RuntimeError, match="closed"):
            anyio.run(ask(reranker), backend=backend)
        release.set()
        assert slow.result() == "q"
        assert server.wait_until(held(0))


# The task itself is asyncio's to warn of.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_in_the_middle_of_a_call() -> None:
    """The connection of the call that will never end is closed too, with the next loop's first call."""

    def stall(request: Request) -> Script:
        while request.json["query"] == "slow":
            yield 0.02
        yield from echo(request)

    with serving(stall) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        loop = asyncio.new_event_loop()
        loop.set_exception_handler(lambda *_: None)
        pending = loop.create_task(ask(reranker, "slow")())
        loop.run_until_complete(anyio_wait(server, lambda server: len(server.requests) == 1))
        loop.run_until_complete(loop.shutdown_default_executor())
        (room,) = reranker._connections._rooms.values()
        (lane,) = room.in_use
        (used,) = lane.close.__self__._sockets
        loop.close()
        assert asyncio.run(ask(reranker, "next")()) == "next"
        assert used.fileno() == -1
        asyncio.run(reranker.aclose())
        del pending, lane, room, loop
        gc.collect()


def test_loops_that_run_are_left_alone() -> None:
    """A new loop ends nothing of one that waits for its turn, and closes its own alone."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)
        with asyncio.Runner() as runner:
            runner.run(ask(reranker)())
            asyncio.run(ask(reranker)())
            asyncio.run(ask(reranker)())
            runner.run(ask(reranker)())
            assert server.connections == 3
            runner.run(reranker.aclose())


def test_a_server_that_closes_idle_connections(backend: str) -> None:
    """A connection that was closed meanwhile is replaced, in every event loop."""

    def once(request: Request) -> Script:
        yield answer(
            200, results((0, 0.5)) | {"model": request.json["query"]}, headers={"Connection": "close"}
        )

    async def main(reranker: AsyncReranker) -> None:
        for number in range(3):
            assert await ask(reranker, str(number))() == str(number)
        await reranker.aclose()

    with serving(once) as server:
        anyio.run(main, AsyncReranker(KEY, base_url=server.url), backend=backend)
        assert server.connections == 3


def test_errors_in_one_loop_are_not_another_ones(backend: str) -> None:
    """A server that is gone in one run is found again in the next."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url, deadline=1.0)
        assert anyio.run(ask(reranker), backend=backend) == "q"
    with pytest.raises(RerankError):
        anyio.run(ask(reranker), backend=backend)
    anyio.run(reranker.aclose, backend=backend)
