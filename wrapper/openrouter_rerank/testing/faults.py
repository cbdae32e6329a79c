"""Faults of real servers by name, each with the error that a call raises.

`faulty(name)` runs a server with the fault on loopback; `InProcess(name)` shows it without a socket.
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from openrouter_rerank.arguments import nearest
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
    """A fault of a server."""

    name: str
    says: str
    """The behaviour of the server, as a sentence in the imperative."""
    ends: type[RerankError] | None
    """The error that a call raises; None if the call succeeds."""
    script: Play
    in_process: bool = True
    """True if the fault needs no socket."""


_catalogue: dict[str, Fault] = {}

FAULTS: Mapping[str, Fault] = MappingProxyType(_catalogue)
"""Every fault, by name."""


def fault_of(fault: str | Fault) -> Fault:
    """Return the fault with this name; hyphens and underscores are the same.

    Raises:
        ValueError: No fault has that name; the message names the nearest.
    """
    if isinstance(fault, Fault):
        return fault
    name = fault.replace("-", "_")
    if name not in FAULTS:
        close = nearest(name, FAULTS)
        hint = f"did you mean {close!r}?" if close else f"the faults are {', '.join(FAULTS)}"
        message = f"unknown fault {fault!r}; {hint}"
        raise ValueError(message)
    return FAULTS[name]


def fault(ends: type[RerankError] | None, *, in_process: bool = True) -> Callable[[Play], Play]:
    """Return a decorator that adds a script to the catalogue, with its name and docstring."""

    def enter(script: Play) -> Play:
        name = script.__name__
        _catalogue[name] = Fault(name, script.__doc__ or "", ends, script, in_process)
        return script

    return enter


def canned(name: str, ends: type[RerankError] | None, says: str, answered: bytes) -> None:
    """Add a fault that always sends the same answer."""

    def script(_: Request) -> Script:
        yield answered

    _catalogue[name] = Fault(name, says, ends, script)


def raw(body: str) -> bytes:
    """Return a 200 with a body that `json.dumps` cannot write."""
    return answer(200, body.encode())


def without(name: str) -> bytes:
    """Return a 200 whose only result lacks this field and is otherwise valid."""
    body = results((0, 0.9))
    del body["results"][0][name]
    return answer(200, body)


def once(request: Request, first: Iterable[bytes | float | End]) -> Script:
    """Play the fault for the first request, and send valid answers to later ones."""
    if request.number == 1:
        yield from first
    else:
        yield honest(request)


CHUNKED = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
DRIP = 0.02
"""Seconds between the bytes of a server that sends them one by one."""


# Statuses

_LIMIT = envelope(429, "Rate limit exceeded", metadata={"error_type": "rate_limit_exceeded"})
canned("status_429_forever", RateLimitError, "Limit the rate of every request.", answer(429, _LIMIT))
canned(
    "status_500_forever",
    ServerError,
    "Fail on every request.",
    answer(500, envelope(500, "Internal server error")),
)
canned(
    "status_503_retry_after_an_hour",
    ServerError,
    "Ask to wait for an hour.",
    answer(503, envelope(503, "Service temporarily unavailable"), headers={"Retry-After": "3600"}),
)
canned(
    "status_524",
    ServerError,
    "Report a timeout at the edge.",
    answer(524, envelope(524, "Request timed out")),
)
canned(
    "status_529",
    ServerError,
    "Report an overloaded provider.",
    answer(529, envelope(529, "Provider returned error")),
)
canned(
    "status_502_html",
    ServerError,
    "Answer with the HTML page of a gateway.",
    answer(
        502, b"<html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>", "text/html"
    ),
)
canned(
    "status_503_empty",
    ServerError,
    "Answer with the empty body of a gateway.",
    answer(503, b"", "text/plain"),
)
canned(
    "status_400_detail",
    BadRequestError,
    "Report errors in the form of FastAPI.",
    answer(400, {"detail": [{"loc": ["body", "query"], "msg": "field required"}]}),
)
canned(
    "status_400_bare_string",
    BadRequestError,
    "Report errors as a bare string.",
    answer(400, "no such model"),
)
canned(
    "status_400_list",
    BadRequestError,
    "Report errors as a list.",
    answer(400, [{"message": "no such model"}]),
)
canned("status_400_null", BadRequestError, "Report errors as null.", answer(400, None))
canned(
    "status_500_image_not_fetched",
    ServerError,
    "Answer 500 for an image of the caller that cannot be fetched.",
    answer(500, envelope(500, "Failed to fetch image from URL")),
)
canned(
    "redirect_307_to_another_host",
    BadRequestError,
    "Redirect to another host.",
    answer(307, b"", headers={"Location": "http://elsewhere.invalid/api/v1/rerank"}),
)


@fault(None)
def status_429_once(request: Request) -> Script:
    """Limit the rate once, with a Retry-After header."""
    return once(request, [answer(429, _LIMIT, headers={"Retry-After": "1"})])


# 200 with an error

canned(
    "ok_error_int_code",
    RateLimitError,
    "Answer 200 with an error.",
    answer(200, envelope(429, "Rate limit exceeded")),
)
canned(
    "ok_error_text_code",
    ServerError,
    "Answer 200 with an error whose code is text.",
    answer(200, envelope("503", "busy")),
)
canned(
    "ok_error_no_code",
    InvalidResponseError,
    "Answer 200 with an error without a code.",
    answer(200, {"error": {"message": "busy"}}),
)
canned(
    "ok_error_string",
    InvalidResponseError,
    "Answer 200 with an error that is a string.",
    answer(200, {"error": "no such endpoint"}),
)
canned(
    "ok_error_beside_results",
    ServerError,
    "Answer 200 with results and an error.",
    answer(200, results((0, 0.5), **envelope(502, "died halfway"))),
)
canned(
    "ok_html",
    InvalidResponseError,
    "Answer 200 with an HTML page.",
    answer(200, b"<!DOCTYPE html><title>Sign in</title>", "text/html; charset=utf-8"),
)
canned("ok_empty", InvalidResponseError, "Answer 200 with an empty body.", answer(200))
canned("ok_204", InvalidResponseError, "Answer 204 without a body.", head(204, {}))

# 200 with invalid results

canned(
    "index_beyond",
    InvalidResponseError,
    "Return the index 99 for three documents.",
    answer(200, results((0, 0.9), (99, 0.8))),
)
canned(
    "index_negative",
    InvalidResponseError,
    "Return the index -1.",
    answer(200, results((0, 0.9), (-1, 0.8))),
)
canned(
    "index_thrice",
    InvalidResponseError,
    "Return one index three times.",
    answer(200, results((1, 0.9), (1, 0.8), (1, 0.7))),
)
canned(
    "index_fraction",
    InvalidResponseError,
    "Return a fraction as an index.",
    answer(200, results((0.5, 0.9))),
)
canned("index_text", InvalidResponseError, "Return text as an index.", answer(200, results(("0", 0.9))))
canned(
    "index_true",
    InvalidResponseError,
    "Return a boolean as an index.",
    answer(200, results((True, 0.9))),
)
canned("index_null", InvalidResponseError, "Return null as an index.", answer(200, results((None, 0.9))))
canned(
    "index_missing",
    InvalidResponseError,
    "Return a result without an index.",
    without("index"),
)
canned(
    "score_nan",
    InvalidResponseError,
    "Return NaN as a score.",
    answer(200, results((0, math.nan))),
)
canned(
    "score_infinity",
    InvalidResponseError,
    "Return infinity as a score.",
    answer(200, results((0, math.inf))),
)
canned(
    "score_1e999",
    InvalidResponseError,
    "Return a score that is too large for a float.",
    raw(json.dumps(results((0, math.inf))).replace("Infinity", "1e999")),
)
canned("score_text", InvalidResponseError, "Return text as a score.", answer(200, results((0, "high"))))
canned("score_null", InvalidResponseError, "Return null as a score.", answer(200, results((0, None))))
canned("score_true", InvalidResponseError, "Return a boolean as a score.", answer(200, results((0, True))))
canned(
    "score_missing",
    InvalidResponseError,
    "Return a result without a score.",
    without("relevance_score"),
)
canned(
    "more_than_asked",
    InvalidResponseError,
    "Return more results than documents.",
    answer(200, results((0, 0.9), (1, 0.8), (2, 0.7), (3, 0.6))),
)
canned(
    "results_object",
    InvalidResponseError,
    "Return an object as the results.",
    answer(200, {"model": "m", "results": {"0": 0.9}}),
)
canned(
    "results_null",
    InvalidResponseError,
    "Return null as the results.",
    answer(200, {"model": "m", "results": None}),
)
canned(
    "results_missing",
    InvalidResponseError,
    "Return a body without results.",
    answer(200, {"id": "1", "model": "m"}),
)
canned(
    "results_of_numbers",
    InvalidResponseError,
    "Return bare numbers as results.",
    answer(200, {"model": "m", "results": [0.9, 0.8]}),
)
canned(
    "bare_array",
    InvalidResponseError,
    "Return an array as the body.",
    answer(200, [{"index": 0, "score": 0.9}]),
)
canned(
    "data_for_results",
    InvalidResponseError,
    "Return the results under the key data.",
    answer(200, {"object": "list", "data": [{"index": 0, "relevance_score": 0.9}], "model": "m"}),
)
canned(
    "deep_nesting",
    InvalidResponseError,
    "Return a body that is nested ten thousand levels deep.",
    raw('{"results":' + "[" * 10**4 + "]" * 10**4 + "}"),
)

# 200 with a valid answer

canned("unsorted", None, "Return the results unsorted.", answer(200, results((0, 0.1), (2, 0.9), (1, 0.5))))
canned(
    "document_missing",
    None,
    "Return results without documents.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 1}]}),
)
canned(
    "document_null",
    None,
    "Return null as the document of a result.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 0.9, "document": None}]}),
)
canned(
    "document_bare_string",
    None,
    "Return the bare text as the document of a result.",
    answer(200, {"model": "m", "results": [{"index": 2, "relevance_score": 0.9, "document": "c"}]}),
)
canned("fewer_than_asked", None, "Return fewer results than requested.", answer(200, results((1, 0.9))))
canned("no_results", None, "Return an empty list of results.", answer(200, results()))


# Time


@fault(None)
def slow(request: Request) -> Script:
    """Answer slowly."""
    yield 0.3
    yield honest(request)


@fault(APITimeoutError)
def silent(_: Request) -> Script:
    """Accept the request and never answer."""
    yield End.HANG


@fault(APITimeoutError)
def stalls_in_body(request: Request) -> Script:
    """Stop in the middle of the body and keep the connection open."""
    whole = honest(request)
    yield whole[:-20]
    yield End.HANG


@fault(APITimeoutError)
def trickling_body(_: Request) -> Script:
    """Send the body one blank at a time, without an end."""
    yield head(200, CHUNKED)
    while True:
        yield DRIP
        yield b"1\r\n \r\n"


@fault(APITimeoutError)
def trickling_chunk_size(_: Request) -> Script:
    """Send the size of the first chunk one digit at a time, without an end."""
    yield head(200, CHUNKED) + b"1;extension="
    while True:
        yield DRIP
        yield b"x"


@fault(APITimeoutError)
def trickling_headers(_: Request) -> Script:
    """Send the headers one byte at a time, without an end."""
    yield b"HTTP/1.1 200 OK\r\nX-Endless: "
    while True:
        yield DRIP
        yield b"x"


@fault(APITimeoutError)
def trickling_gzip(_: Request) -> Script:
    """Send a gzip header with an endless file name, one byte at a time, so that nothing is decoded."""
    yield (
        head(200, {**CHUNKED, "Content-Encoding": "gzip"})
        + b"a\r\n\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x03\r\n"
    )
    while True:
        yield DRIP
        yield b"1\r\nx\r\n"


@fault(APITimeoutError)
def continue_forever(_: Request) -> Script:
    """Send 100 Continue as fast as possible, and nothing else."""
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n"


# Connections


@fault(None)
def dropped_once(request: Request) -> Script:
    """Close the connection once, before the answer."""
    return once(request, [End.CLOSE])


@fault(APIConnectionError)
def dropped_always(_: Request) -> Script:
    """Close every connection before the answer."""
    yield End.CLOSE


@fault(None)
def reset_once(request: Request) -> Script:
    """Reset the connection once, before the answer."""
    return once(request, [End.RESET])


@fault(APIConnectionError)
def dropped_in_headers(_: Request) -> Script:
    """Close the connection in the middle of the headers."""
    yield b"HTTP/1.1 200 OK\r\nContent-"
    yield End.CLOSE


@fault(APIConnectionError)
def dropped_in_body(request: Request) -> Script:
    """Close the connection in the middle of the body."""
    yield honest(request)[:-20]
    yield End.CLOSE


@fault(APIConnectionError)
def reset_in_body(request: Request) -> Script:
    """Reset the connection in the middle of the body."""
    yield honest(request)[:-20]
    yield 0.05
    yield End.RESET


@fault(None, in_process=False)  # in process, connections are not reused
def dropped_while_idle(request: Request) -> Script:
    """Close the connection after each answer without announcing it."""
    yield honest(request)
    yield End.CLOSE


@fault(APIConnectionError)
def not_http(_: Request) -> Script:
    """Speak another protocol."""
    yield b"220 mail.example ESMTP\r\n"
    yield End.CLOSE


# Lengths and encodings


@fault(APIConnectionError)
def length_too_large(_: Request) -> Script:
    """Announce more bytes than the complete ranking that is sent."""
    body = json.dumps(results((0, 0.9))).encode()
    yield head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) + 9)}) + body
    yield End.CLOSE


@fault(InvalidResponseError)
def length_too_small(_: Request) -> Script:
    """Announce fewer bytes than are sent."""
    body = json.dumps(results((0, 0.9))).encode()
    yield head(200, {"Content-Type": "application/json", "Content-Length": str(len(body) - 9)}) + body


canned(
    "length_not_a_number",
    APIConnectionError,
    "Send a Content-Length that is a word.",
    head(200, {"Content-Length": "many"}) + b"{}",
)


@fault(InvalidResponseError)
def endless_body(_: Request) -> Script:
    """Send a fast body without an end."""
    yield head(200, CHUNKED)
    block = b" " * 2**20
    while True:
        yield b"100000\r\n" + block + b"\r\n"


@fault(ServerError)
def endless_error(_: Request) -> Script:
    """Fail with an endless message."""
    yield head(500, CHUNKED)
    block = b"x" * 2**20
    while True:
        yield b"100000\r\n" + block + b"\r\n"


canned(
    "gzip_garbage",
    InvalidResponseError,
    "Announce gzip and send something else.",
    answer(200, b"this is no gzip at all", headers={"Content-Encoding": "gzip"}),
)
canned(
    "gzip_garbage_502",
    ServerError,
    "Fail as a gateway that announces gzip and sends something else.",
    answer(502, b"this is no gzip at all", headers={"Content-Encoding": "gzip"}),
)


@cache
def _zeros(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    block = bytes(2**20)
    return b"".join([*(packer.compress(block) for _ in range(size // 2**20)), packer.flush()])


@fault(InvalidResponseError)
def zip_bomb(_: Request) -> Script:
    """Send a small body that unpacks to 256 MiB."""
    yield answer(200, _zeros(2**28), headers={"Content-Encoding": "gzip"})


@fault(InvalidResponseError)
def zip_bomb_twice(_: Request) -> Script:
    """Send a few kilobytes that unpack to a body that unpacks to 256 MiB."""
    yield answer(200, gzip.compress(_zeros(2**28), 9), headers={"Content-Encoding": "gzip, gzip"})


@fault(None)
def gzip_honest(request: Request) -> Script:
    """Compress the answer, which is valid."""
    _, _, body = honest(request).partition(b"\r\n\r\n")
    yield answer(200, gzip.compress(body), headers={"Content-Encoding": "gzip"})
