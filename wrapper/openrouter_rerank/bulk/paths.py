"""The files of a job: checks before they are overwritten, and how they are opened."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from openrouter_rerank.bulk.job import ERROR, BadBatch, Batch, BatchError, Survey, reporting

_MOVE = "move it away, or name another OUT"


def refuse_irregular(batch: Batch, *, restart: bool) -> None:
    """Refuse a job if one of its files is not a regular file of its own.

    Raises:
        BadBatch: A file is a link, a directory, a pipe or a device; or --restart would delete a file that this command
            did not write.
        BatchError: The file system refuses the name.
    """
    for path in batch.written:
        found = _status(path)
        if found is not None and not stat.S_ISREG(found.st_mode) and path != batch.target:
            message = f"{path}: it is {_kind(found)}, and this run writes a file of that name; {_MOVE}"
            raise BadBatch(message)
    # Writing to a file with two names would change the other one too.
    found = _status(batch.journal)
    if found is not None and found.st_nlink > 1:
        message = f"{batch.journal}: it is a file with several names (hard links), and this run writes a file of that name; {_MOVE}"
        raise BadBatch(message)
    if restart and _status(batch.failed) is not None and not _is_of_failed_rows(batch.failed):
        message = f"{batch.failed}: it already exists and does not hold failed rows; {_MOVE}"
        raise BadBatch(message)


def refuse_existing(batch: Batch, *, restart: bool) -> None:
    """Refuse to begin a job that would overwrite files.

    Raises:
        BadBatch: A file already exists.
    """
    for path in batch.making:
        if _status(path) is not None:
            message = f"{path}: it already exists and this command did not write it; {_MOVE}"
            raise BadBatch(message)
    for path in () if restart else (batch.target, batch.failed):
        if _status(path) is not None:
            message = f"{path}: it already exists, without an unfinished run; name another OUT, or give --restart to rank again"
            raise BadBatch(message)


def refuse_appeared(batch: Batch, made: Mapping[Path, Path] | None = None) -> None:
    """Refuse to overwrite a file that appeared after an unfinished job began.

    Args:
        batch: The job.
        made: The finished files by what they are to replace: a killed run may have done so already.

    Raises:
        BatchError: There is such a file; before anything was sent it is a BadBatch.
    """
    for path in (batch.target, batch.failed):
        found = _status(path)
        if found is None:
            continue
        own = None if made is None else made.get(path)
        if not (own and stat.S_ISREG(found.st_mode) and filecmp.cmp(path, own, shallow=False)):
            message = (
                f"{path}: it appeared after this job began, and this command did not write it; move it away, and run the "
                "same command again: no finished row is lost"
            )
            raise BadBatch(message) if made is None else BatchError(message)


def refuse_lack_of_room(batch: Batch, found: Survey) -> None:
    """Refuse a job whose output does not fit on the disk.

    Raises:
        BadBatch: It does not fit.
    """
    with suppress(OSError):
        free = shutil.disk_usage(batch.target.parent).free
        if free < found.size:
            message = (
                f"{batch.target}: it needs about {found.size:,} bytes, and {free:,} are free on that disk; "
                "free some space, or name another OUT"
            )
            raise BadBatch(message)


def open_journal(path: Path) -> BinaryIO:
    """Open a journal or create one that only its owner can read; do not follow a link."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with reporting(path, "nothing was sent"):
        return os.fdopen(os.open(path, flags, 0o600), "r+b")


def create(path: Path) -> BinaryIO:
    """Create a file in place of another one; a hard link to the old file keeps its content."""
    path.unlink(missing_ok=True)
    return path.open("xb")


def flushed(file: Any) -> None:
    """Flush the file to the disk."""
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
