"""Fixtures of the tests of the doctor."""

import pytest

from openrouter_rerank.doctor import shell


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses of the doctor instead of sleeping, as no server here depends on the clock."""
    made: list[float] = []
    monkeypatch.setattr(shell, "sleep", made.append)
    return made
