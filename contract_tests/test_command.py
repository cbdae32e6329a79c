"""The command `rerank-conformance`, run as its users run it."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from rerank_conformance.report import Report

COMMAND = [sys.executable, "-m", "rerank_conformance"]


def run(*arguments, key="", **options):
    """The finished command."""
    environment = {**os.environ, "OPENROUTER_API_KEY": key}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **options,
    )


@contextmanager
def served(*arguments):
    """The address of a server that the command itself serves, stopped at the end."""
    with subprocess.Popen([*COMMAND, "serve", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def test_an_honest_server_is_conformant(tmp_path):
    """The reference server passes: exit 0, a verdict on the last line, and a whole report in the file."""
    with served() as url:
        done = run("check", url, "--quick", "--json", str(tmp_path / "report.json"))

    assert (done.returncode, done.stdout.splitlines()[-1].split(":")[0]) == (0, "conformant")
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (report["verdict"], report["target"], report["complete"]) == ("conformant", url, True)
    assert report["requests"] <= 40
    assert Report.from_json((tmp_path / "report.json").read_text("utf-8")).exit_code == 0


def test_a_broken_server_is_not(tmp_path):
    """A server that breaks a rule fails by it: exit 1, with what was expected, what came, and a curl line to see it."""
    with served("--broken", "answer.index-in-range") as url:
        done = run("check", url, "--quick", key="sk-test-of-the-command")

    assert done.returncode == 1
    assert "answer.index-in-range" in done.stdout
    for word in ("expected:", "actual:", "curl:", "openapi.yaml#/"):
        assert word in done.stdout
    assert "sk-test-of-the-command" not in done.stdout + done.stderr


def test_a_legal_server_is_conformant():
    """A server that is legal in its own way passes too."""
    with served("--variant", "logits") as url:
        assert run("check", url, "--quick").returncode == 0


def test_nobody_there():
    """A server that does not answer leaves the verdict open: exit 2."""
    done = run("check", "http://127.0.0.1:9/api/v1", "--quick")

    assert done.returncode == 2
    assert "undecided" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "ftp://h.example"], "http://"),
        (["check", "http://127.0.0.1:9", "--rule", "no.such"], "no rule begins with"),
        (["check", "https://h.example/api/v1"], "No key"),
        (["serve", "--broken", "no.such"], "no such server"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_cannot_be_run(arguments, says):
    """Bad usage ends with 2 and says what is wrong, before anything is sent."""
    done = run(*arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_rules_are_listed():
    """Every rule is listed with its level and its sentence, and as JSON with its place in the contract."""
    listed = json.loads(run("rules", "--json").stdout)["rules"]

    assert len(listed) == len(run("rules").stdout.splitlines()) > 100
    assert all(rule["source"].startswith("#/") and rule["level"] in ("MUST", "SHOULD") for rule in listed)


def test_without_its_extra():
    """Where click is missing the command says what to install, with 2 and without a traceback."""
    code = "import sys; sys.modules['click'] = None; from rerank_conformance.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "[conformance]" in done.stderr
