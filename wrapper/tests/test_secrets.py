"""The key is sent to the server, and shows nowhere else: no message, repr, log line, traceback or pickle of ours has it."""

from __future__ import annotations

import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest

import openrouter_rerank
import openrouter_rerank_api
from driving import call, settings
from openrouter_rerank import AsyncReranker, Reranker, RerankError, ResponseError
from openrouter_rerank.testing import Request, Script, answer, envelope, honest, serving, unused_address
from shells import KEY, LONG, TIMEOUTS, Shell

HIDDEN = "hidden-value-of-a-header"
OURS = tuple(
    str(Path(package.__file__ or "").parent) for package in (openrouter_rerank, openrouter_rerank_api)
)


def echo(status: int, content_type: str = "application/json") -> Any:
    """A script that answers with everything that it was sent, the key in front."""

    def script(request: Request) -> Script:
        heard = request.headers.get("authorization", "none")
        body: Any = envelope(status, f"I heard {heard}", metadata={"raw": heard, heard: [heard]})
        if content_type != "application/json":
            body = f"<title>{heard}</title>{request.headers}".encode()
        yield answer(status, body, content_type)

    return script


def malformed(request: Request) -> Script:
    """A script that echoes the key in a 200 that is no ranking."""
    heard = request.headers["authorization"]
    yield answer(200, {"results": [{"index": heard, "relevance_score": heard}], heard: heard})


def stalls(request: Request) -> Script:
    """A script that never answers."""
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
    """The local variables of our frames in the error's traceback and those of its causes."""
    shown: list[str] = []
    trace: traceback.TracebackException | None = traceback.TracebackException.from_exception(
        error, capture_locals=True
    )
    while trace is not None:
        for frame in trace.stack:
            if frame.filename.startswith(OURS):
                shown += (frame.locals or {}).values()
        trace = trace.__cause__ or trace.__context__
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
            continue  # a server may echo what it likes; only the key is blotted out
        assert secret not in f"{error} {error!r} {vars(error)}"
        assert secret.encode() not in pickled
        assert secret not in caplog.text
    assert not [shown for shown in frames if KEY in shown]
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
    {"base_url": "nowhere"},
    {"base_url": f"https://user:{HIDDEN}@h.example"},
    {"base_url": f"ftp://h.example/?key={HIDDEN}"},
    {"top_n": 0},
    {"retries": 3},
    {"extra_headers": {"X-Hidden": f"{HIDDEN}\n"}},
    {"extra_headers": {"X-Hidden": f"{HIDDEN} "}},
    {"extra_headers": {"X Hidden": HIDDEN}},
    {"extra_headers": {"X-Hidden": HIDDEN, "X-Other": 5}},
]


@pytest.mark.parametrize("arguments", WRONG, ids=lambda arguments: next(iter(arguments)))
def test_wrong_arguments_of_a_client(arguments: dict[str, Any]) -> None:
    """An argument that is wrong raises without the key, in the message and in the local variables of our frames."""
    with pytest.raises((TypeError, ValueError)) as caught:
        Reranker(**{"api_key": KEY, **arguments})

    for secret in (KEY, HIDDEN):
        assert secret not in str(caught.value)
    assert not [shown for shown in _ours(caught.value) if KEY in shown]


@pytest.mark.parametrize(
    "arguments",
    [
        {"query": ""},
        {"documents": [5]},
        {"top_n": 0},
        {"extra_headers": {"Authorization": f"Bearer {HIDDEN}\n"}},
        {"extra_headers": {"Authorization": f"Bearer {HIDDEN}", "X-Other": 5}},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_wrong_arguments_of_a_call(arguments: dict[str, Any], shell: Shell) -> None:
    """So does an argument of a call, and what is sent in its headers shows as little."""
    chosen = {"query": "q", "documents": ["a"], "extra_headers": {"X-Hidden": HIDDEN}, **arguments}
    with shell.open(lambda _: httpx.Response(500)) as rank, pytest.raises((TypeError, ValueError)) as caught:
        rank(chosen.pop("query"), chosen.pop("documents"), **chosen)

    for secret in (KEY, HIDDEN):
        assert secret not in str(caught.value)
    assert not [shown for shown in _ours(caught.value) if KEY in shown]


def test_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key from the environment that cannot be sent is not shown either."""
    monkeypatch.setenv("OPENROUTER_API_KEY", f"{KEY} and a blank")

    with pytest.raises(ValueError, match="API key") as caught:
        Reranker()

    assert KEY not in str(caught.value)
    assert not [shown for shown in _ours(caught.value) if KEY in shown]


def test_steps_of_a_call() -> None:
    """What the core asks of its shell shows no headers, and its settings show no key."""
    step = next(call({"extra_headers": {"X-Hidden": HIDDEN}}, extra_headers={"X-More": HIDDEN}))

    assert KEY not in repr(step)
    assert HIDDEN not in repr(step)
    assert KEY not in repr(settings())
