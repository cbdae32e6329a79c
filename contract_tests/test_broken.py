"""The rules bite: each of them its own broken server and no other, and none of them a legal one.

`nox -s matrix` writes the kill matrix. What generation adds is tried on the servers that nothing else finds;
everything else is by the requests that are written by hand.
"""

import asyncio
import inspect
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

import anyio.to_thread
import httpx
import pytest

from field_servers import FIELD_SERVERS
from remembered import REMEMBERED
from rerank_conformance import check
from rerank_conformance.altered import Server
from rerank_conformance.broken import BROKEN, UNAVOIDABLE, VARIANTS
from rerank_conformance.exchanges import Exchange, Probe, ReceivedResponse
from rerank_conformance.lasting import with_lasting
from rerank_conformance.probes import MODEL, probes, smoke
from rerank_conformance.reference import Reference
from rerank_conformance.reference.inprocess import ReferenceTransport
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.running import in_order
from rerank_conformance.target import Budget, Session

KEY = "sk-or-v1-the-right-key"
GENERATED = {name for name in RULES if name.startswith("schema.")}
PAUSED = {"robustness.after-pause"}  # tried in test_transport.py
SHOULD = {
    "listwise": {"relation.document-added", "relation.padding"},
    "listwise-neighbours": {
        "relation.order-of-documents",
        "relation.identical-documents",
        "relation.order-in-long-lists",
    },
    "later-lower": {"relation.order-in-long-lists"},
    "batches": {"relation.order-in-long-lists"},
    "bare": {"answer.id-present", "answer.usage-present"},
    "id-constant": {"answer.id-unique"},
    "headers-bare": {"authentication.challenge", "method.allow"},
    "text-only": {"acceptance.images"},
    "images-not-found": {"acceptance.images"},
    "fewer-than-top-n": {"answer.top-n-filled"},
    "by-rank": {"relation.order-of-documents", "relation.identical-documents", "relation.padding"},
    "lenient-json": {"robustness.odd-json"},
    "query-of-words": {"acceptance.blank-query"},
}
"""The recommendations that a legal variant does not follow."""


UNSEEN = {
    "compressed": ("POST", {}, {"accept-encoding": "gzip"}, 200),
    "preflight": ("OPTIONS", {}, {}, 204),
    "thousand-documents": ("POST", {"documents": ["a"] * 1001}, {}, 400),
    "throttled": ("POST", {}, {}, 429),
    "overloaded": ("POST", {}, {}, 503),
    "gateway-502": ("POST", {}, {}, 502),
    "gateway-524": ("POST", {}, {}, 524),
    "fails-in-passing": ("POST", {}, {}, 500),
    "late-errors": ("POST", {}, {}, 200),
}
"""Legal variants that the requests by hand do not tell from the reference, each with one that does."""


ONE_AT_A_TIME = {"shifted-after-refusal"}
"""Servers of the field that are sent one request at a time.

A fault that meets only the next request may meet one of the two requests that measure the noise; the rule then has no verdict.
"""


by_hand = cache(probes)
"""The requests that are written by hand; what is worked out of them is the same for every server."""


class Direct:
    """An httpx client without its connections, redirects and hooks, which take half of the time of these tests."""

    def __init__(self, server: Reference) -> None:
        self.inner = ReferenceTransport(server)

    def build_request(self, method: str, url: str, **options: Any) -> httpx.Request:
        """Return the request."""
        return httpx.Request(method, url, **options)

    async def send(self, request: httpx.Request, *, stream: bool) -> httpx.Response:
        """Answer in a worker thread, so that requests meet as they do in a check."""
        del stream
        await request.aread()
        return await anyio.to_thread.run_sync(self.inner.handle_request, request)


async def exchanges(server: Reference, *, quick: bool, concurrency: int) -> list[Exchange]:
    """Send the requests that are written by hand, and return the results."""
    async with Session(server, KEY, Budget(concurrency=concurrency)) as session:
        session._client = session._fresh_client = cast("Any", Direct(server))
        sent = [await session.send(smoke()), *await in_order(by_hand(quick=quick), session.send)]
        return await with_lasting(sent, smoke(), partial(session.send, is_repeat=True))


def seen(server: Server, *, quick: bool = False, concurrency: int = 4) -> Recording:
    """Return the exchanges with a server."""
    sent = exchanges(server(REMEMBERED, keys={KEY}), quick=quick, concurrency=concurrency)
    return Recording(asyncio.run(sent))


def findings(seen: Recording, rules: Iterable[str] = RULES) -> dict[str, Finding]:
    """Return the rules that find something, and what."""
    found = {
        name: next((one for one in RULES[name].judge(seen) if isinstance(one, Finding)), None)
        for name in rules
    }
    return {name: finding for name, finding in found.items() if finding is not None}


def bitten(server: Server) -> dict[str, Finding]:
    """Return the rules that find something in a server, and what."""
    return findings(seen(server))


def answers(seen: Recording) -> list[object]:
    """Return the answers, all under one id."""
    return [
        replace(one.outcome, body=ID.sub(b'"id":"x"', one.outcome.body))
        if isinstance(one.outcome, ReceivedResponse)
        else one.outcome
        for one in seen.exchanges
    ]


ID = re.compile(rb'"id": ?"gen-rerank-[0-9a-f-]+"')


@cache
def theirs() -> list[object]:
    """Return the reference's answers."""
    return answers(seen(Reference))


def musts(names: Mapping[str, Finding]) -> set[str]:
    """Those of the rules that a server has to keep."""
    return {name for name in names if RULES[name].level == "MUST"}


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Silence the logs of servers that fail on purpose."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)


def test_every_rule_has_a_broken_server_and_no_server_is_without_a_rule():
    """There is exactly one broken server for each rule, and what is unavoidable names rules that are a MUST."""
    assert set(BROKEN) == set(RULES)
    assert set(UNAVOIDABLE) <= set(RULES)
    assert {RULES[other].level for others in UNAVOIDABLE.values() for other in others} == {"MUST"}


RANKED = {"results": [{"index": 0, "relevance_score": 0.5}]}


@pytest.mark.parametrize(
    ("name", "change", "wrong"),
    [
        ("answer.usage", {}, False),
        ("answer.usage", {"usage": []}, True),
        *(
            ("answer.usage", {"usage": {field: amount}}, wrong or (amount == 0.5 and field != "cost"))
            for field in ("cost", "search_units", "total_tokens")
            for amount, wrong in (
                (0, False),
                (1.0, False),
                (0.5, False),
                (-1, True),
                (True, True),
                ("1", True),
            )
        ),
        ("answer.at-most-documents", {}, False),
        ("answer.at-most-documents", {"results": [{"index": 0}, {"index": 1}]}, True),
        ("answer.at-most-documents", {"results": [{"index": 0}, {"index": 0}]}, False),
        ("answer.at-most-documents", {"results": [{"index": 0}, {}]}, False),
    ],
)
def test_a_rule_of_one_answer(name: str, change: dict[str, Any], wrong: bool):
    """A rule bites an answer to one document if its own requirement is not met, and leaves the rest to other rules."""
    probe = Probe(
        name="rank", phase="rank", legal=True, body={"model": "m", "query": "q", "documents": ["a"]}
    )
    answer = ReceivedResponse(200, {}, json.dumps({**RANKED, **change}).encode())

    assert bool(findings(Recording([Exchange(probe, answer)]), [name])) is wrong


def test_every_server_says_in_one_line_what_it_does():
    """The docstring of every maker is one sentence of its own, and not the reference's."""
    makers = [*BROKEN.values(), *VARIANTS.values(), *(one.server for one in FIELD_SERVERS.values())]
    for maker in makers:
        said = inspect.getdoc(maker) or ""
        assert said != inspect.getdoc(Reference)
        assert said.endswith(".")
        assert "\n" not in said


@pytest.mark.parametrize("name", sorted(RULES.keys() - GENERATED - PAUSED))
def test_a_broken_server_is_bitten_by_its_rule_alone(name: str):
    """The rule bites its broken server, and no other MUST does, but for what is said to be unavoidable."""
    found = bitten(BROKEN[name])
    assert name in found
    assert found[name].expected
    assert found[name].actual
    assert musts(found) - {name} == set(UNAVOIDABLE.get(name, ()))


@pytest.mark.parametrize("name", sorted(GENERATED))
def test_generation_finds_what_no_request_by_hand_does(name: str):
    """A server that only generated data shows to be broken fails by that rule, and by no other MUST."""
    assert musts(bitten(BROKEN[name])) == set()
    report = check(BROKEN[name](keys={KEY}), key=KEY, seed=0)
    assert {rule.id for rule in report.of("fail") if rule.level == "MUST"} == {name}
    assert report.verdict == "nonconformant"


def test_the_reference_is_clean():
    """No rule of either level bites the reference, and a check of it, generation and all, is conformant."""
    assert bitten(Reference) == {}
    report = check(Reference(keys={KEY}), key=KEY, seed=0)
    assert report.of("fail", "error", "undecided") == ()
    assert report.verdict == "conformant"


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_a_legal_variant_is_clean(name: str):
    """No MUST bites a legal server, what it is advised against is written down, and it answers unlike the reference."""
    everything = seen(VARIANTS[name])
    found = findings(everything)
    assert musts(found) == set()
    assert set(found) == SHOULD.get(name, set())
    assert name in UNSEEN or answers(everything) != theirs()


@pytest.mark.parametrize("name", ["text-only", "images-not-found", "lenient-json"])
def test_generation_fails_no_legal_variant(name: str):
    """A whole check, generation and all, finds nothing that a legal server has to change."""
    report = check(VARIANTS[name](keys={KEY}), key=KEY, seed=0)
    assert [rule.id for rule in report.of("fail", "error") if rule.level == "MUST"] == []
    assert report.verdict == "conformant"


@pytest.mark.parametrize("name", UNSEEN)
def test_a_legal_variant_differs_where_no_request_by_hand_looks(name: str):
    """The variants that the requests by hand do not tell from the reference differ by another request."""
    method, change, headers, status = UNSEEN[name]
    server = VARIANTS[name](keys={KEY})
    body = {"model": MODEL, "query": "q", "documents": ["a"], **change}
    sent = {"content-type": "application/json", "authorization": f"Bearer {KEY}", **headers}
    found = [server.answer(method, "/rerank", sent, json.dumps(body).encode()) for _ in range(40)]
    assert found[-1].status == status
    assert status != 200 or name == "late-errors" or found[-1].headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("name", sorted(name for name, one in FIELD_SERVERS.items() if one.bitten))
def test_a_server_of_the_field_is_bitten(name: str):
    """A server that is broken as real ones are is bitten by every rule that is about its fault."""
    server, wanted = FIELD_SERVERS[name].server, set(FIELD_SERVERS[name].bitten)
    assert wanted <= set(RULES)
    ways = [(False, 1)] if name in ONE_AT_A_TIME else [(True, 4), (False, 4)]
    assert any(wanted <= set(findings(seen(server, quick=quick, concurrency=n), wanted)) for quick, n in ways)


@pytest.mark.parametrize("name", sorted(name for name, one in FIELD_SERVERS.items() if not one.bitten))
def test_a_server_that_says_later_or_no_to_everything_does_not_pass(name: str):
    """Without evidence against a server there is none for it either: the verdict is undecided."""
    report = check(FIELD_SERVERS[name].server(keys={KEY}), key=KEY, quick=True)
    assert report.verdict == "undecided"
    assert report.exit_code == 2
