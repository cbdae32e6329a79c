"""The rules of a released contract stay what they were: a rule added later fails nobody who asks for an older set."""

from dataclasses import replace
from pathlib import Path

import pytest

from rerank_conformance import check, contract, derived
from rerank_conformance.probes import probes
from rerank_conformance.reference import Reference
from rerank_conformance.rules import RULES, rule_set
from rerank_conformance.rules.levels import GROUPS, group_of

FILES = (Path(__file__).parent / "rule_sets").glob("*.txt")
SETS = {file.stem: file.read_text("utf-8") for file in FILES if file.stem in contract.versions()}
RELEASED = {file.stem for file in (Path(__file__).parents[1] / "contracts").glob("*.yaml")}


@pytest.mark.parametrize("version", sorted(SETS))
def test_a_released_set_is_frozen(version):
    """The rules of a released version are those in rule_sets/, with their levels: a new one says since= in its rule()."""
    assert "".join(f"{rule.level:6} {rule.id}\n" for rule in rule_set(version)) == SETS[version]


def test_every_released_set_is_written_down():
    """Each released contract has its rules in rule_sets/, so that they stay; those of the next one may still change."""
    assert set(SETS) >= RELEASED


def test_a_rule_added_later_fails_nobody_who_asks_for_an_older_set(monkeypatch):
    """A rule of a newer contract that the server breaks is not in the report by the older one, and is in the newer."""
    newest = contract.load().version
    broken = replace(RULES["answer.content-type"], id="answer.new", since=newest, judge=_never_kept)
    monkeypatch.setitem(RULES, "answer.new", broken)

    older = check(Reference(), quick=True, contract_version="1.0.0")
    newer = check(Reference(), quick=True, contract_version=newest)

    assert (older.verdict, newer.verdict) == ("no-failure-found", "nonconformant")
    assert {rule.id for rule in newer.rules} - {rule.id for rule in older.rules} == {
        rule.id for rule in RULES.values() if rule.since != "1.0.0"
    }
    assert (older.contract_version, newer.contract_version) == ("1.0.0", newest)


def _never_kept(seen):
    from rerank_conformance.rules import Finding

    yield Finding("nothing", "something", seen.exchanges[0])


def test_an_older_set_is_sent_what_it_was():
    """The requests that later rules brought are not sent to who asks for an older set, so that no rule in it is stricter."""
    names = {probe.name for probe in probes(contract_version="1.0.0")}
    newest = contract.load().version
    assert {probe.name for probe in probes(contract_version=newest)} == {probe.name for probe in probes()}
    assert {probe.since for probe in probes() if probe.name in names} == {"1.0.0"}
    assert "rank-top-4" in names
    assert "rank-top-5" not in names


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("answer.index-unique", "ranking"),
        ("answer.echo-text", "interface"),
        ("answer.id-present", "strict"),
        ("relation.a-rule-of-tomorrow", "ranking"),
        ("refusal.a-limit-of-tomorrow", "interface"),
        ("tomorrow.a-section", "strict"),
    ],
)
def test_the_level_of_a_rule(name, level):
    """A rule has the level of its group, a new rule that of its section, and a rule of a new section is strict."""
    group = group_of(name)
    assert group.level == level
    assert group.reason.endswith(".")


def test_every_entry_of_a_group_is_known():
    """Each entry of the table of levels is there once, and names a rule of its section, where there is that section."""
    entries = [entry for group in GROUPS for entry in group.rules]
    assert len(entries) == len(set(entries))
    sections = {name.partition(".")[0] for name in RULES}
    named = {entry for entry in entries if entry.partition(".")[0] in sections}
    assert named <= {*RULES, *(f"{section}." for section in sections)}


def test_a_minimal_server_of_texts_can_reach_ranking():
    """Nothing of the level `ranking` is about errors, keys, objects, images or echoes."""
    names = [rule.id for rule in RULES.values() if rule.conformance_level == "ranking"]
    assert {name.partition(".")[0] for name in names} <= {"acceptance", "answer", "relation", "transport"}
    assert not [
        name for name in names if "object" in name or "image" in name or name.startswith("answer.echo")
    ]


def test_a_derived_refusal_of_a_type_is_strict(monkeypatch):
    """A derived rule is strict where it refuses a type, as it harms no client that sends the right one, and a limit is not."""
    source = "#/components/schemas/RerankRequest/properties/top_n"
    found = tuple(
        derived.Requirement("refusal", ("added",), keyword, source, "9.0.0")
        for keyword in ("type", "minimum")
    )
    monkeypatch.setattr(derived, "requirements", lambda: found)
    group_of.cache_clear()
    try:
        assert [group_of(one.id).level for one in found] == ["strict", "interface"]
    finally:
        group_of.cache_clear()


@pytest.mark.parametrize("version", ["0.9.0", "99.0.0", "1.0", "newest"])
def test_a_set_that_there_is_not(version):
    """Asking for the rules of a version that this kit does not have is refused before anything is sent."""
    with pytest.raises(ValueError, match="contract"):
        check(Reference(), quick=True, contract_version=version)
