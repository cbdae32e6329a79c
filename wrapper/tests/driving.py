"""A call of the core, driven by hand: what a test answers takes the place of the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from openrouter_rerank import Ranking, Reranker, Retries
from openrouter_rerank.calls import Call, Handler, PreparedCall
from openrouter_rerank.core import rerank, send_one, warn_unranked
from openrouter_rerank.operations import Answer, BackOff, Load, Send, Wait
from openrouter_rerank.request import body as body_of
from openrouter_rerank.settings import Settings
from shells import KEY

DOCUMENTS = ["a", "b", "c"]
NO_JITTER = Retries(fraction=lambda: 1.0)


def _nobody(request: httpx.Request) -> httpx.Response:
    message = f"a call that is driven by hand sends nothing, and here is {request}"
    raise AssertionError(message)


_NOBODY = httpx.Client(transport=httpx.MockTransport(_nobody))


def settings(**given: Any) -> Settings:
    """Return the settings that a reranker with these arguments has."""
    return Reranker(**{"api_key": KEY, "retries": NO_JITTER, "http_client": _NOBODY, **given})._settings


@warn_unranked
def send_whole(prepared: PreparedCall[Any]) -> Call[Any]:
    """Send a call in one request, whatever its size."""
    content = body_of(prepared.query, prepared.wire, prepared.options, prepared.indices)
    if not prepared.own:
        return Ranking(hits=(), total=0)
    return (yield from send_one(msgspec.structs.replace(prepared, content=content)))


def call(
    client: Settings | Mapping[str, Any] | None = None,
    query: Any = "q",
    documents: Any = DOCUMENTS,
    handler: Handler = send_whole,
    **arguments: Any,
) -> Call[Any]:
    """Return a call that has not begun, by the settings or the arguments of a client."""
    known = {"key": None, "timeout": None, "extra_headers": None, "extra_body": None, **arguments}
    chosen = client if isinstance(client, Settings) else settings(**(client or {}))
    return rerank(chosen, handler, query, documents, **known)


def sent(client: Mapping[str, Any] | None = None, **arguments: Any) -> Send:
    """Return the first request of a call."""
    step = next(call(client, **arguments))
    assert isinstance(step, Send)
    return step


def body(client: Mapping[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """Return the body of the first request of a call, read."""
    return msgspec.json.decode(sent(client, **arguments).content)


def answered(status: int, content: Any = b"", **headers: str) -> Answer:
    """Return an answer, its body as bytes or as what JSON is made of; `retry_after` is the header Retry-After."""
    encoded = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Answer(
        status, httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()}), encoded
    )


def ranked(*pairs: tuple[Any, Any], **more: Any) -> Answer:
    """Return a 200 with these pairs of index and score."""
    found = [{"index": index, "relevance_score": score} for index, score in pairs]
    return answered(200, {"model": "m", "results": found, **more})


def finish(
    running: Call[Any],
    *outcomes: Any,
    waits: list[float] | None = None,
    loads: Mapping[str, bytes] | None = None,
) -> Ranking[Any]:
    """Return the ranking that a call comes to, with one outcome for each request that it sends."""
    left = list(outcomes)
    step = next(running, None)
    try:
        while True:
            match step:
                case Send():
                    step = running.send(left.pop(0))
                case Wait(seconds):
                    (waits if waits is not None else []).append(seconds)
                    step = running.send(None)
                case BackOff():
                    step = running.send(None)
                case Load(path, limit):
                    step = running.send((loads or {})[path.name][: limit + 1])
                case None:
                    message = "the call ended before its first step"
                    raise AssertionError(message)
    except StopIteration as done:
        assert not left, "the call sent fewer requests than there are outcomes"
        return done.value
