"""Many queries: what is asked for, what comes of each, and the iterators over that. How a run goes, run.py and its two kinds know."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, cast

import msgspec

from openrouter_rerank.documents import nearest
from openrouter_rerank.ranking import Ranking, Unranked

if TYPE_CHECKING:
    from openrouter_rerank.bulk.tasks import Tasks
    from openrouter_rerank.bulk.threads import Threads


class Request(msgspec.Struct, kw_only=True):
    """One query with its documents, and whatever else `rerank` takes for this one; None is the client's default.

    Example:
        >>> Request(query="Where is Berlin?", documents=["Berlin is in Germany."], top_n=1).query
        'Where is Berlin?'
    """

    query: str
    documents: Iterable[Any]
    key: Callable[[Any], Any] | str | None = None
    model: str | None = None
    top_n: int | None = None
    min_score: float | None = None
    provider: Any = None
    session_id: str | None = None
    user: str | None = None
    trace: Any = None
    timeout: float | None = None
    extra_body: Mapping[str, Any] | None = None
    extra_headers: Mapping[str, str] | None = None
    tag: str | None = None
    on_error: Literal["raise", "keep_order"] | None = None
    max_documents: int | None = None
    max_bytes: int | None = None
    on_part_error: Literal["raise", "partial"] | None = None
    chunk: Any = None

    def __repr__(self) -> str:
        return f"<Request {self.query!r}{'' if self.tag is None else f', tag {self.tag!r}'}>"


Requestable: TypeAlias = "Request | Mapping[str, Any] | tuple[str, Iterable[Any]]"
"""What can be asked: a `Request`, a mapping with the same keys, or a pair of query and documents."""

_FIELDS = Request.__struct_fields__
_PASSED = tuple(name for name in _FIELDS if name not in ("query", "documents"))


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
    """The `Request`; where it could not be made into one, what was passed in."""
    ranking: Ranking[Any] | Unranked[Any] | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a ranking."""
        return self.error is None

    def unwrap(self) -> Ranking[Any] | Unranked[Any]:
        """The ranking; where there is none, its error is raised."""
        if self.error is not None:
            raise self.error
        return cast("Ranking[Any] | Unranked[Any]", self.ranking)


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
    if isinstance(requests, str | bytes | Mapping | Request):
        message = f"requests is one {kind}; pass an iterable of requests"
        raise TypeError(message)
    if not any(hasattr(requests, name) for name in ("__iter__", "__getitem__", "__aiter__")):
        message = f"requests must be an iterable of requests, not {kind}"
        raise TypeError(message)


def as_request(given: object) -> Request:
    """The request that was passed in, as one.

    Raises:
        TypeError, ValueError: It is none.
    """
    if isinstance(given, Request):
        return given
    kind = type(given).__name__
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        for name in fields:
            if name not in _FIELDS:
                close = nearest(str(name), _FIELDS)
                hint = f"did you mean {close!r}?" if close else f"a request has {', '.join(_FIELDS)}"
                message = f"a request has no {name!r}; {hint}"
                raise ValueError(message)
        for name in ("query", "documents"):
            if name not in fields:
                message = f"a request needs {name!r}; this one has {', '.join(map(str, fields)) or 'nothing'}"
                raise ValueError(message)
        return Request(**fields)
    if isinstance(given, tuple | list):
        pair = list(cast(Iterable[Any], given))
        if len(pair) == 2:
            return Request(query=pair[0], documents=pair[1])
    message = f"a request is a Request, a mapping with query and documents, or a pair of both, not {kind}"
    raise TypeError(message)


def arguments_of(request: Request) -> dict[str, Any]:
    """What `rerank` is called with beside query and documents."""
    values = ((name, getattr(request, name)) for name in _PASSED)
    return {name: value for name, value in values if value is not None}


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
