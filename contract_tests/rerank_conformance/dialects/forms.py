"""The rules of form of a dialect: judges by its contract, and the rules that only it has."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, cast

from rerank_conformance.contract import OPERATION
from rerank_conformance.dialects.codec import Body, DialectCodec
from rerank_conformance.dialects.translation import DecodedAnswer, WireProbe
from rerank_conformance.exchanges import Exchange, ReceivedResponse, is_index
from rerank_conformance.rules import RULES
from rerank_conformance.rules.acceptance import described, judged
from rerank_conformance.rules.errors import errors_of
from rerank_conformance.rules.rule import Finding, Judge, Judgement, Recording

Form = Callable[[DialectCodec, Recording], Iterator[Judgement]]


def judge_of(codec: DialectCodec, rule: str) -> Judge:
    """Return the judge of a rule by the contract of a dialect.

    Args:
        codec: The codec of the dialect.
        rule: The id of the rule.
    """
    return partial(_FORMS[rule], codec)


def has_form(rule: str) -> bool:
    """Return True if there is a judge of the rule for dialects."""
    return rule in _FORMS


def _wire(exchange: Exchange) -> Any:
    answer = exchange.answer
    return answer.wire if isinstance(answer, DecodedAnswer) else None


def _asks_for_echo(exchange: Exchange) -> bool:
    return isinstance(exchange.probe, WireProbe) and exchange.probe.echo


# answers


def _is_array(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    del codec
    for exchange in seen.ranked():
        good = isinstance(_wire(exchange), list)
        yield None if good else Finding("a JSON array", described(exchange), exchange)


def _schema(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    """Judge the body by its schema, with the fields replaced that have rules of their own."""
    schema = codec.contract.responses[200]
    for exchange in seen.ranked():
        value = _wire(exchange)
        if isinstance(value, dict if codec.results else list):
            violation = schema.violation(_mended(codec, value))
            expected = f"an answer of {codec.name}"
            yield Finding(expected, str(violation), exchange) if violation else None


def _mended(codec: DialectCodec, value: Any) -> Any:
    if isinstance(value, list):
        return [_mended_result(codec, one) for one in value]
    _, schema = codec.contract.at(codec.contract.responses[200].pointer)
    examples = {
        name: codec.contract.at(f"{codec.contract.responses[200].pointer}/properties/{name}")[1].get(
            "example"
        )
        for name in ("id", "model", "usage")
        if name in schema["properties"]
    }
    mended: Body = {**value, **examples}
    results: object = value.get(codec.results)
    if isinstance(results, list):
        mended[codec.results] = [_mended_result(codec, one) for one in results]
    return mended


def _mended_result(codec: DialectCodec, result: Any) -> Any:
    if not isinstance(result, dict):
        return result
    kept = {name: value for name, value in result.items() if name not in {"document", "text"}}
    return {**kept, "index": 0, codec.score: 0}


def _echo_present(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    for exchange in seen.ranked():
        if not _asks_for_echo(exchange):
            continue
        for place, one in enumerate(exchange.results):
            good = isinstance(one.get("document"), dict)
            what = f"result {place} has no document, though {codec.echo} is true"
            yield None if good else Finding("the document", what, exchange)


def _echo_nothing_added(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    yield from RULES["answer.echo-nothing-added"].judge(seen)
    for exchange in seen.ranked():
        if _asks_for_echo(exchange):
            continue
        for place, one in enumerate(exchange.results):
            what = f"result {place} has a document, though {codec.echo} is not true"
            yield Finding("no document", what, exchange) if "document" in one else None


# many documents, any model


def _within_limits(rule: str) -> Form:
    """Return the judge of legal requests that a server may refuse for a limit of its own, and then cleanly."""

    def judge(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
        refused = frozenset({413, 422}) if codec.name == "tei" else frozenset({400, 413, 422})
        expected = f"200 with a ranking, or {_listed(refused)}"
        for exchange in seen.exchanges:
            if exchange.probe.rule == rule:
                yield judged(exchange, expected, lambda answer: answer.status in {200, *refused})

    return judge


def _any_model(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    del codec
    honest = {200, 400, 403, 404, 422}
    for exchange in seen.exchanges:
        if exchange.probe.rule == "model.any-name":
            yield judged(exchange, _listed(honest), lambda answer: answer.status in honest)


def _large_request(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    del codec
    for exchange in seen.exchanges:
        answer = exchange.answer
        own = exchange.probe.rule == "robustness.large-request"
        # a server that is too slow for it within the time is not judged by it
        if own and answer is not None and not exchange.undecided:
            good = answer.status in {200, 400, 413, 422}
            yield None if good else Finding("200, 400, 413 or 422", described(exchange), exchange)


def _listed(statuses: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(statuses)))


# errors


def _refusal_status(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    for exchange in seen.exchanges:
        probe, answer = exchange.probe, exchange.answer
        if probe.legal is not False or probe.auth != "key" or exchange.undecided or answer is None:
            continue
        if 400 <= answer.status < 500 and answer.status in codec.contract.statuses | {415}:
            fitting = {*codec.refusals}
            # requests that are generated name models that no server has
            fitting |= {404} if probe.phase == "generate" else set()
            fitting |= {415} if probe.rule == "refusal.content-type" else set()
            good = answer.status in fitting
            yield None if good else Finding(_listed(codec.refusals), described(exchange), exchange)


def _status_documented(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    documented = codec.contract.statuses
    for exchange, answer in errors_of(seen):
        allowed = documented | ({415} if exchange.probe.rule == "refusal.content-type" else set())
        expected = f"one of {_listed(status for status in documented if 400 <= status < 500)}"
        yield None if answer.status in allowed else Finding(expected, described(exchange), exchange)


def _content_type(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    for exchange, answer in errors_of(seen):
        allowed = _media_types(codec, answer)
        if allowed:
            what = f"{answer.status} with Content-Type {answer.headers.get('content-type', 'none')}"
            expected = f"Content-Type {' or '.join(sorted(allowed))}"
            yield None if answer.media_type in allowed else Finding(expected, what, exchange)


def _envelope(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    for exchange, answer in errors_of(seen):
        if _media_types(codec, answer):
            yield _form_of(codec, exchange, answer)


def _media_types(codec: DialectCodec, answer: ReceivedResponse) -> frozenset[str]:
    """Return the media types of an error; none if its body is the edge network's, or nobody's."""
    known = answer.status <= 500 and answer.status in codec.contract.statuses
    return codec.contract.media_types(answer.status) if known else frozenset()


def _form_of(codec: DialectCodec, exchange: Exchange, answer: ReceivedResponse) -> Judgement:
    """Judge the body of an error by the schema for its status; plain text has to say something."""
    if answer.media_type == "text/plain" and "text/plain" in _media_types(codec, answer):
        return None if answer.body.strip() else Finding("the problem as text", described(exchange), exchange)
    schema = codec.contract.responses.get(answer.status)
    if schema is None:
        return None
    violation = schema.violation(_wire(exchange)) or codec.unsaid(_wire(exchange))
    expected = f"an error of {codec.name}"
    return Finding(expected, f"{described(exchange)}: {violation}", exchange) if violation else None


def _code(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    for exchange, answer in errors_of(seen):
        value = _wire(exchange)
        if not isinstance(value, dict):
            continue
        if codec.name == "tei":
            kind, fitting = value.get("error_type"), _KINDS.get(answer.status)
            if kind is not None and fitting is not None:
                what = f"error_type {kind!r} with {answer.status}"
                yield None if kind in fitting else Finding(" or ".join(fitting), what, exchange)
            continue
        error: object = value.get("error")
        code: object = cast("Body", error).get("code") if isinstance(error, dict) else None
        if is_index(code):
            good = code == answer.status
            yield None if good else Finding(f"error.code {answer.status}", f"error.code {code}", exchange)


_KINDS: Mapping[int, tuple[str, ...]] = {
    400: ("Empty",),
    413: ("Validation",),
    422: ("Validation", "Tokenizer"),
    424: ("Backend",),
    429: ("Overloaded",),
}


def _method_envelope(codec: DialectCodec, seen: Recording) -> Iterator[Judgement]:
    schema = codec.contract.responses[400]
    for exchange in seen.exchanges:
        answer = exchange.answer
        if exchange.probe.rule == "method.refused" and answer is not None and answer.status in {404, 405}:
            violation = schema.violation(_wire(exchange))
            expected = f"an error of {codec.name}"
            yield Finding(expected, described(exchange), exchange) if violation else None


_FORMS: Mapping[str, Form] = {
    "answer.json": _is_array,
    "answer.schema": _schema,
    "answer.echo-present": _echo_present,
    "answer.echo-nothing-added": _echo_nothing_added,
    "acceptance.long-document": _within_limits("acceptance.long-document"),
    "acceptance.many-documents": _within_limits("acceptance.many-documents"),
    "model.any-name": _any_model,
    "robustness.large-request": _large_request,
    "refusal.status": _refusal_status,
    "error.status-documented": _status_documented,
    "error.content-type": _content_type,
    "error.envelope": _envelope,
    "error.code": _code,
    "method.envelope": _method_envelope,
}

SOURCES: Mapping[str, str] = {
    "answer.": f"{OPERATION}/responses/200/content",
    "acceptance.": f"{OPERATION}/requestBody",
    "model.": f"{OPERATION}/requestBody",
    "robustness.": f"{OPERATION}/requestBody",
    "refusal.": f"{OPERATION}/responses/400",
    "error.": f"{OPERATION}/responses",
    "method.": f"{OPERATION}/responses/400",
}
"""The place of these rules in the contract of a dialect, by the beginning of their ids."""
