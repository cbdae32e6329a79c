"""Documents from files, each with the place it came from; what they mean to a request is decided elsewhere."""

import codecs
import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import click
import msgspec

from openrouter_rerank.cli.errors import BadInput

STDIN = "-"

# The module's own limit is 131,072 characters, which a long document exceeds; this is the largest on every system.
_LONGEST_CELL = 2**31 - 1


class Row(NamedTuple):
    """A line of text, a JSON string or object, or a row of a table by its columns' names."""

    value: str | Mapping[str, Any]
    file: str
    """The name by which the file was given; `-` for standard input."""
    line: int
    """The line on which it begins, from 1."""

    def text(self, field: str) -> str:
        """The value itself where it is a string, and else its field of that name.

        Raises:
            BadInput: There is no such field, or it is no string.
        """
        if isinstance(self.value, str):
            return self.value
        text = self.value.get(field)
        if isinstance(text, str):
            return text
        if field in self.value:
            problem = f"the field {field!r} holds {_kind(text)} where a string is needed"
        else:
            problem = f"there is no field {field!r}, only {', '.join(self.value) or 'an empty object'}"
        raise _bad(self.file, self.line, problem, "Say which field to rank by with --text-field")


def read(files: Sequence[str], input_format: str | None) -> Iterator[Row]:
    """Every document of the files, one file after the other, as one list.

    Args:
        files: Their names; `-` is standard input.
        input_format: One of FORMATS; None to tell it from the name of each file.

    Raises:
        BadInput: A file cannot be read, or is not what its format says.
    """
    for file in files:
        name = click.format_filename(file)
        if file == STDIN and sys.stdin is None:
            raise BadInput("standard input is closed. Name the files to read")
        reader = _READERS[input_format or _BY_SUFFIX.get(Path(file).suffix.lower(), "text")]
        try:
            with click.open_file(file, "rb") as stream:
                yield from reader(name, _lines(name, cast(BinaryIO, stream)))
        except OSError as error:
            message = f"{name}: {error.strerror or error}. Name files to read, or - for standard input"
            raise BadInput(message) from error


_Lines: TypeAlias = Iterable[tuple[int, str]]


def _lines(name: str, stream: BinaryIO) -> _Lines:
    """The lines with their numbers, each with its end: only a newline ends one, as editors count."""
    for number, raw in enumerate(stream, 1):
        content = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        try:
            yield number, content.decode()
        except UnicodeDecodeError as error:
            problem = f"byte 0x{content[error.start]:02x} is not UTF-8"
            hint = f"Convert the file: iconv -f WINDOWS-1252 -t UTF-8 {name}"
            raise _bad(name, number, problem, hint) from error


def _text(name: str, lines: _Lines) -> Iterator[Row]:
    for number, line in lines:
        if line.strip():
            yield Row(line.rstrip("\r\n"), name, number)


def _jsonl(name: str, lines: _Lines) -> Iterator[Row]:
    hint = "A line holds one document, as a JSON string or object"
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value: object = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _bad(name, number, f"not JSON ({error})", hint) from error
        if not isinstance(value, str | dict):
            raise _bad(name, number, f"{_kind(value)} is no document", hint)
        yield Row(cast(str | dict[str, Any], value), name, number)


def _csv(name: str, lines: _Lines) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader((line for _, line in lines), strict=True)
    header: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            hint = "Quote cells that hold commas, quotes or newlines"
            raise _bad(name, number, f"not CSV ({error})", hint) from error
        if cells is None:
            return
        if not cells:
            continue
        if not header:
            header = cells
            twice = next((column for column in header if header.count(column) > 1), None)
            if twice is not None:
                raise _bad(name, number, f"two columns are named {twice!r}", "Rename one of them")
            continue
        if len(cells) != len(header):
            problem = f"the row has {len(cells)} cells where the header has {len(header)}"
            raise _bad(name, number, problem, "Quote cells that hold commas")
        yield Row(dict(zip(header, cells, strict=True)), name, number)


_READERS: Mapping[str, Callable[[str, _Lines], Iterator[Row]]] = {"text": _text, "jsonl": _jsonl, "csv": _csv}
FORMATS = tuple(_READERS)
# Most files named .json that hold many documents hold one to a line.
_BY_SUFFIX = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv"}


def _bad(name: str, line: int, problem: str, hint: str) -> BadInput:
    shown = "standard input" if name == STDIN else name
    return BadInput(f"{shown}, line {line}: {problem}. {hint}")


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "an object"
