"""Rerank documents by relevance with OpenRouter's `/rerank`, or any compatible server. The public names."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.documents import Document
from openrouter_rerank.errors import (
    APIConnectionError,
    APITimeoutError,
    Attempt,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    InsufficientCreditsError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    RerankError,
    ResponseError,
    ServerError,
    StatusError,
)
from openrouter_rerank.models import ModelInfo
from openrouter_rerank.ranking import Hit, OriginalOrder, Part, Ranking, UnscoredHit, Usage
from openrouter_rerank.retries import Retries
from openrouter_rerank.version import VERSION

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import DiskCache, MemoryCache
    from openrouter_rerank.bulk.large import split_by_words
    from openrouter_rerank.bulk.many import RerankRequest
    from openrouter_rerank.doctor import Diagnosis, diagnose

__version__ = VERSION

__all__ = [
    "APIConnectionError",
    "APITimeoutError",
    "AsyncReranker",
    "Attempt",
    "AuthenticationError",
    "BadRequestError",
    "BudgetExceededError",
    "Diagnosis",
    "DiskCache",
    "Document",
    "Hit",
    "InsufficientCreditsError",
    "InvalidResponseError",
    "MemoryCache",
    "ModelInfo",
    "OriginalOrder",
    "Part",
    "Ranking",
    "RateLimitError",
    "RequestTimeoutError",
    "RerankError",
    "RerankRequest",
    "Reranker",
    "ResponseError",
    "Retries",
    "ServerError",
    "StatusError",
    "UnscoredHit",
    "Usage",
    "diagnose",
    "split_by_words",
]

del VERSION

# Imported when first used, as most applications need none of them.
_LAZY = {
    **dict.fromkeys(
        ["DiskCache", "MemoryCache", "RerankRequest", "split_by_words"], "openrouter_rerank.bulk"
    ),
    **dict.fromkeys(["Diagnosis", "diagnose"], "openrouter_rerank.doctor"),
}
_RENAMED = {
    "BadRequest": "BadRequestError",
    "BudgetExceeded": "BudgetExceededError",
    "ConnectionFailed": "APIConnectionError",
    "InsufficientCredits": "InsufficientCreditsError",
    "Kept": "UnscoredHit",
    "MalformedResponse": "InvalidResponseError",
    "RateLimited": "RateLimitError",
    "TimedOut": "APITimeoutError",
    "Unauthorized": "AuthenticationError",
    "Unavailable": "ServerError",
    "Unranked": "OriginalOrder",
}
"""The names of the first edition, with those that replace them."""


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    if name in _RENAMED:
        from warnings import warn  # noqa: PLC0415 - needed for old names only

        warn(
            f"openrouter_rerank.{name} is now {_RENAMED[name]}; the old name goes with version 1.0",
            DeprecationWarning,
            stacklevel=2,
        )
        return globals()[_RENAMED[name]]
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
