"""Report one failure per cause: list rules that fail as a consequence below the rule that causes them."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rerank_conformance.exchanges import Exchange, text_of
from rerank_conformance.judged import Judged
from rerank_conformance.report import LEVELS
from rerank_conformance.rules import Finding, Recording

_Test = Callable[[Judged, Judged], bool]
"""True if the second rule fails as a consequence of the first."""


def one_finding_for_a_cause(judged: Sequence[Judged], seen: Recording) -> list[Judged]:
    """Return the outcomes with one failing rule per cause; other rules with the same cause are listed below it."""
    by_crash = _owners_of_crashes(judged)
    judged = _with_refusals(judged)
    failed = {one.rule.id: one for one in judged if one.outcome == "fail"}
    above: dict[str, str] = {}

    def put(owner: Judged, one: Judged) -> None:
        name = one.rule.id
        if name not in above and _root(owner.rule.id, above) != name:
            above[name] = owner.rule.id

    for name, crashed in by_crash.items():
        put(failed[crashed], failed[name])
    for owner, one in _consequences(failed, seen):
        if _can_stand_for(owner, one):
            put(owner, one)
    below: dict[str, list[str]] = {}
    for one in judged:
        if one.rule.id in above:
            below.setdefault(_root(one.rule.id, above), []).append(one.rule.id)
    return [
        Judged(one.rule, "skip", reason=_reason(one.rule.id, above, by_crash))
        if one.rule.id in above
        else replace(one, touched=tuple(below.get(one.rule.id, ())))
        for one in judged
    ]


def _root(name: str, above: Mapping[str, str]) -> str:
    while name in above:
        name = above[name]
    return name


def _reason(name: str, above: Mapping[str, str], by_crash: Mapping[str, str]) -> str:
    root = _root(name, above)
    if by_crash.get(name) == root:
        return f"not judged: the crash is reported by {root}"
    return f"not judged: {root} fails by the same cause"


def _can_stand_for(owner: Judged, one: Judged) -> bool:
    """Return True if listing a rule below the owner hides no failure of a level or of a MUST."""
    is_must = owner.rule.level == "MUST" or one.rule.level == "SHOULD"
    return is_must and _level(owner) <= _level(one)


def _level(one: Judged) -> int:
    return LEVELS.index(one.rule.conformance_level)


def _owners_of_crashes(judged: Iterable[Judged]) -> dict[str, str]:
    """Return the rules that fail only by crashes at requests of other rules, each with one of these rules."""
    failed = [one for one in judged if one.outcome == "fail"]
    owners: dict[int, Judged] = {}
    for one in failed:
        for finding in one.findings:
            if finding.exchange is not None and finding.exchange.crashed:
                key = id(finding.exchange)
                owners[key] = min(owners.get(key, one), one, key=partial(_distance, finding.exchange))
    above: dict[str, str] = {}
    for one in failed:
        found = [owners.get(id(finding.exchange)) for finding in one.findings]
        others = [owner for owner in found if owner is not None and owner is not one]
        # a MUST is not listed below a SHOULD
        shown = [owner for owner in others if owner.rule.level == "MUST" or one.rule.level == "SHOULD"]
        if shown and len(others) == len(found):
            above[one.rule.id] = shown[0].rule.id
    return above


def _distance(exchange: Exchange, one: Judged) -> tuple[bool, bool, int, int]:
    """Return a sort key that is smallest for the rule that a crash is most about; rules of the error body come last."""
    name = one.rule.id
    general = ("schema.no-server-error", "robustness.no-server-error", "robustness.answered")
    nearness = 0 if name == exchange.probe.rule else 1 if name in general else 2
    # No level may lose a failure to a rule of a later one, which it does not include.
    return name.startswith("error."), one.rule.level != "MUST", _level(one), nearness


# invalid requests

_REFUSED = "refusal.status"
"""The rule that fails if the server gives every invalid request the same wrong answer."""
_FEWEST = 5  # rules of refusals; fewer may fail for different causes
_MOST = 0.75  # the share of the judged rules of refusals


def _with_refusals(judged: Sequence[Judged]) -> Sequence[Judged]:
    """Return the outcomes, with a failure of `refusal.status` if most invalid requests get the same wrong answer."""
    of_refusals = [one for one in judged if _is_of_one_refusal(one) and one.outcome != "skip"]
    kinds = Counter(kind for one in of_refusals if (kind := _kind(one)))
    [(kind, count)] = kinds.most_common(1) or [("", 0)]
    if count < max(_FEWEST, _MOST * len(of_refusals)):
        return judged
    same = [one for one in of_refusals if _kind(one) == kind]
    findings = tuple(finding for one in same for finding in one.findings)
    first = replace(findings[0], actual=f"{findings[0].actual} (as for {count} kinds of invalid requests)")
    return [
        Judged(one.rule, "fail", first, findings=findings) if one.rule.id == _REFUSED else one
        for one in judged
    ]


def _is_of_one_refusal(one: Judged) -> bool:
    return one.rule.id.startswith("refusal.") and one.rule.id != _REFUSED


def _kind(one: Judged) -> str | None:
    """Return the wrong answer to all requests of a rule; None if they differ, or no answer is wrong."""
    kinds = {_answer(finding.exchange) for finding in one.findings}
    return kinds.pop() if len(kinds) == 1 else None


def _answer(exchange: Exchange | None) -> str | None:
    answer = exchange.answer if exchange else None
    if exchange is None or answer is None:
        return None
    return f"{answer.status} ranked" if exchange.results else str(answer.status)


# consequences


def _always(owner: Judged, one: Judged) -> bool:
    del owner, one
    return True


def _about(one: Judged) -> list[set[int]]:
    """Return the ids of the exchanges of each finding."""
    return [
        {id(exchange) for exchange in (finding.exchange, finding.compared) if exchange is not None}
        for finding in one.findings
    ]


def _same_exchanges(owner: Judged, one: Judged) -> bool:
    """Return True if each finding is about an exchange that also breaks the owner."""
    owned = {id(finding.exchange) for finding in owner.findings}
    return all(owned & about for about in _about(one))


def _same_answer(owner: Judged, one: Judged) -> bool:
    """Return True if the requests of both rules got the same wrong answer."""
    return {_answer(found.exchange) for found in one.findings} <= {
        _answer(found.exchange) for found in owner.findings
    }


def _same_body(owner: Judged, one: Judged) -> bool:
    """Return True if only bodies that break the owner got a wrong answer, and it is the same one."""
    bodies = {found.exchange.probe.content for found in owner.findings if found.exchange is not None}
    known = all(
        found.exchange is not None and found.exchange.probe.content in bodies for found in one.findings
    )
    return known and _same_answer(owner, one)


def _same_wrong_answer(owner: Judged, one: Judged) -> bool:
    """Return True if only requests that may be refused got the same wrong answer."""
    invalid = all(found.exchange is not None and not found.exchange.probe.legal for found in one.findings)
    return invalid and _same_answer(owner, one)


def _has_blank(owner: Judged, one: Judged) -> bool:
    """Return True if each finding is about a list with a blank document."""
    del owner
    return all(
        finding.exchange is not None
        and any(not (text_of(document) or "").strip() for document in finding.exchange.probe.documents)
        for finding in one.findings
    )


def _not_json_alike(owner: Judged, one: Judged) -> bool:
    """Return True if errors are not JSON for the reason for which rankings are not, such as a byte order mark."""
    return _reasons(one) <= _reasons(owner) - {None}


def _reasons(one: Judged) -> set[str | None]:
    """Return the reasons why responses are not JSON, without positions; None for one that is."""
    answers = [finding.exchange.answer if finding.exchange else None for finding in one.findings]
    found = [answer.not_json if answer else None for answer in answers]
    return {re.split(r"\d| at line", reason)[0] if reason else None for reason in found}


def _is_behind_a_body(owner: Judged, one: Judged) -> bool:
    """Return True if the rest of bodies that are longer than their Content-Length is all that is wrong."""
    return all("the body ends" in found.actual for found in owner.findings) and _has_stray_bytes(one)


def _is_behind_a_head(owner: Judged, one: Judged) -> bool:
    """Return True if a body in the response to HEAD is all that is wrong."""
    forms = {found.exchange.probe.form for found in owner.findings if found.exchange is not None}
    return forms == {"after-head"} and _has_stray_bytes(one)


def _has_stray_bytes(one: Judged) -> bool:
    """Return True if bytes of an earlier response stand before each response."""
    return all("illegal status line" in found.actual for found in one.findings)


_LOST = tuple(
    f"answer.{name}"
    for name in (
        "top-n-above-count",
        "many-documents",
        "blank-documents",
        "identical-documents",
        "one-document",
        "not-empty",
        "top-n-filled",
    )
)
_READ = tuple(
    f"relation.{name}"
    for name in (
        "whole-request",
        "read-to-end",
        "long-read-to-end",
        "every-line",
        "after-special-tokens",
        "after-marks",
        "placeholders",
        "other-scripts",
        "relevant-first",
        "higher-is-better",
    )
)
_COMPARED = tuple(
    f"relation.{name}" for name in ("identical-documents", "order-in-long-lists", "padding", "document-added")
)
_ROWS: tuple[tuple[str, tuple[str, ...], _Test], ...] = (
    (
        _REFUSED,
        ("refusal.", "schema.negative-data", "schema.no-server-error", "robustness.odd-json"),
        _same_wrong_answer,
    ),
    ("acceptance.plain", ("acceptance.", "transport.", "authentication.scheme-case"), _same_body),
    ("answer.json", ("answer.content-type", "answer.one-reading"), _same_exchanges),
    ("answer.json", ("error.envelope",), _not_json_alike),
    ("answer.json", ("robustness.answered",), _is_behind_a_body),
    ("transport.connection", ("robustness.answered",), _is_behind_a_head),
    ("answer.descending", ("relation.",), _same_exchanges),
    (
        "answer.blank-documents",
        ("answer.complete", "answer.not-empty", "answer.one-document", "answer.top-n-above-count"),
        _has_blank,
    ),
    ("answer.complete", _LOST, _always),
    # scores that differ each time, or beside other requests, make every comparison fail
    ("relation.repeatable", ("relation.", "robustness.after-pause"), _always),
    ("relation.together", ("relation.", "robustness.after-pause"), _always),
    (
        "relation.document-matters",
        (
            *_READ,
            *_COMPARED,
            "relation.query-matters",
            "relation.order-of-documents",
            "relation.text-beside-image",
        ),
        _always,
    ),
    ("relation.query-matters", _READ, _always),
    ("relation.string-or-object", ("relation.document-forms", "relation.text-beside-image"), _always),
    ("relation.images", ("relation.text-beside-image",), _always),
    ("relation.other-fields", ("relation.one-score",), _same_exchanges),
    ("relation.own-score", ("relation.",), _always),
    ("relation.whole-request", ("relation.read-to-end", "relation.long-read-to-end"), _always),
    ("relation.read-to-end", ("relation.long-read-to-end",), _always),
    (
        "relation.one-score",
        # padding is a SHOULD with a fix of its own
        (
            "relation.one-score-in-long-lists",
            "relation.order-in-long-lists",
            "relation.images",
            "relation.order-of-documents",
            "relation.document-added",
            "relation.identical-documents",
        ),
        _always,
    ),
    ("relation.one-score-in-long-lists", ("relation.order-in-long-lists",), _always),
    ("relation.order-of-documents", _COMPARED, _always),
    ("relation.document-added", ("relation.padding",), _always),
    (
        "relation.higher-is-better",
        ("relation.higher-is-better-in-long-lists", "relation.relevant-first"),
        _always,
    ),
    ("answer.echo-text", ("answer.echo-blanks", "answer.echo-unicode", "answer.echo-long"), _always),
    ("error.envelope", ("error.content-type", "error.code"), _same_exchanges),
    ("error.envelope", ("method.envelope",), _always),
    ("error.code", ("method.envelope",), _always),
    ("authentication.no-key", ("authentication.",), _same_answer),
    ("authentication.no-key", ("authentication.before-body",), _always),
    ("authentication.wrong-key", ("authentication.",), _same_answer),
)
"""A rule, the id prefixes of rules that may fail as a consequence, and the test for that; the first matching row applies."""

_INDICES = ("answer.index-in-range", "answer.index-points-at-echo")
"""The rules that fail if the indices are wrong; a wrong index also makes lookups by it fail."""
_OF_INDEX = ("answer.index-points-at-echo", "answer.echo-", "relation.")


def _consequences(failed: Mapping[str, Judged], seen: Recording) -> Iterable[tuple[Judged, Judged]]:
    """Yield pairs of a rule and a rule that fails as its consequence."""
    indices = [failed[name] for name in _INDICES if name in failed]
    if indices:
        found = tuple(finding for one in indices for finding in one.findings)
        wrong = replace(indices[0], findings=found)
        for one in failed.values():
            if one.rule.id.startswith(_OF_INDEX) and _same_exchanges(wrong, one):
                yield indices[0], one
    for name, below, follows in _ROWS:
        owner = failed.get(name)
        for one in failed.values() if owner else ():
            if owner and one is not owner and one.rule.id.startswith(below) and follows(owner, one):
                yield owner, one
    yield from _by_field(failed, seen)


def _by_field(failed: Mapping[str, Judged], seen: Recording) -> Iterable[tuple[Judged, Judged]]:
    """Yield the first failed refusal with the rule of generated requests, if the same fields make them invalid."""
    generated = failed.get("schema.negative-data")
    refusals = [one for one in failed.values() if _is_of_one_refusal(one)]
    fields = {field for one in refusals for finding in one.findings if (field := _field(finding, seen))}
    if generated and refusals and {_field(finding, seen) for finding in generated.findings} <= fields:
        yield refusals[0], generated


def _field(finding: Finding, seen: Recording) -> str | None:
    """Return the field that makes the request of a finding invalid; None if no field does."""
    if finding.exchange is None:
        return None
    try:
        value = json.loads(finding.exchange.probe.content)
    except (ValueError, RecursionError):
        return None
    violation = seen.by.request.violation(value)
    return violation.place.partition("[")[0] if violation else None
