"""Make objects that a process had before `os.fork` safe to use in the child."""

from __future__ import annotations

import os
from threading import local
from time import monotonic
from typing import Any, Protocol
from weakref import WeakSet

# A lock that is not free by then is held by something that waits for this fork, or that forked while it held the lock.
_PATIENCE = 1.0


class Inherited(Protocol):
    """An object with a lock, which a child would copy as it is: held by a thread that the child does not have."""

    @property
    def _lock(self) -> Any:
        """The `Lock` or `RLock` that guards the object; it is held during the fork, so that the copy is consistent."""

    def _after_fork(self) -> None:
        """Replace the lock, and drop what belongs to the parent. Called in the child, in its only thread."""


_inherited: WeakSet[Any] = WeakSet()
_held = local()


def register(item: Inherited) -> None:
    """Prepare the object for forks, for as long as it lives."""
    _inherited.add(item)


def _before() -> None:
    end = monotonic() + _PATIENCE
    locks = [item._lock for item in list(_inherited)]  # noqa: SLF001 - as the protocol says
    _held.locks = [lock for lock in locks if lock.acquire(timeout=max(end - monotonic(), 0))]


def _release() -> None:
    for lock in _held.locks:
        lock.release()
    _held.locks = []


def _in_child() -> None:
    # A call that goes on in the child, as the thread that made it forked, may still use the old lock.
    _release()
    for item in list(_inherited):
        item._after_fork()  # noqa: SLF001 - as the protocol says


# Windows has no fork, and nothing to register.
getattr(os, "register_at_fork", dict)(before=_before, after_in_parent=_release, after_in_child=_in_child)
