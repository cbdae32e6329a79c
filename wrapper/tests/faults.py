"""Where the faults were before they moved into `openrouter_rerank.testing`. Nothing new imports this."""
# ruff: noqa: F401 - for the tests that have not moved yet

from openrouter_rerank import testing
from openrouter_rerank.testing import (
    FAULTS,
    Request,
    Script,
    Server,
    answer,
    deaf,
    envelope,
    head,
    honest,
    results,
    unused_address,
)
from openrouter_rerank.testing.faults import CHUNKED


def serving(script, *arguments, **options):
    """A server that plays the script, or the fault of that name."""
    start = testing.faulty if isinstance(script, str) else testing.serving
    return start(script, *arguments, **options)
