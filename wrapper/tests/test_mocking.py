"""Mocking tools as docs/testing.md describes them: the requests that each one sees, and the recipe that records with vcrpy."""

from __future__ import annotations

import gzip
import os
import re
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from openrouter_rerank.testing import Request, Script, answer, honest, results, serving
from shells import KEY, Shell

DOCS = Path(__file__).parents[2] / "docs" / "testing.md"
needs_docs = pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")

SEES: dict[str, set[str]] = {
    "respx": {"own", "injected"},
    "pytest-httpx": {"injected"},
    "vcrpy": {"injected"},
    "responses": set(),
}
"""The connections whose requests a tool sees."""

SESSION = "secret-of-a-session"
ACCOUNT = "name-of-an-account"
TOKEN = "token-of-a-user"


# The table


@needs_docs
def test_the_table_of_the_docs() -> None:
    """The table of the docs has the tools that are tried here, and what each of them sees."""
    row = re.compile(r"^\| \[([\w-]+)\]\(.*\) \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
    cells = {"seen": True, "**not seen**": False}
    table = {
        tool: {name for name, cell in (("own", own), ("injected", injected)) if cells[cell]}
        for tool, own, injected in row.findall(DOCS.read_text("utf-8"))
    }

    assert table == SEES


@contextmanager
def mocking(tool: str, url: str, request: pytest.FixtureRequest, home: Path) -> Generator[Callable[[], int]]:
    """Let a tool answer all requests that it sees, or record them; yield a function that counts them."""
    body = results((0, 0.9), (1, 0.1))
    if tool == "respx":
        respx = pytest.importorskip("respx", reason="respx is not installed")
        with respx.mock(assert_all_called=False) as router:
            router.post(url).respond(json=body)
            yield lambda: len(router.calls)
    elif tool == "pytest-httpx":
        pytest.importorskip("pytest_httpx", reason="pytest-httpx is not installed")
        if not request.config.pluginmanager.has_plugin("pytest_httpx"):
            pytest.skip("pytest-httpx is not loaded")
        httpx_mock = request.getfixturevalue("httpx_mock")
        httpx_mock.add_response(json=body, is_optional=True)
        yield lambda: len(httpx_mock.get_requests())
    elif tool == "vcrpy":
        vcr = pytest.importorskip("vcr", reason="vcrpy is not installed")
        with vcr.use_cassette(home / "cassette.yaml") as cassette:
            yield lambda: len(cassette)
    else:
        responses = pytest.importorskip("responses", reason="responses is not installed")
        with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
            mock.post(url, json=body)
            yield lambda: len(mock.calls)


@pytest.mark.parametrize("connections", ["own", "injected"])
@pytest.mark.parametrize("tool", SEES)
def test_the_requests_that_a_tool_sees(
    tool: str, connections: str, shell: Shell, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A tool sees the requests that the docs say; a request that it does not see reaches the server."""
    settings = {}
    if connections == "injected":
        kind = httpx.Client if shell.name == "sync" else httpx.AsyncClient
        # Connections that are not kept need not be closed.
        settings["http_client"] = kind(limits=httpx.Limits(max_keepalive_connections=0))
    with (
        serving(lambda request: iter([honest(request)])) as server,
        mocking(tool, f"{server.url}/rerank", request, tmp_path) as count,
        shell.open(base_url=server.url, **settings) as ranks,
    ):
        ranks("q", ["a", "b"])
        seen = count()

    assert seen == (connections in SEES[tool])
    assert len(server.requests) == (1 if tool == "vcrpy" else 1 - seen)


# The recipe


def run(home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a directory, with no other plugin than ours."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "OPENROUTER_")) and name != "RECORD"
    }
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=."],
        cwd=home,
        env={**kept, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def echo(request: Request) -> Script:
    """Rank, and send back what must not be recorded: the key, a cookie, the name of an account."""
    _, _, body = honest(request).partition(b"\r\n\r\n")
    echoed = body[:-1] + b', "warning": "the key is ' + request.headers["authorization"].encode() + b'"}'
    yield answer(
        200,
        gzip.compress(echoed),
        headers={
            "Content-Encoding": "gzip",
            "Set-Cookie": f"session={SESSION}",
            "X-Account": ACCOUNT,
            "X-Generation-Id": "gen-1",
        },
    )


@needs_docs
def test_the_recipe_for_vcrpy(tmp_path: Path) -> None:
    """The recipe records once, without a secret, and replays without a network or a key; another query is not replayed."""
    pytest.importorskip("vcr", reason="vcrpy is not installed")
    yaml = pytest.importorskip("yaml")
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    (recipe,) = (block for block in blocks if "import vcr" in block)
    file = tmp_path / "test_other.py"

    with serving(echo) as server:
        address = f"{server.url}?token={TOKEN}"
        made = "Reranker(KEY, http_client=client)"
        assert made in recipe
        recipe = recipe.replace(made, f"Reranker(KEY, http_client=client, base_url={address!r})")
        file.write_text(recipe, "utf-8")

        nothing_recorded = run(tmp_path)
        assert "1 failed" in nothing_recorded.stdout, nothing_recorded.stdout + nothing_recorded.stderr
        assert (len(server.requests), nothing_recorded.returncode) == (0, 1)

        recorded = run(tmp_path, RECORD="1", OPENROUTER_API_KEY=KEY)
        assert "1 passed" in recorded.stdout, recorded.stdout + recorded.stderr
        assert len(server.requests) == 1

    (cassette,) = (tmp_path / "cassettes").iterdir()
    text = cassette.read_text("utf-8")
    content = str(yaml.safe_load(text))  # in the file a line can be wrapped
    assert [secret for secret in (KEY, SESSION, ACCOUNT, TOKEN) if secret in text + content] == []
    assert [kept for kept in ("Where is Berlin?", "gen-1", "Bearer [key]") if kept not in content] == []

    replayed = run(tmp_path)
    assert "1 passed" in replayed.stdout, replayed.stdout + replayed.stderr

    file.write_text(recipe.replace('"Where is Berlin?"', '"Where is Paris?"'), "utf-8")
    for environment in ({}, {"RECORD": "1"}):
        other = run(tmp_path, **environment)
        assert "CannotOverwriteExistingCassetteException" in other.stdout, other.stdout + other.stderr
    assert cassette.read_text("utf-8") == text
