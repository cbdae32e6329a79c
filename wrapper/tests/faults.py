"""The faults of real servers, by name, and a server on loopback that has one of them. What a client makes of it is not its business.

A fault is a script: a generator that is made anew for each request and yields what the server does, one thing after the
other: bytes are sent, a float is a pause in seconds, `CLOSE` and `RESET` end the connection. A script that comes to its
end leaves the connection open for the next request.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Any, TypeAlias


class End(Enum):
    """How a server leaves a connection."""

    CLOSE = auto()
    """In an orderly way."""
    RESET = auto()
    """By a reset, so that what it sent before may be lost too."""


CLOSE, RESET = End.CLOSE, End.RESET


@dataclass(frozen=True)
class Request:
    """A request as the server saw it."""

    number: int
    """The first one is 1."""
    method: str
    target: str
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


Script: TypeAlias = Generator[bytes | float | End, None, None]


@dataclass(frozen=True)
class Fault:
    """One way in which a server fails its clients."""

    name: str
    says: str
    """What it does, as a sentence."""
    script: Callable[[Request], Script]


FAULTS: dict[str, Fault] = {}
"""Every fault, by name."""


def fault(script: Callable[[Request], Script]) -> Callable[[Request], Script]:
    """Enter a script into the catalogue, under its own name."""
    name = script.__name__
    FAULTS[name] = Fault(name, script.__doc__ or "", script)
    return script


def canned(name: str, says: str, answer: bytes) -> None:
    """Enter a fault that is always the same answer."""

    def script(_: Request) -> Script:
        yield answer

    FAULTS[name] = Fault(name, says, script)


# Answers


def answer(
    status: int,
    body: bytes | str | Any = b"",
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """A whole answer; a body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": content_type, "Content-Length": str(len(content)), **(headers or {})}
    return head(status, fields) + content


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """An answer's status line and headers."""
    lines = [f"HTTP/1.1 {status} Status", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def envelope(code: Any, message: str, **more: Any) -> dict[str, Any]:
    """The contract's form of an error."""
    return {"error": {"code": code, "message": message, **more}}


def results(*pairs: tuple[Any, Any], **more: Any) -> dict[str, Any]:
    """An answer with these pairs of index and score."""
    found = [
        {"index": index, "relevance_score": score, "document": {"text": "echo"}} for index, score in pairs
    ]
    return {"id": "gen-rerank-1", "model": "rerank-v3.5", "results": found, **more}


def honest(request: Request) -> bytes:
    """A conformant answer, the documents ranked last to first."""
    documents = request.json["documents"]
    count = min(request.json.get("top_n", len(documents)), len(documents))
    order = list(reversed(range(len(documents))))[:count]
    return answer(200, results(*((index, 1 - place / 1000) for place, index in enumerate(order))))


def raw(body: str) -> bytes:
    """A 200 with a body that `json.dumps` would not write."""
    return answer(200, body.encode())


def once(request: Request, first: Iterable[bytes | float | End]) -> Script:
    """For the first request the fault, for each further one an honest answer."""
    if request.number == 1:
        yield from first
    else:
        yield honest(request)


CHUNKED = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
DRIP = 0.02
"""Seconds between the bytes of a server that sends them one by one."""
PATIENCE = 12.0
"""Seconds after which a connection is closed, so that a client that would wait for ever fails and does not hang."""


# Statuses

_LIMIT = envelope(429, "Rate limit exceeded", metadata={"error_type": "rate_limit_exceeded"})
canned("status_429_forever", "It limits the rate, for ever.", answer(429, _LIMIT))
canned("status_500_forever", "It fails, for ever.", answer(500, envelope(500, "Internal server error")))
canned(
    "status_503_retry_after_an_hour",
    "It asks to wait for longer than anyone would.",
    answer(503, envelope(503, "Service temporarily unavailable"), headers={"Retry-After": "3600"}),
)
canned("status_524", "The edge gave up.", answer(524, envelope(524, "Request timed out")))
canned("status_529", "The provider is overloaded.", answer(529, envelope(529, "Provider returned error")))
canned(
    "status_502_html",
    "A gateway answers in HTML.",
    answer(
        502, b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>", "text/html"
    ),
)
canned("status_503_empty", "A gateway answers with nothing.", answer(503, b"", "text/plain"))
canned(
    "status_400_detail",
    "It tells errors as FastAPI does.",
    answer(400, {"detail": [{"loc": ["body", "query"], "msg": "field required"}]}),
)
canned("status_400_bare_string", "It tells errors as a bare string.", answer(400, "no such model"))
canned("status_400_list", "It tells errors as a list.", answer(400, [{"message": "no such model"}]))
canned("status_400_null", "It tells errors as null.", answer(400, None))
canned(
    "status_500_image_not_fetched",
    "It blames itself for an image of the caller's that it could not fetch.",
    answer(500, envelope(500, "Failed to fetch image from URL")),
)
canned(
    "redirect_307_to_another_host",
    "It sends clients to another host, and the key with them.",
    answer(307, b"", headers={"Location": "http://elsewhere.invalid/api/v1/rerank"}),
)


@fault
def status_429_once(request: Request) -> Script:
    """It limits the rate once, and says for how long."""
    return once(request, [answer(429, _LIMIT, headers={"Retry-After": "1"})])


# 200, and an error all the same

canned("ok_error_int_code", "A 200 carries an error.", answer(200, envelope(429, "Rate limit exceeded")))
canned(
    "ok_error_text_code", "A 200 carries an error, its code as text.", answer(200, envelope("503", "busy"))
)
canned(
    "ok_error_no_code", "A 200 carries an error without a code.", answer(200, {"error": {"message": "busy"}})
)
canned("ok_error_string", "A 200 carries an error as a string.", answer(200, {"error": "no such endpoint"}))
canned(
    "ok_error_beside_results",
    "A 200 carries results and an error.",
    answer(200, results((0, 0.5), **envelope(502, "died halfway"))),
)
canned(
    "ok_html",
    "A 200 is an HTML page.",
    answer(200, b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8"),
)
canned("ok_empty", "A 200 is empty.", answer(200))
canned("ok_204", "Success without a body.", head(204, {}))

# 200, and results that are none

canned("index_beyond", "A result points at document 99 of three.", answer(200, results((0, 0.9), (99, 0.8))))
canned("index_negative", "A result points at document -1.", answer(200, results((0, 0.9), (-1, 0.8))))
canned(
    "index_thrice",
    "One document is there three times.",
    answer(200, results((1, 0.9), (1, 0.8), (1, 0.7))),
)
canned("index_fraction", "A result points between two documents.", answer(200, results((0.5, 0.9))))
canned("index_text", "A result's index is text.", answer(200, results(("0", 0.9))))
canned("index_true", "A result's index is a truth value.", answer(200, results((True, 0.9))))
canned("index_null", "A result's index is null.", answer(200, results((None, 0.9))))
canned(
    "index_missing",
    "A result has no index.",
    answer(200, {"model": "m", "results": [{"relevance_score": 1}]}),
)
canned("score_nan", "A score is not a number.", raw('{"results":[{"index":0,"relevance_score":NaN}]}'))
canned("score_infinity", "A score is infinite.", raw('{"results":[{"index":0,"relevance_score":Infinity}]}'))
canned(
    "score_1e999", "A score is beyond all floats.", raw('{"results":[{"index":0,"relevance_score":1e999}]}')
)
canned("score_text", "A score is a word.", answer(200, results((0, "high"))))
canned("score_null", "A score is null.", answer(200, results((0, None))))
canned("score_true", "A score is a truth value.", answer(200, results((0, True))))
canned("score_missing", "A result has no score.", answer(200, {"model": "m", "results": [{"index": 0}]}))
canned(
    "more_than_asked",
    "There are more results than were asked for.",
    answer(200, results((0, 0.9), (1, 0.8), (2, 0.7), (3, 0.6))),
)
canned("results_object", "The results are an object.", answer(200, {"model": "m", "results": {"0": 0.9}}))
canned("results_null", "The results are null.", answer(200, {"model": "m", "results": None}))
canned("results_missing", "There are no results.", answer(200, {"id": "1", "model": "m"}))
canned(
    "results_of_numbers", "The results are bare numbers.", answer(200, {"model": "m", "results": [0.9, 0.8]})
)
canned("bare_array", "The answer is an array.", answer(200, [{"index": 0, "score": 0.9}]))
canned(
    "data_for_results",
    "The results are called data.",
    answer(200, {"object": "list", "data": [{"index": 0, "relevance_score": 0.9}], "model": "m"}),
)
canned(
    "deep_nesting",
    "The answer is nested ten thousand deep.",
    raw('{"results":' + "[" * 10**4 + "]" * 10**4 + "}"),
)

# 200, and an answer that can be read

canned("unsorted", "It does not sort.", answer(200, results((0, 0.1), (2, 0.9), (1, 0.5))))
canned(
    "document_missing",
    "It echoes nothing.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 1}]}),
)
canned(
    "document_null",
    "It echoes null.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 0.9, "document": None}]}),
)
canned(
    "document_bare_string",
    "It echoes the bare text.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 0.9, "document": "c"}]}),
)
canned("fewer_than_asked", "There are fewer results than were asked for.", answer(200, results((1, 0.9))))
canned("no_results", "It finds nothing relevant.", answer(200, results()))


# Time


@fault
def slow(request: Request) -> Script:
    """It takes its time, and answers."""
    yield 0.3
    yield honest(request)


@fault
def silent(_: Request) -> Script:
    """It takes the request and never answers."""
    while True:
        yield 1.0


@fault
def stalls_in_body(request: Request) -> Script:
    """It stops in the middle of the body, and stays."""
    whole = honest(request)
    yield whole[:-20]
    while True:
        yield 1.0


@fault
def trickling_body(_: Request) -> Script:
    """The body comes a blank at a time, and has no end."""
    yield head(200, CHUNKED)
    while True:
        yield DRIP
        yield b"1\r\n \r\n"


@fault
def trickling_chunk_size(_: Request) -> Script:
    """The size of the body's first chunk comes a digit at a time, and has no end."""
    yield head(200, CHUNKED) + b"1;extension="
    while True:
        yield DRIP
        yield b"x"


@fault
def trickling_headers(_: Request) -> Script:
    """The headers come a byte at a time, and have no end."""
    yield b"HTTP/1.1 200 OK\r\nX-Endless: "
    while True:
        yield DRIP
        yield b"x"


@fault
def trickling_gzip(_: Request) -> Script:
    """The body is a gzip header that names a file, a byte at a time, and has no end: it decodes to nothing."""
    yield (
        head(200, {**CHUNKED, "Content-Encoding": "gzip"})
        + b"a\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03\r\n"
    )
    while True:
        yield DRIP
        yield b"1\r\nx\r\n"


@fault
def continue_forever(_: Request) -> Script:
    """It says 100 Continue as fast as it can, and never anything else."""
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n"


# Connections


@fault
def dropped_once(request: Request) -> Script:
    """It closes the connection once, before it answers."""
    return once(request, [CLOSE])


@fault
def dropped_always(_: Request) -> Script:
    """It closes every connection before it answers."""
    yield CLOSE


@fault
def reset_once(request: Request) -> Script:
    """It resets the connection once, before it answers."""
    return once(request, [RESET])


@fault
def dropped_in_headers(_: Request) -> Script:
    """It closes the connection in the middle of its headers."""
    yield b"HTTP/1.1 200 OK\r\nContent-"
    yield CLOSE


@fault
def dropped_in_body(request: Request) -> Script:
    """It closes the connection in the middle of the body."""
    yield honest(request)[:-20]
    yield CLOSE


@fault
def reset_in_body(request: Request) -> Script:
    """It resets the connection in the middle of the body."""
    yield honest(request)[:-20]
    yield 0.05
    yield RESET


@fault
def dropped_while_idle(request: Request) -> Script:
    """It closes the connection after each answer, and does not say so."""
    yield honest(request)
    yield CLOSE


@fault
def not_http(_: Request) -> Script:
    """It speaks another protocol."""
    yield b"220 mail.example ESMTP\r\n"
    yield CLOSE


# Lengths and encodings


@fault
def length_too_large(_: Request) -> Script:
    """It promises more bytes than it sends, all of a ranking."""
    body = json.dumps(results((0, 0.9))).encode()
    yield head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) + 9)}) + body
    yield CLOSE


@fault
def length_too_small(_: Request) -> Script:
    """It promises fewer bytes than it sends."""
    body = json.dumps(results((0, 0.9))).encode()
    yield head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) - 9)}) + body


canned("length_not_a_number", "Its Content-Length is a word.", head(200, {"Content-Length": "many"}) + b"{}")


@fault
def endless_body(_: Request) -> Script:
    """The body comes fast, and has no end."""
    yield head(200, CHUNKED)
    block = b" " * 2**20
    while True:
        yield b"100000\r\n" + block + b"\r\n"


@fault
def endless_error(_: Request) -> Script:
    """It fails, and has no end of words about it."""
    yield head(500, CHUNKED)
    block = b"x" * 2**20
    while True:
        yield b"100000\r\n" + block + b"\r\n"


canned(
    "gzip_garbage",
    "It promises gzip and sends none.",
    answer(200, b"this is no gzip at all", headers={"Content-Encoding": "gzip"}),
)
canned(
    "gzip_garbage_502",
    "A gateway fails, promises gzip and sends none.",
    answer(502, b"this is no gzip at all", headers={"Content-Encoding": "gzip"}),
)


@cache
def _zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(2**20)
    return b"".join([*(packer.compress(block) for _ in range(size // 2**20)), packer.flush()])


@fault
def zip_bomb(_: Request) -> Script:
    """A small body unpacks to 256 MiB."""
    yield answer(200, _zeros(2**28), headers={"Content-Encoding": "gzip"})


@fault
def zip_bomb_twice(_: Request) -> Script:
    """A body of a few kilobytes unpacks to one that unpacks to 256 MiB."""
    yield answer(200, gzip.compress(_zeros(2**28), 9), headers={"Content-Encoding": "gzip, gzip"})


@fault
def gzip_honest(request: Request) -> Script:
    """It packs its answer, as a server may."""
    _, _, body = honest(request).partition(b"\r\n\r\n")
    yield answer(200, gzip.compress(body), headers={"Content-Encoding": "gzip"})


# The server


@dataclass
class Server:
    """A server that runs."""

    url: str
    """What to give to a client as `base_url`."""
    requests: list[Request] = field(default_factory=list[Request])
    """What it was sent so far."""
    connections: int = 0
    """How many connections it was offered so far."""
    held: int = 0
    """How many of them are open now."""
    changed: threading.Condition = field(default_factory=threading.Condition, repr=False)
    """Guards the above, and tells of every change."""

    def wait_until(self, said: Callable[[Server], bool]) -> bool:
        """Whether it became true of the server before patience ended."""
        with self.changed:
            return self.changed.wait_for(lambda: said(self), PATIENCE)


@contextmanager
def serving(
    script: Callable[[Request], Script] | str, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> Generator[Server]:
    """A server on loopback that plays the script, or the fault of that name, for as long as the block lasts."""
    play = FAULTS[script].script if isinstance(script, str) else script
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        server = Server(f"{scheme}://{shown}:{listener.getsockname()[1]}/api/v1")
        running = _Running(listener, server, play, tls)
        accepting = threading.Thread(target=running.accept)
        accepting.start()
        try:
            yield server
        finally:
            running.stop()
            accepting.join()


class _Running:
    """The threads of a server: one that accepts, and one for each connection."""

    def __init__(
        self,
        listener: socket.socket,
        server: Server,
        play: Callable[[Request], Script],
        tls: ssl.SSLContext | None,
    ) -> None:
        self._listener = listener
        self._tls = tls
        self._server = server
        self._play = play
        self._stopped = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}

    def accept(self) -> None:
        # A shutdown of the listener wakes this, and any error means just that.
        with suppress(OSError):
            while not self._stopped.is_set():
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._converse, args=(connection,))
                with self._server.changed:
                    self._server.connections += 1
                    self._server.held += 1
                    self._open[connection] = thread
                thread.start()

    def stop(self) -> None:
        self._stopped.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        with self._server.changed:
            threads = dict(self._open)
        for connection, thread in threads.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _converse(self, connection: socket.socket) -> None:
        try:
            # The client may hang up at any time, as well it should on most of these.
            with suppress(OSError), self._secured(connection) as stream:
                while (request := self._read(stream)) is not None:
                    if not self._act(stream, self._play(request)):
                        break
        finally:
            with self._server.changed:
                self._open.pop(connection, None)
                self._server.held -= 1
                self._server.changed.notify_all()

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        with connection:  # the wrapped one takes its place
            return self._tls.wrap_socket(connection, server_side=True)

    def _act(self, connection: socket.socket, script: Script) -> bool:
        """Play the script; whether the connection is still open."""
        end = time.monotonic() + PATIENCE
        for step in script:
            if step is RESET:
                # A linger of no seconds makes close() reset the connection.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if isinstance(step, End) or self._stopped.is_set() or time.monotonic() > end:
                return False
            if isinstance(step, float):
                self._stopped.wait(step)
            else:
                connection.sendall(step)
        return True

    def _read(self, connection: socket.socket) -> Request | None:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (data := connection.recv(2**16)):
                return None
            received += data
        begin, _, body = received.partition(b"\r\n\r\n")
        line, *lines = begin.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        parts = [body]
        missing = int(headers.get("content-length", "0")) - len(body)
        while missing > 0:
            if not (data := connection.recv(2**16)):
                return None
            parts.append(data)
            missing -= len(data)
        method, target, _ = line.split(" ")
        with self._server.changed:
            request = Request(len(self._server.requests) + 1, method, target, headers, b"".join(parts))
            self._server.requests.append(request)
            self._server.changed.notify_all()
        return request


def unused_address() -> str:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"


@contextmanager
def deaf() -> Generator[str]:
    """The address of a server that takes connections and reads nothing of what comes over them."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
