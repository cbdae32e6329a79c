"""Broken servers: one for each rule, which breaks that rule and, if possible, no other."""

import gzip
import itertools
import json
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from rerank_conformance import contract
from rerank_conformance.altered import (
    Server,
    answering,
    billing,
    by,
    each,
    echoing,
    erring,
    failing,
    failures,
    listing,
    members,
    ranking,
    refused_as,
    refusing,
    respelling,
    scoring,
    taking,
)
from rerank_conformance.derived import (
    REQUEST,
    Requirement,
    put,
    requirements,
    with_field,
    without_keyword,
    wrong_value,
)
from rerank_conformance.reference import Reference, ReferenceRequest, ReferenceResponse, Refusal
from rerank_conformance.reference.server import Body
from rerank_conformance.scorers import lexical
from rerank_conformance.variants import VARIANTS

__all__ = ["BROKEN", "UNAVOIDABLE", "VARIANTS"]


def _text(document: str | Body) -> str:
    return document if isinstance(document, str) else document.get("text", "")


def _is_object(document: str | Body) -> bool:
    return not isinstance(document, str)


def _is_blank(document: str | Body) -> bool:
    return not _text(document).strip() and not (_is_object(document) and "image" in document)


def _without(body: Body, *names: str) -> Body:
    return {name: value for name, value in body.items() if name not in names}


# ----- acceptance


class _Attributed(Reference):
    """Refuses requests with attribution headers."""

    def media_type(self, request: ReferenceRequest) -> None:
        super().media_type(request)
        if request.headers.keys() & {"http-referer", "x-openrouter-title", "x-openrouter-categories"}:
            raise Refusal(400, "Unexpected header")


class _ExactMediaType(Reference):
    """Compares the content type as a string, so that a charset is refused."""

    def media_type(self, request: ReferenceRequest) -> None:
        if request.headers.get("content-type") != "application/json":
            raise Refusal(400, "Content-Type: expected application/json")


class _BraceFirst(Reference):
    """Refuses a body that does not begin with a brace."""

    def parse(self, body: bytes) -> object:
        if not body.startswith(b"{"):
            raise Refusal(400, "The body is not JSON: no {")
        return super().parse(body)


_DIALECTS = frozenset(
    {
        "return_documents",
        "max_tokens_per_doc",
        "max_chunks_per_doc",
        "overlap_tokens",
        "priority",
        "truncation",
        "stream",
    }
)

_ACCEPTANCE: Mapping[str, Server] = {
    "acceptance.plain": refusing(
        "Refuses a single document.", lambda b: len(b["documents"]) == 1 and not _is_blank(b["documents"][0])
    ),
    "acceptance.top-n": refusing(
        "Refuses a top_n above the number of documents.",
        lambda b: len(b["documents"]) < b.get("top_n", 0) < 2**31,
    ),
    "acceptance.top-n-huge": refusing(
        "Refuses a top_n beyond 64 bits.", lambda b: b.get("top_n", 0) >= 2**63
    ),
    "acceptance.top-n-integral": refusing(
        "Refuses a top_n of 2.0.", lambda b: isinstance(b.get("top_n"), float) and b["top_n"] < 2**40
    ),
    "acceptance.objects": refusing(
        "Refuses documents that are objects with an ordinary text.",
        lambda b: (
            all(_is_object(d) and d.keys() == {"text"} and _plain(d["text"] or " ") for d in b["documents"])
            and len(b["documents"]) < 10
        ),
    ),
    "acceptance.mixed": refusing(
        "Refuses strings and objects in one array.",
        lambda b: len({_is_object(d) for d in b["documents"]}) > 1,
    ),
    "acceptance.images": refusing(
        "Refuses images.", lambda b: any(_is_object(d) and "image" in d for d in b["documents"])
    ),
    "acceptance.blank-documents": refusing(
        "Refuses empty and blank documents.", lambda b: any(map(_is_blank, b["documents"]))
    ),
    "acceptance.unicode": refusing(
        "Refuses NUL, as some databases do.", lambda b: any("\0" in _text(d) for d in b["documents"])
    ),
    "acceptance.long-document": refusing(
        "Refuses documents of more than 500 tokens.",
        lambda b: any(len(_text(d)) > 2000 for d in b["documents"]),
    ),
    "acceptance.many-documents": refusing(
        "Refuses more than a hundred documents.", lambda b: len(b["documents"]) > 100
    ),
    "acceptance.unknown-fields": refusing(
        "Refuses fields that it does not know.",
        lambda b: b.keys() - contract.load().at(REQUEST)[1]["properties"].keys() - _DIALECTS,
    ),
    "acceptance.other-dialects": refusing(
        "Refuses fields of other dialects.", lambda b: not _DIALECTS.isdisjoint(b)
    ),
    "acceptance.provider-null": refusing(
        "Refuses a provider of null.", lambda b: "provider" in b and b["provider"] is None
    ),
    "acceptance.provider": refusing(
        "Refuses provider preferences of null.",
        lambda b: None in (b.get("provider") or {}).values(),
    ),
    "acceptance.observability": refusing("Refuses trace.", lambda b: "trace" in b),
    "acceptance.attribution": _Attributed,
    "acceptance.charset": _ExactMediaType,
    "acceptance.escapes": _BraceFirst,
    "acceptance.look-alikes": refusing(
        "Refuses documents that look like JSON.", lambda b: any(_text(d)[:1] == "{" for d in b["documents"])
    ),
    "acceptance.blank-query": refusing("Refuses a blank query.", lambda b: not b["query"].strip()),
}


# ----- answers


class _OneMore(Reference):
    """Returns one more document than top_n."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return super().cut(ranked, None if top_n is None else top_n + 1)


def _all_asked(change: Callable[[list[Body], Body], list[Body]]) -> Callable[[list[Body], Body], list[Body]]:
    """Return the change restricted to requests without top_n."""
    return lambda results, body: results if "top_n" in body else change(results, body)


def _past_the_end(results: list[Body], body: Body) -> list[Body]:
    return [*results[:-1], {**results[-1], "index": len(body["documents"])}]


def _one_twice(results: list[Body], _: Body) -> list[Body]:
    if len(results) < 3:
        return results
    again = {name: results[-2][name] for name in ("index", "document")}
    return [*results[:-1], {**results[-1], **again}]


def _echoes_swapped(results: list[Body], _: Body) -> list[Body]:
    if len(results) < 2 or any("image" in r["document"] or _is_blank(r["document"]) for r in results[:2]):
        return results
    one, other, *rest = results
    return [{**one, "document": other["document"]}, {**other, "document": one["document"]}, *rest]


def _one_plain_lost(results: list[Body], body: Body) -> list[Body]:
    documents = body["documents"]
    if not 1 < len(documents) <= 100:
        return results
    for result in results[::-1]:
        document = documents[result["index"]]
        if not _is_blank(document) and documents.count(document) == 1:
            return [other for other in results if other is not result]
    return results


def _blanks_lost(results: list[Body], body: Body) -> list[Body]:
    kept = [result for result in results if not _is_blank(body["documents"][result["index"]])]
    return kept or results


def _identical_lost(results: list[Body], body: Body) -> list[Body]:
    firsts = [body["documents"].index(document) for document in body["documents"]]
    return [result for result in results if result["index"] in firsts]


def _plain(text: str) -> bool:
    return len(text) <= 1000 and text.isascii() and text.isprintable() and text == text.strip()


class _Summing(Reference):
    """Reports the total tokens since it was started."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lock = threading.Lock()
        self._sum = 0

    def usage(self, body: Body) -> Body:
        usage = super().usage(body)
        with self._lock:
            self._sum += usage["total_tokens"]
            return {**usage, "total_tokens": self._sum}


_ANSWER: Mapping[str, Server] = {
    "answer.content-type": ranking(
        "Sends rankings as text/plain.",
        lambda a: a._replace(headers={**a.headers, "content-type": "text/plain"}),
    ),
    "answer.json": ranking("Truncates rankings.", lambda a: a._replace(body=a.body[:-1])),
    "answer.schema": answering(
        "Names the results data.", lambda a, _: {**_without(a, "results"), "data": a["results"]}
    ),
    "answer.index-integer": each("Writes the index as text.", lambda r: {**r, "index": str(r["index"])}),
    "answer.index-in-range": listing("Has an index past the end.", _all_asked(_past_the_end)),
    "answer.index-unique": listing("Has one index twice.", _all_asked(_one_twice)),
    "answer.index-points-at-echo": listing("Swaps the first two echoes.", _echoes_swapped),
    "answer.score-number": each(
        "Writes scores as text.", lambda r: {**r, "relevance_score": str(r["relevance_score"])}
    ),
    "answer.descending": listing("Sorts the worst first.", _all_asked(lambda results, _: results[::-1])),
    "answer.not-empty": listing(
        "Returns nothing for a top_n of 1.", lambda results, body: [] if body.get("top_n") == 1 else results
    ),
    "answer.at-most-top-n": _OneMore,
    "answer.at-most-documents": listing(
        "Adds a result of its own.",
        _all_asked(lambda results, body: [*results, {**results[-1], "index": len(body["documents"])}]),
    ),
    "answer.top-n-filled": VARIANTS["fewer-than-top-n"],
    "answer.top-n-above-count": listing(
        "Returns one document too few if top_n exceeds their number.",
        lambda results, body: results[: -1 if 1 < len(body["documents"]) < body.get("top_n", 0) else None],
    ),
    "answer.complete": listing("Loses a document.", _all_asked(_one_plain_lost)),
    "answer.one-document": listing(
        "Returns no results for a single document.",
        _all_asked(lambda results, body: results if len(body["documents"]) > 1 else []),
    ),
    "answer.many-documents": listing(
        "Returns a hundred documents at most.", _all_asked(lambda results, _: results[:100])
    ),
    "answer.blank-documents": listing("Leaves blank documents out.", _all_asked(_blanks_lost)),
    "answer.identical-documents": listing("Merges identical documents.", _all_asked(_identical_lost)),
    "answer.echo-present": each("Echoes null.", lambda r: {**r, "document": None}),
    "answer.echo-text": respelling("Echoes plain text in capitals.", lambda t: t.upper() if _plain(t) else t),
    "answer.echo-blanks": respelling("Strips the echoes.", str.strip),
    "answer.echo-unicode": respelling(
        "Replaces characters beyond 16 bits.",
        lambda t: t if len(t) > 1000 else "".join(c if ord(c) <= 0xFFFF else "\ufffd" for c in t),
    ),
    "answer.echo-long": respelling("Echoes a thousand characters at most.", lambda t: t[:1000]),
    "answer.echo-nothing-added": echoing(
        "Echoes an empty image with every text.", lambda d: {"image": "", **d}
    ),
    "answer.one-reading": ranking(
        "Writes NaN for a missing measurement.", lambda a: a._replace(body=a.body[:-1] + b',"latency":NaN}')
    ),
    "answer.echo-image": echoing("Echoes no images.", lambda d: _without(d, "image")),
    "answer.model": answering("Omits the model.", lambda a, _: _without(a, "model")),
    "answer.id": answering("Writes ids as numbers.", lambda a, _: {**a, "id": 7}),
    "answer.provider": answering("Writes null for the provider.", lambda a, _: {**a, "provider": None}),
    "answer.usage": billing("Bills half a search.", lambda u: {**u, "search_units": 0.5}),
    "answer.usage-of-request": _Summing,
    "answer.id-present": answering("Omits the id.", lambda a, _: _without(a, "id")),
    "answer.usage-present": answering("Omits the usage.", lambda a, _: _without(a, "usage")),
    "answer.id-unique": answering(
        "Gives every answer the same id.", lambda a, _: {**a, "id": "gen-rerank-0"}
    ),
}


# ----- relations


class _BestSkipped(Reference):
    """Omits the best document if top_n cuts the list."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        skips = top_n is not None and top_n < len(ranked)
        return super().cut(ranked[skips:], top_n)


class _BestOfFourSkipped(Reference):
    """Omits the best document if top_n is 4."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return super().cut(ranked[top_n == 4 :], top_n)


class _LongCutFirst(Reference):
    """Ranks the first `top_n` documents of a long list instead of returning the best."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        documents = body["documents"]
        kept = int(body.get("top_n", len(documents))) if len(documents) > 20 else None
        return super().rank({**body, "documents": documents[:kept]})


class _QueryCut(Reference):
    """Reads only sixty characters of a query."""

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        return super().scores(query[:60], texts)


class _Mixed(Reference):
    """Ranks eight documents by the last query of any client."""

    query = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._came = threading.Condition()

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        if len(texts) != 8:
            return super().scores(query, texts)
        with self._came:
            self.query = query
            self._came.notify_all()
            # Wait as a batch does until it is full; only the last request, or a single one, waits this long.
            self._came.wait_for(lambda: self.query != query, 0.5)
        return super().scores(self.query, texts)


class _LeftBehind(Reference):
    """Keeps seven documents in a buffer if it refuses one, and mixes up the next scores."""

    left = False

    def validate(self, value: object) -> Body:
        documents = members(value).get("documents")
        try:
            return super().validate(value)
        except Refusal:
            self.left = isinstance(documents, list) and len(cast("list[object]", documents)) == 7
            raise

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = super().scores(query, texts)
        left, self.left = self.left, False
        return [*scores[1:], *scores[:1]] if left else scores


class _Drifting(Reference):
    """Scores each request higher than the one before."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._drift = itertools.count()

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        drift = next(self._drift)
        return [score + drift for score in super().scores(query, texts)]


class _TextsAlone(Reference):
    """Ignores the text of an object."""

    def texts(self, documents: Any) -> list[str]:
        return [document if isinstance(document, str) else "" for document in documents]


class _MixedAsText(Reference):
    """Ranks objects as their JSON if there are strings beside them."""

    def texts(self, documents: Any) -> list[str]:
        is_mixed = len({_is_object(document) for document in documents}) > 1
        has_image = any(_is_object(document) and "image" in document for document in documents)
        if not is_mixed or has_image:
            return super().texts(documents)
        return [json.dumps(document) if _is_object(document) else document for document in documents]


class _TraceInQuery(Reference):
    """Adds the names of a trace to the query."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        trace = "".join(f" {name}" for name in body.get("trace", {}))
        return super().rank({**body, "query": body["query"] + trace})


class _ImagesAlone(Reference):
    """Ignores the text of a document that has an image."""

    def texts(self, documents: Any) -> list[str]:
        return [
            "" if _is_object(document) and "image" in document else _text(document) for document in documents
        ]


def _later_lower(_: str, texts: Sequence[str], scores: list[float]) -> list[float]:
    return [score - 0.3 * texts[:index].count(texts[index]) for index, score in enumerate(scores)]


def _second_first(_: str, __: Sequence[str], scores: list[float]) -> list[float]:
    first, second, *_rest = [*sorted(range(len(scores)), key=lambda index: -scores[index]), -1, -1]
    if second < 0:
        return scores
    swapped = {first: scores[second], second: scores[first]}
    return [swapped.get(index, score) for index, score in enumerate(scores)]


def _padded(_: str, texts: Sequence[str], scores: list[float]) -> list[float]:
    longest = max(map(len, texts))
    return [
        score * (0.9 if len(text) < 1000 < longest else 1) for text, score in zip(texts, scores, strict=True)
    ]


class _ImagesLast(Reference):
    """Scores texts before images, but assigns the scores in the order of the documents."""

    def texts(self, documents: Any) -> list[str]:
        texts = super().texts(documents)
        if not any(_is_object(document) and "image" in document for document in documents):
            return texts
        return sorted(texts, key=lambda text: not text)


_RELATION: Mapping[str, Server] = {
    "relation.top-n-best": _BestSkipped,
    "relation.top-n-prefix": _BestOfFourSkipped,
    "relation.top-n-of-any": _LongCutFirst,
    "relation.whole-request": _QueryCut,
    "relation.together": _Mixed,
    "relation.after-refusal": _LeftBehind,
    "relation.one-score": scoring(
        "Gives every document after the hundredth the score of its neighbour.",
        lambda _, __, scores: [*scores[:100], *scores[101:], *scores[100:101]],
    ),
    "relation.higher-is-better-in-long-lists": scoring(
        "Scores more than a hundred documents by distance.",
        lambda _, __, scores: [1 - score for score in scores] if len(scores) > 100 else scores,
    ),
    "relation.repeatable": _Drifting,
    "relation.string-or-object": _TextsAlone,
    "relation.document-forms": _MixedAsText,
    "relation.other-fields": _TraceInQuery,
    "relation.query-matters": scoring(
        "Ignores the query.", lambda _, texts, __: [zlib.crc32(text.encode()) / 2**32 for text in texts]
    ),
    "relation.document-matters": scoring(
        "Ranks by position.",
        lambda query, texts, _: [zlib.crc32(query.encode()) % 100 + 1 / (2 + i) for i, _ in enumerate(texts)],
    ),
    "relation.own-score": scoring(
        "Scores each document by the next one.", lambda _, __, scores: [*scores[1:], *scores[:1]]
    ),
    "relation.higher-is-better": scoring(
        "Scores by distance.", lambda _, __, scores: [1 - score for score in scores]
    ),
    "relation.one-score-in-long-lists": scoring(
        "Gives every document after the two hundredth the score of its neighbour.",
        lambda _, __, scores: [*scores[:200], *scores[201:], *scores[200:201]],
    ),
    "relation.order-in-long-lists": VARIANTS["later-lower"],
    "relation.padding": scoring("Lowers the scores of padded texts.", _padded),
    "relation.text-beside-image": _ImagesAlone,
    "relation.images": _ImagesLast,
    "relation.relevant-first": scoring("Swaps the scores of the best two.", _second_first),
    "relation.order-of-documents": scoring(
        "Scores later documents higher.",
        lambda _, __, scores: [score + 0.02 * i for i, score in enumerate(scores)],
    ),
    "relation.document-added": VARIANTS["listwise"],
    "relation.identical-documents": scoring("Scores duplicates lower.", _later_lower),
}


# ----- refusals

_ABSENT = object()


def _lax(
    what: str, name: str, is_taken: Callable[[Any], object], put: Callable[[Any], Any] | None = None
) -> Server:
    """Return a server that accepts invalid values of one field; without `put`, as if the field were absent."""

    def mend(body: Body) -> Body:
        value = body.get(name, _ABSENT)
        if value is _ABSENT or not is_taken(value):
            return body
        return _without(body, name) if put is None else {**body, name: put(value)}

    return taking(what, mend)


def _lax_document(what: str, is_taken: Callable[[Any], object], put: Callable[[Any], Any]) -> Server:
    """Return a server that accepts invalid documents."""
    return _lax(
        what,
        "documents",
        lambda documents: isinstance(documents, list),
        lambda documents: [put(document) if is_taken(document) else document for document in documents],
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _as_text(document: Body) -> Body:
    return {name: str(value) if name in {"text", "image"} else value for name, value in document.items()}


_LEGAL: Body = {"model": "default", "query": "", "documents": [""]}


class _LenientParser(Reference):
    """Treats a body that is not JSON as an empty request."""

    def parse(self, body: bytes) -> object:
        try:
            return super().parse(body)
        except Refusal as refusal:
            if body and self.accepts(refusal.message):
                return _LEGAL
            raise

    def accepts(self, reason: str) -> bool:
        """Return True to accept a body that is refused for this reason."""
        return "not JSON" in reason


class _AnyBytes(_LenientParser):
    """Treats a body that is not UTF-8 as an empty request."""

    def accepts(self, reason: str) -> bool:
        """Return True to accept a body that is refused for this reason."""
        return "not UTF-8" in reason


class _NoBody(Reference):
    """Treats a missing body as an empty request."""

    def parse(self, body: bytes) -> object:
        return super().parse(body) if body else _LEGAL


class _AnyValue(Reference):
    """Treats JSON that is not an object as an empty request."""

    def validate(self, value: object) -> Body:
        return super().validate(cast("Body", value) if isinstance(value, dict) else _LEGAL)


class _AnyType(Reference):
    """Ignores the content type."""

    def media_type(self, request: ReferenceRequest) -> None:
        del request


class _Shallow(Reference):
    """Fails on a deeply nested body."""

    def parse(self, body: bytes) -> object:
        if body.count(b"[") > 50 or body.count(b"{") > 500:
            raise RecursionError
        return super().parse(body)


_REFUSAL: Mapping[str, Server] = {
    "refusal.documents-missing": taking("Needs no documents.", lambda b: {"documents": [""], **b}),
    "refusal.documents-empty": _lax(
        "Accepts an empty list of documents.", "documents", lambda v: v == [], lambda _: [""]
    ),
    "refusal.documents-type": _lax(
        "Accepts any type for documents.", "documents", lambda v: not isinstance(v, list), lambda v: [str(v)]
    ),
    "refusal.document-type": _lax_document(
        "Accepts any type for a document.", lambda d: not isinstance(d, str | dict), str
    ),
    "refusal.document-empty-object": _lax_document(
        "Accepts documents without text and image.",
        lambda d: isinstance(d, dict) and not {"text", "image"} & {*cast("Body", d)},
        lambda d: {**d, "text": ""},
    ),
    "refusal.document-text-type": _lax_document(
        "Accepts any type for text and image.", lambda d: isinstance(d, dict), _as_text
    ),
    "refusal.query-missing": taking("Needs no query.", lambda b: {"query": "", **b}),
    "refusal.query-type": _lax(
        "Accepts any type for the query.", "query", lambda v: not isinstance(v, str), str
    ),
    "refusal.model-missing": taking("Needs no model.", lambda b: {"model": "default", **b}),
    "refusal.model-type": _lax(
        "Accepts any type for the model.", "model", lambda v: not isinstance(v, str), str
    ),
    "refusal.top-n-zero": _lax(
        "Treats a top_n of 0 as missing.", "top_n", lambda v: _is_number(v) and v == 0
    ),
    "refusal.top-n-negative": _lax(
        "Treats a negative top_n as missing.", "top_n", lambda v: _is_number(v) and v < 0
    ),
    "refusal.top-n-fraction": _lax(
        "Rounds top_n up.",
        "top_n",
        lambda v: isinstance(v, float) and v > 0 and not v.is_integer(),
        lambda v: int(v) + 1,
    ),
    "refusal.top-n-text": _lax("Accepts text for top_n.", "top_n", lambda v: isinstance(v, str)),
    "refusal.top-n-boolean": _lax("Accepts booleans for top_n.", "top_n", lambda v: isinstance(v, bool)),
    "refusal.top-n-null": _lax("Accepts null for top_n.", "top_n", lambda v: v is None),
    "refusal.top-n-type": _lax(
        "Accepts arrays and objects for top_n.", "top_n", lambda v: isinstance(v, list | dict)
    ),
    "refusal.provider-type": _lax(
        "Accepts any type for the provider.", "provider", lambda v: not isinstance(v, dict)
    ),
    "refusal.provider-field-type": _lax(
        "Accepts any provider preferences.", "provider", lambda v: isinstance(v, dict), lambda _: {}
    ),
    "refusal.session-id": _lax("Accepts any session_id.", "session_id", lambda _: True),
    "refusal.user-type": _lax("Accepts any user.", "user", lambda _: True),
    "refusal.trace-type": _lax("Accepts any trace.", "trace", lambda _: True),
    "refusal.malformed-json": _LenientParser,
    "refusal.not-utf-8": _AnyBytes,
    "refusal.empty-body": _NoBody,
    "refusal.not-an-object": _AnyValue,
    "refusal.content-type": _AnyType,
    "refusal.deep-nesting": _Shallow,
    "refusal.status": refused_as("Answers 403 to invalid requests.", 400, 403),
}


# ----- errors and methods


_ERROR: Mapping[str, Server] = {
    "error.status-documented": refused_as("Answers 422 to invalid requests.", 400, 422),
    "error.content-type": failures(
        "Sends errors as text/plain.",
        lambda a: a._replace(headers={**a.headers, "content-type": "text/plain"}),
    ),
    "error.envelope": erring("Sends errors without a message.", lambda code, _: {"error": {"code": code}}),
    "error.code": erring(
        "Writes the code as text.", lambda code, e: {**e, "error": {**e["error"], "code": str(code)}}
    ),
}

_METHOD: Mapping[str, Server] = {
    "method.refused": refused_as("Fails on other methods.", 405, 500),
    "method.allow": failures(
        "Sends no Allow header.", lambda a: a._replace(headers=_without(a.headers, "allow"))
    ),
    "method.envelope": failures(
        "Refuses other methods with an empty body.", lambda a: a._replace(body=b"") if a.status == 405 else a
    ),
}


class _NoHead(Reference):
    """Fails on HEAD."""

    def method(self, request: ReferenceRequest) -> None:
        if request.method == "HEAD":
            raise RuntimeError
        super().method(request)


_METHOD_AND_MODEL: Mapping[str, Server] = {
    "method.any": _NoHead,
    "model.any-name": refusing(
        "Fails on models that it does not know.",
        lambda b: b["model"] not in {"cohere/rerank-v3.5", "default"},
        500,
    ),
}


# ----- texts


def _cut(what: str, characters: int) -> Server:
    """Return a server that reads only the beginning of a document."""
    return by(what, lambda query, texts: lexical(query, [text[:characters] for text in texts]))


def _reading(what: str, change: Callable[[str], str]) -> Server:
    """Return a server that changes the documents before it scores them."""
    return scoring(what, lambda query, texts, _: list(lexical(query, [change(text) for text in texts])))


_TEXTS: Mapping[str, Server] = {
    "acceptance.special-tokens": refusing(
        "Refuses special tokens.",
        lambda b: any("<|endoftext|>" in text for text in (b["query"], *map(_text, b["documents"]))),
    ),
    "acceptance.query-ends": refusing(
        "Refuses a query that begins with a blank or a punctuation mark.",
        lambda b: b["query"].strip() and not b["query"][0].isalnum() and b["query"][0] not in "<[{",
    ),
    "acceptance.limits-in-characters": refusing(
        "Counts the bytes of a session_id up to U+FFFE.",
        lambda b: len(b.get("session_id", "").encode()) > 256 and max(b["session_id"]) < "\uffff",
    ),
    "acceptance.limits-in-code-points": refusing(
        "Counts a session_id in UTF-16 units.",
        lambda b: len(b.get("session_id", "").encode("utf-16-le")) > 512,
    ),
    "relation.read-to-end": _cut("Reads only six hundred characters of a document.", 600),
    "relation.long-read-to-end": _cut("Reads only two thousand characters of a document.", 2000),
    "relation.every-line": _reading(
        "Reads only the first line of a document.", lambda t: t.lstrip().partition("\n")[0]
    ),
    "relation.after-special-tokens": _reading(
        "Reads a document up to the separator token.", lambda t: t.partition("[SEP]")[0]
    ),
    "relation.after-marks": _reading(
        "Reads a document up to a NUL, as C does.", lambda t: t.partition("\0")[0]
    ),
    "relation.placeholders": scoring(
        "Puts the query in place of {query} in a document.",
        lambda query, texts, _: list(lexical(query, [text.replace("{query}", query) for text in texts])),
    ),
    "relation.blank-documents": scoring(
        "Scores blank documents highest.",
        lambda _, texts, scores: [
            score if text.strip() else 1.0 for text, score in zip(texts, scores, strict=True)
        ],
    ),
    "relation.other-scripts": _reading(
        "Drops what is not ASCII from documents.", lambda t: t.encode("ascii", "ignore").decode()
    ),
    "relation.query-ends": scoring(
        "Reads the query up to its first blank.",
        lambda query, _, scores: [-score for score in scores] if query[:1].isspace() else scores,
    ),
}


# ----- forms of HTTP


class _LengthRead(Reference):
    """Reads Content-Length bytes of a body, and none without the header."""

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        length = int(request.headers.get("content-length", "0"))
        return super().respond(replace(request, body=request.body[:length]))


def _by_head(what: str, when: Callable[[Mapping[str, str]], object], status: int = 400) -> Server:
    """Return a server that refuses requests by their headers, after it checked the key."""

    class ByHead(Reference):
        def media_type(self, request: ReferenceRequest) -> None:
            if when(request.headers):
                raise Refusal(status, what)
            super().media_type(request)

    ByHead.__doc__ = what
    return ByHead


class _Exact(Reference):
    """Compares the path together with the query string."""

    def route(self, request: ReferenceRequest) -> None:
        super().route(replace(request, path=f"{request.path}?{request.query}") if request.query else request)


_TRANSPORT: Mapping[str, Server] = {
    "transport.chunked-body": _LengthRead,
    "transport.accept": _by_head(
        "Refuses clients that also accept an event stream.",
        lambda h: "text/event-stream" in h.get("accept", "") and "json" in h["accept"],
        406,
    ),
    "transport.event-stream": _by_head(
        "Answers 403 to clients that accept only an event stream.",
        lambda h: h.get("accept") == "text/event-stream",
        403,
    ),
    "transport.large-body": _by_head(
        "Refuses a body of more than a mebibyte as malformed.",
        lambda h: int(h.get("content-length", "0")) > 2**20,
    ),
    "transport.connection": _by_head(
        "Refuses Connection: close.", lambda h: h.get("connection") == "close", 400
    ),
    "transport.client-headers": _by_head(
        "Fails on the header of a tracer.", lambda h: "traceparent" in h, 500
    ),
    "transport.origin": _by_head("Refuses requests from browsers.", lambda h: "origin" in h, 403),
    "transport.query-string": _Exact,
    "transport.compressed-body": _by_head(
        "Fails on a body that is compressed.", lambda h: "content-encoding" in h, 500
    ),
    "transport.content-encoding": ranking(
        "Compresses rankings for every client.",
        lambda a: a._replace(
            headers={**a.headers, "content-encoding": "gzip"}, body=gzip.compress(a.body, mtime=0)
        ),
    ),
    "transport.expect": _by_head("Refuses any expectation.", lambda h: "expect" in h, 417),
    "transport.header-bytes": _by_head(
        "Refuses headers that are not ASCII.", lambda h: not "".join(h.values()).isascii()
    ),
    "transport.long-headers": _by_head(
        "Refuses more than four thousand bytes of headers.", lambda h: len("".join(h.values())) > 4000, 431
    ),
    "transport.no-content-type": _by_head(
        "Fails on a request without Content-Type.", lambda h: "content-type" not in h, 500
    ),
}


# ----- authentication


class _Unlocked(Reference):
    """Accepts wrong keys for which `lets_in` is true; an invalid body still gets 401."""

    def admit(self, request: ReferenceRequest) -> None:
        try:
            super().admit(request)
        except Refusal as refusal:
            scheme, _, key = request.headers.get("authorization", "").partition(" ")
            if refusal.status != 401 or not self.lets_in(scheme, key.strip()):
                raise
            try:
                self.read(request)
            except Refusal:
                raise refusal from None

    def lets_in(self, scheme: str, key: str) -> bool:
        """Return True to accept a wrong scheme or key."""
        raise NotImplementedError

    @property
    def keys(self) -> Sequence[str]:
        """The right keys."""
        return [key.decode() for key in self._keys or ()]


class _NoKey(_Unlocked):
    """Needs no key, but refuses wrong ones."""

    def lets_in(self, scheme: str, key: str) -> bool:
        """Return True if there is no scheme and no key."""
        return not scheme and not key


class _AnyScheme(_Unlocked):
    """Accepts every scheme."""

    def lets_in(self, scheme: str, key: str) -> bool:
        """Return True for a scheme other than Bearer."""
        del key
        return bool(scheme) and scheme.lower() != "bearer"


class _AnyKey(_Unlocked):
    """Accepts every key that is not similar to a right one."""

    def lets_in(self, scheme: str, key: str) -> bool:
        """Return True unless the key is similar to a right one."""
        given = key.casefold()
        rights = [right.casefold() for right in self.keys]
        similar = any(given.startswith(right[:-1]) or right.startswith(given) for right in rights)
        return scheme.lower() == "bearer" and (not key or not similar)


class _SimilarKey(_Unlocked):
    """Compares only the beginning of keys."""

    def lets_in(self, scheme: str, key: str) -> bool:
        """Return True if the beginning of the key is right."""
        return scheme.lower() == "bearer" and any(
            key.startswith(right[:-1]) or (len(key) > 1 and right.startswith(key)) for right in self.keys
        )


class _BodyFirst(Reference):
    """Validates the body before the key."""

    def authenticate(self, request: ReferenceRequest) -> None:
        self.read(request)
        super().authenticate(request)


class _RankedAnyway(Reference):
    """Adds results to a 401."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReferenceResponse:
        answer = super().answer(method, path, headers, body)
        if answer.status != 401:
            return answer
        return answer._replace(body=json.dumps({**json.loads(answer.body), "results": []}).encode())


class _KeyShown(Reference):
    """Quotes the wrong key in its refusal."""

    def authenticate(self, request: ReferenceRequest) -> None:
        try:
            super().authenticate(request)
        except Refusal as refusal:
            raise Refusal(
                401, f"{request.headers.get('authorization')!a} is unknown", refusal.headers
            ) from refusal


class _CapitalBearer(Reference):
    """Accepts only the spelling `Bearer`."""

    def authenticate(self, request: ReferenceRequest) -> None:
        if request.headers.get("authorization", "").startswith("bearer"):
            raise Refusal(401, "No key was sent", {"www-authenticate": "Bearer"})
        super().authenticate(request)


class _OtherAddress(Reference):
    """Needs no key at a path that ends with a slash."""

    def admit(self, request: ReferenceRequest) -> None:
        if not request.path.endswith("/rerank/"):
            super().admit(request)


_AUTHENTICATION: Mapping[str, Server] = {
    "authentication.other-address": _OtherAddress,
    "authentication.no-key": _NoKey,
    "authentication.wrong-scheme": _AnyScheme,
    "authentication.wrong-key": _AnyKey,
    "authentication.similar-key": _SimilarKey,
    "authentication.before-body": _BodyFirst,
    "authentication.nothing-ranked": _RankedAnyway,
    "authentication.key-not-shown": _KeyShown,
    "authentication.challenge": failures(
        "Sends no WWW-Authenticate header.",
        lambda a: a._replace(headers=_without(a.headers, "www-authenticate")),
    ),
    "authentication.scheme-case": _CapitalBearer,
}


# ----- what generation finds


def _names_span(body: Body) -> bool:
    return "span_name" in members(members(body).get("trace"))


class _HalfPairs(Reference):
    """Fails on a lone surrogate."""

    def parse(self, body: bytes) -> object:
        try:
            return super().parse(body)
        except Refusal as refusal:
            if "surrogate" in refusal.message:
                raise RuntimeError from refusal
            raise


class _Flaky(Reference):
    """Answers every tenth request with 502."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._count = itertools.count(1)

    def admit(self, request: ReferenceRequest) -> None:
        if next(self._count) % 10 == 0:
            raise Refusal(502, "The upstream did not answer")
        super().admit(request)


class _Forgetful(Reference):
    """Scores a repeated request with 0 after two seconds."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._first: dict[str, float] = {}

    def rank(self, body: Body) -> list[tuple[int, float]]:
        now, ranked = time.monotonic(), super().rank(body)
        known = now - self._first.setdefault(json.dumps(body, sort_keys=True), now) < 2
        return ranked if known else [(index, 0.0) for index, _ in ranked]


_SCHEMA: Mapping[str, Server] = {
    "robustness.after-pause": _Forgetful,
    "robustness.transient-errors": _Flaky,
    "robustness.large-request": refusing(
        "Fails on more than five hundred documents.", lambda b: len(b["documents"]) > 500, 500
    ),
    "robustness.odd-json": _HalfPairs,
    "robustness.answered": ranking(
        "Declares uncompressed rankings as gzip.",
        lambda a: a._replace(headers={**a.headers, "content-encoding": "gzip"}),
    ),
    "robustness.no-server-error": refusing(
        "Fails on a top_n beyond 64 bits.", lambda b: b.get("top_n", 0) >= 2**63, 500
    ),
    "schema.positive-data": refusing("Refuses traces with a span_name.", _names_span),
    "schema.negative-data": _lax(
        "Accepts any span_name.",
        "trace",
        lambda v: isinstance(v, dict),
        lambda v: _without(v, "span_name"),
    ),
    "schema.no-server-error": failing("Fails on traces with a span_name.", _names_span),
}


# ----- what follows from the contract


def _derived(one: Requirement) -> Server:
    """Return a server that breaks a derived rule."""
    if one.kind == "acceptance":
        name = one.path[0]
        sent = [with_field(contract.load(), one.path, value)[name] for value in one.values]
        # Compare the value, as other requests may have the field for the sake of another field of its object.
        return refusing(f"Refuses {one.field}.", lambda body: name in body and body[name] in sent)
    if one.kind == "answer":
        return answering(
            f"Has a wrong {one.field}.", lambda answer, _: put(answer, one.path, wrong_value(one))
        )

    class WithoutKeyword(Reference):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            self.contract = without_keyword(one)

    WithoutKeyword.__doc__ = f"Ignores the {one.keyword} of {one.field}."
    return WithoutKeyword


_DERIVED: Mapping[str, Server] = {one.id: _derived(one) for one in requirements()}

BROKEN: Mapping[str, Server] = MappingProxyType(
    {
        **_ACCEPTANCE,
        **_ANSWER,
        **_RELATION,
        **_REFUSAL,
        **_ERROR,
        **_METHOD,
        **_METHOD_AND_MODEL,
        **_TRANSPORT,
        **_TEXTS,
        **_AUTHENTICATION,
        **_SCHEMA,
        **_DERIVED,
    }
)
"""The factory of a server, by the rule that it breaks; its docstring describes the fault."""

_WITHIN = {
    "relation.every-line": "a score that ignores the query or the document also ignores its lines",
    "relation.after-special-tokens": "it also ignores the text after a special token",
    "relation.after-marks": "it also ignores the text after a NUL",
}
UNAVOIDABLE: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "method.refused": {"method.any": "a server that fails on GET also fails on other methods"},
        "answer.at-most-documents": {"answer.index-in-range": "an additional result has no valid index"},
        "answer.one-document": {"answer.not-empty": "without the only document, the ranking is empty"},
        "relation.repeatable": {
            "relation.string-or-object": "a score that changes each time also differs for the other form",
            "relation.together": "it also differs between concurrent and single requests",
        },
        "relation.top-n-best": {"relation.top-n-of-any": "top_n also cuts other lists wrongly"},
        "relation.string-or-object": {
            "relation.document-forms": "the scores of the forms are compared with a small tolerance, too",
            "relation.text-beside-image": "a document with an image is an object",
        },
        "relation.images": {
            "relation.text-beside-image": "the text beside an image gets the score of another document"
        },
        "relation.one-score": {
            "relation.one-score-in-long-lists": "the neighbour, and so the score, also changes with the order"
        },
        "relation.padding": {
            "relation.one-score": "a score that falls beside a long text differs from that in another list"
        },
        "relation.query-matters": {
            "relation.whole-request": "a query that is ignored is not read to its end",
            "relation.read-to-end": "a longer query is not read to its end either",
            **_WITHIN,
        },
        "relation.own-score": {
            "relation.read-to-end": "the score of another document does not depend on the end of this one",
            "relation.text-beside-image": "nor does it depend on the text of this one",
            **_WITHIN,
        },
        "relation.whole-request": {
            "relation.read-to-end": "a query cut after sixty characters is also cut before its end in the longer test"
        },
        "relation.document-matters": {
            "relation.whole-request": "a document that is ignored is not read to its end"
        },
        "relation.higher-is-better": {
            "relation.higher-is-better-in-long-lists": "a distance is also wrong in a long list"
        },
    }
)
"""By broken rule: the other MUST rules that its server cannot avoid breaking, with the reasons."""
