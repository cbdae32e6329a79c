"""The number of requests in flight, adapted to what a server bears."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_FIRST_RUN = 8
"""Answers after which the limit grows by one."""


@dataclass
class RequestPace:
    """A limit of requests in flight: halved by a refusal, raised by one after a run of answers."""

    most: int
    limit: int = field(init=False)
    halvings: int = 0
    """The number of times that the limit was halved: refusals of requests sent before the last time do not count."""

    def __post_init__(self) -> None:
        """Begin with the highest limit."""
        self.limit = self.most
        self._run = _FIRST_RUN
        self._answered = 0
        self._grew = False

    def answer(self) -> None:
        """Count an answer; raise the limit at the end of a run."""
        self._answered += 1
        if self.limit < self.most and self._answered >= self._run:
            self.limit += 1
            self._answered = 0
            self._grew = True

    def refuse(self, halvings: int) -> None:
        """Halve the limit for a refusal of a request that was sent after so many halvings."""
        self._answered = 0
        if halvings < self.halvings:
            return
        self.halvings += 1
        self.limit = max(1, self.limit // 2)
        # a limit that was grown and is too high again is tried half as often
        self._run *= 2 if self._grew else 1
        self._grew = False


@dataclass(eq=False)
class Turn:
    """The permission to send one request."""

    alone: bool
    halvings: int = 0
    crowded: bool = False
    """True if another request was in flight at the same time."""


class RequestGate:
    """Let requests in, at most as many at a time as the pace allows, and some alone."""

    def __init__(self, pace: RequestPace) -> None:
        self.pace = pace
        self._inside: set[Turn] = set()
        self._waiting: deque[tuple[Turn, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def turn(self, *, alone: bool = False) -> AsyncGenerator[Turn]:
        """Wait for a turn, and hold it; with `alone`, before all that wait and while no other request is in flight."""
        turn, admitted = Turn(alone), asyncio.get_running_loop().create_future()
        if alone:
            self._waiting.appendleft((turn, admitted))
        else:
            self._waiting.append((turn, admitted))
        self._admit()
        try:
            await admitted
            yield turn
        finally:
            self._inside.discard(turn)
            self._admit()

    def _admit(self) -> None:
        while self._waiting:
            turn, admitted = self._waiting[0]
            if not admitted.cancelled():
                if not self._has_room(turn):
                    return
                others = self._inside
                turn.crowded = bool(others)
                for other in others:
                    other.crowded = True
                turn.halvings = self.pace.halvings
                others.add(turn)
                admitted.set_result(None)
            self._waiting.popleft()

    def _has_room(self, turn: Turn) -> bool:
        if any(other.alone for other in self._inside):
            return False
        return not self._inside if turn.alone else len(self._inside) < self.pace.limit
