"""Cohere's second version, and the servers that copy it (Azure)."""

from __future__ import annotations

import re
from http import HTTPStatus

import msgspec

from openrouter_rerank.dialects.codec import Codec, Envelope
from openrouter_rerank.readers import members

_CANCELLED = 499
_WORDS = re.compile(
    r"cohere|^unknown field: parameter|^invalid request: |no api key supplied|invalid api token",
    re.IGNORECASE,
)


def is_answer(body: object) -> bool:
    """Return True for results beside a `meta` that has a version, or what was billed and no usage."""
    fields = members(body)
    meta = members(fields.get("meta"))
    tells = meta.get("api_version") or (meta.get("billed_units") and not fields.keys() & {"usage", "model"})
    return isinstance(fields.get("results"), list) and bool(tells)


def is_error(body: object) -> bool:
    """Return True for `{"message": ...}`, with an id or with Cohere's words."""
    fields = members(body)
    message = fields.get("message")
    return (
        isinstance(message, str)
        and fields.keys() <= {"message", "id"}
        and ("id" in fields or _WORDS.search(message) is not None)
    )


def refine(envelope: Envelope) -> Envelope:
    """Return the id of an error as that of the request, and a request that the vendor gave up as one that may be repeated."""
    details = dict(envelope.details)
    if "id" in details:
        details["request_id"] = details.pop("id")
    code = HTTPStatus.REQUEST_TIMEOUT if envelope.code == _CANCELLED else envelope.code
    return msgspec.structs.replace(envelope, details=details, code=code)


CODEC = Codec(
    name="cohere-v2",
    title="Cohere",
    base_url="https://api.cohere.com/v2",
    hosts=("api.cohere.com", "api.cohere.ai"),
    key_variable="CO_API_KEY",
    prefixes=("cohere/",),
    is_answer=is_answer,
    is_error=is_error,
    refine=refine,
)
