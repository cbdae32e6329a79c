"""The requests of a diagnosis, and readers of their answers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple, cast

import msgspec

from openrouter_rerank.decoding import plain
from openrouter_rerank.dialects import Codec
from openrouter_rerank.readers import members

DOCUMENTS = (
    "Bananas ripen faster when they are kept beside apples.",
    "Mount Everest, at 8,849 metres above the sea, is the highest mountain on Earth; it stands on the border of Nepal and Tibet.",
    "The invoice is due within thirty days of delivery.",
    "Shakespeare wrote Hamlet around 1600.",
    "A bicycle chain should be cleaned and oiled every few weeks, more often in wet weather, or it will rust and wear out the gears.",
    "To bake bread, mix flour, water, salt and yeast, let the dough rise for an hour, and put it in a hot oven.",
    "Penguins cannot fly.",
    "The violin has four strings and is played with a bow.",
)
"""Documents on unrelated subjects with different lengths. All queries use the same list, so that a model's bias for one of
them is not mistaken for relevance."""


class Question(NamedTuple):
    """A query, and the position of the only document that answers it and shares its words."""

    query: str
    relevant: int


QUESTIONS = (
    Question("What is the highest mountain on Earth?", 1),
    Question("Who wrote Hamlet?", 3),
    Question("How many strings does the violin have?", 7),
    Question("How do I bake bread with yeast?", 5),
    Question("Can penguins fly?", 6),
)


COPIES = (1, 5, 3, 0, 4)
"""The positions of documents to use as queries if the questions show no clear separation."""


class Ask(NamedTuple):
    """A request for the shell to send."""

    method: str
    url: str
    body: Mapping[str, Any] | None = None
    with_key: bool = True
    is_quick: bool = False
    """True if a few seconds are enough for the answer."""


class Pause(NamedTuple):
    """A pause for the shell to make."""

    seconds: float


class Reply(NamedTuple):
    """A response, redacted."""

    status: int
    headers: Mapping[str, str]
    """The headers, by name in lower case."""
    body: bytes
    seconds: float

    @property
    def is_html(self) -> bool:
        """True if the body is a web page."""
        kind = self.headers.get("content-type", "")
        return "html" in kind or self.body[:200].lstrip().lower().startswith((b"<!doctype", b"<html"))

    @property
    def json(self) -> object:
        """The body as plain data, also with NaN and infinity; None if it is not JSON."""
        try:
            return cast(object, json.loads(self.body))
        except (ValueError, RecursionError):
            return plain(self.body)

    @property
    def content(self) -> object:
        """The body as plain data, or as text if it is not JSON."""
        found = self.json
        return self.body[:4000].decode("utf-8", "replace") if found is None else found


class NoReply(NamedTuple):
    """A request without a response."""

    code: str
    """The code of the problem: "unreachable", "tls", "timeout" or "proxy_error"."""
    says: str
    do: str
    seconds: float
    is_cut: bool = False
    """True if the port may use the other scheme: the server closed the connection, or TLS did not complete."""


class ResultRow(msgspec.Struct, frozen=True):
    """A result as the server sent it."""

    index: object
    score: object
    echo: object = None


class Observation(NamedTuple):
    """A request for a ranking and its results."""

    query: str
    relevant: int | None
    """The position of the document that answers the query, or None."""
    texts: Sequence[str]
    rows: Sequence[ResultRow]
    top_n: int | None = None

    @property
    def scores(self) -> dict[int, float]:
        """The valid scores by position of the document."""
        return {
            place: float(cast(float, row.score))
            for row in self.rows
            if (place := place_of(row.index)) is not None
            and 0 <= place < len(self.texts)
            and is_score(row.score)
        }

    @property
    def by_text(self) -> dict[str, float]:
        """The valid scores by text of the document."""
        return {self.texts[place]: score for place, score in self.scores.items()}

    @property
    def is_whole(self) -> bool:
        """True if each document has a valid score."""
        return len(self.scores) == len(self.texts)


def place_of(index: object) -> int | None:
    """Return an index as an integer; None if it is not one."""
    if isinstance(index, bool) or not isinstance(index, int | float) or not isfinite(index):
        return None
    return int(index) if index == int(index) else None


def is_score(value: object) -> bool:
    """Return True if the value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def rows_of(codec: Codec, reply: Reply) -> list[ResultRow] | None:
    """Return the results of an answer in this dialect; None if it has no results."""
    body = reply.json
    if not _names_scores(codec, body):
        return None
    decoded = codec.decode(reply.headers, body) or {}
    rows = [members(item) for item in cast("list[object]", decoded.get("results", []))]
    return [
        ResultRow(row.get("index"), row.get("relevance_score"), _echo(row.get("document"))) for row in rows
    ]


def _names_scores(codec: Codec, body: object) -> bool:
    """Return True if the body has results of this dialect, recognized by their scores or their key."""
    listed = codec.results_in(body)
    if not isinstance(listed, list):
        return False
    items = [members(item) for item in cast("list[object]", listed)]
    if codec.results == "results" and any("index" in item and "score" not in item for item in items):
        return True  # only rankings have results with an index, even if the scores are missing
    return not items or any(name in item for item in items for name in codec.scores)


def _echo(document: object) -> object:
    return members(document).get("text")


def rotated(by: int) -> list[str]:
    """Return the documents rotated by some places."""
    return [*DOCUMENTS[by:], *DOCUMENTS[:by]]


def many(count: int) -> list[str]:
    """Return a list of that many different documents."""
    return [f"{DOCUMENTS[number % len(DOCUMENTS)]} ({number})" for number in range(count)]


# Sentences that share only stop words with the query below.
_FILLER = (
    "Our committee met again after lunch to go over the minutes. ",
    "Several members had brought their own notes and asked for more time. ",
    "Nobody objected when another date was proposed for late autumn. ",
    "Coffee was served while two volunteers counted old chairs. ",
    "Afterwards everyone agreed to send comments by letter. ",
)
LONG_QUERY = "Which lighthouse keeper discovered the sunken treasure?"
_ANSWER = "The lighthouse keeper Anselm discovered the sunken treasure."
_OTHER = "A gardener called Beatrix repainted several wooden fences."


class LongTexts(NamedTuple):
    """Texts of similar length that differ only at the beginning or at the end."""

    answer_last: str
    other_last: str
    answer_first: str

    def documents(self) -> list[str]:
        """Return the texts, and a short one for comparison."""
        return [*self, DOCUMENTS[6]]


def long_texts(characters: int) -> LongTexts:
    """Return texts of about that many characters."""
    pieces: list[str] = []
    while sum(map(len, pieces)) < characters:
        number = len(pieces)
        pieces.append(_FILLER[(number * 7 + number // 5) % len(_FILLER)])
    filler = "".join(pieces)
    return LongTexts(f"{filler}{_ANSWER}", f"{filler}{_OTHER}", f"{_ANSWER} {filler.rstrip()}")
