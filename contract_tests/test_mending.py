"""The hints of the rules: one for each rule, for those by hand and for those that follow from the contract."""

import pytest

from rerank_conformance import derived
from rerank_conformance.rules import RULES
from rerank_conformance.rules.mending import HINTS, mend_of

LONGEST = 240


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_a_hint(name):
    """The hint of a rule is one short text that ends with a full stop."""
    hint = RULES[name].mend

    assert hint, f"add {name} to a hint in rerank_conformance/rules/mending.py"
    assert hint.endswith("."), hint
    assert len(hint) <= LONGEST
    assert "\n" not in hint


def test_every_hint_is_of_a_rule():
    """Each id in the table is there once and names a rule."""
    names = [name for hint in HINTS for name in hint.rules]

    assert len(names) == len(set(names))
    assert set(names) <= set(RULES)


@pytest.mark.parametrize(
    ("kind", "keyword", "says"),
    [
        ("acceptance", "", "Declare added.field in the request model"),
        ("answer", "", "Write added.field with the type"),
        ("refusal", "type", "Validate added.field with a strict type"),
        ("refusal", "maxLength", "Validate the maxLength of added.field"),
    ],
)
def test_a_derived_rule_has_a_derived_hint(monkeypatch, kind, keyword, says):
    """The hint of a rule that follows from the contract names the field, and the keyword."""
    one = derived.Requirement(kind, ("added", "field"), keyword, "#", "9.0.0")
    monkeypatch.setattr(derived, "requirements", lambda: (one,))

    hint = mend_of(one.id)

    assert hint is not None
    assert hint.startswith(says)
    assert hint.endswith(".")


def test_a_rule_without_a_hint():
    """A rule that the kit does not know has no hint, and no error comes of it."""
    assert mend_of("tomorrow.a-rule") is None
