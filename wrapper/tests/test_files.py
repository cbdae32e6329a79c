"""Files as people have them are read by both commands, or named for what they are with a step that works."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from click.testing import Result as Ended

from openrouter_rerank.bulk import files
from openrouter_rerank.cli.app import app


def read(
    content: bytes, form: str = "jsonl", needed: tuple[str, ...] = ("text",), name: str = "a b"
) -> list[tuple[Any, int]]:
    """Return the rows of a file with their lines, all values decoded."""
    return [
        (msgspec.json.decode(msgspec.json.encode(value)), line)
        for value, line in files.read(name, io.BytesIO(content), form, needed)
    ]


def run(*args: object, stdin: bytes = b"") -> Ended:
    """Run the command in this process."""
    return CliRunner().invoke(app, list(map(str, args)), input=stdin, catch_exceptions=False)


LINE = '{"text": "é"}\n'
ROW = ({"text": "é"}, 1)
READ: dict[str, tuple[bytes, str, list[tuple[Any, int]]]] = {
    "UTF-8": (LINE.encode(), "jsonl", [ROW]),
    "UTF-8 with a mark": (LINE.encode("utf-8-sig"), "jsonl", [ROW]),
    "UTF-16": (LINE.encode("utf-16"), "jsonl", [ROW]),
    "UTF-16, big end first": (b"\xfe\xff" + LINE.encode("utf-16-be"), "jsonl", [ROW]),
    "UTF-32": (LINE.encode("utf-32"), "jsonl", [ROW]),
    "UTF-32, big end first": (b"\0\0\xfe\xff" + LINE.encode("utf-32-be"), "jsonl", [ROW]),
    "gzip of two members": (
        gzip.compress(LINE.encode(), mtime=0) + gzip.compress(LINE.encode(), mtime=0),
        "jsonl",
        [ROW, (ROW[0], 2)],
    ),
    "gzip of UTF-16": (gzip.compress("é\r\nb".encode("utf-16"), mtime=0), "text", [("é", 1), ("b", 2)]),
    "a mark alone": (b"\xff\xfe", "text", []),
    "nothing": (b"", "csv", []),
    "a mark between": (b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", "text", [("a", 1), ("b", 2)]),
    "a mark between JSON": ((LINE + "\ufeff" + LINE).encode(), "jsonl", [ROW, (ROW[0], 2)]),
    "ends of lines": (b"a\rb\r\nc\n\rd", "text", [("a", 1), ("b", 2), ("c", 3), ("d", 5)]),
    "blank lines": (b"\n \t\na\n\x0b\nb", "text", [("a", 3), ("b", 5)]),
    "ends of lines in JSON": (
        b'{"text":"a"}\r{"text":\t"b"}\r\n',
        "jsonl",
        [({"text": "a"}, 1), ({"text": "b"}, 2)],
    ),
    "a long line": (b"x" * 300_000 + b"\ny", "text", [("x" * 300_000, 1), ("y", 2)]),
    "letters that begin other kinds": (b"ORCHID", "text", [("ORCHID", 1)]),
    "an array": (
        b' [{"text": "a"},\n"b" ,\n{"text":\n"c"} ]\n',
        "jsonl",
        [({"text": "a"}, 1), ("b", 2), ({"text": "c"}, 3)],
    ),
    "an empty array": (b"[\n]", "jsonl", []),
    "objects over lines": (
        b'\n{\n"text": "a"\n}\n{\r"text": "b"}',
        "jsonl",
        [({"text": "a"}, 2), ({"text": "b"}, 5)],
    ),
    "NaN": (
        b'{"text": "a", "n": [NaN, -Infinity, 1, 1.5]}',
        "jsonl",
        [({"text": "a", "n": [None, None, 1, 1.5]}, 1)],
    ),
    "NaN in an array": (b'[{"text": "a",\n"n": NaN}]', "jsonl", [({"text": "a", "n": None}, 1)]),
    "escapes": (rb'{"text": "\\ud800 \ud83d\ude00"}', "jsonl", [({"text": "\\ud800 😀"}, 1)]),
    "escapes beside NaN": (
        rb'{"text": "\\ud800 \uD83D\uDE00", "n": NaN}',
        "jsonl",
        [({"text": "\\ud800 😀", "n": None}, 1)],
    ),
    "CSV": (
        b'text,n\n"a\r\nb",1\n\nc,\n',
        "csv",
        [({"text": "a\r\nb", "n": "1"}, 2), ({"text": "c", "n": ""}, 5)],
    ),
    "empty columns and rows": (
        b",,,\r\ntext,n,,\r\na,1,,\r\n,,,\r\n , ,,\r\nb,2\r\n",
        "csv",
        [({"text": "a", "n": "1"}, 3), ({"text": "b", "n": "2"}, 6)],
    ),
    "an empty cell": (b'text\n""\n', "csv", [({"text": ""}, 2)]),
    "a column without a name": (b",text\n0,a\n", "csv", [({"": "0", "text": "a"}, 2)]),
    "semicolons": (b"n;text\n1,5;a,b\n", "csv", [({"n": "1,5", "text": "a,b"}, 2)]),
    "tabs in CSV": (b'n\ttext\n1\t"a ""b"""\n', "csv", [({"n": "1", "text": 'a "b"'}, 2)]),
    "TSV": (b'n\ttext\n1\ta "b", c\n', "tsv", [({"n": "1", "text": 'a "b", c'}, 2)]),
    "commas in TSV": (b"n,text\n1,a\n", "tsv", [({"n": "1", "text": "a"}, 2)]),
    "by what is needed": (b"a;b,text\n1;2,c\n", "csv", [({"a;b": "1;2", "text": "c"}, 2)]),
    "without what is needed": (b"a;b,c\n1;2,3\n", "csv", [({"a;b": "1;2", "c": "3"}, 2)]),
    "without what is needed, but semicolons": (b"a;b\n1;2\n", "csv", [({"a": "1", "b": "2"}, 2)]),
    "Excel's own line": (
        b"\xef\xbb\xbfsep=|\r\nn|text\r\n1|a;b,c\r\n",
        "csv",
        [({"n": "1", "text": "a;b,c"}, 3)],
    ),
    "Excel's own line in capitals after two marks": (
        b"\xef\xbb\xbf\xef\xbb\xbfSEP=|\r\ntext\r\na\r\n",
        "csv",
        [({"text": "a"}, 3)],
    ),
    "a column alone": (b"text\na;b\n", "csv", [({"text": "a;b"}, 2)]),
    "two other delimiters": (b"a;b,c\n1;2,3\n", "tsv", [({"a;b,c": "1;2,3"}, 2)]),
    "a name of blanks": ("\u00a0\na\n".encode(), "csv", [({"\u00a0": "a"}, 2)]),
    "a long cell": (b"text,n\n" + b"x" * 200_000 + b",1\n", "csv", [({"text": "x" * 200_000, "n": "1"}, 2)]),
    "CR alone in CSV": (
        b'text,n\ra,1\r"b\rc",2\r',
        "csv",
        [({"text": "a", "n": "1"}, 2), ({"text": "b\rc", "n": "2"}, 3)],
    ),
    "a mark at a row of CSV": (
        'text,n\na,"1\n\ufeffx"\n\ufeff"b, c",2\n'.encode(),
        "csv",
        [({"text": "a", "n": "1\n\ufeffx"}, 2), ({"text": "b, c", "n": "2"}, 4)],
    ),
}


@pytest.mark.parametrize("name", READ)
def test_reads(name: str):
    """Each is read as the rows that it has, with the lines on which they begin."""
    content, form, expected = READ[name]
    assert read(content, form) == expected


def _bom(text: str, end: int | None = None) -> bytes:
    return ("\ufeff" + text).encode("utf-16-le", "surrogatepass")[:end]


NO_TEXT = bytes(range(256)) * 20
REFUSED: dict[str, tuple[bytes, str, str]] = {
    "UTF-16 without a mark": (
        "one\n".encode("utf-16-le"),
        "text",
        "UTF-16LE without a byte order mark; convert it: iconv -f UTF-16LE -t UTF-8 'a b' > utf8.txt",
    ),
    "UTF-16 without a mark, big end first": (
        "one\n".encode("utf-16-be"),
        "text",
        "iconv -f UTF-16BE -t UTF-8 'a b' >",
    ),
    "UTF-16 without a mark in gzip": (
        gzip.compress("one\n".encode("utf-16-le"), mtime=0),
        "text",
        "gzip -dc 'a b' | iconv -f UTF-16LE -t UTF-8 > utf8.txt",
    ),
    "UTF-16 that was converted": (
        "\ufeffone\n".encode("utf-16-le").decode("cp1252").encode(),
        "text",
        "converted from the wrong encoding; convert the original file from UTF-16",
    ),
    "UTF-16 cut off": (_bom("one\ntwo", -1), "text", "line 2: not UTF-16-LE (truncated data)"),
    "half a pair in UTF-16": (_bom("one\na\ud800b"), "text", "line 2, column 2: a lone surrogate"),
    "half zero bytes": (b"\1\0\2\0" * 50, "text", "it has NUL bytes"),
    "UTF-16 of two scripts": ("aж".encode("utf-16-le"), "text", "it has NUL bytes"),
    "half zero bytes that are no text": (b"\xff\0" * 49 + b"\0\xd8a\0", "text", "it has NUL bytes"),
    "bytes": (NO_TEXT, "text", "it has NUL bytes, like a binary file or UTF-16 without"),
    "a NUL far behind": (b"one\n" * 20_000 + b"a\0b\n", "text", "line 20001: it has a NUL character"),
    "Windows": (
        "Straße „naïve“".encode("cp1252"),
        "text",
        "line 1, column 5: byte 0xdf is not UTF-8; if it is Western European text from Windows, convert it: iconv -f WINDOWS-1252 -t UTF-8 'a b' > utf8.txt",
    ),
    "Windows in gzip": (
        gzip.compress("Straße".encode("cp1252"), mtime=0),
        "text",
        "gzip -dc 'a b' | iconv -f WINDOWS-1252",
    ),
    "three letters beyond ASCII": (
        "Die Umlaute sind ÄÖÜ.".encode("cp1252"),
        "text",
        "if it is Western European text",
    ),
    "four letters beyond ASCII": (
        "The word мост is Russian.".encode("cp1251"),
        "text",
        "column 10: byte 0xec is not UTF-8; save it as UTF-8",
    ),
    "many letters beyond ASCII": (
        "και το νέο δεν".encode("iso8859-7"),
        "text",
        "is not UTF-8; save it as UTF-8",
    ),
    "a byte that Windows does not have": (b"caf\xe9 au lait \x81", "text", "is not UTF-8; save it as UTF-8"),
    "a control character": (b"caf\xe9 au lait \x01", "text", "is not UTF-8; save it as UTF-8"),
    "Russian after a line that could be Windows": (
        b"caf\xe9 au lait\n" + "Где находится Берлин".encode("cp1251"),
        "text",
        "line 1, column 4: byte 0xe9 is not UTF-8; save it as UTF-8",
    ),
    "Russian far behind": (
        b"one\n" * 20_000 + "Где находится Берлин".encode("cp1251"),
        "text",
        "line 20001, column 1: byte 0xc3 is not UTF-8; save it as UTF-8",
    ),
    "Russian": (
        "Где находится Берлин".encode("cp1251"),
        "text",
        "is not UTF-8; save it as UTF-8, or convert it with iconv",
    ),
    "Japanese": ("ベルリンはどこ".encode("shift-jis"), "text", "is not UTF-8; save it as UTF-8"),
    "damaged UTF-8": (
        "é\n".encode() + b"caf\xc3",
        "text",
        "line 2, column 4: byte 0xc3 is not UTF-8, but the rest",
    ),
    "damaged UTF-8 on a line": (
        "é".encode() + b"caf\xc3",
        "text",
        "line 1, column 5: byte 0xc3 is not UTF-8, but the rest",
    ),
    "gzip cut off": (gzip.compress(LINE.encode(), mtime=0)[:-3], "jsonl", "a b: the gzip file is cut off"),
    "gzip damaged": (
        gzip.compress(LINE.encode(), mtime=0)[:-6] + b"xxxxxx",
        "jsonl",
        "a b: the gzip file is damaged (CRC",
    ),
    "gzip damaged within": (
        gzip.compress(b"x", mtime=0)[:10] + b"\x07" * 20,
        "text",
        "a b: the gzip file is damaged",
    ),
    "gzip and more": (
        gzip.compress(LINE.encode(), mtime=0) + b"more",
        "jsonl",
        "a b: the gzip file is damaged (Not a gzipped",
    ),
    "gzip twice": (
        gzip.compress(gzip.compress(b"x"), mtime=0),
        "text",
        "compressed by gzip within gzip, not text; decompress it: gzip -dc 'a b' > plain",
    ),
    "a PDF": (
        b"%PDF-1.7\n%\xe2\xe3",
        "text",
        "a PDF document, not text; extract its text: pdftotext 'a b' text.txt",
    ),
    "Excel": (
        b"PK\x03\x04....[Content_Types].xml..xl/workbook.xml",
        "csv",
        "an Excel workbook, not text; save its sheet as CSV UTF-8",
    ),
    "Word": (b"PK\x03\x04....word/document.xml", "text", "a Word document, not text; save it as plain text"),
    "OpenDocument": (
        b"PK\x03\x04mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        "csv",
        "an OpenDocument spreadsheet",
    ),
    "zip": (b"PK\x03\x04rows.csv", "csv", "a zip archive, not text; unpack it"),
    "tar": (b"a" * 257 + b"ustar\0", "text", "a tar archive"),
    "an image": (
        b"\x89PNG\r\n\x1a\n",
        "text",
        'a PNG image, not text; pass JSON lines with the URLs of images: {"image": ',
    ),
    "SQLite": (b"SQLite format 3\0", "text", "an SQLite database, not text; write a query's rows: sqlite3"),
    "zstd": (
        b"\x28\xb5\x2f\xfd\0",
        "text",
        "compressed by zstd, not text; decompress it: zstd -dc 'a b' > plain",
    ),
    "bzip2": (b"BZh91AY&SY\xff", "text", "compressed by bzip2"),
    "xz": (b"\xfd7zXZ\0", "text", "compressed by xz"),
    "Parquet in gzip": (gzip.compress(b"PAR1\xff\0", mtime=0), "text", "a Parquet file within gzip"),
    "ORC": (b"ORC\0\xff", "text", "an ORC file"),
    "ORC of no letters": (b"ORC\xff", "text", "an ORC file"),
    "Arrow": (b"ARROW1\0\0", "jsonl", "an Arrow file, not text; write its rows"),
    "JSON cut off": (b'{"text": "a', "jsonl", "line 1, column 10: not JSON (Unterminated string"),
    "JSON cut off later": (
        (LINE + '{"text":').encode(),
        "jsonl",
        "line 2, column 9: not JSON (Expecting value)",
    ),
    "JSON that goes on wrongly": (
        b'{"text": "a",\n"b"',
        "jsonl",
        "line 2, column 5: not JSON (Expecting ':'",
    ),
    "an array cut off": (b'["a", "b"', "jsonl", "line 1, column 11: not JSON (expecting ',' or ']'"),
    "an array of one comma": (b'["a",]', "jsonl", "line 1, column 6: not JSON (Expecting value)"),
    "an array and more": (b'["a"]\n["b"]', "jsonl", "line 2, column 1: there is more after the array"),
    "half a pair": (
        (LINE + '{"x": "\\ud83d\\ude00", "text": "a\\ud83d"}').encode(),
        "jsonl",
        r"line 2, column 33: \ud83d is a lone surrogate",
    ),
    "the other half": (rb'{"text": "\ude00"}', "jsonl", r"line 1, column 11: \ude00 is a lone surrogate"),
    "half a pair over lines": (
        b'[\n {"text":\n  "\\ud83d"}]',
        "jsonl",
        r"line 3, column 4: \ud83d is a lone surrogate",
    ),
    "half a pair in an array": (
        b'["a", "\\ud83d"]',
        "jsonl",
        r"line 1, column 8: \ud83d is a lone surrogate",
    ),
    "deep": (b'{"text":' + b"[" * 100_000, "jsonl", "it is nested too deeply"),
    "deep in an array": (
        b"[" * 100_000,
        "jsonl",
        "line 1, column 2: JSON that cannot be read (it is nested too deeply)",
    ),
    "a number beyond floats": (b'{"text": NaN, "n": 1e999}', "jsonl", "the number 1e999 is too large"),
    "a number of 5,000 digits": (b"1" * 5000, "jsonl", "line 1: JSON that cannot be read"),
    "a cell without a column": (
        b"text,n,\na,1,x\n",
        "csv",
        "line 2: the row has 3 cells but the header has 2; quote cells that contain commas",
    ),
    "semicolons that are too many": (b"text;n\na;1;2\n", "csv", "quote cells that contain semicolons"),
    "a delimiter of one's own": (b"sep=|\ntext|n\na\n", "csv", "quote cells that contain '|'"),
    "no such end": (b'text,n\n"a,1\n', "csv", "line 2: not CSV (unexpected end of data)"),
    "two columns of a name": (b"text,n,text\n", "csv", "line 1: two columns are named 'text'; rename"),
    "two columns without a name": (b",,text\n", "csv", "two columns are named ''"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str):
    """Each is named for what it is, with its place and what to do."""
    content, form, says = REFUSED[name]
    with pytest.raises(files.BadFile) as caught:
        read(content, form)
    assert says in str(caught.value)


def test_numbers_are_carried_as_they_are_written():
    """The values of an object are its text."""
    (found,) = files.read("a", io.BytesIO(b'{"n": 1.50, "m":1e999}'), "jsonl", [])
    assert {name: bytes(value) for name, value in found.value.items()} == {"n": b"1.50", "m": b"1e999"}


def test_values_over_lines_are_carried_on_one_line():
    """A value that spans lines can be written into a file of JSON lines."""
    (found,) = files.read("a", io.BytesIO(b'[{"n": {\n "a": 1.50,\n "b": [ 2 ]\n}}]'), "jsonl", [])
    assert bytes(found.value["n"]) == b'{"a":1.50,"b":[2]}'


@pytest.mark.parametrize(
    "value",
    [
        "[1, [NaN]]",
        "[[1], [Infinity]]",
        '{"a": [-Infinity]}',
        '["a", {"b": NaN}]',
        "[1.5, NaN]",
        '{"a": NaN, "b": 1.5}',
        '{"a": 1.5, "b": NaN}',
    ],
)
def test_a_value_is_not_finite_if_a_part_is_not(value: str):
    """NaN and infinity are found at every depth."""
    assert not files.is_finite(json.loads(value))


@pytest.mark.parametrize("value", ["[1, [1.5]]", '["a", 1.5, null]', '{"a": [1]}', '"NaN"', "null", "[]"])
def test_a_value_is_finite_if_each_part_is(value: str):
    """Values of every type but these numbers are finite."""
    assert files.is_finite(json.loads(value))


@pytest.mark.skipif(shutil.which("iconv") is None or sys.platform == "win32", reason="there is no iconv")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", ["cp1252", "utf-16-le"])
def test_who_follows_the_hint_gets_the_text(tmp_path: Path, encoding: str, packed: bool):
    """The command that the message names makes a file that is read as the text was."""
    file = tmp_path / "in it's.txt"
    content = "Wo ist Köln?\nIn Köln.\n".encode(encoding)
    file.write_bytes(gzip.compress(content) if packed else content)
    result = run("rank", "--local", "q", file)
    command = result.stderr.rstrip().partition("convert it: ")[2]
    subprocess.run(["sh", "-c", command], check=True, cwd=tmp_path)
    assert read((tmp_path / "utf8.txt").read_bytes(), "text") == [("Wo ist Köln?", 1), ("In Köln.", 2)]


ROWS = [{"query": "é", "documents": ["a", "b"], "text": "t"}]
TABLE = 'query;documents;text;;\r\né;"[""a"", ""b""]";t;;\r\n;;;;\r\n'
BOTH: dict[str, tuple[str, Callable[[], bytes]]] = {
    "UTF-16 lines": ("in.jsonl", lambda: json.dumps(ROWS[0]).encode("utf-16")),
    "a packed array": ("in.json.gz", lambda: gzip.compress(json.dumps(ROWS, indent=1).encode())),
    "packed in spite of the name": ("in.jsonl", lambda: gzip.compress(json.dumps(ROWS[0]).encode())),
    "an object over lines": ("in.json", lambda: json.dumps(ROWS[0], indent=2).encode()),
    "a table of Excel": ("in.csv", lambda: TABLE.encode("utf-8-sig")),
    "a table in UTF-16": ("in.csv", lambda: TABLE.encode("utf-16")),
    "a table of an old Mac": ("in.csv", lambda: TABLE.replace("\r\n", "\r").encode()),
    "tabs": ("in.tsv", lambda: TABLE.replace(";", "\t").encode()),
    "packed tabs": ("in.TSV.GZ", lambda: gzip.compress(TABLE.replace(";", "\t").encode())),
}


@pytest.mark.parametrize("name", BOTH)
def test_both_commands_read(tmp_path: Path, name: str):
    """`rerank rank` and `rerank batch` read the same files alike; the first from standard input too."""
    file, content = BOTH[name]
    (tmp_path / file).write_bytes(content())
    result = run("rank", "--local", "q", tmp_path / file)
    assert (result.exit_code, result.stderr) == (0, "")
    document = json.loads(result.stdout)["document"]
    assert (document["query"], document["text"]) == ("é", "t")
    form = {".csv": "csv", ".tsv": "tsv"}.get(Path(file.lower().removesuffix(".gz")).suffix, "jsonl")
    result = run("rank", "--local", "q", "--input-format", form, stdin=content())
    assert json.loads(result.stdout)["document"] == document
    assert run("batch", "--local", tmp_path / file, tmp_path / "out.jsonl", "--keep-documents").exit_code == 0
    ranked = json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8"))
    assert {name: ranked[name] for name in ROWS[0]} == ROWS[0]


@pytest.mark.parametrize("command", ["rank", "batch"])
def test_both_commands_refuse(tmp_path: Path, command: str):
    """Both commands refuse input that is not text, and write nothing."""
    (tmp_path / "in.jsonl").write_bytes(b"%PDF-1.7")
    rest = (
        ["q", tmp_path / "in.jsonl"] if command == "rank" else [tmp_path / "in.jsonl", tmp_path / "out.jsonl"]
    )
    result = run(command, "--local", *rest)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "in.jsonl: it is a PDF document, not text" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_null_as_a_text_of_batch(tmp_path: Path):
    """Row, column and field are named, and no option is proposed that would not help."""
    given = {"null": "null", "NaN": "NaN or infinity", "-Infinity": "NaN or infinity", "7": "a number"}
    for value, says in given.items():
        (tmp_path / "in.jsonl").write_text(f'{{"query": "q", "documents": [{{"body": {value}}}]}}')
        result = run(
            "batch", "--local", "--text-field", "body", tmp_path / "in.jsonl", tmp_path / "out.jsonl"
        )
        assert f"row 1, column 'documents': document 0 has {says} in 'body', not a string" in result.stderr
        assert "--text-field" not in result.stderr


def test_not_finite_documents_are_told(tmp_path: Path):
    """`rerank rank` prints NaN as null, and says where the first one was."""
    (tmp_path / "in.jsonl").write_text('"b"\n{"text": "a", "n": 1, "s": NaN}\n{"text": "a", "n": NaN}\n')
    result = run("rank", "--local", "a", tmp_path / "in.jsonl")
    assert result.exit_code == 0
    assert result.stderr.count("\n") == 1
    assert "in.jsonl, line 2: NaN or infinity in the field 's' is printed as null" in result.stderr
    assert {"text": "a", "n": 1, "s": None} in [
        json.loads(line)["document"] for line in result.stdout.splitlines()
    ]


def test_parquet_for_rank(tmp_path: Path):
    """`rerank rank` reads Parquet from a file of any name, and from standard input; the line is the row."""
    arrow = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `batch` is not installed")
    table = arrow.table({"text": ["red", "blue"], "t": arrow.array([1, None], arrow.timestamp("ns"))})
    parquet.write_table(table, tmp_path / "in.dat")
    for result in (
        run("rank", "--local", "blue", tmp_path / "in.dat"),
        run("rank", "--local", "blue", stdin=(tmp_path / "in.dat").read_bytes()),
    ):
        best, other = (json.loads(line) for line in result.stdout.splitlines())
        assert (best["document"], best["line"]) == ({"text": "blue", "t": None}, 2)
        assert other["document"]["t"] == "1970-01-01T00:00:00.000000001"
    (tmp_path / "in.parquet").write_bytes(b"text\n")
    assert "not Parquet" in run("rank", "--local", "blue", tmp_path / "in.parquet").stderr


def test_parquet_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without pyarrow, both commands say what to install."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "in.parquet").write_bytes(b"PAR1\xff")
    for result in (
        run("rank", "--local", "q", tmp_path / "in.parquet"),
        run("batch", "--local", tmp_path / "in.parquet", tmp_path / "out.jsonl"),
    ):
        assert result.exit_code == 2
        assert "Parquet needs pyarrow: pip install" in result.stderr


def test_a_stream_is_asked_no_more_after_its_end():
    """A terminal that was ended once is not read again."""
    reads: list[int] = []

    class Terminal(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            reads.append(size or 0)
            return super().read(size)

    assert [value for value, _ in files.read("-", Terminal(b"a\nb\n"), "text", [])] == ["a", "b"]
    assert len(reads) == 1


def test_chunks_of_rank():
    """--chunk-words ranks a document by its best chunk, and prints it whole."""
    text = b"red green blue yellow whale\n"
    plain = run("rank", "--local", "yellow whale", stdin=text + b"red\n")
    cut = run(
        "rank", "--local", "yellow whale", "--chunk-words", 2, "--chunk-overlap", 1, stdin=text + b"red\n"
    )
    first, whole = (json.loads(result.stdout.splitlines()[0]) for result in (cut, plain))
    assert first["document"] == whole["document"] == text.decode().rstrip()
    assert first["score"] > whole["score"]
    for arguments, says in (
        (["--chunk-overlap", 1], "needs --chunk-words; add it"),
        (["--chunk-words", 2, "--chunk-overlap", 2], "make it smaller"),
    ):
        result = run("rank", "--local", "q", *arguments, stdin=text)
        assert (result.exit_code, says in result.stderr) == (2, True)
