"""The results of a call: Ranking, Hit and Usage, and OriginalOrder in place of a ranking that failed."""

from __future__ import annotations

import html
from abc import ABCMeta
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast, overload

import msgspec

from openrouter_rerank.documents import text_of
from openrouter_rerank.errors import Attempt, InvalidResponseError, RerankError, request_id_of
from openrouter_rerank_api.answers import HIT, SUMS, USAGE, AnswerFields, HitFields, UsageFields

if TYPE_CHECKING:
    from openrouter_rerank.redaction import Redactor
    from openrouter_rerank_api.models import RerankResponse

T = TypeVar("T")
U = TypeVar("U")


# A msgspec class, as a thousand of them are made for each long answer.
class Hit(HitFields[T], frozen=True):
    """One place in a ranking.

    Attributes:
        index: The index of the document in the caller's list, from 0.
        score: The relevance (`relevance_score` in the response): finite, and higher is better. The scale is the
            model's own.
        document: The caller's own object.

    Example:
        >>> index, score, document, *_ = Hit(0, 0.98, "Berlin is in Germany.")
        >>> document
        'Berlin is in Germany.'
    """

    def __iter__(self) -> Iterator[Any]:
        """Return the values in the order of the fields, so that `index, score, document, *_ = hit` works."""
        return iter(msgspec.structs.astuple(self))

    def __hash__(self) -> int:
        # A document, or a field of the response, may be a list or an object, which has no hash.
        return hash((self.index, self.score))

    def moved(self, index: int, document: U) -> Hit[U]:
        """Return the same hit for a document at another position."""
        return Hit(index, self.score, document, *[getattr(self, name) for name in HIT])


class Usage(UsageFields, frozen=True):
    """The billed usage, as the server reports it. None means unknown, which is not 0."""

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name) for name in SUMS))  # the other fields may have no hash


NOTHING_BILLED = Usage(**{name: USAGE[name](0) for name in SUMS})
"""The usage of a call that the server did not serve."""


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """Return the sum. A number is None if it is None in one of them; any other value is None if they differ."""
    given = list(usages)
    summed: dict[str, Any] = {}
    for name in USAGE:
        values = [getattr(usage, name) for usage in given]
        summed[name] = agreed(values) if None in values or name not in SUMS else sum(values)
    return Usage(**summed)


def agreed(values: Iterable[T]) -> T | None:
    """Return the common value; None if they differ."""
    found = list(values)  # they may be lists and objects, which no set takes
    return found[0] if found and all(value == found[0] for value in found) else None


class Part(msgspec.Struct, frozen=True):
    """One request of a ranking whose documents were sent in several."""

    indices: tuple[int, ...]
    """The indices of its documents in the caller's list."""
    id: str | None = None
    """The server's id of the response."""
    model: str | None = None
    """The model that ranked, as the server names it."""
    provider: str | None = None
    """The provider that ranked."""
    usage: Usage = Usage()
    """The billed usage."""
    cached: bool = False
    """True if a cache answered."""
    error: RerankError | None = None
    """The error of a failed part, or None."""


class Content:
    """The body of an answer: redacted when it is first read, parsed when it is first asked for."""

    __slots__ = ("_body", "_canonical", "_parsed", "_redactor")

    def __init__(
        self,
        body: bytes = b"",
        redactor: Redactor | None = None,
        canonical: Callable[[bytes], bytes] | bytes | None = None,
    ) -> None:
        self._body = body
        self._redactor = redactor
        self._canonical = canonical
        self._parsed: RerankResponse | None = None

    @property
    def body(self) -> bytes:
        """The body, with secrets redacted."""
        # When it is read: most callers never do, and it may be megabytes.
        redactor = self._redactor
        if redactor is not None:
            self._body = redactor.data(self._body)
            self._redactor = None
        return self._body

    def parse(self) -> RerankResponse:
        """Return the typed answer.

        Raises:
            MalformedBody: It is not of the contract.
            RecursionError: It is nested too deeply.
        """
        # Imported when it is asked for: most callers never do.
        from openrouter_rerank_api.api.rerank import create_rerank  # noqa: PLC0415

        if self._parsed is None:
            canonical = self._translated()
            body = self.body if canonical is None else canonical
            self._parsed = cast("RerankResponse", create_rerank.parse(200, body))
        return self._parsed

    def _translated(self) -> bytes | None:
        """Return the canonical form of the body; None if the body is canonical itself."""
        if callable(self._canonical):
            self._canonical = self._canonical(self.body)
        return self._canonical

    def __reduce__(self) -> tuple[type[Content], tuple[bytes, None, bytes | None]]:
        return Content, (self.body, None, self._translated())


class _Meta(msgspec.StructMeta, ABCMeta):
    """The metaclass of a struct that is an abstract base class too."""


class Ranking(AnswerFields, Sequence[Hit[T]], frozen=True, eq=False, kw_only=True, metaclass=_Meta):
    """The documents by relevance, best first: a sequence of `Hit`.

    Attributes:
        hits: The hits, best first.
        total: The number of documents in the caller's list.
        id: The server's id of the response.
        model: The model that ranked, as the server names it. It can differ from the requested name.
        provider: The provider that ranked.
        usage: The billed usage.
        headers: The headers of the response; names are case-insensitive.
        elapsed: Seconds from the call to the ranking, waits included.
        attempts: Every request of the call, the successful one last. Empty for an empty list of documents.
        reordered: True if the server did not sort by score; the hits are sorted nevertheless.
        body: The body of the response, with secrets redacted.
        cached: True for a cache hit; nothing was sent, and `usage` is 0.
        parts: The requests of a list that was sent in parts. Then `usage` is their sum (None if one is unknown), `id` and
            `headers` are empty, and `model` and `provider` are set if all parts agree.
        unranked: The indices of the documents without a score: the server returned too few results, their part failed (see
            `on_part_error`), or they are blank (see `blank`). If fewer than `top_n` results came, all other documents are
            listed. Hits below `min_score` have a score and are not listed.
        mixed: True if different models or providers ranked the parts. Their scores are not comparable.
        reranked: True. It is False for an `OriginalOrder`, which `on_error="keep_order"` can return.
        reason: None. For an `OriginalOrder`, it is the error.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> documents = ["Berlin is in Germany.", "Paris is the capital of France."]
        >>> with Reranker.local() as reranker:
        ...     ranking = reranker.rerank("capital of France", documents)
        >>> ranking[0].document
        'Paris is the capital of France.'
        >>> ranking.indices
        [1, 0]
    """

    hits: tuple[Hit[T], ...]
    total: int
    usage: Usage = Usage()
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    elapsed: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    reordered: bool = False
    cached: bool = False
    parts: tuple[Part, ...] = ()
    unranked: tuple[int, ...] = ()
    mixed: bool = False
    _content: Content = msgspec.field(default_factory=Content)

    reranked: ClassVar[Literal[True]] = True
    reason: ClassVar[None] = None

    @property
    def body(self) -> bytes:
        """The response as it came, with secrets redacted."""
        return self._content.body

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, for its support; None if it sent none."""
        return request_id_of(self.headers)

    @property
    def response(self) -> RerankResponse:
        """The typed response of the low-level client, with unknown fields in `additional_properties`.

        In another dialect it is the answer in the canonical form, with the documents as they were sent and the model that
        was asked for (empty if none was), where the server does not echo them; `body` is the answer as it came.

        Raises:
            InvalidResponseError: The response breaks the contract in a part that a ranking does not need, such as the echo
                of a document; use `body`. Or there is not exactly one response: the list was empty, or sent in parts.
        """
        from openrouter_rerank_api.errors import MalformedBody  # noqa: PLC0415 - most callers never ask for it

        if self.parts:
            message = f"there is not one answer but {len(self.parts)}; see parts"
            raise InvalidResponseError(message)
        if not self.body:
            raise InvalidResponseError(
                "there were no documents, so no request was made and there is no answer"
            )
        try:
            return self._content.parse()
        except (MalformedBody, RecursionError) as error:
            message = f"the answer is a ranking, but not all that openapi.yaml asks for: {error}"
            raise InvalidResponseError(
                message, status=200, body=self.body, request_id=self.request_id
            ) from error

    @property
    def documents(self) -> list[T]:
        """The caller's documents, best first."""
        return [hit.document for hit in self.hits]

    @property
    def indices(self) -> list[int]:
        """The indices of the documents in the caller's list, best first."""
        return [hit.index for hit in self.hits]

    @property
    def scores(self) -> list[float]:
        """The scores, highest first."""
        return [hit.score for hit in self.hits]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each hit, best first: `index`, `score`, `document`, and further fields of the response."""
        return [msgspec.structs.asdict(hit) for hit in self.hits]

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each hit, best first, and the columns of `to_dicts`.

        Raises:
            ImportError: pandas is not installed. No extra of this package installs it.
        """
        return _table(self.to_dicts())

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, place: int) -> Hit[T]: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Hit[T], ...]: ...
    def __getitem__(self, place: int | slice) -> Hit[T] | tuple[Hit[T], ...]:
        return self.hits[place]

    def _facts(self) -> str:
        facts: list[tuple[str, Any]] = [
            ("model", self.model),
            ("provider", self.provider),
            ("cost", self.usage.cost),
            ("reordered", self.reordered or None),
            ("cached", self.cached or None),
            ("parts", len(self.parts) or None),
            ("unranked", len(self.unranked) or None),
            ("mixed", self.mixed or None),
        ]
        shown = [
            f"{len(self)} of {self.total} documents",
            *(f"{name}={value!r}" for name, value in facts if value is not None),
        ]
        return ", ".join(shown)

    def __repr__(self) -> str:
        lines = [f"  {hit.score:.4g}  [{hit.index}] {_short(hit.document)}" for hit in self.hits[:_SHOWN]]
        if len(self) > _SHOWN:
            lines.append(f"  ... {len(self) - _SHOWN} more")
        return "\n".join([f"<Ranking: {self._facts()}>", *lines])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{hit.score:.4g}</td><td>{hit.index}</td><td>{html.escape(_short(hit.document))}</td></tr>"
            for hit in self.hits[:_SHOWN_IN_NOTEBOOK]
        )
        head = "<tr><th>score</th><th>index</th><th>document</th></tr>"
        more = len(self) - _SHOWN_IN_NOTEBOOK
        rest = f"<tr><td colspan=3>{more} more</td></tr>" if more > 0 else ""
        return f"<table><caption>{html.escape(self._facts())}</caption>{head}{rows}{rest}</table>"


class UnscoredHit(msgspec.Struct, Generic[T], frozen=True):
    """A document in a list that was not ranked.

    Attributes:
        index: The index of the document in the caller's list, from 0.
        document: The caller's own object.
        score: Always None.
    """

    index: int
    document: T
    score: None = None

    def __iter__(self) -> Iterator[Any]:
        """Return the values in the order of those of a `Hit`."""
        return iter((self.index, self.score, self.document))


class OriginalOrder(Sequence[UnscoredHit[T]]):
    """The documents in their original order, after ranking failed: a sequence of `UnscoredHit`.

    It has the attributes of a `Ranking`. `reranked` is False; type checkers understand `if ranking.reranked is True`.

    Attributes:
        hits: All documents, or the first `top_n`.
        total: The number of documents in the caller's list.
        reranked: False.
        reason: The error that `rerank` would have raised.
        usage: Unknown.

    Example:
        >>> from openrouter_rerank import Reranker, Retries
        >>> with Reranker("key", base_url="http://127.0.0.1:9", retries=Retries(attempts=1)) as reranker:
        ...     ranking = reranker.rerank("q", ["a", "b"], on_error="keep_order")
        >>> ranking.documents, ranking.scores, ranking.reranked
        (['a', 'b'], [None, None], False)
        >>> type(ranking.reason).__name__
        'APIConnectionError'
    """

    __slots__ = ("hits", "reason", "total", "usage")

    reranked: Literal[False] = False

    def __init__(self, hits: tuple[UnscoredHit[T], ...], *, total: int, reason: RerankError) -> None:
        self.hits = hits
        self.total = total
        self.reason = reason
        self.usage = Usage()

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every request of the call."""
        return self.reason.attempts

    @property
    def elapsed(self) -> float:
        """Seconds from the call to the error, waits included."""
        return self.reason.elapsed

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dict for each hit, with its `index`, its `document` and None as its `score`."""
        return [dict(zip(("index", "score", "document"), hit, strict=True)) for hit in self.hits]

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`, as `Ranking.to_pandas` does; its scores are missing values."""
        return _table(self.to_dicts())

    @property
    def documents(self) -> list[T]:
        """The caller's documents, in their order."""
        return [hit.document for hit in self.hits]

    @property
    def indices(self) -> list[int]:
        """The indices of the documents in the caller's list: 0, 1, 2 and so on."""
        return [hit.index for hit in self.hits]

    @property
    def scores(self) -> list[None]:
        """None for each document."""
        return [hit.score for hit in self.hits]

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, place: int) -> UnscoredHit[T]: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[UnscoredHit[T], ...]: ...
    def __getitem__(self, place: int | slice) -> UnscoredHit[T] | tuple[UnscoredHit[T], ...]:
        return self.hits[place]

    def __repr__(self) -> str:
        lines = [f"  -  [{hit.index}] {_short(hit.document)}" for hit in self.hits[:_SHOWN]]
        if len(self) > _SHOWN:
            lines.append(f"  ... {len(self) - _SHOWN} more")
        return "\n".join([f"<OriginalOrder: {len(self)} of {self.total} documents, {self.reason}>", *lines])


def _table(rows: list[dict[str, Any]]) -> Any:
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("to_pandas() needs pandas; run `pip install pandas`") from error
    table = pandas.DataFrame(rows, columns=list(rows[0]) if rows else ["index", "score", "document", *HIT])
    return table.astype(
        {"index": "int64", "score": "float64"}
    )  # in an empty table, and without scores, they are objects


_SHOWN = 5
_SHOWN_IN_NOTEBOOK = 50
_WIDTH = 80


def _short(document: object) -> str:
    text = " ".join((text_of(document) or repr(document)).split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 3] + "..."
