"""Rerank documents with OpenRouter, or with any server of the same API. The public names, and nothing else."""

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.documents import Document
from openrouter_rerank.errors import (
    Attempt,
    BadRequest,
    ConnectionFailed,
    InsufficientCredits,
    MalformedResponse,
    RateLimited,
    RerankError,
    ResponseError,
    StatusError,
    TimedOut,
    Unauthorized,
    Unavailable,
)
from openrouter_rerank.ranking import Hit, Ranking, Usage
from openrouter_rerank.retries import Retries

__all__ = [
    "AsyncReranker",
    "Attempt",
    "BadRequest",
    "ConnectionFailed",
    "Document",
    "Hit",
    "InsufficientCredits",
    "MalformedResponse",
    "Ranking",
    "RateLimited",
    "RerankError",
    "Reranker",
    "ResponseError",
    "Retries",
    "StatusError",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "Usage",
]
