"""Run many queries in the tasks of an event loop, and iterate over their results."""

from __future__ import annotations

from bisect import insort
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextvars import copy_context
from itertools import count
from os import getpid
from time import monotonic
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio
from sniffio import current_async_library

from openrouter_rerank.bulk.many import RerankRequest, Result
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.run import NO_SLOT, CallDropped, Run, RunContext, WorkerState
from openrouter_rerank.bulk.together import in_tasks
from openrouter_rerank.operations import Answer, BackOff, Outcome, Parallel, Send, Step, Wait

T = TypeVar("T")


class _Place:
    """A task's place in the queue."""

    def __init__(self, begun: bool, number: int) -> None:  # noqa: FBT001 - they are the sort key
        self.rank = (not begun, number)
        self.event = anyio.Event()

    def __lt__(self, other: _Place) -> bool:
        return self.rank < other.rank


class AsyncGate:
    """Admits the requests of a run's tasks."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._queue: list[_Place] = []
        self._numbers = count()
        self._draining = False

    async def enter(self, *, begun: bool) -> int:
        """Wait for a slot and return its round. Calls that have begun go first.

        Raises:
            CallDropped: The gate is draining.
        """
        if self._draining and not begun:
            raise CallDropped
        now = monotonic()
        if not self._queue and self._pace.delay(now) == 0:
            return self._pace.start(now)
        place = _Place(begun, next(self._numbers))
        insort(self._queue, place)
        try:
            while True:
                if self._draining and not begun:
                    raise CallDropped
                seconds = None
                if self._queue[0] is place:
                    now = monotonic()
                    seconds = self._pace.delay(now)
                    if seconds == 0:
                        return self._pace.start(now)
                place.event = anyio.Event()
                with anyio.move_on_after(seconds):
                    await place.event.wait()
        finally:
            self._queue.remove(place)
            self._wake()

    def leave(self, *, answered: bool) -> None:
        """Release the slot of a request that ended."""
        self._pace.end(answered=answered)
        self._wake()

    def cancel(self) -> None:
        """Release a slot that was not used."""
        self._pace.cancel()
        self._wake()

    def back_off(self, round_: int, retry_after: float | None) -> float:
        """Record that the server refused a request of this round; return the seconds for which all wait."""
        return self._pace.back_off(round_, monotonic(), retry_after)

    def drain(self) -> None:
        """Admit no call that has not begun."""
        self._draining = True
        for place in self._queue:
            place.event.set()

    def _wake(self) -> None:
        if self._queue:
            self._queue[0].event.set()


class Tasks(Run):
    """A run of `AsyncReranker`: its tasks take requests and make the calls; the caller's task gets the results.

    These tasks are children of one supervising task, not of the caller's. A task group in the generator would be open between two
    results, and would have to be closed in the same task and in the right order, which `async for` does not guarantee.
    """

    def __init__(
        self, context: RunContext, requests: Iterable[Any] | AsyncIterable[Any], **options: Any
    ) -> None:
        super().__init__(context, requests, **options)
        is_async = hasattr(requests, "__aiter__")
        self._next = aiter(cast(AsyncIterable[Any], requests)).__anext__ if is_async else None
        self._source = None if is_async else iter(cast(Iterable[Any], requests))
        self._gate = AsyncGate(self.pace)

    async def results(self) -> AsyncGenerator[Result[Any]]:
        """Yield the results. The run begins when the first one is requested, and has ended when the generator is closed."""
        self._process = getpid()
        self._arrived, self._given, self._ended = anyio.Event(), anyio.Event(), anyio.Event()
        # One worker at a time takes a request, or waits until it may take one.
        self._taking = anyio.Lock(fast_acquire=True)
        self._scope = anyio.CancelScope()
        self._task = _spawn(self._supervise)
        try:
            while not self.finished:
                while not self.ready and not self.finished:
                    self._arrived = anyio.Event()
                    await self._arrived.wait()
                if self.ready:
                    result = self.next_result()
                    self._given.set()
                    yield result
                    if self.ends_with(result):
                        return
            if self.broken is not None:
                raise self.broken
        finally:
            if not self.inherited:
                self._scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._ended.wait()

    def drain(self) -> None:
        """Start no more calls."""
        if self.inherited:
            return
        self.draining = True
        self._gate.drain()
        self._notify()

    def _notify(self) -> None:
        self._arrived.set()
        self._given.set()

    async def _supervise(self) -> None:
        self._connections: Any = self._context.connections.separate(self.concurrency)
        try:
            with self._scope:
                async with anyio.create_task_group() as self._group:
                    for _ in range(self.concurrency):
                        self._add_worker()
        except Exception as error:  # noqa: BLE001 - a bug of ours is raised to the caller, not logged by the event loop
            self.stop_taking(error)
            self._gone = self._taken
        finally:
            with anyio.CancelScope(shield=True):
                if self._connections is not self._context.connections:
                    await self._connections.close()
            self._ended.set()
            self._notify()

    def _add_worker(self) -> None:
        if self.needs_worker:
            self._workers += 1
            # The context of the run, not of the waiting call that the worker replaces.
            self._variables.run(self._group.start_soon, self._work)

    async def _work(self) -> None:
        worker = _TaskWorker(self._context, self._connections, self._gate, self._wait)
        while taken := await self._take():
            index, request = taken
            if isinstance(request, Result):
                result: Result[Any] | None = request
            else:
                result = None
                try:
                    result = await worker.call(index, request)
                except CallDropped:
                    pass
                except BaseException as error:  # noqa: BLE001 - errors that a result cannot carry
                    self._abort(error)
            self.on_result(index, result)
            if self.draining:
                self.drain()
            self._arrived.set()

    async def _take(self) -> tuple[int, RerankRequest[Any] | Result[Any]] | None:
        async with self._taking:
            while not self.can_take_more:
                if self.draining or not self._more:
                    return None
                self._given = anyio.Event()
                await self._given.wait()
            try:
                self._context.refuse_if_closed()
                given = await self._next() if self._next else next(cast(Iterator[Any], self._source))
            except (StopIteration, StopAsyncIteration):
                self.stop_taking()
            except BaseException as error:  # noqa: BLE001 - the caller's error
                self._abort(error)
            else:
                return self.take(given)
        self._notify()
        return None

    def _abort(self, error: BaseException) -> None:
        """Keep an error of the caller's code until the calls in flight have ended; raise it at once in a cancelled run."""
        if self._scope.cancel_called:
            raise error
        self.stop_taking(error)
        if not isinstance(error, Exception):
            self.draining = True

    async def _wait(self, seconds: float) -> None:
        """Wait to retry, while another worker takes the place of this one."""
        self._waiting += 1
        self._add_worker()
        try:
            await anyio.sleep(seconds)
        finally:
            self._waiting -= 1


class _TaskWorker:
    """The calls of one task, whose requests pass the gate."""

    def __init__(
        self,
        context: RunContext,
        connections: Any,
        gate: AsyncGate,
        wait: Callable[[float], Awaitable[None]],
    ) -> None:
        self._context = context
        self._connections = connections
        self._gate = gate
        self._wait = wait
        self._state = WorkerState()

    async def call(self, index: int, request: RerankRequest[T]) -> Result[T]:
        """Make a call once it may begin, and return its result."""
        self._state.held.append(await self._gate.enter(begun=False))
        try:
            ranking = await self._run(self._context.prepare(request))
        except Exception as error:  # noqa: BLE001 - the caller's iterables and keys may raise anything
            return Result(index, request, error=error)
        finally:
            if self._state.held:
                self._state.held.clear()
                self._gate.cancel()
        return Result(index, request, ranking)

    async def _run(self, call: Generator[Step, Any, Any]) -> Any:
        return await self._context.run(call, self._perform)

    async def _perform(self, step: Step) -> object:
        match step:
            case Send():
                return await self._send(step)
            case Wait():
                await self._wait(step.seconds)
                return None
            case BackOff():
                return self._gate.back_off(self._state.round, step.retry_after)
            case Parallel():
                return await in_tasks(self._run, step)
            case _:
                return await self._context.perform(step)

    async def _send(self, step: Send) -> Outcome:
        state = self._state
        if state.held:
            state.round = state.held.pop()
        else:
            end = monotonic() + step.timeout
            with anyio.move_on_after(step.timeout) as scope:
                state.round = await self._gate.enter(begun=True)
            if scope.cancelled_caught:
                return NO_SLOT
            step = step._replace(timeout=max(end - monotonic(), 0.001))
        answered = False
        try:
            outcome: Outcome = await self._connections.send(step)
            answered = isinstance(outcome, Answer) and outcome.status == 200
            return outcome
        finally:
            self._gate.leave(answered=answered)


class AsyncResults(AsyncIterator[Result[T]], Generic[T]):
    """The results of `AsyncReranker.rerank_many`. To leave the loop early, use `async with` or call `aclose`."""

    def __init__(self, run: Tasks) -> None:
        self._run = run
        self._results = run.results()

    async def __anext__(self) -> Result[T]:
        self._run.refuse_if_inherited()
        return await anext(self._results)

    def drain(self) -> None:
        """Start no more calls; results of calls in flight still arrive."""
        self._run.drain()

    async def aclose(self) -> None:
        """End the run at once. Calls in flight are cancelled, though the server may bill them."""
        await self._results.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """Start a task with no parent in the running event loop; the returned object keeps it alive."""
    if current_async_library() == "trio":
        import trio  # noqa: PLC0415 - it runs already

        return trio.lowlevel.spawn_system_task(work, context=copy_context())
    import asyncio  # noqa: PLC0415 - likewise

    return asyncio.get_running_loop().create_task(work())
