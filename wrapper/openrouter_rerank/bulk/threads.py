"""A run of many queries in threads: they follow what run.py and pace.py decide."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from bisect import insort
from collections.abc import Callable, Generator, Iterable
from itertools import count
from math import inf
from os import getpid
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, cast

from openrouter_rerank.bulk.many import Requestable, RerankRequest, Result
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.run import LATE, Dropped, Run, Shell, Stopped, Turn
from openrouter_rerank.operations import Answer, Outcome, Send


class Gate(ABC):
    """Where the threads of a run wait for their turn to send."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._draining = self._stopped = False

    @abstractmethod
    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        """Wait for one's turn; calls that have begun come first. The round of it is returned; None at the end.

        Raises:
            Dropped, Stopped: It will not come.
        """

    @abstractmethod
    def leave(self, *, answered: bool) -> None:
        """A request ended."""

    @abstractmethod
    def unused(self) -> None:
        """A turn was not needed."""

    @abstractmethod
    def refused(self, round_: int, retry_after: float | None) -> float:
        """The server refused a request of that round; the seconds for which all wait."""

    def pause(self, seconds: float) -> None:
        """Wait for so long. Stopped: the run is."""
        with self._changed:
            if self._changed.wait_for(lambda: self._stopped, seconds):
                raise Stopped

    def close(self, *, at_once: bool) -> None:
        """Let in none that has not begun; at once: nobody."""
        with self._changed:
            self._draining = True
            self._stopped = self._stopped or at_once
            self._changed.notify_all()

    def _turn_away(self, *, begun: bool) -> None:
        if self._stopped:
            raise Stopped
        if self._draining and not begun:
            raise Dropped


class _Gate(Gate):
    """That of a run by itself."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self._pace = pace
        self._line: list[tuple[bool, int]] = []
        self._numbers = count()

    def enter(self, *, begun: bool, end: float = inf) -> int | None:
        with self._changed:
            place = (not begun, next(self._numbers))
            insort(self._line, place)
            try:
                while True:
                    self._turn_away(begun=begun)
                    now = monotonic()
                    if now >= end:
                        return None
                    seconds = self._pace.wait(now) if self._line[0] == place else None
                    if seconds == 0:
                        return self._pace.start(now)
                    until = min(inf if seconds is None else seconds, end - now)
                    self._changed.wait(None if until == inf else until)
            finally:
                self._line.remove(place)
                if self._line:
                    self._changed.notify_all()

    def leave(self, *, answered: bool) -> None:
        with self._changed:
            self._pace.ended(answered=answered)
            if self._line:
                self._changed.notify_all()

    def unused(self) -> None:
        with self._changed:
            self._pace.unused()
            if self._line:
                self._changed.notify_all()

    def refused(self, round_: int, retry_after: float | None) -> float:
        with self._changed:
            return self._pace.refused(round_, monotonic(), retry_after)


class _Paced:
    """The connections of one worker, which wait for their turn."""

    inherited = False
    """A run refuses to go on in a forked process."""

    def __init__(self, connections: Any, gate: Gate, turn: Turn) -> None:
        self._connections = connections
        self._gate = gate
        self._turn = turn

    def send(self, step: Send) -> Outcome:
        """What comes of the request."""
        turn = self._turn
        try:
            turn.round = turn.held.pop()
        except IndexError:
            end = monotonic() + step.timeout
            round_ = self._gate.enter(begun=True, end=end)
            if round_ is None:
                return LATE
            turn.round = round_
            step = step._replace(timeout=max(end - monotonic(), 0.001))
        answered = False
        try:
            outcome: Outcome = self._connections.send(step)
            answered = isinstance(outcome, Answer) and outcome.status == 200
            return outcome
        finally:
            self._gate.leave(answered=answered)


class Threads(Run):
    """A run of `Reranker`: the caller's thread takes requests and gives results, threads of the run make the calls.

    A gate that is passed in has a pace of its own, which other runs may share.
    """

    def __init__(
        self, shell: Shell, requests: Iterable[Requestable], *, gate: Gate | None = None, **options: Any
    ) -> None:
        super().__init__(shell, requests, **options)
        self._source = iter(requests)
        self._gate = gate or _Gate(self.pace)
        self._tasks: SimpleQueue[tuple[int, RerankRequest] | None] = SimpleQueue()
        self._news: SimpleQueue[tuple[int, Result | None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        # Held from taking a request until its call has begun. So calls begin in the order of their requests, and where a
        # run ends early no request is left out before one that was sent.
        self._beginning = threading.Lock()
        self._stopping = False
        self._connections: Any = None
        self.keep: Callable[[Result], None] | None = None

    def results(self) -> Generator[Result]:
        """The results; the run begins with the first one that is asked for, and has ended when the generator is closed."""
        self._process = getpid()
        self._connections = self._shell.connections.apart(self.concurrency)
        try:
            while not self.over:
                # One is taken for each that is given, and more only where there is nothing to give.
                if self.room:
                    self._take()
                elif not self.ready:
                    self._hear(self._news.get())
                self._catch_up()
                if self.ready:
                    result = self.give()
                    yield result
                    if self.ends_with(result):
                        return
            if self.broken is not None:
                raise self.broken
        finally:
            if not self.inherited:
                self._stop()

    def drain(self) -> None:
        """Start nothing more; may be called from a signal's handler."""
        if self.inherited:
            return
        self.draining = True
        self._gate.close(at_once=False)
        self._news.put(None)

    def _take(self) -> None:
        try:
            self._shell.refuse_if_closed()
            given = next(self._source)
        except StopIteration:
            self.exhausted()
            return
        except Exception as error:  # noqa: BLE001 - the caller's; it is raised again when what was begun has ended
            self.exhausted(error)
            return
        index, request = self.take(given)
        if isinstance(request, Result):
            self.came(index, request)
            return
        self._tasks.put((index, request))
        # The first ones get a worker each; they are enough for the rest.
        if index < self.concurrency:
            self._hire()

    def _hear(self, news: tuple[int, Result | None] | None) -> None:
        if news is not None:
            self.came(*news)

    def _catch_up(self) -> None:
        try:
            while True:
                self._hear(self._news.get_nowait())
        except Empty:
            pass
        if self.draining:
            self._gate.close(at_once=False)
            try:
                while task := self._tasks.get_nowait():
                    self.came(task[0], None)
            except Empty:
                pass

    def _hire(self) -> None:
        with self._lock:
            if self.short and not self._stopping:
                self._workers += 1
                work = (self._work,)
                thread = threading.Thread(
                    target=self._context.copy().run, args=work, name="rerank-many", daemon=True
                )
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        turn = Turn()
        patience = self.patience(turn, self._gate.refused)
        shell = self._shell.apart(_Paced(self._connections, self._gate, turn), patience, self._sleep)
        while (begun := self._begin(turn)) is not None:
            index, request = begun
            result: Result | None = None
            try:
                result = self._call(shell, turn, index, request)
                if self._stopping and not result.ok:
                    return  # it failed as its connection was cut
                if self.is_the_end(result):  # before the other workers begin what they have
                    self.drain()
                if self.keep is not None:
                    self.keep(result)
            except Stopped:
                return
            except BaseException as error:  # noqa: BLE001 - the caller's; it is raised again when what was begun has ended
                self._broke(error)
            self._news.put((index, result))

    def _begin(self, turn: Turn) -> tuple[int, RerankRequest] | None:
        """Return the next request once it may be sent; None when the run has no more."""
        with self._beginning:
            while task := self._tasks.get():
                try:
                    turn.held.append(cast(int, self._gate.enter(begun=False)))
                except Dropped:
                    self._news.put((task[0], None))
                except Stopped:
                    return None
                except BaseException as error:  # noqa: BLE001 - the gate's; it is raised when what was begun has ended
                    self._broke(error)
                    self._news.put((task[0], None))
                else:
                    return task
            return None

    def _broke(self, error: BaseException) -> None:
        self.exhausted(error)
        self.drain()

    def _call(self, shell: Any, turn: Turn, index: int, request: RerankRequest) -> Result:
        try:
            ranking = shell.rerank(request.query, request.documents, **request.arguments)
        except Exception as error:  # noqa: BLE001 - the caller's own iterables and keys raise what they like
            return Result(index, request, error=error)
        finally:
            if turn.held:
                turn.held.clear()
                self._gate.unused()
        return Result(index, request, ranking)

    def _sleep(self, seconds: float) -> None:
        with self._lock:
            self._waiting += 1
        self._hire()
        try:
            self._gate.pause(seconds)
        finally:
            with self._lock:
                self._waiting -= 1

    def _stop(self) -> None:
        with self._lock:
            self._stopping = True
        self._gate.close(at_once=True)
        if self.under_way:
            self._connections.cut()
        try:
            while self._tasks.get_nowait():
                pass
        except Empty:
            pass
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        if self._connections is not self._shell.connections:
            self._connections.close()
