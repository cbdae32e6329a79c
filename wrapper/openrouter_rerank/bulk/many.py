"""Many queries at one pace: what the two shells' `rerank_many` returns. How a call goes is decided by the core, as ever.

Each call is made by a copy of the shell, whose connections ask the pace before they send and whose retries tell it what came.
Threads or tasks make the calls, as many as may be under way; one more takes the place of one that waits to try again.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import insort
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeAlias, cast

import anyio
import httpcore
import msgspec
from sniffio import current_async_library

from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.documents import nearest
from openrouter_rerank.errors import BudgetExceeded, RerankError, ResponseError
from openrouter_rerank.ranking import Ranking, Unranked
from openrouter_rerank.retries import Retries
from openrouter_rerank.steps import Answer, Failure, Outcome, Send

# What a server, or its provider, says when it is too much: openapi.yaml#/paths/~1rerank/post/responses
_TOO_MUCH = (429, 503, 529)
# After such an error no other call can go better.
_ENDING = (BudgetExceeded,)

# How many requests are taken from the caller's iterable before their turn, for each that may be under way.
_AHEAD = 4


class Request(msgspec.Struct, kw_only=True):
    """One query with its documents, and whatever else `rerank` takes for this one; None is the client's default.

    Example:
        >>> Request(query="Where is Berlin?", documents=["Berlin is in Germany."], top_n=1).query
        'Where is Berlin?'
    """

    query: str
    documents: Iterable[Any]
    key: Callable[[Any], Any] | str | None = None
    model: str | None = None
    top_n: int | None = None
    min_score: float | None = None
    provider: Any = None
    session_id: str | None = None
    user: str | None = None
    trace: Any = None
    timeout: float | None = None
    extra_body: Mapping[str, Any] | None = None
    extra_headers: Mapping[str, str] | None = None
    tag: str | None = None
    on_error: Literal["raise", "keep_order"] | None = None
    max_documents: int | None = None
    max_bytes: int | None = None
    on_part_error: Literal["raise", "partial"] | None = None
    chunk: Any = None

    def __repr__(self) -> str:
        return f"<Request {self.query!r}{'' if self.tag is None else f', tag {self.tag!r}'}>"


Requestable: TypeAlias = "Request | Mapping[str, Any] | tuple[str, Iterable[Any]]"
"""What can be asked: a `Request`, a mapping with the same keys, or a pair of query and documents."""

_FIELDS = Request.__struct_fields__
_PASSED = tuple(name for name in _FIELDS if name not in ("query", "documents"))


class Result(msgspec.Struct, frozen=True):
    """What came of one request: its ranking, or its error.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> with Reranker.local() as reranker:
        ...     results = list(reranker.rerank_many([("q", ["a document"]), ("q", 7)]))
        >>> [result.ok for result in results]
        [True, False]
    """

    index: int
    """The request's position among those that were passed in, from 0."""
    request: Any
    """The `Request`; where it could not be made into one, what was passed in."""
    ranking: Ranking[Any] | Unranked[Any] | None = None
    error: Exception | None = None

    @property
    def ok(self) -> bool:
        """Whether there is a ranking."""
        return self.error is None

    def unwrap(self) -> Ranking[Any] | Unranked[Any]:
        """The ranking; where there is none, its error is raised."""
        if self.error is not None:
            raise self.error
        return cast("Ranking[Any] | Unranked[Any]", self.ranking)


class Progress(msgspec.Struct, frozen=True):
    """How far a run of many queries has come."""

    done: int
    """Results so far, the failed ones too."""
    failed: int
    cost: float
    """US dollars, as far as the server said them."""
    unknown: int
    """Rankings of which the server did not say the cost."""
    search_units: int
    total_tokens: int
    elapsed: float
    """Seconds since the first request was taken."""
    limit: int
    """How many requests may be under way just now."""


def as_request(given: object) -> Request:
    """The request that was passed in, as one.

    Raises:
        TypeError, ValueError: It is none.
    """
    if isinstance(given, Request):
        return given
    kind = type(given).__name__
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        for name in fields:
            if name not in _FIELDS:
                close = nearest(str(name), _FIELDS)
                hint = f"did you mean {close!r}?" if close else f"a request has {', '.join(_FIELDS)}"
                message = f"a request has no {name!r}; {hint}"
                raise ValueError(message)
        for name in ("query", "documents"):
            if name not in fields:
                message = f"a request needs {name!r}; this one has {', '.join(map(str, fields)) or 'nothing'}"
                raise ValueError(message)
        return Request(**fields)
    if isinstance(given, tuple | list):
        pair = list(cast(Iterable[Any], given))
        if len(pair) == 2:
            return Request(query=pair[0], documents=pair[1])
    message = f"a request is a Request, a mapping with query and documents, or a pair of both, not {kind}"
    raise TypeError(message)


# As when all connections are in use: nothing was sent.
_LATE = Failure(httpcore.PoolTimeout("the run had no place for it in time"), None)


class Shell(NamedTuple):
    """What a run needs of the shell whose calls it makes."""

    retries: Retries
    connections: Any
    apart: Callable[[Any, Retries, Callable[[float], Any]], Any]
    """A copy of the shell, by its connections, its retries and how it waits."""
    refuse_if_closed: Callable[[], None]


class _Stopped(BaseException):
    """The run was given up while a call of it waited; no caller ever sees it."""


class _Dropped(BaseException):
    """The run starts nothing any more, and this call has not begun; no caller ever sees it."""


class _Turn:
    """What is known of the call that a worker makes at the moment."""

    def __init__(self) -> None:
        self.held: list[int] = []
        """The place for its first request, taken before the call began, so that its deadline counts from there."""
        self.round = 0
        self.refusals = 0


class _Patience(Retries, frozen=True):
    """The client's own retries, but that it is no attempt of the call's when the server says that the run is too much."""

    turn: Any = None
    refused: Any = None

    def delay(self, attempt: int, error: RerankError) -> float | None:
        """Seconds to wait, for a refusal as long as the whole run does."""
        if not _is_refusal(error):
            return super().delay(attempt - self.turn.refusals, error)
        retry_after = cast(ResponseError, error).retry_after
        pause: float = self.refused(self.turn.round, retry_after)
        if self.attempts == 1 or (retry_after is not None and retry_after > self.longest_wait):
            return None
        self.turn.refusals += 1
        return pause


def _is_refusal(error: RerankError) -> bool:
    """Whether the server, or its provider, says that it is too much for it."""
    return isinstance(error, ResponseError) and (error.code or error.status) in _TOO_MUCH


# ------------------------------------------------------------------------------------------------- what both kinds share


class _Run(ABC):
    """A run's numbers, and what comes next. It starts nothing and waits for nothing."""

    def __init__(  # noqa: PLR0913 - the arguments of rerank_many
        self,
        shell: Shell,
        requests: object,
        *,
        concurrency: int,
        rpm: float | None,
        ordered: bool,
        stop_on_error: bool,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        if progress is not None and not callable(progress):
            message = f"progress must be a function of a Progress, not {type(progress).__name__}"
            raise TypeError(message)
        if isinstance(requests, str | bytes | Mapping | Request):
            kind = type(cast(object, requests)).__name__
            message = f"requests is one {kind}; pass an iterable of requests"
            raise TypeError(message)
        self._shell = shell
        self.pace = Pace(concurrency, rpm, shell.retries)
        self.concurrency = concurrency
        self._ordered = ordered
        self._stop_on_error = stop_on_error
        self.draining = False
        self.broken: BaseException | None = None
        """What the iterable of requests raised; it is raised to the caller after the last result."""
        self.ready: deque[Result] = deque()
        self._progress = progress
        self._more = True
        self._taken = self._gone = 0
        self._workers = self._waiting = 0
        self._early: dict[int, Result | None] = {}
        self._turn = 0
        self._began = 0.0
        self._done = self._failed = self._unknown = self._units = self._tokens = 0
        self._cost = 0.0

    @property
    def under_way(self) -> bool:
        """Whether there are requests that were taken, and have given no result yet."""
        return self._taken > self._gone

    @property
    def room(self) -> bool:
        """Whether another request may be taken."""
        return self._more and not self.draining and self._taken - self._gone < _AHEAD * self.concurrency

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return not self.under_way and (self.draining or not self._more)

    @property
    def short(self) -> bool:
        """Whether another worker is wanted, as all but some that wait have a call to make."""
        return self._workers < 2 * self.concurrency and self._workers - self._waiting < self.concurrency

    def take(self, given: object) -> tuple[int, Request | Result]:
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
        """There are no more requests, as the iterable ended or broke."""
        self._more = False
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

    def patience(self, turn: _Turn, refused: Callable[[int, float | None], float]) -> _Patience:
        """The retries of a worker's calls."""
        own = self._shell.retries
        return _Patience(
            own.attempts, own.first_wait, own.longest_wait, own.timeouts, own.fraction, turn, refused
        )

    @abstractmethod
    def drain(self) -> None:
        """Start nothing more."""


def _arguments(request: Request) -> dict[str, Any]:
    """What `rerank` is called with beside query and documents."""
    values = ((name, getattr(request, name)) for name in _PASSED)
    return {name: value for name, value in values if value is not None}


# ------------------------------------------------------------------------------------------------------------- threads


class Gate(ABC):
    """Where the threads of a run wait for their turn to send."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._draining = self._stopped = False

    @abstractmethod
    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        """Wait for one's turn; calls that have begun come first. The round of it is returned; None at the end.

        Raises:
            _Dropped, _Stopped: It will not come.
        """

    @abstractmethod
    def leave(self, *, answered: bool) -> None:
        """A request ended."""

    @abstractmethod
    def unused(self) -> None:
        """A turn was not needed."""

    @abstractmethod
    def refused(self, round_: int, retry_after: float | None) -> float:
        """The server refused a request of that round; the seconds for which all wait."""

    def pause(self, seconds: float) -> None:
        """Wait for so long. _Stopped: the run is."""
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped, seconds):
                raise _Stopped

    def close(self, *, at_once: bool) -> None:
        """Let in none that has not begun; at once: nobody."""
        with self._changed:
            self._draining = True
            self._stopped = self._stopped or at_once
            self._changed.notify_all()

    def _turn_away(self, *, begun: bool) -> None:
        if self._stopped:
            raise _Stopped
        if self._draining and not begun:
            raise _Dropped


class _Gate(Gate):
    """That of a run by itself."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace
        self._line: list[tuple[bool, int]] = []
        self._numbers = count()

    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        with self._changed:
            place = (not begun, next(self._numbers))
            insort(self._line, place)
            try:
                while True:
                    self._turn_away(begun=begun)
                    now = monotonic()
                    if now >= end:
                        return None
                    seconds = self._pace.wait(now) if self._line[0] == place else None
                    if seconds == 0:
                        return self._pace.start(now)
                    until = min(inf if seconds is None else seconds, end - now)
                    self._changed.wait(None if until == inf else until)
            finally:
                self._line.remove(place)
                if self._line:
                    self._changed.notify_all()

    def leave(self, *, answered: bool) -> None:
        with self._changed:
            self._pace.ended(answered=answered)
            if self._line:
                self._changed.notify_all()

    def unused(self) -> None:
        with self._changed:
            self._pace.unused()
            if self._line:
                self._changed.notify_all()

    def refused(self, round_: int, retry_after: float | None) -> float:
        with self._changed:
            return self._pace.refused(round_, monotonic(), retry_after)


class _Paced:
    """The connections of one worker, which wait for their turn."""

    def __init__(self, connections: Any, gate: Gate, turn: _Turn) -> None:
        self._connections = connections
        self._gate = gate
        self._turn = turn

    def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        turn = self._turn
        try:
            turn.round = turn.held.pop()
        except IndexError:
            end = monotonic() + step.timeout
            round_ = self._gate.enter(begun=True, end=end)
            if round_ is None:
                return _LATE
            turn.round = round_
            step = step._replace(timeout=max(end - monotonic(), 0.001))
        answered = False
        try:
            outcome: Outcome = self._connections.send(step)
            answered = isinstance(outcome, Answer) and outcome.status == 200
            return outcome
        finally:
            self._gate.leave(answered=answered)


class Threads(_Run):
    """A run of `Reranker`: the caller's thread takes requests and gives results, threads of the run make the calls.

    A gate that is passed in has a pace of its own, which other runs may share.
    """

    def __init__(
        self, shell: Shell, requests: Iterable[Requestable], *, gate: Gate | None = None, **options: Any
    ) -> None:
        super().__init__(shell, requests, **options)
        self._source = iter(requests)
        self._gate = gate or _Gate(self.pace)
        self._tasks: SimpleQueue[tuple[int, Request] | None] = SimpleQueue()
        self._news: SimpleQueue[tuple[int, Result | None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._stopping = False
        self._connections: Any = None
        self.keep: Callable[[Result], None] | None = None

    def results(self) -> Generator[Result]:
        """The results; the run begins with the first one that is asked for, and has ended when the generator is closed."""
        self._connections = self._shell.connections.apart(self.concurrency)
        try:
            while not self.over:
                # One is taken for each that is given, and more only where there is nothing to give.
                if self.room:
                    self._take()
                elif not self.ready:
                    self._hear(self._news.get())
                self._catch_up()
                if self.ready:
                    result = self.give()
                    yield result
                    if self.ends_with(result):
                        return
            if self.broken is not None:
                raise self.broken
        finally:
            self._stop()

    def drain(self) -> None:
        """Start nothing more; may be called from a signal's handler."""
        self.draining = True
        self._gate.close(at_once=False)
        self._news.put(None)

    def _take(self) -> None:
        try:
            self._shell.refuse_if_closed()
            given = next(self._source)
        except StopIteration:
            self.exhausted()
            return
        except Exception as error:  # noqa: BLE001 - the caller's; it is raised again when what was begun has ended
            self.exhausted(error)
            return
        index, request = self.take(given)
        if isinstance(request, Result):
            self.came(index, request)
            return
        self._tasks.put((index, request))
        # The first ones get a worker each; they are enough for the rest.
        if index < self.concurrency:
            self._hire()

    def _hear(self, news: tuple[int, Result | None] | None) -> None:
        if news is not None:
            self.came(*news)

    def _catch_up(self) -> None:
        try:
            while True:
                self._hear(self._news.get_nowait())
        except Empty:
            pass
        if self.draining:
            self._gate.close(at_once=False)
            try:
                while task := self._tasks.get_nowait():
                    self.came(task[0], None)
            except Empty:
                pass

    def _hire(self) -> None:
        with self._lock:
            if self.short and not self._stopping:
                self._workers += 1
                thread = threading.Thread(target=self._work, name="rerank-many", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        turn = _Turn()
        patience = self.patience(turn, self._gate.refused)
        shell = self._shell.apart(_Paced(self._connections, self._gate, turn), patience, self._sleep)
        try:
            while task := self._tasks.get():
                index, request = task
                try:
                    result = self._call(shell, turn, index, request)
                except _Dropped:
                    self._news.put((index, None))
                    continue
                if self._stopping and not result.ok:
                    return  # it failed as its connection was cut
                if self.is_the_end(result):  # before the other workers begin what they have
                    self.drain()
                if self.keep is not None:
                    self._keep(self.keep, result)
                self._news.put((index, result))
        except _Stopped:
            pass

    def _keep(self, keep: Callable[[Result], None], result: Result) -> None:
        try:
            keep(result)
        except Exception as error:  # noqa: BLE001 - the caller's; it is raised again when what was begun has ended
            self.exhausted(error)
            self.drain()

    def _call(self, shell: Any, turn: _Turn, index: int, request: Request) -> Result:
        turn.held.append(cast(int, self._gate.enter(begun=False)))
        turn.refusals = 0
        try:
            ranking = shell.rerank(request.query, request.documents, **_arguments(request))
        except Exception as error:  # noqa: BLE001 - the caller's own iterables and keys raise what they like
            return Result(index, request, error=error)
        finally:
            if turn.held:
                turn.held.clear()
                self._gate.unused()
        return Result(index, request, ranking)

    def _sleep(self, seconds: float) -> None:
        with self._lock:
            self._waiting += 1
        self._hire()
        try:
            self._gate.pause(seconds)
        finally:
            with self._lock:
                self._waiting -= 1

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
        self._gate.close(at_once=True)
        if self.under_way:
            self._connections.cut()
        try:
            while self._tasks.get_nowait():
                pass
        except Empty:
            pass
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        if self._connections is not self._shell.connections:
            self._connections.close()


class Results(Iterator[Result]):
    """The results of `Reranker.rerank_many`. Leaving the loop ends the run, as `close` does."""

    def __init__(self, run: Threads) -> None:
        self._run = run
        self._results = run.results()

    def __next__(self) -> Result:
        return next(self._results)

    def drain(self) -> None:
        """Start nothing more: the results of what is under way come still. A signal's handler may call it."""
        self._run.drain()

    def keep(self, keep: Callable[[Result], None]) -> None:
        """Have each result of a call kept by this function, in the thread that made the call and before it makes another.

        So what was paid and is not kept is never more than what is under way, however slow the loop over the results is.
        What it raises ends the run.
        """
        self._run.keep = keep

    def close(self) -> None:
        """End the run at once; what is under way is given up, though the server may bill it."""
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


# --------------------------------------------------------------------------------------------------------------- tasks


class _Place:
    """A task's place in the line."""

    def __init__(self, begun: bool, number: int) -> None:  # noqa: FBT001 - they are what it sorts by
        self.rank = (not begun, number)
        self.event = anyio.Event()

    def __lt__(self, other: _Place) -> bool:
        return self.rank < other.rank


class AsyncGate:
    """Where tasks wait for their turn to send."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._line: list[_Place] = []
        self._numbers = count()
        self._draining = False

    async def enter(self, *, begun: bool) -> int:
        """Wait for one's turn; calls that have begun come first. The round of it is returned.

        Raises:
            _Dropped: It will not come.
        """
        if self._draining and not begun:
            raise _Dropped
        now = monotonic()
        if not self._line and self._pace.wait(now) == 0:
            return self._pace.start(now)
        place = _Place(begun, next(self._numbers))
        insort(self._line, place)
        try:
            while True:
                if self._draining and not begun:
                    raise _Dropped
                seconds = None
                if self._line[0] is place:
                    now = monotonic()
                    seconds = self._pace.wait(now)
                    if seconds == 0:
                        return self._pace.start(now)
                place.event = anyio.Event()
                with anyio.move_on_after(seconds):
                    await place.event.wait()
        finally:
            self._line.remove(place)
            self._wake()

    def leave(self, *, answered: bool) -> None:
        """A request ended."""
        self._pace.ended(answered=answered)
        self._wake()

    def unused(self) -> None:
        """A turn was not needed."""
        self._pace.unused()
        self._wake()

    def refused(self, round_: int, retry_after: float | None) -> float:
        """The server refused a request of that round; the seconds for which all wait."""
        return self._pace.refused(round_, monotonic(), retry_after)

    def drain(self) -> None:
        """Let in none that has not begun."""
        self._draining = True
        for place in self._line:
            place.event.set()

    def _wake(self) -> None:
        if self._line:
            self._line[0].event.set()


class _AsyncPaced:
    """The connections of one worker, which wait for their turn."""

    def __init__(self, connections: Any, gate: AsyncGate, turn: _Turn) -> None:
        self._connections = connections
        self._gate = gate
        self._turn = turn

    async def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        turn = self._turn
        if turn.held:
            turn.round = turn.held.pop()
        else:
            end = monotonic() + step.timeout
            with anyio.move_on_after(step.timeout) as scope:
                turn.round = await self._gate.enter(begun=True)
            if scope.cancelled_caught:
                return _LATE
            step = step._replace(timeout=max(end - monotonic(), 0.001))
        answered = False
        try:
            outcome: Outcome = await self._connections.send(step)
            answered = isinstance(outcome, Answer) and outcome.status == 200
            return outcome
        finally:
            self._gate.leave(answered=answered)


class Tasks(_Run):
    """A run of `AsyncReranker`: its tasks take requests and make the calls, the caller's task gets the results.

    The tasks are children of one that has no parent. A task group of the caller's, open while the generator waits between
    two results, would have to be left in the task and in the order in which it was entered, and no `async for` promises that.
    """

    def __init__(
        self,
        shell: Shell,
        requests: Iterable[Requestable] | AsyncIterable[Requestable],
        **options: Any,
    ) -> None:
        super().__init__(shell, requests, **options)
        is_async = hasattr(requests, "__aiter__")
        self._next = aiter(cast(AsyncIterable[Requestable], requests)).__anext__ if is_async else None
        self._source = None if is_async else iter(cast(Iterable[Requestable], requests))
        self._gate = AsyncGate(self.pace)

    async def results(self) -> AsyncGenerator[Result]:
        """The results; the run begins with the first one that is asked for, and has ended when the generator is closed."""
        self._news, self._given, self._ended = anyio.Event(), anyio.Event(), anyio.Event()
        # Each request is taken by one worker, and one alone waits for room.
        self._taking = anyio.Lock(fast_acquire=True)
        self._scope = anyio.CancelScope()
        self._task = _spawn(self._supervise)
        try:
            while not self.over:
                while not self.ready and not self.over:
                    self._news = anyio.Event()
                    await self._news.wait()
                if self.ready:
                    result = self.give()
                    self._given.set()
                    yield result
                    if self.ends_with(result):
                        return
            if self.broken is not None:
                raise self.broken
        finally:
            self._scope.cancel()
            with anyio.CancelScope(shield=True):
                await self._ended.wait()

    def drain(self) -> None:
        """Start nothing more."""
        self.draining = True
        self._gate.drain()
        self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._given.set()

    async def _supervise(self) -> None:
        self._connections: Any = self._shell.connections.apart(self.concurrency)
        try:
            with self._scope:
                async with anyio.create_task_group() as self._group:
                    for _ in range(self.concurrency):
                        self._hire()
        except Exception as error:  # noqa: BLE001 - a bug of ours: the caller gets it, and no event loop's log
            self.exhausted(error)
            self._gone = self._taken
        finally:
            with anyio.CancelScope(shield=True):
                if self._connections is not self._shell.connections:
                    await self._connections.close()
            self._ended.set()
            self._tell()

    def _hire(self) -> None:
        if self.short:
            self._workers += 1
            self._group.start_soon(self._work)

    async def _work(self) -> None:
        turn = _Turn()
        patience = self.patience(turn, self._gate.refused)
        shell = self._shell.apart(_AsyncPaced(self._connections, self._gate, turn), patience, self._sleep)
        while taken := await self._take():
            index, request = taken
            if isinstance(request, Result):
                result: Result | None = request
            else:
                try:
                    result = await self._call(shell, turn, index, request)
                except _Dropped:
                    result = None
            self.came(index, result)
            if self.draining:
                self.drain()
            self._news.set()

    async def _take(self) -> tuple[int, Request | Result] | None:
        async with self._taking:
            while not self.room:
                if self.draining or not self._more:
                    return None
                self._given = anyio.Event()
                await self._given.wait()
            try:
                self._shell.refuse_if_closed()
                given = await self._next() if self._next else next(cast(Iterator[Requestable], self._source))
            except (StopIteration, StopAsyncIteration):
                self.exhausted()
            except Exception as error:  # noqa: BLE001 - the caller's; it is raised again when what was begun has ended
                self.exhausted(error)
            else:
                return self.take(given)
        self._tell()
        return None

    async def _call(self, shell: Any, turn: _Turn, index: int, request: Request) -> Result:
        turn.held.append(await self._gate.enter(begun=False))
        turn.refusals = 0
        try:
            ranking = await shell.rerank(request.query, request.documents, **_arguments(request))
        except Exception as error:  # noqa: BLE001 - the caller's own iterables and keys raise what they like
            return Result(index, request, error=error)
        finally:
            if turn.held:
                turn.held.clear()
                self._gate.unused()
        return Result(index, request, ranking)

    async def _sleep(self, seconds: float) -> None:
        self._waiting += 1
        self._hire()
        try:
            await anyio.sleep(seconds)
        finally:
            self._waiting -= 1


class AsyncResults(AsyncIterator[Result]):
    """The results of `AsyncReranker.rerank_many`. To leave the loop early, use it in `async with`, or `aclose` it."""

    def __init__(self, run: Tasks) -> None:
        self._run = run
        self._results = run.results()

    async def __anext__(self) -> Result:
        return await anext(self._results)

    def drain(self) -> None:
        """Start nothing more: the results of what is under way come still."""
        self._run.drain()

    async def aclose(self) -> None:
        """End the run at once; what is under way is given up, though the server may bill it."""
        await self._results.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """A task with no parent, of the event loop that runs; what is returned keeps it alive."""
    if current_async_library() == "trio":
        import trio  # noqa: PLC0415 - it runs already

        return trio.lowlevel.spawn_system_task(work)
    import asyncio  # noqa: PLC0415 - likewise

    return asyncio.get_running_loop().create_task(work())
