"""The low-level client by itself, sync and async: it survives what servers answer, keeps what it does not know, shows no key."""

from __future__ import annotations

import asyncio
import json
import math
import pickle
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import attrs
import httpx
import pytest

from openrouter_rerank_api import AuthenticatedClient, Client
from openrouter_rerank_api.api.models import list_models
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.errors import MalformedBody, UnexpectedStatus
from openrouter_rerank_api.models import (
    ErrorResponse,
    ImageDocument,
    ModelList,
    ProviderOptions,
    ProviderPreferences,
    ProviderSettings,
    RerankRequest,
    RerankResponse,
    TextDocument,
    Trace,
)
from openrouter_rerank_api.types import UNSET, Response, encode
from shells import KEY, Handler

BODY = RerankRequest(model="m", query="q", documents=["a"])
GOOD: dict[str, Any] = {
    "model": "m",
    "results": [{"index": 0, "relevance_score": 1, "document": {"text": "a", "lang": "en"}, "tokens": 3}],
    "usage": {"cost": 1e-7, "discount": {"by": 2}},
    "created": 5,
}
ENVELOPE: dict[str, Any] = {"error": {"code": 529, "message": "Provider returned error", "more": 1}}

Ask = Callable[..., Response[ErrorResponse | RerankResponse]]


def _client(handler: Handler, **settings: Any) -> AuthenticatedClient:
    return AuthenticatedClient(
        "https://h.example/v1", token=KEY, httpx_args={"transport": httpx.MockTransport(handler)}, **settings
    )


def _sync(handler: Handler, **settings: Any) -> Response[ErrorResponse | RerankResponse]:
    with _client(handler, **settings) as client:
        return create_rerank.sync_detailed(client=client, body=BODY)


def _async(handler: Handler, **settings: Any) -> Response[ErrorResponse | RerankResponse]:
    async def ask() -> Response[ErrorResponse | RerankResponse]:
        async with _client(handler, **settings) as client:
            return await create_rerank.asyncio_detailed(client=client, body=BODY)

    return asyncio.run(ask())


@pytest.fixture(params=[_sync, _async], ids=["sync", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the two ways to call the operation."""
    return request.param


def _answer(status: int, content: Any, headers: dict[str, str] | None = None) -> Handler:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return lambda _: httpx.Response(status, headers=headers, content=raw)


def test_a_ranking(ask: Ask) -> None:
    """A good answer is typed, with its status, its headers in any case, and its bytes."""
    response = ask(_answer(200, GOOD, {"X-Request-ID": "r"}))

    assert isinstance(response.parsed, RerankResponse)
    assert response.parsed.results[0].relevance_score == 1.0
    assert (response.status_code, response.headers["x-request-id"]) == (200, "r")
    assert json.loads(response.content) == GOOD


def test_the_parsed_body_alone() -> None:
    """The two shorter doors give the model itself."""

    async def ask() -> object:
        async with _client(_answer(200, GOOD)) as client:
            return await create_rerank.asyncio(client=client, body=BODY)

    with _client(_answer(200, GOOD)) as client:
        assert isinstance(create_rerank.sync(client=client, body=BODY), RerankResponse)
    assert isinstance(asyncio.run(ask()), RerankResponse)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 413, 429, 500, 502, 503, 524, 529])
def test_statuses_of_the_contract(status: int, ask: Ask) -> None:
    """An error status with the contract's envelope is typed, 524 and 529 like any other."""
    response = ask(_answer(status, ENVELOPE))

    assert response.status_code == status
    assert isinstance(response.parsed, ErrorResponse)
    assert response.parsed.error.message == "Provider returned error"
    assert response.parsed.to_dict() == ENVELOPE


@pytest.mark.parametrize("status", [201, 204, 302, 408, 418, 422, 504, 520, 599, 600, 999])
def test_statuses_beyond_the_contract(status: int, ask: Ask) -> None:
    """A status that the contract does not name is a number without a body, or an error for whoever asks for that."""
    response = ask(_answer(status, ENVELOPE))

    assert (response.status_code, response.parsed) == (status, None)
    assert json.loads(response.content) == ENVELOPE
    with pytest.raises(UnexpectedStatus, match=str(status)) as caught:
        ask(_answer(status, ENVELOPE), raise_on_unexpected_status=True)
    assert caught.value.content == response.content
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"<html>502 Bad Gateway</html>",
        b"",
        b"null",
        b"[]",
        b'"text"',
        b'{"detail":"no"}',
        b'{"error":"no"}',
        b"\xff",
    ],
)
@pytest.mark.parametrize("status", [400, 502, 529])
def test_error_bodies_of_another_form(status: int, content: bytes, ask: Ask) -> None:
    """An error whose body is not the envelope is an answer all the same, with its bytes."""
    response = ask(_answer(status, content))

    assert (response.status_code, response.parsed, response.content) == (status, None, content)


def _without(*names: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name not in names}


def _result(**changes: Any) -> dict[str, Any]:
    result = {**GOOD["results"][0], **changes}
    return {**GOOD, "results": [GOOD["results"][0], {k: v for k, v in result.items() if v is not UNSET}]}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b'{"model":', "not JSON"),
        (b"\xff", "not JSON"),
        (b'{"model":"\xff"}', "not JSON"),
        (b"[" * 10**5, "not JSON"),
        (b'{"model":"m","results":[{"index":0,"relevance_score":NaN,"document":{}}]}', "not JSON"),
        (b"null", "object"),
        (b"[]", "object"),
        (b'"text"', "object"),
        (_without("model"), "`model`"),
        (_without("results"), "`results`"),
        ({**GOOD, "results": None}, "$.results"),
        ({**GOOD, "results": {}}, "$.results"),
        ({**GOOD, "results": ["a"]}, "$.results[0]"),
        ({**GOOD, "model": 5}, "$.model"),
        ({**GOOD, "usage": {"cost": "much"}}, "$.usage.cost"),
        (_result(index=UNSET), "`index` - at `$.results[1]`"),
        (_result(document=UNSET), "`document` - at `$.results[1]`"),
        (_result(document=None), "$.results[1].document"),
        (_result(document="a"), "$.results[1].document"),
        (_result(index="0"), "Expected `int`, got `str` - at `$.results[1].index`"),
        (_result(index=1.5), "$.results[1].index"),
        (_result(index=True), "$.results[1].index"),
        (_result(relevance_score="high"), "$.results[1].relevance_score"),
        (_result(relevance_score=None), "$.results[1].relevance_score"),
        (_result(document={"text": 5}), "$.results[1].document.text"),
    ],
    ids=lambda value: ascii(value)[-40:],
)
def test_rankings_that_are_none(content: Any, says: str, ask: Ask) -> None:
    """A 200 that breaks the contract is one error that names the place in the JSON, and keeps the body."""
    handler = _answer(200, content)

    with pytest.raises(MalformedBody) as caught:
        ask(handler)

    assert says in str(caught.value)
    assert caught.value.content == handler(httpx.Request("POST", "https://h.example")).content
    other = pickle.loads(pickle.dumps(caught.value))
    assert (str(other), other.content) == (str(caught.value), caught.value.content)


def test_unknown_fields_are_kept(ask: Ask) -> None:
    """Unknown fields are kept under their names and are sent back unchanged."""
    parsed = ask(_answer(200, GOOD)).parsed

    assert isinstance(parsed, RerankResponse)
    assert parsed.additional_properties == {"created": 5}
    assert parsed.results[0].additional_properties == {"tokens": 3}
    assert parsed.results[0].document.additional_properties == {"lang": "en"}
    assert parsed.to_dict() == GOOD
    assert json.loads(encode(parsed)) == GOOD


def test_requests() -> None:
    """A request is sent with what is set and nothing else, in the contract's own names, unknown fields too."""
    request = RerankRequest(
        model="m",
        query="q",
        documents=["a", TextDocument(text="b"), ImageDocument(image="https://x/y.png")],
        top_n=2,
        provider=ProviderPreferences(zdr=True),
        trace=Trace(trace_name="t"),
    )
    request.trace.additional_properties["mine"] = [1]  # type: ignore[union-attr] # it is set
    request.additional_properties["priority"] = 5
    expected = {
        "model": "m",
        "query": "q",
        "documents": ["a", {"text": "b"}, {"image": "https://x/y.png"}],
        "top_n": 2,
        "provider": {"zdr": True},
        "trace": {"trace_name": "t", "mine": [1]},
        "priority": 5,
    }

    assert json.loads(encode(request)) == request.to_dict() == expected
    assert json.loads(encode(BODY)) == {"model": "m", "query": "q", "documents": ["a"]}


def test_what_is_sent() -> None:
    """Method, address, key and headers are the contract's."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=GOOD)

    with _client(handler, headers={"X-Mine": "1"}) as client:
        create_rerank.sync(
            client=client,
            body=BODY,
            http_referer="https://app.example",
            x_open_router_title="T",
            x_open_router_categories="a,b",
        )

    (request,) = seen
    assert (request.method, str(request.url)) == ("POST", "https://h.example/v1/rerank")
    expected = {
        "Authorization": f"Bearer {KEY}",
        "Accept": "application/json",
        "Content-Type": "application/json",
        "HTTP-Referer": "https://app.example",
        "X-OpenRouter-Title": "T",
        "X-OpenRouter-Categories": "a,b",
        "X-Mine": "1",
    }
    assert {name: request.headers[name] for name in expected} == expected


MODEL: dict[str, Any] = {
    "id": "a/b",
    "canonical_slug": "a/b",
    "name": "B",
    "created": 1,
    "context_length": None,
    "architecture": {"input_modalities": ["text"], "output_modalities": ["rerank"], "modality": None},
    "pricing": {"prompt": "0", "completion": "0", "web_search": "0"},
    "top_provider": {"is_moderated": False},
    "supported_parameters": [],
    "links": {"details": "/d"},
    "of_later": 1,
}
MODELS: dict[str, Any] = {"data": [MODEL], "total_count": 1, "links": {"next": None}}


def test_the_list_of_models() -> None:
    """An operation without a body is got with its parameters, those that are unset left out; its answer is typed."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=MODELS)

    async def ask() -> ErrorResponse | ModelList | None:
        async with _client(handler) as client:
            return await list_models.asyncio(client=client, offset=0, limit=5)

    with _client(handler) as client:
        first = list_models.sync(
            client=client, output_modalities="rerank", http_referer="https://app.example"
        )
    second = asyncio.run(ask())

    assert isinstance(first, ModelList)
    assert first == second
    assert first.links.next is None
    assert first.data[0].pricing.additional_properties == {"web_search": "0"}
    assert first.to_dict() == MODELS
    assert [(request.method, str(request.url), request.content) for request in seen] == [
        ("GET", "https://h.example/v1/models?output_modalities=rerank", b""),
        ("GET", "https://h.example/v1/models?offset=0&limit=5", b""),
    ]
    assert seen[0].headers["HTTP-Referer"] == "https://app.example"
    assert "content-type" not in seen[0].headers


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (200, ENVELOPE, ErrorResponse),
        (401, ENVELOPE, ErrorResponse),
        (503, b"<html>", type(None)),
        (404, MODELS, type(None)),
    ],
)
def test_lists_of_models_that_are_none(status: int, content: Any, kind: type) -> None:
    """An error is read as one, under a 200 too; what the contract does not name is None."""
    with _client(_answer(status, content)) as client:
        assert isinstance(list_models.sync(client=client), kind)


def test_a_list_of_models_that_breaks_the_contract() -> None:
    """A 200 that is no list of models is one error that names the place."""
    broken = {**MODELS, "data": [MODEL | {"pricing": {"prompt": 0, "completion": "0"}}]}

    with (
        _client(_answer(200, broken)) as client,
        pytest.raises(MalformedBody, match=r"\$\.data\[0\]\.pricing"),
    ):
        list_models.sync(client=client)


def test_transport_errors_pass_through(ask: Ask) -> None:
    """An error of the transport is raised unchanged."""

    def handler(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(httpx.ConnectError, match="refused"):
        ask(handler)


def test_repr_shows_no_key() -> None:
    """Neither the client's repr nor that of what it sends with has the key, or any header's or cookie's value."""
    client = AuthenticatedClient(
        "https://h.example",
        token=KEY,
        headers={"X-Key": KEY},
        cookies={"session": KEY},
        httpx_args={"auth": ("u", KEY)},
    )

    assert "h.example" in repr(client)
    assert KEY not in f"{client!r} {client} {client.with_headers({'X-More': KEY})!r}"
    assert KEY not in repr(client.get_httpx_client())
    client.get_httpx_client().close()


@pytest.mark.parametrize(
    ("change", "value"),
    [("headers", {"X-A": "2"}), ("cookies", {"c": "2"}), ("timeout", 5.0)],
)
def test_with_leaves_the_original_alone(change: str, value: Any) -> None:
    """`with_...` gives a new client; the first one, and what it sends with, stay as they were."""
    client = AuthenticatedClient(
        "https://h.example", token=KEY, headers={"X-A": "1"}, cookies={"c": "1"}, timeout=1.0
    )
    before = attrs.asdict(client)
    first = client.get_httpx_client()

    other = getattr(client, f"with_{change}")(value)

    assert getattr(other, change) == value
    assert attrs.asdict(client) | {"_client": None} == before
    assert client.get_httpx_client() is first
    assert first.headers["X-A"] == "1"
    with other.get_httpx_client() as second, first:
        assert second is not first
        assert second.headers["X-A"] == ("2" if change == "headers" else "1")
        assert second.headers["Authorization"] == f"Bearer {KEY}"


def test_the_default_timeout_is_finite() -> None:
    """A client that nobody told a timeout does not wait for ever."""
    with Client("https://h.example").get_httpx_client() as client:
        timeouts = client.timeout.as_dict().values()

    assert all(seconds is not None and 0 < seconds < math.inf for seconds in timeouts)


def test_redirects_are_not_followed(ask: Ask) -> None:
    """A redirect is an answer, so that the key does not go along."""
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(307, headers={"Location": "https://elsewhere.example/"})

    assert ask(handler).status_code == 307
    assert seen == ["https://h.example/v1/rerank"]


def test_injected_httpx_clients() -> None:
    """A client of one's own is used, and replaces every setting."""
    client = AuthenticatedClient("https://h.example/v1", token=KEY)

    async def ask() -> object:
        transport = httpx.MockTransport(_answer(200, GOOD))
        async with httpx.AsyncClient(transport=transport, base_url="https://mine.example") as own:
            return await create_rerank.asyncio(client=client.set_async_httpx_client(own), body=BODY)

    with httpx.Client(
        transport=httpx.MockTransport(_answer(200, GOOD)), base_url="https://mine.example"
    ) as own:
        assert client.set_httpx_client(own).get_httpx_client() is own
        assert isinstance(create_rerank.sync(client=client, body=BODY), RerankResponse)
    assert isinstance(asyncio.run(ask()), RerankResponse)


def test_it_is_marked_as_typed() -> None:
    """Both packages ship `py.typed`, so that type checkers read them."""
    assert files("openrouter_rerank_api").joinpath("py.typed").is_file()
    assert files("openrouter_rerank").joinpath("py.typed").is_file()


def test_models_inside_unknown_fields_are_sent_whole() -> None:
    """The settings of a provider reach the wire from their own class as from a plain dict."""
    settings = ProviderSettings()
    settings.additional_properties["max_tokens_per_doc"] = 4096
    options = ProviderOptions()
    options.additional_properties["cohere"] = settings
    request = RerankRequest("m", "q", ["a"], provider=ProviderPreferences(options=options))

    sent = json.loads(create_rerank.get_kwargs(body=request)["content"])

    assert sent["provider"] == {"options": {"cohere": {"max_tokens_per_doc": 4096}}}


def test_the_low_level_client_reads_an_error_inside_a_200() -> None:
    """A success that carries the envelope of an error is read as that."""
    parsed = create_rerank.parse(200, b'{"error":{"code":429,"message":"slow down"}}')

    assert isinstance(parsed, ErrorResponse)
    assert parsed.error.code == 429
