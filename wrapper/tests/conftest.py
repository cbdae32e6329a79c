"""Shared by the tests of the facade: the fixtures of both rerankers, and a clean environment."""

import logging
import sys
from importlib import import_module
from pathlib import Path

import pytest

# shells.py and driving.py are imported by name, which --import-mode=importlib does not provide for.
sys.path.append(str(Path(__file__).parent))

from shells import Clock, Shell

# pytest formats every record, so a call of the log with wrong arguments fails its test.
logging.getLogger("openrouter_rerank").setLevel(logging.DEBUG)


@pytest.fixture(params=["sync", "asyncio"])
def shell(request: pytest.FixtureRequest) -> Shell:
    """Each of the two shells, the async one on asyncio."""
    return Shell(request.param)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def any_shell(request: pytest.FixtureRequest) -> Shell:
    """Each of the two shells, the async one on asyncio and on trio."""
    if request.param == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    return Shell(request.param)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the facade in this test."""
    clock = Clock()
    for name in (
        "core",
        "connections",
        "listing",
        *(f"bulk.{name}" for name in ("large", "run", "tasks", "threads")),
        "integrations.ray.limits",
    ):
        monkeypatch.setattr(import_module(f"openrouter_rerank.{name}"), "monotonic", clock)
    return clock


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio; what must work on trio is tested through `any_shell`."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENROUTER_API_KEY", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
