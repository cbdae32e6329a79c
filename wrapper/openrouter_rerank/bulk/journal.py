"""The journal of `rerank batch`: an append-only file with a line and a checksum for each finished row.

An interrupted job resumes at the end of its journal.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import time
import zlib
from array import array
from collections import Counter
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import msgspec

from openrouter_rerank.bulk.job import COLUMNS, SCALARS, BadBatch, Batch, Survey, reporting
from openrouter_rerank.bulk.paths import (
    open_journal,
    refuse_appeared,
    refuse_existing,
    refuse_irregular,
    refuse_lack_of_room,
)
from openrouter_rerank.ledger import exact

# Seconds between two calls of fsync. A killed process loses nothing in between.
_SYNC = 1.0


S = TypeVar("S", bound=msgspec.Struct)


def _with_columns(base: type[S]) -> type[S]:
    """Add a field for each column that the struct lacks, so that new fields of the contract are recorded too."""
    names = set(base.__struct_fields__)
    added = [
        (name, kind | None if kind in SCALARS else Any, None)
        for name, kind in COLUMNS.items()
        if name not in names
    ]
    return cast("type[S]", msgspec.defstruct(base.__name__, added, bases=(base,), module=base.__module__))


@_with_columns
class FinishedRow(msgspec.Struct, omit_defaults=True):
    """The outcome of a row, with a field for each of `COLUMNS`."""

    row: int
    ranking: list[tuple[Any, ...]] | None = None
    """The values of each hit, in the order of `PLACE`."""
    cost: float | None = None
    error: dict[str, Any] | None = None
    unranked: int = 0
    """The number of documents that came back without a score."""


_DECODER = msgspec.json.Decoder(FinishedRow)


class Journal:
    """The finished rows of a job, on disk. Use `opened` to make one."""

    def __init__(self, path: Path, file: BinaryIO, rows: int) -> None:
        self.done = self.failed = 0
        self.spent = Decimal(0)
        """The reported cost in US dollars."""
        self.largest: Decimal | None = None
        """The highest cost of a row."""
        self.unranked = self.unranked_rows = 0
        """The numbers of documents without a score, and of rows with such documents."""
        self.unknown = 0
        """The number of ranked rows without a reported cost."""
        self.cut = 0
        """The number of bytes of an incomplete last line that was removed."""
        self.failures: Counter[str] = Counter()
        """The number of failed rows by the type of the error."""
        self.messages: dict[str, str] = {}
        """The message of the first error of each type."""
        self.rows = rows
        """The number of rows of the input."""
        self.replaces = False
        """True if the job replaces an output that was there when it began."""
        self._path = path
        self._file = file
        # Eight bytes for each row, to keep memory small.
        self._places = array("q", bytes(8 * rows))
        self._end = 0
        self._synced = time.monotonic()
        self._lock = threading.Lock()

    @property
    def cost(self) -> float:
        """The reported cost in US dollars."""
        return float(self.spent)

    def __contains__(self, row: int) -> bool:
        return self._places[row] != 0

    def __getitem__(self, row: int) -> FinishedRow:
        self._file.seek(self._places[row])
        return _DECODER.decode(_payload(self._file.readline()) or b"")

    def record(self, finished: FinishedRow) -> None:
        """Record a finished row; any thread may call this.

        Raises:
            BatchError: The row cannot be written; earlier rows are intact.
        """
        content = msgspec.json.encode(finished)
        with self._lock:
            self._append(content)
            self._count(finished, self._end - len(content) - _FRAME)
            if time.monotonic() - self._synced > _SYNC:
                self.sync()

    def sync(self) -> None:
        """Flush the journal to the disk."""
        with self._reporting():
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def remove(self) -> None:
        """Delete the journal."""
        self._path.unlink()

    def is_ours(self, header: Mapping[str, Any], *, damaged: bool) -> bool:
        """Return True if the file contains a journal, False if it is empty.

        Args:
            header: The header of this job; a file that ends within it counts as empty.
            damaged: True to accept a journal whose header is damaged.

        Raises:
            BadBatch: The file contains something else.
        """
        self._file.seek(0)
        line = self._file.readline(_LONGEST_HEADER)
        content = _payload(line)
        if content is None:
            begun = (_framed(msgspec.json.encode(one)) for one in (header, {**header, **_REPLACING}))
            if any(whole.startswith(line.rstrip(b"\0")) for whole in begun):
                return False
            if damaged and _BEGINNING.match(line):
                return True
        elif _BEGINNING.match(line):
            return True
        message = f"{self._path}: it is not a journal of this version; remove it, or name another OUT"
        raise BadBatch(message)

    def load(self, header: Mapping[str, Any]) -> None:
        """Load the finished rows and remove an incomplete last line.

        Raises:
            BadBatch: The journal belongs to another job.
        """
        self._file.seek(0)
        there: Any = msgspec.json.decode(_payload(self._file.readline()) or b"")
        _refuse_others(self._path, there, header)
        self.replaces = "replaces" in there
        self._end = self._file.tell()
        for line in self._file:
            payload = _payload(line)
            if payload is None:
                break
            self._count(_DECODER.decode(payload), self._end)
            self._end += len(line)
        size = self._file.seek(0, os.SEEK_END)
        self.cut = size - self._end
        self._file.truncate(self._end)

    def begin(self, header: Mapping[str, Any], *, replaces: bool) -> None:
        """Start an empty journal; with `replaces`, of a job that replaces an output."""
        self.replaces = replaces
        self._file.truncate(0)
        self._append(msgspec.json.encode({**header, **_REPLACING} if replaces else header))
        self.sync()

    def _count(self, finished: FinishedRow, place: int) -> None:
        self._places[finished.row] = place
        self.done += 1
        if finished.error is not None:
            self.failed += 1
            self.failures[finished.error["type"]] += 1
            self.messages.setdefault(finished.error["type"], finished.error["message"])
        if finished.cost is not None:
            cost = exact(finished.cost)
            self.spent += cost
            self.largest = max(cost, self.largest or cost)
        self.unranked += finished.unranked
        self.unranked_rows += finished.unranked > 0
        self.unknown += finished.error is None and finished.cost is None

    def _append(self, content: bytes) -> None:
        line = memoryview(_framed(content))
        number = self._file.fileno()
        with self._reporting():
            os.lseek(number, self._end, os.SEEK_SET)
            try:
                written = 0
                while written < len(line):
                    written += os.write(number, line[written:])
            except OSError:
                with suppress(OSError):
                    os.ftruncate(number, self._end)
                raise
        self._end += len(line)

    @contextmanager
    def _reporting(self) -> Generator[None]:
        with reporting(self._path, f"{self.done:,} rows are finished and will not be ranked again"):
            yield


_REPLACING = {"replaces": True}
_BEGINNING = re.compile(rb'[0-9a-f]{8} \{"rerank_batch":1,')
_LONGEST_HEADER = 2**20
_FRAME = 10  # the checksum, a blank and the newline around a line's content


def _framed(content: bytes) -> bytes:
    """Return a line of a journal."""
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _payload(line: bytes) -> bytes | None:
    """Return the content of a line; None if it is incomplete or damaged."""
    content = line[9:-1]
    return content if line == _framed(content) else None


@contextmanager
def opened(batch: Batch, found: Survey, *, restart: bool) -> Generator[Journal]:
    """Open the journal of a job and lock it against other processes.

    Raises:
        BadBatch: The journal belongs to another job or another process has it, or the job would overwrite a file.
        BatchError: The journal cannot be written.
    """
    refuse_irregular(batch, restart=restart)
    if not batch.journal.exists():
        refuse_existing(batch, restart=restart)
    refuse_lack_of_room(batch, found)
    options = {
        "query_column": batch.query_column,
        "documents_column": batch.documents_column,
        "text_field": batch.text_field,
        "chunk": None if batch.chunk is None else list(batch.chunk),
        **batch.options,
    }
    header = {
        "rerank_batch": 1,
        "input": {"rows": found.rows, "sha256": found.digest},
        "options": options,
    }
    with _locked(batch.journal) as file:
        journal = Journal(batch.journal, file, found.rows)
        ours = journal.is_ours(header, damaged=restart)
        if not ours:
            refuse_existing(batch, restart=restart)
        if ours and not restart:
            journal.load(header)
            if journal.done < found.rows and not journal.replaces:
                refuse_appeared(batch)
        else:
            journal.begin(header, replaces=any(map(os.path.lexists, (batch.target, batch.failed))))
        yield journal


@contextmanager
def _locked(path: Path) -> Generator[BinaryIO]:
    while True:
        with open_journal(path) as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                message = f"{path}: another process is writing it; wait for its end, or name another OUT"
                raise BadBatch(message) from error
            # Another process may have deleted the file between opening and locking.
            if path.exists() and _is_at(file, path):
                yield file
                return


def _is_at(file: BinaryIO, path: Path) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), path.lstat())


if sys.platform == "win32":
    import msvcrt

    def _lock(number: int) -> None:
        # Lock a byte far beyond the end, because other processes cannot read locked bytes.
        os.lseek(number, 2**40, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refuse_others(path: Path, there: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    hint = "pass the same ones to resume, name another OUT, or pass --restart to delete the finished rows"
    if there["input"] != header["input"]:
        message = f"{path}: it belongs to a run over another input, or the input has changed; {hint}"
        raise BadBatch(message)
    before, now = cast(dict[str, Any], there["options"]), cast(dict[str, Any], header["options"])
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        changes = ", ".join(f"{name} was {before.get(name)!r} and is now {now.get(name)!r}" for name in names)
        message = f"{path}: it belongs to a run with other options: {changes}; {hint}"
        raise BadBatch(message)
