"""Limits that the runs of several actors share: one limiter admits each request.

A `LimiterClient` gives one actor a gate for the threads of `rerank_many`, and a ledger. An actor that dies releases nothing.
The limiter takes back what the actor held when its successor joins, or when each request and call must have ended.
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

# Seconds for which one message waits for a slot before it is sent again: a member that died meanwhile is soon forgotten.
_POLL = 2.0
# Seconds between two searches for overdue requests and calls.
_SWEEP = 1.0
# Seconds after which a call without a deadline is overdue.
_LONGEST = 3600.0


class LimiterUnavailable(RuntimeError):
    """The limiter cannot be reached; nothing is sent without it."""


class Channel(Protocol):
    """The connection of a member to the limiter."""

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of `Limits` and return its result.

        Raises:
            LimiterUnavailable: The limiter does not answer.
        """

    def tell(self, method: str, *arguments: Any) -> None:
        """Call a method of `Limits` without waiting for it. Later messages may arrive before."""


class _Account(msgspec.Struct, eq=False):
    """The requests and calls of one member. Its requests are alike: it does not matter which one ends."""

    model: str
    per_request: float
    """Seconds after which a request of it must have ended; `per_call` likewise for a call."""
    per_call: float
    requests: deque[float] = msgspec.field(default_factory=deque[float])
    """The time at which each request in flight is overdue."""
    admitted: deque[object] = msgspec.field(default_factory=deque[object])
    """The reservations of calls that may begin, and have not."""
    calls: dict[int, object] = msgspec.field(default_factory=dict[int, object])
    """The reservations of calls in flight, by the member's own names for them."""


class Limits:
    """The limiter: a shared pace and a shared budget.

    Args:
        concurrency: The largest number of requests in flight. There are fewer while the server is overloaded.
        requests_per_minute: The number of requests that may start in a minute, evenly spaced; None for no limit.
        max_cost: The largest cost of all calls in US dollars, as far as the server reports costs. Until the first
            report, one call is made at a time. None for no limit.
        retries: The policy whose waits apply to a pause without a `Retry-After`.
        slack: Seconds that a request or a call may take beyond its timeout (to read images, on a busy machine) until its
            member is presumed dead.

    Raises:
        TypeError, ValueError: A limit is invalid.
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
        """The number of the latest member of each name."""
        self._due: dict[object, float] = {}
        """The time at which the call of each reservation is overdue."""
        self._end: Exception | None = None
        self._changed: anyio.Event | None = None
        self._swept = monotonic()

    async def join(
        self,
        name: str,
        model: str,
        timeout: float,  # noqa: ASYNC109 - that of its requests
        deadline: float | None,
    ) -> int:
        """Register a member and return its number; take back what a member of this name held before."""
        if name in self._newest:
            self._revoke(self._members[self._newest[name]], inf)
        per_call = (_LONGEST if deadline is None else deadline) + self._slack
        self._members.append(_Account(model, timeout + self._slack, per_call))
        self._newest[name] = len(self._members) - 1
        return self._newest[name]

    async def enter(self, member: int, begun: bool, timeout: float) -> int | Exception | None:  # noqa: FBT001, ASYNC109 - by a channel
        """Wait for a slot and return its round, or the error for which no call may begin; None to ask again."""
        mine = self._members[member]
        self._sweep()
        with anyio.move_on_after(timeout):
            if begun:
                round_ = await self._gate.enter(begun=True)
            elif self._end is not None:
                return self._end
            else:
                call = object()
                if self._limited:
                    error = await self._reserve(call, mine)
                    if error is not None:
                        return error
                try:
                    round_ = await self._gate.enter(begun=False)
                except BaseException:
                    self._release(call)
                    raise
                if self._end is not None:  # it came while this call waited
                    self._gate.cancel()
                    self._release(call)
                    return self._end
                if self._limited:
                    mine.admitted.append(call)
            mine.requests.append(monotonic() + mine.per_request)
            return round_
        return None

    async def leave(self, member: int, answered: bool) -> None:  # noqa: FBT001 - by a channel
        """Release the slot of a request that ended."""
        if self._members[member].requests:  # else it was overdue
            self._members[member].requests.popleft()
            self._gate.leave(answered=answered)

    async def cancel(self, member: int) -> None:
        """Release a slot that was not used, and the reservation with it."""
        mine = self._members[member]
        if mine.requests:
            mine.requests.popleft()
            self._gate.cancel()
        if mine.admitted:
            self._release(mine.admitted.popleft())

    async def back_off(self, round_: int, retry_after: float | None) -> float:
        """Record that the server refused a request of this round; return the seconds for which all wait."""
        return self._gate.back_off(round_, retry_after)

    async def reserve(self, member: int, name: int, model: str) -> BudgetExceededError | None:
        """Reserve the cost of a call that begins, or return the error for which it may not."""
        mine = self._members[member]
        if mine.admitted:
            call = mine.admitted.popleft()
        else:  # each part of a long list is a call, and all but the first did not enter before
            call = object()
            while self._ledger.cost_unknown and self._due:  # the cost of the first part is not known yet
                await self._change()
            try:
                self._ledger.reserve(call, model)
            except BudgetExceededError as error:
                return error
        mine.calls[name] = call
        self._due[call] = monotonic() + mine.per_call
        return None

    async def settle(  # noqa: PLR0913, PLR0917 - an entry of a ledger, by a channel
        self,
        member: int,
        name: int,
        model: str,
        tag: str | None,
        attempts: int,
        usage: Usage | None,
        unknown: bool,  # noqa: FBT001 - as above
    ) -> None:
        """Enter a call that ended in the ledger."""
        call = self._members[member].calls.pop(name, None)
        self._ledger.settle(call, model, tag, attempts=attempts, usage=usage, unknown=unknown)
        self._release(call)

    async def remembered(self, model: str, tag: str | None) -> None:
        """Enter a cache hit in the ledger."""
        self._ledger.remembered(model, tag)

    async def end(self, error: Exception) -> None:
        """Let no further call begin, because of this error."""
        self._end = self._end or error

    async def totals(self) -> Totals:
        """Return the totals of all calls of all members."""
        return self._ledger.total

    async def _reserve(self, call: object, mine: _Account) -> BudgetExceededError | None:
        """Reserve the cost of a call; if too little is left, wait until the calls in flight report theirs."""
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

    def _sweep(self) -> None:
        now = monotonic()
        if now - self._swept > _SWEEP:
            self._swept = now
            for account in self._members:
                self._revoke(account, now)

    def _revoke(self, mine: _Account, now: float) -> None:
        """Take back what is overdue. It may have been billed, so that reservations count as spent."""
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


class LimiterClient:
    """The gate and the ledger of one member of the limits.

    Args:
        channel: The connection to the limiter.
        name: The member's name; that of a dead member, to take its place.
        model: The model of its calls.
        timeout, deadline: The seconds that an attempt and a call of it may take.
        max_cost: True if the limits have a `max_cost`.
    """

    def __init__(  # noqa: PLR0913 - what there is to say
        self,
        channel: Channel,
        name: str,
        *,
        model: str,
        timeout: float,
        deadline: float | None,
        max_cost: bool,
    ) -> None:
        self._channel = channel
        self._number = int(channel.ask("join", name, model, timeout, deadline))
        self.ledger: Ledger = _Ledger(channel, self._number, limited=max_cost)

    def gate(self) -> RemoteGate:
        """Return a gate for one run."""
        return RemoteGate(self._channel, self._number)

    def end(self, error: Exception) -> None:
        """Let no member begin another call."""
        self._channel.tell("end", error)


class RemoteGate(Gate):
    """The gate of one run, which the limiter opens."""

    def __init__(self, channel: Channel, member: int) -> None:
        super().__init__()
        self._channel = channel
        self._member = member
        self.ended: Exception | None = None
        """The error for which no call may begin."""

    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        """Wait for a slot among the requests of all members."""
        while True:
            self._raise_if_closed(begun=begun)
            left = end - monotonic()
            if left <= 0:
                return None
            try:
                answer = self._channel.ask("enter", self._member, begun, min(left, _POLL))
            except LimiterUnavailable as error:
                if begun:
                    return None
                answer = error
            if isinstance(answer, int):
                try:
                    self._raise_if_closed(begun=begun)
                except BaseException:
                    self.cancel()
                    raise
                return answer
            if answer is not None:
                self.ended = cast(Exception, answer)
                self.close(at_once=False)

    def leave(self, *, answered: bool) -> None:
        """Release the slot of a request that ended."""
        self._channel.tell("leave", self._member, answered)

    def cancel(self) -> None:
        """Release a slot that was not used."""
        self._channel.tell("cancel", self._member)

    def back_off(self, round_: int, retry_after: float | None) -> float:
        """Report a refusal; return the seconds for which all wait."""
        try:
            return float(self._channel.ask("back_off", round_, retry_after))
        except LimiterUnavailable:
            return 0.0  # the next request will get no slot


class _Ledger(Ledger):
    """The ledger of one member, which also enters each call in that of the limits."""

    def __init__(self, channel: Channel, member: int, *, limited: bool) -> None:
        super().__init__()
        self._channel = channel
        self._member = member
        self._limited = limited
        self._names = count(1)
        self._named: dict[object, int] = {}

    def reserve(self, call: object, model: str) -> None:
        if not self._limited:
            return
        # Not id(call): the next call may have the same one before the limiter hears that this one is settled.
        name = next(self._names)
        if (error := self._channel.ask("reserve", self._member, name, model)) is not None:
            raise error
        self._named[call] = name

    def settle(  # noqa: PLR0913 - an entry of a ledger
        self, call: object, model: str, tag: str | None, *, attempts: int, usage: Usage | None, unknown: bool
    ) -> None:
        super().settle(call, model, tag, attempts=attempts, usage=usage, unknown=unknown)
        name = self._named.pop(call, 0)
        self._channel.tell("settle", self._member, name, model, tag, attempts, usage, unknown)

    def remembered(self, model: str, tag: str | None) -> None:
        super().remembered(model, tag)
        self._channel.tell("remembered", model, tag)
