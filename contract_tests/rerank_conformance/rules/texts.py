"""Rules of texts: they are read to their end, whatever they contain, and limits count characters."""

from collections.abc import Iterator

from rerank_conformance.exchanges import Exchange
from rerank_conformance.probes import BLANKS, DOCUMENTS, ENDINGS, PLACEHOLDERS
from rerank_conformance.report import Level
from rerank_conformance.rules.acceptance import accepted, each
from rerank_conformance.rules.rule import SCHEMA, Finding, Judgement, Recording, rule

_OF = f"{SCHEMA}/RerankRequest/properties"


_TABLE: tuple[tuple[str, Level, str, str], ...] = (
    (
        "special-tokens",
        "MUST",
        "A tokenizer's special tokens are accepted as text, in documents and query",
        f"{SCHEMA}/RerankDocument",
    ),
    ("query-ends", "MUST", "A query with blanks or punctuation at its ends is accepted", f"{_OF}/query"),
    (
        "limits-in-characters",
        "MUST",
        "Limits count characters, not bytes",
        f"{_OF}/session_id/maxLength",
    ),
    (
        "limits-in-code-points",
        "SHOULD",
        "Limits count a character beyond 16 bits as one, as JSON Schema does",
        f"{_OF}/session_id/maxLength",
    ),
)
for _slug, _level, _requirement, _source in _TABLE:
    _id = f"acceptance.{_slug}"
    rule(_id, _requirement, _source, level=_level, quick=False, thorough=True, since="1.1.0")(
        each(_id, accepted)
    )


def _pair(seen: Recording, first: str, second: str) -> tuple[Exchange, Exchange] | None:
    one, other = seen.named(first), seen.named(second)
    if one is None or other is None or not (one.ranked and other.ranked and one.scores and other.scores):
        return None
    return one, other


def _is_same(one: Exchange, other: Exchange) -> bool:
    """Return True for the same scores in every digit; a single score for all documents proves nothing."""
    return len(set(one.scores.values())) > 1 and one.scores == other.scores and one.order == other.order


def _read_to_end(name: str, requirement: str, level: Level, lengths: tuple[int, ...]) -> None:
    """Register a rule for texts of these lengths, which are those of the probes."""

    def judge(seen: Recording) -> Iterator[Judgement]:
        for length in lengths:
            pair = _pair(seen, f"rank-query-{length}-1", f"rank-query-{length}-2")
            if pair is not None:
                expected = f"other scores for queries that differ after {length} characters"
                bad = _is_same(*pair)
                yield Finding(expected, "the same in every digit", pair[1], pair[0]) if bad else None
            exchange = seen.named(f"rank-document-{length}")
            if exchange is not None and exchange.ranked and {0, 1} <= exchange.scores.keys():
                expected = f"two scores for documents that differ after {length} characters"
                bad = exchange.scores[0] == exchange.scores[1]
                yield Finding(expected, f"{exchange.scores[0]:.6g} for both", exchange) if bad else None

    rule(name, requirement, f"{_OF}/query/description", level=level, quick=False, since="1.1.0")(judge)


SHORT = (300, 700)
"""Characters that every model reads: the shortest contexts have 256 tokens."""
LONG = (1800, 4000)
"""Characters that a model may truncate; the contract names contexts of 4,096 tokens and more."""
_read_to_end(
    "relation.read-to-end",
    "The ranking depends on the end of a text of several hundred characters",
    "MUST",
    SHORT,
)
_read_to_end(
    "relation.long-read-to-end",
    "The ranking depends on the end of a text of several thousand characters, unless the model truncates it",
    "SHOULD",
    LONG,
)


def _told_apart(seen: Recording, name: str, pairs: int, what: str) -> Iterator[Judgement]:
    """Judge a request whose documents come in pairs, each of one beginning: both with one score were cut there."""
    exchange = seen.named(name)
    if exchange is None or not exchange.ranked:
        return
    for first in range(0, 2 * pairs, 2):
        if {first, first + 1} <= exchange.scores.keys():
            score, other = exchange.scores[first], exchange.scores[first + 1]
            actual = f"{score:.6g} for documents {first} and {first + 1}"
            yield Finding(f"two scores for {what}", actual, exchange) if score == other else None


def _other_query(seen: Recording, name: str, what: str) -> Iterator[Judgement]:
    """Judge two queries of one beginning: both with one ranking were cut there."""
    pair = _pair(seen, f"{name}-1", f"{name}-2")
    if pair is not None:
        bad = _is_same(*pair)
        yield Finding(f"other scores for {what}", "the same in every digit", pair[1]) if bad else None


@rule(
    "relation.every-line",
    "The ranking depends on every line of a text",
    f"{_OF}/query/description",
    quick=False,
    since="1.1.0",
)
def every_line(seen: Recording) -> Iterator[Judgement]:
    """Judge texts that differ in a later line."""
    yield from _told_apart(seen, "rank-line-ends", 2, "documents that differ in a later line")
    yield from _other_query(seen, "rank-query-line", "queries that differ in a later line")


@rule(
    "relation.after-special-tokens",
    "The ranking depends on what follows the name of a special token in a text",
    f"{SCHEMA}/RerankDocument",
    quick=False,
    since="1.1.0",
)
def after_special_tokens(seen: Recording) -> Iterator[Judgement]:
    """Judge texts that differ behind what is special to a tokenizer."""
    yield from _told_apart(
        seen, "rank-after-special", 3, "documents that differ behind a special token's name"
    )
    yield from _other_query(seen, "rank-query-special", "queries that differ behind a special token's name")


@rule(
    "relation.after-marks",
    "The ranking depends on what follows a NUL, a line separator, quotes or a closing tag in a text",
    f"{SCHEMA}/RerankDocument",
    since="1.1.0",
)
def after_marks(seen: Recording) -> Iterator[Judgement]:
    """Judge texts that differ behind what ends a text elsewhere."""
    yield from _told_apart(seen, "rank-after-marks", len(ENDINGS), "documents that differ behind a mark")
    yield from _other_query(seen, "rank-query-marks-end", "queries that differ behind marks")


@rule(
    "relation.placeholders",
    "A placeholder in a document is a text; the query is not put in its place",
    f"{SCHEMA}/RerankDocument",
    since="1.1.0",
)
def placeholders(seen: Recording) -> Iterator[Judgement]:
    """Compare texts with a placeholder with those that have the query there."""
    what = "a text with a placeholder and one with the query"
    yield from _told_apart(seen, "rank-placeholders", len(PLACEHOLDERS), what)


@rule(
    "relation.blank-documents",
    "A blank document is not ranked above the document that answers the query",
    f"{SCHEMA}/RerankDocument",
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def blank_documents(seen: Recording) -> Iterator[Judgement]:
    """Compare the scores of blank documents with that of the answer."""
    exchange = seen.named("rank-blanks")
    answering = BLANKS.index(DOCUMENTS[2])
    if exchange is None or not exchange.ranked or answering not in exchange.scores:
        return
    wanted = exchange.scores[answering]
    for index, score in exchange.scores.items():
        if index < len(BLANKS) and not BLANKS[index].strip():
            bad = score > wanted and not seen.close(score, wanted)
            actual = f"{score:.6g} for document {index}, which is blank, and {wanted:.6g} for the answer"
            yield Finding("the answer before blank documents", actual, exchange) if bad else None


@rule(
    "relation.other-scripts",
    "Texts in Cyrillic, Arabic and Greek script are told apart",
    f"{SCHEMA}/RerankDocument",
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def other_scripts(seen: Recording) -> Iterator[Judgement]:
    """Judge lists in other scripts, each with one document that answers."""
    for exchange in seen.under("rank-script-"):
        yield from _told_apart(seen, exchange.probe.name, 1, "two texts in one script")


@rule(
    "relation.query-ends",
    "Blanks at the ends of a query do not change which document is first",
    f"{_OF}/query",
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def query_ends(seen: Recording) -> Iterator[Judgement]:
    """Compare the first document with and without blanks at the ends of the query."""
    for exchange in seen.under("rank-query-blanks-"):
        pair = _pair(seen, "rank-full", exchange.probe.name)
        if pair is not None:
            first, best = pair[0].order[0], max(exchange.scores.values())
            is_flat = len(set(exchange.scores.values())) == 1 < len(set(pair[0].scores.values()))
            good = first in exchange.scores and seen.close(exchange.scores[first], best) and not is_flat
            actual = "one score for all documents" if is_flat else f"document {exchange.order[0]} first"
            expected = f"document {first} first, as without the blanks"
            yield None if good else Finding(expected, actual, exchange, pair[0])
