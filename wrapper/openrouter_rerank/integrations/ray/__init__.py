"""Rank data sets of Ray Data row by row, within limits that all actors share. This needs the extra `ray`.

Each name is imported when it is first used. `python -m openrouter_rerank.integrations.ray` ranks a Parquet data set.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openrouter_rerank.integrations.ray.dataset import Job, OpenRouterRerank

__all__ = ["Job", "OpenRouterRerank"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    from openrouter_rerank.integrations.ray import dataset  # noqa: PLC0415 - it needs Ray, and the limits do not

    return getattr(dataset, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
