"""Servers as processes: started, waited for, and stopped when the block ends, whatever happens in it."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

PATIENCE = 400.0  # seconds until a server takes requests; LiteLLM takes ten, and minutes on a busy machine
_GRACE = 10.0  # seconds to end before it is killed


class NotRunningError(Exception):
    """A server that ended, or said nothing, before it took a request."""


@contextmanager
def serving(
    command: Sequence[str | Path],
    ready: Callable[[str], str | None],
    environment: Mapping[str, str] | None = None,
) -> Generator[str]:
    """Start a server by its command, and yield its URL.

    Args:
        command: What to run.
        ready: Called again and again with what stood on standard output; the URL once the server takes requests.
        environment: What its environment has beside this one's.

    Raises:
        NotRunningError: It ended, or took no request within the patience.
    """
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=os.environ | (environment or {})
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while (url := ready(_said(out))) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    state = "does not answer" if process.returncode is None else "ended"
                    # of a traceback the last line has the cause
                    last = (_said(err) or _said(out)).strip().rpartition("\n")[2][-300:]
                    message = f"{Path(command[0]).name} {state}; it said: {last or 'nothing'}"
                    raise NotRunningError(message)
                time.sleep(0.1)
            yield url
        finally:
            process.terminate()
            try:
                process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def first_line(said: str) -> str | None:
    """Yield the URL of a server that prints it as its first line once it accepts requests."""
    line, end, _ = said.partition("\n")
    return line.strip() if end else None


def free_port() -> int:
    """Return a port that was free a moment ago, for a server that cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _said(file: IO[str]) -> str:
    # The process writes through a handle of its own at the same place, so what is here must not be moved.
    return os.pread(file.fileno(), 1 << 20, 0).decode("utf-8", "replace")
