"""The faults of real servers, by name: for each what the server does, and in which error a call of ours ends.

`faulty(name)` has a server with the fault on loopback, `InProcess(name)` shows it without a socket. All were seen, or are a
step away from what was seen. What a client makes of them is not decided here.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from openrouter_rerank.documents import nearest
from openrouter_rerank.errors import (
    APIConnectionError,
    APITimeoutError,
    BadRequestError,
    InvalidResponseError,
    RateLimitError,
    RerankError,
    ServerError,
)
from openrouter_rerank.testing.scripts import (
    End,
    Play,
    Request,
    Script,
    answer,
    envelope,
    head,
    honest,
    results,
)


@dataclass(frozen=True)
class Fault:
    """One way in which a server fails its clients."""

    name: str
    says: str
    """What the server does, as a sentence."""
    ends: type[RerankError] | None
    """The error in which a call of ours ends; None where the call overcomes it, by a retry or by leniency."""
    script: Play
    in_process: bool = True
    """Whether it shows without a socket too."""


_catalogue: dict[str, Fault] = {}

FAULTS: Mapping[str, Fault] = MappingProxyType(_catalogue)
"""Every fault, by name."""


def fault_of(fault: str | Fault) -> Fault:
    """The fault of that name, hyphens as good as underscores.

    Raises:
        ValueError: No fault has that name; the message has the nearest.
    """
    if isinstance(fault, Fault):
        return fault
    name = fault.replace("-", "_")
    if name not in FAULTS:
        close = nearest(name, FAULTS)
        hint = f"did you mean {close!r}?" if close else f"there are {', '.join(FAULTS)}"
        message = f"no fault is called {fault!r}; {hint}"
        raise ValueError(message)
    return FAULTS[name]


def fault(ends: type[RerankError] | None, *, in_process: bool = True) -> Callable[[Play], Play]:
    """Enter a script into the catalogue, under its own name."""

    def enter(script: Play) -> Play:
        name = script.__name__
        _catalogue[name] = Fault(name, script.__doc__ or "", ends, script, in_process)
        return script

    return enter


def canned(name: str, ends: type[RerankError] | None, says: str, answered: bytes) -> None:
    """Enter a fault that is always the same answer."""

    def script(_: Request) -> Script:
        yield answered

    _catalogue[name] = Fault(name, says, ends, script)


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


# Statuses

_LIMIT = envelope(429, "Rate limit exceeded", metadata={"error_type": "rate_limit_exceeded"})
canned("status_429_forever", RateLimitError, "It limits the rate, for ever.", answer(429, _LIMIT))
canned(
    "status_500_forever",
    ServerError,
    "It fails, for ever.",
    answer(500, envelope(500, "Internal server error")),
)
canned(
    "status_503_retry_after_an_hour",
    ServerError,
    "It asks to wait for longer than anyone would.",
    answer(503, envelope(503, "Service temporarily unavailable"), headers={"Retry-After": "3600"}),
)
canned("status_524", ServerError, "The edge gave up.", answer(524, envelope(524, "Request timed out")))
canned(
    "status_529",
    ServerError,
    "The provider is overloaded.",
    answer(529, envelope(529, "Provider returned error")),
)
canned(
    "status_502_html",
    ServerError,
    "A gateway answers in HTML.",
    answer(
        502, b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>", "text/html"
    ),
)
canned("status_503_empty", ServerError, "A gateway answers with nothing.", answer(503, b"", "text/plain"))
canned(
    "status_400_detail",
    BadRequestError,
    "It tells errors as FastAPI does.",
    answer(400, {"detail": [{"loc": ["body", "query"], "msg": "field required"}]}),
)
canned(
    "status_400_bare_string",
    BadRequestError,
    "It tells errors as a bare string.",
    answer(400, "no such model"),
)
canned(
    "status_400_list",
    BadRequestError,
    "It tells errors as a list.",
    answer(400, [{"message": "no such model"}]),
)
canned("status_400_null", BadRequestError, "It tells errors as null.", answer(400, None))
canned(
    "status_500_image_not_fetched",
    ServerError,
    "It blames itself for an image of the caller's that it could not fetch.",
    answer(500, envelope(500, "Failed to fetch image from URL")),
)
canned(
    "redirect_307_to_another_host",
    BadRequestError,
    "It sends clients to another host, and the key with them.",
    answer(307, b"", headers={"Location": "http://elsewhere.invalid/api/v1/rerank"}),
)


@fault(None)
def status_429_once(request: Request) -> Script:
    """It limits the rate once, and says for how long."""
    return once(request, [answer(429, _LIMIT, headers={"Retry-After": "1"})])


# 200, and an error all the same

canned(
    "ok_error_int_code",
    RateLimitError,
    "A 200 carries an error.",
    answer(200, envelope(429, "Rate limit exceeded")),
)
canned(
    "ok_error_text_code",
    ServerError,
    "A 200 carries an error, its code as text.",
    answer(200, envelope("503", "busy")),
)
canned(
    "ok_error_no_code",
    InvalidResponseError,
    "A 200 carries an error without a code.",
    answer(200, {"error": {"message": "busy"}}),
)
canned(
    "ok_error_string",
    InvalidResponseError,
    "A 200 carries an error as a string.",
    answer(200, {"error": "no such endpoint"}),
)
canned(
    "ok_error_beside_results",
    ServerError,
    "A 200 carries results and an error.",
    answer(200, results((0, 0.5), **envelope(502, "died halfway"))),
)
canned(
    "ok_html",
    InvalidResponseError,
    "A 200 is an HTML page.",
    answer(200, b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8"),
)
canned("ok_empty", InvalidResponseError, "A 200 is empty.", answer(200))
canned("ok_204", InvalidResponseError, "Success without a body.", head(204, {}))

# 200, and results that are none

canned(
    "index_beyond",
    InvalidResponseError,
    "A result points at document 99 of three.",
    answer(200, results((0, 0.9), (99, 0.8))),
)
canned(
    "index_negative",
    InvalidResponseError,
    "A result points at document -1.",
    answer(200, results((0, 0.9), (-1, 0.8))),
)
canned(
    "index_thrice",
    InvalidResponseError,
    "One document is there three times.",
    answer(200, results((1, 0.9), (1, 0.8), (1, 0.7))),
)
canned(
    "index_fraction",
    InvalidResponseError,
    "A result points between two documents.",
    answer(200, results((0.5, 0.9))),
)
canned("index_text", InvalidResponseError, "A result's index is text.", answer(200, results(("0", 0.9))))
canned(
    "index_true",
    InvalidResponseError,
    "A result's index is a truth value.",
    answer(200, results((True, 0.9))),
)
canned("index_null", InvalidResponseError, "A result's index is null.", answer(200, results((None, 0.9))))
canned(
    "index_missing",
    InvalidResponseError,
    "A result has no index.",
    answer(200, {"model": "m", "results": [{"relevance_score": 1}]}),
)
canned(
    "score_nan",
    InvalidResponseError,
    "A score is not a number.",
    raw('{"results":[{"index":0,"relevance_score":NaN}]}'),
)
canned(
    "score_infinity",
    InvalidResponseError,
    "A score is infinite.",
    raw('{"results":[{"index":0,"relevance_score":Infinity}]}'),
)
canned(
    "score_1e999",
    InvalidResponseError,
    "A score is beyond all floats.",
    raw('{"results":[{"index":0,"relevance_score":1e999}]}'),
)
canned("score_text", InvalidResponseError, "A score is a word.", answer(200, results((0, "high"))))
canned("score_null", InvalidResponseError, "A score is null.", answer(200, results((0, None))))
canned("score_true", InvalidResponseError, "A score is a truth value.", answer(200, results((0, True))))
canned(
    "score_missing",
    InvalidResponseError,
    "A result has no score.",
    answer(200, {"model": "m", "results": [{"index": 0}]}),
)
canned(
    "more_than_asked",
    InvalidResponseError,
    "There are more results than were asked for.",
    answer(200, results((0, 0.9), (1, 0.8), (2, 0.7), (3, 0.6))),
)
canned(
    "results_object",
    InvalidResponseError,
    "The results are an object.",
    answer(200, {"model": "m", "results": {"0": 0.9}}),
)
canned(
    "results_null",
    InvalidResponseError,
    "The results are null.",
    answer(200, {"model": "m", "results": None}),
)
canned(
    "results_missing", InvalidResponseError, "There are no results.", answer(200, {"id": "1", "model": "m"})
)
canned(
    "results_of_numbers",
    InvalidResponseError,
    "The results are bare numbers.",
    answer(200, {"model": "m", "results": [0.9, 0.8]}),
)
canned(
    "bare_array", InvalidResponseError, "The answer is an array.", answer(200, [{"index": 0, "score": 0.9}])
)
canned(
    "data_for_results",
    InvalidResponseError,
    "The results are called data.",
    answer(200, {"object": "list", "data": [{"index": 0, "relevance_score": 0.9}], "model": "m"}),
)
canned(
    "deep_nesting",
    InvalidResponseError,
    "The answer is nested ten thousand deep.",
    raw('{"results":' + "[" * 10**4 + "]" * 10**4 + "}"),
)

# 200, and an answer that can be read

canned("unsorted", None, "It does not sort.", answer(200, results((0, 0.1), (2, 0.9), (1, 0.5))))
canned(
    "document_missing",
    None,
    "It echoes nothing.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 1}]}),
)
canned(
    "document_null",
    None,
    "It echoes null.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 0.9, "document": None}]}),
)
canned(
    "document_bare_string",
    None,
    "It echoes the bare text.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 0.9, "document": "c"}]}),
)
canned(
    "fewer_than_asked", None, "There are fewer results than were asked for.", answer(200, results((1, 0.9)))
)
canned("no_results", None, "It finds nothing relevant.", answer(200, results()))


# Time


@fault(None)
def slow(request: Request) -> Script:
    """It takes its time, and answers."""
    yield 0.3
    yield honest(request)


@fault(APITimeoutError)
def silent(_: Request) -> Script:
    """It takes the request and never answers."""
    yield End.HANG


@fault(APITimeoutError)
def stalls_in_body(request: Request) -> Script:
    """It stops in the middle of the body, and stays."""
    whole = honest(request)
    yield whole[:-20]
    yield End.HANG


@fault(APITimeoutError)
def trickling_body(_: Request) -> Script:
    """The body comes a blank at a time, and has no end."""
    yield head(200, CHUNKED)
    while True:
        yield DRIP
        yield b"1\r\n \r\n"


@fault(APITimeoutError)
def trickling_chunk_size(_: Request) -> Script:
    """The size of the body's first chunk comes a digit at a time, and has no end."""
    yield head(200, CHUNKED) + b"1;extension="
    while True:
        yield DRIP
        yield b"x"


@fault(APITimeoutError)
def trickling_headers(_: Request) -> Script:
    """The headers come a byte at a time, and have no end."""
    yield b"HTTP/1.1 200 OK\r\nX-Endless: "
    while True:
        yield DRIP
        yield b"x"


@fault(APITimeoutError)
def trickling_gzip(_: Request) -> Script:
    """The body is a gzip header that names a file, a byte at a time, and has no end: it decodes to nothing."""
    yield (
        head(200, {**CHUNKED, "Content-Encoding": "gzip"})
        + b"a\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03\r\n"
    )
    while True:
        yield DRIP
        yield b"1\r\nx\r\n"


@fault(APITimeoutError)
def continue_forever(_: Request) -> Script:
    """It says 100 Continue as fast as it can, and never anything else."""
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n"


# Connections


@fault(None)
def dropped_once(request: Request) -> Script:
    """It closes the connection once, before it answers."""
    return once(request, [End.CLOSE])


@fault(APIConnectionError)
def dropped_always(_: Request) -> Script:
    """It closes every connection before it answers."""
    yield End.CLOSE


@fault(None)
def reset_once(request: Request) -> Script:
    """It resets the connection once, before it answers."""
    return once(request, [End.RESET])


@fault(APIConnectionError)
def dropped_in_headers(_: Request) -> Script:
    """It closes the connection in the middle of its headers."""
    yield b"HTTP/1.1 200 OK\r\nContent-"
    yield End.CLOSE


@fault(APIConnectionError)
def dropped_in_body(request: Request) -> Script:
    """It closes the connection in the middle of the body."""
    yield honest(request)[:-20]
    yield End.CLOSE


@fault(APIConnectionError)
def reset_in_body(request: Request) -> Script:
    """It resets the connection in the middle of the body."""
    yield honest(request)[:-20]
    yield 0.05
    yield End.RESET


@fault(None, in_process=False)  # where each request has a connection to itself
def dropped_while_idle(request: Request) -> Script:
    """It closes the connection after each answer, and does not say so."""
    yield honest(request)
    yield End.CLOSE


@fault(APIConnectionError)
def not_http(_: Request) -> Script:
    """It speaks another protocol."""
    yield b"220 mail.example ESMTP\r\n"
    yield End.CLOSE


# Lengths and encodings


@fault(APIConnectionError)
def length_too_large(_: Request) -> Script:
    """It promises more bytes than it sends, all of a ranking."""
    body = json.dumps(results((0, 0.9))).encode()
    yield head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) + 9)}) + body
    yield End.CLOSE


@fault(InvalidResponseError)
def length_too_small(_: Request) -> Script:
    """It promises fewer bytes than it sends."""
    body = json.dumps(results((0, 0.9))).encode()
    yield head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) - 9)}) + body


canned(
    "length_not_a_number",
    APIConnectionError,
    "Its Content-Length is a word.",
    head(200, {"Content-Length": "many"}) + b"{}",
)


@fault(InvalidResponseError)
def endless_body(_: Request) -> Script:
    """The body comes fast, and has no end."""
    yield head(200, CHUNKED)
    block = b" " * 2**20
    while True:
        yield b"100000\r\n" + block + b"\r\n"


@fault(ServerError)
def endless_error(_: Request) -> Script:
    """It fails, and has no end of words about it."""
    yield head(500, CHUNKED)
    block = b"x" * 2**20
    while True:
        yield b"100000\r\n" + block + b"\r\n"


canned(
    "gzip_garbage",
    InvalidResponseError,
    "It promises gzip and sends none.",
    answer(200, b"this is no gzip at all", headers={"Content-Encoding": "gzip"}),
)
canned(
    "gzip_garbage_502",
    ServerError,
    "A gateway fails, promises gzip and sends none.",
    answer(502, b"this is no gzip at all", headers={"Content-Encoding": "gzip"}),
)


@cache
def _zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(2**20)
    return b"".join([*(packer.compress(block) for _ in range(size // 2**20)), packer.flush()])


@fault(InvalidResponseError)
def zip_bomb(_: Request) -> Script:
    """A small body unpacks to 256 MiB."""
    yield answer(200, _zeros(2**28), headers={"Content-Encoding": "gzip"})


@fault(InvalidResponseError)
def zip_bomb_twice(_: Request) -> Script:
    """A body of a few kilobytes unpacks to one that unpacks to 256 MiB."""
    yield answer(200, gzip.compress(_zeros(2**28), 9), headers={"Content-Encoding": "gzip, gzip"})


@fault(None)
def gzip_honest(request: Request) -> Script:
    """It packs its answer, as a server may."""
    _, _, body = honest(request).partition(b"\r\n\r\n")
    yield answer(200, gzip.compress(body), headers={"Content-Encoding": "gzip"})
