"""Fixtures of all tests of the contract."""

from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest tests, so that no process is left with them when the others are done."""
    items.sort(key=lambda item: item.path.name != "test_walkthrough.py")


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause of a check, which only tests of that pause need."""
    if find_spec("h11"):  # the session `lint` has no kit
        monkeypatch.setattr("rerank_conformance.wire.PAUSE", 0.01)
