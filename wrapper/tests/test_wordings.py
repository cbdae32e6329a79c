"""The cause of an error by the words of real servers; and that what passes is never taken for what stays."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from driving import answered, call, finish
from openrouter_rerank import BadRequestError, Reranker, ResponseError, Retries, ServerError, StatusError
from openrouter_rerank.wordings import words_of
from shells import KEY, QUICK, Scoring, Shell

ONCE = Retries(attempts=1)


def error_of(status: int, body: Any, **headers: str) -> StatusError:
    """Return the error of a call that is answered by this."""
    with pytest.raises(StatusError) as caught:
        finish(call({"retries": ONCE}), answered(status, body, **headers))
    return caught.value


def envelope(message: str, code: int = 500, **more: Any) -> dict[str, Any]:
    """Return an error in the form of most servers."""
    return {"error": {"code": code, "message": message, **more}}


def packed(error: object) -> str:
    """Return an error as gateways nest it: JSON in a text."""
    return json.dumps({"message": error})


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ([[[["x"]]]], "x"),
        ([[[[["x"]]]]], ""),
        ({"error": {"error": {"error": {"error": "x"}}}}, "x"),
        ({"error": {"error": {"error": {"error": {"error": "x"}}}}}, ""),
        (packed(packed("x")), "x"),
        (packed(packed('["x"]')), '["x"]'),
    ],
)
def test_words_that_are_nested(error: object, words: str) -> None:
    """Words are looked for four levels deep, whatever holds them."""
    assert words_of(error) == words


TOO_LARGE: list[tuple[int, Any]] = [
    (413, b""),
    (413, b"<html><head><title>413 Request Entity Too Large</title></head></html>"),
    # llama.cpp and what runs it
    (500, envelope("input is too large to process. increase the physical batch size", type="server_error")),
    (
        500,
        envelope(
            "input (2793 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
        ),
    ),
    (500, envelope("input is larger than the max context size. skipped")),
    (500, envelope("input prompt is too big compared to KV size, please increase KV size")),
    (
        400,
        envelope(
            "the request exceeds the available context size, try increasing it",
            400,
            type="exceed_context_size_error",
        ),
    ),
    # TEI, and those in front of it
    (422, {"error": "batch size 100 > maximum allowed batch size 32", "error_type": "Validation"}),
    (400, {"error": "batch size 100 > maximum allowed batch size 32", "error_type": "Validation"}),
    (422, {"message": "batch size 60 > maximum allowed batch size 32", "code": 422, "type": "Validation"}),
    (422, {"error": "`inputs` must have less than 512 tokens. Given: 873", "error_type": "Validation"}),
    (
        500,
        envelope(
            "litellm.BadRequestError: - {'message': 'batch size 60 > maximum allowed batch size 32', 'code': 422}"
        ),
    ),
    # SiliconFlow
    (400, {"code": 20042, "message": "input batch size 136 > maximum allowed batch size 64", "data": None}),
    # DashScope
    (
        400,
        {
            "code": "InvalidParameter",
            "message": "<400> InternalError.Algo.InvalidParameter: Value error, batch size of documents is invalid, it should not be empty or larger than 500.: input.documents",
        },
    ),
    (
        400,
        envelope(
            "<400> InternalError.Algo.InvalidParameter: Value error, batch size is invalid, it should not be larger than 10.: input.contents",
            400,
        ),
    ),
    (
        400,
        {
            "code": "InvalidParameter",
            "message": "Value error, document index:0 is invalid, it should not be larger than 300000: input.documents",
        },
    ),
    # Voyage
    (400, {"detail": "The number of documents exceeds 1000."}),
    (
        400,
        {
            "detail": "Request to model 'rerank-1' failed. The max allowed tokens per submitted batch is 100000. Your batch has 145736 tokens after truncation. Please lower the number of tokens in the batch."
        },
    ),
    # Cohere
    (400, {"message": "too many documents: the maximum number of documents is 1000"}),
    # Qianfan
    (400, envelope("max number of documents is 64, please check the documentation", 336221)),
    # vLLM
    (
        400,
        envelope(
            "This model's maximum context length is 8192 tokens. However, you requested 20673 tokens in the input for embedding generation. Please reduce the length of the input.",
            400,
        ),
    ),
    # NIM
    (400, {"error": "Input length 16384 exceeds maximum allowed token size 8192"}),
    (
        500,
        {
            "error": "[StatusCode.INTERNAL] in ensemble 'm', Input length 1024 exceeds maximum allowed token size 512"
        },
    ),
    # pydantic, zod, Smithy
    (
        422,
        {
            "detail": [
                {
                    "type": "too_long",
                    "loc": ["body", "documents"],
                    "msg": "List should have at most 2048 items after validation, not 3000",
                    "input": ["q"],
                }
            ]
        },
    ),
    (
        422,
        {
            "detail": [
                {
                    "type": "string_too_long",
                    "loc": ["body", "documents", 3],
                    "msg": "String should have at most 122880 characters",
                }
            ]
        },
    ),
    (400, {"error": {"message": "Array must contain at most 1000 element(s)", "path": ["documents"]}}),
    (
        400,
        {
            "message": "Value at 'documents' failed to satisfy constraint: Member must have length less than or equal to 1000"
        },
    ),
    # OpenVINO
    (400, {"error": "exceeding max_allowed_chunks before chunking limit: 10000; actual: 12000"}),
    # Jina, OpenRouter, and what gateways pass on
    (400, {"detail": "The request is refused.", "code": "INPUT_TOKEN_LIMIT_EXCEEDED"}),
    (502, envelope("Provider returned error", 502, metadata={"error_type": "payload_too_large"})),
    (
        400,
        envelope(
            "Provider returned error",
            400,
            metadata={"raw": '{"detail":"The number of documents exceeds 1000"}'},
        ),
    ),
    (400, envelope("Provider returned error", 400, metadata={"error_type": "context_length_exceeded"})),
    (400, b"Request body too large"),
    (503, b"The request entity is too large"),
    (200, envelope("batch size 100 > maximum allowed batch size 32", 422)),
]


@pytest.mark.parametrize("row", TOO_LARGE, ids=lambda row: f"{row[0]} {row[1]!s:.70}")
def test_too_large(row: tuple[int, Any]) -> None:
    """It is not tried again, and the message says what to send instead."""
    error = error_of(*row)

    assert error.too_large is True
    assert error.retryable is False
    assert "fewer or shorter documents" in str(error)


OTHER: list[tuple[int, Any]] = [
    (400, envelope("Input should be less than or equal to 100", 400, param="top_n")),
    (400, {"message": "top_n must not exceed the number of documents"}),
    (400, {"message": "top_n (500) exceeds the number of documents, which is 3. It must be at most 3"}),
    (400, {"message": "top_k is larger than the batch size"}),
    (400, {"detail": "Input cannot contain empty strings or empty lists"}),
    (400, {"message": "invalid request: list of documents must not be empty"}),
    (400, {"message": "query is too long: 9000 tokens exceed the limit of 2048 tokens"}),
    (
        422,
        {
            "detail": [
                {
                    "loc": ["body", "query"],
                    "msg": "String should have at most 122880 characters",
                    "input": "documents too large",
                }
            ]
        },
    ),
    (422, {"detail": [{"loc": ["body", "top_n"], "msg": "Input should be greater than 0", "input": 0}]}),
    (422, {"detail": [{"loc": ["body", "provider", "order"], "msg": "List should have at most 8 items"}]}),
    (
        422,
        {
            "detail": [
                {
                    "loc": ["body", "documents", 0],
                    "msg": "Input should be a valid string",
                    "input": {"text": "batch size 5 > maximum allowed batch size 3"},
                }
            ]
        },
    ),
    (
        400,
        envelope(
            "session_id is too long: at most 256 characters", 400, metadata={"error_type": "string_too_long"}
        ),
    ),
    (400, {"message": "Your request exceeds the monthly token quota"}),
    (400, {"message": "You exceed the rate limit of 100000 tokens"}),
    (400, {"message": "Your balance is too low: the request exceeds your credits for tokens"}),
    (400, {"message": "request header too large"}),
    (
        422,
        b"Failed to deserialize the JSON body into the target type: missing field `texts` at line 1 column 20",
    ),
    (422, {"detail": "Unprocessable"}),
    (400, {"error": {"message": {"documents": {"too large": 1}}}}),
    (400, envelope("deep", 400, metadata={"raw": "[" * 500})),
    (
        429,
        envelope(
            "Request too large for the model on tokens per min (TPM): Limit 10000, Requested 12000", 429
        ),
    ),
    (401, {"message": "batch size 100 > maximum allowed batch size 32"}),
    (409, {"message": "batch size 100 > maximum allowed batch size 32"}),
]


@pytest.mark.parametrize("row", OTHER, ids=lambda row: f"{row[0]} {row[1]!s:.70}")
def test_not_too_large(row: tuple[int, Any]) -> None:
    """Wordings that fewer documents do not mend, or that only quote the request, are not about size."""
    assert error_of(*row).too_large is False


PERMANENT = [
    "Cohere API key is required. Please set 'COHERE_API_KEY' or 'CO_API_KEY' or 'litellm.cohere_key'",
    "litellm.AuthenticationError: OpenAIException - The api_key client option must be set either by passing api_key to it",
    "litellm.AuthenticationError: Missing Anthropic API Key - A call is being made to anthropic but no key is set",
    "Incorrect API key provided: sk-qVL4",
    "no API key configured for provider jina",
    "no key configured",
    "The key of the provider is not configured",
    "No credentials found",
    "invalid api key",
    "Insufficient balance",
    "This server does not support reranking. Start it with `--reranking`",
    "This model does not support rerank",
    "model m is not supported",
    "The model `m` does not exist.",
    "The model `rerank-2.5` does not exist.",
    "model 'm' not found, try pulling it first",
    "Model not found in the model list, uid: m",
    "litellm.BadRequestError: Unsupported provider: openrouter",
    "unknown model: m",
    "m is not a reranker",
    "not implemented (request id: 1)",
    # whatever stands in a traceback
    "no key configured\n\nTraceback (most recent call last):\n  File x, line 1\n    timeout = retry(loading)",
]
PASSING = [
    "Model is overloaded",
    "The engine is currently overloaded, please try again later",
    "Loading model",
    "model m is not loaded, try again",
    "model m is not supported by any running instance at the moment",
    "model m not found: it is loading on another worker",
    "Request timed out",
    "timeout while the input is too large to process in time",
    "no API key available right now, all are rate limited",
    "temporarily unable to check: authentication failed",
    "Service temporarily unavailable",
    "No deployments available for selected model, Try again in 5 seconds",
    "API key service unavailable: invalid api key",
    "No available channel for model m under group default (distributor)",
    "Internal server error",
    "CUDA out of memory",
    "list index out of range",
    "no healthy upstream",
    "upstream connect error or disconnect/reset before headers. reset reason: connection failure",
    "could not load model - all backends returned error",
    "Provider returned error",
    "The server had an error while processing your request",
    "",
]


@pytest.mark.parametrize("status", [500, 502, 503, 529])
@pytest.mark.parametrize("says", PERMANENT, ids=lambda says: says[:50])
def test_permanent_faults_behind_a_5xx(says: str, status: int) -> None:
    """A fault that only a change mends is sent once, and the message says what to change."""
    error = error_of(status, envelope(says, status))

    assert type(error) is ServerError
    assert error.retryable is False
    assert "rying it again will not help" in str(error)
    # where the vendor itself says that it may be tried again, it knows better
    assert error_of(status, envelope(says, status, availability={"retryable": True})).retryable


@pytest.mark.parametrize("status", [500, 502, 503, 529])
@pytest.mark.parametrize("says", PASSING, ids=lambda says: says[:50])
def test_faults_that_pass(says: str, status: int) -> None:
    """A fault that may pass is retried: in JSON, in plain text and in HTML."""
    for body in (
        envelope(says, status),
        {"detail": says},
        says.encode(),
        f"<html><title>{says}</title>".encode(),
    ):
        error = error_of(status, body)

        assert error.retryable is True
        assert error.too_large is False


def test_what_mends_it() -> None:
    """The message names the place of the fault: the server's own key, or the model."""
    assert "configure it there" in str(error_of(500, envelope("no key configured")))
    assert "name of the model" in str(error_of(500, envelope("unknown model: m")))
    assert "change the request" in str(error_of(500, envelope("failed to fetch the image")))


def test_permanent_in_a_run() -> None:
    """In a run of many queries a 503 that will not pass is no reason for all to wait: it ends at once."""
    asked: list[httpx.Request] = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(503, json=envelope("no key configured", 503))

    with Reranker(
        KEY, http_client=httpx.Client(transport=httpx.MockTransport(server)), retries=QUICK
    ) as client:
        results = list(client.rerank_many([("q", ["a"])] * 3))

    assert len(asked) == 3
    assert all(isinstance(result.error, ServerError) for result in results)


ADDRESSES: list[tuple[int, Any]] = [
    (404, b""),
    (404, b"404 page not found"),
    (404, {"detail": "Not Found"}),
    (404, {"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}),
    (404, {"error": {"message": "Invalid URL (POST /v1/models/rerank)", "type": "invalid_request_error"}}),
    (404, {"error": "Unknown endpoint /v1/rerank"}),
    (404, {"message": "no Route matched with those values"}),
    (404, b"Cannot POST /v1/rerank"),
    (404, {"error": {"code": 404, "message": "Resource not found"}}),
    (
        404,
        {
            "status": 404,
            "error": "Not Found",
            "message": "No static resource v1/rerank.",
            "path": "/v1/rerank",
        },
    ),
    (404, b"<!doctype html><title>Models - Not Found</title>"),
    (405, b""),
    (405, {"detail": "Method Not Allowed"}),
    (410, b""),
    (418, b"<html>"),
    (501, b"<!doctype html><title>Error response</title>"),
]
MODELS: list[tuple[int, Any]] = [
    (404, envelope("The model `m` does not exist.", 404, param="model", type="NotFoundError")),
    (404, envelope("The model `BAAI/bge-v2.5-m3` does not exist.", 404, param="model", type="NotFoundError")),
    (404, {"message": "model 'xyz' not found, make sure the correct model ID was used"}),
    (404, envelope("No endpoints found for cohere/x.", 404)),
    (404, envelope("No endpoints found matching your data policy", 404)),
    (404, envelope("Gone", 404, availability={"code": "model_deprecated"})),
    (404, envelope("Not here", 404, param="model")),
    (
        404,
        {
            "error": {
                "code": "DeploymentNotFound",
                "message": "The API deployment for this resource does not exist",
            }
        },
    ),
    (404, {"error": 'model "x" not found, try pulling it first'}),
    (400, {"code": 20012, "message": "Model does not exist. Please check it carefully.", "data": None}),
    (400, {"detail": "Model rerank-9.5 is not supported. Supported models are [rerank-2.5]."}),
    (400, {"detail": "unknown model", "code": "INPUT_MODEL_NOT_FOUND"}),
    (400, {"error": {"message": "x", "code": "model_not_found"}}),
    (422, {"error": "no such model: x"}),
    (424, {"error": "model is not a re-ranker model", "error_type": "Backend"}),
]
REQUESTS: list[tuple[int, Any]] = [
    (400, envelope("This model does not support images.", 400)),
    (400, envelope("model is required", 400)),
    (400, envelope("The model is not supported with documents that have images.", 400)),
    (400, {"message": "invalid request: list of documents must not be empty"}),
]


@pytest.mark.parametrize("row", ADDRESSES, ids=lambda row: f"{row[0]} {row[1]!s:.50}")
def test_a_wrong_address(row: tuple[int, Any]) -> None:
    """If the operation does not exist, the message names base_url and not the request."""
    error = error_of(*row)

    assert type(error) is (ServerError if row[0] == 501 else BadRequestError)
    assert not error.retryable
    assert "Check base_url" in str(error)
    assert "hange the request" not in str(error)


@pytest.mark.parametrize("row", MODELS, ids=lambda row: f"{row[0]} {row[1]!s:.50}")
def test_an_unknown_model(row: tuple[int, Any]) -> None:
    """If the model does not exist, the message names the model and not base_url."""
    error = error_of(*row)

    assert "name of the model" in str(error)
    assert "base_url" not in str(error)


@pytest.mark.parametrize("row", REQUESTS, ids=lambda row: f"{row[1]!s:.50}")
def test_a_refused_request_of_a_model(row: tuple[int, Any]) -> None:
    """What a model cannot do with a request is not mended by the name of another one."""
    assert "hange the request" in str(error_of(*row))


def test_a_refusal_of_people_is_no_address() -> None:
    """A page that a gateway shows to a wrong key, or instead of too many requests, says nothing of the address."""
    for status in (401, 403, 429, 503):
        assert "base_url" not in str(
            error_of(status, b"<html><title>Attention required</title>", content_type="text/html")
        )


def test_an_address_behind_a_200() -> None:
    """LM Studio answers 200 to an address that it does not know."""
    with pytest.raises(ResponseError, match="Check base_url"):
        finish(call(), answered(200, {"error": "Unexpected endpoint or method. (POST /v1/rerank)"}))
    with pytest.raises(ResponseError) as caught:
        finish(call(), answered(200, {"error": "busy"}))
    assert "base_url" not in str(caught.value)


# Halving


class Refusing(Scoring):
    """A server that says in its own way that the list is too large."""

    def __init__(self, most: int, status: int, body: Any) -> None:
        super().__init__(most=most)
        self._refusal = (status, body)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Return the answer."""
        answer = super().__call__(request)
        status, body = self._refusal
        return httpx.Response(status, content=json.dumps(body)) if answer.status_code == 413 else answer


FORMS = [
    (422, {"error": "batch size 100 > maximum allowed batch size 32", "error_type": "Validation"}),
    (400, {"detail": "The number of documents exceeds 1000."}),
    (
        400,
        {
            "code": "InvalidParameter",
            "message": "batch size of documents is invalid, it should not be empty or larger than 5",
        },
    ),
    (500, envelope("input is too large to process. increase the physical batch size")),
    (200, envelope("too many documents", 413)),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: f"{form[0]} {form[1]!s:.40}")
def test_halved_by_its_words(form: tuple[int, Any], shell: Shell) -> None:
    """A list that is refused with a number or a size is halved, as for 413, and no half is tried twice."""
    server = Refusing(4, *form)
    documents = [str(10**n) for n in range(8)]
    with shell.open(server) as rank:
        ranking = rank("q", documents)

    assert server.sizes == [8, 4, 4]
    assert ranking.documents == documents[::-1]
    assert ranking.unranked == ()


def test_a_document_that_is_too_large_by_its_words(shell: Shell) -> None:
    """The document that is too large by itself is named; with partial results the others are ranked."""
    refusal = (500, envelope("input is too large to process. increase the physical batch size"))

    def server(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(refusal[0], json=refusal[1]) if b"long" in request.content else Scoring()(request)
        )

    with shell.open(server) as rank:
        with pytest.raises(ServerError, match="document 2 is too large for this server by itself"):
            rank("q", ["a", "bb", "long", "dddd"])
        ranking = rank("q", ["a", "bb", "long", "dddd"], on_part_error="partial")

    assert (ranking.indices, ranking.unranked) == ([3, 1, 0], (2,))


def test_a_query_that_is_too_large_is_not_sent_with_each_document() -> None:
    """If document after document is too large by itself, the query is, and the rest is not halved further."""
    server = Refusing(0, 400, envelope("This model's maximum context length is 512 tokens", 400))
    client = httpx.Client(transport=httpx.MockTransport(server))
    with (
        Reranker(KEY, http_client=client, on_part_error="partial") as reranker,
        pytest.raises(BadRequestError),
    ):
        reranker.rerank("q", [str(number) for number in range(1000)])

    assert len(server.requests) < 40


def test_several_documents_that_are_too_large(shell: Shell) -> None:
    """Documents between any number of oversized ones are ranked."""

    def server(request: httpx.Request) -> httpx.Response:
        refusal = envelope("input is too large to process. increase the physical batch size")
        return httpx.Response(500, json=refusal) if b"long" in request.content else Scoring()(request)

    documents = ["a" if number % 2 else "long" for number in range(32)]
    with shell.open(server) as rank:
        ranking = rank("q", documents, on_part_error="partial")

    assert sorted(ranking.indices) == list(range(1, 32, 2))
    assert ranking.unranked == tuple(range(0, 32, 2))


@pytest.mark.parametrize("row", OTHER[:8], ids=lambda row: f"{row[0]} {row[1]!s:.50}")
def test_not_halved(row: tuple[int, Any]) -> None:
    """A fault that is not about size is sent once."""
    server = Refusing(1, *row)
    with (
        Reranker(KEY, http_client=httpx.Client(transport=httpx.MockTransport(server))) as client,
        pytest.raises(BadRequestError),
    ):
        client.rerank("q", ["a", "b", "c"])

    assert server.sizes == [3]
