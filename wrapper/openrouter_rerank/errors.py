"""The errors of this package: one class for each action of a caller, and one table from HTTP statuses to classes.

    RerankError
    ├── BudgetExceededError               `max_cost` forbids the call; nothing was sent
    ├── APIConnectionError                no usable response; `__cause__` is the transport's error
    │   └── APITimeoutError               no complete response within `timeout` or `deadline`
    └── ResponseError                     a response that is not a ranking
        ├── StatusError                   an error response
        │   ├── BadRequestError           change the request
        │   ├── AuthenticationError       change the key, or the settings of the account
        │   ├── InsufficientCreditsError  add credits
        │   ├── RequestTimeoutError       send less or try later; also an APITimeoutError
        │   ├── RateLimitError            slow down
        │   └── ServerError               try later
        └── InvalidResponseError          a success that breaks the contract: report it

`STATUSES` says which status raises which class. Invalid arguments raise ValueError or TypeError before anything is sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


class Attempt(msgspec.Struct, frozen=True):
    """One request of a call: its duration, its outcome, and the wait after it."""

    elapsed: float
    """Seconds from the request to its outcome."""
    status: int | None
    """The HTTP status; None without a response."""
    error: str | None = None
    """A short description of the error; None for the attempt that succeeded."""
    wait: float | None = None
    """Seconds waited before the next attempt; None for the last."""

    def __str__(self) -> str:
        return f"{self.error or self.status} after {self.elapsed:.2f} s"


class RerankError(Exception):
    """A failed call. The error can be pickled and contains no secret that was sent.

    Attributes:
        message: The problem, its place and the next step.
        retryable: True if the same call can succeed later.
        attempts: Every request of the call, first to last.
        elapsed: Seconds from the call to the error.
        may_be_billed: True if a request of the call may have been billed, although it failed.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.retryable = retryable
        self.attempts: tuple[Attempt, ...] = ()
        self.elapsed = 0.0
        self.may_be_billed = False

    def __str__(self) -> str:
        if len(self.attempts) < 2:
            return self.message
        listed = "; ".join(map(str, self.attempts))
        return f"{self.message} [{len(self.attempts)} attempts in {self.elapsed:.2f} s: {listed}]"


class BudgetExceededError(RerankError):
    """A call that may cost more than is left of `max_cost`; nothing was sent.

    Attributes:
        spent: The known cost of the client's calls.
        limit: The client's `max_cost`.
        next_cost: The largest known cost of a call of this model; None if no cost is known.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        spent: float = 0.0,
        limit: float = 0.0,
        next_cost: float | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable)
        self.spent = spent
        self.limit = limit
        self.next_cost = next_cost


class APIConnectionError(RerankError):
    """A call without a usable response: refused, reset, not resolved. `__cause__` is the transport's error."""


class APITimeoutError(APIConnectionError):
    """A call without a complete response within its timeout or deadline. It may have been billed."""


class ResponseError(RerankError):
    """A response that is not a ranking.

    Attributes:
        status: The HTTP status.
        body: The first MiB of the body, with secrets redacted.
        request_id: The server's id of the request, for its support; None if it sent none.
        retry_after: Seconds to wait, as the server asks; None if it does not ask.
        code: The code of the error envelope, or None: the real status when `status` is 200.
        error_type: The vendor's name for the kind of error, or None.
        provider: The provider that failed, or None.
        metadata: The other members of the error envelope.
        too_large: True if the status or the message says that the server takes fewer or shorter documents.
        dialect: The dialect of the body, if it is another than that of the request.
    """

    def __init__(  # noqa: PLR0913 - the attributes, all by keyword
        self,
        message: str,
        *,
        retryable: bool = False,
        status: int = 0,
        body: bytes = b"",
        request_id: str | None = None,
        retry_after: float | None = None,
        code: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        too_large: bool = False,
        dialect: str | None = None,
    ) -> None:
        super().__init__(message, retryable=retryable)
        self.status = status
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        self.code = code
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.too_large = too_large or 413 in (status, code)
        self.dialect = dialect

    @property
    def error_type(self) -> str | None:
        """The vendor's name for the kind of error, such as `rate_limit_exceeded`."""
        return _text(self.metadata.get("error_type"))

    @property
    def provider(self) -> str | None:
        """The provider that failed, if the error names it."""
        return _text(self.metadata.get("provider_name"))


def is_of_another_dialect(error: object) -> bool:
    """Return True if the server speaks another dialect than that of the request, as far as its answer shows."""
    return isinstance(error, ResponseError) and error.dialect is not None


def is_unreadable_ranking(error: object) -> bool:
    """Return True for a ranking in another dialect: it cannot be read, but may be billed."""
    return isinstance(error, InvalidResponseError) and is_of_another_dialect(error)


class StatusError(ResponseError):
    """An error response, by its status or by an `error` in a 200."""


class BadRequestError(StatusError):
    """The request is wrong for this server or this model: change the request."""


class AuthenticationError(StatusError):
    """The key is missing, wrong, or not allowed to do this: change the key or the settings of the account."""


class InsufficientCreditsError(StatusError):
    """The account or the key has no credits left: add credits."""


class RequestTimeoutError(StatusError, APITimeoutError):
    """The server gave up waiting for the request (408): send fewer documents at a time, or try later."""


class RateLimitError(StatusError):
    """Too many requests: slow down. `retry_after` is the wait that the server asks for."""


class ServerError(StatusError):
    """The server or its provider failed: try later."""


class InvalidResponseError(ResponseError):
    """A success that breaks the contract: report it. No part of it is used."""


class StatusRow(msgspec.Struct, frozen=True):
    """The handling of some HTTP statuses."""

    statuses: Sequence[int]
    error: type[StatusError]
    """The class that they raise."""
    retryable: bool
    """True if the same request may succeed later; it is then retried."""
    next_step: str
    """The advice of the message."""
    overloaded: bool = False
    """True if they mean too many requests: `rerank_many` then slows down."""


_CHANGE = "Change the request; trying it again will not help."
_KEY = "Check the key (api_key or OPENROUTER_API_KEY) and what the account allows."
_CREDITS = "Add credits to the account, or raise the key's limit."
_LESS = "Send fewer documents at a time, or try again later."
_SLOWER = "Send fewer requests at a time, or wait."
_LATER = "Try again later."

STATUSES = (
    StatusRow((400, 404, 413, 422), BadRequestError, retryable=False, next_step=_CHANGE),
    StatusRow((401, 403), AuthenticationError, retryable=False, next_step=_KEY),
    StatusRow((402,), InsufficientCreditsError, retryable=False, next_step=_CREDITS),
    StatusRow((408,), RequestTimeoutError, retryable=True, next_step=_LESS),
    StatusRow((429,), RateLimitError, retryable=True, next_step=_SLOWER, overloaded=True),
    StatusRow((503, 529), ServerError, retryable=True, next_step=_LATER, overloaded=True),
    StatusRow((500, 502, 504, 520, 521, 522, 523, 524), ServerError, retryable=True, next_step=_LATER),
    StatusRow(range(500), BadRequestError, retryable=False, next_step=_CHANGE),
    StatusRow(range(500, 1000), ServerError, retryable=False, next_step=_CHANGE),
)
"""The handling of every status, by the first row that has it; a range stands for the statuses that no other row has.

This is the one place for a new status. The first status of a class is the one with which fakes raise it.
"""


def class_of(status: int) -> type[StatusError]:
    """Return the class that a status raises."""
    return _row_of(status).error


def is_retryable(status: int) -> bool:
    """Return True if a request with this status may succeed when it is sent again."""
    return _row_of(status).retryable


def is_overloaded(status: int) -> bool:
    """Return True if the status means too many requests."""
    return _row_of(status).overloaded


def next_step(status: int) -> str:
    """Return the advice for a status, as a sentence."""
    return _row_of(status).next_step


def _row_of(status: int) -> StatusRow:
    return next((row for row in STATUSES if status in row.statuses), STATUSES[-1])


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the server's id of a request, from the first header that has one."""
    names = ("x-generation-id", "request-id", "x-request-id", "x-debug-trace-id", "cf-ray")
    return next((headers[name] for name in names if headers.get(name)), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
