"""One cause is one failure: what follows from another rule's failure is named below that rule, and nothing is lost."""

import json
import logging

import pytest

from field_servers import FIELD_SERVERS
from rerank_conformance import check
from rerank_conformance.broken import BROKEN
from rerank_conformance.causes import _ROWS, one_finding_for_a_cause
from rerank_conformance.exchanges import Exchange, Probe, ReceivedResponse
from rerank_conformance.judged import Judged
from rerank_conformance.lasting import with_lasting
from rerank_conformance.report import LEVELS
from rerank_conformance.rules import RULES, Finding, Recording

KEY = "sk-or-v1-the-right-key"
NOTHING = Recording(())


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Silence the servers that fail on purpose."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)


CAUSES = {
    "error-in-200": {"refusal.status"},
    "nothing-validated": {"refusal.status"},
    "forbidden-for-wrong-key": {"authentication.no-key"},
    "error-html": {"error.envelope"},
    "error-text": {"error.envelope"},
    "index-from-one": {"answer.index-in-range"},
    "index-positional": {"answer.index-points-at-echo"},
    "constant": {"relation.document-matters"},
    "query-ignored": {"relation.query-matters"},
    "shifted-scores": {"relation.own-score"},
    "zero-score-dropped": {"answer.complete"},
    "blank-dropped": {"answer.blank-documents"},
    "relation.repeatable": {"relation.repeatable"},
    "answer.complete": {"answer.complete"},
    "error.code": {"error.code"},
    "answer.echo-text": {"answer.echo-text"},
}
"""The rules that fail of servers with one fault each."""


@pytest.mark.parametrize("name", CAUSES)
def test_one_cause_is_one_failure(name):
    """A server with one fault fails one rule, with the others below it, which are skipped with the reason."""
    server = BROKEN[name] if name in BROKEN else FIELD_SERVERS[name].server
    report = check(server(keys={KEY}), key=KEY, quick=True)
    failed = report.of("fail")
    assert {rule.id for rule in failed if rule.level == "MUST"} == CAUSES[name]
    below = {name for rule in failed for name in rule.touched}
    skipped = {rule.id: rule.reason for rule in report.of("skip")}
    assert below <= skipped.keys()
    assert all("by the same cause" in skipped[name] for name in below)


ANSWER = ReceivedResponse(200, {}, b'{"results": [{"index": 0}]}')


def judged(name: str, *exchanges: Exchange) -> Judged:
    """Return a rule that fails by some exchanges."""
    findings = tuple(Finding("x", "y", one) for one in exchanges)
    return Judged(RULES[name], "fail", findings[0], findings=findings)


def exchange(name: str = "x", answer: ReceivedResponse = ANSWER, **more) -> Exchange:
    """Return an exchange of its own."""
    return Exchange(Probe(name=name, phase="rank", **more), answer)


def failing(*found: Judged, seen: Recording = NOTHING) -> list[str]:
    """Return the rules that still fail when causes are put together."""
    return [one.rule.id for one in one_finding_for_a_cause(found, seen) if one.outcome == "fail"]


def test_no_level_loses_a_failure():
    """No row of the table can name a MUST below a SHOULD, or a rule below one of a later level, that fails alone."""
    for owner, below, _ in _ROWS:
        for name in RULES:
            if not name.startswith(below) or name == owner:
                continue
            found = failing(judged(owner, exchange()), judged(name, exchange()))
            levels = {LEVELS.index(RULES[one].conformance_level) for one in found}
            assert LEVELS.index(RULES[name].conformance_level) >= min(levels)
            assert "MUST" in {RULES[one].level for one in found} or RULES[name].level == "SHOULD"


def test_another_exchange_is_another_cause():
    """A rule that fails by another exchange than the first one's is a failure of its own."""
    wrong, other = exchange(), exchange("other")
    assert failing(judged("answer.descending", wrong), judged("relation.top-n-best", wrong)) == [
        "answer.descending"
    ]
    both = ["answer.descending", "relation.top-n-best"]
    assert failing(*(judged(name, one) for name, one in zip(both, (wrong, other), strict=True))) == both


def test_a_must_stands_beside_a_recommendation():
    """A rule that a server has to keep is not listed below one that it is advised to keep."""
    crashed = exchange(answer=ReceivedResponse(500, {}, b""))
    names = ["acceptance.images", "error.envelope"]
    assert failing(*(judged(name, crashed) for name in names)) == names
    assert failing(*(judged(name, crashed) for name in ("acceptance.plain", "error.envelope"))) == [
        "acceptance.plain"
    ]


@pytest.mark.parametrize(("content", "expected"), [("a", ["acceptance.plain"]), ("b", None)])
def test_one_body_that_is_always_refused_is_one_cause(content, expected):
    """A body that is refused in each form of HTTP is one cause; the refusal of another body is another."""
    refused = ReceivedResponse(401, {}, b"")
    names = ["acceptance.plain", "transport.accept"]
    exchanges = (exchange(answer=refused, body={"a": 1}), exchange("y", refused, body={content: 1}))
    found = failing(*(judged(name, one) for name, one in zip(names, exchanges, strict=True)))
    assert found == (expected or names)


def test_the_first_of_a_chain_stands_for_all():
    """A consequence of a consequence is named below the first rule."""
    names = ["relation.one-score", "relation.together", "relation.repeatable", "relation.padding"]
    [first] = [
        one
        for one in one_finding_for_a_cause([judged(name, exchange()) for name in names], NOTHING)
        if one.outcome == "fail"
    ]
    assert first.rule.id == "relation.repeatable"
    assert set(first.touched) == {*names} - {"relation.repeatable"}


REFUSALS = [name for name in RULES if name.startswith("refusal.") and name != "refusal.status"]


@pytest.mark.parametrize(
    ("wrong", "others", "expected"),
    [(len(REFUSALS), 0, True), (len(REFUSALS) - 3, 3, True), (len(REFUSALS) // 2, 0, False), (4, 0, False)],
)
def test_most_refusals_with_one_wrong_answer(wrong, others, expected):
    """The wrong answer has to be that of most invalid requests; what is answered otherwise stands beside it."""
    kinds = [ReceivedResponse(503, {}, b"")] * wrong + [ANSWER] * others
    found = [
        judged(name, exchange(name, kind, legal=False)) for name, kind in zip(REFUSALS, kinds, strict=False)
    ]
    found += [Judged(RULES[name], "pass") for name in REFUSALS[len(found) :]]
    found.append(Judged(RULES["refusal.status"], "pass"))
    names = failing(*found)
    assert ("refusal.status" in names) is expected
    assert len(names) == (1 + others if expected else wrong)
    if expected:
        [status] = [one for one in one_finding_for_a_cause(found, NOTHING) if one.rule.id == "refusal.status"]
        assert f"(as for {wrong} kinds of invalid requests)" in status.finding.actual


@pytest.mark.parametrize(("generated", "expected"), [({"top_n": 0}, True), ({"model": 1}, False)])
def test_a_generated_request_of_the_same_field(generated, expected):
    """The rule of generated requests is named below a refusal if the fields are the same, and else stands for itself."""
    body = {"model": "m", "query": "q", "documents": ["a"]}
    by_hand = judged("refusal.top-n-zero", exchange(body={**body, "top_n": 0}, legal=False))
    made = judged(
        "schema.negative-data",
        *(exchange(body=one, legal=False) for one in ({**body, "top_n": -5}, {**body, **generated})),
    )
    names = failing(by_hand, made)
    assert names == ["refusal.top-n-zero", *([] if expected else ["schema.negative-data"])]


def test_a_generated_request_of_no_field():
    """A body that is not JSON, and a finding without an exchange, are of no field."""
    nothing = Judged(RULES["refusal.empty-body"], "fail", findings=(Finding("x", "y", None),))
    made = judged("schema.negative-data", exchange(body=b"{", legal=False))
    assert failing(nothing, made) == ["refusal.empty-body", "schema.negative-data"]


@pytest.mark.anyio
@pytest.mark.parametrize(("recovers", "lasting"), [(None, 9), (3, 3)])
async def test_a_lasting_status_of_all_invalid_requests(recovers, lasting):
    """If every refusal that is sent again has one status each time, it is that of all invalid requests; else of its rule."""
    plain = Probe(name="smoke", phase="smoke", legal=True)
    body = json.dumps({"results": []}).encode()
    probes = [
        Probe(name=f"r{n}", phase="refuse", rule=f"refusal.{n}", body={"n": n}, legal=False) for n in range(8)
    ]
    probes.append(Probe(name="odd", phase="refuse", rule="robustness.odd-json"))
    times = iter(range(100))

    async def send(probe: Probe) -> Exchange:
        status = 200 if probe.legal or (recovers and next(times) >= 2 * recovers) else 503
        return Exchange(probe, ReceivedResponse(status, {}, body))

    sent = [Exchange(probe, ReceivedResponse(503, {}, b"")) for probe in probes]
    found = await with_lasting(sent, plain, send)
    assert sum(one.lasting for one in found) == lasting


def test_the_state_after_a_refusal_is_found_alone():
    """If only the rule of the ranking after a refusal is asked for, the refused requests are sent, too."""
    rule = "relation.after-refusal"
    report = check(BROKEN[rule](keys={KEY}), key=KEY, rules=[rule])
    assert [one.id for one in report.of("fail")] == [rule]
    assert report.requests < 20
