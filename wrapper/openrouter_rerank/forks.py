"""Make objects that a process had before `os.fork` safe to use in the child."""

from __future__ import annotations

import os
from importlib import import_module
from threading import local
from time import monotonic
from typing import Any, Protocol
from weakref import ref

# A lock that is not free by then is held by something that waits for this fork, or that forked while it held the lock.
_PATIENCE = 1.0
# The modules that calls import when they first need them.
_OF_CALLS = ("large", "order", "tasks", "threads", "together")


class Inherited(Protocol):
    """An object with a lock, which a child would copy as it is: held by a thread that the child does not have."""

    @property
    def _lock(self) -> Any:
        """The `Lock` or `RLock` that guards the object; it is held during the fork, so that the copy is consistent."""

    def _after_fork(self) -> None:
        """Replace the lock, and drop what belongs to the parent. Called in the child, in its only thread."""


# Weak references. Not a WeakSet: copying one fails if another thread adds to it meanwhile, and its fork goes on unprepared.
_inherited: set[ref[Any]] = set()
_held = local()


def register(item: Inherited) -> None:
    """Prepare the object for forks, for as long as it lives."""
    _inherited.add(ref(item, _inherited.discard))


def _items() -> list[Any]:
    # Copied in one step, as other threads add and remove objects; in one order, as two threads may fork at once.
    items = [item for reference in _inherited.copy() if (item := reference()) is not None]
    return sorted(items, key=id)


def _before() -> None:
    # Each is noted at once, as Ctrl-C may end this: the child is made safe even then.
    held: list[Any] = []
    _held.locks = held
    # A module that another thread imports during the fork would stay locked in the child. So wait for those of calls.
    for name in _OF_CALLS if _inherited else ():
        import_module(f"openrouter_rerank.bulk.{name}")
    end = monotonic() + _PATIENCE
    for item in _items():
        lock = item._lock  # noqa: SLF001 - as the protocol says
        if lock.acquire(timeout=max(end - monotonic(), 0)):
            held.append(lock)


def _release() -> None:
    for lock in _held.locks:
        lock.release()
    _held.locks = []


def _in_child() -> None:
    # A call that goes on in the child, as the thread that made it forked, may still use the old lock.
    _release()
    for item in _items():
        item._after_fork()  # noqa: SLF001 - as the protocol says


# Windows has no fork, and nothing to register.
getattr(os, "register_at_fork", dict)(before=_before, after_in_parent=_release, after_in_child=_in_child)
