"""Errors that suggest a wrong configuration name the command that finds the cause, and no others do."""

from typing import Any

import pytest

from openrouter_rerank import Reranker, RerankError, Retries
from openrouter_rerank.testing import Request, Script, answer, envelope, results, serving, unused_address

HTML = b"<!doctype html><p>Hello</p>"
TEI = [{"index": 0, "score": 0.5}]


def message_of(url: str) -> str:
    """Return the message of a call's error."""
    with (
        Reranker("", base_url=url, retries=Retries(attempts=1)) as reranker,
        pytest.raises(RerankError) as caught,
    ):
        reranker.rerank("q", ["a"])
    return str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "is_named"),
    [
        (404, envelope(404, "Not Found"), True),
        (404, HTML, True),
        (200, HTML, True),
        (200, {"object": "chat.completion"}, True),
        (200, {"error": "Unexpected endpoint or method"}, True),
        (200, TEI, True),
        (401, envelope(401, "No key"), True),
        (403, envelope(403, "No"), True),
        (404, envelope(404, "The model `x` does not exist"), True),
        (422, b"Failed to deserialize the JSON body into the target type: missing field `texts`", True),
        (400, envelope(400, "Too hot"), False),
        (402, envelope(402, "No credits"), False),
        (413, envelope(413, "Too large"), False),
        (429, envelope(429, "Slow down"), False),
        (500, envelope(500, "Oops"), False),
        (503, envelope(503, "Loading"), False),
        (200, results((7, 0.5)), False),
    ],
)
def test_the_command_is_named(status: int, body: Any, is_named: bool):
    """Once, with the address, where the configuration may be wrong."""

    def script(request: Request) -> Script:
        yield answer(status, body, "text/html" if body is HTML else "application/json")

    with serving(script) as server:
        message = message_of(server.url)
        assert message.count(f"`rerank doctor {server.url}/rerank`") == is_named, message


@pytest.mark.parametrize("url", [None, "http://no-such-host.invalid/v1"], ids=["refused", "not resolved"])
def test_the_command_is_named_if_nothing_is_reached(url: str | None):
    """With the address that was tried."""
    url = url or unused_address()
    assert f"`rerank doctor {url}/rerank`" in message_of(url)


def test_a_redirect_says_what_to_write_itself():
    """Then the command would find nothing else."""

    def script(request: Request) -> Script:
        yield answer(307, b"", headers={"Location": "/v1/rerank"})

    with serving(script) as server:
        message = message_of(server.url)
    assert "set base_url to" in message
    assert "doctor" not in message
