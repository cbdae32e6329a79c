"""A process that forks: each child gets its own answers, over its own connections, and disturbs nobody's."""

from __future__ import annotations

import asyncio
import faulthandler
import multiprocessing
import os
import pickle
import signal
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
import trustme

from openrouter_rerank import APITimeoutError, AsyncReranker, BudgetExceededError, Reranker, forks
from openrouter_rerank.bulk.cache import DiskCache, MemoryCache
from openrouter_rerank.connections import Connections
from openrouter_rerank.integrations.pair import Pair, Setup
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.operations import Answer, Send
from openrouter_rerank.testing import FakeReranker, Request, Script, Server, answer, honest, results, serving
from shells import KEY, Shell

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # Python 3.12 warns of what is tested here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]

AUTHORITY = trustme.CA()
HANG = 60
"""Seconds after which a child shows where it hangs, and ends."""


def echo(request: Request) -> Script:
    """Return a ranking whose model is the query."""
    yield answer(200, results((0, 0.5)) | {"model": request.json["query"]})


def fork(work: Callable[[], Any]) -> Callable[[], Any]:
    """Begin the work in a forked process; what is returned waits for its result, or raises its error."""
    reading, writing = os.pipe()
    process = os.fork()
    if not process:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        faulthandler.register(signal.SIGALRM, file=sys.__stderr__, chain=True)
        signal.alarm(HANG)
        try:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - it is raised in the parent
                traceback.print_exc(file=sys.__stderr__)
                result = error
            os.write(writing, pickle.dumps(result))
        finally:
            os._exit(0)
    os.close(writing)

    def wait() -> Any:
        with os.fdopen(reading, "rb") as pipe:
            written = pipe.read()
        os.waitpid(process, 0)
        assert written, "the child died or hung"
        result = pickle.loads(written)
        if isinstance(result, BaseException):
            raise result
        return result

    return wait


def in_child(work: Callable[[], Any]) -> Any:
    """Do the work in a forked process, and return its result."""
    return fork(work)()


@contextmanager
def held(lock: Any) -> Generator[None]:
    """Provide a lock that another thread holds for as long as the block lasts."""
    come, end = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            come.set()
            end.wait(HANG)

    thread = threading.Thread(target=hold)
    thread.start()
    assert come.wait(HANG)
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.fixture(params=["http", "https"])
def tls(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    """Provide the TLS contexts of server and client: none, or trusted ones."""
    if request.param == "http":
        return None
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


# Connections


def test_each_process_gets_its_own_answers(tls: ssl.SSLContext | None) -> None:
    """Children neither use nor disturb the parent's connection, whichever asks first."""
    with serving(echo, tls=tls) as server, Reranker(KEY, base_url=server.url) as reranker:
        assert reranker.rerank("warm", ["d"]).model == "warm"

        def ask(name: str) -> list[str | None]:
            return [reranker.rerank(f"{name} {number}", ["d"]).model for number in range(5)]

        children = [fork(lambda name=name: ask(name)) for name in "abcd"]
        assert ask("parent") == [f"parent {number}" for number in range(5)]
        for name, child in zip("abcd", children, strict=True):
            assert child() == [f"{name} {number}" for number in range(5)]
        assert reranker.rerank("after", ["d"]).model == "after"

        assert server.connections == 5, "the parent kept its own, and each child made one"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_each_process_gets_its_own_answers_async(backend: str, tls: ssl.SSLContext | None) -> None:
    """The same for an event loop that goes on in the parent, and one of the child's."""
    if backend == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    with serving(echo, tls=tls) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)

        async def ask(name: str) -> list[str | None]:
            return [(await reranker.rerank(f"{name} {number}", ["d"])).model for number in range(3)]

        async def parent() -> None:
            await ask("warm")
            # The child leaves this loop for one of its own.
            children = [fork(lambda name=name: _alone(backend, ask, name)) for name in "ab"]
            assert await ask("parent") == [f"parent {number}" for number in range(3)]
            for name, child in zip("ab", children, strict=True):
                assert await anyio.to_thread.run_sync(child) == [f"{name} {number}" for number in range(3)]
            await ask("after")
            await reranker.aclose()

        anyio.run(parent, backend=backend)
        assert server.connections == 3


def _alone(backend: str, work: Callable[..., Any], *arguments: Any) -> Any:
    """Run an event loop in a thread without one: trio's and sniffio's marks of the parent's loop are the thread's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, work, *arguments, backend=backend).result()


def test_an_event_loop_between_two_runs() -> None:
    """A loop that is kept in the parent while the child runs another, in the same thread."""
    with serving(echo) as server, asyncio.Runner() as runner:
        reranker = AsyncReranker(KEY, base_url=server.url)

        async def ask(query: str) -> str | None:
            return (await reranker.rerank(query, ["d"])).model

        assert runner.run(ask("warm")) == "warm"
        child = fork(lambda: asyncio.run(ask("child")))
        assert runner.run(ask("parent")) == "parent"
        assert child() == "child"
        assert runner.run(ask("after")) == "after"
        runner.run(reranker.aclose())
        assert server.connections == 2


def test_workers_of_multiprocessing() -> None:
    """The same through multiprocessing."""
    with serving(echo) as server, Reranker(KEY, base_url=server.url) as reranker:
        reranker.rerank("warm", ["d"])
        context = multiprocessing.get_context("fork")
        found = context.SimpleQueue()

        def work(name: str) -> None:
            found.put(
                [
                    (f"{name} {number}", reranker.rerank(f"{name} {number}", ["d"]).model)
                    for number in range(5)
                ]
            )

        workers = [context.Process(target=work, args=(name,)) for name in "abc"]
        for worker in workers:
            worker.start()
        rows = [row for _ in workers for row in found.get()]
        for worker in workers:
            worker.join()
        found.close()

    assert len(rows) == 15
    assert all(asked == got for asked, got in rows)


def _until(release: threading.Event) -> Callable[[Request], Script]:
    def script(request: Request) -> Script:
        while request.json["query"] == "slow" and not release.is_set():
            yield 0.02
        yield from echo(request)

    return script


def _asked(server: Server) -> bool:
    return any(request.json["query"] == "slow" for request in server.requests)


def test_a_call_under_way_in_another_thread(tls: ssl.SSLContext | None) -> None:
    """It ends in the parent as if nothing had been, and the child closes what it has of its connection."""
    release = threading.Event()
    with (
        serving(_until(release), tls=tls) as server,
        Reranker(KEY, base_url=server.url) as reranker,
        ThreadPoolExecutor(1) as pool,
    ):
        slow = pool.submit(reranker.rerank, "slow", ["d"])
        assert server.wait_until(_asked)
        (lane,) = reranker._connections._room.in_use

        def child() -> tuple[str | None, int]:
            model = reranker.rerank("child", ["d"]).model
            return model, lane.clock._socket.fileno()

        assert in_child(child) == ("child", -1)
        release.set()
        assert slow.result().model == "slow"
        assert reranker.rerank("after", ["d"]).model == "after"
        assert server.connections == 2


def test_an_async_call_under_way(tls: ssl.SSLContext | None) -> None:
    """Likewise for a task of the loop that forks, and for the child's copy of that task."""
    release = threading.Event()

    async def parent(url: str) -> None:
        reranker = AsyncReranker(KEY, base_url=url)

        async def ask(query: str) -> str | None:
            return (await reranker.rerank(query, ["d"])).model

        slow = asyncio.create_task(ask("slow"))
        assert await anyio.to_thread.run_sync(server.wait_until, _asked)
        child = fork(lambda: _alone("asyncio", ask, "child"))
        assert await anyio.to_thread.run_sync(child) == "child"
        release.set()
        assert await slow == "slow"
        assert await ask("after") == "after"
        await reranker.aclose()

    with serving(_until(release), tls=tls) as server:
        asyncio.run(parent(server.url))
        assert server.connections == 2


def test_a_call_that_forks() -> None:
    """A call whose own code forks goes on in the parent."""
    with serving(echo) as server, Reranker(KEY, base_url=server.url) as reranker:
        reranker.rerank("warm", ["d"])
        children: list[Callable[[], Any]] = []

        def once(document: str) -> str:
            children.append(fork(lambda: reranker.rerank("child", ["d"]).model))
            return document

        assert reranker.rerank("parent", ["d"], key=once).model == "parent"
        assert children[0]() == "child"


def test_all_connections_in_use() -> None:
    """The child is not short of a resource that threads of the parent held."""
    release = threading.Event()
    with (
        serving(_until(release)) as server,
        Reranker(KEY, base_url=server.url) as reranker,
        ThreadPoolExecutor(1) as pool,
    ):
        reranker._connections = Connections(reranker._connections.url, reranker._settings.headers, 1)
        slow = pool.submit(reranker.rerank, "slow", ["d"])
        assert server.wait_until(_asked)
        with pytest.raises(APITimeoutError):
            reranker.rerank("parent", ["d"], timeout=0.2)
        assert in_child(lambda: reranker.rerank("child", ["d"]).model) == "child"
        release.set()
        assert slow.result().model == "slow"


def test_a_closed_reranker_stays_closed() -> None:
    """In the child too."""
    with Reranker(KEY) as reranker:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        in_child(lambda: reranker.rerank("q", ["a"]))


def test_what_a_child_inherits_is_closed_without_a_word(
    tls: ssl.SSLContext | None, recwarn: pytest.WarningsRecorder
) -> None:
    """The hooks of a fork, called in this process: the sockets are closed, and nothing is sent over them."""
    with serving(echo, tls=tls) as server, Reranker(KEY, base_url=server.url) as reranker:
        reranker.rerank("warm", ["d"])
        idle = reranker._connections._room.idle[0]
        lock = reranker._connections._lock
        forks._before()
        assert lock._is_owned()
        forks._release()
        assert not lock._is_owned()
        forks._before()
        forks._in_child()

        assert not lock._is_owned()
        assert idle.clock._socket.fileno() == -1
        assert reranker.rerank("new", ["d"]).model == "new"
        assert server.connections == 2
    assert not recwarn.list


async def test_what_a_child_inherits_is_closed_async(tls: ssl.SSLContext | None) -> None:
    """Likewise, for connections in use too."""
    release = threading.Event()
    with serving(_until(release), tls=tls) as server:
        async with AsyncReranker(KEY, base_url=server.url) as reranker:
            await reranker.rerank("warm", ["d"])
            slow = asyncio.create_task(reranker.rerank("slow", ["d"]))
            await reranker.rerank("warm", ["d"])
            assert await anyio.to_thread.run_sync(server.wait_until, _asked)
            (room,) = reranker._connections._rooms.values()
            lanes = [*room.idle, *room.in_use]
            assert len(lanes) == 2
            release.set()
            slow.cancel()
            forks._before()
            forks._in_child()

            assert [lane.close.__self__._sockets for lane in lanes] == [set(), set()]
            with pytest.raises(asyncio.CancelledError):
                await slow
            assert (await reranker.rerank("new", ["d"])).model == "new"


# Locks


def _locks(reranker: Reranker) -> dict[str, Any]:
    return {
        "ledger": reranker.ledger._lock,
        "connections": reranker._connections._room.lock,
        "cache": getattr(reranker._settings.cache, "_lock", None),
    }


@pytest.mark.parametrize("name", ["ledger", "connections", "cache"])
def test_a_lock_that_another_thread_holds(name: str, tmp_path: Path) -> None:
    """The child is not kept by a thread that it does not have; it waits neither in the fork nor in the call."""
    for cache in (MemoryCache(), DiskCache(tmp_path / "answers")):
        with (
            serving(echo) as server,
            Reranker(KEY, base_url=server.url, cache=cache, max_cost=1.0) as reranker,
        ):
            reranker.rerank("warm", ["d"])
            with held(_locks(reranker)[name]):
                assert in_child(lambda: (reranker.rerank("child", ["d"]).model, reranker.ledger.calls)) == (
                    "child",
                    2,
                )
            assert reranker.rerank("parent", ["d"]).model == "parent"


def test_a_lock_of_the_async_one() -> None:
    """The same for what guards the event loops."""
    with serving(echo) as server:
        reranker = AsyncReranker(KEY, base_url=server.url)

        async def ask() -> str | None:
            return (await reranker.rerank("child", ["d"])).model

        with held(reranker._connections._lock):
            assert in_child(lambda: asyncio.run(ask())) == "child"


def test_a_call_that_goes_on_in_the_child() -> None:
    """It gives its connection back to where it was taken from, whoever held the lock there."""
    connections = Connections("http://127.0.0.1:1/rerank", {}, 1)
    room = connections._room
    lane = room.take(connections._options, 0)
    assert lane is not None
    with held(room.lock):
        assert in_child(lambda: (room.give_back(lane, None), len(room.in_use))) == (None, 0)
    assert len(room.in_use) == 1


def test_forks_in_several_threads_at_once() -> None:
    """No process waits for another's locks for ever, and each releases its own."""
    with (
        serving(echo) as server,
        Reranker(KEY, base_url=server.url, cache=MemoryCache()) as reranker,
        ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(lambda n: in_child(lambda: reranker.rerank(str(n), ["d"]).model), range(12)))
        assert found == [str(number) for number in range(12)]
        assert reranker.rerank("parent", ["d"]).model == "parent"


# What is counted and remembered


def test_the_ledger_of_a_child_begins_with_a_copy() -> None:
    """Without what is set aside for calls that the parent makes; then each counts for itself."""

    def priced(request: Request) -> Script:
        yield answer(200, results((0, 0.5), usage={"cost": 0.4}))

    with serving(priced) as server, Reranker(KEY, base_url=server.url, max_cost=1.0) as reranker:
        model = reranker._settings.defaults["model"]
        reranker.rerank("q", ["d"])
        other = object()
        reranker.ledger.reserve(other, model)  # by a call under way
        with pytest.raises(BudgetExceededError):
            reranker.rerank("q", ["d"])

        def child() -> tuple[int, float]:
            reranker.rerank("q", ["d"])
            with pytest.raises(BudgetExceededError):
                reranker.rerank("q", ["d"])
            return reranker.ledger.calls, reranker.ledger.cost

        assert in_child(child) == (2, pytest.approx(0.8))
        assert (reranker.ledger.calls, reranker.ledger.cost) == (1, pytest.approx(0.4))
        reranker.ledger.release(other)


def test_caches_in_a_child(tmp_path: Path) -> None:
    """A cache in memory is copied; that on disk is shared."""
    for cache, shared in ((MemoryCache(), False), (DiskCache(tmp_path / "answers"), True)):
        with serving(echo) as server, Reranker(KEY, base_url=server.url, cache=cache) as reranker:
            reranker.rerank("before", ["d"])

            def child() -> list[bool]:
                return [reranker.rerank(query, ["d"]).cached for query in ("before", "child", "child")]

            assert in_child(child) == [True, False, True]
            assert reranker.rerank("child", ["d"]).cached is shared


def test_a_fork_while_the_file_of_a_cache_is_written(tmp_path: Path) -> None:
    """The fork waits for the write to end: SQLite's own note of it would keep the child from writing for ever."""
    cache: Any = DiskCache(tmp_path / "answers")
    come, writing = threading.Event(), threading.Event()

    def write() -> None:
        with cache._opened() as file:
            file.execute("begin immediate")
            come.set()
            writing.wait(0.2)  # the fork begins meanwhile, or later
            file.execute("commit")

    def child() -> bytes | None:
        for number in range(10):
            cache.set(f"key {number}", b"value")
        return cache.get("key 9")

    thread = threading.Thread(target=write)
    thread.start()
    assert come.wait(HANG)
    assert in_child(child) == b"value"
    thread.join()
    assert cache.get("key 9") == b"value"


def test_the_connection_of_a_cache_is_left_alone(tmp_path: Path) -> None:
    """The hooks of a fork, called in this process: the old connection is neither used nor closed."""
    cache: Any = DiskCache(tmp_path / "answers")
    unused: Any = DiskCache(tmp_path / "unused")
    unused._file.close()
    unused._file = None
    remembering: Any = MemoryCache()
    remembering.set("a", b"1")
    lock = remembering._lock
    cache.set("a", b"1")
    inherited = cache._file
    forks._before()
    forks._in_child()

    assert remembering._lock is not lock
    assert remembering.get("a") == b"1"
    assert unused._file is None
    assert cache.get("a") == b"1"
    assert cache._file is not inherited
    assert inherited.execute("select count(*) from answers").fetchone() == (1,)
    inherited.close()


# Runs


def test_a_run_begun_in_the_parent() -> None:
    """It is refused in the child, which can end it without harm; the parent goes on with it."""
    with serving(echo) as server, Reranker(KEY, base_url=server.url) as reranker:
        run = reranker.rerank_many([(str(number), ["d"]) for number in range(20)], concurrency=2)
        first = next(run).unwrap().model

        def child() -> list[str | None]:
            with pytest.raises(RuntimeError, match=r"rerank_many.*call rerank_many again"):
                next(run)
            run.drain()
            run.close()
            with pytest.raises(RuntimeError, match="rerank_many"):
                next(run)
            return [result.unwrap().model for result in reranker.rerank_many([("child", ["d"])])]

        assert in_child(child) == ["child"]
        assert [first, *(result.unwrap().model for result in run)] == [str(number) for number in range(20)]


def test_a_run_of_another_process(shell: Shell) -> None:
    """The same without a fork: to the run it is as if it had begun elsewhere, and it leaves what is there alone."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:
            run = reranker.rerank_many([(str(number), ["d"]) for number in range(20)], concurrency=1)
            await anext(run)
            began, run._run._process = run._run._process, -1
            run.drain()
            with pytest.raises(RuntimeError, match="call rerank_many again"):
                await anext(run)
            await run.aclose()
            assert not run._run._ended.is_set()
            run._run._process = began
            run.drain()
            await run._run._ended.wait()

    with serving(echo) as server:
        if shell.name == "asyncio":
            asyncio.run(main(server.url))
            return
        with Reranker(KEY, base_url=server.url) as reranker:
            run = reranker.rerank_many([(str(number), ["d"]) for number in range(20)], concurrency=1)
            next(run)
            began, run._run._process = run._run._process, -1
            run.drain()
            with pytest.raises(RuntimeError, match="call rerank_many again"):
                next(run)
            run.close()
            assert not run._run._stopping
            run._run._process = began
            run._run._stop()


def test_a_run_that_has_not_begun() -> None:
    """It begins where it is first asked."""
    with serving(echo) as server, Reranker(KEY, base_url=server.url) as reranker:
        run = reranker.rerank_many([("q", ["d"])])
        assert in_child(lambda: [result.unwrap().model for result in run]) == ["q"]
        assert [result.unwrap().model for result in run] == ["q"]


def test_an_async_run_begun_in_the_parent() -> None:
    """Likewise."""

    async def parent(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:
            run = reranker.rerank_many([(str(number), ["d"]) for number in range(20)], concurrency=2)
            first = (await anext(run)).unwrap().model

            async def child() -> list[str | None]:
                with pytest.raises(RuntimeError, match=r"rerank_many.*call rerank_many again"):
                    await anext(run)
                run.drain()
                await run.aclose()
                with pytest.raises(RuntimeError, match="rerank_many"):
                    await anext(run)
                return [result.unwrap().model async for result in reranker.rerank_many([("child", ["d"])])]

            waiting = fork(lambda: _alone("asyncio", child))
            assert await anyio.to_thread.run_sync(waiting) == ["child"]
            rest = [result.unwrap().model async for result in run]
            assert [first, *rest] == [str(number) for number in range(20)]

    with serving(echo) as server:
        asyncio.run(parent(server.url))


def test_a_split_call_in_a_child() -> None:
    """A list that is sent in parts uses threads of the child's own."""
    with (
        serving(lambda request: iter([honest(request)])) as server,
        Reranker(KEY, base_url=server.url, max_documents=2) as reranker,
    ):
        reranker.rerank("q", ["a", "b", "c", "d", "e"], provider={"order": ["p"]})
        found = in_child(
            lambda: len(reranker.rerank("q", ["a", "b", "c", "d", "e"], provider={"order": ["p"]}).parts)
        )
    assert found == 3


# What stands behind a reranker


def test_an_injected_client() -> None:
    """One whose connections the parent has is refused with a word on what to do; one that was never used is not."""
    with serving(echo) as server, httpx.Client() as client, httpx.Client() as unused:
        used = Reranker(KEY, base_url=server.url, http_client=client)
        used.rerank("warm", ["d"])
        fresh = Reranker(KEY, base_url=server.url, http_client=unused)

        def child() -> str | None:
            with pytest.raises(RuntimeError, match=r"http_client: .*forked.*; make the http client"):
                used.rerank("q", ["d"])
            with pytest.raises(RuntimeError, match="http_client"):
                used.rerank_many([("q", ["d"])])
            assert used.ledger.calls == 1
            return fresh.rerank("child", ["d"]).model

        assert in_child(child) == "child"
        assert used.rerank("parent", ["d"]).model == "parent"


def test_an_injected_client_of_another_process() -> None:
    """The same without a fork."""
    with serving(echo) as server, httpx.Client() as client:
        reranker = Reranker(KEY, base_url=server.url, http_client=client)
        reranker.rerank("q", ["d"])
        reranker._connections._process = -1
        with pytest.raises(RuntimeError, match="http_client"):
            reranker.rerank("q", ["d"])


def test_an_injected_async_client() -> None:
    """Likewise."""

    async def parent(url: str) -> None:
        async with httpx.AsyncClient() as client:
            reranker = AsyncReranker(KEY, base_url=url, http_client=client)
            await reranker.rerank("warm", ["d"])

            async def child() -> None:
                with pytest.raises(RuntimeError, match=r"http_client: .*forked"):
                    await reranker.rerank("q", ["d"])

            await anyio.to_thread.run_sync(fork(lambda: _alone("asyncio", child)))
            assert (await reranker.rerank("parent", ["d"])).model == "parent"

    with serving(echo) as server:
        asyncio.run(parent(server.url))


def test_local_modes_and_fakes() -> None:
    """An in-process transport also works in the child."""
    documents = ["Paris is in France.", "Berlin is in Germany."]
    with ExitStack() as stack:
        rerankers = [stack.enter_context(one) for one in (Reranker.local(), FakeReranker())]
        for reranker in rerankers:
            reranker.rerank("Berlin", documents)
        with held(rerankers[1]._lock):
            for reranker in rerankers:
                assert in_child(lambda reranker=reranker: reranker.rerank("Berlin", documents)[0].index) == 1


def test_a_local_mode_async() -> None:
    """Likewise."""
    reranker = AsyncReranker.local()

    async def ask() -> int:
        return (await reranker.rerank("Berlin", ["Paris", "Berlin"]))[0].index

    assert asyncio.run(ask()) == 1
    assert in_child(lambda: asyncio.run(ask())) == 1


def test_the_rerankers_of_an_adapter() -> None:
    """An adapter made in the parent serves a child."""
    with serving(echo) as server:
        client = {"base_url": server.url, "timeout": None, "deadline": None}
        options = dict.fromkeys(["model", "splitter"])
        setup = Setup(options, "raise", client, lambda: KEY, KEY, None, None)
        pair = Pair()
        assert pair.rerank(setup, "warm", ["d"], str).model == "warm"

        def child() -> tuple[str | None, str | None]:
            async def ask() -> str | None:
                return (await pair.arerank(setup, "async", ["d"], str)).model

            return pair.rerank(setup, "sync", ["d"], str).model, asyncio.run(ask())

        assert in_child(child) == ("sync", "async")
        assert pair.rerank(setup, "after", ["d"], str).model == "after"
        pair.close()


def test_a_server_of_ours_is_the_parents() -> None:
    """A child that leaves the block of a server on loopback ends nothing of it."""
    reranker = None
    children: list[Callable[[], Any]] = []
    parent = os.getpid()

    def child() -> None:
        children[0].__self__.__exit__(None, None, None)  # type: ignore[attr-defined] # it is a block's

    block = serving(echo)
    server = block.__enter__()
    try:
        reranker = Reranker(KEY, base_url=server.url)
        reranker.rerank("warm", ["d"])
        children.append(block.__exit__)
        assert in_child(child) is None
        with held(server.changed):
            assert in_child(lambda: server.wait_until(lambda server: server.connections == 1))
        assert reranker.rerank("after", ["d"]).model == "after"
        assert (server.connections, os.getpid()) == (1, parent)
        reranker.close()
    finally:
        block.__exit__(None, None, None)


def test_a_ledger_lives_no_longer_for_it() -> None:
    """Registering for forks does not keep an object alive."""
    before = len(forks._inherited)
    ledger = Ledger()
    assert len(forks._inherited) == before + 1
    del ledger
    assert len(forks._inherited) == before


def test_a_request_that_forks_while_it_is_sent() -> None:
    """A handler of signals that forks in the middle of a request: both processes come to an end."""
    with serving(echo) as server, Reranker(KEY, base_url=server.url) as reranker:
        connections = reranker._connections
        sent = Send(reranker._settings.headers, b'{"query": "q"}', 5.0, 1000)
        room = connections._room
        lane = room.take(connections._options, 1e9)
        forks._before()
        forks._in_child()  # as in the child
        room.give_back(lane, Answer(200, httpx.Headers(), b""))  # to where it was taken from

        assert lane.clock._socket is None
        assert len(room.in_use) == 0
        assert isinstance(connections.send(sent), Answer)


class _Owned:
    """An object that belongs to a process."""

    def __init__(self, lock: Any = None) -> None:
        self._lock = lock or threading.Lock()
        self.process = os.getpid()
        forks.register(self)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()
        self.process = os.getpid()


def test_objects_that_others_make_while_a_fork_is_prepared() -> None:
    """A fork is prepared completely, even if other threads make and drop clients between any two of its steps."""
    in_child(int)  # the first fork imports modules, and so has many steps
    items = [_Owned() for _ in range(3)]
    others: list[_Owned] = []
    children: list[Callable[[], Any]] = []

    def interrupt(*_: object) -> Any:
        others.extend([_Owned(), _Owned()])
        del others[:1]
        return interrupt

    def run() -> None:
        traced = sys.gettrace()
        sys.settrace(interrupt)  # acts between two lines, as another thread may
        try:
            children.append(fork(lambda: [item.process == os.getpid() for item in items]))
        finally:
            sys.settrace(traced)

    thread = threading.Thread(target=run)  # one that has not forked yet
    thread.start()
    thread.join()
    assert others
    assert children[0]() == [True] * 3


def test_ctrl_c_while_a_fork_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child of a fork whose preparation was interrupted is safe, and no lock stays acquired."""

    class Interrupted:
        def acquire(self, timeout: float) -> bool:
            raise KeyboardInterrupt

        def release(self) -> None: ...

    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    items = [_Owned(), _Owned(Interrupted()), _Owned()]
    found = in_child(lambda: [item.process == os.getpid() for item in items])
    assert found == [True] * 3
    assert [one.exc_type for one in told] == [KeyboardInterrupt]
    assert not any(item._lock.locked() for item in (items[0], items[2]))


CALLS = """
import os, sys
from openrouter_rerank import Reranker
from openrouter_rerank.testing import answer, results, serving

def script(request):
    yield answer(200, results(*((place, 0.5) for place, _ in enumerate(request.json["documents"]))))

with serving(script) as server, Reranker("", base_url=server.url) as reranker:
    def ask(more):
        before = set(sys.modules)
        reranker.rerank("q", ["d"])
        if more:
            reranker.rerank("q", ["a", "b"], max_documents=1, on_error="keep_order")
            list(reranker.rerank_many([("q", ["d"])]))
        return ", ".join(set(sys.modules) - before)

    found = ask(False)
    process = os.fork()
    if not process:
        found = ask(True)
        os.write(2, found.encode())
        os._exit(bool(found))
    sys.exit(found or os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
"""


def test_calls_in_a_child_import_nothing() -> None:
    """What another thread imports during a fork stays locked in the child; calls there import nothing of ours."""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", CALLS]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG)
    assert (done.returncode, done.stderr) == (0, "")
