"""What plain schemathesis finds in a server, the kit finds too."""

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

import pytest

from rerank_conformance import contract
from rerank_conformance.altered import Server, failing, ranking, refused_as, refusing
from rerank_conformance.broken import BROKEN
from rerank_conformance.exchanges import Exchange
from rerank_conformance.generation import generated
from rerank_conformance.probes import MODEL, probes, smoke
from rerank_conformance.reference import Reference
from rerank_conformance.rules import RULES, Finding, Seen
from rerank_conformance.running import in_order
from rerank_conformance.target import Budget, Line

SERVERS: dict[str, Server] = {
    "unknown model": BROKEN["model.any-name"],
    "status": refused_as("Answers 418 to illegal requests.", 400, 418),
    "media type": ranking(
        "Sends text.", lambda a: a._replace(headers={**a.headers, "content-type": "text/plain"})
    ),
    "form": ranking("Sends an array.", lambda a: a._replace(body=b"[]")),
    "legal refused": refusing("Refuses top_n.", lambda b: "top_n" in b),
    "legal fails": failing("Fails on a session_id.", lambda b: "session_id" in b),
    "method": refused_as("Fails on other methods.", 405, 500),
}
"""Servers with one fault each, which a check of schemathesis finds and does not find in the reference."""


def found_by_schemathesis(server: Reference) -> set[str]:
    """Run schemathesis with its own checks, and return those that fail."""
    from schemathesis import openapi
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import events, from_schema

    def app(environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        names = {name[5:].replace("_", "-").lower(): environ[name] for name in environ if name[:5] == "HTTP_"}
        headers = {**names, "content-type": environ.get("CONTENT_TYPE", "")}
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        answer = server.answer(environ["REQUEST_METHOD"], environ["PATH_INFO"], headers, body)
        start(f"{answer.status} Any", list(answer.headers.items()))
        return [answer.body]

    document = json.loads(json.dumps(contract.load().document))
    document["paths"] = {"/rerank": document["paths"]["/rerank"]}
    config = SchemathesisConfig.from_dict(
        {
            "seed": 0,
            "continue-on-failure": True,
            "generation": {"database": "none"},
            "phases": {"stateful": {"enabled": False}, "fuzzing": {"enabled": False}},
        }
    )
    schema = openapi.from_dict(document, config=config)
    schema.app = app
    return {
        check.name
        for event in from_schema(schema).execute()
        if isinstance(event, events.ScenarioFinished)
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    }


@cache
def found_in_the_reference() -> frozenset[str]:
    """Return the checks that fail for the reference, too: it takes any key here, and so no key."""
    return frozenset(found_by_schemathesis(Reference()))


def found_by_the_kit(server: Server) -> Iterator[str]:
    """Send the requests of a full check, and yield the rules that a server has to keep and that find something."""

    async def send() -> list[Exchange]:
        async with Line(server(), None, Budget(concurrency=4)) as line:
            by_hand = await in_order(probes(has_key=False), line.send)
            return [
                await line.send(smoke()),
                *by_hand,
                *[await line.send(one) for one in generated(MODEL, 0)],
            ]

    seen = Seen(asyncio.run(send()), has_key=False)
    for name, rule in RULES.items():
        if rule.level == "MUST" and any(isinstance(one, Finding) for one in rule.judge(seen)):
            yield name


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Keep the servers that fail on purpose from logging it."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("name", SERVERS)
def test_what_schemathesis_finds_the_kit_finds(name: str):
    """Schemathesis finds the fault by its own checks, and so does a MUST of the kit."""
    assert found_by_schemathesis(SERVERS[name]()) - found_in_the_reference()
    assert set(found_by_the_kit(SERVERS[name]))
