"""Each dialect carries what it can, refuses the rest, and keeps what the facade promises."""

from __future__ import annotations

import itertools
import json
import logging
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import httpx
import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import openrouter_rerank.options
from driving import settings
from openrouter_rerank import (
    AuthenticationError,
    BadRequestError,
    Document,
    InsufficientCreditsError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    Reranker,
    RerankError,
    Retries,
    ServerError,
)
from openrouter_rerank.bulk.cache import MemoryCache
from openrouter_rerank.bulk.job import BadBatch, Batch
from openrouter_rerank.cli import batch
from openrouter_rerank.cli.app import app
from openrouter_rerank.core import compose, rerank, send_one
from openrouter_rerank.dialects import codec, other_dialect
from openrouter_rerank.errors import class_of
from openrouter_rerank.operations import Parallel
from openrouter_rerank.testing import Request, Script, answer, serving
from openrouter_rerank_api.dialects import DIALECTS as ALL
from openrouter_rerank_api.dialects import PATHS, REQUESTS, SUMMARIES
from openrouter_rerank_api.options import WIRE_TYPES
from shells import KEY, Shell
from vendors import DIALECTS, VENDORS, handler, script

BASE = "http://server.example"
MODEL = {"tei": None}
"""The model to pass to a dialect; "m" for those that are not here."""
CANONICAL = {
    "provider": {"order": ["Cohere"]},
    "session_id": "s",
    "user": "u",
    "trace": {"trace_name": "t"},
}
VALUES: dict[str, Any] = {
    "instruction": "by place",
    "max_chunks_per_doc": 2,
    "max_doc_length": 10,
    "max_tokens_per_doc": 10,
    "max_tokens_per_query": 10,
    "overlap_tokens": 2,
    "priority": 2,
    "raw_scores": True,
    "truncate": True,
    "truncate_prompt_tokens": 10,
    "truncation": False,
    "truncation_direction": "Left",
    "truncation_side": "left",
    "use_activation": False,
}
"""A value for each field that only dialects have."""


def model(name: str) -> str | None:
    """Return the model that a test asks a dialect for."""
    return MODEL.get(name, "m")


def reranker(name: str, **settings: Any) -> Reranker:
    """Return a reranker whose server speaks the dialect."""
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS[name])))
    return Reranker(
        **{"dialect": name, "base_url": BASE, "model": model(name), "http_client": client, **settings}
    )


# ------------------------------------------------------------------------------------------------------ laws of codecs

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
documents = st.lists(
    texts | texts.map(lambda text: {"text": text}) | texts.map(lambda text: Document(text=text)),
    min_size=1,
    max_size=9,
)


@pytest.mark.parametrize("name", DIALECTS)
@given(query=texts, given_documents=documents, top_n=st.none() | st.integers(1, 2**70))
def test_identity(name: str, query: str, given_documents: list[Any], top_n: int | None) -> None:
    """What a server ranks by is what was asked for, and its ranking comes back as it gave it."""
    one = codec(name)
    fields = {"query": query, "documents": given_documents, "top_n": top_n, "model": model(name)}
    wire = json.loads(msgspec.json.encode(one.encode(fields)))

    plain = [
        each if isinstance(each, str) else getattr(each, "text", None) or each["text"]
        for each in given_documents
    ]
    assert wire["query"] == query
    assert wire[one.documents] == plain
    assert wire.get("model") == model(name)
    assert None not in wire.values()
    if one.top_n is not None:
        assert wire.get(one.top_n) == (None if top_n is None else min(top_n, len(plain)))
    status, body, headers = VENDORS[name](wire)
    assert status == 200
    answer = one.decode(headers, body)
    assert answer is not None
    ranked = [(result["index"], result["relevance_score"]) for result in answer["results"]]
    every = [(place, (place + 1) / 4 - 2) for place in reversed(range(len(plain)))]
    cut = None if top_n is None or one.top_n is None else top_n
    assert ranked == every[:cut]
    assert any(answer["usage"].get(unit) for unit in ("total_tokens", "search_units"))


@pytest.mark.parametrize("name", DIALECTS)
@given(chosen=st.sets(st.sampled_from([*CANONICAL, *VALUES, "model"])))
def test_nothing_is_dropped(name: str, chosen: set[str]) -> None:
    """A field is sent as it was given, or refused with the names of the field and the dialect."""
    one = codec(name)
    asked = {field: {**CANONICAL, **VALUES, "model": "m"}[field] for field in sorted(chosen)}
    fields = {
        "query": "q",
        "documents": ["a"],
        **({"model": "m"} if one.model == "required" else {}),
        **asked,
    }
    refused = [field for field in asked if one.wire_name(field) is None]
    if not refused:
        wire = one.encode(fields)
        assert {field: wire[field] for field in asked} == asked
        return
    with pytest.raises(
        ValueError, match=rf"^({'|'.join(refused)}): the dialect '{name}' has no such field"
    ) as caught:
        one.encode(fields)
    assert "leave it out" in str(caught.value)


def test_the_tables_of_this_file_are_complete() -> None:
    """Each field that only dialects have is tried, and each dialect has a server."""
    assert VALUES.keys() == SUMMARIES.keys() == openrouter_rerank.options.CALL & SUMMARIES.keys()
    assert {"model", "top_n", *CANONICAL} == set(WIRE_TYPES)
    assert set(VENDORS) == set(ALL)
    assert [codec(name).name for name in ALL] == list(ALL)


@pytest.mark.parametrize("provider", [None, {}])
def test_no_preference_of_a_provider(provider: Any) -> None:
    """A provider without a preference asks for nothing, so that nothing is lost."""
    sent = codec("tei").encode({"query": "q", "documents": ["a"], "provider": provider})
    assert sent == {"query": "q", "texts": ["a"]}


@pytest.mark.parametrize(
    ("name", "given_model", "sent"),
    [
        ("cohere-v2", "cohere/rerank-v3.5", "rerank-v3.5"),
        ("cohere-v2", "rerank-v3.5", "rerank-v3.5"),
        ("voyage", "voyageai/rerank-2.5", "rerank-2.5"),
        ("jina", "BAAI/bge-reranker-v2-m3", "BAAI/bge-reranker-v2-m3"),
    ],
)
def test_the_prefix_of_a_model(name: str, given_model: str, sent: str) -> None:
    """The vendor's own name before a model, as gateways have it, is not sent to the vendor."""
    assert codec(name).encode({"query": "q", "documents": ["a"], "model": given_model})["model"] == sent


@pytest.mark.parametrize(
    ("name", "document", "sent"),
    [
        ("jina", {"image": "https://images.example/1.png"}, {"image": "https://images.example/1.png"}),
        ("jina", {"text": "a", "image": "https://images.example/1.png"}, "a text or an image, not both"),
        ("tei", {"image": "https://images.example/1.png"}, "'tei' does not accept images"),
        ("voyage", {"text": "a", "image": "https://images.example/1.png"}, "'voyage' does not accept images"),
        ("voyage", "", "Voyage refuses an empty text; pass blank='skip'"),
        ("voyage", msgspec.Raw(b'""'), "Voyage refuses an empty text; pass blank='skip'"),
        ("voyage", " ", " "),
        ("cohere-v2", "", ""),
        ("tei", {}, ""),
    ],
)
def test_documents(name: str, document: Any, sent: Any) -> None:
    """A document is sent as the dialect has it, or refused by its number."""
    one = codec(name)
    fields = {"query": "q", "documents": ["a", document], "model": model(name)}
    if isinstance(sent, str) and " " in sent.strip():
        with pytest.raises(ValueError, match=f"^document 1: .*{sent}"):
            one.encode(fields)
        return
    assert one.encode(fields)[one.documents] == ["a", sent]


# ---------------------------------------------------------------------------------------------------------- answers

ANSWERS: list[tuple[str, Any, dict[str, Any] | None]] = [
    (
        "cohere-v2",
        {
            "id": "1",
            "results": [{"index": 0, "relevance_score": 0.7}],
            "meta": {"billed_units": {"search_units": 1.0}},
        },
        {"id": "1", "results": [{"index": 0, "relevance_score": 0.7}], "usage": {"search_units": 1}},
    ),
    (
        "cohere-v2",
        {"results": [], "meta": {"billed_units": {"search_units": 1.5}, "tokens": {"input_tokens": 1}}},
        {"results": [], "usage": {"total_tokens": 1}},
    ),
    (
        "jina",
        {
            "object": "rerank",
            "results": [{"relevance_score": 0.9, "index": 0, "document": "a"}],
            "model": "served",
        },
        {"model": "served", "results": [{"index": 0, "relevance_score": 0.9, "document": {"text": "a"}}]},
    ),
    (
        "jina",
        {
            "results": [{"index": 0, "document": {"text": "a", "multi_modal": None}, "score": 0.5}],
            "usage": {"total_tokens": 4},
        },
        {
            "results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}],
            "usage": {"total_tokens": 4},
        },
    ),
    (
        "jina",
        {"results": [], "tokens": {"input_tokens": 3, "output_tokens": 1}},
        {"results": [], "usage": {"total_tokens": 4}},
    ),
    (
        "jina",
        {"results": [], "meta": {"tokens": {"input_tokens": 3}}},
        {"results": [], "usage": {"total_tokens": 3}},
    ),
    ("jina", {"results": [], "model": "/models/random.gguf"}, {"results": []}),
    (
        "jina",
        [{"score": 0.9, "document": "a", "index": 0, "meta_info": {"id": "x"}}],
        {"results": [{"index": 0, "relevance_score": 0.9, "document": {"text": "a"}}]},
    ),
    ("cohere-v2", [{"index": 0, "relevance_score": 0.9}], None),
    ("jina", {"results": None}, None),
    (
        "jina",
        {"results": [{"index": 0, "relevance_score": 1, "document": None}, 7]},
        {"results": [{"index": 0, "relevance_score": 1}, 7]},
    ),
    (
        "tei",
        [{"index": 0, "score": -3.5, "text": "a"}],
        {"results": [{"index": 0, "relevance_score": -3.5, "document": {"text": "a"}}]},
    ),
    ("tei", {"results": []}, None),
    (
        "voyage",
        {"data": [{"index": 0, "relevance_score": 0.5, "document": "a"}]},
        {"results": [{"index": 0, "relevance_score": 0.5, "document": {"text": "a"}}]},
    ),
    ("voyage", {"results": []}, None),
]


@pytest.mark.parametrize(("name", "body", "expected"), ANSWERS, ids=lambda value: str(value)[:40])
def test_decode(name: str, body: Any, expected: Any) -> None:
    """An answer in each form that servers have becomes the canonical one; what has no results is none."""
    assert codec(name).decode({}, body) == expected


@pytest.mark.parametrize("header", ["11", "x", "-1", "", None])
def test_the_tokens_of_a_header(header: str | None) -> None:
    """TEI's tokens are read where they are digits."""
    headers = {} if header is None else {"x-compute-tokens": header}
    answer = codec("tei").decode(headers, [])
    assert answer is not None
    assert answer.get("usage") == ({"total_tokens": 11} if header == "11" else None)


# ----------------------------------------------------------------------------------------------------------- errors

ERRORS: list[tuple[str, int, Any, type[RerankError], str, str | None]] = [
    (
        "cohere-v2",
        422,
        {"id": "44558cc5", "message": "unknown field: parameter 'top_k' is not a valid field."},
        BadRequestError,
        "unknown field: parameter 'top_k'",
        None,
    ),
    ("cohere-v2", 401, {"message": "no api key supplied"}, AuthenticationError, "no api key supplied", None),
    (
        "cohere-v2",
        498,
        {"message": "blocked input: deny-listed token"},
        BadRequestError,
        "deny-listed token",
        None,
    ),
    (
        "cohere-v2",
        402,
        {"message": "Please add or update your payment method"},
        InsufficientCreditsError,
        "payment method",
        None,
    ),
    (
        "jina",
        401,
        {"detail": "Invalid API key.", "code": "AUTH_INVALID_API_KEY", "request_id": "r1"},
        AuthenticationError,
        "Invalid API key",
        "AUTH_INVALID_API_KEY",
    ),
    (
        "jina",
        403,
        {"detail": "Account balance not enough", "code": "AUTHZ_INSUFFICIENT_BALANCE"},
        InsufficientCreditsError,
        "balance not enough",
        "AUTHZ_INSUFFICIENT_BALANCE",
    ),
    (
        "jina",
        400,
        {
            "error": {
                "code": 400,
                "message": '"documents" must be a non-empty string array',
                "type": "invalid_request_error",
            }
        },
        BadRequestError,
        "non-empty string array",
        "invalid_request_error",
    ),
    (
        "jina",
        401,
        {"error": {"message": "Invalid API Key", "type": "authentication_error", "code": 401}},
        AuthenticationError,
        "Invalid API Key",
        "authentication_error",
    ),
    (
        "jina",
        400,
        {
            "error": {
                "message": "1 validation error",
                "type": "Bad Request",
                "param": "body.documents",
                "code": 400,
            }
        },
        BadRequestError,
        "1 validation error",
        "Bad Request",
    ),
    ("jina", 401, {"error": "Unauthorized"}, AuthenticationError, "Unauthorized", None),
    (
        "jina",
        422,
        {
            "detail": [
                {
                    "type": "greater_than",
                    "loc": ["body", "top_n"],
                    "msg": "Input should be greater than 0",
                    "input": 0,
                }
            ]
        },
        BadRequestError,
        "body.top_n: Input should be greater than 0",
        None,
    ),
    (
        "jina",
        400,
        {"code": 20012, "message": "Model does not exist.", "data": None},
        BadRequestError,
        "Model does not exist",
        None,
    ),
    (
        "jina",
        400,
        {"object": "error", "message": "Documents cannot be empty", "type": "BadRequestError", "code": 400},
        BadRequestError,
        "Documents cannot be empty",
        "BadRequestError",
    ),
    ("jina", 401, "Api key is invalid", AuthenticationError, "Api key is invalid", None),
    ("jina", 429, {"message": "TPM limit reached.", "data": None}, RateLimitError, "TPM limit reached", None),
    (
        "tei",
        400,
        {"error": "`texts` cannot be empty", "error_type": "Empty"},
        BadRequestError,
        "`texts` cannot be empty",
        "Empty",
    ),
    (
        "tei",
        422,
        b"Failed to deserialize the JSON body into the target type: missing field `texts` at line 1",
        BadRequestError,
        "missing field `texts`",
        None,
    ),
    (
        "tei",
        424,
        {"error": "Backend error: no classifier", "error_type": "Backend"},
        BadRequestError,
        "Backend error",
        "Backend",
    ),
    (
        "tei",
        429,
        {"error": "Model is overloaded", "error_type": "Overloaded"},
        RateLimitError,
        "Model is overloaded",
        "Overloaded",
    ),
    ("tei", 401, b"", AuthenticationError, "unauthorized", None),
    (
        "voyage",
        400,
        {"detail": "Argument 'instruction' is not supported by our API"},
        BadRequestError,
        "'instruction' is not supported",
        None,
    ),
    ("voyage", 401, {"detail": "Unauthorized"}, AuthenticationError, "Unauthorized", None),
    (
        "voyage",
        502,
        b"<html><title>bad gateway</title></html>",
        ServerError,
        "an HTML page titled 'bad gateway'",
        None,
    ),
]


@pytest.mark.parametrize(
    ("name", "status", "content", "kind", "says", "error_type"), ERRORS, ids=lambda value: str(value)[:40]
)
def test_errors(
    name: str, status: int, content: Any, kind: type[RerankError], says: str, error_type: str | None
) -> None:
    """Each vendor's error becomes one class, with the vendor's message, status and kind, and the key nowhere."""
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(status, content=body)))
    settings = {"api_key": KEY, "retries": Retries(attempts=1), "http_client": client}
    with reranker(name, **settings) as made, pytest.raises(RerankError) as caught:
        made.rerank("q", ["a"])

    error: Any = caught.value
    assert type(error) is kind
    assert says in error.message
    assert error.status == status
    assert error.error_type == error_type
    assert error.code == (402 if error_type == "AUTHZ_INSUFFICIENT_BALANCE" else status)
    assert "dialect" not in error.message
    assert "OPENROUTER" not in error.message
    assert (
        error.request_id
        == {"44558cc5": "44558cc5"}.get(dict(content).get("id", ""), dict(content).get("request_id"))
        if isinstance(content, dict)
        else True
    )


ERROR_FORMS: dict[str, tuple[Callable[[str], Any], ...]] = {
    "cohere-v2": (lambda text: {"message": text}, lambda text: {"id": "i", "message": text}),
    "jina": (
        lambda text: {"detail": text, "code": "ANY"},
        lambda text: {"detail": [{"loc": ["body", "query"], "msg": text, "type": "x"}]},
        lambda text: {"error": {"message": text, "type": "x", "code": 400}},
        lambda text: {"error": text},
        lambda text: {"code": 20012, "message": text, "data": None},
        lambda text: text,
    ),
    "tei": (lambda text: {"error": text, "error_type": "Validation"}, lambda text: text),
    "voyage": (lambda text: {"detail": text},),
}
"""The forms of an error of each dialect, by its message."""


@pytest.mark.parametrize("name", DIALECTS)
@given(
    message=st.from_regex(r"[a-z]{1,20}( [a-z]{1,20}){0,3}", fullmatch=True),
    status=st.sampled_from([400, 401, 402, 403, 408, 422, 429, 500, 503]),
    form=st.integers(0, 5),
    is_json=st.booleans(),
)
def test_an_error_is_one_class(name: str, message: str, status: int, form: int, is_json: bool) -> None:
    """Each form of an error is the class of its status, and has the vendor's message."""
    forms = ERROR_FORMS[name]
    body = forms[form % len(forms)](message)
    if isinstance(body, str) and not is_json:
        reply = httpx.Response(status, text=body)
    else:
        reply = httpx.Response(status, json=body)
    client = httpx.Client(transport=httpx.MockTransport(lambda _: reply))
    with (
        reranker(name, http_client=client, retries=Retries(attempts=1)) as made,
        pytest.raises(RerankError) as caught,
    ):
        made.rerank("q", ["a"])
    assert type(caught.value) is class_of(status)
    assert f": {message}" in caught.value.message


def test_the_id_of_an_error() -> None:
    """Cohere's id of an error is that of the request, also by its header."""
    replies = iter(
        [
            httpx.Response(400, json={"id": "of-body", "message": "invalid request: x"}),
            httpx.Response(
                400, json={"message": "invalid request: x"}, headers={"x-debug-trace-id": "of-header"}
            ),
        ]
    )
    client = httpx.Client(transport=httpx.MockTransport(lambda _: next(replies)))
    with reranker("cohere-v2", http_client=client) as made:
        for expected in ("of-body", "of-header"):
            with pytest.raises(BadRequestError) as caught:
                made.rerank("q", ["a"])
            assert caught.value.request_id == expected


# ------------------------------------------------------------------------------------------------------------ hints


@pytest.mark.parametrize(("told", "spoken"), list(itertools.permutations(ALL, 2)))
def test_the_wrong_dialect(told: str, spoken: str) -> None:
    """A server that speaks another dialect ranks all the same, or the error names the dialect to pass."""
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS[spoken])))
    settings = {
        "api_key": KEY,
        "dialect": told,
        "base_url": BASE,
        "http_client": client,
        "model": model(told),
    }
    with Reranker(**settings) as made:
        try:
            ranking = made.rerank("q", ["a", "b", "c"], top_n=2)
        except RerankError as error:
            assert f"pass dialect={spoken!r}" in error.message
            assert "report it" not in error.message
            assert pickle.loads(pickle.dumps(error)).dialect == spoken
        else:
            assert ranking.indices == [2, 1]
            assert {told, spoken} <= {"openrouter", "cohere-v2", "jina"}


def sglang(request: httpx.Request) -> httpx.Response:
    """Answer as SGLang: it wants `documents`, and answers the list itself."""
    documents = json.loads(request.content).get("documents")
    if documents is None:
        error = {"object": "error", "message": "documents: Field required", "type": "BadRequestError"}
        return httpx.Response(400, json={**error, "param": None, "code": 400})
    rows = [
        {"score": float(place), "document": text, "index": place, "meta_info": {"id": "x"}}
        for place, text in reversed(list(enumerate(documents)))
    ]
    return httpx.Response(200, json=rows)


@pytest.mark.parametrize("told", ALL)
def test_a_request_of_one_form_and_an_answer_of_another(told: str) -> None:
    """SGLang, which mixes two forms, ranks with one dialect, to which the errors of all others lead."""
    client = httpx.Client(transport=httpx.MockTransport(sglang))
    with Reranker(
        "k", dialect=cast("Any", told), base_url=BASE, http_client=client, model=model(told)
    ) as made:
        if told == "jina":
            ranking = made.rerank("q", ["a", "b", "c"], top_n=2)
            assert (ranking.indices, ranking.scores) == ([2, 1], [2.0, 1.0])
            return
        with pytest.raises(RerankError, match="pass dialect='jina'") as caught:
            made.rerank("q", ["a", "b", "c"])
    assert cast("Any", caught.value).dialect == "jina"


@pytest.mark.parametrize("name", ALL)
def test_the_right_dialect(name: str) -> None:
    """What a server of a dialect says is of its dialect alone; of anything else nothing is said."""
    wire = {"query": "q", "documents": ["a"], "texts": ["a"], "model": "m"}
    alone = {"tei": {"texts"}, "openrouter": {"documents"}}.get(name, {"documents"})
    request = {key: value for key, value in wire.items() if key in {"query", "model", *alone}}
    status, body, _ = VENDORS[name](request)
    assert status == 200
    assert [one for one in ALL if codec(one).looks_like(body)] == [name]
    assert other_dialect(name, body) is None
    for nothing in (
        None,
        5,
        "",
        [],
        {},
        {"detail": "Not Found"},
        {"message": "Forbidden"},
        {"error": "M"},
        {"results": None},
    ):
        assert other_dialect(name, nothing) is None


RECOGNIZED: dict[str | None, list[object]] = {
    "openrouter": [
        {"results": [], "provider": "p"},
        {"results": [], "usage": {"cost": 0}},
        {"error": {"code": 400, "message": "m"}},
    ],
    "cohere-v2": [
        {"results": [], "meta": {"api_version": {"version": "2"}}},
        {"results": [], "meta": {"billed_units": {"search_units": 1}}},
        {"message": "no api key supplied"},
        {"message": "m", "id": "1"},
    ],
    "jina": [
        {"results": []},
        {"results": [], "model": "m", "meta": {"api_version": None}},
        *({"detail": "m", name: "x"} for name in ("code", "request_id", "errors")),
        {"detail": "voyage", "code": "x"},
        {"detail": [{"loc": ["body"], "msg": "m"}]},
        {"error": {"code": 400, "message": "m", "type": "x"}},
        {"code": 1, "message": "m", "data": None},
    ],
    "tei": [
        [{"index": 0, "score": 0.5}],
        {"error": "m", "error_type": "Validation"},
        "missing field `texts` at line 1",
    ],
    "voyage": [
        {"data": [{"index": 0, "relevance_score": 0.5}]},
        {"detail": "Provided API key is invalid"},
    ],
    None: [
        {"results": {}, "provider": "p"},
        {"results": [], "meta": {"billed_units": {"search_units": 1}}, "usage": {}},
        {"results": [], "meta": {"billed_units": {"search_units": 1}}, "model": "m"},
        {"error": {"code": 400}},
        {"error": {"code": "400", "message": "m"}},
        {"error": {"code": 400, "message": "m", "param": None}},
        {"error": {"type": "x"}},
        {"message": "m"},
        {"message": "cohere", "code": 1},
        {"detail": [{"loc": ["body"]}]},
        {"detail": [{"msg": "m"}]},
        {"code": 1, "message": "m"},
        [{"index": 0}],
        [{"score": 0.5}],
        {"error": "m", "error_type": "x"},
        {"error_type": "Validation"},
        {"data": []},
        {"data": [{"index": 0}]},
        {"data": [{"relevance_score": 0.5}]},
    ],
}
"""Bodies that one dialect alone recognizes; and the nearest to them that none does."""


@pytest.mark.parametrize(
    ("name", "body"), [(name, body) for name, bodies in RECOGNIZED.items() for body in bodies]
)
def test_what_a_dialect_is_recognized_by(name: str | None, body: object) -> None:
    """Each mark of a dialect is enough, and half of one is not."""
    assert [one for one in ALL if codec(one).looks_like(body)] == ([] if name is None else [name])


def test_an_unknown_dialect() -> None:
    """A misspelt dialect is refused with the names of all, and the nearest."""
    for name, close in (
        ("cohere", "cohere-v2"),
        ("TEI", "tei"),
        ("Voyage", "voyage"),
        ("vLLM", "jina"),
        ("llama.cpp", "jina"),
        ("huggingface", "tei"),
    ):
        expected = rf"dialect must be one of 'openrouter', .*, not '{name}'; did you mean '{close}'\?"
        with pytest.raises(ValueError, match=expected):
            Reranker(KEY, dialect=name)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"not 7$"):
        Reranker(KEY, dialect=7)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "bad", [{"index": 0, "relevance_score": None}, {"index": "0", "relevance_score": 0.5}, 7]
)
@pytest.mark.parametrize("name", ["openrouter", "cohere-v2"])
def test_no_dialect_reads_a_bad_result(name: str, bad: object) -> None:
    """Where the results are read alike in both dialects, neither is recommended; a score by another name is a hint."""
    assert other_dialect(name, {"model": "m", "results": [bad]}) is None
    assert other_dialect(name, {"model": "m", "results": [{"index": 0, "score": 0.5}]}) == codec("jina")


def test_the_fields_of_a_refusal() -> None:
    """Jina's list of wrong fields is in the message."""
    problems = [{"field": "top_n", "message": "too small", "input": 0, "type": "x"}, {"field": "query"}, 7]
    told = codec("jina").error(422, {"detail": "Validation error", "errors": problems})
    assert told.message == "Validation error (top_n: too small)"


@pytest.mark.parametrize(
    ("answers", "found"), [([499, 200], [0]), ([499] * 3, RequestTimeoutError), ([498], BadRequestError)]
)
def test_a_request_that_cohere_cancelled(answers: list[int], found: Any) -> None:
    """A 499 may pass, and a 498 does not."""
    sent: list[httpx.Request] = []
    ranked = {"results": [{"index": 0, "relevance_score": 0.5}]}

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        status = answers[len(sent) - 1]
        return httpx.Response(status, json=ranked if status == 200 else {"message": "cancelled"})

    client = httpx.Client(transport=httpx.MockTransport(handle))
    with reranker("cohere-v2", http_client=client, retries=Retries(first_wait=0)) as made:
        try:
            assert made.rerank("q", ["a"]).indices == found
        except RerankError as error:
            assert type(error) is found
            assert error.message.startswith(f"{answers[-1]} from")
    assert len(sent) == len(answers)


def test_a_redirect(monkeypatch: pytest.MonkeyPatch) -> None:
    """The base URL to set is found by the path of the dialect's own operation."""
    monkeypatch.setitem(cast("dict[str, str]", PATHS), "voyage", "/order")
    moved = httpx.Response(307, headers={"Location": "http://new.example/v1/order"})
    client = httpx.Client(transport=httpx.MockTransport(lambda _: moved))
    with reranker("voyage", http_client=client) as made, pytest.raises(RerankError) as caught:
        made.rerank("q", ["a"])
    assert "set base_url to http://new.example/v1/order" in caught.value.message


def test_the_title_is_the_status_of_the_answer() -> None:
    """An account without credits is a 403 at Jina, and the message says so; its class is that of a 402."""
    body = {"detail": "Account balance not enough", "code": "AUTHZ_INSUFFICIENT_BALANCE"}
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(403, json=body)))
    with reranker("jina", http_client=client) as made, pytest.raises(InsufficientCreditsError) as caught:
        made.rerank("q", ["a"])
    assert caught.value.message.startswith("403 Forbidden from")


# ------------------------------------------------------------------------------------------------------------ clients


@pytest.mark.parametrize("name", DIALECTS)
def test_a_call(any_shell: Shell, name: str) -> None:
    """A call over a socket returns the caller's own objects, best first, with usage and logits as they came."""
    own = [{"id": 1, "text": "a"}, {"id": 2, "text": "b"}, {"id": 3, "text": "c"}]
    with serving(script(VENDORS[name])) as server:
        settings = {"api_key": "", "dialect": name, "base_url": server.url, "model": model(name)}
        with any_shell.open(**settings) as rerank:
            ranking = rerank("q", own, key="text", top_n=2)

    assert [hit.document for hit in ranking] == [own[2], own[1]]
    assert ranking.documents[0] is own[2]
    assert ranking.scores == [-1.25, -1.5]
    assert ranking.unranked == ()
    assert any([ranking.usage.total_tokens, ranking.usage.search_units])
    [request] = server.requests
    assert request.target == "/api/v1/rerank"
    assert request.headers.get("authorization") is None
    assert ranking.response.results[0].document.text == "c"
    assert pickle.loads(pickle.dumps(ranking)).response.results[1].document.text == "b"


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("where", ["client", "call"])
@pytest.mark.parametrize("field", CANONICAL)
def test_what_it_cannot_carry(name: str, where: str, field: str) -> None:
    """A wish that a dialect cannot carry is refused before anything is sent, as a default too."""
    sent: list[httpx.Request] = []
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS[name], sent)))
    option = {field: CANONICAL[field]}
    with pytest.raises(ValueError, match=f"^{field}: the dialect '{name}' has no such field"):
        if where == "client":
            reranker(name, http_client=client, **option)
        else:
            reranker(name, http_client=client).rerank("q", ["a"], **option)
    assert sent == []


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("argument", ["app_title", "app_referer", "app_categories"])
def test_attribution(name: str, argument: str) -> None:
    """OpenRouter's headers of an application go to nobody else."""
    with pytest.raises(ValueError, match=f"^{argument}: the dialect '{name}' has no such header"):
        reranker(name, **{argument: "x"})


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("field", sorted(VALUES))
def test_fields_of_dialects(name: str, field: str) -> None:
    """A field is sent where the dialect has it, checked by its type, and refused elsewhere with the dialects that have it."""
    sent: list[httpx.Request] = []
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS[name], sent)))
    with Reranker(KEY, dialect=name, base_url=BASE, http_client=client, model=model(name)) as made:  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
        if field in REQUESTS[name]:
            made.rerank("q", ["a"], **{field: VALUES[field]})
            assert json.loads(sent[0].content)[field] == VALUES[field]
            with pytest.raises((TypeError, ValueError), match=field):
                made.rerank("q", ["a"], **{field: [None]})
            return
        with pytest.raises(ValueError, match=rf"^{field}: .*dialect .* has it"):
            made.with_options(**{field: VALUES[field]})
        with pytest.raises(ValueError, match=rf"^{field}: .*dialect .* has it") as caught:
            made.rerank("q", ["a"], **{field: VALUES[field]})
        assert all(repr(other) in str(caught.value) for other in DIALECTS if field in REQUESTS[other])


@pytest.mark.parametrize(
    ("name", "field", "value", "least"),
    [
        ("cohere-v2", "max_tokens_per_doc", 0, 1),
        ("cohere-v2", "max_tokens_per_doc", -5, 1),
        ("cohere-v2", "priority", -1, 0),
        ("jina", "max_tokens_per_doc", -1, 0),
        ("jina", "max_tokens_per_query", -1, 0),
        ("jina", "max_chunks_per_doc", 0, 1),
        ("jina", "overlap_tokens", -1, 0),
        ("jina", "max_doc_length", 0, 1),
    ],
)
def test_a_number_that_cannot_be_meant(name: str, field: str, value: int, least: int) -> None:
    """A number below the bound of the contract is refused before anything is sent, and the bound is not."""
    with reranker(name) as made:
        with pytest.raises(ValueError, match=f"^{field} must be at least {least}, not {value}"):
            made.rerank("q", ["a"], **{field: value})
        assert made.rerank("q", ["a"], **{field: least}).indices == [0]


def test_a_misspelt_field() -> None:
    """A misspelt field names the right one."""
    with reranker("jina") as made, pytest.raises(TypeError, match="did you mean 'max_tokens_per_doc'"):
        made.rerank("q", ["a"], max_token_per_doc=3)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]


@pytest.mark.parametrize(
    ("name", "extra", "problem"),
    [
        ("tei", {"priority": 1}, None),
        ("voyage", {"model": "rerank-2"}, None),
        ("tei", {"texts": ["x"]}, "'texts' is not allowed.*pass documents to"),
        ("tei", {"documents": ["x"]}, "'documents' is not allowed.*pass documents to"),
        ("voyage", {"top_k": 1}, "'top_k' is not allowed.*pass top_n to rerank"),
    ],
)
def test_extra_body(name: str, extra: dict[str, Any], problem: str | None) -> None:
    """`extra_body` is sent as it is, but for what the answer is checked by."""
    sent: list[httpx.Request] = []
    reply = VENDORS[name](
        {"query": "q", "documents": ["a"], "texts": ["a"], "model": "m"}
        if name == "tei"
        else {"query": "q", "documents": ["a"], "model": "m"}
    )

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(reply[0], json=reply[1])

    client = httpx.Client(transport=httpx.MockTransport(handle))
    with reranker(name, model=None, http_client=client) as made:
        if problem is None:
            made.rerank("q", ["a"], extra_body=extra)
            assert json.loads(sent[0].content).items() >= extra.items()
            return
        with pytest.raises(ValueError, match=problem):
            made.rerank("q", ["a"], extra_body=extra)


# ------------------------------------------------------------------------------------------------- models, keys, addresses


@pytest.mark.parametrize("name", DIALECTS)
def test_no_model(name: str) -> None:
    """OpenRouter's default model is sent to nobody else: none is sent where none is needed, and else one is asked for."""
    sent: list[httpx.Request] = []
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS[name], sent)))
    with reranker(name, model=None, http_client=client) as made:
        if codec(name).model == "required":
            with pytest.raises(ValueError, match=f"^model: the dialect '{name}' requires it"):
                made.rerank("q", ["a"])
            assert sent == []
            assert made.rerank("q", ["a"], model="m").indices == [0]
        else:
            assert made.rerank("q", ["a"]).indices == [0]
            assert "model" not in json.loads(sent[0].content)
            assert made.ledger.by_model.keys() == {""}
    if codec(name).model == "absent":
        with pytest.raises(ValueError, match=f"^model: the dialect '{name}' has no such field"):
            reranker(name, model="m")


KEYS = {
    "OPENROUTER_API_KEY": "of-openrouter",
    "CO_API_KEY": "of-cohere",
    "JINA_API_KEY": "of-jina",
    "VOYAGE_API_KEY": "of-voyage",
}


@pytest.mark.parametrize(
    ("name", "base_url", "key"),
    [
        ("openrouter", None, "of-openrouter"),
        ("openrouter", BASE, "of-openrouter"),
        ("cohere-v2", None, "of-cohere"),
        ("cohere-v2", "https://api.cohere.com/v2/rerank", "of-cohere"),
        ("cohere-v2", "https://mine.services.ai.azure.com/providers/cohere/v2", None),
        ("jina", None, "of-jina"),
        ("jina", "https://api.jina.ai.evil.example/v1", None),
        ("jina", "https://evil.example/api.jina.ai/v1", None),
        ("jina", "http://api.jina.ai/v1", None),
        ("jina", "http://localhost:8000/v1", None),
        ("voyage", None, "of-voyage"),
        ("voyage", "https://ai.mongodb.com/v1", "of-voyage"),
        ("tei", "https://api.jina.ai/v1", None),
    ],
)
def test_keys(monkeypatch: pytest.MonkeyPatch, name: Any, base_url: str | None, key: str | None) -> None:
    """A key of the environment goes to its vendor's own address alone; one that is passed goes where it is told to."""
    for variable, value in KEYS.items():
        monkeypatch.setenv(variable, value)
    sent: list[httpx.Request] = []
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS[name], sent)))
    for given_key, expected in ((None, key), ("own-key-0123456789", "own-key-0123456789"), ("", None)):
        sent.clear()
        settings = {"dialect": name, "base_url": base_url, "http_client": client, "model": model(name)}
        with Reranker(given_key, **settings) as made:
            made.rerank("q", ["a"])
        [request] = sent
        assert request.headers.get("authorization") == (expected and f"Bearer {expected}")
        assert not any(value in repr(made) for value in (*KEYS.values(), "own-key-0123456789"))


@pytest.mark.parametrize(
    ("name", "variable"),
    [("cohere-v2", "CO_API_KEY"), ("jina", "JINA_API_KEY"), ("voyage", "VOYAGE_API_KEY")],
)
def test_no_key(monkeypatch: pytest.MonkeyPatch, name: Any, variable: str) -> None:
    """A vendor's own address needs a key; the message names the vendor's variable."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "of-openrouter")
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=f"no API key.*{variable}"):
        Reranker(dialect=name)


@pytest.mark.parametrize(
    ("base_url", "step"),
    [(None, r"\(api_key or JINA_API_KEY\)"), (BASE, r"\(api_key\)")],
)
def test_the_key_in_an_error(base_url: str | None, step: str) -> None:
    """An error names the variable of the key that is sent to its server, and no other."""
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(401, json={"detail": "no"})))
    with (
        Reranker(KEY, dialect="jina", base_url=base_url, http_client=client) as made,
        pytest.raises(AuthenticationError, match=f"Check the key {step}"),
    ):
        made.rerank("q", ["a"])


@pytest.mark.parametrize(
    ("name", "base_url", "url"),
    [
        ("cohere-v2", None, "https://api.cohere.com/v2/rerank"),
        ("jina", None, "https://api.jina.ai/v1/rerank"),
        ("voyage", None, "https://api.voyageai.com/v1/rerank"),
        ("voyage", "https://api.voyageai.com/v1/rerank", "https://api.voyageai.com/v1/rerank"),
        ("jina", "http://host:8000/v1/", "http://host:8000/v1/rerank"),
        ("jina", "http://host:7997", "http://host:7997/rerank"),
        ("tei", "http://host:8080", "http://host:8080/rerank"),
        ("tei", "http://host:8080/rerank", "http://host:8080/rerank"),
    ],
)
def test_addresses(name: Any, base_url: str | None, url: str) -> None:
    """The operation lies under the vendor's own base address, and a whole address is taken too."""
    with Reranker("k", dialect=name, base_url=base_url) as made:
        assert made._settings.url == url


def test_an_address_that_is_missing() -> None:
    """A dialect that has no vendor needs an address."""
    with pytest.raises(ValueError, match=r"^base_url: the dialect 'tei' has no address of its own"):
        Reranker("", dialect="tei")


# ------------------------------------------------------------------------------------------------- parts, blanks, caches


@pytest.mark.parametrize(
    ("name", "number", "parts"),
    [("tei", 64, 2), ("tei", 65, 3), ("voyage", 1001, 2), ("cohere-v2", 1001, 2), ("jina", 1001, 2)],
)
def test_long_lists(shell: Shell, name: str, number: int, parts: int) -> None:
    """A list is sent in parts by the dialect's own limit, which a caller can change, and is one ranking."""
    own = [{"text": f"document {place}"} for place in range(number)]
    settings = {"dialect": name, "base_url": BASE, "model": model(name)}
    with shell.open(handler(VENDORS[name]), **settings) as rerank:
        ranking = rerank("q", own)
    assert len(ranking.parts) == parts
    assert sorted(ranking.indices) == list(range(number))
    assert not ranking.mixed
    with shell.open(handler(VENDORS[name]), **settings) as rerank:
        assert len(rerank("q", own[:10], max_documents=5).parts) == 2


def test_parts_run_at_once() -> None:
    """No part goes first alone, as no other dialect has providers that the rest would have to follow."""
    given_settings = settings(dialect="tei", base_url=BASE)
    step = next(rerank(given_settings, compose(send_one), "q", ["a"] * 70))
    assert isinstance(step, Parallel)
    assert len(step.calls) == 3


def test_the_size_of_a_part() -> None:
    """A request to TEI is no larger than its server takes by default."""
    sent: list[httpx.Request] = []
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS["tei"], sent)))
    with reranker("tei", http_client=client) as made:
        assert len(made.rerank("q", ["x" * 900_000] * 4)) == 4
    assert len(sent) == 2
    assert all(len(request.content) <= 2_000_000 for request in sent)


def test_a_refused_number(shell: Shell) -> None:
    """A refusal that names a number of documents halves the list, as ever."""
    with shell.open(handler(VENDORS["tei"]), dialect="tei", base_url=BASE, max_documents=1000) as rerank:
        ranking = rerank("q", [f"document {place}" for place in range(50)], top_n=3)
    assert len(ranking.parts) == 2
    assert len(ranking) == 3


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        (
            "jina",
            422,
            {
                "detail": [
                    {
                        "type": "too_long",
                        "loc": ["body", "documents"],
                        "msg": "List should have at most 2048 items after validation, not 3000",
                    }
                ]
            },
        ),
        ("jina", 400, {"detail": "too much", "code": "INPUT_TOKEN_LIMIT_EXCEEDED"}),
        (
            "jina",
            500,
            {"error": {"code": 500, "message": "input is too large to process", "type": "server_error"}},
        ),
        (
            "jina",
            400,
            {"code": 20042, "message": "batch size 65 > maximum allowed batch size 64", "data": None},
        ),
        ("tei", 413, {"error": "batch size 40 > maximum allowed batch size 32", "error_type": "validation"}),
        ("voyage", 400, {"detail": "The number of documents cannot exceed 1000."}),
        ("cohere-v2", 400, {"message": "invalid request: too many documents"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sizes(name: str, status: int, body: Any) -> None:
    """A refusal by a size is one in the form of each vendor, so that its list is halved."""
    sent: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(status, json=body)

    client = httpx.Client(transport=httpx.MockTransport(handle))
    with reranker(name, http_client=client) as made, pytest.raises(RerankError) as caught:
        made.rerank("q", ["a", "b"])
    assert getattr(caught.value, "too_large", None) is True
    numbers = [len(json.loads(request.content)[codec(name).documents]) for request in sent]
    assert numbers[:2] == [2, 1]


def test_blank_documents(shell: Shell) -> None:
    """An empty text that a dialect refuses is refused before sending, with the option that leaves it out."""
    sent: list[httpx.Request] = []
    settings = {"dialect": "voyage", "base_url": BASE, "model": "m"}
    with shell.open(handler(VENDORS["voyage"], sent), **settings) as rerank:
        with pytest.raises(ValueError, match=r"^document 1: Voyage refuses an empty text; pass blank='skip'"):
            rerank("q", ["a", "", "c"])
        assert sent == []
        ranking = rerank("q", ["a", "", "c"], blank="skip")
        assert (ranking.indices, ranking.unranked) == ([2, 0], (1,))
        with pytest.raises(ValueError, match=r"^document 40: Voyage refuses an empty text"):
            rerank("q", [*["a"] * 40, "", "c"], max_documents=5)


def test_images(tmp_path: Path) -> None:
    """An image goes to a dialect that has images, and is refused with its number elsewhere."""
    sent: list[httpx.Request] = []
    client = httpx.Client(transport=httpx.MockTransport(handler(VENDORS["jina"], sent)))
    file = tmp_path / "image.png"
    file.write_bytes(b"\x89PNG\r\n\x1a\n")
    with reranker("jina", http_client=client) as made:
        ranking = made.rerank("q", ["a", file, Document(image="https://images.example/1.png")])
    assert ranking.documents[0] == Document(image="https://images.example/1.png")
    assert json.loads(sent[0].content)["documents"] == [
        "a",
        {"image": "data:image/png;base64,iVBORw0KGgo="},
        {"image": "https://images.example/1.png"},
    ]
    with (
        reranker("tei") as made,
        pytest.raises(ValueError, match=r"^document 1: the dialect 'tei' does not accept images"),
    ):
        made.rerank("q", ["a", file])


def test_a_surrogate() -> None:
    """Half a surrogate pair is refused with the number of its document."""
    with reranker("tei") as made, pytest.raises(ValueError, match=r"^document 1 has a lone surrogate"):
        made.rerank("q", ["a", "\ud800"])


def test_the_cache() -> None:
    """A cached answer is found again in its dialect, and by no other dialect, address or field of the dialect."""
    cache = MemoryCache()
    for name in ("jina", "cohere-v2"):
        with reranker(name, cache=cache) as made:
            assert [made.rerank("q", ["a"], max_tokens_per_doc=5).cached for _ in range(2)] == [False, True]
            assert not made.rerank("q", ["a"], max_tokens_per_doc=6).cached
            assert made.rerank("q", ["a"], max_tokens_per_doc=6, extra_body={"user": "u"}).cached
    with reranker("jina", cache=cache, base_url="http://other.example") as made:
        assert not made.rerank("q", ["a"], max_tokens_per_doc=5).cached


def test_the_key_of_the_cache() -> None:
    """The same body at the same address is another request in another dialect."""

    class Keys:
        """A cache that is empty, and notes what it is asked for."""

        asked: ClassVar[list[str]] = []

        def get(self, key: str, /) -> None:
            self.asked.append(key)

        def set(self, key: str, value: bytes, /) -> None:
            del key, value

    for name in ("voyage", "cohere-v2"):
        with reranker(name, cache=Keys()) as made:
            made.rerank("q", ["b"])
    assert len(set(Keys.asked)) == 2


@pytest.mark.parametrize(
    ("name", "body", "problem"),
    [
        ("tei", [{"index": 5, "score": 1}], "index 5 is not one of the 1 documents"),
        ("tei", [{"index": 0, "score": None}], "breaks the contract"),
        ("voyage", {"data": [{"index": 0, "relevance_score": "x"}]}, "breaks the contract"),
        (
            "voyage",
            {"data": [{"index": 0, "relevance_score": 1}, {"index": 0, "relevance_score": 1}]},
            "more results (2) than documents (1)",
        ),
        ("voyage", {"data": [{"relevance_score": 1}]}, "missing required field `index` - at `$.data[0]`"),
        ("tei", [{"index": 0}], "missing required field `score` - at `$[0]`"),
        ("tei", b'[{"index":0,"score":NaN}]', "or a number that is not finite - at `$[0].score`"),
        ("voyage", {"data": None}, "it has no results: data is null"),
        ("voyage", {"data": {"a": 1}}, "it has no results: data is an object with a"),
        ("jina", {"results": None}, "it has no results: results is null"),
        ("jina", {}, "it has no results: its body is an empty object"),
        ("jina", {"results": [7]}, "breaks the contract"),
        ("tei", {"error": "no such endpoint"}, "no such endpoint"),
        ("jina", b"{", "is not JSON"),
    ],
)
def test_bad_answers(name: str, body: Any, problem: str) -> None:
    """The checks of an answer are those of every dialect."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, content=content)))
    with reranker(name, http_client=client) as made, pytest.raises(InvalidResponseError) as caught:
        made.rerank("q", ["a"])
    assert problem in caught.value.message


def test_an_error_in_a_success() -> None:
    """An error with a status inside a 200 is that of the status."""
    error = {"error": {"code": 401, "message": "no key", "type": "auth"}, "results": []}
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=error)))
    with reranker("jina", http_client=client) as made, pytest.raises(AuthenticationError, match="no key"):
        made.rerank("q", ["a"])


@pytest.mark.parametrize("document", [None, {"image": "https://images.example/1.png"}])
def test_response(document: Any) -> None:
    """The typed answer is in the canonical form, with the documents as they were sent; the body is as it came."""
    with reranker("jina", model=None) as made:
        ranking = made.rerank("q", [document or "a"])
    assert ranking.response.model == "served"
    assert ranking.response.results[0].document.to_dict() == (document or {"text": "a"})
    assert json.loads(ranking.body)["object"] == "list"


def test_a_body_that_cannot_be_translated() -> None:
    """What is no answer of the dialect stays as it is."""
    assert codec("tei").canonical(b"{}", headers={}, documents=[], model="m") == b"{}"
    odd = codec("tei").canonical(b'[{"index":9,"score":1}]', headers={}, documents=["a"], model="")
    assert json.loads(odd) == {"results": [{"index": 9, "relevance_score": 1}], "model": ""}
    whole = codec("tei").canonical(
        b'[{"index":0.0,"score":1},{"index":"x","score":1}]', headers={}, documents=["a"], model=""
    )
    assert [result["index"] for result in json.loads(whole)["results"]] == [0, "x"]
    assert isinstance(json.loads(whole)["results"][0]["index"], int)


# ------------------------------------------------------------------------------------------- copies, runs, command line


def test_copies() -> None:
    """A copy has the dialect, which cannot be changed; a pickle has it too."""
    with Reranker("", dialect="tei", base_url=BASE, truncate=True) as made:
        copied = made.with_options(truncate=False, max_documents=5)
        assert "dialect tei" in repr(copied)
        with pytest.raises(TypeError, match="no argument 'dialect'; set it where the reranker is made"):
            made.with_options(dialect="jina")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
        with pytest.raises(ValueError, match=r"^truncation: the dialect 'tei' has no such field"):
            made.with_options(truncation=True)
    with (
        Reranker(dialect="jina", base_url=BASE, instruction="by place") as made,
        pickle.loads(pickle.dumps(made)) as read,
    ):
        assert read._settings.codec == codec("jina")
        assert read._settings.defaults["instruction"] == "by place"


@pytest.mark.parametrize(
    ("name", "base_url", "instead"),
    [
        ("cohere-v2", None, "set CO_API_KEY in both processes"),
        ("cohere-v2", BASE, "make it where it is used"),
        ("tei", BASE, "make it where it is used"),
        ("openrouter", BASE, "set OPENROUTER_API_KEY in both processes"),
    ],
)
def test_a_key_that_is_not_pickled(name: Any, base_url: str | None, instead: str) -> None:
    """The error names the variable from which the dialect reads its key, or none where there is none."""
    with (
        Reranker(KEY, dialect=name, base_url=base_url) as made,
        pytest.raises(TypeError, match=f"a key is not pickled; {instead}, or pickle the arguments"),
    ):
        pickle.dumps(made)


@pytest.mark.parametrize("name", DIALECTS)
def test_a_limit_that_cannot_hold(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A warning says once that an answer has no cost, which max_cost could count."""
    caplog.set_level(logging.WARNING)
    with reranker(name, max_cost=1.0) as made:
        for _ in range(2):
            made.rerank("q", ["a"])
        assert (made.ledger.unknown, made.ledger.cost) == (2, 0.0)
    assert caplog.messages == [
        "max_cost has no effect: the server reports no cost; limit the requests instead"
    ]


@pytest.mark.parametrize("name", DIALECTS)
def test_models(name: str) -> None:
    """No other dialect has the list of models."""
    with (
        reranker(name) as made,
        pytest.raises(ValueError, match=f"the dialect '{name}' has no list of models"),
    ):
        made.models()


@pytest.mark.parametrize("name", DIALECTS)
def test_many(name: str) -> None:
    """A run ranks in the dialect, and is estimated in it; a request that it cannot carry fails alone."""
    requests: list[Any] = [("q", ["a", "b"]), {"query": "q", "documents": ["a"], "user": "u"}, ("q", ["c"])]
    with serving(script(VENDORS[name])) as server:
        settings: Any = {"dialect": name, "base_url": server.url, "model": model(name)}
        with Reranker("", **settings) as made:
            results = list(made.rerank_many(requests, concurrency=2))
            estimate = made.dry_run([requests[0]])
    assert [result.ok for result in results] == [True, False, True]
    assert results[0].unwrap().documents == ["b", "a"]
    assert isinstance(results[1].error, ValueError)
    assert (estimate.requests, estimate.documents) == (1, 2)
    assert len(server.requests) == 2


def run(*args: object, **environment: str) -> tuple[int, str, str]:
    """Return the exit code, the output and the errors of the command line."""
    result = CliRunner(env={"COLUMNS": "200", **environment}).invoke(
        app, list(map(str, args)), input="one\ntwo\n"
    )
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("name", DIALECTS)
def test_command_line(tmp_path: Path, name: str) -> None:
    """`rerank rank` and `rerank batch` rank in a dialect, with the key of --key-env alone."""
    table, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    table.write_text('{"query": "q", "documents": ["a", "b"]}\n')
    keys = {"OPENROUTER_API_KEY": "of-openrouter", "OWN_KEY": "own-key-0123456789"}
    with serving(script(VENDORS[name])) as server:
        to = ["--dialect", name, "--base-url", server.url, *([] if model(name) is None else ["-m", "m"])]
        code, output, _ = run("rank", "q", *to, **keys)
        assert (code, [json.loads(line)["index"] for line in output.splitlines()]) == (0, [1, 0])
        assert run("rank", "q", *to, "--key-env", "OWN_KEY", **keys)[0] == 0
        assert run("batch", table, out, *to, **keys)[0] == 0
        assert json.loads(out.read_text())["ranking"][0]["index"] == 1
        assert run("batch", table, out, *to, "--dry-run", "--restart", **keys)[0] == 0
        code, _, error = run("rank", "q", *to, "--session-id", "s", **keys)
        assert (code, f"the dialect '{name}' has no such field" in error) == (2, True)
        code, _, error = run("models", "--dialect", name, "--base-url", server.url, **keys)
        assert (code, "no list of models" in error) == (2, True)
    authorizations = [request.headers.get("authorization") for request in server.requests]
    assert authorizations == [None, "Bearer own-key-0123456789", None]


def test_a_job_has_its_dialect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialect is one of the options with which a job is resumed."""
    table = tmp_path / "in.jsonl"
    table.write_text('{"query": "q", "documents": ["a", "b"]}\n')

    def opened(job: Batch, *_: object, **__: object) -> None:
        raise BadBatch(str(job.options))

    monkeypatch.setattr(batch, "opened", opened)
    code, _, error = run("batch", table, tmp_path / "out.jsonl", "--dialect", "tei", "--base-url", BASE)
    assert (code, "'dialect': 'tei'" in error) == (2, True)


@pytest.mark.parametrize(
    ("told", "spoken", "rows", "sent"),
    [
        # Each of these answers may be billed.
        ("openrouter", "voyage", 60, range(1, 10)),
        ("voyage", "jina", 1, [1]),
        # These are refusals, which may be those of the row.
        ("openrouter", "tei", 60, range(50, 60)),
        ("tei", "cohere-v2", 2, [2]),
    ],
)
def test_a_job_in_the_wrong_dialect(
    tmp_path: Path, told: str, spoken: str, rows: int, sent: Sequence[int]
) -> None:
    """A job ends where its server speaks another dialect, and can be run again in that one."""
    table, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    table.write_text('{"query": "q", "documents": ["a", "b"]}\n' * rows)
    with serving(script(VENDORS[spoken])) as server:
        command = ["batch", table, out, "--base-url", server.url, "--concurrency", 2]
        named = [*command, *([] if model(told) is None else ["-m", "m"])]
        code, _, error = run(*named, "--dialect", told)
        assert code == 1
        assert f"pass --dialect {spoken}" in error
        assert f"0 of {rows} rows are finished" in error
        assert error.endswith("correct the command and run it again\n")
        assert len(server.requests) in sent
        assert list(tmp_path.iterdir()) == [table]
        named = [*command, *([] if model(spoken) is None else ["-m", "m"])]
        assert run(*named, "--dialect", spoken)[0] == 0
    assert len(out.read_text().splitlines()) == rows


def test_a_refusal_in_the_form_of_another_dialect(tmp_path: Path) -> None:
    """A row that is refused in another form is a failed row, if others are ranked."""
    table, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    table.write_text('{"query": "q", "documents": ["a", "b"]}\n' * 3)

    def play(request: Request) -> Script:
        if request.number == 1:
            yield answer(400, {"error": {"message": "too odd", "type": "BadRequestError", "code": 400}})
        else:
            yield from script(VENDORS["jina"])(request)

    with serving(play) as server:
        code, _, error = run("batch", table, out, "--base-url", server.url, "--concurrency", 1)
    assert (code, "3 of 3 rows are finished, 1 of them failed" in error) == (1, True)
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.parametrize("key", [None, " "])
def test_no_key_on_the_command_line(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    """The message names the vendor's variable and options, not arguments of Python."""
    monkeypatch.delenv("VOYAGE_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("VOYAGE_API_KEY", key)
    code, _, error = run("rank", "--dialect", "voyage", "q", __file__)
    says = "rerank: no API key: set VOYAGE_API_KEY, or name another variable with --key-env\n"
    assert (code, error) == (2, says)


@pytest.mark.parametrize(
    ("option", "problem"),
    [
        ([], "model: the dialect 'cohere-v2' requires it"),
        (["-m", "m", "--truncation", "true"], "truncation: the dialect 'cohere-v2' has no such field"),
        (["-m", "m", "--priority", "1000"], "priority must be at most 999, not 1000"),
    ],
)
def test_options_of_a_job(tmp_path: Path, option: list[str], problem: str) -> None:
    """An option with which every row would fail is bad usage, and does not stand in the way of the right one."""
    table, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    table.write_text('{"query": "q", "documents": ["a", "b"]}\n')
    with serving(script(VENDORS["cohere-v2"])) as server:
        command = ["batch", table, out, "--dialect", "cohere-v2", "--base-url", server.url]
        for more in ([], ["--dry-run"]):
            code, _, error = run(*command, *option, *more)
            assert (code, problem in error) == (2, True)
            assert not out.exists()
        assert server.requests == []
        assert run(*command, "-m", "m")[0] == 0


@pytest.mark.parametrize("option", [[], ["--dialect", "openrouter"]])
def test_the_default_dialect_of_a_job(tmp_path: Path, option: list[str]) -> None:
    """A job that was begun with the default dialect goes on, whether the dialect is named or not."""
    table, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    table.write_text('{"query": "q", "documents": ["a", "b"]}\n' * 2)

    def play(request: Request) -> Script:
        if request.number == 2:
            yield answer(401, {"error": {"code": 401, "message": "no"}})
        else:
            yield from script(VENDORS["openrouter"])(request)

    with serving(play) as server:
        command = ["batch", table, out, "--base-url", server.url, "--concurrency", 1]
        assert run(*command)[0] == 1
        code, _, error = run(*command, "--dialect", "jina")
        assert (code, "belongs to a run with other options" in error) == (2, True)
        code, _, error = run(*command, *option)
        assert (code, "1 of 2 rows are finished" in error) == (0, True)


@pytest.mark.parametrize(
    ("dialect", "status", "body", "step"),
    [
        (
            "openrouter",
            401,
            {"error": {"code": 401, "message": "no"}},
            "the key (--key-env or OPENROUTER_API_KEY)",
        ),
        ("tei", 401, "", "Check the key (--key-env) and"),
        ("openrouter", 404, "", "Check --base-url: "),
        ("jina", 422, "missing field `texts`", "looks like TEI's; pass --dialect tei."),
    ],
)
def test_the_next_step_names_an_option(
    tmp_path: Path, dialect: str, status: int, body: Any, step: str
) -> None:
    """The commands name their options where the library names its arguments."""
    table = tmp_path / "d.txt"
    table.write_text("a\n")

    def play(_: Request) -> Script:
        content = body if isinstance(body, str) else json.dumps(body)
        yield answer(status, content.encode(), "text/plain")

    with serving(play) as server:
        code, _, error = run("rank", "q", table, "--base-url", server.url, "--dialect", dialect)
    assert code == 1
    assert step in error


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["--dialect", "tei"], "rerank: --base-url: the dialect 'tei' has no address of its own"),
        (["--dialect", "tei", "--local"], "--local: cannot be combined with --dialect"),
        (
            ["--key-env", "NOT_SET"],
            "--key-env: no environment variable of this name has a key; pass the name",
        ),
        (["--dialect", "jina", "--base-url", BASE, "--truncate", "true"], "dialect 'tei' has it"),
        (
            ["--dialect", "tei", "--base-url", BASE, "--raw-scores", "maybe"],
            "must be true or false, not 'maybe'.",
        ),
        (["--dialect", "tei", "--base-url", "ftp://x"], "rerank: --base-url must be an http(s) URL"),
        (
            ["--max-tokens-per-doc", "5"],
            "dialect 'cohere-v2' or 'jina' has it); pass --dialect, or use --extra-body.",
        ),
    ],
)
def test_bad_usage(args: list[str], problem: str) -> None:
    """Options that cannot be followed are bad usage, and nothing is sent."""
    code, _, error = run("rank", "q", *args, OPENROUTER_API_KEY=KEY)
    assert code == 2
    assert problem in error
