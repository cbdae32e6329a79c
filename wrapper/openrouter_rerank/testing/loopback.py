"""Servers on loopback, each for the time of a `with` block: by a script, with a fault, or without an answer."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from openrouter_rerank.arguments import checks_names
from openrouter_rerank.testing.faults import Fault, fault_of
from openrouter_rerank.testing.scripts import PATIENCE, End, Play, ReceivedRequests, Request, Script


@dataclass(eq=False)
class Server(ReceivedRequests):
    """A running server.

    Attributes:
        url: The `base_url` for a reranker.
        requests: The requests that it received so far.
        connections: The number of connections that it accepted so far.
        held: The number of connections that are open.
    """

    url: str = ""
    connections: int = 0
    held: int = 0

    def wait_until(self, condition: Callable[[Server], bool]) -> bool:
        """Wait until the condition holds for the server; return False after `PATIENCE` seconds."""
        with self.changed:
            return self.changed.wait_for(lambda: condition(self), PATIENCE)


@checks_names
def faulty(
    fault: str | Fault, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AbstractContextManager[Server]:
    """Serve a fault of `FAULTS` for the time of a `with` block.

    Args:
        fault: The fault, or its name.
        host: As for `serving`.
        tls: As for `serving`.

    Raises:
        ValueError: No fault has that name.

    Example:
        >>> from openrouter_rerank import Reranker, ServerError
        >>> with faulty("status_502_html") as server, Reranker("", base_url=server.url, deadline=5) as reranker:
        ...     try:
        ...         reranker.rerank("q", ["a", "b"])
        ...     except ServerError as error:
        ...         print(error.status)
        502
    """
    return serving(fault_of(fault).script, host, tls)


@contextmanager
@checks_names
def serving(script: Play, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> Generator[Server]:
    """Serve a script for the time of a `with` block.

    Args:
        script: A function that makes the script for a request.
        host: The address to listen at; the system chooses the port.
        tls: The context to encrypt with.

    Raises:
        Exception: The script raised it; it is raised again when the block ends.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> from openrouter_rerank.testing import answer, results
        >>> def script(request):
        ...     yield 0.01
        ...     yield answer(200, results((1, 0.9), (0, 0.2)))
        >>> with serving(script) as server, Reranker("", base_url=server.url) as reranker:
        ...     reranker.rerank("q", ["a", "b"]).documents
        ['b', 'a']
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        shown = f"[{host}]" if ":" in host else host
        scheme = "http" if tls is None else "https"
        server = Server(url=f"{scheme}://{shown}:{listener.getsockname()[1]}/api/v1")
        running = _Running(listener, server, script, tls)
        accepting = threading.Thread(target=running.accept)
        accepting.start()
        process = os.getpid()
        try:
            yield server
        finally:
            # A forked process does not have the threads, and the connections are its parent's.
            if os.getpid() == process:
                running.stop(accepting)
                if running.failures:
                    raise running.failures[0]


class _Running:
    """The threads of a server: one that accepts, and one for each connection."""

    def __init__(
        self, listener: socket.socket, server: Server, play: Play, tls: ssl.SSLContext | None
    ) -> None:
        self.failures: list[Exception] = []
        self._listener = listener
        self._tls = tls
        self._server = server
        self._play = play
        self._stopped = threading.Event()
        self._open: dict[socket.socket, threading.Thread] = {}

    def accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self._stopped.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._converse, args=(connection,))
            with self._server.changed:
                self._server.connections += 1
                self._server.held += 1
                self._open[connection] = thread
                thread.start()  # before another thread can see it and join it

    def stop(self, accepting: threading.Thread) -> None:
        self._stopped.set()
        # Only a connection wakes accept() on every system. The address needs no resolver, which a test may replace.
        with suppress(OSError), socket.socket(self._listener.family) as waking:
            waking.settimeout(PATIENCE)
            waking.connect(self._listener.getsockname())
        accepting.join()  # no connection is accepted after this
        with self._server.changed:
            threads = dict(self._open)
        for connection, thread in threads.items():
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _converse(self, connection: socket.socket) -> None:
        try:
            # The client may hang up at any time, as it should on most faults.
            with suppress(OSError), self._secured(connection) as stream:
                while (request := self._read(stream)) is not None:
                    if not self._act(stream, self._play(request)):
                        break
        except Exception as error:  # noqa: BLE001 - an error of the script, raised again where the server was started
            self.failures.append(error)
        finally:
            with self._server.changed:
                self._open.pop(connection, None)
                self._server.held -= 1
                self._server.changed.notify_all()

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._tls is None:
            return connection
        with connection:  # the wrapped one takes its place
            return self._tls.wrap_socket(connection, server_side=True)

    def _act(self, connection: socket.socket, script: Script) -> bool:
        """Play the script; return True if the connection is still open."""
        end = time.monotonic() + PATIENCE
        for step in script:
            if step is End.RESET:
                # A linger of zero seconds makes close() reset the connection.
                linger = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            if step is End.HANG:
                self._stopped.wait(PATIENCE)
            if isinstance(step, End) or self._stopped.is_set() or time.monotonic() > end:
                return False
            if isinstance(step, int | float):
                self._stopped.wait(step)
            else:
                connection.sendall(step)
        return True

    def _read(self, connection: socket.socket) -> Request | None:
        received = b""
        while b"\r\n\r\n" not in received:
            if not (data := connection.recv(2**16)):
                return None
            received += data
        begin, _, body = received.partition(b"\r\n\r\n")
        line, *lines = begin.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (text.partition(":") for text in lines)}
        parts = [body]
        missing = int(headers.get("content-length", "0")) - len(body)
        while missing > 0:
            if not (data := connection.recv(2**16)):
                return None
            parts.append(data)
            missing -= len(data)
        method, target, _ = line.split(" ")
        return self._server.note(method, target, headers, b"".join(parts))


def unused_address() -> str:
    """Return an address that refuses every connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"


@contextmanager
def deaf() -> Generator[str]:
    """Serve an address that accepts connections and never reads from them; yield it."""
    with socket.create_server(("127.0.0.1", 0), backlog=8) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/api/v1"
