"""The evidence of a report: each command, run in a shell, sends what the check sent and shows what it claims."""

import asyncio
import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from rerank_conformance import check
from rerank_conformance.broken import BROKEN
from rerank_conformance.evidence import KEY_ENV, Commands
from rerank_conformance.exchanges import Exchange, NoResponse, Probe, ReceivedResponse, not_json
from rerank_conformance.probes import probes, smoke
from rerank_conformance.reference import Reference, asgi
from rerank_conformance.rules import RULES, Finding, Recording
from rerank_conformance.running import in_order
from rerank_conformance.target import Budget, Session

pytestmark = pytest.mark.skipif(
    shutil.which("sh") is None or shutil.which("curl") is None, reason="needs curl and a POSIX shell"
)

KEY = "sk-or-v1-Odd '\"$`\\!% key"
PATIENCE = 120  # seconds; only a command that hangs takes them
UNSENT = NoResponse("unsent", "x")


def run(command: str, **environment: str) -> bytes:
    """Run a command in the shell and return its standard output."""
    ran = subprocess.run(
        ["sh", "-c", command],
        capture_output=True,
        check=False,
        timeout=PATIENCE,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": "/nonexistent", **environment},
    )
    return ran.stdout


class Recorder(BaseHTTPRequestHandler):
    """Records each request, and answers with an empty object."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1  # head and body at once: Nagle's algorithm would wait

    def handle_one_request(self) -> None:
        """Record one request of any method."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        chunks = [b""]
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
        else:
            chunks.append(self.rfile.read(int(self.headers.get("content-length", 0))))
        self.server.seen.append(self.recorded(chunks))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"{}")
        self.wfile.flush()

    def recorded(self, chunks: list[bytes]) -> dict[str, object]:
        """Return what matters of the request."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        return {
            "line": (self.command, self.path, self.request_version),
            "connection": self.client_address,
            "first chunk": chunks[1][:1] if "transfer-encoding" in headers else b"",
            "body": b"".join(chunks),
            "headers": {
                name: value
                for name, value in headers.items()
                if name not in {"host", "user-agent", "accept-encoding", "content-length", "connection"}
            },
        }

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def recording() -> Iterator[tuple[str, list[dict[str, object]]]]:
    """Serve a recorder, and yield its address and the list of what it sees."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        server.seen = []  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/api", server.seen  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()


def legal(name: str, body: object, **more: object) -> Probe:
    """Return a probe of its own."""
    return Probe(name=name, phase="rank", body=body, **more)  # type: ignore[arg-type]


ODD = (
    legal("quotes", {"a": "'\"`$HOME$(id)\\ !"}),
    legal("newlines", b'{"a":\r\n\t"\\n"}\n\n'),
    legal("at", b"@/etc/passwd"),
    legal("dash", b"-n \xc3\xa9"),
    legal("percent", b"%s %% %d \xe9"),
    legal("nul", b"\x00\x01 \x00"),
    legal("digits behind an escape", b"\x001234\x07" + b"7"),
    legal("binary", bytes(range(256)) * 40),
    legal("large", {"a": "é" * 70_000}),
    legal("empty", b""),
    legal("method", {"a": 1}, method="ODD"),
    legal("head", {"a": 1}, method="HEAD"),
    legal("get", None, method="GET"),
    legal("headers", {}, headers={"X-Title": "Köche '\"$HOME`\\ 100 %", "Accept": "", "Content-Type": ""}),
    legal("expect", {}, headers={"Expect": "100-continue"}),
    legal("address", {}, path="/rerank?a=[1]&b={2}'%27"),
    legal("chunked binary", b"-\x00@" * 900, form="chunked"),
)


ALL = {one.name: one for one in (smoke(), *probes(), *ODD)}


@pytest.fixture(scope="module")
def recorded():
    """Send every probe by the check and by its command, and return what came of each."""

    async def send_all(base: str, seen: list[dict[str, object]]) -> dict[str, list[dict[str, object]]]:
        found = {}
        async with Session(base, KEY, Budget()) as session:
            for probe in ALL.values():
                await session.send(probe)
                found[probe.name] = seen[:]
                seen.clear()
        return found

    with recording() as (base, seen):
        ours = asyncio.run(send_all(base, seen))
        commands = Commands(base=base, key_env="MY_KEY")
        theirs = {}
        for probe in ALL.values():
            run(commands.of(Exchange(probe, UNSENT)), MY_KEY=KEY)
            theirs[probe.name] = seen[:]
            seen.clear()
    return ours, theirs


@pytest.mark.parametrize("name", ALL)
def test_a_command_sends_what_the_check_sent(recorded, name):
    """The method, the address, the version, the body and the headers are the same; so is the request before it."""
    ours, theirs = (of[name] for of in recorded)
    assert len(theirs) == len(ours) >= 1
    for one, other in zip(ours, theirs, strict=True):
        assert {**other, "connection": None} == {**one, "connection": None}
    assert len({one["connection"] for one in theirs}) == 1


@pytest.mark.parametrize(
    ("commands", "auth", "says"),
    [
        (Commands(base=""), "key", '"Authorization: Bearer $OPENROUTER_API_KEY"'),
        (Commands(base="", key_env="K"), "longer", '"Authorization: Bearer ${K}x"'),
        (
            Commands(base="", key_env="K", key_has_letters=False),
            "other-case",
            '"Authorization: Bearer ${K}x"',
        ),
        (Commands(base="", key_env="K", key_file="it's"), "key", "K=$(cat 'it'\"'\"'s'); curl "),
    ],
)
def test_a_command_names_where_the_key_is(commands, auth, says):
    """The key is the value of a variable, which a file may hold."""
    assert says in commands.of(Exchange(legal("x", {}, auth=auth), UNSENT))


@pytest.mark.parametrize(("has_key", "auth"), [(False, "key"), (True, "none")])
def test_a_command_without_a_key(has_key, auth):
    """What was sent without a key is sent without one again."""
    command = Commands(base="", has_key=has_key, key_file="k").of(Exchange(legal("x", {}, auth=auth), UNSENT))
    assert "Authorization" not in command
    assert command.startswith("curl ")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "Not JSON: the body is empty"),
        (b"<html>", 'Not JSON: Expecting value at line 1, column 1; found "<html>"'),
        (b'{"a":\n 1', "Not JSON: Expecting ',' delimiter at line 2, column 3; the body ends"),
        (b'{"a": "\xff"}', "Not JSON: byte 7 is not UTF-8; found 0xff"),
        (b"[" * 100_000, "The body is nested too deeply to read"),
        (b"1" * 5000, "Not JSON: Exceeds the limit (4300 digits) for integer string conversion"),
        (b"[NaN]", "Not JSON: NaN is not a number in JSON"),
        (b"{}", None),
    ],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_not_json(body, says):
    """What is not JSON is said so, with the place."""
    assert not_json(body, constants=False) == says


def test_a_refusal_names_the_field_and_the_value():
    """A request that had to be refused is shown with the field at fault, its value, and what was expected; each field once."""
    report = check(BROKEN["refusal.provider-field-type"](), seed=0, rules=["refusal.provider-field-type"])
    [failed] = report.of("fail")
    said = [failed.expected, *(example.expected for example in failed.examples)]
    assert "400 (provider.zdr: 1 is not a boolean or null)" in said or len(set(said)) == 3
    assert all(re.fullmatch(r"400 \(provider\.\w+(\[0\])?: .+ is not .+\)", one) for one in said)


@pytest.mark.parametrize("name", ALL)
def test_a_command_is_one_line_of_ascii_without_the_key(name):
    """A terminal, a log and a page show a command as it is."""
    command = Commands(base="http://127.0.0.1:1").of(Exchange(ALL[name], UNSENT))
    assert command.isascii()
    assert command.isprintable()
    assert len(command) < 120_000
    assert KEY not in command


SHOWN = (
    "acceptance.attribution",
    "acceptance.charset",
    "acceptance.escapes",
    "acceptance.unicode",
    "answer.descending",
    "answer.echo-unicode",
    "answer.id-unique",
    "answer.index-in-range",
    "authentication.no-key",
    "authentication.other-address",
    "authentication.similar-key",
    "authentication.wrong-scheme",
    "error.envelope",
    "method.any",
    "method.refused",
    "model.any-name",
    "refusal.content-type",
    "refusal.deep-nesting",
    "refusal.empty-body",
    "refusal.not-utf-8",
    "refusal.provider-field-type",
    "relation.query-matters",
    "relation.repeatable",
    "relation.top-n-best",
    "relation.whole-request",
    "transport.accept",
    "transport.chunked-body",
    "transport.header-bytes",
    "transport.no-content-type",
)
"""Rules of every kind of request: odd bodies, headers, keys, methods and addresses, and two requests that are compared."""


def responses(output: bytes) -> Iterator[ReceivedResponse]:
    """Yield the final responses in what `curl -i` printed."""
    while output.startswith(b"HTTP/"):
        head, _, output = output.partition(b"\r\n\r\n")
        status, *lines = head.decode("utf-8", "replace").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (one.partition(":") for one in lines)}
        body = b"" if output.startswith(b"HTTP/") else output[: int(headers.get("content-length", 1 << 30))]
        output = output[len(body) :]
        if not status.split()[1].startswith("1"):
            yield ReceivedResponse(
                int(status.split()[1]), headers, body.replace(KEY.encode(), b"$OPENROUTER_API_KEY")
            )


def found(name: str, seen: Recording) -> list[Finding]:
    """Return what a rule finds."""
    return [one for one in RULES[name].judge(seen) if isinstance(one, Finding)]


async def exchanged(server: Reference) -> list[Exchange]:
    """Send the requests that are written by hand to a server in process."""
    async with Session(server, KEY, Budget(concurrency=4)) as session:
        return [await session.send(smoke()), *await in_order(probes(), session.send)]


def again(exchange: Exchange, commands: Commands) -> Exchange:
    """Return what the command of an exchange brings."""
    output = run(commands.of(exchange), **{KEY_ENV: KEY})
    last = [*responses(output)]
    return replace(exchange, outcome=last[-1] if last else NoResponse("broken", "was cut off"))


def unshown(name: str) -> list[str]:
    """Return the commands of a broken server that do not show what they claim."""
    wrong: list[str] = []
    seen = Recording(asyncio.run(exchanged(BROKEN[name](keys={KEY}))))
    with asgi.running(BROKEN[name](keys={KEY})) as base:
        commands = Commands(base=base)
        findings = found(name, seen)
        assert findings
        # the plainest, as a report has them
        for finding in sorted(findings, key=lambda one: len(one.exchange.probe.content))[:3]:
            shown = {id(one): again(one, commands) for one in (finding.compared, finding.exchange) if one}
            repeated = replace(seen, exchanges=[shown.get(id(one), one) for one in seen.exchanges])
            names = {one.exchange.probe.name for one in found(name, repeated) if one.exchange}
            if finding.exchange.probe.name not in names:
                wrong.append(commands.of(*filter(None, (finding.compared, finding.exchange))))
    return wrong


@pytest.mark.parametrize("name", SHOWN)
def test_a_command_shows_what_it_claims(name):
    """What the commands of a finding bring breaks the rule again."""
    logging.getLogger("rerank_conformance.reference").setLevel(logging.CRITICAL)
    assert unshown(name) == []
