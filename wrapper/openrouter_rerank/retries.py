"""When a failed attempt is tried again, as a value. It decides and does not wait."""

import random
from collections.abc import Callable

from attrs import field, frozen, validators

from openrouter_rerank.errors import RerankError, ResponseError, TimedOut


def _fraction() -> float:
    # S311: the jitter spreads load, it guards nothing
    return random.random()  # noqa: S311


@frozen
class Retries:
    """The policy of retries: few attempts, full jitter, and what the server asks for.

    Tried again: connections refused or reset before an answer began, and the statuses 408, 429, 500, 502, 503, 504,
    520 to 524 and 529. A `Retry-After` is waited for exactly; one that is longer than `longest_wait`, or than what is
    left of the call's deadline, ends the call at once instead.

    Example:
        >>> Retries(attempts=1)  # never again
        Retries(attempts=1, first_wait=0.5, longest_wait=30.0, timeouts=False)
    """

    attempts: int = field(default=3, validator=[validators.instance_of(int), validators.ge(1)])
    """How many requests a call may make, the first one included."""
    first_wait: float = field(default=0.5, validator=validators.ge(0))
    """The wait before the second attempt is drawn from 0 to this many seconds; each further one from twice that."""
    longest_wait: float = field(default=30.0, validator=validators.ge(0))
    """No wait is longer than this many seconds, the server's own `Retry-After` included."""
    timeouts: bool = False
    """Whether an attempt that timed out after it was sent is tried again. The work may have been done, and billed."""
    _fraction: Callable[[], float] = field(default=_fraction, repr=False, eq=False, kw_only=True)

    def delay(self, attempt: int, error: RerankError) -> float | None:
        """Seconds to wait after this attempt (the first is 1) ended in this error; None to give up."""
        if attempt >= self.attempts:
            return None
        if not (error.retryable or (self.timeouts and isinstance(error, TimedOut))):
            return None
        if isinstance(error, ResponseError) and error.retry_after is not None:
            return error.retry_after if error.retry_after <= self.longest_wait else None
        return self._fraction() * min(self.longest_wait, self.first_wait * 2.0 ** (attempt - 1))
