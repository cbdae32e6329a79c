"""The original order of documents where ranking fails and the caller asked to go on."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

from openrouter_rerank import (
    AuthenticationError,
    BudgetExceededError,
    OriginalOrder,
    RateLimitError,
    ServerError,
    Usage,
)
from shells import Scoring, Shell


def broken(status: int) -> Scoring:
    """Return a server that fails with the status."""
    return Scoring(failing="", status=status)


def test_a_ranking_is_a_ranking(any_shell: Shell) -> None:
    """A call that succeeds gives what it always does, and says that it was ranked."""
    with any_shell.open(Scoring()) as rank:
        ranking: Any = rank("q", ["a", "bb"], on_error="keep_order")

    assert ranking.documents == ["bb", "a"]
    assert ranking.reranked is True
    assert ranking.reason is None


@pytest.mark.parametrize(
    ("status", "kind"), [(500, ServerError), (429, RateLimitError), (401, AuthenticationError)]
)
def test_the_order_is_kept(any_shell: Shell, status: int, kind: Any) -> None:
    """Any RerankError gives the documents as they came, one that only the caller can mend too; no score is made up."""
    documents = [{"text": "a"}, {"text": "bb"}, {"text": "c"}]
    with any_shell.open(broken(status)) as rank:
        kept: Any = rank("q", iter(documents), on_error="keep_order")

    assert isinstance(kept, OriginalOrder)
    assert kept.reranked is False
    assert isinstance(kept.reason, kind)
    assert all(found is given for found, given in zip(kept.documents, documents, strict=True))
    assert kept.indices == [0, 1, 2]
    assert kept.scores == [None, None, None]
    assert [(hit.index, hit.score) for hit in kept] == [(0, None), (1, None), (2, None)]
    assert kept[1].document is documents[1]
    assert kept[1:] == kept.hits[1:]
    assert kept.total == len(kept) == 3
    assert kept.usage == Usage()
    assert kept.attempts == kept.reason.attempts
    assert len(kept.attempts) == (1 if status == 401 else 3)
    assert kept.elapsed == kept.reason.elapsed > 0


@pytest.mark.parametrize(
    ("client", "call", "kept"),
    [
        ({}, {"top_n": 2}, ["a", "b"]),
        ({"top_n": 1}, {}, ["a"]),
        ({"top_n": 1}, {"top_n": 2}, ["a", "b"]),
        ({}, {"top_n": 9}, ["a", "b", "c"]),
        ({"min_score": 0.5}, {"min_score": 0.9}, ["a", "b", "c"]),
    ],
)
def test_top_n_holds_and_min_score_does_not(shell: Shell, client: Any, call: Any, kept: list[str]) -> None:
    """The list is cut to top_n; min_score drops nothing, as there are no scores."""
    with shell.open(broken(400), **client) as rank:
        found = rank("q", ["a", "b", "c"], on_error="keep_order", **call)
    assert found.documents == kept
    assert found.total == 3


def test_a_spent_budget_keeps_the_order(shell: Shell) -> None:
    """A search goes on without the money for ranking, and says why."""
    with shell.open(Scoring(cost=1.0), max_cost=1.5) as rank:
        rank("q", ["a", "bb"])
        kept = rank("q", ["a", "bb"], on_error="keep_order")

    assert kept.documents == ["a", "bb"]
    assert isinstance(kept.reason, BudgetExceededError)
    assert kept.attempts == ()


def test_a_large_list_keeps_its_order(shell: Shell) -> None:
    """A list of which a part fails is kept whole, or ranked in part, as the caller says."""
    documents = ["a", "b", "bad", "dddd"]
    with shell.open(Scoring(failing="bad"), max_documents=2) as rank:
        kept = rank("q", documents, on_error="keep_order")
        partial = rank("q", documents, on_error="keep_order", on_part_error="partial")

    assert (kept.documents, kept.reranked) == (documents, False)
    assert (partial.documents, partial.reranked) == (["a", "b"], True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"query": ""}, ValueError),
        ({"documents": "one text"}, TypeError),
        ({"documents": [7]}, TypeError),
        ({"top_n": 0}, ValueError),
        ({"on_error": "keep"}, ValueError),
        ({"on_error": None}, ValueError),
    ],
)
def test_mistakes_are_raised(shell: Shell, arguments: Any, error: Any) -> None:
    """An error of the caller is raised, not treated as a failure of ranking."""
    server = Scoring()
    with shell.open(server) as rank, pytest.raises(error):
        rank(**{"query": "q", "documents": ["a"], "on_error": "keep_order", **arguments})
    assert not server.requests


def test_no_documents(shell: Shell) -> None:
    """An empty list is ranked, as nothing can fail."""
    with shell.open(broken(500)) as rank:
        assert rank("q", [], on_error="keep_order").reranked is True


def test_it_shows_and_pickles() -> None:
    """The repr has the reason and the first documents; a copy is the same."""
    with Shell("sync").open(broken(500)) as rank:
        kept = rank("q", [f"document {number}" for number in range(9)], on_error="keep_order")

    lines = repr(kept).splitlines()
    assert lines[0].startswith("<OriginalOrder: 9 of 9 documents, 500 Internal Server Error")
    assert lines[1] == "  -  [0] document 0"
    assert lines[-1] == "  ... 4 more"
    copy = pickle.loads(pickle.dumps(kept))
    assert (copy.hits, copy.total, str(copy.reason)) == (kept.hits, 9, str(kept.reason))
    short = OriginalOrder(kept.hits[:1], total=1, reason=kept.reason)
    assert len(repr(short).splitlines()) == 2


def test_the_default_is_to_raise(shell: Shell) -> None:
    """The original order is returned only to callers that ask for it."""

    def refuse(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400)

    with shell.open(refuse) as rank:
        for arguments in ({}, {"on_error": "raise"}):
            with pytest.raises(Exception, match="400 Bad Request"):
                rank("q", ["a"], **arguments)
