"""Rules of a single ranking: its form, indices, scores, echoes and completeness."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

from rerank_conformance.derived import Requirement, mended, requirements, schema_of, values_at
from rerank_conformance.exchanges import Exchange, is_index, is_number, text_of
from rerank_conformance.report import Level
from rerank_conformance.rules.rule import RESPONSES, SCHEMA, Finding, Judgement, Recording, rule

_RESULT = f"{SCHEMA}/RerankResult/properties"
_RESULTS = f"{SCHEMA}/RerankResponse/properties/results"
_Found = TypeVar("_Found")
_DESCENDING = 1e-6  # a server may sort by more digits than it writes


def _each(  # noqa: PLR0913 - the parts of a rule
    name: str,
    requirement: str,
    source: str,
    *,
    level: Level = "MUST",
    quick: bool = True,
    since: str = "1.0.0",
) -> Callable[[Callable[[Exchange], Iterator[Judgement]]], Callable[[Exchange], Iterator[Judgement]]]:
    """Return a decorator that registers a function that judges one ranking as a rule."""

    def register(
        check: Callable[[Exchange], Iterator[Judgement]],
    ) -> Callable[[Exchange], Iterator[Judgement]]:
        def judge(seen: Recording) -> Iterator[Judgement]:
            for exchange in seen.ranked():
                yield from check(exchange)

        rule(name, requirement, source, level=level, quick=quick, since=since)(judge)
        return check

    return register


def _once(
    compute: Callable[[Exchange], Iterator[_Found]],
) -> Callable[[Exchange], Sequence[_Found]]:
    """Keep with an exchange what several rules read of it."""

    def read(exchange: Exchange) -> Sequence[_Found]:
        kept = vars(exchange)
        found: Sequence[_Found] | None = kept.get(compute.__name__)
        if found is None:
            found = kept[compute.__name__] = tuple(compute(exchange))
        return found

    return read


def _value(exchange: Exchange) -> Mapping[str, Any]:
    value = exchange.answer.value if exchange.answer else None
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _is_object(exchange: Exchange) -> bool:
    return exchange.answer is not None and isinstance(exchange.answer.value, dict)


def _has_list(exchange: Exchange) -> bool:
    """Return True if `results` is a list; otherwise `answer.schema` fails."""
    return isinstance(_value(exchange).get("results"), list)


def short(value: object) -> str:
    """Return the JSON of a value for a report, truncated."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else f"{text[:80]}..."


def _member(value: Mapping[str, Any], name: str) -> str:
    """Return a member of an object for a report."""
    return short(value[name]) if name in value else "missing"


# form


@_each("answer.content-type", "A ranking is sent as application/json", f"{RESPONSES}/200/content")
def content_type(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the media type."""
    answer = exchange.answer
    if answer is None:
        return
    good = answer.media_type == "application/json"
    found = answer.headers.get("content-type", "none")
    yield None if good else Finding("Content-Type application/json", f"Content-Type {found}", exchange)


@_each("answer.json", "A ranking is one JSON object in UTF-8", f"{RESPONSES}/200/content")
def is_json(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the body as JSON."""
    answer = exchange.answer
    if answer is None:
        return
    if isinstance(answer.value, dict):
        yield None
        return
    found = answer.body[:80].decode("utf-8", "replace")
    what = answer.not_json or f"JSON of {len(answer.body)} bytes that is not an object: {found!r}"
    yield Finding("a JSON object", what, exchange)


@rule(
    "answer.one-reading",
    "All parsers read an answer alike: it has no NaN, no duplicate name and no lone surrogate",
    f"{RESPONSES}/200/content",
    since="1.1.0",
)
def one_reading(seen: Recording) -> Iterator[Judgement]:
    """Judge the body of every ranking and error that Python parses as JSON."""
    for exchange in seen.exchanges:
        answer = exchange.answer
        if answer is not None and answer.value is not None:
            found = _read_differently(answer.body, exchange.probe.content)
            yield Finding("JSON as in RFC 8259", f"{answer.status} with {found}", exchange) if found else None


def _read_differently(body: bytes, sent: bytes) -> str | None:
    """Return the part of a body that parsers read differently; None if there is none.

    A server may echo a lone surrogate of the request, as RFC 8259 allows.
    """
    found: list[str] = []

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) < len(pairs):
            [(name, times)] = Counter(name for name, _ in pairs).most_common(1)
            found.append(f"the name {short(name)} {times} times in one object")
        return read

    def number(literal: str) -> float:
        read = float(literal)
        if math.isinf(read):
            found.append(f"the number {literal[:40]}, which is too large for a double")
        return read

    try:
        value = json.loads(body, object_pairs_hook=members, parse_constant=found.append, parse_float=number)
        if not found and b"\\u" in body and not _halves(value) <= _halves_sent(sent):
            found.append("a lone surrogate")
    except (ValueError, RecursionError):
        pass
    return found[0] if found else None


def _halves(value: object) -> set[str]:
    """Return the lone surrogates in the strings of a JSON value."""
    return set(_HALF.findall(json.dumps(value, ensure_ascii=False)))


def _halves_sent(content: bytes) -> set[str]:
    try:
        return _halves(json.loads(content)) if b"\\u" in content else set()
    except (ValueError, RecursionError):
        return set()


_HALF = re.compile("[\ud800-\udfff]")


@rule(
    "answer.schema",
    "A ranking is a valid RerankResponse, apart from fields with their own rules",
    f"{SCHEMA}/RerankResponse",
)
def schema(seen: Recording) -> Iterator[Judgement]:
    """Judge the body by its schema, with valid values in the fields that have their own rules."""
    for exchange in filter(_is_object, seen.ranked()):
        value: dict[str, Any] = {**_value(exchange), **_MENDED}
        results: Any = value.get("results")
        if isinstance(results, list):
            value["results"] = [
                {**one, **_MENDED_RESULT} if isinstance(one, dict) else one for one in results
            ]
        for one in requirements(seen.by.version):
            if one.kind == "answer":
                value = mended(value, one.path, seen.by, one)
        violation = seen.by.responses[200].violation(value)
        yield Finding("a RerankResponse", str(violation), exchange) if violation else None


_MENDED: Mapping[str, Any] = {"id": "x", "model": "x", "usage": {}, "provider": "x"}
_MENDED_RESULT: Mapping[str, Any] = {"index": 0, "relevance_score": 0, "document": {}}


# index


@_each("answer.index-integer", "Each index is an integer", f"{_RESULT}/index")
def index_integer(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the type of each index."""
    for place, one in enumerate(exchange.results):
        found = one.get("index")
        if is_index(found):
            yield None
        else:
            yield Finding("an integer", f"results[{place}].index is {_member(one, 'index')}", exchange)


@_each("answer.index-in-range", "Each index is the position of a document of the request", f"{_RESULT}/index")
def index_in_range(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the range of each index."""
    count = len(exchange.probe.documents)
    for place, one in enumerate(exchange.results):
        index = one.get("index")
        if is_index(index):
            good = 0 <= index < count
            what = f"results[{place}].index is {index}"
            allowed = "0, for one document" if count == 1 else f"0 to {count - 1}, for {count} documents"
            yield None if good else Finding(allowed, what, exchange)


@_each("answer.index-unique", "No index appears twice", _RESULTS)
def index_unique(exchange: Exchange) -> Iterator[Judgement]:
    """Judge that no index appears twice."""
    times = Counter(one["index"] for one in exchange.results if is_index(one.get("index")))
    twice = [index for index, count in times.items() if count > 1]
    yield (
        Finding("each index once", f"index {twice[0]}, {times[twice[0]]} times", exchange) if twice else None
    )


@_each(
    "answer.index-points-at-echo", "Each index belongs to the document in the same result", f"{_RESULT}/index"
)
def index_points_at_echo(exchange: Exchange) -> Iterator[Judgement]:
    """Judge that no result echoes another document of the request."""
    for place, sent, echo in exchange.echoes:
        if not _is_echo_of_another(exchange, sent, echo):
            yield None
            continue
        index = exchange.results[place]["index"]
        what = f"results[{place}] has index {index} and echoes another document: {short(echo.get('text'))}"
        yield Finding(f"the echo of document {index}, {short(sent)}", what, exchange)


# scores


@_each("answer.score-number", "Each relevance_score is a finite number", f"{_RESULT}/relevance_score")
def score_number(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the type of each score."""
    for place, one in enumerate(exchange.results):
        found = one.get("relevance_score")
        if is_number(found):
            yield None
        else:
            what = f"results[{place}].relevance_score is {_member(one, 'relevance_score')}"
            yield Finding("a finite number", what, exchange)


@_each("answer.descending", "The results are sorted by score, highest first", _RESULTS)
def descending(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the order of the scores."""
    scores = [float(s) for s in (one.get("relevance_score") for one in exchange.results) if is_number(s)]
    if len(scores) < len(exchange.results):
        return
    for place, (before, after) in enumerate(pairwise(scores)):
        if after > before + _DESCENDING * max(1.0, abs(before)):
            what = f"results[{place}] has {before!r} and results[{place + 1}] has {after!r}"
            yield Finding("the highest score first", what, exchange)
            return
    yield None


# number of results


@_each(
    "answer.not-empty", "A ranking has at least one result, as a request has at least one document", _RESULTS
)
def not_empty(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the lower bound of the number of results."""
    if _has_list(exchange):
        yield None if exchange.results else Finding("at least one result", "no results", exchange)


@_each("answer.at-most-top-n", "A ranking has at most top_n results", _RESULTS)
def at_most_top_n(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the number of results by `top_n`."""
    top_n = exchange.probe.top_n
    if top_n is not None:
        count = len(exchange.results)
        yield None if count <= top_n else Finding(f"at most {top_n} results", f"{count} results", exchange)


@_each("answer.at-most-documents", "A ranking has at most one result for each document", _RESULTS)
def at_most_documents(exchange: Exchange) -> Iterator[Judgement]:
    """Compare the numbers of results and documents; another rule judges duplicate indices."""
    documents, count = len(exchange.probe.documents), len(exchange.results)
    indexes = {one["index"] for one in exchange.results if is_index(one.get("index"))}
    if len(indexes) == count:
        found = f"{count} results for {documents} documents"
        yield None if count <= documents else Finding(f"at most {documents} results", found, exchange)


@_each(
    "answer.top-n-filled",
    "A ranking has top_n results if the request has that many documents",
    f"{SCHEMA}/RerankRequest/properties/top_n",
    level="SHOULD",
)
def top_n_filled(exchange: Exchange) -> Iterator[Judgement]:
    """Judge that there are as many results as requested."""
    top_n, count = exchange.probe.top_n, len(exchange.results)
    if top_n is not None and top_n <= len(exchange.probe.documents) and _has_list(exchange):
        yield None if count >= top_n else Finding(f"{top_n} results", f"{count} results", exchange)


@_each(
    "answer.top-n-above-count",
    "All documents are returned if top_n exceeds their number",
    f"{SCHEMA}/RerankRequest/properties/top_n",
)
def top_n_above_count(exchange: Exchange) -> Iterator[Judgement]:
    """Judge that no document is missing."""
    top_n, documents = exchange.probe.top_n, exchange.probe.documents
    # other rules judge missing blank and identical documents, in requests without top_n
    if top_n is None or top_n <= len(documents) or not _has_list(exchange):
        return
    if not {*map(_kind, documents)} & {"blank"}:
        if len(set(exchange.probe.document_keys)) < len(documents):
            return
        count = len(exchange.results)
        wanted = f"all {len(documents)} documents"
        yield None if count >= len(documents) else Finding(wanted, f"{count} results", exchange)


# completeness

_LOST: Mapping[str, tuple[str, bool]] = {
    "complete": ("All documents are returned if the request has no top_n", True),
    "one-document": ("A single document is returned", True),
    "many-documents": ("All of more than a hundred documents are returned", True),
    "blank-documents": ("Empty and blank documents are returned like any other", True),
    "identical-documents": ("All of several identical documents are returned", True),
}


@_once
def _lost(exchange: Exchange) -> Iterator[tuple[str, list[int]]]:
    """Yield the kinds of documents in a request without `top_n`, each with the positions of the missing ones."""
    documents = exchange.probe.documents
    if exchange.probe.top_n is not None or not _has_list(exchange):
        return
    indexes = [one.get("index") for one in exchange.results]
    there = {index for index in indexes if is_index(index)}
    # with a duplicate or invalid index, the missing document is unknown
    if indexes and (len(there) < len(indexes) or not there <= set(range(len(documents)))):
        return
    keys = exchange.probe.document_keys
    times = Counter(keys)
    kept = {keys[index] for index in there}
    found: dict[str, list[int]] = {}
    for index, document in enumerate(documents):
        if len(documents) == 1:
            kind = "one-document"
        elif times[keys[index]] > 1 and (index in there or keys[index] in kept):
            kind = "identical-documents"
        elif _kind(document) == "blank":
            kind = "blank-documents"
        else:
            kind = "many-documents" if len(documents) > 100 else "complete"
        found.setdefault(kind, [])
        if index not in there:
            found[kind].append(index)
    yield from found.items()


def _register_lost(slug: str, requirement: str, *, quick: bool) -> None:
    @_each(f"answer.{slug}", requirement, f"{POST_DESCRIPTION}", quick=quick)
    def check(exchange: Exchange) -> Iterator[Judgement]:
        for kind, missing in _lost(exchange):
            if kind == slug:
                count = len(exchange.probe.documents)
                names = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
                what = f"{len(exchange.results)} results; missing: {names}"
                yield Finding(f"each of {count} documents", what, exchange) if missing else None

    del check


POST_DESCRIPTION = "#/paths/~1rerank/post/description"
for _slug, (_requirement, _quick) in _LOST.items():
    _register_lost(_slug, _requirement, quick=_quick)


# echo


def _kind(document: Any) -> str:
    text = text_of(document)
    if text is None:
        return "image"
    if not text.strip():
        return "blank"
    return "text"


def _is_echo_of_another(exchange: Exchange, sent: Any, echo: Mapping[str, Any]) -> bool:
    text = echo.get("text")
    if text is None or text == text_of(sent):
        return False
    return bool(text) and any(text == text_of(other) for other in exchange.probe.documents)


@_each("answer.echo-present", "Each result contains its document as an object", f"{_RESULT}/document")
def echo_present(exchange: Exchange) -> Iterator[Judgement]:
    """Judge that each echo is an object."""
    for place, one in enumerate(exchange.results):
        if isinstance(one.get("document"), dict):
            yield None
        else:
            what = f"results[{place}].document is {_member(one, 'document')}"
            yield Finding("an object", what, exchange)


_ALTERED: Mapping[str, str] = {
    "echo-text": "The text of a document is returned unchanged, also if the document is a string",
    "echo-blanks": "Blanks at the ends of a text, and blank texts, are returned unchanged",
    "echo-unicode": "Every character of a text is returned: other scripts, code points beyond 16 bits, combining and control characters",
    "echo-long": "A long text is returned whole",
}


def _rule_of_echo(sent: str, echo: object) -> str:
    """Return the rule that judges the echo of this text."""
    if sent != sent.strip() and (not isinstance(echo, str) or echo in (sent, sent.strip())):
        return "echo-blanks"
    if len(sent) > 1000:
        return "echo-long"
    if not (sent.isascii() and sent.isprintable()):
        return "echo-unicode"
    return "echo-text" if sent == sent.strip() else "echo-blanks"


@_once
def _texts(exchange: Exchange) -> Iterator[tuple[str, int, str, object]]:
    """Yield the text of each document that is echoed: the rule that judges it, its place, as it was sent, as it came back."""
    for place, document, echo in exchange.echoes:
        sent, found = text_of(document), echo.get("text")
        if sent is not None and not _is_echo_of_another(exchange, document, echo):
            yield _rule_of_echo(sent, found), place, sent, found


def _register_altered(slug: str, requirement: str) -> None:
    @_each(f"answer.{slug}", requirement, f"{SCHEMA}/ResultDocument")
    def check(exchange: Exchange) -> Iterator[Judgement]:
        for judge, place, sent, found in _texts(exchange):
            if judge != slug:
                continue
            if found == sent:
                yield None
            else:
                what = f"results[{place}].document.text is {_difference(sent, found)}"
                yield Finding(_short_text(sent), what, exchange)

    del check


def _short_text(text: str) -> str:
    return short(text) if len(text) <= 80 else f"{short(text)} ({len(text)} characters)"


def _difference(sent: str, found: object) -> str:
    if not isinstance(found, str):
        return "missing" if found is None else short(found)
    place = next(
        (i for i, (a, b) in enumerate(zip(sent, found, strict=False)) if a != b), min(len(sent), len(found))
    )
    where = f", which differ from character {place} on" if place > 30 else ""
    return f"{short(found)} ({len(found)} characters{where})"


for _slug, _requirement in _ALTERED.items():
    _register_altered(_slug, _requirement)


@_each(
    "answer.echo-image",
    "The image of a document is returned unchanged, if the model accepts images",
    f"{SCHEMA}/ResultDocument/properties/image",
    quick=False,
)
def echo_image(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the echo of each image."""
    for place, document, echo in exchange.echoes:
        if isinstance(document, dict) and "image" in document:
            sent, found = cast("Mapping[str, Any]", document)["image"], echo.get("image")
            if found == sent:
                yield None
            else:
                what = f"results[{place}].document.image is {_member(echo, 'image')}"
                yield Finding(short(sent), what, exchange)


@_each(
    "answer.echo-nothing-added",
    "An echo has text or image only if the document has it",
    f"{SCHEMA}/ResultDocument",
    since="1.1.0",
)
def echo_nothing_added(exchange: Exchange) -> Iterator[Judgement]:
    """Judge that no text or image is added; the contract allows any other name."""
    for place, document, echo in exchange.echoes:
        sent: Any = document if isinstance(document, dict) else {"text": document}
        added = next((name for name in ("text", "image") if name in echo and name not in sent), None)
        if added is None:
            yield None
        else:
            what = f"results[{place}].document.{added} is {short(echo[added])}"
            yield Finding(f"no {added}", what, exchange)


# other fields


@_each("answer.model", "model is present and a string", f"{SCHEMA}/RerankResponse/properties/model")
def model(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the type of `model`."""
    value = _value(exchange)
    if _is_object(exchange):
        good = isinstance(value.get("model"), str)
        yield None if good else Finding("a string", f"model is {_member(value, 'model')}", exchange)


def _register_optional(name: str) -> None:
    @_each(
        f"answer.{name}",
        f"{name}, if present, is a string",
        f"{SCHEMA}/RerankResponse/properties/{name}",
    )
    def check(exchange: Exchange) -> Iterator[Judgement]:
        value = _value(exchange)
        if name in value:
            good = isinstance(value[name], str)
            yield None if good else Finding("a string", f"{name} is {short(value[name])}", exchange)

    del check


_register_optional("id")
_register_optional("provider")


@_each(
    "answer.usage",
    "usage, if present, has non-negative numbers of the right types",
    f"{SCHEMA}/Usage",
)
def usage(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the types in `usage`."""
    value = _value(exchange)
    if "usage" not in value:
        return
    found = value["usage"]
    if not isinstance(found, dict):
        yield Finding("an object", f"usage is {short(found)}", exchange)
        return
    amounts = cast("Mapping[str, Any]", found)
    for name, integral in (("cost", False), ("search_units", True), ("total_tokens", True)):
        if name in amounts:
            amount: Any = amounts[name]
            good = is_number(amount) and amount >= 0 and (not integral or float(amount).is_integer())
            wanted = f"{'an integer' if integral else 'a number'} from 0"
            yield None if good else Finding(wanted, f"usage.{name} is {short(amount)}", exchange)


@rule(
    "answer.usage-of-request",
    "usage is that of this request, not the sum of all requests so far",
    f"{SCHEMA}/Usage",
    quick=False,
    since="1.1.0",
)
def usage_of_request(seen: Recording) -> Iterator[Judgement]:
    """Compare the usage of a request that is sent many times; providers may differ, but not each time."""
    same: dict[bytes, list[Exchange]] = {}
    for exchange in seen.ranked():
        same.setdefault(exchange.probe.content, []).append(exchange)
    for exchanges in same.values():
        for name in ("total_tokens", "search_units"):
            found = [(amount, one) for one in exchanges if is_index(amount := _billed(one).get(name))]
            if len(found) >= _OFTEN:
                first, second, *_ = found
                bad = len({amount for amount, _ in found}) == len(found)
                actual = (
                    f"usage.{name} {first[0]}, {second[0]}, ...: {len(found)} amounts in {len(found)} answers"
                )
                expected = "one amount for one request"
                yield Finding(expected, actual, second[1], first[1]) if bad else None


_OFTEN = 8  # answers to one request; only a fault makes all their amounts differ


def _billed(exchange: Exchange) -> Mapping[str, Any]:
    amounts = _value(exchange).get("usage")
    return cast("Mapping[str, Any]", amounts) if isinstance(amounts, dict) else {}


def _register_present(name: str, why: str) -> None:
    @_each(f"answer.{name}-present", why, f"{SCHEMA}/RerankResponse/properties/{name}", level="SHOULD")
    def check(exchange: Exchange) -> Iterator[Judgement]:
        value = _value(exchange)
        if _is_object(exchange):
            yield None if name in value else Finding(name, f"no {name}", exchange)

    del check


_register_present("id", "A ranking has an id")
_register_present("usage", "A ranking reports its usage")


def _ids(seen: Recording) -> Sequence[tuple[str, Exchange]]:
    found = [(_value(exchange).get("id"), exchange) for exchange in seen.ranked()]
    return [(name, exchange) for name, exchange in found if isinstance(name, str)]


@rule(
    "answer.id-unique",
    "Every ranking has a unique id",
    f"{SCHEMA}/RerankResponse/properties/id",
    level="SHOULD",
)
def id_unique(seen: Recording) -> Iterator[Judgement]:
    """Judge that no id appears twice."""
    before: dict[str, Exchange] = {}
    for name, exchange in _ids(seen):
        first = before.setdefault(name, exchange)
        again = first is not exchange
        yield Finding("another id in each answer", f"{name!r} again", exchange, first) if again else None


def _register_derived(one: Requirement) -> None:
    @_each(one.id, one.requirement, one.source, since=one.since)
    def check(exchange: Exchange) -> Iterator[Judgement]:
        for place, value in values_at(_value(exchange), one.path):
            violation = schema_of(one).violation(value)
            yield (
                Finding("a value that the contract allows", f"{place}: {violation.message}", exchange)
                if violation
                else None
            )

    del check


for _one in requirements():
    if _one.kind == "answer":
        _register_derived(_one)
