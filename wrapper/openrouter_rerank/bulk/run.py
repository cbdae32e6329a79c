"""The state of a run: the next request, the results that are ready, and the progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator
from contextvars import copy_context
from os import getpid
from time import monotonic
from typing import Any, NamedTuple

import httpcore

from openrouter_rerank.bulk.many import Progress, RerankRequest, Result, as_request, refuse_one
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.errors import BudgetExceededError
from openrouter_rerank.ledger import Ledger
from openrouter_rerank.operations import Failure, Step
from openrouter_rerank.retries import Retries
from openrouter_rerank_api.answers import SUMS

# No other call can succeed after such an error.
_ENDING = (BudgetExceededError,)

# How many requests are read from the caller's iterable in advance, for each that may be in flight.
_AHEAD = 4

# The error of a full connection pool: nothing was sent.
NO_SLOT = Failure(httpcore.PoolTimeout("the run had no free slot in time"), None)


class RunContext(NamedTuple):
    """The parts of a client that a run uses."""

    retries: Retries
    ledger: Ledger
    connections: Any
    prepare: Callable[[RerankRequest[Any]], Generator[Step, Any, Any]]
    """Makes the call of a request."""
    run: Callable[[Generator[Step, Any, Any], Callable[[Step], Any]], Any]
    """Runs a call to its end, with a function that performs its operations."""
    perform: Callable[[Step], Any]
    """Performs the operations that need no pace: files and the cache."""
    refuse_if_closed: Callable[[], None]


class RunStopped(BaseException):
    """The run was closed while a call of it waited. Never raised to the caller."""


class CallDropped(BaseException):
    """The run is draining, and this call has not begun. Never raised to the caller."""


class WorkerState:
    """The slot and the round of a worker's current call."""

    def __init__(self) -> None:
        self.held: list[int] = []
        """The round of the slot for the first request, acquired before the call begins so that its deadline counts from there."""
        self.round = 0


class Run(ABC):
    """The state that the runs of both clients share."""

    def __init__(  # noqa: PLR0913 - the arguments of rerank_many
        self,
        context: RunContext,
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
        self._context = context
        self.pace = Pace(concurrency, requests_per_minute, context.retries)
        self.concurrency = concurrency
        self._ordered = ordered
        self._stop_on_error = stop_on_error
        self.draining = False
        self.broken: BaseException | None = None
        """The error of the caller's own code that no result carries; raised to the caller after the last result."""
        self.ready: deque[Result[Any]] = deque()
        self._progress = progress
        self._process: int | None = None
        self._more = True
        self._taken = self._gone = 0
        self._workers = self._waiting = 0
        self._early: dict[int, Result[Any] | None] = {}
        self._next_index = 0
        self._began = 0.0
        # Calls run in the caller's context, as in a loop of the caller's: a span there is the parent of theirs.
        self._variables = copy_context()
        self._done = self._failed = self._unknown = 0
        self._sums: dict[str, Any] = dict.fromkeys(SUMS, 0)

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
    def in_flight(self) -> bool:
        """True while requests have been taken that have no result yet."""
        return self._taken > self._gone

    @property
    def can_take_more(self) -> bool:
        """True if another request may be taken: one at a time while `max_cost` is set and no call has reported a cost."""
        most = 1 if self._context.ledger.cost_unknown else _AHEAD * self.concurrency
        return self._more and not self.draining and self._taken - self._gone < most

    @property
    def finished(self) -> bool:
        """True if no result is to come."""
        return not self.in_flight and (self.draining or not self._more)

    @property
    def needs_worker(self) -> bool:
        """True if workers that wait to retry leave too few that can make a call."""
        return self._workers < 2 * self.concurrency and self._workers - self._waiting < self.concurrency

    def take(self, given: object) -> tuple[int, RerankRequest[Any] | Result[Any]]:
        """Return a request with its index; for an invalid one, its result."""
        if not self._taken:
            self._began = monotonic()
        index = self._taken
        self._taken += 1
        try:
            return index, as_request(given)
        except (ValueError, TypeError) as error:
            return index, Result(index, given, error=error)

    def stop_taking(self, error: BaseException | None = None) -> None:
        """Take no more requests. The first error is kept: the end of the iterable, or another error, may follow it."""
        self._more = False
        if self.broken is None:
            self.broken = error

    def on_result(self, index: int, result: Result[Any] | None) -> None:
        """Record a result, or None for a request that will have none; queue what is next for the caller."""
        if result is None:
            self._gone += 1
        elif self.is_last(result):
            self.draining = True
        if not self._ordered:
            if result is not None:
                self.ready.append(result)
            return
        self._early[index] = result
        while self._next_index in self._early:
            following = self._early.pop(self._next_index)
            self._next_index += 1
            if following is not None:
                self.ready.append(following)

    def next_result(self) -> Result[Any]:
        """Return the next result that is ready; count it and report progress."""
        result = self.ready.popleft()
        self._gone += 1
        self._done += 1
        if result.ranking is None:
            self._failed += 1
        else:
            usage = result.ranking.usage
            for name in SUMS:
                self._sums[name] += getattr(usage, name) or 0
            # A call with nothing to rank sent nothing, and cost nothing.
            self._unknown += usage.cost is None and bool(result.ranking.attempts)
        if self._progress is not None:
            self._progress(
                Progress(
                    done=self._done,
                    failed=self._failed,
                    unknown=self._unknown,
                    elapsed=monotonic() - self._began,
                    limit=self.pace.limit,
                    **self._sums,
                )
            )
        return result

    def is_last(self, result: Result[Any]) -> bool:
        """Return True if no call may begin after this result."""
        return result.error is not None and (self._stop_on_error or isinstance(result.error, _ENDING))

    def ends_with(self, result: Result[Any]) -> bool:
        """Return True if the caller asked for the run to end with this result."""
        return self._stop_on_error and not result.ok

    @abstractmethod
    def drain(self) -> None:
        """Start no more calls."""
