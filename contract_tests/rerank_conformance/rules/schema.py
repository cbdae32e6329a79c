"""Rules of the schema, judged by generated requests; all other rules judge their answers too."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Iterator
from typing import Any, cast

from rerank_conformance.exchanges import Exchange, NoResponse
from rerank_conformance.rules.acceptance import described
from rerank_conformance.rules.refusals import to_refuse
from rerank_conformance.rules.rule import POST, RESPONSES, Finding, Judgement, Recording, Undecided, rule

_REQUEST = f"{POST}/requestBody"


def _unsent(seen: Recording) -> Iterator[Judgement]:
    unsent = [e for e in seen.exchanges if e.probe.phase == "generate" and isinstance(e.outcome, NoResponse)]
    for exchange in unsent[:1]:
        yield Undecided(
            f"{len(unsent)} of the generated requests have no answer; the first: {exchange.undecided}"
        )


def _generated(seen: Recording) -> Iterator[Exchange]:
    for exchange in seen.exchanges:
        # requests with a rule of their own are judged by that rule
        by_schema = exchange.probe.phase == "generate" and exchange.probe.rule is None
        if by_schema and exchange.answer is not None and not exchange.undecided:
            yield exchange


@rule(
    "schema.positive-data",
    "Every request that the schema allows gets a ranking",
    _REQUEST,
    quick=False,
    thorough=True,
)
def positive_data(seen: Recording) -> Iterator[Judgement]:
    """Judge valid requests."""
    yield from _unsent(seen)
    for exchange in _generated(seen):
        answer = exchange.answer
        if answer is not None and exchange.probe.legal and answer.status < 500:
            good = answer.status == 200 or answer.status in _excused(exchange)
            yield None if good else Finding("200 with a ranking", described(exchange), exchange)


@rule(
    "schema.negative-data",
    "Every request that the schema forbids is refused",
    _REQUEST,
    quick=False,
    thorough=True,
)
def negative_data(seen: Recording) -> Iterator[Judgement]:
    """Judge invalid requests."""
    yield from _unsent(seen)
    for exchange in _generated(seen):
        answer = exchange.answer
        if answer is not None and exchange.probe.legal is False and answer.status < 500:
            good = answer.status >= 400
            yield None if good else Finding(to_refuse(exchange.probe, seen.by), described(exchange), exchange)


@rule(
    "schema.no-server-error",
    "No request makes the server fail",
    f"{RESPONSES}/500",
    quick=False,
    thorough=True,
)
def no_server_error(seen: Recording) -> Iterator[Judgement]:
    """Judge valid and invalid requests."""
    yield from _unsent(seen)
    for exchange in _generated(seen):
        answer = exchange.answer
        # 501: a method that the server does not know
        if answer is not None and answer.status != 501:
            bad = answer.status >= 500
            yield Finding("no 5xx", described(exchange), exchange) if bad else None


def _excused(exchange: Exchange) -> set[int]:
    """Return the other statuses that an honest server may answer a valid request with."""
    body = cast("dict[str, Any]", exchange.probe.body) if isinstance(exchange.probe.body, dict) else {}
    excused: set[int] = set()
    if any(isinstance(one, dict) and "image" in one for one in exchange.probe.documents):
        excused |= {400, 404, 413}  # a text-only model, no endpoint for images, no such image
    if not str(body.get("query", "")).strip():
        excused.add(400)  # a blank query
    if body.get("provider"):
        excused |= {400, 402, 403, 404}  # no provider fits the preferences
    top_n = exchange.probe.top_n
    if top_n is not None and (isinstance(top_n, float) or top_n > 2**53):
        excused.add(400)
    return excused
