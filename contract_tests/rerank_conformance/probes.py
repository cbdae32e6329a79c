"""The requests that are sent, written by hand, in the order in which they are sent; one serves many rules."""

import json
from collections.abc import Iterator
from typing import Any

from rerank_conformance import contract
from rerank_conformance.exchanges import Auth, Phase, Probe

MODEL = "cohere/rerank-v3.5"
QUERY = "What is the capital of France?"
OTHER_QUERY = "How do plants turn light into sugar?"
DOCUMENTS = (
    "Berlin is the largest city in Germany.",
    "Bread rises because yeast makes gas.",
    "The capital of France is Paris.",
    "Plants turn light into sugar by photosynthesis.",
    "A violin has four strings.",
    "Mount Everest is the highest mountain.",
)
"""Document 2 answers the one query, document 3 the other."""

BLANKS = ("Paris is in France.", "", "Lyon is in France.", " ", "\n\t ", "The capital of France is Paris.")
IDENTICAL = (
    "The capital of France is Paris.",
    "Bread rises because yeast makes gas.",
    "The capital of France is Paris.",
    "A violin has four strings.",
    "Bread rises because yeast makes gas.",
    "The capital of France is Paris.",
)
UNICODE = (
    "パリはフランスの首都です。",
    "Столица Франции — Париж.",
    "عاصمة فرنسا هي باريس",
    "emoji \U0001f5fc\U0001f468\u200d\U0001f469\u200d\U0001f467 and \U00020bb7",
    "composed é and decomposed é, ﬁ, ①, ﬀ",
    "nul \x00 bell \x07 escape \x1b delete \x7f",
    "zero\u200bwidth, soft\u00adhyphen, bom \ufeff, rtl \u202e mark, line separator",
    'quotes " \' \\ / </script> &amp; %20 {{x}} ${y}',
    "tab\tnewline\nreturn\r\nend",
    "noncharacter \uffff and private ",
)  # fmt: skip
SPACED = ("  two before", "two after  ", "\n a line around \n", "\ttab", "no-break \u00a0", "none of it")
LONG = "Paris is the capital of France. " * 149 + "Lyon is not."
_WRONG_PREFERENCES: tuple[dict[str, Any], ...] = (
    {"allow_fallbacks": "yes"},
    {"order": "cohere"},
    {"order": [1]},
    {"data_collection": "maybe"},
    {"zdr": 1},
    {"max_price": 1},
    {"preferred_max_latency": "1"},
    {"options": []},
)
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def smoke(model: str = MODEL) -> Probe:
    """The first request: one that nobody can have anything against."""
    return _legal("smoke", "acceptance.plain", _body(model), phase="smoke", quick=True)


def probes(model: str = MODEL, *, has_key: bool = True, quick: bool = False) -> list[Probe]:
    """Every request that is written by hand, after the first one.

    Args:
        model: The model that is asked for.
        has_key: Whether there is a key: without one, nothing can be said of keys.
        quick: Only those that matter most.
    """
    everything = [*_refusals(model), *(_keys(model) if has_key else ()), *_methods(model), *_rankings(model)]
    return [probe for probe in everything if probe.quick or not quick]


def _body(model: str, documents: Any = DOCUMENTS, query: str = QUERY, **more: Any) -> dict[str, Any]:
    return {"model": model, "query": query, "documents": list(documents), **more}


def _legal(
    name: str, rule: str | None, body: Any, *, phase: Phase = "rank", quick: bool = False, **more: Any
) -> Probe:
    return Probe(name=name, phase=phase, rule=rule, body=body, legal=True, quick=quick, **more)


def _refusals(model: str) -> Iterator[Probe]:
    body = _body(model, DOCUMENTS[:2])

    def without(name: str) -> dict[str, Any]:
        return {key: value for key, value in body.items() if key != name}

    def document(value: object) -> dict[str, Any]:
        return {**body, "documents": ["Paris", value]}

    # the first of each rule is quick, if the rule is
    table: tuple[tuple[str, bool, tuple[object, ...]], ...] = (
        ("documents-missing", True, (without("documents"),)),
        ("documents-empty", True, ({**body, "documents": []},)),
        ("documents-type", True, tuple({**body, "documents": v} for v in ("Paris", None, {"0": "Paris"}, 1, {"text": "Paris"}))),
        ("document-type", True, tuple(map(document, (1, None, True, ["Paris"], 1.5)))),
        ("document-empty-object", True, tuple(map(document, ({}, {"title": "Paris"})))),
        ("document-text-type", False, tuple(map(document, ({"text": 1}, {"text": None}, {"text": ["Paris"]}, {"image": 1}, {"image": {"url": IMAGE}})))),
        ("query-missing", True, (without("query"),)),
        ("query-type", True, tuple({**body, "query": v} for v in (1, None, ["Paris"], {"text": "Paris"}, True))),
        ("model-missing", True, (without("model"),)),
        ("model-type", False, tuple({**body, "model": v} for v in (1, None, [model], {"id": model}, False))),
        ("top-n-zero", True, ({**body, "top_n": 0},)),
        ("top-n-negative", True, tuple({**body, "top_n": v} for v in (-1, -(2**31)))),
        ("top-n-fraction", True, tuple({**body, "top_n": v} for v in (1.5, 0.5, 2.999))),
        ("top-n-text", True, tuple({**body, "top_n": v} for v in ("2", "", "two"))),
        ("top-n-boolean", True, tuple({**body, "top_n": v} for v in (True, False))),
        ("top-n-null", True, ({**body, "top_n": None},)),
        ("top-n-type", False, tuple({**body, "top_n": v} for v in ([1], {"n": 1}))),
        ("provider-type", False, tuple({**body, "provider": v} for v in ("cohere", ["cohere"], 1, True))),
        ("provider-field-type", False, tuple({**body, "provider": v} for v in _WRONG_PREFERENCES)),
        ("session-id", False, tuple({**body, "session_id": v} for v in (1, None, "s" * 257))),
        ("user-type", False, tuple({**body, "user": v} for v in (1, None))),
        ("trace-type", False, tuple({**body, "trace": v} for v in ("x", ["x"], {"trace_id": 1}))),
        ("malformed-json", True, (b'{"model": "m", "query": ', b"model=m&query=q", b'{"model": "m", "query": "q", "documents": ["a"],}')),
        ("not-utf-8", False, (json.dumps(body).replace("Berlin", "B\u00e9rlin").encode("latin-1"),)),
        ("empty-body", False, (b"",)),
        ("not-an-object", True, (json.dumps([body]).encode(), b'"text"', b"1", b"null")),
        ("deep-nesting", False, (_nested(body),)),
    )  # fmt: skip
    for rule, quick, bodies in table:
        for number, value in enumerate(bodies):
            name = f"refuse-{rule}" + (f"-{number + 1}" if number else "")
            yield Probe(
                name=name,
                phase="refuse",
                rule=f"refusal.{rule}",
                body=value,
                legal=False,
                quick=quick and not number,
            )
    for number, (media_type, quick) in enumerate(
        (("text/plain", True), ("application/x-www-form-urlencoded", False), ("application/xml", False)), 1
    ):
        yield Probe(
            name=f"refuse-content-type-{number}",
            phase="refuse",
            rule="refusal.content-type",
            body=body,
            legal=False,
            headers={"Content-Type": media_type},
            quick=quick,
        )


def _nested(body: dict[str, Any]) -> bytes:
    deep = 20_000
    return json.dumps({**body, "documents": ["@"]}).replace('"@"', "[" * deep + "]" * deep).encode()


def _keys(model: str) -> Iterator[Probe]:
    body = _body(model, DOCUMENTS[:2])
    table: tuple[tuple[str, str, Auth, Any, bool], ...] = (
        ("no-key", "no-key", "none", body, True),
        ("wrong-scheme", "wrong-scheme", "basic", body, True),
        ("bare-key", "wrong-scheme", "bare", body, False),
        ("wrong-key", "wrong-key", "wrong", body, True),
        ("empty-key", "wrong-key", "empty", body, False),
        ("longer-key", "similar-key", "longer", body, False),
        ("shorter-key", "similar-key", "shorter", body, False),
        ("no-key-wrong-body", "before-body", "none", {**body, "documents": []}, False),
        ("wrong-key-no-json", "before-body", "wrong", b"{", False),
    )
    for name, rule, auth, value, quick in table:
        yield Probe(
            name=f"key-{name}",
            phase="refuse",
            rule=f"authentication.{rule}",
            body=value,
            auth=auth,
            quick=quick,
        )
    yield _legal("key-scheme-case", "authentication.scheme-case", _body(model), auth="lower-case")


def _methods(model: str) -> Iterator[Probe]:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        yield Probe(
            name=f"method-{method.lower()}",
            phase="refuse",
            rule="method.refused",
            # what would be ranked if the method were not looked at
            body=_body(model, DOCUMENTS[:2]),
            method=method,
            quick=method == "GET",
        )


def _rankings(model: str) -> Iterator[Probe]:  # noqa: PLR0915 - a table, in sentences
    yield _legal("rank-full", "acceptance.plain", _body(model), quick=True)
    for count in (1, 2, 4):
        yield _legal(f"rank-top-{count}", "acceptance.top-n", _body(model, top_n=count), quick=count < 4)
    yield _legal("rank-top-all", "acceptance.top-n", _body(model, top_n=len(DOCUMENTS)))
    yield _legal("rank-top-more", "acceptance.top-n", _body(model, top_n=len(DOCUMENTS) + 1), quick=True)
    yield _legal("rank-top-thousand", "acceptance.top-n", _body(model, top_n=1000))
    yield _legal("rank-top-32-bits", "acceptance.top-n", _body(model, top_n=2**31))
    yield _legal("rank-top-integral", "acceptance.top-n-integral", _body(model, top_n=2.0))
    yield _legal("rank-top-huge", "acceptance.top-n-huge", _body(model, top_n=2**70))
    yield _legal("rank-again", "acceptance.plain", _body(model), quick=True)
    yield _legal("rank-other-query", "acceptance.plain", _body(model, query=OTHER_QUERY), quick=True)
    yield _legal("rank-reversed", "acceptance.plain", _body(model, DOCUMENTS[::-1]), quick=True)
    yield _legal("rank-added", "acceptance.plain", _body(model, (*DOCUMENTS, "Copper conducts heat.")))
    yield _legal("rank-one", "acceptance.plain", _body(model, DOCUMENTS[2:3]), quick=True)
    yield _legal("rank-identical", "acceptance.plain", _body(model, IDENTICAL), quick=True)
    yield _legal("rank-identical-top", "acceptance.top-n", _body(model, IDENTICAL, top_n=2))
    yield _legal("rank-blanks", "acceptance.blank-documents", _body(model, BLANKS), quick=True)
    yield _legal("rank-blank-alone", "acceptance.blank-documents", _body(model, [""]))
    yield _legal("rank-all-blank", "acceptance.blank-documents", _body(model, ["", " ", "\u3000"]))
    objects = [{"text": text} for text in BLANKS]
    yield _legal("rank-blank-objects", "acceptance.blank-documents", _body(model, objects))
    yield _legal("rank-spaced", "acceptance.plain", _body(model, SPACED))
    yield _legal(
        "rank-unicode", "acceptance.unicode", _body(model, UNICODE, "Où est パリ? \U0001f5fc"), quick=True
    )
    yield _legal(
        "rank-unicode-objects", "acceptance.unicode", _body(model, [{"text": text} for text in UNICODE])
    )
    yield _legal(
        "rank-long", "acceptance.long-document", _body(model, ("Bread rises.", LONG, "Lyon is a city."))
    )
    many = [f"Note {number}: {DOCUMENTS[number % 6]}" for number in range(150)]
    yield _legal("rank-many", "acceptance.many-documents", _body(model, many), quick=True)
    yield _legal("rank-many-top", "acceptance.many-documents", _body(model, many, top_n=120))
    yield _legal("rank-hundred-and-one", "acceptance.many-documents", _body(model, many[:101]))
    yield _legal(
        "accept-objects",
        "acceptance.objects",
        _body(model, [{"text": text} for text in DOCUMENTS]),
        quick=True,
    )
    mixed = [{"text": text} if number % 2 else text for number, text in enumerate(DOCUMENTS)]
    yield _legal("accept-mixed", "acceptance.mixed", _body(model, mixed), quick=True)
    yield _legal("accept-mixed-top", "acceptance.mixed", _body(model, mixed, top_n=2))
    images = [{"image": IMAGE}, {"text": "A red pixel", "image": IMAGE}, "The Eiffel Tower"]
    yield _legal("accept-images", "acceptance.images", _body(model, images))
    unknown = _body(
        model, DOCUMENTS[:3], return_documents=False, max_tokens_per_doc=512, x_unknown={"a": [None]}
    )
    yield _legal("accept-unknown-fields", "acceptance.unknown-fields", unknown, quick=True)
    titled = [{"text": text, "title": "x", "id": 7} for text in DOCUMENTS[:3]]
    yield _legal("accept-unknown-in-document", "acceptance.unknown-fields", _body(model, titled))
    preferences = {"allow_fallbacks": True, "x_unknown": 1}
    yield _legal(
        "accept-unknown-in-provider", "acceptance.unknown-fields", _body(model, provider=preferences)
    )
    yield _legal("accept-provider-null", "acceptance.provider-null", _body(model, provider=None), quick=True)
    yield _legal("accept-provider-empty", "acceptance.provider", _body(model, provider={}))
    nulls = dict.fromkeys(("allow_fallbacks", "require_parameters", "data_collection", "zdr", "order", "only", "ignore", "quantizations", "sort", "preferred_max_latency", "preferred_min_throughput"))  # fmt: skip
    yield _legal("accept-provider-nulls", "acceptance.provider", _body(model, provider=nulls))
    some = {
        "allow_fallbacks": True,
        "data_collection": "allow",
        "ignore": ["nobody"],
        "sort": "price",
        "options": {"nobody": {"x": 1}},
    }
    yield _legal("accept-provider", "acceptance.provider", _body(model, provider=some))
    traced = _body(
        model, session_id="s" * 256, user="user-1042", trace={"trace_id": "t", "experiment": ["b"]}
    )
    yield _legal("accept-observability", "acceptance.observability", traced)
    named = {
        "HTTP-Referer": "https://search.example.com",
        "X-OpenRouter-Title": "Example",
        "X-OpenRouter-Categories": "productivity,unheard-of",
    }
    yield _legal("accept-attribution", "acceptance.attribution", _body(model), headers=named)
    for number, media_type in enumerate(("application/json; charset=utf-8", "Application/JSON"), 1):
        headers = {"Content-Type": media_type}
        yield _legal(f"accept-charset-{number}", "acceptance.charset", _body(model), headers=headers)
    body = _body(model, (*UNICODE[:4], "Paris"))
    turned = json.dumps(dict(reversed(body.items())), ensure_ascii=True, indent=3)
    yield _legal("accept-escapes", "acceptance.escapes", body, sent=f"\r\n\t{turned} \n".encode("ascii"))


def is_legal(body: object) -> bool:
    """Whether the contract allows the body."""
    return contract.load().request.violation(body) is None
