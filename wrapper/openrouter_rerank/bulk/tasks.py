"""A run of many queries in the tasks of an event loop: they follow what run.py and pace.py decide."""

from __future__ import annotations

from bisect import insort
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine, Iterable, Iterator
from contextvars import copy_context
from itertools import count
from os import getpid
from time import monotonic
from typing import Any, cast

import anyio
from sniffio import current_async_library

from openrouter_rerank.bulk.many import Requestable, RerankRequest, Result
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.run import LATE, Dropped, Run, Shell, Turn
from openrouter_rerank.operations import Answer, Outcome, Send


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
            Dropped: It will not come.
        """
        if self._draining and not begun:
            raise Dropped
        now = monotonic()
        if not self._line and self._pace.wait(now) == 0:
            return self._pace.start(now)
        place = _Place(begun, next(self._numbers))
        insort(self._line, place)
        try:
            while True:
                if self._draining and not begun:
                    raise Dropped
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

    inherited = False
    """A run refuses to go on in a forked process."""

    def __init__(self, connections: Any, gate: AsyncGate, turn: Turn) -> None:
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
                return LATE
            step = step._replace(timeout=max(end - monotonic(), 0.001))
        answered = False
        try:
            outcome: Outcome = await self._connections.send(step)
            answered = isinstance(outcome, Answer) and outcome.status == 200
            return outcome
        finally:
            self._gate.leave(answered=answered)


class Tasks(Run):
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
        self._process = getpid()
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
            if not self.inherited:
                self._scope.cancel()
                with anyio.CancelScope(shield=True):
                    await self._ended.wait()

    def drain(self) -> None:
        """Start nothing more."""
        if self.inherited:
            return
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
            # Not in the context of the call that waits, in whose place it comes.
            self._context.run(self._group.start_soon, self._work)

    async def _work(self) -> None:
        turn = Turn()
        patience = self.patience(turn, self._gate.refused)
        shell = self._shell.apart(_AsyncPaced(self._connections, self._gate, turn), patience, self._sleep)
        while taken := await self._take():
            index, request = taken
            if isinstance(request, Result):
                result: Result | None = request
            else:
                result = None
                try:
                    result = await self._call(shell, turn, index, request)
                except Dropped:
                    pass
                except BaseException as error:  # noqa: BLE001 - what no result can carry
                    self._broke(error)
            self.came(index, result)
            if self.draining:
                self.drain()
            self._news.set()

    async def _take(self) -> tuple[int, RerankRequest | Result] | None:
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
            except BaseException as error:  # noqa: BLE001 - the caller's
                self._broke(error)
            else:
                return self.take(given)
        self._tell()
        return None

    def _broke(self, error: BaseException) -> None:
        """The caller's own code raised; it is raised again when what was begun has ended. The run's end is no such error."""
        if self._scope.cancel_called:
            raise error
        self.exhausted(error)
        if not isinstance(error, Exception):
            self.draining = True

    async def _call(self, shell: Any, turn: Turn, index: int, request: RerankRequest) -> Result:
        turn.held.append(await self._gate.enter(begun=False))
        try:
            ranking = await shell.rerank(request.query, request.documents, **request.arguments)
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


def _spawn(work: Callable[[], Coroutine[Any, Any, None]]) -> object:
    """A task with no parent, of the event loop that runs; what is returned keeps it alive."""
    if current_async_library() == "trio":
        import trio  # noqa: PLC0415 - it runs already

        return trio.lowlevel.spawn_system_task(work, context=copy_context())
    import asyncio  # noqa: PLC0415 - likewise

    return asyncio.get_running_loop().create_task(work())
