"""Every error of this package, one class for each thing that a caller can do about it. No decision is made here.

    RerankError
    ├── BudgetExceededError             max_cost forbids the call, and nothing was sent
    ├── APIConnectionError              no usable answer came; the transport's error is __cause__
    │   └── APITimeoutError             not within the attempt's timeout, or the call's deadline
    └── ResponseError                   an answer came
        ├── StatusError                 it says that the request failed
        │   ├── BadRequestError         400 404 413 422 and other 4xx, 3xx: change the call
        │   ├── AuthenticationError     401 403: change the key, or the account's settings
        │   ├── InsufficientCreditsError 402: top up
        │   ├── RateLimitError          408 429: slow down
        │   └── ServerError             5xx: try later
        └── InvalidResponseError        it says success and breaks the contract: report it

Arguments that are wrong in themselves raise ValueError or TypeError, before anything is sent.
"""

from collections.abc import Mapping
from typing import Any

import msgspec


class Attempt(msgspec.Struct, frozen=True):
    """One request of a call: how long it took, how it ended, and what was waited before the next."""

    elapsed: float
    """Seconds until it ended."""
    status: int | None
    """The HTTP status, or None where no answer came."""
    error: str | None = None
    """What was wrong, in a few words; None for the attempt that succeeded."""
    wait: float | None = None
    """Seconds waited before the next attempt; None for the last."""

    def __str__(self) -> str:
        return f"{self.error or self.status} after {self.elapsed:.2f} s"


class RerankError(Exception):
    """A call that failed. It pickles, prints whole, and holds no secret that was sent.

    Attributes:
        message: What happened, where, and what to do next.
        retryable: Whether the same call can succeed later.
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
        tried = "; ".join(map(str, self.attempts))
        return f"{self.message} [{len(self.attempts)} attempts in {self.elapsed:.2f} s: {tried}]"


class BudgetExceededError(RerankError):
    """The call may cost more than is left of `max_cost`; nothing was sent.

    Attributes:
        spent: What the client's calls have cost, as far as it is known.
        limit: The client's `max_cost`.
        next_cost: The largest cost of a call of this model so far; None where none is known.
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
    """No usable answer came: refused, reset, not resolved. The transport's own error is `__cause__`."""


class APITimeoutError(APIConnectionError):
    """No complete answer came within the attempt's timeout or the call's deadline. It may have been billed."""


class ResponseError(RerankError):
    """An answer came, and it is not a ranking.

    Attributes:
        status: The HTTP status.
        body: The body as it came, at most 1 MiB of it, with secrets redacted.
        request_id: The server's id of the request, for its support; None where it sent none.
        retry_after: Seconds that the server asked to wait; None where it did not.
        code: The code in the error's envelope, where it has one: the real status when `status` is 200.
        error_type: The vendor's name for the kind of error; None where there is none.
        provider: The provider that failed, where it is named.
        metadata: All that the envelope says beside code and message.
        too_large: True if the server takes fewer documents, or shorter ones, by its status or its words.
    """

    def __init__(  # noqa: PLR0913 - what a caller may want to know; all by keyword
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
    ) -> None:
        super().__init__(message, retryable=retryable)
        self.status = status
        self.body = body
        self.request_id = request_id
        self.retry_after = retry_after
        self.code = code
        self.metadata: dict[str, Any] = dict(metadata or {})
        self.too_large = too_large or 413 in (status, code)

    @property
    def error_type(self) -> str | None:
        """The vendor's name for the kind of error, such as `rate_limit_exceeded`."""
        return _text(self.metadata.get("error_type"))

    @property
    def provider(self) -> str | None:
        """The provider that failed, where the error names it."""
        return _text(self.metadata.get("provider_name"))


class StatusError(ResponseError):
    """The server says that the request failed, by its status or by an `error` inside a 200."""


class BadRequestError(StatusError):
    """The request is wrong, for this server or this model: change the call."""


class AuthenticationError(StatusError):
    """The key is missing, wrong, or not allowed to do this: change the key or the account's settings."""


class InsufficientCreditsError(StatusError):
    """The account or the key has no credits left: top up."""


class RateLimitError(StatusError):
    """Too many requests: slow down. `retry_after` says for how long, where the server does."""


class ServerError(StatusError):
    """The server or its provider failed: try later."""


class InvalidResponseError(ResponseError):
    """The server says success, and its answer breaks the contract: report it. No part of it is a result."""


_BY_STATUS: Mapping[int, type[StatusError]] = {
    401: AuthenticationError,
    402: InsufficientCreditsError,
    403: AuthenticationError,
    408: RateLimitError,
    429: RateLimitError,
}

_RETRYABLE = frozenset({408, 429, 500, 502, 503, 504, *range(520, 525), 529})

_NEXT: Mapping[type[StatusError], str] = {
    BadRequestError: "Change the request; trying it again will not help.",
    AuthenticationError: "Check the key (api_key or OPENROUTER_API_KEY) and what the account allows.",
    InsufficientCreditsError: "Add credits to the account, or raise the key's limit.",
    RateLimitError: "Send fewer requests at a time, or wait.",
    ServerError: "Try again later.",
}


def class_of(status: int) -> type[StatusError]:
    """The class for a status, known or not."""
    return _BY_STATUS.get(status) or (ServerError if status >= 500 else BadRequestError)


def is_retryable(status: int) -> bool:
    """Whether a request that ended in this status may succeed when it is sent again."""
    return status in _RETRYABLE


def next_step(error: type[StatusError]) -> str:
    """What a caller can do about this class of error, as a sentence."""
    return _NEXT[error]


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The server's id of a request, by the first of the names under which servers send it."""
    names = ("x-generation-id", "request-id", "x-request-id", "cf-ray")
    return next((headers[name] for name in names if headers.get(name)), None)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
