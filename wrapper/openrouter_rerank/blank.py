"""Recognize blank documents, and leave them out of a call."""

from __future__ import annotations

import unicodedata
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from openrouter_rerank.errors import BadRequestError, RerankError
from openrouter_rerank.ranking import Ranking

if TYPE_CHECKING:
    from openrouter_rerank.calls import Handler, PreparedCall
    from openrouter_rerank.operations import Step

T = TypeVar("T")

# Most bodies are refused by these; of other errors a blank document is not a likely cause.
_REFUSED = (400, 422)
# Indices that a message lists.
_LISTED = 10
# Unicode categories of characters that show nothing: control and format characters (zero-width blanks, a BOM).
_INVISIBLE = ("Cc", "Cf")


def is_blank(text: str) -> bool:
    """Return True if no character of the text shows: white space, control and format characters alone."""
    return all(char.isspace() or unicodedata.category(char) in _INVISIBLE for char in text)


def is_blank_document(document: object) -> bool:
    """Return True if a document, as it is sent, has a blank text and no image."""
    if isinstance(document, msgspec.Raw):
        document = msgspec.json.decode(document)
    if isinstance(document, dict):
        fields = cast("dict[str, object]", document)
        text, image = fields.get("text"), fields.get("image")
    else:
        text, image = getattr(document, "text", document), getattr(document, "image", None)
    # An image that is left out is not a str but the low-level client's UNSET.
    return isinstance(text, str) and not isinstance(image, str) and is_blank(text)


def skip_blank(prepared: PreparedCall[T], handler: Handler) -> Generator[Step, Any, Ranking[T]]:
    """Rank the documents that are not blank; list the others in `unranked`. Indices are the caller's."""
    sent = [place for place, document in enumerate(prepared.wire) if not is_blank_document(document)]
    if len(sent) == len(prepared.wire):
        return (yield from handler(prepared))
    rest = msgspec.structs.replace(
        prepared, own=sent, wire=[prepared.wire[place] for place in sent], indices=sent
    )
    ranking: Ranking[int] = yield from handler(rest)
    return _restored(ranking, prepared, sent)


def _restored(ranking: Ranking[Any], prepared: PreparedCall[T], sent: Sequence[int]) -> Ranking[T]:
    """Give a ranking of the documents that were sent the indices and objects of the caller."""
    skipped = set(range(len(prepared.own))).difference(sent)
    return msgspec.structs.replace(
        ranking,
        hits=tuple(hit.moved(sent[hit.index], prepared.own[sent[hit.index]]) for hit in ranking.hits),
        parts=tuple(
            msgspec.structs.replace(part, indices=tuple(sent[place] for place in part.indices))
            for part in ranking.parts
        ),
        total=len(prepared.own),
        unranked=tuple(sorted(skipped.union(sent[place] for place in ranking.unranked))),
    )


def name_blank(error: RerankError, prepared: PreparedCall[Any]) -> None:
    """Say in the error of a refused request which of its documents are blank, and how to leave them out."""
    if not isinstance(error, BadRequestError) or not {error.status, error.code}.intersection(_REFUSED):
        return
    blank = [
        index
        for index, document in zip(prepared.indices, prepared.wire, strict=True)
        if is_blank_document(document)
    ]
    if not blank:
        return
    shown = ", ".join(map(str, blank[:_LISTED]))
    more = f" and {len(blank) - _LISTED} more" if len(blank) > _LISTED else ""
    error.message += f' Blank documents (index {shown}{more}) may be why; to leave them out, pass blank="skip" (--blank skip).'
    error.args = (error.message,)
