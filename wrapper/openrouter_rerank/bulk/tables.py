"""The tables of `rerank batch`: rows read from JSON lines, CSV and Parquet, and written to them, a few at a time."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from openrouter_rerank.bulk.job import ERROR, FORMATS, RELEVANCE, RESULTS, BadBatch, Batch, Rows, Survey

_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet", ".pq": "parquet"}

# The module's own limit is 131,072 characters, which a list of documents exceeds.
_LONGEST_CELL = 2**31 - 1
CHUNK = 256
"""Rows that are decoded, or written, at a time."""


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
            for chunk in file.iter_batches(batch_size=CHUNK):
                yield from chunk.to_pylist()
    except invalid as error:
        message = f"{batch.source}: not Parquet ({error}). Say what it is with --input-format"
        raise BadBatch(message) from error
    except ValueError as error:  # as of nanoseconds, which Python's own times have not
        message = f"{batch.source}: a value of it cannot be read: {error}"
        raise BadBatch(message) from error


_READERS: Mapping[str, Callable[[Batch], Rows]] = {"jsonl": _jsonl, "csv": _csv, "parquet": _parquet}


# ------------------------------------------------------------------------------------------------------------- writing


def write(path: Path, rows: Rows, batch: Batch, found: Survey) -> None:
    """Write the rows of the output, and have the disk keep them."""
    _WRITERS[batch.output_format](path, rows, batch, found)


def _write_jsonl(path: Path, rows: Rows, batch: Batch, found: Survey) -> None:
    del batch, found
    encoder = msgspec.json.Encoder()
    with path.open("wb") as file:
        for row in rows:
            file.write(encoder.encode(row) + b"\n")
        flushed(file)


def _write_csv(path: Path, rows: Rows, batch: Batch, found: Survey) -> None:
    header = [*batch.carried(found.columns), *map(batch.added, RESULTS)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_text(row.get(name)) for name in header] for row in rows)
        flushed(file)


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
            for chunk in iter(lambda: list(islice(rows, CHUNK)), []):
                for row in chunk if batch.with_documents else ():
                    for hit in row[batch.added("ranking")]:
                        hit["document"] = _text(hit["document"])
                writer.write_table(arrow.Table.from_pylist(chunk, schema))
        flushed(file)


_WRITERS: Mapping[str, Callable[[Path, Rows, Batch, Survey], None]] = {
    "jsonl": _write_jsonl,
    "csv": _write_csv,
    "parquet": _write_parquet,
}


def schema_of(batch: Batch) -> Any:
    """The types of the columns of a Parquet file that are carried over."""
    schema = _arrow("pyarrow.parquet").read_schema(batch.source)
    if not batch.keep_documents:
        schema = schema.remove(schema.get_field_index(batch.documents_column))
    return schema


def infers(batch: Batch) -> Callable[[list[dict[str, Any]]], Any] | None:
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


def flushed(file: Any) -> None:
    """Have the disk keep what was written to the file."""
    file.flush()
    os.fsync(file.fileno())
