"""Run the adapter of a client in a separate process, against the faults on loopback."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from openrouter_rerank.testing import Server, faulty
from peers.catalogue import CONTROL, Peer, Row, translated
from peers.cells import Observation

ADAPTERS = Path(__file__).with_name("adapters.py")
STARTING = 300.0
"""The seconds for the import and the first call of a client, also on a busy machine."""

Facts = dict[str, Any]


class CannotRunError(Exception):
    """A client that is not installed, or whose process ended."""


class Worker:
    """The process of one adapter, which makes one call at a time."""

    def __init__(self, process: subprocess.Popen[str], log: Callable[[], str]) -> None:
        self._process = process
        self._log = log
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        try:
            self.receive(STARTING)  # the client is imported
        except BaseException:
            self.stop()
            raise

    def read_facts(self) -> Facts:
        """Return the facts of the installed package."""
        self._send(None)
        facts: Facts = json.loads(self.receive(STARTING) or "{}")
        return facts

    def call(self, url: str, timeout: float | None) -> None:
        """Begin a call."""
        self._send({"url": url, "timeout": timeout})

    def receive(self, patience: float) -> str | None:
        """Return the next line; None after the timeout.

        Raises:
            CannotRunError: The process ended.
        """
        try:
            line = self._lines.get(timeout=patience)
        except queue.Empty:
            return None
        if line is None:
            raise CannotRunError(self._log())
        return line

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
        self._reading.join()

    def _send(self, line: object) -> None:
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.put(line)
        self._lines.put(None)


@contextmanager
def working(peer: Peer, python: str) -> Generator[Worker]:
    """Start the adapter of a client with the Python of its environment, and stop it at the end of the block."""
    # Do not pass on proxies, keys or module paths of the user.
    passed = ("PATH", "HOME", "SYSTEMROOT", "TMPDIR")
    environment = {name: os.environ[name] for name in passed if name in os.environ}
    environment["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # litellm fetches it on import otherwise
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "encoding": "utf-8"}
    with TemporaryFile("w+", encoding="utf-8") as log:

        def last_words() -> str:
            log.seek(0)
            return " ".join(log.read().split())[-300:] or "the process ended without a message"

        # -P keeps the modules beside the script from shadowing the client's.
        command = [python, "-P", str(ADAPTERS), peer.name]
        with subprocess.Popen(command, stderr=log, env=environment, **pipes) as process:  # type: ignore[call-overload]  # the pipes in one mapping
            worker = Worker(process, last_words)
            try:
                yield worker
            finally:
                worker.stop()


def observe(peer: Peer, python: str, rows: Iterable[Row], bound: float) -> Generator[Facts | Observation]:
    """Yield the facts of a client, then an observation for each row.

    A client that exceeds the bound is killed, and started again for the next row. Each process first ranks the valid response, so
    that no row includes the import.

    Raises:
        CannotRunError: The client is not installed, or does not rank the valid response.
    """
    left = list(rows)
    known = False
    while left or not known:
        with working(peer, python) as worker:
            control = observe_one(worker, peer, CONTROL, STARTING)
            if not control.ranking:
                message = f"it does not rank a valid response: {control.error} {control.message[:200]}"
                raise CannotRunError(message)
            if not known:
                yield worker.read_facts()
                known = True
            while left:
                seen = observe_one(worker, peer, left.pop(0), bound)
                yield seen
                if seen.seconds is None:
                    break


def observe_one(worker: Worker, peer: Peer, row: Row, bound: float) -> Observation:
    """Make one call against the fault of a row."""
    with faulty(translated(row.fault, peer.translate)) as server:
        began = time.monotonic()
        worker.call(server.url, row.timeout)
        line = worker.receive(bound)
        seconds = time.monotonic() - began
        return to_observation(server, None if line is None else seconds, json.loads(line or "{}"))


def to_observation(server: Server, seconds: float | None, outcome: dict[str, Any]) -> Observation:
    """Join the outcome that the adapter printed and the requests that the server received."""
    return Observation(requests=len(server.requests), seconds=seconds, **outcome)
