"""The policy of retries."""

from collections.abc import Callable
from random import SystemRandom
from typing import TypeGuard

import msgspec

from openrouter_rerank.arguments import NamedFields
from openrouter_rerank.checks import LONGEST_TIME, as_float, shown
from openrouter_rerank.errors import APITimeoutError, RerankError, ResponseError
from openrouter_rerank.errors import is_overloaded as is_overloaded_status


def draw() -> float:
    """Return a random number from 0 to 1.

    It comes from the operating system, so that each process draws its own numbers, also after a fork. `random.seed` has no effect.
    """
    return SystemRandom().random()


class Retries(msgspec.Struct, frozen=True, metaclass=NamedFields):
    """The policy of retries: few attempts, exponential back-off with full jitter, and the server's `Retry-After`.

    Retried: connections that were refused or reset before a response began, and the statuses that `errors.STATUSES` has as
    retryable, such as 429 and 503. An error is not retried if its message says that the same request fails again: the
    input is too large, the server has no key, the model does not rank. The wait is exactly the `Retry-After`. A
    `Retry-After` beyond `longest_wait` or the call's deadline ends the call at once.

    Raises:
        TypeError, ValueError: An argument is invalid.

    Example:
        >>> Retries(attempts=1)  # no retries
        Retries(attempts=1, first_wait=0.5, longest_wait=30.0, timeouts=False)
    """

    attempts: int = 3
    """The largest number of requests of a call, the first one included."""
    first_wait: float = 0.5
    """The largest wait before the second attempt, in seconds; it doubles with each further attempt."""
    longest_wait: float = 30.0
    """The longest wait in seconds, also for a `Retry-After`."""
    timeouts: bool = False
    """True to retry requests that timed out after they were sent. The server may have done the work and billed it."""
    fraction: Callable[[], float] = draw
    """Returns the jitter, from 0 to 1."""

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int):
            message = f"attempts must be an int, not {type(self.attempts).__name__}"
            raise TypeError(message)
        if self.attempts < 1:
            message = f"attempts must be at least 1 (the first one counts), not {shown(self.attempts)}"
            raise ValueError(message)
        for name in ("first_wait", "longest_wait"):
            value = getattr(self, name)
            if not as_float(name, value, "a number of seconds") >= 0:
                message = f"{name} must be 0 or more seconds, not {shown(value)}"
                raise ValueError(message)
        if not callable(self.fraction):
            message = f"fraction must be a function that gives a number from 0 to 1, not {type(self.fraction).__name__}"
            raise TypeError(message)

    def __repr__(self) -> str:
        shown = ("attempts", "first_wait", "longest_wait", "timeouts")
        return f"Retries({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def delay(self, attempt: int, error: RerankError) -> float | None:
        """Return the seconds to wait after this attempt (the first is 1) with this error; None to give up."""
        if attempt >= self.attempts:
            return None
        if not (error.retryable or (self.timeouts and isinstance(error, APITimeoutError))):
            return None
        if isinstance(error, ResponseError) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.longest else None
        return self.fraction() * self.widest(attempt - 1)

    @property
    def longest(self) -> float:
        """The longest wait, within the limits of the operating system."""
        return min(as_float("longest_wait", self.longest_wait, "seconds"), LONGEST_TIME)

    def widest(self, doublings: int) -> float:
        """Return the largest wait after so many doublings, without a `Retry-After`."""
        # A float ends at the 1,024th doubling; the longest wait comes long before.
        first = as_float("first_wait", self.first_wait, "seconds")
        return min(self.longest, first * 2.0 ** min(doublings, 1000))

    def shared_delay(self, pause: float, retry_after: float | None) -> float | None:
        """Return the seconds to wait while a whole run pauses; None to give up.

        Args:
            pause: The seconds for which the run pauses.
            retry_after: The seconds that the server asks for.
        """
        if self.attempts == 1 or (retry_after is not None and retry_after > self.longest_wait):
            return None
        return pause


def is_overloaded(error: RerankError) -> TypeGuard[ResponseError]:
    """Return True if the server, or its provider, refuses the request because of its load."""
    if not (isinstance(error, ResponseError) and error.retryable):
        return False  # such as a 503 that says that the input is too large, or that no key is configured
    return is_overloaded_status(error.code or error.status)
