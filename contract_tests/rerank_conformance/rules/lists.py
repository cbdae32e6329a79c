"""Rules of scores in lists of hundreds of documents, beside long texts and beside images."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Iterator, Sequence
from typing import Any

from rerank_conformance.exchanges import Exchange
from rerank_conformance.rules.relations import scores_texts_alone
from rerank_conformance.rules.rule import SCHEMA, Finding, Judgement, Recording, Undecided, rule

_SCORE = f"{SCHEMA}/RerankResult/properties/relevance_score"
_LONG = (("rank-long-300", "rank-long-300-mixed"), ("rank-long-1000", "rank-long-1000-mixed"))
_MANY = 0.1  # the share of documents that may differ, as a few may tie or be rounded


def _scored(seen: Recording, names: Sequence[str]) -> list[Exchange]:
    """Return the exchanges of these names that are rankings with scores."""
    found = [seen.named(name) for name in names]
    return [one for one in found if one is not None and one.ranked and one.scores]


def _by_document(exchange: Exchange) -> dict[str, tuple[Any, float]]:
    """Return the documents with their scores, by their keys."""
    documents, keys = exchange.probe.documents, exchange.probe.document_keys
    scored = exchange.scores.items()
    return {keys[i]: (documents[i], score) for i, score in scored if 0 <= i < len(documents)}


def _differing(seen: Recording, one: Exchange, other: Exchange) -> tuple[list[tuple[Any, float, float]], int]:
    """Return the documents with clearly different scores, and the number of documents in both rankings."""
    first, second = _by_document(one), _by_document(other)
    both = [(document, score, second[name][1]) for name, (document, score) in first.items() if name in second]
    return [found for found in both if not seen.close(found[1], found[2])], len(both)


def _finding(
    differing: Sequence[tuple[Any, float, float]], count: int, one: Exchange, other: Exchange
) -> Finding:
    document, before, after = max(differing, key=lambda found: abs(found[1] - found[2]))
    text = json.dumps(document, ensure_ascii=False)[:60]
    actual = f"{after:.6g} for {text}; {len(differing)} of {count} documents have another score"
    return Finding(f"{before:.6g}, its score in another list", actual, other, one)


@rule(
    "relation.one-score-in-long-lists",
    "If each text is scored by itself, it has the same score at every position among hundreds of documents",
    _SCORE,
    quick=False,
    since="1.1.0",
)
def one_score_in_long_lists(seen: Recording) -> Iterator[Judgement]:
    """Compare two orders of the same documents, as long lists may be scored differently from short ones."""
    if not scores_texts_alone(seen):
        return
    for names in _LONG:
        pair = _scored(seen, names)
        if len(pair) == 2:
            differing, count = _differing(seen, *pair)
            yield _finding(differing, count, *pair) if differing else None


@rule(
    "relation.order-in-long-lists",
    "A document's score does not depend on the order of hundreds of documents",
    _SCORE,
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def order_in_long_lists(seen: Recording) -> Iterator[Judgement]:
    """Compare two orders of the same documents, for models that compare documents too."""
    for names in _LONG:
        pair = _scored(seen, names)
        if len(pair) == 2:
            differing, count = _differing(seen, *pair)
            bad = len(differing) > _MANY * count
            yield _finding(differing, count, *pair) if bad else None


@rule(
    "relation.padding",
    "A document's score does not depend on the length of the texts beside it",
    _SCORE,
    level="SHOULD",
    quick=False,
    since="1.1.0",
)
def padding(seen: Recording) -> Iterator[Judgement]:
    """Compare short texts without and with a long one, to whose length a batch is padded."""
    for name in ("rank-beside-long", "rank-beside-long-first"):
        pair = _scored(seen, ("rank-full", name))
        if len(pair) == 2:
            differing, count = _differing(seen, *pair)
            yield _finding(differing, count, *pair) if differing else None


@rule(
    "relation.text-beside-image",
    "The ranking depends on the text of a document that has an image, too",
    f"{SCHEMA}/ImageDocument",
    since="1.1.0",
)
def text_beside_image(seen: Recording) -> Iterator[Judgement]:
    """Compare an image with a text that answers the query and the same image alone."""
    for exchange in _scored(seen, ("rank-images",)):
        both, alone = _IMAGE_WITH_TEXT
        if {both, alone} <= exchange.scores.keys():
            score = exchange.scores[both]
            bad = score == exchange.scores[alone]
            actual = f"{score:.6g} for documents {both} and {alone}, of which the first answers the query"
            yield Finding("two scores for an image with and without text", actual, exchange) if bad else None


_IMAGE_WITH_TEXT = (4, 6)  # documents of the probe with one image


@rule(
    "relation.images",
    "If each text is scored by itself, it keeps its score beside images, and an image keeps its score in any order",
    f"{SCHEMA}/ImageDocument",
    quick=False,
    since="1.1.0",
)
def images(seen: Recording) -> Iterator[Judgement]:
    """Compare lists with images with each other, and their texts with the list of texts alone."""
    if not scores_texts_alone(seen):
        return
    for exchange in (seen.named("rank-images-mixed"), seen.named("rank-images-mixed-top")):
        if exchange is not None and exchange.undecided:
            yield Undecided(exchange.undecided)
    for names in (
        ("rank-full", "rank-images"),
        ("rank-images", "rank-images-mixed"),
        ("rank-images", "rank-images-mixed-top"),
    ):
        pair = _scored(seen, names)
        if len(pair) == 2:
            differing, count = _differing(seen, *pair)
            yield _finding(differing, count, *pair) if differing else None
