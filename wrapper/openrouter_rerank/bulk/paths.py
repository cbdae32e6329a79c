"""The files of a job: who may be overwritten, and how they are opened. A file that is not ours, and a link, is left alone."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from openrouter_rerank.bulk.job import ERROR, BadBatch, Batch, Survey, reporting

_MOVE = "Move it away, or name another OUT"


def refuse_irregular(batch: Batch, *, restart: bool) -> None:
    """Refuse a job one of whose files could not be written, or would be written into something else.

    Raises:
        BadBatch: There is a link, a directory, a pipe or a device in the place of a file; or a file that --restart would
            throw away and that no run of this command wrote.
        BatchError: The file system refuses the name.
    """
    for path in batch.written:
        found = _status(path)
        if found is not None and not stat.S_ISREG(found.st_mode) and path != batch.target:
            message = f"{path} is {_kind(found)}, and this run writes a file of that name. {_MOVE}"
            raise BadBatch(message)
    # Two names for one file: what is written by this one would be lost for the other.
    found = _status(batch.journal)
    if found is not None and found.st_nlink > 1:
        message = f"{batch.journal} is a file with several names (hard links), and this run writes a file of that name. {_MOVE}"
        raise BadBatch(message)
    if restart and _status(batch.failed) is not None and not _is_of_failed_rows(batch.failed):
        message = f"{batch.failed} is there already, and does not have rows that failed. {_MOVE}"
        raise BadBatch(message)


def refuse_existing(batch: Batch, *, restart: bool) -> None:
    """Refuse to begin a job where files are that it would overwrite.

    Raises:
        BadBatch: There are some.
    """
    for path in batch.making:
        if _status(path) is not None:
            message = f"{path} is there already, and is not of a run of this command. {_MOVE}"
            raise BadBatch(message)
    for path in () if restart else (batch.target, batch.failed):
        if _status(path) is not None:
            message = f"{path} is there already, and no run of it is unfinished. Name another OUT, or --restart to rank anew"
            raise BadBatch(message)


def refuse_lack_of_room(batch: Batch, found: Survey) -> None:
    """Refuse a job whose output would fill the disk.

    Raises:
        BadBatch: It would.
    """
    with suppress(OSError):
        free = shutil.disk_usage(batch.target.parent).free
        if free < found.size:
            message = (
                f"{batch.target} takes about {found.size:,} bytes, and {free:,} are free on that disk. "
                "Make room, or name another OUT"
            )
            raise BadBatch(message)


def open_journal(path: Path) -> BinaryIO:
    """Open a journal, or make one that only its owner may read; a link is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with reporting(path, "nothing was sent"):
        return os.fdopen(os.open(path, flags, 0o600), "r+b")


def create(path: Path) -> BinaryIO:
    """Make a new file in the place of what has this name, whose content is left alone if it has another name too."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def flushed(file: Any) -> None:
    """Have the disk keep what was written to the file."""
    file.flush()
    os.fsync(file.fileno())


def _status(path: Path) -> os.stat_result | None:
    with reporting(path, "nothing was sent"):
        try:
            return path.lstat()
        except FileNotFoundError:
            return None


def _kind(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "a symbolic link"
    return "a directory" if stat.S_ISDIR(found.st_mode) else "a pipe or a device"


def _is_of_failed_rows(path: Path) -> bool:
    with reporting(path, "nothing was sent"), path.open("rb") as file:
        first = file.readline()
    return not first or (first.startswith(b"{") and f'"{ERROR}":'.encode() in first)
