"""Rules that compare answers; a rule is a SHOULD or has a tolerance if correct models may differ."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from typing import Any, cast

from rerank_conformance.exchanges import Exchange, text_of
from rerank_conformance.rules.acceptance import accepted
from rerank_conformance.rules.rule import SCHEMA, Finding, Judge, Judgement, Recording, Undecided, rule

_RESULTS = f"{SCHEMA}/RerankResponse/properties/results"
_TOP_N = f"{SCHEMA}/RerankRequest/properties/top_n"
_SCORE = f"{SCHEMA}/RerankResult/properties/relevance_score"
_QUERY = f"{SCHEMA}/RerankRequest/properties/query"
_EXACT = 1e-9
_NOISES = 3  # scores count as the same within this multiple of the noise of a repeat

_Comparison = Callable[[Recording, Exchange, Exchange], Iterator[Judgement]]


def _pair(seen: Recording, *names: str) -> Iterator[tuple[Exchange, ...] | Undecided]:
    """Yield the exchanges with these names as one tuple, if each has a score for every result."""
    found = [seen.named(name) for name in names]
    if any(one is None for one in found):
        return
    pair = tuple(one for one in found if one is not None)
    for one in pair:
        if one.undecided:
            yield Undecided(one.undecided)
            return
    if all(one.ranked and one.results and len(one.scores) == len(one.results) for one in pair):
        yield pair


def _shown(exchange: Exchange, count: int = 4) -> str:
    ranked = [f"{index} ({score:.6g})" for index, score in list(exchange.scores.items())[:count]]
    return ", ".join(ranked) + (", ..." if len(exchange.scores) > count else "")


def _worse(seen: Recording, full: Exchange, cut: Exchange) -> tuple[int, int] | None:
    """Return the first position of the shorter ranking whose document the longer one ranks clearly lower."""
    best = full.order
    for place, index in enumerate(cut.order):
        if place >= len(best):
            return place, index
        # if both are limited by top_n, a document that ties with the last one may be in only one of them
        tied = index not in full.scores and full.probe.top_n is not None
        reached = cut.scores[index] if tied else full.scores.get(index, -math.inf)
        wanted = full.scores[best[place]]
        if (tied or reached < wanted) and not seen.close(reached, wanted):
            return place, index
    return None


def _is_prefix(seen: Recording, full: Exchange, cut: Exchange) -> Judgement:
    bad = _worse(seen, full, cut)
    if bad is None:
        return None
    actual = f"with top_n {cut.probe.top_n}: {_shown(cut)}; document {bad[1]} is not among the best there"
    return Finding(f"the beginning of the longer ranking: {_shown(full)}", actual, cut, full)


@rule("relation.top-n-best", "top_n returns the best documents, not the first ones", _TOP_N)
def top_n_best(seen: Recording) -> Iterator[Judgement]:
    """Compare rankings with top_n with the full one."""
    for count in (1, 2):
        for pair in _pair(seen, "rank-full", f"rank-top-{count}"):
            yield pair if isinstance(pair, Undecided) else _is_prefix(seen, pair[0], pair[1])


@rule(
    "relation.top-n-prefix",
    "The ranking for a smaller top_n is the beginning of that for a larger one",
    _TOP_N,
)
def top_n_prefix(seen: Recording) -> Iterator[Judgement]:
    """Compare two rankings with different top_n."""
    for small, large in ((1, 2), (2, 4)):
        for pair in _pair(seen, f"rank-top-{large}", f"rank-top-{small}"):
            yield pair if isinstance(pair, Undecided) else _is_prefix(seen, pair[0], pair[1])


_CUT = (
    ("rank-full", "rank-top-3"),
    ("rank-full", "rank-top-5"),
    ("rank-identical", "rank-identical-top"),
    ("rank-many", "rank-many-top"),
    ("rank-many", "rank-many-few"),
    ("accept-objects", "rank-objects-top"),
    ("accept-mixed", "accept-mixed-top"),
    ("rank-unicode", "rank-unicode-top"),
    ("rank-long-1000", "rank-long-1000-top"),
    ("rank-images", "rank-images-top"),
)
"""Further pairs of a full ranking and one with top_n of the same documents."""


@rule(
    "relation.top-n-of-any",
    "top_n returns the best documents of every list, also of long lists and of objects, for any top_n",
    _TOP_N,
    quick=False,
    since="1.1.0",
)
def top_n_of_any(seen: Recording) -> Iterator[Judgement]:
    """Compare rankings with top_n with full ones; other rules judge incomplete or unsorted ones."""
    for names in _CUT:
        for pair in _pair(seen, *names):
            if isinstance(pair, Undecided):
                yield pair
            elif _is_whole(pair[0]):
                yield _is_prefix(seen, pair[0], pair[1])


def _is_whole(exchange: Exchange) -> bool:
    scores = list(exchange.scores.values())
    falling = all(before >= after or math.isclose(before, after) for before, after in pairwise(scores))
    return falling and len(scores) == len(exchange.probe.documents)


def _between(first: str, second: str) -> Callable[[_Comparison], Judge]:
    """Return a decorator that turns a comparison of two exchanges into a judge of the two named probes."""

    def made(compare: _Comparison) -> Judge:
        @wraps(compare)
        def judge(seen: Recording) -> Iterator[Judgement]:
            for pair in _pair(seen, first, second):
                if isinstance(pair, Undecided):
                    yield pair
                else:
                    for one in compare(seen, *pair):
                        yield replace(one, compared=pair[0]) if isinstance(one, Finding) else one

        return judge

    return made


def _apart(
    seen: Recording, one: Exchange, other: Exchange, place: Callable[[int], int] = lambda index: index
) -> bool:
    """Return True if a document has a clearly different score in the other ranking; `place` maps its index to that one."""
    return any(
        place(index) in other.scores and not seen.close(one.scores[index], other.scores[place(index)])
        for index in one.order
    )


@rule("relation.repeatable", "A repeated request gets the same scores, apart from noise", _SCORE)
@_between("rank-full", "rank-again")
def repeatable(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Compare the answers to the same request."""
    expected = f"{_shown(one)}, each within {seen.tolerance:g}"
    bad = _apart(seen, one, other)
    yield Finding(expected, f"the second time {_shown(other)}", other) if bad else None


@rule(
    "relation.string-or-object",
    "A text has the same score as a string and as an object",
    f"{SCHEMA}/RerankDocument",
)
@_between("rank-full", "accept-objects")
def string_or_object(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Compare the scores of the same texts in both forms."""
    bad = _apart(seen, one, other)
    yield Finding(f"as strings: {_shown(one)}", f"as objects: {_shown(other)}", other) if bad else None


def _same_scores(seen: Recording, one: Exchange, other: Exchange) -> Judgement:
    """Compare two rankings of the same texts; with a small tolerance if each text is scored by itself."""
    if not seen.close(0.0, seen.noise):  # another rule judges scores that change each time
        return None
    exact = scores_texts_alone(seen)
    within = _OTHER_FORM_WITHIN * max(1.0, seen.spread)
    differing = [
        (abs(score - one.scores[index]), index)
        for index, score in other.scores.items()
        if index in one.scores and (exact or not seen.close(score, one.scores[index]))
    ]
    most, index = max(differing, default=(0.0, 0))
    if most <= within:
        return None
    expected = f"{one.scores[index]!r} for document {index}"
    return Finding(expected, f"{other.scores[index]!r} for document {index}", other, one)


@rule(
    "relation.document-forms",
    "A text that is scored by itself has exactly one score, as a string, as an object and in a list with both",
    f"{SCHEMA}/RerankDocument",
    since="1.1.0",
)
def document_forms(seen: Recording) -> Iterator[Judgement]:
    """Compare the forms of one list, with a small tolerance, as a server that ranks JSON moves scores only a little."""
    for names in _FORMS:
        for pair in _pair(seen, *names):
            found = pair if isinstance(pair, Undecided) else _same_scores(seen, *pair)
            if isinstance(found, Finding):
                found = replace(found, expected=f"{found.expected}, as in a list of strings")
            yield found


_FORMS = (
    ("rank-full", "accept-objects"),
    ("rank-full", "accept-mixed"),
    ("rank-full", "rank-mixed-other"),
    ("rank-blanks", "rank-blank-objects"),
    ("rank-texts", "rank-texts-objects"),
    ("rank-marks", "rank-marks-objects"),
)
"""Lists of the same texts in two forms."""

_WITHOUT_EFFECT = (
    ("rank-full", "accept-order-of-fields", "the fields in another order, with escapes"),
    ("rank-full", "accept-observability", "session_id, user and trace"),
    ("rank-full", "accept-user", "user, an empty session_id and an empty trace"),
    ("rank-full", "accept-provider-null", "provider: null"),
    ("rank-full", "accept-provider-empty", "an empty provider"),
    ("rank-full", "accept-attribution", "the headers of an application"),
    ("rank-full", "accept-odd-names", "unknown fields"),
    ("rank-full", "accept-unknown-fields", "unknown fields"),
    ("rank-full", "accept-dialect-1", "return_documents: true"),
    ("accept-objects", "accept-unknown-in-document", "unknown fields in documents"),
)
"""A request, another with what has no part in the ranking, and a name for that."""


@rule(
    "relation.other-fields",
    "What has no part in the ranking does not change scores: session_id, user, trace, unknown fields, the order of fields",
    f"{SCHEMA}/RerankRequest/description",
    quick=False,
    since="1.1.0",
)
def other_fields(seen: Recording) -> Iterator[Judgement]:
    """Compare requests that differ only in these; provider preferences may choose a provider with other scores."""
    for first, second, what in _WITHOUT_EFFECT:
        for pair in _pair(seen, first, second):
            if isinstance(pair, Undecided):
                yield pair
                continue
            is_whole = len(pair[0].probe.documents) == len(pair[1].probe.documents)
            if is_whole or scores_texts_alone(seen):
                found = _same_scores(seen, *pair)
                if isinstance(found, Finding):
                    found = replace(found, actual=f"{found.actual}, with {what}")
                yield found


@rule("relation.query-matters", "The ranking depends on the query", _QUERY)
@_between("rank-full", "rank-other-query")
def query_matters(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Compare two queries over the same documents; any difference beyond noise counts."""
    within = max(_EXACT, _NOISES * seen.noise)
    same = one.order == other.order and all(
        abs(one.scores[index] - other.scores[index]) <= within for index in one.order
    )
    expected = "another ranking, or other scores, for a query about another subject"
    yield Finding(expected, f"the same again: {_shown(other)}", other) if same else None


@rule(
    "relation.document-matters",
    "The ranking depends on the documents, not on their positions alone",
    _RESULTS,
)
@_between("rank-full", "rank-reversed")
def document_matters(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Judge the same documents in reverse."""
    del seen
    if len(one.scores) < 2 or len(other.scores) < len(one.scores):
        return
    same = one.order == other.order and all(
        abs(one.scores[index] - other.scores[index]) <= _EXACT for index in one.order
    )
    expected = "other documents first when the documents are reversed"
    yield Finding(expected, f"the same positions again: {_shown(other)}", other) if same else None


@rule("relation.own-score", "Each document has its own score, not that of a document beside it", _SCORE)
@_between("rank-full", "rank-reversed")
def own_score(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Compare with the reversed documents: scores shifted by some positions are shifted the other way there."""
    del seen
    count = len(one.probe.documents)
    if set(one.scores) != set(range(count)) or set(other.scores) != set(range(count)):
        return
    # both are indexed by the positions of the first request
    full = [one.scores[index] for index in range(count)]
    back = [other.scores[count - 1 - index] for index in range(count)]
    off = next((places for places in range(1, count // 2) if _is_off(full, back, places)), None)
    expected = f"the scores of {_shown(one)} with the documents reversed"
    yield Finding(expected, f"{_shown(other)}: each score is shifted by {off}", other) if off else None


def _is_off(full: Sequence[float], back: Sequence[float], places: int) -> bool:
    """Return True if every score is found this many places away in the other ranking, which is not chance."""
    if all(abs(one - other) <= _EXACT for one, other in zip(full, back, strict=True)):
        return False
    for by in (2 * places, -2 * places):
        moved = [(full[i], back[i + by]) for i in range(len(full)) if 0 <= i + by < len(full)]
        telling = len({one for one, _ in moved}) > 1
        if telling and all(abs(one - other) <= _EXACT for one, other in moved):
            return True
    return False


_BY_ITSELF = ("rank-full", "rank-reversed", "rank-added", "rank-one", "rank-identical")
"""Rankings of different lists; a server that gives a text the same score in all of them scores each text by itself."""
_BY_ITSELF_WITHIN = 1e-6  # a larger difference may be due to a listwise model
_OTHER_FORM_WITHIN = 1e-4  # small, as a server that ranks the JSON of an object moves scores only a little
_OF_OTHER_FIELDS = ("acceptance.escapes", "acceptance.attribution")
"""The rules of requests that `relation.other-fields` compares."""
_LONG_LISTS = ("rank-many", "rank-many-reversed", "rank-many-top")
"""Long lists of the same documents, which a server may score differently from short ones, for example in stages."""


@rule(
    "relation.one-score",
    "If the server scores each text by itself, a text has the same score in every list",
    _SCORE,
    since="1.1.0",
)
def one_score(seen: Recording) -> Iterator[Judgement]:
    """Compare the scores of a text in all lists that contain it; listwise models are not judged."""
    first = seen.named("rank-full")
    if first is None or not scores_texts_alone(seen):
        return
    short = [one for one in seen.ranked() if _is_plain(one, first) and len(one.probe.documents) <= 100]
    long = [one for name in _LONG_LISTS if (one := seen.named(name)) is not None]
    for lists in (short, long):
        known: dict[str, tuple[float, Exchange]] = {}
        for exchange in lists:
            bad = None
            for text, here in _scores_of([exchange]).items():
                score, first_list = known.setdefault(text, (here[0], exchange))
                scores = [score, *here]
                bad = bad or (None if seen.close(min(scores), max(scores)) else (text, scores, first_list))
            if bad:
                text, scores, before = bad
                other = max(scores[1:], key=lambda score: abs(score - scores[0]))
                actual = f"{other!r} for {text[:60]!r} as one of {len(exchange.probe.documents)} documents"
                compared = None if before is exchange else before
                yield Finding(f"{scores[0]!r}, its score in another list", actual, exchange, compared)
            else:
                yield None


def scores_texts_alone(seen: Recording) -> bool:
    """Return True if each text has the same score in all lists, so that documents do not affect each other."""
    some = [seen.named(name) for name in _BY_ITSELF]
    alone = _scores_of(one for one in some if one is not None)
    spread = max((max(scores) - min(scores) for scores in alone.values()), default=math.inf)
    return spread <= _BY_ITSELF_WITHIN


def _is_plain(exchange: Exchange, first: Exchange) -> bool:
    """Return True if the request differs from the first one only in its strings and `top_n`."""
    body = cast("dict[str, Any]", exchange.probe.body)
    first_body = cast("dict[str, Any]", first.probe.body)
    texts = all(isinstance(one, str) for one in exchange.probe.documents)
    same = all(body[name] == first_body[name] for name in ("model", "query"))
    is_other_form = exchange.probe.rule in _OF_OTHER_FIELDS
    return body.keys() <= {*first_body, "top_n"} and same and texts and not is_other_form


def _scores_of(exchanges: Iterable[Exchange]) -> dict[str, list[float]]:
    """Return the scores of each text."""
    found: dict[str, list[float]] = {}
    for exchange in exchanges:
        for index, score in exchange.scores.items():
            if 0 <= index < len(exchange.probe.documents):
                text = text_of(exchange.probe.documents[index]) or ""
                found.setdefault(text, []).append(score)
    return found


_PAIRS = (
    ("rank-query-end-1", "rank-query-end-2", "queries that differ at their end"),
    ("rank-document-end-1", "rank-document-end-2", "documents that differ at their end"),
    ("rank-late-1", "rank-late-2", "lists that differ in their last documents"),
    ("rank-same-length-1", "rank-same-length-2", "queries of one length"),
    ("rank-joined-1", "rank-joined-2", "lists that are the same text when joined"),
)


@rule(
    "relation.whole-request",
    "The ranking depends on the whole request, not only on its beginning",
    _QUERY,
    quick=False,
    since="1.1.0",
)
def whole_request(seen: Recording) -> Iterator[Judgement]:
    """Compare requests with the same beginning; exactly equal scores mean that the rest was not read."""
    for first, second, what in _PAIRS:
        for pair in _pair(seen, first, second):
            if isinstance(pair, Undecided):
                yield pair
                continue
            one, other = pair
            # a single score for all documents proves nothing, except where texts were truncated
            telling = len(set(one.scores.values())) > 1 or first == "rank-document-end-1"
            same = telling and one.scores == other.scores and one.order == other.order
            expected = f"other positions, or other scores, for {what}"
            yield Finding(expected, f"the same again: {_shown(other)}", other, one) if same else None


@rule(
    "relation.together",
    "Concurrent requests get the same scores as each gets alone",
    _SCORE,
    quick=False,
    since="1.1.0",
)
def together(seen: Recording) -> Iterator[Judgement]:
    """Compare the answers to the same requests, sent concurrently and one at a time."""
    for alone in seen.under("rank-alone-"):
        name = alone.probe.name.replace("alone", "together")
        for pair in (*_pair(seen, alone.probe.name, name), *_pair(seen, alone.probe.name, f"{name}-again")):
            if isinstance(pair, Undecided):
                yield pair
                continue
            by_itself, beside = pair
            bad = _apart(seen, by_itself, beside)
            actual = f"{_shown(beside)} beside other requests"
            yield Finding(f"{_shown(by_itself)}, as alone", actual, beside, by_itself) if bad else None


@rule(
    "relation.after-refusal",
    "A refused request leaves no trace in the next ranking",
    _SCORE,
    quick=False,
    since="1.1.0",
)
def after_refusal(seen: Recording) -> Iterator[Judgement]:
    """Compare a request before and after invalid ones; another rule judges scores that change each time."""
    before = seen.named("rank-before-refusals")
    repeated = [after for after in seen.under("rank-after-refusal-") if 500 in after.passing]
    # once may be chance
    if len(repeated) == len(seen.under("rank-after-refusal-")) > 1:
        actual = "500 after each refused request, and 200 when it is sent again"
        yield Finding("200 with a ranking", actual, repeated[0], before)
    for after in seen.under("rank-after-refusal-"):
        verdict = accepted(after)
        is_steady = before is not None and before.ranked and seen.close(0.0, seen.noise)
        if verdict is not None or before is None or not is_steady:
            yield verdict
            continue
        bad = before.scores.keys() != after.scores.keys() or _apart(seen, before, after)
        expected = f"{_shown(before)}, as before the refused request"
        yield Finding(expected, _shown(after), after, before) if bad else None


@rule(
    "relation.higher-is-better-in-long-lists",
    "A higher score means a more relevant document, also in a long list",
    _SCORE,
    since="1.1.0",
)
def higher_in_long_lists(seen: Recording) -> Iterator[Judgement]:
    """Judge that the documents that answer the query are not all below those that do not."""
    for pair in _pair(seen, "rank-many"):
        if isinstance(pair, Undecided):
            yield pair
            continue
        (exchange,) = pair
        # every sixth note answers, see probes
        answering = [score for index, score in exchange.scores.items() if index % 6 == 2]
        others = [score for index, score in exchange.scores.items() if index % 6 != 2]
        if answering and others:
            bad = max(answering) < min(others)
            actual = f"all {len(answering)} that answer the query come last: {_shown(exchange)}"
            yield Finding("the relevant documents before the others", actual, exchange) if bad else None


@rule("relation.higher-is-better", "A higher score means a more relevant document", _SCORE)
def higher_is_better(seen: Recording) -> Iterator[Judgement]:
    """Judge that the relevant document is not the last one in every one of several requests."""
    last: list[Exchange] = []
    judged = 0
    for name, index in (("rank-full", 2), ("rank-other-query", 3), ("rank-reversed", 3)):
        for pair in _pair(seen, name):
            if isinstance(pair, Undecided):
                yield pair
                continue
            (exchange,) = pair
            if index in exchange.scores and len(exchange.scores) > 2:
                judged += 1
                others = [score for other, score in exchange.scores.items() if other != index]
                if exchange.scores[index] < min(others):
                    last.append(exchange)
    if judged:
        bad = judged >= 2 and len(last) == judged
        actual = f"the document that answers the query is the last: {_shown(last[0], 8)}" if bad else ""
        yield Finding("the relevant document before the others", actual, last[0]) if bad else None


@rule(
    "relation.relevant-first",
    "The only document that answers the query is ranked first",
    _RESULTS,
    level="SHOULD",
)
def relevant_first(seen: Recording) -> Iterator[Judgement]:
    """Judge easy questions."""
    for name, index in (("rank-full", 2), ("rank-other-query", 3)):
        for pair in _pair(seen, name):
            if isinstance(pair, Undecided):
                yield pair
                continue
            (exchange,) = pair
            best = max(exchange.scores.values())
            good = index in exchange.scores and seen.close(exchange.scores[index], best)
            yield None if good else Finding(f"document {index} first", _shown(exchange), exchange)


@rule(
    "relation.order-of-documents",
    "A document's score does not depend on the order of the documents",
    _SCORE,
    level="SHOULD",
)
@_between("rank-full", "rank-reversed")
def order_of_documents(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Judge the same documents in reverse."""
    last = len(one.probe.documents) - 1
    bad = _apart(seen, one, other, lambda index: last - index)
    yield Finding(f"the scores of {_shown(one)}", f"reversed: {_shown(other)}", other) if bad else None


@rule(
    "relation.document-added",
    "A document's score does not depend on the other documents",
    _SCORE,
    level="SHOULD",
)
@_between("rank-full", "rank-added")
def document_added(seen: Recording, one: Exchange, other: Exchange) -> Iterator[Judgement]:
    """Compare with a list that has one more document."""
    bad = _apart(seen, one, other)
    yield Finding(f"the scores of {_shown(one)}", f"with one more: {_shown(other)}", other) if bad else None


@rule("relation.identical-documents", "Identical documents have the same score", _SCORE, level="SHOULD")
def identical_documents(seen: Recording) -> Iterator[Judgement]:
    """Compare the scores of a text that a request has several times."""
    for pair in _pair(seen, "rank-identical"):
        if isinstance(pair, Undecided):
            yield pair
            continue
        (exchange,) = pair
        by_text: dict[str | None, list[float]] = {}
        for index, score in exchange.scores.items():
            if 0 <= index < len(exchange.probe.documents):
                by_text.setdefault(text_of(exchange.probe.documents[index]), []).append(score)
        for scores in by_text.values():
            if len(scores) > 1:
                good = seen.close(min(scores), max(scores))
                actual = f"{min(scores)!r} and {max(scores)!r}"
                yield None if good else Finding("one score for one text", actual, exchange)
