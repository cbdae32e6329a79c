"""Text Embeddings Inference, and the servers that copy it (Hugging Face's endpoints)."""

from __future__ import annotations

import msgspec

from openrouter_rerank.dialects.codec import Codec, Envelope
from openrouter_rerank.readers import items, members

_KINDS = frozenset({"unhealthy", "backend", "overloaded", "validation", "tokenizer", "empty"})


def is_answer(body: object) -> bool:
    """Return True for a bare list of results with `score`, and without SGLang's `meta_info`."""
    listed = [members(item).keys() for item in items(body)]
    return bool(listed) and all({"index", "score"} <= keys and "meta_info" not in keys for keys in listed)


def is_error(body: object) -> bool:
    """Return True for an error with its `error_type`, or the text for a body without `texts`."""
    if isinstance(body, str):
        return "missing field `texts`" in body
    fields = members(body)
    return isinstance(fields.get("error"), str) and str(fields.get("error_type")).lower() in _KINDS


def refine(envelope: Envelope) -> Envelope:
    """Return the message of a 401, whose body is empty."""
    if envelope.code == 401 and not envelope.message:
        return msgspec.structs.replace(envelope, message="unauthorized")
    return envelope


CODEC = Codec(
    name="tei",
    title="TEI",
    servers=("huggingface", "hf", "text-embeddings-inference"),
    # Its defaults of max_client_batch_size and payload_limit.
    max_documents=32,
    max_bytes=2_000_000,
    results=None,
    scores=("score",),
    usage_header="x-compute-tokens",
    is_answer=is_answer,
    is_error=is_error,
    refine=refine,
)
