"""Calls that end by an exception of the caller's: nothing of them is used again, held, or left open."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import sys
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme

import openrouter_rerank
from openrouter_rerank import APIConnectionError, AsyncReranker, Reranker, Retries
from openrouter_rerank.connections import AsyncConnections, Connections
from openrouter_rerank.operations import Answer
from openrouter_rerank.testing import (
    Request,
    Script,
    Server,
    answer,
    deaf,
    faulty,
    head,
    honest,
    results,
    serving,
)
from shells import KEY, our_frames

AUTHORITY = trustme.CA()


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each kind of event loop."""
    if request.param == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    return request.param


@pytest.fixture(params=["http", "https"])
def tls(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ssl.SSLContext | None:
    """Return the schemes of the server: plain HTTP, or TLS with a trusted certificate."""
    if request.param == "http":
        return None
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    return context


def echo(request: Request) -> Script:
    """Return a ranking whose model is the query, in two pieces."""
    whole = answer(200, results((0, 0.5)) | {"model": request.json["query"]})
    yield whole[:-20]
    yield whole[-20:]


def slow(request: Request) -> Script:
    """Answer likewise, but never answer "slow", and "half" only in part."""
    query = request.json["query"]
    if query == "half":
        yield answer(200, results((0, 0.5)))[:-20]
    while query in ("slow", "half"):
        yield 1.0
    yield from echo(request)


def asked(number: int) -> Callable[[Server], bool]:
    """Return True if it was sent that many requests."""
    return lambda server: len(server.requests) >= number


def nothing_held(reranker: AsyncReranker) -> bool:
    """Return True if all places for connections are free."""
    connections: AsyncConnections = reranker._connections
    return all(
        not room.in_use and room.free.value == connections._limit for room in connections._rooms.values()
    )


def idle(reranker: AsyncReranker) -> int:
    """Return the number of idle connections."""
    return sum(len(room.idle) for room in reranker._connections._rooms.values())


def open_files() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def frames_that_show_the_key(error: BaseException) -> set[str]:
    """Return the names of our functions in the traceback of the error that show the key."""
    return {frame.f_code.co_qualname for frame in our_frames(error) if KEY in repr(frame.f_locals)}


async def cancelled(work: Callable[[], Awaitable[Any]], turns: int) -> bool:
    """Begin the work and cancel it after so many turns of the event loop; whether it had ended before."""
    ended = False

    async def run() -> None:
        nonlocal ended
        await work()
        ended = True

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    return ended


def test_cancelled_after_each_turn(backend: str, tls: ssl.SSLContext | None) -> None:
    """A call may be cancelled while it connects, sends or receives; later calls get their own answers."""

    async def main(url: str) -> None:
        kept = AsyncReranker(KEY, base_url=url)
        ends = 0
        for turns in range(400):
            fresh = AsyncReranker(KEY, base_url=url)
            for reranker in (kept, fresh):
                ends += await cancelled(lambda one=reranker: one.rerank("cancelled", ["d"]), turns)
                assert nothing_held(reranker)
                assert (await reranker.rerank(f"after {turns}", ["d"])).model == f"after {turns}"
                assert nothing_held(reranker)
            await fresh.aclose()
            if ends >= 6:
                break
        assert ends >= 2, "some calls came to their end first"
        await kept.aclose()

    with serving(echo, tls=tls) as server:
        anyio.run(main, server.url, backend=backend)
        assert server.wait_until(lambda server: server.held == 0)


def test_cancelled_by_asyncio() -> None:
    """As the level of anyio's scopes, so the edge of asyncio's own, also where a task is cancelled twice."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:
            for turns in range(60):
                for times in (1, 2):
                    task = asyncio.create_task(reranker.rerank("cancelled", ["d"]))
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    for _ in range(times):
                        task.cancel()
                        await asyncio.sleep(0)
                    await asyncio.wait([task])
                    assert nothing_held(reranker)
                    assert (await reranker.rerank("after", ["d"])).model == "after"

    with serving(echo) as server:
        asyncio.run(main(server.url))


def test_thousands_of_cancelled_calls(backend: str) -> None:
    """They leave no file open, no place taken, and nothing to the garbage collector."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:
            await reranker.rerank("warm", ["d"])
            before = open_files()
            for number in range(2_000):
                await cancelled(lambda: reranker.rerank("cancelled", ["d"]), number % 23)
                assert nothing_held(reranker)
                if number % 100 == 0:
                    # The server's sockets are counted too, and it may accept a connection long after its client left.
                    assert await anyio.to_thread.run_sync(
                        server.wait_until, lambda server: server.held <= 1 and open_files() < before + 20
                    )
            assert (await reranker.rerank("after", ["d"])).model == "after"

    if not Path("/proc/self/fd").exists():
        pytest.skip("open files cannot be counted here")
    gc.collect()
    gc.disable()
    try:
        with serving(echo) as server:
            anyio.run(main, server.url, backend=backend)
    finally:
        gc.enable()


def test_cancelled_while_it_sends(backend: str) -> None:
    """A call whose server reads nothing of a large request leaves no place taken, and its traceback shows no key."""
    document = "d" * 2**24

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:
            errors: list[BaseException] = []

            async def work() -> None:
                try:
                    await reranker.rerank("q", [document])
                except BaseException as error:
                    errors.append(error)
                    raise

            functions: set[str] = set()
            for turns in range(1_000):
                await cancelled(work, turns)
                assert nothing_held(reranker)
                for error in errors:
                    assert not frames_that_show_the_key(error)
                    frames = traceback.walk_tb(error.__traceback__)
                    functions |= {frame.f_code.co_qualname for frame, _ in frames}
                errors.clear()
                if "_TaskSocket.send" in functions:
                    break
            assert "_TaskSocket.send" in functions

    with deaf() as url:
        anyio.run(main, url, backend=backend)


@pytest.mark.parametrize("query", ["slow", "half"])
def test_a_caller_that_waits_no_longer(query: str, backend: str, tls: ssl.SSLContext | None) -> None:
    """The caller's own timeout, before the answer and in the middle of it, closes the connection."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:
            for number in range(3):
                async with anyio.create_task_group() as group:
                    group.start_soon(reranker.rerank, query, ["d"])
                    assert await anyio.to_thread.run_sync(server.wait_until, asked(2 * number + 1))
                    group.cancel_scope.cancel()
                assert nothing_held(reranker)
                assert (await reranker.rerank("after", ["d"])).model == "after"

    with serving(slow, tls=tls) as server:
        anyio.run(main, server.url, backend=backend)
        assert server.connections == 4, "each cancelled call took its connection along; the others share one"


def test_wait_for_and_our_own_timeout() -> None:
    """`asyncio.wait_for` around a call, and the call's own timeout, leave the reranker as usable."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url, retries=Retries(attempts=1)) as reranker:
            for timeout in (0.05, 60.0):
                for query in ("slow", "half"):
                    with pytest.raises((TimeoutError, openrouter_rerank.APITimeoutError)):
                        await asyncio.wait_for(reranker.rerank(query, ["d"], timeout=0.2), timeout)
                    assert nothing_held(reranker)
                    assert (await reranker.rerank("after", ["d"])).model == "after"

    with serving(slow) as server:
        asyncio.run(main(server.url))


def test_all_places_are_waited_for_by_cancelled_calls(backend: str) -> None:
    """A call that is cancelled while it waits for a connection leaves its place in the line."""
    release = threading.Event()

    def script(request: Request) -> Script:
        while not release.is_set():
            yield 0.02
        yield from echo(request)

    async def main(url: str) -> None:
        reranker = AsyncReranker(KEY, base_url=url)
        reranker._connections = AsyncConnections(reranker._connections.url, reranker._settings.headers, 2)
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(reranker.rerank, "first", ["d"])
            assert await anyio.to_thread.run_sync(server.wait_until, asked(2))
            for turns in range(20):
                assert not await cancelled(lambda: reranker.rerank("never", ["d"]), turns)
            release.set()
        assert nothing_held(reranker)
        assert (await reranker.rerank("after", ["d"])).model == "after"
        await reranker.aclose()

    with serving(script) as server:
        anyio.run(main, server.url, backend=backend)
        assert all(request.json["query"] != "never" for request in server.requests)


def test_a_split_list_is_cancelled(backend: str) -> None:
    """All parts that are under way close their connections."""

    def script(request: Request) -> Script:
        while request.json["query"] == "slow":
            yield 1.0
        yield honest(request)

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url, max_documents=1, provider={"order": ["p"]}) as reranker:
            async with anyio.create_task_group() as group:
                group.start_soon(reranker.rerank, "slow", ["a", "b", "c", "d"])
                assert await anyio.to_thread.run_sync(server.wait_until, asked(4))
                group.cancel_scope.cancel()
            assert nothing_held(reranker)
            assert not idle(reranker)
            assert len(await reranker.rerank("after", ["a", "b", "c", "d"])) == 4

    with serving(script) as server:
        anyio.run(main, server.url, backend=backend)


def test_a_run_that_is_left(backend: str) -> None:
    """`rerank_many` closes what is under way when it is closed, and when the task around it is cancelled."""

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:

            async def run() -> None:
                requests = [("first", ["d"]), *[("slow", ["d"])] * 10]
                async with reranker.rerank_many(requests, concurrency=3) as found:
                    async for result in found:
                        assert result.unwrap().model == "first"
                        break
                async with reranker.rerank_many(requests[1:], concurrency=3) as found:
                    await anext(found)

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                # the first run ended with its own requests under way, however many those were
                slow_ones = lambda server: sum(request.json["query"] == "slow" for request in server.requests)  # noqa: E731
                assert await anyio.to_thread.run_sync(
                    server.wait_until, lambda server: slow_ones(server) >= 3
                )
                group.cancel_scope.cancel()
            assert (await reranker.rerank("after", ["d"])).model == "after"

    with serving(slow) as server:
        anyio.run(main, server.url, backend=backend)


def test_a_client_that_disconnects() -> None:
    """A web application whose handler is cancelled, as its client has gone, answers the next one."""
    starlette = pytest.importorskip("starlette.applications", reason="starlette is not installed")
    from starlette.responses import StreamingResponse
    from starlette.routing import Route

    async def main(url: str) -> None:
        async with AsyncReranker(KEY, base_url=url) as reranker:

            async def handle(request: Any) -> StreamingResponse:
                async def body() -> Any:
                    yield b"begun "
                    yield (await reranker.rerank(request.query_params["q"], ["d"])).model

                return StreamingResponse(body())

            app = starlette.Starlette(routes=[Route("/", handle)])

            async def ask(query: str, gone: anyio.Event) -> bytes:
                sent: list[bytes] = []

                async def receive() -> dict[str, Any]:
                    await gone.wait()
                    return {"type": "http.disconnect"}

                async def send(message: dict[str, Any]) -> None:
                    sent.append(message.get("body", b""))

                scope = {
                    "type": "http",
                    "asgi": {"version": "3.0", "spec_version": "2.3"},
                    "method": "GET",
                    "path": "/",
                }
                await app(scope | {"query_string": f"q={query}".encode(), "headers": []}, receive, send)
                return b"".join(sent)

            for number in range(5):
                gone = anyio.Event()
                async with anyio.create_task_group() as group:
                    group.start_soon(ask, "half" if number % 2 else "slow", gone)
                    assert await anyio.to_thread.run_sync(server.wait_until, asked(2 * number + 1))
                    gone.set()
                assert nothing_held(reranker)
                assert await ask("after", anyio.Event()) == b"begun after"

    with serving(slow) as server:
        asyncio.run(main(server.url))
        assert server.connections == 6


def test_an_answer_that_is_too_large_is_not_the_end_of_its_connection() -> None:
    """Nothing of an answer that was left half read is read by the next call."""
    with (
        faulty("endless_body") as server,
        Reranker(KEY, base_url=server.url, retries=Retries(attempts=1)) as reranker,
    ):
        for number in range(2):
            with pytest.raises(openrouter_rerank.InvalidResponseError):
                reranker.rerank("q", ["d"])
            assert server.connections == number + 1
            assert not reranker._connections._room.idle


# Threads


def interrupted(work: Callable[[], Any], line: int, error: type[BaseException]) -> set[str] | None:
    """Do the work, and raise the error as the given line of the modules that send begins.

    Return the functions that show the key in the traceback, or None if there are fewer lines. The error itself would keep
    the connection.
    """
    left = line

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal left
        name = frame.f_code.co_filename
        # A socket that is being made is known to nobody yet.
        unknown = (
            "_Clock.connect_tcp",
            "_Clock.stream",
            "_ThreadSocket.__init__",
            "_ThreadStream.get_extra_info",
        )
        making = frame.f_code.co_qualname in unknown or "_backends" in name
        if making or not ("httpcore" in name or name.endswith(("connections.py", "http11.py"))):
            return None
        if event == "line":
            left -= 1
            if not left:
                sys.settrace(None)
                raise error
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    except error as raised:
        return frames_that_show_the_key(raised)
    finally:
        sys.settrace(before)
    return None


@pytest.mark.parametrize(("error", "step"), [(KeyboardInterrupt, 1), (SystemExit, 7), (MemoryError, 7)])
def test_interrupted_at_each_line(error: type[BaseException], step: int, tls: ssl.SSLContext | None) -> None:
    """Ctrl-C, wherever it comes in a request, costs no place, leaves no socket, shows no key, and the next call gets its own answer."""
    step *= 1 if tls is None else 17  # a handshake takes its time
    with serving(echo, tls=tls) as server:
        reranker = Reranker(KEY, base_url=server.url)
        room = reranker._connections._room
        for fresh in (True, False):
            for line in range(1, 5_000, step):
                if fresh:
                    while room.idle:
                        room.idle.pop().close()
                shown = interrupted(lambda: reranker.rerank("interrupted", ["d"]), line, error)
                if shown is None:
                    break
                assert not shown
                assert not room.in_use
                # An error within an except clause may leave its error handled for good, in all later contexts.
                assert sys.exception() is None
                assert (reranker.rerank("after", ["d"])).model == "after"
            else:
                pytest.fail("the work has more lines than that")
            assert line > 50
        reranker.close()
        assert server.wait_until(lambda server: server.held == 0)


def test_a_run_is_cut_while_it_shakes_hands() -> None:
    """A run of many queries that is closed does not wait for a server that never takes part in a handshake."""
    with (
        deaf() as url,
        Reranker(KEY, base_url=url.replace("http:", "https:"), timeout=60, deadline=None) as reranker,
    ):
        connections: Connections = reranker._connections
        failures: list[BaseException] = []

        def call() -> None:
            try:
                reranker.rerank("q", ["d"])
            except APIConnectionError as error:
                failures.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        while not any(isinstance(lane.clock._socket, ssl.SSLSocket) for lane in connections._room.in_use):
            thread.join(0.01)
        connections.cut()
        thread.join()
        assert len(failures) == 1


def test_a_place_that_is_lost_is_free_again() -> None:
    """A connection whose user went away, however that was, is not in use any more."""
    connections = Connections("http://127.0.0.1:1/rerank", {}, 1)
    lane = connections._room.take(connections._options, 0)
    assert lane is not None
    assert connections._room.take(connections._options, 0) is None
    del lane
    assert connections._room.take(connections._options, 0) is not None


def test_a_place_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waits for a connection gets the next that is given back, unless another was faster."""
    room = Connections("http://127.0.0.1:1/rerank", {}, 1)._room
    lane = room.take({}, 0)
    assert lane is not None
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(room.take({}, time.monotonic() + 60)))
    thread.start()
    while not room._freed._waiters:  # type: ignore[attr-defined] # it has no other sign of them
        thread.join(0.01)
    with room.lock:  # woken for nothing
        room._freed.notify()
    monkeypatch.setattr(lane, "is_idle", lambda: True)
    room.give_back(lane, Answer(200, {}, b""))
    thread.join()
    assert found == [lane]


def test_what_is_dropped_is_closed() -> None:
    """A reranker that nobody closes leaves no socket to the garbage collector."""
    with serving(echo) as server:
        reranker = Reranker(KEY, base_url=server.url)
        reranker.rerank("q", ["d"])
        connected: socket.socket = reranker._connections._room.idle[0].clock._socket
        del reranker
        gc.collect()
        assert connected.fileno() == -1
        assert server.wait_until(lambda server: server.held == 0)


def test_half_a_head() -> None:
    """A server that sends its answer early, and then goes, is heard."""

    def early(_: Request) -> Script:
        yield head(413, {"Content-Length": "0", "Connection": "close"})

    with serving(early) as server, Reranker(KEY, base_url=server.url) as reranker:
        for number in range(2):
            with pytest.raises(openrouter_rerank.BadRequestError):
                reranker.rerank("q", ["d"])
            assert server.connections == number + 1
