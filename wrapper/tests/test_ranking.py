"""A ranking is a sequence worth reading: by index, by name, in a terminal, in a notebook, in another process."""

from __future__ import annotations

import copy
import json
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import httpx
import msgspec
import pytest

from driving import answered, call, finish, ranked
from openrouter_rerank import (
    APIConnectionError,
    Hit,
    InvalidResponseError,
    OriginalOrder,
    Ranking,
    UnscoredHit,
    Usage,
    answer,
)
from openrouter_rerank.ranking import NOTHING_BILLED, agreed, sum_usage
from openrouter_rerank.redaction import Redactor
from shells import Shell

WHOLE: dict[str, Any] = {
    "id": "gen-rerank-1",
    "model": "rerank-v3.5",
    "provider": "Cohere",
    "results": [
        {"index": 2, "relevance_score": 0.9, "document": {"text": "c", "lang": "en"}, "tokens": 3},
        {"index": 0, "relevance_score": 0.25, "document": {"text": "a"}},
    ],
    "usage": {"cost": 0.001, "search_units": 1, "discount": 0.5},
    "created": 1786406400,
}


def whole() -> Ranking[str]:
    """Return a ranking of "a", "b", "c", with all that a server may say."""
    return finish(call(), answered(200, WHOLE, x_request_id="r"))


class TaggedHit(Hit[Any], frozen=True):
    """A hit of a contract with a list in each result."""

    tags: list[str] | None = None


class PartedUsage(Usage, frozen=True):
    """A usage of a contract with an object in it."""

    parts: dict[str, int] | None = None


@pytest.mark.parametrize(
    "make",
    [
        lambda: Hit(0, 0.5, "a"),
        lambda: Hit(0, 0.5, {"text": "a"}),
        lambda: TaggedHit(0, 0.5, "a", tags=["b"]),
        lambda: Usage(cost=0.5),
        lambda: PartedUsage(cost=0.5, parts={"query": 3}),
    ],
)
def test_values_are_hashable(make: Callable[[], object]) -> None:
    """A hit and a usage can be in a set, whatever the document is and whatever fields a later contract adds."""
    assert {make(), make()} == {make()}


def test_sequence() -> None:
    """Hits by position and by slice, backwards, by search, in a loop, unpacked: as any sequence."""
    ranking = whole()
    first, second = ranking

    assert isinstance(ranking, Sequence)
    assert (first, second) == ranking.hits
    assert len(ranking) == 2
    assert ranking[0] is first
    assert ranking[-1] is second
    assert ranking[:1] == (first,)
    assert ranking[::-1] == (second, first)
    assert list(reversed(ranking)) == [second, first]
    assert first in ranking
    assert Hit(index=7, score=0.9, document="c") not in ranking
    assert ranking.index(second) == 1
    assert ranking.count(first) == 1
    with pytest.raises(IndexError):
        ranking[2]


def test_a_hit_unpacks_in_the_order_of_its_fields() -> None:
    """A hit unpacks to its index, score and document; one without a score to the same places."""
    assert [(index, score, document) for index, score, document, *_ in whole()] == [
        (2, 0.9, "c"),
        (0, 0.25, "a"),
    ]
    assert list(UnscoredHit(1, "b")) == [1, None, "b"]


def test_dicts_and_tables() -> None:
    """A ranking is a list of dicts, and a table with typed columns, also if it is empty or was not ranked."""
    pandas = pytest.importorskip("pandas")
    kept: OriginalOrder[str] = OriginalOrder(
        (UnscoredHit(0, "a"),), total=1, reason=APIConnectionError("no answer")
    )

    assert whole().to_dicts() == [
        {"index": 2, "score": 0.9, "document": "c"},
        {"index": 0, "score": 0.25, "document": "a"},
    ]
    assert kept.to_dicts() == [{"index": 0, "score": None, "document": "a"}]
    for ranking in (whole(), kept, Ranking[str](hits=(), total=0)):
        table = ranking.to_pandas()
        expected = {"index": ranking.indices, "score": ranking.scores, "document": ranking.documents}
        expected_table = pandas.DataFrame(expected).astype({"index": "int64", "score": "float64"})
        pandas.testing.assert_frame_equal(table, expected_table, check_dtype=len(ranking) > 0)
        assert str(table.dtypes["score"]) == "float64"


def test_a_table_needs_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pandas the error says what to install."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_pandas\\(\\) needs pandas; run `pip install pandas`"):
        whole().to_pandas()


def test_an_empty_ranking_is_false() -> None:
    """As an empty list is."""
    assert not finish(call(), ranked())
    assert whole()


def test_columns() -> None:
    """Documents, indices and scores, each as a list, best first."""
    ranking = whole()

    assert ranking.documents == ["c", "a"]
    assert ranking.indices == [2, 0]
    assert ranking.scores == [0.9, 0.25]


def test_hits() -> None:
    """A hit is index, score and document, which it shows, is compared by, and keeps."""
    hit = whole()[0]

    assert (hit.index, hit.score, hit.document) == (2, 0.9, "c")
    assert hit == Hit(index=2, score=0.9, document="c")
    assert repr(hit) == "Hit(index=2, score=0.9, document='c')"
    with pytest.raises(AttributeError):
        hit.score = 1.0  # type: ignore[misc] # that it cannot be set is the fact


def test_the_typed_answer() -> None:
    """`response` is the whole answer of the low-level client, with the fields that the contract does not name."""
    response = whole().response

    assert response.model == "rerank-v3.5"
    assert response.results[0].relevance_score == 0.9
    assert response.results[0].document.text == "c"
    assert response.additional_properties == {"created": 1786406400}
    assert response.results[0].additional_properties == {"tokens": 3}
    assert response.results[0].document.additional_properties == {"lang": "en"}
    assert response.usage.additional_properties == {"discount": 0.5}  # type: ignore[union-attr] # it is set
    assert response.to_dict() == WHOLE


def test_the_typed_answer_is_read_once() -> None:
    """A second look gives the same object."""
    ranking = whole()

    assert ranking.response is ranking.response


def test_the_typed_answer_that_is_not_all_there() -> None:
    """If the server left out what only the contract requires, `response` names the location, and `body` has the rest."""
    ranking = finish(
        call(), answered(200, {"results": [{"index": 0, "relevance_score": 1}]}, x_request_id="r")
    )

    with pytest.raises(InvalidResponseError, match="the answer is a ranking, but") as caught:
        ranking.response  # noqa: B018 - that it raises is the fact

    assert (caught.value.status, caught.value.request_id) == (200, "r")
    assert caught.value.body == ranking.body


@pytest.mark.parametrize("status", [201, 202])
def test_the_typed_answer_of_another_success(status: int) -> None:
    """Any 2xx with a ranking is read, and `response` is there too."""
    assert finish(call(), answered(status, WHOLE)).response.model == "rerank-v3.5"


def test_repr() -> None:
    """The repr shows what was ranked, by whom and for how much, and the best places."""
    assert repr(whole()) == (
        "<Ranking: 2 of 3 documents, model='rerank-v3.5', provider='Cohere', cost=0.001, unranked=1>\n"
        "  0.9  [2] c\n"
        "  0.25  [0] a"
    )


def test_repr_of_little() -> None:
    """Unknown values are not shown."""
    assert repr(finish(call(), answered(200, {"results": []}))) == "<Ranking: 0 of 3 documents, unranked=3>"


def test_repr_of_much() -> None:
    """Long texts are cut, blanks are made one, places after the fifth are counted, and a repair is told of."""
    documents = ["x" * 1000, "two\n lines", *map(str, range(8))]
    scores = [(index, -index) for index in range(9)]
    ranking = finish(call(documents=documents), ranked((9, -100), *scores))

    first, *rows, last = repr(ranking).splitlines()
    assert first == "<Ranking: 10 of 10 documents, model='m', reordered=True>"
    assert rows[0].startswith("  0  [0] xxx")
    assert rows[0].endswith("xxx...")
    assert len(rows[0]) < 100
    assert rows[1] == "  -1  [1] two lines"
    assert len(rows) == 5
    assert last == "  ... 5 more"


@dataclass
class Page:
    """A document of the caller's own."""

    text: str


@pytest.mark.parametrize(
    ("document", "shown"),
    [
        ({"text": "the text"}, "the text"),
        ({"image": "https://x/y.png"}, "https://x/y.png"),
        ({"id": 7, "body": "B"}, "{'id': 7, 'body': 'B'}"),
        (Page("the text"), "the text"),
        (17, "17"),
        (None, "None"),
    ],
)
def test_repr_of_documents(document: Any, shown: str) -> None:
    """A document is shown by its text where we know it, and by its own repr where not."""
    ranking = finish(call(documents=[document], key=lambda _: "x"), ranked((0, 1)))

    assert repr(ranking).endswith(f"  1  [0] {shown}")


def test_notebook() -> None:
    """A notebook shows a table in which a document is text and never markup."""
    documents = ["<script>alert(1)</script> & more", "b"]
    table = finish(call(documents=documents), ranked((0, 0.5), (1, 0.25), provider="<b>P</b>"))._repr_html_()

    assert "<table>" in table
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in table
    assert "<td>0.25</td><td>1</td><td>b</td>" in table
    assert "<script>" not in table
    assert "<b>" not in table


def test_notebook_of_many() -> None:
    """A notebook shows fifty rows and counts the rest."""
    ranking = finish(call(documents=["d"] * 60), ranked(*((index, -index) for index in range(60))))

    assert ranking._repr_html_().count("<tr>") == 52
    assert "10 more" in ranking._repr_html_()


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, _pickled])
def test_copies(take: Any) -> None:
    """A ranking can be copied and sent to another process, whole, before and after it was looked at."""
    fresh, seen = whole(), whole()
    assert seen.response
    for ranking in (fresh, seen):
        other = take(ranking)

        assert other.hits == ranking.hits
        assert repr(other) == repr(ranking)
        assert dict(other.headers) == dict(ranking.headers)
        assert other.headers["X-Request-ID"] == "r"
        assert other.request_id == "r"
        assert (other.id, other.usage, other.attempts) == (ranking.id, ranking.usage, ranking.attempts)
        assert other.response.to_dict() == WHOLE


def test_copies_over_both_shells(shell: Shell) -> None:
    """A ranking of a reranker can be pickled, headers included."""
    ranking = shell.rank(lambda _: httpx.Response(200, json=WHOLE, headers={"X-Request-ID": "r"}))

    other = _pickled(ranking)

    assert (other.hits, other.headers["x-request-id"]) == (ranking.hits, "r")
    assert other.attempts == ranking.attempts
    assert 0 < ranking.attempts[0].elapsed <= ranking.elapsed


def test_the_ranking_of_no_documents() -> None:
    """It has every property of a ranking, and says that there was no answer to be typed."""
    with pytest.raises(StopIteration) as done:
        next(call(documents=[]))
    ranking: Ranking[str] = done.value.value

    assert repr(ranking) == "<Ranking: 0 of 0 documents>"
    assert (ranking.documents, ranking.indices, ranking.scores, ranking.hits) == ([], [], [], ())
    assert (ranking.id, ranking.request_id, ranking.usage) == (None, None, Usage())
    assert _pickled(ranking).total == 0
    with pytest.raises(InvalidResponseError, match=r"no documents|nothing was sent|no request"):
        ranking.response  # noqa: B018 - that it raises is the fact


def test_usage_is_a_value() -> None:
    """Usage is compared by what it holds, cannot be changed, and knows nothing by default."""
    assert Usage(cost=0.5) == Usage(0.5)
    assert Usage() == Usage(None, None, None)
    with pytest.raises(AttributeError):
        Usage().cost = 1.0  # type: ignore[misc] # that it cannot be set is the fact


@pytest.mark.parametrize("name", [*Ranking.__struct_fields__, "body", "response", "reranked", "else"])
def test_a_ranking_cannot_be_changed(name: str) -> None:
    """No attribute of a ranking can be set once it is made."""
    ranking = whole()

    with pytest.raises(AttributeError):
        setattr(ranking, name, None)


@pytest.mark.parametrize(
    ("usages", "total"),
    [
        ([Usage(0.5, 1, 2), Usage(0.25, 2, 3)], Usage(0.75, 3, 5)),
        ([Usage(0.5, 1, None), Usage(None, 2, None)], Usage(None, 3, None)),
        ([Usage(0.5, 1, 2), NOTHING_BILLED], Usage(0.5, 1, 2)),
        ([NOTHING_BILLED], Usage(0.0, 0, 0)),
        ([], Usage(0, 0, 0)),
    ],
)
def test_the_sum_of_usages(usages: list[Usage], total: Usage) -> None:
    """Numbers are added; what is unknown in one usage is unknown in the sum."""
    assert sum_usage(usages) == total


@pytest.mark.parametrize(
    ("values", "common"),
    [
        (["a", "a"], "a"),
        (["a", "b"], None),
        (["a", None], None),
        ([], None),
        ([{"a": 1}, {"a": 1}], {"a": 1}),
    ],
)
def test_the_value_of_all(values: list[Any], common: Any) -> None:
    """Parts have a value in common only if all have it."""
    assert agreed(values) == common


class Details(TypedDict, total=False):
    """An object of an answer."""

    part: int


@pytest.mark.parametrize(
    ("kind", "value", "found"),
    [
        (str, "a", "a"),
        (str, 1, None),
        (str, None, None),
        (int, 2.0, 2),
        (int, 2.5, None),
        (int, True, None),
        (int, "2", None),
        (float, 2, 2.0),
        (float, [2], None),
        (bool, True, True),
        (bool, False, False),
        (bool, 1, None),
        (list[str], ["a", "the-secret-key"], ["a", "[key]"]),
        (list[str], "a", None),
        (list[str], ["a", 1], None),
        (list[str], None, None),
        (Details, {"part": 1, "more": 2}, {"part": 1}),
        (Details, {"part": "1"}, None),
        (int | str, 1234567890, None),  # a number that is a secret
        (str | float, "a", "a"),
    ],
)
def test_a_field_of_an_answer_is_read_leniently(kind: Any, value: object, found: object) -> None:
    """A field of the contract has its type, or None where the server sends anything else."""

    @answer._reading(["further"])
    class Result(msgspec.Struct):
        index: int

    read: Any = msgspec.json.decode(json.dumps({"index": 0, "further": value}), type=Result)
    given = answer.read_as(kind, read.further, Redactor(["the-secret-key", "1234567890"]))

    assert (given, type(given)) == (found, type(found))
