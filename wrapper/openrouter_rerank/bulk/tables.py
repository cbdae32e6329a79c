"""Read the rows of `rerank batch` from JSON, CSV or Parquet, and write them to JSON lines, CSV or Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from math import isnan
from pathlib import Path
from textwrap import shorten
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

import msgspec

from openrouter_rerank.bulk import files, parquet
from openrouter_rerank.bulk.files import BadFile
from openrouter_rerank.bulk.job import (
    COLUMNS,
    ERROR,
    FORMATS,
    INPUT_FORMATS,
    RELEVANCE,
    RESULTS,
    SCALARS,
    BadBatch,
    Batch,
    Rows,
    Survey,
    Unwritable,
)
from openrouter_rerank_api.answers import HIT

_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}
_INPUT_BY_SUFFIX = {**_BY_SUFFIX, ".json": "jsonl", ".tsv": "tsv", ".tab": "tsv"}
_GZIP = ".gz"


def input_format(path: Path, given: str | None) -> str:
    """Return the format of the input, detected from its first bytes, the option or its name."""
    with path.open("rb") as file:
        is_parquet = files.is_parquet(files.peek(file)[0])
    name = path.with_suffix("") if path.suffix.lower() == _GZIP else path
    found = "parquet" if is_parquet else given or _INPUT_BY_SUFFIX.get(name.suffix.lower())
    return _known(path, found, "--input-format", INPUT_FORMATS)


def output_format(path: Path, given: str | None) -> str:
    """Return the format of the output, from the option or its name."""
    if path.suffix.lower() == _GZIP:
        message = f"{path}: OUT is not compressed; name it without {_GZIP}"
        raise BadBatch(message)
    return _known(path, given or _BY_SUFFIX.get(path.suffix.lower()), "--output-format", FORMATS)


def _known(path: Path, found: str | None, option: str, formats: Sequence[str]) -> str:
    if found is None:
        message = f"{path}: its name does not have a known suffix; add {option}: {', '.join(formats)}"
        raise BadBatch(message)
    if found == "parquet":
        try:
            parquet.load()
        except BadFile as error:
            raise BadBatch(str(error)) from error
    return found


# ------------------------------------------------------------------------------------------------------------- reading


class Chunk(NamedTuple):
    """Consecutive rows of the input."""

    first: int
    """The number of the first row, from 1."""
    rows: list[dict[str, Any]]
    """The JSON values of the rows; values that are only copied to the output are `msgspec.Raw`."""
    arrow: Any = None
    """The record batch with the same rows, for Parquet."""


def read(batch: Batch) -> Rows:
    """Yield the rows of the input.

    Raises:
        BadBatch: The input cannot be read, or does not have the format of the job.
    """
    for chunk in chunks(batch):
        yield from chunk.rows


def chunks(batch: Batch) -> Iterator[Chunk]:
    """Yield the rows of the input in chunks.

    Raises:
        BadBatch: The input cannot be read, or does not have the format of the job.
    """
    try:
        yield from _parquet(batch) if batch.input_format == "parquet" else _text(batch)
    except BadFile as error:
        raise BadBatch(str(error)) from error
    except OSError as error:
        message = f"{batch.source}: {error.strerror or error}; name a file that can be read"
        raise BadBatch(message) from error


def _parquet(batch: Batch) -> Iterator[Chunk]:
    name, first = str(batch.source), 1
    parquet.schema_of(name, batch.source)
    for found in parquet.batches(name, batch.source):
        rows = [_row(row) for row in parquet.rows(name, found, first)]
        yield Chunk(first, rows, found)
        first += len(rows)


def _text(batch: Batch) -> Iterator[Chunk]:
    first = 1
    with batch.source.open("rb") as file:
        rows = _text_rows(batch, file)
        while found := list(islice(rows, parquet.CHUNK)):
            yield Chunk(first, found)
            first += len(found)


def _text_rows(batch: Batch, file: BinaryIO) -> Rows:
    name = str(batch.source)
    decoded = (batch.query_column, batch.documents_column, RELEVANCE)
    needed = (batch.query_column, batch.documents_column)
    for record in files.read(name, file, batch.input_format, needed):
        row: Any = record.value
        if not isinstance(row, dict):
            message = f"{files.place(name, record.line)}: {files.kind(row)} is not a row; a row is an object"
            raise BadFile(message)
        values = cast(dict[str, Any], row)
        for column in decoded:
            value = values.get(column)
            if isinstance(value, msgspec.Raw):
                values[column] = _decoded(name, record.line, bytes(value).decode())
            elif isinstance(value, str) and batch.input_format != "jsonl" and column != batch.query_column:
                values[column] = _cell(name, record.line, column, value)
        yield _row(values)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    row.pop(ERROR, None)
    labels = row.get(RELEVANCE)
    if isinstance(labels, float) and isnan(labels):  # pandas writes NaN for a missing value
        row[RELEVANCE] = None
    return row


def _cell(name: str, line: int, column: str, cell: str) -> Any:
    if not cell and column == RELEVANCE:
        return None
    try:
        return _decoded(name, line, cell)
    except BadFile as error:
        message = f"{files.place(name, line)}: the cell {column!r} is not JSON ({shorten(cell, 40)}); write a list as a JSON array"
        raise BadFile(message) from error


def _decoded(name: str, line: int, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return files.json_value(name, line, text)


# ------------------------------------------------------------------------------------------------------------- writing


class RowWriter(Protocol):
    """A writer of rows with their results to the output."""

    def write(self, chunk: Chunk, places: Sequence[int], results: Sequence[Mapping[str, Any]]) -> None:
        """Write the rows at these places of a chunk, each with its results.

        Raises:
            Unwritable: A value does not fit the format.
        """
        ...

    def close(self) -> None:
        """Write the end of the file."""
        ...


def writer(batch: Batch, found: Survey, file: BinaryIO) -> RowWriter:
    """Return the writer of the output to this file."""
    match batch.output_format:
        case "jsonl":
            return _JsonLines(batch, file)
        case "csv":
            return _Csv(batch, found, file)
        case _:
            return _Parquet(batch, found, file)


def json_line(row: Mapping[str, Any], number: int) -> bytes:
    """Return a row as a line of JSON, with null for NaN and infinity.

    Raises:
        Unwritable: A value of the row cannot be written as JSON.
    """
    try:
        return msgspec.json.encode(row) + b"\n"
    except (ValueError, TypeError, RecursionError):
        for name, value in row.items():
            try:
                msgspec.json.encode({name: value})
            except (ValueError, TypeError, RecursionError) as error:
                raise Unwritable(number, name, value, str(error), "JSON") from error
        raise


class _JsonLines:
    def __init__(self, batch: Batch, file: BinaryIO) -> None:
        self._batch, self._file = batch, file

    def write(self, chunk: Chunk, places: Sequence[int], results: Sequence[Mapping[str, Any]]) -> None:
        for place, result in zip(places, results, strict=True):
            row = {**self._batch.carried(chunk.rows[place]), **result}
            self._file.write(json_line(row, chunk.first + place))

    def close(self) -> None:
        pass


class _Csv:
    def __init__(self, batch: Batch, found: Survey, file: BinaryIO) -> None:
        self._batch = batch
        self._text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text)
        self._header = [*batch.carried(found.columns), *map(batch.added, RESULTS)]
        self._begun = False

    def write(self, chunk: Chunk, places: Sequence[int], results: Sequence[Mapping[str, Any]]) -> None:
        for place, result in zip(places, results, strict=True):
            number = chunk.first + place
            row = {**self._batch.carried(chunk.rows[place]), **result}
            self._begin(number)
            self._writer.writerow([self._cell(number, name, row.get(name)) for name in self._header])

    def close(self) -> None:
        self._begin(1)
        self._text.detach()

    def _begin(self, number: int) -> None:
        if not self._begun:
            self._begun = True
            self._writer.writerow([self._cell(number, name, name) for name in self._header])

    def _cell(self, number: int, name: str, value: Any) -> str:
        try:
            text = cell_text(value)
            text.encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise Unwritable(number, name, value, str(error), "CSV") from error
        if "\0" in text:
            raise Unwritable(number, name, value, "it has a NUL character", "CSV")
        return text


def cell_text(value: Any) -> str:
    """Return a value as the text of a cell: texts unchanged, null as an empty cell, other values as JSON."""
    if isinstance(value, str):
        return value
    text = msgspec.json.encode(value).decode()
    if text.startswith('"'):
        return cast(str, msgspec.json.decode(text))
    return "" if text == "null" else text


class _Parquet:
    def __init__(self, batch: Batch, found: Survey, file: BinaryIO) -> None:
        arrow = parquet.load()
        self._batch = batch
        self._carried = found.schema
        place: list[Any] = [("index", arrow.int32()), ("score", arrow.float64())]
        place += [(name, parquet.type_of(kind)) for name, kind in HIT.items()]
        if batch.with_documents:
            # A column has one type, so documents that are objects are written as JSON.
            place.append(("document", arrow.string()))
        self._texts = [name for name, kind in HIT.items() if kind not in SCALARS]
        self._texts += ["document"] if batch.with_documents else []
        kinds = [arrow.list_(arrow.struct(place)), *map(parquet.type_of, COLUMNS.values())]
        self._added = arrow.schema(list(zip(map(batch.added, RESULTS), kinds, strict=True)))
        schema = found.schema
        for field in self._added:
            schema = schema.append(field)
        self._schema = schema
        self._writer = parquet.Writer(file, schema)

    def write(self, chunk: Chunk, places: Sequence[int], results: Sequence[Mapping[str, Any]]) -> None:
        try:
            added = parquet.table(self._added, self._results(results))
            arrays = self._arrays(chunk, places) + added.columns
            self._writer.write(parquet.load().Table.from_arrays(arrays, schema=self._schema))
        except parquet.BadValue as error:
            place = places[error.place]
            value = {**chunk.rows[place], **results[error.place]}.get(error.name)
            raise Unwritable(chunk.first + place, error.name, value, str(error), "Parquet") from error

    def close(self) -> None:
        self._writer.close()

    def _arrays(self, chunk: Chunk, places: Sequence[int]) -> list[Any]:
        if chunk.arrow is None:
            values = {
                name: [carried_value(chunk.rows[place].get(name)) for place in places]
                for name in self._carried.names
            }
            return cast(list[Any], parquet.table(self._carried, values).columns)
        # By slices, as pyarrow cannot select single rows for every type.
        table = parquet.load().Table.from_batches([chunk.arrow]).select(self._carried.names)
        slices = [table.slice(run.start, len(run)) for run in _runs(places)]
        return cast(list[Any], parquet.load().concat_tables(slices or [table.slice(0, 0)]).columns)

    def _results(self, results: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        columns = {name: [result[name] for result in results] for name in self._added.names}
        for name, kind in COLUMNS.items():
            added = self._batch.added(name)
            columns[added] = [arrow_value(kind, value) for value in columns[added]]
        if self._texts:
            name = self._batch.added("ranking")
            columns[name] = [
                [{**hit, **{text: arrow_value(Any, hit[text]) for text in self._texts}} for hit in ranking]
                for ranking in columns[name]
            ]
        return columns


def arrow_value(kind: Any, value: Any) -> Any:
    """Return the value for an Arrow column of this type: a list or an object as JSON."""
    return value if kind in SCALARS or value is None else cell_text(value)


def _runs(places: Sequence[int]) -> Iterator[range]:
    start = 0
    for end in range(1, len(places) + 1):
        if end == len(places) or places[end] != places[end - 1] + 1:
            yield range(places[start], places[end - 1] + 1)
            start = end


def carried_value(value: Any) -> Any:
    """Return the JSON value of a value that is copied to the output."""
    return msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value


class CarriedSchema:
    """The schema of the columns that are copied to Parquet, found row by row."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._inference = parquet.Inference()

    def add(self, chunk: Chunk) -> None:
        """Add the rows of a chunk.

        Raises:
            Unwritable: A column has values of several types, or of a type that Parquet does not have.
        """
        if chunk.arrow is not None:
            return
        for number, row in enumerate(chunk.rows, chunk.first):
            for name, value in self._batch.carried(row).items():
                try:
                    self._inference.add(name, number, carried_value(value))
                except (parquet.MixedTypes, msgspec.DecodeError, RecursionError) as error:
                    raise Unwritable(number, name, value, str(error), "Parquet") from error

    def found(self) -> Any:
        """Return the schema."""
        if self._batch.input_format != "parquet":
            return self._inference.schema()
        schema = parquet.schema_of(str(self._batch.source), self._batch.source)
        dropped = {ERROR} if self._batch.keep_documents else {ERROR, self._batch.documents_column}
        for name in dropped & set(schema.names):
            schema = schema.remove(schema.get_field_index(name))
        return schema
