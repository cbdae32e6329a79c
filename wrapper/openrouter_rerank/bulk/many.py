"""Requests, results and progress of `rerank_many`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, Literal, TypeAlias, TypeVar, Unpack, cast, overload

import msgspec

from openrouter_rerank.arguments import nearest
from openrouter_rerank.documents import Listed
from openrouter_rerank.options import CALL, CallOptions, refuse_unknown
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank_api.answers import UsageSums

T = TypeVar("T")


class RerankRequest(Generic[T]):
    """A query with its documents, and options of `rerank`; None stands for the client's default.

    Args:
        query, documents, key, on_error: As for `rerank`.
        options: The other arguments of `rerank`. Each is an attribute too.

    Raises:
        TypeError: An option does not exist.

    Example:
        >>> RerankRequest(query="Where is Berlin?", documents=["Berlin is in Germany."], top_n=1).top_n
        1
    """

    __slots__ = ("documents", "key", "on_error", "options", "query")

    @overload
    def __init__(
        self,
        query: str,
        documents: Listed[T],
        *,
        key: None = None,
        on_error: Literal["raise", "keep_order"] | None = None,
        **options: Unpack[CallOptions],
    ) -> None: ...
    @overload
    def __init__(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Any] | str | None,
        on_error: Literal["raise", "keep_order"] | None = None,
        **options: Unpack[CallOptions],
    ) -> None: ...
    def __init__(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Any] | str | None = None,
        on_error: Literal["raise", "keep_order"] | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        refuse_unknown("RerankRequest", options, FIELDS)
        self.query = query
        self.documents = documents
        self.key: Callable[[T], Any] | str | None = key
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
        return all(getattr(self, name) == getattr(cast(Any, other), name) for name in RerankRequest.__slots__)

    __hash__ = None  # type: ignore[assignment] # it has lists # pyright: ignore[reportAssignmentType]

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of `rerank` beside query and documents."""
        given = {"key": self.key, "on_error": self.on_error, **self.options}
        return {name: value for name, value in given.items() if value is not None}


FIELDS = ("query", "documents", "key", "on_error", *sorted(CALL))
"""The names of a request's arguments."""

Requestable: TypeAlias = "RerankRequest[Any] | Mapping[str, Any] | tuple[str, Listed[Any]]"
"""A `RerankRequest`, a mapping with the same keys, or a pair of a query and its documents."""


class Result(msgspec.Struct, Generic[T], frozen=True):
    """The ranking of one request, or its error.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> with Reranker.local() as reranker:
        ...     results = list(reranker.rerank_many([("q", ["a document"]), ("q", 7)]))
        >>> [result.ok for result in results]
        [True, False]
    """

    index: int
    """The request's position in the input, from 0."""
    request: Any
    """The `RerankRequest`; for an invalid request, the object that was passed in."""
    ranking: Ranking[T] | OriginalOrder[T] | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """True if there is a ranking."""
        return self.error is None

    def unwrap(self) -> Ranking[T] | OriginalOrder[T]:
        """Return the ranking, or raise the error."""
        if self.error is not None:
            raise self.error
        return cast("Ranking[T] | OriginalOrder[T]", self.ranking)


class Progress(UsageSums, frozen=True, kw_only=True):
    """The progress of a run of many queries, with the known sums of the numbers of its usage."""

    done: int
    """Results so far, including failed ones."""
    failed: int
    unknown: int
    """Rankings whose cost the server did not report."""
    elapsed: float
    """Seconds since the first request was taken."""
    limit: int
    """The number of requests that may be in flight now."""


def refuse_one(requests: object) -> None:
    """Refuse a single request, and anything that is not iterable.

    Raises:
        TypeError: `requests` is not an iterable of requests.
    """
    kind = type(requests).__name__
    if isinstance(requests, str | bytes | Mapping | RerankRequest):
        message = f"requests is one {kind}; pass an iterable of requests"
        raise TypeError(message)
    if not any(hasattr(requests, name) for name in ("__iter__", "__getitem__", "__aiter__")):
        message = f"requests must be an iterable of requests, not {kind}"
        raise TypeError(message)


def as_request(given: object) -> RerankRequest[Any]:
    """Convert what was passed in to a request.

    Raises:
        TypeError, ValueError: It is not a request.
    """
    if isinstance(given, RerankRequest):
        return cast("RerankRequest[Any]", given)  # type: ignore[redundant-cast] # pyright needs it
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
