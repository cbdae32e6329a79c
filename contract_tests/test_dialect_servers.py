"""The reference server of each dialect answers by the dialect's contract, over HTTP too, and broken ones stay broken."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rerank_conformance.broken import BROKEN
from rerank_conformance.dialects import CODECS, NAMES, codec
from rerank_conformance.reference import Reference, ReferenceResponse
from rerank_conformance.reference.asgi import running
from rerank_conformance.reference.speaking import speaking

KEY = "key-of-the-test"
HEADERS = {"content-type": "application/json", "authorization": f"Bearer {KEY}"}
CANONICAL: dict[str, Any] = {
    "model": "m",
    "query": "capital of France",
    "documents": ["Berlin", "Paris is the capital of France", "Lyon is in France"],
}
DIALECTS = pytest.mark.parametrize("name", CODECS)


def answer(
    name: str,
    request: object,
    *,
    path: str = "/rerank",
    method: str = "POST",
    headers: Mapping[str, str] = HEADERS,
    server: type[Reference] = Reference,
) -> ReferenceResponse:
    """Return the answer of the dialect's server, after it is validated by the dialect's contract."""
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    found = speaking(name, server)(keys={KEY}).answer(method, path, headers, body)
    by = CODECS[name].contract
    if path == "/rerank" and method == "POST" and server is Reference:
        assert found.status in by.statuses
        media_type = found.headers.get("content-type", "").partition(";")[0]
        assert media_type in (by.media_types(found.status) or {""})
        if media_type == "application/json":
            assert by.responses[found.status].violation(json.loads(found.body)) is None
    return found


def wire(name: str, **change: object) -> dict[str, Any]:
    """Return a request of the dialect."""
    return CODECS[name].encode({**CANONICAL, **change})


@DIALECTS
@pytest.mark.parametrize("prefix", ["", "/v1", "/v2", "/any/prefix"])
def test_ranks_under_any_prefix(name: str, prefix: str):
    """Each vendor's path is served, under the prefix that its clients append and under any other."""
    found = answer(name, wire(name), path=f"{prefix}/rerank")
    assert found.status == 200
    assert answer(name, wire(name), path=f"{prefix}/reranks").status == 404


@DIALECTS
def test_serves_over_http(name: str):
    """The shells of the reference serve a dialect as they serve the canonical form."""
    with running(speaking(name)(keys={KEY})) as url:
        sent = httpx.post(f"{url}/v1/rerank", json=wire(name), headers=HEADERS)
    assert sent.status_code == 200
    assert CODECS[name].decode(sent.json(), sent.headers)["results"][0]["index"] == 1


TEXTS = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=8)


@DIALECTS
@given(
    query=st.text(min_size=1, max_size=12).filter(str.strip),
    documents=TEXTS,
    top_n=st.integers(1, 8),
    echo=st.booleans(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_decoding_undoes_encoding(name: str, query: str, documents: list[str], top_n: int, echo: bool):
    """A canonical request through encode, the server and decode gives the ranking of the canonical server."""
    one = CODECS[name]
    cut = {"top_n": top_n} if "top_n" in one.own else {}
    request = {"model": "m", "query": query, "documents": documents, **cut}
    canonical = json.loads(Reference().answer("POST", "/rerank", HEADERS, json.dumps(request).encode()).body)
    found = answer(name, one.encode(request, echo=echo))
    decoded = one.decode(json.loads(found.body), found.headers)
    ranked = canonical["results"]
    if one.later_first:
        ranked = sorted(ranked, key=lambda result: (result["relevance_score"], result["index"]), reverse=True)
    if not (echo and one.echo):
        ranked = [{name: value for name, value in result.items() if name != "document"} for result in ranked]
    assert decoded["results"] == ranked
    for field, value in decoded.get("usage", {}).items():
        assert canonical["usage"][field] == value


REFUSED: dict[str, dict[str, tuple[int, object]]] = {
    # for each dialect: not JSON, a wrong type, no documents, no key, a wrong key, an unknown field, another path
    "cohere-v2": {
        "json": (400, ["message"]),
        "type": (400, ["message"]),
        "empty": (400, {"message": "invalid request: list of documents must not be empty"}),
        "blank": (400, ["message"]),
        "no key": (401, {"message": "no api key supplied"}),
        "wrong key": (401, {"message": "invalid api token"}),
        "unknown": (422, {"message": "unknown field: parameter 'x' is not a valid field"}),
        "media type": (400, ["message"]),
    },
    "jina": {
        "json": (400, ["detail", "request_id"]),
        "type": (422, ["detail", "request_id"]),
        "empty": (422, ["detail", "request_id"]),
        "no key": (401, ["detail", "code", "request_id"]),
        "wrong key": (401, ["detail", "code", "request_id"]),
        "media type": (400, ["detail", "request_id"]),
    },
    "tei": {
        "json": (400, None),
        "type": (422, None),
        "empty": (400, {"error": "`texts` cannot be empty", "error_type": "Empty"}),
        "no key": (401, b""),
        "wrong key": (401, b""),
        "scheme": (401, b""),
        "media type": (415, None),
        "many": (
            422,
            {"error": "batch size 33 > maximum allowed batch size 32", "error_type": "Validation"},
        ),
        "missing": (422, None),
    },
    "voyage": {
        "json": (400, ["detail"]),
        "type": (400, ["detail"]),
        "empty": (400, {"detail": "Input cannot contain empty strings or empty lists"}),
        "empty text": (400, {"detail": "Input cannot contain empty strings or empty lists"}),
        "no key": (401, {"detail": "Unauthorized"}),
        "wrong key": (401, {"detail": "Provided API key is invalid."}),
        "no key, no documents": (400, ["detail"]),
        "unknown": (400, ["detail"]),
        "media type": (400, ["detail"]),
    },
}


@pytest.mark.parametrize(
    ("name", "what"), [(name, what) for name, cases in REFUSED.items() for what in cases]
)
def test_refuses_in_the_form_of_the_dialect(name: str, what: str):
    """Each kind of wrong request has the vendor's status and body: JSON, plain text (None) or nothing."""
    status, form = REFUSED[name][what]
    unlocked = {"content-type": "application/json"}
    requests: dict[str, tuple[object, Mapping[str, str]]] = {
        "json": (b"{", HEADERS),
        "type": (wire(name, query=7), HEADERS),
        "empty": (wire(name, documents=[]), HEADERS),
        "blank": (wire(name, query=" "), HEADERS),
        "empty text": (wire(name, documents=["", "a"]), HEADERS),
        "no key": (wire(name), unlocked),
        "wrong key": (wire(name), {**unlocked, "authorization": "Bearer wrong"}),
        "scheme": (wire(name), {**unlocked, "authorization": f"bearer {KEY}"}),
        "no key, no documents": (wire(name, documents=[]), unlocked),
        "unknown": (wire(name, x=1), HEADERS),
        "media type": (wire(name), {**HEADERS, "content-type": "text/plain"}),
        "many": (wire(name, documents=["a"] * 33), HEADERS),
        "missing": ({"query": "q", "documents": ["a"]}, HEADERS),
    }
    request, headers = requests[what]
    found = answer(name, request, headers=headers)
    assert found.status == status
    if isinstance(form, bytes):
        assert (found.body, found.headers.get("content-type")) == (form, None)
    elif form is None:
        assert found.headers["content-type"] == "text/plain; charset=utf-8"
        if what == "missing":
            assert b"missing field `texts`" in found.body
    else:
        said = json.loads(found.body)
        assert said == form if isinstance(form, dict) else list(said) == form


@pytest.mark.parametrize("value", [True, False, None])
def test_cohere_takes_what_older_clients_send(value: bool | None):
    """The SDK up to 5.15 and LiteLLM send return_documents, which is taken and ignored."""
    reply = answer("cohere-v2", wire("cohere-v2", return_documents=value))
    assert reply.status == 200
    assert {name for result in json.loads(reply.body)["results"] for name in result} == {
        "index",
        "relevance_score",
    }


def test_tei_says_what_it_is():
    """`/info` needs the key and has the limit; `/health` needs none; both refuse what they cannot do."""
    found = answer("tei", b"", path="/info", method="GET")
    info = json.loads(found.body)
    by = CODECS["tei"].contract
    assert by.schema("#/components/schemas/Info").violation(info) is None
    assert info["max_client_batch_size"] == 32
    assert answer("tei", b"", path="/info", method="GET", headers={}).status == 401
    assert answer("tei", b"", path="/info").status == 405
    assert answer("tei", b"", path="/health", method="GET", headers={}) == ReferenceResponse(200, {}, b"")


def test_tei_ranks_equal_scores_from_the_end():
    """Of equal scores the later text comes first, and usage stands in the headers."""
    found = answer("tei", {"query": "q", "texts": ["a", "a", "a"]})
    assert [result["index"] for result in json.loads(found.body)] == [2, 1, 0]
    assert found.headers["x-compute-characters"] == "6"
    assert found.headers["x-compute-tokens"].isdecimal()


def test_model_is_the_one_that_was_asked_for():
    """Jina and Voyage name the model as it was asked for; Jina without one names the server's."""
    assert json.loads(answer("voyage", wire("voyage", model="rerank-2")).body)["model"] == "rerank-2"
    assert json.loads(answer("jina", wire("jina", model="x")).body)["model"] == "x"
    unnamed = {"query": "q", "documents": ["a"]}
    assert json.loads(answer("jina", unnamed).body)["model"] == Reference().model


@DIALECTS
@pytest.mark.parametrize("rule", ["answer.index-in-range", "answer.complete", "answer.score-number"])
def test_broken_servers_speak_the_dialect(name: str, rule: str):
    """What alters the canonical reference alters that of a dialect in the same way."""
    found = answer(name, wire(name), server=BROKEN[rule])
    results = CODECS[name].decode(json.loads(found.body), found.headers)["results"]
    if rule == "answer.index-in-range":
        assert 3 in [result["index"] for result in results]
    elif rule == "answer.complete":
        assert len(results) == 2
    else:
        assert isinstance(results[0]["relevance_score"], str)


def test_unknown_dialect_is_told():
    """A name that is not a dialect's is an error that lists them; the canonical form has no codec."""
    with pytest.raises(ValueError, match="'cohere' is not a dialect; use one of openrouter, cohere-v2"):
        codec("cohere")
    assert codec("openrouter") is None
    assert speaking("openrouter") is Reference


@pytest.mark.parametrize("spoken", NAMES)
@pytest.mark.parametrize("told", NAMES)
def test_facade_names_the_dialect_of_the_server(told: Any, spoken: str):
    """A client of any dialect ranks through the server of any other, or its error names the server's dialect."""
    from openrouter_rerank import Reranker, RerankError

    model: Any = {} if told == "tei" else {"model": "m"}
    with (
        running(speaking(spoken)(keys={KEY})) as url,
        Reranker(api_key=KEY, base_url=f"{url}/v1", dialect=told, **model) as reranker,
    ):
        try:
            ranking = reranker.rerank(CANONICAL["query"], CANONICAL["documents"])
        except RerankError as error:
            assert f"pass dialect={spoken!r}" in error.message
        else:
            assert ranking.indices[0] == 1
            assert told == spoken or {told, spoken} <= {"openrouter", "cohere-v2", "jina"}


@DIALECTS
def test_facade_ranks_through_the_server(name: str):
    """Two codecs that share no code agree: the facade's requests are taken, and its answers and errors are read."""
    from openrouter_rerank import AuthenticationError, Reranker

    documents = [*CANONICAL["documents"], "Bread rises."]
    model: Any = {"model": "m"} if "model" in CODECS[name].own else {}
    with running(speaking(name)(keys={KEY})) as url:
        with Reranker(api_key=KEY, base_url=f"{url}/v1", dialect=name, **model) as reranker:
            ranking = reranker.rerank(CANONICAL["query"], documents, top_n=2)
        with (
            Reranker(api_key="wrong", base_url=f"{url}/v1", dialect=name, **model) as locked_out,
            pytest.raises(AuthenticationError),
        ):
            locked_out.rerank(CANONICAL["query"], documents)
    assert ranking.indices[0] == 1
    assert len(ranking) == 2
    assert ranking[0].document is documents[1]
    assert (ranking.usage.search_units if name == "cohere-v2" else ranking.usage.total_tokens) is not None
