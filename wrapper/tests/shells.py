"""The two shells of the facade under one test body: a test opens one and need not know which."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from openrouter_rerank import AsyncReranker, Ranking, Reranker, Retries

KEY = "sk-or-v1-the-key-that-nobody-may-see"
QUICK = Retries(first_wait=0.01)

Handler = Callable[[httpx.Request], httpx.Response]


class Shell:
    """One of the two shells, the async one on one of its event loops."""

    def __init__(self, name: str) -> None:
        self.name = name

    @contextmanager
    def open(self, handler: Handler | None = None, **settings: Any) -> Generator[Callable[..., Ranking[Any]]]:
        """The `rerank` of a reranker; a handler answers in place of a server."""
        given = {"api_key": KEY, "retries": QUICK, **settings}
        if self.name == "sync":
            if handler is not None:
                given["http_client"] = httpx.Client(transport=httpx.MockTransport(handler))
            with Reranker(**given) as reranker:
                yield reranker.rerank
            return
        if handler is not None:
            given["http_client"] = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        with (
            start_blocking_portal(self.name) as portal,
            portal.wrap_async_context_manager(portal.call(partial(AsyncReranker, **given))) as reranker,
        ):
            yield lambda *args, **kwargs: portal.call(partial(reranker.rerank, *args, **kwargs))

    def rank(self, handler: Handler | None = None, **settings: Any) -> Ranking[str]:
        """One call, for the query "q" and the documents "a", "b" and "c"."""
        with self.open(handler, **settings) as rank:
            return rank("q", ["a", "b", "c"])
