"""The public API as a caller writes it, for the type checkers: it is read by them, and never run."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_type

import httpx

from openrouter_rerank import (
    AsyncReranker,
    Attempt,
    Document,
    Hit,
    Ranking,
    Reranker,
    RerankError,
    ResponseError,
    Retries,
    Usage,
)
from openrouter_rerank_api.models import ProviderPreferences, RerankResponse, Trace


@dataclass
class Page:
    """A document of the caller's own."""

    title: str
    body: str


def text_of(page: Page) -> str:
    """What to send of a page."""
    return page.body


def documents_come_back_as_they_are(reranker: Reranker, pages: Iterable[Page], paths: list[Path]) -> None:
    """The type of the documents is the type of the hits' documents."""
    assert_type(reranker.rerank("q", ["a", "b"]), Ranking[str])
    assert_type(reranker.rerank("q", [{"text": "a"}]), Ranking[dict[str, str]])
    assert_type(reranker.rerank("q", [Document(text="a")]), Ranking[Document])
    assert_type(reranker.rerank("q", paths), Ranking[Path])
    assert_type(reranker.rerank("q", pages, key=text_of), Ranking[Page])
    assert_type(reranker.rerank("q", pages, key=lambda page: page.title), Ranking[Page])
    assert_type(reranker.rerank("q", pages, key=lambda page: Document(text=page.title)), Ranking[Page])
    assert_type(reranker.rerank("q", pages, key="body"), Ranking[Page])
    assert_type(reranker.rerank("q", (page for page in pages), key="body"), Ranking[Page])

    ranking = reranker.rerank("q", pages, key=text_of)
    assert_type(ranking[0], Hit[Page])
    assert_type(ranking[:2], tuple[Hit[Page], ...])
    assert_type(ranking.hits, tuple[Hit[Page], ...])
    assert_type(ranking.documents, list[Page])
    assert_type(ranking.indices, list[int])
    assert_type(ranking.scores, list[float])
    assert_type([hit.document for hit in ranking], list[Page])
    hits: Sequence[Hit[Page]] = ranking
    assert_type(max(hits, key=lambda hit: hit.score).document, Page)


def what_a_ranking_knows(ranking: Ranking[str]) -> None:
    """Everything else on a ranking; what may be unknown is None."""
    assert_type(ranking.id, str | None)
    assert_type(ranking.model, str | None)
    assert_type(ranking.provider, str | None)
    assert_type(ranking.usage, Usage)
    assert_type(ranking.usage.cost, float | None)
    assert_type(ranking.usage.search_units, int | None)
    assert_type(ranking.usage.total_tokens, int | None)
    assert_type(ranking.request_id, str | None)
    assert_type(ranking.headers["content-type"], str)
    assert_type(ranking.elapsed, float)
    assert_type(ranking.attempts, tuple[Attempt, ...])
    assert_type(ranking.reordered, bool)
    assert_type(ranking.response, RerankResponse)


def every_argument(http_client: httpx.Client, score: Callable[[str, Sequence[str]], list[float]]) -> None:
    """All arguments of the constructor and of a call, in the forms that they take."""
    with Reranker(
        "key",
        base_url="https://openrouter.ai/api/v1",
        model="cohere/rerank-v3.5",
        top_n=5,
        min_score=0.5,
        provider={"order": ["cohere"], "max_price": {"request": "0.01"}},
        session_id="s",
        user="u",
        trace={"trace_name": "t", "anything": 1},
        timeout=10,
        deadline=None,
        retries=Retries(attempts=5, first_wait=1, longest_wait=10, timeouts=True),
        app_title="T",
        app_referer="https://app.example",
        app_categories=["search", "cli-agent"],
        extra_body={"priority": 1},
        extra_headers={"X-A": "1"},
        max_image_bytes=1_000_000,
        http_client=http_client,
    ) as reranker:
        assert_type(reranker, Reranker)
        reranker.rerank(
            "q",
            ("a", "b"),
            key=None,
            model="voyageai/rerank-2.5",
            top_n=1,
            min_score=0,
            provider=ProviderPreferences(zdr=True),
            session_id="s",
            user="u",
            trace=Trace(trace_name="t"),
            timeout=5,
            extra_body={"priority": 2},
            extra_headers={"X-A": "2"},
        )
    assert_type(Reranker.local(), Reranker)
    Reranker.local("lexical", top_n=3, retries=Retries(attempts=1)).close()
    Reranker.local(score).close()


async def the_async_twin(http_client: httpx.AsyncClient, pages: list[Page]) -> None:
    """The same, awaited."""
    async with AsyncReranker(http_client=http_client) as reranker:
        assert_type(reranker, AsyncReranker)
        ranking = await reranker.rerank("q", pages, key="title", top_n=2)
        assert_type(ranking, Ranking[Page])
    local = AsyncReranker.local("lexical")
    assert_type(local, AsyncReranker)
    await local.aclose()


def errors(error: RerankError) -> float | None:
    """What an error carries."""
    assert_type(error.message, str)
    assert_type(error.retryable, bool)
    assert_type(error.attempts, tuple[Attempt, ...])
    assert_type(error.elapsed, float)
    if isinstance(error, ResponseError):
        assert_type(error.status, int)
        assert_type(error.body, bytes)
        assert_type(error.request_id, str | None)
        assert_type(error.code, int | None)
        assert_type(error.error_type, str | None)
        assert_type(error.provider, str | None)
        return error.retry_after
    return None
