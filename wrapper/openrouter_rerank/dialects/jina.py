"""The flat form: Jina's, and that of vLLM, llama.cpp, infinity, SGLang, LocalAI, Xinference, SiliconFlow and LiteLLM."""

from __future__ import annotations

import msgspec

from openrouter_rerank.dialects.codec import Codec, Envelope
from openrouter_rerank.readers import items, members

_NO_BALANCE = "AUTHZ_INSUFFICIENT_BALANCE"


def is_answer(body: object) -> bool:
    """Return True for results with nothing that only OpenRouter or Cohere has, or for SGLang's list with `meta_info`."""
    listed = items(body)
    if listed:
        return all({"index", "score", "meta_info"} <= members(item).keys() for item in listed)
    fields = members(body)
    usage, meta = members(fields.get("usage")), members(fields.get("meta"))
    of_others = "provider" in fields or "cost" in usage or meta.get("api_version") or meta.get("billed_units")
    return isinstance(fields.get("results"), list) and not of_others


def is_error(body: object) -> bool:
    """Return True for the errors of Jina, of FastAPI, of OpenAI's form with a type, of SGLang and of SiliconFlow."""
    fields = members(body)
    detail, error = fields.get("detail"), members(fields.get("error"))
    return (
        (isinstance(detail, str) and bool(fields.keys() & {"code", "request_id", "errors"}))
        or any({"loc", "msg"} <= members(problem).keys() for problem in items(detail))
        or ("message" in error and isinstance(error.get("type"), str))
        or {"code", "message", "data"} <= fields.keys()
        or (fields.get("object") == "error" and isinstance(fields.get("message"), str))
    )


def refine(envelope: Envelope) -> Envelope:
    """Return the status for an account without credits, which Jina gives as 403, and the fields that it lists in a 422."""
    problems = [
        f"{problem['field']}: {problem['message']}"
        for problem in map(members, items(envelope.details.get("errors")))
        if {"field", "message"} <= problem.keys()
    ]
    if problems:
        return msgspec.structs.replace(envelope, message=f"{envelope.message} ({'; '.join(problems)})")
    if envelope.details.get("error_type") == _NO_BALANCE:
        return msgspec.structs.replace(envelope, code=402)
    return envelope


CODEC = Codec(
    name="jina",
    title="Jina",
    also=" (vLLM, llama.cpp and infinity have the same form)",
    servers=(
        "vllm",
        "llama.cpp",
        "llamacpp",
        "llama-cpp",
        "infinity",
        "sglang",
        "localai",
        "xinference",
        "siliconflow",
        "litellm",
    ),
    base_url="https://api.jina.ai/v1",
    hosts=("api.jina.ai",),
    key_variable="JINA_API_KEY",
    # Jina has echoed the documents by default; the caller has them.
    constants={"return_documents": False},
    takes_images=True,
    takes_list=True,  # SGLang's answer
    scores=("relevance_score", "score"),
    is_answer=is_answer,
    is_error=is_error,
    refine=refine,
)
