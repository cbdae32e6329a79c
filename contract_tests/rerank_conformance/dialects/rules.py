"""The rules of a check of a dialect: those of the canonical form, as they apply to it, and those that only it has."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import NamedTuple

from rerank_conformance import contract, derived
from rerank_conformance.derived import REQUEST, Requirement, with_field
from rerank_conformance.dialects import CODECS
from rerank_conformance.dialects.applicability import entry
from rerank_conformance.dialects.codec import Body, DialectCodec
from rerank_conformance.dialects.forms import SOURCES, judge_of
from rerank_conformance.dialects.translation import WireProbe
from rerank_conformance.exchanges import Probe
from rerank_conformance.probes import DOCUMENTS, QUERY
from rerank_conformance.report import ConformanceLevel, Level
from rerank_conformance.rules import RULES, Finding, Judgement, Recording, Rule, rule_set
from rerank_conformance.rules.acceptance import accepted, each
from rerank_conformance.rules.levels import group_of
from rerank_conformance.rules.refusals import refused
from rerank_conformance.rules.rule import Judge


@dataclass(frozen=True)
class DialectRule(Rule):
    """A rule as it applies to a dialect."""

    dialect: str = ""
    not_applicable: str | None = None
    """The reason why the rule is not judged; None if it is."""
    like: str = ""
    """The rule whose conformance level it has; empty for its own."""

    @property
    def conformance_level(self) -> ConformanceLevel:
        """The lowest conformance level that includes the rule."""
        return group_of(self.like or self.id).level

    @property
    def level_reason(self) -> str:
        """The reason for the conformance level, in one sentence."""
        return group_of(self.like or self.id).reason

    @property
    def mend(self) -> str | None:
        """The usual fix; for a rule that is judged by the contract of the dialect, the place in it."""
        return super().mend if self.source.startswith("#") else f"Answer as {self.source} says."


def why_not_applicable(rule: Rule) -> str | None:
    """Return the reason why a rule is not judged in its dialect; None if it is."""
    return rule.not_applicable if isinstance(rule, DialectRule) else None


@cache
def rules_of(dialect: str, version: str | None = None) -> tuple[Rule, ...]:
    """Return the rules of a dialect, in the order of a report.

    Args:
        dialect: The name of the dialect.
        version: The version of `openapi.yaml` to whose rules it is held; the newest if None.
    """
    newest = contract.load(version).version
    found = [_applied(rule, CODECS[dialect]) for rule in rule_set(newest)]
    sections = list(dict.fromkeys(rule.id.partition(".")[0] for rule in found))
    found += [rule for rule, _ in own_rules(dialect)]
    return tuple(sorted(found, key=lambda rule: sections.index(rule.id.partition(".")[0])))


def _applied(rule: Rule, codec: DialectCodec) -> DialectRule:
    parts = {one.name: getattr(rule, one.name) for one in fields(Rule)}
    found = entry(codec.name, rule.id)
    if found is None and _is_derived(rule):
        return DialectRule(**parts, dialect=codec.name, not_applicable="the field is one of OpenRouter alone")
    if found is not None and found.how == "not applicable":
        return DialectRule(**parts, dialect=codec.name, not_applicable=found.reason)
    if rule.id.startswith(("refusal.", "schema.")):
        parts["judge"] = _by_contract(rule.judge, codec)
    if found is None:
        return DialectRule(**parts, dialect=codec.name)
    parts["level"] = found.level or rule.level
    if found.how == "own form":
        parts["judge"] = judge_of(codec, rule.id)
        parts["requirement"] = f"{rule.requirement} (in {codec.name}: {found.reason})"
        parts["source"] = place(codec, SOURCES[f"{rule.id.partition('.')[0]}."])
    return DialectRule(**parts, dialect=codec.name)


def _by_contract(judge: Judge, codec: DialectCodec) -> Judge:
    """Return the judge, with what it says of a request by the dialect's contract and statuses."""
    statuses = " or ".join(map(str, codec.refusals))

    def judge_by(seen: Recording) -> Iterator[Judgement]:
        for judgement in judge(replace(seen, by=codec.contract)):
            if isinstance(judgement, Finding) and judgement.expected.startswith(_REFUSED):
                expected = statuses + judgement.expected.removeprefix(_REFUSED)
                yield replace(judgement, expected=expected)
            else:
                yield judgement

    return judge_by


_REFUSED = "400"


def _is_derived(rule: Rule) -> bool:
    return any(one.id == rule.id for one in derived.requirements())


def place(codec: DialectCodec, pointer: str) -> str:
    """Return the place in the contract of a dialect, by its path in the repository."""
    return f"{contract.DIALECTS}/{codec.name}.yaml{pointer}"


# the rules that only a dialect has


class _Own(NamedTuple):
    """A rule of a dialect alone, with the values that it sends."""

    id: str
    level: Level
    requirement: str
    pointer: str
    bodies: tuple[Body, ...]
    """The changes to a plain request of the dialect, one for each request; `...` removes a field."""
    like: str = ""


_PROPERTIES = f"{REQUEST}/properties"
_UNKNOWN = ({"x_unknown": 1}, {"x_unknown_flag": False})
_OWN: Mapping[str, tuple[_Own, ...]] = {
    "cohere-v2": (
        # clones of the vendor may ignore them
        _Own("refusal.unknown-fields", "SHOULD", "A field that the contract does not know is refused", f"{REQUEST}/additionalProperties", _UNKNOWN),
        _Own("refusal.query-blank", "MUST", "A query that is empty or blank is refused", f"{_PROPERTIES}/query", ({"query": ""}, {"query": " \t"})),
    ),
    "tei": (
        _Own("refusal.canonical-form", "MUST", "documents in place of texts are refused", f"{REQUEST}/required", ({"texts": ..., "documents": ["a", "b"]},)),
    ),
    "voyage": (
        _Own("refusal.unknown-fields", "MUST", "A field that the contract does not know is refused", f"{REQUEST}/additionalProperties", (*_UNKNOWN, {"top_n": 1})),
        _Own("refusal.text-empty", "MUST", "An empty text is refused", f"{_PROPERTIES}/documents/items/minLength", ({"documents": ["Paris", ""]}, {"documents": [""]})),
        _Own("acceptance.top-n-null", "MUST", "A top_k of null has the same effect as omitting it", f"{_PROPERTIES}/top_k/type", ({"top_k": None},), "acceptance.top-n"),
    ),
}  # fmt: skip
_UNKNOWN_BOUNDS = frozenset({"refusal.max-tokens-per-doc-minimum"})
"""Bounds that no source has: the clients keep to them, and no server is judged by them."""
_ADVICE = frozenset({"jina"})
"""The dialects of many servers, each of which knows some fields and ignores the others."""


@cache
def own_rules(dialect: str) -> tuple[tuple[DialectRule, tuple[Body, ...]], ...]:
    """Return the rules that only a dialect has, each with what its requests change in a plain one."""
    codec = CODECS[dialect]
    return tuple((_made(one, codec), one.bodies) for one in (*_OWN.get(dialect, ()), *_derived(codec)))


def own_probes(dialect: str, model: str) -> list[Probe]:
    """Return the requests of the rules that only a dialect has."""
    codec = CODECS[dialect]
    plain = codec.encode({"model": model, "query": QUERY, "documents": list(DOCUMENTS[:3])})
    return [
        _probe(rule, number, {**plain, **change}, codec)
        for rule, changes in own_rules(dialect)
        for number, change in enumerate(changes, 1)
    ]


def _probe(rule: Rule, number: int, changed: Body, codec: DialectCodec) -> WireProbe:
    legal = rule.id.startswith("acceptance.")
    wire = {name: value for name, value in changed.items() if value is not ...}
    return WireProbe(
        name=f"{'accept' if legal else 'refuse'}-own-{rule.id.partition('.')[2]}-{number}",
        phase="rank" if legal else "refuse",
        rule=rule.id,
        body=codec.read(wire),
        sent=json.dumps(wire, ensure_ascii=False).encode("utf-8"),
        legal=legal,
        echo=codec.asks_for_echo(wire),
        since=rule.since,
    )


def _derived(codec: DialectCodec) -> Iterator[_Own]:
    """Yield the rules of the fields that only the dialect has, as they follow from its contract."""
    base = codec.encode({"model": "m", "query": QUERY, "documents": list(DOCUMENTS[:3])})
    # what a field that is an object asks for depends on the model; a server may have dropped a deprecated one
    names = {
        name
        for name, schema in codec.fields.items()
        if "properties" not in schema and not schema.get("deprecated")
    }
    for one in derived.of_fields(codec.contract, names - codec.carried.keys(), base):
        is_known = codec.name not in _ADVICE and one.id not in _UNKNOWN_BOUNDS
        if one.kind == "acceptance" or is_known:
            yield _of_requirement(one, codec)


def _of_requirement(one: Requirement, codec: DialectCodec) -> _Own:
    level: Level = "SHOULD" if codec.name in _ADVICE else "MUST"
    bodies = tuple(with_field(codec.contract, one.path, value, {}) for value in one.values)
    like = "refusal.model-type" if one.refuses_type else ""
    return _Own(one.id, level, one.requirement, one.source, bodies, like)


def _made(one: _Own, codec: DialectCodec) -> DialectRule:
    is_accepting = one.id.startswith("acceptance.")
    judge = each(one.id, accepted) if is_accepting else _by_contract(refused(one.id), codec)
    source = place(codec, one.pointer)
    return DialectRule(
        one.id, one.level, one.requirement, source, judge, quick=False, since="1.1.0", thorough=True,
        dialect=codec.name, like=one.like,
    )  # fmt: skip


def ids(dialect: str) -> frozenset[str]:
    """Return the id of every rule by which a server of a dialect may be judged."""
    own = own_rules(dialect) if dialect in CODECS else ()
    return frozenset({*RULES, *(rule.id for rule, _ in own)})
