"""OpenRouter's form, which is the canonical one. Requests in it are made without a codec; this one recognizes it."""

from __future__ import annotations

from openrouter_rerank.defaults import BASE_URL, KEY_VARIABLE
from openrouter_rerank.dialects.codec import Codec
from openrouter_rerank.readers import members


def is_answer(body: object) -> bool:
    """Return True for results with what only OpenRouter tells: the provider, or the cost."""
    fields = members(body)
    tells = "provider" in fields or "cost" in members(fields.get("usage"))
    return isinstance(fields.get("results"), list) and tells


def is_error(body: object) -> bool:
    """Return True for `{"error": {"code": 400, "message": ...}}` without a type, which the flat form has."""
    error = members(members(body).get("error"))
    return isinstance(error.get("code"), int) and "message" in error and not error.keys() & {"type", "param"}


CODEC = Codec(
    name="openrouter",
    title="OpenRouter",
    base_url=BASE_URL,
    hosts=("openrouter.ai", "eu.openrouter.ai", "us.openrouter.ai"),
    key_variable=KEY_VARIABLE,
    is_answer=is_answer,
    is_error=is_error,
)
