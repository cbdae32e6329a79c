"""For all tests: none depends on how fast the machine is, and a socket or file that a test leaves open fails that test."""

import gc
import os
from collections.abc import Iterator

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # The worker is measured; the processes that its tests start are not.
    os.environ.pop("COVERAGE_PROCESS_START", None)

# On GitHub a check prints annotations beside its report; the tests that are about them say so.
os.environ.pop("GITHUB_ACTIONS", None)

try:
    from hypothesis import HealthCheck, settings
except ModuleNotFoundError:  # the tests of an adapter do without
    pass
else:
    settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("any machine")


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the requests that are generated in this run for all its processes, and away from the user's."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["RERANK_CONFORMANCE_CACHE"] = str(shared / "rerank-conformance-cache")


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
    """Return the number of open descriptors; None where the system does not list them."""
    try:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208 - names alone, and before and after every test
    except OSError:
        return None
