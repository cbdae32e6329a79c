"""A pytest plugin: a fake reranker, servers with faults, and a cassette for each test, as fixtures.

It is loaded in every pytest run of an environment that has us, so what a fixture needs is imported by the fixture.
"""
# ruff: noqa: PLC0415 - for that reason

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

if TYPE_CHECKING:
    from openrouter_rerank.testing import (
        AsyncFakeReranker,
        Cassette,
        FakeReranker,
        Fault,
        Recording,
        Replaying,
        Server,
    )

_RECORD = "--rerank-record"
# A file's name has 255 bytes on most systems.
_LONGEST_NAME = 150


def pytest_addoption(parser: pytest.Parser) -> None:
    """Enter the option of `rerank_cassette`."""
    parser.getgroup("openrouter-rerank").addoption(
        _RECORD,
        action="store_true",
        help="Tests with the fixture rerank_cassette send real requests, which are billed, and record them anew.",
    )


@pytest.fixture
def fake_reranker() -> Iterator[FakeReranker]:
    """A `FakeReranker`. It ranks by words in common until a test sets its `scores`, or calls its `script`."""
    from openrouter_rerank.testing import FakeReranker

    with FakeReranker() as fake:
        yield fake


@pytest.fixture
def async_fake_reranker() -> AsyncFakeReranker:
    """An `AsyncFakeReranker`, likewise."""
    from openrouter_rerank.testing import AsyncFakeReranker

    return AsyncFakeReranker()


@pytest.fixture
def faulty_server() -> Iterator[Callable[[str | Fault], Server]]:
    """A function of a fault's name that starts a server with it on loopback; the servers stop with the test."""
    from openrouter_rerank.testing import faulty

    with ExitStack() as running:
        yield lambda fault: running.enter_context(faulty(fault))


@pytest.fixture
def rerank_cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The cassette of this test, `cassettes/<module>/<test>.json` beside it: replayed, or with --rerank-record recorded."""
    from openrouter_rerank.testing import recording, replaying

    node: pytest.Item = request.node
    path = _beside(node.path, node.nodeid.partition("::")[2])
    cassette: Recording | Replaying
    if request.config.getoption(_RECORD):
        with recording(path) as cassette:
            yield cassette
    else:
        with replaying(path) as cassette:
            yield cassette


def _beside(module: Path, test: str) -> Path:
    name = quote(test.replace("::", "."), safe="[]=, ")
    if len(name) > _LONGEST_NAME:
        name = f"{name[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return module.parent / "cassettes" / module.stem / f"{name}.json"
