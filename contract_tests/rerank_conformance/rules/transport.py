"""Rules of HTTP as clients speak it: chunks, Expect, Accept, unusual headers, large bodies, reused connections."""

from collections.abc import Iterator

from rerank_conformance.exchanges import RAW_FORMS, Exchange, NoResponse
from rerank_conformance.report import Level
from rerank_conformance.rules.acceptance import described, judged
from rerank_conformance.rules.rule import (
    POST,
    RESPONSES,
    Finding,
    Judge,
    Judgement,
    Recording,
    rule,
)

_BODY = f"{POST}/requestBody"


def _judge(name: str, also: frozenset[int]) -> Judge:
    def judge(seen: Recording) -> Iterator[Judgement]:
        for exchange in seen.exchanges:
            if exchange.probe.rule == name and not _is_unsendable(exchange):
                yield _accepted(exchange, also)

    return judge


def _is_unsendable(exchange: Exchange) -> bool:
    """Return True if the form needs its own connection, and the server runs in process or behind a proxy."""
    outcome = exchange.outcome
    cannot = isinstance(outcome, NoResponse) and outcome.kind in {"unsent", "unreachable"}
    return cannot and exchange.probe.form in RAW_FORMS


def _accepted(exchange: Exchange, also: frozenset[int]) -> Judgement:
    outcome = exchange.outcome
    if isinstance(outcome, NoResponse) and outcome.kind == "broken" and exchange.probe.form in RAW_FORMS:
        return Finding("200 with a ranking", outcome.message, exchange)
    return judged(exchange, "200 with a ranking", lambda answer: answer.status in {200, *also})


_TABLE: tuple[tuple[str, Level, str, str, frozenset[int]], ...] = (
    (
        "chunked-body",
        "MUST",
        "A chunked body, without a Content-Length, is accepted",
        _BODY,
        frozenset({413}),
    ),
    (
        "accept",
        "MUST",
        "A client that accepts JSON gets a ranking: with the Accept header of axios, fetch, browsers and SSE clients, or without it",
        f"{RESPONSES}/200/content",
        frozenset(),
    ),
    (
        "event-stream",
        "SHOULD",
        "A client that accepts only an event stream gets JSON, or a refusal",
        f"{RESPONSES}/200/content",
        frozenset({400, 404, 406}),
    ),
    (
        "large-body",
        "MUST",
        "A body of more than a megabyte is accepted, or refused with 413",
        f"{RESPONSES}/413",
        frozenset({413}),
    ),
    (
        "connection",
        "MUST",
        "A request is ranked on any connection: with Connection: close, with HTTP/1.0, and after a HEAD or a refusal",
        _BODY,
        frozenset(),
    ),
    (
        "client-headers",
        "MUST",
        "Headers that clients, browsers, proxies and tracers add do not keep a request from being ranked",
        f"{POST}/parameters",
        frozenset(),
    ),
    (
        "origin",
        "SHOULD",
        "A request from a browser, with Origin and related headers, is ranked",
        f"{POST}/parameters",
        frozenset(),
    ),
    (
        "query-string",
        "SHOULD",
        "Unknown query parameters are ignored",
        f"{POST}/parameters",
        frozenset(),
    ),
    ("expect", "SHOULD", "A request with Expect: 100-continue is ranked", _BODY, frozenset({413})),
    ("header-bytes", "SHOULD", "A header value in UTF-8 is accepted", f"{POST}/parameters", frozenset()),
    (
        "long-headers",
        "SHOULD",
        "Headers of several thousand bytes are accepted",
        f"{POST}/parameters",
        frozenset(),
    ),
)
for _slug, _level, _requirement, _source, _also in _TABLE:
    _id = f"transport.{_slug}"
    rule(_id, _requirement, _source, level=_level, quick=False, thorough=True, since="1.1.0")(
        _judge(_id, _also)
    )


@rule(
    "transport.content-encoding",
    "A response is compressed only for a client that accepts it",
    f"{RESPONSES}/200/content",
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def content_encoding(seen: Recording) -> Iterator[Judgement]:
    """Judge Content-Encoding of responses to requests that accept only identity, as curl does not decompress by default."""
    for exchange in seen.ranked():
        if exchange.answer is not None and "Accept-Encoding" not in exchange.probe.headers:
            found = exchange.answer.headers.get("content-encoding", "identity")
            bad = found.strip().lower() not in {"", "identity"}
            actual = f"Content-Encoding {found}"
            yield Finding("no Content-Encoding", actual, exchange) if bad else None


def _without_failing(name: str, requirement: str, expected: str) -> None:
    """Register a rule for requests that may be refused; the rules of errors judge the form of a refusal."""

    def judge(seen: Recording) -> Iterator[Judgement]:
        for exchange in seen.exchanges:
            answer = exchange.answer
            if exchange.probe.rule == name and answer is not None and not exchange.undecided:
                yield None if answer.status < 500 else Finding(expected, described(exchange), exchange)

    rule(name, requirement, f"{_BODY}/content", quick=False, since="1.1.0")(judge)


_without_failing(
    "transport.no-content-type",
    "A request without Content-Type is ranked, or refused with 400",
    "200 or 400",
)
_without_failing(
    "transport.compressed-body",
    "A compressed body is read, or refused with 400 or 415",
    "200, 400 or 415",
)
