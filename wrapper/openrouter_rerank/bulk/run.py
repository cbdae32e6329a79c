"""A run of many queries: what comes next, what is ready, and how far it is. It starts nothing and waits for nothing.

Each call is made by a copy of the shell, whose connections ask the pace before they send and whose retries tell it what came.
Threads or tasks make the calls, as many as may be under way; one more takes the place of one that waits to try again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextvars import copy_context
from os import getpid
from time import monotonic
from typing import Any, NamedTuple, cast

import httpcore

from openrouter_rerank.bulk.many import Progress, RerankRequest, Result, as_request, refuse_one
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.errors import BudgetExceededError, RerankError, ResponseError
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.operations import Failure
from openrouter_rerank.retries import Retries

# What a server, or its provider, says when it is too much: openapi.yaml#/paths/~1rerank/post/responses
_TOO_MUCH = (429, 503, 529)
# After such an error no other call can go better.
_ENDING = (BudgetExceededError,)

# How many requests are taken from the caller's iterable before their turn, for each that may be under way.
_AHEAD = 4

# As when all connections are in use: nothing was sent.
LATE = Failure(httpcore.PoolTimeout("the run had no place for it in time"), None)


class Shell(NamedTuple):
    """What a run needs of the shell whose calls it makes."""

    retries: Retries
    ledger: Ledger
    connections: Any
    apart: Callable[[Any, Retries, Callable[[float], Any]], Any]
    """A copy of the shell, by its connections, its retries and how it waits."""
    refuse_if_closed: Callable[[], None]


class Stopped(BaseException):
    """The run was given up while a call of it waited; no caller ever sees it."""


class Dropped(BaseException):
    """The run starts nothing any more, and this call has not begun; no caller ever sees it."""


class Turn:
    """What is known of the call that a worker makes at the moment."""

    def __init__(self) -> None:
        self.held: list[int] = []
        """The place for its first request, taken before the call began, so that its deadline counts from there."""
        self.round = 0


class Patience(Retries, frozen=True):
    """The client's own retries, but that it is no attempt of the call's when the server says that the run is too much."""

    turn: Any = None
    refused: Any = None

    def counts(self, error: RerankError) -> bool:
        """Whether it is an attempt of the call's."""
        return not _is_refusal(error)

    def delay(self, attempt: int, error: RerankError) -> float | None:
        """Seconds to wait, for a refusal as long as the whole run does."""
        if not _is_refusal(error):
            return super().delay(attempt, error)
        retry_after = cast(ResponseError, error).retry_after
        pause: float = self.refused(self.turn.round, retry_after)
        if self.attempts == 1 or (retry_after is not None and retry_after > self.longest_wait):
            return None
        return pause


def _is_refusal(error: RerankError) -> bool:
    """Whether the server, or its provider, says that it is too much for it."""
    if not (isinstance(error, ResponseError) and error.retryable):
        return False  # such as a 503 that says that the input is too large, or that no key is configured
    return (error.code or error.status) in _TOO_MUCH


class Run(ABC):
    """A run's numbers, and what comes next. It starts nothing and waits for nothing."""

    def __init__(  # noqa: PLR0913 - the arguments of rerank_many
        self,
        shell: Shell,
        requests: object,
        *,
        concurrency: int,
        requests_per_minute: float | None,
        ordered: bool,
        stop_on_error: bool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        if progress is not None and not callable(progress):
            message = f"progress must be a function of a Progress, not {type(progress).__name__}"
            raise TypeError(message)
        refuse_one(requests)
        self._shell = shell
        self.pace = Pace(concurrency, requests_per_minute, shell.retries)
        self.concurrency = concurrency
        self._ordered = ordered
        self._stop_on_error = stop_on_error
        self.draining = False
        self.broken: BaseException | None = None
        """What the caller's own code raised and no result carries; it is raised to the caller after the last result."""
        self.ready: deque[Result] = deque()
        self._progress = progress
        self._process: int | None = None
        self._more = True
        self._taken = self._gone = 0
        self._workers = self._waiting = 0
        self._early: dict[int, Result | None] = {}
        self._turn = 0
        self._began = 0.0
        # Calls are made in the caller's context, as by a loop of its own: a span of the caller's is the parent of theirs.
        self._context = copy_context()
        self._done = self._failed = self._unknown = self._units = self._tokens = 0
        self._cost = 0.0

    @property
    def inherited(self) -> bool:
        """True if the run began in the process that this one was forked from, where its threads and tasks are."""
        return self._process not in (None, getpid())

    def refuse_if_inherited(self) -> None:
        """Raise RuntimeError in a forked process."""
        if self.inherited:
            raise RuntimeError(
                "rerank_many: this run began in the process that this one was forked from; call rerank_many again here"
            )

    @property
    def under_way(self) -> bool:
        """Whether there are requests that were taken, and have given no result yet."""
        return self._taken > self._gone

    @property
    def room(self) -> bool:
        """Whether another request may be taken: one alone where there is a `max_cost`, and nothing known yet of what one costs."""
        most = 1 if self._shell.ledger.cost_unknown else _AHEAD * self.concurrency
        return self._more and not self.draining and self._taken - self._gone < most

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return not self.under_way and (self.draining or not self._more)

    @property
    def short(self) -> bool:
        """Whether another worker is wanted, as all but some that wait have a call to make."""
        return self._workers < 2 * self.concurrency and self._workers - self._waiting < self.concurrency

    def take(self, given: object) -> tuple[int, RerankRequest | Result]:
        """A request with its index; where it can be none, its result."""
        if not self._taken:
            self._began = monotonic()
        index = self._taken
        self._taken += 1
        try:
            return index, as_request(given)
        except (ValueError, TypeError) as error:
            return index, Result(index, given, error=error)

    def exhausted(self, error: BaseException | None = None) -> None:
        """Take no more requests. The first error is kept: the end of the iterable, or another error, may follow it."""
        self._more = False
        if self.broken is None:
            self.broken = error

    def came(self, index: int, result: Result | None) -> None:
        """A result came, or none ever will; what can be given to the caller now is ready."""
        if result is None:
            self._gone += 1
        elif self.is_the_end(result):
            self.draining = True
        if not self._ordered:
            if result is not None:
                self.ready.append(result)
            return
        self._early[index] = result
        while self._turn in self._early:
            following = self._early.pop(self._turn)
            self._turn += 1
            if following is not None:
                self.ready.append(following)

    def give(self) -> Result:
        """The next result, counted, and progress told."""
        result = self.ready.popleft()
        self._gone += 1
        self._done += 1
        if result.ranking is None:
            self._failed += 1
        else:
            usage = result.ranking.usage
            self._cost += usage.cost or 0.0
            # What sent nothing, as there was nothing to rank, cost nothing.
            self._unknown += usage.cost is None and bool(result.ranking.attempts)
            self._units += usage.search_units or 0
            self._tokens += usage.total_tokens or 0
        if self._progress is not None:
            self._progress(
                Progress(
                    done=self._done,
                    failed=self._failed,
                    cost=self._cost,
                    unknown=self._unknown,
                    search_units=self._units,
                    total_tokens=self._tokens,
                    elapsed=monotonic() - self._began,
                    limit=self.pace.limit,
                )
            )
        return result

    def is_the_end(self, result: Result) -> bool:
        """Whether nothing more is started after this result."""
        return result.error is not None and (self._stop_on_error or isinstance(result.error, _ENDING))

    def ends_with(self, result: Result) -> bool:
        """Whether this result is the last one by the caller's wish."""
        return self._stop_on_error and not result.ok

    def patience(self, turn: Turn, refused: Callable[[int, float | None], float]) -> Patience:
        """The retries of a worker's calls."""
        own = self._shell.retries
        return Patience(
            own.attempts, own.first_wait, own.longest_wait, own.timeouts, own.fraction, turn, refused
        )

    @abstractmethod
    def drain(self) -> None:
        """Start nothing more."""
