"""Voyage, also as MongoDB serves it."""

from __future__ import annotations

import re

from openrouter_rerank.dialects.codec import Codec
from openrouter_rerank.readers import items, members

_WORDS = re.compile(
    r"not supported by our API|arguments were not specified properly|Provided API key is invalid|"
    r"Input cannot contain empty strings|voyage",
    re.IGNORECASE,
)


def is_answer(body: object) -> bool:
    """Return True for results that are named `data`."""
    found = items(members(body).get("data"))
    return bool(found) and all({"index", "relevance_score"} <= members(item).keys() for item in found)


def is_error(body: object) -> bool:
    """Return True for a `detail` alone with Voyage's words."""
    fields = members(body)
    detail = fields.get("detail")
    return set(fields) == {"detail"} and isinstance(detail, str) and _WORDS.search(detail) is not None


CODEC = Codec(
    name="voyage",
    title="Voyage",
    servers=("mongodb",),
    base_url="https://api.voyageai.com/v1",
    hosts=("api.voyageai.com", "ai.mongodb.com"),
    key_variable="VOYAGE_API_KEY",
    prefixes=("voyage/", "voyageai/"),
    takes_empty=False,
    results="data",
    is_answer=is_answer,
    is_error=is_error,
)
