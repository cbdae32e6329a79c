"""Threads that share an object: first calls at once, and what another thread does between two steps."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import ssl
import subprocess
import sys
from collections import deque
from time import monotonic
from typing import Any

import pytest

from openrouter_rerank import AsyncReranker, MemoryCache, Reranker, client, options
from openrouter_rerank.connections import Connections, _Room
from openrouter_rerank.integrations.pair import Pair, Setup
from openrouter_rerank.operations import Failure, Secrets, Send
from openrouter_rerank.testing import answer, results, serving
from shells import KEY

PROGRAM = """
import sys
from threading import Barrier, Thread
{imports}

together = Barrier(8)

def work():
    together.wait()
    {call}

sys.setswitchinterval(1e-7)
threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""
ANSWER = b'{"model": "m", "results": [{"index": 0, "relevance_score": 1, "document": {"text": "a"}}]}'
REPORT = json.dumps(
    {
        "complete": True,
        "target": "http://h.example/v1",
        "contract_version": "1.0.0",
        "tool_version": "0.1.0",
        "verdict": "conformant",
        "requests": 1,
        "elapsed_s": 0.5,
        "seed": 1,
        "command": "rerank-conformance check http://h.example/v1",
        "rules": [],
    }
)
FIRST = {
    "request": (
        "from openrouter_rerank import Reranker; reranker = Reranker.local()",
        'reranker.rerank("q", ["a"], provider={"sort": {"by": "price"}, "max_price": {"image": 1}}, trace={"a": 1})',
    ),
    "operation": (
        "from openrouter_rerank_api.api.rerank import create_rerank",
        f"create_rerank.parse(200, {ANSWER!r})",
    ),
    "model": (
        "from openrouter_rerank_api.models import ErrorResponse; from openrouter_rerank_api.types import convert",
        'convert({"error": {"code": 400, "message": "m", "metadata": {}}}, ErrorResponse)',
    ),
    "report": ("from rerank_conformance.report import Report", f"Report.from_json({REPORT!r})"),
}


@pytest.mark.parametrize(("imports", "call"), FIRST.values(), ids=FIRST)
def test_first_calls_at_once(imports: str, call: str) -> None:
    """No thread crashes the process: msgspec does if two threads meet a new class at once."""
    program = PROGRAM.format(imports=imports, call=call)
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


IMPORTS = """
import _frozen_importlib
import sys
from importlib import import_module
from importlib.machinery import PathFinder
from threading import Thread
from time import sleep

import httpx
import openrouter_rerank_api.client

errors = []

def load(module):
    try:
        import_module(module)
    except BaseException as error:
        errors.append(repr(error))

other = Thread(target=load, args=["openrouter_rerank_api.api.{operation}"])

def pause(spec):
    other.start()
    while other.is_alive() and not _frozen_importlib._blocking_on.get(other.ident):
        sleep(0.01)

class Pause:
    def find_spec(self, name, path=None, target=None):
        if name == "openrouter_rerank_api.models":
            spec = PathFinder.find_spec(name, path)
            spec.loader.create_module = pause  # the module is locked, and not in sys.modules yet
            return spec

sys.meta_path.insert(0, Pause())
load("openrouter_rerank_api.models")
other.join()
sys.exit("; ".join(errors) or None)
"""


@pytest.mark.parametrize("operation", ["rerank.create_rerank", "models.list_models"])
def test_imports_at_once(operation: str) -> None:
    """Two threads import the models and an operation at once, and neither fails with a deadlock of import locks."""
    program = IMPORTS.format(operation=operation)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# What another thread does between two steps. Each test puts it exactly there.


class _Emptied(deque[Any]):
    """Idle connections, of which another thread takes the last between a look and a step."""

    def __bool__(self) -> bool:
        self.clear()
        return True

    def __len__(self) -> int:
        return 1


def test_an_idle_connection_that_another_thread_closes() -> None:
    """A call makes a new connection where `aclose` in another event loop has closed the idle one meanwhile."""

    def echo(request: Any) -> Any:
        yield answer(200, results((0, 0.5)) | {"model": request.json["query"]})

    async def main() -> None:
        async with AsyncReranker(KEY, base_url=server.url) as reranker:
            await reranker.rerank("a", ["d"])
            (room,) = reranker._connections._rooms.values()
            room.close()
            room.closed = False
            room.idle = _Emptied()
            assert (await reranker.rerank("b", ["d"])).model == "b"
            room.idle = _Emptied()  # for the end of the block

    with serving(echo) as server:
        asyncio.run(main())


def test_a_connection_that_is_freed_at_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread whose wait ends as a connection is freed takes it, as no other thread is told of it."""
    room = _Room(1)
    lane = room.take({}, monotonic() + 60)
    assert lane is not None

    def wait(timeout: float) -> bool:
        room.give_back(lane, None)
        return False  # the time was up before

    monkeypatch.setattr(room._freed, "wait", wait)
    assert room.take({}, monotonic() + 60) is not None
    room.close()


def test_a_run_that_is_cut_as_tls_begins() -> None:
    """A handshake does not begin if the run was closed while the socket was wrapped."""

    class Context(ssl.SSLContext):
        def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
            connections.cut()
            return super().wrap_socket(*args, **options)

    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"https://127.0.0.1:{server.getsockname()[1]}/v1"
        connections = Connections(url, Secrets({}), verify=Context(ssl.PROTOCOL_TLS_CLIENT))
        failure = connections.send(Send(Secrets({}), b"{}", 60, 1000))
    assert isinstance(failure, Failure)
    assert str(failure.error) == "the time is up"


def test_a_signature_while_another_thread_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The signature of a method has its options for every thread, whichever makes it."""

    def rerank(self: object, **options: Any) -> None:
        """Do nothing."""

    made: list[object] = []

    class Holder:
        method = client._WithOptions(rerank, "CallOptions", shows_defaults=False)

    def document(*args: Any) -> None:
        made.append(args)
        if len(made) == 1:  # meanwhile, in another thread
            assert "top_n" in inspect.signature(Holder.method).parameters
        real(*args)

    real = options.document
    monkeypatch.setattr(options, "document", document)
    assert "top_n" in inspect.signature(Holder.method).parameters
    assert len(made) == 2


def test_the_repr_of_a_cache_in_use() -> None:
    """Counting the answers of a cache, which removes old ones, excludes other threads."""
    cache = MemoryCache()

    class Answers:
        maxsize = 7

        def __len__(self) -> int:
            assert cache._lock.locked()
            return 3

    cache._answers = Answers()  # type: ignore[assignment]
    assert repr(cache) == "<MemoryCache, 3 of 7 answers>"


class _ClosedMeanwhile(Pair):
    """The rerankers of an adapter that another thread closes before the call begins."""

    turns = 1

    def sync(self, setup: Setup) -> Reranker:
        reranker = super().sync(setup)
        if self.turns:
            self.turns -= 1
            reranker.close()
        return reranker

    async def asynchronous(self, setup: Setup) -> AsyncReranker:
        reranker = await super().asynchronous(setup)
        if self.turns:
            self.turns -= 1
            await reranker.aclose()
        return reranker


def _ranked(pair: Pair, setup: Setup, key: Any, *, is_async: bool) -> Any:
    if not is_async:
        return pair.rerank(setup, "q", ["a"], key)

    async def main() -> Any:
        try:
            return await pair.arerank(setup, "q", ["a"], key)
        finally:
            await pair.aclose()

    return asyncio.run(main())


def _setup(url: str | None, reranker: Any = None) -> Setup:
    arguments = {"base_url": url, "timeout": None, "deadline": None, "dialect": None}
    ready = {"reranker": reranker if isinstance(reranker, Reranker) else None}
    ready["async_reranker"] = reranker if isinstance(reranker, AsyncReranker) else None
    key = None if reranker else lambda: KEY
    return Setup(dict.fromkeys(["model", "splitter"]), "raise", arguments, key, KEY, **ready)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_adapter_that_another_thread_changes(*, is_async: bool) -> None:
    """A call of an adapter uses a new reranker if another thread closed the old one, by other settings or `close`."""
    with serving(lambda _: iter([answer(200, results((0, 0.5)))])) as server:
        pair = _ClosedMeanwhile()
        assert len(_ranked(pair, _setup(server.url), str, is_async=is_async)) == 1
        assert pair.turns == 0
        pair.close()


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("ready", [False, True], ids=["own code", "ready reranker"])
def test_an_adapter_with_a_closed_reranker(*, is_async: bool, ready: bool) -> None:
    """A closed reranker of the caller's raises; the adapter does not try for ever."""
    closed = Reranker(KEY, base_url="http://localhost:9/v1")
    closed.close()
    closed_async = AsyncReranker(KEY, base_url="http://localhost:9/v1")
    asyncio.run(closed_async.aclose())
    setup = _setup(None, closed_async if is_async else closed) if ready else _setup("http://localhost:9/v1")
    with pytest.raises(RuntimeError, match="this reranker is closed"):
        _ranked(
            pair := Pair(), setup, str if ready else lambda one: closed.rerank("q", [one]), is_async=is_async
        )
    if not ready and not is_async:
        pair.close()
