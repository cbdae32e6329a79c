"""Rules of authentication: nothing is ranked without a key that the server knows."""

from collections.abc import Iterator
from typing import Any, cast

from rerank_conformance.exchanges import KEY, WRONG_KEY, Exchange
from rerank_conformance.report import Level
from rerank_conformance.rules.acceptance import accepted, described, each, judged
from rerank_conformance.rules.rule import RESPONSES, Finding, Judgement, Recording, rule

_SCHEME = "#/components/securitySchemes/apiKey"


def _unauthorized(exchange: Exchange) -> Judgement:
    return judged(exchange, "401, nothing ranked", lambda answer: answer.status == 401)


_TABLE: tuple[tuple[str, Level, bool, str, str], ...] = (
    ("no-key", "MUST", True, "A request without a key is answered with 401", f"{RESPONSES}/401"),
    ("wrong-scheme", "MUST", True, "A request with another scheme than Bearer is answered with 401", _SCHEME),
    ("wrong-key", "MUST", True, "A request with an unknown or empty key is answered with 401", f"{RESPONSES}/401"),
    ("similar-key", "MUST", True, "A request with one letter more or less in its key is answered with 401", f"{RESPONSES}/401"),
    ("before-body", "MUST", True, "A missing key gets 401 even if the body is invalid", "#/security"),
)  # fmt: skip
for _slug, _level, _quick, _requirement, _source in _TABLE:
    _id = f"authentication.{_slug}"
    rule(_id, _requirement, _source, level=_level, quick=_quick, thorough=True)(each(_id, _unauthorized))


@rule(
    "authentication.other-address",
    "No other spelling of the URL ranks without a key",
    "#/security",
    since="1.1.0",
)
def other_address(seen: Recording) -> Iterator[Judgement]:
    """Judge URLs with a slash at the end, capitals, a query or an escape, if the URL itself needs a key."""
    guarded = seen.named("key-no-key")
    if guarded is None or guarded.answer is None or guarded.answer.status != 401:
        return
    for exchange in seen.exchanges:
        answer = exchange.answer
        if exchange.probe.rule == "authentication.other-address" and answer is not None:
            ranked = 200 <= answer.status < 300 and bool(exchange.results)
            what = f"{exchange.probe.path}: {described(exchange)}"
            yield Finding("401, or 404: nothing ranked", what, exchange) if ranked else None


@rule("authentication.nothing-ranked", "A 401 contains no results", f"{RESPONSES}/401")
def nothing_ranked(seen: Recording) -> Iterator[Judgement]:
    """Judge the body of each refusal."""
    for exchange in seen.exchanges:
        answer = exchange.answer
        if answer is not None and answer.status == 401:
            value: Any = answer.value
            held = isinstance(value, dict) and "results" in cast("dict[str, Any]", value)
            yield Finding("only an error", described(exchange), exchange) if held else None


@rule("authentication.key-not-shown", "No answer contains the key that was sent", _SCHEME)
def key_not_shown(seen: Recording) -> Iterator[Judgement]:
    """Judge bodies and headers, in which a placeholder replaced the key when they were recorded."""
    for exchange in seen.exchanges:
        answer = exchange.answer
        if answer is None or exchange.probe.auth in {"none", "empty"}:
            continue
        whole = answer.body + "\n".join(answer.headers.values()).encode("utf-8", "replace")
        shown = KEY.encode() in whole or WRONG_KEY.encode() in whole
        yield Finding("an answer without the key", "the key is in the answer", exchange) if shown else None


@rule(
    "authentication.challenge",
    "A 401 names the scheme in WWW-Authenticate, as HTTP requires",
    f"{RESPONSES}/401",
    level="SHOULD",
)
def challenge(seen: Recording) -> Iterator[Judgement]:
    """Judge the header."""
    for exchange in seen.exchanges:
        answer = exchange.answer
        if answer is not None and answer.status == 401:
            good = "www-authenticate" in answer.headers
            yield None if good else Finding("WWW-Authenticate: Bearer", "no such header", exchange)


@rule(
    "authentication.scheme-case",
    "The scheme is accepted in any case, as HTTP requires",
    _SCHEME,
    level="SHOULD",
    quick=False,
)
def scheme_case(seen: Recording) -> Iterator[Judgement]:
    """Judge `bearer` in place of `Bearer`."""
    for exchange in seen.exchanges:
        if exchange.probe.rule == "authentication.scheme-case":
            yield accepted(exchange)
