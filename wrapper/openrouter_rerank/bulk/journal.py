"""The journal of `rerank batch`: a line with a checksum for each row that is finished, appended and never changed.

A job that died is taken up where its journal ends.
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

from openrouter_rerank.bulk.job import COLUMNS, BadBatch, Batch, Survey, reporting
from openrouter_rerank.bulk.paths import open_journal, refuse_existing, refuse_irregular, refuse_lack_of_room
from openrouter_rerank.ledger import exact

# Between two times that the disk is told to keep what it has, in seconds. A killed process loses nothing by it.
_SYNC = 1.0


S = TypeVar("S", bound=msgspec.Struct)


def _with_columns(base: type[S]) -> type[S]:
    """Add a field for each column that the struct has not, so that a new field of the contract is kept too."""
    names = set(base.__struct_fields__)
    added = [(name, kind | None, None) for name, kind in COLUMNS.items() if name not in names]
    return cast("type[S]", msgspec.defstruct(base.__name__, added, bases=(base,), module=base.__module__))


@_with_columns
class FinishedRow(msgspec.Struct, omit_defaults=True):
    """The outcome of a row, with a field for each of `COLUMNS`."""

    row: int
    ranking: list[tuple[Any, ...]] | None = None
    """The values of each hit, as `PLACE` names them."""
    cost: float | None = None
    error: dict[str, Any] | None = None
    unranked: int = 0
    """How many documents came back without a score."""


class Journal:
    """The rows of a job that are finished, on disk. `opened` makes one."""

    def __init__(self, path: Path, file: BinaryIO, rows: int) -> None:
        self.done = self.failed = 0
        self.spent = Decimal(0)
        """US dollars, as far as the server said them."""
        self.largest: Decimal | None = None
        """The most that a row cost."""
        self.unranked = self.unranked_rows = 0
        """Documents that came back without a score, and the rows that have any."""
        self.unknown = 0
        """Rows that were ranked, and of which the server did not say the cost."""
        self.cut = 0
        """Bytes of a torn end that were cut off."""
        self.failures: Counter[str] = Counter()
        """How many rows failed with errors of which type."""
        self.said: dict[str, str] = {}
        """What the first error of each type said."""
        self.rows = rows
        """How many there are to be."""
        self._path = path
        self._file = file
        # Eight bytes for each row of the input, and nothing else of it.
        self._places = array("q", bytes(8 * rows))
        self._end = 0
        self._synced = time.monotonic()
        self._lock = threading.Lock()

    @property
    def cost(self) -> float:
        """US dollars, as far as the server said them."""
        return float(self.spent)

    def __contains__(self, row: int) -> bool:
        return self._places[row] != 0

    def __getitem__(self, row: int) -> FinishedRow:
        self._file.seek(self._places[row])
        return msgspec.json.decode(_payload(self._file.readline()) or b"", type=FinishedRow)

    def record(self, finished: FinishedRow) -> None:
        """Keep a row, from any thread: it is finished when this returns.

        Raises:
            BatchError: It cannot be written; what was kept before is whole.
        """
        content = msgspec.json.encode(finished)
        with self._lock:
            self._append(content)
            self._count(finished, self._end - len(content) - _FRAME)
            if time.monotonic() - self._synced > _SYNC:
                self.sync()

    def sync(self) -> None:
        """Have the disk keep what it was given."""
        with self._reporting():
            os.fsync(self._file.fileno())
        self._synced = time.monotonic()

    def remove(self) -> None:
        """It is not needed any more."""
        self._path.unlink()

    def is_ours(self, header: Mapping[str, Any], *, damaged: bool) -> bool:
        """True if there is a journal in the file, False if there is nothing.

        Args:
            header: That of this job; a journal that broke off within it is nothing.
            damaged: Whether one is known for a journal whose header is damaged.

        Raises:
            BadBatch: There is something else.
        """
        self._file.seek(0)
        line = self._file.readline(_LONGEST_HEADER)
        content = _payload(line)
        if content is None:
            if _framed(msgspec.json.encode(header)).startswith(line.rstrip(b"\0")):
                return False
            if damaged and _BEGINNING.match(line):
                return True
        elif _BEGINNING.match(line):
            return True
        message = f"{self._path} is no journal of this version. Remove it, or name another output"
        raise BadBatch(message)

    def load(self, header: Mapping[str, Any]) -> None:
        """Take up what is there, without a torn end.

        Raises:
            BadBatch: It is the journal of another job.
        """
        self._file.seek(0)
        there: Any = msgspec.json.decode(_payload(self._file.readline()) or b"")
        _refuse_others(self._path, there, header)
        self._end = self._file.tell()
        decoder = msgspec.json.Decoder(FinishedRow)
        for line in self._file:
            payload = _payload(line)
            if payload is None:
                break
            self._count(decoder.decode(payload), self._end)
            self._end += len(line)
        size = self._file.seek(0, os.SEEK_END)
        self.cut = size - self._end
        self._file.truncate(self._end)

    def begin(self, header: Mapping[str, Any]) -> None:
        """Begin anew."""
        self._file.truncate(0)
        self._append(msgspec.json.encode(header))
        self.sync()

    def _count(self, finished: FinishedRow, place: int) -> None:
        self._places[finished.row] = place
        self.done += 1
        if finished.error is not None:
            self.failed += 1
            self.failures[finished.error["type"]] += 1
            self.said.setdefault(finished.error["type"], finished.error["message"])
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


_BEGINNING = re.compile(rb'[0-9a-f]{8} \{"rerank_batch":1,')
_LONGEST_HEADER = 2**20
_FRAME = 10  # the checksum, a blank and the newline around a line's content


def _framed(content: bytes) -> bytes:
    """A line of a journal."""
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _payload(line: bytes) -> bytes | None:
    """The content of a line; None where it is torn or damaged."""
    content = line[9:-1]
    whole = line[-1:] == b"\n" and line[8:9] == b" " and line[:8] == b"%08x" % zlib.crc32(content)
    return content if whole else None


@contextmanager
def opened(batch: Batch, found: Survey, *, restart: bool) -> Generator[Journal]:
    """The journal of a job, which no other process has at the same time.

    Raises:
        BadBatch: It is that of another job, or another process has it; or a file is in the way.
        BatchError: It cannot be written.
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
        else:
            journal.begin(header)
        yield journal


@contextmanager
def _locked(path: Path) -> Generator[BinaryIO]:
    while True:
        with open_journal(path) as file:
            try:
                _lock(file.fileno())
            except OSError as error:
                message = f"another process is writing {path}. Wait for it to end, or name another output"
                raise BadBatch(message) from error
            # The one who had it may have finished and removed it meanwhile: then this is a file without a name.
            if path.exists() and _is_at(file, path):
                yield file
                return


def _is_at(file: BinaryIO, path: Path) -> bool:
    return os.path.samestat(os.fstat(file.fileno()), path.lstat())


if sys.platform == "win32":
    import msvcrt

    def _lock(number: int) -> None:
        # Far behind the end, as others may not even read what is locked.
        os.lseek(number, 2**40, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _refuse_others(path: Path, there: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    hint = "Give the same ones to go on, name another output, or --restart to throw away what is finished"
    if there["input"] != header["input"]:
        message = f"{path} belongs to a run over another input, or the input has changed. {hint}"
        raise BadBatch(message)
    before, now = cast(dict[str, Any], there["options"]), cast(dict[str, Any], header["options"])
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        changes = ", ".join(f"{name} was {before.get(name)!r} and is now {now.get(name)!r}" for name in names)
        message = f"{path} belongs to a run with other options: {changes}. {hint}"
        raise BadBatch(message)
