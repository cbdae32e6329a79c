"""Documents that come back without a score are told of: on the ranking, in the log, and by the commands."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import pytest

from driving import answered, call, finish, ranked
from openrouter_rerank import Ranking, Reranker
from openrouter_rerank.bulk.cache import MemoryCache
from openrouter_rerank.bulk.large import split_by_words
from shells import KEY, Handler, Shell

SAYS = "documents came back without a score"


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings of the library."""
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert all(record.name == "openrouter_rerank" for record in records)
    return [record.getMessage() for record in records]


def dropping(*texts: str, extra: dict[str, Any] | None = None) -> Handler:
    """Return a server that leaves these texts out, scores the others by their length, and keeps to top_n."""

    def answer(request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content)
        scored = [
            {"index": index, "relevance_score": len(text)}
            for index, text in enumerate(asked["documents"])
            if text not in texts
        ]
        scored.sort(key=lambda result: -result["relevance_score"])
        return httpx.Response(200, json={"results": scored[: asked.get("top_n")], **(extra or {})})

    return answer


@pytest.mark.parametrize(
    ("top_n", "indices", "unranked"),
    [
        (None, [0, 1, 2], ()),
        (None, [0, 2], (1,)),
        (None, [2], (0, 1)),
        (None, [], (0, 1, 2)),
        (3, [0, 2], (1,)),
        (9, [0, 2], (1,)),
        (2, [0, 2], ()),
        (2, [0, 1, 2], ()),
        (2, [2], (0, 1)),
        (1, [], (0, 1, 2)),
    ],
)
def test_unranked(
    top_n: int | None, indices: list[int], unranked: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a score are those of which fewer came back than were asked for; a warning says so, once."""
    ranking = finish(call(top_n=top_n), ranked(*((index, 1.0) for index in indices)))

    assert ranking.unranked == unranked
    assert ranking.indices == indices[:top_n]
    says = f"{len(unranked)} of 3 {SAYS}; ranking.unranked has their indices"
    assert warnings_of(caplog) == ([says] if unranked else [])
    assert (f"unranked={len(unranked)}" in repr(ranking)) is bool(unranked)
    assert (f"unranked={len(unranked)}" in ranking._repr_html_()) is bool(unranked)


def test_what_min_score_drops_has_a_score(caplog: pytest.LogCaptureFixture) -> None:
    """A hit below the least score came back."""
    whole = finish(call(min_score=0.5), ranked((0, 0.9), (1, 0.1), (2, 0.2)))
    assert (whole.indices, whole.unranked) == ([0], ())
    assert not warnings_of(caplog)

    missing = finish(call(min_score=0.5), ranked((0, 0.9), (1, 0.1)))
    assert (missing.indices, missing.unranked) == ([0], (2,))


def test_no_documents_miss_none(caplog: pytest.LogCaptureFixture) -> None:
    """Without documents none is missing."""
    with Reranker(KEY) as client:
        assert client.rerank("q", []).unranked == ()
    assert not warnings_of(caplog)


def test_one_document(caplog: pytest.LogCaptureFixture) -> None:
    """The only document can be missing."""
    ranking = finish(call(documents=["a"]), answered(200, {"results": []}))

    assert (len(ranking), ranking.unranked) == (0, (0,))
    assert warnings_of(caplog) == [f"1 of 1 {SAYS}; ranking.unranked has their indices"]


def test_missing_in_parts(any_shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """Documents missing in a part are missing in the whole, and one warning covers all parts."""
    with any_shell.open(dropping("b", "ee"), max_documents=2) as rank:
        ranking: Ranking[str] = rank("q", ["a", "b", "ccc", "dddd", "ee"])

    assert (ranking.indices, ranking.unranked) == ([3, 2, 0], (1, 4))
    assert len(ranking.parts) == 3
    assert all(part.error is None for part in ranking.parts)
    assert warnings_of(caplog) == [f"2 of 5 {SAYS}; ranking.unranked has their indices"]


def test_missing_beside_a_part_that_failed(caplog: pytest.LogCaptureFixture) -> None:
    """Both are listed: what a part left out, and the documents of a part that failed."""
    server = dropping("b")

    def failing(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400) if b"dddd" in request.content else server(request)

    client = httpx.Client(transport=httpx.MockTransport(failing))
    with Reranker(KEY, http_client=client, max_documents=2, on_part_error="partial") as reranker:
        ranking = reranker.rerank("q", ["a", "b", "ccc", "dddd", "ee"])

    assert (ranking.indices, ranking.unranked) == ([4, 0], (1, 2, 3))
    assert len(warnings_of(caplog)) == 1


def test_top_n_in_parts(caplog: pytest.LogCaptureFixture) -> None:
    """Parts that bring as many as were asked for miss nothing; one that brings fewer may miss any of its others."""
    documents = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff"]
    for dropped, unranked in (((), ()), (("a", "bb"), (0, 1))):
        client = httpx.Client(transport=httpx.MockTransport(dropping(*dropped)))
        with Reranker(KEY, http_client=client, max_documents=3, top_n=2) as reranker:
            ranking = reranker.rerank("q", documents)

        assert (ranking.indices, ranking.unranked) == ([5, 4], unranked)
    assert len(warnings_of(caplog)) == 1


def test_a_server_that_ignores_top_n_in_parts(shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """Of each part the best are taken, and of the whole the best of these; the log says so to who listens."""

    def ignoring(request: httpx.Request) -> httpx.Response:
        texts = json.loads(request.content)["documents"]
        scored = [{"index": index, "relevance_score": len(text)} for index, text in enumerate(texts)]
        return httpx.Response(200, json={"results": scored})

    with caplog.at_level(logging.DEBUG, "openrouter_rerank"), shell.open(ignoring, max_documents=2) as rank:
        ranking = rank("q", ["a", "bb", "ccc", "dddd"], top_n=1)

    assert (ranking.indices, ranking.unranked, ranking.reordered) == ([3], (), True)
    assert "ignored top_n: cut 2 results to the best 1" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_a_document_in_pieces(caplog: pytest.LogCaptureFixture) -> None:
    """A document is ranked if any piece of it is."""
    client = httpx.Client(transport=httpx.MockTransport(dropping("b b", "c")))
    with Reranker(KEY, http_client=client, splitter=split_by_words(2)) as reranker:
        ranking = reranker.rerank("q", ["a a b b", "b b c", "dddd"])

    assert (ranking.indices, ranking.unranked) == ([2, 0], (1,))
    assert len(warnings_of(caplog)) == 1


def test_a_cached_ranking_says_it_again(caplog: pytest.LogCaptureFixture) -> None:
    """A cached answer misses the same documents, and warns each time."""
    client = httpx.Client(transport=httpx.MockTransport(dropping("b")))
    with Reranker(KEY, http_client=client, cache=MemoryCache()) as reranker:
        rankings = [reranker.rerank("q", ["a", "b"]) for _ in range(2)]

    assert [ranking.cached for ranking in rankings] == [False, True]
    assert [ranking.unranked for ranking in rankings] == [(1,), (1,)]
    assert len(warnings_of(caplog)) == 2


def test_many_say_it_each(any_shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """In a run each ranking says it for itself."""
    if any_shell.name == "sync":
        with any_shell.open(dropping("b"), "rerank_many") as many:
            results = list(many([("q", ["a", "b"]), ("q", ["a"]), ("q", ["b"])]))
        assert [result.unwrap().unranked for result in results] == [(1,), (), (0,)]
        assert len(warnings_of(caplog)) == 2
    else:
        with any_shell.open(dropping("b")) as rank:
            assert rank("q", ["a", "b"], on_error="keep_order").unranked == (1,)


def test_an_estimate_misses_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is sent, so nothing is missing."""
    with Reranker(KEY, max_documents=1) as reranker:
        reranker.dry_run([("q", ["a", "b"]), ("q", ["a"])])

    assert not warnings_of(caplog)


# Usage in others' places


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"meta": {"billed_units": {"search_units": 1}}}, (None, 1, None)),
        ({"meta": {"billed_units": {"search_units": 2.0, "input_tokens": None}}}, (None, 2, None)),
        ({"meta": {"billed_units": {"total_tokens": 7}}}, (None, None, 7)),
        ({"meta": {"billed_units": {"input_tokens": 6, "output_tokens": 1}}}, (None, None, 7)),
        ({"meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 9}}}, (None, 1, None)),
        ({"meta": {"tokens": {"input_tokens": 9, "output_tokens": 9}}}, (None, None, 9)),
        ({"tokens": {"input_tokens": 3, "output_tokens": 1}}, (None, None, 4)),
        ({"meta": {"tokens": None}, "tokens": {"input_tokens": 3}}, (None, None, 3)),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": 2}}, (None, None, 5)),
        ({"usage": {"input_tokens": 3}}, (None, None, 3)),
        ({"usage": {"total_tokens": 8, "prompt_tokens": 3}}, (None, None, 8)),
        ({"usage": {"total_tokens": "8", "prompt_tokens": 3}}, (None, None, None)),
        # what the contract has a place for goes before
        (
            {"usage": {"search_units": 3, "cost": 0.5}, "meta": {"billed_units": {"search_units": 1}}},
            (0.5, 3, None),
        ),
        ({"usage": {"cost": 0.5}, "meta": {"billed_units": {"search_units": 1}}}, (0.5, 1, None)),
        ({"usage": {"search_units": 0}, "meta": {"billed_units": {"search_units": 1}}}, (None, 0, None)),
        ({"meta": [], "tokens": 5}, (None, None, None)),
        ({"meta": {"billed_units": 5, "tokens": "x"}}, (None, None, None)),
        ({"meta": {"billed_units": {"search_units": 1e300}}}, (None, None, None)),
        ({"usage": {"total_tokens": 10**30}}, (None, None, None)),
    ],
)
def test_usage(more: dict[str, Any], expected: tuple[Any, ...]) -> None:
    """Billed units are read where servers put them, and are unknown otherwise."""
    usage = finish(call(), ranked((0, 1), (1, 1), (2, 1), **more)).usage

    assert (usage.cost, usage.search_units, usage.total_tokens) == expected


def test_the_ledger_knows_it() -> None:
    """Units in Cohere's place of an answer are entered in the ledger."""
    server = dropping(extra={"meta": {"billed_units": {"search_units": 2}}})
    with Reranker(KEY, http_client=httpx.Client(transport=httpx.MockTransport(server))) as reranker:
        reranker.rerank("q", ["a"])

        assert reranker.ledger.search_units == 2
