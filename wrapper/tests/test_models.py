"""The list of models: what is asked, what is believed of the answer, and that it ends."""

from __future__ import annotations

import gzip
import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    AsyncReranker,
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    ModelInfo,
    RateLimitError,
    Reranker,
    RerankError,
    Retries,
    ServerError,
)
from shells import KEY, LONG, Clock, Handler, Shell

RERANKER: dict[str, Any] = {
    "id": "cohere/rerank-v3.5",
    "canonical_slug": "cohere/rerank-v3.5",
    "name": "Cohere: Rerank v3.5",
    "description": "Ranks.",
    "created": 1775001600,
    "context_length": 4096,
    "architecture": {
        "input_modalities": ["text"],
        "output_modalities": ["rerank"],
        "modality": "text->rerank",
        "tokenizer": "Cohere",
    },
    "pricing": {"prompt": "0", "completion": "0"},
    "top_provider": {"is_moderated": False, "context_length": 4096},
    "per_request_limits": None,
    "supported_parameters": ["temperature", "tools"],
    "default_parameters": {"temperature": None},
    "supported_voices": None,
    "expiration_date": "2027-01-31",
    "links": {"details": "/api/v1/models/cohere/rerank-v3.5/endpoints"},
    "of_later": {"a": [1]},
}
NEXT = "https://elsewhere.example/api/v1/models?offset=7"


def page(*models: Any, following: Any = None, **more: Any) -> dict[str, Any]:
    """Return the body of one page."""
    return {"data": list(models), "total_count": len(models), "links": {"next": following}, **more}


def named(*ids: str) -> list[dict[str, Any]]:
    """Models that differ by their ids."""
    return [RERANKER | {"id": name} for name in ids]


def answering(*bodies: Any, status: int = 200, **headers: str) -> tuple[list[httpx.Request], Handler]:
    """Return a server that answers with one body after the other, the last one again and again; and what it was asked."""
    seen: list[httpx.Request] = []
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        body = bodies[min(len(seen), len(bodies)) - 1]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, content=content, headers=named)

    return seen, handler


def listed(shell: Shell, handler: Handler | None, **settings: Any) -> list[ModelInfo]:
    """Return the result of `models()`."""
    with shell.open(handler, "models", **settings) as models:
        return models()


def read(shell: Shell, *bodies: Any) -> list[ModelInfo]:
    """Return the result of `models()` for these bodies."""
    return listed(shell, answering(*bodies)[1])


# What is asked


def test_a_request_for_the_models(shell: Shell) -> None:
    """It gets `/models` beside `/rerank`, asks for those that rank, has the key and our headers, and no content."""
    seen, handler = answering(page(RERANKER))

    listed(shell, handler, app_title="T", extra_headers={"X-Mine": "1"})

    (request,) = seen
    assert request.method == "GET"
    assert str(request.url) == "https://openrouter.ai/api/v1/models?output_modalities=rerank"
    assert request.content == b""
    assert not {"content-type", "content-length", "transfer-encoding"} & set(request.headers)
    expected = {
        "Authorization": f"Bearer {KEY}",
        "Accept": "application/json",
        "X-OpenRouter-Title": "T",
        "X-Mine": "1",
    }
    assert {name: request.headers[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        ("http://h.example", "http://h.example/models?output_modalities=rerank"),
        ("http://h.example/v2/rerank/", "http://h.example/v2/models?output_modalities=rerank"),
        (
            "http://h.example/v1?tenant=a%20b",
            "http://h.example/v1/models?tenant=a%20b&output_modalities=rerank",
        ),
    ],
)
def test_the_address_follows_the_base_url(shell: Shell, base_url: str, address: str) -> None:
    """The list lies beside the ranking, whatever the base URL is, and what stands in its query goes along."""
    seen, handler = answering(page())

    listed(shell, handler, base_url=base_url)

    assert str(seen[0].url) == address


def test_arguments_of_a_call(shell: Shell) -> None:
    """A call has a timeout and headers of its own, which win over the client's."""
    seen, handler = answering(page())

    with shell.open(handler, "models", extra_headers={"X-Mine": "1"}) as models:
        models(timeout=7, extra_headers={"x-mine": "2"})

    assert seen[0].headers["x-mine"] == "2"
    assert 6 < seen[0].extensions["timeout"]["read"] <= 7


@pytest.mark.parametrize("arguments", [{"timeout": 0}, {"timeout": "1"}, {"extra_headers": {"X": 1}}])
def test_arguments_that_cannot_work(shell: Shell, arguments: dict[str, Any]) -> None:
    """They raise before anything is sent."""
    seen, handler = answering(page())

    with shell.open(handler, "models") as models, pytest.raises((TypeError, ValueError)):
        models(**arguments)

    assert seen == []


# What is believed


def test_a_model(shell: Shell) -> None:
    """All that the list says of use is there, by the names of the wire, and unknown fields do no harm."""
    (model,) = read(shell, page(RERANKER))

    assert model == ModelInfo(
        id="cohere/rerank-v3.5",
        name="Cohere: Rerank v3.5",
        description="Ranks.",
        created=1775001600,
        expiration_date="2027-01-31",
        context_length=4096,
        input_modalities=("text",),
        price_per_search=None,
        price_per_token=None,
    )


@pytest.mark.parametrize(
    ("pricing", "search", "token"),
    [
        ({"prompt": "0", "completion": "0"}, None, None),
        ({"prompt": "0", "request": "0"}, None, None),
        ({"prompt": "0.0000000", "request": "-0"}, None, None),
        ({"prompt": 0, "request": 0.0}, None, None),
        ({"prompt": "0", "request": "0.001"}, 0.001, None),
        ({"prompt": "0.00000005", "completion": "0"}, None, 5e-8),
        ({"prompt": 5e-8, "request": 0.0025}, 0.0025, 5e-8),
        ({"prompt": "-1", "request": "-1"}, None, None),
        ({"prompt": "nan", "request": "inf"}, None, None),
        ({"prompt": "free", "request": ""}, None, None),
        ({"prompt": None, "request": True}, None, None),
        ({"prompt": ["0.1"], "request": {"usd": "0.1"}}, None, None),
        ({"prompt": 10**400, "request": "1e999"}, None, None),
        ({"completion": "0.1", "image": "0.1"}, None, None),
        (None, None, None),
        ("0.001", None, None),
    ],
)
def test_prices(shell: Shell, pricing: object, search: float | None, token: float | None) -> None:
    """A price is what is above 0 and a number; all else, the 0 of the vendor's list first, is not known."""
    (model,) = read(shell, page(RERANKER | {"pricing": pricing}))

    assert (model.price_per_search, model.price_per_token) == (search, token)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {name: None for name in RERANKER if name != "id"},
        {name: [[{}]] for name in RERANKER if name != "id"},
        {"object": "model", "created": "today", "owned_by": "someone", "name": "", "context_length": 0},
        {"architecture": {"input_modalities": "text", "output_modalities": None}},
    ],
)
def test_what_is_not_said_is_none(shell: Shell, fields: dict[str, Any]) -> None:
    """A model needs an id; whatever else is absent, or of another form, is None."""
    (model,) = read(shell, page(fields | {"id": "m"}))

    assert model == ModelInfo("m")


def test_another_vendors_list(shell: Shell) -> None:
    """A list that says nothing of paging is one page, and its models are believed to rank."""
    assert read(shell, {"object": "list", "data": [{"id": "a"}, {"id": "b"}]}) == [
        ModelInfo("a"),
        ModelInfo("b"),
    ]


def test_a_server_that_lists_everything(shell: Shell) -> None:
    """Models that say that they do not rank are left out."""
    chat = RERANKER | {"id": "chat", "architecture": {"output_modalities": ["text"]}}
    both = RERANKER | {"id": "both", "architecture": {"output_modalities": ["text", "rerank"]}}

    assert [model.id for model in read(shell, page(chat, both, {"id": "silent"}))] == ["both", "silent"]


def test_nothing(shell: Shell) -> None:
    """A server without models that rank has an empty list."""
    assert read(shell, page()) == []


def test_integers_that_are_written_as_fractions(shell: Shell) -> None:
    """JSON knows no integers: 4096.0 is one too."""
    (model,) = read(shell, page(RERANKER | {"context_length": 4096.0}))

    assert (model.context_length, type(model.context_length)) == (4096, int)


def test_a_compressed_list(shell: Shell) -> None:
    """It is unpacked, like a ranking."""
    body = gzip.compress(json.dumps(page(RERANKER)).encode())

    assert listed(shell, answering(body, content_encoding="gzip")[1])[0].id == "cohere/rerank-v3.5"


# Pages


def test_pages(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """Every page is asked for at the same server, wherever an answer says that the next one is."""
    seen, handler = answering(
        page(*named("a", "b"), following=NEXT), page(*named("c"), following="?page=3"), page(*named("d"))
    )

    models = listed(shell, handler)

    assert [model.id for model in models] == ["a", "b", "c", "d"]
    base = "https://openrouter.ai/api/v1/models?output_modalities=rerank"
    assert [str(request.url) for request in seen] == [base, f"{base}&offset=2", f"{base}&offset=3"]
    assert "listed 4 model(s) on 3 page(s) in " in caplog.text


def test_models_that_are_left_out_count_for_the_next_page(shell: Shell) -> None:
    """A page begins behind all that came, whether it ranks or not."""
    chat = RERANKER | {"id": "chat", "architecture": {"output_modalities": ["text"]}}
    seen, handler = answering(page(chat, *named("a"), following=NEXT), page(*named("b")))

    assert [model.id for model in listed(shell, handler)] == ["a", "b"]
    assert seen[1].url.params["offset"] == "2"


def test_a_model_that_moves_to_the_next_page(shell: Shell) -> None:
    """A model that is on two pages, as one was added meanwhile, is listed once."""
    bodies = page(*named("a", "b"), following=NEXT), page(*named("b", "c"))

    assert [model.id for model in read(shell, *bodies)] == ["a", "b", "c"]


def test_an_empty_page_is_the_last(shell: Shell) -> None:
    """A page without models ends the list, whatever it names as the next."""
    seen, handler = answering(page(*named("a"), following=NEXT), page(following=NEXT))

    assert [model.id for model in listed(shell, handler)] == ["a"]
    assert len(seen) == 2


@pytest.mark.parametrize("following", ["", 0, False, [], {"href": NEXT}, 7])
def test_what_is_no_next_page(shell: Shell, following: Any) -> None:
    """Only a string with something in it names a next page."""
    seen, handler = answering(page(*named("a"), following=following))

    listed(shell, handler)

    assert len(seen) == 1


def test_a_server_that_gives_the_same_page_for_ever(shell: Shell) -> None:
    """A page with nothing new that names a next one is an error, not a loop."""
    seen, handler = answering(page(*named("a"), following=NEXT))

    with pytest.raises(InvalidResponseError, match="page 2 has nothing that was not on those before"):
        listed(shell, handler)

    assert len(seen) == 2


def test_a_server_that_pages_for_ever(shell: Shell) -> None:
    """A hundred pages, each with something new, are enough."""
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=page(*named(str(len(seen))), following=NEXT))

    with pytest.raises(InvalidResponseError, match="does not end with page 100"):
        listed(shell, handler)

    assert len(seen) == 100


def test_the_pages_share_the_deadline(shell: Shell, clock: Clock) -> None:
    """A list whose pages are each in time is late all the same where all of them together are."""
    seen, handler = answering(*(page(*named(str(number)), following=NEXT) for number in range(99)))

    def slowly(request: httpx.Request) -> httpx.Response:
        clock.advance(150)
        return handler(request)

    with (
        shell.open(slowly, "models", deadline=400, timeout=LONG) as models,
        pytest.raises(RerankError) as raised,
    ):
        models()

    assert isinstance(raised.value, APITimeoutError)
    assert len(seen) == 3


# Failure


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (page({"name": "n"}), "`id`"),
        (page({"id": None}), "$.data[0].id"),
        (page({"id": 5}), "$.data[0].id"),
        (page({"id": "a"}, {"id": ""}), "the id of model 1 is empty"),
        (page("a"), "$.data[0]"),
        ({"data": None}, "$.data"),
        ({"data": {"a": {}}}, "$.data"),
        (
            {"models": [{"id": "a"}]},
            "it has no data, which is the list of models. No part of it was used; check base_url",
        ),
        ({}, "it has no data"),
        ([{"id": "a"}], "Expected `object`"),
        (b"<html>models</html>", "is not JSON"),
        (b"", "it has no body"),
    ],
)
def test_lists_that_are_none(shell: Shell, body: Any, says: str) -> None:
    """A success that is no list of models is one error that says where, and is not tried again."""
    seen, handler = answering(body)

    with pytest.raises(InvalidResponseError) as raised:
        listed(shell, handler)

    assert says in str(raised.value)
    assert "https://openrouter.ai/api/v1/models answered 200" in str(raised.value)
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("status", "kind", "count"),
    [
        (400, BadRequestError, 1),
        (401, AuthenticationError, 1),
        (404, BadRequestError, 1),
        (429, RateLimitError, 3),
        (503, ServerError, 3),
    ],
)
def test_errors(shell: Shell, status: int, kind: type[RerankError], count: int) -> None:
    """They are those of a ranking, with its retries, and name the address of the list."""
    seen, handler = answering({"error": {"code": status, "message": "no"}}, status=status)

    with pytest.raises(kind, match=r"from https://openrouter\.ai/api/v1/models: no") as raised:
        listed(shell, handler)

    assert len(seen) == len(raised.value.attempts) == count
    assert raised.value.elapsed > 0


def test_an_error_inside_a_success(shell: Shell) -> None:
    """It is the error that it says it is."""
    with pytest.raises(AuthenticationError):
        read(shell, {"error": {"code": 401, "message": "User not found."}})


def test_a_page_is_tried_again(shell: Shell) -> None:
    """A page that fails once is asked for once more, and no other page is."""
    seen: list[str] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request.url.params.get("offset", "0"))
        if len(seen) == 2:
            return httpx.Response(503, json={"error": {"code": 503, "message": "later"}})
        return httpx.Response(200, json=page(*named(seen[-1]), following=NEXT if len(seen) == 1 else None))

    assert [model.id for model in listed(shell, handler)] == ["0", "1"]
    assert seen == ["0", "1", "1"]


def test_no_answer(shell: Shell) -> None:
    """A server that cannot be reached is told as for a ranking; documents are not spoken of."""

    def handler(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("slow")

    def refused(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(
        APITimeoutError,
        match=r"/models within .* s\. Raise timeout \(an attempt\) or deadline \(the whole call\)$",
    ):
        listed(shell, handler)
    with pytest.raises(APIConnectionError, match="/models: the server did not answer") as raised:
        listed(shell, refused, retries=Retries(attempts=2, first_wait=0.01))
    assert len(raised.value.attempts) == 2


def test_a_closed_reranker() -> None:
    """It lists nothing any more."""
    reranker = Reranker(KEY)
    reranker.close()

    with pytest.raises(RuntimeError, match="closed"):
        reranker.models()


async def test_a_closed_async_reranker() -> None:
    """Nor does the async one."""
    reranker = AsyncReranker(KEY)
    await reranker.aclose()

    with pytest.raises(RuntimeError, match="closed"):
        await reranker.models()


# Secrets


def test_an_echoed_key_is_blotted(shell: Shell) -> None:
    """A server that says the key back makes no model of it."""
    told = RERANKER | {"id": f"a/{KEY}", "name": KEY, "description": KEY}
    told["architecture"] = {"input_modalities": [KEY], "output_modalities": ["rerank"]}

    (model,) = read(shell, page(told))

    assert KEY not in repr(model)
    assert model.id == "a/[key]"


@pytest.mark.parametrize(
    "body",
    [{"error": {"code": 400, "message": KEY}}, page({"id": ""}, {"id": KEY}), f"<html>{KEY}</html>".encode()],
)
def test_no_error_has_the_key(shell: Shell, body: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Neither what an error says, nor the body that it carries, nor the log has it."""
    with caplog.at_level(logging.DEBUG), pytest.raises(RerankError) as raised:
        read(shell, body)

    assert KEY not in f"{raised.value} {raised.value!r} {vars(raised.value)} {caplog.text}"


def test_the_query_of_the_base_url_is_in_no_message(shell: Shell) -> None:
    """It may hold a secret."""
    with pytest.raises(BadRequestError) as raised:
        listed(shell, answering({}, status=404)[1], base_url="http://h.example/v1?token=hidden")

    assert "hidden" not in f"{raised.value} {vars(raised.value)}"


# Real servers


def test_over_a_socket(any_shell: Shell) -> None:
    """Over our own connections the list comes whole, page by page, before and after rankings on the same connection."""
    reference = pytest.importorskip(
        "rerank_conformance.reference.asgi", reason="the extra `serve` is not installed"
    )
    from rerank_conformance.reference import Reference

    seen: list[Any] = []

    class Paging(Reference):
        def models(self) -> list[dict[str, Any]]:
            (model,) = super().models()
            return [model | {"id": f"m-{number}"} for number in range(5)]

        def page(self, request: Any) -> dict[str, Any]:
            from dataclasses import replace

            seen.append(request)
            return super().page(replace(request, query=f"{request.query}&limit=2"))

    with reference.running(Paging(keys={KEY})) as url:
        assert [model.id for model in listed(any_shell, None, base_url=url)] == [f"m-{n}" for n in range(5)]
        assert [request.body for request in seen] == [b""] * 3
        assert not any({"content-length", "content-type"} & set(request.headers) for request in seen)
        with pytest.raises(AuthenticationError, match=f"{url}/models"):
            listed(any_shell, None, base_url=url, api_key="another")


def test_both_requests_by_turns() -> None:
    """A listing leaves the connection as a ranking needs it, and the other way round."""
    reference = pytest.importorskip(
        "rerank_conformance.reference.asgi", reason="the extra `serve` is not installed"
    )
    from rerank_conformance.reference import Reference

    with reference.running(Reference(keys={KEY})) as url, Reranker(KEY, base_url=url) as reranker:
        for _ in range(3):
            assert reranker.models()[0].id == reranker.rerank("q", ["a", "q"]).model


@pytest.mark.parametrize("scorer", [None, "lexical"])
def test_the_local_mode(scorer: str | None) -> None:
    """It lists what it ranks by, at no known price."""
    pytest.importorskip("rerank_conformance.reference", reason="the extra `local` is not installed")
    with Reranker.local(scorer) as reranker:
        (model,) = reranker.models()

        assert model.id == reranker.rerank("q", ["a"]).model
    assert (model.price_per_search, model.price_per_token, model.context_length) == (None, None, None)


def test_the_contracts_own_examples(shell: Shell) -> None:
    """Each example of a page is read: the first names a next one, which is the last."""
    kit: Callable[[], Any] = pytest.importorskip(
        "rerank_conformance.contract", reason="the contract is read by the kit's extra"
    ).load
    examples = kit().document["components"]["examples"]
    first, last = examples["FirstOfTwoPages"]["value"], examples["LastPage"]["value"]

    free, paid = read(shell, first, last)

    assert (free.input_modalities, paid.input_modalities) == (("text", "image"), ("text",))
    assert (free.price_per_token, paid.price_per_token, paid.price_per_search) == (None, None, None)


def test_a_description_cannot_be_changed() -> None:
    """The description of a model is a value: it can be a key of a dictionary, and nothing sets its fields."""
    info = ModelInfo(id="m", input_modalities=("text",))

    assert {info: 1}[ModelInfo(id="m", input_modalities=("text",))] == 1
    with pytest.raises(AttributeError):
        setattr(info, "id", "n")  # noqa: B010 - pyright refuses the assignment
