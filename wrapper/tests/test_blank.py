"""Blank documents: sent, or left out without a change of indices; and named where a server refuses them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from driving import answered, body, call, finish, ranked, settings
from openrouter_rerank import (
    APIConnectionError,
    BadRequestError,
    Document,
    OriginalOrder,
    Ranking,
    Retries,
    ServerError,
)
from openrouter_rerank.blank import is_blank
from openrouter_rerank.bulk import RerankRequest, split_by_words
from openrouter_rerank.bulk.cache import MemoryCache
from openrouter_rerank.errors import RerankError
from openrouter_rerank.operations import Failure
from openrouter_rerank.testing import (
    AsyncFakeReranker,
    FakeReranker,
    Script,
    answer,
    envelope,
    honest,
    serving,
)
from openrouter_rerank.testing import (
    Request as Sent,
)
from shells import Scoring, Shell

PNG = b"\x89PNG\r\n\x1a\nthe rest"
URL = "https://images.example.com/a.png"


def is_sound(document: Any) -> bool:
    """Return True if a strict server takes the document."""
    return bool(
        document.strip() if isinstance(document, str) else document["text"].strip() or "image" in document
    )


class Strict(Scoring):
    """A server that refuses every list with a blank document, as Cohere, Voyage and DashScope do."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Return the response."""
        documents = json.loads(request.content)["documents"]
        if any(not is_sound(document) for document in documents):
            self.requests.append(json.loads(request.content))
            return httpx.Response(400, json={"message": "documents must not contain empty strings"})
        return super().__call__(request)


def at(ranking: Ranking[Any] | OriginalOrder[Any]) -> list[tuple[int, Any]]:
    """Return the hits, by index and object."""
    return [(hit.index, hit.document) for hit in ranking]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True),
        (" \t\r\n\x0b\u00a0\u3000", True),
        ("\u200b\ufeff\u2060\u00ad", True),
        ("\x00", True),
        ("\u200ba", False),
        (".", False),
        ("\U0001f600", False),
    ],
)
def test_what_is_blank(text: str, expected: bool) -> None:
    """A text is blank if nothing of it shows."""
    assert is_blank(text) is expected


def test_blank_documents_are_sent_by_default() -> None:
    """Documents are never skipped unless asked."""
    for given in ({}, {"blank": "send"}, {"blank": None}):
        assert body(given, documents=["a", " "])["documents"] == ["a", " "]
    assert body({"blank": "skip"}, documents=["a", " "], blank="send")["documents"] == ["a", " "]


def test_indices_and_objects_stay_the_callers(any_shell: Shell) -> None:
    """Blank documents are not sent and are listed as unranked; the hits keep their indices and objects."""
    server = Strict()
    documents = [" ", {"text": "a"}, "", Document(text="bbb"), "cc", {"text": "\u200b"}]
    with any_shell.open(server) as rank:
        ranking = rank("q", documents, blank="skip")
        best = rank("q", documents, blank="skip", top_n=1)

    assert at(ranking) == [(3, documents[3]), (4, "cc"), (1, documents[1])]
    assert ranking[0].document is documents[3]
    assert (ranking.unranked, ranking.total) == ((0, 2, 5), 6)
    assert (at(best), best.unranked) == ([(3, documents[3])], (0, 2, 5))
    assert server.sizes == [3, 3]
    assert [asked.get("top_n") for asked in server.requests] == [None, 1]
    assert ranking.id == "gen-1"  # one response, as of any list that one request holds
    assert not ranking.parts


@pytest.mark.parametrize(
    ("documents", "sent"),
    [
        (["a", {"text": " ", "image": URL}], ["a", {"text": " ", "image": URL}]),
        (
            ["a", {"image": URL}, PNG],
            ["a", {"image": URL}, {"image": "data:image/png;base64,iVBORw0KGgp0aGUgcmVzdA=="}],
        ),
        (["a", {"text": None}, {}, Document(), {"text": None, "image": None}], ["a"]),
        (["a", {"text": "", "image": None}], ["a"]),
    ],
)
def test_which_documents_are_blank(documents: list[Any], sent: list[Any]) -> None:
    """An image is worth sending with a blank text; what has neither is blank."""
    assert body({"blank": "skip"}, documents=documents)["documents"] == sent


@pytest.mark.parametrize("key", ["name", lambda row: row["name"]])
def test_after_key(key: Any) -> None:
    """Blank is judged by what `key` gives; None is blank too."""
    rows = [{"name": ""}, {"name": "a"}, {"name": None}]

    assert body({"blank": "skip"}, documents=rows, key=key)["documents"] == ["a"]
    with pytest.raises(TypeError, match="document 2: what key= gave is of type NoneType"):
        body(documents=rows, key=key)


@pytest.mark.parametrize(
    ("documents", "error"),
    [([{"txt": None}], ValueError), ([None], TypeError), (["", 7], TypeError), ([{"text": 1}], TypeError)],
)
def test_mistakes_are_not_skipped(documents: list[Any], error: type[Exception]) -> None:
    """A misspelt key, or what is not a document, is refused as ever."""
    with pytest.raises(error):
        body({"blank": "skip"}, documents=documents)


def test_all_blank(any_shell: Shell) -> None:
    """If all documents are blank nothing is sent, and the arguments are still checked."""
    server = Strict()
    for more in ({}, {"max_documents": 1}, {"splitter": split_by_words(3)}):
        with any_shell.open(server, blank="skip", **more) as rank:
            ranking = rank("q", ["", " "])
            with pytest.raises(ValueError, match="query is blank"):
                rank(" ", [" "])
        assert (len(ranking), ranking.total, ranking.unranked, ranking.attempts) == (0, 2, (0, 1), ())
    assert server.requests == []


def test_lists_in_parts(any_shell: Shell) -> None:
    """Parts are of the documents that are sent; their indices are the caller's."""
    server = Strict()
    documents = ["a", "", "bbbb", " ", "cc", "ddd"]
    with any_shell.open(server, max_documents=2, blank="skip") as rank:
        ranking = rank("q", documents, top_n=3)

    assert at(ranking) == [(2, "bbbb"), (5, "ddd"), (4, "cc")]
    assert sorted(part.indices for part in ranking.parts) == [(0, 2), (4, 5)]
    assert (ranking.unranked, ranking.total, sorted(server.sizes)) == ((1, 3), 6, [2, 2])


def test_failed_parts_and_blank_documents_are_unranked(shell: Shell) -> None:
    """Both are listed; the note and the part name the caller's indices."""
    documents = ["", "a", " ", "bad", "ccc"]
    with shell.open(Scoring(failing="bad"), max_documents=1, blank="skip") as rank:
        ranking = rank("q", documents, on_part_error="partial")
        with pytest.raises(BadRequestError) as caught:
            rank("q", documents)

    assert (ranking.indices, ranking.unranked) == ([4, 1], (0, 2, 3))
    assert [part.indices for part in ranking.parts if part.error] == [(3,)]
    assert caught.value.__notes__ == ["This was the part with the documents 3 to 3."]


def test_a_document_too_large_is_named_by_the_callers_index(shell: Shell) -> None:
    """If one document alone is too large, the error has the caller's index."""
    with shell.open(Scoring(most=0), blank="skip") as rank, pytest.raises(BadRequestError) as caught:
        rank("q", ["", "a", "b"])

    assert str(caught.value).startswith("document 1 is too large")


def halves(text: str) -> list[str]:
    """Return the pieces between bars."""
    return text.split("|")


def test_blank_pieces(any_shell: Shell) -> None:
    """A blank piece is not sent; a document all of whose pieces are blank is unranked."""
    server = Strict()
    documents = ["a| ", "|", "bb|cccc", ""]
    with any_shell.open(server, splitter=halves, blank="skip") as rank:
        ranking = rank("q", documents, top_n=1)

    assert (at(ranking), ranking.unranked) == ([(2, "bb|cccc")], (1, 3))
    assert server.requests[0]["documents"] == ["a", "bb", "cccc"]
    assert "top_n" not in server.requests[0]  # as one document is in several pieces
    with any_shell.open(server, splitter=halves, blank="skip") as rank:
        assert rank("q", ["|", "|"]).unranked == (0, 1)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("documents", "more", "named"),
    [
        (["", "a", "\ud800"], {}, "document 2"),
        (["", "a", "\ud800"], {"max_documents": 1}, "document 2"),
        (["", "a", "b"], {"splitter": lambda text: [text] if text == "a" else 7}, "document 2"),
    ],
)
def test_mistakes_are_named_by_the_callers_index(documents: list[str], more: Any, named: str) -> None:
    """Errors about a document have its index among those that were passed in."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise AssertionError

    with (
        Shell("sync").open(answer, blank="skip", **more) as rank,
        pytest.raises((ValueError, TypeError), match=named),
    ):
        rank("q", documents)


def test_the_cache_knows_a_list_by_what_is_sent(any_shell: Shell) -> None:
    """A list with other blank documents is the same request, and its indices are its own."""
    server = Strict()
    with any_shell.open(server, cache=MemoryCache(), blank="skip") as rank:
        first = rank("q", ["a", "", "bb"])
        again = rank("q", [" ", "a", "bb"])

    assert (first.indices, first.cached, first.unranked) == ([2, 0], False, (1,))
    assert (again.indices, again.cached, again.unranked) == ([2, 1], True, (0,))
    assert len(server.requests) == 1


def test_the_kept_order_is_of_all_documents(any_shell: Shell) -> None:
    """If ranking fails the documents keep their order, blank ones included."""
    documents = ["", "a", "b"]
    with any_shell.open(Scoring(failing=""), blank="skip") as rank:
        kept = rank("q", documents, on_error="keep_order", top_n=2)

    assert (kept.reranked, kept.documents) == (False, ["", "a"])


def test_a_dry_run_counts_what_is_sent(shell: Shell) -> None:
    """Documents and pieces that are skipped are not counted, nor a request without any."""
    requests = [
        RerankRequest("q", ["a", "", "b"]),
        RerankRequest("q", ["", " "]),
        RerankRequest("q", ["c|"], splitter=halves),
    ]
    with shell.open(Strict(), "dry_run", blank="skip") as estimate:
        found = estimate(requests)

    assert (found.requests, found.documents) == (2, 3)


async def test_many_and_fakes() -> None:
    """Each request of a run says it for itself; fakes skip as the others do."""
    fake = FakeReranker({"a": 0.1, "b": 0.2, "": 0.0})
    found = [
        result.unwrap()
        for result in fake.rerank_many([RerankRequest("q", ["", "a"], blank="skip"), ("q", ["", "b"])])
    ]
    other = await AsyncFakeReranker({"a": 0.1}, blank="skip").rerank("q", ["", "a"])

    assert [ranking.indices for ranking in found] == [[1], [1, 0]]
    assert sorted(call.documents for call in fake.calls) == [["", "b"], ["a"]]
    assert at(other) == [(1, "a")]


REFUSALS: Mapping[str, tuple[Any, bool]] = {
    "400": (answered(400, {"message": "empty strings"}), True),
    "422": (answered(422, {"error": "empty"}), True),
    "a 200 that says 400": (answered(200, {"error": {"code": 400, "message": "empty"}}), True),
    "401": (answered(401, {}), False),
    "404": (answered(404, {}), False),
    "413 of one": (answered(413, {}), False),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_names_the_blank_documents(case: str) -> None:
    """The error of a refused list says which documents are blank and names the option, once, in the message."""
    outcome, is_named = REFUSALS[case]
    documents = ["a", "", {"text": " "}, {"text": " ", "image": URL}]
    with pytest.raises(RerankError) as caught:
        finish(call(documents=documents), outcome)

    assert str(caught.value).count('blank="skip"') == is_named
    assert ("(index 1, 2)" in str(caught.value)) == is_named
    assert caught.value.args == (caught.value.message,)


def test_a_refusal_names_few_of_many() -> None:
    """Of many blank documents the first are named."""
    with pytest.raises(BadRequestError, match=r"\(index 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more\)"):
        finish(call(documents=["", " "] * 10), answered(400))


def test_a_refusal_of_another_reason_stays_as_it_is() -> None:
    """Without a blank document, or where they were skipped, the message is the server's."""
    for documents in (["a"], ["a", ""]):
        with pytest.raises(BadRequestError) as caught:
            finish(call({"blank": "skip"}, documents=documents), answered(400))
        assert "blank" not in str(caught.value)


def test_a_refused_part_names_its_own(any_shell: Shell) -> None:
    """Of a list in parts, and of pieces, those of the refused request are named by the caller's indices."""
    documents = ["a", "b", {"text": "c"}, {"text": ""}, "d", " "]
    with any_shell.open(Strict(), max_documents=2) as rank:
        partial = rank("q", documents, on_part_error="partial")
        with pytest.raises(BadRequestError, match=r"\(index 1\)"):
            rank("q", ["a", "b| "], splitter=halves)

    assert [
        str(part.error).count(f"(index {index})")
        for part, index in zip(partial.parts[1:], (3, 5), strict=True)
    ] == [
        1,
        1,
    ]
    assert partial.unranked == (2, 3, 4, 5)


@pytest.mark.parametrize("where", ["client", "call"])
def test_what_is_no_way_is_refused(where: str) -> None:
    """Only the two ways are taken."""
    made: Callable[[], object] = (
        (lambda: settings(blank="drop")) if where == "client" else (lambda: body(blank="drop"))
    )
    with pytest.raises(ValueError, match="blank must be 'send' or 'skip', not 'drop'"):
        made()


def test_a_server_that_returns_its_own_indices_is_held_to_what_was_sent() -> None:
    """An index beyond the documents that were sent is malformed, though the caller passed in more."""
    with pytest.raises(RerankError, match="index"):
        finish(call({"blank": "skip"}, documents=["", "a"]), ranked((1, 0.5)))


@pytest.mark.parametrize("outcome", [answered(503), Failure(httpx.ConnectError("refused"), None)])
def test_a_failure_that_may_pass_names_nothing(outcome: Any) -> None:
    """A server that is down says nothing of blank documents."""
    with pytest.raises((ServerError, APIConnectionError)) as caught:
        finish(call({"retries": Retries(attempts=1)}, documents=[""]), outcome)
    assert "blank" not in str(caught.value)


def strict(request: Sent) -> Script:
    """Return a server on loopback that refuses blank documents."""
    if not all(map(is_sound, request.json["documents"])):
        yield answer(400, envelope(400, "empty strings"))
    else:
        yield honest(request)


def run(*args: object) -> Any:
    """Run the command `rerank`."""
    pytest.importorskip("click")
    from click.testing import CliRunner

    from openrouter_rerank.cli.app import app

    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)


def test_rerank_rank(tmp_path: Path) -> None:
    """A blank row of a table is skipped on request; without it the refusal names it and the option."""
    table = tmp_path / "excel.csv"
    table.write_text("text,price\nBerlin,1\n,3\nParis,2\n", encoding="utf-8")
    with serving(strict) as server:
        found = run("rank", "--base-url", server.url, "--blank", "skip", "q", table)
        refused = run("rank", "--base-url", server.url, "q", table)

    assert [json.loads(line)["index"] for line in found.stdout.splitlines()] == [2, 0]
    assert found.exit_code == 0
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "Blank documents (index 1)" in refused.stderr
    assert 'blank="skip" (--blank skip)' in refused.stderr


def test_rerank_batch(tmp_path: Path) -> None:
    """Blank documents of rows are skipped; a row of nothing else is finished, free, with an empty ranking."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"query": "q", "documents": ["", "a"]}, {"query": "q", "documents": ["", {"text": " "}]}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with serving(strict) as server:
        options = ("--base-url", server.url, "--blank", "skip")
        counted = run("batch", source, target, *options, "--dry-run")
        done = run("batch", source, target, *options)

    assert "2 rows, 1 requests, 1 documents" in counted.stderr
    assert done.exit_code == 0
    found = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [[hit["index"] for hit in row["ranking"]] for row in found] == [[1], []]
    assert found[1]["cost"] == 0.0


def test_a_job_is_taken_up_with_the_same_option_alone(tmp_path: Path) -> None:
    """Rows finished with blank documents sent are not mixed with rows that skip them."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"query": "q", "documents": ["a"]}\n', encoding="utf-8")
    with serving(lambda _: [answer(503, envelope(503, "down"))]) as server:
        run("batch", source, target, "--base-url", server.url, "--timeout", 0.5)
        refused = run("batch", source, target, "--base-url", server.url, "--blank", "skip")

    assert refused.exit_code == 2
    assert "other options" in refused.stderr
