"""Every example of the README and of docs/ is run, here or where a comment names."""

import os
import pydoc
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest

from openrouter_rerank import Reranker
from rerank_conformance.reference import Reference, asgi

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])

SHOWN = "http://127.0.0.1:8000"
"""The address at which the pages have a server."""

SERVICE = """
from rerank_conformance.reference import Reference, asgi

app = asgi.app(Reference())
"""
"""A server of the reader's own, `service:app`."""

INSTALLS = re.compile(r"^(python3 -m venv \S+ && )?(\S*/)?pip install ")
"""The blocks that need a package index: run where RERANK_INSTALL is set, as `nox -s docs` does."""


@dataclass(frozen=True)
class Block:
    """The text between two fences."""

    page: str
    line: int
    language: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Return the blocks of a page."""
    text = page.read_text("utf-8")
    for found in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        yield Block(
            page.relative_to(ROOT).as_posix(), text.count("\n", 0, found.start()) + 1, found[1], found[2]
        )


BLOCKS = [block for page in PAGES for block in blocks(page)]


def of(*languages: str) -> list[Block]:
    """Return the blocks in these languages."""
    return [block for block in BLOCKS if block.language in languages]


def commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a terminal with the lines that it prints there, or of a script, without."""
    text = block.text.replace("\\\n", "").replace("&&\n", "&& ").strip()
    if block.language == "sh":
        for line in text.split("\n"):
            yield line, []
        return
    for shown in text.removeprefix("$ ").split("\n$ "):
        command, *printed = shown.split("\n")
        yield command, printed


def timeless(lines: list[str]) -> list[str]:
    """Return the lines without durations and trailing blanks."""
    return [re.sub(r"[\d.]+ s$", "a moment", line.rstrip()) for line in lines]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Serve the reference server, and yield its address, which replaces port 8000 of the pages."""
    with asgi.running(Reference()) as url:
        yield url.removesuffix("/api/v1")


@pytest.fixture
def run(tmp_path, server):
    """Provide a function that runs a command in a directory with the examples and a server."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "service.py").write_text(SERVICE, "utf-8")
    (known,) = (block.text for block in of("text") if "answer.echo-present" in block.text)
    (tmp_path / "expected-failures.txt").write_text(known, "utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_PROXY"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTHONPATH": str(tmp_path),
        "URL": server,
    }

    def run(command: str) -> subprocess.CompletedProcess[str]:
        command = re.sub(rf"{re.escape(SHOWN)}\b|(?<!\$)(OTHER-)?URL\b", server, command)
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            check=False,
            timeout=600,
        )

    return run


@pytest.mark.skipif(shutil.which("bash") is None, reason="the commands are for a POSIX shell")
@pytest.mark.parametrize("page", sorted({block.page for block in of("console", "sh")}))
def test_the_terminal(page, run):
    """The commands of a page, one after the other, print what it says, and those of which it says nothing succeed."""
    for block in of("console", "sh"):
        if block.page != page:
            continue
        for command, printed in commands(block):
            if INSTALLS.match(command) or " serve " in command:
                continue  # the tests below
            ran = run(command)
            where = f"{page}, line {block.line}: {command}\n{ran.stdout}"
            if printed:
                assert timeless(ran.stdout.splitlines()) == timeless(printed), where
            else:
                assert ran.returncode == 0, where


def test_there_are_terminals():
    """There are a good many commands, so that the test above is not empty."""
    told = [command for block in of("console", "sh") for command, printed in commands(block) if printed]
    assert len(told) >= 8


@pytest.mark.parametrize(
    "command",
    [command for block in of("console", "sh") for command, _ in commands(block) if " serve " in command],
)
def test_a_server(command):
    """A command that serves says its address when it is there, at a port that is free in place of the page's."""
    name, *rest = re.sub(r"--port \d+", "--port 0", command).split()
    program = [str(Path(sys.executable).parent / name), *rest]
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
    ) as process:
        try:
            assert process.stdout
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+\S*\n", process.stdout.readline())
        finally:
            process.terminate()


def test_installs():
    """Each extra that a page installs is one that the project has."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    named = re.findall(r"'(?:\.|openrouter-rerank)\[([\w,-]+)\]'", text)
    assert len(named) > 5
    assert {name for names in named for name in names.split(",")} <= set(extras)


@pytest.mark.skipif(
    not os.environ.get("RERANK_INSTALL"), reason="`nox -s docs` runs it: it needs a package index"
)
def test_the_first_command(tmp_path):
    """The first command of the README, in a copy of what is committed here, makes an environment and ranks the example."""
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    first = of("sh")[0]
    assert first.page == "README.md"

    ran = subprocess.run(
        ["bash", "-c", first.text],
        cwd=clone,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=1800,
    )

    assert ran.returncode == 0, ran.stderr
    assert "5" in re.findall(r'"index":(\d+)', ran.stdout)[:1]


def test_every_test_and_check():
    """The README's command for all tests and checks is the one that .ci/run runs."""
    second = of("sh")[1]
    assert second.page == "README.md"
    script = (ROOT / ".ci/run").read_text("utf-8").replace("$venv", ".venv").replace('"', "")
    steps = [step.strip() for step in second.text.split("&&")]
    assert len(steps) == 3
    for step in steps:
        assert step in script.replace(" --quiet", ""), step


ELSEWHERE = {
    "conform.md",  # test_conform.py
    "dialects.md",  # test_the_lines_of_dialects
    "fastapi.md",  # test_the_service
    "frameworks.md",  # `nox -s frameworks` runs its examples, each with its framework
    "observe.md",  # test_the_traces
    "ray.md",  # `nox -s frameworks` likewise
}
"""The pages whose Python blocks are run by other tests."""


def programs(page: Path) -> list[tuple[Block, str | None]]:
    """Return the plain Python blocks of a page, each with the output that the page shows after it.

    Files for pytest are left out: wrapper/tests/test_testing.py and test_mocking.py run them, and test_a_fixture_of_your_own.
    """
    return [
        (block, after.text if after is not None and after.language == "text" else None)
        for block, after in pairwise([*blocks(page), None])
        if block is not None
        and block.language == "python"
        and not block.text.lstrip().startswith(">>>")
        and "def test_" not in block.text
        and "rerank_target" not in block.text
    ]


PROGRAMS = [page for page in PAGES if page.name not in ELSEWHERE and programs(page)]


def offline(code: str) -> str:
    """Return the code with the local mode in place of calls to OpenRouter."""
    return re.sub(r'\b(Async)?Reranker\((?!"",)', r"\1Reranker.local(", code)


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda page: page.stem)
def test_the_programs(page, tmp_path, monkeypatch):
    """The Python blocks of a page, run one after the other and offline, print what the page shows after them."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for block, shown in programs(page):
        code = offline(block.text)
        where = f"{page.relative_to(ROOT)}, line {block.line}"
        with redirect_stdout(StringIO()) as printed:
            exec(compile(code, where, "exec"), names)  # noqa: S102 - the pages are ours
        if shown is not None:
            assert printed.getvalue() == shown, where


def test_the_lines_of_dialects(monkeypatch):
    """Each line of the page about other vendors makes a reranker, and its programs print what the page shows."""
    page = ROOT / "docs/dialects.md"
    for name in ("OPENROUTER_API_KEY", "CO_API_KEY", "JINA_API_KEY", "VOYAGE_API_KEY"):
        monkeypatch.setenv(name, "key-of-the-environment")
    lines = re.findall(r"^\| [^|]+ \| `(Reranker\(.*\))` \|$", page.read_text("utf-8"), re.MULTILINE)
    assert len(lines) >= 15
    for line in lines:
        with eval(line, {"Reranker": Reranker, "KEY": "key-of-the-caller"}) as reranker:  # noqa: S307 - the pages are ours
            assert "/rerank" in repr(reranker)
    names: dict[str, object] = {}
    for block, shown in programs(page):
        with redirect_stdout(StringIO()) as printed:
            exec(block.text, names)  # noqa: S102 - as above
        assert printed.getvalue() == (shown or ""), block.line


def test_the_service(monkeypatch):
    """The service of the page for FastAPI ranks, and refuses a blank query with 422."""
    testclient = pytest.importorskip("fastapi.testclient")
    [(block, _)] = programs(ROOT / "docs/guides/fastapi.md")
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    exec(block.text.replace("AsyncReranker()", "AsyncReranker.local()"), vars(page))  # noqa: S102 - as above
    documents = ["Paris is in France.", "Berlin is in Germany."]

    with testclient.TestClient(page.app) as client:
        ranked = client.post("/search", json={"query": "Where is Berlin?", "documents": documents})
        refused = client.post("/search", json={"query": " ", "documents": documents})
        (shown,) = (one.text for one in of("bash") if one.page == "docs/guides/fastapi.md")
        (sent,) = re.findall(r"-d '(.*)'", shown)
        sent_as_shown = client.post("/search", content=sent, headers={"Content-Type": "application/json"})

    assert ranked.status_code == 200
    assert ranked.json()[0]["document"] == documents[1]
    assert refused.status_code == 422
    assert sent_as_shown.json()[0]["document"] == documents[1]


def test_the_traces():
    """The page about logs and traces prints what it shows, in a process of its own, as a process has one tracer provider."""
    pytest.importorskip("opentelemetry.sdk")
    parts = programs(ROOT / "docs/guides/observe.md")
    code = "\n".join(offline(block.text) for block, _ in parts)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=False)

    changing = re.compile(r"\d+\.\d+ s$|gen-rerank-\S+", re.MULTILINE)
    assert ran.returncode == 0, ran.stderr
    shown = "".join(shown or "" for _, shown in parts)
    assert changing.sub("", ran.stdout) == changing.sub("", shown)


def test_there_are_programs():
    """A good many blocks show their output, so that the test above is not empty."""
    assert sum(shown is not None for page in PROGRAMS for _, shown in programs(page)) >= 15


def test_python():
    """The pages whose examples other tests run are there, and pytest collects those of the frameworks nowhere else."""
    assert {page.name for page in PAGES if page.name in ELSEWHERE and of("python")} == ELSEWHERE
    assert "def test_the_tests_of_the_docs" in (ROOT / "wrapper/tests/test_testing.py").read_text("utf-8")
    session = (ROOT / "noxfile.py").read_text("utf-8")
    assert re.findall(r'"--ignore=(docs/[^"]*)"', session) == ["docs/frameworks.md", "docs/ray.md"]


def test_a_fixture_of_your_own(tmp_path):
    """The test file that the guide for servers shows makes each rule a test."""
    (shown,) = (block.text for block in of("python") if "rerank_target" in block.text)
    file = tmp_path / "test_server.py"
    file.write_text(shown.replace("return app ", "from service import app\n\n    return app ", 1), "utf-8")
    (tmp_path / "service.py").write_text(SERVICE, "utf-8")

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--target-quick", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(re.findall(r"(\d+) passed", ran.stdout)[0]) > 50


def test_every_language():
    """No block is in a language that no test here knows."""
    assert {block.language for block in BLOCKS} <= {
        "python",
        "js",  # test_conform.py
        "yaml",  # an extract of a workflow
        "{literalinclude}",  # the workflows, which `nox -s lint` checks
        "console",
        "sh",
        "bash",  # of which other tests run a part: test_the_service, and the walkthrough of the contract
        "text",
        "",
        "{eval-rst}",
        "{toctree}",
    }


def test_the_pages_of_the_programs():
    """docs/commands.md is what `--help` prints, rules.md the registry and statuses.md the table of errors; `nox -s docs` writes them."""
    written = subprocess.run(
        [sys.executable, str(ROOT / "docs/_site/pages.py"), "--check"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert written.returncode == 0, written.stdout + written.stderr


FRAMEWORKS = ("langchain", "llama_index", "haystack", "ray")
DIRECTIVE = re.compile(
    r"^\.\. (?:py:)?(currentmodule|auto(?:class|function|data|exception|method|attribute|module))::[ ]+(\S+)"
    r"(?:\n +:members:[ ]*([\w, ]*))?",
    re.MULTILINE,
)


@pytest.mark.parametrize("page", sorted((ROOT / "docs/api").glob("*.md")), ids=lambda page: page.stem)
def test_the_objects_of_the_reference_exist(page: Path):
    """The reference names no object that was renamed; `nox -s docs` alone would notice."""
    module = ""
    for kind, name, members in DIRECTIVE.findall(page.read_text("utf-8")):
        if kind == "currentmodule":
            module = name
        elif not set(FRAMEWORKS) & set(f"{module}.{name}".split(".")):
            found = next(filter(None, map(pydoc.locate, (name, f"{module}.{name}"))), None)
            assert found is not None, name
            assert [
                member for member in members.replace(",", " ").split() if not hasattr(found, member)
            ] == []
