"""A server answers whatever it is sent."""

from collections.abc import Iterator

from rerank_conformance.exchanges import Fault
from rerank_conformance.rules.acceptance import described
from rerank_conformance.rules.rule import RESPONSES, RULES, Finding, Judgement, Seen, rule


@rule(
    "robustness.answered",
    "Every request gets an answer that is whole HTTP, of a size that fits it",
    RESPONSES,
)
def answered(seen: Seen) -> Iterator[Judgement]:
    """Resets, garbage, bodies without end."""
    for exchange in seen.exchanges:
        outcome = exchange.outcome
        if not isinstance(outcome, Fault):
            yield None
        elif outcome.kind == "broken":
            yield Finding("an answer", outcome.message, exchange)


@rule(
    "robustness.no-server-error",
    "What a server need not take, though it is legal, does not make it fail",
    f"{RESPONSES}/500",
    quick=False,
)
def no_server_error(seen: Seen) -> Iterator[Judgement]:
    """Requests whose acceptance is a SHOULD: refused at worst."""
    for exchange in seen.exchanges:
        answer, name = exchange.answer, exchange.probe.rule
        if name is None or RULES[name].level != "SHOULD" or not exchange.probe.legal:
            continue
        if answer is not None and not exchange.undecided:
            bad = answer.status >= 500
            yield Finding("200, or 400", described(exchange), exchange) if bad else None
