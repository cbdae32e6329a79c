"""Rules of methods: only POST ranks."""

from collections.abc import Iterator

from rerank_conformance.exchanges import Exchange, ReceivedResponse
from rerank_conformance.rules.acceptance import described, judged
from rerank_conformance.rules.rule import POST, SCHEMA, Finding, Judgement, Recording, rule

_PATH = POST.removesuffix("/post")


def _others(seen: Recording) -> Iterator[Exchange]:
    return (exchange for exchange in seen.exchanges if exchange.probe.rule == "method.refused")


@rule(
    "method.refused",
    "Methods that the contract does not have are refused with a 4xx or 501",
    _PATH,
    thorough=True,
)
def refused(seen: Recording) -> Iterator[Judgement]:
    """Judge GET, PUT, PATCH and DELETE: 405 or 404, or 501."""
    for exchange in _others(seen):
        yield judged(
            exchange, "405 or 404", lambda answer: 400 <= answer.status < 500 or answer.status == 501
        )


@rule("method.allow", "A 405 lists the allowed methods in Allow, as HTTP requires", _PATH, level="SHOULD")
def allow(seen: Recording) -> Iterator[Judgement]:
    """Judge the header."""
    for exchange in _others(seen):
        answer = exchange.answer
        if answer is not None and answer.status == 405:
            found = answer.headers.get("allow", "")
            good = "POST" in {name.strip().upper() for name in found.split(",")}
            yield (
                None if good else Finding("Allow: POST", f"Allow: {found}" if found else "no Allow", exchange)
            )


@rule(
    "method.envelope",
    "The refusal of a method is an ErrorResponse",
    f"{SCHEMA}/ErrorResponse",
    level="SHOULD",
)
def envelope(seen: Recording) -> Iterator[Judgement]:
    """Judge the body."""
    for exchange in _others(seen):
        answer = exchange.answer
        if answer is not None and answer.status in {404, 405}:
            violation = seen.by.responses[400].violation(answer.value)
            yield Finding("an ErrorResponse", described(exchange), exchange) if violation else None


@rule(
    "method.any",
    "No method makes the server fail, and only POST ranks: also for HEAD, OPTIONS, TRACE and unknown methods",
    _PATH,
    quick=False,
    since="1.1.0",
)
def any_method(seen: Recording) -> Iterator[Judgement]:
    """Judge the methods that proxies, browsers and scanners send; HEAD and OPTIONS may get a 2xx."""
    for exchange in seen.exchanges:
        if exchange.probe.rule == "method.any":
            yield judged(exchange, "405, 404 or 501", _is_honest)


def _is_honest(answer: ReceivedResponse) -> bool:
    value: object = answer.value
    ranks = isinstance(value, dict) and "results" in value
    return (answer.status < 500 or answer.status == 501) and not ranks
