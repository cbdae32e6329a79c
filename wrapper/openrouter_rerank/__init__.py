"""Rerank documents with OpenRouter, or with any server of the same API. The public names, and nothing else."""

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.documents import Document
from openrouter_rerank.errors import (
    Attempt,
    BadRequest,
    BudgetExceeded,
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
from openrouter_rerank.models import ModelInfo
from openrouter_rerank.ranking import Hit, Kept, Part, Ranking, Unranked, Usage
from openrouter_rerank.retries import Retries
from openrouter_rerank.version import VERSION

__version__ = VERSION

__all__ = [
    "AsyncReranker",
    "Attempt",
    "BadRequest",
    "BudgetExceeded",
    "ConnectionFailed",
    "Document",
    "Hit",
    "InsufficientCredits",
    "Kept",
    "MalformedResponse",
    "ModelInfo",
    "Part",
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
    "Unranked",
    "Usage",
]

del VERSION
