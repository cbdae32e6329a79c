"""The adaptive limit of requests in flight, and the time at which the next request may start.

As in TCP's congestion control, the limit halves when the server is overloaded, and grows by one with each round of answers.
A round is as many answers as the limit allows in flight. Refusals of requests that were in flight together count as one.
"""

from __future__ import annotations

from math import inf

from openrouter_rerank.checks import LONGEST_TIME, as_float, shown
from openrouter_rerank.retries import Retries


class Pace:
    """The limits that all requests of a run share.

    Args:
        concurrency: The largest number of requests in flight; the limit starts there.
        requests_per_minute: The number of requests that may start in a minute, evenly spaced; None for no limit.
        retries: The policy whose waits and jitter apply to a pause without a `Retry-After`.

    Raises:
        TypeError, ValueError: A limit is invalid.
    """

    def __init__(self, concurrency: int, requests_per_minute: float | None, retries: Retries) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int):
            message = f"concurrency must be an int, not {type(concurrency).__name__}"
            raise TypeError(message)
        if concurrency < 1:
            message = f"concurrency must be at least 1, not {shown(concurrency)}"
            raise ValueError(message)
        pace = (
            None
            if requests_per_minute is None
            else as_float(
                "requests_per_minute", requests_per_minute, "a number of requests per minute, or None"
            )
        )
        if pace is not None and not 0 < pace < inf:
            message = f"requests_per_minute must be more than 0 requests per minute, not {shown(requests_per_minute)}; None sets no limit"
            raise ValueError(message)
        self.limit = self._most = concurrency
        self.in_flight = 0
        self._spacing = 0.0 if pace is None else min(60.0 / pace, LONGEST_TIME)
        self._spaced = float("-inf")  # when the next request may start, by requests_per_minute
        self._paused = float("-inf")  # when the next request may start, by the server's refusals
        self._retries = retries
        self._pauses = 0
        self._round = 0
        self._answers = 0

    def delay(self, now: float) -> float | None:
        """Return the seconds until a request may start; None if another one has to end first."""
        if self.in_flight >= self.limit:
            return None
        return max(self._spaced - now, self._paused - now, 0.0)

    def start(self, now: float) -> int:
        """Start a request; return its round, for `back_off`."""
        self.in_flight += 1
        if self._spacing:
            self._spaced = max(self._spaced, now) + self._spacing
        return self._round

    def cancel(self) -> None:
        """Take back a start that needed no request."""
        self.in_flight -= 1
        self._spaced -= self._spacing

    def end(self, *, answered: bool) -> None:
        """End a request, with a success or not."""
        self.in_flight -= 1
        if not answered:
            return
        self._answers += 1
        if self._answers >= self.limit:
            self._answers = 0
            self._pauses = 0
            self.limit = min(self.limit + 1, self._most)

    def back_off(self, round_: int, now: float, retry_after: float | None) -> float:
        """Record that the server refused a request of this round; return the seconds until the next one may start."""
        longest = self._retries.longest
        if round_ == self._round:
            self._round += 1
            self.limit = max(self.limit // 2, 1)
            self._answers = 0
            # Half of the pause is jitter, as another machine may have been refused at the same moment.
            widest = self._retries.widest(self._pauses)
            self._pauses += 1
            self._paused = max(self._paused, now + widest * (1 + self._retries.fraction()) / 2)
        if retry_after is not None:
            self._paused = max(self._paused, now + min(retry_after, longest))
        return max(self._paused - now, 0.0)
