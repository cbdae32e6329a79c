"""Run a function in a thread that does not keep the process from ending."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from threading import Thread
from typing import Any, TypeVar, TypeVarTuple, cast

import anyio
from anyio.to_thread import current_default_thread_limiter

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


async def run_abandonable(function: Callable[[*Ts], T], *args: *Ts) -> T:
    """Return what the function returns, from a worker thread that a cancelled caller leaves behind.

    The thread is a daemon, which those of `anyio.to_thread` are not: the end of the process does not wait for a scorer
    whose ranking nobody wants any more.
    """
    done = anyio.Event()
    call_soon = _call_soon()
    outcome: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(function(*args))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            errors.append(error)
        with suppress(RuntimeError):  # the event loop has ended meanwhile
            call_soon(done.set)

    async with current_default_thread_limiter():
        Thread(target=copy_context().run, args=(work,), name="rerank-reference", daemon=True).start()
        await done.wait()
    if errors:
        raise errors[0]
    return outcome[0]


def _call_soon() -> Callable[[Callable[[], None]], Any]:
    """Return what calls a function on the event loop that runs here, from any thread."""
    try:
        return asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        import trio  # noqa: PLC0415 - it is the event loop, so it is there

        return cast("Callable[[Callable[[], None]], Any]", trio.lowlevel.current_trio_token().run_sync_soon)
