"""The handwritten requests of a check, in the order in which they are sent; most serve several rules."""

import base64
import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

from rerank_conformance import contract
from rerank_conformance.derived import requirements, with_field
from rerank_conformance.exchanges import RAW_FORMS, Auth, Phase, Probe

MODEL = "cohere/rerank-v3.5"
QUERY = "What is the capital of France?"
OTHER_QUERY = "How do plants turn light into sugar?"
SAME_LENGTH = "How many strings has a violin?"
"""A query of as many characters as `QUERY`."""
DOCUMENTS = (
    "Berlin is the largest city in Germany.",
    "Bread rises because yeast makes gas.",
    "The capital of France is Paris.",
    "Plants turn light into sugar by photosynthesis.",
    "A violin has four strings.",
    "Mount Everest is the highest mountain.",
)
"""Document 2 answers `QUERY`, and document 3 answers `OTHER_QUERY`."""

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
TEXTS = (
    "007",
    "1.50",
    "-0",
    "1e3",
    "true",
    "null",
    "None",
    "NaN",
    "undefined",
    '{"text": "Paris"}',
    '["Paris", "Lyon"]',
    '"Paris"',
    "C:\\new\\table \\u0041 \\\\",
    "100%% of %s, %d and {0}",
    "wait... -- it's <b>bold</b> &lt;",
    "two  blanks   within",
    "https://example.com/a//b?x=1+2&y=%2B#z",
    "someone@example.com, +1 555 0100 123456789",
    "...",
    "- [x] *list* _item_ `code` |",
)
"""Texts that some servers misread as a number, JSON, a template, markup or an address."""
QUERIES = ("1998", '{"query": "Paris", "top_n": 1}', 'Paris AND (capital OR "city" NOT [Lyon] *:* ~2 ^')
"""Queries that some servers misread as a number, JSON or an expression."""
MARKS = (
    "decomposed: cafe\u0301, \u1112\u1161\u11ab, A\u030a; composed: caf\u00e9, \ud55c, \u00c5",
    "singletons: \u212b \u2126 \u037e \uf900",
    "separators: \u2028 and \u2029 and \u0085 and \u000b and \u000c and \u001c",
    "selectors: \u2764\ufe0f and \u2764\ufe0e, tags \U0001f3f4\U000e0067\U000e007f",
    "letters without a single other case: \u0130 \u0131 \u00df \u1e9e \u03c2 \u01c5",
    "ends: \U0010ffff \U0010fffd \ue000 \ufdd0",
    "\u3000wide at both ends\u3000",
    "joined: \u0644\u200d\u0627 \u0915\u094d\u200c\u0937 \u2060\u00b7\u2061",
)
"""Characters that are lost when texts are normalized, split into lines, or cleaned."""
TOGETHER = (
    "The heart pumps blood through the body.",
    "Rust is iron that has met water and air.",
    "The piano has eighty-eight keys.",
    "Honey never spoils when it is kept sealed.",
    "The moon causes the tides of the sea.",
    "A chess board has sixty-four squares.",
    "Volcanoes bring up molten rock.",
    "The Nile flows north through Egypt.",
)
ASKED = (
    "What pumps blood through the body?",
    "What is iron that has met water and air?",
    "How many keys has the piano?",
    "What never spoils when it is kept sealed?",
    "What causes the tides of the sea?",
    "How many squares has a chess board?",
    "What bring up molten rock?",
    "Which river flows north through Egypt?",
)
"""One query for each of `TOGETHER`."""
_EMPTY: tuple[object, ...] = ("", [], 0, False)
"""Values that are falsy in some languages."""
_ASKING = (
    "Yeast and bread, the strings of a violin, and mountains are what someone knows about who has been to Berlin and to "
    "the largest city of every country on this continent, and who asks a librarian at the end of a long day: "
)
"""The beginning of a long query; it is enough for a ranking by itself."""
_TELLING = (
    "From the notes of a librarian, page twelve, copied by hand and checked twice by two of her friends: "
)
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
JPEG = (
    "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAFA3PEY8MlBGQUZaVVBfeMiCeG5uePWvuZHI////////////////////////////"
    "////////////////////////wAALCAABAAEBAREA/8QAFAABAAAAAAAAAAAAAAAAAAAAA//EABQQAQAAAAAAAAAAAAAAAAAAAAD/2gAIAQEAAD8Ad//Z"
)
OTHER_IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def _with_comment(image: str) -> str:
    """Return a PNG with a comment of many kilobytes."""
    start, _, encoded = image.partition(",")
    png = base64.b64decode(encoded)
    chunk = b"tEXtComment\0" + b"One pixel. " * 800
    text = (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    # a signature of 8 bytes and a header of 25 come first
    return f"{start},{base64.b64encode(png[:33] + text + png[33:]).decode()}"


def smoke(model: str = MODEL) -> Probe:
    """Return the first request: a minimal valid one."""
    return _legal("smoke", "acceptance.plain", _body(model), phase="smoke", quick=True)


def probes(
    model: str = MODEL, *, has_key: bool = True, quick: bool = False, contract_version: str | None = None
) -> list[Probe]:
    """Return every handwritten request after the first one.

    Args:
        model: The model of the requests.
        has_key: True if the check has a key; without one, keys cannot be judged.
        quick: Return only the requests of a quick check.
        contract_version: Return only the requests that judge rules of this version; all if None.
    """
    everything = [
        *_refusals(model),
        *_wrong_types(model),
        *_odd_json(model),
        *(_keys(model) if has_key else ()),
        *_methods(model),
        *_rankings(model),
        *_more_rankings(model),
        *_together(model),
        *_derived(model, contract_version),
        *_model_names(model),
        *_forms_of_http(model),
        *_neighbours(model),
        *_texts(model),
        *_after_a_pause(model),
        *_after_refusals(model),
    ]
    return [
        probe
        for probe in everything
        if (probe.quick or not quick)
        and (contract_version is None or contract.numbers(probe.since) <= contract.numbers(contract_version))
    ]


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

    # only the first request of a quick rule is sent in a quick check
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


def _derived(model: str, contract_version: str | None) -> Iterator[Probe]:
    """Yield the requests of the rules that follow from the contract."""
    by = contract.load(contract_version)
    for one in requirements(contract_version):
        for number, value in enumerate(one.values, 1):
            yield Probe(
                name=f"{one.id.replace('.', '-')}-{number}",
                phase="rank" if one.kind == "acceptance" else "refuse",
                rule=one.id,
                body={**with_field(by, one.path, value), "model": model},
                legal=one.kind == "acceptance",
                since=one.since,
            )


def _nested(body: dict[str, Any], name: str = "documents") -> bytes:
    deep = 20_000
    return json.dumps({**body, name: ["@"]}).replace('"@"', "[" * deep + "]" * deep).encode()


def _wrong_types(model: str) -> Iterator[Probe]:
    """Yield invalid requests that pass a check that stops early, or that is more lenient than JSON Schema."""
    body = _body(model, DOCUMENTS[:2])
    nothing: list[object] = []
    whole = json.dumps(body)
    table: tuple[tuple[str, tuple[object, ...]], ...] = (
        (
            "document-type",
            (
                {**body, "documents": [1, "Paris"]},
                {**body, "documents": ["Paris", nothing]},
                {**body, "documents": [*(f"Note {number}" for number in range(119)), 1]},
            ),
        ),
        ("document-empty-object", ({**body, "documents": ["Paris", {"content": "Paris"}]},)),
        (
            "document-text-type",
            tuple(
                {**body, "documents": ["Paris", wrong]}
                for wrong in ({"text": "Paris", "image": None}, {"text": None, "image": IMAGE})
            ),
        ),
        ("top-n-fraction", ({**body, "top_n": 2.0000001}, {**body, "top_n": 1e-9})),
        ("top-n-text", tuple({**body, "top_n": text} for text in ("2.0", " 2 ", "2 of them", "\u0662"))),
        ("provider-type", tuple({**body, "provider": wrong} for wrong in _EMPTY)),
        ("provider-field-type", ({**body, "provider": {"data_collection": "ALLOW"}},)),
        (
            "malformed-json",
            tuple(
                text.encode()
                for text in (
                    f"{whole}}}",
                    f"{whole} {whole}",
                    whole[:-1] + ', "top_n": NaN}',
                    whole[:-1] + ', "top_n": Infinity}',
                    whole[:-1] + ', "top_n": +2}',
                    whole[:-1] + ', "top_n": 02}',
                    whole[:-1] + ", top_n: 2}",
                )
            ),
        ),
    )
    for rule, bodies in table:
        for number, value in enumerate(bodies, 1):
            yield Probe(
                name=f"refuse-more-{rule}-{number}",
                phase="refuse",
                rule=f"refusal.{rule}",
                body=value,
                legal=False,
                since="1.1.0",
            )
    for number, media_type in enumerate(("multipart/form-data; boundary=x", "application/octet-stream"), 1):
        yield Probe(
            name=f"refuse-more-content-type-{number}",
            phase="refuse",
            rule="refusal.content-type",
            body=body,
            legal=False,
            headers={"Content-Type": media_type},
            since="1.1.0",
        )


def _odd_json(model: str) -> Iterator[Probe]:
    """Yield unusual JSON on which parsers and frameworks fail; a server may accept or refuse it, but must not fail."""
    body = _body(model, DOCUMENTS[:2])
    whole = json.dumps(body)
    texts = (
        whole[:-1] + f', "top_n": {"9" * 5000}}}',
        whole[:-1] + ', "top_n": 1e999}',
        whole[:-1] + ', "x_unknown": [1e999, -1e-999, NaN]}',
        whole[:-1] + ', "top_n": 1, "top_n": 2}',
        whole.replace("Berlin", "\\ud800"),
        whole.replace("France", "\\udfff"),
        whole[:-1] + ', "\\ud800": 1}',
        "\ufeff" + whole,
    )
    for number, sent in enumerate((*(text.encode() for text in texts), _nested(body, "x_unknown")), 1):
        yield Probe(
            name=f"odd-json-{number}",
            phase="refuse",
            rule="robustness.odd-json",
            body=sent,
            since="1.1.0",
        )


def _keys(model: str) -> Iterator[Probe]:
    body = _body(model, DOCUMENTS[:2])
    table: tuple[tuple[str, str, Auth, Any, bool], ...] = (
        ("no-key", "no-key", "none", body, True),
        ("wrong-scheme", "wrong-scheme", "basic", body, True),
        ("bare-key", "wrong-scheme", "bare", body, False),
        ("wrong-key", "wrong-key", "wrong", body, True),
        ("empty-key", "wrong-key", "empty", body, False),
        ("longer-key", "similar-key", "longer", body, False),
        ("shorter-key", "similar-key", "shorter", body, True),
        ("no-key-wrong-body", "before-body", "none", {**body, "documents": []}, True),
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
    similar: tuple[Auth, ...] = ("other-end", "other-case")
    for auth in similar:
        yield Probe(
            name=f"key-{auth}",
            phase="refuse",
            rule="authentication.similar-key",
            body=body,
            auth=auth,
            since="1.1.0",
        )
    yield Probe(
        name="key-no-key-forwarded",
        phase="refuse",
        rule="authentication.no-key",
        body=body,
        auth="none",
        headers={"X-Forwarded-For": "127.0.0.1"},
        since="1.1.0",
    )
    # a cache in front of the key check returns what was ranked with the key
    wrong: tuple[Auth, ...] = ("none", "wrong")
    for auth in wrong:
        name = "no-key" if auth == "none" else "wrong-key"
        yield Probe(
            name=f"key-{name}-ranked",
            phase="refuse",
            rule=f"authentication.{name}",
            body=_body(model),
            auth=auth,
            since="1.1.0",
        )
    # a server may remember the key of an earlier request on the same connection
    yield Probe(
        name="key-no-key-new",
        phase="refuse",
        rule="authentication.no-key",
        body=body,
        auth="none",
        form="new",
        since="1.1.0",
    )
    yield _legal("key-right-after-wrong", "acceptance.plain", body, since="1.1.0")
    for number, path in enumerate(("/rerank/", "/Rerank", "/rerank?stream=false", "/%72erank"), 1):
        yield Probe(
            name=f"key-address-{number}",
            phase="refuse",
            rule="authentication.other-address",
            body=body,
            auth="none",
            path=path,
            quick=number == 1,
            since="1.1.0",
        )


def _methods(model: str) -> Iterator[Probe]:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        yield Probe(
            name=f"method-{method.lower()}",
            phase="refuse",
            rule="method.refused",
            # this body is ranked by a server that does not check the method
            body=_body(model, DOCUMENTS[:2]),
            method=method,
            quick=method == "GET",
        )
    for method in ("HEAD", "OPTIONS", "TRACE", "RERANK"):
        yield Probe(
            name=f"method-{method.lower()}",
            phase="refuse",
            rule="method.any",
            body=_body(model, DOCUMENTS[:2]),
            method=method,
            since="1.1.0",
        )


def _rankings(model: str) -> Iterator[Probe]:  # noqa: PLR0915 - a table, in sentences
    yield _legal("rank-full", "acceptance.plain", _body(model), quick=True)
    for count in (1, 2, 4):
        yield _legal(f"rank-top-{count}", "acceptance.top-n", _body(model, top_n=count), quick=count < 4)
    yield _legal("rank-top-all", "acceptance.top-n", _body(model, top_n=len(DOCUMENTS)))
    yield _legal("rank-top-more", "acceptance.top-n", _body(model, top_n=len(DOCUMENTS) + 1), quick=True)
    yield _legal("rank-top-thousand", "acceptance.top-n", _body(model, top_n=1000))
    yield _legal("rank-top-32-bits", "acceptance.top-n-huge", _body(model, top_n=2**31))
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
    # A server may refuse wrong values of fields of other dialects, so these fields have a rule of their own.
    unknown = _body(model, DOCUMENTS[:3], x_unknown_flag=False, x_unknown_count=512, x_unknown={"a": [None]})
    yield _legal("accept-unknown-fields", "acceptance.unknown-fields", unknown, quick=True)
    titled = [{"text": text, "x_title": "x", "x_id": 7} for text in DOCUMENTS[:3]]
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
    for number, media_type in enumerate(
        ("application/json;charset=UTF-8", 'application/json; charset="utf-8"'), 3
    ):
        headers = {"Content-Type": media_type}
        yield _legal(
            f"accept-charset-{number}", "acceptance.charset", _body(model), headers=headers, since="1.1.0"
        )
    for number, media_type in enumerate(("application/json; charset=utf-8", "Application/JSON"), 1):
        headers = {"Content-Type": media_type}
        yield _legal(f"accept-charset-{number}", "acceptance.charset", _body(model), headers=headers)
    body = _body(model, (*UNICODE[:4], "Paris"))
    turned = json.dumps(dict(reversed(body.items())), ensure_ascii=True, indent=3)
    yield _legal("accept-escapes", "acceptance.escapes", body, sent=f"\r\n\t{turned} \n".encode("ascii"))
    # the ranking is that of `rank-full`
    body = _body(model)
    turned = json.dumps(dict(reversed(body.items())), indent=1)
    sent = turned.replace("France", "\\u0046rance").encode("ascii")
    yield _legal("accept-order-of-fields", "acceptance.escapes", body, sent=sent, since="1.1.0")


def _more_rankings(model: str) -> Iterator[Probe]:
    def legal(name: str, rule: str | None, body: Any, **more: Any) -> Probe:
        return _legal(name, rule, body, since="1.1.0", **more)

    yield legal("rank-texts", "acceptance.look-alikes", _body(model, TEXTS), quick=True)
    yield legal("rank-texts-objects", "acceptance.look-alikes", _body(model, [{"text": t} for t in TEXTS]))
    for number, query in enumerate(QUERIES, 1):
        yield legal(f"rank-texts-query-{number}", "acceptance.look-alikes", _body(model, query=query))
    yield legal("rank-marks", "acceptance.unicode", _body(model, MARKS))
    yield legal("rank-marks-objects", "acceptance.unicode", _body(model, [{"text": t} for t in MARKS]))
    for count in (3, 5):
        yield legal(f"rank-top-{count}", "acceptance.top-n", _body(model, top_n=count))
    objects = [{"text": text} for text in DOCUMENTS]
    yield legal("rank-objects-top", "acceptance.objects", _body(model, objects, top_n=2))
    yield legal(
        "rank-unicode-top", "acceptance.unicode", _body(model, UNICODE, "Où est パリ? \U0001f5fc", top_n=3)
    )
    # the documents of rank-many
    many = [f"Note {number}: {DOCUMENTS[number % 6]}" for number in range(150)]
    yield legal("rank-many-few", "acceptance.many-documents", _body(model, many, top_n=10))
    yield legal("rank-many-reversed", "acceptance.many-documents", _body(model, many[::-1]))
    # one more than a batch of any power of two up to it
    yield legal("rank-odd-one", "acceptance.many-documents", _body(model, many[:129]))
    yield legal(
        "rank-lines", "acceptance.plain", _body(model, ("A violin\nhas\n\nfour strings.", *DOCUMENTS[:4]))
    )
    # the second of each pair is sent after the first is answered, when a server may have cached that answer
    yield legal("rank-query-end-1", "acceptance.plain", _body(model, query=_ASKING + QUERY))
    yield legal(
        "rank-query-end-2", "acceptance.plain", _body(model, query=_ASKING + OTHER_QUERY), phase="alone"
    )
    ends = [_TELLING + DOCUMENTS[place] for place in (4, 1, 2)]
    yield legal("rank-document-end-1", "acceptance.plain", _body(model, ends))
    yield legal("rank-document-end-2", "acceptance.plain", _body(model, ends[::-1]), phase="alone")
    late = [DOCUMENTS[place] for place in (1, 4, 0, 5, 2, 3)]
    yield legal("rank-late-1", "acceptance.plain", _body(model, late))
    yield legal(
        "rank-late-2", "acceptance.plain", _body(model, [*late[:3], late[4], late[3], late[5]]), phase="alone"
    )
    for number, query in enumerate((QUERY, SAME_LENGTH), 1):
        body = _body(model, DOCUMENTS[:5], query)
        yield legal(f"rank-same-length-{number}", "acceptance.plain", body, phase="alone")
    joined = ("The capital of France ", "is Paris. Bread ", "rises because yeast makes gas.")
    yield legal("rank-joined-1", "acceptance.plain", _body(model, joined))
    joined = ("The capital ", "of France is Paris. ", "Bread rises because yeast makes gas.")
    yield legal("rank-joined-2", "acceptance.plain", _body(model, joined), phase="alone")
    mixed = [text if number % 2 else {"text": text} for number, text in enumerate(DOCUMENTS)]
    yield legal("rank-mixed-other", "acceptance.mixed", _body(model, mixed))
    for number, query in enumerate(("", " \t"), 1):
        yield legal(f"rank-blank-query-{number}", "acceptance.blank-query", _body(model, query=query))
    odd: dict[str, Any] = {"x_unknown_null": None, "": 1, "__proto__": {"top_n": 1}}
    yield legal("accept-odd-names", "acceptance.unknown-fields", _body(model, **odd))
    # fields that clients of other dialects send by default, with values that every server of these dialects accepts
    dialects: tuple[dict[str, Any], ...] = (
        {"return_documents": True},
        {"max_tokens_per_doc": 4096},
        {"max_chunks_per_doc": 10, "overlap_tokens": 80},
        {"priority": 0, "truncation": True, "stream": False},
    )
    for number, fields in enumerate(dialects, 1):
        body = _body(model, DOCUMENTS[:3], **fields)
        yield legal(f"accept-dialect-{number}", "acceptance.other-dialects", body)
    deep = {
        "sort": {"by": "price", "x_unknown": 1},
        "max_price": {"request": "100", "x_unknown": 1},
        "preferred_max_latency": {"p50": 100, "x_unknown": 1},
    }
    yield legal("accept-unknown-in-preferences", "acceptance.unknown-fields", _body(model, provider=deep))
    forms = {
        "sort": {"by": None, "partition": "none"},
        "max_price": {"prompt": 100, "request": "100"},
        "preferred_max_latency": {"p50": 100, "p99": None},
        "preferred_min_throughput": 0.5,
    }
    yield legal("accept-provider-forms", "acceptance.provider", _body(model, provider=forms))
    # without an empty `quantizations` or `only`, which would exclude every provider
    empty: dict[str, Any] = {
        "order": [],
        "ignore": [],
        "sort": {},
        "max_price": {},
        "preferred_max_latency": {},
        "options": {},
    }
    yield legal("accept-provider-empties", "acceptance.provider", _body(model, provider=empty))
    yield legal(
        "accept-user", "acceptance.observability", _body(model, user="u" * 128, session_id="", trace={})
    )
    # requests that may be too large for a server; they are last, as they may keep it busy
    large = (
        _body(model, query=QUERY + " France?" * 800),
        _body(model, (LONG * 14, "Bread rises.")),
        _body(model, (*(f"Note {number}" for number in range(1000)), "The capital of France is Paris.")),
    )
    for number, body in enumerate(large, 1):
        yield legal(f"rank-large-{number}", "robustness.large-request", body)


def _together(model: str) -> Iterator[Probe]:
    """Yield the same requests to send concurrently and one after the other."""
    for again in ("", "-again"):
        for number, query in enumerate(ASKED, 1):
            name = f"rank-together-{number}{again}"
            yield _legal(name, "acceptance.plain", _body(model, TOGETHER, query), since="1.1.0")
    for number, query in enumerate(ASKED, 1):
        body = _body(model, TOGETHER, query)
        yield _legal(f"rank-alone-{number}", "acceptance.plain", body, phase="alone", since="1.1.0")


def _model_names(model: str) -> Iterator[Probe]:
    """Yield requests for models that a server need not know; each name is a string, so the request is valid."""
    known = model.partition(":")[0]
    names = (
        "nobody/no-such-reranker",
        f"{known}:free",
        f"{known}:no-such-variant",
        known.rpartition("/")[2],
        known.upper(),
        "",
        " ",
        "nobody/a/b/c:d:e",
        "nobody/" + "r" * 300,
        "nobody/r\u00e9rank \U0001f5fc",
        "../../models",
        "nobody/{x} %s %00 '\"; \n--",
    )
    for number, name in enumerate(names, 1):
        yield _legal(
            f"model-name-{number}",
            "model.any-name",
            _body(name, DOCUMENTS[:3]),
            quick=number == 1,
            since="1.1.0",
        )


_ACCEPTS = (
    "application/json, text/plain, */*",  # axios
    "*/*",  # fetch, curl
    "application/json, text/event-stream",  # clients of streams that also accept JSON
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",  # a browser
    "application/*;q=0.5",
    "",
)
TITLE = "Suche f\u00fcr K\u00f6che \u691c\u7d22"
MEGABYTE = 1_100_000
CLIENTS: tuple[dict[str, str], ...] = (
    {"User-Agent": "python-requests/2.32.3", "Accept-Encoding": "gzip, deflate", "Accept": "*/*"},
    {
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0",
        "Accept-Language": "de-DE,de;q=0.8,en;q=0.5",
        "Cookie": 'session=a1; theme; empty=; quoted="x y"',
        "Cache-Control": "no-cache",
        "Pragma": "no-cache",
    },
    {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "tracestate": "vendor=a:1,other=b",
        "X-Request-Id": "not a uuid",
        "X-Forwarded-For": "203.0.113.7, 198.51.100.2",
        "X-Forwarded-Proto": "https",
        "Via": "1.1 proxy",
    },
    {"If-None-Match": '"x"', "Range": "bytes=0-9", "Priority": "u=1, i", "DNT": "1"},
)
"""Headers of clients, browsers, proxies and tracers that do not change the meaning of a POST."""
_BROWSER = {
    "Origin": "https://search.example.com",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
}


def _forms_of_http(model: str) -> Iterator[Probe]:
    """Yield the request of `rank-full` as different clients send it."""
    body = _body(model)

    def sent(name: str, rule: str, **more: Any) -> Probe:
        return _legal(f"http-{name}", f"transport.{rule}", body, since="1.1.0", **more)

    # JSON allows blanks between tokens, so this body is large and costs nothing to rank
    text = json.dumps(body).encode()
    large, chunked = (text[:-1] + b" " * count + text[-1:] for count in (MEGABYTE, 200_000))
    yield sent("chunked", "chunked-body", form="chunked")
    yield sent("chunked-large", "chunked-body", form="chunked", sent=chunked)
    for number, accepted in enumerate(_ACCEPTS, 1):
        yield sent(f"accept-{number}", "accept", headers={"Accept": accepted})
    yield sent("accept-events", "event-stream", headers={"Accept": "text/event-stream"})
    for number, more in enumerate(CLIENTS, 1):
        yield sent(f"client-{number}", "client-headers", headers=more)
    yield sent("origin", "origin", headers=_BROWSER)
    yield sent("query-string", "query-string", path="/rerank?api-version=2024-05-01&x=")
    yield sent("expect", "expect", headers={"Expect": "100-continue"})
    yield sent("header-bytes", "header-bytes", headers={"X-OpenRouter-Title": TITLE})
    yield sent("long-header", "long-headers", headers={"Baggage": f"key={'v' * 6000}"})
    many = {f"X-Example-{number}": "v" * 50 for number in range(60)}
    yield sent("many-headers", "long-headers", headers=many)
    yield sent("large", "large-body", sent=large)
    yield sent("close", "connection", headers={"Connection": "close"})
    for form in sorted(RAW_FORMS):
        yield sent(form, "connection", form=form)
    yield Probe(
        name="http-compressed",
        phase="refuse",
        rule="transport.compressed-body",
        body=gzip.compress(text, mtime=0),
        headers={"Content-Encoding": "gzip"},
        since="1.1.0",
    )
    yield Probe(
        name="http-no-content-type",
        phase="refuse",
        rule="transport.no-content-type",
        body=body,
        headers={"Content-Type": ""},
        since="1.1.0",
    )


def _after_a_pause(model: str) -> Iterator[Probe]:
    """Yield one request twice, the second time on a connection that was idle for a while."""
    body = _body(model, DOCUMENTS, "Which instrument has strings, and how many?")
    rule = "robustness.after-pause"
    yield _legal("rank-before-pause", rule, body, phase="beside", since="1.1.0")
    yield _legal("rank-after-pause", rule, body, phase="beside", form="after-pause", since="1.1.0")


BEFORE_RANKING = "refuse-before-ranking-"
"""The prefix of requests that `relation.after-refusal` needs and that other rules judge."""


def _after_refusals(model: str) -> Iterator[Probe]:
    """Yield a request to send before and after requests that are refused while they are read."""
    rule = "relation.after-refusal"
    ranked = _body(model, DOCUMENTS, "Which instrument has four strings?")
    nothing: dict[str, Any] = {}
    invalid: dict[str, dict[str, Any]] = {
        "document-type": {**ranked, "documents": [*DOCUMENTS, 1]},
        "top-n-zero": {**ranked, "top_n": 0},
        "document-empty-object": {**ranked, "documents": [*DOCUMENTS, nothing]},
    }
    yield _legal("rank-before-refusals", rule, ranked, phase="alone", since="1.1.0")
    for number, (refusal, body) in enumerate(invalid.items(), 1):
        yield Probe(
            name=f"{BEFORE_RANKING}{number}",
            phase="alone",
            rule=f"refusal.{refusal}",
            body=body,
            legal=False,
            since="1.1.0",
        )
        yield _legal(f"rank-after-refusal-{number}", rule, ranked, phase="alone", since="1.1.0")


def _shuffled(documents: Sequence[Any]) -> list[Any]:
    """Return the documents in an order in which former neighbours are far apart."""
    step = 367  # a prime, so that each position appears once
    return [documents[place * step % len(documents)] for place in range(len(documents))]


def _neighbours(model: str) -> Iterator[Probe]:
    """Yield the same documents in other orders and batches, and beside longer documents and images."""

    def legal(name: str, rule: str, documents: Sequence[Any], *, quick: bool = False, **more: Any) -> Probe:
        return _legal(name, rule, _body(model, documents, **more), quick=quick, since="1.1.0")

    # one more than a batch of any power of two up to it
    batch = [f"Page {number}: {DOCUMENTS[number % 6]}" for number in range(65)]
    yield legal("rank-batches-full", "acceptance.plain", batch[:64])
    more = [f"Leaf {number}: {DOCUMENTS[number % 6]}" for number in range(256)]
    yield legal("rank-batches-full-256", "robustness.large-request", more)
    yield legal("rank-batches", "acceptance.plain", batch)
    yield legal("rank-batches-mixed", "acceptance.plain", _shuffled(batch))
    long = "Copper conducts heat and a lamp gives light. " * 100
    yield legal("rank-beside-long", "acceptance.long-document", [*DOCUMENTS, long])
    yield legal("rank-beside-long-first", "acceptance.long-document", [long, *DOCUMENTS])
    for count in (300, 1000):
        # documents of many lengths, with the words of the query often or not at all, have distinct scores
        notes = [f"Note {n}:{' The capital, France.' * (n % 7)} {DOCUMENTS[n % 6]}" for n in range(count)]
        notes[count - 93] = f"{QUERY} The capital of France is Paris. " * 4  # the best document, near the end
        quick = count < 1000
        yield legal(f"rank-long-{count}", "robustness.large-request", notes, quick=quick)
        mixed = _shuffled(notes)
        yield legal(f"rank-long-{count}-mixed", "robustness.large-request", mixed, quick=quick)
    yield legal("rank-long-1000-top", "robustness.large-request", notes, top_n=20)
    pictured = [
        {"image": IMAGE},
        DOCUMENTS[3],
        DOCUMENTS[2],
        {"text": DOCUMENTS[0], "image": IMAGE},
        {"text": DOCUMENTS[2] + " Paris.", "image": OTHER_IMAGE},
        DOCUMENTS[1],
        {"image": OTHER_IMAGE},
    ]
    yield legal("accept-images-jpeg", "acceptance.images", [{"image": JPEG}, DOCUMENTS[2]])
    yield legal(
        "accept-images-large", "acceptance.images", [{"image": _with_comment(OTHER_IMAGE)}, DOCUMENTS[2]]
    )
    yield legal("rank-images", "acceptance.images", pictured, quick=True)
    yield legal("rank-images-mixed", "acceptance.images", _shuffled(pictured))
    yield legal("rank-images-mixed-top", "acceptance.images", _shuffled(pictured), top_n=2)
    yield legal("rank-images-top", "acceptance.images", pictured, top_n=2)


SPECIAL = (
    "[CLS] Paris [SEP] Lyon [MASK] [PAD] [UNK]",
    "<s>Paris</s> <pad> <unk> <mask> <bos> <eos>",
    "Paris<|endoftext|>",
    "<|im_start|>system\nParis<|im_end|>",
    "<|begin_of_text|>Paris<|eot_id|>",
    "[INST] Paris [/INST] <<SYS>>",
    "##ris \u2581Paris \u0120Paris <0x0A> <extra_id_0>",
)
"""Texts with special tokens of tokenizers."""
_TOKENS = ("<|endoftext|>", "[SEP]", "</s>")
ENDINGS = ("\0", "\x1a", "\u2028", '"""', "```", "</document>", "###")
"""Marks at which texts end in C, in files, in programs and in prompts."""
PLACEHOLDERS = (
    "{query}",
    "{{query}}",
    "{{ query }}",
    "${query}",
    "$query",
    "%(query)s",
    "<query>",
    "{question}",
    "{}",
    "{0}",
)
"""Placeholders of the templates in which servers put a query."""
TEMPLATES = ("{% if x %}", "{# a note", "{{ 1 / 0 }}", "{0.__class__}", "%(x)d", "${", "{:d}", "}")
"""Texts that fail when they are read as a template."""
SCRIPTS = {
    "cyrillic": ("Столица Франции", "Столица Франции — Париж.", "У скрипки четыре струны."),  # noqa: RUF001
    "arabic": ("عاصمة فرنسا", "عاصمة فرنسا هي باريس", "للكمان أربعة أوتار"),
    "greek": (
        "πρωτεύουσα της Γαλλίας",
        "Η πρωτεύουσα της Γαλλίας είναι το Παρίσι",  # noqa: RUF001
        "Το βιολί έχει τέσσερις χορδές",  # noqa: RUF001
    ),
}
"""A query, a document that answers it, and one that does not."""
ENDS = tuple(
    f"{mark}Paris is in France.{mark}"
    for mark in (
        "\ufeff",
        "\u0301",
        "\u200b",
        "\u200d",
        "\u202e",
        "\u0000",
        "\u00a0",
        "\u0085",
        "\ufe0f",
        "\U000e0001",
    )
)
"""A text with a mark at its beginning and its end."""


def _filled(placeholder: str) -> str:
    """Return a text as it is after the query was put in place of its placeholder, with other braces kept."""
    inner = "{query}" if placeholder == "{{query}}" else placeholder
    return placeholder.replace(inner, QUERY)


def _texts(model: str) -> Iterator[Probe]:
    """Yield texts that servers often truncate, clean or count wrongly."""

    def legal(name: str, rule: str, body: Any, **more: Any) -> Probe:
        return _legal(name, rule, body, since="1.1.0", **more)

    yield legal("rank-special", "acceptance.special-tokens", _body(model, (*SPECIAL, *DOCUMENTS[:3])))
    for number, token in enumerate(("<|endoftext|>", "[SEP]", "</s>"), 1):
        body = _body(model, query=f"{QUERY} {token}")
        yield legal(f"rank-special-query-{number}", "acceptance.special-tokens", body)
    yield legal("rank-ends", "acceptance.unicode", _body(model, ENDS))
    for number, query in enumerate((f"  {QUERY}", f"{QUERY}\n", f"\t\n {QUERY} \r\n"), 1):
        yield legal(f"rank-query-blanks-{number}", "acceptance.query-ends", _body(model, query=query))
    for number, mark in enumerate(("\ufeff", "\u00a0", "\u200b"), 1):
        body = _body(model, query=f"{mark}{QUERY}{mark}")
        yield legal(f"rank-query-marks-{number}", "acceptance.query-ends", body)
    for number, sign in enumerate(("\u00e9", "\u691c"), 1):
        body = _body(model, session_id=sign * 256)
        yield legal(f"accept-characters-{number}", "acceptance.limits-in-characters", body)
    wide = _body(model, session_id="\U0001f5fc" * 256)
    yield legal("accept-code-points", "acceptance.limits-in-code-points", wide)
    longer = _body(model, DOCUMENTS[:2], session_id="\u00e9" * 257)
    yield Probe(
        name="refuse-more-session-id-1",
        phase="refuse",
        rule="refusal.session-id",
        body=longer,
        legal=False,
        since="1.1.0",
    )
    yield legal(
        "rank-long-wide",
        "acceptance.long-document",
        _body(model, ["\u30d1\u30ea\u306f\u90fd" * 1000, *DOCUMENTS[:2]]),
    )
    lines = [f"{first}{end}" for first in ("A note.\n\n", "A note.\r\n") for end in (*DOCUMENTS[2:5:2],)]
    yield legal("rank-line-ends", "acceptance.plain", _body(model, [*lines, DOCUMENTS[1]]))
    behind = [f"A note {token} {end}" for token in _TOKENS for end in (*DOCUMENTS[2:5:2],)]
    yield legal("rank-after-special", "acceptance.special-tokens", _body(model, [*behind, DOCUMENTS[1]]))
    for number, query in enumerate((QUERY, OTHER_QUERY), 1):
        body = _body(model, query=f"One of two questions:\n\n{query}")
        yield legal(f"rank-query-line-{number}", "acceptance.plain", body)
        body = _body(model, query=f"{' '.join(_TOKENS)} {query}")
        yield legal(f"rank-query-special-{number}", "acceptance.special-tokens", body)
        body = _body(model, query=f"One of two questions: {' '.join(ENDINGS)} {query}")
        yield legal(f"rank-query-marks-end-{number}", "acceptance.unicode", body)
    behind = [f"A note {mark} {end}" for mark in ENDINGS for end in (*DOCUMENTS[2:5:2],)]
    yield legal("rank-after-marks", "acceptance.unicode", _body(model, [*behind, DOCUMENTS[1]]))
    filled = [text for one in PLACEHOLDERS for text in (f"Note: {one}", f"Note: {_filled(one)}")]
    yield legal("rank-placeholders", "acceptance.look-alikes", _body(model, [*filled, *TEMPLATES]))
    for name, (query, *texts) in SCRIPTS.items():
        yield legal(f"rank-script-{name}", "acceptance.unicode", _body(model, texts, query))
    yield legal("rank-unicode-query", "acceptance.unicode", _body(model, query=" ".join(UNICODE[2:])))
    filling = "A lamp gives light and copper conducts heat. " * 100
    for length in (300, 700, 1800, 4000):
        rule = "acceptance.long-document"
        ends = (f" {QUERY} The capital of France is Paris." * 3, " A violin has four strings." * 6)
        texts = [filling[: length - 50] + end for end in ends]
        yield legal(f"rank-document-{length}", rule, _body(model, [*texts, DOCUMENTS[1]]))
        # the filling is about light and heat, which no document answers better than the others
        for number, query in enumerate((QUERY, OTHER_QUERY), 1):
            body = _body(model, query=_ASKING + filling[: length - 250] + query)
            phase: Phase = "alone" if number == 2 else "rank"
            own = "acceptance.plain" if length < 1000 else "robustness.large-request"
            quick = length == 700
            yield legal(f"rank-query-{length}-{number}", own, body, phase=phase, quick=quick)
