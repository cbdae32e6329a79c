"""Rules of robustness: a server answers every request."""

from collections import Counter
from collections.abc import Iterator

from rerank_conformance.exchanges import RAW_FORMS, Exchange, NoResponse
from rerank_conformance.rules.acceptance import described, judged
from rerank_conformance.rules.rule import RESPONSES, RULES, Finding, Judgement, Recording, rule


def _own(seen: Recording, name: str) -> Iterator[Exchange]:
    return (exchange for exchange in seen.exchanges if exchange.probe.rule == name)


@rule(
    "robustness.answered",
    "Every request gets a complete HTTP response of a plausible size",
    RESPONSES,
)
def answered(seen: Recording) -> Iterator[Judgement]:
    """Judge resets, garbage and endless bodies."""
    for exchange in seen.exchanges:
        outcome = exchange.outcome
        if (
            exchange.probe.form in RAW_FORMS or exchange.probe.form == "after-pause"
        ):  # other rules judge these
            continue
        if not isinstance(outcome, NoResponse):
            yield None
        elif outcome.kind == "broken":
            yield Finding("an answer", outcome.message, exchange)


@rule(
    "robustness.transient-errors",
    "At most one attempt in twenty gets a transient error, as a 5xx or in a 200",
    f"{RESPONSES}/502",
    level="SHOULD",
    since="1.1.0",
)
def transient_errors(seen: Recording) -> Iterator[Judgement]:
    """Count the errors that disappear when the request is repeated; a single one proves nothing."""
    passing = [exchange for exchange in seen.exchanges if not exchange.lasting]
    attempts = sum(exchange.attempts for exchange in passing)
    failed = [status for exchange in passing for status in exchange.passing if status >= 500]
    if len(failed) < _FEWEST_TRANSIENT or len(failed) <= _TRANSIENT_SHARE * attempts:
        yield None
        return
    statuses = ", ".join(f"{count} times {status}" for status, count in sorted(Counter(failed).items()))
    shown = next(one for one in passing if any(status >= 500 for status in one.passing))
    actual = f"{len(failed)} of {attempts}: {statuses}"
    yield Finding(f"at most {_TRANSIENT_SHARE:.0%} of the attempts", actual, shown)


_TRANSIENT_SHARE = 0.05
_FEWEST_TRANSIENT = 3  # fewer may be chance


@rule(
    "robustness.after-pause",
    "A request on a connection that was idle for some seconds gets its own ranking, as before",
    RESPONSES,
    quick=False,
    since="1.1.0",
)
def after_pause(seen: Recording) -> Iterator[Judgement]:
    """Compare one request before and after a pause; a server whose scores are others each time breaks another rule."""
    before, after = seen.named("rank-before-pause"), seen.named("rank-after-pause")
    if before is None or after is None or not before.ranked or not seen.close(0.0, seen.noise):
        return
    outcome, expected = after.outcome, "200 with a ranking, as before the pause"
    if isinstance(outcome, NoResponse) and outcome.kind == "broken":
        yield Finding(expected, outcome.message, after)
        return
    verdict = judged(after, expected, lambda answer: answer.status == 200)
    same = before.scores.keys() == after.scores.keys() and all(
        seen.close(score, after.scores[index]) for index, score in before.scores.items()
    )
    if verdict is None and not same:
        verdict = Finding(f"the scores of before: {_shown(before)}", _shown(after), after)
    yield verdict


def _shown(exchange: Exchange) -> str:
    return ", ".join(f"{index} ({score:.6g})" for index, score in exchange.scores.items()) or "no scores"


@rule(
    "robustness.large-request",
    "A large request is ranked, or refused with 400 or 413",
    f"{RESPONSES}/413",
    since="1.1.0",
)
def large_request(seen: Recording) -> Iterator[Judgement]:
    """Judge a thousand documents, and a document and a query of many pages: a limit is allowed, a failure is not."""
    for exchange in _own(seen, "robustness.large-request"):
        answer = exchange.answer
        # a server that is too slow to answer in time is not judged
        if answer is not None and not exchange.undecided:
            good = answer.status in {200, 400, 413}
            yield None if good else Finding("200, 400 or 413", described(exchange), exchange)


@rule(
    "robustness.odd-json",
    "No JSON makes a server fail: huge numbers, duplicate names, lone surrogates, deeply nested unknown fields",
    f"{RESPONSES}/500",
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def odd_json(seen: Recording) -> Iterator[Judgement]:
    """Judge JSON that RFC 8259 leaves to the parser: a server may accept or refuse it, but should not fail."""
    for exchange in _own(seen, "robustness.odd-json"):
        answer = exchange.answer
        if answer is not None and not exchange.undecided:
            bad = answer.status >= 500
            yield Finding("200, or 400", described(exchange), exchange) if bad else None


@rule(
    "robustness.no-server-error",
    "Valid requests that a server may refuse do not make it fail",
    f"{RESPONSES}/500",
    quick=False,
)
def no_server_error(seen: Recording) -> Iterator[Judgement]:
    """Judge requests whose acceptance is a SHOULD: a server may refuse them, but must not fail."""
    for exchange in seen.exchanges:
        answer, name = exchange.answer, exchange.probe.rule
        # a rule of a dialect alone is not among them
        if name not in RULES or RULES[name].level != "SHOULD" or not exchange.probe.legal:
            continue
        if answer is not None and not exchange.undecided:
            bad = answer.status >= 500
            yield Finding("200, or 400", described(exchange), exchange) if bad else None
