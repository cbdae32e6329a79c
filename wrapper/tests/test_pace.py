"""The pace of a run, told the time by hand: how many requests it lets be under way, and when."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openrouter_rerank import Retries
from openrouter_rerank.bulk.pace import Pace

RETRIES = Retries(first_wait=1.0, longest_wait=8.0, fraction=lambda: 1.0)


def pace(concurrency: int = 8, requests_per_minute: float | None = None, retries: Retries = RETRIES) -> Pace:
    """Return a pace at the beginning of a run."""
    return Pace(concurrency, requests_per_minute, retries)


def filled(running: Pace, now: float = 0.0) -> list[int]:
    """Return the rounds of as many requests as may start now."""
    rounds: list[int] = []
    while running.delay(now) == 0:
        rounds.append(running.start(now))
    return rounds


def test_no_more_than_the_limit_are_under_way():
    """As many start at once as the limit says, and each further one when another has ended."""
    running = pace(3)

    assert filled(running) == [0, 0, 0]
    assert running.delay(99.0) is None
    running.end(answered=True)
    assert running.delay(0.0) == 0


def test_refusals_of_one_round_halve_once():
    """Any number of refusals in flight halve the limit once; a refusal of the next round halves it again."""
    running = pace(8)
    for round_ in filled(running):
        running.end(answered=False)
        running.back_off(round_, 0.0, None)

    assert running.limit == 4
    [second, *_] = filled(running, 9.0)
    running.back_off(second, 9.0, None)
    assert running.limit == 2


def test_the_limit_is_never_below_one():
    """A server that refuses for ever is still asked, by one request at a time."""
    running = pace(4)
    for _ in range(9):
        [first, *_] = filled(running, 1e9)
        running.end(answered=False)
        running.back_off(first, 1e9, 0.0)
        running.in_flight = 0
        running._paused = 0.0

    assert running.limit == 1


def test_a_refusal_pauses_all():
    """Nothing starts until the pause is over, whoever was refused; a Retry-After is waited for, and capped."""
    for retry_after, pause in ((None, 1.0), (0.5, 1.0), (5.0, 5.0), (3600.0, 8.0)):
        running = pace(8)
        round_ = running.start(100.0)

        assert running.back_off(round_, 100.0, retry_after) == pause
        assert running.delay(100.0) == pause
        assert running.delay(100.0 + pause) == 0


def test_a_late_refusal_lengthens_the_pause():
    """A Retry-After in a later answer of the same round is heard too, and halves nothing."""
    running = pace(8)
    first, second = running.start(0.0), running.start(0.0)

    running.back_off(first, 0.0, None)
    assert running.back_off(second, 0.5, 6.0) == 6.0
    assert running.limit == 4


def test_pauses_grow_and_are_forgotten():
    """Each refused round pauses twice as long up to the longest wait, and a round of answers starts that anew."""
    running = pace(4)
    pauses: list[float] = []
    for now in (0.0, 100.0, 200.0, 300.0, 400.0):
        pauses.append(running.back_off(running.start(now), now, None))
        running.end(answered=False)
    assert pauses == [1.0, 2.0, 4.0, 8.0, 8.0]

    running.start(500.0)
    running.end(answered=True)  # the limit is 1, so that one answer is a round
    assert running.back_off(running.start(500.0), 500.0, None) == 1.0


def test_pauses_are_half_jitter():
    """Two machines that are refused together do not come back together, and neither comes back at once."""
    lengths = [
        pace(retries=Retries(first_wait=1.0, fraction=lambda drawn=drawn: drawn)).back_off(0, 0.0, None)
        for drawn in (0.0, 0.5, 1.0)
    ]

    assert lengths == [0.5, 0.75, 1.0]


def test_a_round_of_answers_raises_the_limit_by_one():
    """The limit grows by one for as many answers as it allows, up to where it began; a failure counts for nothing."""
    running = pace(4)
    running.back_off(0, 0.0, 0.0)
    assert running.limit == 2
    limits: list[int] = []
    for answered in (True, False, True, True, True, True, True, True, True, True, True):
        running.start(9.0)
        running.end(answered=answered)
        limits.append(running.limit)

    assert limits == [2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4]


def test_rpm_spaces_the_starts():
    """With 120 a minute one starts every half second, and what was not used is not missed."""
    running = pace(100, requests_per_minute=120)

    assert running.delay(10.0) == 0
    running.start(10.0)
    assert running.delay(10.0) == 0.5
    assert running.delay(10.5) == 0
    running.start(20.0)
    assert running.delay(20.25) == 0.25


def test_an_unused_start_is_given_back():
    """A call that needed no request takes neither a place nor a start from the others."""
    running = pace(1, requests_per_minute=60)
    running.start(0.0)
    running.cancel()

    assert (running.in_flight, running.delay(0.0)) == (0, 0)


@given(
    st.lists(st.tuples(st.sampled_from(["start", "answer", "failure", "refusal"]), st.floats(0, 30))),
    st.integers(1, 9),
    st.sampled_from([None, 1.0, 600.0]),
)
def test_whatever_happens(
    events: list[tuple[str, float]], concurrency: int, requests_per_minute: float | None
):
    """The limit stays between 1 and where it began, no more are under way than when they started, and none waits for ever."""
    running = pace(concurrency, requests_per_minute)
    now = 0.0
    rounds: list[int] = []
    for event, seconds in events:
        now += seconds
        if event == "start":
            if running.delay(now) == 0:
                rounds.append(running.start(now))
                assert running.in_flight <= running.limit
        elif rounds:
            running.end(answered=event == "answer")
            round_ = rounds.pop()
            if event == "refusal":
                assert 0 <= running.back_off(round_, now, None) <= 8.0
        assert 1 <= running.limit <= concurrency
        assert running.in_flight == len(rounds)
    for _ in rounds:
        running.end(answered=False)
    seconds = running.delay(now)
    assert seconds is not None
    assert running.delay(now + seconds) == pytest.approx(0, abs=1e-9)  # as sums of floats are rounded


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"concurrency": 0}, ValueError, "concurrency must be at least 1, not 0"),
        ({"concurrency": True}, TypeError, "concurrency must be an int, not bool"),
        ({"concurrency": 2.0}, TypeError, "concurrency must be an int, not float"),
        ({"requests_per_minute": 0}, ValueError, "requests_per_minute must be more than 0"),
        ({"requests_per_minute": float("nan")}, ValueError, "requests_per_minute must be more than 0"),
        ({"requests_per_minute": float("inf")}, ValueError, "None sets no limit"),
        ({"requests_per_minute": "60"}, TypeError, "requests_per_minute must be a number"),
        ({"requests_per_minute": True}, TypeError, "requests_per_minute must be a number"),
    ],
    ids=str,
)
def test_numbers_that_no_pace_can_have(given: dict[str, Any], error: type[Exception], says: str):
    """A number that can never work is refused before anything is sent."""
    with pytest.raises(error, match=says):
        pace(**given)
