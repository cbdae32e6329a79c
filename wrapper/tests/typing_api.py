"""The public API as a caller writes it, for the type checkers: it is read by them, and never run."""

# pyright: reportUnnecessaryTypeIgnoreComment=error

from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, assert_type

import httpx

from openrouter_rerank import (
    AsyncReranker,
    Attempt,
    Document,
    Hit,
    ModelInfo,
    OriginalOrder,
    Part,
    Ranking,
    Reranker,
    RerankError,
    ResponseError,
    Retries,
    UnscoredHit,
    Usage,
    diagnose,
)
from openrouter_rerank.bulk import AsyncResults, RerankRequest, Result, Results, split_by_words
from openrouter_rerank.bulk.cache import DiskCache, MemoryCache
from openrouter_rerank.bulk.money import Estimate
from openrouter_rerank.ledger import Ledger, Totals
from openrouter_rerank_api.dialects import Dialect
from openrouter_rerank_api.models import ProviderPreferences, RerankResponse, Trace


@dataclass
class Page:
    """A document of the caller's own."""

    title: str
    body: str


def text_of(page: Page) -> str:
    """Return the text of a page."""
    return page.body


def documents_come_back_as_they_are(reranker: Reranker, pages: Iterable[Page], paths: list[Path]) -> None:
    """Return the type of the documents is the type of the hits' documents."""
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


def what_is_known_of_models(reranker: Reranker) -> None:
    """Return the list of models; what may be unknown is None."""
    assert_type(reranker.models(timeout=5, extra_headers={"X-A": "1"}), list[ModelInfo])
    (model,) = reranker.models()
    assert_type(model.id, str)
    assert_type(model.context_length, int | None)
    assert_type(model.price_per_search, float | None)
    assert_type(model.price_per_token, float | None)
    assert_type(model.input_modalities, tuple[str, ...] | None)


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


def the_order_is_kept(reranker: Reranker, pages: list[Page], *, lenient: bool) -> None:
    """Return a score may be None for those who ask for it, and for nobody else."""
    assert_type(reranker.rerank("q", pages, key="body", on_error="raise"), Ranking[Page])
    either = reranker.rerank("q", pages, key="body", top_n=3, on_error="keep_order")
    assert_type(either, Ranking[Page] | OriginalOrder[Page])
    assert_type(either.documents, list[Page])
    assert_type(either.usage, Usage)
    assert_type(either.attempts, tuple[Attempt, ...])
    assert_type(either.reason, RerankError | None)
    if either.reranked is True:
        assert_type(either, Ranking[Page])
        assert_type(either[0].score, float)
    else:
        assert_type(either, OriginalOrder[Page])
        assert_type(either[0], UnscoredHit[Page])
        assert_type(either.scores, list[None])
        assert_type(either.reason, RerankError)
    chosen: Literal["raise", "keep_order"] = "keep_order" if lenient else "raise"
    assert_type(reranker.rerank("q", ["a"], on_error=chosen), Ranking[str] | OriginalOrder[str])


def large_lists_and_money(pages: list[Page]) -> None:
    """Use splitting, the ledger, the cache and the estimate."""
    with Reranker(
        "key",
        max_documents=500,
        max_bytes=1_000_000,
        on_part_error="partial",
        splitter=split_by_words(300, overlap=50),
        max_cost=1,
        cache=MemoryCache(max_entries=10, ttl=60),
        tag="nightly",
    ) as reranker:
        ranking = reranker.rerank(
            "q",
            pages,
            key=text_of,
            tag="t",
            max_documents=10,
            max_bytes=1000,
            on_part_error="raise",
            splitter=str.splitlines,
        )
        assert_type(ranking, Ranking[Page])
        assert_type(ranking.parts, tuple[Part, ...])
        assert_type(ranking.parts[0].error, RerankError | None)
        assert_type(ranking.unranked, tuple[int, ...])
        assert_type(ranking.mixed, bool)
        assert_type(ranking.cached, bool)
        assert_type(reranker.ledger, Ledger)
        assert_type(reranker.ledger.cost, float)
        assert_type(reranker.ledger.by_tag["t"], Totals)
        assert_type(reranker.dry_run([{"query": "q", "documents": ["a"]}]), Estimate)
    Reranker.local(cache=DiskCache("answers.sqlite")).close()


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
    """Use the async client."""
    async with AsyncReranker(http_client=http_client) as reranker:
        assert_type(reranker, AsyncReranker)
        ranking = await reranker.rerank("q", pages, key="title", top_n=2)
        assert_type(ranking, Ranking[Page])
        either = await reranker.rerank("q", pages, key="title", on_error="keep_order")
        assert_type(either, Ranking[Page] | OriginalOrder[Page])
        assert_type(await reranker.dry_run([("q", ["a"])]), Estimate)
        assert_type(await reranker.models(), list[ModelInfo])
    local = AsyncReranker.local("lexical")
    assert_type(local, AsyncReranker)
    await local.aclose()


def errors(error: RerankError) -> float | None:
    """Use the attributes of errors."""
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


def many_results_keep_the_type_of_the_documents(
    reranker: Reranker, pages: list[Page], mappings: list[dict[str, str]]
) -> None:
    """Check that a result has the type of its request's documents; for mappings it is unknown."""
    results = reranker.rerank_many([RerankRequest("q", pages, key="body")])
    assert_type(results, Results[Page])
    for result in results:
        assert_type(result, Result[Page])
        assert_type(result.unwrap(), Ranking[Page] | OriginalOrder[Page])
    assert_type(reranker.rerank_many([("q", ["a", "b"])]), Results[str])
    assert_type(reranker.rerank_many(mappings), Results[Any])
    RerankRequest("q", pages, key=len)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]


async def so_do_async_ones(reranker: AsyncReranker, requests: AsyncIterable[RerankRequest[Page]]) -> None:
    """Accept requests from an async iterable too."""
    assert_type(reranker.rerank_many([("q", ["a", "b"])]), AsyncResults[str])
    async for result in reranker.rerank_many(requests):
        assert_type(result, Result[Page])


def dialects_are_names(dialect: Dialect) -> None:
    """A dialect is one of the names, and its fields are options with their types."""
    reranker = Reranker(dialect="tei", base_url="http://localhost:8080", truncate=True)
    assert_type(reranker.rerank("q", ["a"], truncation_direction="Left"), Ranking[str])
    assert_type(reranker.with_options(raw_scores=True), Reranker)
    AsyncReranker(dialect=dialect, base_url=None)
    Reranker(dialect="cohere")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    reranker.rerank("q", ["a"], truncation_direction="Up")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    reranker.rerank("q", ["a"], max_tokens_per_doc="5")  # type: ignore[call-overload] # pyright: ignore[reportCallIssue, reportArgumentType]
    RerankRequest("q", ["a"], instruction="by place")


def documents_of_several_types(reranker: Reranker, unknown: Any) -> None:
    """Accept a list whose documents are of several types."""
    ranking: Ranking[Any] = reranker.rerank("q", ["a", {"text": "b"}, Document(text="c"), Path("d.png")])
    assert_type(ranking.indices, list[int])
    assert_type(reranker.rerank("q", unknown), Ranking[Any])
    assert_type(reranker.rerank("q", (text for text in ["a", "b"])), Ranking[str])
    assert_type(reranker.rerank("q", {"a", "b"}), Ranking[str])
    assert_type(ranking.to_dicts(), list[dict[str, Any]])
    for index, score, document, *_ in ranking:
        del index, score, document


async def mistakes_that_type_checkers_find(
    reranker: Reranker, twin: AsyncReranker, pages: list[Page], texts: list[str]
) -> None:
    """Refuse wrong uses; each line would fail at run time too."""
    # One text is not a list of texts.
    reranker.rerank("q", "abc")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    await twin.rerank("q", "abc")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    RerankRequest("q", "abc")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType]
    reranker.rerank_many([("q", "abc")])  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    # Objects need a key.
    reranker.rerank("q", pages)  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue]
    await twin.rerank("q", pages)  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue]
    reranker.rerank("q", [1, 2])  # type: ignore[type-var] # pyright: ignore[reportArgumentType, reportCallIssue]
    reranker.rerank("q", pages, key=len)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType, reportCallIssue]
    # Misspelt arguments and keys.
    reranker.rerank("q", texts, top_k=3)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    reranker.rerank("q", texts, provider={"data_colection": "deny"})  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    Reranker(apikey="key")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    reranker.models(tiemout=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    reranker.dry_run([], top_n=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    reranker.rerank_many([("q", texts)], concurency=1)  # type: ignore[call-overload] # pyright: ignore[reportCallIssue]
    diagnose("http://127.0.0.1:9", dialct="tei")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Retries(attemps=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Document(txt="a")  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    MemoryCache(max_entry=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    split_by_words(3, overlaps=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    Reranker.local(foo=1)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    # Values of another type.
    reranker.rerank("q", texts, top_n="3")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    reranker.rerank("q", texts, blank="drop")  # type: ignore[call-overload] # pyright: ignore[reportArgumentType, reportCallIssue]
    Reranker(retries=3)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
