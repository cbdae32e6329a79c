"""Each error says what happened and what to do, and loses nothing on its way through another process."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import httpcore
import pytest

import openrouter_rerank
from driving import call
from openrouter_rerank import (
    APIConnectionError,
    APITimeoutError,
    Attempt,
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    InsufficientCreditsError,
    InvalidResponseError,
    RateLimitError,
    RequestTimeoutError,
    RerankError,
    ResponseError,
    Retries,
    ServerError,
    StatusError,
    errors,
)
from openrouter_rerank.operations import Failure

CLASSES = [
    value
    for value in vars(openrouter_rerank).values()
    if inspect.isclass(value) and issubclass(value, Exception)
]
ATTEMPTS = (Attempt(0.5, 500, "500 ServerError", 1.5), Attempt(0.25, None, "ReadTimeout"))


def made(kind: type[RerankError]) -> RerankError:
    """Return an error of the class, with everything that it can carry."""
    carried: dict[str, Any] = (
        {
            "status": 503,
            "body": b'{"error":{}}',
            "request_id": "r",
            "retry_after": 1.5,
            "code": 529,
            "metadata": {"error_type": "provider_overloaded", "provider_name": "Cohere", "deep": [{}]},
        }
        if issubclass(kind, ResponseError)
        else {"spent": 1.5, "limit": 2.0, "next_cost": 0.75}
        if issubclass(kind, BudgetExceededError)
        else {}
    )
    error = kind("what happened. What to do", retryable=True, **carried)
    error.attempts = ATTEMPTS
    error.elapsed = 2.5
    return error


def test_tree() -> None:
    """One root, and below it one class for each thing that a caller can do."""
    assert {kind: kind.__bases__ for kind in CLASSES} == {
        RerankError: (Exception,),
        BudgetExceededError: (RerankError,),
        APIConnectionError: (RerankError,),
        APITimeoutError: (APIConnectionError,),
        ResponseError: (RerankError,),
        StatusError: (ResponseError,),
        BadRequestError: (StatusError,),
        AuthenticationError: (StatusError,),
        InsufficientCreditsError: (StatusError,),
        RequestTimeoutError: (StatusError, APITimeoutError),
        RateLimitError: (StatusError,),
        ServerError: (StatusError,),
        InvalidResponseError: (ResponseError,),
    }


def test_tree_is_drawn() -> None:
    """The tree in the module's docstring has each class once, at its depth."""

    def depth(kind: type) -> int:
        return 1 if kind is RerankError else 1 + depth(kind.__bases__[0])

    drawing = [
        line for line in (errors.__doc__ or "").splitlines() if "─" in line or line == "    RerankError"
    ]
    drawn = {
        line.split("─ ")[-1].split()[0]: (len(line) - len(line.lstrip(" │├└─"))) // 4 for line in drawing
    }

    assert drawn == {kind.__name__: depth(kind) for kind in CLASSES}


def test_the_table_has_every_class() -> None:
    """Each class of an error response is raised by a status, and each status is in one row, beside the ranges."""
    named = [
        status for row in errors.STATUSES if not isinstance(row.statuses, range) for status in row.statuses
    ]

    assert len(named) == len(set(named))
    assert {row.error for row in errors.STATUSES} == {
        kind for kind in CLASSES if StatusError in kind.__bases__
    }
    assert all(row.next_step.endswith(".") for row in errors.STATUSES)


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize("kind", CLASSES)
def test_copies(kind: type[RerankError], take: Any) -> None:
    """A copied or unpickled error has the class, the message and every attribute of the first."""
    error = made(kind)

    other = take(error)

    assert type(other) is kind
    assert (str(other), repr(other), other.args) == (str(error), repr(error), error.args)
    assert vars(other) == vars(error)


def test_through_a_pool_of_processes() -> None:
    """Raised in a worker process, an error arrives in this one as itself."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for kind in (RateLimitError, APITimeoutError, InvalidResponseError):
            error = made(kind)
            with pytest.raises(kind) as caught:
                pool.submit(exec, "raise error", {"error": error}).result(timeout=60)

            assert type(caught.value) is kind
            assert {name: value for name, value in vars(caught.value).items() if name != "__notes__"} == vars(
                error
            )
            assert str(caught.value) == str(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_str(kind: type[RerankError]) -> None:
    """After several attempts the text tells of each; after one it is the message alone."""
    error = made(kind)

    assert error.message == "what happened. What to do"
    assert str(error) == (
        "what happened. What to do "
        "[2 attempts in 2.50 s: 500 ServerError after 0.50 s; ReadTimeout after 0.25 s]"
    )
    error.attempts = ATTEMPTS[:1]
    assert str(error) == "what happened. What to do"
    assert "what happened" in repr(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_defaults(kind: type[RerankError]) -> None:
    """Attributes that are unknown to an error are None."""
    error = kind("m")

    assert (error.retryable, error.attempts, error.elapsed) == (False, (), 0.0)
    if isinstance(error, ResponseError):
        assert (error.body, error.request_id, error.retry_after) == (b"", None, None)
        assert (error.code, error.error_type, error.provider, error.metadata) == (None, None, None, {})


def test_what_the_vendor_names() -> None:
    """The kind of error and the provider are read from the metadata."""
    error = made(ServerError)

    assert isinstance(error, ResponseError)
    assert (error.error_type, error.provider) == ("provider_overloaded", "Cohere")


def test_no_name_of_a_builtin_is_taken() -> None:
    """`from openrouter_rerank import *` hides nothing of Python's."""
    assert not set(openrouter_rerank.__all__) & set(vars(__import__("builtins")))


@pytest.mark.parametrize(
    ("attempt", "shown"),
    [
        (Attempt(0.5, 200), "200 after 0.50 s"),
        (Attempt(0.5, 500, "500 ServerError", 1.0), "500 ServerError after 0.50 s"),
        (Attempt(0.5, None, "ConnectError"), "ConnectError after 0.50 s"),
    ],
)
def test_attempts(attempt: Attempt, shown: str) -> None:
    """An attempt is told in a few words."""
    assert str(attempt) == shown


def test_a_long_error_of_a_transport_is_cut() -> None:
    """The transport's message is quoted up to a readable length."""
    calling = call({"retries": Retries(attempts=1)})
    next(calling)
    with pytest.raises(APIConnectionError, match=r"x{100}\.\.\.; ") as caught:
        calling.send(Failure(httpcore.ConnectError("x" * 5_000), None))
    assert len(str(caught.value)) < 1_000
