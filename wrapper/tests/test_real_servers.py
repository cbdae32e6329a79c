"""The answers of real servers are read as they are, in both shells; what one of them leaves out is None."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from openrouter_rerank import (
    AuthenticationError,
    BadRequestError,
    InvalidResponseError,
    RateLimitError,
    ResponseError,
    ServerError,
    Usage,
)
from shells import Handler, Shell


def _server(status: int, body: Any, headers: dict[str, str] | None = None) -> Handler:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: httpx.Response(status, headers=headers, content=content)


# name: the answer to "q" over "a", "b", "c"; the indices; the model; the usage; whether it is all that the contract asks.
RANKINGS: dict[str, tuple[dict[str, Any], list[int], str | None, Usage, bool]] = {
    "OpenRouter, Voyage behind it": (
        {
            "model": "rerank-2.5-lite",
            "results": [
                {"index": 0, "relevance_score": 0.953125, "document": {"text": "a"}},
                {"index": 2, "relevance_score": 0.2734375, "document": {"text": "c"}},
            ],
            "usage": {"total_tokens": 17, "cost": 3.4e-07},
            "provider": "VoyageAI by MongoDB",
            "id": "gen-rerank-1786406400-Yh0uTgGqXvN2b7KpLw4s",
        },
        [0, 2],
        "rerank-2.5-lite",
        Usage(cost=3.4e-07, total_tokens=17),
        True,
    ),
    "OpenRouter, Cohere behind it": (
        {
            "id": "gen-rerank-1",
            "model": "rerank-v4.0-pro",
            "provider": "Cohere",
            "results": [{"index": 1, "relevance_score": 0.9, "document": {"text": "b"}}],
            "usage": {"search_units": 1, "cost": 0.0025},
        },
        [1],
        "rerank-v4.0-pro",
        Usage(cost=0.0025, search_units=1),
        True,
    ),
    "llama.cpp": (
        {
            "model": "any/name",
            "object": "list",
            "usage": {"prompt_tokens": 45, "total_tokens": 45},
            "results": [
                {"index": 1, "relevance_score": -1.4375},
                {"index": 0, "relevance_score": -8.25},
                {"index": 2, "relevance_score": -11.02113151550293},
            ],
        },
        [1, 0, 2],
        "any/name",
        Usage(total_tokens=45),
        False,
    ),
    "llama.cpp, an early build that does not sort": (
        {
            "model": "m",
            "object": "list",
            "usage": {"prompt_tokens": 0, "total_tokens": 0},
            "results": [{"index": index, "relevance_score": -9.5 + index} for index in range(3)],
        },
        [2, 1, 0],
        "m",
        Usage(total_tokens=0),
        False,
    ),
    "LiteLLM proxy": (
        {
            "id": "0b4f1a6e",
            "results": [{"index": 0, "relevance_score": 0.8}, {"index": 1, "relevance_score": 0.1}],
            "meta": {"api_version": None, "billed_units": {"search_units": 1}, "tokens": None},
        },
        [0, 1],
        None,
        Usage(search_units=1),
        False,
    ),
    "vLLM": (
        {
            "id": "score-1",
            "model": "BAAI/bge-reranker-base",
            "usage": {"prompt_tokens": 56, "total_tokens": 56},
            "results": [
                {"index": 1, "document": {"text": "b", "multi_modal": None}, "relevance_score": 0.998},
                {"index": 0, "document": {"text": "a", "multi_modal": None}, "relevance_score": 5.960464e-08},
            ],
        },
        [1, 0],
        "BAAI/bge-reranker-base",
        Usage(total_tokens=56),
        True,
    ),
    "infinity": (
        {
            "object": "rerank",
            "results": [{"relevance_score": 0.74, "index": 2, "document": "c"}],
            "model": "mixedbread-ai/mxbai-rerank-xsmall-v1",
            "usage": {"prompt_tokens": 9, "total_tokens": 9},
            "id": "infinity-1",
            "created": 1786406400,
        },
        [2],
        "mixedbread-ai/mxbai-rerank-xsmall-v1",
        Usage(total_tokens=9),
        False,
    ),
    "infinity, no echo asked for": (
        {
            "object": "rerank",
            "results": [{"relevance_score": 0.74, "index": 2, "document": None}],
            "model": "m",
            "usage": {"prompt_tokens": 9, "total_tokens": 9},
            "id": "infinity-1",
            "created": 1786406400,
        },
        [2],
        "m",
        Usage(total_tokens=9),
        False,
    ),
    "Jina": (
        {
            "model": "jina-reranker-v2-base-multilingual",
            "usage": {"total_tokens": 38},
            "results": [{"index": 0, "document": {"text": "a"}, "relevance_score": 0.8783143}],
        },
        [0],
        "jina-reranker-v2-base-multilingual",
        Usage(total_tokens=38),
        True,
    ),
    "Cohere v2": (
        {
            "id": "07734bd2-2473-4f07-94e1-0d9f0e6843cf",
            "results": [{"index": 2, "relevance_score": 0.99}, {"index": 1, "relevance_score": 0.01}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        },
        [2, 1],
        None,
        Usage(search_units=1),
        False,
    ),
    "Xinference": (
        {
            "id": "1",
            "results": [{"index": 0, "relevance_score": 0.5, "document": None}],
            "meta": {"api_version": None, "tokens": {"input_tokens": None}, "warnings": None},
        },
        [0],
        None,
        Usage(),
        False,
    ),
    "Together": (
        {
            "object": "rerank",
            "id": "1",
            "model": "m",
            "results": [{"index": 0, "relevance_score": 0.5, "document": {}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 0, "total_tokens": 1},
        },
        [0],
        "m",
        Usage(total_tokens=1),
        True,
    ),
    "SiliconFlow": (
        {
            "id": "1",
            "results": [{"index": 0, "relevance_score": 0.5}],
            "tokens": {"input_tokens": 3, "output_tokens": 0},
        },
        [0],
        None,
        Usage(total_tokens=3),
        False,
    ),
}


@pytest.mark.parametrize("name", RANKINGS)
def test_rankings(name: str, shell: Shell) -> None:
    """A ranking of each real server is joined with the caller's documents, with what it says and no invention."""
    body, indices, model, usage, whole = RANKINGS[name]

    ranking = shell.rank(_server(200, body))

    assert ranking.indices == indices
    assert ranking.documents == ["abc"[index] for index in indices]
    assert ranking.scores == sorted((result["relevance_score"] for result in body["results"]), reverse=True)
    assert (ranking.id, ranking.model) == (body.get("id"), model)
    assert ranking.provider == body.get("provider")
    assert ranking.usage == usage
    assert json.loads(ranking.body) == body
    if whole:
        assert ranking.response.to_dict() == body
    else:
        with pytest.raises(InvalidResponseError, match=r"\$|model"):
            ranking.response  # noqa: B018 - that it raises is the fact


ERRORS: dict[str, tuple[int, Any, type[ResponseError], str]] = {
    "OpenRouter": (
        401,
        {"error": {"message": "Missing Authentication header", "code": 401}},
        AuthenticationError,
        "Missing Authentication header",
    ),
    "OpenRouter, a provider behind it": (
        429,
        {
            "error": {
                "message": "Provider returned error",
                "code": 429,
                "metadata": {"raw": '{"message":"too many requests"}', "provider_name": "Cohere"},
            },
            "user_id": "user_1",
        },
        RateLimitError,
        'Provider returned error: {"message":"too many requests"}',
    ),
    "llama.cpp": (
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
    ),
    "llama.cpp, no reranker": (
        501,
        {"error": {"code": 501, "message": "This server does not support reranking", "type": "x"}},
        ServerError,
        "does not support reranking",
    ),
    "LiteLLM proxy": (
        500,
        {
            "error": {
                "message": "list index out of range\n\nTraceback (most recent call last):\n" + "x" * 4000,
                "type": "None",
                "param": "None",
                "code": "500",
            }
        },
        ServerError,
        "list index out of range",
    ),
    "vLLM": (
        404,
        {
            "error": {
                "message": "The model `m` does not exist.",
                "type": "NotFoundError",
                "param": "model",
                "code": 404,
            }
        },
        BadRequestError,
        "does not exist",
    ),
    "vLLM, older": (
        400,
        {"object": "error", "message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        BadRequestError,
        "too long",
    ),
    "infinity": (
        422,
        {"detail": [{"type": "missing", "loc": ["body", "query"], "msg": "Field required", "input": {}}]},
        BadRequestError,
        "Field required",
    ),
    "Jina": (401, {"detail": "Invalid API key"}, AuthenticationError, "Invalid API key"),
    "Cohere v2": (
        400,
        {"id": "1", "message": "invalid request: list of documents must not be empty"},
        BadRequestError,
        "must not be empty",
    ),
    "SiliconFlow": (
        400,
        {"code": 20012, "message": "Model does not exist", "data": None},
        BadRequestError,
        "Model does not exist",
    ),
    "TEI": (413, {"error": "batch size 64 > 32", "error_type": "Validation"}, BadRequestError, "batch size"),
    "TEI, plain text": (
        422,
        b"Failed to deserialize the JSON body",
        BadRequestError,
        "deserialize the JSON body",
    ),
    "LocalAI": (422, "documents must not be empty", BadRequestError, "must not be empty"),
    "DeepInfra": (429, {"detail": {"error": "busy"}}, RateLimitError, "busy"),
    "Cloudflare": (
        523,
        b"<!DOCTYPE html><html><head><title>openrouter.ai | 523: Origin is unreachable</title></head></html>",
        ServerError,
        "523: Origin is unreachable",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str, shell: Shell) -> None:
    """An error of each real server is of the class of its status, with the server's own words in one line."""
    status, body, kind, says = ERRORS[name]

    with pytest.raises(ResponseError) as caught:
        shell.rank(_server(status, body, {"x-request-id": "r"}))

    assert type(caught.value) is kind
    assert caught.value.status == status
    assert says in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 800
    assert caught.value.request_id == "r"


DIALECTS: dict[str, Any] = {
    "Voyage": {"object": "list", "data": [{"relevance_score": 0.4, "index": 0}], "model": "m", "usage": {}},
    "TEI": [{"index": 0, "score": 0.4}],
    "NIM": {"rankings": [{"index": 0, "logit": -1.5}]},
    "DeepInfra": {"scores": [0.1, 0.2], "input_tokens": 3},
    "Vercel": {"ranking": [{"index": 0, "relevanceScore": 0.5}]},
    "Isaacus": {"results": [{"index": 0, "score": 0.5}], "usage": {"input_tokens": 3}},
    "DashScope": {"output": {"results": [{"index": 0, "relevance_score": 0.5}]}, "request_id": "1"},
    "LM Studio": {"error": "Unexpected endpoint or method. (POST /v1/rerank)"},
}


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(name: str, shell: Shell) -> None:
    """An API that is not this one is refused, and never half read."""
    with pytest.raises(InvalidResponseError) as caught:
        shell.rank(_server(200, DIALECTS[name]))

    assert caught.value.status == 200
    assert json.loads(caught.value.body) == DIALECTS[name]
