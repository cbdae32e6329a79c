"""Pytest fixtures: fake rerankers, and servers with faults.

Pytest loads this module in every run, so each fixture imports what it needs.
"""
# ruff: noqa: PLC0415 - for that reason

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from openrouter_rerank.testing import AsyncFakeReranker, FakeReranker, Fault, Server


@pytest.fixture
def fake_reranker() -> Iterator[FakeReranker]:
    """Return a `FakeReranker`. It ranks by common words until a test sets its `scores` or calls its `script`."""
    from openrouter_rerank.testing import FakeReranker

    with FakeReranker() as fake:
        yield fake


@pytest.fixture
def async_fake_reranker() -> AsyncFakeReranker:
    """Return an `AsyncFakeReranker` that ranks by common words."""
    from openrouter_rerank.testing import AsyncFakeReranker

    return AsyncFakeReranker()


@pytest.fixture
def faulty_server() -> Iterator[Callable[[str | Fault], Server]]:
    """Return a function that starts a loopback server with the named fault; the servers stop with the test."""
    from openrouter_rerank.testing import faulty

    with ExitStack() as running:
        yield lambda fault: running.enter_context(faulty(fault))
