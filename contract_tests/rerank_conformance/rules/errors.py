"""Rules of errors: all have the same form; other rules judge which error it is."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from rerank_conformance.contract import Contract
from rerank_conformance.exchanges import OF_RANKING, Exchange, ReceivedResponse, is_index
from rerank_conformance.rules.acceptance import described
from rerank_conformance.rules.answer import short
from rerank_conformance.rules.rule import RESPONSES, SCHEMA, Finding, Judgement, Recording, rule

Check = Callable[[Exchange, ReceivedResponse, Contract], Iterator[Judgement]]


def _each(name: str, requirement: str, source: str) -> Callable[[Check], Check]:
    def register(check: Check) -> Check:
        def judge(seen: Recording) -> Iterator[Judgement]:
            for exchange, answer in errors_of(seen):
                yield from check(exchange, answer, seen.by)

        rule(name, requirement, source)(judge)
        return check

    return register


def errors_of(seen: Recording) -> Iterator[tuple[Exchange, ReceivedResponse]]:
    """Yield the exchanges with errors whose form the contract describes."""
    for exchange in seen.exchanges:
        answer = exchange.answer
        if answer is None or exchange.undecided or exchange.probe.method != "POST":
            continue
        if exchange.probe.path != OF_RANKING:  # the contract does not describe other URLs
            continue
        if _is_refused_by_http(exchange, answer):
            continue
        if not 200 <= answer.status < 300:
            yield exchange, answer


def _is_refused_by_http(exchange: Exchange, answer: ReceivedResponse) -> bool:
    """Return True if an HTTP server may refuse a form of HTTP before the contract begins."""
    if exchange.probe.form != "usual":
        return True
    return (exchange.probe.rule or "").startswith("transport.") and answer.status in {406, 413, 415, 417, 431}


def _own(answer: ReceivedResponse) -> bool:
    # the edge network answers in HTML: openapi.yaml#/components/responses/BadGateway
    return answer.status <= 500


def _error(answer: ReceivedResponse) -> dict[str, Any]:
    value = answer.value
    error = cast("dict[str, Any]", value).get("error") if isinstance(value, dict) else None
    return cast("dict[str, Any]", error) if isinstance(error, dict) else {}


@_each("error.status-documented", "Every error has a status that the contract documents", RESPONSES)
def status_documented(exchange: Exchange, answer: ReceivedResponse, by: Contract) -> Iterator[Judgement]:
    """Judge the status."""
    documented = by.responses
    expected = ", ".join(str(status) for status in documented if 400 <= status < 500)
    yield (
        None if answer.status in documented else Finding(f"one of {expected}", described(exchange), exchange)
    )


@_each("error.content-type", "Every error is sent as application/json", f"{RESPONSES}/400")
def content_type(exchange: Exchange, answer: ReceivedResponse, by: Contract) -> Iterator[Judgement]:
    """Judge the media type."""
    del by
    if _own(answer):
        found = answer.headers.get("content-type", "none")
        what = f"{answer.status} with Content-Type {found}"
        good = answer.media_type == "application/json"
        yield None if good else Finding("Content-Type application/json", what, exchange)


@_each(
    "error.envelope",
    "Every error is an ErrorResponse: an error with code and message",
    f"{SCHEMA}/ErrorResponse",
)
def envelope(exchange: Exchange, answer: ReceivedResponse, by: Contract) -> Iterator[Judgement]:
    """Judge the body by its schema, except the code."""
    if not _own(answer):
        return
    value: Any = answer.value
    error = _error(answer)
    if error:
        value = {**value, "error": {**error, **({"code": 400} if "code" in error else {})}}
    wrong = answer.not_json or by.responses[400].violation(value)
    expected = '{"error": {"code": ..., "message": "..."}}'
    yield Finding(expected, f"{wrong} ({described(exchange)})", exchange) if wrong else None


@_each(
    "error.code", "The code in an error is the status, as an integer", f"{SCHEMA}/ErrorDetail/properties/code"
)
def code(exchange: Exchange, answer: ReceivedResponse, by: Contract) -> Iterator[Judgement]:
    """Compare the code with the status."""
    del by
    error = _error(answer)
    if _own(answer) and "code" in error:
        found: Any = error["code"]
        good = is_index(found) and found == answer.status
        yield None if good else Finding(f"error.code {answer.status}", f"error.code {short(found)}", exchange)
