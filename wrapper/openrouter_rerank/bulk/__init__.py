"""Rerank long lists and many queries, cache answers, and estimate costs.

Each name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import warn

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import DiskCache, MemoryCache
    from openrouter_rerank.bulk.large import split_by_words
    from openrouter_rerank.bulk.many import Progress, Requestable, RerankRequest, Result
    from openrouter_rerank.bulk.money import Estimate
    from openrouter_rerank.bulk.tasks import AsyncResults
    from openrouter_rerank.bulk.threads import Results
    from openrouter_rerank.protocols import Cache, Splitter

__all__ = [
    "AsyncResults",
    "Cache",
    "DiskCache",
    "Estimate",
    "MemoryCache",
    "Progress",
    "Requestable",
    "RerankRequest",
    "Result",
    "Results",
    "Splitter",
    "split_by_words",
]

_HOMES = {
    "bulk.cache": ["DiskCache", "MemoryCache"],
    "bulk.large": ["split_by_words"],
    "bulk.many": ["Progress", "RerankRequest", "Requestable", "Result"],
    "bulk.money": ["Estimate"],
    "bulk.tasks": ["AsyncResults"],
    "bulk.threads": ["Results"],
    "protocols": ["Cache", "Splitter"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


_RENAMED = {
    "Request": "RerankRequest",
    "by_words": "split_by_words",
    "disk": "DiskCache",
    "memory": "MemoryCache",
}
"""The names of the first edition, with their replacements."""


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(_RENAMED.get(name, name))
    if home is None:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    if name in _RENAMED:
        message = (
            f"{__name__}.{name} is now openrouter_rerank.{_RENAMED[name]}; the old name goes with version 1.0"
        )
        warn(message, DeprecationWarning, stacklevel=2)
    return getattr(import_module(f"openrouter_rerank.{home}"), _RENAMED.get(name, name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
