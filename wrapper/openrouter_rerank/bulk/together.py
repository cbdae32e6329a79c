"""Run several calls at the same time, in threads or in tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextvars import copy_context
from threading import Lock, Thread
from typing import Any

from openrouter_rerank.errors import RerankError
from openrouter_rerank.operations import BackOff, Parallel, Send, Step, Wait

# Seconds after which a waiting thread looks whether another call has failed.
_POLL = 0.1


class _PartsRun:
    """The state that the workers of one `Parallel` share."""

    def __init__(self, step: Parallel) -> None:
        self.outcomes: list[Any] = [None] * len(step.calls)
        self.errors: list[BaseException] = []
        self.ended = False
        self._left = iter(list(enumerate(step.calls)))
        self._lock = Lock()

    def next(self) -> tuple[int, Generator[Step, Any, Any]] | None:
        with self._lock:
            return None if self.ended else next(self._left, None)

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)
        self.ended = True

    def answer(self) -> object:
        """Return the outcomes, or the first RerankError, after which the asking call may go on; raise any other error."""
        if not self.errors:
            return self.outcomes
        if isinstance(self.errors[0], RerankError):
            return self.errors[0]
        raise self.errors[0]


def in_threads(do: Callable[[Step], object], step: Parallel) -> object:
    """Run the calls in threads and return the answer.

    After an error no further call begins, and each call in flight ends with its request. Ctrl-C in the main thread waits
    for none of them.
    """
    run = _PartsRun(step)

    def work() -> None:
        while (taken := run.next()) is not None:
            place, call = taken
            try:
                run.outcomes[place] = _until_ended(run, call, do)
            except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
                run.failed(error)

    workers = [
        # A daemon, so that the program need not wait for it after Ctrl-C.
        Thread(target=copy_context().run, args=(work,), name=f"rerank-{number}", daemon=True)
        for number in range(min(step.at_once, len(step.calls)))
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            while worker.is_alive():  # with a timeout, as an endless join ignores Ctrl-C on Windows
                worker.join(_POLL)
    finally:
        run.ended = True
    return run.answer()


def _until_ended(run: _PartsRun, call: Generator[Step, Any, Any], do: Callable[[Step], object]) -> object:
    step: Step | None = None
    outcome: object = None
    try:
        while not run.ended:
            step = call.send(outcome)
            if isinstance(step, Wait):
                outcome = None
                _wait(run, step.seconds, do)
            else:
                outcome = do(step)
        if isinstance(step, Send):  # the answer has been paid for
            step = call.send(outcome)
            if isinstance(step, BackOff):  # the other calls of a run need to know
                do(step)
    except StopIteration as done:
        return done.value
    finally:
        call.close()
    return None


def _wait(run: _PartsRun, seconds: float, do: Callable[[Step], object]) -> None:
    while seconds > 0 and not run.ended:
        do(Wait(min(seconds, _POLL)))
        seconds -= _POLL


async def in_tasks(do: Callable[[Generator[Step, Any, Any]], Awaitable[object]], step: Parallel) -> object:
    """Run the calls in tasks and return the answer. An error cancels the other calls."""
    import anyio  # noqa: PLC0415 - threads do without

    run = _PartsRun(step)
    async with anyio.create_task_group() as group:

        async def work() -> None:
            while (taken := run.next()) is not None:
                place, call = taken
                try:
                    run.outcomes[place] = await do(call)
                except Exception as error:  # noqa: BLE001 - it is raised in the caller's task
                    run.failed(error)
                    group.cancel_scope.cancel()

        for _ in range(min(step.at_once, len(step.calls))):
            group.start_soon(work)
    return run.answer()
