"""The check as tests of pytest, run as the author of a server runs them: in a process of its own, away from here."""

import os
import subprocess
import sys

import pytest

from rerank_conformance.broken import BROKEN
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from rerank_conformance.reference.speaking import speaking

QUICK = ["--pyargs", "rerank_conformance", "--target-quick"]
OURS_ALONE = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_PLUGINS": "xdist.plugin,openrouter_rerank.testing.plugin,rerank_conformance.plugin",
}
"""The environment without the other plugins that are installed, whose import takes most of the time of a run."""


def run_as_installed(directory, *arguments, **environment):
    """Run pytest in an empty directory, with every plugin that is installed."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments],
        cwd=directory,
        env={**os.environ, "OPENROUTER_API_KEY": "", **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def run(directory, *arguments, **environment):
    """Run pytest in an empty directory, with our plugins and xdist."""
    return run_as_installed(directory, *arguments, **OURS_ALONE, **environment)


def test_an_honest_server(tmp_path):
    """Every rule is a test, and all of them pass; what was asked of the server and how is said at the end."""
    with running(Reference()) as url:
        done = run_as_installed(tmp_path, *QUICK, "--target", url, "--target-seed", "7")

    assert done.returncode == 0, done.stdout
    assert "rerank conformance: no failure found (quick)" in done.stdout
    assert "seed 7" in done.stdout
    assert " passed" in done.stdout.splitlines()[-1]


def test_a_broken_server(tmp_path):
    """The rule that a server breaks is the test that fails, with what was expected, what came and a curl line."""
    with running(BROKEN["answer.index-in-range"]()) as url:
        done = run(tmp_path, *QUICK, "--target", url)

    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert "test_rule[answer.index-in-range]" in done.stdout
    for word in ("expected:", "actual:", "curl:", "openapi.yaml:"):
        assert word in done.stdout


def test_a_line_is_of_its_contract(tmp_path):
    """A server that is held to a released contract is told the lines of that contract's file."""
    with running(BROKEN["answer.index-in-range"]()) as url:
        done = run(tmp_path, *QUICK, "--target", url, "--target-contract-version", "1.0.0")

    assert "contract: contracts/1.0.0.yaml:" in done.stdout
    assert "openapi.yaml:" not in done.stdout


def test_an_older_version(tmp_path):
    """By the rules of an older version there is a test for each of them, and none for those that came later."""
    with running(Reference()) as url:
        done = run(tmp_path, *QUICK, "--target", url, "--target-contract-version", "1.0.0")

    assert done.returncode == 0, done.stdout
    assert "contract 1.0.0" in done.stdout
    assert "error" not in done.stdout


def test_a_dialect(tmp_path):
    """A server of another dialect is judged in it; a rule of that dialect's form names the place in its contract."""
    chosen = ["--target-dialect", "tei", "-k", "answer.json or refusal.canonical-form"]
    with running(speaking("tei")()) as url, running(speaking("tei", BROKEN["answer.json"])()) as broken:
        honest = run(tmp_path, "--pyargs", "rerank_conformance", "--target", url, *chosen)
        failed = run(tmp_path, "--pyargs", "rerank_conformance", "--target", broken, *chosen)

    assert honest.returncode == 0, honest.stdout
    assert "2 passed" in honest.stdout.splitlines()[-1]
    assert "dialect tei" in honest.stdout
    assert failed.returncode == 1
    assert "contract: contracts/dialects/tei.yaml:" in failed.stdout


def test_a_should_counts_if_it_is_to(tmp_path):
    """A SHOULD that is not kept is an expected failure, and a failure where it counts as a MUST."""
    with running(BROKEN["answer.id-present"]()) as url:
        lenient = run(tmp_path, *QUICK, "--target", url, "-k", "answer.id-present")
        strict = run(tmp_path, *QUICK, "--target", url, "-k", "answer.id-present", "--target-strict")

    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert "1 xfailed" in lenient.stdout


def test_a_level_decides(tmp_path):
    """A rule beyond the level is an expected failure; the verdict of each level is printed at the end."""
    with running(BROKEN["error.code"]()) as url:
        lenient = run(tmp_path, *QUICK, "--target", url, "--target-level", "ranking")
        strict = run(tmp_path, *QUICK, "--target", url)

    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert "1 xfailed" in lenient.stdout
    lines = [" ".join(line.split()) for line in lenient.stdout.splitlines()]
    assert "ranking no failure found (quick): 0 MUST, 0 SHOULD failed (decides)" in lines
    assert "interface not conformant: 1 MUST, 0 SHOULD failed" in lines


def test_a_timeout_that_is_no_number(tmp_path):
    """It is bad usage, and not an error of each rule."""
    done = run(tmp_path, "--target", "http://127.0.0.1:9", "--target-timeout", "nan")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "--target-timeout: nan is not allowed; pass a finite number above 0" in done.stderr


def test_a_known_failure(tmp_path):
    """A rule in the file of expected failures does not fail the run, and one that passes all the same is told."""
    (tmp_path / "known.txt").write_text("answer.index-in-range # issue 7\nanswer.model # issue 8\n", "utf-8")
    with running(BROKEN["answer.index-in-range"]()) as url:
        done = run(tmp_path, *QUICK, "--target", url, "--target-expected-failures", "known.txt")

    assert done.returncode == 0, done.stdout
    assert "answer.model: unexpected pass" in done.stdout


def test_an_application_by_its_name(tmp_path):
    """An ASGI app is judged in the process of the tests, by module:app."""
    (tmp_path / "service.py").write_text(
        "from rerank_conformance.reference import Reference, asgi\napp = asgi.app(Reference())\n", "utf-8"
    )
    done = run(tmp_path, *QUICK, "--target", "service:app")

    assert done.returncode == 0, done.stdout
    assert "in process" in done.stdout


@pytest.mark.parametrize("base", ["/api/v1", "/api/v1/"])
def test_a_base_path(tmp_path, base):
    """An app that has /rerank below a path is judged by --target-base-path; without it, the reason is said once."""
    (tmp_path / "service.py").write_text(
        "from starlette.applications import Starlette\n"
        "from starlette.routing import Mount\n"
        "from rerank_conformance.reference import Reference, asgi\n"
        "app = Starlette(routes=[Mount('/api/v1', asgi.app(Reference()))])\n",
        "utf-8",
    )
    arguments = ["-k", "answer.json or answer.model", "--target", "service:app"]
    done = run(tmp_path, *QUICK, *arguments, "--target-base-path", base)
    without = run(tmp_path, *QUICK, *arguments)

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
    assert without.returncode == 1
    assert "answered with 404: no /rerank under this base URL" in without.stdout


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "xdist"])
@pytest.mark.parametrize("path", [None, "/wrong"], ids=["nobody", "wrong-path"])
def test_nothing_ranks_at_the_address(tmp_path, path, workers):
    """Where nothing ranks there is one error with the reason, and every other rule is skipped."""
    with running(Reference()) as url:
        target = "http://127.0.0.1:9" if path is None else url + path
        done = run(tmp_path, *QUICK, *workers, "-rs", "--target", target)

    last = done.stdout.splitlines()[-1]
    assert done.returncode == 1
    assert "1 error" in last
    assert "failed" not in last
    assert "passed" not in last
    assert f"nothing could be judged at {target}: the first request " in done.stdout
    assert "nothing could be judged; see the error of " in done.stdout


def test_what_is_not_applicable_is_skipped(tmp_path):
    """A missing capability is one failure: the rules that need it are skipped with the reason, as in a check."""
    with running(BROKEN["acceptance.objects"]()) as url:
        done = run(tmp_path, *QUICK, "-rs", "--target", url, "-k", "acceptance")

    assert "1 failed" in done.stdout.splitlines()[-1]
    assert "test_rule[acceptance.objects]" in done.stdout
    assert (
        "not applicable: the server does not take documents as objects; see acceptance.objects" in done.stdout
    )


def test_keys_are_expected(tmp_path):
    """A server that needs no key is judged by the refusals of keys where --target-expect-auth asks for it."""
    with running(Reference()) as url:
        arguments = [*QUICK, "--target", url, "-k", "authentication.no-key", "-rs"]
        lenient = run(tmp_path, *arguments, OPENROUTER_API_KEY="sk-test-of-the-plugin")
        strict = run(tmp_path, *arguments, "--target-expect-auth", OPENROUTER_API_KEY="sk-test-of-the-plugin")

    assert (lenient.returncode, strict.returncode) == (0, 1)
    assert "not applicable: the server needs no key" in lenient.stdout


def test_a_fixture_of_ones_own(tmp_path):
    """A repository can give its own server as a fixture, and take the test from here."""
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n"
        "from rerank_conformance.reference import Reference\n"
        "from rerank_conformance.test_rules import test_rule\n"
        "@pytest.fixture(scope='session')\n"
        "def rerank_target():\n"
        "    return Reference()\n",
        "utf-8",
    )
    done = run(tmp_path, "test_mine.py", "--target-quick")

    assert done.returncode == 0, done.stdout
    assert "no failure found (quick)" in done.stdout


def test_without_a_target(tmp_path):
    """Without a server nothing is judged, and each test says how to name one."""
    done = run(tmp_path, *QUICK, "-rs")

    assert "give its address by --target URL" in done.stdout
    assert " skipped" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "key", "says"),
    [
        (["https://h.example/api/v1"], "", "no key"),
        (["https://h.example/api/v1"], "sk-test-of-the-plugin", "--target-yes"),
        (["http://127.0.0.1:9", "--target-quik"], "", "did you mean '--target-quick'?"),
        (["ftp://h.example"], "", "http://"),
        (["http://me:hush-hush@127.0.0.1:9"], "", "user name or password"),
        (["nowhere"], "", "http://"),
        (["no_such_module:app"], "", "no_such_module"),
        (["http://127.0.0.1:9", "--target-contract-version", "0.9.0"], "", "1.0.0"),
        (["http://127.0.0.1:9", "--target-expected-failures", "none.txt"], "", "none.txt"),
        (["http://127.0.0.1:9", "--target-base-path", "/v1"], "", "add the path to the URL"),
        (
            ["http://127.0.0.1:9", "--target-dialect", "cohere"],
            "",
            "--target-dialect: 'cohere' is not a dialect; use one of openrouter, cohere-v2",
        ),
        (["os:path", "--target-base-path", "v1"], "", "--target-base-path: 'v1' does not begin with /"),
        (["os:path", "--target-base-path", "/v1?a=b"], "", "has a query"),
        (["localhost:8000"], "", "a URL that begins with http://"),
    ],
    ids=[
        "no-key",
        "no-consent",
        "misspelt",
        "scheme",
        "password",
        "nothing",
        "module",
        "version",
        "file",
        "path-of-url",
        "dialect",
        "path",
        "query",
        "port",
    ],
)
def test_what_cannot_be_judged(tmp_path, arguments, key, says):
    """Bad usage ends the run before any test, with one line that says what is wrong and does not hold the key."""
    done = run(tmp_path, *QUICK, "--target", *arguments, OPENROUTER_API_KEY=key)

    assert done.returncode == 4
    assert says in done.stderr
    assert done.stderr.strip().count("\n") == 0
    assert "sk-test" not in done.stdout + done.stderr
    assert "hush-hush" not in done.stdout + done.stderr
