"""A check from its first request to its report: the order, the budget, servers that misbehave, and the reports."""

import asyncio
import base64
import html
import json
import math
import random
import signal
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from click.testing import CliRunner

from rerank_conformance import Report, broken, check, contract, generation
from rerank_conformance.altered import each, listing, refusing, scoring, taking
from rerank_conformance.cli import main
from rerank_conformance.expected import read_expected
from rerank_conformance.generation import generated
from rerank_conformance.probes import probes, smoke
from rerank_conformance.reference import Reference, ReferenceResponse
from rerank_conformance.reference.asgi import app, running
from rerank_conformance.reference.inprocess import ReferenceTransport
from rerank_conformance.report import RuleResult, verdict, with_known
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.target import Budget, Session

KEY = "sk-test-0123456789"
SEED = 7


def judged(server, **settings) -> Report:
    """Check a server in this process with the one seed of these tests."""
    return check(server(keys={KEY}), **{"key": KEY, "seed": SEED, **settings})


def failed(report: Report, level: str = "MUST") -> set[str]:
    """Return the ids of the rules of a level that failed."""
    return {rule.id for rule in report.of("fail") if rule.level == level}


# the rules and the probes


def test_sources():
    """The source of every rule leads to a place in the contract."""
    document = contract.load().document
    for rule in RULES.values():
        here = document
        for token in rule.source.removeprefix("#/").split("/"):
            name = token.replace("~1", "/").replace("~0", "~")
            assert name in here, rule.id
            here = here[name]


def test_probes_are_what_they_say():
    """A probe that is said to be legal is legal by the contract, and an illegal object is not."""
    request = contract.load().request
    for probe in [smoke(), *probes()]:
        assert probe.rule in RULES
        if (
            isinstance(probe.body, dict)
            and probe.method == "POST"
            and not probe.headers
            and probe.auth == "key"
        ):
            assert (request.violation(probe.body) is None) == (probe.legal is True), probe.name


def test_probe_names():
    """No two probes share a name."""
    names = [probe.name for probe in probes()]
    assert len(names) == len(set(names))


def test_quick_rules_have_quick_probes():
    """A rule with probes of its own is quick exactly if one of them is."""
    own = {probe.rule for probe in probes()}
    quick = {probe.rule for probe in [smoke(), *probes(quick=True)]}
    assert {name for name in own if name and RULES[name].quick} == {name for name in quick if name}


def test_generated_requests_replay():
    """One seed gives one list of requests, another seed another."""
    generation.cases_of.cache_clear()
    first = [probe.content for probe in generated("m", SEED, 20, cache=False)]
    generation.cases_of.cache_clear()
    assert [probe.content for probe in generated("m", SEED, 20, cache=False)] == first
    assert [probe.content for probe in generated("m", SEED + 1, 20)] != first


def test_generated_requests_are_of_both_kinds():
    """Generation makes legal and illegal requests, many of each."""
    made = generated("m", SEED)
    assert sum(probe.legal is True for probe in made) > 50
    assert sum(probe.legal is False for probe in made) > 50


# the honest server


def test_reference_over_http():
    """The reference server conforms over HTTP, every rule judged, within the budget of a full check."""
    with running(Reference(keys={KEY})) as url:
        report = check(url, key=KEY, seed=SEED)
    assert {rule.id: rule.verdict for rule in report.rules if rule.verdict != "pass"} == {}
    assert report.verdict == "conformant"
    assert report.requests <= 800


def test_quick():
    """A quick check of the reference server passes in at most 40 requests, and says what it left out."""
    report = judged(Reference, quick=True)
    assert report.verdict == "no-failure-found"
    assert report.requests <= 40
    assert not report.of("fail", "undecided", "error")
    assert len(report.of("pass")) > 70


@pytest.mark.parametrize(
    "shell",
    [lambda r: r, app, ReferenceTransport, lambda r: _Sync(ReferenceTransport(r))],
    ids=["reference", "asgi", "transport", "sync"],
)
def test_targets(shell):
    """A reference, an ASGI app and a transport of either kind are judged alike."""
    assert check(shell(Reference(keys={KEY})), key=KEY, quick=True).verdict == "no-failure-found"


class _Sync(httpx.BaseTransport):
    def __init__(self, inner: ReferenceTransport) -> None:
        self.inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.inner.handle_request(request)


@pytest.mark.parametrize("address", ["http://me:hush-hush@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?key=hush-hush", "127.0.0.1:9"])  # fmt: skip
def test_an_address_that_reports_would_betray(address):
    """An address with a password or a query is refused before anything is sent, by a message that does not show it."""
    with pytest.raises(ValueError, match="target") as caught:
        check(address, quick=True)
    assert "hush-hush" not in str(caught.value)


def test_no_target():
    """An argument that is not a target is named in a TypeError."""
    with pytest.raises(TypeError, match="not int"):
        check(5)


def test_open_server():
    """Without a key, a server that lets everyone in passes, and its authentication is skipped, not passed."""
    report = check(Reference(), quick=True)
    assert report.verdict == "no-failure-found"
    [no_key] = [rule for rule in report.rules if rule.id == "authentication.no-key"]
    assert no_key.verdict == "skip"


async def test_in_a_running_loop():
    """A check works where an event loop is running."""
    assert judged(Reference, quick=True).verdict == "no-failure-found"


# legal servers and broken ones


@pytest.mark.parametrize(
    "noise",
    [lambda random: random.gauss(0, 1e-3), lambda random: random.uniform(-1e-7, 1e-7)],
    ids=["1e-3", "1e-7"],
)
def test_noise(noise):
    """Noise on the scores fails no MUST."""
    dice = random.Random(5)
    server = scoring("noise", lambda query, texts, scores: [score + noise(dice) for score in scores])
    assert judged(server).verdict == "conformant"


def test_random_scores():
    """Scores that are made up anew each time are no noise."""
    dice = random.Random(5)
    server = scoring("random", lambda query, texts, scores: [dice.random() for _ in scores])
    assert "relation.repeatable" in failed(judged(server))


def test_listwise():
    """A model whose scores depend on the other documents fails a SHOULD and no MUST."""

    def shares(query: str, texts: object, scores: list[float]) -> list[float]:
        ranks = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [1 - ranks.index(index) / len(ranks) for index in range(len(ranks))]

    report = judged(scoring("listwise", shares))
    assert report.verdict == "conformant"
    assert failed(report, "SHOULD") == {"relation.order-of-documents"}
    assert judged(scoring("listwise", shares), strict=True).verdict == "nonconformant"


BROKEN = {
    "answer.index-in-range": each("from 1", lambda result: {**result, "index": result["index"] + 1000}),
    "answer.score-number": each(
        "text", lambda result: {**result, "relevance_score": str(result["relevance_score"])}
    ),
    "answer.descending": listing("worst first", lambda results, _: results[::-1]),
    "answer.many-documents": listing("a hundred", lambda results, _: results[:100]),
    "answer.echo-blanks": each(
        "stripped",
        lambda result: {
            **result,
            "document": {name: text.strip() for name, text in result["document"].items()},
        },
    ),
    "refusal.top-n-text": taking(
        "numbers as text", lambda body: {**body, "top_n": _number(body)} if "top_n" in body else body
    ),
    "acceptance.unknown-fields": refusing("strict", lambda body: "x_unknown" in body),
    "relation.query-matters": scoring(
        "by length", lambda query, texts, scores: [len(text) / 1e4 for text in texts]
    ),
}


def _number(body) -> object:
    top_n = body["top_n"]
    return int(top_n) if isinstance(top_n, str) and top_n.isdigit() and int(top_n) else top_n


@pytest.mark.parametrize("rule", BROKEN)
def test_broken(rule):
    """The rule bites the server that breaks it, and shows how to see it again."""
    report = judged(BROKEN[rule])
    assert report.verdict == "nonconformant"
    [found] = [one for one in report.rules if one.id == rule]
    assert found.verdict == "fail"
    assert found.expected
    assert found.actual
    assert found.curl
    assert "$OPENROUTER_API_KEY" in found.curl
    assert KEY not in report.to_json()


def test_key_in_an_answer():
    """A server that shows the key is found out, and the report does not show it."""

    class Showing(Reference):
        def answer(self, method, path, headers, body):
            answer = super().answer(method, path, headers, body)
            return ReferenceResponse(
                answer.status, {**answer.headers, "x-seen": headers.get("authorization", "")}, answer.body
            )

    report = judged(Showing, quick=True)
    assert failed(report) == {"authentication.key-not-shown"}
    assert KEY not in report.to_json()


@pytest.mark.parametrize(
    "spelled",
    [
        lambda key: key,
        lambda key: json.dumps(json.dumps(key)),
        lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key),
        lambda key: base64.b64encode(f"Bearer {key}".encode()).decode(),
        html.escape,
        quote,
        str.swapcase,
    ],
    ids=["plain", "quoted", "escaped", "packed", "html", "address", "other-case"],
)
@pytest.mark.parametrize("key", [KEY, 'a"key\\with<all>that&needs/quotes'])
def test_key_in_a_disguise(spelled, key):
    """A key that a server shows in another spelling, or a key like it that it shows, is in no report."""

    class Showing(Reference):
        def answer(self, method, path, headers, body):
            sent = headers.get("authorization", "").rpartition(" ")[2]
            shown = json.dumps({"error": {"code": "@"}}).replace("@", spelled(sent))
            return ReferenceResponse(418, {}, shown.encode())

    seen = Recording(asyncio.run(_exchanges(Showing(), key)))
    found = [one for rule in RULES.values() for one in rule.judge(seen) if isinstance(one, Finding)]
    told = "".join(f"{one.expected}{one.actual}" for one in found)
    assert len(found) > 50
    for secret in (key, key[:-1], spelled(key)[:-4], spelled(key[:-1])[:-4]):
        assert secret not in told


async def _exchanges(server, key):
    async with Session(server, key, Budget()) as session:
        return [await session.send(probe) for probe in [smoke(), *probes()][:120]]


def test_a_crash_stays_at_the_first_level_that_it_breaks():
    """Of two rules that fail by one crash, that of the earlier level stays, also if the request is the other's."""
    from rerank_conformance.causes import _distance
    from rerank_conformance.exchanges import Exchange, NoResponse
    from rerank_conformance.judged import Judged
    from rerank_conformance.rules import RULES

    (probe,) = (one for one in probes() if one.name == "accept-objects")
    exchange = Exchange(probe, NoResponse("broken", "x"))
    first, second = (
        _distance(exchange, Judged(RULES[name], "fail"))
        for name in ("relation.query-matters", "acceptance.objects")
    )

    assert probe.rule == "acceptance.objects"
    assert RULES["acceptance.objects"].conformance_level == "interface"
    assert first < second


# the first request


def _always(status: int, body: bytes = b"{}", **headers: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda request: httpx.Response(
        status, content=body, headers={"content-type": "application/json", **headers}
    )


def test_another_address():
    """If nothing ranks at the address, the check says what may be wrong and what to pass instead."""
    report = check(httpx.MockTransport(_always(404)), key=KEY, quick=True)
    reason = report.rules[0].reason or ""
    assert "no /rerank under this base URL, or no model cohere/rerank-v3.5" in reason
    assert "Pass the base URL that has it, or another model" in reason


@pytest.mark.parametrize(
    ("target", "base_path", "expected"),
    [
        (_always(404), "/v1/rerank", "the URL ends with /rerank; pass the base URL without it"),
        (
            _always(307, location="https://api.example.com/rerank/?key=x"),
            "",
            "redirected to https://api.example.com/rerank/; pass the URL that it redirects to",
        ),
        (_always(308), "", "redirected to nowhere"),
        (
            lambda _: httpx.Response(400, text="Client sent an HTTP request to an HTTPS server."),
            "",
            "pass a URL that begins with https://",
        ),
    ],
)
def test_an_address_that_is_not_quite_right(target, base_path, expected):
    """A redirect, a doubled path and the wrong scheme prove nothing against a server, and the next step is named."""
    report = check(httpx.MockTransport(target), base_path=base_path, quick=True)
    assert report.verdict == "undecided"
    assert expected in report.not_judged


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (httpx.ConnectError("[SSL: WRONG_VERSION_NUMBER] wrong version"), "begins with http://"),
        (httpx.ConnectError("All connection attempts failed"), "start the server, or correct the address"),
        (httpx.ReadTimeout("x"), "raise the timeout"),
        (httpx.ReadError("x"), "read the log of the server"),
    ],
)
def test_a_first_request_without_an_answer(error, expected):
    """A server that cannot be reached is not judged, and the next step is named."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    report = check(httpx.MockTransport(fail), quick=True)
    assert expected in (report.not_judged or report.rules[0].reason)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, "undecided"),
        (404, "undecided"),
        (503, "undecided"),
        (400, "nonconformant"),
        (500, "nonconformant"),
        (302, "undecided"),
        (200, "nonconformant"),
    ],
)
def test_one_answer_for_everything(status, expected):
    """A server that answers everything alike does not pass, whatever it answers."""
    answer = _always(status, **{"retry-after": "0.01"})
    report = check(httpx.MockTransport(answer), key=KEY, quick=True)
    assert report.verdict == expected


def test_wrong_key():
    """A key that the server does not know leaves every rule undecided, and no more than one request is sent."""
    report = check(Reference(keys={KEY}), key="sk-another")
    assert report.verdict == "undecided"
    assert report.requests == 1
    assert "key was refused" in (report.rules[0].reason or "")


def test_a_missing_key():
    """A server that wants a key leaves every rule undecided, and the reason names the variable to set."""
    report = check(Reference(keys={KEY}))
    assert "no key was given; set OPENROUTER_API_KEY" in (report.rules[0].reason or "")


@pytest.mark.parametrize(
    ("name", "message"), [("quik", "did you mean 'quick'?"), ("zzz", "the settings are base_path, cache")]
)
def test_a_misspelt_setting(name, message):
    """An unknown setting is refused with the nearest name."""
    with pytest.raises(TypeError) as caught:
        check(Reference(), **{name: True})
    assert str(caught.value).startswith(f"check() has no argument {name!r}; ")
    assert message in str(caught.value)


def test_passing_overload():
    """A server that is overloaded for a moment is waited for."""
    reference, calls = ReferenceTransport(Reference(keys={KEY})), []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) % 5 == 1:
            return httpx.Response(429, headers={"retry-after": "0.01"})
        return reference.handle_request(request)

    report = check(httpx.MockTransport(answer), key=KEY, quick=True, concurrency=1)
    assert not report.of("fail")


def test_lasting_overload():
    """A request that always gets 503, while others are ranked, fails its rule: the server is not overloaded."""
    reference = ReferenceTransport(Reference(keys={KEY}))

    def answer(request: httpx.Request) -> httpx.Response:
        if b'"top_n": 0}' in request.content:
            return httpx.Response(503, headers={"retry-after": "0.01"})
        return reference.handle_request(request)

    report = check(httpx.MockTransport(answer), key=KEY, rules=["refusal"])
    assert [rule.id for rule in report.of("fail")] == ["refusal.top-n-zero"]
    assert not report.of("undecided")


def test_budget():
    """A budget that does not last leaves what was not reached undecided, and is kept."""
    report = judged(Reference, max_requests=20)
    assert report.requests == 20
    assert report.verdict == "undecided"
    assert not report.of("fail", "error")


def test_no_rules():
    """A check of no rule at all is undecided."""
    assert judged(Reference, rules=["nothing"]).verdict == "undecided"


def test_rules_of_a_section():
    """Selecting few rules sends few requests."""
    report = judged(Reference, rules=["refusal.top-n"])
    assert {rule.section for rule in report.rules} == {"refusal"}
    assert report.requests < 30
    assert report.verdict == "conformant"


def test_fault_of_the_kit(monkeypatch):
    """A rule that raises is in error, and the server is not blamed."""
    rule = RULES["answer.model"]

    def judge(seen):
        raise KeyError("x")

    monkeypatch.setitem(RULES, rule.id, replace(rule, judge=judge, quick=True))
    report = judged(Reference, quick=True)
    assert report.verdict == "undecided"
    assert [one.id for one in report.of("error")] == [rule.id]


def test_a_short_key():
    """A key of a letter or two, as servers take that take any, does not blot out what honest answers say."""
    assert check(Reference(keys={"k"}), key="k", quick=True).verdict == "no-failure-found"


def test_without_schemathesis(monkeypatch):
    """Without schemathesis a full check says so before it sends anything, and a quick one works."""
    monkeypatch.setitem(sys.modules, "schemathesis", None)
    asked = []
    server = httpx.MockTransport(lambda request: asked.append(request) or httpx.Response(500))

    with pytest.raises(ModuleNotFoundError, match="schemathesis"):
        check(server)

    assert asked == []
    assert check(Reference(), quick=True).verdict == "no-failure-found"


def test_generation_that_fails(monkeypatch):
    """If requests cannot be generated, the rules that they judge are errors, and the verdict is undecided."""

    def fails(*arguments, **options):
        raise RuntimeError("no requests today")

    monkeypatch.setattr("rerank_conformance.generation.generated", fails)
    report = judged(Reference)

    assert report.verdict == "undecided"
    assert {one.id for one in report.of("error")} == {name for name in RULES if name.startswith("schema.")}
    reason = "RuntimeError: no requests today; check the installed packages, or run a quick check"
    assert str(report.of("error")[0].reason).endswith(reason)


def test_two_checks_in_one_process():
    """Checks at the same time, in threads, send as many generated requests as one alone does."""
    alone = judged(Reference, seed=11).requests
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(lambda seed: judged(Reference, seed=seed).requests, (12, 13)))

    assert all(abs(one - alone) < 100 for one in together)


# servers that misbehave


@contextmanager
def serving(handle: Callable[[socket.socket, threading.Event], None]) -> Generator[str]:
    """Serve each connection by the function, and yield the URL."""
    stop, listener = threading.Event(), socket.create_server(("127.0.0.1", 0), backlog=128)
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection:
            try:
                connection.recv(1 << 16)
                handle(connection, stop)
            except OSError:
                pass

    def accept() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threads.append(threading.Thread(target=one, args=(connection,)))
            threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        stop.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join()


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def cut_off(connection: socket.socket, stop: threading.Event) -> None:
    """Hang up within an answer."""
    connection.sendall(HEAD + b"content-length: 100\r\n\r\n{")


def cut_off_packed(connection: socket.socket, stop: threading.Event) -> None:
    """Send the beginning of what was packed."""
    body = zlib.compress(b"[1, 2, 3]")[:-6]
    connection.sendall(HEAD + b"content-encoding: deflate\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


def flooding(connection: socket.socket, stop: threading.Event) -> None:
    """Send far more values than anyone asked for, in few bytes."""
    body = b"[" + b"{}," * 400_000 + b"1]"
    connection.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)


def hanging(connection: socket.socket, stop: threading.Event) -> None:
    """Say nothing."""
    stop.wait(600)


def dripping(connection: socket.socket, stop: threading.Event) -> None:
    """Send a body byte by byte."""
    connection.sendall(HEAD + b"content-length: 100000\r\n\r\n")
    while not stop.wait(0.02):
        connection.sendall(b" ")


def dripping_head(connection: socket.socket, stop: threading.Event) -> None:
    """Send a header byte by byte."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
    while not stop.wait(0.02):
        connection.sendall(b"x")


def resetting(connection: socket.socket, stop: threading.Event) -> None:
    """Hang up."""
    connection.close()


def garbage(connection: socket.socket, stop: threading.Event) -> None:
    """Send what is not HTTP."""
    connection.sendall(b"\x00\xff\r\n\r\n" * 100)


def endless(connection: socket.socket, stop: threading.Event) -> None:
    """Send a body without end."""
    connection.sendall(HEAD + b"\r\n[")
    while not stop.is_set():
        connection.sendall(b"1," * 50_000)


def zip_bomb(connection: socket.socket, stop: threading.Event) -> None:
    """Send little that unpacks to much."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    connection.sendall(HEAD + b"content-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(body) + body)


@pytest.mark.parametrize(
    ("handle", "expected"),
    [
        (hanging, "undecided"),
        (dripping, "undecided"),
        (dripping_head, "undecided"),
        (resetting, "nonconformant"),
        (garbage, "nonconformant"),
        (cut_off, "nonconformant"),
        (cut_off_packed, "nonconformant"),
        (flooding, "nonconformant"),
        (endless, "nonconformant"),
        (zip_bomb, "nonconformant"),
    ],
)
def test_misbehaving(handle, expected):
    """A server that keeps no rule of HTTP ends in a report, soon."""
    with serving(handle) as url:
        report = check(url, key=KEY, timeout=1 if expected == "undecided" else 600)
    assert report.verdict == expected
    assert report.elapsed_s < 300  # where one answer may take twice that, or has no end
    assert Report.from_json(report.to_json()) == report


class OncePerConnection(BaseHTTPRequestHandler):
    """The reference, which hangs up when a connection is used again, as servers do whose time for an idle one is up."""

    protocol_version = "HTTP/1.1"
    reference = Reference()
    used = False

    def do_POST(self):
        """Answer the first request of a connection, and no other."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.used:
            self.close_connection = True
            return
        self.used = True
        status, headers, content = self.reference.answer(self.command, self.path, self.headers, body)
        self.send_response(status)
        for name, value in (*headers.items(), ("content-length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *said):
        """Say nothing."""


class Patient(ThreadingHTTPServer):
    """A server at which many new connections may wait."""

    request_queue_size = 128


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_the_headers_of_an_empty_response_are_no_fault(coding):
    """A response to HEAD has the Content-Encoding of a GET and no body, which is complete."""

    class Coded(Reference):
        def answer(self, method, *rest):
            found = super().answer(method, *rest)
            if method != "HEAD":
                return found
            return found._replace(headers={**found.headers, "content-encoding": coding}, body=b"")

    with running(Coded()) as url:
        report = check(url, rules=["robustness.answered", "method.any"])
    failed = {rule.id: rule.actual for rule in report.of("fail")}
    assert "robustness.answered" not in failed
    assert "method.any" not in failed


def test_a_connection_that_is_used_again_may_be_closed():
    """An honest server that closes idle connections just as they are used again is conformant: it is asked on a new one."""
    with Patient(("127.0.0.1", 0), OncePerConnection) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            report = check(
                f"http://127.0.0.1:{server.server_port}", rules=["refusal.top-n", "acceptance.pro"]
            )
        finally:
            server.shutdown()
            thread.join()
    assert report.verdict == "conformant", report.of("fail", "undecided")


def test_unreachable():
    """A server that is not there is undecided."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    report = check(f"http://127.0.0.1:{port}", key=KEY)
    assert report.verdict == "undecided"
    assert "could not be sent" in (report.rules[0].reason or "")


def test_raising():
    """An app that raises is answered for, not raised from."""

    async def broken(scope, receive, send):
        raise RuntimeError("boom")

    assert check(broken, key=KEY).verdict == "nonconformant"


# the report


def _rule(outcome: str, level: str = "MUST", name: str = "a.b") -> RuleResult:
    return RuleResult(id=name, level=level, requirement="r", source="#/info", verdict=outcome)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcomes", "strict", "expected"),
    [
        ([], False, "undecided"),
        (["pass"], False, "conformant"),
        (["pass", "known"], False, "conformant"),
        (["pass", "skip"], False, "conformant"),
        (["skip"], False, "undecided"),
        (["pass", "undecided"], False, "undecided"),
        (["pass", "error"], False, "undecided"),
        (["pass", "undecided", "fail"], False, "nonconformant"),
    ],
)
def test_verdicts(outcomes, strict, expected):
    """The verdict follows from the outcomes: failures first, and nothing that was only skipped is green."""
    assert verdict([_rule(outcome) for outcome in outcomes], strict=strict) == expected


@pytest.mark.parametrize(
    ("level", "expected"), [("ranking", "no-failure-found"), ("strict", "nonconformant")]
)
def test_a_level_decides(level, expected):
    """The level that is asked for decides the verdict; the report has the verdict of each, and further examples."""
    report = judged(broken.BROKEN["error.code"], quick=True, level=level)
    assert (report.verdict, report.conformance_level, report.quick) == (expected, level, True)
    assert list(report.verdicts.values()) == ["no-failure-found", "nonconformant", "nonconformant"]
    [failed] = [rule for rule in report.of("fail") if rule.level == "MUST"]
    assert failed.conformance_level == "interface"
    shown = [failed.actual, *(example.actual for example in failed.examples)]
    assert 1 < len(shown) == len(set(shown)) <= 3
    assert all(example.curl for example in failed.examples)


@pytest.mark.parametrize("number", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["timeout", "rate", "tolerance"])
def test_a_number_that_is_not_allowed(name, number):
    """It is refused before anything is sent; only a tolerance of 0 has a meaning."""
    if (name, number) == ("tolerance", 0.0):
        assert check(Reference(), quick=True, rules=["acceptance.plain"], tolerance=number).exit_code == 0
        return
    bound = "from 0" if name == "tolerance" else "above 0"
    with pytest.raises(ValueError, match=f"^{name}: {number} is not allowed; pass a finite number {bound}$"):
        check(httpx.MockTransport(lambda _: pytest.fail("a request was sent")), **{name: number})


def test_an_unknown_level():
    """A level that does not exist is refused before anything is sent."""
    with pytest.raises(ValueError, match="level: 'perfect' is not a conformance level; use one of ranking"):
        check(Reference(), quick=True, level="perfect")


def test_should():
    """A SHOULD counts only when it is asked for."""
    rules = [_rule("pass"), _rule("fail", "SHOULD")]
    assert verdict(rules) == "conformant"
    assert verdict(rules, strict=True) == "nonconformant"


def test_report_as_json():
    """A report is read as it was written; one without its end mark is none."""
    report = judged(Reference, quick=True)
    text = report.to_json()
    assert Report.from_json(text) == report
    value = json.loads(text)
    assert list(value)[-1] == "complete"
    del value["complete"]
    with pytest.raises(ValueError, match="end mark"):
        Report.from_json(json.dumps(value))
    with pytest.raises(ValueError, match="not a report"):
        Report.from_json(text[:-20])


def test_expected_failures(tmp_path: Path):
    """An expected failure is known, and an expected failure that passes is named."""
    file = tmp_path / "known.txt"
    file.write_text("# ours\nanswer.descending  # on its way\nanswer.json\n", "utf-8")
    expected = read_expected(file, RULES)
    report = judged(BROKEN["answer.descending"], quick=True, expected=expected)
    assert [(rule.id, rule.reason) for rule in report.of("known")] == [("answer.descending", "on its way")]
    assert [rule.id for rule in report.unexpected_passes] == ["answer.json"]
    file.write_text("answer.nothing\n", "utf-8")
    with pytest.raises(ValueError, match=r"known.txt:1: no rule is named 'answer.nothing'"):
        read_expected(file, RULES)


@pytest.mark.parametrize(
    ("target", "base_path", "says"),
    [
        (Reference(), "v1", "does not begin with /"),
        (Reference(), "/v1#x", "has a query or a fragment"),
        ("http://127.0.0.1:9/v1", "/v1", "add the path to the URL"),
    ],
)
def test_base_path_is_checked(target, base_path: str, says: str):
    """A base path that cannot be is refused before anything is sent."""
    with pytest.raises(ValueError, match=says):
        check(target, quick=True, base_path=base_path)


def test_known_only():
    """A failure that nobody expected stays one."""
    [rule] = with_known([_rule("fail")], {"c.d": "x"})
    assert rule.verdict == "fail"


# the command


def test_command(tmp_path: Path):
    """`check` writes the report, prints the verdict, and ends with the code of the verdict."""
    file = tmp_path / "report.json"
    with running(Reference(keys={KEY})) as url:
        done = CliRunner(env={"OPENROUTER_API_KEY": KEY}).invoke(
            main, ["check", url, "--quick", "--json", str(file)]
        )
        assert done.exit_code == 0, done.output
        assert "no failure found (quick)" in done.output
        assert KEY not in done.output
        assert Report.from_json(file.read_bytes()).verdict == "no-failure-found"
        assert (
            CliRunner(env={"OPENROUTER_API_KEY": "sk-x"}).invoke(main, ["check", url, "--quick"]).exit_code
            == 2
        )
    with running(BROKEN["answer.descending"]()) as url:
        done = CliRunner(env={"OPENROUTER_API_KEY": None}).invoke(main, ["check", url, "--quick"])
    assert done.exit_code == 1
    assert "answer.descending" in done.output


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["check", "nowhere"],
        ["check", "http://127.0.0.1:1", "--rule", "nothing"],
        ["check", "http://127.0.0.1:1", "--max-requests", "0"],
        ["check", "https://rerank.example.com"],
        ["check", "http://127.0.0.1:1", "--quick"],
    ],
)
def test_command_could_not_run(words):
    """A check that cannot run ends with 2: bad usage, no key, no consent, no server."""
    assert CliRunner(env={"OPENROUTER_API_KEY": None}).invoke(main, words).exit_code == 2


def test_command_asks_before_it_spends():
    """A server elsewhere is not called without consent."""
    done = CliRunner(env={"OPENROUTER_API_KEY": KEY}).invoke(main, ["check", "https://rerank.example.com"])
    assert done.exit_code == 2
    assert "--yes" in done.output


def test_command_lists_the_rules():
    """`rules --json` lists every rule with its level, requirement and source."""
    listed = json.loads(CliRunner().invoke(main, ["rules", "--json"]).output)
    assert [rule["id"] for rule in listed["rules"]] == list(RULES)
    assert all(rule["requirement"] and rule["source"] for rule in listed["rules"])
    assert math.isclose(len(CliRunner().invoke(main, ["rules"]).output.splitlines()), len(RULES))


# Ctrl-C


@pytest.fixture
def interrupting(monkeypatch) -> Generator[httpx.MockTransport]:
    """Return the reference, which presses Ctrl-C at its tenth request, and answers no later one before the check has noticed."""
    reference, count = ReferenceTransport(Reference(keys={KEY})), iter(range(10_000))
    budgets: list[Budget] = []

    def budget(**options) -> Budget:
        budgets.append(Budget(**options))
        return budgets[-1]

    def handle(request: httpx.Request) -> httpx.Response:
        number = next(count)
        if number == 9:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        # only the first request waits, so that a check that never notices ends
        if number >= 9 and not budgets[0].interrupted.wait(60 if number == 9 else 0):
            raise httpx.ConnectError("the check did not notice Ctrl-C")
        return reference.handle_request(request)

    monkeypatch.setattr("rerank_conformance.running.Budget", budget)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    yield httpx.MockTransport(handle)
    signal.signal(signal.SIGINT, before)


on_posix = pytest.mark.skipif(sys.platform == "win32", reason="a thread cannot be sent a signal there")


@on_posix
@pytest.mark.parametrize("rules", [(), ("answer.",)])
def test_an_interrupted_check_has_a_report(interrupting, rules):
    """Ctrl-C ends the requests, what was judged is reported, and no level is conformant."""
    report = check(interrupting, key=KEY, rules=rules, quick=True, partial=True)
    assert set(report.verdicts.values()) == {"undecided"}
    assert report.exit_code == 2
    assert report.requests < 40
    assert report.of("pass") != ()
    assert rules or "was not sent: the check was interrupted" in {
        rule.reason for rule in report.of("undecided")
    }


@on_posix
def test_ctrl_c_while_the_check_starts(interrupting, monkeypatch):
    """Ctrl-C that comes before the check waits for its thread ends the requests too."""
    start = threading.Thread.start

    def start_slowly(thread):
        start(thread)
        if thread.name == "rerank-conformance":
            threading.Event().wait(60)  # until Ctrl-C

    monkeypatch.setattr(threading.Thread, "start", start_slowly)
    try:
        report = check(interrupting, key=KEY, quick=True, partial=True)
    except KeyboardInterrupt:  # it would end pytest
        pytest.fail("the check did not handle Ctrl-C")
    assert report.exit_code == 2
    assert report.requests < 40


@on_posix
def test_ctrl_c_that_ends_generation(interrupting, monkeypatch):
    """Ctrl-C on a terminal also ends the process that generates, which is not a fault of the kit."""

    def fails(*arguments, **options):
        raise RuntimeError("KeyboardInterrupt")

    monkeypatch.setattr("rerank_conformance.generation.generated", fails)
    report = check(interrupting, key=KEY, partial=True)
    assert report.of("error") == ()
    reasons = {rule.reason for rule in report.of("undecided") if rule.id.startswith("schema.")}
    assert reasons == {"was not sent: the check was interrupted"}


@on_posix
def test_an_interrupted_check_raises(interrupting):
    """Without a wish for a partial report, Ctrl-C is what it is everywhere in Python."""
    with pytest.raises(KeyboardInterrupt):
        check(interrupting, key=KEY, quick=True)
