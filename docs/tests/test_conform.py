"""The servers of the page "How to conform" keep every rule."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rerank_conformance import check

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/guides/conform.md").read_text("utf-8")
KEY = "sk-or-v1-the-right-key"


def program(language: str) -> str:
    """Return the only program of the page in a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return text


def assert_conformant(target: object) -> None:
    """Check the server at every level, generated requests too."""
    report = check(target, key=KEY, seed=0, timeout=60.0)
    assert report.of("fail", "error", "undecided") == ()
    assert set(report.verdicts.values()) == {"conformant"}


def test_fastapi(monkeypatch):
    """The program for FastAPI keeps every rule, recommendations too."""
    pytest.importorskip("fastapi")
    page = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    monkeypatch.setenv("RERANK_KEYS", f"another {KEY}")
    exec(compile(program("python"), "docs/guides/conform.md", "exec"), vars(page))  # noqa: S102 - the page is ours
    assert_conformant(page.app)


def test_express(tmp_path):
    """The program for Express keeps every rule, recommendations too."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None or "RERANK_INSTALL" not in os.environ:
        pytest.skip("needs node, npm and its registry: RERANK_INSTALL says that they may be used")
    (tmp_path / "server.mjs").write_text(program("js"), "utf-8")
    shutil.copy(ROOT / "openapi.yaml", tmp_path)
    (packages,) = re.findall(r"Needs (.*?) from npm", PAGE)
    names = re.findall(r"`([^`]+)`", packages)
    subprocess.run(
        [npm, "install", "--no-audit", "--no-fund", *names], cwd=tmp_path, check=True, capture_output=True
    )
    with subprocess.Popen(
        [node, "server.mjs"],
        cwd=tmp_path,
        env={**os.environ, "RERANK_KEYS": KEY, "PORT": "0"},
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        try:
            assert server.stdout is not None
            assert_conformant(server.stdout.readline().strip())
        finally:
            server.terminate()
