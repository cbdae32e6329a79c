"""The body of an error is read up to a limit, whatever its server sends, and the error still says what it is."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import httpx
import pytest

from driving import answered, call, finish
from openrouter_rerank import BadRequestError, RerankError, ResponseError, Retries, ServerError
from openrouter_rerank.operations import LARGEST_ERROR, Answer
from openrouter_rerank.testing import Request, Script, honest, serving
from openrouter_rerank.testing import answer as answering
from shells import KEY, Shell

LARGE = 3 * LARGEST_ERROR
ONCE = Retries(attempts=1)


def script(body: bytes, status: int = 500, **headers: str) -> Any:
    """Return a server's script: each first request is refused with the body, and each second one answered."""

    def answer(request: Request) -> Script:
        if request.number % 2:
            yield answering(status, body, "text/plain", headers=headers)
        else:
            yield honest(request)

    return answer


@pytest.mark.parametrize("injected", [False, True], ids=["own", "injected"])
def test_no_more_is_read(injected: bool, any_shell: Shell) -> None:
    """Of a large body the error has the beginning, without what may be a part of the key; the next call succeeds."""
    given: dict[str, Any] = {}
    if injected:
        kind: Any = httpx.Client if any_shell.name == "sync" else httpx.AsyncClient
        given["http_client"] = kind(limits=httpx.Limits(max_keepalive_connections=0))
    text = ("the beginning " + "y" * (LARGEST_ERROR - 30) + KEY + "x" * LARGE).encode()
    with (
        serving(script(text)) as server,
        any_shell.open(base_url=server.url, retries=ONCE, **given) as rank,
    ):
        with pytest.raises(ServerError, match=r"500 .*: the beginning y+") as caught:
            rank("q", ["a"])
        assert rank("q", ["a"]).indices == [0]

    body = caught.value.body
    assert text.startswith(body)
    assert LARGEST_ERROR - 500 < len(body) < LARGEST_ERROR - len(KEY)
    assert KEY[:4].encode() not in body


def test_an_endless_body(any_shell: Shell) -> None:
    """A body without an end is not waited for."""

    def endless(_: Request) -> Script:
        yield b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\r\n"
        while True:
            yield b"no way " * 10_000

    with serving(endless) as server, pytest.raises(BadRequestError, match="no way"):
        any_shell.rank(base_url=server.url, retries=ONCE, timeout=60)


def test_a_body_that_a_hook_has_read(shell: Shell) -> None:
    """A body that an injected client has read already is truncated as well."""
    with pytest.raises(BadRequestError) as caught:
        shell.rank(lambda _: httpx.Response(400, content=b"x" * LARGE))

    assert LARGEST_ERROR - 500 < len(caught.value.body) <= LARGEST_ERROR


PACKED = {
    "gzip": gzip.compress(b"the beginning " + b"z" * LARGE),
    "deflate": zlib.compress(b"the beginning " + b"z" * LARGE),
}


@pytest.mark.parametrize("encoding", PACKED)
def test_a_body_that_grows(encoding: str) -> None:
    """A body that is large when it is unpacked is cut where an error ends."""
    with pytest.raises(BadRequestError, match="the beginning zzz") as caught:
        finish(call(), answered(400, PACKED[encoding], content_encoding=encoding))

    assert LARGEST_ERROR - 500 < len(caught.value.body) <= LARGEST_ERROR


def test_a_packed_body_that_is_cut() -> None:
    """So is one that was cut before it was unpacked; what can be unpacked of it is."""
    packed = gzip.compress(b"the beginning " * 1000)

    with pytest.raises(BadRequestError, match="the beginning the"):
        finish(call(), answered(400, packed[:-9], content_encoding="gzip")._replace(whole=False))
    with pytest.raises(BadRequestError, match="no body"):
        finish(call(), answered(400, b"no gzip", content_encoding="gzip"))
    with pytest.raises(BadRequestError, match="no body"):
        finish(call(), answered(400, b"?", content_encoding="br"))


def test_a_large_body_of_a_success() -> None:
    """A success that is no ranking is an error with the beginning of what came, and no part of the key."""
    body = json.dumps({"a": "y" * (LARGEST_ERROR - 20) + KEY + "x" * LARGE}).encode()

    with pytest.raises(ResponseError, match="no results") as caught:
        finish(call(), answered(200, body))

    assert LARGEST_ERROR - 500 < len(caught.value.body) <= LARGEST_ERROR
    assert KEY[:4].encode() not in caught.value.body


def test_a_large_error_in_a_success() -> None:
    """An error in a 200 that is cut is still an error."""
    body = json.dumps({"error": {"code": 429, "message": "slow", "raw": "x" * LARGE}}).encode()

    with pytest.raises(ResponseError, match="slow"):
        finish(call({"retries": ONCE}), answered(200, body))


@pytest.mark.parametrize("character", [b"x", b"\\", b"\\u0073", b"&#115;", b"%73", KEY[:-1].encode()])
def test_a_body_that_was_made_to_be_expensive(character: bytes) -> None:
    """A body of this kind kept a processor busy for minutes."""
    body = character * (2 * LARGEST_ERROR // len(character))

    with pytest.raises(RerankError):
        finish(call({"retries": ONCE}), Answer(500, httpx.Headers(), body[:LARGEST_ERROR], whole=False))
