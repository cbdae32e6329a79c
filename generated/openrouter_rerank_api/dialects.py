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
    """Options to mark the relevant parts of each document; v5 models only.

    Example: {'mode': 'enabled'}"""

    mode: Literal["enabled", "disabled"]
    """`enabled` to mark relevant parts.

    Example: enabled"""
    threshold: float
    """Minimum score of a marked part.

    Example: 0.1"""
    max_spans: int
    """Maximum number of marked parts per document.

    Example: 3"""


class DialectOptions(TypedDict, total=False):
    """The fields of a request that only dialects have, and the dialects that take them."""

    instruction: str | None
    """jina: Ranking instruction in natural language, for models that accept one (vLLM; Qwen3 at SiliconFlow).

    Example: Prefer documents that name a place."""
    max_chunks_per_doc: Annotated[int, Meta(ge=1)] | None
    """jina: Maximum number of chunks per document; the best chunk counts (SiliconFlow, Xinference).

    Example: 1024"""
    max_doc_length: Annotated[int, Meta(ge=1, le=8192)] | None
    """jina: Maximum tokens per document; longer documents are truncated (Jina v3). 2,048 if omitted.

    Example: 2048"""
    max_tokens_per_doc: Annotated[int, Meta(ge=1)] | None | Annotated[int, Meta(ge=0)]
    """cohere-v2: Maximum tokens per document; longer documents are truncated. 4,096 if omitted or null. jina:
    Maximum tokens per document; longer documents are truncated (vLLM). No limit if omitted or 0.

    Example: 4096"""
    max_tokens_per_query: Annotated[int, Meta(ge=0)] | None
    """jina: Maximum tokens of the query; a longer query is truncated (vLLM). No limit if omitted or 0.

    Example: 128"""
    overlap_tokens: Annotated[int, Meta(ge=0, le=80)] | None
    """jina: Number of tokens that adjacent chunks share (SiliconFlow).

    Example: 80"""
    priority: Annotated[int, Meta(ge=0, le=999)] | None
    """cohere-v2: Priority of the request, from 0 (highest) to 999. 0 if omitted.

    Default: 0

    Example: 0"""
    raw_scores: bool | None
    """jina: True to return logits (infinity). False if omitted. tei: True to return the model's logits instead
    of scores between 0 and 1. False if omitted.

    Example: False"""
    truncate: bool | None
    """tei: True to truncate a query with a text that is too long for the model; false to refuse the request
    instead. If omitted or null, the server's setting applies; since 1.9.0 its default is to truncate.

    Example: True"""
    truncate_prompt_tokens: Annotated[int, Meta(ge=-1)] | None
    """jina: Maximum tokens of the query with one document; longer input is truncated (vLLM). -1 is the maximum
    of the model.

    Example: -1"""
    truncation: bool | None
    """jina: True to truncate input that is too long; false to refuse the request instead (Jina). voyage: True
    to truncate a query or document that is too long; false to refuse the request instead. True if omitted.

    Example: True"""
    truncation_direction: Literal["Left", "Right"] | None
    """tei: End from which the input is truncated. `Right` if omitted.

    Example: Right"""
    truncation_side: Literal["left", "right"] | None
    """jina: End from which input is truncated (vLLM).

    Example: right"""
    use_activation: bool | None
    """jina: True to return scores between 0 and 1; false to return logits (vLLM).

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
    "instruction": "Ranking instruction in natural language, for models that accept one (vLLM; Qwen3 at SiliconFlow).",
    "max_chunks_per_doc": "Maximum number of chunks per document; the best chunk counts (SiliconFlow, Xinference).",
    "max_doc_length": "Maximum tokens per document; longer documents are truncated (Jina v3).",
    "max_tokens_per_doc": "Maximum tokens per document; longer documents are truncated.",
    "max_tokens_per_query": "Maximum tokens of the query; a longer query is truncated (vLLM).",
    "overlap_tokens": "Number of tokens that adjacent chunks share (SiliconFlow).",
    "priority": "Priority of the request, from 0 (highest) to 999.",
    "raw_scores": "True to return logits (infinity).",
    "truncate": "True to truncate a query with a text that is too long for the model; false to refuse the request instead.",
    "truncate_prompt_tokens": "Maximum tokens of the query with one document; longer input is truncated (vLLM).",
    "truncation": "True to truncate input that is too long; false to refuse the request instead (Jina).",
    "truncation_direction": "End from which the input is truncated.",
    "truncation_side": "End from which input is truncated (vLLM).",
    "use_activation": "True to return scores between 0 and 1; false to return logits (vLLM).",
}
"""A sentence about each field of `DialectOptions`."""
