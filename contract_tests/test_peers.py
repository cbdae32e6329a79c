"""`nox -s peers` writes what happened: each observation has its cell, and each client its process."""

import json
import sys
from pathlib import Path

import pytest

from openrouter_rerank.testing import answer, envelope, results
from peers import run
from peers.adapters import ADAPTERS, is_picklable, read_message
from peers.catalogue import PEERS, SECTIONS, Peer, from_catalogue, to_voyage
from peers.cells import Observation, describe
from peers.runner import CannotRunError, observe

OURS = PEERS[0]
RANKS = [(2, 0.9, None), (1, 0.5, None), (0, 0.1, None)]


def error(name: str = "APIError", **more) -> Observation:
    """Make an observation of an error."""
    return Observation(1, 0.1, error=name, **more)


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        (Observation(1, 0.1, ranking=RANKS), "ranks"),
        (Observation(2, 1.4, ranking=RANKS), "ranks after 2 requests"),
        (Observation(1, 7.2, ranking=RANKS), "ranks, 7 s"),
        (Observation(1, 0.1, ranking=RANKS[:1]), "ranks 1 of 3"),
        (Observation(1, 0.1, ranking=[]), "ranks 0 of 3"),
        (Observation(1, 0.1, ranking=[(1.0, 0.9, None)]), "**passes on index `1.0`**"),
        (Observation(1, 0.1, ranking=[(True, 0.9, None)]), "**passes on index `True`**"),
        (Observation(1, 0.1, ranking=[(True, 0.9, "b")]), "**passes on index `True`**"),
        (Observation(1, 0.1, ranking=[(None, 0.9, None)]), "**passes on index `None`**"),
        (Observation(1, 0.1, ranking=[(3, 0.9, None)]), "**passes on index `3`**"),
        (Observation(1, 0.1, ranking=[(-1, 0.9, None)]), "**passes on index `-1`**"),
        (Observation(1, 0.1, ranking=[(-1, 0.9, "c")]), "**wrong document for index `-1`**"),
        (Observation(1, 0.1, ranking=[RANKS[0], RANKS[0]]), "**passes on index 2 (2 times)**"),
        (Observation(1, 0.1, ranking=[(0, float("nan"), None)]), "**passes on score `nan`**"),
        (Observation(1, 0.1, ranking=[(0, "a|b", None)]), "**passes on score `'a\\|b'`**"),
        (Observation(1, 0.1, ranking=RANKS[::-1]), "**passes on scores out of order**"),
        (
            Observation(1, 0.1, ranking=[(9, "high", None)]),
            "**passes on index `9`; passes on score `'high'`**",
        ),
        (Observation(3, 0.1), "**no results and no error** after 3 requests"),
        (Observation(4, None), "**still waiting after 20 s** (4 requests)"),
        (Observation(1, None), "**still waiting after 20 s**"),
        (Observation(0, None), "**still waiting after 20 s** (no requests)"),
        (error(message="a Rate Limit"), "`APIError`"),
        (error(status=429), "`APIError`"),
        (error("RateLimitError"), "`RateLimitError`"),
        (error(message="line 4290"), "`APIError`, cause not named"),
        (Observation(3, 6.4, error="KeyError"), "`KeyError` after 3 requests, 6 s, cause not named"),
    ],
)
def test_each_observation_has_its_cell(seen: Observation, text: str):
    """The text of a cell follows from what happened."""
    assert describe(seen, ["a", "b", "c"], r"\b429\b|rate.?limit", 20.0) == text


def test_ranking_in_place_of_an_error_is_reported():
    """A valid ranking where no ranking is right ignores the fault; an invalid one has its own problem."""
    texts = [
        describe(Observation(1, 0.1, ranking=ranking), ["a", "b", "c"], "", 20.0, has_error=True)
        for ranking in (RANKS, [(7, 0.9, None)])
    ]
    assert texts == ["**ignores the fault**", "**passes on index `7`**"]


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (
            answer(200, results((0, 0.5))),
            {"object": "list", "usage": {"total_tokens": 1}, "data": results((0, 0.5))["results"]},
        ),
        (answer(429, envelope(429, "slow down")), {"detail": "slow down"}),
        (answer(400, {"detail": "as it is"}), {"detail": "as it is"}),
    ],
)
def test_response_in_the_form_of_voyage(sent: bytes, body: dict):
    """Results and errors come as Voyage's servers send them, with the right length."""
    head, _, changed = to_voyage(sent).partition(b"\r\n\r\n")
    assert json.loads(changed).items() >= body.items()
    assert f"Content-Length: {len(changed)}".encode() in head.split(b"\r\n")


def test_wrong_length_stays_as_wrong_in_the_form_of_voyage():
    """A body that is cut, or whose length is announced wrong, is so by as many bytes as before."""
    whole = answer(200, results((0, 0.5)))
    cut = to_voyage(whole[:-20])
    assert cut == to_voyage(whole)[:-20]


def test_catalogue_and_adapters_agree():
    """Each client has an adapter, each fault is served once, and each row has the words for its cause."""
    names = [row.fault.name for rows in SECTIONS.values() for row in rows]
    assert [peer.name for peer in PEERS] == list(ADAPTERS)
    assert len(names) == len(set(names))
    assert [
        row.fault.name for rows in SECTIONS.values() for row in rows if row.has_error and not row.cause
    ] == []


def test_facade_is_run_in_a_process():
    """The facts and one observation for each row come from a process, which is started again after a call that hangs."""
    rows = [from_catalogue(name, "") for name in ("silent", "index_negative")]
    facts, waiting, refused = observe(OURS, sys.executable, rows, 0.5)
    assert facts["packages"] >= 9
    assert facts["version"]
    assert waiting.seconds is None
    assert (refused.error, refused.requests, refused.pickles) == ("InvalidResponseError", 1, True)
    assert "-1" in refused.message


def test_client_that_cannot_be_run_is_named(tmp_path: Path):
    """A client that cannot be imported, or has no environment, is a sentence of the page."""
    row = from_catalogue("unsorted", "")
    missing = run.run(Peer("no-such-client"), sys.executable, [row], 1.0)
    absent = run.run(OURS, str(tmp_path / "python"), [row], 1.0)
    assert "No module named 'no_such_client'" in missing.problem
    page = run.tables([missing, absent], {"Chosen": [row]}, 20.0, "Made.")
    assert f"no-such-client was not run: {missing.problem}." in page
    assert "openrouter-rerank was not run: not installed." in page


def test_adapter_that_does_not_rank_is_a_problem():
    """A client that does not rank the valid response has no column: its adapter may be wrong."""
    broken = Peer(OURS.name, lambda sent: sent.replace(b"relevance_score", b"relevance_scare"))
    with pytest.raises(CannotRunError, match="does not rank a valid response: InvalidResponseError"):
        list(observe(broken, sys.executable, [], 1.0))


def test_page_has_the_cells_of_each_client():
    """A table has a row for each fault, with the timeout of the caller, and a column for each client that ran."""
    row, late = from_catalogue("index_negative", "index"), from_catalogue("silent", "late", 2.0)
    facts = {"version": "1.2", "requires_python": ">=3.11", "packages": 4, "megabytes": 2.4, "typed": False}
    seen = {"index_negative": error(message="index", pickles=True), "silent": error()}
    column = run.Column(Peer("some-client"), facts, seen)
    page = run.tables([column], {"Kinds": [row, late]}, 20.0, "Made.")
    assert page.split("\n\n") == [
        "Made.",
        (
            "|  | some-client |\n| --- | --- |\n| version | 1.2 |\n| Python | >=3.11 |\n"
            "| packages that it installs besides itself | 4 |\n| size of all of them | 2 MB |\n"
            "| types for checkers (`py.typed`) | no |\n| errors that can be pickled | 1 of 2 |"
        ),
        "### Kinds",
        (
            "| instruction to the server | some-client |\n| --- | --- |\n"
            "| Return the index -1. `index_negative` | `APIError` |\n"
            "| Accept the request and never answer. `silent`, `timeout=2` | `APIError`, cause not named |"
        ),
    ]


def test_only_the_tables_are_replaced():
    """What is written by hand around the markers stays, and a page without them is refused."""
    page = f"# Title\n\n{run.BEGIN}\nold\n{run.END}\n\nby hand\n"
    assert run.replace_tables(page, "new") == f"# Title\n\n{run.BEGIN}\n\nnew\n\n{run.END}\n\nby hand\n"
    for wrong in ("no markers", f"{run.END} {run.BEGIN}", f"{run.BEGIN}{run.END}{run.END}", page + run.BEGIN):
        with pytest.raises(ValueError, match="must each appear once"):
            run.replace_tables(wrong, "new")
    text = (Path(__file__).parents[1] / "docs/why.md").read_text("utf-8")
    assert run.replace_tables(text, "new") != text


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The command writes the page, or prints chosen faults; the exit code is 1 if a client was not run."""
    page = tmp_path / "why.md"
    page.write_text(f"{run.BEGIN}{run.END}by hand", "utf-8")
    assert run.main(["--page", str(page)]) == 1
    assert "litellm was not run: not installed." in page.read_text("utf-8")
    assert page.read_text("utf-8").endswith(f"{run.END}by hand")
    assert run.main(["unsorted"]) == 1
    printed = capsys.readouterr()
    assert "### Chosen faults" in printed.out
    assert "peers: cohere was not run: not installed" in printed.err
    for wrong in (["unsortd"], ["--python", "cohre=/bin/python"]):
        with pytest.raises(SystemExit):
            run.main(wrong)
        assert "is not one of" in capsys.readouterr().err


class UnreadableError(Exception):
    """An error of a client whose own text fails."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def __str__(self) -> str:
        """Return what is not a text."""
        return self.number  # type: ignore[return-value]  # the fault


def test_error_of_any_client_is_read():
    """An error without a text has an empty one, and one that cannot be pickled is said to be so."""
    assert read_message(UnreadableError(1)) == ""
    assert not is_picklable(UnreadableError(1))
    assert is_picklable(KeyError("results"))
