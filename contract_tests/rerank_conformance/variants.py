"""Unusual servers that conform to the contract: no MUST rule may fail on one."""

import gzip
import itertools
import json
import math
import random
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

from rerank_conformance.altered import (
    Server,
    answering,
    billing,
    each,
    erring,
    failures,
    refused_as,
    refusing,
    scoring,
    sending,
)
from rerank_conformance.reference import Reference, ReferenceRequest, ReferenceResponse, Refusal
from rerank_conformance.reference.server import Body


class _CompatibleVariant(Reference):
    """Adds the fields that other vendors' clients require."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **{**named, "compat": True})


class _TiesReversed(Reference):
    """Sorts the later document first if scores are equal."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return sorted(enumerate(scores), key=lambda ranked: (-ranked[1], -ranked[0]))


class _TiesShuffled(Reference):
    """Sorts equal scores in random order."""

    def order(self, scores: Sequence[float]) -> list[tuple[int, float]]:
        return sorted(enumerate(scores), key=lambda ranked: (-ranked[1], random.random()))  # noqa: S311 - no secret


class _TenthsShuffled(_TiesShuffled):
    """Rounds scores to tenths, and sorts ties in random order."""

    def scores(self, query: str, texts: Sequence[str]) -> list[float]:
        return [round(score, 1) for score in super().scores(query, texts)]


class _Redirecting(Reference):
    """Redirects a path that ends with a slash before it checks the key."""

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        if request.path.endswith("/rerank/"):
            return ReferenceResponse(307, {"location": request.path.rstrip("/")}, b"")
        return super().respond(request)


class _FewerThanTopN(Reference):
    """Returns one document less than `top_n`, but at least one."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        return ranked if top_n is None else ranked[: max(1, int(top_n) - 1)]


class _LenientJSON(Reference):
    """Reads JSON as Python does: the last of duplicate names counts, and NaN is a number."""

    def parse(self, body: bytes) -> object:
        try:
            return cast("object", json.loads(body.decode()))
        except (ValueError, RecursionError) as error:
            raise Refusal(400, "The body is not JSON") from error


class _Preflight(Reference):
    """Answers OPTIONS for browsers, without a key."""

    def admit(self, request: ReferenceRequest) -> None:
        if request.method != "OPTIONS":
            super().admit(request)

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        if request.method == "OPTIONS":
            return ReferenceResponse(
                204, {"access-control-allow-origin": "*", "access-control-allow-methods": "POST"}, b""
            )
        return super().respond(request)


class _Compressed(Reference):
    """Compresses for clients that accept it."""

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        answer = super().respond(request)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return answer
        headers = {**answer.headers, "content-encoding": "gzip"}
        return ReferenceResponse(answer.status, headers, gzip.compress(answer.body))


class _Throttled(Reference):
    """Refuses every fortieth request with 429 and Retry-After: 0."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._count = itertools.count(1)

    def admit(self, request: ReferenceRequest) -> None:
        if next(self._count) % 40 == 0:
            raise Refusal(429, "Rate limit exceeded", {"retry-after": "0"})
        super().admit(request)


class _Overloaded(_Throttled):
    """Refuses every fortieth request with 503 and Retry-After: 0."""

    def admit(self, request: ReferenceRequest) -> None:
        try:
            super().admit(request)
        except Refusal as refusal:
            if refusal.status != 429:
                raise
            raise Refusal(503, "Overloaded", refusal.headers) from refusal


class _BadGateway(_Throttled):
    """Answers every fortieth request with 502, as a gateway may."""

    status = 502

    def admit(self, request: ReferenceRequest) -> None:
        try:
            super().admit(request)
        except Refusal as refusal:
            if refusal.status != 429:
                raise
            raise Refusal(self.status, "The upstream did not answer in time") from refusal


class _GatewayTimeout(_BadGateway):
    """Answers every fortieth request with 524."""

    status = 524


class _FailsInPassing(_BadGateway):
    """Answers every fortieth request with 500, and ranks it when it is sent again."""

    status = 500


class _LateErrors(_Throttled):
    """Answers every fortieth request with 200 and an error in place of results: a provider failed late."""

    def respond(self, request: ReferenceRequest) -> ReferenceResponse:
        try:
            return super().respond(request)
        except Refusal as refusal:
            if refusal.status != 429:
                raise
            return self.encode(200, self.envelope(502, "The provider failed after it had started"))


class _HalvesEchoed(Reference):
    """Accepts a lone surrogate, and echoes it as an escape."""

    def parse(self, body: bytes) -> object:
        try:
            return super().parse(body)
        except Refusal as refusal:
            if "surrogate" not in refusal.message:
                raise
            return cast("object", json.loads(body.decode()))

    def encode(self, status: int, payload: Body, headers: Any = None) -> ReferenceResponse:
        text = json.dumps(payload)
        return super().encode(status, {}, headers)._replace(body=text.encode())


def _listwise(scores: list[float]) -> list[float]:
    weights = [math.exp(4 * score) for score in scores]
    return [weight / sum(weights) for weight in weights]


def _by_rank(scores: list[float]) -> list[float]:
    best = sorted(range(len(scores)), key=lambda index: -scores[index])
    return [1 / (1 + best.index(index)) for index in range(len(scores))]


def _stretched(scores: list[float]) -> list[float]:
    least, most = min(scores), max(scores)
    return [(score - least) / ((most - least) or 1) for score in scores]


def _noise(most: float, scores: list[float]) -> list[float]:
    return [score + random.uniform(-most, most) for score in scores]  # noqa: S311 - no secret


def _sigmoid(score: float) -> float:
    return 1 / (1 + math.exp(-score))


def _without(body: Body, *names: str) -> Body:
    return {name: value for name, value in body.items() if name not in names}


def _more(body: Body) -> Body:
    return {**body, "x_new": {"in": [1, None, "version 9"]}}


def _more_everywhere(answer: Body) -> Body:
    results = [_more({**result, "document": _more(result["document"])}) for result in answer["results"]]
    return _more({**answer, "results": results, "usage": _more(answer["usage"])})


def _rewritten(what: str, **how: Any) -> Server:
    """Return a server whose JSON is written differently and means the same."""
    return sending(
        what, lambda answer: answer._replace(body=json.dumps(json.loads(answer.body), **how).encode())
    )


VARIANTS: Mapping[str, Server] = MappingProxyType(
    {
        # scores
        "logits": scoring(
            "Scores with positive and negative logits.", lambda _, __, s: [20 * x - 10 for x in s]
        ),
        "negative": scoring("Scores only below 0.", lambda _, __, s: [x - 2 for x in s]),
        "double-sigmoid": scoring(
            "Applies a sigmoid twice.", lambda _, __, s: [_sigmoid(_sigmoid(x)) for x in s]
        ),
        "tiny": scoring(
            "Scores between 0 and 1e-9, in exponent form.", lambda _, __, s: [x * 1e-9 for x in s]
        ),
        "huge": scoring("Scores up to 1e9.", lambda _, __, s: [x * 1e9 for x in s]),
        "coarse": scoring(
            "Rounds scores to tenths, with many ties.", lambda _, __, s: [round(x, 1) for x in s]
        ),
        "whole": each(
            "Writes scores as integers up to 100.",
            lambda r: {**r, "relevance_score": round(100 * r["relevance_score"])},
        ),
        "ties-reversed": _TiesReversed,
        "ties-shuffled": _TiesShuffled,
        "jitter-1e-7": scoring("Has noise of 1e-7, new in each answer.", lambda _, __, s: _noise(1e-7, s)),
        "noise-1e-3": scoring(
            "Has noise of 1e-3, like half precision on a GPU.", lambda _, __, s: _noise(1e-3, s)
        ),
        "listwise": scoring("Scores with a softmax over the documents.", lambda _, __, s: _listwise(s)),
        "listwise-neighbours": scoring(
            "Changes scores a little by the neighbouring documents.",
            lambda _, __, s: [x + 0.05 * s[i - 1] - 0.02 * s[(i + 1) % len(s)] for i, x in enumerate(s)],
        ),
        "two-grades": scoring("Scores only 0 or 1.", lambda _, __, s: [float(x > 0.2) for x in s]),
        "by-rank": scoring("Scores only by rank.", lambda _, __, s: _by_rank(s)),
        "best-is-one": scoring("Scales the scores of each list to 0 to 1.", lambda _, __, s: _stretched(s)),
        "batches": scoring(
            "Scales the scores of each batch of 64 documents to 0 to 1.",
            lambda _, __, s: [score for i in range(0, len(s), 64) for score in _stretched(s[i : i + 64])],
        ),
        "two-stages": scoring(
            "Ranks long lists in two stages.",
            lambda _, __, s: s if len(s) <= 100 else [x if x >= sorted(s)[-25] else x / 10 for x in s],
        ),
        "later-lower": scoring(
            "Lowers each score by a thousandth of its position.",
            lambda _, __, s: [x - i / 1000 for i, x in enumerate(s)],
        ),
        "tenths-shuffled": _TenthsShuffled,
        "index-real": each("Writes integers as 2.0.", lambda r: {**r, "index": float(r["index"])}),
        # fields omitted and added
        "bare": answering("Omits optional fields.", lambda a, _: _without(a, "id", "provider", "usage")),
        "usage-empty": billing("Sends an empty usage.", lambda _: {}),
        "usage-tokens": billing("Bills only by token.", lambda u: _without(u, "search_units", "cost")),
        "usage-search-units": billing("Bills only by search.", lambda u: _without(u, "total_tokens", "cost")),
        "usage-cost-small": billing("Bills 3.4e-7 dollars.", lambda u: {**u, "cost": 3.4e-7}),
        "extra-fields": answering("Adds unknown fields everywhere.", lambda a, _: _more_everywhere(a)),
        "compat": _CompatibleVariant,
        "renamed-model": answering(
            "Names the upstream's model.", lambda a, _: {**a, "model": "rerank-2.5-lite"}
        ),
        "model-empty": answering(
            "Sends an empty model and provider.", lambda a, _: {**a, "model": "", "provider": ""}
        ),
        "id-constant": answering(
            "Has the same id in every answer.", lambda a, _: {**a, "id": "gen-rerank-0"}
        ),
        "errors-extended": erring(
            "Adds fields to its errors.",
            lambda _, e: {
                **e,
                "user_id": "user_1",
                "error": {**e["error"], "metadata": {"provider_name": None, "raw": "{}"}},
            },
        ),
        "headers-bare": failures(
            "Sends errors with only the content type as a header.",
            lambda a: a._replace(headers={"content-type": a.headers["content-type"]}),
        ),
        # spelling
        "charset": sending(
            "Sends the content type with capitals and a charset.",
            lambda a: a._replace(headers={**a.headers, "content-type": "Application/JSON; charset=utf-8"}),
        ),
        "ascii": _rewritten("Escapes what is not ASCII."),
        "indented": _rewritten("Indents its JSON.", indent=4, ensure_ascii=False),
        "sorted-names": _rewritten("Sorts the names in its JSON.", sort_keys=True),
        "trailing-newline": sending(
            "Ends responses with a line break.", lambda a: a._replace(body=a.body + b"\r\n")
        ),
        "compressed": _Compressed,
        # what is refused
        "text-only": refusing(
            "Refuses images, as its model reads only text.",
            lambda b: any(
                not isinstance(document, str) and "image" in document for document in b["documents"]
            ),
        ),
        "images-not-found": refusing(
            "Answers 404 to images.",
            lambda b: any(
                not isinstance(document, str) and "image" in document for document in b["documents"]
            ),
            404,
        ),
        "one-model": refusing(
            "Answers 404 to all models but one.", lambda b: b["model"] != "cohere/rerank-v3.5", 404
        ),
        "thousand-documents": refusing(
            "Refuses more than a thousand documents.", lambda b: len(b["documents"]) > 1000
        ),
        "two-hundred-documents": refusing(
            "Refuses more than two hundred documents.", lambda b: len(b["documents"]) > 200, 413
        ),
        "short-documents": refusing(
            "Refuses texts that are too long for its model.",
            lambda b: len(b["query"]) > 2000 or any(len(str(d)) > 20_000 for d in b["documents"]),
        ),
        "query-of-words": refusing("Refuses a blank query.", lambda b: not b["query"].strip()),
        "slash-redirected": _Redirecting,
        "fewer-than-top-n": _FewerThanTopN,
        "other-method-404": refused_as("Answers 404 to other methods.", 405, 404),
        "preflight": _Preflight,
        "lenient-json": _LenientJSON,
        # transient errors
        "throttled": _Throttled,
        "overloaded": _Overloaded,
        "gateway-502": _BadGateway,
        "gateway-524": _GatewayTimeout,
        "fails-in-passing": _FailsInPassing,
        "late-errors": _LateErrors,
        "halves-echoed": _HalvesEchoed,
        "wide-logits": scoring(
            "Scores from 0 to 300, with noise of 0.05.",
            lambda _, __, s: _noise(0.05, [300 * x for x in s]),
        ),
        "narrow": scoring(
            "Scores mostly by a hash of the text, and by relevance within a millionth.",
            lambda _, texts, s: [
                0.5 + zlib.crc32(text.encode()) % 1000 / 1e5 + x / 1e6
                for text, x in zip(texts, s, strict=True)
            ],
        ),
    }
)
"""Factories of legal servers by name; each docstring describes the difference."""
