"""The smallest request that still shows a failure, as Hypothesis shrinks it; what a failure is, the caller says."""

# What is shrunk is JSON, and pyright calls the parts of what a pattern makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from rerank_conformance.contract import Contract
from rerank_conformance.exchanges import Probe

MOST = 48
"""Requests that may be spent on one failure."""
SECONDS = 8.0
"""Time that may be spent on one."""
_SMALL = 160  # bytes of a body that nobody minds to read
_UNWIELDY = (
    50_000  # bytes of a body that take longer to shrink than they are worth: a command has them packed
)
_READABLE = 40  # characters of a text that stays as it is
_LONG = 16  # parts of a list, above which it is cut to a length and not picked apart


class _Enough(BaseException):
    """The budget is spent. Not an `Exception`, as Hypothesis would take that for a failure to shrink."""


def shrinkable(probe: Probe) -> bool:
    """Return True if there is something to leave out of the request, and nobody chose it to be as it is."""
    return (
        isinstance(probe.body, dict) and probe.legal is not None and _SMALL < len(probe.content) < _UNWIELDY
    )


def smallest(
    probe: Probe,
    fails: Callable[[Probe], bool],
    by: Contract,
    most: int = MOST,
    seconds: float = SECONDS,
) -> Probe:
    """Return the smallest request found that still fails, made of the probe by leaving out; the probe itself if there is none.

    What is left out never makes an illegal request of a legal one, or the other way round.

    Args:
        probe: A request that failed.
        fails: Sends a request, and says whether it fails in the same way.
        by: The contract by which a request is legal.
        most: How many requests are sent at most.
        seconds: After how long no further one is sent.
    """
    # imported for a failure alone
    from hypothesis import HealthCheck, Phase, find, settings  # noqa: PLC0415
    from hypothesis.errors import NoSuchExample, Unsatisfiable  # noqa: PLC0415

    if probe.headers:
        bare = replace(probe, headers={})
        probe, most = (bare if fails(bare) else probe), most - 1
    best = probe
    tried: dict[bytes, bool] = {}
    until = time.monotonic() + seconds

    def still_fails(body: object) -> bool:
        nonlocal best
        candidate = replace(probe, body=body, sent=None)
        if body == probe.body:
            return True
        if (by.request.violation(body) is None) != probe.legal:
            return False
        if candidate.content not in tried:
            if len(tried) >= most or time.monotonic() > until:
                raise _Enough
            tried[candidate.content] = fails(candidate)
        failed = tried[candidate.content]
        if failed and len(candidate.content) < len(best.content):
            best = candidate
        return failed

    quiet = settings(
        max_examples=1 + 4 * most,
        database=None,
        derandomize=True,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    )
    with suppress(_Enough, NoSuchExample, Unsatisfiable):  # there is a best one all the same
        find(_parts(probe.body), still_fails, settings=quiet)
    return best


def _parts(whole: object) -> Any:
    """Return a strategy of what is left of a JSON value when parts of it are left out."""
    from hypothesis import strategies as st  # noqa: PLC0415 - see smallest

    # to keep is likely and to drop is simple, so that the search begins near the whole and shrinks away from it
    kept = st.sampled_from([False, *[True] * 15])

    def length(longest: int) -> Any:
        return st.one_of(st.integers(0, longest), *[st.just(longest)] * 7)

    @st.composite
    def reduced(draw: Any, value: Any) -> Any:
        match value:
            case dict():
                members: dict[str, Any] = value
                return {name: draw(reduced(part)) for name, part in members.items() if draw(kept)}
            case list():
                items: list[Any] = value
                if len(items) > _LONG:
                    return items[: draw(length(len(items)))]
                return [draw(reduced(part)) for part in items if draw(kept)]
            case str() if len(value) > _READABLE:
                return value[: draw(length(len(value)))]
            case _:
                return value

    return reduced(whole)
