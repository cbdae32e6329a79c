"""The number of requests in flight in a check, and servers that bear few at a time."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import httpx
import pytest
from click.testing import CliRunner

from rerank_conformance import Report, check
from rerank_conformance import running as running_
from rerank_conformance.cli import main
from rerank_conformance.exchanges import Probe
from rerank_conformance.pace import RequestGate, RequestPace
from rerank_conformance.reference import Reference
from rerank_conformance.reports import summary, terminal
from rerank_conformance.target import Budget, Session

KEY = "sk-test-0123456789"


@pytest.fixture
def anyio_backend() -> str:
    """Return the event loop of a check."""
    return "asyncio"


# the decision


def limits(most: int, events: str) -> list[int]:
    """Return the limit after each event: `a` an answer, `r` a refusal, `o` one of a request sent before the last halving."""
    pace, found = RequestPace(most), []
    for event in events:
        if event == "a":
            pace.answer()
        else:
            pace.refuse(pace.halvings - (event == "o"))
        found.append(pace.limit)
    return found


@pytest.mark.parametrize(
    ("most", "events", "expected"),
    [
        (16, "", []),
        (16, "a" * 9, [16] * 9),
        (16, "rrrrr", [8, 4, 2, 1, 1]),
        (1, "ra", [1, 1]),
        (5, "rr", [2, 1]),
        (16, "rooo", [8, 8, 8, 8]),
        (16, "ror", [8, 8, 4]),
        (4, "r" + "a" * 8, [2] * 8 + [3]),
        (4, "r" + "a" * 40, [2] * 8 + [3] * 8 + [4] * 25),
        (4, "raaaao" + "a" * 8, [2] * 13 + [3]),
        # a limit that has grown and is refused again is tried half as often
        (2, "r" + "a" * 8 + "r" + "a" * 16 + "r" + "a" * 32, [1] * 8 + [2] + [1] * 16 + [2] + [1] * 32 + [2]),
        (8, "r" * 3 + "a" * 8, [4, 2, 1] + [1] * 7 + [2]),
    ],
)
def test_pace(most: int, events: str, expected: list[int]):
    """The limit is halved once for all that was in flight, and grows by one after a run of answers."""
    assert limits(most, events) == expected


async def test_gate():
    """As many are inside as the limit says; one that goes alone comes next, and knows whether it was crowded."""
    gate = RequestGate(RequestPace(2))
    inside: list[str] = []
    leave = {name: asyncio.Event() for name in "abcdef"}
    crowded: dict[str, bool] = {}

    async def enter(name: str, *, alone: bool = False) -> None:
        async with gate.turn(alone=alone) as turn:
            inside.append(name)
            await leave[name].wait()
            inside.remove(name)
        crowded[name] = turn.crowded

    async def settle() -> list[str]:
        for _ in range(5):
            await asyncio.sleep(0)
        return inside

    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(enter(name)) for name in "abc"}
        assert await settle() == ["a", "b"]
        tasks["d"] = group.create_task(enter("d", alone=True))
        tasks["e"] = group.create_task(enter("e"))
        leave["a"].set()
        assert await settle() == ["b"]
        leave["b"].set()
        assert await settle() == ["d"]
        leave["d"].set()
        assert await settle() == ["c", "e"]
        # a task that is cancelled, inside or waiting, takes no place
        waiting = group.create_task(enter("a"))
        await settle()
        waiting.cancel()
        tasks["c"].cancel()
        last = group.create_task(enter("f"))
        assert await settle() == ["c", "e", "f"]  # the list is not told of what was cancelled
        leave["e"].set()
        leave["f"].set()
        await last
    assert crowded == {"a": True, "b": True, "d": False, "e": True, "f": True}
    assert not gate._inside
    assert not gate._waiting


# servers that bear one request at a time

Other = Callable[[httpx.Request], httpx.Response]


class OneAtATime(httpx.AsyncBaseTransport):
    """The reference, which does something else to a request that comes while it works on another."""

    def __init__(self, other: Other) -> None:
        self.other = other
        self.busy = False
        self.refused = 0
        self.reference = Reference(keys={KEY})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, after every other task had its turn."""
        body = await request.aread()
        if self.busy:
            self.refused += 1
            return self.other(request)
        self.busy = True
        try:
            for _ in range(3):
                await asyncio.sleep(0)
            headers = dict(request.headers)
            path = request.url.path
            answer = self.reference.answer(request.method, path, headers, body)
            return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)
        finally:
            self.busy = False


def refusing(status: int, **headers: str) -> Other:
    """Return what answers with a status."""
    return lambda request: httpx.Response(status, headers=headers)


def raising(error: type[Exception]) -> Other:
    """Return what ends without an answer."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error("Server disconnected without sending a response.")

    return fail


ONE_AT_A_TIME = {
    "429": refusing(429),
    "429-later": refusing(429, **{"retry-after": "0.01"}),
    "429-much-later": refusing(429, **{"retry-after": "3600"}),
    "503": refusing(503),
    "closing": raising(httpx.RemoteProtocolError),
    "not accepting": raising(httpx.ConnectError),
    "too late": raising(httpx.ReadTimeout),
}


@pytest.mark.parametrize("name", ONE_AT_A_TIME)
def test_a_server_that_bears_one_request_at_a_time(name: str):
    """It is conformant, whatever it does to a second one: the limit is lowered, and what was refused is sent alone."""
    server = OneAtATime(ONE_AT_A_TIME[name])
    report = check(server, key=KEY)
    assert report.of("fail", "undecided", "error") == ()
    assert report.verdict == "conformant"
    assert 0 < report.repeats <= server.refused
    # the limit grows less and less often where that was wrong; a connection may also be closed as it was idle
    assert name == "closing" or server.refused < 100


class Handler(BaseHTTPRequestHandler):
    """The reference for one request at a time; what comes meanwhile is answered with 429, or its connection is closed."""

    protocol_version = "HTTP/1.1"
    reference = Reference(keys={KEY})
    free = threading.Lock()
    closes = False

    def do_POST(self) -> None:
        """Answer, or refuse."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.free.acquire(blocking=False):
            with self.free_after():
                self.respond(*self.reference.answer("POST", self.path, self.headers, body))
        elif self.closes:
            self.close_connection = True
        else:
            self.respond(429, {}, b"{}")

    @contextmanager
    def free_after(self) -> Iterator[None]:
        """Let the next one in at the end."""
        try:
            yield
        finally:
            self.free.release()

    def respond(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in (*headers.items(), ("content-length", str(len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *said: object) -> None:
        """Say nothing."""


class Closing(Handler):
    """One that closes the connection."""

    closes = True


class Patient(ThreadingHTTPServer):
    """A server at which many new connections may wait."""

    request_queue_size = 128


@pytest.mark.parametrize("handler", [Handler, Closing])
def test_one_at_a_time_over_http(handler: type[Handler]):
    """A server of real connections that bears one request at a time ends with a verdict, too."""
    with Patient(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            report = check(url, key=KEY, rules=["refusal.top-n", "acceptance.pro"])
        finally:
            server.shutdown()
            thread.join()
    assert (report.verdict, report.of("undecided", "fail", "error")) == ("conformant", ())


class EveryFifth(httpx.AsyncBaseTransport):
    """The reference, which answers every fifth request with 429."""

    def __init__(self, **headers: str) -> None:
        self.headers = headers
        self.numbers = count(1)
        self.reference = Reference(keys={KEY})

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer, or say "later"."""
        body = await request.aread()
        if next(self.numbers) % 5 == 0:
            return httpx.Response(429, headers=self.headers)
        answer = self.reference.answer(request.method, request.url.path, dict(request.headers), body)
        return httpx.Response(answer.status, headers=dict(answer.headers), content=answer.body)


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("headers", [{}, {"retry-after": "0.05"}], ids=["bare", "retry-after"])
def test_a_server_that_answers_every_fifth_request_with_429(
    headers: dict[str, str], quick: bool, monkeypatch: pytest.MonkeyPatch
):
    """It ends with a verdict; repeats are no part of the 40 requests of a quick check, and are shown apart."""
    monkeypatch.setattr(running_, "Budget", partial(Budget, patience=0.2))
    report = check(EveryFifth(**headers), key=KEY, quick=quick)
    assert report.of("fail", "undecided", "error") == ()
    assert report.verdict == ("no-failure-found" if quick else "conformant")
    assert report.repeats == report.requests // 5
    assert report.requests - report.repeats <= (40 if quick else 800)
    told = f"{report.requests - report.repeats} requests and {report.repeats} repeats of refused ones"
    assert told in list(terminal.lines(report))[-1]
    assert told in summary.render(report)
    assert json.loads(report.to_json())["repeats"] == report.repeats
    assert Report.from_json(report.to_json()) == report


# what is sent alone, and what is the server's own


def probe(name: str) -> Probe:
    """Return a request."""
    return Probe(name=name, phase="rank", body={"query": name})


async def sent(server: Callable[[str], AsyncIterator[httpx.Response]], names: str, **budget: int):
    """Return the exchanges of requests that are sent at the same time, and the session."""

    class Transport(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            name = json.loads(await request.aread())["query"]
            async for response in server(name):
                return response
            raise httpx.ReadTimeout("x")

    async with Session(Transport(), None, Budget(**budget)) as session:
        exchanges = await asyncio.gather(*(session.send(probe(name)) for name in names))
    return dict(zip(names, exchanges, strict=True)), session


async def test_requests_are_held_until_released():
    """No more requests than the limit are at the server, which holds each until all of them are there."""
    here: list[str] = []
    full = asyncio.Event()
    most = 0

    async def holding(name: str):
        nonlocal most
        here.append(name)
        most = max(most, len(here))
        if len(here) == 3:
            full.set()
        await full.wait()
        await asyncio.sleep(0)
        here.remove(name)
        yield httpx.Response(200)

    exchanges, session = await sent(holding, "abcdefgh", concurrency=3)
    assert most == 3
    assert {one.attempts for one in exchanges.values()} == {1}
    assert session.repeats == 0


async def test_a_timeout_is_the_servers_only_if_the_request_was_alone():
    """A request that had no answer beside others is sent alone; if it has none then, that is counted."""
    here: set[str] = set()
    alone: list[str] = []

    async def hanging(name: str):
        here.add(name)
        for _ in range(3):
            await asyncio.sleep(0)
        crowd = len(here) > 1
        for _ in range(3):
            await asyncio.sleep(0)
        here.discard(name)
        if not crowd:
            alone.append(name)
        if not crowd and name != "x":
            yield httpx.Response(200)

    exchanges, session = await sent(hanging, "abxc", concurrency=4)
    assert exchanges["x"].outcome.kind == "timeout"
    assert all(exchanges[name].answer.status == 200 for name in "abc")
    assert sorted(alone) == ["a", "b", "c", "x"]
    assert session._hangs_in_all == 1
    assert session._pace.limit < 4


async def test_refusals_beside_others_are_no_errors_of_the_server():
    """A 503 to a request beside others is not among the transient errors; one to a request alone is."""
    asked: dict[str, int] = {}

    async def refusing_first(name: str):
        asked[name] = asked.get(name, 0) + 1
        await asyncio.sleep(0)
        often = 2 if name == "x" else 1
        yield httpx.Response(503 if asked[name] <= often else 200, headers={"retry-after": "0"})

    exchanges, session = await sent(refusing_first, "abxc", concurrency=4)
    assert {name: one.passing for name, one in exchanges.items()} == {"a": (), "b": (), "c": (), "x": (503,)}
    assert session.repeats == 5


# the command


@pytest.mark.parametrize("concurrency", [1, 3])
def test_concurrency(concurrency: int):
    """No more requests than that are in flight, and as many."""
    inner = OneAtATime(refusing(429))
    here, most = 0, 0

    class Counting(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal here, most
            here += 1
            most = max(most, here)
            for _ in range(5):
                await asyncio.sleep(0)
            here -= 1
            inner.busy = False
            return await inner.handle_async_request(request)

    check(Counting(), key=KEY, quick=True, concurrency=concurrency)
    assert most == concurrency


def test_concurrency_of_the_command(monkeypatch: pytest.MonkeyPatch):
    """`--concurrency` reaches the check; a number below 1 is refused."""
    given: list[object] = []

    def checked(url: str, **settings: object) -> Report:
        given.append(settings["concurrency"])
        return check(Reference(), quick=True)

    monkeypatch.setattr(running_, "check", checked)
    words = ["check", "http://127.0.0.1:9", "--quick", "--concurrency"]
    command = CliRunner(env={"OPENROUTER_API_KEY": None})
    assert command.invoke(main, [*words, "2"]).exit_code == 0
    assert command.invoke(main, [*words, "0"]).exit_code == 2
    assert given == [2]
