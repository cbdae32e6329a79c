"""The kit's own requests against the contract that it judges by: a failure names what the contract has and the kit has not."""

import attrs
import pytest

from openrouter_rerank_api.models import RerankRequest
from openrouter_rerank_api.options import NAMES
from rerank_conformance import contract
from rerank_conformance.probes import probes
from rerank_conformance.rules import rule_set

BODIES = [
    probe
    for probe in probes()
    # the other requests are about keys, methods and media types: those are refused whatever they carry
    if isinstance(probe.body, dict) and probe.legal is not None and probe.rule != "refusal.content-type"
]
FIELDS = contract.load().at("#/components/schemas/RerankRequest")[1]["properties"]


@pytest.mark.parametrize("probe", BODIES, ids=lambda probe: probe.name)
def test_a_request_is_as_legal_as_it_says(probe):
    """The kit's legal requests are legal by the contract, and those that it expects to be refused are not."""
    violation = contract.load().request.violation(probe.body)

    assert (violation is None) == (probe.legal is True), (
        f"{probe.name} in contract_tests/rerank_conformance/probes.py: {violation or 'the contract allows it'}"
    )


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_asked_for(field):
    """Each field of a request is in one at least that has to be ranked, and is wrong in one that has to be refused."""
    ranked = [probe.name for probe in BODIES if probe.legal is True and field in probe.body]
    refused = [
        probe.name
        for probe in BODIES
        if probe.legal is False
        and (violation := contract.load().request.violation(probe.body)) is not None
        and (
            violation.place.partition("[")[0].partition(".")[0] == field or f'"{field}"' in violation.message
        )
    ]

    missing = [
        f"no request of contract_tests/rerank_conformance/probes.py has {what} {field}: {next_step}"
        for found, what, next_step in (
            (ranked, "the field", "add it to one that has to be ranked"),
            (refused, "a wrong", "add one that has to be refused, and its rule"),
        )
        if not found
    ]
    assert not missing, "; ".join(missing)


@pytest.mark.parametrize("version", contract.versions())
def test_the_rules_stand_on_the_contract(version):
    """The place that a rule names is in each contract that the rule is of."""
    assert [rule.id for rule in rule_set(version) if rule.source not in contract.lines(version)] == []


def test_the_fields_are_those_that_the_clients_are_tried_with():
    """The generated client takes each field of a request, so that the tests of the clients send all of them."""
    attributes = {field.name for field in attrs.fields(RerankRequest) if field.init}

    # a field whose name no attribute can have is in additional_properties
    assert attributes <= set(FIELDS) <= attributes | set(NAMES.values()), "Next: `nox -s generate`"
