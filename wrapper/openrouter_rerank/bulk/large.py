"""Split a list that is too large for one request, and merge the rankings of its parts.

Scores of parts are comparable only if model and provider are the same. If the caller does not choose a provider, the first part
is sent alone, and its provider must serve the others too.
"""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Generator, Iterable, Sequence
from itertools import accumulate
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar, cast

import msgspec

from openrouter_rerank.arguments import checks_names
from openrouter_rerank.blank import is_blank_document
from openrouter_rerank.calls import Call, Handler, PreparedCall, is_too_large
from openrouter_rerank.documents import exact
from openrouter_rerank.errors import (
    AuthenticationError,
    BudgetExceededError,
    InsufficientCreditsError,
    RerankError,
)
from openrouter_rerank.operations import Parallel, Step
from openrouter_rerank.protocols import Splitter
from openrouter_rerank.ranking import NOTHING_BILLED, Hit, Part, Ranking, Usage, agreed, sum_usage
from openrouter_rerank.request import body
from openrouter_rerank_api.answers import ANSWER
from openrouter_rerank_api.models import TextDocument
from openrouter_rerank_api.types import UNSET, encode

T = TypeVar("T")

log = logging.getLogger("openrouter_rerank")

# Enough to hide the latency, and few enough to stay below most rate limits.
_AT_ONCE = 4
# Searches are billed per hundred documents; a split elsewhere costs one more.
_SEARCH = 100
# The maximum bytes that the name of a provider adds to a request.
_PIN = 200
# After this many single documents in a row are too large, the query must be too large, and halving does not help.
_MOST_ALONE = 8
# Errors that every other part would get too.
_FOR_ALL = (AuthenticationError, InsufficientCreditsError, BudgetExceededError)


@checks_names
def split_by_words(n: int, overlap: int = 0) -> Splitter:
    """Return a splitter of texts into pieces of n words that overlap by `overlap` words.

    A text of at most n words is not split. Words are separated by white space; for a script without it, or for limits in
    tokens, pass your own function.

    Raises:
        TypeError, ValueError: n is not an int from 1, or `overlap` is not an int from 0 to n - 1.

    Example:
        >>> split_by_words(3, overlap=1)("one two three four five")
        ['one two three', 'three four five']
    """
    for name, value in (("n", n), ("overlap", overlap)):
        if isinstance(value, bool) or not isinstance(value, int):
            message = f"{name} must be an int, not {type(value).__name__}"
            raise TypeError(message)
    if n < 1 or not 0 <= overlap < n:
        message = f"n must be at least 1 and overlap from 0 to n - 1, not n={n} and overlap={overlap}"
        raise ValueError(message)
    return ByWords(n, overlap)


class ByWords(msgspec.Struct, frozen=True):
    """The splitter of `split_by_words`; it can be compared and pickled."""

    words: int
    overlap: int = 0

    def __call__(self, text: str) -> list[str]:
        """Return the pieces of a text."""
        n, overlap = self.words, self.overlap
        words = [found.span() for found in re.finditer(r"\S+", text)]
        if len(words) <= n:
            return [text]
        pieces = [words[start : start + n] for start in range(0, len(words) - overlap, n - overlap)]
        return [text[piece[0][0] : piece[-1][1]] for piece in pieces]

    def __repr__(self) -> str:
        return f"split_by_words({self.words}, overlap={self.overlap})"


class _Whole(msgspec.Struct, Generic[T], eq=False):
    """A split list: its pieces as JSON, and the document of each piece."""

    prepared: PreparedCall[T]
    send: Handler
    """The handler of each part."""
    pieces: list[msgspec.Raw]
    owners: list[int]
    is_cut: bool
    """True if a document has more than one piece."""


class _ServedParts(NamedTuple):
    """The pieces of a part, by position, and its outcome."""

    places: range
    outcome: Ranking[int] | RerankError


def send_in_parts(prepared: PreparedCall[T], send: Handler, *, is_refused: bool) -> Call[T]:
    """Return the merged ranking of a list that needs several requests.

    Args:
        prepared: The call with the whole list.
        send: The handler of each part.
        is_refused: True if the server has refused the whole list as too large.
    """
    pieces, owners = _pieces(prepared)
    whole = _Whole(prepared, send, pieces, owners, is_cut=len(set(owners)) < len(owners))
    everything = range(len(whole.pieces))
    queue = deque(_halved(everything) if is_refused else _plan(whole))
    served: list[_ServedParts] = []
    provider: str | None = None
    if len(queue) > 1 and not _has_provider(prepared):
        served += yield from _serve(whole, queue, None, lead=True)
        provider = getattr(served[-1].outcome, "provider", None)
    if queue:
        calls = [_serve(whole, deque([part]), provider, lead=False) for part in queue]
        found = cast("list[list[_ServedParts]] | RerankError", (yield Parallel(calls, _AT_ONCE)))
        if isinstance(found, RerankError):
            raise found
        served += [part for parts in found for part in parts]
    return _merged(whole, sorted(served, key=lambda part: part.places.start))


def _has_provider(prepared: PreparedCall[Any]) -> bool:
    """Return True if the caller names a provider, or the dialect has no providers."""
    if prepared.settings.codec is not None:
        return True
    return prepared.options["provider"] is not None or "provider" in (prepared.options["extra_body"] or {})


def _pieces(prepared: PreparedCall[Any]) -> tuple[list[msgspec.Raw], list[int]]:
    pieces: list[msgspec.Raw] = []
    owners: list[int] = []
    splitter: Splitter | None = prepared.options["splitter"]
    for place, document in enumerate(prepared.wire):
        where = f"document {prepared.indices[place]}"
        for piece in [document] if splitter is None else _chunks(document, splitter, where):
            if prepared.options["blank"] == "skip" and is_blank_document(piece):
                continue
            try:
                pieces.append(msgspec.Raw(encode(piece)))
            except UnicodeEncodeError as error:
                message = (
                    f"{where} has a lone surrogate ({error.object[error.start]!r}), which JSON cannot carry"
                )
                raise ValueError(message) from None
            owners.append(place)
    return pieces, owners


def _chunks(document: object, splitter: Splitter, where: str) -> list[object]:
    if isinstance(document, TextDocument) and document.image is UNSET:
        document = document.text
    if not isinstance(document, str):
        return [document]
    given = splitter(document)
    if isinstance(given, str) or not isinstance(given, Iterable):
        message = f"{where}: splitter must return the pieces of a text as an iterable of str, not {type(given).__name__}"
        raise TypeError(message)
    pieces = list(given)
    if not pieces:
        message = f"{where}: splitter returned no pieces; to keep a text whole, return [text]"
        raise ValueError(message)
    for piece in pieces:
        if not isinstance(piece, str):
            message = f"{where}: splitter must return pieces of type str, not {type(piece).__name__}"
            raise TypeError(message)
    return [exact(piece) for piece in pieces]


def _plan(whole: _Whole[Any]) -> list[range]:
    """Return the parts, each as large as the limits allow, because fewer parts cost fewer searches."""
    prepared = whole.prepared
    # `body` also validates every argument.
    codec = prepared.settings.codec
    room = prepared.options["max_bytes"] - len(body(prepared.query, [], prepared.options, codec=codec)) - _PIN
    most = prepared.options["max_documents"]
    ends = [0, *accumulate(len(bytes(piece)) + 1 for piece in whole.pieces)]
    parts: list[range] = []
    start = 0
    for place in range(1, len(whole.pieces) + 1):
        if place == len(whole.pieces) or place - start == most or ends[place + 1] - ends[start] > room:
            parts.append(range(start, place))
            start = place
    return parts


def _halved(part: range) -> list[range]:
    size = len(part)
    middle = size // 2 if size <= _SEARCH else max(size // 2 // _SEARCH, 1) * _SEARCH
    return [part[:middle], part[middle:]]


def _serve(
    whole: _Whole[Any], queue: deque[range], provider: str | None, *, lead: bool
) -> Generator[Step, Any, list[_ServedParts]]:
    """Send the parts of the queue one after the other; with `lead`, stop after the first success."""
    prepared = whole.prepared
    done: list[_ServedParts] = []
    alone = 0
    while queue:
        part = queue.popleft()
        request = _request(whole, part, provider)
        try:
            ranking = yield from whole.send(request)
        except RerankError as error:
            if is_too_large(error) and len(part) > 1 and alone < _MOST_ALONE:
                log.debug("%d documents are too large for the server; halving", len(part))
                queue.extendleft(reversed(_halved(part)))
                continue
            alone += len(part) == 1
            _locate(error, whole, part)
            if prepared.options["on_part_error"] == "raise" or (lead and isinstance(error, _FOR_ALL)):
                raise
            done.append(_ServedParts(part, error))
        else:
            done.append(_ServedParts(part, ranking))
            alone = 0
            if lead:
                break
    return done


def _request(whole: _Whole[Any], part: range, provider: str | None) -> PreparedCall[int]:
    prepared = whole.prepared
    options = dict(prepared.options)
    if provider is not None:
        options["provider"] = {"order": [provider], "allow_fallbacks": False}
    if whole.is_cut:
        options["top_n"] = None  # the best pieces may all belong to one document
    wire = whole.pieces[part.start : part.stop]
    indices = [prepared.indices[owner] for owner in whole.owners[part.start : part.stop]]
    return PreparedCall(
        prepared.settings,
        prepared.query,
        list(part),
        wire,
        options,
        prepared.headers,
        prepared.timeout,
        prepared.began,
        None,
        indices,
        body(prepared.query, wire, options, indices, prepared.settings.codec),
    )


def _locate(error: RerankError, whole: _Whole[Any], part: range) -> None:
    indices = whole.prepared.indices
    first, last = indices[whole.owners[part.start]], indices[whole.owners[part.stop - 1]]
    if is_too_large(error) and len(part) == 1:
        piece = "a piece of document" if whole.owners.count(whole.owners[part.start]) > 1 else "document"
        error.message = f"{piece} {first} is too large for this server by itself: {error.message}"
        error.args = (error.message,)
    else:
        error.add_note(f"This was the part with the documents {first} to {last}.")


def _merged(whole: _Whole[T], served: Sequence[_ServedParts]) -> Ranking[T]:
    prepared, owners = whole.prepared, whole.owners
    rankings = [part.outcome for part in served if isinstance(part.outcome, Ranking)]
    if not rankings and served:
        raise cast(RerankError, served[0].outcome)
    # A document has no piece if all its pieces are blank.
    unranked = set(range(len(prepared.own))).difference(owners)
    missing: set[int] = set()
    best: dict[int, Hit[int]] = {}
    for part in served:
        if isinstance(part.outcome, RerankError):
            unranked.update(owners[place] for place in part.places)
            continue
        for hit in part.outcome.hits:
            index = owners[hit.document]
            if index not in best or hit.score > best[index].score:
                best[index] = hit
        missing.update(owners[part.places[place]] for place in part.outcome.unranked)
    # A document is ranked if any piece of it is.
    unranked |= missing - best.keys()
    least, top_n = prepared.min_score, prepared.options["top_n"]
    ranked = [
        index
        for index, hit in best.items()
        if index not in unranked and (least is None or hit.score >= least)
    ]
    ranked.sort(key=lambda index: (-best[index].score, index))
    parts = tuple(_part(part, owners) for part in served)
    alone = rankings[0] if len(served) == 1 else None
    common: dict[str, Any] = {name: agreed(getattr(one, name) for one in rankings) for name in ANSWER}
    common["id"] = None if alone is None else alone.id
    merged = Ranking(
        hits=tuple(best[index].moved(index, prepared.own[index]) for index in ranked[:top_n]),
        total=len(prepared.own),
        usage=sum_usage(part.usage for part in parts),
        headers={} if alone is None else alone.headers,
        reordered=any(one.reordered for one in rankings),
        parts=parts,
        unranked=tuple(sorted(unranked)),
        mixed=len({(one.model, one.provider) for one in rankings}) > 1,
        cached=bool(parts) and all(part.cached for part in parts),
        attempts=tuple(attempt for part in served for attempt in part.outcome.attempts),
        elapsed=monotonic() - prepared.began,
        **common,
    )
    log.debug("merged %d parts into a ranking of %d documents", len(parts), len(prepared.own))
    return merged


def _part(served: _ServedParts, owners: Sequence[int]) -> Part:
    indices = tuple(dict.fromkeys(owners[served.places.start : served.places.stop]))
    outcome = served.outcome
    if isinstance(outcome, RerankError):
        return Part(indices, usage=Usage() if outcome.may_be_billed else NOTHING_BILLED, error=outcome)
    return Part(indices, outcome.id, outcome.model, outcome.provider, outcome.usage, cached=outcome.cached)
