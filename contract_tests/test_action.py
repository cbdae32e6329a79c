"""action.yml and the workflows of docs/workflows: what GitHub needs of them, and what their scripts do."""

import json
import re
import stat
import sys
from pathlib import Path

import pytest
import yaml

from rerank_conformance.broken import BROKEN
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = ACTION["runs"]["steps"]
WORKFLOWS = sorted((ROOT / "docs/workflows").glob("*.yml"))
KEY = "sk-test-of-the-action"


def expressions(text):
    """Return the expressions of a text."""
    return re.findall(r"\$\{\{\s*(.*?)\s*\}\}", str(text))


def test_action_is_composite():
    """The action has what a composite action needs: descriptions, and a shell for each script."""
    assert ACTION["name"]
    assert ACTION["description"]
    assert ACTION["runs"]["using"] == "composite"
    for name, one in {**ACTION["inputs"], **ACTION["outputs"]}.items():
        assert one["description"], name
    for name, one in ACTION["inputs"].items():
        assert one.get("required") or isinstance(one.get("default"), str), name
    for step in STEPS:
        assert ("uses" in step) != ("run" in step)
        assert "uses" in step or step["shell"] == "bash"


def test_action_refers_to_what_there_is():
    """Every expression names an input, or an output of a step before it; every input is used."""
    used = []
    known = {"github.action_path"} | {f"inputs.{name}" for name in ACTION["inputs"]}
    for step in STEPS:
        found = [
            one
            for value in {**step.get("env", {}), **step.get("with", {})}.values()
            for one in expressions(value)
        ]
        assert [
            one for one in found if one not in known and not one.startswith(tuple(steps_before(step)))
        ] == []
        used += found
    assert {f"inputs.{name}" for name in ACTION["inputs"]} <= set(used)
    for one in ACTION["outputs"].values():
        [output] = expressions(one["value"])
        _, step, _, name = output.split(".")
        [script] = [other["run"] for other in STEPS if other.get("id") == step]
        assert f"{name}=" in script


def steps_before(step):
    """Return the beginnings of the outputs of the steps before one."""
    return [f"steps.{one['id']}.outputs." for one in STEPS[: STEPS.index(step)]] or ["nothing"]


@pytest.mark.parametrize("script", [step["run"] for step in STEPS if "run" in step])
def test_no_expression_is_in_a_script(script):
    """An input reaches a script by its environment, as an expression in it would be run by the shell."""
    assert expressions(script) == []


@pytest.mark.parametrize("file", [ROOT / "action.yml", *WORKFLOWS], ids=lambda file: file.name)
def test_actions_are_pinned(file):
    """Every action of others is named by the hash of a commit."""
    uses = re.findall(r"uses: (\S+)", file.read_text("utf-8"))
    assert [one for one in uses if not re.fullmatch(r"\./\S+|[\w./-]+@[0-9a-f]{40}", one)] == []


@pytest.fixture
def check(tmp_path, monkeypatch):
    """Run the last step of the action with inputs; the command before it records how it was called."""
    monkeypatch.syspath_prepend(str(ROOT / "contract_tests/interop"))
    workflows = __import__("workflows")
    called = tmp_path / "called.json"
    command = tmp_path / "rerank-conformance"
    command.write_text(
        f"#!{sys.executable}\n"
        "import json, sys\n"
        f"open({str(called)!r}, 'w').write(json.dumps(sys.argv[1:]))\n"
        "from rerank_conformance.cli import main\n"
        "main()\n",
        "utf-8",
    )
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    action = {**ACTION, "runs": {"using": "composite", "steps": [STEPS[-1]]}}
    home = tmp_path / "action"
    home.mkdir()
    text = yaml.safe_dump(action).replace("${{ steps.install.outputs.command }}", str(command))
    (home / "action.yml").write_text(text, "utf-8")

    def run(variables=None, *, files=None, **inputs):
        environment = {"GITHUB_ACTIONS": "true", "OPENROUTER_API_KEY": "", **(variables or {})}
        with workflows.runner(tmp_path / "job", environment) as runner:
            for name, content in (files or {}).items():
                (runner.workspace / name).write_text(content, "utf-8")
            given = {name.replace("_", "-"): value for name, value in inputs.items()}
            ran = runner.composite(home, given)
            report = runner.workspace / ran.outputs["report"] if ran.outputs["report"] else None
            arguments = json.loads(called.read_text("utf-8")) if called.exists() else []
            return ran, arguments, json.loads(report.read_text("utf-8")) if report else None

    return run


def test_action_judges_a_server(check):
    """A check of an honest server: the code, the verdict, the report and the summary of the step."""
    with running(Reference()) as url:
        ran, arguments, report = check(
            url=url,
            quick="true",
            level="ranking",
            model="any model",
            arguments="--seed\n7\n\n--rule\nanswer.",
        )
    assert ran.code == 0, ran.log
    assert (ran.outputs["verdict"], report["verdict"]) == ("no-failure-found", "no-failure-found")
    assert (report["seed"], report["conformance_level"]) == (7, "ranking")
    assert arguments[arguments.index("--model") + 1] == "any model"
    assert ran.summary.startswith("# No failure found")
    assert arguments[-2:] == ["--", url]


def test_action_annotates_failures(check):
    """A failure is an annotation, and the code of the step."""
    with running(BROKEN["error.code"]()) as url:
        ran, *_ = check(url=url, quick="true", arguments="--rule\nerror.code")
    assert (ran.code, ran.outputs["verdict"]) == (1, "nonconformant")
    assert "\n::error title=" in ran.log


def test_action_takes_expected_failures(check):
    """With a file of expected failures the step passes, and the summary has the link to the issue."""
    known = {"known.txt": "error.code # https://h.example/issues/1\n"}
    with running(BROKEN["error.code"]()) as url:
        ran, *_ = check(
            url=url, quick="true", arguments="--rule\nerror.code", expected_failures="known.txt", files=known
        )
    assert ran.code == 0, ran.log
    assert "::error" not in ran.log
    assert "[issue](<https://h.example/issues/1>)" in ran.summary


@pytest.mark.parametrize(
    ("variables", "inputs"),
    [
        ({}, {"key": KEY}),
        ({"OPENROUTER_API_KEY": KEY}, {}),
        ({"OTHER": KEY}, {"key_env": "OTHER"}),
    ],
    ids=["input", "default", "variable"],
)
def test_action_keeps_the_key(check, variables, inputs):
    """The key opens the server, and is in no command line, log, report or summary."""
    with running(Reference(keys={KEY})) as url:
        ran, arguments, report = check(
            variables, url=url, quick="true", arguments="--rule\nanswer.json", **inputs
        )
    assert ran.code == 0, ran.log
    assert KEY not in json.dumps([arguments, report]) + ran.log + ran.summary


def test_action_without_a_server(check):
    """Where nothing answers, the code is that of a check, and the verdict is undecided."""
    ran, *_ = check(url="http://127.0.0.1:9", quick="true")
    assert (ran.code, ran.outputs["verdict"]) == (2, "undecided")


def test_action_that_cannot_run(check):
    """Bad usage leaves no report of an earlier step behind."""
    ran, *_ = check(url="nowhere", files={"rerank-report.json": "{}"})
    assert (ran.code, ran.outputs["report"]) == (2, "")
