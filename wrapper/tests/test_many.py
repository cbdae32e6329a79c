"""Many queries: what comes back, in which order, at which pace, and that nothing is left when the caller goes."""

from __future__ import annotations

import asyncio
import gc
import inspect
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from anyio.from_thread import start_blocking_portal

from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
    BudgetExceededError,
    RateLimitError,
    Reranker,
    Retries,
)
from openrouter_rerank.bulk import tasks, threads
from openrouter_rerank.bulk.many import FIELDS, Progress, RerankRequest, Result
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.run import Run
from openrouter_rerank.connections import Connections
from openrouter_rerank.operations import Failure, Secrets, Send
from openrouter_rerank.testing import Request as Sent
from openrouter_rerank.testing import Script, answer, envelope, faulty, head, honest, serving
from openrouter_rerank.testing import results as body_of
from openrouter_rerank.testing.faults import CHUNKED
from shells import KEY, LONG, QUICK, SOON, TIMEOUTS, Clock, Handler, Shell

BUSY = answer(429, envelope(429, "Rate limit exceeded"))


class Verdict(BaseException):
    """A BaseException that is not an Exception, as those of `pytest.fail` and SystemExit."""


def many(  # noqa: C901 - both shells, with whatever a test needs
    shell: Shell,
    requests: Any,
    handler: Handler | None = None,
    *,
    leave: int | None = None,
    client: dict[str, Any] | None = None,
    after: Callable[[], None] = lambda: None,
    **options: Any,
):
    """Return the results of a run, and what it raised; it is left after so many results, and its client used after that."""
    settings = {"api_key": KEY, "retries": QUICK, **(client or {})}
    found: list[Result] = []
    raised: BaseException | None = None
    if shell.name == "sync":
        if handler is not None:
            settings["http_client"] = httpx.Client(transport=httpx.MockTransport(handler))
        with Reranker(**settings) as reranker:
            try:
                for result in reranker.rerank_many(requests, **options):
                    found.append(result)
                    if len(found) == leave:
                        break
            except (Exception, Verdict) as error:  # noqa: BLE001 - it is looked at
                raised = error
            after()
        return found, raised
    if handler is not None:
        settings["http_client"] = httpx.AsyncClient(transport=httpx.MockTransport(handler))

    async def run() -> BaseException | None:
        async with AsyncReranker(**settings) as reranker:
            raised: BaseException | None = None
            try:
                async with reranker.rerank_many(requests, **options) as results:
                    async for result in results:
                        found.append(result)
                        if len(found) == leave:
                            break
            except (Exception, Verdict) as error:  # noqa: BLE001 - it is looked at
                raised = error
            await anyio.to_thread.run_sync(after)
            return raised

    with start_blocking_portal(shell.name) as portal:
        return found, portal.call(run)


def pairs(number: int) -> Iterator[tuple[str, list[str]]]:
    """So many requests, each with a query of its own."""
    return ((f"q{index}", ["a", "b", "c"]) for index in range(number))


def ranked(request: httpx.Request) -> httpx.Response:
    """Return an answer that says which query it is for."""
    query = json.loads(request.content)["query"]
    return httpx.Response(200, json=body_of((1, 0.9), (0, 0.5), id=query))


def nobody(request: httpx.Request) -> httpx.Response:
    """Nothing is sent."""
    message = f"{request} was sent"
    raise AssertionError(message)


# What comes back


@pytest.mark.parametrize("number", [0, 1, 7, 100])
def test_every_request_has_its_result(any_shell: Shell, number: int):
    """Each request gives one result, in the order of the requests, with its own ranking."""
    found, raised = many(any_shell, pairs(number), ranked, concurrency=7)

    assert raised is None
    assert [(result.index, result.request.query, result.unwrap().id) for result in found] == [
        (index, f"q{index}", f"q{index}") for index in range(number)
    ]


def test_as_they_come(any_shell: Shell):
    """Unordered, a result comes before that of an earlier request that takes longer; ordered, it waits for it."""
    given: list[Progress] = []

    def slow_first(request: Sent) -> Script:
        # Unordered, until another result was given; ordered, until all others were sent.
        while request.json["query"] == "q0" and not (len(server.requests) == 5 if ordered else given):
            yield 0.01
        early.extend(given)
        yield honest(request)

    for ordered, first in ((True, 0), (False, 1)):
        given.clear()
        early: list[Progress] = []
        with serving(slow_first) as server:
            client = {"base_url": server.url}
            found, _ = many(
                any_shell, pairs(5), client=client, ordered=ordered, concurrency=2, progress=given.append
            )
        assert found[0].index == first
        assert bool(early) is not ordered
        assert sorted(result.index for result in found) == [0, 1, 2, 3, 4]
        assert all(result.ok for result in found)


def test_what_a_request_may_be(any_shell: Shell):
    """A RerankRequest, a mapping and a pair are all taken, with the arguments of `rerank`."""
    asked: list[Any] = []

    def handler(request: httpx.Request) -> httpx.Response:
        import json

        asked.append(json.loads(request.content))
        return httpx.Response(200, json=body_of((0, 0.9)))

    given = [
        RerankRequest(query="q", documents=[{"body": "a"}], key="body", model="own/model", tag="mine"),
        {"query": "q", "documents": ["a"], "top_n": 1},
        ["q", ("a",)],
    ]
    found, _ = many(any_shell, given, handler, concurrency=1)

    assert [result.unwrap().indices for result in found] == [[0], [0], [0]]
    assert asked[0]["model"] == "own/model"
    assert asked[0]["documents"] == ["a"]
    assert asked[1]["top_n"] == 1
    assert asked[2]["documents"] == ["a"]
    assert "tag" not in asked[0]
    assert "mine" in repr(found[0].request)
    assert "mine" not in repr(found[2].request)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "a misspelt key": (
        {"query": "q", "document": []},
        ValueError,
        "no 'document'; did you mean 'documents'?",
    ),
    "an unknown key": ({"query": "q", "zzz": 1}, ValueError, "no 'zzz'; a request has query, documents"),
    "no documents": ({"query": "q"}, ValueError, "needs 'documents'; this one has query"),
    "nothing": ({}, ValueError, "needs 'query'; this one has nothing"),
    "three of a pair": (("q", [], 3), TypeError, "or a pair of both, not tuple"),
    "a string": ("qd", TypeError, "not str"),
    "a query that is none": ((7, ["a"]), TypeError, "query"),
    "documents that are none": (("q", 7), TypeError, "documents"),
    "top_n of 0": ({"query": "q", "documents": ["a"], "top_n": 0}, ValueError, "top_n"),
    "a key that fails": (
        {"query": "q", "documents": ["a"], "key": lambda _: 1 / 0},
        ZeroDivisionError,
        "division",
    ),
}


def test_bad_requests_are_results(any_shell: Shell):
    """An invalid request is a result with its error; it is not sent, and the others go on."""
    good = ("q", ["a", "b"])
    found, raised = many(any_shell, [good, *(bad for bad, _, _ in BAD.values()), good], ranked)

    assert raised is None
    assert found[0].ok
    assert found[-1].ok
    for result, (given, error, says) in zip(found[1:-1], BAD.values(), strict=True):
        assert type(result.error) is error
        assert says in str(result.error)
        assert result.ranking is None
        assert result.request == given or isinstance(result.request, RerankRequest)
        with pytest.raises(error):
            result.unwrap()


def test_headers_of_one_request(any_shell: Shell):
    """The extra headers of a request are sent with that request alone."""
    sent: dict[str, str | None] = {}

    def handler(request: httpx.Request) -> httpx.Response:
        sent[json.loads(request.content)["query"]] = request.headers.get("x-mine")
        return ranked(request)

    requests = [RerankRequest("q0", ["a", "b"], extra_headers={"X-Mine": "1"}), ("q1", ["a", "b"])]
    found, raised = many(any_shell, requests, handler)

    assert raised is None
    assert [result.ok for result in found] == [True, True]
    assert sent == {"q0": "1", "q1": None}


def test_failures_are_results(any_shell: Shell):
    """A request that fails carries its error, and stops none of the others."""

    def handler(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(400, json=envelope(400, "no")) if b'"q3"' in request.content else ranked(request)
        )

    found, _ = many(any_shell, pairs(9), handler, concurrency=3)

    assert [result.ok for result in found] == [True] * 3 + [False] + [True] * 5
    assert getattr(found[3].error, "status", None) == 400


def test_stops_on_an_error_when_asked(any_shell: Shell):
    """With stop_on_error, the first failure is the last result, those before it come still, and little more is sent."""
    sent: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return httpx.Response(400) if b'"q3"' in request.content else ranked(request)

    found, raised = many(any_shell, pairs(1000), handler, concurrency=2, stop_on_error=True)

    assert raised is None
    assert [result.ok for result in found] == [True, True, True, False]
    assert len(sent) < 20


def test_nothing_follows_the_error_that_stops(any_shell: Shell):
    """With stop_on_error, the failures of other requests in flight are no results."""
    barrier = threading.Barrier(3)
    started: list[httpx.Request] = []

    def threads_together(_: httpx.Request) -> httpx.Response:
        barrier.wait(60)
        return httpx.Response(400)

    async def tasks_together(request: httpx.Request) -> httpx.Response:
        started.append(request)
        with anyio.fail_after(60):
            while len(started) < 3:
                await anyio.lowlevel.checkpoint()
        return httpx.Response(400)

    handler: Any = threads_together if any_shell.name == "sync" else tasks_together
    found, raised = many(any_shell, pairs(3), handler, concurrency=3, stop_on_error=True)

    assert raised is None
    assert [result.ok for result in found] == [False]


def test_an_exhausted_budget_ends_the_run(any_shell: Shell):
    """After max_cost no more requests are taken: those under way have their results, and the refusals say why."""
    taken = count()

    def requests() -> Iterator[tuple[str, list[str]]]:
        for pair in pairs(1000):
            next(taken)
            yield pair

    def handler(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=body_of((0, 0.9), usage={"cost": 0.5}))

    found, raised = many(any_shell, requests(), handler, concurrency=2, client={"max_cost": 2.0})

    assert raised is None
    assert sum(result.ok for result in found) == 4
    assert all(isinstance(result.error, BudgetExceededError) for result in found if not result.ok)
    assert 1 <= sum(not result.ok for result in found) <= 2
    assert next(taken) < 30


def test_a_budget_is_not_passed_by_first_calls(any_shell: Shell):
    """With max_cost, one request is under way alone until it has told what one costs, however many may be."""
    first = threading.Event()
    early: list[str] = []

    def script(request: Sent) -> Script:
        query = request.json["query"]
        if query == "q0":
            yield answer(400, envelope(400, "no"))
            return
        if not first.is_set() and query != "q1":
            early.append(query)
        yield 0.1
        first.set()
        yield answer(200, body_of((0, 0.9), usage={"cost": 0.5}))

    with serving(script) as server:
        client = {"base_url": server.url, "max_cost": 2.0}
        found, _ = many(any_shell, pairs(100), client=client, concurrency=32)

    assert early == []
    assert sum(result.ok for result in found) == 4


def test_an_error_of_the_iterable(any_shell: Shell):
    """An error of the caller's iterable is raised after the results of the requests that were begun."""

    def breaking() -> Iterator[tuple[str, list[str]]]:
        yield from pairs(3)
        raise LookupError("mine")

    found, raised = many(any_shell, breaking(), ranked)

    assert len(found) == 3
    assert isinstance(raised, LookupError)


def test_what_no_result_can_carry(any_shell: Shell):
    """A BaseException of the caller's own code within a call ends the run and is raised by it."""

    def key(document: str) -> str:
        if document == "x":
            raise Verdict("failed")
        return document

    def requests() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            yield {"query": "q", "documents": ["a", "x" if number == 5 else "b"], "key": key}

    found, raised = many(any_shell, requests(), ranked, concurrency=2)

    assert isinstance(raised, Verdict)
    indices = [result.index for result in found]
    assert indices[:5] == [0, 1, 2, 3, 4]
    assert indices[5:] == list(range(6, 6 + len(indices[5:])))
    assert len(indices) < 30
    assert all(result.ok for result in found)


def test_an_end_leaves_no_gap(monkeypatch: pytest.MonkeyPatch):
    """A request that a thread has taken begins before later ones do, so that the end of a run does not drop it alone."""
    enter, ends = threads._LocalGate.enter, threading.Event()
    numbers = count()

    def slow_third(gate: Any, *, begun: bool, end: float = math.inf) -> int | None:
        if not begun and next(numbers) == 2:
            ends.wait(0.2)  # time for other threads to go ahead, if they could
        return enter(gate, begun=begun, end=end)

    def key(document: str) -> str:
        if document == "x":
            ends.set()
            raise Verdict("failed")
        return document

    monkeypatch.setattr(threads._LocalGate, "enter", slow_third)
    requests = ({"query": "q", "documents": ["x" if number == 5 else "a"], "key": key} for number in count())
    found, raised = many(Shell("sync"), requests, ranked, concurrency=3)

    assert isinstance(raised, Verdict)
    assert [result.index for result in found][:5] == [0, 1, 2, 3, 4]


def test_an_error_of_a_gate_ends_the_run(monkeypatch: pytest.MonkeyPatch):
    """An error with which a thread fails to begin a call is raised to the caller, after the results before it."""
    enter, numbers = threads._LocalGate.enter, count()

    def broken(gate: Any, *, begun: bool, end: float = math.inf) -> int | None:
        if not begun and next(numbers) == 2:
            raise LookupError("the gate's")
        return enter(gate, begun=begun, end=end)

    monkeypatch.setattr(threads._LocalGate, "enter", broken)
    found, raised = many(Shell("sync"), pairs(1000), ranked, concurrency=2)

    assert isinstance(raised, LookupError)
    assert [result.index for result in found][:2] == [0, 1]
    assert 2 not in [result.index for result in found]


def test_an_end_of_the_requests_hides_no_error():
    """If the iterable ends after a call raised a BaseException, the run still raises it."""

    def key(_: str) -> str:
        raise Verdict("failed")

    def requests() -> Iterator[dict[str, Any]]:
        yield {"query": "q", "documents": ["a"], "key": key}
        end = time.monotonic() + SOON
        while run._run.broken is None and time.monotonic() < end:
            time.sleep(0.001)

    async def arequests() -> AsyncIterator[dict[str, Any]]:
        yield {"query": "q", "documents": ["a"], "key": key}
        with anyio.fail_after(SOON):
            while arun._run.broken is None:
                await anyio.lowlevel.checkpoint()

    async def main() -> None:
        nonlocal arun
        client = httpx.AsyncClient(transport=httpx.MockTransport(nobody))
        async with AsyncReranker(KEY, http_client=client) as reranker:
            arun = reranker.rerank_many(arequests())
            with pytest.raises(Verdict, match="failed"):
                assert [result async for result in arun] == []

    arun: Any = None
    with Reranker(KEY, http_client=httpx.Client(transport=httpx.MockTransport(nobody))) as reranker:
        run = reranker.rerank_many(requests())
        with pytest.raises(Verdict, match="failed"):
            assert list(run) == []
    anyio.run(main)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("kind", [Verdict, asyncio.CancelledError])
def test_what_ends_an_async_iterable(backend: str, kind: type[BaseException]):
    """An async iterable that fails with what is no Exception, as one whose own task was cancelled, is no end of the requests."""
    if backend == "trio":
        pytest.importorskip("trio", reason="trio is not installed")

    async def requests() -> AsyncIterator[tuple[str, list[str]]]:
        for pair in pairs(3):
            yield pair
        raise kind("mine")

    found: list[int] = []

    async def main() -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(ranked))
        async with AsyncReranker(KEY, http_client=client) as reranker:
            with pytest.raises(kind, match="mine"):
                async for result in reranker.rerank_many(requests(), concurrency=1):
                    found[:] = [*found, result.index]

    anyio.run(main, backend=backend)
    assert found == [0, 1, 2]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_iterable(backend: str):
    """Requests may come from an async iterable, one at a time, and results do not wait for its end."""
    if backend == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    given = 0
    first = anyio.Event()

    async def requests() -> AsyncIterator[tuple[str, list[str]]]:
        nonlocal given
        for pair in pairs(6):
            given += 1
            if given == 5:
                with anyio.fail_after(SOON):
                    await first.wait()
            yield pair

    seen: list[int] = []

    async def main() -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(ranked))
        async with AsyncReranker(KEY, http_client=client) as reranker:
            async for result in reranker.rerank_many(requests(), concurrency=4):
                assert result.unwrap().id == f"q{result.index}"
                seen.append(given)
                first.set()

    anyio.run(main, backend=backend)
    assert len(seen) == 6
    assert seen[0] <= 5


def test_refusals_are_no_attempts_of_another_part(any_shell: Shell):
    """Of a list in parts, one that the server refuses for a while leaves another, that fails, its own few attempts."""
    sent: dict[str, int] = {"a": 0, "b": 0}

    def script(request: Sent) -> Script:
        (document,) = request.json["documents"]
        sent[document] += 1
        if document == "b":
            yield 0.05
            yield answer(500, envelope(500, "no"))
        elif sent[document] <= 6:
            yield answer(429, envelope(429, "busy"), headers={"Retry-After": "0"})
        else:
            yield honest(request)

    asked = {
        "query": "q",
        "documents": ["a", "b"],
        "max_documents": 1,
        "provider": {"only": ["x"]},
        "on_part_error": "partial",
    }
    with serving(script) as server:
        client = {"base_url": server.url, "retries": Retries(first_wait=0.001)}
        ((result,), _) = many(any_shell, [asked], client=client)

    assert result.unwrap().indices == [0]
    assert sent["b"] == 3


def test_requests_are_taken_as_results_are(any_shell: Shell):
    """Of endlessly many requests no more are taken than results were given, and four times the concurrency."""
    taken = count()

    def endless() -> Iterator[tuple[str, list[str]]]:
        for _ in taken:
            yield ("q", ["a", "b"])

    found, _ = many(any_shell, endless(), ranked, concurrency=3, leave=50)

    assert len(found) == 50
    assert next(taken) <= 50 + 4 * 3 + 1


def test_sync_requests_are_taken_in_the_callers_thread():
    """The iterable of the sync shell runs where the caller does: a database's cursor may not change threads."""
    threads: set[int] = set()

    def requests() -> Iterator[tuple[str, list[str]]]:
        for pair in pairs(20):
            threads.add(threading.get_ident())
            yield pair

    many(Shell("sync"), requests(), ranked)
    assert threads == {threading.get_ident()}


def test_progress(any_shell: Shell):
    """Progress is told before each result: done, failed, costs as far as they are known, time, and the limit."""
    told: list[Progress] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if b'"q2"' in request.content:
            return httpx.Response(400)
        usage = {} if b'"q3"' in request.content else {"cost": 0.25, "search_units": 1, "total_tokens": 9}
        return httpx.Response(200, json=body_of((0, 0.9), usage=usage))

    many(any_shell, [*pairs(4), ("q", [])], handler, progress=told.append)

    assert [(now.done, now.failed) for now in told] == [(1, 0), (2, 0), (3, 1), (4, 1), (5, 1)]
    last = told[-1]
    assert (last.cost, last.unknown, last.search_units, last.total_tokens) == (0.5, 1, 2, 18)
    assert 0 < last.elapsed < SOON
    assert last.limit == 8


# The pace


def test_no_more_at_a_time_than_the_server_bears(any_shell: Shell):
    """A server that bears three at a time and refuses the rest gets every request answered: refusals cost no attempt."""
    under_way = 0
    most = 0
    lock = threading.Lock()

    def three(request: Sent) -> Script:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            refused = under_way > 3
        while most <= 3:  # until there was one too many
            yield 0.002
        with lock:  # before the answer, after which the next one may come
            under_way -= 1
        yield BUSY if refused else honest(request)

    with serving(three) as server:
        found, _ = many(any_shell, pairs(150), client={"base_url": server.url}, concurrency=12)
        refused = len(server.requests) - 150

    assert [result.error for result in found if not result.ok] == []
    assert any(len(result.unwrap().attempts) > 1 for result in found)
    assert 0 < refused < 150
    assert most <= 12


def test_refused_for_ever(any_shell: Shell, clock: Clock):
    """A server that always refuses fails each call by its deadline, and one that may not be tried again at once."""

    def refusing(request: Sent) -> Script:
        if request.number == 12:
            clock.advance(LONG)
        yield BUSY

    with serving(refusing) as server:
        client = {"base_url": server.url, "deadline": LONG}
        patient, _ = many(any_shell, pairs(2), client=client)
        once, _ = many(any_shell, pairs(2), client={**client, "retries": Retries(attempts=1)})
    with faulty("status_503_retry_after_an_hour") as server:
        hour, _ = many(any_shell, pairs(1), client={"base_url": server.url})

    assert all(isinstance(result.error, RateLimitError) for result in once)
    assert all(isinstance(result.error, RateLimitError | APITimeoutError) for result in patient)
    assert all(result.error.attempts[0].status == 429 for result in patient)
    assert max(len(result.error.attempts) for result in patient) > 3
    assert [len(result.error.attempts) for result in [*once, *hour]] == [1, 1, 1]


def test_an_error_inside_a_200_is_a_refusal_too(any_shell: Shell):
    """A 429 that comes in the body of a 200 slows the run down as well."""
    told: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        if not told:
            told.append(0)
            return httpx.Response(200, json=envelope(429, "slow down"))
        return ranked(request)

    limits: list[int] = []
    found, _ = many(
        any_shell, pairs(3), handler, concurrency=8, progress=lambda now: limits.append(now.limit)
    )

    assert all(result.ok for result in found)
    assert limits[-1] < 8


def test_other_failures_are_tried_again_as_ever(any_shell: Shell):
    """A failure that is not a refusal is an attempt of the call; while it waits another call takes its place."""
    with faulty("dropped_always") as server:
        found, _ = many(any_shell, pairs(6), client={"base_url": server.url}, concurrency=2)
        sent = len(server.requests)

    assert all(isinstance(result.error, APIConnectionError) for result in found)
    assert sent == 6 * QUICK.attempts


@pytest.mark.parametrize(
    ("workers", "waiting", "needed"),
    [(0, 0, True), (1, 0, True), (2, 0, False), (2, 1, True), (3, 1, False), (3, 2, True), (4, 4, False)],
)
def test_workers_of_a_run(workers: int, waiting: int, needed: bool):
    """With two requests at a time there are two workers, and at most two more for those that wait to retry."""
    run = SimpleNamespace(concurrency=2, _workers=workers, _waiting=waiting)

    assert Run.needs_worker.fget(run) is needed


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which each worker that a run makes is added."""
    made: list[str] = []

    def count_those_of(module: ModuleType, name: str) -> None:
        kind = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *arguments: made.append(name) or kind(*arguments))

    count_those_of(threads, "_ThreadWorker")
    count_those_of(tasks, "_TaskWorker")
    return made


def test_workers_that_replace_waiting_ones_are_limited(any_shell: Shell, workers: list[str]):
    """However often calls wait to retry, a run has no more than twice as many workers as requests at a time."""
    failed = Counter[str]()

    def twice_in_vain(request: httpx.Request) -> httpx.Response:
        query = json.loads(request.content)["query"]
        failed[query] += 1
        return httpx.Response(500, json=envelope(500, "no")) if failed[query] <= 2 else ranked(request)

    client = {"retries": Retries(attempts=3, first_wait=0.01)}
    found, _ = many(any_shell, pairs(20), twice_in_vain, client=client, concurrency=2)

    assert all(result.ok for result in found)
    assert len(workers) in (3, 4)


def test_a_worker_that_has_waited_is_not_replaced_again(any_shell: Shell, workers: list[str]):
    """Calls that wait one after the other need one worker more, and not one for each."""
    sent = Counter[str]()

    def one_after_the_other(request: Sent) -> Script:
        query = request.json["query"]
        sent[query] += 1
        while query == "q9" and sent["q0"] < 2:
            yield 0.01
        fails = query in ("q0", "q9") and sent[query] == 1
        yield answer(500, envelope(500, "no")) if fails else honest(request)

    with serving(one_after_the_other) as server:
        found, _ = many(any_shell, pairs(10), client={"base_url": server.url}, concurrency=2)

    assert all(result.ok for result in found)
    assert len(workers) == 3


def test_a_waiting_call_holds_no_place(any_shell: Shell):
    """While a call waits to try again, as many others are under way as may be."""
    for wait in TIMEOUTS:

        def first_fails(request: Sent, wait: float = wait) -> Script:
            if request.number == 1:
                yield answer(500, envelope(500, "no"), headers={"Retry-After": f"{wait}"})
            else:
                yield honest(request)

        with serving(first_fails) as server:
            client = {"base_url": server.url, "retries": Retries(longest_wait=SOON)}
            found, _ = many(any_shell, pairs(4), client=client, concurrency=1, ordered=False)
        assert all(result.ok for result in found)
        if [result.index for result in found] == [1, 2, 3, 0]:
            return
    pytest.fail("the others waited for the one that waited")


def test_rpm(any_shell: Shell, monkeypatch: pytest.MonkeyPatch):
    """With so many requests a minute, none starts sooner than its turn after the one before."""
    times: list[float] = []
    start = Pace.start

    def noted(pace: Pace, now: float) -> int:
        assert now <= time.monotonic()
        times.append(now)
        return start(pace, now)

    monkeypatch.setattr(Pace, "start", noted)
    found, _ = many(any_shell, pairs(6), ranked, requests_per_minute=60 / 0.05)

    assert all(result.ok for result in found)
    assert len(times) == 6
    assert all(later - sooner > 0.05 - 1e-6 for sooner, later in itertools.pairwise(times))


def test_what_needs_no_request_waits_for_none(any_shell: Shell):
    """Empty lists are answered without a request, and take no start from others, however few a minute may have."""
    began = time.monotonic()
    found, _ = many(any_shell, (("q", []) for _ in range(200)), nobody, requests_per_minute=1)

    assert all(len(result.unwrap()) == 0 for result in found)
    assert time.monotonic() - began < SOON


def test_the_deadline_begins_with_the_first_request(any_shell: Shell, clock: Clock):
    """To queue for a place is no part of a call's time: what comes after a call of twice its deadline is ranked."""

    def first_for_long(request: Sent) -> Script:
        if request.number == 1:
            clock.advance(2 * LONG)
        yield honest(request)

    with serving(first_for_long) as server:
        client = {"base_url": server.url, "timeout": LONG, "deadline": LONG}
        found, _ = many(any_shell, pairs(8), client=client, concurrency=1)

    assert [result.error for result in found[1:]] == [None] * 7


def test_a_call_that_has_begun_queues_before_others(any_shell: Shell):
    """If starts are spaced, a call that retries goes before one that has not begun."""

    def once_in_vain(request: Sent) -> Script:
        again = request.json["query"] in (
            earlier.json["query"] for earlier in server.requests[: request.number - 1]
        )
        yield honest(request) if again else answer(500, envelope(500, "no"))

    for spacing in TIMEOUTS:  # within which the first call comes back
        with serving(once_in_vain) as server:
            client = {"base_url": server.url, "deadline": LONG}
            found, _ = many(any_shell, pairs(2), client=client, requests_per_minute=60 / spacing)
        assert all(result.ok for result in found)
        order = [request.json["query"] for request in server.requests]
        if order == ["q0", "q0", "q1", "q1"]:
            break
    assert order == ["q0", "q0", "q1", "q1"]


def test_a_deadline_holds_while_a_call_queues_again(any_shell: Shell):
    """A call that has begun, and finds no place to try again before its deadline, ends then and sends nothing more."""
    for deadline in TIMEOUTS:
        with faulty("dropped_once") as server:
            client = {"base_url": server.url, "deadline": deadline}
            [first], _ = many(any_shell, pairs(1), client=client, requests_per_minute=0.1)
            sent = len(server.requests)
        assert isinstance(first.error, APITimeoutError)
        if sent:
            break

    assert sent == 1


def test_refusals_are_no_attempts(any_shell: Shell):
    """A call that was refused more often than it may try has all of its attempts left for other failures."""

    def script(request: Sent) -> Script:
        if request.number <= 5:
            yield BUSY
        elif request.number <= 7:
            yield answer(500, envelope(500, "no"))
        else:
            yield honest(request)

    with serving(script) as server:
        [result], _ = many(any_shell, pairs(1), client={"base_url": server.url})

    assert [attempt.status for attempt in result.unwrap().attempts] == [429] * 5 + [500] * 2 + [200]


def test_a_list_in_parts_goes_by_the_same_pace(any_shell: Shell):
    """A long list that is sent in parts has no more of them under way than the run may have requests."""
    under_way = 0
    most = 0
    lock = threading.Lock()

    def counting(request: Sent) -> Script:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        yield 0.02
        with lock:
            under_way -= 1
        yield honest(request)

    documents = [f"d{number}" for number in range(12)]
    with serving(counting) as server:
        client = {"base_url": server.url, "max_documents": 2}
        found, _ = many(any_shell, [("q", documents)] * 3, client=client, concurrency=2)
        sent = len(server.requests)

    assert [len(result.unwrap()) for result in found] == [12, 12, 12]
    assert sent == 18
    assert most <= 2


# Nothing is left


def ours() -> list[str]:
    """Return the threads of runs that are there."""
    return [thread.name for thread in threading.enumerate() if thread.name == "rerank-many"]


def silent(request: Sent) -> Script:
    """Answer the first request, and the others with blanks, by which a closed connection is noticed."""
    if request.number == 1:
        yield honest(request)
        return
    yield head(200, CHUNKED)
    while True:
        yield 0.02
        yield b"1\r\n \r\n"


def test_leaving_the_loop_leaves_nothing(any_shell: Shell):
    """A caller that goes after the first result leaves no thread, no task and no connection, and does not wait."""
    with serving(silent) as server:
        began = time.monotonic()

        def all_gone() -> None:
            assert server.wait_until(lambda now: now.held == 0)

        found, raised = many(
            any_shell,
            pairs(100),
            client={"base_url": server.url, "timeout": LONG},
            leave=1,
            ordered=False,
            after=all_gone,
        )
        took = time.monotonic() - began

    assert raised is None
    assert len(found) == 1
    assert ours() == []
    assert took < SOON


def test_the_end_leaves_nothing(any_shell: Shell):
    """A run that came to its end has closed its connections, while its client is still open."""
    with serving(lambda request: iter([honest(request)])) as server:  # type: ignore[arg-type, return-value]

        def all_gone() -> None:
            assert server.wait_until(lambda now: now.held == 0)

        found, _ = many(any_shell, pairs(20), client={"base_url": server.url}, after=all_gone)

    assert all(result.ok for result in found)
    assert ours() == []


def test_an_encrypted_connection_is_cut_too(any_shell: Shell):
    """Leaving the loop ends what waits for an encrypted answer."""
    trustme = pytest.importorskip("trustme", reason="trustme is not installed")
    import ssl

    def late_first(request: Sent) -> Script:
        while request.number == 1 and len(server.requests) < 8:  # until the others have shaken hands
            yield 0.02
        yield from silent(request)

    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with authority.cert_pem.tempfile() as certificates, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", certificates)
        with serving(late_first, tls=context) as server:
            began = time.monotonic()
            client = {"base_url": server.url, "timeout": LONG}
            found, _ = many(any_shell, pairs(9), client=client, leave=1, ordered=False)
            assert server.wait_until(lambda now: now.held == 0)
    assert found[0].ok
    assert time.monotonic() - began < SOON
    assert ours() == []


@pytest.mark.anyio
async def test_an_async_generator_that_is_forgotten():
    """On asyncio, a loop that is left by `break` alone ends its run when the event loop comes to it."""
    with serving(silent) as server:
        async with AsyncReranker(KEY, base_url=server.url, timeout=LONG) as reranker:
            async for _ in reranker.rerank_many(pairs(9), ordered=False):
                break
            gc.collect()
            assert await anyio.to_thread.run_sync(server.wait_until, lambda now: now.held == 0)


@pytest.mark.anyio
async def test_a_cancelled_run():
    """Cancelling the caller's task ends the run with it."""
    with serving(silent) as server:
        async with AsyncReranker(KEY, base_url=server.url, timeout=LONG) as reranker:

            async def run() -> None:
                async for _ in reranker.rerank_many(pairs(9)):
                    pass

            async with anyio.create_task_group() as group:
                group.start_soon(run)
                assert await anyio.to_thread.run_sync(server.wait_until, lambda now: len(now.requests) == 9)
                group.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(server.wait_until, lambda now: now.held == 0)


def test_a_run_that_never_began():
    """A run of which no result was asked for has started nothing and taken nothing."""
    with Reranker(KEY) as reranker:
        run = reranker.rerank_many(iter(pytest.fail, None))
        run.close()
        with pytest.raises(StopIteration):
            next(run)
    assert ours() == []


def test_a_pause_does_not_hold_up_who_leaves(any_shell: Shell):
    """A run that waits for a server's long pause is left at once."""

    def first_only(request: Sent) -> Script:
        while request.number == 1 and len(server.requests) == 1:
            yield 0.01
        if request.number == 1:
            yield honest(request)
        else:
            yield answer(429, envelope(429, "later"), headers={"Retry-After": f"{LONG}"})

    with serving(first_only) as server:
        began = time.monotonic()
        client = {"base_url": server.url, "deadline": 2 * LONG, "retries": Retries(longest_wait=LONG)}
        found, _ = many(any_shell, pairs(9), client=client, leave=1, concurrency=2, ordered=False)
        assert time.monotonic() - began < SOON
    assert found[0].ok


def test_draining(any_shell: Shell):
    """A drained run gives the results of what is under way, and takes and begins nothing more."""
    release = threading.Event()

    def handler(request: httpx.Request) -> httpx.Response:
        return ranked(request)

    if any_shell.name == "sync":
        client = httpx.Client(transport=httpx.MockTransport(handler))
        with Reranker(KEY, http_client=client) as reranker:
            run = reranker.rerank_many(pairs(10**9), concurrency=2)
            first = next(run)
            run.drain()
            rest = list(run)
    else:

        async def main() -> tuple[Result, list[Result]]:
            client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
            async with AsyncReranker(KEY, http_client=client) as reranker:
                run = reranker.rerank_many(pairs(10**9), concurrency=2)
                first = await anext(run)
                run.drain()
                return first, [result async for result in run]

        first, rest = anyio.run(main, backend=any_shell.name)
    release.set()
    assert first.index == 0
    assert len(rest) <= 8
    assert [result.index for result in rest] == sorted(result.index for result in rest)


INTERRUPTED = """
import signal, sys, threading
signal.signal(signal.SIGINT, signal.default_int_handler)
from openrouter_rerank import AsyncReranker, Reranker
pairs = (("q", ["a"]) for _ in iter(int, 1))
def sync():
    with Reranker("k", base_url=sys.argv[1], timeout=600) as reranker:
        for _ in reranker.rerank_many(pairs, ordered=False): print("one", flush=True)
async def main():
    async with AsyncReranker("k", base_url=sys.argv[1], timeout=600) as reranker:
        async for _ in reranker.rerank_many(pairs, ordered=False): print("one", flush=True)
try:
    if sys.argv[2] == "sync": sync()
    else:
        import asyncio; asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", [t.name for t in threading.enumerate()])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_ctrl_c(kind: str):
    """Ctrl-C leaves promptly while all requests are waiting for an answer, and leaves no thread."""
    with serving(silent) as server:
        command = [sys.executable, "-W", "error", "-c", INTERRUPTED, server.url, kind]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        with process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "one\n"
                assert server.wait_until(lambda now: len(now.requests) >= 8)
                os.kill(process.pid, signal.SIGINT)
                output, errors = process.communicate(timeout=SOON)
            finally:
                process.kill()
    assert (output.strip(), errors) == ("interrupted ['MainThread']", "")


def test_a_closed_client(any_shell: Shell):
    """A closed client starts no run, and one that is closed meanwhile takes no more requests."""
    if any_shell.name == "sync":
        client = httpx.Client(transport=httpx.MockTransport(ranked))
        reranker = Reranker(KEY, http_client=client)
        run = reranker.rerank_many(pairs(1000))
        next(run)
        reranker.close()
        with pytest.raises(RuntimeError, match="closed"):
            list(run)
        with pytest.raises(RuntimeError, match="closed"):
            reranker.rerank_many([])
    else:

        async def main() -> None:
            client = httpx.AsyncClient(transport=httpx.MockTransport(ranked))
            reranker = AsyncReranker(KEY, http_client=client)
            async with reranker.rerank_many(pairs(1000)) as run:
                await anext(run)
                await reranker.aclose()
                with pytest.raises(RuntimeError, match="closed"):
                    async for _ in run:
                        pass
            with pytest.raises(RuntimeError, match="closed"):
                reranker.rerank_many([])

        anyio.run(main, backend=any_shell.name)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"concurrency": 0}, "concurrency must be at least 1"),
        ({"requests_per_minute": -1}, "requests_per_minute must be more than 0"),
        ({"progress": 3}, "progress must be a function"),
        ({"requests": "q"}, "requests is one str; pass an iterable"),
        ({"requests": b"q"}, "requests is one bytes"),
        ({"requests": {"query": "q", "documents": []}}, "requests is one dict"),
        ({"requests": 7}, "requests must be an iterable of requests, not int"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_arguments_that_can_never_work(kind: Any, given: dict[str, Any], says: str):
    """A wrong argument is refused when the run is made, before anything is taken or sent."""
    arguments = {"requests": [], **given}
    with pytest.raises((ValueError, TypeError), match=says):
        kind(KEY).rerank_many(arguments.pop("requests"), **arguments)


def test_a_request_takes_what_a_call_takes():
    """A RerankRequest has all arguments of `rerank`, under the same names."""
    call = [name for name in inspect.signature(Reranker.rerank).parameters if name != "self"]

    assert sorted(FIELDS) == sorted(call)
    assert all(hasattr(RerankRequest("q", []), name) for name in call)


def test_connections_of_a_run_are_its_own():
    """More requests than a client has connections are under way, as a run brings its own."""

    def all_at_once(request: Sent) -> Script:
        while len(server.requests) < 120:
            yield 0.05
        yield honest(request)

    with serving(all_at_once) as server:
        client = {"base_url": server.url, "timeout": LONG}
        found, _ = many(Shell("sync"), pairs(130), client=client, concurrency=120)
    assert all(result.ok for result in found)


def test_connections_that_were_cut_send_nothing():
    """A thread that comes to send just after the cut fails at once, and nothing is connected."""
    with serving("dropped_while_idle") as server:
        connections = Connections(server.url, Secrets({}))
        connections.cut()
        outcome = connections.send(Send(Secrets({}), b"", 5.0, 100))
        assert isinstance(outcome, Failure)
        assert server.connections == 0


def test_what_keeping_raises_ends_the_run():
    """A function that is to keep the results gets each before its thread goes on, and what it raises is raised."""
    kept: list[int] = []

    def keep(result: Result) -> None:
        kept.append(result.index)
        if len(kept) == 3:
            raise OSError("full")

    with Reranker(KEY, http_client=httpx.Client(transport=httpx.MockTransport(ranked))) as reranker:
        run = reranker.rerank_many(pairs(1000), concurrency=1)
        run.keep(keep)
        with pytest.raises(OSError, match="full"):
            list(run)
    assert kept == [0, 1, 2]


def test_the_first_error_of_a_run_is_kept() -> None:
    """The end of the iterable, or a second error, does not replace the error that ended the run."""
    run: Any = SimpleNamespace(broken=None)
    first = KeyError("first")
    for error in (first, None, KeyError("second")):
        Run.stop_taking(run, error)
    assert run.broken is first
