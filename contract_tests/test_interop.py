"""`nox -s interop` judges correctly: each kind of wrong answer is reported, and no process is left running."""

import json
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from rerank_conformance.report import Report, RuleResult, verdicts

INTEROP = Path(__file__).resolve().parent / "interop"
RIGHT = [[[2, 0.7], [0, 0.2], [1, 0.0]], [[2, 0.7], [0, 0.2]]]
REFUSED = {"error": "AuthenticationError", "status": 401, "message": "no"}


def modules(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Import a script of the directory as a module."""
    monkeypatch.syspath_prepend(str(INTEROP))
    return __import__(name)


def given(first: list, second: list, last: dict = REFUSED) -> list[dict]:
    """Make a client's results of the three requests."""
    return [{"ranking": first, "usage": {"cost": 0}}, {"ranking": second, "usage": {}}, last]


@pytest.mark.parametrize(
    ("outcomes", "problem"),
    [
        (given(*RIGHT), None),
        (given(RIGHT[0][::-1], RIGHT[1]), "the order"),
        (given([[2, 0.7], [0, 0.3], [1, 0.0]], RIGHT[1]), "scores"),
        (given(RIGHT[0], RIGHT[0]), "top_n: the order"),
        (given(*RIGHT, last={"ranking": RIGHT[0], "usage": {}}), "accepted instead of 401"),
        (given(*RIGHT, last=REFUSED | {"status": 500}), "AuthenticationError instead of 401"),
        ([REFUSED, *given(*RIGHT)[1:]], "a ranking: AuthenticationError"),
    ],
)
def test_client_is_judged(monkeypatch: pytest.MonkeyPatch, outcomes: list[dict], problem: str | None):
    """A client that gives other than the server's own answer, or lets a wrong key pass, is told of; a right one is not."""
    cell = modules(monkeypatch, "clients").judge(outcomes, RIGHT)
    assert cell.problems == [] if problem is None else problem in cell.verdict


def test_wrong_document_first_is_told(monkeypatch: pytest.MonkeyPatch):
    """A server that ranks wrong is no pass for a client that says so truly."""
    wrong = [[[0, 0.7], [2, 0.2]], [[0, 0.7], [2, 0.2]]]
    cell = modules(monkeypatch, "clients").judge(given(*wrong), wrong)
    assert "document 0 is first" in cell.verdict


def test_client_that_is_not_installed_has_a_row(monkeypatch: pytest.MonkeyPatch):
    """A client that is not there is a row that says so, and fails the run only where it is required."""
    clients = modules(monkeypatch, "clients")
    absent = clients.Client("absent", "no-such-package-anywhere", "absent", "URL")
    rows = [
        clients.row(one, "http://127.0.0.1:9", "http://127.0.0.1:9", Path())
        for one in (absent, absent._replace(required=False))
    ]
    assert [(row.plain.verdict, row.failed) for row in rows] == [
        ("not run: no-such-package-anywhere is not installed", True),
        ("not run: no-such-package-anywhere is not installed", False),
    ]


@dataclass
class Found:
    """A hit, as far as it is judged."""

    index: int
    score: float
    document: object


class Ranked(list):
    """A ranking, as far as it is judged."""

    @property
    def indices(self) -> list[int]:
        """Of its hits."""
        return [hit.index for hit in self]


def test_facade_is_judged(monkeypatch: pytest.MonkeyPatch):
    """A ranking with another order, another score or a copy of the document is told of; a right one is not."""
    wrong = modules(monkeypatch, "servers").wrong
    documents = [{"text": "a"}, {"text": "b"}]
    expected = [(1, 0.9), (0, 0.1)]
    right = Ranked([Found(1, 0.9, documents[1]), Found(0, 0.1, documents[0])])
    copied = Ranked([Found(1, 0.9, dict(documents[1])), right[1]])
    assert wrong(right, expected, documents) == ""
    assert "order" in wrong(Ranked(right[::-1]), expected, documents)
    assert "score" in wrong(Ranked([Found(1, 0.8, documents[1]), right[1]]), expected, documents)
    assert "own" in wrong(copied, expected, documents)


def test_server_that_ends_is_told(monkeypatch: pytest.MonkeyPatch):
    """A server that ends before it serves is an error with its last words."""
    processes = modules(monkeypatch, "processes")
    command = [sys.executable, "-c", "raise SystemExit('no model')"]
    with (
        pytest.raises(processes.NotRunningError, match="no model"),
        processes.serving(command, processes.first_line),
    ):
        pass


def test_server_is_stopped_whatever_happens(monkeypatch: pytest.MonkeyPatch):
    """A server is gone once its block ends, by an error too."""
    processes = modules(monkeypatch, "processes")
    command = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]
    with pytest.raises(KeyError), processes.serving(command, processes.first_line) as said:
        raise KeyError(int(said))
    with pytest.raises(ProcessLookupError):
        os.kill(int(said), signal.SIG_DFL)


def report(*rules: RuleResult) -> Report:
    """Make a report with a verdict of each level."""
    return Report(
        target="http://h",
        contract_version="1.1.0",
        tool_version="0",
        verdict="nonconformant",
        verdicts=verdicts(rules),
        requests=700,
        elapsed_s=1.0,
        seed=1,
        rules=rules,
    )


def test_verdicts_are_a_page(monkeypatch: pytest.MonkeyPatch):
    """A server has its verdict at each level and its causes in words; one that did not run has the reason."""
    module = modules(monkeypatch, "verdicts")
    passed = RuleResult(
        id="answer.json", level="MUST", conformance_level="ranking", requirement="It is JSON", source="#/", verdict="pass"
    )  # fmt: skip
    failed = RuleResult(
        id="error.code", level="MUST", requirement="It is the status", source="#/", verdict="fail", actual="a `b`\n" + "c" * 500
    )  # fmt: skip
    found = [
        module.Verdict("one", "1.2", report(passed, failed)),
        module.Verdict("two", "1.3", report(passed)),
        module.verdict("three", None),
    ]
    assert module.cells(found[0]) == [
        "one",
        "1.2",
        "conformant: 0 MUST, 0 SHOULD failed",
        "conformant: 0 MUST, 0 SHOULD failed",
        "not conformant: 1 MUST, 0 SHOULD failed",
        "700",
    ]
    assert module.cells(found[2])[:2] == ["three", "not run: it could not be installed"]
    lines = list(module.causes(found))
    [cause] = [line for line in lines if line.startswith("- ")]
    assert cause.startswith("- **MUST** It is the status (`error.code`): `a 'b' ccc")
    assert len(cause) < 250
    assert "Nothing failed.\n" in lines
    page = modules(monkeypatch, "run").of_verdicts(found)
    assert page.count("| one") == 1


def test_server_that_does_not_start_has_a_reason(monkeypatch: pytest.MonkeyPatch):
    """A server that ends before it serves has a row with its last words."""
    module, processes = modules(monkeypatch, "verdicts"), modules(monkeypatch, "processes")

    def start():
        return processes.serving([sys.executable, "-c", "raise SystemExit('no model')"], processes.first_line)

    assert "no model" in module.verdict("one", start).reason


STEPS = """
jobs:
  one:
    env: {WORD: hello}
    steps:
      - uses: actions/upload-artifact@0
      - id: first
        run: |
          sleep 600 > "$ALIVE" &
          echo "said=$WORD $OWN" >> "$GITHUB_OUTPUT"
          echo "# Summary" >> "$GITHUB_STEP_SUMMARY"
        env: {OWN: there}
      - run: echo "${{ steps.first.outputs.said }}${{ steps.none.outputs.x }}"; false | true
      - run: echo not reached
      - if: always()
        run: echo at the end
"""


def test_workflow_is_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Steps run as on GitHub: outputs, env, the summary, the first failure; what is left running is ended."""
    workflows = modules(monkeypatch, "workflows")
    file = tmp_path / "one.yml"
    file.write_text(STEPS, "utf-8")
    alive = tmp_path / "alive"
    os.mkfifo(alive)
    reader = os.open(alive, os.O_RDONLY | os.O_NONBLOCK)
    ran = workflows.run_workflow(file, tmp_path / "home", {"ALIVE": str(alive)})
    assert ran.code == 1
    assert ran.log == "hello there\nat the end\n"
    assert ran.summary == "# Summary\n"
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # the end of what the process in the background had open
    os.close(reader)


def test_action_of_a_workflow_has_its_inputs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """An input that the action does not have ends the run."""
    workflows = modules(monkeypatch, "workflows")
    file = tmp_path / "one.yml"
    steps = [
        {"uses": "actions/checkout@0", "with": {"path": "here"}},
        {"uses": "./here", "with": {"adress": "http://h"}},
    ]
    file.write_text(json.dumps({"jobs": {"one": {"steps": steps}}}), "utf-8")
    with pytest.raises(ValueError, match="no such input: adress"):
        workflows.run_workflow(file, tmp_path / "home")
