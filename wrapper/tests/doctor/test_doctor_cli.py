"""The command `rerank doctor` does what its help says: what it sends, what it prints, how it ends."""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytest.importorskip("click", reason="the extra `cli` is not installed")
pytest.importorskip("rich", reason="the extra `cli` is not installed")

from click.testing import CliRunner, Result

from doctor_servers import HEALTHY, KEY, ODD, Spec
from openrouter_rerank.cli import doctor
from openrouter_rerank.cli.app import app
from openrouter_rerank.doctor import Configuration, Diagnosis
from openrouter_rerank.testing import Server, serving

DOCTOR = [sys.executable, "-c", "from openrouter_rerank.cli import main; main()", "doctor"]


def run(*words: str, **environment: str) -> Result:
    """Run the command."""
    return CliRunner(env=environment).invoke(app, ["doctor", *words])


def v1(server: Server) -> str:
    """Return the base URL of a server with the default paths."""
    return server.url.removesuffix("/api/v1") + "/v1"


def test_a_usable_server():
    """The exit code is 0; the verdict, the facts and the lines to paste are printed."""
    with serving(Spec(most=32).play()) as server:
        result = run(v1(server))
        url = v1(server)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{url}: usable; dialect openrouter\n")
    assert "warning batch_limit" in result.stdout
    assert "separation: clear" in result.stdout
    assert f"Reranker(base_url='{url}', max_documents=32" in result.stdout


def test_a_server_with_a_problem():
    """The exit code is 1, and the problem has its next step."""
    with serving(ODD["constant"].spec.play()) as server:
        result = run(v1(server))
    assert result.exit_code == 1
    assert ": 1 problem; dialect openrouter" in result.stdout
    assert "error constant_scores" in result.stdout
    assert "do: check that the model is a reranker" in result.stdout


def test_an_unreachable_server():
    """There is nothing to paste."""
    result = run("http://127.0.0.1:1")
    assert result.exit_code == 1
    assert "unknown dialect" in result.stdout
    assert "Python:" not in result.stdout


SHAPE = {
    "url": str,
    "base_url": str,
    "dialect": str,
    "problems": list,
    "facts": dict,
    "requests": int,
    "elapsed_s": float,
    "configuration": dict,
}


@pytest.mark.parametrize("name", ["constant", "a batch limit", "no key"])
def test_the_json(name: str, tmp_path: Path):
    """The diagnosis is one JSON object, in a file or on standard output alone."""
    file = tmp_path / "diagnosis.json"
    with serving(ODD[name].spec.play()) as server:
        in_file = run(v1(server), "--json", str(file))
        on_stdout = run(v1(server), "--json", "-")
    whole = json.loads(file.read_text("utf-8"))
    assert {member: type(value) for member, value in whole.items()} == SHAPE
    assert json.loads(on_stdout.stdout).keys() == whole.keys()
    assert in_file.stdout
    assert [problem["code"] for problem in whole["problems"]] == [ODD[name].code]
    assert all(problem.keys() == {"code", "severity", "says", "do"} for problem in whole["problems"])
    assert whole["configuration"].keys() == {"python", "shell"}
    assert (
        in_file.exit_code == on_stdout.exit_code == any(p["severity"] == "error" for p in whole["problems"])
    )


def test_the_key_comes_from_the_environment():
    """By OPENROUTER_API_KEY or the variable named; the lines to paste read the same variable."""
    with serving(Spec(key=KEY).play()) as server:
        default = run(v1(server), OPENROUTER_API_KEY=KEY)
        named = run(v1(server), "--key-env", "MY_KEY", MY_KEY=KEY)
        missing = run(v1(server), "--key-env", "MY_KEY")
    assert default.exit_code == named.exit_code == 0
    assert 'os.environ["MY_KEY"]' in named.stdout
    assert "--key-env MY_KEY" in named.stdout
    assert missing.exit_code == 1
    assert "needs_key" in missing.stdout
    assert "MY_KEY" in missing.stdout
    for result in (default, named, missing):
        assert KEY not in result.output


def test_the_model_and_the_dialect_can_be_named():
    """What is named is asked for, and a dialect that does not fit is a problem."""
    with serving(HEALTHY["a model by name"].spec.play()) as server:
        result = run(v1(server), "--model", "a/b-rerank")
        assert "model='a/b-rerank'" in result.stdout
        assert {request.json.get("model") for request in server.requests if request.body} == {"a/b-rerank"}
    with serving(HEALTHY["jina, strings alone"].spec.play()) as server:
        right = run(v1(server), "--dialect", "jina")
        wrong = run(v1(server), "--dialect", "tei")
    assert right.exit_code == 0
    assert wrong.exit_code == 1
    assert "--dialect jina" in wrong.stdout


def test_the_number_of_requests_is_limited():
    """No more are sent, and the report says that it stopped."""
    with serving(Spec().play()) as server:
        result = run(v1(server), "--max-requests", "3")
        assert len(server.requests) == 3
    assert "the limit of 3 requests was reached" in result.stdout


@pytest.mark.parametrize(
    "words",
    [
        ["ftp://localhost"],
        ["http://localhost:0"],
        [""],
        ["http://user:password-of-user@localhost"],
        ["http://127.0.0.1:1", "--dialect", "other"],
        ["http://127.0.0.1:1", "--max-requests", "0"],
        ["http://127.0.0.1:1", "--json", "/no/such/directory/file"],
        [],
    ],
)
def test_bad_usage(words: list[str]):
    """The exit code is 2, and nothing is quoted that may be a secret."""
    result = run(*words)
    assert result.exit_code == 2, result.output
    assert "password-of-user" not in result.output


@pytest.mark.parametrize(
    "url", ["https://rerank.example.invalid/v1", "http://192.0.2.1:8000", "rerank.example.invalid"]
)
def test_a_live_server_needs_consent(url: str):
    """Without a terminal to ask on, nothing is sent and the exit code is 2."""
    result = run(url)
    assert result.exit_code == 2
    assert "--yes" in result.stderr


@pytest.mark.parametrize(("said", "sends"), [("n\n", False), ("y\n", True)])
def test_the_question(said: str, sends: bool, monkeypatch: pytest.MonkeyPatch):
    """On a terminal the command asks."""
    monkeypatch.setattr(doctor, "sys", _Terminal)
    result = CliRunner().invoke(app, ["doctor", "https://rerank.example.invalid"], input=said)
    assert "calls may cost money" in result.stderr
    assert result.exit_code == (1 if sends else 2)
    assert ("unreachable" in result.stdout) is sends


class _Terminal:
    """What the command sees of `sys` on a terminal."""

    class stdin:  # noqa: N801 - as in sys
        """Standard input."""

        @staticmethod
        def isatty() -> bool:
            """Return True."""
            return True


def test_yes_is_consent():
    """Then it is tried."""
    result = run("https://rerank.example.invalid", "--yes")
    assert result.exit_code == 1
    assert "unreachable" in result.stdout


def test_a_file_that_cannot_be_written_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The exit code is 2."""

    def fill(*_: object, **options: object) -> Diagnosis:
        (tmp_path / "file").mkdir()
        return Diagnosis("u", "u", "unknown", (), {}, 0, 0.0, Configuration())

    monkeypatch.setattr(doctor, "diagnose", fill)
    result = run("http://127.0.0.1:1", "--json", str(tmp_path / "file"))
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_it_does_without_the_kit():
    """The base install with the extra `cli` is enough."""
    code = (
        "import sys; sys.modules['rerank_conformance'] = None; from openrouter_rerank.cli import main; "
        "sys.argv = ['rerank', 'doctor', 'http://127.0.0.1:1']; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 1, ran.stderr
    assert "unreachable" in ran.stdout


@pytest.mark.skipif(os.name == "nt", reason="the line is for a shell of POSIX")
def test_the_shell_line_in_a_shell():
    """It ranks as it is pasted."""
    with serving(HEALTHY["tei"].spec.play()) as server:
        host = server.url.removesuffix("/api/v1")
        line = json.loads(run(host, "--json", "-").stdout)["configuration"]["shell"]
        path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ["PATH"]])
        ran = subprocess.run(
            ["sh", "-c", line],
            capture_output=True,
            encoding="utf-8",
            check=True,
            env={**os.environ, "PATH": path},
        )
    assert "Hamlet" in ran.stdout.splitlines()[0]


def test_a_key_in_place_of_the_name_of_its_variable():
    """Nothing is sent, and the message does not quote the key."""
    with serving(Spec().play()) as server:
        result = run(v1(server), "--key-env", "sk-or-v1-0123456789abcdef")
        assert server.requests == []
    assert result.exit_code == 2
    assert "pass the name, not the key" in result.output
    assert "0123456789abcdef" not in result.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("options", [[], ["--json", "-"]], ids=["lines", "json"])
def test_nowhere_to_write_to(options: list[str]):
    """The exit code is 2, and the message is one line."""
    command = [*DOCTOR, "http://127.0.0.1:1", *options]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120
        )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "rerank: the diagnosis could not be written: No space left on device; free some space and run the command again"
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end in another way there")
def test_nobody_reads_the_diagnosis():
    """A reader that goes away, as `head` does, does not change the exit code."""
    command = [*DOCTOR, "http://127.0.0.1:1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(120) == 1
    assert error == b""
