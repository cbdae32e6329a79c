"""A capability that a server lacks fails one rule; what needs it is not applicable, and says why."""

import asyncio
import json
import logging
from collections.abc import Mapping

import httpx
import pytest

from field_servers import FIELD_SERVERS
from rerank_conformance import check
from rerank_conformance.altered import Server, answering, each, failing, listing, refusing, scoring
from rerank_conformance.causes import one_finding_for_a_cause
from rerank_conformance.exchanges import Exchange, Probe, ReceivedResponse, transient_status
from rerank_conformance.judged import Judged
from rerank_conformance.reference import Reference
from rerank_conformance.reference.inprocess import ReferenceTransport
from rerank_conformance.report import Report
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.target import Budget, Session

KEY = "sk-or-v1-the-right-key"
NOTHING = Recording(())


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Silence the servers that fail on purpose."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)


def report_of(server: Server, **settings) -> Report:
    """Return the report of a server in this process."""
    return check(server(keys={KEY}), **{"key": KEY, "seed": 0, **settings})


def failed(report: Report) -> set[str]:
    """Return the ids of the MUST rules that failed."""
    return {rule.id for rule in report.of("fail") if rule.level == "MUST"}


def reasons(report: Report) -> dict[str, str]:
    """Return the reasons of the rules that were not applicable."""
    skipped = {rule.id: rule.reason or "" for rule in report.of("skip")}
    return {name: reason for name, reason in skipped.items() if reason.startswith("not applicable")}


def documents_of(body) -> list:
    """Return the documents of a request, where they are a list."""
    documents = body.get("documents")
    return documents if isinstance(documents, list) else []


def has_objects(body) -> bool:
    """Return True if a document is an object."""
    return any(isinstance(one, dict) for one in documents_of(body))


LACKING: Mapping[str, tuple[Server, set[str], str]] = {
    "objects": (
        refusing("Takes documents as strings alone.", has_objects),
        {"acceptance.objects"},
        "relation.string-or-object",
    ),
    "objects, by crashing": (
        failing("Fails on documents as objects.", has_objects),
        {"acceptance.objects"},
        "acceptance.mixed",
    ),
    "mixed": (
        refusing("Takes one kind.", lambda b: len({isinstance(d, str) for d in b["documents"]}) > 1),
        {"acceptance.mixed"},
        "",
    ),
    "blank documents": (
        refusing("Wants text.", lambda b: any(d in ("", {"text": ""}) for d in b["documents"])),
        {"acceptance.blank-documents"},
        "answer.blank-documents",
    ),
    "long lists": (
        refusing("Takes a hundred.", lambda b: len(b["documents"]) > 100),
        {"acceptance.many-documents"},
        "answer.many-documents",
    ),
    "lists of more than thirty-two": (
        refusing("Takes thirty-two.", lambda b: len(b["documents"]) > 32),
        {"acceptance.many-documents"},
        "answer.many-documents",
    ),
    "unknown fields": (
        refusing("Takes known fields.", lambda b: any(name.startswith("x_") for name in b) or "" in b),
        {"acceptance.unknown-fields"},
        "",
    ),
    "observability": (
        refusing("Takes no trace.", lambda b: not {"session_id", "user", "trace"}.isdisjoint(b)),
        {"acceptance.observability"},
        "",
    ),
    "echo": (
        each("Echoes nothing.", lambda r: {name: r[name] for name in r if name != "document"}),
        {"answer.echo-present"},
        "answer.echo-text",
    ),
    "usage": (
        answering("Bills nothing.", lambda a, _: {name: a[name] for name in a if name != "usage"}),
        set(),
        "answer.usage",
    ),
}
"""Servers without a capability, each with the rules that fail and one that is not applicable."""


@pytest.mark.parametrize("name", LACKING)
def test_one_cause_is_one_failure(name):
    """A missing capability fails its own rule and no other MUST, generation and all, and the others say why."""
    server, wanted, skipped = LACKING[name]
    report = report_of(server)
    assert failed(report) == wanted
    assert report.of("error", "undecided") == ()
    if skipped:
        assert skipped in reasons(report)


def test_objects_are_judged_apart_in_few_rules():
    """Where few rules are asked for, the requests that show what they need are sent as well."""
    report = report_of(LACKING["objects"][0], rules=["acceptance.unicode"])
    assert failed(report) == set()
    [unicode] = report.of("pass")
    assert unicode.id == "acceptance.unicode"


def test_a_capability_that_is_there_hides_nothing():
    """A server that takes objects but not those with blank texts fails the rule of blank documents."""
    server = refusing("Wants text in objects.", lambda b: any(d == {"text": ""} for d in b["documents"]))
    assert failed(report_of(server)) - {"schema.positive-data"} == {"acceptance.blank-documents"}


@pytest.mark.parametrize("quick", [True, False])
def test_a_server_without_keys(quick):
    """A server that needs no key and is given one is not judged by refusals of keys, unless that is asked for."""
    server = FIELD_SERVERS["no-key-needed"].server
    passed = "no-failure-found" if quick else "conformant"
    assert report_of(server, quick=quick).verdict == passed
    assert "authentication.no-key" in reasons(report_of(server, quick=quick))
    expected = report_of(server, quick=quick, expect_auth=True)
    assert failed(expected) == {"authentication.no-key"}


@pytest.mark.parametrize("quick", [True, False])
def test_a_server_that_refuses_keys_with_200(quick):
    """A server that refuses keys with 200 and an error has keys, and fails for the status."""
    report = report_of(FIELD_SERVERS["keys-refused-in-200"].server, quick=quick)
    assert failed(report) == {"authentication.no-key"}
    assert "authentication.no-key" not in reasons(report)


@pytest.mark.parametrize("rules", [["authentication.similar"], ["authentication"]])
def test_a_server_without_keys_in_few_rules(rules):
    """Where few rules are asked for, a server without keys is known all the same."""
    report = report_of(FIELD_SERVERS["no-key-needed"].server, rules=rules)
    assert failed(report) == set()
    assert "authentication.similar-key" in reasons(report)


@pytest.mark.parametrize("name", ["any-key", "any-scheme", "forbidden-for-wrong-key"])
def test_a_server_with_keys_is_judged(name):
    """A server that refuses some wrong keys has keys, and is judged by those that it does not refuse."""
    assert failed(report_of(FIELD_SERVERS[name].server, quick=True)) & set(FIELD_SERVERS[name].bitten)


class Crashing(Reference):
    """Fails on a body that is not JSON, with an error in a form of its own."""

    def parse(self, body: bytes) -> object:
        """Raise what the framework turns into its own 500."""
        try:
            return super().parse(body)
        except Exception as error:
            raise RuntimeError from error

    def encode(self, status: int, payload, headers=None):
        """Write a 500 as the framework does."""
        if status == 500:
            return super().encode(500, {"detail": "Internal Server Error"}, headers)
        return super().encode(status, payload, headers)


def test_one_crash_is_one_finding():
    """A rule that fails by the crash of another rule's request alone is named below that rule, and not judged."""
    report = report_of(Crashing)
    [malformed] = [rule for rule in report.rules if rule.id == "refusal.malformed-json"]
    assert malformed.verdict == "fail"
    touched = {name for rule in report.of("fail") for name in rule.touched}
    assert "error.envelope" in touched
    assert touched <= {rule.id for rule in report.of("skip")}
    [envelope] = [rule for rule in report.rules if rule.id == "error.envelope"]
    assert envelope.verdict == "skip"
    assert "not judged: the crash is reported by refusal." in envelope.reason
    assert Report.from_json(report.to_json()) == report


def test_a_must_is_not_hidden_below_a_should():
    """A crash of a request whose own rule is a SHOULD is the finding of the MUST that it breaks."""
    probe = Probe(name="rank-top-huge", phase="rank", rule="acceptance.top-n-huge", body={}, legal=True)
    crash = Exchange(probe, ReceivedResponse(500, {}, b""))
    found = [
        Judged(RULES[name], "fail", Finding("x", "y", crash), findings=(Finding("x", "y", crash),))
        for name in ("acceptance.top-n-huge", "robustness.no-server-error", "error.envelope")
    ]
    judged = {one.rule.id: one for one in one_finding_for_a_cause(found, NOTHING)}
    assert [name for name, one in judged.items() if one.outcome == "fail"] == ["robustness.no-server-error"]
    assert judged["robustness.no-server-error"].touched == ("acceptance.top-n-huge", "error.envelope")


def test_a_finding_beside_the_crash_stands():
    """A rule that fails by a crash and by something else fails."""
    crash = Exchange(
        Probe(name="a", phase="refuse", rule="refusal.empty-body"), ReceivedResponse(500, {}, b"")
    )
    other = Exchange(Probe(name="b", phase="refuse"), ReceivedResponse(400, {}, b""))
    both = (Finding("x", "y", crash), Finding("x", "y", other))
    found = [
        Judged(RULES["refusal.empty-body"], "fail", both[0], findings=both[:1]),
        Judged(RULES["error.envelope"], "fail", both[0], findings=both),
        Judged(RULES["relation.query-matters"], "fail", Finding("x", "y", None), findings=(Finding("x", "y", None),)),
    ]  # fmt: skip
    assert [one.outcome for one in one_finding_for_a_cause(found, NOTHING)] == ["fail", "fail", "fail"]


# what proves nothing


def transport(when, answer) -> httpx.MockTransport:
    """Return the reference with another answer to the requests that a function picks by their number and body."""
    reference, count = ReferenceTransport(Reference(keys={KEY})), iter(range(100_000))

    def handle(request: httpx.Request) -> httpx.Response:
        if when(next(count), request.content):
            return answer()
        return reference.handle_request(request)

    return httpx.MockTransport(handle)


ERROR = {"error": {"code": 400, "message": "The provider does not take this"}}
PASSING = {
    "502": lambda: httpx.Response(502, html="<h1>Bad Gateway</h1>"),
    "504": lambda: httpx.Response(504),
    "520": lambda: httpx.Response(520),
    "524": lambda: httpx.Response(524),
    "500": lambda: httpx.Response(500, text="oops"),
    "200-502": lambda: httpx.Response(200, json={"error": {"code": 502, "message": "x"}}),
}


@pytest.mark.parametrize("name", PASSING)
def test_an_error_that_passes(name):
    """A gateway that answers one request in sixty with an error that passes is conformant, without a SHOULD against it."""
    server = transport(lambda number, _: number % 60 == 5, PASSING[name])
    report = check(server, key=KEY, seed=0)
    assert report.verdict == "conformant", report.of("fail", "undecided", "error")
    assert report.of("fail") == ()


def test_errors_that_pass_too_often():
    """A server that answers every tenth attempt with 502 is conformant, and advised against it."""
    report = check(transport(lambda number, _: number % 10 == 5, PASSING["502"]), key=KEY, quick=True)
    assert report.verdict in {"no-failure-found", "conformant"}
    [found] = report.of("fail")
    assert found.id == "robustness.transient-errors"
    assert "times 502" in found.actual


@pytest.mark.parametrize(
    ("status", "verdict"), [(200, "undecided"), (502, "nonconformant"), (503, "nonconformant")]
)
def test_an_error_that_stays(status, verdict):
    """A legal request that always gets a 5xx fails its rule, where others are ranked; with 200 and an error it is undecided."""
    server = transport(lambda _, body: b"x_unknown" in body, lambda: httpx.Response(status, json=ERROR))
    report = check(server, key=KEY, quick=True)
    outcome = "undecided" if verdict == "undecided" else "fail"
    assert [rule.id for rule in report.of(outcome) if rule.level == "MUST"] == ["acceptance.unknown-fields"]
    assert report.verdict == verdict


@pytest.mark.parametrize(
    ("body", "legal", "expected"),
    [
        ({"error": {"code": 502}}, None, 502),
        ({"error": {"code": 400}}, True, 500),
        ({"error": "x"}, True, 500),
        ({"error": {"code": [429]}}, True, 500),
        ({"error": {"code": 400}}, False, None),
        ({"error": "x", "results": []}, True, None),
        ({"error": None, "results": []}, True, None),
        ({}, True, None),
        ([], True, None),
    ],
)
def test_a_200_with_an_error(body, legal, expected):
    """An error in place of results may pass, where the request is legal or the error says so itself."""
    probe = Probe(name="x", phase="rank", legal=legal)
    assert transient_status(probe, ReceivedResponse(200, {}, json.dumps(body).encode())) == expected


PLAIN = Probe(name="x", phase="rank", body={}, legal=True)


def sent(server: httpx.MockTransport, budget: Budget, times: int = 1) -> tuple[list[Exchange], int]:
    """Return what comes of a request that is sent some times, and how many requests that took."""

    async def run() -> tuple[list[Exchange], int]:
        async with Session(server, KEY, budget) as session:
            return [await session.send(PLAIN) for _ in range(times)], session.requests

    return asyncio.run(run())


def test_a_crash_is_repeated_and_stays():
    """A 500 that is the same each time is a crash, and was tried three times."""
    [exchange], _ = sent(httpx.MockTransport(lambda _: httpx.Response(500)), Budget())
    assert (exchange.crashed, exchange.attempts, exchange.passing) == (True, 3, ())


def test_probes_are_counted_apart_from_their_repeats():
    """A budget of first attempts is not spent by repeats; one of requests is."""
    server = httpx.MockTransport(lambda _: httpx.Response(502))
    (first, second), requests = sent(server, Budget(max_probes=1), 2)
    assert (first.attempts, second.attempts, requests) == (4, 0, 4)
    assert "budget of 1 requests" in (second.undecided or "")
    assert sent(server, Budget(max_requests=2))[0][0].attempts == 2


# faults of the check


@pytest.mark.parametrize("key", ["k", "a b", "~"])
def test_a_short_key_over_http(key):
    """A key whose end cannot be cut off is sent as far as a header can carry it, and nobody is blamed."""
    from rerank_conformance.reference.asgi import running

    with running(Reference(keys={key})) as url:
        report = check(url, key=key, seed=0, rules=["authentication", "robustness.answered"])
    assert report.verdict == "conformant", report.of("fail", "undecided", "error")


def test_a_request_that_the_check_cannot_send(monkeypatch):
    """A fault of the check is an error of the rule whose request it was, and of no server."""
    from rerank_conformance import running as checks
    from rerank_conformance.reference.asgi import running

    monkeypatch.setattr(checks, "_has_such_a_key", lambda probe, key: True)
    with running(Reference(keys={"k"})) as url:
        report = check(url, key="k", seed=0, rules=["authentication", "robustness.answered"])
    assert failed(report) == set()
    [error] = report.of("error")
    assert error.id == "authentication.similar-key"
    assert "could not be sent by the check" in error.reason
    assert report.verdict == "undecided"


# evidence


def test_a_rule_about_positions_is_shown_by_its_own_request():
    """A finding about a document at a known position is shown by the request that has it there."""
    server = scoring(
        "Prefers what is long.",
        lambda query, texts, __: [(len(text) + len(query)) / 100 for text in texts],
    )
    report = report_of(server)
    [found] = [rule for rule in report.of("fail") if rule.id == "relation.relevant-first"]
    assert "document 2 first" in found.expected
    sent = json.loads(found.curl[found.curl.index("'{") + 1 : found.curl.rindex("}'") + 1])
    assert len(sent["documents"]) == 6


def test_a_rule_about_any_ranking_is_shown_by_less():
    """A finding that holds of any list is still shown by a small request."""
    lost = listing("Loses one.", lambda results, _: results[:-1] if len(results) > 1 else results)
    [found] = [rule for rule in report_of(lost).of("fail") if rule.id == "answer.complete"]
    assert found.curl.count("The capital of France") < 6
