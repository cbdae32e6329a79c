"""The command `rerank-conformance`, run as its users run it."""

import json
import os
import platform
import shlex
import subprocess
import sys
from contextlib import contextmanager
from importlib import metadata

import pytest
from click.testing import CliRunner

from rerank_conformance import check, contract
from rerank_conformance.broken import BROKEN, VARIANTS
from rerank_conformance.cli import main
from rerank_conformance.reference import Reference
from rerank_conformance.report import Report

COMMAND = [sys.executable, "-m", "rerank_conformance"]


def run(*arguments, key="", **options):
    """Run the command."""
    environment = {**os.environ, "OPENROUTER_API_KEY": key}
    return subprocess.run(
        [*COMMAND, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        **options,
    )


@contextmanager
def served(*arguments):
    """Serve by the command itself, and yield the address."""
    with subprocess.Popen([*COMMAND, "serve", *arguments], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


def test_version():
    """`--version` shows the versions of the package, the contract and Python on one line."""
    package, python = metadata.version("openrouter-rerank"), platform.python_version()
    for command in ([], ["check"], ["compare"], ["expect"], ["rules"], ["serve"]):
        shown = run(*command, "--version").stdout
        assert shown == f"openrouter-rerank {package}, contract {contract.load().version}, Python {python}\n"


def test_an_honest_server_is_conformant(tmp_path):
    """The reference server passes: exit 0, a verdict on the last line, and a whole report in the file."""
    with served() as url:
        done = run("check", url, "--quick", "--json", str(tmp_path / "report.json"))

    assert (done.returncode, done.stdout.splitlines()[-1].split(":")[0]) == (0, "no failure found (quick)")
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (report["verdict"], report["target"], report["complete"]) == ("no-failure-found", url, True)
    assert report["requests"] <= 40
    assert Report.from_json((tmp_path / "report.json").read_text("utf-8")).exit_code == 0


def test_a_check_leaves_nothing_behind(tmp_path, tmp_path_factory, monkeypatch):
    """In the directory in which a whole check is run, there is nothing afterwards but what was asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    with served() as url:
        done = run("check", url, "--json", "report.json")

    assert done.returncode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_a_broken_server_is_not(tmp_path):
    """A server that breaks a rule fails by it: exit 1, with what was expected, what came, and a curl line to see it."""
    with served("--broken", "answer.index-in-range") as url:
        done = run("check", url, "--quick", key="sk-test-of-the-command")

    assert done.returncode == 1
    assert "answer.index-in-range" in done.stdout
    for word in ("expected:", "actual:", "curl:", "openapi.yaml#/"):
        assert word in done.stdout
    assert "sk-test-of-the-command" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (["--level", "ranking"], 0, "no failure found (quick) at level ranking: 0 MUST, 0 SHOULD failed;"),
        (["--level", "interface"], 1, "NOT conformant at level interface: 1 MUST, 0 SHOULD failed;"),
        ([], 1, "NOT conformant: 1 MUST, 0 SHOULD failed;"),
    ],
)
def test_a_level_decides(options, code, says):
    """`--level` decides the exit code and the last line; the first lines have the verdict of each level."""
    with served("--broken", "error.code") as url:
        done = run("check", url, "--quick", *options)

    lines = done.stdout.splitlines()
    assert done.returncode == code
    assert lines[-1].startswith(says)
    assert [line.split()[0] for line in lines[:3]] == ["ranking", "interface", "strict"]
    assert "interface NOT conformant 1 MUST, 0 SHOULD failed" in [" ".join(line.split()) for line in lines]


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
        (["check", "http://["], "names a host"),
        (["check", "http://h.example:x/"], "names a host"),
        (["check", "http://127.0.0.1:9", "--rule", "no.such"], "no rule begins with"),
        (
            ["check", "http://127.0.0.1:9", "--rule", "anser.index-uniqe"],
            "did you mean 'answer.index-unique'?",
        ),
        (["check", "http://127.0.0.1:9", "--rule", "refussal."], "did you mean 'refusal.'?"),
        (["check", "http://127.0.0.1:9", "--level", "perfect"], "'ranking', 'interface', 'strict'"),
        (["chck", "http://127.0.0.1:9"], "Did you mean 'check'?"),
        (["check", "http://127.0.0.1:9", "--quik"], "'--quick'"),
        (["check", "http://127.0.0.1:9", "--level", "strickt"], "did you mean 'strict'?"),
        (["check", "http://me:hush-hush@127.0.0.1:9"], "user name or password"),
        (["check", "http://127.0.0.1:9/api?key=hush-hush"], "query"),
        (["check", "http://127.0.0.1:9", "--contract-version", "0.0.1"], "there is no contract"),
        (["check", "https://h.example/api/v1"], "No key"),
        (["serve", "--broken", "no.such"], "no server is named 'no.such'"),
        (["serve", "--broken", "no.such"], "serve --list"),
        (["serve", "--broken", "answer.index_unique"], "did you mean 'answer.index-unique'?"),
        (["serve", "--variant", "logit"], "did you mean 'logits'?"),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_cannot_be_run(arguments, says):
    """Bad usage ends with 2 and says what is wrong, before anything is sent."""
    done = run(*arguments)

    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "hush-hush" not in done.stdout + done.stderr


def test_the_servers_are_listed():
    """`serve --list` has every broken server below its section, and every legal one, each in one sentence."""
    done = run("serve", "--list")

    assert done.returncode == 0
    lines = done.stdout.splitlines()
    listed = {line.split()[0]: line for line in lines if line.startswith("  ")}
    assert listed.keys() == {*BROKEN, *VARIANTS}
    assert all(line.endswith(".") for line in listed.values())
    heads = [line for line in lines if line.startswith("--broken: ")]
    assert heads == sorted({f"--broken: {name.partition('.')[0]}" for name in BROKEN})


def test_the_same_again(tmp_path):
    """The report names the whole command line: every option that shapes the run, quoted, with the seed and without the key."""
    known, key = tmp_path / "known failures.txt", tmp_path / "it's a key.txt"
    known.write_text("answer.id-present  # on its way\n", "utf-8")
    key.write_text("sk-test-of-the-command", "utf-8")
    given = [
        "--rule",
        "answer.",
        "--rule",
        "error.code",
        "--quick",
        "--model",
        'it\'s "mine"',
        "--timeout",
        "3.5",
    ]
    given += [
        "--key-file",
        str(key),
        "--expected-failures",
        str(known),
        "--level",
        "ranking",
        "--expect-auth",
    ]
    file = tmp_path / "r.json"
    with served() as url:
        done = run("check", url, *given, "--json", str(file), "--html", str(tmp_path / "r.html"))

    report = json.loads(file.read_bytes())
    words = shlex.split(report["command"])
    assert words[:3] == ["rerank-conformance", "check", url]
    assert words[-2:] == ["--seed", str(report["seed"])]
    assert sorted(words[3:-2]) == sorted(given)
    assert f"again: {report['command']}" in done.stdout.splitlines()
    assert "sk-test-of-the-command" not in report["command"]


@pytest.mark.parametrize("command", [["check", "http://127.0.0.1:9", "--quick"], ["serve"]])
def test_a_key_in_place_of_its_variable_is_not_shown(command):
    """What was given as the name of a variable may be the key."""
    done = CliRunner().invoke(main, [*command, "--key-env", "sk-or-v1-0123456789abcdef"])
    assert done.exit_code == 2
    assert "pass the name, not the key" in done.output
    assert "0123456789abcdef" not in done.output


@pytest.mark.parametrize("option", ["--timeout", "--rate", "--tolerance"])
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_numbers_that_compare_with_nothing(option, value):
    """With a tolerance of NaN no two scores would differ; nothing is sent."""
    done = CliRunner().invoke(main, ["check", "http://127.0.0.1:9", "--quick", option, value])
    assert done.exit_code == 2
    assert f"{option}: {value} is not allowed; pass a finite number" in done.output


@pytest.mark.parametrize("option", ["--key-env", "--key-file"])
def test_evidence_names_where_the_key_is(tmp_path, option):
    """A curl line reads the key from the variable or the file that the check had it from."""
    key = tmp_path / "it's a key.txt"
    key.write_text("sk-test-of-the-command", "utf-8")
    value, says = ("MY_KEY", "Bearer $MY_KEY") if option == "--key-env" else (str(key), "=$(cat ")
    with served("--broken", "answer.index-in-range") as url:
        done = subprocess.run(
            [*COMMAND, "check", url, "--quick", option, value],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "MY_KEY": "sk-test-of-the-command"},
        )

    curls = [line for line in done.stdout.splitlines() if line.startswith("    curl: ")]
    assert curls
    assert all(says in line for line in curls)
    assert "sk-test-of-the-command" not in done.stdout


def test_every_report(tmp_path):
    """One check writes all its reports, and `-` sends the JSON alone to standard output."""
    names = {"--summary": "r.md", "--junit": "r.xml", "--html": "r.html", "--badge": "r.svg"}
    files = [word for option, name in names.items() for word in (option, str(tmp_path / name))]
    with served("--broken", "answer.index-in-range") as url:
        done = run("check", url, "--quick", "--seed", "3", "--json", "-", *files)

    assert done.returncode == 1
    assert json.loads(done.stdout)["verdict"] == "nonconformant"
    assert done.stderr.splitlines()[-1].startswith("NOT conformant: 1 MUST, 0 SHOULD failed")
    assert (tmp_path / "r.md").read_text("utf-8").startswith("# Not conformant: http://127.0.0.1")
    assert "<failure" in (tmp_path / "r.xml").read_text("utf-8")
    assert (tmp_path / "r.html").read_text("utf-8").startswith("<!doctype html>")
    assert ">not conformant</text>" in (tmp_path / "r.svg").read_text("utf-8")


def test_reports_that_cannot_be_written(tmp_path):
    """A file that cannot be written is told before the first request, and nothing is left behind."""
    there, missing = tmp_path / "r.json", tmp_path / "missing" / "r.html"
    for files, says in (
        (["--json", str(there), "--html", str(missing)], f"{missing} cannot be written"),
        (["--badge", str(tmp_path)], "cannot be written"),
        (["--json", str(there), "--html", str(there)], "given twice"),
    ):
        # nobody listens there: a request would be answered for in the report
        done = run("check", "http://127.0.0.1:9", *files)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
        assert "requests" not in done.stderr
    assert not there.exists()


def test_servers_are_compared(tmp_path):
    """`compare` shows the rules that part the servers, and writes the matrix as JSON and as a page."""
    honest, broken = tmp_path / "honest.json", tmp_path / "broken.json"
    honest.write_text(check(Reference(), quick=True).to_json(), "utf-8")
    broken.write_text(check(BROKEN["answer.index-in-range"](), quick=True).to_json(), "utf-8")
    matrix, site = tmp_path / "matrix.json", tmp_path / "matrix.html"
    done = run("compare", str(honest), str(broken), "--json", str(matrix), "--html", str(site))

    assert (done.returncode, done.stderr) == (0, "")
    [failed] = [line.split() for line in done.stdout.splitlines() if line.startswith("answer.index-in-range")]
    assert failed == ["answer.index-in-range", "ranking", "MUST", "pass", "fail"]
    assert [server["verdict"] for server in json.loads(matrix.read_bytes())["servers"]] == [
        "no-failure-found",
        "nonconformant",
    ]
    assert "2 servers compared" in site.read_text("utf-8")
    assert json.loads(run("compare", str(honest), str(honest), "--json", "-").stdout)["complete"] is True


def test_what_is_no_report(tmp_path):
    """A file that is no whole report ends with 2 and one line that names it."""
    cut = tmp_path / "cut.json"
    for content in (b"", b"\xff\xfe", b'{"target": "x"}'):
        cut.write_bytes(content)
        done = run("compare", str(cut))
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(f"Error: {cut}: not a")
        assert done.stderr.count("\n") == 1
    done = run("compare", str(tmp_path / "none.json"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "cannot be read" in done.stderr


def test_the_rules_are_listed():
    """Every rule is listed with its level and its sentence, and as JSON with its place in the contract."""
    listed = json.loads(run("rules", "--json").stdout)["rules"]

    assert len(listed) == len(run("rules").stdout.splitlines()) > 100
    assert all(rule["source"].startswith("#/") and rule["level"] in ("MUST", "SHOULD") for rule in listed)
    assert {rule["conformance_level"] for rule in listed} == {"ranking", "interface", "strict"}
    assert all(rule["level_reason"].endswith(".") for rule in listed)


@pytest.mark.parametrize("missing", ["click", "jinja2"])
def test_without_its_extra(missing):
    """If a part of the extra is missing, the command says what to install before it sends anything, with exit code 2."""
    code = (
        f"import sys; sys.modules['{missing}'] = None; from rerank_conformance.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "http://127.0.0.1:9"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "[conformance]" in done.stderr


@pytest.mark.parametrize(
    ("url", "more", "expected"),
    [
        ("localhost:8000", (), "write http:// before it"),
        ("127.0.0.1", (), "write http:// before it"),
        ("ftp://127.0.0.1", (), "names a host\n"),
        ("http://127.0.0.1:1", ("--key-file", os.devnull), f"The key file {os.devnull} is empty"),
    ],
)
def test_what_is_wrong_before_the_first_request(url, more, expected):
    """An address without a scheme and a key file without a key are told with the next step."""
    done = CliRunner().invoke(main, ["check", url, "--quick", *more])
    assert done.exit_code == 2
    assert expected in done.output
