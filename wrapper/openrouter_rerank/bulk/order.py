"""Keep the caller's order of the documents where ranking fails."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, TypeVar

from openrouter_rerank.calls import Handler
from openrouter_rerank.core import rerank
from openrouter_rerank.documents import as_list
from openrouter_rerank.errors import RerankError
from openrouter_rerank.operations import Step
from openrouter_rerank.ranking import OriginalOrder, Ranking, UnscoredHit
from openrouter_rerank.settings import Settings

T = TypeVar("T")


def keep_order(
    settings: Settings, handler: Handler, query: str, documents: Iterable[T], **arguments: Any
) -> Generator[Step, Any, Ranking[T] | OriginalOrder[T]]:
    """Return the ranking, or after a RerankError the documents in the caller's order.

    Args:
        settings: As for `core.rerank`, and so are the arguments that follow.
        handler: See there.
        query: See there.
        documents: See there.
        arguments: See there.
    """
    own = as_list(documents)
    try:
        return (yield from rerank(settings, handler, query, own, **arguments))
    except RerankError as error:
        top_n = arguments.get("top_n") or settings.defaults["top_n"]
        kept = own if top_n is None else own[: int(top_n)]
        return OriginalOrder(
            tuple(UnscoredHit(index, document) for index, document in enumerate(kept)),
            total=len(own),
            reason=error,
        )
