"""Many documents, many queries, and what they cost: what stands on one call and is no call itself.

Importing this package imports none of it: a name is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openrouter_rerank.bulk.cache import Cache, disk, memory
    from openrouter_rerank.bulk.large import Splitter, by_words
    from openrouter_rerank.bulk.many import AsyncResults, Progress, Request, Requestable, Result, Results
    from openrouter_rerank.bulk.money import Estimate

__all__ = [
    "AsyncResults",
    "Cache",
    "Estimate",
    "Progress",
    "Request",
    "Requestable",
    "Result",
    "Results",
    "Splitter",
    "by_words",
    "disk",
    "memory",
]

_HOMES = {
    "cache": ["Cache", "disk", "memory"],
    "large": ["Splitter", "by_words"],
    "many": ["AsyncResults", "Progress", "Request", "Requestable", "Result", "Results"],
    "money": ["Estimate"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
