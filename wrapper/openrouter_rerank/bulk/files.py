"""Read rows from text files: lines, JSON, CSV or TSV, in UTF-8, UTF-16 or UTF-32, plain or gzip."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import shlex
import zlib
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from math import isfinite
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import msgspec

STDIN = "-"
PARQUET = b"PAR1"
"""The first bytes of every Parquet file."""

_GZIP = b"\x1f\x8b\x08"
_SAMPLE = 65536  # bytes for the detection of the format
# The csv module's own limit is 131,072 characters, which a long document exceeds; this is the largest on every system.
_LONGEST_CELL = 2**31 - 1
_BOM = "\ufeff"

_Lines: TypeAlias = Iterator[tuple[int, str]]


class BadFile(ValueError):
    """A file that cannot be read as rows. The message has the problem and the next step."""


class Record(NamedTuple):
    """A row of a file, with the number of its first line, from 1.

    The values of a JSON object are `msgspec.Raw`, so that they can be written unchanged.
    """

    value: Any
    line: int


def read(name: str, stream: BinaryIO, form: str, needed: Sequence[str]) -> Iterator[Record]:
    """Yield the rows of a text file.

    Args:
        name: The file's name, for messages; `-` is standard input.
        stream: The content of the file.
        form: One of FORMATS.
        needed: The columns that the caller reads; the delimiter of a table is detected by them.

    Raises:
        BadFile: The file is not text, is damaged, or does not have the format `form`.
        OSError: It cannot be read.
    """
    return _READERS[form](name, _lines(name, stream), needed)


def place(name: str, line: int, column: int | None = None) -> str:
    """Describe a place in a file."""
    shown = "standard input" if name == STDIN else name
    return f"{shown}, line {line}" + ("" if column is None else f", column {column}")


def kind(value: object) -> str:
    """Describe the type of a JSON value."""
    if isinstance(value, float) and not isfinite(value):
        return "NaN or infinity"
    return _KINDS.get(type(value), "a value of a type that is not text")


_KINDS: Mapping[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def is_finite(value: object) -> bool:
    """Return True if a JSON value contains neither NaN nor infinity."""
    # Without recursion, as the decoder accepts a deeper value than a recursive function of Python.
    pending = [value]
    while pending:
        one = pending.pop()
        if isinstance(one, float) and not isfinite(one):
            return False
        if isinstance(one, dict):
            pending += cast(dict[str, object], one).values()
        if isinstance(one, list):
            values = cast(list[object], one)
            kinds = set(map(type, values))
            if not kinds <= {str, int, float}:
                pending += values
            elif float in kinds and not all(map(isfinite, [part for part in values if type(part) is float])):
                return False  # a fast path for texts and vectors
    return True


def is_parquet(head: bytes) -> bool:
    """Return True if the first bytes are those of a Parquet file, and the file is not a text."""
    return head.startswith(PARQUET) and not _is_text(head)


def peek(stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """Return the first bytes of a stream, and a stream that begins with them."""
    head = stream.read(_SAMPLE)
    # Do not read again after the end of input: on a terminal, that would wait for a second end.
    rest = stream if len(head) == _SAMPLE else io.BytesIO()
    return head, io.BufferedReader(_Rejoined(head, rest), _SAMPLE)


class _Rejoined(io.RawIOBase):
    """The first bytes of a stream, followed by the rest of it."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head = head
        self._rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._head or self._rest.read(len(buffer))
        data, self._head = data[: len(buffer)], data[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)


# --------------------------------------------------------------------------------------------------------------- lines


def _lines(name: str, stream: BinaryIO) -> _Lines:
    """Yield the lines with their numbers; each line keeps its ending (LF, CRLF or CR)."""
    shown = "standard input" if name == STDIN else name
    number = 0
    head, stream = peek(stream)
    try:
        packed = head.startswith(_GZIP)
        if packed:
            head, stream = peek(cast(BinaryIO, gzip.GzipFile(fileobj=stream, mode="rb")))
        _refuse_other_kinds(name, head, packed=packed)
        encoding, mark = _encoding(head)
        stream.read(len(mark))
        escape = "surrogateescape" if encoding == "utf-8" else "surrogatepass"
        beyond_ascii = False
        for number, line in enumerate(io.TextIOWrapper(stream, encoding, escape, newline=""), 1):
            if "\0" in line:
                message = (
                    f"{place(name, number)}: it has a NUL character, which is not allowed in text; remove it"
                )
                raise BadFile(message)
            if not line.isascii():
                wrong = _SURROGATE.search(line)
                if wrong:
                    at = (name, number, wrong.start())
                    raise _undecodable(at, line, encoding, head, packed=packed, mixed=beyond_ascii)
                beyond_ascii = True
            yield number, line
    except UnicodeDecodeError as error:
        message = f"{place(name, number + 1)}: not {error.encoding.upper()} ({error.reason}); get the file again, as it is damaged"
        raise BadFile(message) from error
    except EOFError as error:
        message = f"{shown}: the gzip file is cut off; get it again, as its end is missing"
        raise BadFile(message) from error
    except (gzip.BadGzipFile, zlib.error) as error:
        message = f"{shown}: the gzip file is damaged ({error}); get it again"
        raise BadFile(message) from error


_SURROGATE = re.compile("[\ud800-\udfff]")
_ENCODINGS = (
    ("utf-32-le", codecs.BOM_UTF32_LE),  # before UTF-16, as its mark begins with that of UTF-16
    ("utf-32-be", codecs.BOM_UTF32_BE),
    ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", codecs.BOM_UTF16_BE),
    ("utf-8", codecs.BOM_UTF8),
)


def _encoding(head: bytes) -> tuple[str, bytes]:
    for encoding, mark in _ENCODINGS:
        if head.startswith(mark):
            return encoding, mark
    return "utf-8", b""


def _undecodable(  # noqa: PLR0913 - everything that helps to find the cause
    at: tuple[str, int, int], line: str, encoding: str, head: bytes, *, packed: bool, mixed: bool
) -> BadFile:
    name, number, column = at
    where = place(name, number, column + 1)
    if encoding != "utf-8":
        return BadFile(f"{where}: a lone surrogate, which is not a character; correct the text there")
    content = line.encode("utf-8", "surrogateescape")
    problem = f"{where}: byte 0x{ord(line[column]) - 0xDC00:02x} is not UTF-8"
    # Bytes of another encoding can happen to be a valid character.
    if mixed or 2 * len(_SURROGATE.findall(line)) <= sum(character > "\x7f" for character in line):
        return BadFile(f"{problem}, but the rest of the text is; correct it there")
    if _is_western(content) and _is_western(head):
        return BadFile(
            f"{problem}; if it is Western European text from Windows, convert it: "
            f"{_converting('WINDOWS-1252', name, packed=packed)}"
        )
    return BadFile(f"{problem}; save it as UTF-8, or convert it with iconv from its encoding")


# Western European text never has more than three such characters in a row; most other scripts often do.
_EASTERN = re.compile(rb"[\x80-\xff]{4}|[\x81\x8d\x8f\x90\x9d]|[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MOST_BEYOND_ASCII = 0.25


def _is_western(content: bytes) -> bool:
    beyond = sum(byte > 0x7F for byte in content)
    return not _EASTERN.search(content) and beyond <= _MOST_BEYOND_ASCII * len(content) + 1


def _converting(encoding: str, name: str, *, packed: bool) -> str:
    command = f"iconv -f {encoding} -t UTF-8"
    if packed:
        return f"gzip -dc {_quoted(name)} | {command} > utf8.txt"
    return f"{command} {_quoted(name)} > utf8.txt"


def _quoted(name: str) -> str:
    return "FILE" if name == STDIN else shlex.quote(name)


# ------------------------------------------------------------------------------------------------------ other kinds

_UNPACK = "unpack it, and pass a file from it"
_AS_CSV = "save its sheet as CSV UTF-8, and pass that file"
_IMAGE = 'pass JSON lines with the URLs of images: {{"image": "https://..."}}'
_AS_ROWS = "write its rows as JSON lines, CSV or Parquet"
_MAGIC: tuple[tuple[int, bytes, str, str], ...] = (
    (0, PARQUET, "a Parquet file", "pass it unpacked, with --input-format parquet"),
    (0, b"%PDF-", "a PDF document", "extract its text: pdftotext {name} text.txt"),
    (0, b"{\\rtf", "an RTF document", "save it as plain text in UTF-8"),
    (
        0,
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "a document of an older Office version",
        "save it as CSV UTF-8 or plain text",
    ),
    (
        0,
        b"SQLite format 3\0",
        "an SQLite database",
        "write a query's rows: sqlite3 -header -csv {name} 'SELECT ...' > rows.csv",
    ),
    (0, _GZIP, "compressed by gzip", "decompress it: gzip -dc {name} > plain"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it: zstd -dc {name} > plain"),
    (4, b"1AY&SY", "compressed by bzip2", "decompress it: bzip2 -dc {name} > plain"),
    (0, b"\xfd7zXZ\0", "compressed by xz", "decompress it: xz -dc {name} > plain"),
    (0, b"\x04\x22\x4d\x18", "compressed by lz4", "decompress it: lz4 -dc {name} > plain"),
    (0, b"\x1f\x9d", "compressed by compress", "decompress it: uncompress -c {name} > plain"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (0, b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89PNG\r\n", "a PNG image", _IMAGE),
    (0, b"\xff\xd8\xff", "a JPEG image", _IMAGE),
    (0, b"GIF8", "a GIF image", _IMAGE),
    (8, b"WEBP", "a WebP image", _IMAGE),
    (0, b"II*\0", "a TIFF image", _IMAGE),
    (0, b"MM\0*", "a TIFF image", _IMAGE),
    (0, b"ARROW1", "an Arrow file", _AS_ROWS),
    (0, b"ORC", "an ORC file", _AS_ROWS),
    (0, b"Obj\x01", "an Avro file", _AS_ROWS),
    (0, b"\x89HDF\r\n", "an HDF5 file", _AS_ROWS),
    (0, b"\x93NUMPY", "a NumPy file", _AS_ROWS),
    (0, b"\x7fELF", "a program", "pass a text file"),
)
# The kinds of zip files, recognized by the names of their members.
_ZIP = b"PK\x03\x04"
_ZIPPED: tuple[tuple[bytes, str, str], ...] = (
    (b"opendocument.spreadsheet", "an OpenDocument spreadsheet", _AS_CSV),
    (b"opendocument.", "an OpenDocument file", "save it as plain text in UTF-8"),
    (b"xl/", "an Excel workbook", _AS_CSV),
    (b"word/", "a Word document", "save it as plain text in UTF-8"),
    (b"ppt/", "a PowerPoint file", "save it as plain text in UTF-8"),
    (b"", "a zip archive", _UNPACK),
)
# Text can begin with these letters too; a file without a NUL in its first bytes is text.
_ALSO_TEXT = (b"ORC", b"WEBP", b"GIF8", b"ARROW1", PARQUET, b"Obj\x01")


def _refuse_other_kinds(name: str, head: bytes, *, packed: bool) -> None:
    """Raise BadFile if the first bytes are not those of a text."""
    shown = "standard input" if name == STDIN else name
    found = _kind_of(head)
    if found is not None:
        what, step = found
        if packed:  # the commands apply to the unpacked file
            what, step = f"{what} within gzip", "decompress it: gzip -dc {name} > plain"
        message = f"{shown}: it is {what}, not text; {step.format(name=_quoted(name))}"
        raise BadFile(message)
    if b"\0" not in head or _encoding(head)[0] != "utf-8":
        return
    if head.startswith(_READ_WRONGLY):
        message = f"{shown}: it was converted from the wrong encoding; convert the original file from UTF-16"
        raise BadFile(message)
    encoding = next((name for name in ("UTF-16LE", "UTF-16BE") if _is_utf16(head, name)), None)
    if encoding is not None:
        message = (
            f"{shown}: it looks like {encoding} without a byte order mark; "
            f"convert it: {_converting(encoding, name, packed=packed)}"
        )
        raise BadFile(message)
    message = (
        f"{shown}: it has NUL bytes, like a binary file or UTF-16 without a byte order mark; "
        "pass a text file in UTF-8"
    )
    raise BadFile(message)


# The byte order marks of UTF-16, read as letters and written in UTF-8.
_READ_WRONGLY = ("\xff\xfe".encode(), "\xfe\xff".encode())
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffe\uffff]")


def _is_utf16(head: bytes, encoding: str) -> bool:
    """Return True for text in UTF-16, by its many zero bytes at every second place, as European scripts have them."""
    high = head[encoding == "UTF-16LE" :: 2]
    if high.count(0) <= len(high) // 2:
        return False
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return False
    return not _CONTROL.search(text)


def _kind_of(head: bytes) -> tuple[str, str] | None:
    if head.startswith(_ZIP):
        return next((what, step) for sign, what, step in _ZIPPED if sign in head)
    for start, sign, what, step in _MAGIC:
        if head.startswith(sign, start) and (sign not in _ALSO_TEXT or not _is_text(head)):
            return what, step
    return None


def _is_text(head: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return b"\0" not in head


# ------------------------------------------------------------------------------------------------------------- formats


def _text(name: str, lines: _Lines, needed: Sequence[str]) -> Iterator[Record]:
    del name, needed
    for number, line in lines:
        document = line.removeprefix(_BOM).rstrip("\r\n")
        if document.strip():
            yield Record(document, number)


_VALUE: Any = msgspec.json.Decoder(str | dict[str, msgspec.Raw])
_HINT = "a line holds one JSON value, or the file one array of rows"


def _json(name: str, lines: _Lines, needed: Sequence[str]) -> Iterator[Record]:
    """Yield the values of JSON lines, of a single array, or of objects that span several lines."""
    del needed
    at_start = True
    for number, line in lines:
        text = line.removeprefix(_BOM)
        if not text.strip():
            continue
        if at_start and _is_continued(text):
            yield from _json_over_lines(name, chain([(number, text)], lines))
            return
        at_start = False
        yield Record(json_value(name, number, text.rstrip("\r\n")), number)


def _is_continued(text: str) -> bool:
    """Return True if the line begins an array, or an object that does not end on the line."""
    if text.lstrip().startswith("["):
        return True
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text.rstrip())
    except (ValueError, RecursionError):
        return False
    return False


_BLANK = re.compile(f"[ \t\r\n{_BOM}]*")


class _Document:
    """The lines of a file as one text, with the line and column of each position."""

    def __init__(self, name: str, lines: Iterable[tuple[int, str]]) -> None:
        self._name = name
        self._numbers: list[int] = []
        self._starts: list[int] = []
        parts: list[str] = []
        size = 0
        for number, line in lines:
            part = line.rstrip("\r\n") + "\n"  # JSON strings cannot contain line endings
            self._numbers.append(number)
            self._starts.append(size)
            parts.append(part)
            size += len(part)
        self.text = "".join(parts)

    def place(self, position: int) -> tuple[int, int]:
        """Return the line and the column of a position."""
        line = bisect_right(self._starts, position) - 1
        return self._numbers[line], position - self._starts[line] + 1

    def skip(self, position: int) -> int:
        """Return the position after the blanks at a position."""
        return cast("re.Match[str]", _BLANK.match(self.text, position)).end()

    def next_value(self, position: int) -> tuple[Record, int]:
        """Return the value at a position, and the position after it and the blanks that follow."""
        try:
            _, after = json.JSONDecoder().raw_decode(self.text, position)
        except json.JSONDecodeError as error:
            raise self.wrong(error.pos, f"not JSON ({error.msg})") from error
        except (ValueError, RecursionError) as error:
            raise self.wrong(position, f"JSON that cannot be read ({_reason(error)})") from error
        line, column = self.place(position)
        value = json_value(self._name, line, self.text[position:after], column, minify=True)
        return Record(value, line), self.skip(after)

    def wrong(self, position: int, problem: str) -> BadFile:
        """Return the error for a position."""
        return BadFile(f"{place(self._name, *self.place(position))}: {problem}; {_HINT}")


def _json_over_lines(name: str, lines: Iterable[tuple[int, str]]) -> Iterator[Record]:
    document = _Document(name, lines)
    position = document.skip(0)
    if document.text.startswith("[", position):
        position = yield from _json_array(document, document.skip(position + 1))
        if position < len(document.text):
            raise document.wrong(position, "there is more after the array")
    while position < len(document.text):
        record, position = document.next_value(position)
        yield record


def _json_array(document: _Document, position: int) -> Generator[Record, None, int]:
    """Yield the elements of an array, and return the position after it."""
    if not document.text.startswith("]", position):
        while True:
            record, position = document.next_value(position)
            yield record
            if not document.text.startswith(",", position):
                break
            position = document.skip(position + 1)
    if not document.text.startswith("]", position):
        raise document.wrong(position, "not JSON (expecting ',' or ']' in the array)")
    return document.skip(position + 1)


def _reason(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error)


def json_value(name: str, line: int, text: str, column: int = 1, *, minify: bool = False) -> Any:
    """Return a JSON value, also with NaN and Infinity; the values of an object are `msgspec.Raw`.

    Raises:
        BadFile: It is not JSON.
    """
    try:
        value = _VALUE.decode(msgspec.json.format(text, indent=-1) if minify else text)
    except (msgspec.DecodeError, RecursionError):
        return _read_again(name, line, text, column)
    return value


def _read_again(name: str, line: int, text: str, column: int) -> Any:
    """Return a value that the strict decoder refused, such as NaN; raise BadFile with the cause if it is invalid."""
    try:
        value = json.loads(text, parse_float=_finite)
    except json.JSONDecodeError as error:
        # A text of several lines is valid JSON, or a cell, whose reader reports its own place.
        message = f"{place(name, line, error.colno)}: not JSON ({error.msg}); {_HINT}"
        raise BadFile(message) from error
    except (ValueError, RecursionError) as error:
        message = f"{place(name, line)}: JSON that cannot be read ({_reason(error)}); correct the value"
        raise BadFile(message) from error
    for found in _ESCAPE.finditer(text):
        if found[1]:
            before = text[: found.start()]
            at = len(before) - (before.rfind("\n") + 1)
            number = before.count("\n")
            where = place(name, line + number, at + 1 + (0 if number else column - 1))
            message = f"{where}: {found[0]} is a lone surrogate, which is not a character; write the whole pair, or remove it"
            raise BadFile(message)
    return value


# A surrogate pair, a lone surrogate (the group), or any other escape.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)"
)


def _finite(literal: str) -> float:
    number = float(literal)
    if not isfinite(number):
        message = f"the number {literal[:40]} is too large"
        raise ValueError(message)
    return number


class _Feed:
    """The lines of a table for `csv.reader`, and the first line of the current row."""

    def __init__(self, lines: Iterable[tuple[int, str]]) -> None:
        self.begins = True
        self.line = 1
        self._lines = iter(lines)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        number, line = next(self._lines)
        if not self.begins:
            return line
        self.begins = False
        self.line = number
        return line.removeprefix(_BOM)


_NOTHING = f'{_BOM} ,;\t"\r\n'  # the characters of rows without a value
_DELIMITERS = (",", ";", "\t")
_SEPARATOR_LINE = re.compile(r'"?sep=([^\r\n"])"?[\r\n]*', re.IGNORECASE)  # a line of Excel before the header


def _table(name: str, lines: _Lines, needed: Sequence[str], *, usual: str) -> Iterator[Record]:
    csv.field_size_limit(_LONGEST_CELL)
    first = next(((number, line) for number, line in lines if line.strip(_NOTHING)), None)
    if first is None:
        return
    declared = _SEPARATOR_LINE.fullmatch(first[1].removeprefix(_BOM))
    delimiter = declared[1] if declared else _delimiter(first[1].removeprefix(_BOM), needed, usual)
    feed = _Feed(lines if declared else chain([first], lines))
    reader = csv.reader(feed, strict=True, delimiter=delimiter)
    header: list[str] = []
    while True:
        feed.begins = True
        try:
            cells = next(reader, None)
        except csv.Error as error:
            message = f"{place(name, feed.line)}: not CSV ({error}); quote cells that contain {_PLURALS[delimiter]}, quotes or newlines"
            raise BadFile(message) from error
        if cells is None:
            return
        # Excel writes empty rows, and cells without a column name, in place of deleted ones.
        if not cells or (len(cells) > 1 and not any(cell.strip() for cell in cells)):
            continue
        if not header:
            header = cells
            while not header[-1].strip() and len(header) > 1:
                header.pop()
            twice = next((column for column in header if header.count(column) > 1), None)
            if twice is not None:
                message = f"{place(name, feed.line)}: two columns are named {twice!r}; rename one of them"
                raise BadFile(message)
            continue
        if len(cells) < len(header) or any(cells[len(header) :]):
            message = (
                f"{place(name, feed.line)}: the row has {len(cells)} cells but the header has {len(header)}; "
                f"quote cells that contain {_PLURALS[delimiter]}"
            )
            raise BadFile(message)
        yield Record(dict(zip(header, cells, strict=False)), feed.line)


class _Plurals(dict[str, str]):
    """The names of delimiters; other delimiters are quoted."""

    def __missing__(self, delimiter: str) -> str:
        return repr(delimiter)


_PLURALS = _Plurals({",": "commas", ";": "semicolons", "\t": "tabs"})


def _delimiter(header: str, needed: Sequence[str], usual: str) -> str:
    """Return the delimiter: one that splits the header into the needed columns, or else the only one that splits it."""
    nothing: list[str] = []
    names = {
        delimiter: next(csv.reader([header], delimiter=delimiter), nothing)
        for delimiter in sorted(_DELIMITERS, key=lambda delimiter: delimiter != usual)
    }
    fitting = [delimiter for delimiter, columns in names.items() if set(needed) <= set(columns)]
    there = [delimiter for delimiter, columns in names.items() if len(columns) > 1]
    return next(iter(fitting or (there if len(there) == 1 else [usual])))


_READERS: Mapping[str, Callable[[str, _Lines, Sequence[str]], Iterator[Record]]] = {
    "text": _text,
    "jsonl": _json,
    "csv": partial(_table, usual=","),
    "tsv": partial(_table, usual="\t"),
}
FORMATS = tuple(_READERS)
