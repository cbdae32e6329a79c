"""The two rerankers behind an adapter, a sync and an async one: made when they are needed, or given ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.defaults import MODEL
from openrouter_rerank.documents import Sendable
from openrouter_rerank.ranking import Ranking

T = TypeVar("T")

# What a call can say as well as a reranker.
_OF_A_CALL = frozenset({"model", "top_n", "min_score", "provider"})


class Pair:
    """A sync and an async reranker of the same settings.

    Args:
        key: What gives the API key, so that the key itself stands in no frame of ours; None for the environment's.
        settings: Arguments of both rerankers; None stands for their own default.
        reranker, async_reranker: Ready ones, which stay the caller's to close. With one of them none is made.

    Raises:
        TypeError: A ready reranker is of the other kind.
        ValueError: A ready reranker comes with what only the one who makes it can set.
    """

    def __init__(
        self,
        key: Callable[[], str | None] | None,
        settings: Mapping[str, Any],
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
    ) -> None:
        if isinstance(reranker, AsyncReranker) or isinstance(async_reranker, Reranker):
            raise TypeError(
                "reranker= takes a Reranker and async_reranker= an AsyncReranker, not the other way round"
            )
        self.given = reranker is not None or async_reranker is not None
        """Whether the rerankers are the caller's own."""
        self._settings = {name: value for name, value in settings.items() if value is not None}
        self._key = key
        self._sync = reranker
        self._async = async_reranker
        late = [*(["api_key"] if key else []), *(name for name in self._settings if name not in _OF_A_CALL)]
        if self.given and late:
            message = f"{', '.join(late)}: a ready reranker has its own; set it where the reranker is made"
            raise ValueError(message)

    @property
    def model(self) -> str:
        """The model that calls ask for, as far as it can be known: a ready reranker of another make may not say."""
        if "model" in self._settings or not self.given:
            return str(self._settings.get("model", MODEL))
        settings = getattr(self._sync or self._async, "_settings", None)
        return str(settings.defaults["model"]) if settings else ""

    def rerank(
        self, query: str, documents: Iterable[T], key: Callable[[T], Sendable], **arguments: Any
    ) -> Ranking[T]:
        """What the sync one makes of it; an argument of None is as the settings say."""
        said = self._said(arguments)
        ranking: Ranking[T] = self.sync().rerank(query, documents, key=key, on_error="raise", **said)
        return ranking

    async def arerank(
        self, query: str, documents: Iterable[T], key: Callable[[T], Sendable], **arguments: Any
    ) -> Ranking[T]:
        """The same by the async one, on the event loop and in no thread."""
        reranker, said = self.asynchronous(), self._said(arguments)
        ranking: Ranking[T] = await reranker.rerank(query, documents, key=key, on_error="raise", **said)
        return ranking

    def _said(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        # Each call says them all, as a reranker that was given may have other defaults.
        default = {name: value for name, value in self._settings.items() if name in _OF_A_CALL}
        return default | {name: value for name, value in arguments.items() if value is not None}

    def check(self) -> None:
        """Make the sync one unless one was given, so that bad settings fail now; it raises as `sync` does."""
        if not self.given:
            self.sync()

    async def acheck(self) -> None:
        """The same for the async one, on the event loop that it will serve."""
        if not self.given:
            self.asynchronous()

    def sync(self) -> Reranker:
        """The sync one.

        Raises:
            ValueError: There is no key, a setting can never work, or an async one alone was given.
            TypeError: A setting has the wrong type.
        """
        if self._sync is None:
            if self.given:
                raise ValueError(
                    "there is async_reranker= alone: pass reranker= too, or call the async method"
                )
            self._sync = Reranker(self._key and self._key(), **self._settings)
        return self._sync

    def asynchronous(self) -> AsyncReranker:
        """The async one; it raises as `sync` does."""
        if self._async is None:
            if self.given:
                raise ValueError(
                    "there is reranker= alone: pass async_reranker= too, or call the sync method"
                )
            self._async = AsyncReranker(self._key and self._key(), **self._settings)
        return self._async

    def close(self) -> None:
        """Close the sync one, unless it was given. A later call makes a new one."""
        if self._sync is not None and not self.given:
            self._sync.close()
            self._sync = None

    async def aclose(self) -> None:
        """Close both, unless they were given. A later call makes new ones."""
        self.close()
        if self._async is not None and not self.given:
            await self._async.aclose()
            self._async = None
