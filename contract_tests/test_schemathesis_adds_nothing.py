"""Nothing that `st run` catches passes a full check."""

import asyncio
import logging
from collections import Counter
from functools import cache, partial

import pytest

from field_servers import FIELD_SERVERS
from remembered import REMEMBERED
from rerank_conformance.altered import Server, failing, ranking, refused_as, refusing
from rerank_conformance.broken import BROKEN, VARIANTS
from rerank_conformance.exchanges import Exchange
from rerank_conformance.lasting import with_lasting
from rerank_conformance.probes import MODEL, probes, smoke
from rerank_conformance.reference import Reference
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.running import in_order
from rerank_conformance.target import Budget, Session
from st_run import KEY, failed_checks, is_failed, recorded

OTHERS: dict[str, Server] = {
    "unknown models fail with 502": refusing("Fails on models.", lambda b: b["model"] != MODEL, 502),
    "odd names of models fail with 504": refusing("Fails on models.", lambda b: "/" not in b["model"], 504),
    "status": refused_as("Answers 418 to illegal requests.", 400, 418),
    "media type": ranking(
        "Sends text.", lambda a: a._replace(headers={**a.headers, "content-type": "text/plain"})
    ),
    "form": ranking("Sends an array.", lambda a: a._replace(body=b"[]")),
    "legal refused": refusing("Refuses top_n.", lambda b: "top_n" in b),
    "legal fails": failing("Fails on a session_id.", lambda b: "session_id" in b),
    "method": refused_as("Fails on other methods.", 405, 500),
}
"""Servers with one fault each, which a check of schemathesis finds."""
ADVICE = {
    "acceptance.blank-query": "a blank query asks for nothing",
    "acceptance.images": "a model may read texts alone",
    "acceptance.top-n-integral": "a parser may tell 2.0 from 2, and clients send whole numbers without a fraction",
    "method.allow": "a client of this contract sends POST alone",
    "transport.content-encoding": "HTTP clients decompress gzip unasked, and `st run` does not in process",
    "robustness.transient-errors": "what passes when it is repeated costs time alone",
}
"""Rules that are a SHOULD here, where `st run` fails a server by a request that the schema allows, with the reason."""


def broken() -> dict[str, Server]:
    """Return every broken server by its name."""
    field = {name: one.server for name, one in FIELD_SERVERS.items() if one.bitten}
    return {**BROKEN, **field, **OTHERS}


def own_rules(name: str) -> set[str]:
    """Return the rules that test_broken.py shows to bite the server."""
    return set(FIELD_SERVERS[name].bitten if name in FIELD_SERVERS else {name}) & RULES.keys()


def proven(name: str) -> bool:
    """Return True if test_broken.py shows that a MUST bites the server."""
    return any(RULES[rule].level == "MUST" for rule in own_rules(name))


@cache
def caught() -> set[str]:
    """Return the broken servers that `st run` fails."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)
    return {name for name, server in broken().items() if is_failed(server)}


def test_the_recorded_requests_are_those_of_a_whole_run():
    """Examples, boundaries and random requests are there, legal and illegal, and the reference passes."""
    phases = Counter(one.case.meta.phase.name.value for one in recorded())
    assert phases.keys() == {"examples", "coverage", "fuzzing"}
    assert phases["fuzzing"] >= 50  # of the hundred by default; a phase that ends early has some ten
    assert {200, 400, 405} <= {one.answer.status for one in recorded()}
    assert failed_checks(Reference) == []


def test_schemathesis_catches_what_it_should():
    """The checks fail servers of many kinds, and each that was made for it."""
    assert set(OTHERS) <= caught()
    assert len(caught()) > 100
    assert "ignored_auth" in failed_checks(broken()["no-key-needed"])


def is_failed_by_a_must(make: Server) -> bool:
    """Return True if a MUST finds something by the requests that are written by hand."""
    seen = Recording(asyncio.run(exchanges(make(REMEMBERED, keys={KEY}))))
    musts = [rule for rule in RULES.values() if rule.level == "MUST"]
    return any(isinstance(one, Finding) for rule in musts for one in rule.judge(seen))


def test_what_schemathesis_catches_a_must_catches():
    """Every broken server that `st run` fails is failed by a MUST, but for what is advice with a reason."""
    unproven = {name for name in caught() if not proven(name) and (own_rules(name) or {""}) - ADVICE.keys()}
    assert unproven >= {"unknown models fail with 502"}
    assert {name for name in unproven if not is_failed_by_a_must(broken()[name])} == set()


async def exchanges(server: Reference) -> list[Exchange]:
    """Send the requests that are written by hand."""
    async with Session(server, KEY, Budget(concurrency=4)) as session:
        sent = [await session.send(smoke()), *await in_order(probes(), session.send)]
        return await with_lasting(sent, smoke(), partial(session.send, is_repeat=True))


def test_advice_is_given():
    """What is advice here is a rule of the kit that is a SHOULD, and test_broken.py shows that it bites."""
    assert {RULES[name].level for name in ADVICE} == {"SHOULD"}
    assert set(ADVICE) <= caught()


def test_schemathesis_fails_legal_servers():
    """So not everything that it catches is a fault."""
    assert any(map(is_failed, VARIANTS.values()))


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Keep the servers that fail on purpose from logging it."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)
