"""When a failed attempt is tried again, as a value. It decides and does not wait."""

import random
from collections.abc import Callable
from typing import TypeGuard

import msgspec

from openrouter_rerank.checks import LONGEST_TIME, as_float, shown
from openrouter_rerank.errors import APITimeoutError, RerankError, ResponseError

# How a server, or its provider, refuses load: openapi.yaml#/paths/~1rerank/post/responses
_OVERLOADED = (429, 503, 529)


def draw() -> float:
    """Draw a number from 0 to 1."""
    # Not random.random itself: a pickle of it has the state of the generator, and each process would draw the same.
    return random.random()  # noqa: S311 - jitter is no secret


class Retries(msgspec.Struct, frozen=True):
    """The policy of retries: few attempts, full jitter, and what the server asks for.

    Tried again: connections refused or reset before an answer began, and the statuses 408, 429, 500, 502, 503, 504,
    520 to 524 and 529, unless the server's words say that the same request will fail again (its input is too large, the
    server has no key, the model does not rank). A `Retry-After` is waited for exactly; one that is longer than `longest_wait`, or than what is
    left of the call's deadline, ends the call at once instead.

    Raises:
        TypeError, ValueError: A number that no policy can have.

    Example:
        >>> Retries(attempts=1)  # never again
        Retries(attempts=1, first_wait=0.5, longest_wait=30.0, timeouts=False)
    """

    attempts: int = 3
    """How many requests a call may make, the first one included."""
    first_wait: float = 0.5
    """The wait before the second attempt is drawn from 0 to this many seconds; each further one from twice that."""
    longest_wait: float = 30.0
    """No wait is longer than this many seconds, the server's own `Retry-After` included."""
    timeouts: bool = False
    """Whether an attempt that timed out after it was sent is tried again. The work may have been done, and billed."""
    fraction: Callable[[], float] = draw
    """Draws the jitter, from 0 to 1."""

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
        """Seconds to wait after this attempt (the first is 1) ended in this error; None to give up."""
        if attempt >= self.attempts:
            return None
        if not (error.retryable or (self.timeouts and isinstance(error, APITimeoutError))):
            return None
        if isinstance(error, ResponseError) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.longest else None
        return self.fraction() * self.widest(attempt - 1)

    @property
    def longest(self) -> float:
        """The longest wait, as far as anything can wait."""
        return min(as_float("longest_wait", self.longest_wait, "seconds"), LONGEST_TIME)

    def widest(self, doublings: int) -> float:
        """The widest wait that the server does not ask for, after so many before it."""
        # Past the 1,000th doubling there is no float; the longest wait is long reached.
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
    return (error.code or error.status) in _OVERLOADED
