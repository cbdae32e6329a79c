"""The key is sent to the server, and shows nowhere else: no message, repr, log line, traceback or pickle of ours has it."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import logging
import pickle
import re
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest
from rich.pretty import pretty_repr

from driving import call, settings
from openrouter_rerank import (
    AsyncReranker,
    AuthenticationError,
    RateLimitError,
    Reranker,
    RerankError,
    ResponseError,
    Retries,
)
from openrouter_rerank.testing import Request, Script, answer, envelope, honest, serving, unused_address
from shells import KEY, LONG, SOON, TIMEOUTS, Shell, our_frames

HIDDEN = "hidden-value-of-a-header"


def echo(status: int, content_type: str = "application/json") -> Any:
    """Return a script that answers with everything that it was sent, the key in front."""

    def script(request: Request) -> Script:
        heard = request.headers.get("authorization", "none")
        body: Any = envelope(status, f"I heard {heard}", metadata={"raw": heard, heard: [heard]})
        if content_type != "application/json":
            body = f"<title>{heard}</title>{request.headers}".encode()
        yield answer(status, body, content_type)

    return script


def malformed(request: Request) -> Script:
    """Return a script that echoes the key in a 200 that is no ranking."""
    heard = request.headers["authorization"]
    yield answer(200, {"results": [{"index": heard, "relevance_score": heard}], heard: heard})


def stalls(request: Request) -> Script:
    """Return a script that never answers."""
    yield answer(200, honest(request))[:30]
    while True:
        yield 1.0


SCRIPTS = {
    "401 with an echo": echo(401),
    "500 with an echo": echo(500),
    "502 with an echo in HTML": echo(502, "text/html"),
    "400 with an echo in plain text": echo(400, "text/plain"),
    "200 with an error and an echo": echo(200),
    "a malformed 200 with an echo": malformed,
    "no answer": stalls,
    "a redirect": lambda _: iter([answer(307, headers={"Location": "http://elsewhere.invalid/"})]),
}


def _ours(error: BaseException) -> list[str]:
    """Return the local variables of our frames in the tracebacks of the error, as repr and Rich show them."""
    shown: list[str] = []
    for frame in our_frames(error):
        for name, value in frame.f_locals.items():
            shown += (f"{name}={value!r}", f"{name}={pretty_repr(value, max_string=80)}")
    return shown


@pytest.mark.parametrize("name", SCRIPTS)
def test_errors(name: str, shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """After any failure, at any level of logging, neither the key nor an extra header's value is to be found."""
    caplog.set_level(logging.DEBUG)
    for timeout in TIMEOUTS if name == "no answer" else (LONG,):
        with serving(SCRIPTS[name]) as server, pytest.raises(RerankError) as caught:
            shell.rank(base_url=server.url, timeout=timeout, extra_headers={"X-Hidden": HIDDEN})
        if server.requests:  # it was sent in time
            break
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.requests[0].headers["x-hidden"] == HIDDEN
    error = caught.value

    frames = _ours(error)
    assert frames
    pickled = pickle.dumps(error)
    for secret in (KEY, HIDDEN):
        if secret == HIDDEN and "echo" in name:
            continue  # a server may echo what it likes, but for what looks like a secret
        assert not [shown for shown in frames if secret in shown]
        assert secret not in f"{error} {error!r} {vars(error)}"
        assert secret.encode() not in pickled
        assert secret not in caplog.text
    if isinstance(error, ResponseError) and "echo" in name:
        assert b"[key]" in error.body


def test_a_connection_that_is_refused(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """A transport's error, chained below ours, tells no key either."""
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RerankError) as caught:
        shell.rank(base_url=unused_address())

    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert not [shown for shown in _ours(caught.value) if KEY in shown]
    assert KEY not in caplog.text


def test_success(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """Of a call that went well the log has attempts and waits, under one name of ours, without bodies and keys."""
    caplog.set_level(logging.DEBUG)

    def script(request: Request) -> Script:
        yield answer(503) if request.number == 1 else honest(request)

    with serving(script) as server, shell.open(base_url=server.url) as rank:
        ranking = rank("the very query", ["the very document"], extra_headers={"X-Hidden": HIDDEN})

    ours = [record for record in caplog.records if record.name.startswith("openrouter_rerank")]
    assert {(record.name, record.levelname) for record in ours} == {("openrouter_rerank", "DEBUG")}
    assert "503" in ours[0].getMessage()
    assert "ranked 1 documents after 2 attempt" in ours[-1].getMessage()
    for secret in (KEY, HIDDEN, "the very query", "the very document"):
        assert secret not in caplog.text
    assert KEY not in f"{ranking!r} {ranking._repr_html_()} {ranking.headers}"
    assert KEY.encode() not in pickle.dumps(ranking)


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
def test_reprs(kind: type[Any]) -> None:
    """The repr of a reranker names the server and the model; nothing in it shows a key, a header or a query."""
    reranker = kind(
        KEY,
        base_url=f"https://h.example/v1?code={HIDDEN}",
        model="a/model",
        extra_headers={"X-Hidden": HIDDEN},
    )

    assert repr(reranker) == f"<{kind.__name__} https://h.example/v1/rerank, model a/model>"
    for value in vars(reranker).values():
        assert KEY not in repr(value)
        assert HIDDEN not in repr(value)


WRONG: list[dict[str, Any]] = [
    {"api_key": f"{KEY} and a blank"},
    {"api_key": f"{KEY}é"},
    {"api_key": KEY.encode()},
    {"api_key": [KEY]},
    {"api_key": {"key": KEY}},
    {"base_url": "nowhere"},
    {"base_url": f"https://user:{HIDDEN}@h.example"},
    {"base_url": f"https://{HIDDEN}@h.example"},
    {"base_url": f"https://user:{HIDDEN}@h.example:port"},
    {"base_url": f"user:{HIDDEN}@h.example"},
    {"base_url": f"https://user:{HIDDEN}@[h"},
    {"base_url": f"ftp://h.example/?key={HIDDEN}"},
    {"base_url": f"https://h.example/?key={HIDDEN}", "top_n": 0},
    {"base_url": f"https://h.example/?key={HIDDEN}", "http_client": 5},
    {"base_url": [HIDDEN]},
    {"base_url": HIDDEN.encode()},
    {"top_n": 0},
    {"retries": 3},
    {"timeout": 0},
    {"app_title": f"{HIDDEN}\n"},
    {"app_title": [HIDDEN]},
    {"app_referer": f"https://u:{HIDDEN}@h.example/\n"},
    {"app_categories": f"{HIDDEN}é"},
    {"app_categories": [HIDDEN, 5]},
    {"app_categories": {HIDDEN: 1, 5: 2}},
    {"extra_headers": {"X-Hidden": f"{HIDDEN}\n"}},
    {"extra_headers": {"X-Hidden": f"{HIDDEN} "}},
    {"extra_headers": {"X-Hidden": HIDDEN.encode()}},
    {"extra_headers": {"X-Hidden": [HIDDEN]}},
    {"extra_headers": {"X Hidden": HIDDEN}},
    {"extra_headers": {f"Authorization: Bearer {HIDDEN}": ""}},
    {"extra_headers": {f"Authorization Bearer {HIDDEN}": ""}},
    {"extra_headers": {"X-Hidden": HIDDEN, "X-Other": 5}},
    {"extra_headers": {"X-Hidden": HIDDEN, 5: "x"}},
    {"extra_headers": [("Authorization", f"Bearer {HIDDEN}")]},
    {"extra_headers": f"Authorization: Bearer {HIDDEN}"},
    {"extra_headers": {"X-Hidden": HIDDEN}, "top_n": 0},
    {"extra_headers": {"X-Hidden": HIDDEN}, "http_client": 5},
]


def _case(arguments: dict[str, Any]) -> str:
    return "-".join(arguments)


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
@pytest.mark.parametrize("arguments", WRONG, ids=_case)
def test_wrong_arguments_of_a_client(arguments: dict[str, Any], kind: type[Any]) -> None:
    """An argument that is wrong raises without a secret, in the message and in the local variables of our frames."""
    with pytest.raises((TypeError, ValueError)) as caught:
        kind(**{"api_key": KEY, "extra_headers": {"X-Hidden": HIDDEN}, **arguments})

    shown = "\n".join([str(caught.value), repr(caught.value), *_ours(caught.value)])
    for secret in (KEY, HIDDEN):
        assert secret not in shown


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
@pytest.mark.parametrize(
    "arguments",
    [row for row in WRONG if not row.keys() & {"base_url", "http_client", "api_key", "retries"}]
    + [{"api_key": KEY}, {"base_url": f"http://h/?key={HIDDEN}"}],
    ids=_case,
)
def test_wrong_arguments_of_the_local_mode(arguments: dict[str, Any], kind: type[Any]) -> None:
    """Nor does the local mode show one."""
    pytest.importorskip("rerank_conformance.reference", reason="the extra `local` is not installed")
    with pytest.raises((TypeError, ValueError)) as caught:
        kind.local(**arguments)

    shown = "\n".join([str(caught.value), *_ours(caught.value)])
    for secret in (KEY, HIDDEN):
        assert secret not in shown


@pytest.mark.parametrize(
    "arguments",
    [
        {"query": ""},
        {"documents": [5]},
        {"top_n": 0},
        {"on_error": "other"},
        {"extra_headers": {"Authorization": f"Bearer {HIDDEN}\n"}},
        {"extra_headers": {"Authorization": f"Bearer {HIDDEN}", "X-Other": 5}},
        {"extra_headers": [("Authorization", f"Bearer {HIDDEN}")]},
        {"extra_headers": {f"Authorization: Bearer {HIDDEN}": "x"}},
    ],
    ids=_case,
)
@pytest.mark.parametrize("spans", [False, True])
def test_wrong_arguments_of_a_call(arguments: dict[str, Any], spans: bool, shell: Shell) -> None:
    """So does an argument of a call, and what is sent in its headers shows as little."""
    if spans:
        pytest.importorskip("opentelemetry.trace", reason="the extra `otel` is not installed")
    chosen = {"query": "q", "documents": ["a"], "extra_headers": {"X-Hidden": HIDDEN}, **arguments}
    with shell.open(lambda _: httpx.Response(500)) as rank, pytest.raises((TypeError, ValueError)) as caught:
        rank(chosen.pop("query"), chosen.pop("documents"), **chosen)

    shown = "\n".join([str(caught.value), *_ours(caught.value)])
    for secret in (KEY, HIDDEN):
        assert secret not in shown


@pytest.mark.parametrize("kind", [Reranker, AsyncReranker])
@pytest.mark.parametrize(
    ("variable", "value"),
    [("SSL_CERT_FILE", "/nowhere.pem"), ("HTTPS_PROXY", f"socks5://u:{HIDDEN}@127.0.0.1")],
)
def test_connections_that_cannot_be_made(
    variable: str, value: str, kind: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors about the environment show neither a proxy's password nor the query of an address."""
    monkeypatch.setenv(variable, value)
    monkeypatch.setattr("openrouter_rerank.proxies.find_spec", lambda _: None)
    with pytest.raises(ValueError, match="unset it") as caught:
        kind(KEY, base_url=f"https://h.example/v1?key={HIDDEN}")

    shown = "\n".join([str(caught.value), *_ours(caught.value)])
    for secret in (KEY, HIDDEN):
        assert secret not in shown


@pytest.mark.parametrize("method", ["rerank", "models"])
def test_a_closed_client(method: str) -> None:
    """A client that is closed refuses a call, and does not show its headers."""
    reranker = Reranker(KEY)
    reranker.close()
    arguments = ("q", ["a"]) if method == "rerank" else ()

    with pytest.raises(RuntimeError, match="closed") as caught:
        getattr(reranker, method)(*arguments, extra_headers={"X-Hidden": HIDDEN})

    assert not [shown for shown in _ours(caught.value) if HIDDEN in shown]


def test_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key from the environment that cannot be sent is not shown either."""
    monkeypatch.setenv("OPENROUTER_API_KEY", f"{KEY} and a blank")

    with pytest.raises(ValueError, match="API key") as caught:
        Reranker()

    assert KEY not in str(caught.value)
    assert not [shown for shown in _ours(caught.value) if KEY in shown]


def test_steps_of_a_call() -> None:
    """The core's operations show no headers, and its settings show no key."""
    step = next(call({"extra_headers": {"X-Hidden": HIDDEN}}, extra_headers={"X-More": HIDDEN}))

    assert KEY not in repr(step)
    assert HIDDEN not in repr(step)
    assert KEY not in repr(settings())


# ------------------------------------------------------------------------------------------------------------- echoes

COOKIE = "cookie-that-nobody-may-see"
API_KEY = "api-key-that-nobody-may-see"
CODE = "code-that-nobody-may-see"
PASSWORD = "password-that-nobody-may-see"
SECRETS = (KEY, COOKIE, API_KEY, CODE, PASSWORD)
SPELLINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "escaped": lambda text: "".join(f"\\u{ord(char):04x}" for char in text),
    "percent": lambda text: "".join(f"%{ord(char):02X}" for char in text),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
}


def _head(status: str = "200 OK", headers: str = "", body: str = "", kind: str = "application/json") -> bytes:
    lines = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{headers}"
    return f"{lines}content-length: {len(body.encode())}\r\nconnection: close\r\n\r\n{body}".encode()


RESULTS = '"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": 0.25}]'
# Where a server can echo what it was sent.
ECHOES: dict[str, Callable[[str], bytes]] = {
    "the status line": lambda echo: f"HTTP/1.1 {echo}\r\n\r\n".encode(),
    "instead of an answer": lambda echo: f"{echo}\r\n\r\n".encode(),
    "the version": lambda echo: f"{echo}/1.1 200 OK\r\n\r\n".encode(),
    "a line that is no header": lambda echo: f"HTTP/1.1 200 OK\r\n{echo}\r\n\r\n".encode(),
    "the length": lambda echo: f"HTTP/1.1 200 OK\r\ncontent-length: {echo}\r\n\r\n".encode(),
    "the coding of the transfer": lambda echo: (
        f"HTTP/1.1 200 OK\r\ntransfer-encoding: {echo}\r\n\r\n".encode()
    ),
    "a chunk": lambda echo: f"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{echo}\r\n".encode(),
    "the reason": lambda echo: _head(f"500 {echo}"),
    "a header": lambda echo: _head("400 Bad", f"x-request-id: {echo}\r\n"),
    "the name of a header": lambda echo: _head("400 Bad", f"x-{_as_name(echo)}: 1\r\n"),
    "the redirect": lambda echo: _head("307 R", f"location: http://{_as_name(echo)}.example/{echo}\r\n"),
    "the type": lambda echo: _head(body="nothing", kind=echo),
    "the encoding": lambda echo: _head(headers=f"content-encoding: {echo}\r\n", body="{}"),
    "an error": lambda echo: _head("401 U", body=f'{{"error": {{"code": 401, "message": "no {echo}"}}}}'),
    "metadata": lambda echo: _head(
        "502 B",
        body=f'{{"error": {{"code": 1, "{echo}": ["{echo}"], "metadata": {{"provider_name": "{echo}"}}}}}}',
    ),
    "a page": lambda echo: _head("502 B", body=f"<html><title>{echo}</title>{echo}", kind="text/html"),
    "an error in a 200": lambda echo: _head(body=f'{{"error": {{"code": 429, "message": "{echo}"}}}}'),
    "an error without a code": lambda echo: _head(body=f'{{"error": "{echo}"}}'),
    "what is no JSON": lambda echo: _head(body=echo),
    "what is no ranking": lambda echo: _head(body=f'{{"{echo}": 1}}'),
    "a wrong type": lambda echo: _head(body=f'{{"results": [{{"index": "{echo}"}}]}}'),
    "the model": lambda echo: _head(body=f'{{"model": "{echo}", {RESULTS}}}'),
    "the id": lambda echo: _head(body=f'{{"id": "{echo}", {RESULTS}}}'),
    "the provider": lambda echo: _head(body=f'{{"provider": "a {echo} b", {RESULTS}}}'),
    "the headers of a ranking": lambda echo: _head(
        headers=f"x-generation-id: {echo}\r\nx-{_as_name(echo)}: {echo}\r\n", body=f"{{{RESULTS}}}"
    ),
    "what a ranking does not need": lambda echo: _head(body=f'{{"{echo}": ["{echo}"], {RESULTS}}}'),
}


def _as_name(echo: str) -> str:
    return re.sub(r"[^\w.%-]", "-", echo)


def _all_of(value: Any) -> str:
    """Everything that can be seen of an error or a ranking."""
    shown = [str(value), repr(value), repr(pickle.dumps(value)), repr(copy.copy(value))]
    if isinstance(value, BaseException):
        shown += [repr(vars(value)), *traceback.format_exception(value)]
        for cause in (value.__cause__, value.__context__):
            if cause is not None:
                shown += [str(cause), repr(cause), repr(cause.args), repr(vars(cause)), _all_of_chain(cause)]
        shown += [repr(value.__dict__.get("body"))]
    else:
        shown += [repr(getattr(value, name)) for name in ("headers", "model", "id", "provider", "body")]
        shown += [value._repr_html_(), repr(value.request_id), repr(value.__getstate__())]
        with contextlib.suppress(RerankError):
            shown += [repr(value.response), repr(value.response.to_dict())]
        shown += [repr(msgspec.to_builtins({**value.headers}))]
    return "\n".join(shown)


def _all_of_chain(error: BaseException) -> str:
    return "".join(_all_of(one) for one in (error.__cause__, error.__context__) if one is not None)


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=list(SPELLINGS))
@pytest.mark.parametrize("echo", ECHOES.values(), ids=list(ECHOES))
@pytest.mark.parametrize("injected", [False, True], ids=["own", "injected"])
def test_echoes(
    echo: Any,
    spelling: Callable[[str], str],
    injected: bool,
    shell: Shell,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """If a server echoes the secrets that it was sent, no value shows them and no cache stores them."""
    caplog.set_level(logging.DEBUG, logger="openrouter_rerank")
    told = spelling(" ".join(SECRETS)) if spelling is str else " ".join(map(spelling, SECRETS))
    written = {secret: spelling(secret) for secret in SECRETS}

    def script(_: Request) -> Script:
        yield echo(told)

    held: dict[str, bytes] = {}
    given: dict[str, Any] = {
        "extra_headers": {"Cookie": f"session={COOKIE}", "api-key": API_KEY},
        "retries": Retries(attempts=1),
        # What a cache is given is redacted; without one, what a pickle is made of has to be.
        "cache": None if injected else SimpleNamespace(get=held.get, set=held.__setitem__),
    }
    basic = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    with serving(script) as server, contextlib.ExitStack() as stack:
        if injected:
            # Connections that are not kept need not be closed.
            kind: Any = httpx.Client if shell.name == "sync" else httpx.AsyncClient
            given["http_client"] = kind(limits=httpx.Limits(max_keepalive_connections=0))
        rank = stack.enter_context(shell.open(base_url=f"{server.url}?code={CODE}", **given))
        try:
            value = rank("q", ["a", "b"], extra_headers={"X-Proxy-Authorization": f"Basic {basic}"})
        except RerankError as error:
            value = error
            frames = _ours(error)
        else:
            frames = []

    shown = "\n".join([_all_of(value), caplog.text, repr(held), *frames])
    for secret, spelled in written.items():
        assert secret not in shown
        assert spelled.lower() not in shown.lower()


def test_a_misspelt_key_is_in_no_frame() -> None:
    """The value of an argument that does not exist may be a key, and no local variable of ours has it."""
    with pytest.raises(TypeError, match="did you mean 'api_key'") as caught:
        Reranker(apikey=KEY)  # type: ignore[call-arg] # on purpose

    assert KEY not in "\n".join(_ours(caught.value))


LONG_KEY = "sk-or/v1+a-key-of-some-length"


def says(body: bytes, key: str = LONG_KEY, status: int = 401) -> Reranker:
    """Return a reranker whose server answers with this body."""
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
    """A key that the server echoes is redacted however JSON escapes it, in the message and in the body."""
    with pytest.raises(AuthenticationError) as caught:
        says(
            b'{"error":{"code":401,"message":"bad key %s","metadata":{"raw":"%s"}}}' % (2 * (echo.encode(),))
        ).rerank("q", ["a"])

    shown = f"{caught.value} {caught.value.metadata} {caught.value.body!r}"
    assert "a-key-of-some" not in shown
    assert "0061" not in shown
    assert "[key]" in str(caught.value)


def test_an_echo_across_the_cut_of_a_long_message() -> None:
    """A message is cut only after the key is redacted, so that no part of it is left."""
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


def test_a_redirect_does_not_show_a_password() -> None:
    """Whatever stands before the host of a redirect's target stays out of the message."""
    transport = httpx.MockTransport(
        lambda _: httpx.Response(307, headers={"Location": "https://u:secret@h.example/"})
    )

    with pytest.raises(RerankError, match=r"h\.example") as caught:
        Reranker("k", http_client=httpx.Client(transport=transport)).rerank("q", ["a"])

    assert "secret" not in str(caught.value)
