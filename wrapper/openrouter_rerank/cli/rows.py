"""Read documents from files, each with its file and line."""

import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import click
import msgspec

from openrouter_rerank.bulk import files as tables
from openrouter_rerank.bulk import parquet
from openrouter_rerank.cli.errors import BadInput, one_line

FORMATS = (*tables.FORMATS, "parquet")
_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",  # one array, or one document per line
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Row(NamedTuple):
    """A document from a file: a text, or an object by field or column."""

    value: str | Mapping[str, Any]
    file: str
    """The name of the file as passed; `-` for standard input."""
    line: int
    """The number of its first line, from 1; in a Parquet file, of its row."""

    def text(self, field: str) -> str:
        """Return the value if it is a string, else the field with this name.

        Raises:
            BadInput: The field is missing or is not a string.
        """
        if isinstance(self.value, str):
            return self.value
        text = self.value.get(field)
        if isinstance(text, msgspec.Raw):
            text = msgspec.json.decode(text)
        if isinstance(text, str):
            return text
        where = tables.place(self.file, self.line)
        if field in self.value:
            message = f"{where}: the field {field!r} is {tables.kind(text)}, not a string; correct or remove the row"
        else:
            there = ", ".join(self.value) or "an empty object"
            message = f"{where}: there is no field {field!r}, only {there}; name the field to rank by with --text-field"
        raise BadInput(message)


def read(files: Sequence[str], input_format: str | None, text_field: str) -> Iterator[Row]:
    """Yield every document of the files, one file after the other.

    Args:
        files: The names of the files; `-` is standard input.
        input_format: One of FORMATS; None to detect it from the first bytes and the name of each file.
        text_field: The column of a table with the text to rank.

    Raises:
        BadInput: A file cannot be read, or is not in its format.
    """
    for file in files:
        name = click.format_filename(file)
        if file == tables.STDIN and sys.stdin is None:
            raise BadInput("standard input is closed; name the files to read")
        try:
            with click.open_file(file, "rb") as stream:
                for record in _records(name, file, cast(BinaryIO, stream), input_format, text_field):
                    value: object = record.value
                    if not isinstance(value, str | dict):
                        problem = f"{tables.kind(value)} is not a document; pass a string or an object"
                        message = f"{tables.place(name, record.line)}: {problem}"
                        raise BadInput(message)
                    yield Row(cast("str | dict[str, Any]", value), name, record.line)
        except tables.BadFile as error:
            raise BadInput(str(error)) from error
        except OSError as error:
            message = f"{name}: {error.strerror or error}; name files to read, or - for standard input"
            raise BadInput(message) from error


def _records(
    name: str, file: str, stream: BinaryIO, given: str | None, text_field: str
) -> Iterator[tables.Record]:
    head, stream = tables.peek(stream)
    path = Path(file)
    suffix = path.with_suffix("").suffix if path.suffix.lower() == ".gz" else path.suffix
    form = given or _BY_SUFFIX.get(suffix.lower(), "text")
    if form != "parquet" and not tables.is_parquet(head):
        yield from tables.read(name, stream, form, [text_field])
        return
    number = 1
    content = io.BytesIO(stream.read())
    parquet.schema_of(name, content)
    for batch in parquet.batches(name, content):
        for row in parquet.rows(name, batch, number):
            yield tables.Record(row, number)
            number += 1


def note_not_finite(rows: Sequence[Row]) -> None:
    """Warn on standard error if a document has NaN or infinity, which are printed as null."""
    for row in rows:
        fields: Mapping[str, Any] = {} if isinstance(row.value, str) else row.value
        for field, value in fields.items():
            if not tables.is_finite(value):
                message = f"{tables.place(row.file, row.line)}: NaN or infinity in the field {field!r} is printed as null, as JSON does not support it"
                click.echo(f"rerank: {one_line(message)}", err=True)
                return
