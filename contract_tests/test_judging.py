"""Single decisions of the judge, on recordings that are made by hand."""

import json

import pytest

from rerank_conformance.contract import Contract, load
from rerank_conformance.derived import of_fields
from rerank_conformance.evidence import Commands
from rerank_conformance.exchanges import Exchange, NoResponse, Probe, ReceivedResponse
from rerank_conformance.judged import Judged
from rerank_conformance.lasting import with_lasting
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.rules.rule import Judgement, Undecided

BODY = {"model": "m", "query": "q", "documents": ["a", "b", "c"]}


def ranking(name: str, *scores: float, **more) -> Exchange:
    """Return a request for three documents, and these scores of them."""
    results = [{"index": index, "relevance_score": score} for index, score in enumerate(scores)]
    probe = Probe(name=name, phase="rank", body=BODY, legal=True, **more)
    return Exchange(probe, ReceivedResponse(200, {}, json.dumps({"results": results}).encode()))


def judgements(rule: str, *exchanges: Exchange) -> list[Judgement]:
    """Return what a rule says of these exchanges."""
    return list(RULES[rule].judge(Recording(exchanges)))


REFUSAL, ODD, VALID, GENERATED = (
    ("refusal.x", False),
    ("robustness.odd-json", None),
    ("acceptance.x", True),
    (None, False),
)
LASTING = {
    "four rules of invalid requests": ([REFUSAL] * 4 + [GENERATED] * 3, None, 7),
    "three rules of invalid requests": ([REFUSAL] * 3 + [GENERATED] * 3, None, 5),
    "five rules, of which one recovers": ([REFUSAL] * 5 + [GENERATED] * 3, 2, 6),
    "a request that may be invalid is not counted": ([REFUSAL] * 3 + [ODD] + [GENERATED] * 3, None, 6),
    "a valid request is not counted": ([REFUSAL] * 3 + [VALID] + [GENERATED] * 3, None, 6),
    "a valid request fails alone": ([REFUSAL] * 5 + [VALID] * 2 + [GENERATED] * 3, 5, 8),
}


@pytest.mark.anyio
@pytest.mark.parametrize("case", LASTING)
async def test_a_lasting_status_of_invalid_requests(case):
    """Four rules of invalid requests with one status each time show that it is that of all of them, if none recovers."""
    kinds, recovering, lasting = LASTING[case]
    probes = [
        Probe(name=f"p{n}", phase="refuse", rule=rule and f"{rule}-{n}", body={"n": n}, legal=legal)
        for n, (rule, legal) in enumerate(kinds)
    ]
    plain = ranking("smoke", 0.5)

    async def send(probe: Probe) -> Exchange:
        recovers = recovering is not None and probe is probes[recovering]
        return (
            plain
            if probe is plain.probe
            else Exchange(probe, ReceivedResponse(200 if recovers else 503, {}, b"{}"))
        )

    sent = [Exchange(probe, ReceivedResponse(503, {}, b"")) for probe in probes]
    found = await with_lasting(sent, plain.probe, send)
    assert sum(one.lasting for one in found) == lasting


@pytest.mark.parametrize(
    ("status", "judged"), [(400, True), (499, True), (500, True), (502, False), (504, False)]
)
@pytest.mark.parametrize("rule", ["error.content-type", "error.envelope", "error.code"])
def test_errors_of_the_edge_network_are_not_judged(rule, status, judged):
    """The form of an error is judged up to 500; the statuses above come from an edge network, also if they last."""
    body = b'{"error": {"code": "x"}}'
    answer = ReceivedResponse(status, {"content-type": "text/html"}, body)
    exchange = Exchange(Probe(name="x", phase="refuse", body=BODY, legal=False), answer, lasting=status > 500)
    assert [isinstance(one, Finding) for one in judgements(rule, exchange)] == [True] * judged


@pytest.mark.parametrize(
    ("beside", "shown"),
    [((0.9, 0.6, 0.1), "another"), ((0.95, 0.2, 0.1), "less"), ((0.6, 0.5, 0.9), "more")],
)
def test_the_largest_difference_is_shown(beside, shown):
    """The document whose score differs most is shown, whether its score is higher or lower."""
    findings = judgements(
        "relation.padding", ranking("rank-full", 0.9, 0.5, 0.1), ranking("rank-beside-long", *beside)
    )
    expected = {
        "another": ("0.5, its score", '0.6 for "b"; 1 of 3'),
        "less": ("0.5, its score", '0.2 for "b"; 2 of 3'),
        "more": ("0.1, its score", '0.9 for "c"; 2 of 3'),
    }[shown]
    assert [
        (one.expected.startswith(expected[0]), one.actual.startswith(expected[1])) for one in findings
    ] == [(True, True)]


@pytest.mark.parametrize("kind", ["broken", "timeout", "closed", "unreachable", "unsent", "internal"])
def test_no_answer_after_a_pause(kind):
    """An answer that is not HTTP breaks the rule; without any answer nothing is known."""
    before = ranking("rank-before-pause", 0.9, 0.5, 0.1)
    after = Exchange(
        Probe(name="rank-after-pause", phase="alone", body=BODY, legal=True), NoResponse(kind, "why")
    )
    (found,) = judgements("robustness.after-pause", before, after)
    if kind == "broken":
        assert isinstance(found, Finding)
        assert (found.actual, found.exchange) == ("why", after)
    else:
        assert found == Undecided("why")


@pytest.mark.parametrize("kind", ["unsent", "unreachable", "timeout", "broken"])
@pytest.mark.parametrize(
    ("rule", "form"),
    [
        ("transport.connection", "http-1.0"),
        ("transport.connection", "new"),
        ("transport.chunked-body", "chunked"),
    ],
)
def test_a_form_that_cannot_be_sent(rule, form, kind):
    """A form that needs its own connection is not judged where there is none; other forms, and other faults, are."""
    probe = Probe(name="x", phase="rank", rule=rule, body=BODY, legal=True, form=form)
    found = judgements(rule, Exchange(probe, NoResponse(kind, "why")))
    raw = form == "http-1.0"
    if raw and kind in ("unsent", "unreachable"):
        assert found == []
    elif raw and kind == "broken":
        assert [one.actual for one in found if isinstance(one, Finding)] == ["why"]
    elif kind != "broken":
        assert found == [Undecided("why")]
    else:
        assert [type(one) for one in found] == [Undecided]


def test_a_raw_form_that_is_answered_is_judged():
    """A form that needs its own connection is judged by its answer."""
    good = ranking("x", 0.5, rule="transport.connection", form="http-1.0")
    bad = Exchange(good.probe, ReceivedResponse(505, {}, b""))
    assert [type(one) for one in judgements("transport.connection", good, bad)] == [type(None), Finding]


def test_own_faults():
    """Only requests that the check itself failed to send are its own faults."""
    kinds = ("unreachable", "timeout", "closed", "broken", "unsent", "internal")
    probe = Probe(name="x", phase="rank")
    exchanges = [Exchange(probe, NoResponse(kind, kind)) for kind in kinds]
    assert Recording([*exchanges, ranking("y", 0.5)]).own_faults == [exchanges[-1]]


@pytest.mark.parametrize("compared", [False, True])
def test_the_commands_of_a_finding(compared):
    """A finding has the commands of its requests, the one that it is compared with first, or none without a request."""
    one, other = ranking("x", 0.5), ranking("y", 0.5, headers={"X-Other": "1"})
    commands = Commands(base="http://server")
    shown = Finding("a", "b", one, other if compared else None)
    found = Judged(RULES["answer.json"], "fail", shown, findings=(shown,)).result(commands, "1.0.0")
    assert found.curl == commands.of(*([other] if compared else []), one)
    nothing = Finding("a", "b", None)
    without = Judged(RULES["answer.json"], "fail", nothing, findings=(nothing, Finding("c", "d", None)))
    result = without.result(commands, "1.0.0")
    assert (result.curl, [example.curl for example in result.examples]) == (None, [None])


LONG = "x" * 1000
PATTERNS = {
    "letters": ({"pattern": "^[a-z]+$", "example": "ab"}, {"", "\n", "@", "@@"}),
    "letters of one length": (
        {"pattern": "^[a-z]{2}$", "minLength": 2, "maxLength": 2, "example": "ab"},
        {"@@"},
    ),
    "not empty": ({"pattern": "[^\n]", "example": "ab"}, {"", "\n"}),
    "no more than ten": ({"pattern": "^[^x]{0,10}$", "example": "ab"}, {LONG}),
    "one line": ({"pattern": "^[^\n]*$", "minLength": 1, "example": "ab"}, {"\n"}),
    "another letter": ({"pattern": "^[^@]*$", "maxLength": 1, "example": "a"}, {"@"}),
}


@pytest.mark.parametrize("case", PATTERNS)
def test_values_beyond_a_pattern(case):
    """Whatever a pattern excludes is tried: nothing, a line ending, other characters, also of the same length, and many."""
    schema, expected = PATTERNS[case]
    document = json.loads(json.dumps(load().document))
    document["components"]["schemas"]["RerankRequest"]["properties"]["code"] = {"type": "string", **schema}
    rules = {one.id: one for one in of_fields(Contract(document), {"code"}, BODY)}
    assert set(rules["refusal.code-pattern"].values) == expected
