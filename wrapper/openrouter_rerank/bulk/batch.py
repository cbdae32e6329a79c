"""A table of queries, each with its documents, ranked row by row: what is read, what is kept of each row, what is written.

A job keeps an append-only journal beside its output, `OUT.part`: a line with a checksum for each row that is finished. A job
that died is taken up where the journal ends, and the output is made of the input and the journal when all rows are there. It
makes no call itself, and prints nothing.
"""

from __future__ import annotations

import csv
import hashlib
import os
import sys
import threading
import time
import zlib
from array import array
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import msgspec

from openrouter_rerank.bulk.many import Request, Result
from openrouter_rerank.errors import ResponseError

FORMATS = ("jsonl", "csv", "parquet")
_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}

RELEVANCE = "relevance"
ERROR = "rerank_error"
"""The column of a row that failed; it is left out where such rows are read again."""
RESULTS = ("ranking", "model", "provider", "cost", "search_units", "total_tokens", "response_id")
"""The columns that are added to a row."""

# The module's own limit is 131,072 characters, which a list of documents exceeds.
_LONGEST_CELL = 2**31 - 1
# Rows that are decoded, or written, at a time.
_CHUNK = 256
# Between two times that the disk is told to keep what it has, in seconds. A killed process loses nothing by it.
_SYNC = 1.0
_DEPTH = 10
"""How many places of a ranking the metrics look at."""

Rows: TypeAlias = Iterator[dict[str, Any]]


class BatchError(Exception):
    """What ends a job, and what to do about it."""


class BadBatch(BatchError):
    """The input or the options are wrong, and nothing was sent."""


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A job: what is ranked by which columns, and where it goes."""

    source: Path
    target: Path
    input_format: str
    output_format: str
    query_column: str = "query"
    documents_column: str = "documents"
    id_column: str | None = None
    prefix: str = ""
    """Put before the name of each added column."""
    keep_documents: bool = False
    with_documents: bool = False
    """Whether the ranking carries its documents."""
    options: Mapping[str, Any] = {}
    """What else determines the rankings: a job is not taken up with others."""

    @property
    def journal(self) -> Path:
        """Where the rows that are finished are kept."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def failed(self) -> Path:
        """Where the rows that failed go."""
        return self.target.with_name(self.target.name + ".failed.jsonl")

    def added(self, name: str) -> str:
        """The name of an added column."""
        return self.prefix + name


def format_of(path: Path, given: str | None, option: str) -> str:
    """The format of a file, by what was given or its name."""
    found = given or _BY_SUFFIX.get(path.suffix.lower())
    if found is None:
        message = f"{path}: its name does not say what it is. Add {option}: {', '.join(FORMATS)}"
        raise BadBatch(message)
    if found == "parquet":
        _arrow()
    return found


def _arrow(module: str = "pyarrow") -> Any:
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        message = "Parquet needs pyarrow: pip install 'openrouter-rerank[batch]', or '.[batch]' in a clone"
        raise BadBatch(message) from error


# ------------------------------------------------------------------------------------------------------------- reading


def read(batch: Batch) -> Rows:
    """The rows of the input, one after the other, as mappings of their columns; lists in CSV cells are read.

    Raises:
        BadBatch: It cannot be read, or is not what its format says.
    """
    try:
        yield from _READERS[batch.input_format](batch)
    except OSError as error:
        message = f"{batch.source}: {error.strerror or error}. Name a file that can be read"
        raise BadBatch(message) from error


def _jsonl(batch: Batch) -> Rows:
    decoder = msgspec.json.Decoder(dict[str, Any])
    with batch.source.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = decoder.decode(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
            except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
                message = f"{batch.source}, line {number}: no JSON object ({error}). A line holds one row"
                raise BadBatch(message) from error
            row.pop(ERROR, None)
            yield row


def _csv(batch: Batch) -> Rows:
    csv.field_size_limit(_LONGEST_CELL)
    lists = (batch.documents_column, RELEVANCE)
    with batch.source.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header: list[str] = []
        while True:
            where = f"{batch.source}, line {reader.line_num + 1}"
            try:
                cells = next(reader, None)
            except (csv.Error, UnicodeDecodeError) as error:
                message = (
                    f"{where}: not CSV in UTF-8 ({error}). Quote cells that hold commas, quotes or newlines"
                )
                raise BadBatch(message) from error
            if cells is None:
                return
            if not cells:
                continue
            if not header:
                header = cells
                twice = next((name for name in header if header.count(name) > 1), None)
                if twice is not None:
                    message = f"{where}: two columns are named {twice!r}. Rename one of them"
                    raise BadBatch(message)
                continue
            if len(cells) != len(header):
                message = f"{where}: {len(cells)} cells where the header has {len(header)}. Quote cells that hold commas"
                raise BadBatch(message)
            row: dict[str, Any] = dict(zip(header, cells, strict=True))
            for name in lists:
                if name in row:
                    row[name] = _cell(where, name, row[name])
            yield row


def _cell(where: str, name: str, cell: str) -> Any:
    if not cell and name == RELEVANCE:
        return None
    try:
        return msgspec.json.decode(cell)
    except (msgspec.DecodeError, RecursionError) as error:
        message = f"{where}: the cell {name!r} is no JSON ({error}). In CSV a list is written as a JSON array"
        raise BadBatch(message) from error


def _parquet(batch: Batch) -> Rows:
    parquet = _arrow("pyarrow.parquet")
    invalid: Any = _arrow().ArrowInvalid
    try:
        with parquet.ParquetFile(batch.source) as file:
            for chunk in file.iter_batches(batch_size=_CHUNK):
                yield from chunk.to_pylist()
    except invalid as error:
        message = f"{batch.source}: not Parquet ({error}). Say what it is with --input-format"
        raise BadBatch(message) from error


_READERS: Mapping[str, Callable[[Batch], Rows]] = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}


def documents_of(row: Mapping[str, Any], batch: Batch) -> list[Any]:
    """The documents of a row as they are sent."""
    return sendable(row[batch.documents_column])


def sendable(documents: list[Any]) -> list[Any]:
    """The documents without what Arrow fills up with null, as its structs all have the same fields."""
    return [
        {name: value for name, value in cast(dict[str, Any], document).items() if value is not None}
        if isinstance(document, dict)
        else document
        for document in documents
    ]


class Survey(msgspec.Struct):
    """What the input is, found by reading all of it before anything is sent."""

    rows: int = 0
    labelled: int = 0
    """How many rows have relevance labels."""
    columns: dict[str, None] = msgspec.field(default_factory=dict[str, None])
    """Their names, in the order in which they were met."""
    digest: str = ""
    schema: Any = None
    """For Parquet: the types of the columns that are carried over."""


def survey(batch: Batch) -> Survey:
    """What the input is.

    Raises:
        BadBatch: It cannot be read, or a row of it can be no request.
    """
    found = Survey()
    chunks = _infers(batch)
    chunk: list[dict[str, Any]] = []
    for number, row in enumerate(read(batch), 1):
        _check(row, number, batch)
        found.rows += 1
        found.labelled += row.get(RELEVANCE) is not None
        found.columns.update(dict.fromkeys(row))
        if chunks is not None:
            chunk.append(_carried(row, batch))
            if len(chunk) == _CHUNK:
                chunks(chunk)
                chunk = []
    if found.rows == 0:
        message = f"{batch.source}: there is no row in it. Name a file with rows"
        raise BadBatch(message)
    _refuse_collisions(found, batch)
    with batch.source.open("rb") as file:
        found.digest = hashlib.file_digest(file, "sha256").hexdigest()
    if batch.output_format == "parquet":
        found.schema = _schema(batch) if chunks is None else chunks(chunk)
    return found


def _check(row: Mapping[str, Any], number: int, batch: Batch) -> None:
    where = f"{batch.source}, row {number}"
    for column, option in (
        (batch.query_column, "--query-column"),
        (batch.documents_column, "--documents-column"),
    ):
        if column not in row:
            message = f"{where}: there is no column {column!r}, only {', '.join(row)}. Name the right one with {option}"
            raise BadBatch(message)
    if batch.id_column is not None and batch.id_column not in row:
        message = (
            f"{where}: there is no column {batch.id_column!r}, only {', '.join(row)}. Change --id-column"
        )
        raise BadBatch(message)
    if batch.id_column is not None:
        where += f" ({batch.id_column} {row[batch.id_column]!r})"
    query, documents = row[batch.query_column], row[batch.documents_column]
    if not isinstance(query, str):
        message = f"{where}: the query is {_kind(query)}, not a text. Mend or remove the row"
        raise BadBatch(message)
    if not isinstance(documents, list):
        message = f"{where}: the documents are {_kind(documents)}, not a list. Mend or remove the row"
        raise BadBatch(message)
    for place, document in enumerate(cast(list[object], documents)):
        if not isinstance(document, str | dict):
            message = f"{where}: document {place} is {_kind(document)}, not a text or an object. Mend or remove the row"
            raise BadBatch(message)
    labels = row.get(RELEVANCE)
    if labels is not None and not (
        isinstance(labels, list)
        and len(cast(list[object], labels)) == len(cast(list[object], documents))
        and all(
            isinstance(label, int | float) and isfinite(label) and label == int(label)
            for label in cast(list[object], labels)
        )
    ):
        message = (
            f"{where}: the column {RELEVANCE!r} is no list of whole numbers, one for each document. "
            "Mend it, or rename the column if it is something else"
        )
        raise BadBatch(message)


def _kind(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"


def _refuse_collisions(found: Survey, batch: Batch) -> None:
    added = [batch.added(name) for name in RESULTS]
    kept = set(found.columns) - (set() if batch.keep_documents else {batch.documents_column})
    taken = [name for name in added if name in kept]
    if taken:
        message = (
            f"{batch.source} has columns of its own that are named as those to be added: {', '.join(taken)}. "
            "Put something before the added ones with --prefix"
        )
        raise BadBatch(message)


def _carried(row: Mapping[str, Any], batch: Batch) -> dict[str, Any]:
    """What of the row is in the output too."""
    return {
        name: value for name, value in row.items() if batch.keep_documents or name != batch.documents_column
    }


# ------------------------------------------------------------------------------------------------------------- keeping


class Kept(msgspec.Struct, omit_defaults=True):
    """What is kept of a row that is finished."""

    row: int
    ranking: list[tuple[int, float]] | None = None
    model: str | None = None
    provider: str | None = None
    cost: float | None = None
    search_units: int | None = None
    total_tokens: int | None = None
    response_id: str | None = None
    error: dict[str, Any] | None = None


class Row(Request, kw_only=True):
    """The request of a row."""

    row: int


def kept(result: Result) -> Kept:
    """What is kept of the result of a `Row`."""
    row: int = result.request.row
    ranking: Any = result.ranking
    if result.error is not None:
        return Kept(row, error=told(result.error))
    return Kept(
        row,
        [(hit.index, hit.score) for hit in ranking],
        ranking.model,
        ranking.provider,
        ranking.usage.cost
        if ranking.attempts or ranking.usage.cost
        else 0.0,  # of no documents nothing is sent
        ranking.usage.search_units,
        ranking.usage.total_tokens,
        ranking.id,
    )


def told(error: Exception) -> dict[str, Any]:
    """An error as it stands in a row."""
    status = error.status if isinstance(error, ResponseError) else None
    return {"type": type(error).__name__, "message": str(error), "status": status}


class Journal:
    """The rows of a job that are finished, on disk. `opened` makes one."""

    def __init__(self, path: Path, file: BinaryIO, rows: int) -> None:
        self.done = self.failed = 0
        self.cost = 0.0
        self.unknown = 0
        """Rows that were ranked, and of which the server did not say the cost."""
        self.cut = 0
        """Bytes of a torn end that were cut off."""
        self._path = path
        self._file = file
        # Eight bytes for each row of the input, and nothing else of it.
        self._places = array("q", bytes(8 * rows))
        self._end = 0
        self._synced = time.monotonic()
        self._lock = threading.Lock()

    def __contains__(self, row: int) -> bool:
        return self._places[row] != 0

    def __getitem__(self, row: int) -> Kept:
        self._file.seek(self._places[row])
        return msgspec.json.decode(_payload(self._file.readline()) or b"", type=Kept)

    def record(self, finished: Kept) -> None:
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

    def load(self, header: Mapping[str, Any]) -> None:
        """Take up what is there, without a torn end; begin with the header where nothing is."""
        self._file.seek(0)
        line = self._file.readline()
        first = _payload(line)
        if first is None:
            # Torn at its very beginning; anything else is not ours to overwrite.
            if not _framed(msgspec.json.encode(header)).startswith(line.rstrip(b"\0")):
                _refuse_others(self._path, None, header)
            self.begin(header)
            return
        _refuse_others(self._path, msgspec.json.decode(first), header)
        self._end = self._file.tell()
        decoder = msgspec.json.Decoder(Kept)
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

    def _count(self, finished: Kept, place: int) -> None:
        self._places[finished.row] = place
        self.done += 1
        self.failed += finished.error is not None
        self.cost += finished.cost or 0.0
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
        with reporting(self._path, f"{self.done} rows are finished and will not be ranked again"):
            yield


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
def reporting(path: Path, kept: str) -> Generator[None]:
    """Tell an error of the file system as what ends a job."""
    try:
        yield
    except OSError as error:
        message = (
            f"{path} could not be written: {error.strerror or error}. "
            f"Make room and run the same command again: {kept}"
        )
        raise BatchError(message) from error


@contextmanager
def opened(batch: Batch, found: Survey, *, restart: bool) -> Generator[Journal]:
    """The journal of a job, which no other process has at the same time.

    Raises:
        BadBatch: It is that of another job, or another process has it; or the output is there already.
        BatchError: It cannot be written.
    """
    if batch.target.exists() and not batch.journal.exists() and not restart:
        message = f"{batch.target} is there already, and no run of it is unfinished. Name another, or --restart to rank anew"
        raise BadBatch(message)
    options = {
        "query_column": batch.query_column,
        "documents_column": batch.documents_column,
        **batch.options,
    }
    header = {
        "rerank_batch": 1,
        "input": {"rows": found.rows, "sha256": found.digest},
        "options": options,
    }
    with _locked(batch.journal) as file:
        journal = Journal(batch.journal, file, found.rows)
        if restart:
            journal.begin(header)
        else:
            journal.load(header)
        yield journal


@contextmanager
def _locked(path: Path) -> Generator[BinaryIO]:
    while True:
        with reporting(path, "nothing was sent"):
            file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
        with file:
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
    return os.path.samestat(os.fstat(file.fileno()), path.stat())


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


def _refuse_others(path: Path, there: Any, header: Mapping[str, Any]) -> None:
    hint = "Give the same ones to go on, name another output, or --restart to throw away what is finished"
    if not isinstance(there, dict) or cast(dict[str, Any], there).get("rerank_batch") != 1:
        message = f"{path} is no journal of this version. Remove it, or name another output"
        raise BadBatch(message)
    if there["input"] != header["input"]:
        message = f"{path} belongs to a run over another input, or the input has changed. {hint}"
        raise BadBatch(message)
    before, now = cast(dict[str, Any], there["options"]), cast(dict[str, Any], header["options"])
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    if names:
        changes = ", ".join(f"{name} was {before.get(name)!r} and is now {now.get(name)!r}" for name in names)
        message = f"{path} belongs to a run with other options: {changes}. {hint}"
        raise BadBatch(message)


def requests(batch: Batch, journal: Journal, top_n: int | None) -> Iterator[Row]:
    """The requests of the rows that are not finished."""
    for number, row in enumerate(read(batch)):
        if number not in journal:
            yield Row(
                query=row[batch.query_column], documents=documents_of(row, batch), top_n=top_n, row=number
            )


# ------------------------------------------------------------------------------------------------------------- writing


class Summary(msgspec.Struct):
    """How good the order was, before and after; the mean over the rows that have labels."""

    labelled: int = 0
    unmeasured: int = 0
    """How many rows have labels that nothing installed can measure by."""
    before: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    after: dict[str, float] = msgspec.field(default_factory=dict[str, float])


METRICS = {"ndcg_cut_10": "nDCG@10", "recip_rank": "MRR@10"}


def finish(batch: Batch, found: Survey, journal: Journal) -> Summary:
    """Make the output of the input and the journal, and remove the journal. It may be killed, and done again.

    Raises:
        BatchError: It cannot be written, or the input has changed; the journal is whole.
    """
    rate = _rater() if found.labelled else None
    summary = Summary(unmeasured=found.labelled if rate is None else 0)
    finished = f"all {found.rows} rows are finished and will not be ranked again"
    parts = [path.with_name(path.name + ".tmp") for path in (batch.target, batch.failed)]
    try:
        with reporting(batch.target, finished):
            with parts[1].open("wb") as failed:
                _WRITERS[batch.output_format](
                    parts[0], _output(batch, journal, failed, summary, rate), batch, found
                )
                _flushed(failed)
            with batch.source.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != found.digest:
                    message = f"{batch.source} has changed since it was read. Put it back and run the same command again"
                    raise BadBatch(message)
            if journal.failed:
                parts[1].replace(batch.failed)
            else:
                batch.failed.unlink(missing_ok=True)
            parts[0].replace(batch.target)
            _sync_directory(batch.target.parent)
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    journal.remove()
    for measured in (summary.before, summary.after):
        for name in measured:
            measured[name] /= summary.labelled
    return summary


def _output(
    batch: Batch,
    journal: Journal,
    failed: BinaryIO,
    summary: Summary,
    rate: Callable[[list[Any], list[int]], Mapping[str, float]] | None,
) -> Rows:
    for number, row in enumerate(read(batch)):
        what = journal[number]
        if what.ranking is None:
            failed.write(msgspec.json.encode({**row, ERROR: what.error}) + b"\n")
            continue
        documents, labels = row[batch.documents_column], row.get(RELEVANCE)
        if rate is not None and labels is not None:
            summary.labelled += 1
            order = [index for index, _ in what.ranking]
            for sums, indices in ((summary.before, list(range(len(documents)))), (summary.after, order)):
                for name, value in rate(labels, indices).items():
                    sums[name] = sums.get(name, 0.0) + value
        ranking: list[dict[str, Any]] = [{"index": index, "score": score} for index, score in what.ranking]
        if batch.with_documents:
            for hit in ranking:
                hit["document"] = documents[hit["index"]]
        values = {"ranking": ranking, **{name: getattr(what, name) for name in RESULTS[1:]}}
        yield {**_carried(row, batch), **{batch.added(name): values[name] for name in RESULTS}}


def _rater() -> Callable[[list[Any], list[int]], Mapping[str, float]] | None:
    """What measures an order by labels: trec_eval, in its Python build; None where it is not installed."""
    try:
        trec: Any = import_module("pytrec_eval")
    except ModuleNotFoundError:
        return None

    def rate(labels: list[Any], order: list[int]) -> Mapping[str, float]:
        relevance = {"q": {str(index): int(label) for index, label in enumerate(labels)}}
        evaluator = trec.RelevanceEvaluator(relevance, {"ndcg_cut.10", "recip_rank"})
        # trec_eval sorts by score; places make no ties.
        run = {str(index): float(-place) for place, index in enumerate(order[:_DEPTH])}
        measured: dict[str, Any] = evaluator.evaluate({"q": run}).get("q", {}) if run else {}
        return {name: float(measured.get(name, 0.0)) for name in METRICS}

    return rate


def _write_jsonl(path: Path, rows: Rows, batch: Batch, found: Survey) -> None:
    del batch, found
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for row in rows:
            file.write(encoder.encode(row) + b"\n")
        _flushed(file)


def _write_csv(path: Path, rows: Rows, batch: Batch, found: Survey) -> None:
    header = [*_carried(found.columns, batch), *map(batch.added, RESULTS)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_text(row.get(name)) for name in header] for row in rows)
        _flushed(file)


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _write_parquet(path: Path, rows: Rows, batch: Batch, found: Survey) -> None:
    arrow, parquet = _arrow(), _arrow("pyarrow.parquet")
    schema = found.schema
    place: list[Any] = [("index", arrow.int32()), ("score", arrow.float64())]
    if batch.with_documents:
        # A document may be a text or an object, and a column has one type: objects are written as JSON.
        place.append(("document", arrow.string()))
    kinds = [arrow.list_(arrow.struct(place)), arrow.string(), arrow.string(), arrow.float64()]
    kinds += [arrow.int64(), arrow.int64(), arrow.string()]
    for name, kind in zip(RESULTS, kinds, strict=True):
        schema = schema.append(arrow.field(batch.added(name), kind))
    with path.open("wb") as file:
        with parquet.ParquetWriter(file, schema) as writer:
            for chunk in iter(lambda: list(islice(rows, _CHUNK)), []):
                for row in chunk if batch.with_documents else ():
                    for hit in row[batch.added("ranking")]:
                        hit["document"] = _text(hit["document"])
                writer.write_table(arrow.Table.from_pylist(chunk, schema))
        _flushed(file)


_WRITERS: Mapping[str, Callable[[Path, Rows, Batch, Survey], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def _schema(batch: Batch) -> Any:
    schema = _arrow("pyarrow.parquet").read_schema(batch.source)
    if not batch.keep_documents:
        schema = schema.remove(schema.get_field_index(batch.documents_column))
    return schema


def _infers(batch: Batch) -> Callable[[list[dict[str, Any]]], Any] | None:
    """What finds the types of the columns from one chunk of rows after the other; None where they are known."""
    if batch.output_format != "parquet" or batch.input_format == "parquet":
        return None
    arrow = _arrow()
    schema: Any = arrow.schema([])

    def infer(chunk: list[dict[str, Any]]) -> Any:
        nonlocal schema
        names = list(dict.fromkeys(name for row in chunk for name in row))
        try:
            for name in names:
                kind = arrow.array([row.get(name) for row in chunk]).type
                schema = arrow.unify_schemas(
                    [schema, arrow.schema([(name, kind)])], promote_options="permissive"
                )
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError) as error:
            message = (
                f"{batch.source}: a column has values of several types, and in Parquet it can have but one ({error}). "
                "Write JSON lines: --output-format jsonl"
            )
            raise BadBatch(message) from error
        return schema

    return infer


def _flushed(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    if sys.platform == "win32":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
