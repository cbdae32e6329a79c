"""Numbers and nesting beyond what Python, a socket or a lock takes: an argument is clamped or named, never an error of Python."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from driving import answered, call, finish, settings
from openrouter_rerank import APITimeoutError, RateLimitError, Reranker, RerankError, Retries, ServerError
from openrouter_rerank.bulk.cache import DiskCache, MemoryCache
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.checks import LONGEST_TIME, shown
from openrouter_rerank.operations import Wait
from shells import KEY, Scoring, Shell

HUGE = 10**400
HUGER = 10**5000
INF = float("inf")


def nested(levels: int) -> Any:
    """Return nested lists and objects."""
    value: Any = 1
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    return value


def endless() -> dict[str, Any]:
    """Return a mapping that holds itself."""
    value: dict[str, Any] = {}
    value["a"] = [value]
    return value


REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("timeout", lambda: settings(timeout=HUGE)),
    ("timeout", lambda: settings(timeout=-HUGER)),
    ("timeout", lambda: next(call(timeout=HUGER))),
    ("timeout", lambda: next(call(timeout=INF))),
    ("deadline", lambda: settings(deadline=HUGE)),
    ("deadline", lambda: settings(deadline=float("nan"))),
    ("max_cost", lambda: settings(max_cost=HUGER)),
    ("min_score", lambda: settings(min_score=HUGE)),
    ("min_score", lambda: next(call(min_score=-HUGER))),
    ("top_n", lambda: next(call(top_n=-HUGER))),
    ("max_documents", lambda: settings(max_documents=-HUGER)),
    ("max_image_bytes", lambda: settings(max_image_bytes=-HUGER)),
    ("on_part_error", lambda: settings(on_part_error=HUGER)),
    ("attempts", lambda: Retries(attempts=-HUGER)),
    ("first_wait", lambda: Retries(first_wait=-HUGER)),
    ("longest_wait", lambda: Retries(longest_wait=-HUGE)),
    ("longest_wait", lambda: Retries(longest_wait=float("nan"))),
    ("requests_per_minute", lambda: Pace(1, HUGE, Retries())),
    ("requests_per_minute", lambda: Pace(1, -HUGER, Retries())),
    ("concurrency", lambda: Pace(-HUGER, None, Retries())),
    ("ttl", lambda: MemoryCache(ttl=HUGER)),
    ("max_entries", lambda: MemoryCache(max_entries=HUGER)),
    ("max_bytes", lambda: DiskCache("x", max_bytes=HUGER)),
    ("extra_body", lambda: next(call(extra_body={"a": HUGER}))),
    ("extra_body", lambda: next(call(extra_body={"a": nested(101)}))),
    ("extra_body", lambda: next(call(extra_body={"a": nested(10**5)}))),
    ("extra_body", lambda: next(call(extra_body=endless()))),
    ("extra_body", lambda: next(call(extra_body={HUGER: 1}))),
    ("trace", lambda: next(call(trace={"a": nested(400)}))),
    ("trace", lambda: next(call(trace={"a": nested(10**5)}))),
    ("trace", lambda: settings(trace=endless())),
    ("provider", lambda: next(call(provider={"options": {"cohere": {"a": nested(200)}}}))),
    ("provider", lambda: next(call(provider={"options": nested(10**5)}))),
    ("extra_headers", lambda: next(call(extra_headers={HUGER: "x"}))),
    ("extra_headers", lambda: next(call(extra_headers={"X-\ud800": "x"}))),
    ("extra_headers", lambda: next(call(extra_headers={"X": "\ud800"}))),
    ("app_title", lambda: settings(app_title="\ud800")),
    ("base_url", lambda: settings(base_url="http://\ud800/")),
]


@pytest.mark.parametrize(("name", "made"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_refused(name: str, made: Callable[[], Any]) -> None:
    """An impossible value is a ValueError or TypeError that names the argument, in a line of bounded length."""
    with pytest.raises((ValueError, TypeError)) as caught:
        made()

    assert name in str(caught.value)
    assert len(str(caught.value)) < 300
    assert not isinstance(caught.value, UnicodeError)


@pytest.mark.parametrize(("levels", "is_sent"), [(99, True), (100, False)])
def test_the_deepest_argument_that_is_sent(levels: int, is_sent: bool) -> None:
    """Arguments are nested at most 100 deep, `extra_body` itself included."""
    running = call(extra_body={"x": nested(levels)})
    if is_sent:
        next(running)
    else:
        with pytest.raises(ValueError, match="nested more than 100 deep"):
            next(running)


@pytest.mark.parametrize(("length", "is_whole"), [(38, True), (39, False)])
def test_the_longest_value_that_is_shown(length: int, is_whole: bool) -> None:
    """A message shows 40 characters of a value."""
    text = shown("x" * length)
    assert len(text) == 40
    assert text.endswith("'" if is_whole else "...")


def test_a_model_that_is_nested_too_deeply() -> None:
    """A model of the low-level client is checked as a mapping is."""
    from openrouter_rerank_api.models import Trace

    trace = Trace()
    trace.additional_properties["a"] = nested(10**5)

    with pytest.raises(ValueError, match="trace is nested"):
        next(call(trace=trace))


def test_taken() -> None:
    """Large but possible values work: nested JSON, many attempts, a large image limit, subclasses of plain types."""

    class Text(str):
        __slots__ = ()

    class Number(float):
        __slots__ = ()

    trace = {"a": nested(90), "b": Text("t"), "c": Number(0.5), "d": (1, 2)}

    assert b'"t"' in next(call(trace=trace)).content
    assert b'"c":0.5,"d":[1,2]' in next(call(trace=trace)).content
    assert settings(max_image_bytes=HUGER).max_image_bytes == 2**30
    assert next(call(top_n=HUGER)).content
    assert Retries(attempts=HUGER, first_wait=HUGE).attempts == HUGER


def test_times_are_clamped() -> None:
    """A time that is longer than anything waits counts as the longest."""
    made = settings(timeout=1e300, deadline=1.7e308)

    assert (made.timeout, made.deadline) == (LONGEST_TIME, LONGEST_TIME)
    assert next(call(timeout=1e300)).timeout <= LONGEST_TIME


def test_a_call_with_absurd_times(any_shell: Shell) -> None:
    """A call is made within absurd times as within others, over connections of either kind."""
    import socket
    from contextlib import closing

    with any_shell.open(Scoring(), timeout=1e300, deadline=1e300) as rank:
        assert rank("q", ["a", "b"], timeout=1e308).indices == [0, 1]
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        once = Retries(attempts=1)
        with (
            any_shell.open(base_url=address, timeout=1e300, deadline=None, retries=once) as rank,
            pytest.raises(RerankError),
        ):
            rank("q", ["a"])


def test_what_is_clamped_can_be_waited_for() -> None:
    """The longest time fits a socket and a lock."""
    import socket

    with socket.socket() as made:
        made.settimeout(LONGEST_TIME)
    assert LONGEST_TIME < threading.TIMEOUT_MAX


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "1e300"},
        {"retry_after": "9" * 300},
        {"x_ratelimit_reset": "1e308"},
        {"retry_after": "Fri, 31 Dec 9999 23:59:59 GMT"},
    ],
)
@pytest.mark.parametrize("longest", [30.0, 1e300, INF, HUGE])
def test_absurd_waits_that_the_server_asks_for(headers: dict[str, str], longest: Any) -> None:
    """A wait that ends in no lifetime is not begun, whatever the policy allows."""
    retries = Retries(longest_wait=longest)

    with pytest.raises(RateLimitError) as caught:
        finish(call({"retries": retries, "deadline": None}), answered(429, **headers))

    assert len(caught.value.attempts) == 1


@pytest.mark.parametrize("first", [1e308, INF, HUGE, 5])
@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_absurd_waits_of_a_policy(first: Any, fraction: float) -> None:
    """A wait is a number that can be waited for."""
    retries = Retries(first_wait=first, longest_wait=INF, fraction=lambda: fraction)
    running = call({"retries": retries, "deadline": None})
    next(running)

    waits = [running.send(answered(500))]
    running.send(None)
    waits.append(running.send(answered(500)))

    assert all(isinstance(wait, Wait) and 0 <= wait.seconds <= LONGEST_TIME for wait in waits)
    running.send(None)
    with pytest.raises(ServerError):
        running.send(answered(500))


def test_a_fraction_is_a_function() -> None:
    """The source of jitter is called at the first retry, and is refused before if it is invalid."""
    with pytest.raises(TypeError, match="fraction must be a function"):
        Retries(fraction=0.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("requests_per_minute", [1e-300, 5e-324, 1])
def test_absurd_paces(requests_per_minute: float) -> None:
    """The next start is a time that can be waited for, and a start that was not needed is given back."""
    pace = Pace(2, requests_per_minute, Retries(first_wait=1e308, longest_wait=INF))

    assert pace.delay(0.0) == 0
    pace.start(0.0)
    assert 0 < (pace.delay(0.0) or 0) <= LONGEST_TIME
    pace.cancel()
    assert pace.delay(0.0) == 0
    assert pace.back_off(0, 0.0, 1e300) <= LONGEST_TIME


def test_a_run_with_an_absurd_pace() -> None:
    """The first request of a run starts at once, however far away the second is."""
    with Reranker(KEY, http_client=httpx.Client(transport=httpx.MockTransport(Scoring()))) as reranker:
        results = reranker.rerank_many([("q", ["a"]), ("q", ["b"])], requests_per_minute=1e-300)
        assert next(results).ok
        results.close()


def test_late_with_an_absurd_deadline() -> None:
    """A deadline that is over is told in few words."""
    with pytest.raises(APITimeoutError) as caught:
        finish(call({"deadline": 1e-300}))

    assert len(str(caught.value)) < 300


def test_shown() -> None:
    """A value in a message is short."""
    assert shown(5) == "5"
    assert shown("x" * 100).endswith("...")
    assert len(shown("x" * 100)) == 40
    assert shown(HUGER) == "a number of thousands of digits"


class Stubborn:
    """An object whose methods raise errors of the caller's own."""

    def __iter__(self) -> Any:
        raise LookupError("mine")


def test_errors_of_the_callers_own_pass_through() -> None:
    """An error of the caller's own code is raised unchanged."""
    with pytest.raises(LookupError, match="mine"):
        next(call(documents=Stubborn()))

    def key(_: Any) -> str:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        next(call(documents=["a"], key=key))
