"""The rules that follow from fields of every kind: their ids, and values that show each of them alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from rerank_conformance import contract, derived
from rerank_conformance.contract import Contract

BASE = {"model": "m", "query": "q", "documents": ["a"]}

FIELDS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "truncate": (
        {"type": "string", "enum": ["NONE", "END"], "example": "END"},
        {"acceptance.truncate", "refusal.truncate-type", "refusal.truncate-enum"},
    ),
    "level": (
        {"enum": [1, 2, 3], "example": 2},
        {"acceptance.level", "refusal.level-type", "refusal.level-enum"},
    ),
    "mode": (
        {"const": "fast", "example": "fast"},
        {"acceptance.mode", "refusal.mode-type", "refusal.mode-const"},
    ),
    "region": (
        {
            "type": "string",
            "pattern": "^[a-z]+-[a-z]+$",
            "minLength": 3,
            "maxLength": 9,
            "example": "eu-west",
        },
        {
            "acceptance.region",
            "refusal.region-type",
            "refusal.region-pattern",
            "refusal.region-max-length",
        },
    ),
    "precision": (
        {"type": "integer", "multipleOf": 2, "default": 6, "example": 4},
        {"acceptance.precision", "refusal.precision-type", "refusal.precision-multiple-of"},
    ),
    "names": (
        {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "uniqueItems": True,
            "items": {"type": "string"},
            "example": ["a"],
        },
        {
            "acceptance.names",
            "refusal.names-type",
            "refusal.names-min-items",
            "refusal.names-max-items",
            "refusal.names-unique-items",
            "refusal.names-items-type",
        },
    ),
    "weights": (
        {"type": "array", "items": {"type": "number", "minimum": 0}, "maxItems": 2, "example": [0.5]},
        {
            "acceptance.weights",
            "refusal.weights-type",
            "refusal.weights-max-items",
            "refusal.weights-items-type",
            "refusal.weights-items-minimum",
        },
    ),
    "labels": (
        {"type": "object", "additionalProperties": {"type": "string"}, "example": {"team": "a"}},
        {"acceptance.labels", "refusal.labels-type", "refusal.labels-additional-properties"},
    ),
    "boost": (
        {
            "type": "object",
            "required": ["field"],
            "additionalProperties": False,
            "properties": {"field": {"type": "string", "example": "title"}},
            "example": {"field": "title"},
        },
        {
            "refusal.boost-type",
            "refusal.boost-required",
            "refusal.boost-additional-properties",
            "acceptance.boost-field",
            "refusal.boost-field-type",
        },
    ),
    "stop": (
        {
            "oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
            "example": ["a", "b"],
        },
        {"acceptance.stop", "refusal.stop-type", "refusal.stop-min-items", "refusal.stop-items-type"},
    ),
    "effort": (
        {
            "oneOf": [
                {"type": "string"},
                {"type": "object", "properties": {"steps": {"type": "integer", "example": 2}}},
            ],
            "example": "low",
        },
        {"acceptance.effort", "refusal.effort-type", "acceptance.effort-steps", "refusal.effort-steps-type"},
    ),
    "anything": ({"example": 3}, {"acceptance.anything"}),
}


@pytest.mark.parametrize("name", FIELDS)
def test_rules_of_a_field(name: str) -> None:
    """Each keyword of a field has a rule, whose values are refused by the contract and legal without the keyword."""
    schema, expected = FIELDS[name]
    document = deepcopy(dict(contract.load().document))
    document["components"]["schemas"]["RerankRequest"]["properties"][name] = schema
    by = Contract(document)
    rules = {one.id: one for one in derived.of_fields(by, {name}, BASE)}

    assert set(rules) == expected
    for rule in rules.values():
        without = None if rule.kind == "acceptance" else derived.without_keyword(rule, by).request
        for value in rule.values:
            sent = derived.with_field(by, rule.path, value, BASE)
            assert (by.request.violation(sent) is None) == (rule.kind == "acceptance")
            assert without is None or without.violation(sent) is None
        assert rule.field in rule.requirement
        assert rule.field in rule.mend


def test_every_place_has_a_line() -> None:
    """A rule may follow from a schema in a list, which has a line as every other place."""
    schema = "#/components/schemas/RerankDocument/anyOf"

    assert contract.line_of(f"{schema}/0/type") == contract.line_of(f"{schema}/0")
    assert contract.line_of(f"{schema}/1") > contract.line_of(f"{schema}/0/example")
