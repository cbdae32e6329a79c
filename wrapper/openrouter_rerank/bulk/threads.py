"""Run many queries in threads, and iterate over their results."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import count
from math import inf
from os import getpid
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

from openrouter_rerank.bulk.many import RerankRequest, Result
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.run import NO_SLOT, CallDropped, Run, RunContext, RunStopped, WorkerState
from openrouter_rerank.bulk.together import in_threads
from openrouter_rerank.operations import Answer, BackOff, Outcome, Parallel, Send, Step, Wait

T = TypeVar("T")


class Gate(ABC):
    """Admits the requests of a run's threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._draining = self._stopped = False

    @abstractmethod
    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        """Wait for a slot and return its round, or None at the time `end`. Calls that have begun go first.

        Raises:
            CallDropped, RunStopped: The gate is closed.
        """

    @abstractmethod
    def leave(self, *, answered: bool) -> None:
        """Release the slot of a request that ended."""

    @abstractmethod
    def cancel(self) -> None:
        """Release a slot that was not used."""

    @abstractmethod
    def back_off(self, round_: int, retry_after: float | None) -> float:
        """Record that the server refused a request of this round; return the seconds for which all wait."""

    def wait(self, seconds: float) -> None:
        """Wait.

        Raises:
            RunStopped: The run was closed meanwhile.
        """
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped, seconds):
                raise RunStopped

    def close(self, *, at_once: bool) -> None:
        """Admit no call that has not begun; with `at_once`, nothing at all."""
        with self._changed:
            self._draining = True
            self._stopped = self._stopped or at_once
            self._changed.notify_all()

    def _raise_if_closed(self, *, begun: bool) -> None:
        if self._stopped:
            raise RunStopped
        if self._draining and not begun:
            raise CallDropped


class _LocalGate(Gate):
    """The gate of a single run."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace
        self._queue: list[tuple[bool, int]] = []
        self._numbers = count()

    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        with self._changed:
            place = (not begun, next(self._numbers))
            insort(self._queue, place)
            try:
                while True:
                    self._raise_if_closed(begun=begun)
                    now = monotonic()
                    if now >= end:
                        return None
                    seconds = self._pace.delay(now) if self._queue[0] == place else None
                    if seconds == 0:
                        return self._pace.start(now)
                    until = min(inf if seconds is None else seconds, end - now)
                    self._changed.wait(None if until == inf else until)
            finally:
                self._queue.remove(place)
                if self._queue:
                    self._changed.notify_all()

    def leave(self, *, answered: bool) -> None:
        with self._changed:
            self._pace.end(answered=answered)
            if self._queue:
                self._changed.notify_all()

    def cancel(self) -> None:
        with self._changed:
            self._pace.cancel()
            if self._queue:
                self._changed.notify_all()

    def back_off(self, round_: int, retry_after: float | None) -> float:
        with self._changed:
            return self._pace.back_off(round_, monotonic(), retry_after)


class Threads(Run):
    """A run of `Reranker`: the caller's thread takes requests and returns results; the run's threads make the calls.

    Args:
        gate: A gate with its own pace, which several runs may share; by default, a new one.
    """

    def __init__(
        self, context: RunContext, requests: Iterable[Any], *, gate: Gate | None = None, **options: Any
    ) -> None:
        super().__init__(context, requests, **options)
        self._source = iter(requests)
        self._gate = gate or _LocalGate(self.pace)
        self._tasks: SimpleQueue[tuple[int, RerankRequest[Any]] | None] = SimpleQueue()
        self._messages: SimpleQueue[tuple[int, Result[Any] | None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        # Held from taking a request until its call has begun, so that calls begin in order. If the run ends early, every
        # request before a sent one was sent too.
        self._beginning = threading.Lock()
        self._stopping = False
        self._connections: Any = None
        self.save: Callable[[Result[Any]], None] | None = None

    def results(self) -> Generator[Result[Any]]:
        """Yield the results. The run begins when the first one is requested, and has ended when the generator is closed."""
        self._process = getpid()
        self._connections = self._context.connections.separate(self.concurrency)
        try:
            while not self.finished:
                # Take one request for each result that is returned, and more only if no result is ready.
                if self.can_take_more:
                    self._take()
                elif not self.ready:
                    self._on_message(self._messages.get())
                self._catch_up()
                if self.ready:
                    result = self.next_result()
                    yield result
                    if self.ends_with(result):
                        return
            if self.broken is not None:
                raise self.broken
        finally:
            if not self.inherited:
                self._stop()

    def drain(self) -> None:
        """Start no more calls. A signal handler may call this."""
        if self.inherited:
            return
        self.draining = True
        self._gate.close(at_once=False)
        self._messages.put(None)

    def _take(self) -> None:
        try:
            self._context.refuse_if_closed()
            given = next(self._source)
        except StopIteration:
            self.stop_taking()
            return
        except Exception as error:  # noqa: BLE001 - the caller's error, raised again after the calls in flight
            self.stop_taking(error)
            return
        index, request = self.take(given)
        if isinstance(request, Result):
            self.on_result(index, request)
            return
        self._tasks.put((index, request))
        # The first requests get a worker each; these workers make the other calls too.
        if index < self.concurrency:
            self._add_worker()

    def _on_message(self, message: tuple[int, Result[Any] | None] | None) -> None:
        if message is not None:
            self.on_result(*message)

    def _catch_up(self) -> None:
        try:
            while True:
                self._on_message(self._messages.get_nowait())
        except Empty:
            pass
        if self.draining:
            self._gate.close(at_once=False)
            try:
                while task := self._tasks.get_nowait():
                    self.on_result(task[0], None)
            except Empty:
                pass

    def _add_worker(self) -> None:
        with self._lock:
            if self.needs_worker and not self._stopping:
                self._workers += 1
                thread = threading.Thread(
                    target=self._variables.copy().run, args=(self._work,), name="rerank-many", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        worker = _ThreadWorker(self._context, self._connections, self._gate, self._wait)
        while (begun := self._begin(worker)) is not None:
            index, request = begun
            result: Result[Any] | None = None
            try:
                result = worker.call(index, request)
                if self._stopping and not result.ok:
                    return  # it failed as its connection was cut
                if self.is_last(result):  # before the other workers begin their calls
                    self.drain()
                if self.save is not None:
                    self.save(result)
            except RunStopped:
                return
            except BaseException as error:  # noqa: BLE001 - the caller's error, raised again after the calls in flight
                self._abort(error)
            self._messages.put((index, result))

    def _begin(self, worker: _ThreadWorker) -> tuple[int, RerankRequest[Any]] | None:
        """Return the next request once it may be sent; None when the run has no more."""
        with self._beginning:
            while task := self._tasks.get():
                try:
                    worker.begin()
                except CallDropped:
                    self._messages.put((task[0], None))
                except RunStopped:
                    return None
                except BaseException as error:  # noqa: BLE001 - the gate's error, raised after the calls in flight
                    self._abort(error)
                    self._messages.put((task[0], None))
                else:
                    return task
            return None

    def _abort(self, error: BaseException) -> None:
        self.stop_taking(error)
        self.drain()

    def _wait(self, seconds: float) -> None:
        """Wait to retry, while another worker takes the place of this one."""
        with self._lock:
            self._waiting += 1
        self._add_worker()
        try:
            self._gate.wait(seconds)
        finally:
            with self._lock:
                self._waiting -= 1

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
        self._gate.close(at_once=True)
        if self.in_flight:
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
        if self._connections is not self._context.connections:
            self._connections.close()


class _ThreadWorker:
    """The calls of one thread, whose requests pass the gate."""

    def __init__(
        self, context: RunContext, connections: Any, gate: Gate, wait: Callable[[float], None]
    ) -> None:
        self._context = context
        self._connections = connections
        self._gate = gate
        self._wait = wait
        self._state = WorkerState()

    def begin(self) -> None:
        """Acquire the slot of the next call's first request."""
        self._state.held.append(cast(int, self._gate.enter(begun=False)))

    def call(self, index: int, request: RerankRequest[T]) -> Result[T]:
        """Make a call and return its result."""
        try:
            ranking = self._context.run(self._context.prepare(request), self._perform)
        except Exception as error:  # noqa: BLE001 - the caller's iterables and keys may raise anything
            return Result(index, request, error=error)
        finally:
            if self._state.held:
                self._state.held.clear()
                self._gate.cancel()
        return Result(index, request, ranking)

    def _perform(self, step: Step) -> object:
        match step:
            case Send():
                return self._send(step)
            case Wait():
                self._wait(step.seconds)
                return None
            case BackOff():
                return self._gate.back_off(self._state.round, step.retry_after)
            case Parallel():
                return in_threads(self._perform, step)
            case _:
                return self._context.perform(step)

    def _send(self, step: Send) -> Outcome:
        state = self._state
        try:
            state.round = state.held.pop()
        except IndexError:
            end = monotonic() + step.timeout
            round_ = self._gate.enter(begun=True, end=end)
            if round_ is None:
                return NO_SLOT
            state.round = round_
            step = step._replace(timeout=max(end - monotonic(), 0.001))
        answered = False
        try:
            outcome: Outcome = self._connections.send(step)
            answered = isinstance(outcome, Answer) and outcome.status == 200
            return outcome
        finally:
            self._gate.leave(answered=answered)


class Results(Iterator[Result[T]], Generic[T]):
    """The results of `Reranker.rerank_many`. Leaving the loop ends the run, as `close` does.

    If you keep the iterator in a variable, close it or use it in `with`: leaving the loop then does not end the run.
    """

    def __init__(self, run: Threads) -> None:
        self._run = run
        self._results = run.results()

    def __next__(self) -> Result[T]:
        self._run.refuse_if_inherited()
        return next(self._results)

    def drain(self) -> None:
        """Start no more calls; results of calls in flight still arrive. A signal handler may call this."""
        self._run.drain()

    def keep(self, keep: Callable[[Result[T]], None]) -> None:
        """Pass each result to a function, in the thread that made the call, before its next call.

        Only calls in flight can be paid for but not saved, even if the loop over the results is slow. An error of the
        function ends the run.
        """
        self._run.save = keep

    def close(self) -> None:
        """End the run at once. Calls in flight are cancelled, though the server may bill them."""
        self._results.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
