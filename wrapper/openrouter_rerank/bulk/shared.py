"""Limits that runs in several processes share: one place decides, and each of them asks it before it sends.

`Limits` is that place. It runs on one event loop, and is reached through a `Door`; what engine there is behind a door it does
not know. A `Member` is what a process has of it: a gate for `rerank_many`'s threads, and a ledger. A member that dies gives
nothing back, so that what it held is taken from it: when its successor joins, and else when the time is up by which each
request and each call must have ended.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from math import inf
from time import monotonic
from typing import Any, Protocol, cast

import anyio
import msgspec

from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.tasks import AsyncGate
from openrouter_rerank.bulk.threads import Gate
from openrouter_rerank.errors import BudgetExceededError
from openrouter_rerank.ledger import Ledger, Totals
from openrouter_rerank.ranking import Usage
from openrouter_rerank.retries import Retries

# How long a question may wait for its answer before it is asked again: one that died while it waited is soon forgotten.
_PATIENCE = 2.0
# How often it is looked for what is overdue, in seconds.
_LOOK = 1.0
# A call without a deadline has to end some time.
_LONGEST = 3600.0


class Lost(RuntimeError):
    """The place that decides cannot be reached any more; nothing is sent without it."""


class Door(Protocol):
    """How a member reaches the limits."""

    def ask(self, what: str, *arguments: Any) -> Any:
        """What the method of that name of `Limits` returns.

        Raises:
            Lost: Nobody answers.
        """

    def tell(self, what: str, *arguments: Any) -> None:
        """The same without waiting for it. It may arrive after what is asked or told later."""


# ------------------------------------------------------------------------------------------------- the one that decides


class _Account(msgspec.Struct, eq=False):
    """What is known of one member. Its requests are alike: which of them ends does not matter."""

    model: str
    per_request: float
    """Seconds after which a request of it must have ended, and so on for a call."""
    per_call: float
    requests: deque[float] = msgspec.field(default_factory=deque[float])
    """When each request under way is overdue."""
    admitted: deque[object] = msgspec.field(default_factory=deque[object])
    """What was set aside for calls that may begin, and have not."""
    calls: dict[int, object] = msgspec.field(default_factory=dict[int, object])
    """What was set aside for calls under way, by the member's own names for them."""


class Limits:
    """How many requests may be under way, and when the next one may start; and what all of them may cost.

    Args:
        concurrency: How many requests may be under way at a time. There are fewer while the server refuses some.
        requests_per_minute: How many may start in a minute, evenly spaced; None for as many as there are.
        max_cost: US dollars that all calls together may cost, as far as the server says what they cost. Until one of them
            has said it, one is made at a time. None for no limit.
        retries: Their waits are those of a pause that the server gives no length to.
        slack: Seconds that a request or a call may take beyond its own time (images to read, a machine that is busy) until
            its member is taken to be dead.

    Raises:
        TypeError, ValueError: A number that no limit can be.
    """

    def __init__(
        self,
        concurrency: int,
        requests_per_minute: float | None = None,
        max_cost: float | None = None,
        retries: Retries = Retries(),  # noqa: B008 - a frozen value
        slack: float = 30.0,
    ) -> None:
        self._slack = slack
        self._gate = AsyncGate(Pace(concurrency, requests_per_minute, retries))
        self._limited = max_cost is not None
        self._ledger = Ledger(max_cost)
        self._members: list[_Account] = []
        self._newest: dict[str, int] = {}
        """The member that joined last of those of a name."""
        self._due: dict[object, float] = {}
        """What is set aside, and when the call that it is for is overdue."""
        self._end: Exception | None = None
        self._changed: anyio.Event | None = None
        self._looked = monotonic()

    async def join(
        self,
        name: str,
        model: str,
        timeout: float,  # noqa: ASYNC109 - that of its requests
        deadline: float | None,
    ) -> int:
        """The number of a member that begins; what one of this name had before is lost."""
        if name in self._newest:
            self._lose(self._members[self._newest[name]], inf)
        per_call = (_LONGEST if deadline is None else deadline) + self._slack
        self._members.append(_Account(model, timeout + self._slack, per_call))
        self._newest[name] = len(self._members) - 1
        return self._newest[name]

    async def enter(self, member: int, begun: bool, patience: float) -> int | Exception | None:  # noqa: FBT001 - by a door
        """The round of a request that may be sent now, or why no call may begin any more; None to ask again."""
        mine = self._members[member]
        self._look()
        with anyio.move_on_after(patience):
            if begun:
                round_ = await self._gate.enter(begun=True)
            elif self._end is not None:
                return self._end
            else:
                call = object()
                if self._limited:
                    refused = await self._set_aside(call, mine)
                    if refused is not None:
                        return refused
                try:
                    round_ = await self._gate.enter(begun=False)
                except BaseException:
                    self._release(call)
                    raise
                if self._end is not None:  # it came while this call waited
                    self._gate.unused()
                    self._release(call)
                    return self._end
                if self._limited:
                    mine.admitted.append(call)
            mine.requests.append(monotonic() + mine.per_request)
            return round_
        return None

    async def leave(self, member: int, answered: bool) -> None:  # noqa: FBT001 - by a door
        """A request ended, with a success or not."""
        if self._members[member].requests:  # else it was overdue
            self._members[member].requests.popleft()
            self._gate.leave(answered=answered)

    async def unused(self, member: int) -> None:
        """What was to be sent needed no request after all."""
        mine = self._members[member]
        if mine.requests:
            mine.requests.popleft()
            self._gate.unused()
        if mine.admitted:
            self._release(mine.admitted.popleft())

    async def refused(self, round_: int, retry_after: float | None) -> float:
        """The server said that a request of this round was too much: the seconds for which all wait."""
        return self._gate.refused(round_, retry_after)

    async def reserve(self, member: int, name: int, model: str) -> BudgetExceededError | None:
        """A call begins, and what it may cost is set aside; or why it may not."""
        mine = self._members[member]
        if mine.admitted:
            call = mine.admitted.popleft()
        else:  # the parts of a long list: each is a call, and all but the first come unannounced
            call = object()
            while self._ledger.cost_unknown and self._due:  # the part before has not said yet what one costs
                await self._change()
            try:
                self._ledger.reserve(call, model)
            except BudgetExceededError as error:
                return error
        mine.calls[name] = call
        self._due[call] = monotonic() + mine.per_call
        return None

    async def settle(  # noqa: PLR0913, PLR0917 - a line of a ledger, by a door
        self,
        member: int,
        name: int,
        model: str,
        tag: str | None,
        attempts: int,
        usage: Usage | None,
        unknown: bool,  # noqa: FBT001 - as above
    ) -> None:
        """A call ended, and this came of it."""
        call = self._members[member].calls.pop(name, None)
        self._ledger.settle(call, model, tag, attempts=attempts, usage=usage, unknown=unknown)
        self._release(call)

    async def remembered(self, model: str, tag: str | None) -> None:
        """A cache answered a call."""
        self._ledger.remembered(model, tag)

    async def end(self, error: Exception) -> None:
        """No call may begin any more, for this reason."""
        self._end = self._end or error

    async def totals(self) -> Totals:
        """What all calls of all members have come to so far."""
        return self._ledger.total

    async def _set_aside(self, call: object, mine: _Account) -> BudgetExceededError | None:
        """Set aside what a call may cost; where there is not enough, when those under way have said what they cost."""
        while True:
            alone = not self._due
            if alone or not self._ledger.cost_unknown:
                try:
                    self._ledger.reserve(call, mine.model)
                except BudgetExceededError as error:
                    if alone:
                        self._end = self._end or error
                        return error
                else:
                    self._due[call] = monotonic() + mine.per_call
                    return None
            await self._change()

    async def _change(self) -> None:
        """Wait until a call has ended."""
        self._changed = self._changed or anyio.Event()
        await self._changed.wait()

    def _release(self, call: object, *, spent: bool = False) -> None:
        self._ledger.release(call, spent=spent)
        self._due.pop(call, None)
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def _look(self) -> None:
        now = monotonic()
        if now - self._looked > _LOOK:
            self._looked = now
            for account in self._members:
                self._lose(account, now)

    def _lose(self, mine: _Account, now: float) -> None:
        """Take from a member what is overdue. It may have been billed, and counts as spent as far as it was set aside."""
        while mine.requests and mine.requests[0] < now:
            mine.requests.popleft()
            self._gate.leave(answered=False)
            self._ledger.settle(None, mine.model, None, attempts=1, usage=None, unknown=True)
        for call in [call for call in mine.admitted if self._due[call] < now]:
            mine.admitted.remove(call)
            self._release(call)  # it sent nothing
        for name, call in list(mine.calls.items()):
            if self._due[call] < now:
                del mine.calls[name]
                self._release(call, spent=True)


# ----------------------------------------------------------------------------------------------------- those that ask


class Member:
    """What one process has of the limits.

    Args:
        door: How they are reached.
        name: Its own; that of one that died, to take its place.
        model: What its calls ask for.
        timeout, deadline: Seconds that an attempt and a call of it may take.
        max_cost: Whether the limits have one.
    """

    def __init__(  # noqa: PLR0913 - what there is to say
        self, door: Door, name: str, *, model: str, timeout: float, deadline: float | None, max_cost: bool
    ) -> None:
        self._door = door
        self._number = int(door.ask("join", name, model, timeout, deadline))
        self.ledger: Ledger = _Ledger(door, self._number, limited=max_cost)

    def gate(self) -> Turns:
        """A gate for one run."""
        return Turns(self._door, self._number)

    def end(self, error: Exception) -> None:
        """Let no member begin a call any more."""
        self._door.tell("end", error)


class Turns(Gate):
    """Where the threads of one run wait for their turn among those of all members."""

    def __init__(self, door: Door, member: int) -> None:
        super().__init__()
        self._door = door
        self._member = member
        self.ended: Exception | None = None
        """Why no call may begin any more."""

    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        """Wait for one's turn."""
        while True:
            self._turn_away(begun=begun)
            left = end - monotonic()
            if left <= 0:
                return None
            try:
                answer = self._door.ask("enter", self._member, begun, min(left, _PATIENCE))
            except Lost as error:
                if begun:
                    return None
                answer = error
            if isinstance(answer, int):
                try:
                    self._turn_away(begun=begun)
                except BaseException:
                    self.unused()
                    raise
                return answer
            if answer is not None:
                self.ended = cast(Exception, answer)
                self.close(at_once=False)

    def leave(self, *, answered: bool) -> None:
        """A request ended."""
        self._door.tell("leave", self._member, answered)

    def unused(self) -> None:
        """A turn was not needed."""
        self._door.tell("unused", self._member)

    def refused(self, round_: int, retry_after: float | None) -> float:
        """The seconds for which all wait."""
        try:
            return float(self._door.ask("refused", round_, retry_after))
        except Lost:
            return 0.0  # the next request will find no turn


class _Ledger(Ledger):
    """The ledger of one member, which enters all in that of the limits too."""

    def __init__(self, door: Door, member: int, *, limited: bool) -> None:
        super().__init__()
        self._door = door
        self._member = member
        self._limited = limited
        self._names = count(1)
        self._named: dict[object, int] = {}

    def reserve(self, call: object, model: str) -> None:
        if not self._limited:
            return
        # No id(), which the next call may have before it is heard there that this one is settled.
        name = next(self._names)
        if (refused := self._door.ask("reserve", self._member, name, model)) is not None:
            raise refused
        self._named[call] = name

    def settle(  # noqa: PLR0913 - a line of a ledger
        self, call: object, model: str, tag: str | None, *, attempts: int, usage: Usage | None, unknown: bool
    ) -> None:
        super().settle(call, model, tag, attempts=attempts, usage=usage, unknown=unknown)
        name = self._named.pop(call, 0)
        self._door.tell("settle", self._member, name, model, tag, attempts, usage, unknown)

    def remembered(self, model: str, tag: str | None) -> None:
        super().remembered(model, tag)
        self._door.tell("remembered", model, tag)
