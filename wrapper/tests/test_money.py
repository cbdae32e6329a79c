"""Costs of calls in the ledger, refusals by max_cost, and estimates of a run."""

from __future__ import annotations

import pickle
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from driving import answered, settings
from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
    BadRequestError,
    BudgetExceededError,
    InvalidResponseError,
    Reranker,
    Retries,
    ServerError,
    Usage,
)
from openrouter_rerank.bulk.many import RerankRequest
from openrouter_rerank.bulk.money import Estimate
from openrouter_rerank.core import compose, rerank, send_one
from openrouter_rerank.ledger import Ledger, Totals, exact
from openrouter_rerank.operations import Failure, Send, Wait
from shells import KEY, QUICK, Handler, Scoring, Shell

PLAIN: dict[str, Any] = {"key": None, "timeout": None, "extra_headers": None, "extra_body": None}


def reranker(handler: Handler, **given: Any) -> Reranker:
    """Return a client whose server is the handler."""
    client = httpx.Client(transport=httpx.MockTransport(handler))
    return Reranker(**{"api_key": KEY, "retries": QUICK, "http_client": client, **given})


# The ledger


def test_a_call_is_entered() -> None:
    """A call is in the sums, in those of its model, and in those of its tag; the tag is not sent."""
    server = Scoring()
    with reranker(server, tag="all") as client:
        client.rerank("q", ["a", "b"], tag="x")
        client.rerank("q", ["a"] * 101, model="other/model")

        ledger = client.ledger
        assert ledger.total == Totals(
            calls=2, attempts=2, cached=0, search_units=3, total_tokens=0, cost=0.5, unknown=0
        )
        assert ledger.by_tag == {
            "x": Totals(calls=1, attempts=1, search_units=1, cost=0.25),
            "all": Totals(calls=1, attempts=1, search_units=2, cost=0.25),
        }
        assert {model: totals.search_units for model, totals in ledger.by_model.items()} == {
            "cohere/rerank-v3.5": 1,
            "other/model": 2,
        }
    assert not any("tag" in asked for asked in server.requests)


def test_the_numbers_of_a_ledger_are_those_of_its_total() -> None:
    """Each number can be read by its own name, and stands in the repr, which is one line."""
    ledger = Ledger()
    ledger.settle("c", "m", None, attempts=3, usage=Usage(0.5, 2, 70), unknown=True)
    ledger.remembered("m", None)

    numbers = {name: getattr(ledger, name) for name in Totals.__struct_fields__}
    assert numbers == {
        "calls": 2,
        "attempts": 3,
        "cached": 1,
        "search_units": 2,
        "total_tokens": 70,
        "cost": 0.5,
        "unknown": 1,
    }
    assert repr(ledger) == (
        "<Ledger: calls=2, attempts=3, cached=1, unknown=1, cost=0.5, search_units=2, total_tokens=70>"
    )


def test_the_model_of_extra_body_counts() -> None:
    """A model that is named in extra_body is the one that is asked for, and so the ledger's."""
    with reranker(Scoring()) as client:
        client.rerank("q", ["a"], extra_body={"model": "mine"})

        assert list(client.ledger.by_model) == ["mine"]


def test_no_documents_cost_nothing() -> None:
    """A call that sends nothing is none."""
    with reranker(Scoring()) as client:
        client.rerank("q", [])

        assert client.ledger.total == Totals()


LOST = httpx.ReadTimeout("too late")
REFUSED = httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("outcomes", "error", "attempts", "unknown"),
    [
        ([answered(400)], BadRequestError, 1, 0),
        ([answered(500)] * 3, ServerError, 3, 0),
        ([Failure(REFUSED, None)] * 3, APIConnectionError, 3, 0),
        ([Failure(LOST, None)], APITimeoutError, 1, 1),
        ([Failure(None, None)], APITimeoutError, 1, 1),
        ([Failure(httpx.RemoteProtocolError("gone"), None), answered(400)], BadRequestError, 2, 1),
        ([answered(200, {"results": "none"})], InvalidResponseError, 1, 1),
    ],
)
def test_a_failed_call_is_entered(outcomes: list[Any], error: Any, attempts: int, unknown: int) -> None:
    """Its requests count, and it is unknown where one of them may have been billed."""
    client = settings()
    call = rerank(client, compose(send_one), "q", ["a"], **PLAIN)
    step = next(call)
    left = list(outcomes)

    with pytest.raises(error) as raised:
        while True:
            step = call.send(left.pop(0) if isinstance(step, Send) else None)

    assert client.ledger.total == Totals(calls=1, attempts=attempts, unknown=unknown)
    assert raised.value.may_be_billed is bool(unknown)


def test_a_call_that_is_given_up_is_entered() -> None:
    """The cost of a request in flight is unknown when its call ends; without one it is known."""
    client = settings()
    call = rerank(client, compose(send_one), "q", ["a"], **PLAIN)
    next(call)
    call.close()
    assert client.ledger.total == Totals(calls=1, attempts=1, unknown=1)

    call = rerank(client, compose(send_one), "q", ["a"], **PLAIN)
    next(call)
    assert isinstance(call.send(answered(500)), Wait)
    call.close()
    assert client.ledger.total == Totals(calls=2, attempts=2, unknown=1)


async def test_a_cancelled_call_is_entered() -> None:
    """Cancelling an async call settles it at once: nothing stays set aside."""
    scope = anyio.CancelScope()

    async def never(_: httpx.Request) -> httpx.Response:
        scope.cancel()
        await anyio.sleep_forever()
        raise AssertionError

    http = httpx.AsyncClient(transport=httpx.MockTransport(never))
    async with AsyncReranker(KEY, http_client=http, max_cost=1) as client:
        with scope:
            await client.rerank("q", ["a"])

        assert client.ledger.unknown == 1
        assert not client.ledger._reserved


@pytest.mark.parametrize("cost", [-0.5, -1e308, "0.5", True, 10**400])
def test_a_cost_that_is_not_an_amount_is_unknown(cost: Any) -> None:
    """Such a cost does not raise what is left of a budget."""
    with reranker(Scoring(cost=cost), max_cost=1) as client:
        ranking = client.rerank("q", ["a"])

        assert ranking.usage.cost is None
        assert client.ledger.total == Totals(
            calls=1, attempts=1, search_units=1, total_tokens=client.ledger.total_tokens, unknown=1
        )


def test_an_unknown_cost_is_in_no_sum() -> None:
    """A server that names no cost leaves the call unknown; what else it names is summed."""
    with reranker(Scoring(cost=None)) as client:
        client.rerank("q", ["a"])

        assert client.ledger.total == Totals(calls=1, attempts=1, search_units=1, unknown=1)


def test_threads_share_a_ledger() -> None:
    """No call is lost between threads."""
    ledger = Ledger()

    def work() -> None:
        for _ in range(500):
            ledger.settle(object(), "m", "t", attempts=1, usage=Usage(0.25, 1, 1), unknown=False)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (
        ledger.total
        == ledger.by_tag["t"]
        == ledger.by_model["m"]
        == Totals(calls=2000, attempts=2000, search_units=2000, total_tokens=2000, cost=500.0)
    )


# max_cost


def test_the_call_that_would_pass_max_cost_is_not_sent(any_shell: Shell) -> None:
    """A call is refused when the cost so far and the largest of its model's would pass the limit; the error says so."""
    server = Scoring(cost=0.25)
    with any_shell.open(server, max_cost=0.6) as rank:
        rank("q", ["a"])
        rank("q", ["a"])
        with pytest.raises(BudgetExceededError) as caught:
            rank("q", ["a"])

    error = caught.value
    assert len(server.requests) == 2
    assert (error.spent, error.limit, error.next_cost, error.attempts) == (0.5, 0.6, 0.25, ())
    assert "max_cost is $0.6, $0.5 are spent" in str(error)
    assert "cohere/rerank-v3.5 may be $0.25; nothing was sent" in str(error)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.spent, copy.limit, copy.next_cost, str(copy)) == (0.5, 0.6, 0.25, str(error))


def test_max_cost_may_be_reached() -> None:
    """The limit itself may be spent, whatever the sums of floats miss by."""
    with reranker(Scoring(cost=0.1), max_cost=0.3) as client:
        for _ in range(3):
            client.rerank("q", ["a"])
        with pytest.raises(BudgetExceededError):
            client.rerank("q", ["a"])


@pytest.mark.parametrize(
    ("costs", "limit", "left"),
    [
        ([0.1, 0.2], 0.3, False),
        ([0.1] * 10, 1.0, False),
        ([0.1, 0.2], 0.1 + 0.2, False),
        ([0.1 + 0.2], 0.3, False),
        ([0.3], 0.1 + 0.2, False),
        ([3.4e-7] * 3, 1.02e-6, False),
        ([3.4e-7] * 2, 1.02e-6, True),
        ([999.9999996], 1000, True),
        ([0.25], 0.25, False),
        ([0.25], 0.2500001, True),
        ([0.5], 0.25, False),
        ([0.0], 0.25, True),
        ([1e308, 1e308], 1e308, False),
    ],
)
def test_a_limit_that_is_reached(costs: list[float], limit: float, left: bool) -> None:
    """Nothing more is sent once the limit is spent, by a model that is new or free as by any other; a float sum or not."""
    ledger = Ledger(max_cost=limit)
    for cost in costs:
        ledger.settle(cost, "m", None, attempts=1, usage=Usage(cost, 1, None), unknown=False)
    ledger.settle("free", "free", None, attempts=1, usage=Usage(0.0, 1, None), unknown=False)

    for model in ("new", "free"):
        if left:
            ledger.reserve(model, model)
        else:
            with pytest.raises(BudgetExceededError, match="nothing was sent"):
                ledger.reserve(model, model)


@pytest.mark.parametrize(("dust", "calls"), [(0.0, 3), (1e-16, 3), (-1e-16, 3)])
def test_sums_of_a_server(dust: float, calls: int) -> None:
    """A sum that a server computes in floats is compared with the limit as a decimal."""
    ledger = Ledger(max_cost=0.3)
    for _ in range(calls):
        ledger.reserve("c", "m")
        ledger.settle("c", "m", None, attempts=1, usage=Usage(0.1 + dust, 1, None), unknown=False)

    with pytest.raises(BudgetExceededError):
        ledger.reserve("c", "m")


def test_what_is_carried_over() -> None:
    """Spending of earlier runs counts, and their dearest call is expected of the next; the totals exclude both."""
    ledger = Ledger(max_cost=1.0)
    ledger.carry_over("m", spent=exact(0.9), largest=exact(0.3))

    assert ledger.cost_unknown is False
    assert ledger.total == Totals()
    with pytest.raises(BudgetExceededError) as caught:
        ledger.reserve("a", "m")
    assert (caught.value.spent, caught.value.limit, caught.value.next_cost) == (0.9, 1.0, 0.3)
    ledger.reserve("b", "other")

    fresh = Ledger(max_cost=1.0)
    fresh.carry_over("m", spent=exact(0.0), largest=None)
    assert fresh.cost_unknown is True
    fresh.reserve("a", "m")


def test_a_new_model_is_tried_while_anything_is_left() -> None:
    """Of a model's first call nothing is known: it is refused only when nothing is left."""
    with reranker(Scoring(cost=0.25), max_cost=0.5) as client:
        client.rerank("q", ["a"])
        client.rerank("q", ["a"], model="b")
        with pytest.raises(BudgetExceededError, match="of c is unknown"):
            client.rerank("q", ["a"], model="c")


def test_failures_set_no_price() -> None:
    """A failed call costs nothing, which is not what the next one will cost."""
    ledger = Ledger(max_cost=1.0)
    ledger.settle("a", "m", None, attempts=1, usage=Usage(0.75, 1, None), unknown=False)
    ledger.settle("b", "m", None, attempts=1, usage=None, unknown=False)

    with pytest.raises(BudgetExceededError):
        ledger.reserve("c", "m")


def test_the_largest_call_is_reckoned_with() -> None:
    """A cheap call after a dear one does not make the next one look cheap."""
    ledger = Ledger(max_cost=1.0)
    for cost in (0.5, 0.125):
        ledger.settle(cost, "m", None, attempts=1, usage=Usage(cost, 1, None), unknown=False)

    with pytest.raises(BudgetExceededError) as caught:
        ledger.reserve("c", "m")
    assert (caught.value.spent, caught.value.next_cost) == (0.625, 0.5)


def test_calls_under_way_are_set_aside() -> None:
    """The expected cost of calls in flight is reserved until they are settled."""
    ledger = Ledger(max_cost=1.0)
    ledger.settle("first", "m", None, attempts=1, usage=Usage(0.3, 1, None), unknown=False)
    ledger.reserve("a", "m")
    ledger.reserve("b", "m")
    with pytest.raises(BudgetExceededError, match=r"\$0.6 are set aside"):
        ledger.reserve("c", "m")

    ledger.settle("a", "m", None, attempts=1, usage=None, unknown=False)
    ledger.reserve("c", "m")


@pytest.mark.parametrize("max_cost", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none(max_cost: float) -> None:
    """max_cost is a positive number."""
    with pytest.raises(ValueError, match="max_cost must be a positive number of US dollars"):
        Reranker(KEY, max_cost=max_cost)


@pytest.mark.parametrize("max_cost", ["1", True])
def test_a_limit_of_the_wrong_type(max_cost: Any) -> None:
    """max_cost is a number."""
    with pytest.raises(TypeError, match="max_cost must be a number of US dollars"):
        Reranker(KEY, max_cost=max_cost)


@pytest.mark.parametrize(("tag", "error"), [("", ValueError), (7, TypeError)])
def test_a_tag_that_is_none(tag: Any, error: Any) -> None:
    """A tag is a str that is not blank, for the client and for a call."""
    with pytest.raises(error, match="tag"):
        Reranker(KEY, tag=tag)
    with reranker(Scoring()) as client, pytest.raises(error, match="tag"):
        client.rerank("q", ["a"], tag=tag)


# dry_run


@pytest.mark.parametrize(
    ("given", "estimate"),
    [
        ([], Estimate()),
        ([("q", [])], Estimate()),
        ([("q", ["a"] * 100)], Estimate(1, 100, 1)),
        ([("q", ["a"] * 101)], Estimate(1, 101, 2)),
        ([("q", ["a"] * 1_050)], Estimate(2, 1_050, 11)),
        ([("q", ["a" * 1_995] * 100)], Estimate(1, 100, 1)),
        ([("q", ["a" * 1_996] * 100)], Estimate(1, 100, 2)),
        ([("q", ["a" * 2_100] * 100)], Estimate(1, 100, 2)),
        ([{"query": "q" * 1_990, "documents": ["a" * 20] * 100}], Estimate(1, 100, 2)),
        ([RerankRequest(query="q", documents=["a b c"], splitter=str.split)], Estimate(1, 3, 1)),
        ([RerankRequest(query="q", documents=["a"], on_error="keep_order")], Estimate(1, 1, 1)),
        ([RerankRequest(query="q", documents="abc", key=str.upper, max_documents=1)], None),
        ([("q", ["a"]), ("q", ["b"] * 1_001)], Estimate(3, 1_002, 12)),
    ],
)
def test_an_estimate_is_what_is_sent(given: Any, estimate: Any) -> None:
    """dry_run sends nothing, and its numbers are those of the requests that are made then."""
    sent: list[bytes] = []

    def handler(request: httpx.Request) -> httpx.Response:
        sent.append(request.content)
        return Scoring(providers=(None,))(request)

    with reranker(handler) as client:
        if estimate is None:
            with pytest.raises(TypeError):
                client.dry_run(given)
            return
        found = client.dry_run(given)
        assert not sent
        assert client.ledger.total == Totals()
        assert (found.requests, found.documents, found.search_units) == (
            estimate.requests,
            estimate.documents,
            estimate.search_units,
        )
        for result in client.rerank_many(given):
            result.unwrap()
        assert (found.requests, found.bytes) == (len(sent), sum(map(len, sent)))


def test_estimates_are_added() -> None:
    """Each number is added to its own."""
    assert Estimate(1, 2, 3, 4) + Estimate(10, 20, 30, 40) == Estimate(11, 22, 33, 44)


async def test_the_async_twin_estimates() -> None:
    """The async twin gives the same, and reads images to do so."""
    async with AsyncReranker.local() as client:
        assert (await client.dry_run([("q", ["a"] * 101)])).search_units == 2
        with pytest.raises(FileNotFoundError):
            await client.dry_run([("q", [Path("there-is-no-such-image.png")])])


@pytest.mark.parametrize("bad", [None, 3])
async def test_requests_of_an_async_iterable_are_estimated(bad: int | None) -> None:
    """Every form of request of rerank_many is accepted; an error says which request it was."""

    async def requests() -> AsyncIterator[tuple[str, list[str]]]:
        for number in range(5):
            yield ("" if number == bad else "q", ["a"] * 101)

    async with AsyncReranker.local() as client:
        if bad is None:
            assert (await client.dry_run(requests())).search_units == 10
            return
        with pytest.raises(ValueError, match="query is blank") as caught:
            await client.dry_run(requests())
        assert caught.value.__notes__ == ["It was request 3."]


def test_an_estimate_refuses_what_a_call_would() -> None:
    """A request that can never work raises before anything is sent, and the error says which it was."""
    with reranker(Scoring(), retries=Retries(attempts=1)) as client:
        with pytest.raises(ValueError, match="query is blank") as caught:
            client.dry_run([("q", ["a"]), ("", ["a"])])
        assert caught.value.__notes__ == ["It was request 1."]
        with pytest.raises(TypeError, match="a request is"):
            client.dry_run([7])  # type: ignore[list-item] # on purpose


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("query", "requests is one str; pass an iterable"),
        ({"query": "q", "documents": ["a"]}, "requests is one dict"),
        (None, "requests must be an iterable of requests, not NoneType"),
    ],
    ids=str,
)
def test_an_estimate_is_of_requests(given: Any, says: str) -> None:
    """One request in place of many, or nothing at all, is told as rerank_many tells it."""
    with reranker(Scoring()) as client, pytest.raises(TypeError, match=says):
        client.dry_run(given)
