"""Fixtures of all tests of the contract."""

import pytest

from rerank_conformance import wire


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause of a check, which only tests of that pause need."""
    monkeypatch.setattr(wire, "PAUSE", 0.01)
