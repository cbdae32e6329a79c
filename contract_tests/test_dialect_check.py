"""A check of a dialect passes its reference server, fails broken ones by the same rules, and says what does not apply."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from rerank_conformance import contract
from rerank_conformance.altered import Server, failing, ranking
from rerank_conformance.broken import BROKEN
from rerank_conformance.dialects import CODECS
from rerank_conformance.dialects.applicability import TABLE, entry
from rerank_conformance.dialects.forms import has_form
from rerank_conformance.dialects.rules import (
    DialectRule,
    ids,
    own_probes,
    own_rules,
    rules_of,
    why_not_applicable,
)
from rerank_conformance.dialects.translation import DecodedAnswer, Translated, WireProbe, decoded
from rerank_conformance.exchanges import Exchange, NoResponse, Probe, ReceivedResponse
from rerank_conformance.probes import probes, smoke
from rerank_conformance.reference import Reference, asgi
from rerank_conformance.reference.speaking import speaking
from rerank_conformance.report import Report
from rerank_conformance.reports.comparison import compare
from rerank_conformance.rules import RULES
from rerank_conformance.running import QUICK, check, failures
from rerank_conformance.target import Budget

KEY = "key-of-the-test"
DIALECTS = pytest.mark.parametrize("name", CODECS)


def judged(name: str, server: Server = Reference, **settings: Any) -> Report:
    """Check the dialect's form of a server, in this process."""
    return check(speaking(name, server)(keys={KEY}), dialect=name, key=KEY, **settings)


@DIALECTS
def test_reference_is_conformant_at_every_level(name: str):
    """The reference server of each dialect keeps every rule, SHOULDs included, and the report names the dialect."""
    report = judged(name, strict=True, seed=1)
    assert [(rule.id, rule.actual, rule.reason) for rule in report.of("fail", "undecided", "error")] == []
    assert set(report.verdicts.values()) == {"conformant"}
    assert (report.dialect, report.held_to) == (name, f"{report.contract_version}, dialect {name}")
    generated = [rule for rule in report.rules if rule.id.startswith("schema.")]
    assert {rule.verdict for rule in generated} == {"pass"}
    assert Report.from_json(report.to_json()) == report


NOT_A_NUMBER = ranking(
    "Writes NaN for scores.",
    lambda a: a._replace(body=re.sub(rb'("(?:relevance_)?score"):[^,}]+', rb"\1:NaN", a.body)),
)
FAILS_WITHOUT_QUERY = failing("Fails on a request without a query.", lambda body: "query" not in body)


class EmptyRefusals(Reference):
    """Refuses without a word."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReceivedResponse:
        """Answer with another body."""
        found = super().answer(method, path, headers, body)
        return found._replace(body=b"{}") if 400 <= found.status < 500 else found


class IgnoredTopN(Reference):
    """Ignores top_n."""

    def cut(self, ranked: list[tuple[int, float]], top_n: float | None) -> list[tuple[int, float]]:
        """Keep all."""
        return ranked


EVERYWHERE: dict[str, tuple[Server, str]] = {
    "index past the end": (BROKEN["answer.index-in-range"], "answer.index-in-range"),
    "index twice": (BROKEN["answer.index-unique"], "answer.index-unique"),
    "scores of the neighbour": (BROKEN["relation.own-score"], "relation.own-score"),
    "NaN": (NOT_A_NUMBER, "answer.score-number"),
    "scores as text": (BROKEN["answer.score-number"], "answer.score-number"),
    "worst first": (BROKEN["answer.descending"], "answer.descending"),
    "documents dropped": (BROKEN["answer.complete"], "answer.complete"),
    "blanks dropped": (BROKEN["answer.blank-documents"], "answer.blank-documents"),
    "distances": (BROKEN["relation.higher-is-better"], "relation.higher-is-better"),
    "keys not checked": (BROKEN["authentication.no-key"], "authentication.no-key"),
    "any key": (BROKEN["authentication.wrong-key"], "authentication.wrong-key"),
    "5xx for a missing field": (FAILS_WITHOUT_QUERY, "refusal.query-missing"),
    "cut off": (BROKEN["answer.json"], "answer.json"),
    "refusals without a word": (EmptyRefusals, "error.envelope"),
    "NUL refused": (BROKEN["acceptance.unicode"], "acceptance.unicode"),
}
SOME: dict[str, tuple[Server, str, frozenset[str]]] = {
    "top_n ignored": (IgnoredTopN, "answer.at-most-top-n", frozenset({"cohere-v2", "jina", "voyage"})),
    "best left out": (BROKEN["relation.top-n-best"], "relation.top-n-best", frozenset({"cohere-v2", "jina", "voyage"})),
    "echo altered": (BROKEN["answer.echo-text"], "answer.echo-text", frozenset({"jina", "tei", "voyage"})),
    "echo missing": (BROKEN["answer.echo-present"], "answer.echo-present", frozenset({"tei", "voyage"})),
    "no usage": (BROKEN["answer.usage-present"], "answer.usage-present", frozenset({"voyage"})),
    "no model": (BROKEN["answer.model"], "answer.model", frozenset({"voyage"})),
    "another status": (BROKEN["refusal.status"], "refusal.status", frozenset({"cohere-v2", "jina", "voyage"})),
    "results named otherwise": (BROKEN["answer.schema"], "answer.schema", frozenset({"cohere-v2", "jina", "voyage"})),
    "half a search": (BROKEN["answer.usage"], "answer.usage", frozenset({"cohere-v2"})),
}  # fmt: skip
CASES = [
    *((name, what) for name in CODECS for what in EVERYWHERE),
    *((name, what) for what, (_, _, names) in SOME.items() for name in sorted(names)),
]


@pytest.mark.parametrize(("name", "what"), CASES)
def test_broken_servers_fail(name: str, what: str):
    """A server that is wrong in one thing is nonconformant in its dialect, by the rule that it breaks."""
    server, rule = EVERYWHERE[what] if what in EVERYWHERE else SOME[what][:2]
    report = judged(name, server, quick=True)
    assert rule in failures(report.rules)
    assert report.verdict == "nonconformant"
    assert report.of("error") == ()
    shown = next(one for one in report.rules if one.id == rule)
    if name == "tei" and shown.curl:
        assert '"documents"' not in shown.curl


class TakesUnknown(Reference):
    """Takes what the dialect does not know."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        known = speaking_of(self).fields if isinstance(value, dict) else {}
        return super().validate({k: v for k, v in value.items() if k in known} if known else value)


class TakesEmpty(Reference):
    """Takes empty texts."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        if isinstance(value, dict) and isinstance(value.get("documents"), list):
            value = {**value, "documents": [text or " " for text in value["documents"]]}
        return super().validate(value)


class TakesBlank(Reference):
    """Takes a blank query."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        blank = isinstance(value, dict) and isinstance(value.get("query"), str) and not value["query"].strip()
        return super().validate({**value, "query": "anything"} if blank else value)


class RefusesNull(Reference):
    """Refuses a top_k of null."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        wrong = isinstance(value, dict) and "top_k" in value and value["top_k"] is None
        return super().validate({**value, "top_k": "x"} if wrong else value)


class AnyPriority(Reference):
    """Takes any priority."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        return super().validate({**value, "priority": 0} if isinstance(value, dict) else value)


class EchoesAlways(Reference):
    """Returns the documents, asked for or not."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        body = super().validate(value)
        return {**body, str(speaking_of(self).echo): True}


class TakesDocuments(Reference):
    """Takes documents for texts."""

    def validate(self, value: object) -> dict[str, Any]:
        """Mend a value before it is validated."""
        return super().validate(
            {"texts": value["documents"], **value} if "documents" in dict(value) else value
        )


class AnyKind(Reference):
    """Calls every error a failure of the model."""

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> ReceivedResponse:
        """Answer with another body."""
        found = super().answer(method, path, headers, body)
        return found._replace(body=found.body.replace(b'"Empty"', b'"Backend"'))


def speaking_of(server: Any) -> Any:
    """Return the codec of a server."""
    return server.codec


OWN: list[tuple[str, Server, str]] = [
    ("cohere-v2", TakesUnknown, "refusal.unknown-fields"),
    ("cohere-v2", TakesBlank, "refusal.query-blank"),
    ("cohere-v2", AnyPriority, "refusal.priority-maximum"),
    ("tei", TakesDocuments, "refusal.canonical-form"),
    ("tei", EchoesAlways, "answer.echo-nothing-added"),
    ("tei", AnyKind, "error.code"),
    ("voyage", TakesUnknown, "refusal.unknown-fields"),
    ("voyage", TakesEmpty, "refusal.text-empty"),
    ("voyage", RefusesNull, "acceptance.top-n-null"),
    ("voyage", EchoesAlways, "answer.echo-nothing-added"),
]


@pytest.mark.parametrize(("name", "server", "rule"), OWN)
def test_rules_of_one_dialect(name: str, server: Server, rule: str):
    """What only one dialect asks for is judged, and fails by that rule alone."""
    report = judged(name, server, rules=[rule], cache=True)
    assert failures(report.rules) == [rule]
    one = next(one for one in report.rules if one.id == rule)
    assert one.source.startswith(f"contracts/dialects/{name}.yaml#/")
    assert one.line is not None


# the table


@DIALECTS
def test_table_names_rules_that_exist(name: str):
    """Each entry of the table is a rule, or the beginning of some; what has an own form has a judge."""
    named = [rule for one in TABLE[name] for rule in one.rules]
    assert len(named) == len(set(named))
    for one in TABLE[name]:
        for rule in one.rules:
            found = [
                other for other in RULES if other == rule or (rule[-1] in ".-" and other.startswith(rule))
            ]
            assert found, rule
            if one.how == "own form":
                assert all(map(has_form, found)), rule
        assert (one.how == "as it is") is (one.level is not None and one.how != "own form")


@DIALECTS
def test_rules_of_a_dialect_are_those_of_the_contract_and_its_own(name: str):
    """Every canonical rule is there, so that reports compare; the others are the dialect's own, in their sections."""
    found = [rule.id for rule in rules_of(name)]
    assert set(found) == ids(name)
    assert set(found) - RULES.keys() == {rule.id for rule, _ in own_rules(name)}
    assert len(found) == len(set(found))
    sections = [rule.partition(".")[0] for rule in found]
    assert len(list(dict.fromkeys(sections))) == sum(
        one != before for one, before in zip(sections, [None, *sections], strict=False)
    )
    for rule in rules_of(name):
        assert contract.line_of(rule.source) > 0
        assert rule.level_reason
        if why_not_applicable(rule):
            assert isinstance(rule, DialectRule)


def test_exact_names_go_before_beginnings():
    """A rule that is named by itself is not judged as the beginning of its name says."""
    assert entry("jina", "method.envelope") == next(
        one for one in TABLE["jina"] if "method.envelope" in one.rules
    )
    assert entry("jina", "method.refused") == next(one for one in TABLE["jina"] if "method." in one.rules)
    assert entry("jina", "acceptance.plain") is None


# translation


class Recorder:
    """A server that records what it is sent, and answers from a table of paths."""

    def __init__(self, answers: Mapping[str, ReceivedResponse] | None = None) -> None:
        self.budget = Budget()
        self.sent: list[Probe] = []
        self.answers = answers or {}

    async def send(self, probe: Probe, *, is_repeat: bool = False) -> Exchange:
        """Record the request, and answer it from the table."""
        self.sent.append(probe)
        return Exchange(probe, self.answers.get(probe.path, NoResponse("unsent", "was not sent")))


@DIALECTS
def test_legal_requests_are_legal_by_the_contract(name: str):
    """What is sent as legal is legal by the dialect's contract, what is sent as illegal is not, and names are the dialect's."""
    codec = CODECS[name]
    translated = Translated(Recorder(), codec)
    sent = [*translated.translations([smoke("m"), *probes("m")]), *own_probes(name, "m")]
    assert len(sent) > 150
    for probe in sent:
        assert isinstance(probe, WireProbe)
        by_headers = bool(probe.headers) and not probe.legal
        if probe.legal is None or by_headers:
            continue
        try:
            value = json.loads(probe.content, parse_constant=int)  # int("NaN") is a ValueError
        except (ValueError, RecursionError):
            assert not probe.legal
            continue
        if probe.rule == "refusal.query-blank":  # the vendor's guide says so, and no schema
            continue
        assert (codec.contract.request.violation(value) is None) is probe.legal, probe.name
        if name == "tei" and isinstance(value, dict) and probe.legal:
            assert "texts" in value


def send(translated: Translated, probe: Probe) -> Exchange:
    """Send a request in a loop of its own."""
    import asyncio

    return asyncio.run(translated.send(probe))


def json_answer(value: object) -> ReceivedResponse:
    """Return an answer of the check."""
    return ReceivedResponse(200, {"content-type": "application/json"}, json.dumps(value).encode())


LIMITS: dict[str, tuple[object, int]] = {
    "a limit": ({"max_client_batch_size": 8}, 8),
    "no limit": ({"model_id": "m"}, 0),
    "a limit that is none": ({"max_client_batch_size": "8"}, 0),
    "not an object": ([1], 0),
}


@pytest.mark.parametrize("what", LIMITS)
def test_limit_of_documents_is_asked_for(what: str):
    """TEI's limit comes from /info, once; above it requests are left out, but the one that shows how it refuses."""
    info, limit = LIMITS[what]
    recorder = Recorder({"/info": json_answer(info)})
    translated = Translated(recorder, CODECS["tei"])
    send(translated, smoke("m"))
    send(translated, smoke("m"))
    assert [probe.path for probe in recorder.sent] == ["/info", "/rerank", "/rerank"]
    sizes = {probe.name: len(probe.documents) for probe in translated.translations(probes("m"))}
    above = {name for name, size in sizes.items() if limit and size > limit}
    assert above == (
        {"rank-many", "rank-hundred-and-one", "rank-many-reversed", "rank-odd-one"} if limit else set()
    )
    assert ("rank-batches" in sizes) is not limit


def test_generated_requests_above_the_limit_are_not_judged():
    """A generated list that is longer than the server's limit may be refused; a shorter one has to be taken."""
    translated = Translated(Recorder({"/info": json_answer({"max_client_batch_size": 2})}), CODECS["tei"])
    send(translated, smoke("m"))
    made = [
        Probe(
            name=f"generated-{count}",
            phase="generate",
            body={"query": "q", "texts": ["a"] * count},
            legal=True,
        )
        for count in (2, 3)
    ]
    assert [probe.legal for probe in translated.generated(made)] == [True, None]
    assert [len(probe.documents) for probe in translated.generated(made)] == [2, 3]


def test_other_dialects_are_not_asked():
    """A dialect without /info is sent nothing but the request."""
    recorder = Recorder()
    send(Translated(recorder, CODECS["jina"]), smoke("m"))
    assert len(recorder.sent) == 1


def test_request_without_a_form_is_not_sent():
    """A request that the dialect cannot carry is a fault of nobody's: it is not sent."""
    recorder = Recorder()
    body = {"model": "m", "query": "q", "documents": ["a"], "provider": {"sort": "price"}}
    probe = Probe(name="x", phase="rank", body=body, legal=True)
    exchange = send(Translated(recorder, CODECS["voyage"]), probe)
    assert exchange.undecided == "was not sent: voyage has no form for it"
    assert recorder.sent == []


def test_shrunk_requests_are_encoded_again():
    """A smaller body of a request that was sent is encoded, and asks for the documents as the first one did."""
    recorder = Recorder()
    translated = Translated(recorder, CODECS["tei"])
    body = {"model": "m", "query": "q", "documents": ["a", "b"]}
    first = translated.translated(Probe(name="rank-unicode", phase="rank", body=body, legal=True))
    assert first is not None
    assert json.loads(first.content) == {"query": "q", "texts": ["a", "b"], "return_text": True}
    import dataclasses

    smaller = dataclasses.replace(first, name="", body={**body, "documents": ["a"]}, sent=None)
    send(translated, smaller)
    assert json.loads(recorder.sent[-1].content) == {"query": "q", "texts": ["a"], "return_text": True}


DECODED: list[tuple[str, object, dict[str, str], object]] = [
    ("tei", [{"index": 1, "score": 0.5, "text": "a"}], {"x-compute-tokens": "7"}, {"results": [{"index": 1, "relevance_score": 0.5, "document": {"text": "a"}}], "usage": {"total_tokens": 7}}),
    ("tei", [{"index": "1"}, 3], {"x-compute-tokens": "x"}, {"results": [{"index": "1"}, 3], "usage": {"total_tokens": "x"}}),
    ("tei", {"error": "e", "error_type": "Empty"}, {}, {"error": "e", "error_type": "Empty"}),
    ("cohere-v2", {"id": "x", "results": None, "meta": {"billed_units": {"search_units": 1.0}}}, {}, {"id": "x", "usage": {"search_units": 1.0}, "results": None}),
    ("cohere-v2", {"results": [], "meta": 3}, {}, {"results": []}),
    ("jina", {"model": "m", "results": [{"index": 0, "score": 1, "document": "t"}, {"index": 1, "relevance_score": 1, "document": None}, 7]}, {}, {"model": "m", "results": [{"index": 0, "relevance_score": 1, "document": {"text": "t"}}, {"index": 1, "relevance_score": 1}, 7]}),
    ("jina", {"results": [{"index": 0, "document": {"text": "t", "image": None, "multi_modal": None}}]}, {}, {"results": [{"index": 0, "document": {"text": "t"}}]}),
    ("jina", {"results": 3}, {}, {"results": 3}),
    ("voyage", {"object": "list", "data": [{"index": 0, "relevance_score": 1}], "model": "m", "usage": {"total_tokens": 1}}, {}, {"model": "m", "usage": {"total_tokens": 1}, "results": [{"index": 0, "relevance_score": 1}]}),
    ("voyage", {"results": []}, {}, {"results": []}),
    ("voyage", "text", {}, "text"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wire", "headers", "canonical"), DECODED)
def test_answers_are_decoded(name: str, wire: object, headers: dict[str, str], canonical: object):
    """Each form of an answer has its canonical form; what is wrong in the one is wrong in the other."""
    assert CODECS[name].decode(wire, headers) == canonical
    answer = json_answer(wire)
    found = decoded(answer, CODECS[name])
    assert isinstance(found, DecodedAnswer)
    assert (found.wire, found.body) == (wire, answer.body)


@DIALECTS
def test_quick_check_stays_within_its_budget(name: str):
    """A quick check of each dialect ends decided, within the requests that it may send."""
    report = judged(name, quick=True)
    assert report.of("fail", "undecided", "error") == ()
    assert report.requests <= QUICK


def test_faults_are_not_decoded():
    """A request without an answer stays as it is."""
    fault = NoResponse("timeout", "had no answer")
    assert decoded(fault, CODECS["tei"]) is fault


# shells


def command(*arguments: str, serve: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command of the kit."""
    return subprocess.run(
        [sys.executable, "-m", "rerank_conformance", *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=600,
        check=False,
    )


def test_command_checks_and_compares_dialects(tmp_path: Any):
    """`check --dialect` over HTTP passes a reference; `compare` puts reports of two dialects side by side by rule."""
    files: list[str] = []
    for name in ("tei", "voyage"):
        file = tmp_path / f"{name}.json"
        with asgi.running(speaking(name)()) as url:
            done = command("check", url, "--dialect", name, "--quick", "--json", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        report = json.loads(file.read_text("utf-8"))
        assert report["dialect"] == name
        assert f"--dialect {name}" in report["command"]
        files.append(str(file))
    done = command("compare", *files, "--all")
    assert "dialect tei" in done.stdout
    matrix = compare({file: Report.from_json(Path(file).read_bytes()) for file in files})
    assert matrix.rules[0].outcomes.keys() == {server.name for server in matrix.servers}


def test_command_serves_broken_servers_of_a_dialect():
    """`serve --dialect --broken` is the broken server in that form."""
    serve = [
        sys.executable,
        "-m",
        "rerank_conformance",
        "serve",
        "--dialect",
        "tei",
        "--broken",
        "answer.complete",
    ]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            ranked = httpx.post(f"{url}/rerank", json={"query": "q", "texts": ["a", "b", "c"]}).json()
        finally:
            process.terminate()
    assert len(ranked) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dialect", "cohere"], "'voyage'; did you mean 'cohere-v2'?"),
        (["--level", "rankng"], "'strict'; did you mean 'ranking'?"),
        (
            ["--dialect", "tei", "--rule", "refusal.unknown-field"],
            "no rule begins with 'refusal.unknown-field'",
        ),
        (["--dialect", "openrouter", "--rule", "refusal.canonical-form"], "no rule begins with"),
    ],
)
def test_command_refuses_what_there_is_not(arguments: list[str], message: str):
    """A dialect that does not exist, and a rule that the dialect does not have, are told before anything is sent."""
    done = command("check", "http://127.0.0.1:9", *arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_dialect_is_a_setting():
    """A dialect that does not exist is an error of `check`, and the usual model is the dialect's."""
    with pytest.raises(ValueError, match="'cohere' is not a dialect"):
        check(Reference(), dialect="cohere", quick=True)
    seen: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.content)
        return httpx.Response(401)

    check(httpx.MockTransport(answer), dialect="voyage", quick=True)
    assert json.loads(seen[0])["model"] == CODECS["voyage"].model
