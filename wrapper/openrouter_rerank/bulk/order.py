"""The order that the caller had, where ranking fails: `on_error="keep_order"`. It does no I/O."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, TypeVar

from openrouter_rerank.core import rerank
from openrouter_rerank.documents import as_list
from openrouter_rerank.errors import RerankError
from openrouter_rerank.operations import Step
from openrouter_rerank.ranking import OriginalOrder, Ranking, UnscoredHit
from openrouter_rerank.settings import Settings

T = TypeVar("T")


def keeping(
    on_error: str, settings: Settings, query: str, documents: Iterable[T], **arguments: Any
) -> Generator[Step, Any, Ranking[T] | OriginalOrder[T]]:
    """A call that ends in a ranking or in the documents as they came, and raises for what the caller did wrong alone.

    Raises:
        ValueError: `on_error` is neither of the two that there are.
    """
    if on_error != "keep_order":
        message = f"on_error must be 'raise' or 'keep_order', not {on_error!r}"
        raise ValueError(message)
    own = as_list(documents)
    try:
        return (yield from rerank(settings, query, own, **arguments))
    except RerankError as error:
        top_n = arguments.get("top_n") or settings.defaults["top_n"]
        kept = own if top_n is None else own[: int(top_n)]
        return OriginalOrder(
            tuple(UnscoredHit(index, document) for index, document in enumerate(kept)),
            total=len(own),
            reason=error,
        )
