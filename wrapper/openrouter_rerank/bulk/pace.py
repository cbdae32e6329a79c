"""How many requests may be under way, and when the next one may start. It is told the time, and does no I/O.

What TCP does to a network, this does to a server: a limit that halves when the server says that it is too much, and grows
by one with each round of answers. A round is as many answers as the limit allows at a time; the refusals of requests that
were under way together count as one.
"""

from __future__ import annotations

from math import inf

from openrouter_rerank.checks import LONGEST_TIME, as_float, shown
from openrouter_rerank.retries import Retries


class Pace:
    """The limits that all requests of a run share.

    Args:
        concurrency: How many requests may be under way at most; the limit starts there.
        requests_per_minute: How many requests may start in a minute, evenly spaced; None for as many as there are.
        retries: Its waits, and its jitter, are those of a pause that the server gives no length to.

    Raises:
        TypeError, ValueError: A number that no pace can have.
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
        self.under_way = 0
        self._spacing = 0.0 if pace is None else min(60.0 / pace, LONGEST_TIME)
        self._spaced = float("-inf")  # when the next may start, by requests_per_minute
        self._paused = float("-inf")  # when the next may start, by the server
        self._retries = retries
        self._pauses = 0
        self._round = 0
        self._answers = 0

    def wait(self, now: float) -> float | None:
        """Seconds until a request may start, 0 for now; None where another one has to end first."""
        if self.under_way >= self.limit:
            return None
        return max(self._spaced - now, self._paused - now, 0.0)

    def start(self, now: float) -> int:
        """A request starts; the round that it belongs to, for `refused`."""
        self.under_way += 1
        if self._spacing:
            self._spaced = max(self._spaced, now) + self._spacing
        return self._round

    def unused(self) -> None:
        """What started needed no request after all."""
        self.under_way -= 1
        self._spaced -= self._spacing

    def ended(self, *, answered: bool) -> None:
        """A request ended, with a success or not."""
        self.under_way -= 1
        if not answered:
            return
        self._answers += 1
        if self._answers >= self.limit:
            self._answers = 0
            self._pauses = 0
            self.limit = min(self.limit + 1, self._most)

    def refused(self, round_: int, now: float, retry_after: float | None) -> float:
        """The server says that it is too much: the seconds until the next request may start."""
        longest = self._retries.longest
        if round_ == self._round:
            self._round += 1
            self.limit = max(self.limit // 2, 1)
            self._answers = 0
            # Half of it is jitter, as another machine may have been refused at the same moment.
            widest = self._retries.widest(self._pauses)
            self._pauses += 1
            self._paused = max(self._paused, now + widest * (1 + self._retries.fraction()) / 2)
        if retry_after is not None:
            self._paused = max(self._paused, now + min(retry_after, longest))
        return max(self._paused - now, 0.0)
