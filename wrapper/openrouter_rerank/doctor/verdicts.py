"""Find the faults that the scores and indices of rankings prove."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from typing import cast

from openrouter_rerank.doctor.probes import COPIES, DOCUMENTS, Observation, is_score, place_of
from openrouter_rerank.doctor.report import Problem, problem

# If all scores are nearer than this to zero, or to one, they mean nothing; real scores of relevant documents differ more.
_VANISHING = 1e-6
# If all scores differ by less than this fraction, they are nearly the same.
_NARROW = 1e-3
# The noise of a GPU is below this fraction of the spread; random scores differ by more.
_NOISE = 0.1
# By chance, 3.5 documents on average are above the relevant one; lower here, because five questions vary.
_CHANCE = 2.8
# The minimum number of questions that must agree on a fault that a weak model may show by chance.
_LEAST = 4


def judge(observed: Sequence[Observation]) -> list[Problem]:
    """Return the problems of the rankings.

    A fault hides its consequences: invalid scores are reported, and not their order.
    """
    warnings = [*_unsorted(observed), *_dropped(observed), *_top_n(observed)]
    return [*_first(_invalid(observed), _shifted(observed), _meaning(observed), warnings)]


def separation(observed: Sequence[Observation]) -> tuple[int, int]:
    """Return the number of questions whose relevant document comes first, and the number of all; copies do not count."""
    places = [_place(one) for one in _asked(observed) if one.query not in DOCUMENTS]
    return sum(place == 0 for place in places), len(places)


def is_unclear(observed: Sequence[Observation]) -> bool:
    """Return True if fewer than three of five relevant documents are first, and their scores differ."""
    first, asked = separation(observed)
    return first * 5 < asked * 3 and not judge(observed)


def scale_of(observed: Sequence[Observation]) -> str | None:
    """Return the scale of the scores; None without scores."""
    scores = [score for one in observed for score in one.scores.values()]
    if not scores:
        return None
    if min(scores) >= 0 and max(scores) <= 1:
        return "0 to 1"
    return "-1 to 1" if min(scores) >= -1 and max(scores) <= 1 else "unbounded"


def is_cut(long: Observation) -> bool:
    """Return True if the end of the texts of `probes.long_texts` was provably not read.

    The proof: two different ends have exactly the same score, but the answer at the beginning has another one. A diluted
    or rounded score would be the same in all three texts.
    """
    if not long.is_whole:
        return False
    answer_last, other_last, answer_first, short = (long.scores[place] for place in range(4))
    spread = max(abs(answer_first - short), abs(answer_last - short))
    return answer_last == other_last and abs(answer_first - answer_last) > 0.02 * spread


def _first(*groups: Sequence[Problem]) -> Sequence[Problem]:
    return next((group for group in groups if group), ())


def _asked(observed: Sequence[Observation]) -> list[Observation]:
    """Return the complete rankings with a relevant document, one for each query."""
    by_query = {one.query: one for one in reversed(observed) if one.relevant is not None and one.is_whole}
    return list(by_query.values())


def _place(one: Observation) -> int:
    """Return the number of documents above the relevant one; those with the same score count as above."""
    scores = one.scores
    relevant = one.relevant or 0
    return sum(score >= scores[relevant] for place, score in scores.items() if place != relevant)


# ------------------------------------------------------------------------------------------------------------ one answer


def _invalid(observed: Sequence[Observation]) -> list[Problem]:
    """Report scores that are not finite numbers."""
    wrong = [row.score for one in observed for row in one.rows if not is_score(row.score)]
    if not wrong:
        return []
    examples = ", ".join(dict.fromkeys(repr(value)[:20].replace("None", "null") for value in wrong[:20]))
    return [
        problem(
            "invalid_scores",
            f"scores: {len(wrong)} of them are not finite numbers ({examples})",
            "check the model's precision (try float32) and that it is a reranker; no client can use these scores",
        )
    ]


_SHIFTED = "report it to the server's maintainers; results would be assigned to the wrong documents"


def _shifted(observed: Sequence[Observation]) -> list[Problem]:
    """Report indices that point to the wrong documents."""
    return [
        problem("shifted_index", says, _SHIFTED)
        for says in (_impossible(observed) or _mismatched(observed) or _displaced(observed),)
        if says
    ]


def _impossible(observed: Sequence[Observation]) -> str:
    for one in observed:
        indices = [place_of(row.index) for row in one.rows]
        if None in indices:
            value = next(row.index for row in one.rows if place_of(row.index) is None)
            return f"index: {str(value)[:20]!r} is not an integer"
        places = [index for index in indices if index is not None]
        outside = [place for place in places if not 0 <= place < len(one.texts)]
        if outside:
            from_one = min(places) == 1 and max(places) == len(one.texts)
            counted = "indices count from 1" if from_one else "an index is out of range"
            return f"index: {counted} ({outside[0]} of {len(one.texts)} documents)"
        twice = next((place for place in places if places.count(place) > 1), None)
        if twice is not None:
            return f"index: {twice} appears twice in one answer"
    return ""


def _mismatched(observed: Sequence[Observation]) -> str:
    """Describe a result that echoes another document of the request; empty if there is none."""
    for one in observed:
        for row in one.rows:
            place = place_of(row.index) or 0
            echo = row.echo.strip() if isinstance(row.echo, str) else None
            if echo in one.texts and echo != one.texts[place]:
                return f"index: result {place} has the text of document {one.texts.index(echo)}"
    return ""


def _displaced(observed: Sequence[Observation]) -> str:
    """Describe by how many places the best result misses the relevant document, if all questions agree.

    The order of the documents differs between questions, so a bias of the model for a place or a document does not agree.
    """
    asked = [one for one in observed if one.relevant is not None and one.is_whole and not one.top_n]
    if len({one.query for one in asked}) < _LEAST:
        return ""
    if all(map(_is_numbered, asked)) and not _follow_places(asked):
        return f"index: in all {len(asked)} rankings it is the position in the ranking, not in the request"
    if any(map(_is_tied, asked)):
        return ""
    best = [max(one.scores, key=one.scores.__getitem__) for one in asked]
    sizes = [len(one.texts) for one in asked]
    relevant = [one.relevant or 0 for one in asked]
    offsets = {(found - place) % size for found, place, size in zip(best, relevant, sizes, strict=True)}
    mirrored = all(
        found + place == size - 1 for found, place, size in zip(best, relevant, sizes, strict=True)
    )
    if mirrored:
        return f"index: in all {len(asked)} rankings it counts from the end of the list"
    if len(offsets) == 1 and offsets != {0}:
        offset = offsets.pop()
        by = offset if offset <= sizes[0] // 2 else offset - sizes[0]
        return f"index: in all {len(asked)} rankings it is off by {by:+d}"
    return ""


def _is_numbered(one: Observation) -> bool:
    """Return True if the results are sorted by different scores and their indices count from 0."""
    scores = list(one.scores.values())  # in the order of the results
    return (
        list(one.scores) == list(range(len(one.texts)))
        and scores == sorted(scores, reverse=True)
        and scores[0] > scores[-1]
    )


def _is_tied(one: Observation) -> bool:
    """Return True if several documents have the highest score."""
    scores = list(one.scores.values())
    return scores.count(max(scores)) > 1


# --------------------------------------------------------------------------------------------------------- several answers


def _meaning(observed: Sequence[Observation]) -> Sequence[Problem]:
    plain = [one for one in observed if not one.top_n and one.relevant is not None]
    return _first(
        [*_constant(plain), *_degenerate(plain)],
        [*_random(plain)],
        [*_ignored_query(plain)],
        [*_inverted(plain)],
        [*_meaningless(plain)],
    )


_SKIP = 'leave blank and repeated documents out, or pass blank="skip"'
_MODEL = "check that the model is a reranker, how it was converted, and its pooling and prompt template"


def _constant(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report that all documents of each question have the same score."""
    asked = _asked(observed)
    if len(asked) >= 2 and all(len(set(one.scores.values())) == 1 for one in asked):
        value = next(iter(asked[0].scores.values()))
        yield problem("constant_scores", f"scores: all documents have the same score ({value!r})", _MODEL)


def _degenerate(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report that all scores are close to 0, close to 1, or nearly the same."""
    asked = _asked(observed)
    if len(asked) < 2:
        return
    scores = [score for one in asked for score in one.scores.values()]
    low, high = min(scores), max(scores)
    if max(abs(low), abs(high)) < _VANISHING:
        says = f"scores: all are close to 0 (at most {max(scores, key=abs):.3g})"
    elif low > 1 - _VANISHING and high <= 1:
        says = f"scores: all are close to 1 (at least {low!r})"
    elif low < high and high - low < _NARROW * max(abs(low), abs(high)):
        says = f"scores: all are nearly the same ({low!r} to {high!r})"
    else:
        return
    yield problem("degenerate_scores", says, _MODEL)


def _random(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report that a repeated request, or the same documents in another order, get clearly different scores."""
    pairs = [
        (one, other)
        for one, other in combinations(observed, 2)
        if one.query == other.query and one.is_whole and other.is_whole and set(one.texts) == set(other.texts)
    ]
    repeated = [pair for pair in pairs if list(pair[0].texts) == list(pair[1].texts)]
    moved = [pair for pair in pairs if pair not in repeated]
    if any(_has_changed(*pair) for pair in repeated):
        says = "a repeated request gets different scores"
    elif moved and _follow_places(observed):
        says = "they depend only on the position in the list, not on the document"
    elif len({one.query for one, _ in moved}) > 1 and _is_unrelated(moved):
        says = "the same documents in another order get different scores"
    else:
        return
    do = "do not trust the order; check the server's batching and cache, and that dropout is off"
    yield problem("random_scores", f"scores: {says}", do)


def _is_unrelated(moved: Sequence[tuple[Observation, Observation]]) -> bool:
    """Return True if the rankings of the same documents in different orders are nearly unrelated.

    A listwise model also changes its scores a little, and the order of irrelevant documents.
    """
    products = [product for pair in moved for product in _products(*pair)]
    opposing = sum(product < 0 for product in products)
    agreeing = sum(product > 0 for product in products)
    changed = sum(_has_changed(*pair) for pair in moved)
    return changed * 2 > len(moved) and opposing * 4 >= agreeing


def _has_changed(one: Observation, other: Observation) -> bool:
    """Return True if half of the documents change their score by more than noise."""
    first, second = one.by_text, other.by_text
    both = [*first.values(), *second.values()]
    noise = _NOISE * (max(both) - min(both))
    return sum(abs(first[text] - second[text]) > noise for text in first) * 2 >= len(first)


def _products(one: Observation, other: Observation) -> list[float]:
    """Return a number for each pair of documents; negative if the two rankings disagree on their order."""
    first, second = one.by_text, other.by_text
    return [(first[a] - first[b]) * (second[a] - second[b]) for a, b in combinations(first, 2)]


def _follow_places(observed: Sequence[Observation]) -> bool:
    """Return True if all answers have the same scores at the same positions."""
    return len({tuple(sorted(one.scores.items())) for one in observed if one.is_whole}) == 1


def _ignored_query(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report that each document has the same score for all queries."""
    asked = _asked(observed)
    vectors = {tuple(sorted(one.by_text.items())) for one in asked}
    if len(asked) >= _LEAST and len(vectors) == 1:
        yield problem(
            "constant_scores",
            f"scores: each document has the same score for all {len(asked)} queries, as if the query were not read",
            _MODEL,
        )


def _inverted(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report that relevant documents come last for unrelated questions, which does not happen by chance."""
    asked = _asked(observed)
    last = [_is_last(one) for one in asked]
    if len(asked) >= _LEAST and sum(last) >= max(_LEAST, len(asked) - 1) and all(map(_is_low, asked)):
        yield problem(
            "inverted_order",
            f"scores: the only relevant document has the lowest score for {sum(last)} of {len(asked)} queries",
            "negate the scores at the server; it sends distances, or the score of irrelevance",
        )


def _is_last(one: Observation) -> bool:
    """Return True if the relevant document has the lowest score and comes last."""
    scores, relevant = one.scores, one.relevant or 0
    lowest = [
        place for place, score in scores.items() if score == scores[relevant]
    ]  # in the order of the results
    is_lowest = scores[relevant] == min(scores.values()) < max(scores.values())
    return is_lowest and lowest[-1] == relevant == list(scores)[-1]


def _is_low(one: Observation) -> bool:
    """Return True if at most one document has a lower score than the relevant one."""
    return sum(score < one.scores[one.relevant or 0] for score in one.scores.values()) <= 1


def _meaningless(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report that relevant documents, including copies of the query, rank no better than by chance.

    A weak model is not reported, as it recognizes copies and does better than chance with questions.
    """
    asked = _asked(observed)
    copies = [one for one in asked if one.query in DOCUMENTS]
    places = [_place(one) for one in asked]
    if len(copies) == len(COPIES) and sum(places) >= _CHANCE * len(places):
        first = sum(_place(one) == 0 for one in copies)
        yield problem(
            "random_scores",
            f"scores: they do not follow the query; even a copy of it comes first in {first} of {len(copies)} rankings",
            _MODEL,
        )


# ---------------------------------------------------------------------------------------------------------------- warnings


def judge_blank(one: Observation) -> list[Problem]:
    """Return the problem of a ranking whose first document is blank and whose last one is a duplicate."""
    copied, last = one.texts.index(one.texts[-1]), len(one.texts) - 1
    found = {place_of(row.index) for row in one.rows}
    missing = [place for place in range(len(one.texts)) if place not in found]
    if not missing:
        wrong = [row for row in one.rows if not is_score(row.score)]
        says = "scores: the score of a blank document is not a finite number"
        is_blank = [place_of(row.index) for row in wrong] == [0]
        return [problem("invalid_scores", says, _SKIP, severity="warning")] if is_blank else []
    if missing == [0]:
        says = "results: a blank document has no result"
    elif missing == [last] and one.scores.get(copied - 1) == one.scores.get(copied):
        says = "results: a blank document has no result, and the indices after it are shifted"
    elif missing in ([copied], [last]):
        says = "results: two documents with the same text share one result"
    else:
        says = f"results: {len(one.rows)} came back for {len(one.texts)} documents, one of them blank and one repeated"
    return [problem("drops_documents", says, _SKIP)]


def _unsorted(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report results that are not sorted by score."""
    for one in observed:
        scores = [float(cast(float, row.score)) for row in one.rows if is_score(row.score)]
        if any(before < after for before, after in pairwise(scores)):
            yield problem(
                "unsorted",
                "results: they are not sorted by score",
                "nothing to do; this client sorts them, but other clients may not",
            )
            return


def _dropped(observed: Sequence[Observation]) -> Iterator[Problem]:
    """Report documents without a result."""
    for one in observed:
        if one.top_n is None and len(one.rows) < len(one.texts):
            yield problem(
                "drops_documents",
                f"results: {len(one.rows)} came back for {len(one.texts)} documents, without a top_n",
                "send fewer documents at a time (max_documents=), or check the server's defaults; `unranked` lists the missing documents",
            )
            return


def _top_n(observed: Sequence[Observation]) -> list[Problem]:
    """Report a `top_n` that the server ignored."""
    for one in observed:
        if one.top_n is None:
            continue
        if len(one.rows) > one.top_n:
            says = f"top_n: {len(one.rows)} results came back for top_n={one.top_n}"
            return [
                problem(
                    "ignores_top_n",
                    says,
                    "nothing to do; this client cuts the results, but the server sends and may bill all of them",
                )
            ]
        if _is_cut_first(one, observed):
            says = "top_n: the server ranks only the first documents instead of returning the best"
            return [problem("ignores_top_n", says, "leave top_n out, and cut the ranking yourself")]
    return []


def _is_cut_first(one: Observation, observed: Sequence[Observation]) -> bool:
    """Return True if the best document is missing from the ranking with `top_n`."""
    whole = next((other for other in observed if other.query == one.query and other.is_whole), None)
    if whole is None or _is_tied(whole) or not one.scores:
        return False
    best = max(whole.by_text, key=whole.by_text.__getitem__)
    return best not in one.by_text and set(one.scores) <= set(range(one.top_n or 0))
