"""Fixtures of all tests: a socket or file that a test leaves open fails that test."""

import gc
import os
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _leaks() -> Iterator[None]:
    """Collect garbage after a test that left descriptors open.

    An open socket in garbage raises its ResourceWarning when it is collected, which is an error of the test that runs then.
    """
    before = _descriptors()
    yield
    if before is None or before < (_descriptors() or 0):
        gc.collect()


def _descriptors() -> int | None:
    """The number of open descriptors; None where the system does not list them."""
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - names alone, and before and after every test
    except OSError:
        return None
