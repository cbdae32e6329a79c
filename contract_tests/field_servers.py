"""Servers that break the contract as real servers do, by name, with the rules that find each.

The kit's `broken` has one server for each rule, as narrow as possible; these may break several rules. They are test data, and not
in the wheel.
"""

# Decoded JSON is Any, and pyright reports parts of narrowed values as unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import gzip
import json
import math
import re
import threading
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from rerank_conformance.altered import (
    Server,
    answering,
    asked,
    billing,
    by,
    each,
    echoing,
    erring,
    failing,
    failures,
    hearing,
    listing,
    members,
    ranking,
    refused_as,
    refusing,
    respelling,
    scoring,
    taking,
)
from rerank_conformance.reference import Reference, ReferenceRequest, ReferenceResponse, Refusal
from rerank_conformance.reference.server import Body
from rerank_conformance.scorers import lexical


class FieldServer(NamedTuple):
    """A server that breaks the contract as a real one does, and the rules that it fails."""

    server: Server
    bitten: tuple[str, ...]
    """Ids of rules that must fail; others may fail too. Empty if the check must be undecided."""


# ----- rankings


class _FilteredIndex(Reference):
    """Drops empty documents before ranking, and returns positions in the remaining list."""

    def validate(self, value: object) -> Body:
        body = super().validate(value)
        kept = [document for document in body["documents"] if _text(document).strip()]
        return {**body, "documents": kept or body["documents"]}


class _CutFirst(Reference):
    """Ranks the first `top_n` documents instead of returning the best `top_n`."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        documents = body["documents"][: int(body.get("top_n", len(body["documents"])))]
        return super().rank({**body, "documents": documents})


class _SortedAsText(Reference):
    """Sorts logits as strings, so that -15.0 comes before -9.5."""

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        return [30 * score - 15 for score in super().scores(query, texts)]

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return sorted(enumerate(scores), key=lambda ranked: str(ranked[1]), reverse=True)


class _Unsorted(Reference):
    """Returns results in the order of the request."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return list(enumerate(scores))


class _Ascending(Reference):
    """Sorts the worst first."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return super().order(scores)[::-1]


class _CutUnsorted(Reference):
    """Truncates the unsorted list to `top_n`, then sorts the rest."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return list(enumerate(scores))

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return sorted(super().cut(ranked, top_n), key=lambda pair: -pair[1])


class _TopNIgnored(Reference):
    """Ignores `top_n`."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        del top_n
        return list(ranked)


class _TopNByDefault(Reference):
    """Returns three documents if `top_n` is omitted."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return super().cut(ranked, 3 if top_n is None else top_n)


class _WorstTopN(Reference):
    """Returns the last `top_n` of the ranking."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return list(ranked) if top_n is None else list(ranked)[-int(top_n) :]


class _Merged(Reference):
    """Stores documents by their text, so that identical ones are merged."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return super().order(scores)

    def rank(self, body: Body) -> list[tuple[int, float]]:
        last = {_text(document): index for index, document in enumerate(body["documents"])}
        ranked = super().rank({name: value for name, value in body.items() if name != "top_n"})
        return self.cut([pair for pair in ranked if pair[0] in last.values()], body.get("top_n"))


class _NothingForZero(Reference):
    """Treats a score of 0 as missing, and omits the document."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return super().cut([pair for pair in ranked if pair[1]], top_n)


class _Blanks(Reference):
    """Omits blank documents from the ranking; the positions are correct."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        blank = {i for i, document in enumerate(body["documents"]) if not _text(document).strip()}
        ranked = super().rank({name: value for name, value in body.items() if name != "top_n"})
        return self.cut([pair for pair in ranked if pair[0] not in blank], body.get("top_n"))


class _LongDropped(Reference):
    """Omits documents that are longer than the model's context."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        long = {i for i, document in enumerate(body["documents"]) if len(_text(document)) > 2000}
        ranked = super().rank({name: value for name, value in body.items() if name != "top_n"})
        return self.cut([pair for pair in ranked if pair[0] not in long], body.get("top_n"))


class _HundredOnly(Reference):
    """Ranks only the first hundred documents, the size of one search."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        return super().rank({**body, "documents": body["documents"][:100]})


class _BatchIndex(Reference):
    """Ranks in batches of 32, and does not add the offset of the batch."""

    def result(self, index: int, score: float, document: Any) -> Body:
        return super().result(index % 32, score, document)


class _ByPosition(Reference):
    """Scores by position: the first document is always the best."""

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        del query
        return [1 / (1 + index) for index, _ in enumerate(texts)]


class _ShiftedScores(Reference):
    """Gives each document its neighbour's score."""

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        scores = super().scores(query, texts)
        return [*scores[1:], *scores[:1]]


def _text(document: str | Body) -> str:
    return document if isinstance(document, str) else document.get("text", "")


# ----- encodings


def _json(answer: ReferenceResponse, payload: object) -> ReferenceResponse:
    return answer._replace(body=msgspec.json.encode(payload))


def _best_as(constant: bytes) -> Server:
    return ranking(
        f"Writes {constant.decode()} as the best score, as a lenient encoder does.",
        lambda answer: answer._replace(
            body=re.sub(rb'("relevance_score":)[^,}]+', rb"\g<1>" + constant, answer.body, count=1)
        ),
    )


# ----- refusals


def _fastapi(status: int, envelope: Body) -> Body:
    del status
    return {"detail": envelope["error"]["message"]}


class _Traceback(Reference):
    """Refuses with an HTML page, as a proxy does."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReferenceResponse:
        answer = super().answer(method, path, headers, body)
        if answer.status == 200:
            return answer
        return ReferenceResponse(
            answer.status, {"content-type": "text/html"}, b"<html><h1>Bad Request</h1></html>"
        )


class _CrashOnType(Reference):
    """Validates nothing, and fails on wrong types and missing fields with 500."""

    def validate(self, value: object) -> Body:
        try:
            return super().validate(value)
        except Refusal as refusal:
            raise Refusal(500, "Internal Server Error") from refusal


class _NoDocuments(Reference):
    """Returns no results for an empty list of documents."""

    def validate(self, value: object) -> Body:
        if members(value).get("documents") == []:
            return {**super().validate({**members(value), "documents": [""]}), "documents": []}
        return super().validate(value)


class _AnyType(Reference):
    """Reads the body regardless of its content type."""

    def media_type(self, request: ReferenceRequest) -> None:
        del request


class _LenientJSON(Reference):
    """Accepts a body that is not JSON, and ranks nothing."""

    def parse(self, body: bytes) -> object:
        try:
            return super().parse(body)
        except Refusal:
            return {"model": "", "query": "", "documents": [""]}


class _AnyMethod(Reference):
    """Ranks for any method."""

    def method(self, request: ReferenceRequest) -> None:
        del request


# ----- authentication


class _ReadFirst(Reference):
    """Validates the body before the key."""

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        self.route(request)
        self.method(request)
        body = self.read(request)
        self.authenticate(request)
        return self.encode(200, self.render(body, self.rank(body)))


class _AnyKey(Reference):
    """Accepts any key."""

    def authenticate(self, request: ReferenceRequest) -> None:
        if "authorization" not in request.headers:
            super().authenticate(request)


class _AnyScheme(Reference):
    """Reads the last word of the header as the key, with any scheme."""

    def authenticate(self, request: ReferenceRequest) -> None:
        key = request.headers.get("authorization", "").rpartition(" ")[2]
        named = {**request.headers, "authorization": f"Bearer {key}"} if key else request.headers
        super().authenticate(replace(request, headers=named))


class _Open(Reference):
    """Requires no key."""

    def authenticate(self, request: ReferenceRequest) -> None:
        del request


class _KeyPrefix(Reference):
    """Compares only the characters that were sent, so that a prefix of the key is accepted."""

    def authenticate(self, request: ReferenceRequest) -> None:
        sent = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        if self._keys is None or not any(sent and known.startswith(sent) for known in self._keys):
            super().authenticate(request)


class _KeyEchoed(Reference):
    """Quotes a wrong key in the error message."""

    def authenticate(self, request: ReferenceRequest) -> None:
        try:
            super().authenticate(request)
        except Refusal as refusal:
            raise Refusal(401, f"{request.headers.get('authorization', 'nothing')} is wrong") from refusal


class _RankedAnyway(Reference):
    """Answers 401, but returns results beside the error."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReferenceResponse:
        answer = super().answer(method, path, headers, body)
        if answer.status != 401:
            return answer
        keys, self._keys = self._keys, None
        try:
            ranked = json.loads(super().answer(method, path, headers, body).body)
        finally:
            self._keys = keys
        return self.encode(401, {**json.loads(answer.body), **ranked})


def _nulled(body: Body) -> Body:
    return {name: value for name, value in body.items() if value is not None}


def _coerced(body: Body) -> Body:
    top_n = body.get("top_n")
    if isinstance(top_n, str) and top_n.isdigit():
        body["top_n"] = int(top_n)
    elif isinstance(top_n, bool) or (isinstance(top_n, float) and math.isfinite(top_n)):
        body["top_n"] = max(1, int(top_n))
    return body


def _without(body: Body, *names: str) -> Body:
    return {name: value for name, value in body.items() if name not in names}


def _top_n_below_one(body: Body) -> Body:
    top_n = body.get("top_n")
    return _without(body, "top_n") if isinstance(top_n, int) and top_n < 1 and top_n is not False else body


class _OddOneLost(Reference):
    """Ranks in batches of 64, and loses a last batch of one document."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        ranked = super().rank(body)
        count = len(body["documents"])
        return [pair for pair in ranked if not (count > 1 and count % 64 == 1 and pair[0] == count - 1)]


class _LinesSplit(Reference):
    """Sends documents to its model as lines, so that a line break shifts all later documents."""

    def texts(self, documents: Any) -> list[str]:
        texts = super().texts(documents)
        return "\n".join(texts).split("\n")[: len(texts)]


class _FirstKind(Reference):
    """Assumes that all documents have the type of the first, and reads an object among strings as empty."""

    def texts(self, documents: Any) -> list[str]:
        kinds = {isinstance(document, str) for document in documents}
        texts = super().texts(documents)
        mixed = len(kinds) > 1
        return [
            "" if mixed and not isinstance(document, str) else text
            for document, text in zip(documents, texts, strict=True)
        ]


class _Cached(Reference):
    """Caches scores by only a part of the request."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._kept: dict[object, list[float]] = {}

    def name(self, query: str, texts: Sequence[str]) -> object:
        """Return the key under which scores are stored."""
        raise NotImplementedError

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        name = self.name(query, texts), len(texts)
        if name not in self._kept:
            self._kept[name] = super().scores(query, texts)
        return self._kept[name]


class _CachedByQueryStart(_Cached):
    """Caches scores by the first 64 characters of the query."""

    def name(self, query: str, texts: Sequence[str]) -> object:
        return query[:64], tuple(texts)


class _CachedByFirst(_Cached):
    """Caches scores by the query and the first three documents."""

    def name(self, query: str, texts: Sequence[str]) -> object:
        return query, tuple(texts[:3])


class _CachedByTextStart(_Cached):
    """Caches scores by the query and the first 64 characters of each document."""

    def name(self, query: str, texts: Sequence[str]) -> object:
        return query, tuple(text[:64] for text in texts)


class _CachedByJoined(_Cached):
    """Caches scores by the query and a digest of the concatenated documents."""

    def name(self, query: str, texts: Sequence[str]) -> object:
        return query, "".join(texts)


class _Shared(Reference):
    """Stores the query of the current request where other threads overwrite it."""

    query = ""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._changed = threading.Condition()

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        with self._changed:
            self.query = query
            self._changed.notify_all()
            # Many documents take longer, so that other requests arrive meanwhile.
            self._changed.wait_for(lambda: self.query != query, 0.5 if len(texts) == 8 else 0.01)
        return super().scores(self.query, texts)


class _TopThreeFirst(Reference):
    """Truncates before ranking if top_n is 3, its default, which has its own code path."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        if body.get("top_n") != 3:
            return super().rank(body)
        return super().rank({**body, "documents": body["documents"][:3]})


class _LastUnchecked(Reference):
    """Validates only the first hundred documents."""

    def validate(self, value: object) -> Body:
        found = members(value).get("documents")
        given = found if isinstance(found, list) else []
        if len(given) <= 100:
            return super().validate(value)
        kept = [*given[:100], *(one if isinstance(one, str | dict) else str(one) for one in given[100:])]
        return super().validate({**members(value), "documents": kept})


class _TrailingTaken(Reference):
    """Reads one JSON value and ignores the rest of the body, as Go's decoder does."""

    def parse(self, body: bytes) -> object:
        try:
            return json.JSONDecoder().raw_decode(body.decode().lstrip())[0]
        except (ValueError, RecursionError):
            return super().parse(body)


class _SlashUnguarded(Reference):
    """Requires a key for /rerank, but not for /rerank/."""

    def admit(self, request: ReferenceRequest) -> None:
        if not request.path.endswith("/rerank/"):
            super().admit(request)


class _LocalTrusted(Reference):
    """Requires no key if a header claims that the client is local."""

    def authenticate(self, request: ReferenceRequest) -> None:
        if request.headers.get("x-forwarded-for") != "127.0.0.1":
            super().authenticate(request)


class _KeyCaseless(Reference):
    """Compares keys case-insensitively."""

    def authenticate(self, request: ReferenceRequest) -> None:
        given = request.headers.get("authorization", "").lower()
        if given not in {f"bearer {key.decode()}".lower() for key in self._keys or ()}:
            super().authenticate(request)


def _numbers_read(text: str) -> Any:
    try:
        return json.loads(text) if text.strip() == text and not text.startswith(("{", "[", '"')) else text
    except ValueError:
        return text


def _unlike(what: str, change: Callable[[str], Any]) -> Server:
    """Make a server that changes the text of every echo."""
    return echoing(what, lambda d: {**d, "text": change(d["text"])} if "text" in d else d)


def _array_read(text: str) -> Any:
    return json.loads(text) if text[:2] == '["' else text


def _empty_left_out(body: Body) -> Body:
    return body if body.get("provider") else _without(body, "provider")


def _content_taken(document: Any) -> Any:
    given = members(document)
    return {"text": given["content"]} if given.keys() == {"content"} else document


def _contents_taken(body: Body) -> Body:
    found = body.get("documents")
    given = found if isinstance(found, list) else None
    return body if given is None else {**body, "documents": [_content_taken(one) for one in given]}


_wild: dict[str, tuple[Server, tuple[str, ...]]] = {
    # long lists, long texts, concurrent requests
    "batch-scores-shifted": (
        scoring(
            "Shifts the scores of its second batch by one.",
            lambda _, __, s: [*s[:64], *s[65:], *s[64:65]],
        ),
        ("relation.one-score",),
    ),
    "batch-of-one-lost": (_OddOneLost, ("answer.many-documents",)),
    "batches-by-length": (
        scoring(
            "Sorts more than sixteen documents by length, and does not restore the order.",
            lambda _, t, s: [x for _, x in sorted(zip(map(len, t), s, strict=True))] if len(t) > 16 else s,
        ),
        ("relation.one-score",),
    ),
    "five-hundred-kept": (
        listing("Returns at most five hundred documents.", lambda r, _: r[:500]),
        ("answer.many-documents",),
    ),
    "long-list-fails": (
        refusing("Fails on more than four hundred documents.", lambda b: len(b["documents"]) > 400, 500),
        ("robustness.large-request",),
    ),
    "long-list-422": (
        refusing(
            "Refuses more than four hundred documents with 422.", lambda b: len(b["documents"]) > 400, 422
        ),
        ("robustness.large-request", "error.status-documented"),
    ),
    "long-distances": (
        scoring(
            "Scores by distance, but only in long lists.",
            lambda _, __, s: [1 - x if len(s) > 100 else x for x in s],
        ),
        ("relation.higher-is-better-in-long-lists",),
    ),
    "lines-split": (_LinesSplit, ("relation.one-score",)),
    "first-kind": (_FirstKind, ("relation.document-forms",)),
    "cache-by-query-start": (_CachedByQueryStart, ("relation.whole-request",)),
    "cache-by-first-documents": (_CachedByFirst, ("relation.whole-request",)),
    "cache-by-text-start": (_CachedByTextStart, ("relation.whole-request",)),
    "cache-by-joined-texts": (_CachedByJoined, ("relation.whole-request",)),
    "threads-share": (_Shared, ("relation.together",)),
    "top-three-cut-first": (_TopThreeFirst, ("relation.top-n-of-any",)),
    "echo-64-kilobytes": (
        respelling("Echoes at most 65,535 characters.", lambda t: t[:65535]),
        ("answer.echo-long",),
    ),
    "echo-composed": (
        respelling(
            "Normalizes the echo to composed characters (NFC).", lambda t: unicodedata.normalize("NFC", t)
        ),
        ("answer.echo-unicode",),
    ),
    "echo-line-separators": (
        respelling("Echoes U+2028 as a line break.", lambda t: t.replace("\u2028", "\n")),
        ("answer.echo-unicode",),
    ),
    "echo-numbers": (
        _unlike("Echoes numeric texts as numbers.", _numbers_read),
        ("answer.echo-text",),
    ),
    "echo-json-read": (_unlike("Parses texts that are JSON.", _array_read), ("answer.echo-text",)),
    "echo-blanks-collapsed": (
        respelling(
            "Collapses spaces between words in the echo.", lambda t: re.sub(r"(?<=\S) +(?=\S)", " ", t)
        ),
        ("answer.echo-text",),
    ),
    "echo-plus": (
        respelling("Echoes a space instead of a plus.", lambda t: t.replace("+", " ")),
        ("answer.echo-text",),
    ),
    "echo-addresses-masked": (
        respelling("Masks email addresses in the echo.", lambda t: re.sub(r"\S+@\S+", "[EMAIL]", t)),
        ("answer.echo-text",),
    ),
    "echo-both-names": (
        echoing("Echoes null for missing fields.", lambda d: {"text": None, "image": None, **d}),
        ("answer.echo-nothing-added",),
    ),
    "index-real-from-one": (
        each("Counts from 1.0.", lambda r: {**r, "index": r["index"] + 1.0}),
        ("answer.index-in-range", "answer.index-points-at-echo"),
    ),
    "nan-beside": (
        ranking("Adds a field with NaN.", lambda a: a._replace(body=a.body[:-1] + b',"seconds":NaN}')),
        ("answer.one-reading",),
    ),
    "results-twice": (
        ranking(
            "Has the key `results` twice, first with an empty list.",
            lambda a: a._replace(body=b'{"results":[],' + a.body[1:]),
        ),
        ("answer.one-reading",),
    ),
    # accepted requests and keys
    "last-documents-unchecked": (_LastUnchecked, ("refusal.document-type",)),
    "content-for-text": (
        taking("Reads a document's `content` as its text.", _contents_taken),
        ("refusal.document-empty-object",),
    ),
    "top-n-padded": (
        taking(
            "Accepts a top_n that is a string with spaces.",
            lambda b: {**b, "top_n": 2} if b.get("top_n") == " 2 " else b,
        ),
        ("refusal.top-n-text",),
    ),
    "provider-empty": (
        taking("Treats any empty value as no provider.", _empty_left_out),
        ("refusal.provider-type",),
    ),
    "trailing-taken": (_TrailingTaken, ("refusal.malformed-json",)),
    "blank-query-fails": (
        refusing("Fails on an empty query.", lambda b: not b["query"].strip(), 500),
        ("robustness.no-server-error",),
    ),
    "sort-object-refused": (
        refusing(
            "Accepts only a string as `sort`.",
            lambda b: isinstance((b.get("provider") or {}).get("sort"), dict),
        ),
        ("acceptance.provider", "acceptance.unknown-fields"),
    ),
    "slash-unguarded": (_SlashUnguarded, ("authentication.other-address",)),
    "local-trusted": (_LocalTrusted, ("authentication.no-key",)),
    "key-caseless": (_KeyCaseless, ("authentication.similar-key",)),
    # the ranking
    "filtered-index": (
        _FilteredIndex,
        (
            "answer.index-points-at-echo",
            "answer.blank-documents",
        ),
    ),
    "top-n-cuts-input": (
        _CutFirst,
        (
            "relation.top-n-best",
            "relation.top-n-prefix",
        ),
    ),
    "top-n-cuts-unsorted": (
        _CutUnsorted,
        (
            "relation.top-n-best",
            "relation.top-n-prefix",
        ),
    ),
    "top-n-ignored": (_TopNIgnored, ("answer.at-most-top-n",)),
    "top-n-three-by-default": (
        _TopNByDefault,
        (
            "answer.complete",
            "answer.many-documents",
        ),
    ),
    "top-n-worst": (
        _WorstTopN,
        (
            "relation.top-n-best",
            "relation.top-n-prefix",
        ),
    ),
    "top-n-above-refused": (
        refusing(
            "Refuses a top_n above the number of documents.",
            lambda body: body.get("top_n", 0) > len(body["documents"]),
        ),
        ("acceptance.top-n",),
    ),
    "sorted-as-text": (_SortedAsText, ("answer.descending",)),
    "unsorted": (_Unsorted, ("answer.descending",)),
    "ascending": (_Ascending, ("answer.descending",)),
    "distances": (
        scoring(
            "Scores by distance, so that the best documents are last.",
            lambda _, __, scores: [1 - score for score in scores],
        ),
        ("relation.higher-is-better",),
    ),
    "identical-merged": (_Merged, ("answer.identical-documents",)),
    "zero-score-dropped": (
        _NothingForZero,
        (
            "answer.complete",
            "answer.blank-documents",
        ),
    ),
    "blank-dropped": (_Blanks, ("answer.blank-documents",)),
    "blank-refused": (
        refusing(
            "Refuses empty strings among the documents.",
            lambda body: any(not _text(d) and "image" not in d for d in body["documents"]),
        ),
        ("acceptance.blank-documents",),
    ),
    "long-dropped": (_LongDropped, ("answer.complete",)),
    "hundred-only": (_HundredOnly, ("answer.many-documents",)),
    "hundred-refused": (
        refusing("Refuses more than a hundred documents.", lambda body: len(body["documents"]) > 100),
        ("acceptance.many-documents",),
    ),
    "thirty-two-refused": (
        refusing("Refuses more than 32 documents, with 413.", lambda body: len(body["documents"]) > 32, 413),
        ("acceptance.many-documents",),
    ),
    "one-refused": (
        refusing("Refuses a single document.", lambda body: len(body["documents"]) < 2),
        ("acceptance.plain",),
    ),
    "batch-index": (
        _BatchIndex,
        (
            "answer.index-unique",
            "answer.index-points-at-echo",
        ),
    ),
    "by-position": (
        _ByPosition,
        (
            "relation.document-matters",
            "relation.query-matters",
        ),
    ),
    "shifted-scores": (_ShiftedScores, ("relation.own-score",)),
    "query-ignored": (
        scoring(
            "Ignores the query: the longest document is the best.",
            lambda _, texts, __: [float(len(text)) for text in texts],
        ),
        ("relation.query-matters",),
    ),
    "query-and-text-swapped": (
        asked(
            "Swaps the query and the first document.",
            lambda body: {**body, "query": _text(body["documents"][0])},
        ),
        ("relation.query-matters",),
    ),
    "ascii-only": (
        asked(
            "Replaces non-ASCII characters by question marks before ranking.",
            lambda body: {
                **body,
                "documents": [
                    d.encode("ascii", "replace").decode() if isinstance(d, str) else d
                    for d in body["documents"]
                ],
            },
        ),
        ("answer.echo-unicode",),
    ),
    "constant": (
        scoring("Gives every document the same score.", lambda _, texts, __: [0.5] * len(texts)),
        (
            "relation.query-matters",
            "relation.document-matters",
        ),
    ),
    # the results
    "index-from-one": (
        each("Counts documents from 1.", lambda r: {**r, "index": r["index"] + 1}),
        (
            "answer.index-in-range",
            "answer.index-points-at-echo",
        ),
    ),
    "index-as-text": (
        each("Writes the index as a string.", lambda r: {**r, "index": str(r["index"])}),
        ("answer.index-integer",),
    ),
    "index-positional": (
        listing(
            "Uses the place in the ranking as the index.",
            lambda rs, _: [{**r, "index": i} for i, r in enumerate(rs)],
        ),
        ("answer.index-points-at-echo",),
    ),
    "index-missing": (
        each("Omits the index.", lambda r: _without(r, "index")),
        ("answer.index-integer",),
    ),
    "echo-shifted": (
        listing(
            "Echoes the document at the result's place in the ranking, not at its index.",
            lambda rs, body: [
                {**r, "document": {"text": _text(body["documents"][i])}} for i, r in enumerate(rs)
            ],
        ),
        ("answer.index-points-at-echo",),
    ),
    "echo-missing": (
        each("Omits the echo unless return_documents is true.", lambda r: _without(r, "document")),
        ("answer.echo-present",),
    ),
    "echo-null": (each("Echoes null.", lambda r: {**r, "document": None}), ("answer.echo-present",)),
    "echo-empty": (echoing("Echoes an empty object.", lambda _: {}), ("answer.echo-text",)),
    "echo-string": (
        each("Echoes a bare string.", lambda r: {**r, "document": r["document"].get("text", "")}),
        ("answer.echo-present",),
    ),
    "echo-stripped": (respelling("Echoes without the space around it.", str.strip), ("answer.echo-blanks",)),
    "echo-normalized": (
        respelling("Normalizes the echo to NFKC.", lambda t: unicodedata.normalize("NFKC", t)),
        ("answer.echo-unicode",),
    ),
    "echo-truncated": (
        respelling("Echoes only the first 512 characters.", lambda t: t[:512]),
        ("answer.echo-long",),
    ),
    "echo-lowered": (
        respelling("Echoes the tokenizer's lower-case text.", str.lower),
        ("answer.echo-text",),
    ),
    "echo-control-dropped": (
        respelling(
            "Drops control characters from the echo.",
            lambda t: "".join(c for c in t if unicodedata.category(c) != "Cc"),
        ),
        ("answer.echo-unicode",),
    ),
    "echo-bmp-only": (
        respelling(
            "Replaces astral characters in the echo.",
            lambda t: "".join(c if ord(c) < 0x10000 else "\ufffd" for c in t),
        ),
        ("answer.echo-unicode",),
    ),
    "echo-html": (
        respelling(
            "Escapes <, > and & in the echo.",
            lambda t: t.replace("&", "&amp;").replace("<", "&lt;"),
        ),
        ("answer.echo-text",),
    ),
    "echo-mojibake": (
        respelling(
            "Decodes UTF-8 as Latin-1 in the echo.",
            lambda t: t.encode().decode("latin-1"),
        ),
        ("answer.echo-unicode",),
    ),
    "score-as-text": (
        each("Writes the score as a string.", lambda r: {**r, "relevance_score": str(r["relevance_score"])}),
        ("answer.score-number",),
    ),
    "score-called-score": (
        each(
            "Calls the score `score`.",
            lambda r: {**_without(r, "relevance_score"), "score": r["relevance_score"]},
        ),
        ("answer.score-number",),
    ),
    "score-null": (
        each(
            "Has a score of null instead of 0.",
            lambda r: {**r, "relevance_score": r["relevance_score"] or None},
        ),
        ("answer.score-number",),
    ),
    "score-nan": (_best_as(b"NaN"), ("answer.score-number",)),
    "score-infinity": (_best_as(b"Infinity"), ("answer.score-number",)),
    "score-1e999": (_best_as(b"1e999"), ("answer.score-number",)),
    # the response
    "results-called-data": (
        answering("Calls the results `data`.", lambda a, _: {**_without(a, "results"), "data": a["results"]}),
        ("answer.schema",),
    ),
    "results-missing-when-none": (
        answering(
            "Omits `results` if no document is relevant.",
            lambda a, _: a if any(r["relevance_score"] for r in a["results"]) else _without(a, "results"),
        ),
        ("answer.schema",),
    ),
    "bare-array": (
        ranking("Returns a bare array.", lambda a: _json(a, json.loads(a.body)["results"])),
        ("answer.json",),
    ),
    "scores-in-input-order": (
        answering(
            "Returns bare scores in the order of the request.",
            lambda a, _: {
                "model": a["model"],
                "scores": [r["relevance_score"] for r in sorted(a["results"], key=lambda r: r["index"])],
            },
        ),
        ("answer.schema",),
    ),
    "model-missing": (answering("Names no model.", lambda a, _: _without(a, "model")), ("answer.model",)),
    "model-null": (answering("Has a model of null.", lambda a, _: {**a, "model": None}), ("answer.model",)),
    "id-number": (answering("Has a number as id.", lambda a, _: {**a, "id": 7}), ("answer.id",)),
    "id-null": (answering("Has an id of null.", lambda a, _: {**a, "id": None}), ("answer.id",)),
    "usage-null": (answering("Has a usage of null.", lambda a, _: {**a, "usage": None}), ("answer.usage",)),
    "usage-cost-text": (
        billing("Writes the cost as a string.", lambda u: {**u, "cost": "0.001"}),
        ("answer.usage",),
    ),
    "usage-negative": (billing("Bills -1 tokens.", lambda u: {**u, "total_tokens": -1}), ("answer.usage",)),
    "usage-units-fraction": (
        billing("Bills half a search.", lambda u: {**u, "search_units": 0.5}),
        ("answer.usage",),
    ),
    "content-type-text": (
        ranking("Sends JSON as text/plain.", lambda a: a._replace(headers={"content-type": "text/plain"})),
        ("answer.content-type",),
    ),
    "content-type-missing": (
        ranking("Sends no content type.", lambda a: a._replace(headers={})),
        ("answer.content-type",),
    ),
    "error-in-200": (
        refused_as("Refuses with 200 and an error in the body.", 400, 200),
        (
            "refusal.documents-empty",
            "refusal.top-n-zero",
            "refusal.malformed-json",
        ),
    ),
    "created": (ranking("Answers 201.", lambda a: a._replace(status=201)), ("acceptance.plain",)),
    "byte-order-mark": (
        ranking("Starts with a byte order mark.", lambda a: a._replace(body=b"\xef\xbb\xbf" + a.body)),
        ("answer.json",),
    ),
    "latin-1": (
        ranking("Sends Latin-1.", lambda a: a._replace(body=a.body.decode().encode("latin-1", "replace"))),
        ("answer.json",),
    ),
    "single-quotes": (
        ranking("Sends a Python literal.", lambda a: a._replace(body=repr(json.loads(a.body)).encode())),
        ("answer.json",),
    ),
    "cut-off": (
        ranking("Truncates the response.", lambda a: a._replace(body=a.body[: len(a.body) // 2])),
        ("answer.json",),
    ),
    "twice": (ranking("Sends the body twice.", lambda a: a._replace(body=a.body * 2)), ("answer.json",)),
    "event-stream": (
        ranking(
            "Streams events.",
            lambda a: a._replace(
                headers={"content-type": "text/event-stream"}, body=b"data: " + a.body + b"\n\n"
            ),
        ),
        (
            "answer.content-type",
            "answer.json",
        ),
    ),
    "gzip-undeclared": (
        ranking(
            "Compresses without a Content-Encoding header.", lambda a: a._replace(body=gzip.compress(a.body))
        ),
        ("answer.json",),
    ),
    "empty-answer": (ranking("Sends an empty body.", lambda a: a._replace(body=b"")), ("answer.json",)),
    "no-content": (
        ranking("Answers 204.", lambda a: a._replace(status=204, body=b"")),
        ("acceptance.plain",),
    ),
    # refusals
    "top-n-zero-all": (
        taking("Treats a top_n below 1 as omitted.", _top_n_below_one),
        (
            "refusal.top-n-zero",
            "refusal.top-n-negative",
        ),
    ),
    "top-n-coerced": (
        taking("Converts other types of top_n to a number.", _coerced),
        (
            "refusal.top-n-fraction",
            "refusal.top-n-text",
            "refusal.top-n-boolean",
        ),
    ),
    "nulls-taken": (taking("Treats null as omitted everywhere.", _nulled), ("refusal.top-n-null",)),
    "model-optional": (
        taking("Accepts a request without a model.", lambda b: {"model": "default", **b}),
        ("refusal.model-missing",),
    ),
    "query-optional": (
        taking("Accepts a request without a query.", lambda b: {"query": "", **b}),
        ("refusal.query-missing",),
    ),
    "query-array": (
        taking(
            "Accepts an array of queries.",
            lambda b: (
                {**b, "query": " ".join(map(str, b["query"]))} if isinstance(b.get("query"), list) else b
            ),
        ),
        ("refusal.query-type",),
    ),
    "documents-string": (
        taking(
            "Accepts a string as documents.",
            lambda b: {**b, "documents": [b["documents"]]} if isinstance(b.get("documents"), str) else b,
        ),
        ("refusal.documents-type",),
    ),
    "documents-numbers": (
        taking(
            "Accepts numbers as documents.",
            lambda b: (
                {**b, "documents": [str(d) if isinstance(d, (int, float)) else d for d in b["documents"]]}
                if isinstance(b.get("documents"), list)
                else b
            ),
        ),
        ("refusal.document-type",),
    ),
    "documents-empty-object": (
        taking(
            "Accepts documents without text and image.",
            lambda b: (
                {**b, "documents": [{"text": "", **d} if isinstance(d, dict) else d for d in b["documents"]]}
                if isinstance(b.get("documents"), list)
                else b
            ),
        ),
        ("refusal.document-empty-object",),
    ),
    "documents-none": (_NoDocuments, ("refusal.documents-empty",)),
    "documents-called-texts": (
        taking(
            "Requires `texts` instead of `documents`.",
            lambda b: {
                **_without(b, "texts", "documents"),
                **({"documents": b["texts"]} if "texts" in b else {}),
            },
        ),
        ("acceptance.plain",),
    ),
    "objects-refused": (
        refusing(
            "Refuses documents that are objects.", lambda b: any(isinstance(d, dict) for d in b["documents"])
        ),
        (
            "acceptance.objects",
            "acceptance.mixed",
        ),
    ),
    "strings-refused": (
        refusing(
            "Refuses documents that are strings.", lambda b: any(isinstance(d, str) for d in b["documents"])
        ),
        ("acceptance.plain",),
    ),
    "mixed-refused": (
        refusing(
            "Refuses objects and strings in one array.",
            lambda b: len({isinstance(d, str) for d in b["documents"]}) > 1,
        ),
        ("acceptance.mixed",),
    ),
    "extra-refused": (
        refusing(
            "Refuses unknown fields.",
            lambda b: (
                set(b) - {"model", "query", "documents", "top_n", "provider", "session_id", "user", "trace"}
            ),
        ),
        ("acceptance.unknown-fields",),
    ),
    "provider-null-refused": (
        refusing("Refuses `provider: null`.", lambda b: "provider" in b and b["provider"] is None),
        ("acceptance.provider-null",),
    ),
    "provider-refused": (
        refusing("Refuses `provider`.", lambda b: b.get("provider") is not None),
        ("acceptance.provider",),
    ),
    "integral-float-refused": (
        refusing("Refuses a top_n of 2.0.", lambda b: isinstance(b.get("top_n"), float)),
        ("acceptance.top-n-integral",),
    ),
    "huge-top-n-fails": (
        refusing("Fails on a top_n above 2**31.", lambda b: b.get("top_n", 0) > 2**31, 500),
        ("robustness.no-server-error",),
    ),
    "negative-top-n-fails": (
        failing("Fails on a negative top_n.", lambda b: isinstance(b.get("top_n"), int) and b["top_n"] < 0),
        ("refusal.top-n-negative",),
    ),
    "empty-documents-fail": (
        failing("Fails on an empty array of documents.", lambda b: b.get("documents") == []),
        ("refusal.documents-empty",),
    ),
    "nothing-validated": (
        _CrashOnType,
        (
            "refusal.documents-missing",
            "refusal.query-type",
            "refusal.top-n-text",
        ),
    ),
    "fastapi-detail": (erring("Refuses with {detail}.", _fastapi), ("error.envelope",)),
    "fastapi-422": (refused_as("Refuses with 422.", 400, 422), ("error.status-documented",)),
    "error-string": (
        erring("Refuses with a string as `error`.", lambda _, e: {"error": e["error"]["message"]}),
        ("error.envelope",),
    ),
    "error-flat": (
        erring("Refuses with code and message, without the key `error`.", lambda _, e: e["error"]),
        ("error.envelope",),
    ),
    "error-code-text": (
        erring("Writes the code as a string.", lambda s, e: {"error": {**e["error"], "code": str(s)}}),
        ("error.code",),
    ),
    "error-code-slug": (
        erring(
            "Writes the code as a word.", lambda _, e: {"error": {**e["error"], "code": "invalid_request"}}
        ),
        ("error.code",),
    ),
    "error-code-other": (
        erring("Has a code that is not the status.", lambda _, e: {"error": {**e["error"], "code": 20012}}),
        ("error.code",),
    ),
    "error-message-missing": (
        erring("Omits the message.", lambda s, _: {"error": {"code": s}}),
        ("error.envelope",),
    ),
    "error-message-null": (
        erring("Has a message of null.", lambda s, _: {"error": {"code": s, "message": None}}),
        ("error.envelope",),
    ),
    "error-text": (
        failures(
            "Refuses in plain text.",
            lambda a: a._replace(headers={"content-type": "text/plain"}, body=b"bad request"),
        ),
        (
            "error.content-type",
            "error.envelope",
        ),
    ),
    "error-html": (
        _Traceback,
        (
            "error.content-type",
            "error.envelope",
        ),
    ),
    "error-empty": (
        failures("Refuses with an empty body.", lambda a: a._replace(body=b"")),
        ("error.envelope",),
    ),
    "unauthorized-for-invalid": (
        refused_as("Answers 401 to invalid requests.", 400, 401),
        ("refusal.status",),
    ),
    "unavailable-for-invalid": (
        refused_as("Answers 503 to invalid requests, so that clients retry.", 400, 503),
        ("refusal.documents-missing",),
    ),
    "rate-limited-for-invalid": (refused_as("Answers 429 to invalid requests.", 400, 429), ()),
    "any-media-type": (_AnyType, ("refusal.content-type",)),
    "lenient-json": (_LenientJSON, ("refusal.malformed-json",)),
    "any-method": (_AnyMethod, ("method.refused",)),
    "path-fails-for-get": (refused_as("Fails on other methods.", 405, 500), ("method.refused",)),
    "get-is-fine": (refused_as("Answers 200 to other methods.", 405, 200), ("method.refused",)),
    # authentication
    "validated-before-key": (_ReadFirst, ("authentication.before-body",)),
    "any-key": (_AnyKey, ("authentication.wrong-key",)),
    "any-scheme": (_AnyScheme, ("authentication.wrong-scheme",)),
    "no-key-needed": (
        _Open,
        (
            "authentication.no-key",
            "authentication.wrong-key",
        ),
    ),
    "key-prefix": (_KeyPrefix, ("authentication.similar-key",)),
    "key-echoed": (_KeyEchoed, ("authentication.key-not-shown",)),
    "ranked-anyway": (_RankedAnyway, ("authentication.nothing-ranked",)),
    "forbidden-for-wrong-key": (
        refused_as("Answers 403 without a key.", 401, 403),
        (
            "authentication.no-key",
            "authentication.wrong-key",
        ),
    ),
    "bad-request-for-no-key": (
        refused_as("Answers 400 without a key.", 401, 400),
        ("authentication.no-key",),
    ),
    "not-found-for-no-key": (refused_as("Answers 404 without a key.", 401, 404), ("authentication.no-key",)),
    "server-error-for-no-key": (refused_as("Fails without a key.", 401, 500), ("authentication.no-key",)),
    "all-refused": (refused_as("Answers 401 to everything.", 200, 401), ()),
    "all-fail": (refused_as("Answers 500 to everything.", 200, 500), ("acceptance.plain",)),
    "lowercase-bearer-only": (
        hearing(
            "Requires the scheme in lower case.",
            lambda r: replace(
                r,
                headers={
                    **r.headers,
                    **(
                        {"authorization": "x"}
                        if r.headers.get("authorization", "").startswith("Bearer")
                        else {}
                    ),
                },
            ),
        ),
        (),
    ),
}


# ----- names of models


class _AuthorAndName(Reference):
    """Fails on a model name without exactly one slash."""

    def validate(self, value: object) -> Body:
        body = super().validate(value)
        _author, _name = body["model"].split("/")
        return body


def _another_model(body: Body) -> bool:
    return body["model"] != "cohere/rerank-v3.5"


_models: dict[str, tuple[Server, tuple[str, ...]]] = {
    "model-unknown-fails": (
        refusing("Fails on an unknown model.", _another_model, 500),
        ("model.any-name",),
    ),
    "model-unknown-bad-gateway": (
        refusing("Forwards an unknown model, and returns the upstream's error.", _another_model, 502),
        ("model.any-name",),
    ),
    "model-unknown-unauthorized": (
        refusing("Answers 401 to an unknown model.", _another_model, 401),
        ("model.any-name",),
    ),
    "model-variant-fails": (
        refusing("Fails on a variant of a model.", lambda b: ":" in b["model"], 500),
        ("model.any-name",),
    ),
    "model-two-parts": (_AuthorAndName, ("model.any-name",)),
    "model-empty-fails": (
        refusing("Fails on a model without a name.", lambda b: not b["model"].strip(), 500),
        ("model.any-name",),
    ),
    "model-long-fails": (
        refusing("Fails on a model name of more than 255 characters.", lambda b: len(b["model"]) > 255, 500),
        ("model.any-name",),
    ),
    "model-not-ascii-fails": (
        refusing(
            "Fails on a non-ASCII model name, as it writes the name into a header.",
            lambda b: not b["model"].isascii(),
            500,
        ),
        ("model.any-name",),
    ),
    "model-unknown-ranks-nothing": (
        listing("Returns no results for an unknown model.", lambda rs, b: [] if _another_model(b) else rs),
        ("answer.not-empty",),
    ),
}


# ----- forms of HTTP


def _by_head(what: str, when: Callable[[Mapping[str, str]], object], status: int) -> Server:
    """Make a server that refuses POST by its headers, after it has checked the key."""

    class ByHead(Reference):
        def media_type(self, request: ReferenceRequest) -> None:
            if when(request.headers):
                raise Refusal(status, what)
            super().media_type(request)

    ByHead.__doc__ = what
    return ByHead


class _Streaming(Reference):
    """Sends an event stream to clients that also accept one."""

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        answer = super().respond(request)
        if "text/event-stream" not in request.headers.get("accept", ""):
            return answer
        headers = {**answer.headers, "content-type": "text/event-stream"}
        return answer._replace(headers=headers, body=b"data: " + answer.body + b"\n\n")


def _read_once(size: int) -> Server:
    return hearing(f"Reads only {size} bytes of a body.", lambda r: replace(r, body=r.body[:size]))


_http: dict[str, tuple[Server, tuple[str, ...]]] = {
    "chunked-body-length-required": (
        _by_head("Requires a Content-Length.", lambda h: "transfer-encoding" in h, 411),
        ("transport.chunked-body",),
    ),
    "chunked-body-lost": (
        hearing(
            "Reads a chunked body as empty.",
            lambda r: replace(r, body=b"") if "transfer-encoding" in r.headers else r,
        ),
        ("transport.chunked-body",),
    ),
    "accept-compared": (
        _by_head(
            "Requires application/json in Accept.",
            lambda h: "application/json" not in h.get("accept", ""),
            400,
        ),
        ("transport.accept",),
    ),
    "accept-needed": (
        _by_head("Fails without Accept.", lambda h: "accept" not in h, 500),
        ("transport.accept",),
    ),
    "accept-first-type": (
        _by_head(
            "Compares Accept as a string.",
            lambda h: h.get("accept") not in {"application/json", "*/*", "text/event-stream"},
            406,
        ),
        ("transport.accept",),
    ),
    "accept-streams": (_Streaming, ("answer.content-type", "answer.json")),
    "body-read-once": (_read_once(2**16), ("transport.large-body",)),
    "body-read-a-megabyte": (_read_once(2**20), ("transport.large-body",)),
    "body-large-fails": (
        _by_head("Fails on a large body.", lambda h: int(h.get("content-length", "0")) > 10**6, 500),
        ("transport.large-body",),
    ),
    "header-not-ascii-fails": (
        _by_head("Fails on headers that are not ASCII.", lambda h: not "".join(h.values()).isascii(), 500),
        ("robustness.no-server-error",),
    ),
    "header-long-fails": (
        _by_head("Fails on a long header.", lambda h: max(map(len, h.values())) > 4096, 500),
        ("robustness.no-server-error",),
    ),
    "many-headers-refused": (
        _by_head("Refuses more than fifty headers.", lambda h: len(h) > 50, 431),
        ("transport.long-headers",),
    ),
    "connection-close-fails": (
        _by_head("Fails on Connection: close.", lambda h: h.get("connection") == "close", 500),
        ("transport.connection",),
    ),
    "expect-fails": (
        _by_head("Fails on an Expect header.", lambda h: "expect" in h, 500),
        ("robustness.no-server-error",),
    ),
}


# ----- long lists, batches, images


_Change = Callable[[str, Sequence[str], list[float]], list[float]]


def _in_lists_of(least: int, change: Callable[[list[float]], list[float]]) -> _Change:
    return lambda _, texts, scores: change(scores) if len(texts) >= least else scores


def _padded_to_the_longest(_: str, texts: Sequence[str], scores: list[float]) -> list[float]:
    longest = max(map(len, texts))
    return [score * (0.5 + len(text) / longest / 2) for text, score in zip(texts, scores, strict=True)]


def _last_of_batch(size: int) -> _Change:
    return lambda _, __, scores: [
        score if (place + 1) % size or place + 1 == len(scores) else scores[0]
        for place, score in enumerate(scores)
    ]


class _ImagesSkipped(Reference):
    """Skips documents with images, and gives the scores to the first documents."""

    def texts(self, documents: Any) -> list[str]:
        texts = [_text(d) for d in documents if isinstance(d, str) or "image" not in d]
        return [*texts, *[""] * (len(documents) - len(texts))]


class _ImagesFirstOfTopN(Reference):
    """Ranks only the first `top_n` documents if there are images."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        pictured = any(not isinstance(d, str) and "image" in d for d in body["documents"])
        kept = int(body["top_n"]) if pictured and "top_n" in body else None
        return super().rank({**body, "documents": body["documents"][:kept]})


_places: dict[str, tuple[Server, tuple[str, ...]]] = {
    "long-list-shifted": (
        scoring(
            "Gives each document after the 256th the score of the one before.",
            _in_lists_of(257, lambda s: [*s[:256], s[255], *s[256:-1]]),
        ),
        ("relation.one-score-in-long-lists",),
    ),
    "long-list-wrapped": (
        scoring(
            "Counts documents in one byte.", _in_lists_of(257, lambda s: [s[i % 256] for i in range(len(s))])
        ),
        ("relation.one-score-in-long-lists",),
    ),
    "long-list-unscored-end": (
        scoring(
            "Scores only the first five hundred documents.",
            _in_lists_of(501, lambda s: [*s[:500], *[0.0] * (len(s) - 500)]),
        ),
        ("relation.one-score-in-long-lists",),
    ),
    "long-list-parts-swapped": (
        scoring(
            "Swaps two parts of a long list.",
            _in_lists_of(512, lambda s: [*s[512:], *s[:512]]),
        ),
        ("relation.one-score-in-long-lists",),
    ),
    "long-list-reversed-part": (
        scoring(
            "Reverses the scores of the last part of a list.",
            _in_lists_of(900, lambda s: [*s[:896], *s[896:][::-1]]),
        ),
        ("relation.one-score-in-long-lists",),
    ),
    "long-list-noisy": (
        scoring(
            "Has noise like half precision, and mixes up scores in long lists.",
            lambda _, __, s: [
                x + 1e-3 * math.sin(97 * len(s) + i)
                for i, x in enumerate(s if len(s) < 257 else [*s[1:], s[0]])
            ],
        ),
        ("relation.order-in-long-lists",),
    ),
    "long-list-cut-first": (
        asked(
            "Ranks only the first five hundred documents if top_n is set.",
            lambda b: {**b, "documents": b["documents"][: 500 if "top_n" in b else None]},
        ),
        ("relation.top-n-of-any",),
    ),
    "padded": (
        scoring("Pads texts to the length of the longest, and scores the padding.", _padded_to_the_longest),
        ("relation.padding",),
    ),
    "batch-of-16": (
        scoring(
            "Gives the last document of each sixteen the score of the first document.", _last_of_batch(16)
        ),
        ("relation.one-score",),
    ),
    "batch-of-64": (
        scoring(
            "Gives the last document of each sixty-four the score of the first document.", _last_of_batch(64)
        ),
        ("relation.one-score",),
    ),
    "images-skipped": (_ImagesSkipped, ("relation.images",)),
    "images-first-of-top-n": (_ImagesFirstOfTopN, ("relation.top-n-of-any",)),
}


# ----- texts


def _reading(what: str, read: Callable[[str], str], of: Callable[[str], str] = str) -> Server:
    """Make a server that changes query and texts before ranking, and echoes the originals."""
    return by(what, lambda query, texts: lexical(read(query), [of(text) for text in texts]))


_kinds_of_text: dict[str, tuple[Server, tuple[str, ...]]] = {
    "special-token-fails": (
        failing("Fails on a special token, as tiktoken does.", lambda b: "<|endoftext|>" in str(b), 500),
        ("acceptance.special-tokens",),
    ),
    "special-token-stripped": (
        respelling("Removes special tokens from the echo.", lambda t: t.replace("</s>", "")),
        ("answer.echo-text",),
    ),
    "special-token-ends": (
        respelling("Ends the echo at a special token.", lambda t: t.partition("<|endoftext|>")[0]),
        ("answer.echo-text",),
    ),
    "first-mark-lost": (
        respelling(
            "Removes U+FEFF from the start of the echo, as a byte order mark.",
            lambda t: t.removeprefix("\ufeff"),
        ),
        ("answer.echo-unicode",),
    ),
    "last-mark-lost": (
        respelling(
            "Strips invisible characters from the end of the echo.", lambda t: t.rstrip("\u200b\u200d\ufe0f")
        ),
        ("answer.echo-unicode",),
    ),
    "first-accent-lost": (
        respelling(
            "Strips an accent without a base letter from the start of the echo.", lambda t: t.lstrip("\u0301")
        ),
        ("answer.echo-unicode",),
    ),
    "query-blank-first-fails": (
        failing("Fails on a query that starts with a space.", lambda b: str(b.get("query"))[:1] == " ", 500),
        ("acceptance.query-ends",),
    ),
    "query-first-word": (
        _reading("Reads a query up to its first space.", lambda q: q if q[:1].strip() else ""),
        ("relation.query-ends",),
    ),
    "query-cut-500": (
        _reading("Reads only 500 characters of a query.", lambda q: q[:500]),
        ("relation.read-to-end",),
    ),
    "query-cut-1024": (
        _reading("Reads only 1,024 characters of a query.", lambda q: q[:1024]),
        ("relation.long-read-to-end",),
    ),
    "document-cut-256": (
        _reading("Reads only 256 characters of a document.", str, lambda t: t[:256]),
        ("relation.read-to-end",),
    ),
    "document-cut-3000": (
        _reading("Reads only 3,000 characters of a document.", str, lambda t: t[:3000]),
        ("relation.long-read-to-end",),
    ),
    "session-id-bytes": (
        refusing(
            "Limits a session_id to 256 bytes instead of characters.",
            lambda b: len(b.get("session_id", "").encode()) > 256,
        ),
        ("acceptance.limits-in-characters",),
    ),
    "echo-cut-by-bytes": (
        respelling("Echoes at most 8,000 bytes.", lambda t: t.encode()[:8000].decode("utf-8", "ignore")),
        ("answer.echo-long",),
    ),
}


# ----- state, full batches, and both forms of a document


class _CachedBeforeKeys(Reference):
    """Answers repeated bodies from a cache before it checks the key."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._known: dict[bytes, ReferenceResponse] = {}

    def admit(self, request: ReferenceRequest) -> None:
        """Check the key only if the body is new."""
        if request.body not in self._known:
            super().admit(request)

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        """Store each ranking."""
        answer = super().respond(request)
        if request.method == "POST" and answer.status == 200:
            self._known[request.body] = answer
        return answer


class _RefusalsCached(Reference):
    """Caches the refusal of a wrong key by body, and repeats it for the right key."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._refused: dict[bytes, Refusal] = {}

    def authenticate(self, request: ReferenceRequest) -> None:
        """Store each refusal."""
        if request.body in self._refused:
            raise self._refused[request.body]
        try:
            super().authenticate(request)
        except Refusal as refusal:
            self._refused[request.body] = refusal
            raise


class _ShiftedAfterRefusal(Reference):
    """Shifts the positions by one in the response after a refused request."""

    offset = 0

    def validate(self, value: object) -> Body:
        """Store the offset that a refused request leaves."""
        try:
            return super().validate(value)
        except Refusal:
            self.offset = 1
            raise

    def rank(self, body: Body) -> list[tuple[int, float]]:
        """Add the offset, once."""
        offset, self.offset = self.offset, 0
        count = len(body["documents"])
        return [((index + offset) % count, score) for index, score in super().rank(body)]


class _FailsAfterRefusal(_ShiftedAfterRefusal):
    """Fails once after each refused request, as an index is out of range."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        """Add the offset without a check of the number of documents."""
        if self.offset:
            self.offset = 0
            raise IndexError
        return super().rank(body)


class _FullBatchLost(Reference):
    """Ranks in batches of 32, and loses the last document if the last batch is full."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        """Omit the last document."""
        last = len(scores) - 1 if len(scores) % 32 == 0 else None
        return [ranked for ranked in super().order(scores) if ranked[0] != last]


class _JsonOfObjects(Reference):
    """Ranks the JSON of an object instead of its text."""

    def texts(self, documents: Any) -> list[str]:
        """Write objects as JSON."""
        return [document if isinstance(document, str) else json.dumps(document) for document in documents]


class _SessionRemembered(Reference):
    """Adds the earlier queries of a session to a query, as a chat does."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._earlier: dict[str, str] = {}

    def rank(self, body: Body) -> list[tuple[int, float]]:
        name = body.get("session_id")
        if not name:
            return super().rank(body)
        earlier = self._earlier.setdefault(name, "How does bread rise?")
        return super().rank({**body, "query": f"{earlier} {body['query']}"})


class _FieldsInOrder(Reference):
    """Reads the documents with an empty query if they stand before it."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        names = list(body)
        early = names.index("documents") < names.index("query")
        return super().rank({**body, "query": ""} if early else body)


class _UnknownInPrompt(Reference):
    """Adds unknown fields to the query, as arguments of its model."""

    def rank(self, body: Body) -> list[tuple[int, float]]:
        unknown = {name: value for name, value in body.items() if name[:2] == "x_"}
        return super().rank({**body, "query": body["query"] + json.dumps(unknown)} if unknown else body)


class _WholeObjects(Reference):
    """Ranks the JSON of an object that has unknown fields."""

    def texts(self, documents: Any) -> list[str]:
        return [
            one
            if isinstance(one, str)
            else one.get("text", "")
            if one.keys() <= {"text", "image"}
            else json.dumps(one)
            for one in documents
        ]


def _failing_template(query: str, texts: Sequence[str]) -> Sequence[float]:
    if any("{%" in text for text in texts):
        raise Refusal(500, "TemplateSyntaxError")
    return lexical(query, texts)


_without_part: Mapping[str, tuple[Server, tuple[str, ...]]] = {
    "session-remembered": (_SessionRemembered, ("relation.other-fields",)),
    "fields-in-order": (_FieldsInOrder, ("relation.other-fields",)),
    "unknown-in-prompt": (_UnknownInPrompt, ("relation.other-fields",)),
    "whole-objects": (_WholeObjects, ("relation.other-fields",)),
    "fence-ends": (
        by(
            "Reads a document up to three backquotes, which end it in the prompt.",
            lambda query, texts: lexical(query, [text.partition("```")[0] for text in texts]),
        ),
        ("relation.after-marks",),
    ),
    "query-up-to-nul": (
        by("Reads a query up to a NUL.", lambda query, texts: lexical(query.partition("\0")[0], texts)),
        ("relation.after-marks",),
    ),
    "placeholder-jinja": (
        by(
            "Replaces {{ query }} in a document by the query.",
            lambda query, texts: lexical(query, [text.replace("{{ query }}", query) for text in texts]),
        ),
        ("relation.placeholders",),
    ),
    "placeholder-percent": (
        by(
            "Replaces %(query)s in a document by the query.",
            lambda query, texts: lexical(query, [text.replace("%(query)s", query) for text in texts]),
        ),
        ("relation.placeholders",),
    ),
    "template-fails": (
        by("Fails on a document with a tag of a template.", _failing_template),
        ("acceptance.look-alikes",),
    ),
    "image-cut": (
        echoing(
            "Echoes a thousand characters of an image.",
            lambda document: {
                name: value[:1000] if name == "image" else value for name, value in document.items()
            },
        ),
        ("answer.echo-image",),
    ),
    "keys-refused-in-200": (
        refused_as("Refuses a key with 200 and an error in the body.", 401, 200),
        ("authentication.no-key", "authentication.wrong-key"),
    ),
}


_states: Mapping[str, tuple[Server, tuple[str, ...]]] = {
    **_without_part,
    "cache-before-keys": (_CachedBeforeKeys, ("authentication.no-key", "authentication.wrong-key")),
    "refusals-cached": (_RefusalsCached, ("acceptance.plain",)),
    "shifted-after-refusal": (_ShiftedAfterRefusal, ("relation.after-refusal",)),
    "fails-after-refusal": (_FailsAfterRefusal, ("relation.after-refusal",)),
    "full-batch-lost": (_FullBatchLost, ("answer.complete",)),
    "full-batch-fails": (
        failing(
            "Ranks in batches of 256, and fails if the last batch is empty.",
            lambda b: (
                isinstance(b.get("documents"), list) and len(b["documents"]) % 256 == 0 < len(b["documents"])
            ),
            500,
        ),
        ("robustness.large-request",),
    ),
    "objects-as-json": (_JsonOfObjects, ("relation.document-forms",)),
    "query-of-digits-fails": (
        failing("Fails on a query of digits.", lambda b: str(b.get("query")).isdecimal(), 500),
        ("acceptance.look-alikes",),
    ),
    "query-as-json-fails": (
        refusing("Refuses a query that starts with a brace.", lambda b: b["query"].startswith("{")),
        ("acceptance.look-alikes",),
    ),
    "order-empty-fails": (
        failing(
            "Fails on an empty `provider.order`, as it reads the first entry.",
            lambda b: members(b.get("provider")).get("order") == [],
            500,
        ),
        ("acceptance.provider",),
    ),
}


FIELD_SERVERS: Mapping[str, FieldServer] = MappingProxyType(
    {
        name: FieldServer(*entry)
        for name, entry in {**_wild, **_models, **_http, **_places, **_kinds_of_text, **_states}.items()
    }
)
