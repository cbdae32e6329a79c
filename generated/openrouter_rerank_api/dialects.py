"""The requests of each dialect: the path, the type of each field, and the options that only dialects have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, TypedDict, Union

from msgspec import Meta

from .options import WIRE_TYPES

Dialect: TypeAlias = Literal["openrouter", "cohere-v2", "jina", "tei", "voyage"]
"""The name of a dialect."""


DIALECTS: tuple[Dialect, ...] = (
    "openrouter",
    "cohere-v2",
    "jina",
    "tei",
    "voyage",
)
"""All dialects, the dialect of openapi.yaml first."""


PATHS: Mapping[str, str] = {
    "openrouter": "/rerank",
    "cohere-v2": "/rerank",
    "jina": "/rerank",
    "tei": "/rerank",
    "voyage": "/rerank",
}
"""The path of the operation below the base address."""


CARRIED: Mapping[str, Mapping[str, str]] = {
    "openrouter": {
        "model": "model",
        "query": "query",
        "documents": "documents",
        "top_n": "top_n",
        "provider": "provider",
        "session_id": "session_id",
        "user": "user",
        "trace": "trace",
    },
    "cohere-v2": {"model": "model", "query": "query", "documents": "documents", "top_n": "top_n"},
    "jina": {"model": "model", "query": "query", "documents": "documents", "top_n": "top_n"},
    "tei": {"query": "query", "documents": "texts"},
    "voyage": {"query": "query", "documents": "documents", "model": "model", "top_n": "top_k"},
}
"""The name of each field of openapi.yaml that a dialect has, by its name there."""


REQUIRED: Mapping[str, Sequence[str]] = {
    "openrouter": ["model", "query", "documents"],
    "cohere-v2": ["model", "query", "documents"],
    "jina": ["query", "documents"],
    "tei": ["query", "documents"],
    "voyage": ["query", "documents", "model"],
}
"""The fields of openapi.yaml that a dialect requires."""


class CohereV2SpanOptionsDict(TypedDict, total=False):
    """Whether to mark the parts of each document that are relevant; v5 models alone.

    Example: {'mode': 'enabled'}"""

    mode: Literal["enabled", "disabled"]
    """Whether relevant parts are marked.

    Example: enabled"""
    threshold: float
    """The lowest score of a part that is marked.

    Example: 0.1"""
    max_spans: int
    """How many parts of a document are marked at most.

    Example: 3"""


class DialectOptions(TypedDict, total=False):
    """The fields of a request that only dialects have, and the dialects that take them."""

    instruction: str | None
    """jina: What to rank by, in words, for models that take it (vLLM; Qwen3 at SiliconFlow).

    Example: Prefer documents that name a place."""
    max_chunks_per_doc: Annotated[int, Meta(ge=1)] | None
    """jina: Into how many chunks a document is cut at most; the best one counts (SiliconFlow, Xinference).

    Example: 1024"""
    max_doc_length: Annotated[int, Meta(ge=1, le=8192)] | None
    """jina: Documents are cut to this many tokens (Jina v3). 2,048 if left out.

    Example: 2048"""
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] | None | Annotated[int, Meta(ge=0)]
    """cohere-v2: Documents are cut to this many tokens. 4,096 if left out or null. jina: Documents are cut to
    this many tokens (vLLM). Not cut if left out or 0.

    Example: 4096"""
    max_tokens_per_query: Annotated[int, Meta(ge=0)] | None
    """jina: The query is cut to this many tokens (vLLM). Not cut if left out or 0.

    Example: 128"""
    overlap_tokens: Annotated[int, Meta(ge=0, le=80)] | None
    """jina: How many tokens neighbouring chunks share (SiliconFlow).

    Example: 80"""
    priority: Annotated[int, Meta(ge=0, le=999)] | None
    """cohere-v2: The priority of the request, 0 being the highest. 0 if left out.

    Default: 0

    Example: 0"""
    raw_scores: bool | None
    """jina: Whether scores are logits (infinity). False if left out. tei: Whether scores are the model's
    logits, and not put between 0 and 1. False if left out.

    Example: False"""
    truncate: bool | None
    """tei: Whether a query with a text that is too long for the model is cut. If false, the request is refused
    instead. Left out or null, it is as the server was started; since 1.9.0 it cuts by default.

    Example: True"""
    truncate_prompt_tokens: Annotated[int, Meta(ge=-1)] | None
    """jina: The query with each document is cut to this many tokens (vLLM); -1 is the most that the model
    takes.

    Example: -1"""
    truncation: bool | None
    """jina: Whether Jina cuts what is too long. If false, the request is refused instead. voyage: Whether a
    query or a document that is too long is cut. If false, the request is refused instead. True if left out.

    Example: True"""
    truncation_direction: Literal["Left", "Right"] | None
    """tei: The end from which is cut. `Right` if left out.

    Example: Right"""
    truncation_side: Literal["left", "right"] | None
    """jina: The end from which vLLM cuts.

    Example: right"""
    use_activation: bool | None
    """jina: Whether scores are put between 0 and 1 (vLLM). If false, they are logits.

    Example: True"""


REQUESTS: Mapping[str, Mapping[str, object]] = {
    "openrouter": {
        "query": str,
        "documents": Annotated[list[str | Mapping[str, Any]], Meta(min_length=1)],
        **WIRE_TYPES,
    },
    "cohere-v2": {
        "model": str,
        "query": str,
        "documents": Annotated[list[str], Meta(min_length=1)],
        "top_n": Annotated[int, Meta(ge=1)],
        "max_tokens_per_doc": Union[Annotated[int, Meta(ge=1)], None],
        "priority": Annotated[int, Meta(ge=0, le=999)],
        "return_documents": bool | None,
        "relevant_spans": CohereV2SpanOptionsDict,
    },
    "jina": {
        "model": str,
        "query": str,
        "documents": Annotated[list[str | Mapping[str, Any]], Meta(min_length=1)],
        "top_n": Annotated[int, Meta(ge=1)],
        "return_documents": bool,
        "truncation": bool,
        "max_doc_length": Annotated[int, Meta(ge=1, le=8192)],
        "max_tokens_per_doc": Annotated[int, Meta(ge=0)],
        "max_tokens_per_query": Annotated[int, Meta(ge=0)],
        "truncate_prompt_tokens": Annotated[int, Meta(ge=-1)],
        "truncation_side": Literal["left", "right"],
        "use_activation": bool,
        "raw_scores": bool,
        "instruction": str,
        "max_chunks_per_doc": Annotated[int, Meta(ge=1)],
        "overlap_tokens": Annotated[int, Meta(ge=0, le=80)],
    },
    "tei": {
        "query": str,
        "texts": Annotated[list[str], Meta(min_length=1)],
        "truncate": bool | None,
        "truncation_direction": Literal["Left", "Right"],
        "raw_scores": bool,
        "return_text": bool,
    },
    "voyage": {
        "query": str,
        "documents": Annotated[list[Annotated[str, Meta(min_length=1)]], Meta(min_length=1, max_length=1000)],
        "model": str,
        "top_k": int | None,
        "return_documents": bool,
        "truncation": bool,
    },
}
"""The type of each field on the wire, with its bounds, for msgspec."""


SUMMARIES: Mapping[str, str] = {
    "instruction": "What to rank by, in words, for models that take it (vLLM; Qwen3 at SiliconFlow).",
    "max_chunks_per_doc": "Into how many chunks a document is cut at most; the best one counts (SiliconFlow, Xinference).",
    "max_doc_length": "Documents are cut to this many tokens (Jina v3).",
    "max_tokens_per_doc": "Documents are cut to this many tokens.",
    "max_tokens_per_query": "The query is cut to this many tokens (vLLM).",
    "overlap_tokens": "How many tokens neighbouring chunks share (SiliconFlow).",
    "priority": "The priority of the request, 0 being the highest.",
    "raw_scores": "Whether scores are logits (infinity).",
    "truncate": "Whether a query with a text that is too long for the model is cut.",
    "truncate_prompt_tokens": "The query with each document is cut to this many tokens (vLLM); -1 is the most that the model takes.",
    "truncation": "Whether Jina cuts what is too long.",
    "truncation_direction": "The end from which is cut.",
    "truncation_side": "The end from which vLLM cuts.",
    "use_activation": "Whether scores are put between 0 and 1 (vLLM).",
}
"""A sentence about each field of `DialectOptions`."""
