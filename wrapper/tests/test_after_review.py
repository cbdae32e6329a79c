"""What a reader of the whole found to be wrong once, so that it stays mended."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from driving import call
from openrouter_rerank import (
    APITimeoutError,
    AsyncReranker,
    AuthenticationError,
    RateLimitError,
    Reranker,
    RerankError,
    ServerError,
)
from openrouter_rerank.testing import deaf
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.models import (
    ErrorResponse,
    ProviderOptions,
    ProviderPreferences,
    ProviderSettings,
    RerankRequest,
)
from shells import SOON, Shell

LONG_KEY = "sk-or/v1+a-key-of-some-length"


def says(body: bytes, key: str = LONG_KEY, status: int = 401) -> Reranker:
    """A reranker whose server answers with this body."""
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body))
    return Reranker(key, http_client=httpx.Client(transport=transport))


@pytest.mark.parametrize(
    "echo",
    [
        LONG_KEY,
        LONG_KEY.replace("/", "\\/"),
        "".join(f"\\u{ord(char):04X}" for char in LONG_KEY),
        json.dumps(LONG_KEY.replace("/", "\\/"))[1:-1],
    ],
    ids=["plain", "slash", "all escaped", "JSON in JSON"],
)
def test_an_escaped_echo_of_the_key(echo: str) -> None:
    """A key that the server echoes is blotted out however JSON escapes it, in the message and in the body."""
    with pytest.raises(AuthenticationError) as caught:
        says(
            b'{"error":{"code":401,"message":"bad key %s","metadata":{"raw":"%s"}}}' % (2 * (echo.encode(),))
        ).rerank("q", ["a"])

    shown = f"{caught.value} {caught.value.metadata} {caught.value.body!r}"
    assert "a-key-of-some" not in shown
    assert "0061" not in shown
    assert "[key]" in str(caught.value)


def test_an_echo_across_the_cut_of_a_long_message() -> None:
    """A message is cut only after the key is blotted out, so that no half of it is left."""
    with pytest.raises(AuthenticationError) as caught:
        says(json.dumps({"error": {"code": 401, "message": "x" * 485 + LONG_KEY}}).encode()).rerank(
            "q", ["a"]
        )

    assert "sk-or" not in str(caught.value)


def test_a_short_key_leaves_answers_whole() -> None:
    """What people give to servers that take any key is no secret, and is not cut out of what those answer."""
    body = b'{"error":{"code":429,"message":"1 too many"}}'

    with pytest.raises(RateLimitError) as caught:
        says(body, key="1", status=200).rerank("q", ["a"])

    assert caught.value.body == body


def test_a_body_of_backslashes_is_read_at_once() -> None:
    """To look for an escaped key takes time by the size of a body and not by its square: this would take minutes."""
    began = time.monotonic()
    with pytest.raises(AuthenticationError):
        says(b"\\" * 100_000).rerank("q", ["a"])

    assert time.monotonic() - began < SOON


def test_an_echo_in_a_ranking() -> None:
    """A ranking's own copy of the answer does not have the key either."""
    body = {"results": [{"index": 0, "relevance_score": 1}], "echo": LONG_KEY}

    assert b"sk-or" not in says(json.dumps(body).encode(), status=200).rerank("q", ["a"]).body


@pytest.mark.parametrize("nothing", [None, "", False, {}, 0])
def test_an_error_that_says_none(nothing: Any) -> None:
    """An empty `error` beside results is none."""
    body = {"results": [{"index": 0, "relevance_score": 1}], "error": nothing}

    assert says(json.dumps(body).encode(), status=200).rerank("q", ["a"]).indices == [0]


def test_what_will_not_help() -> None:
    """An error that the server calls permanent does not say to try again."""
    body = {"error": {"code": 503, "message": "no", "metadata": {"error_type": "not_found"}}}

    with pytest.raises(ServerError, match="will not help") as caught:
        says(json.dumps(body).encode(), status=503).rerank("q", ["a"])

    assert len(caught.value.attempts) == 1


def test_a_redirect_does_not_show_a_password() -> None:
    """Whatever stands before the host of a redirect's target stays out of the message."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(307, headers={"Location": "https://u:secret@h.example/"})
    )

    with pytest.raises(RerankError, match=r"h\.example") as caught:
        Reranker("k", http_client=httpx.Client(transport=transport)).rerank("q", ["a"])

    assert "secret" not in str(caught.value)


def test_both_shells_call_a_connection_that_never_comes_unsent(shell: Shell) -> None:
    """A handshake that hangs sent nothing, so that it is tried again by either shell."""
    with deaf() as url, pytest.raises(APITimeoutError, match="no connection") as caught:
        shell.rank(base_url=url.replace("http:", "https:"), timeout=0.3)

    assert len(caught.value.attempts) == 3


@pytest.mark.parametrize("key", ["trace_state", "generation_id", "trace_date", "environment"])
def test_a_trace_takes_other_keys(key: str) -> None:
    """A key of a trace that only resembles a known one is the caller's own."""
    assert json.loads(next(call(documents=["a"], trace={key: "x"})).content)["trace"] == {key: "x"}


@pytest.mark.parametrize("key", ["trace_idd", "trace_nmae", "span_nam", "parent_spanid"])
def test_a_trace_refuses_misspellings(key: str) -> None:
    """A key that is one slip away from a known one is a slip."""
    with pytest.raises(ValueError, match="did you mean"):
        next(call(documents=["a"], trace={key: "x"}))


def test_models_inside_unknown_fields_are_sent_whole() -> None:
    """The settings of a provider reach the wire from their own class as from a plain dict."""
    settings = ProviderSettings()
    settings.additional_properties["max_tokens_per_doc"] = 4096
    options = ProviderOptions()
    options.additional_properties["cohere"] = settings
    request = RerankRequest("m", "q", ["a"], provider=ProviderPreferences(options=options))

    sent = json.loads(create_rerank.get_kwargs(body=request)["content"])

    assert sent["provider"] == {"options": {"cohere": {"max_tokens_per_doc": 4096}}}


def test_the_low_level_client_reads_an_error_inside_a_200() -> None:
    """A success that carries the envelope of an error is read as that."""
    parsed = create_rerank.parse(200, b'{"error":{"code":429,"message":"slow down"}}')

    assert isinstance(parsed, ErrorResponse)
    assert parsed.error.code == 429


def test_a_scorer_that_fails_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """The local mode says which scorer failed and how, at once, and shouts into no log."""
    caplog.set_level(logging.INFO)

    def broken(query: str, texts: Any) -> list[float]:
        raise KeyError(query + texts[0])

    with (
        Reranker.local(broken) as reranker,
        pytest.raises(ServerError, match="local/broken failed with KeyError") as caught,
    ):
        reranker.rerank("q", ["a"])

    assert len(caught.value.attempts) == 1
    assert not [record for record in caplog.records if record.name.startswith(("openrouter", "rerank"))]


async def test_closed_is_closed() -> None:
    """A closed reranker takes no call, whatever it sends through."""
    local, injected = Reranker.local(), Reranker("k", http_client=httpx.Client())
    for reranker in (local, injected, Reranker("k")):
        reranker.close()
        with pytest.raises(RuntimeError, match="closed"):
            reranker.rerank("q", [])
    twin = AsyncReranker.local()
    await twin.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await twin.rerank("q", ["a"])


def test_a_file_that_is_not_there(shell: Shell, tmp_path: Path) -> None:
    """An image file that cannot be read is named with its document, and nothing was sent."""
    with shell.open() as rank, pytest.raises(FileNotFoundError, match=r"nope\.png") as caught:
        rank("q", ["a", tmp_path / "nope.png"])

    assert "document 1" in caught.value.__notes__[0]


def test_a_table_is_no_list_of_documents() -> None:
    """What iterates over the names of its columns is refused, with the way to pass it."""

    class Table:
        columns = ("text",)

        def __iter__(self) -> Any:
            return iter(self.columns)

    with pytest.raises(TypeError, match="column of it"):
        next(call(documents=Table()))


@pytest.mark.parametrize("key", [3, ["text"]])
def test_a_key_is_a_function_or_a_name(key: Any) -> None:
    """Anything else as key= is refused by its name."""
    with pytest.raises(TypeError, match="key must be"):
        next(call(documents=[{"text": "a"}], key=key))


def test_certificates_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """An SSL_CERT_FILE that leads nowhere is told by its name when the reranker is made."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")

    with pytest.raises(ValueError, match="SSL_CERT_FILE"):
        Reranker("k")


def test_a_socks_proxy_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SOCKS proxy in the environment says what it needs when the reranker is made."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    monkeypatch.setattr("openrouter_rerank.proxies.find_spec", lambda _: None)

    with pytest.raises(ValueError, match=r"httpx\[socks\]"):
        Reranker("k")
