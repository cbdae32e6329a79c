"""Capabilities of a server, found before anything is judged: one that is missing fails one rule, and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from rerank_conformance import contract
from rerank_conformance.derived import REQUEST
from rerank_conformance.exchanges import Exchange, Probe, text_of
from rerank_conformance.rules import RULES, Recording, Rule

_ACCEPTING = ("acceptance.", "schema.positive-data", "robustness.large-request")
"""The rules that judge if a request is accepted, by the beginning of their ids."""


@dataclass(frozen=True)
class Capability:
    """Something that a server can do, as far as its answers show it."""

    rule: str
    """The rule that judges it, and fails alone where it is missing."""
    missing: str
    """The reason for which other rules are not applicable."""
    is_missing: Callable[[Recording], bool]
    probes: tuple[str, ...] = ()
    """The names of the requests that show it."""
    is_needed: Callable[[Probe], bool] = lambda _: False
    """True if a legal request is refused without it."""
    rules: tuple[str, ...] = ()
    """The rules that judge nothing else, by the beginning of their ids."""


@dataclass(frozen=True)
class Applicable:
    """The exchanges that a rule may be judged by."""

    seen: Recording
    reason: str | None
    """The reason why something is left out; None if nothing is."""


def find(seen: Recording, *, expect_auth: bool = False) -> list[Capability]:
    """Return the capabilities that a server does not have.

    Args:
        seen: Everything that was recorded.
        expect_auth: Do not take a server that needs no key for one that has no keys.
    """
    return [one for one in _CAPABILITIES if one.is_missing(seen) and not (expect_auth and one is _KEYS)]


def applicable(rule: Rule, seen: Recording, missing: Sequence[Capability]) -> Applicable:
    """Leave out what a rule cannot be judged by where capabilities are missing."""
    others = [one for one in missing if one.rule != rule.id]
    for one in others:
        if rule.id.startswith(one.rules) and one.rules:
            return Applicable(replace(seen, exchanges=()), _reason(one))
    if not others:
        return Applicable(seen, None)
    crashed = [one for one in others if any(_own(seen, one, lambda exchange: exchange.crashed))]
    accepting = rule.id.startswith(_ACCEPTING)
    kept: list[Exchange] = []
    reason = None
    for exchange in seen.exchanges:
        needed = None
        if exchange.crashed:
            needed = _needed(crashed, exchange)
            # Where a capability is only recommended, its absence is a refusal; a crash breaks a MUST.
            if needed and rule.id == "robustness.no-server-error" and RULES[needed.rule].level == "SHOULD":
                needed = None
        if accepting and exchange.probe.legal and not exchange.ranked:
            needed = needed or _needed(others, exchange)
        if needed is None:
            kept.append(exchange)
        else:
            reason = reason or _reason(needed)
    return Applicable(replace(seen, exchanges=kept), reason)


def _needed(those: Sequence[Capability], exchange: Exchange) -> Capability | None:
    return next((one for one in those if one.is_needed(exchange.probe)), None)


def _own(seen: Recording, one: Capability, test: Callable[[Exchange], bool]) -> Iterator[bool]:
    """Yield the test of each request that shows the capability."""
    return (test(exchange) for name in one.probes if (exchange := seen.named(name)) is not None)


def with_capabilities(chosen: Sequence[Probe], everything: Sequence[Probe]) -> list[Probe]:
    """Add to the requests of some rules those that show the capabilities which they need."""
    names: set[str] = set()
    for one in _CAPABILITIES:
        if any(
            (probe.legal and one.is_needed(probe)) or ((probe.rule or "").startswith(one.rules) and one.rules)
            for probe in chosen
        ):
            names |= {*one.probes}
    chosen_names = {probe.name for probe in chosen}
    return [probe for probe in everything if probe.name in chosen_names | names]


def _reason(one: Capability) -> str:
    judged = f"; see {one.rule}" if one.rule else ""
    return f"not applicable: {one.missing}{judged}"


def _refused(*names: str) -> Callable[[Recording], bool]:
    """Return a function that is True if one of these requests was refused, or failed, each time."""

    def is_missing(seen: Recording) -> bool:
        found = [one for name in names if (one := seen.named(name)) is not None]
        return any(one.answer is not None and not one.undecided and not one.ranked for one in found)

    return is_missing


def _body(probe: Probe) -> Mapping[str, Any]:
    body: Any = probe.body
    return cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}


def _has_objects(probe: Probe) -> bool:
    return any(isinstance(one, dict) for one in probe.documents)


def _has_image(probe: Probe) -> bool:
    return any(isinstance(one, dict) and "image" in one for one in probe.documents)


def _is_mixed(probe: Probe) -> bool:
    return len({isinstance(one, dict) for one in probe.documents}) > 1


def _has_blank(probe: Probe) -> bool:
    return any((text := text_of(one)) is not None and not text.strip() for one in probe.documents)


def _has_blank_query(probe: Probe) -> bool:
    return not str(_body(probe).get("query", "")).strip()


_SHORT_LIST = 20  # a limit below 101 documents is at least this long, as far as servers are known


def _is_long(probe: Probe) -> bool:
    return len(probe.documents) > _SHORT_LIST


def _has_unknown(probe: Probe) -> bool:
    known = contract.load().at(REQUEST)[1]["properties"].keys()
    return bool(_body(probe).keys() - known)


def _has_provider(probe: Probe) -> bool:
    return bool(_body(probe).get("provider"))


def _has_observability(probe: Probe) -> bool:
    return not {"session_id", "user", "trace"}.isdisjoint(_body(probe))


def _ranked(seen: Recording) -> Iterator[Mapping[str, Any]]:
    for exchange in seen.ranked():
        value: Any = exchange.answer.value if exchange.answer else None
        if isinstance(value, dict):
            yield cast("Mapping[str, Any]", value)


def _no_echo(seen: Recording) -> bool:
    results = [result for exchange in seen.ranked() for result in exchange.results]
    return bool(results) and not any("document" in result for result in results)


def _no_usage(seen: Recording) -> bool:
    answers = list(_ranked(seen))
    return bool(answers) and not any("usage" in answer for answer in answers)


_WRONG_KEYS = ("no-key", "wrong-scheme", "wrong-key")


def _no_keys(seen: Recording) -> bool:
    """Return True if every request with a wrong key, and one without a key, was taken as if it had the right one."""
    refusals = [seen.named(f"key-{name}") for name in _WRONG_KEYS]
    elsewhere = seen.named("key-no-key-new")
    if elsewhere is not None and elsewhere.answer is not None and elsewhere.answer.status == 401:
        return False
    # a gateway may refuse a key with 200 and an error
    return all(
        one is not None and one.answer is not None and one.answer.status == 200 and one.results
        for one in refusals
    )


_KEYS = Capability(
    "",
    "the server needs no key; --expect-auth judges it as one that does",
    _no_keys,
    (*(f"key-{name}" for name in _WRONG_KEYS), "key-no-key-new"),
    rules=tuple(
        f"authentication.{name}"
        for name in ("no-key", "wrong-scheme", "wrong-key", "similar-key", "before-body", "other-address")
    ),
)
_CAPABILITIES: tuple[Capability, ...] = (
    _KEYS,
    Capability(
        "acceptance.objects",
        "the server does not take documents as objects",
        _refused("accept-objects"),
        ("accept-objects",),
        _has_objects,
        ("acceptance.mixed", "acceptance.images", "answer.echo-image", "relation.string-or-object"),
    ),
    Capability(
        "acceptance.images",
        "the server does not take images",
        _refused("accept-images"),
        ("accept-images",),
        _has_image,
        ("answer.echo-image",),
    ),
    Capability(
        "acceptance.mixed",
        "the server does not take strings and objects in one array",
        _refused("accept-mixed"),
        ("accept-mixed",),
        _is_mixed,
    ),
    Capability(
        "acceptance.blank-documents",
        "the server does not take blank documents",
        _refused("rank-blanks"),
        ("rank-blanks",),
        _has_blank,
        ("answer.blank-documents",),
    ),
    Capability(
        "acceptance.blank-query",
        "the server does not take a blank query",
        _refused("rank-blank-query-1"),
        ("rank-blank-query-1",),
        _has_blank_query,
    ),
    Capability(
        "acceptance.many-documents",
        "the server does not take more than a hundred documents",
        _refused("rank-many", "rank-hundred-and-one"),
        (
            "rank-many",
            "rank-hundred-and-one",
        ),
        _is_long,
        ("answer.many-documents", "relation.higher-is-better-in-long-lists"),
    ),
    Capability(
        "acceptance.unknown-fields",
        "the server does not take fields that it does not know",
        _refused("accept-unknown-fields"),
        ("accept-unknown-fields",),
        _has_unknown,
    ),
    Capability(
        "acceptance.provider",
        "the server does not take provider preferences",
        _refused("accept-provider"),
        ("accept-provider",),
        _has_provider,
    ),
    Capability(
        "acceptance.observability",
        "the server does not take session_id, user and trace",
        _refused("accept-observability"),
        ("accept-observability",),
        _has_observability,
    ),
    Capability(
        "answer.echo-present",
        "no result has its document",
        _no_echo,
        rules=("answer.echo-", "answer.index-points-at-echo"),
    ),
    Capability("answer.usage-present", "no ranking has usage", _no_usage, rules=("answer.usage",)),
)
