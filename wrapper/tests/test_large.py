"""Lists that take several requests: how they are split, what is sent, and the one ranking that comes of it."""

from __future__ import annotations

import _thread
import itertools
import json
import math
import pickle
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from openrouter_rerank import (
    APITimeoutError,
    AsyncReranker,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    Document,
    InvalidResponseError,
    Reranker,
    RerankError,
    Retries,
    ServerError,
    Usage,
)
from openrouter_rerank.bulk import split_by_words
from openrouter_rerank.bulk.large import _halved
from openrouter_rerank.bulk.together import _PartsRun, in_threads
from openrouter_rerank.operations import BackOff, Parallel, Secrets, Send, Wait
from shells import KEY, LONG, QUICK, SOON, Clock, Handler, Scoring, Shell

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def texts(*lengths: int) -> list[str]:
    """Texts of these lengths, and so of these scores."""
    return ["x" * length for length in lengths]


def reranker(handler: Handler, **given: Any) -> Reranker:
    """Return a client whose server is the handler."""
    client = httpx.Client(transport=httpx.MockTransport(handler))
    return Reranker(**{"api_key": KEY, "retries": QUICK, "http_client": client, **given})


# Splitting and merging


def test_a_list_within_the_limits_is_one_request() -> None:
    """At the limit nothing is split, and the ranking is that of its one answer."""
    server = Scoring()
    with reranker(server, max_documents=3) as client:
        ranking = client.rerank("q", texts(1, 2, 3))

    assert len(server.requests) == 1
    assert (ranking.parts, ranking.unranked, ranking.mixed, ranking.id) == ((), (), False, "gen-1")


def test_a_large_list_is_one_ranking(any_shell: Shell) -> None:
    """Parts are merged by score with the caller's indices and objects, equal scores in the caller's order."""
    server = Scoring()
    documents = [{"text": text} for text in texts(3, 5, 5, 1, 9, 5, 2)]
    with any_shell.open(server, max_documents=3) as rank:
        ranking: Any = rank("q", iter(documents))

    assert ranking.indices == [4, 1, 2, 5, 0, 6, 3]
    assert ranking.scores == [9, 5, 5, 5, 3, 2, 1]
    assert all(hit.document is documents[hit.index] for hit in ranking)
    assert sorted(server.sizes) == [1, 3, 3]
    assert [part.indices for part in ranking.parts] == [(0, 1, 2), (3, 4, 5), (6,)]
    assert sorted(part.id for part in ranking.parts) == ["gen-1", "gen-2", "gen-3"]
    assert {(part.model, part.provider, part.usage, part.error) for part in ranking.parts} == {
        ("m", "Cohere", Usage(0.25, 1), None)
    }
    assert (ranking.total, ranking.model, ranking.provider, ranking.mixed) == (7, "m", "Cohere", False)
    assert ranking.usage == Usage(0.75, 3, None)
    assert (ranking.id, ranking.request_id, ranking.unranked, ranking.reordered) == (None, None, (), False)
    assert [attempt.status for attempt in ranking.attempts] == [200, 200, 200]
    assert ranking.elapsed > 0
    assert "parts=3" in repr(ranking)
    with pytest.raises(InvalidResponseError, match="not one answer but 3"):
        _ = ranking.response
    assert pickle.loads(pickle.dumps(ranking)).indices == ranking.indices


@pytest.mark.parametrize("client", [{"top_n": 2, "min_score": 4.5}, {}])
def test_top_n_and_min_score_hold_for_the_whole(client: Any) -> None:
    """Each part is asked for top_n, as all of it may be in one; the merged ranking is cut, by min_score too."""
    server = Scoring()
    call = {} if client else {"top_n": 2, "min_score": 4.5}
    with reranker(server, max_documents=3, **client) as one:
        ranking = one.rerank("q", texts(3, 5, 4, 9, 4, 1, 2), **call)

    assert ranking.indices == [3, 1]
    assert sorted(asked["top_n"] for asked in server.requests) == [1, 2, 2]


@hypothesis_settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(1, 400),
    st.integers(1, 12),
    st.none() | st.integers(1, 45),
)
def test_splitting_changes_nothing(
    lengths: list[int], most: int, max_bytes: int, limit: int, top_n: int | None
) -> None:
    """A list that is split by documents, bytes or 413s gives the ranking of one request."""
    documents = texts(*lengths)
    with reranker(Scoring()) as client:
        whole = client.rerank("q", documents, top_n=top_n)
    with reranker(Scoring(most=limit), max_documents=most, max_bytes=max_bytes) as client:
        split = client.rerank("q", documents, top_n=top_n)

    assert (split.indices, split.scores, split.total) == (whole.indices, whole.scores, whole.total)


def test_bytes_are_a_limit(shell: Shell) -> None:
    """No request is larger than max_bytes, unless a single document is; parts are as large as they may be."""
    sizes: list[int] = []
    server = Scoring()

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(len(request.content))
        return server(request)

    documents = texts(*[300] * 20, 5_000, *[300] * 20)
    with shell.open(handler, max_bytes=2_000) as rank:
        ranking = rank("q", documents)

    assert len(ranking) == 41
    assert sum(server.sizes) == 41
    assert max(sizes) > 5_000
    assert sorted(sizes)[-2] <= 2_000
    assert len(sizes) == 9


def test_the_provider_is_within_the_limit() -> None:
    """The size of an added provider is counted: no request is larger than max_bytes."""
    for max_bytes in range(1_200, 1_520, 10):
        sizes: list[int] = []

        def handler(request: httpx.Request, sizes: list[int] = sizes) -> httpx.Response:
            sizes.append(len(request.content))
            return Scoring()(request)

        with reranker(handler, max_bytes=max_bytes) as client:
            client.rerank("q", texts(*[300] * 12))
        assert len(sizes) > 1
        assert max(sizes) <= max_bytes


def test_images_and_texts_are_split_alike() -> None:
    """Documents of any kind go to their part in the form in which they would go alone."""
    server = Scoring()
    documents = ["a", {"text": "bbb"}, Document(text="cc", image="https://i.example/c.png"), PNG]
    with reranker(server, max_documents=2) as client:
        assert client.rerank("q", documents).indices == [1, 2, 0, 3]

    sent = [document for asked in server.requests for document in asked["documents"]]
    assert sent[:3] == ["a", {"text": "bbb"}, {"text": "cc", "image": "https://i.example/c.png"}]
    assert sent[3]["image"].startswith("data:image/png;base64,")


def test_every_argument_reaches_every_part() -> None:
    """The caller's fields are sent with each part, and options of sending are not."""
    server = Scoring()
    with reranker(server, max_documents=2) as client:
        client.rerank("q", texts(1, 2, 3), user="u", session_id="s", extra_body={"priority": 1}, tag="t")
        assert client.ledger.by_tag["t"].calls == 2

    assert [set(asked) for asked in server.requests] == [
        {"model", "query", "documents", "user", "session_id", "priority"},
        {"model", "query", "documents", "user", "session_id", "priority", "provider"},
    ]


# Who serves


def test_the_provider_of_the_first_part_serves_the_others(any_shell: Shell) -> None:
    """The first part goes alone; the others ask for whoever served it, and for nobody else."""
    server = Scoring(providers=("A", "B", "C"))
    with any_shell.open(server, max_documents=1) as rank:
        ranking = rank("q", texts(1, 2, 3, 4))

    assert [asked.get("provider") for asked in server.requests] == [
        None,
        *[{"order": ["A"], "allow_fallbacks": False}] * 3,
    ]
    assert (ranking.provider, ranking.mixed) == ("A", False)


@pytest.mark.parametrize("given", [{"provider": {"sort": "price"}}, {"extra_body": {"provider": {"x": 1}}}])
def test_the_caller_says_who_serves(given: Any) -> None:
    """A caller's own preferences are sent as they are, and a ranking of several providers says so."""
    server = Scoring(providers=("A", "B"))
    with reranker(server, max_documents=1) as client:
        ranking = client.rerank("q", texts(1, 2, 3), **given)

    preferred = given.get("provider") or given["extra_body"]["provider"]
    assert [asked["provider"] for asked in server.requests] == [preferred] * 3
    assert (ranking.provider, ranking.model, ranking.mixed) == (None, "m", True)
    assert "mixed=True" in repr(ranking)


def test_a_server_that_names_no_provider() -> None:
    """There is nobody to ask for, and nothing that differs."""
    server = Scoring(providers=(None,))
    with reranker(server, max_documents=1) as client:
        ranking = client.rerank("q", texts(1, 2))

    assert not any("provider" in asked for asked in server.requests)
    assert ranking.mixed is False


def test_parts_are_sent_at_the_same_time_and_no_more_than_four() -> None:
    """After the first part, four are under way at a time, in either shell."""
    server = Scoring()
    gauge = {"now": 0, "most": 0}
    lock = threading.Lock()

    def enter(change: int) -> None:
        with lock:
            gauge["now"] += change
            gauge["most"] = max(gauge["most"], gauge["now"])

    def is_first(request: httpx.Request) -> bool:
        return json.loads(request.content)["documents"] == ["x"]

    four = threading.Barrier(4, timeout=SOON)

    def handler(request: httpx.Request) -> httpx.Response:
        enter(1)
        if not is_first(request):
            four.wait()
            time.sleep(0.05)  # in which a fifth would come
        enter(-1)
        return server(request)

    with reranker(handler, max_documents=1, timeout=LONG) as client:
        client.rerank("q", texts(*range(1, 14)))
    assert gauge == {"now": 0, "most": 4}

    async def ahandler(request: httpx.Request) -> httpx.Response:
        enter(1)
        with anyio.fail_after(SOON):
            while not is_first(request) and gauge["most"] < 4:
                await anyio.lowlevel.checkpoint()
        await anyio.sleep(0.05)  # likewise
        enter(-1)
        return server(request)

    async def main() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(ahandler))
        async with AsyncReranker(KEY, http_client=http, max_documents=1, timeout=LONG) as client:
            await client.rerank("q", texts(*range(1, 14)))

    gauge["most"] = 0
    anyio.run(main)
    assert gauge == {"now": 0, "most": 4}


# Too large for the server


def test_a_part_that_is_too_large_is_halved(any_shell: Shell) -> None:
    """413 halves a part, again and again, whichever part it is; the ranking is whole."""
    server = Scoring(most=3)
    with any_shell.open(server, max_documents=8) as rank:
        ranking = rank("q", texts(*range(1, 21)))

    assert ranking.indices == list(range(19, -1, -1))
    assert [part.indices for part in ranking.parts] == [
        tuple(range(start, start + 2)) for start in range(0, 20, 2)
    ]
    assert all(part.error is None for part in ranking.parts)


def test_a_list_within_our_limits_is_halved_too(shell: Shell) -> None:
    """A server that takes less than we think says so, and the call goes on; no retry is spent on it."""
    server = Scoring(most=2)
    with shell.open(server) as rank:
        ranking = rank("q", texts(1, 2, 3))

    assert ranking.indices == [2, 1, 0]
    assert server.sizes == [3, 1, 2]


def test_a_document_that_is_too_large_is_named(shell: Shell) -> None:
    """A single document that the server refuses ends the call, and the error says which it is."""

    def handler(request: httpx.Request) -> httpx.Response:
        if "huge" in json.loads(request.content)["documents"]:
            return httpx.Response(413, json={"error": {"code": 413, "message": "too large"}})
        return Scoring()(request)

    with shell.open(handler) as rank, pytest.raises(BadRequestError) as caught:
        rank("q", ["a", "b", "c", "huge", "d"])
    assert str(caught.value).startswith("document 3 is too large for this server by itself: 413")
    assert caught.value.status == 413
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)

    with (
        shell.open(handler) as rank,
        pytest.raises(BadRequestError, match=r"^a piece of document 1 is too large"),
    ):
        rank("q", ["a", "b huge"], splitter=str.split)
    with shell.open(handler) as rank, pytest.raises(BadRequestError, match=r"^413 "):
        rank("q", ["huge"])


def test_halving_ends_for_a_query_that_is_too_large() -> None:
    """After eight single documents in a row that are too large, the rest is not halved any more."""
    sizes: list[int] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)["documents"]))
        return httpx.Response(413, json={"error": {"code": 413, "message": "too large"}})

    with reranker(handler) as client, pytest.raises(BadRequestError):
        client.rerank("q", texts(*range(32)), on_part_error="partial", provider={"order": ["x"]})
    assert sizes.count(1) == 16


def test_halving_keeps_to_the_hundred() -> None:
    """A list is cut at a hundred documents, as a search is billed for each hundred begun; no part is empty."""
    for size in range(2, 1_500):
        first, second = _halved(range(7, 7 + size))
        assert [*first, *second] == list(range(7, 7 + size))
        assert first
        assert second
        if size > 100:
            units = math.ceil(len(first) / 100) + math.ceil(len(second) / 100)
            assert units == math.ceil(size / 100)
            assert max(len(first), len(second)) <= size / 2 + 150


# Failures


@pytest.fixture
def failed(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Return an event that is set once calls at the same time have heard of the first one that failed."""
    event, fail = threading.Event(), _PartsRun.failed

    def failed(run: _PartsRun, error: BaseException) -> None:
        fail(run, error)
        event.set()

    monkeypatch.setattr(_PartsRun, "failed", failed)
    return event


def test_a_part_that_fails_ends_the_call(any_shell: Shell, failed: threading.Event) -> None:
    """By default the first error is raised as it is; parts that have not begun never do."""
    server = Scoring(failing="y")
    documents = [*texts(1, 2), "yy", *texts(*range(3, 40))]

    def handler(request: httpx.Request) -> httpx.Response:
        # Threads send at the same time as the one that fails; tasks only one after the other, as here nothing awaits.
        if any_shell.name == "sync" and len(server.requests) and b"yy" not in request.content:
            failed.wait(SOON)
        return server(request)

    with (
        any_shell.open(handler, max_documents=1) as rank,
        pytest.raises(BadRequestError, match="failed on y") as caught,
    ):
        rank("q", documents)

    assert caught.value.__notes__ == ["This was the part with the documents 2 to 2."]
    assert len(server.requests) <= 1 + 4


def test_the_others_can_be_had(any_shell: Shell) -> None:
    """With "partial" the other parts are ranked, and the ranking says which documents are not, and why."""
    server = Scoring(failing="y")
    with any_shell.open(server, max_documents=2, on_part_error="partial") as rank:
        ranking = rank("q", [*texts(1, 2), "yy", *texts(3, 4)])

    assert ranking.indices == [4, 1, 0]
    assert ranking.unranked == (2, 3)
    assert [type(part.error).__name__ for part in ranking.parts] == [
        "NoneType",
        "BadRequestError",
        "NoneType",
    ]
    assert ranking.parts[1].indices == (2, 3)
    assert ranking.parts[1].usage == Usage(0.0, 0, 0)
    assert ranking.usage == Usage(0.5, 2, None)
    assert "unranked=2" in repr(ranking)
    assert pickle.loads(pickle.dumps(ranking)).unranked == (2, 3)


def test_the_next_part_leads_where_the_first_fails() -> None:
    """The provider is that of the first part that is served."""
    server = Scoring(failing="y", providers=("A", "B", "C"))
    with reranker(server, max_documents=1, on_part_error="partial") as client:
        ranking = client.rerank("q", ["y", *texts(1, 2, 3)])

    assert [asked.get("provider", {}).get("order") for asked in server.requests] == [None, None, ["B"], ["B"]]
    assert (ranking.unranked, ranking.provider) == ((0,), "B")


def test_where_nothing_is_served_the_first_error_is_raised(shell: Shell) -> None:
    """A ranking of nothing is none, partial or not."""
    with (
        shell.open(Scoring(failing="x"), max_documents=1, on_part_error="partial") as rank,
        pytest.raises(BadRequestError) as caught,
    ):
        rank("q", texts(1, 2))
    assert caught.value.__notes__ == ["This was the part with the documents 0 to 0."]


def test_what_all_parts_would_meet_ends_the_call_at_once() -> None:
    """A wrong key is not tried with every part, partial or not."""
    server = Scoring(failing="x", status=401)
    with (
        reranker(server, max_documents=1, on_part_error="partial") as client,
        pytest.raises(AuthenticationError),
    ):
        client.rerank("q", texts(1, 2, 3))
    assert len(server.requests) == 1


def test_a_lost_answer_makes_the_cost_unknown() -> None:
    """A part that may have been billed makes the sum unknown, as does one that does not say what it cost."""

    def handler(request: httpx.Request) -> httpx.Response:
        if "lost" in json.loads(request.content)["documents"]:
            raise httpx.ReadTimeout("too late")
        return Scoring()(request)

    with reranker(handler, max_documents=1, on_part_error="partial") as client:
        ranking = client.rerank("q", ["a", "lost"])
        assert isinstance(ranking.parts[1].error, APITimeoutError)
        assert ranking.usage == Usage()
        assert (client.ledger.cost, client.ledger.unknown) == (0.25, 1)
    with reranker(Scoring(cost=None), max_documents=1) as client:
        assert client.rerank("q", ["a", "b"]).usage == Usage(None, 2, None)


def test_each_part_is_held_to_max_cost(shell: Shell) -> None:
    """A list stops where its next part would pass the budget; what is paid for can be had."""
    documents = texts(*range(1, 9))
    server = Scoring(cost=1.0)
    with shell.open(server, max_documents=1, max_cost=3.5) as rank, pytest.raises(BudgetExceededError):
        rank("q", documents)
    assert len(server.requests) == 3

    with shell.open(Scoring(cost=1.0), max_documents=1, max_cost=3.5) as rank:
        ranking = rank("q", documents, on_part_error="partial")
    assert len(ranking) == 3
    assert {type(part.error) for part in ranking.parts} == {type(None), BudgetExceededError}


def test_parts_are_tried_again(shell: Shell) -> None:
    """Each part has the retries of a call, and the attempts of all are the ranking's."""
    server = Scoring()
    failed: set[str] = set()

    def handler(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["documents"][0]
        if text not in failed:
            failed.add(text)
            return httpx.Response(503)
        return server(request)

    with shell.open(handler, max_documents=1) as rank:
        ranking = rank("q", texts(1, 2, 3))

    assert [attempt.status for attempt in ranking.attempts] == [503, 200] * 3


def test_one_deadline_holds_for_all(clock: Clock) -> None:
    """The deadline is that of the whole call, not of each part."""
    server = Scoring()

    def handler(request: httpx.Request) -> httpx.Response:
        clock.advance(100)
        return server(request)

    with reranker(handler, max_documents=1, deadline=550, timeout=LONG) as client:
        with pytest.raises(APITimeoutError):
            client.rerank("q", texts(*range(1, 100)))
        assert len(server.requests) <= 5 + 4
        ranking = client.rerank("q", texts(*range(1, 100)), on_part_error="partial")
    assert 0 < len(ranking) <= 5 + 4
    assert len(ranking) + len(ranking.unranked) == 99


def test_an_error_ends_the_waits_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part that waits to be tried again does not hold up the error of another."""
    waiting, sleep = threading.Event(), Reranker._sleep

    def handler(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["documents"][0]
        if text == "late":
            return httpx.Response(503, headers={"Retry-After": f"{LONG}"})
        if text == "bad":
            assert waiting.wait(SOON)
            return httpx.Response(400)
        return Scoring()(request)

    def noted(client: Reranker, seconds: float) -> None:
        waiting.set()
        sleep(client, seconds)

    monkeypatch.setattr(Reranker, "_sleep", noted)
    began = time.monotonic()
    patient = {"retries": Retries(longest_wait=LONG), "deadline": 2 * LONG, "timeout": LONG}
    with reranker(handler, max_documents=1, **patient) as client, pytest.raises(BadRequestError):
        client.rerank("q", ["a", "late", "bad"])
    assert time.monotonic() - began < SOON


async def test_an_error_cancels_the_others() -> None:
    """In async what is under way is cancelled at once, and what it cost is unknown."""
    silent = anyio.Event()

    async def handler(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["documents"][0]
        if text == "silent":
            silent.set()
            await anyio.sleep_forever()
        if text == "bad":
            await silent.wait()
            return httpx.Response(400)
        return Scoring()(request)

    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    async with AsyncReranker(KEY, http_client=http, max_documents=1, timeout=LONG, deadline=LONG) as client:
        with anyio.fail_after(SOON), pytest.raises(BadRequestError):
            await client.rerank("q", ["a", "silent", "bad"])
        assert client.ledger.unknown == 1


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Have SIGINT raise KeyboardInterrupt, also where tests run in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_ctrl_c_waits_for_nobody() -> None:
    """A KeyboardInterrupt while parts are under way is raised at once, and no further part is sent."""
    entered, release = threading.Event(), threading.Event()
    server = Scoring()

    def handler(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["documents"] != ["first"]:
            entered.set()
            release.wait(LONG)
        return server(request)

    def interrupt() -> None:
        entered.wait(SOON)
        _thread.interrupt_main()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with reranker(handler, max_documents=1, timeout=LONG, deadline=LONG) as client:
        with pytest.raises(KeyboardInterrupt):
            client.rerank("q", ["first", *texts(*range(1, 30))])
        assert len(server.requests) == 1  # the others are under way still
        release.set()
        interrupter.join()
        for thread in threading.enumerate():
            if thread.name.startswith("rerank-"):
                thread.join(SOON)
        assert len(server.requests) <= 5
        assert client.ledger.calls == len(server.requests)


def test_a_bug_below_is_no_part_that_failed(any_shell: Shell) -> None:
    """An error that is none of ours is raised as it is, partial or not."""

    def handler(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content)["documents"] == ["b"]:
            raise ZeroDivisionError
        return Scoring()(request)

    with any_shell.open(handler, max_documents=1) as rank, pytest.raises(ZeroDivisionError):
        rank("q", ["a", "b", "c"], on_part_error="partial")


def test_an_answer_that_was_paid_for_is_taken_in(failed: threading.Event) -> None:
    """A thread whose request is under way when another call fails still gives the answer to the call, and nothing more."""
    seen: list[Any] = []
    sending = threading.Barrier(3, timeout=SOON)

    def failing() -> Any:
        yield Wait(0.05)
        raise ServerError("no")

    def slow(after: Any) -> Any:
        seen.append((yield Send(Secrets(), b"", 9.0, 9)))
        if after is not None:
            yield after
        return "done"

    def do(step: Any) -> object:
        sending.wait()
        if isinstance(step, Send):
            failed.wait(SOON)
        seen.append(type(step).__name__)
        return "answer"

    found = in_threads(do, Parallel([failing(), slow(None), slow(Wait(5))], 3))

    assert isinstance(found, ServerError)
    assert sorted(seen) == ["Send", "Send", "Wait", "answer", "answer"]


def test_overload_is_reported_after_an_error(failed: threading.Event) -> None:
    """A thread reports that the server is overloaded even when another call has failed, so that the run backs off."""
    seen: list[Any] = []
    sending = threading.Barrier(2, timeout=SOON)

    def failing() -> Any:
        yield Wait(0.05)
        raise ServerError("no")

    def overloaded() -> Any:
        yield Send(Secrets(), b"", 9.0, 9)
        yield BackOff(4.0)
        yield Wait(3.0)

    def do(step: Any) -> object:
        seen.append(step)
        if not isinstance(step, BackOff):
            sending.wait()
        if isinstance(step, Send):
            failed.wait(SOON)
        return None

    assert isinstance(in_threads(do, Parallel([failing(), overloaded()], 2)), ServerError)
    assert seen[-1] == BackOff(4.0)


def test_a_call_that_waits_is_ended_with_the_others() -> None:
    """A thread that is asked to end does so at its next step, whatever that is."""
    steps: list[Any] = []
    waits = threading.Event()

    def failing() -> Any:
        yield Wait(0.01)
        raise ServerError("no")

    def waiting() -> Any:
        try:
            while True:
                yield Wait(5)
        finally:
            steps.append("closed")

    def do(step: Any) -> None:
        if step.seconds == 0.01:
            waits.wait(SOON)
        else:
            waits.set()
        steps.append(step)

    assert isinstance(in_threads(do, Parallel([failing(), waiting()], 2)), RerankError)
    assert steps[-1] == "closed"


# Chunks


def test_a_document_is_as_good_as_its_best_piece(any_shell: Shell) -> None:
    """Texts are cut by the caller's function; indices and total are those of whole documents."""
    server = Scoring()
    documents = [
        "a bbbb c",
        {"text": "dd eee"},
        "f",
        Document(text="gg gg gg", image="https://i.example/g.png"),
    ]
    with any_shell.open(server, splitter=str.split) as rank:
        ranking: Any = rank("q", documents)

    assert server.requests[0]["documents"] == [
        "a",
        "bbbb",
        "c",
        "dd",
        "eee",
        "f",
        {"text": "gg gg gg", "image": "https://i.example/g.png"},
    ]
    assert list(zip(ranking.indices, ranking.scores, strict=True)) == [(3, 8), (0, 4), (1, 3), (2, 1)]
    assert (ranking.total, len(ranking.parts), ranking.id) == (4, 1, "gen-1")
    assert ranking.headers["content-type"] == "application/json"
    assert ranking.parts[0].indices == (0, 1, 2, 3)


def test_top_n_counts_documents_and_not_pieces() -> None:
    """The best pieces may all be of one document, so that all are asked for where one is cut, and top_n where none is."""
    server = Scoring()
    with reranker(server, splitter=str.split, top_n=2) as client:
        assert client.rerank("q", ["aaa aaa aaa", "b", "cc"]).indices == [0, 2]
        assert client.rerank("q", ["aaa", "b", "cc"]).indices == [0, 2]

    assert [asked.get("top_n") for asked in server.requests] == [None, 2]


def test_pieces_of_one_document_may_be_in_several_parts() -> None:
    """A document counts with the best of all parts; one of whose pieces a part failed is not ranked."""
    with reranker(Scoring(), splitter=str.split, max_documents=2) as client:
        assert client.rerank("q", ["a bb cccc d", "eee"]).scores == [4, 3]
    with reranker(Scoring(failing="y"), splitter=str.split, max_documents=2) as client:
        ranking = client.rerank("q", ["aaa bb c y", "eee"], on_part_error="partial")
    assert (ranking.indices, ranking.unranked) == ([1], (0,))


@pytest.mark.parametrize(
    ("splitter", "error", "says"),
    [
        ("words", TypeError, "splitter must be a function of a text that gives its pieces, not str"),
        (
            lambda text: text,
            TypeError,
            "document 0: splitter must return .* an iterable of str, not str",
        ),
        (lambda _: None, TypeError, "document 0: .* not NoneType"),
        (lambda _: [], ValueError, "document 0: splitter returned no pieces"),
        (lambda _: [b"a"], TypeError, "document 0: .* not bytes"),
    ],
)
def test_a_splitter_that_is_none(splitter: Any, error: Any, says: str) -> None:
    """A splitter's pieces are checked before anything is sent."""
    server = Scoring()
    with reranker(server) as client, pytest.raises(error, match=says):
        client.rerank("q", ["a"], splitter=splitter)
    assert not server.requests


@given(st.text(), st.integers(1, 5), st.integers(0, 4))
def test_by_words(text: str, n: int, overlap: int) -> None:
    """Pieces have n words at most, begin with the overlap, lose no word, and stand in the text as they are."""
    if overlap >= n:
        with pytest.raises(ValueError, match="overlap from 0 to n - 1"):
            split_by_words(n, overlap)
        return
    splitter = pickle.loads(pickle.dumps(split_by_words(n, overlap)))
    assert splitter == split_by_words(n, overlap)
    assert repr(splitter) == f"split_by_words({n}, overlap={overlap})"
    pieces = list(splitter(text))

    words = [piece.split() for piece in pieces]
    assert all(piece in text for piece in pieces)
    if len(text.split()) <= n:
        assert pieces == [text]
        return
    assert all(len(piece) <= n for piece in words)
    assert words[0] + [word for piece in words[1:] for word in piece[overlap:]] == text.split()
    assert all(
        before[len(before) - overlap :] == after[:overlap] for before, after in itertools.pairwise(words)
    )
    assert all(len(piece) > overlap for piece in words)


@pytest.mark.parametrize(
    ("n", "overlap", "error"), [(0, 0, ValueError), (True, 0, TypeError), (2, 0.5, TypeError)]
)
def test_by_words_refuses(n: Any, overlap: Any, error: Any) -> None:
    """A number of words is an int from 1."""
    with pytest.raises(error):
        split_by_words(n, overlap)


# Arguments


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"max_documents": 0}, ValueError, "max_documents must be at least 1"),
        ({"max_documents": "9"}, TypeError, "max_documents must be an int"),
        ({"max_bytes": -1}, ValueError, "max_bytes must be at least 1"),
        ({"max_bytes": 1.5}, TypeError, "max_bytes must be an int"),
        ({"on_part_error": "ignore"}, ValueError, "on_part_error must be 'raise' or 'partial', not 'ignore'"),
        ({"splitter": 7}, TypeError, "splitter must be a function"),
    ],
)
def test_arguments_are_checked(given: Any, error: Any, says: str) -> None:
    """Values that can never work are refused, by the client and by a call, before anything is sent."""
    server = Scoring()
    with pytest.raises(error, match=says):
        Reranker(KEY, **given)
    with reranker(server) as client, pytest.raises(error, match=says):
        client.rerank("q", ["a"], **given)
    assert not server.requests


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"query": ""}, "query is blank"),
        ({"documents": ["a", "b", "\ud800"]}, "document 2 has a lone surrogate"),
        ({"model": ""}, "model is blank"),
        ({"top_n": 0}, "top_n must be at least 1"),
    ],
)
def test_a_large_list_is_checked_whole(arguments: Any, error: str) -> None:
    """A mistake in the last part is found before the first is sent."""
    server = Scoring()
    with reranker(server, max_documents=1) as client, pytest.raises(ValueError, match=error):
        client.rerank(**{"query": "q", "documents": ["a", "b", "c"], **arguments})
    assert not server.requests


def test_the_largest_list_of_all() -> None:
    """Twenty thousand documents are twenty requests of a thousand, and one ranking of all."""
    lengths = [random.Random(7).randrange(50) for _ in range(20_000)]
    server = Scoring()
    with reranker(server, retries=Retries(attempts=1)) as client:
        ranking = client.rerank("q", texts(*lengths), top_n=10)

    assert server.sizes == [1_000] * 20
    assert ranking.indices == sorted(range(20_000), key=lambda index: (-lengths[index], index))[:10]
    assert ranking.usage.search_units == 200
