"""Many queries: what is asked for, what comes of each, and the iterators over that. How a run goes, run.py and its two kinds know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, Unpack, cast

import msgspec

from openrouter_rerank.documents import nearest
from openrouter_rerank.options import CALL, CallOptions, refuse_unknown
from openrouter_rerank.ranking import OriginalOrder, Ranking

if TYPE_CHECKING:
    from openrouter_rerank.bulk.tasks import Tasks
    from openrouter_rerank.bulk.threads import Threads


class RerankRequest:
    """One query with its documents, and the options of `rerank` for it; None is the client's default.

    Args:
        query, documents, key, on_error: As for `rerank`.
        options: The other arguments of `rerank`. Each is an attribute too.

    Raises:
        TypeError: There is no such option.

    Example:
        >>> RerankRequest(query="Where is Berlin?", documents=["Berlin is in Germany."], top_n=1).top_n
        1
    """

    __slots__ = ("documents", "key", "on_error", "options", "query")

    def __init__(
        self,
        query: str,
        documents: Iterable[Any],
        *,
        key: Callable[[Any], Any] | str | None = None,
        on_error: Literal["raise", "keep_order"] | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        refuse_unknown("RerankRequest", options, FIELDS)
        self.query = query
        self.documents = documents
        self.key = key
        self.on_error = on_error
        self.options = options

    def __getattr__(self, name: str) -> Any:
        if name not in CALL:
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message)
        return self.options.get(name)

    def __repr__(self) -> str:
        return f"<RerankRequest {self.query!r}{'' if self.tag is None else f', tag {self.tag!r}'}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RerankRequest):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in RerankRequest.__slots__)

    __hash__ = None  # type: ignore[assignment] # it holds lists

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `rerank` beside query and documents."""
        given = {"key": self.key, "on_error": self.on_error, **self.options}
        return {name: value for name, value in given.items() if value is not None}


FIELDS = ("query", "documents", "key", "on_error", *sorted(CALL))
"""The names of what a request may have."""

Requestable: TypeAlias = "RerankRequest | Mapping[str, Any] | tuple[str, Iterable[Any]]"
"""What can be asked: a `RerankRequest`, a mapping with the same keys, or a pair of query and documents."""


class Result(msgspec.Struct, frozen=True):
    """What came of one request: its ranking, or its error.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> with Reranker.local() as reranker:
        ...     results = list(reranker.rerank_many([("q", ["a document"]), ("q", 7)]))
        >>> [result.ok for result in results]
        [True, False]
    """

    index: int
    """The request's position among those that were passed in, from 0."""
    request: Any
    """The `RerankRequest`; where it could not be made into one, what was passed in."""
    ranking: Ranking[Any] | OriginalOrder[Any] | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a ranking."""
        return self.error is None

    def unwrap(self) -> Ranking[Any] | OriginalOrder[Any]:
        """The ranking; where there is none, its error is raised."""
        if self.error is not None:
            raise self.error
        return cast("Ranking[Any] | OriginalOrder[Any]", self.ranking)


class Progress(msgspec.Struct, frozen=True):
    """How far a run of many queries has come."""

    done: int
    """Results so far, the failed ones too."""
    failed: int
    cost: float
    """US dollars, as far as the server said them."""
    unknown: int
    """Rankings of which the server did not say the cost."""
    search_units: int
    total_tokens: int
    elapsed: float
    """Seconds since the first request was taken."""
    limit: int
    """How many requests may be under way just now."""


def refuse_one(requests: object) -> None:
    """Refuse what is one request, or nothing that requests come from.

    Raises:
        TypeError: It is.
    """
    kind = type(requests).__name__
    if isinstance(requests, str | bytes | Mapping | RerankRequest):
        message = f"requests is one {kind}; pass an iterable of requests"
        raise TypeError(message)
    if not any(hasattr(requests, name) for name in ("__iter__", "__getitem__", "__aiter__")):
        message = f"requests must be an iterable of requests, not {kind}"
        raise TypeError(message)


def as_request(given: object) -> RerankRequest:
    """The request that was passed in, as one.

    Raises:
        TypeError, ValueError: It is none.
    """
    if isinstance(given, RerankRequest):
        return given
    kind = type(given).__name__
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        for name in fields:
            if name not in FIELDS:
                close = nearest(str(name), FIELDS)
                hint = f"did you mean {close!r}?" if close else f"a request has {', '.join(FIELDS)}"
                message = f"a request has no {name!r}; {hint}"
                raise ValueError(message)
        for name in ("query", "documents"):
            if name not in fields:
                message = f"a request needs {name!r}; this one has {', '.join(map(str, fields)) or 'nothing'}"
                raise ValueError(message)
        return RerankRequest(**fields)
    if isinstance(given, tuple | list):
        pair = list(cast(Iterable[Any], given))
        if len(pair) == 2:
            return RerankRequest(query=pair[0], documents=pair[1])
    message = (
        f"a request is a RerankRequest, a mapping with query and documents, or a pair of both, not {kind}"
    )
    raise TypeError(message)


class Results(Iterator[Result]):
    """The results of `Reranker.rerank_many`. Leaving the loop ends the run, as `close` does.

    Who keeps the iterator in a variable closes it, or uses it in `with`: a loop that is left does not end what is still held.
    """

    def __init__(self, run: Threads) -> None:
        self._run = run
        self._results = run.results()

    def __next__(self) -> Result:
        self._run.refuse_if_inherited()
        return next(self._results)

    def drain(self) -> None:
        """Start nothing more: the results of what is under way come still. A signal's handler may call it."""
        self._run.drain()

    def keep(self, keep: Callable[[Result], None]) -> None:
        """Have each result of a call kept by this function, in the thread that made the call and before it makes another.

        So what was paid and is not kept is never more than what is under way, however slow the loop over the results is.
        What it raises ends the run.
        """
        self._run.keep = keep

    def close(self) -> None:
        """End the run at once; what is under way is given up, though the server may bill it."""
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncResults(AsyncIterator[Result]):
    """The results of `AsyncReranker.rerank_many`. To leave the loop early, use it in `async with`, or `aclose` it."""

    def __init__(self, run: Tasks) -> None:
        self._run = run
        self._results = run.results()

    async def __anext__(self) -> Result:
        self._run.refuse_if_inherited()
        return await anext(self._results)

    def drain(self) -> None:
        """Start nothing more: the results of what is under way come still."""
        self._run.drain()

    async def aclose(self) -> None:
        """End the run at once; what is under way is given up, though the server may bill it."""
        await self._results.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
