"""Limits that several processes share, with members in threads: each has a client of its own, and a channel to one event loop."""

import random
import threading
import time
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import anyio
import pytest
from anyio.from_thread import start_blocking_portal
from msgspec.structs import replace

from openrouter_rerank import BudgetExceededError, RateLimitError, Reranker, Retries, Usage
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.threads import Threads
from openrouter_rerank.integrations.ray.limits import LimiterClient, LimiterUnavailable, Limits
from openrouter_rerank.ledger import Totals
from openrouter_rerank.testing import FakeReranker, answer, envelope, serving
from shells import LONG, SOON

COST = 0.25


class PortalChannel:
    """A channel to limits on an event loop of their own; what is told arrives late, and in any order."""

    def __init__(self, portal, limits):
        self.portal = portal
        self.limits = limits
        self.gone = False
        self.told = []

    def ask(self, what, *arguments):
        """Return the answer."""
        if self.gone:
            raise LimiterUnavailable("nobody is there")
        return self.portal.call(getattr(self.limits, what), *arguments)

    def tell(self, what, *arguments):
        """No answer."""
        self.told.append(self.portal.start_task_soon(self._late, what, arguments))

    async def _late(self, what, arguments):
        await anyio.sleep(random.random() / 50)
        await getattr(self.limits, what)(*arguments)

    def arrived(self):
        """Wait until all that was told has arrived."""
        while self.told:
            self.told.pop().result(SOON)

    def totals(self):
        """Return the ledger after all messages have arrived."""
        self.arrived()
        return self.ask("totals")


@contextmanager
def channel(*arguments, **options):
    """Return a channel to new limits."""
    with start_blocking_portal("asyncio") as portal:
        yield PortalChannel(portal, Limits(*arguments, **options))


class Working:
    """Members that rank at the same time, each in a thread."""

    def __init__(
        self, channel, url, *, members=3, rows=20, concurrency=8, limited=False, documents=("a", "b")
    ):
        self.results = []
        self.ended = []

        def work(name):
            with Reranker("", base_url=url, retries=Retries(first_wait=0.01), max_documents=2) as reranker:
                member = join(channel, name, limited=limited)
                reranker._settings = replace(reranker._settings, ledger=member.ledger)
                gate = member.gate()
                run = Threads(
                    reranker._run_context(),
                    [(f"{name} {row}", list(documents)) for row in range(rows)],
                    gate=gate,
                    concurrency=concurrency,
                    requests_per_minute=None,
                    ordered=False,
                    stop_on_error=False,
                    progress=None,
                )
                self.results.extend(run.results())
                self.ended.append(gate.ended)

        threads = [threading.Thread(target=work, args=(str(name),), daemon=True) for name in range(members)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SOON)
        assert not any(thread.is_alive() for thread in threads)

    @property
    def ranked(self):
        """How many rows have a ranking."""
        return sum(result.ok for result in self.results)


def join(channel, name, *, limited=False, timeout=60.0, deadline=120.0):
    """Return a member with the default model."""
    return LimiterClient(
        channel, name, model="cohere/rerank-v3.5", timeout=timeout, deadline=deadline, max_cost=limited
    )


class Counting:
    """A server that knows how many requests it had, and how many of them at a time.

    Args:
        script: What makes its answers; by default a fake.
        together: How many requests have to be under way at a time, once, before any but the first is answered.
    """

    def __init__(self, script=None, together=1):
        self.peak = self.now = self.came = 0
        self.lock = threading.Lock()
        self.fake = FakeReranker(billed=Usage(cost=COST))
        self.script = script
        self.together = together

    def __call__(self, request):
        """Handle a request."""
        with self.lock:
            self.came += 1
            self.now += 1
            self.peak = max(self.peak, self.now)
        yield 0.01  # in which one too many would come
        while request.number > 1 and self.peak < self.together:
            yield 0.01
        with self.lock:  # before the answer, after which the next one may come
            self.now -= 1
        yield from (self.script or self.fake.play)(request)


def test_requests_under_way():
    """No more requests than concurrency are under way over all members, and as many as that are."""
    counting = Counting(together=3)
    with serving(counting) as server, channel(3) as limits:
        done = Working(limits, server.url)

    assert (done.ranked, counting.peak) == (60, 3)


@pytest.fixture
def paced(monkeypatch):
    """When requests started and were refused, as the limits know it: their names and times."""
    events = []
    start, back_off = Pace.start, Pace.back_off

    def noted_start(pace, now):
        events.append(("start", now))
        return start(pace, now)

    def noted_refused(pace, round_, now, retry_after):
        events.append(("refused", now))
        return back_off(pace, round_, now, retry_after)

    monkeypatch.setattr(Pace, "start", noted_start)
    monkeypatch.setattr(Pace, "back_off", noted_refused)
    return events


def test_rpm(paced):
    """Requests of all members are spaced as requests_per_minute says."""
    with serving(Counting()) as server, channel(8, 60 / 0.02) as limits:
        Working(limits, server.url, rows=10)

    assert len(paced) == 30
    assert all(later - sooner > 0.02 - 1e-6 for (_, sooner), (_, later) in pairwise(paced))


def test_a_refusal_is_shared(paced):
    """When one member is refused, none sends for as long as the server says; and the refused call costs no attempt."""

    def script(request):
        if request.number == 1:
            yield answer(429, envelope(429, "slow"), headers={"Retry-After": "1"})
        else:
            yield from counting.fake.play(request)

    counting = Counting(script)
    with serving(counting) as server, channel(4) as limits:
        done = Working(limits, server.url)

    [refused] = [at for what, at in paced if what == "refused"]
    assert [at for what, at in paced if what == "start" and refused < at < refused + 1] == []
    assert (done.ranked, counting.came) == (60, 61)


@pytest.mark.parametrize("documents", [("a", "b"), ("a", "b", "c", "d", "e", "f")], ids=["one", "parts"])
def test_max_cost(documents):
    """All members together spend no more than max_cost; single requests spend all of it, and the rest are told why."""
    counting = Counting()
    with serving(counting) as server, channel(8, max_cost=5.0) as limits:
        done = Working(limits, server.url, limited=True, documents=documents)
        totals = limits.totals()

    spent = counting.came * COST
    assert totals.cost == spent <= 5.0
    if len(documents) == 2:
        assert (spent, done.ranked) == (5.0, 20)
        assert {type(error) for error in done.ended} == {BudgetExceededError}
        assert done.ended[0].spent == 5.0


def test_the_first_call_says_what_one_costs():
    """With max_cost one request is under way until its cost is known: a single one may cost nearly all there is."""
    counting = Counting()
    with serving(counting) as server, channel(8, max_cost=COST) as limits:
        done = Working(limits, server.url, limited=True)

    assert (counting.came, done.ranked) == (1, 1)


def test_unknown_costs():
    """Where the server names no cost max_cost forbids nothing, and the calls go on together."""
    counting = Counting(together=2)
    counting.fake.billed = Usage()
    with serving(counting) as server, channel(8, max_cost=COST) as limits:
        done = Working(limits, server.url, limited=True)
        totals = limits.totals()

    assert (done.ranked, totals.unknown) == (60, 60)
    assert counting.peak >= 2


def test_calls_that_send_nothing():
    """Rows that need no request, or can be none, hold up nobody and cost nothing."""
    with serving(Counting()) as server, channel(1, max_cost=COST) as limits:
        empty = Working(limits, server.url, limited=True, documents=())
        wrong = Working(limits, server.url, limited=True, documents=(7,), members=1)
        good = Working(limits, server.url, limited=True, members=1)

    assert (empty.ranked, wrong.ranked, good.ranked) == (60, 0, 1)
    assert {type(result.error) for result in wrong.results} == {TypeError}


def test_nothing_stays_set_aside():
    """However late and in what order the limits hear of them, of calls that ended nothing stays set aside."""
    with serving(Counting()) as server, channel(8, max_cost=1000.0) as limits:
        done = Working(limits, server.url, rows=150, limited=True)
        limits.totals()

    assert done.ranked == 450
    assert limits.limits._due == limits.limits._ledger._reserved == {}


def test_a_turn_that_does_not_come():
    """What was set aside for a call that waited in vain is free again."""
    with channel(1, max_cost=1.0) as limits:
        member = join(limits, "a", limited=True)
        member.gate().enter(begun=False)
        member.ledger.reserve("call", "cohere/rerank-v3.5")
        member.gate().leave(answered=True)
        member.ledger.settle(
            "call", "cohere/rerank-v3.5", None, attempts=1, usage=Usage(cost=0.1), unknown=False
        )
        limits.totals()
        member.gate().enter(begun=False)

        assert limits.ask("enter", 0, False, 0.05) is None
        assert len(limits.limits._due) == 1


def test_totals():
    """The ledger of the limits has the calls of all members, retries and failures included."""
    fake = FakeReranker(script=[RateLimitError("slow", status=429)], billed=Usage(cost=COST, search_units=1))
    with serving(fake.play) as server, channel(4) as limits:
        Working(limits, server.url, rows=2)
        totals = limits.totals()

    assert totals == Totals(calls=6, attempts=7, search_units=6, cost=6 * COST)


def test_a_cache():
    """What a cache answers is counted, costs nothing, and takes nothing of what is left."""
    with serving(Counting()) as server, channel(2, max_cost=COST) as limits:
        for name in ("a", "b"):
            member = join(limits, name, limited=True)
            member.ledger.remembered("cohere/rerank-v3.5", None)
        done = Working(limits, server.url, members=1, rows=1, limited=True)
        totals = limits.totals()

    assert (done.ranked, totals) == (1, Totals(calls=3, attempts=1, cached=2, cost=COST))


def test_a_call_that_came_unannounced():
    """A part of a list for which there is not enough is refused."""
    with channel(2, max_cost=COST) as limits:
        member = join(limits, "a", limited=True)
        member.ledger.settle(
            "one", "cohere/rerank-v3.5", None, attempts=1, usage=Usage(cost=COST), unknown=False
        )
        limits.totals()

        with pytest.raises(BudgetExceededError, match="are spent"):
            member.ledger.reserve("two", "cohere/rerank-v3.5")


@pytest.mark.parametrize("cost", [COST, None])
def test_parts_wait_for_the_cost_of_the_first(cost):
    """However late the limits hear what the first part cost, no other part is made before with nothing set aside for it."""

    async def main():
        limits = Limits(8, max_cost=5.0)
        member = await limits.join("a", "m", 60.0, 120.0)
        await limits.enter(member, False, SOON)
        assert await limits.reserve(member, 1, "m") is None
        async with anyio.create_task_group() as group:
            for name in (2, 3):
                group.start_soon(limits.reserve, member, name, "m")
            await anyio.wait_all_tasks_blocked()
            assert list(limits._members[member].calls) == [1]
            await limits.settle(member, 1, "m", None, 1, Usage(cost=cost), cost is None)
        assert sum(limits._ledger._reserved.values()) == 2 * (cost or 0.0)

    anyio.run(main)


def test_an_end_for_all():
    """When a member says that no call can go better, none begins any more and all are told why."""
    with serving(Counting()) as server, channel(4) as limits:
        join(limits, "a").end(ValueError("no use"))
        limits.arrived()
        done = Working(limits, server.url)

    assert (done.results, server.requests) == ([], [])
    assert {str(error) for error in done.ended} == {"no use"}


@pytest.mark.parametrize("max_cost", [None, 5.0])
def test_an_end_for_those_that_wait(max_cost):
    """A call that waits for its turn when the end comes does not begin, and nothing stays set aside or under way for it."""

    async def main():
        limits = Limits(1, max_cost=max_cost)
        member = await limits.join("a", "m", 60.0, 120.0)
        assert await limits.enter(member, False, SOON) == 0
        answers = []

        async def wait():
            answers.append(await limits.enter(member, False, SOON))

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            end = RuntimeError("the key is wrong")
            await limits.end(end)
            await limits.cancel(member)
        assert answers == [end]
        assert limits._gate._pace.in_flight == 0
        assert limits._due == {}

    anyio.run(main)


def test_the_limits_are_gone():
    """Without the limits nothing is sent, and it is said that they are gone."""
    with serving(Counting()) as server, channel(4) as limits:
        member = join(limits, "a")
        gate = member.gate()
        limits.gone = True

        with pytest.raises(BaseException, match=r"^$") as dropped:
            gate.enter(begun=False)

    assert type(dropped.value).__name__ == "CallDropped"
    assert isinstance(gate.ended, LimiterUnavailable)
    assert gate.enter(begun=True) is None
    assert gate.back_off(1, None) == 0.0
    assert server.requests == []


def test_the_time_is_up():
    """A request that has begun waits for its turn no longer than its attempt may take."""
    with channel(1) as limits:
        gate = join(limits, "a").gate()
        gate.enter(begun=False)

        assert gate.enter(begun=True, end=time.monotonic() + 0.05) is None


def test_a_turn_that_comes_too_late():
    """A turn that comes when the run has been closed goes to another."""
    with channel(1) as limits:
        first, second = join(limits, "a").gate(), join(limits, "b").gate()
        first.enter(begun=False)
        late = threading.Thread(target=partial(pytest.raises, BaseException, second.enter, begun=False))
        late.start()
        while not limits.limits._gate._queue:  # until it waits for its turn
            time.sleep(0.01)
        second.close(at_once=True)
        first.leave(answered=True)
        late.join(SOON)

        assert isinstance(first.enter(begun=True, end=time.monotonic() + SOON), int)


class TestDeath:
    """A member that died gives nothing back."""

    def held(self, limits):
        """Return a member with a request under way that may have cost what the first one did."""
        member = join(limits, "a", limited=True)
        for _ in range(2):
            member.gate().enter(begun=False)
            call = object()
            member.ledger.reserve(call, "cohere/rerank-v3.5")
            if limits.totals().calls == 0:
                member.gate().leave(answered=True)
                member.ledger.settle(
                    call, "cohere/rerank-v3.5", None, attempts=1, usage=Usage(cost=COST), unknown=False
                )
                limits.arrived()

    def test_its_successor(self):
        """What it held is free when one of its name joins; it counts as spent, and its cost as unknown."""
        with channel(1, max_cost=3 * COST) as limits:
            self.held(limits)
            successor = join(limits, "a", limited=True)

            assert isinstance(successor.gate().enter(begun=False, end=time.monotonic() + SOON), int)
            successor.gate().leave(answered=True)
            assert limits.totals() == Totals(calls=2, attempts=2, cost=COST, unknown=1)
            successor.gate().cancel()
            limits.arrived()
            assert limits.limits._ledger._spent == 2 * COST

    def test_no_successor(self, clock):
        """What it held is free when it is overdue, and counts as spent: then there is not enough for another."""
        with channel(1, max_cost=2 * COST) as limits:
            self.held(limits)
            clock.advance(100.0)  # longer than a request may take, and not than a call

            other = join(limits, "b", limited=True).gate()
            assert isinstance(other.enter(begun=True, end=clock() + SOON), int)
            other.leave(answered=True)
            assert limits.totals().unknown == 1

        with channel(2, max_cost=2 * COST) as limits:
            self.held(limits)
            clock.advance(LONG)

            other = join(limits, "b", limited=True).gate()
            with pytest.raises(BaseException, match=r"^$"):
                other.enter(begun=False, end=clock() + SOON)
            assert other.ended.spent == 2 * COST

    def test_what_it_did_not_begin(self):
        """What was set aside for a call that had not begun is not spent."""
        with channel(2, max_cost=3 * COST) as limits:
            member = join(limits, "a", limited=True)
            member.gate().enter(begun=False)
            join(limits, "a", limited=True)

            assert limits.limits._ledger._spent == 0
            assert limits.limits._due == {}


def test_no_limits_at_all():
    """A number that no limit can be is refused."""
    with pytest.raises(ValueError, match="concurrency"):
        Limits(0)
    with pytest.raises(ValueError, match="requests_per_minute"):
        Limits(1, 0)
