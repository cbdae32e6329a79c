"""Servers of other dialects for tests: each ranks from last to first, in its vendor's form, and is as strict as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import httpx

from openrouter_rerank.testing import Request, Script, answer

Reply: TypeAlias = tuple[int, Any, dict[str, str]]
"""A status, a body (text, or what is sent as JSON), and headers."""
Vendor: TypeAlias = Callable[[dict[str, Any]], Reply]


def are_texts(documents: list[Any]) -> bool:
    """Return True if each document is a string."""
    return all(isinstance(document, str) for document in documents)


def order(count: int, asked: int | None) -> list[tuple[int, float]]:
    """Return the places with their scores: the last document is the best, by a logit."""
    places = [(place, (place + 1) / 4 - 2) for place in reversed(range(count))]
    return places if asked is None else places[:asked]


def cohere(body: dict[str, Any]) -> Reply:
    """Rank as Cohere does: unknown fields are refused, and no document is echoed."""
    known = {"model", "query", "documents", "top_n", "max_tokens_per_doc", "priority", "relevant_spans"}
    for name in body.keys() - known:
        return 422, {"id": "e-1", "message": f"unknown field: parameter '{name}' is not a valid field"}, {}
    if not (body["documents"] and are_texts(body["documents"])):
        return 400, {"message": "invalid request: list of documents must not be empty"}, {}
    found = [
        {"index": place, "relevance_score": score}
        for place, score in order(len(body["documents"]), body.get("top_n"))
    ]
    meta = {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}
    return 200, {"id": "c-1", "results": found, "meta": meta}, {}


def jina(body: dict[str, Any]) -> Reply:
    """Rank as vLLM and Jina do: unknown fields are ignored."""
    if "documents" not in body:
        error = {"message": "Field required", "type": "Bad Request", "param": "body.documents", "code": 400}
        return 400, {"error": error}, {}
    documents = body["documents"]
    found: list[dict[str, Any]] = [
        {"index": place, "relevance_score": score}
        for place, score in order(len(documents), body.get("top_n"))
    ]
    if body.get("return_documents", True):
        for result in found:
            result["document"] = {"text": documents[result["index"]]}
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return 200, {"model": body.get("model", "served"), "object": "list", "usage": usage, "results": found}, {}


def tei(body: dict[str, Any]) -> Reply:
    """Rank as TEI does: all texts come back, and the header has the tokens."""
    if "texts" not in body:
        return 422, "Failed to deserialize the JSON body into the target type: missing field `texts` at 1", {}
    texts = body["texts"]
    if not are_texts(texts):
        return (
            422,
            "Failed to deserialize the JSON body into the target type: texts[0]: invalid type: map",
            {},
        )
    if len(texts) > 32:
        message = f"batch size {len(texts)} > maximum allowed batch size 32"
        return 422, {"error": message, "error_type": "Validation"}, {}
    found = [{"index": place, "score": score} for place, score in order(len(texts), None)]
    return 200, found, {"x-compute-tokens": "11"}


def voyage(body: dict[str, Any]) -> Reply:
    """Rank as Voyage does: unknown fields, empty texts and more than a thousand documents are refused."""
    for name in body.keys() - {"query", "documents", "model", "top_k", "return_documents", "truncation"}:
        return 400, {"detail": f"Argument '{name}' is not supported by our API"}, {}
    if "" in body["documents"] or not are_texts(body["documents"]) or len(body["documents"]) > 1000:
        return 400, {"detail": "Input cannot contain empty strings or empty lists"}, {}
    found = [
        {"index": place, "relevance_score": score}
        for place, score in order(len(body["documents"]), body.get("top_k"))
    ]
    return 200, {"object": "list", "data": found, "model": body["model"], "usage": {"total_tokens": 57}}, {}


def openrouter(body: dict[str, Any]) -> Reply:
    """Rank as OpenRouter does: unknown fields are ignored, and documents are echoed."""
    for name in ("model", "documents"):
        if name not in body:
            return 400, {"error": {"code": 400, "message": f"{name} is required"}, "user_id": "user_1"}, {}
    found = [
        {"index": place, "relevance_score": score, "document": {"text": str(body["documents"][place])}}
        for place, score in order(len(body["documents"]), body.get("top_n"))
    ]
    usage = {"cost": 0.001, "search_units": 1}
    return 200, {"id": "gen-1", "model": "m", "provider": "Cohere", "results": found, "usage": usage}, {}


VENDORS: Mapping[str, Vendor] = {
    "openrouter": openrouter,
    "cohere-v2": cohere,
    "jina": jina,
    "tei": tei,
    "voyage": voyage,
}
"""A server of each dialect."""
DIALECTS = tuple(name for name in VENDORS if name != "openrouter")
"""The other dialects."""


def script(vendor: Vendor) -> Callable[[Request], Script]:
    """Return the script of a server on loopback."""

    def play(request: Request) -> Script:
        status, body, headers = vendor(request.json)
        kind = "text/plain" if isinstance(body, str) else "application/json"
        yield answer(status, body.encode() if isinstance(body, str) else body, kind, headers)

    return play


def handler(
    vendor: Vendor, sent: list[httpx.Request] | None = None
) -> Callable[[httpx.Request], httpx.Response]:
    """Return the handler of a mocked transport, which keeps the requests."""

    def handle(request: httpx.Request) -> httpx.Response:
        if sent is not None:
            sent.append(request)
        status, body, headers = vendor(json.loads(request.content))
        if isinstance(body, str):
            return httpx.Response(status, text=body, headers=headers)
        return httpx.Response(status, json=body, headers=headers)

    return handle
