"""The rules of a released contract stay what they were: a rule added later fails nobody who asks for an older set."""

from dataclasses import replace
from pathlib import Path

import pytest

from rerank_conformance import check, contract
from rerank_conformance.probes import probes
from rerank_conformance.reference import Reference
from rerank_conformance.rules import RULES, rule_set

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


@pytest.mark.parametrize("version", ["0.9.0", "99.0.0", "1.0", "newest"])
def test_a_set_that_there_is_not(version):
    """Asking for the rules of a version that this kit does not have is refused before anything is sent."""
    with pytest.raises(ValueError, match="contract"):
        check(Reference(), quick=True, contract_version=version)
