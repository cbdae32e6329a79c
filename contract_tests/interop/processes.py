"""Run servers as processes: start them, wait until they accept requests, and stop them."""

import os
import socket
import subprocess
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

PATIENCE = 400.0  # seconds until a server accepts requests; LiteLLM takes ten, or minutes on a busy machine
_GRACE = 10.0  # seconds to end before it is killed


class NotRunningError(Exception):
    """A server that ended, or hung, before it accepted a request."""


@contextmanager
def serving(
    command: Sequence[str | Path],
    ready: Callable[[str], str | None],
    environment: Mapping[str, str] | None = None,
) -> Generator[str]:
    """Start a server, and yield its URL.

    Args:
        command: The command to run.
        ready: A function of the standard output so far; it returns the URL once the server accepts requests, else None.
        environment: Additional environment variables.

    Raises:
        NotRunningError: The server ended, or did not accept requests in time.
    """
    with TemporaryFile("w+", encoding="utf-8") as out, TemporaryFile("w+", encoding="utf-8") as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=os.environ | (environment or {})
        )
        try:
            deadline = time.monotonic() + PATIENCE
            while (url := ready(_output_of(out))) is None:
                if process.poll() is not None or time.monotonic() > deadline:
                    state = "does not answer" if process.returncode is None else "ended"
                    # the last line of a traceback has the cause
                    last = (_output_of(err) or _output_of(out)).strip().rpartition("\n")[2][-300:]
                    message = f"{Path(command[0]).name} {state}; its last output: {last or 'nothing'}"
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


def first_line(output: str) -> str | None:
    """Return the URL of a server that prints it as its first line once it accepts requests, else None."""
    line, end, _ = output.partition("\n")
    return line.strip() if end else None


def free_port() -> int:
    """Return a free port, for a server that cannot choose one itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _output_of(file: IO[str]) -> str:
    # Read without moving the file position, which the process shares.
    return os.pread(file.fileno(), 1 << 20, 0).decode("utf-8", "replace")
