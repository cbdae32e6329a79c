"""The two shells of the facade under one test body: a test opens one and need not know which."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

import openrouter_rerank
import openrouter_rerank_api
from openrouter_rerank import AsyncReranker, Ranking, Reranker, Retries

KEY = "sk-or-v1-the-key-that-nobody-may-see"
QUICK = Retries(first_wait=0.01)

SOON = 60.0
"""Seconds by which anything is over that does not hang, on any machine however busy. No fault ends by itself so soon."""
LONG = 600.0
"""Seconds of a timeout or a deadline that no test reaches."""
TIMEOUTS = (0.4, 4.0, 40.0)
"""Timeouts for a test in which something else has to happen before the timeout ends, shortest first.

The test takes the first one within which it happens on this machine.
"""

Handler = Callable[[httpx.Request], httpx.Response]

OURS = tuple(
    str(Path(package.__file__ or "").parent) for package in (openrouter_rerank, openrouter_rerank_api)
)


def our_frames(error: BaseException) -> Generator[FrameType]:
    """Yield the frames of our code in the tracebacks of the error, of its causes and of those before it."""
    chain: list[BaseException | None] = [error]
    while chain:
        one = chain.pop()
        if one is None:
            continue
        chain += (one.__cause__, one.__context__)
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if frame.f_code.co_filename.startswith(OURS):
                yield frame


class Clock:
    """A monotonic clock that a test can put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time."""
        return time.monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        """Put the clock forward; those that wait already do not notice."""
        with self._lock:
            self._ahead += seconds


class Shell:
    """One of the two shells, the async one on one of its event loops."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def open(
        self, handler: Handler | None = None, method: str = "rerank", **settings: Any
    ) -> Generator[Callable[..., Any]]:
        """Provide the `rerank` of a reranker, or another method; a handler answers in place of a server."""
        given = {"api_key": KEY, "retries": QUICK, **settings}
        if self.name == "sync":
            if handler is not None:
                given["http_client"] = httpx.Client(transport=httpx.MockTransport(handler))
            with Reranker(**given) as reranker:
                yield getattr(reranker, method)
            return
        if handler is not None:
            given["http_client"] = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        with (
            start_blocking_portal(self.name) as portal,
            portal.wrap_async_context_manager(portal.call(partial(AsyncReranker, **given))) as reranker,
        ):
            yield lambda *args, **kwargs: portal.call(partial(getattr(reranker, method), *args, **kwargs))

    def rank(self, handler: Handler | None = None, **settings: Any) -> Ranking[str]:
        """One call, for the query "q" and the documents "a", "b" and "c"."""
        with self.open(handler, **settings) as rank:
            return rank("q", ["a", "b", "c"])


class Scoring:
    """A server in a handler: the score of a document is its length in bytes, the longer the better.

    Args:
        most: More documents than this are a 413.
        failing: Documents with this text fail with the status.
        status: That status.
        providers: Who serves, in turn, where nobody is asked for.
        cost: What a request costs; None to say nothing of it.
    """

    def __init__(
        self,
        *,
        most: int = 10**9,
        failing: str | None = None,
        status: int = 400,
        providers: tuple[str | None, ...] = ("Cohere",),
        cost: float | None = 0.25,
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self._most, self._failing, self._status = most, failing, status
        self._providers, self._cost = providers, cost
        self._numbers = itertools.count(1)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Return the answer."""
        asked = json.loads(request.content)
        number = next(self._numbers)  # threads ask at the same time
        self.requests.append(asked)
        texts = [
            document if isinstance(document, str) else document.get("text", "")
            for document in asked["documents"]
        ]
        if len(texts) > self._most:
            return httpx.Response(413, json={"error": {"code": 413, "message": "too large"}})
        if self._failing is not None and any(self._failing in text for text in texts):
            error = {"code": self._status, "message": f"failed on {self._failing}"}
            return httpx.Response(self._status, json={"error": error})
        order = sorted(range(len(texts)), key=lambda index: (-len(texts[index]), index))
        ranked = order[: asked.get("top_n", len(order))]
        pinned = (asked.get("provider") or {}).get("order")
        provider = pinned[0] if pinned else self._providers[(number - 1) % len(self._providers)]
        usage = {"search_units": math.ceil(len(texts) / 100), "cost": self._cost}
        answer = {
            "id": f"gen-{number}",
            "model": "m",
            "provider": provider,
            "results": [
                {"index": index, "relevance_score": len(texts[index]), "document": {"text": texts[index]}}
                for index in ranked
            ],
            "usage": {name: value for name, value in usage.items() if value is not None},
        }
        return httpx.Response(200, json=answer)

    @property
    def sizes(self) -> list[int]:
        """The number of documents of each request."""
        return [len(asked["documents"]) for asked in self.requests]
