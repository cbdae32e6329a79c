"""Rules of a ranking by itself: its form, its positions, its scores, its echoes, and that nothing is lost."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

from rerank_conformance.derived import Requirement, mended, requirements, schema_of, values_at
from rerank_conformance.exchanges import Exchange, is_index, is_number, text_of
from rerank_conformance.report import Level
from rerank_conformance.rules.rule import RESPONSES, SCHEMA, Finding, Judgement, Seen, rule

_RESULT = f"{SCHEMA}/RerankResult/properties"
_RESULTS = f"{SCHEMA}/RerankResponse/properties/results"
_DESCENDING = 1e-6  # what an honest server may lose by writing a score with fewer digits than it sorted by


def _each(  # noqa: PLR0913 - what a rule is
    name: str,
    requirement: str,
    source: str,
    *,
    level: Level = "MUST",
    quick: bool = True,
    since: str = "1.0.0",
) -> Callable[[Callable[[Exchange], Iterator[Judgement]]], Callable[[Exchange], Iterator[Judgement]]]:
    """Return a rule that judges every ranking by itself."""

    def register(
        check: Callable[[Exchange], Iterator[Judgement]],
    ) -> Callable[[Exchange], Iterator[Judgement]]:
        def judge(seen: Seen) -> Iterator[Judgement]:
            for exchange in seen.ranked():
                yield from check(exchange)

        rule(name, requirement, source, level=level, quick=quick, since=since)(judge)
        return check

    return register


def _value(exchange: Exchange) -> Mapping[str, Any]:
    value = exchange.answer.value if exchange.answer else None
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _is_object(exchange: Exchange) -> bool:
    return exchange.answer is not None and isinstance(exchange.answer.value, dict)


def _has_list(exchange: Exchange) -> bool:
    """Return True if there is a list of results at all; that there is one is the schema's to say."""
    return isinstance(_value(exchange).get("results"), list)


def short(value: object) -> str:
    """Return a value in a report: its JSON, cut."""
    text = json.dumps(value, ensure_ascii=True)
    return text if len(text) <= 80 else f"{text[:80]}..."


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
    good = isinstance(answer.value, dict)
    found = answer.body[:80].decode("utf-8", "replace")
    what = answer.not_json or f"JSON of {len(answer.body)} bytes that is not an object: {found!r}"
    yield None if good else Finding("a JSON object", what, exchange)


@rule(
    "answer.one-reading",
    "Every parser reads the same in an answer: no NaN, no name twice, no half of a surrogate pair",
    f"{RESPONSES}/200/content",
    since="1.1.0",
)
def one_reading(seen: Seen) -> Iterator[Judgement]:
    """Rankings and errors, all that is JSON to Python."""
    for exchange in seen.exchanges:
        answer = exchange.answer
        if answer is not None and answer.value is not None:
            found = _read_differently(answer.body, exchange.probe.content)
            yield Finding("JSON as in RFC 8259", f"{answer.status} with {found}", exchange) if found else None


def _read_differently(body: bytes, sent: bytes) -> str | None:
    """Return what parsers do not agree about in a body that Python's reads; None where they do.

    Half of a surrogate pair that the request holds may come back as it was sent, as RFC 8259 allows.
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
            found.append(f"the number {literal[:40]}, which no double holds")
        return read

    try:
        value = json.loads(body, object_pairs_hook=members, parse_constant=found.append, parse_float=number)
        if not found and b"\\u" in body and not _halves(value) <= _halves_sent(sent):
            found.append("half of a surrogate pair")
    except (ValueError, RecursionError):
        pass
    return found[0] if found else None


def _halves(value: object) -> set[str]:
    """Return the halves of surrogate pairs in the strings of a JSON value."""
    return set(_HALF.findall(json.dumps(value, ensure_ascii=False)))


def _halves_sent(content: bytes) -> set[str]:
    try:
        return _halves(json.loads(content)) if b"\\u" in content else set()
    except (ValueError, RecursionError):
        return set()


_HALF = re.compile("[\ud800-\udfff]")


@rule(
    "answer.schema",
    "A ranking has the form of RerankResponse, in what no other rule looks at",
    f"{SCHEMA}/RerankResponse",
)
def schema(seen: Seen) -> Iterator[Judgement]:
    """Judge the body by its schema, with the fields mended that have rules of their own."""
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
        what = f"results[{place}].index is {short(found) if 'index' in one else 'missing'}"
        yield None if is_index(found) else Finding("an integer", what, exchange)


@_each("answer.index-in-range", "Each index is the position of a document of the request", f"{_RESULT}/index")
def index_in_range(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the range of each index."""
    count = len(exchange.probe.documents)
    for place, one in enumerate(exchange.results):
        index = one.get("index")
        if is_index(index):
            good = 0 <= index < count
            what = f"results[{place}].index is {index}"
            allowed = (
                "0, as there is one document" if count == 1 else f"0 to {count - 1}, for {count} documents"
            )
            yield None if good else Finding(allowed, what, exchange)


@_each("answer.index-unique", "No position occurs twice", _RESULTS)
def index_unique(exchange: Exchange) -> Iterator[Judgement]:
    """Every index at most once."""
    times = Counter(one["index"] for one in exchange.results if is_index(one.get("index")))
    twice = [index for index, count in times.items() if count > 1]
    yield Finding("each index once", f"index {twice[0]} {times[twice[0]]} times", exchange) if twice else None


@_each(
    "answer.index-points-at-echo", "Each index is that of the document that it comes with", f"{_RESULT}/index"
)
def index_points_at_echo(exchange: Exchange) -> Iterator[Judgement]:
    """Index and echo belong together."""
    for place, sent, echo in _echoes(exchange):
        other = _is_echo_of_another(exchange, sent, echo)
        index = exchange.results[place]["index"]
        what = f"results[{place}] has index {index} and echoes another document: {short(echo.get('text'))}"
        yield Finding(f"the echo of document {index}, {short(sent)}", what, exchange) if other else None


# scores


@_each("answer.score-number", "Each relevance_score is a finite number", f"{_RESULT}/relevance_score")
def score_number(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the type of each score."""
    for place, one in enumerate(exchange.results):
        found = one.get("relevance_score")
        what = (
            f"results[{place}].relevance_score is {short(found) if 'relevance_score' in one else 'missing'}"
        )
        yield None if is_number(found) else Finding("a finite number", what, exchange)


@_each("answer.descending", "The scores descend, compared as numbers", _RESULTS)
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


# how many


@_each("answer.not-empty", "A ranking has at least one result: there is at least one document", _RESULTS)
def not_empty(exchange: Exchange) -> Iterator[Judgement]:
    """At least one result."""
    if _has_list(exchange):
        yield None if exchange.results else Finding("at least one result", "no results", exchange)


@_each("answer.at-most-top-n", "There are no more results than top_n", _RESULTS)
def at_most_top_n(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the upper bound."""
    top_n = exchange.probe.top_n
    if top_n is not None:
        count = len(exchange.results)
        yield None if count <= top_n else Finding(f"at most {top_n} results", f"{count} results", exchange)


@_each("answer.at-most-documents", "There are no more results than documents", _RESULTS)
def at_most_documents(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the other upper bound; a position that occurs twice is another rule's."""
    documents, count = len(exchange.probe.documents), len(exchange.results)
    indexes = {one["index"] for one in exchange.results if is_index(one.get("index"))}
    if len(indexes) == count:
        found = f"{count} results for {documents} documents"
        yield None if count <= documents else Finding(f"at most {documents} results", found, exchange)


@_each(
    "answer.top-n-filled",
    "There are top_n results where there are as many documents",
    f"{SCHEMA}/RerankRequest/properties/top_n",
    level="SHOULD",
)
def top_n_filled(exchange: Exchange) -> Iterator[Judgement]:
    """As many as were asked for."""
    top_n, count = exchange.probe.top_n, len(exchange.results)
    if top_n is not None and top_n <= len(exchange.probe.documents) and _has_list(exchange):
        yield None if count >= top_n else Finding(f"{top_n} results", f"{count} results", exchange)


@_each(
    "answer.top-n-above-count",
    "All documents are returned where top_n exceeds their number",
    f"{SCHEMA}/RerankRequest/properties/top_n",
)
def top_n_above_count(exchange: Exchange) -> Iterator[Judgement]:
    """All of them."""
    top_n, documents = exchange.probe.top_n, exchange.probe.documents
    # what is lost for what it is, is lost without a top_n too, and another rule's
    if top_n is None or top_n <= len(documents) or not _has_list(exchange):
        return
    if not {*map(_kind, documents)} & {"blank"}:
        if len({json.dumps(document, sort_keys=True) for document in documents}) < len(documents):
            return
        count = len(exchange.results)
        wanted = f"all {len(documents)} documents"
        yield None if count >= len(documents) else Finding(wanted, f"{count} results", exchange)


# nothing lost

_LOST: Mapping[str, tuple[str, bool]] = {
    "complete": ("Without top_n every document is returned", True),
    "one-document": ("A single document is returned", True),
    "many-documents": ("Of more than a hundred documents every one is returned", True),
    "blank-documents": ("Empty and blank documents are returned as any other", True),
    "identical-documents": ("Of identical documents each one is returned", True),
}


def _lost(exchange: Exchange) -> Iterator[tuple[str, list[int]]]:
    """Return the kinds of documents in a request without `top_n`, and for each the positions that are missing."""
    documents = exchange.probe.documents
    if exchange.probe.top_n is not None or not _has_list(exchange):
        return
    indexes = [one.get("index") for one in exchange.results]
    there = {index for index in indexes if is_index(index)}
    # a position twice, or one that is no position: then no one can say which document is missing
    if indexes and (len(there) < len(indexes) or not there <= set(range(len(documents)))):
        return
    texts = [json.dumps(document, sort_keys=True) for document in documents]
    times = Counter(texts)
    kept = {texts[index] for index in there}
    found: dict[str, list[int]] = {}
    for index, document in enumerate(documents):
        if len(documents) == 1:
            kind = "one-document"
        elif times[texts[index]] > 1 and (index in there or texts[index] in kept):
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


def _echoes(exchange: Exchange) -> Iterator[tuple[int, Any, Mapping[str, Any]]]:
    """Return the place of each result, the document that it points at, and its echo."""
    for place, one in enumerate(exchange.results):
        index, echo = one.get("index"), one.get("document")
        if is_index(index) and 0 <= index < len(exchange.probe.documents) and isinstance(echo, dict):
            yield place, exchange.probe.documents[index], cast("Mapping[str, Any]", echo)


def _is_echo_of_another(exchange: Exchange, sent: Any, echo: Mapping[str, Any]) -> bool:
    text = echo.get("text")
    if text is None or text == text_of(sent):
        return False
    return bool(text) and any(text == text_of(other) for other in exchange.probe.documents)


@_each("answer.echo-present", "Each result has the document as an object", f"{_RESULT}/document")
def echo_present(exchange: Exchange) -> Iterator[Judgement]:
    """Return an object as the echo."""
    for place, one in enumerate(exchange.results):
        good = isinstance(one.get("document"), dict)
        found = short(one["document"]) if "document" in one else "missing"
        yield None if good else Finding("an object", f"results[{place}].document is {found}", exchange)


_ALTERED: Mapping[str, str] = {
    "echo-text": "The text of a document comes back as it was sent, a string as text",
    "echo-blanks": "Space at the ends of a text comes back, and so does a text that is blank",
    "echo-unicode": "Every character of a text comes back: other scripts, beyond 16 bits, combined, control",
    "echo-long": "A long text comes back whole",
}


def _what_is_altered(sent: str, echo: object) -> str:
    """Return the rule that the echo of this text belongs to."""
    if sent != sent.strip() and (not isinstance(echo, str) or echo in (sent, sent.strip())):
        return "echo-blanks"
    if len(sent) > 1000:
        return "echo-long"
    if not (sent.isascii() and sent.isprintable()):
        return "echo-unicode"
    return "echo-text" if sent == sent.strip() else "echo-blanks"


def _register_altered(slug: str, requirement: str) -> None:
    @_each(f"answer.{slug}", requirement, f"{SCHEMA}/ResultDocument")
    def check(exchange: Exchange) -> Iterator[Judgement]:
        for place, document, echo in _echoes(exchange):
            sent, found = text_of(document), echo.get("text")
            if sent is None or _is_echo_of_another(exchange, document, echo):
                continue
            if _what_is_altered(sent, found) == slug:
                what = f"results[{place}].document.text is {_difference(sent, found)}"
                yield None if found == sent else Finding(_short_text(sent), what, exchange)

    del check


def _short_text(text: str) -> str:
    return short(text) if len(text) <= 80 else f"{short(text)} ({len(text)} characters)"


def _difference(sent: str, found: object) -> str:
    if not isinstance(found, str):
        return "missing" if found is None else short(found)
    place = next(
        (i for i, (a, b) in enumerate(zip(sent, found, strict=False)) if a != b), min(len(sent), len(found))
    )
    where = f", different from character {place} on" if place > 30 else ""
    return f"{short(found)} ({len(found)} characters{where})"


for _slug, _requirement in _ALTERED.items():
    _register_altered(_slug, _requirement)


@_each(
    "answer.echo-image",
    "The image of a document comes back as it was sent, where the model takes images",
    f"{SCHEMA}/ResultDocument/properties/image",
    quick=False,
)
def echo_image(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the echo of each image."""
    for place, document, echo in _echoes(exchange):
        if isinstance(document, dict) and "image" in document:
            sent, found = cast("Mapping[str, Any]", document)["image"], echo.get("image")
            what = f"results[{place}].document.image is {short(found) if 'image' in echo else 'missing'}"
            yield None if found == sent else Finding(short(sent), what, exchange)


@_each(
    "answer.echo-nothing-added",
    "An echo has a text, or an image, only where the document has one",
    f"{SCHEMA}/ResultDocument",
    since="1.1.0",
)
def echo_nothing_added(exchange: Exchange) -> Iterator[Judgement]:
    """Texts and images that the document does not have; of other names the contract says nothing."""
    for place, document, echo in _echoes(exchange):
        sent: Any = document if isinstance(document, dict) else {"text": document}
        added = next((name for name in ("text", "image") if name in echo and name not in sent), None)
        what = f"results[{place}].document.{added} is {short(echo.get(added or ''))}"
        yield Finding(f"no {added}", what, exchange) if added else None


# the rest


@_each("answer.model", "model is there and a string", f"{SCHEMA}/RerankResponse/properties/model")
def model(exchange: Exchange) -> Iterator[Judgement]:
    """Judge the type of `model`."""
    value = _value(exchange)
    if _is_object(exchange):
        found = short(value["model"]) if "model" in value else "missing"
        yield (
            None
            if isinstance(value.get("model"), str)
            else Finding("a string", f"model is {found}", exchange)
        )


def _register_optional(name: str) -> None:
    @_each(
        f"answer.{name}",
        f"{name}, where it is there, is a string",
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
    "usage, where it is there, has numbers of the right types, none negative",
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


def _register_present(name: str, why: str) -> None:
    @_each(f"answer.{name}-present", why, f"{SCHEMA}/RerankResponse/properties/{name}", level="SHOULD")
    def check(exchange: Exchange) -> Iterator[Judgement]:
        value = _value(exchange)
        if _is_object(exchange):
            yield None if name in value else Finding(name, f"no {name}", exchange)

    del check


_register_present("id", "A ranking has an id")
_register_present("usage", "A ranking says what it was billed by")


def _ids(seen: Seen) -> Sequence[tuple[str, Exchange]]:
    found = [(_value(exchange).get("id"), exchange) for exchange in seen.ranked()]
    return [(name, exchange) for name, exchange in found if isinstance(name, str)]


@rule(
    "answer.id-unique",
    "Every ranking has an id of its own",
    f"{SCHEMA}/RerankResponse/properties/id",
    level="SHOULD",
)
def id_unique(seen: Seen) -> Iterator[Judgement]:
    """No id twice."""
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
