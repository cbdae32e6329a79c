"""Fixtures of all tests of the contract."""

from importlib.util import find_spec

import pytest


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause of a check, which only tests of that pause need."""
    if find_spec("h11"):  # the session `lint` has no kit
        monkeypatch.setattr("rerank_conformance.wire.PAUSE", 0.01)
