"""Documents from files, each with its file and line."""

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
    ".json": "jsonl",  # of one array, or one document to a line
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Row(NamedTuple):
    """A line of text, a JSON string or object, or a row of a table by its columns' names."""

    value: str | Mapping[str, Any]
    file: str
    """The name of the file as given; `-` for standard input."""
    line: int
    """The number of its first line, from 1; in a Parquet file, of its row."""

    def text(self, field: str) -> str:
        """Return the value if it is a string, else its field of that name.

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
            message = f"{where}: the field {field!r} holds {tables.kind(text)} where a string is needed; correct or remove the row"
        else:
            there = ", ".join(self.value) or "an empty object"
            message = f"{where}: there is no field {field!r}, only {there}; say which field to rank by with --text-field"
        raise BadInput(message)


def read(files: Sequence[str], input_format: str | None, text_field: str) -> Iterator[Row]:
    """Yield every document of the files, one file after the other.

    Args:
        files: Their names; `-` is standard input.
        input_format: One of FORMATS; None to detect it by each file's first bytes and name.
        text_field: The column of a table that has the text to rank.

    Raises:
        BadInput: A file cannot be read, or is not in its format.
    """
    for file in files:
        name = click.format_filename(file)
        if file == tables.STDIN and sys.stdin is None:
            raise BadInput("standard input: it is closed; name the files to read")
        try:
            with click.open_file(file, "rb") as stream:
                for record in _records(name, file, cast(BinaryIO, stream), input_format, text_field):
                    value: object = record.value
                    if not isinstance(value, str | dict):
                        problem = f"{tables.kind(value)} is not a document; give a string or an object"
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
                message = f"{tables.place(row.file, row.line)}: NaN or infinity in the field {field!r} is printed as null, as JSON has no such number"
                click.echo(f"rerank: {one_line(message)}", err=True)
                return
