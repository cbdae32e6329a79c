"""The command `rerank` does what its help says: what it reads, what it prints, how it ends."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import platform
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import httpx
import pytest
from click.testing import CliRunner, Result
from msgspec import Meta

from openrouter_rerank import Hit, Ranking, Reranker
from openrouter_rerank.cli import connection
from openrouter_rerank.cli.app import COMMANDS, app
from openrouter_rerank.cli.batch import command as batch
from openrouter_rerank.cli.connection import ServerOptions, _field_option, connect
from openrouter_rerank.cli.output import explained
from openrouter_rerank.cli.rank import command as rank
from openrouter_rerank.cli.rows import Row
from openrouter_rerank.testing import (
    FAULTS,
    Request,
    Script,
    answer,
    envelope,
    faulty,
    honest,
    results,
    serving,
)
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.options import CONTRACT_VERSION
from shells import LONG, SOON, TIMEOUTS

KEY = "sk-or-v1-a-secret-of-mine"
EMPTY = "no documents found; nothing was sent\n"
EXAMPLES = Path(__file__).parents[2] / "examples"
LIBRARY = str(EXAMPLES / "library.txt")
# As the script does; the shell that started the tests may have told its children to ignore SIGINT.
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from openrouter_rerank.cli import main; main()"
)

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals, pipes or terminals")


def rerank(*args: str, stdin: bytes = b"", key: str | None = None) -> Result:
    """Run the command in this process; any exception but its exit is raised."""
    result = CliRunner().invoke(
        app, args, input=stdin, env={"OPENROUTER_API_KEY": key}, catch_exceptions=False
    )
    assert KEY not in result.output
    return result


def local(*args: str, stdin: bytes = b"") -> Result:
    """`rerank rank --local`, in this process."""
    return rerank("rank", "--local", *args, stdin=stdin)


def lines(result: Result) -> list[dict[str, Any]]:
    """Return the JSON lines of a command that succeeded."""
    assert result.exit_code == 0
    assert result.stderr == "" if result.stdout else result.stderr.endswith(EMPTY)
    return [json.loads(line) for line in result.stdout.split("\n")[:-1]]


def read(result: Result) -> list[tuple[Any, int]]:
    """Return the documents in the order in which they were read, each with its line."""
    return [(hit["document"], hit["line"]) for hit in sorted(lines(result), key=lambda hit: hit["index"])]


def refused(result: Result, code: int, *says: str) -> None:
    """Assert that the command printed nothing but one error line, and ended with the code."""
    assert result.stdout == ""
    assert one_line(result.stderr)
    for words in says:
        assert words in result.stderr
    assert result.exit_code == code


def one_line(error: str) -> bool:
    """Return True if it is one error line of ours."""
    return bool(re.fullmatch(r"rerank: [^\n]+[.:;] [^\n]+\n", error))


def started(*args: str, before: str = "", **options: Any) -> subprocess.Popen[bytes]:
    """Run the command in a process of its own."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", f"{before}\n{MAIN}", *args]
    return subprocess.Popen(command, **{**pipes, **options})


def ended(process: subprocess.Popen[bytes]) -> tuple[int, str, str]:
    """Its exit code, output and errors, once it has ended."""
    with process:
        try:
            output, error = process.communicate(timeout=SOON)
        finally:
            process.kill()
    return process.returncode, (output or b"").decode(), (error or b"").decode()


# What it reads

SOURCES: dict[str, tuple[str, bytes, list[str], list[tuple[Any, int]]]] = {
    "text": ("a.txt", b"one\ntwo\n", [], [("one", 1), ("two", 2)]),
    "no newline at the end": ("a.txt", b"one\ntwo", [], [("one", 1), ("two", 2)]),
    "no extension": ("a", b"one\n", [], [("one", 1)]),
    "blank lines": ("a.txt", b"\none\n \t \n\ntwo\n\n", [], [("one", 2), ("two", 5)]),
    "Windows newlines": ("a.txt", b"one\r\n\r\ntwo\r\n", [], [("one", 1), ("two", 3)]),
    "a byte order mark": ("a.txt", b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n", [], [("one", 1), ("two", 2)]),
    "other line separators": ("a.txt", "o\u2028n\x85e\x0c\n".encode(), [], [("o\u2028n\x85e\x0c", 1)]),
    "blanks around": ("a.txt", b"  one \n", [], [("  one ", 1)]),
    "nothing": ("a.txt", b"", [], []),
    "JSON strings": ("a.jsonl", b'"one"\n\n"t\\u0077o"\r\n', [], [("one", 1), ("two", 3)]),
    "JSON objects": (
        "a.jsonl",
        b'{"id": 7, "text": "one", "tags": ["x", null]}\n"two"\n',
        [],
        [({"id": 7, "text": "one", "tags": ["x", None]}, 1), ("two", 2)],
    ),
    "a huge integer": (
        "a.jsonl",
        b'{"id": 123456789012345678901234567890, "text": "one"}',
        [],
        [({"id": 123456789012345678901234567890, "text": "one"}, 1)],
    ),
    "another field": ("a.ndjson", b'{"body": "one"}', ["--text-field", "body"], [({"body": "one"}, 1)]),
    "a byte order mark in JSON": ("a.JSON", b'\xef\xbb\xbf"one"', [], [("one", 1)]),
    "an empty text": ("a.jsonl", b'{"text": ""}', [], [({"text": ""}, 1)]),
    "CSV": (
        "a.csv",
        b"id,text\n1,one\n2,two\n",
        [],
        [({"id": "1", "text": "one"}, 2), ({"id": "2", "text": "two"}, 3)],
    ),
    "CSV with Windows newlines": (
        "a.CSV",
        b"\xef\xbb\xbftext,n\r\none,1\r\n",
        [],
        [({"text": "one", "n": "1"}, 2)],
    ),
    "CSV with cells of several lines": (
        "a.csv",
        b'text\n"one\n""and"" a half"\n\ntwo\n',
        [],
        [({"text": 'one\n"and" a half'}, 2), ({"text": "two"}, 5)],
    ),
    "CSV with a long cell": ("a.csv", b"text\n" + b"x" * 200_000, [], [({"text": "x" * 200_000}, 2)]),
    "CSV with a header alone": ("a.csv", b"id,text\n", [], []),
    "another column": ("a.csv", b"body\none\n", ["--text-field", "body"], [({"body": "one"}, 2)]),
    "a format that the name does not tell": ("a.txt", b'"one"', ["--input-format", "jsonl"], [("one", 1)]),
    "text in spite of the name": ("a.csv", b"one,two\n", ["--input-format", "text"], [("one,two", 1)]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_reads(source: str, tmp_path: Path):
    """Each kind of file is read as the documents that it holds, which come back whole, with their lines."""
    name, content, options, documents = SOURCES[source]
    file = tmp_path / name
    file.write_bytes(content)
    result = local("query", str(file), *options)
    assert read(result) == documents
    assert {hit["file"] for hit in lines(result)} <= {str(file)}


@pytest.mark.parametrize("files", [[], ["-"]])
def test_reads_standard_input(files: list[str]):
    """Without a file, or for -, standard input is read, as text unless told otherwise."""
    assert read(local("query", *files, stdin=b"one\r\ntwo")) == [("one", 1), ("two", 2)]
    result = local("query", *files, "--input-format", "csv", stdin=b"text\none\n")
    assert read(result) == [({"text": "one"}, 2)]
    assert lines(result)[0]["file"] == "-"
    refused(local("query", *files, stdin=b"one\n\xe9"), 2, "standard input, line 2, column 1: byte 0xe9")


def test_several_files_are_one_list(tmp_path: Path):
    """Files of several kinds, standard input among them, are one list in the order given."""
    (tmp_path / "a.txt").write_text("zero\none\n")
    (tmp_path / "b.jsonl").write_text('{"text": "three"}\n')
    result = local("three", str(tmp_path / "a.txt"), "-", str(tmp_path / "b.jsonl"), stdin=b"two\n")
    assert read(result) == [("zero", 1), ("one", 2), ("two", 1), ({"text": "three"}, 1)]
    assert lines(result)[0]["index"] == 3


BAD_SOURCES: dict[str, tuple[str, bytes, list[str]]] = {
    "not UTF-8": (
        "a.txt",
        b"one\ncaf\xe9\n",
        ["a.txt, line 2, column 4: byte 0xe9 is not UTF-8; ", "iconv -f WINDOWS-1252"],
    ),
    "JSON cut off": (
        "a.jsonl",
        b'"one"\n\n{"text": "tw',
        ["a.jsonl, line 3, column 10: not JSON (Unterminated string"],
    ),
    "NaN as a text": ("a.jsonl", b'{"text": NaN}', ["line 1: the field 'text' is NaN"]),
    "a lone surrogate": (
        "a.jsonl",
        b'{"text": "\\ud800"}',
        ["line 1, column 11: \\ud800 is a lone surrogate"],
    ),
    "deep nesting": ("a.jsonl", b"[" * 100_000, ["line 1, column 2: JSON that cannot be read"]),
    "an array": ("a.jsonl", b'[["one"]]', ["line 1: an array is not a document"]),
    "a number": ("a.jsonl", b"1.5", ["line 1: a number is not a document"]),
    "true": ("a.jsonl", b"true", ["line 1: a boolean is not a document"]),
    "null": ("a.jsonl", b"null", ["line 1: null is not a document"]),
    "no such field": (
        "a.jsonl",
        b'{"id": 1, "body": "one"}',
        ["line 1: there is no field 'text', only id, body; ", "--text-field"],
    ),
    "no field at all": ("a.jsonl", b"{}", ["only an empty object"]),
    "a field that is no text": (
        "a.jsonl",
        b'{"text": {"a": 1}}',
        ["line 1: the field 'text' is an object, not a string"],
    ),
    "a field that is null": (
        "a.jsonl",
        b'{"text": null}',
        ["line 1: the field 'text' is null", "correct or remove the row"],
    ),
    "a field that is a list": ("a.jsonl", b'{"text": []}', ["is an array"]),
    "no such column": (
        "a.csv",
        b"id,body\n1,one\n",
        ["a.csv, line 2: there is no field 'text', only id, body; "],
    ),
    "a row too long": (
        "a.csv",
        b"text\none, two\n",
        ["a.csv, line 2: the row has 2 cells but the header has 1"],
    ),
    "a row too short": ("a.csv", b"id,text\n1,one\n2\n", ["a.csv, line 3: the row has 1 cells"]),
    "an open quote": ("a.csv", b'text\none\n"two\n\nthree', ["a.csv, line 3: not CSV"]),
    "a column twice": ("a.csv", b"\ntext,text\n1,2\n", ["line 2: two columns are named 'text'"]),
}


@pytest.mark.parametrize("source", BAD_SOURCES)
def test_refuses_bad_files(source: str, tmp_path: Path):
    """Unreadable input is reported in one line with the file and its line; nothing is sent: exit code 2."""
    name, content, says = BAD_SOURCES[source]
    (tmp_path / name).write_bytes(content)
    with faulty("slow") as server:
        result = rerank("rank", "--base-url", server.url, "query", str(tmp_path / name))
    refused(result, 2, *says)
    assert server.requests == []


def test_refuses_files_that_cannot_be_opened(tmp_path: Path):
    """A missing file and a folder are told by name, on one line even if the name is not: exit code 2."""
    refused(local("query", str(tmp_path / "nowhere.txt")), 2, "nowhere.txt: No such file")
    refused(local("query", str(tmp_path / "no\nwhere\x1b[2J.txt")), 2, "no where\ufffd[2J.txt: No such file")
    refused(local("query", str(tmp_path)), 2, str(tmp_path))


USAGE: dict[str, tuple[list[str], list[str]]] = {
    "no query": (["rank"], ["Missing argument 'QUERY'. See 'rerank rank --help'"]),
    "a blank query": (
        ["rank", "--local", " ", LIBRARY],
        ["query is blank; pass a query. See 'rerank rank --help'"],
    ),
    "no such command": (
        ["order"],
        ["no such command: 'order'; the commands are rank, batch,", "See 'rerank --help'"],
    ),
    "a misspelt command": (["rnak"], ["no such command: 'rnak'; did you mean 'rank'? See 'rerank --help'"]),
    "no such option": (
        ["rank", "--topn", "3", "q"],
        ["no such option: '--topn'; did you mean '--top-n'? See"],
    ),
    "the option of another tool": (
        ["rank", "--top-k", "3", "q"],
        ["no such option: '--top-k'; did you mean '--top-n'?"],
    ),
    "a needless option": (
        ["rank", "--return-documents", "q"],
        ["it is not needed, as each hit holds your own"],
    ),
    "an option like no other": (["serve", "--quux"], ["no such option: '--quux'. See 'rerank serve --help'"]),
    "top_n of 0": (["rank", "--top-n", "0", "q"], ["--top-n: it must be at least 1, not 0. See"]),
    "min_score that is no number": (
        ["rank", "--local", "--min-score", "nan", "q", LIBRARY],
        ["min_score", "nan"],
    ),
    "no such format": (["rank", "--format", "xml", "q"], ["'xml' is not one of 'table', 'jsonl', 'json'"]),
    "timeout of 0": (["rank", "--timeout", "0", "q"], ["0"]),
    "endless timeout": (
        ["rank", "--local", "--timeout", "inf", "q"],
        ["--timeout", "inf is not a finite number"],
    ),
    "no such scorer": (["rank", "--local", "--scorer", "best", "q"], ["'best' is not one of"]),
    "scorer without --local": (["rank", "--scorer", "lexical", "q"], ["add --local"]),
    "--local and --base-url": (
        ["rank", "--local", "--base-url", "http://localhost", "q"],
        ["leave one of them out"],
    ),
    "an address that is none": (
        ["rank", "--base-url", "localhost:8000", "q"],
        ["rerank: --base-url must be an http(s) URL", "write http:// or https:// before the host"],
    ),
    "a blank model": (["rank", "--local", "--model", "", "q"], ["model is blank"]),
    "no key": (["rank", "q", LIBRARY], ["no API key: set OPENROUTER_API_KEY, or ", "--local"]),
    "port out of range": (["serve", "--port", "65536"], ["--port: it must be from 0 to 65535, not 65536"]),
    "key variable not set": (
        ["serve", "--key-env", "NO_SUCH_KEY"],
        ["--key-env: no environment variable of this name has a key; pass the name, not the key"],
    ),
    "extras of a dialect": (
        ["serve", "--dialect", "tei", "--compat"],
        ["--compat: ", "--compat: cannot be combined with --dialect"],
    ),
    "an address that is not text": (
        ["serve", "--host", "a\udcff"],
        ["--host: 'a\\udcff' is not a name or an address of a host; pass one of this machine"],
    ),
    "no address of this machine": (
        ["serve", "--port", "0", "--host", "192.0.2.1"],
        ["cannot listen on 192.0.2.1, port 0: "],
    ),
}


@pytest.mark.parametrize("usage", USAGE)
def test_refuses_bad_usage(usage: str):
    """An impossible combination is reported in one line with an alternative: exit code 2."""
    args, says = USAGE[usage]
    refused(rerank(*args), 2, *says)


@pytest.mark.parametrize(
    "command",
    [
        ["rank", "q", LIBRARY],
        ["batch", "in.csv", "out.csv"],
        ["models"],
        ["serve"],
        ["doctor", "http://127.0.0.1:9"],
    ],
    ids=lambda command: command[0],
)
def test_a_key_in_place_of_its_variable_is_not_shown(command: list[str], tmp_path: Path):
    """No command quotes what it was given as the name of a variable, as it may be the key."""
    (tmp_path / "in.csv").write_text('query,documents\nq,"[""a"", ""b""]"\n')
    arguments = [str(tmp_path / word) if word.endswith(".csv") else word for word in command]
    result = rerank(*arguments, "--key-env", "sk-or-v1-0123456789abcdef")
    refused(result, 2, "--key-env", "pass the name, not the key")
    assert "0123456789abcdef" not in result.stderr


def test_help_is_shown_where_there_is_no_command():
    """`rerank` alone shows the help, and is a usage error all the same."""
    result = rerank()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == rerank("--help").stdout


# What it prints


def test_the_examples_are_ranked():
    """The three example files hold the same texts, and the questions asked of them are answered first."""
    texts = (EXAMPLES / "library.txt").read_text().splitlines()
    assert [
        json.loads(line)["text"] for line in (EXAMPLES / "library.jsonl").read_text().splitlines()
    ] == texts
    with (EXAMPLES / "library.csv").open(newline="") as file:
        assert [row["text"] for row in csv.DictReader(file)] == texts
    asked = re.findall(
        r'rerank rank --local --top-n 3 "(.*?)" examples/(\S+)', (EXAMPLES / "README.md").read_text()
    )
    best = [lines(local("--top-n", "3", query, str(EXAMPLES / file)))[0]["index"] for query, file in asked]
    assert best == [5, 6]


def test_prints_json_lines():
    """In a pipe each hit is a JSON object on a line, best first, UTF-8 as it is."""
    result = local("blue whale", stdin="red\nbluë whale\nblue whale\n".encode())
    assert [list(line) for line in lines(result)] == [["index", "score", "document", "file", "line"]] * 3
    assert [line["index"] for line in lines(result)] == [2, 1, 0]
    assert "bluë".encode() in result.stdout_bytes
    assert (
        result.stdout
        == local("blue whale", "--format", "jsonl", stdin="red\nbluë whale\nblue whale\n".encode()).stdout
    )


def test_prints_one_json_object():
    """`--format json` is one object: the hits as JSON lines have them, and what is known about the call."""
    [whole] = lines(local("blue whale", "--format", "json", "-n", "1", stdin=b"red\nblue whale\n"))
    assert whole["hits"] == lines(local("blue whale", "-n", "1", stdin=b"red\nblue whale\n"))
    assert (whole["model"], whole["provider"], whole["total"]) == ("local/lexical-bm25", "reference", 2)
    assert list(whole["usage"].items())[:2] == [("cost", 0.0), ("search_units", 1)]
    assert whole["usage"]["total_tokens"] > 0
    assert whole["reordered"] is False
    assert {"id", "request_id", "elapsed"} <= set(whole)


def test_cuts_the_list():
    """`--top-n` keeps so many hits, and `--min-score` those of this score or above."""
    documents = b"red\nblue whale\nblue\n"
    whole = lines(local("blue whale", stdin=documents))
    assert lines(local("blue whale", "--top-n", "2", stdin=documents)) == whole[:2]
    assert lines(local("blue whale", "--top-n", "9", stdin=documents)) == whole
    assert lines(local("blue whale", "--min-score", str(whole[1]["score"]), stdin=documents)) == whole[:2]


def table(*args: str, columns: int = 60, stdin: bytes = b"") -> list[str]:
    """Return the lines of a table that is so many columns wide."""
    runner = CliRunner(env={"COLUMNS": str(columns)})
    result = runner.invoke(
        app, ["rank", "--local", "--format", "table", *args], input=stdin, catch_exceptions=False
    )
    assert (result.exit_code, result.stderr) == (0, "" if stdin else f"rerank: standard input: {EMPTY}")
    return result.stdout.splitlines()


def test_prints_a_table():
    """A table shows rank, score, index and document, and below them how many of them, by what, its cost and time."""
    head, first, second, *foot = table(
        "blue whale", "-n", "2", stdin=b"red\nblue [b]whale[/b] :smile:\nblue\n", columns=90
    )
    assert head.split() == ["rank", "score", "index", "document"]
    assert first.split() == ["1", first.split()[1], "1", "blue", "[b]whale[/b]", ":smile:"]
    assert second.split()[0::2] == ["2", "2"]
    assert float(first.split()[1]) > float(second.split()[1])
    assert re.fullmatch(
        r"2 of 3 documents · local/lexical-bm25 by reference · cost \$0 · \d+\.\d\d s", " ".join(foot)
    )


def test_a_table_of_nothing_is_its_last_line():
    """No documents make no request and no table, and are said to be none."""
    assert table("query") == ["0 of 0 documents · 0.00 s"]
    assert lines(local("query")) == []


@pytest.mark.parametrize("columns", [40, 80])
def test_a_table_is_no_wider_than_its_terminal(columns: int):
    """Documents are cut to one line of the terminal's width, wide characters counted as two, and numbers never."""
    stdin = ("whale " * 50 + "\n" + "鯨" * 300 + "\n").encode()
    head, *body = table("whale", columns=columns, stdin=stdin)
    assert head.split() == ["rank", "score", "index", "document"]
    assert all(len(line) + len(re.findall("[鯨]", line)) <= columns for line in body)
    assert [line.rstrip()[-1] for line in body[:2]] == ["…", "…"]
    assert body[1].split()[:3] == ["2", "0.000", "1"]


def bars_of(scores: Sequence[float], encoding: str = "utf-8") -> list[int]:
    """Return the width of each score's bar in characters."""
    ranking = Ranking(
        hits=tuple(Hit(index, score, Row("text", "file", 1)) for index, score in enumerate(scores)), total=9
    )
    screen = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    with redirect_stdout(screen):
        printed = explained(ranking, lambda _: "text").decode(encoding)
    return [len(re.findall("[█-▏#]", line)) for line in printed.splitlines()[1:-2]]


@pytest.mark.parametrize(
    ("scores", "bars"),
    [
        ([1.0, 0.5, 0.0], [20, 10, 0]),
        ([0.5, 0.25], [10, 5]),
        ([8.0, 4.0, 0.0], [20, 10, 0]),
        ([10.0, -10.0], [20, 0]),
        ([-1.0, -3.0, -5.0], [20, 10, 0]),
        ([7.0, 7.0], [20, 20]),
        ([-7.0], [20]),
    ],
)
def test_a_bar_for_each_score(scores: Sequence[float], bars: Sequence[int]):
    """`--explain` draws a score by its place between 0 and 1, or on another scale between the ends of it."""
    assert bars_of(scores) == bars
    assert bars_of(scores, "ascii") == bars


def test_explains_on_a_line_of_its_own():
    """`--explain` makes a table wherever it goes, says what its bars measure, and is no wider than the terminal."""
    head, first, second, scale, _ = table(
        "blue whale", "--explain", "-n", "2", stdin=b"red\nblue whale\nblue\n", columns=70
    )
    assert head.split() == ["rank", "score", "index", "document"]
    assert first.count("█") > second.count("█") > 0
    assert scale == "bars from 0 to 1"
    assert max(map(len, (head, first, second))) <= 70
    result = local("whale", "--explain", "--format", "jsonl", stdin=b"whale\n")
    assert (result.exit_code, "--explain: cannot be combined with --format jsonl" in result.stderr) == (
        2,
        True,
    )


def test_explains_where_there_is_little_room():
    """On a narrow terminal bars are shorter, so that numbers and the beginnings of documents are seen."""
    head, first, *_ = table("whale", "--explain", stdin=b"a whale of a time\nred\n", columns=40)
    assert head.split() == ["rank", "score", "index", "document"]
    assert re.search(r"0\.\d{4} +0  █+.? +a whale", first)
    assert max(map(len, (head, first))) <= 40


def test_documents_cannot_act_on_the_terminal():
    """Control characters, escapes and changes of direction are shown as one mark each."""
    text = "\n".join(table("red", columns=90, stdin="red \x1b[2J\x07\x9b1m\u202eder\tend\n".encode()))
    assert "red \ufffd[2J\ufffd\ufffd1m\ufffdder end" in text
    assert "\x1b" not in text


# Whom it asks


def scripted(*answers: bytes) -> Any:
    """Return a server's script: for each request the next of the answers."""

    def play(request: Request) -> Script:
        yield answers[request.number - 1]

    return play


def honestly(request: Request) -> Script:
    """Return a server's script: a ranking of whatever is asked."""
    yield honest(request)


def test_asks_the_server_that_it_is_told():
    """`--base-url`, `--model`, `--top-n` and the text of each document make the request, and the key comes along."""
    stdin = b'{"id": 1, "text": "one"}\n"two"\n"three"\n'
    with serving(honestly) as server:
        args = ["rank", "--base-url", server.url, "-m", "a/b", "-n", "2", "--input-format", "jsonl", "query"]
        hits = lines(rerank(*args, stdin=stdin, key=KEY))
    [request] = server.requests
    assert request.json == {
        "model": "a/b",
        "query": "query",
        "documents": ["one", "two", "three"],
        "top_n": 2,
    }
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert [hit["document"] for hit in hits] == ["three", "two"]


@pytest.mark.parametrize("key", [None, "", "  "])
def test_another_server_may_go_without_a_key(key: str | None):
    """With `--base-url` and no key none is sent; without it the missing key is told. An empty variable holds none."""
    with serving(honestly) as server:
        assert len(lines(rerank("rank", "--base-url", server.url, "query", stdin=b"one\n", key=key))) == 1
    assert "authorization" not in server.requests[0].headers
    refused(rerank("rank", "query", stdin=b"one\n", key=key), 2, "no API key")


def test_the_key_is_in_no_frame(monkeypatch: pytest.MonkeyPatch):
    """An option with a wrong value raises without the key in the local variables of our frames."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    server: ServerOptions = {
        "local": False,
        "scorer": None,
        "dialect": None,
        "base_url": "nowhere",
        "key_env": None,
        "timeout": None,
        "ca_file": None,
    }

    with click.Context(app), pytest.raises(click.UsageError) as caught:
        connect(Reranker, model=None, blank=None, fields={}, **server)

    shown = {
        name: repr(value)
        for error in (caught.value, caught.value.__cause__)
        for frame, _ in traceback.walk_tb(error and error.__traceback__)
        if frame.f_code.co_filename == connection.__file__
        for name, value in frame.f_locals.items()
    }
    assert "key" in shown
    assert [name for name, value in shown.items() if KEY in value] == []


def test_shows_what_the_server_tells():
    """The table's last line has the cost to the last digit, no exponent, and that the order was repaired."""
    usage = {"cost": 0.0000025}
    told = answer(200, results((0, 0.1), (1, 12.345678), usage=usage, provider="Co\x1bhere"))
    with serving(scripted(told)) as server:
        args = ["rank", "--base-url", server.url, "--format", "table", "query"]
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, args, input=b"one\ntwo\n")
    assert (
        "rerank-v3.5 by Co\ufffdhere · cost $0.0000025 · the server did not sort the results; they were"
        in result.stdout
    )
    assert result.stdout.splitlines()[1].split() == ["1", "12.35", "1", "two"]


def test_names_what_came_back_without_a_score(tmp_path: Path):
    """Documents without a score are named on standard error by file and line, the first five; the code is 0 all the same."""
    file = tmp_path / "texts.txt"
    file.write_text("one\n\ntwo\n" + "more\n" * 6, encoding="utf-8")
    missing, whole = answer(200, results((0, 0.5), (2, 0.4))), answer(200, results((0, 0.5), (1, 0.4)))
    with serving(scripted(missing, missing, missing, whole)) as server:
        args = ["rank", "--base-url", server.url, "query", str(file)]
        plain, table = rerank(*args), rerank(*args, "--format", "table")
        given = json.loads(rerank(*args, "--format", "json").stdout)
        best = rerank(*args, "-n", "2")
    with serving(scripted(missing)) as server:
        # in a process of its own, where nobody listens to the log
        code, _, error = ended(started("rank", "--base-url", server.url, "query", str(file)))

    assert (code, error) == (0, plain.stderr)
    says = f"{file}:3, {file}:5, {file}:6, {file}:7, {file}:8 and 1 more\n"
    assert plain.exit_code == 0
    assert plain.stderr == f"rerank: 6 of 8 documents came back without a score and are not shown: {says}"
    assert len(plain.stdout.splitlines()) == 2
    assert "2 of 8 documents · " in table.stdout
    assert "6 without a score" in table.stdout
    assert given["unranked"] == [1, 3, 4, 5, 6, 7]
    assert best.stderr == ""


FAILURES: dict[str, tuple[Any, list[str]]] = {
    "no credits": (
        scripted(answer(402, envelope(402, "Insufficient\n\n\x1b[31mcredits"))),
        ["402", "Add credits"],
    ),
    "wrong key": (scripted(answer(401, envelope(401, f"No user has {KEY}"))), ["401", "OPENROUTER_API_KEY"]),
    "bad request": (FAULTS["status_400_detail"].script, ["400 Bad Request"]),
    "no ranking": (FAULTS["ok_html"].script, ["not JSON"]),
    "no connection": (FAULTS["not_http"].script, ["cannot reach"]),
    "no answer": (FAULTS["silent"].script, ["within {timeout:g} s. Raise timeout"]),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_tells_a_failed_call(failure: str):
    """A call that fails is told in one line with what to do next, without the key: exit code 1."""
    script, says = FAILURES[failure]
    for timeout in TIMEOUTS if failure == "no answer" else (LONG,):
        with serving(script) as server:
            args = ["rank", "--base-url", server.url, "--timeout", str(timeout), "query"]
            result = rerank(*args, stdin=b"one\n", key=KEY)
        told = [words.format(timeout=timeout) for words in says]
        if all(words in result.stderr for words in told):  # it was sent in time, at once
            break
    refused(result, 1, *told)
    assert "\x1b" not in result.stderr


def test_the_timeout_holds_for_the_whole_call():
    """All attempts and waits together have twice `--timeout`: a wait that would end after that is not begun."""
    busy = answer(503, envelope(503, "busy"), headers={"Retry-After": "29"})
    with serving(scripted(busy)) as server:
        refused(rerank("rank", "--base-url", server.url, "--timeout", "14", "q", stdin=b"one\n"), 1, "503")
    assert len(server.requests) == 1


# How it ends


@posix
@pytest.mark.parametrize("top_n", ["1", "20"], ids=["less than a buffer", "more than a buffer"])
def test_nobody_reads_on(top_n: str):
    """A reader that goes away, as `head` does, ends the command quietly: exit code 0."""
    process = started("rank", "--local", "-n", top_n, "lost book", LIBRARY)
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    assert ended(process) == (0, "", "")


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_nowhere_to_write():
    """Output that cannot be written is told in one line: exit code 1."""
    with Path("/dev/full").open("wb") as full:
        code, _, error = ended(started("rank", "--local", "-n", "1", "lost book", LIBRARY, stdout=full))
    assert "could not be written: No space left on device; " in error
    assert one_line(error)
    assert code == 1


@posix
def test_interrupted():
    """Ctrl-C ends the command quietly: exit code 130."""
    with faulty("silent") as server, (EXAMPLES / "library.txt").open("rb") as documents:
        process = started("rank", "--base-url", server.url, "query", stdin=documents)
        assert server.wait_until(lambda now: bool(now.requests))
        process.send_signal(signal.SIGINT)
        code, output, error = ended(process)
    assert (code, output, error.strip()) == (130, "", "")


def test_pipes(tmp_path: Path):
    """From a pipe into a pipe, as a script does it, whatever encoding the system has: JSON lines in UTF-8."""
    documents = tmp_path / "documents"
    documents.write_bytes("bluë whale\r\nred\r\n".encode())
    with documents.open("rb") as stdin:
        process = started(
            "rank", "--local", "whale", stdin=stdin, env={**os.environ, "PYTHONIOENCODING": "ascii"}
        )
        code, output, error = ended(process)
    assert (code, error) == (0, "")
    assert [json.loads(line)["document"] for line in output.splitlines()] == ["bluë whale", "red"]


def test_a_table_for_a_system_without_unicode(tmp_path: Path):
    """Characters that the system's encoding lacks are replaced in a table."""
    documents = tmp_path / "documents"
    documents.write_bytes("bluë whale\n".encode())
    args = ["rank", "--local", "whale", str(documents), "--format", "table"]
    code, output, error = ended(started(*args, env={**os.environ, "PYTHONIOENCODING": "ascii"}))
    assert (code, error) == (0, "")
    assert "blu? whale" in output
    assert output.isascii()


def on_a_terminal(*args: str, columns: int = 60, stdin: bool = False, **env: str) -> tuple[int, str, str]:
    """Run the command on a terminal, its input too if asked for; return its code, screen and errors."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    screen, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    more = {"stdin": terminal} if stdin else {}
    process = started(*args, stdout=terminal, env={**kept, "TERM": "xterm-256color", **env}, **more)
    os.close(terminal)
    shown = b""
    # What was shown can be read until the last who has the terminal open closes it, which is an error on Linux.
    try:
        while select.select([screen], [], [], SOON)[0] and (data := os.read(screen, 65536)):
            shown += data
    except OSError:
        pass
    finally:
        os.close(screen)
    code, _, error = ended(process)
    return code, shown.decode(), error


def test_tells_of_empty_input(tmp_path: Path):
    """Input without a document is told on standard error by name; nothing is sent, and the code is 0."""
    (tmp_path / "blank.txt").write_text("\n \n", "utf-8")
    (tmp_path / "none.csv").write_text("text\n", "utf-8")
    with serving(honestly) as server:
        for files, named in (
            ([], "standard input"),
            (["-"], "standard input"),
            (["blank.txt", "none.csv"], "blank.txt, none.csv"),
        ):
            paths = [file if file == "-" else str(tmp_path / file) for file in files]
            result = rerank("rank", "--base-url", server.url, "query", *paths)
            told = result.stderr.replace(f"{tmp_path}{os.sep}", "")
            assert (result.exit_code, result.stdout) == (0, "")
            assert told == f"rerank: {named}: {EMPTY}"
    assert server.requests == []


@posix
def test_a_terminal_gets_a_table():
    """On a terminal the default is a table of its width; no colour is used that NO_COLOR forbids."""
    for env in ({}, {"NO_COLOR": "1"}):
        code, screen, error = on_a_terminal(
            "rank", "--local", "-n", "2", "lost book", LIBRARY, columns=60, **env
        )
        assert (code, error) == (0, "")
        plain = re.sub(r"\x1b\[[0-9;]*m", "", screen).splitlines()
        assert plain[0].split() == ["rank", "score", "index", "document"]
        assert [len(line) for line in plain[1:3]] == [60, 60]
        assert "\x1b[1m" in screen
        assert not re.search(r"\x1b\[([0-9;]*;)?([349][0-9]|10[0-9])[;m]", screen)


@posix
def test_a_dumb_terminal_gets_no_escapes():
    """A terminal that knows no escape sequences gets a table without any."""
    code, screen, error = on_a_terminal("rank", "--local", "lost book", LIBRARY, TERM="dumb")
    assert (code, error) == (0, "")
    assert screen.split()[:4] == ["rank", "score", "index", "document"]
    assert "\x1b" not in screen


@posix
def test_a_terminal_is_not_waited_for():
    """With no file, and nobody but a person at standard input, it says what to do: exit code 2."""
    code, screen, error = on_a_terminal("rank", "--local", "query", stdin=True)
    assert (code, screen) == (2, "")
    assert error == "rerank: no documents: name a FILE, pipe them in, or pass - to type them\n"


@posix
@pytest.mark.parametrize("files", [[], ["-"]])
def test_closed_standard_input(files: list[str]):
    """A missing standard input is reported in one line: exit code 2."""
    code, output, error = ended(
        started("rank", "--local", "query", *files, before="import sys; sys.stdin = None")
    )
    assert (code, output) == (2, "")
    assert one_line(error)


@posix
def test_closed_standard_output():
    """A closed standard output is not an error."""
    before = "import sys; sys.stdout = None"
    assert ended(started("rank", "--local", "lost book", LIBRARY, before=before)) == (0, "", "")


# serve


@contextmanager
def served(*args: str, **env: str) -> Generator[tuple[subprocess.Popen[bytes], str]]:
    """`rerank serve` on a free port, and the URL that it printed."""
    process = started("serve", "--port", "0", *args, env={**os.environ, **env})
    try:
        assert process.stdout is not None
        assert select.select([process.stdout], [], [], SOON)[0]
        yield process, process.stdout.readline().decode().strip()
    finally:
        if process.poll() is None:
            process.kill()
            ended(process)


def requested(command: str, **env: str) -> httpx.Response:
    """Return the answer to a curl command, sent by another client, as not every machine has curl."""
    name, url, *options = shlex.split(command)
    assert name == "curl"
    given = list(zip(options[::2], options[1::2], strict=True))
    headers = [value for option, value in given if option == "-H"]
    for variable, value in env.items():
        headers = [header.replace(f"${variable}", value) for header in headers]
    [body] = [value for option, value in given if option == "-d"]
    fields = dict(header.split(": ", 1) for header in headers)
    return httpx.post(url, headers=fields, content=body, trust_env=False)


@posix
def test_serves():
    """The URL on standard output answers; SIGTERM ends it with code 0; its banner says what it is and how to try it."""
    with served("--compat") as (process, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        hits = lines(rerank("rank", "--base-url", url, "blue", stdin=b"red\nblue\n"))
        asked = {"model": "any", "query": "blue", "documents": ["blue"]}
        compatible = httpx.post(f"{url}/v2/rerank", json=asked, trust_env=False).json()
        process.send_signal(signal.SIGTERM)
        code, output, banner = ended(process)
    assert [hit["document"] for hit in hits] == ["blue", "red"]
    assert "meta" in compatible
    assert (code, output) == (0, "")
    assert "For development and tests only" in banner
    assert "can use it" not in banner


@posix
def test_serves_who_has_the_key():
    """The banner's curl line works as it is, and not without the key of `--key-env`; Ctrl-C ends it with code 0."""
    with served("--key-env", "MY_KEY", MY_KEY=KEY) as (process, url):
        assert process.stderr is not None
        banner = [process.stderr.readline().decode() for _ in range(3)]
        answered = requested(banner[2], MY_KEY=KEY)
        turned_away = requested(banner[2], MY_KEY="wrong")
        refused(rerank("rank", "--base-url", url, "blue", stdin=b"red\n"), 1, "401")
        process.send_signal(signal.SIGINT)
        code, output, error = ended(process)
    assert answered.json()["results"][0]["document"]["text"].startswith("Paris")
    assert "meta" not in answered.json()  # --compat was not asked for
    assert turned_away.status_code == 401
    assert (code, output, error) == (0, "", "")
    assert KEY not in "".join(banner)


@posix
@pytest.mark.parametrize(
    ("dialect", "path", "results"),
    [("cohere-v2", "/v2", "results"), ("jina", "/v1", "results"), ("tei", "", ""), ("voyage", "/v1", "data")],
)
def test_serves_a_dialect(dialect: str, path: str, results: str):
    """`--dialect` serves another vendor's form; the banner's curl line is in that form, and works as it is."""
    with served("--dialect", dialect) as (process, url):
        assert process.stderr is not None
        banner = [process.stderr.readline().decode() for _ in range(3)]
        answer = requested(banner[2])
        process.send_signal(signal.SIGTERM)
        code, _, _ = ended(process)
    assert f"curl {url}{path}/rerank " in banner[2]
    assert (answer.status_code, code) == (200, 0)
    ranked = answer.json()[results] if results else answer.json()
    assert ranked[0]["index"] == 1


@posix
def test_the_scorer_is_chosen():
    """`--scorer` says what ranks, on this machine and in the server."""
    pytest.importorskip("wordllama", reason="the extra `semantic` is not installed")
    with served("--scorer", "semantic") as (_, url):
        for where in (["--base-url", url], ["--local", "--scorer", "semantic"]):
            [whole] = lines(rerank("rank", *where, "--format", "json", "feline", stdin=b"dog\ncat\n"))
            assert (whole["model"], whole["hits"][0]["document"]) == ("local/semantic-wordllama", "cat")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loopback has one address alone")
def test_serves_others_only_when_told():
    """Another address than the machine's own is taken by `--host` alone, and the banner says what that means."""
    with served("--host", "127.0.0.2") as (process, url):
        process.send_signal(signal.SIGTERM)
        code, _, banner = ended(process)
    assert url.startswith("http://127.0.0.2:")
    assert "Anyone who can reach 127.0.0.2 can use it" in banner
    assert code == 0


def test_an_address_that_is_taken():
    """A port in use is told in one line with what to do: exit code 2."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused(
            rerank("serve", "--port", port), 2, f"cannot listen on 127.0.0.1, port {port}: Address", "--port"
        )


# Help, and what has to be installed


def options(command: click.Command) -> list[click.Option]:
    """Return the options of a command."""
    return [parameter for parameter in command.params if isinstance(parameter, click.Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of(name: str):
    """A command's help says what each option means, by all of its names, and what the exit codes are."""
    result = rerank(name, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    command = app.get_command(click.Context(app), name)
    assert command is not None
    assert command.name == name
    for option in options(command):
        assert option.help
        assert all(
            re.search(rf"^  .*{re.escape(given)}\b", result.stdout, re.MULTILINE) for given in option.opts
        )
    codes = {int(code) for code in re.findall(r"^    +(\d+)  ", result.stdout, re.MULTILINE)}
    assert codes == ({0, 2, 130} if name == "serve" else {0, 1, 2, 130})


def test_help():
    """The help names every command, and the exit codes that the tests above prove."""
    result = rerank("-h")
    assert (result.exit_code, result.stdout) == (0, rerank("--help").stdout)
    for name, summary in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(summary)}$", result.stdout, re.MULTILINE)
    assert re.findall(r"^    (\d+) ", result.stdout, re.MULTILINE) == ["0", "1", "2", "130"]


def test_version():
    """`--version` shows the versions of the package, the contract and Python on one line."""
    version = (
        f"openrouter-rerank {VERSION}, contract {CONTRACT_VERSION}, Python {platform.python_version()}\n"
    )
    for command in ([], *([name] for name in COMMANDS)):
        assert rerank(*command, "--version").stdout == version


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str):
    """The help has the line that turns on completion in a shell, and the command that is in it prints a script."""
    [(name, value)] = re.findall(
        rf"^    {shell} .*?\b(_\w+)=({shell}_source) rerank", rerank("--help").stdout, re.MULTILINE
    )

    script = ended(started(env={**os.environ, name: value}))
    assert (script[0], "rerank" in script[1]) == (0, True)

    words = {"COMP_WORDS": "rerank ra", "COMP_CWORD": "ra" if shell == "fish" else "1"}
    completed = ended(started(env={**os.environ, **words, name: f"{shell}_complete"}))
    assert "rank" in completed[1].replace(",", "\n").split()


def modules(code: str, *args: str) -> set[str]:
    """Return the modules that a process has loaded when it ends."""
    report = (
        "import atexit, sys; atexit.register(lambda: print('\\n', *sorted(sys.modules), file=sys.stderr))\n"
    )
    command = [sys.executable, "-c", report + code, *args]
    process = subprocess.run(command, check=True, capture_output=True, timeout=SOON)
    return set(process.stderr.decode().splitlines()[-1].split())


def test_help_is_quick():
    """`rerank --help` loads no package beside the library and click, and no command."""
    added = modules(MAIN, "--help") - modules("import openrouter_rerank, click, signal")
    assert {name.partition(".")[0] for name in added} - sys.stdlib_module_names <= {
        "openrouter_rerank",
        "click",
    }
    assert {name for name in added if ".cli." in name} == {
        f"openrouter_rerank.cli.{name}" for name in ("app", "errors")
    }


MISSING: dict[str, tuple[Sequence[str], list[str], str]] = {
    "click": (["click"], ["--help"], "needs click. pip install 'openrouter-rerank[cli]'"),
    "rich": (["rich"], ["--help"], "needs rich. pip install 'openrouter-rerank[cli]'"),
    "both": (["click", "rich"], ["rank", "q"], "needs click and rich. pip install 'openrouter-rerank[cli]'"),
    "the server": (["uvicorn"], ["serve"], "needs uvicorn; pip install 'openrouter-rerank[serve]'"),
    "the validator": (["jsonschema_rs"], ["rank", "--local", "q"], "pip install 'openrouter-rerank[local]'"),
    "the stemmer": (["Stemmer"], ["serve", "--port", "0"], "pip install 'openrouter-rerank[local]'"),
    "the embeddings": (
        ["wordllama"],
        ["rank", "--local", "--scorer", "semantic", "q"],
        "pip install 'openrouter-rerank[semantic]'",
    ),
}


@pytest.mark.parametrize("missing", MISSING)
def test_says_what_to_install(missing: str):
    """A missing package is reported in one line with what to install, without a traceback: exit code 2."""
    packages, args, says = MISSING[missing]
    code, output, error = ended(
        started(*args, before=f"import sys; sys.modules.update(dict.fromkeys({packages}))")
    )
    assert (code, output) == (2, "")
    assert one_line(error)
    assert says in error


FIELDS = {
    "provider": ('{"order": ["cohere"]}', {"order": ["cohere"]}),
    "session-id": ("s", "s"),
    "user": ("u", "u"),
    "trace": ('{"trace_name": "t"}', {"trace_name": "t"}),
    "extra-body": ('{"x": 1}', 1),
}


@pytest.mark.parametrize("field", FIELDS)
def test_each_field_of_a_request_is_an_option(field: str, tmp_path: Path) -> None:
    """A field is sent as it was given: a text as it is, an object as JSON."""
    given, expected = FIELDS[field]
    (tmp_path / "d.txt").write_text("a\nb\n", "utf-8")
    with serving(honestly) as server:
        done = rerank("rank", "q", str(tmp_path / "d.txt"), "--base-url", server.url, f"--{field}", given)
        sent = server.requests[0].json
    assert done.exit_code == 0
    assert sent["x" if field == "extra-body" else field.replace("-", "_")] == expected


NAMED = {name: app.get_command(click.Context(app), name) for name in COMMANDS}
CHOICES = [
    (name, max(option.opts, key=len), str(value))
    for name, command in NAMED.items()
    for option in (command.params if command else [])
    if isinstance(option.type, click.Choice)
    for value in option.type.choices
]


@pytest.mark.parametrize(("command", "option", "value"), CHOICES)
def test_a_misspelt_value_is_met_with_the_nearest(command: str, option: str, value: str) -> None:
    """Each option with a list of values takes them in any case, and suggests one for a misspelt value."""
    named = NAMED[command]
    assert named is not None
    kind = next(one for one in named.params if option in one.opts).type
    assert kind.convert(value.upper(), None, None) == value
    misspelt = f"{value}{value[-1]}"
    done = rerank(command, option, misspelt)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"rerank: {option}: '{misspelt}' is not one of ")
    assert f"; did you mean '{value}'? See 'rerank {command} --help'" in done.stderr


def test_a_server_in_place_of_its_dialect() -> None:
    """The name of a server leads to its dialect."""
    done = rerank("rank", "--dialect", "vLLM", "q", LIBRARY)
    assert done.exit_code == 2
    assert "'vLLM' is not one of 'openrouter', " in done.stderr
    assert "; did you mean 'jina'? See" in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--provider", "{"], "rerank: --provider: not JSON"),
        (["--provider", '{"quux": 1}'], "To send it all the same, use --extra-body. See"),
        (["--provider", '{"zdrr": true}'], "provider: unknown key 'zdrr'; did you mean 'zdr'?"),
        (["--provider", '["cohere"]'], "provider must be a mapping, not list"),
        (
            ["--provider", '{"data_collection": "denny"}'],
            "'allow' or 'deny', not 'denny'; did you mean 'deny'?",
        ),
        (["--session-id", "s" * 300], "session_id must have at most 256 characters, not 300"),
    ],
)
def test_a_wrong_field_is_bad_usage(given: list[str], message: str, tmp_path: Path) -> None:
    """A field that can never be sent ends the command with 2, and names the problem."""
    (tmp_path / "d.txt").write_text("a\n", "utf-8")
    done = rerank("rank", "q", str(tmp_path / "d.txt"), "--local", *given)
    assert done.exit_code == 2
    assert message in done.stderr


@pytest.mark.parametrize(
    ("expected", "given", "value"),
    [
        (Annotated[int, Meta(ge=1)], "512", 512),
        (float, "0.5", 0.5),
        (bool | None, "true", True),
        (Literal["low", "high"] | None, "low", "low"),
        (list[str], '["a"]', ["a"]),
        (str | float, '"1"', "1"),
        (str | float, "1.5", 1.5),
        (str | list[str], "5", "5"),
        (str | list[str], "a b", "a b"),
        (str | list[str], '["a"]', ["a"]),
        (Literal[1, 2], "2", 2),
    ],
)
def test_an_option_has_the_type_of_its_field(expected: Any, given: str, value: object) -> None:
    """An option is made for any type that a field of the contract may have."""
    found: list[object] = []

    @click.command()
    @_field_option("a_field", expected, "A field.")
    def command(field_a_field: object) -> None:
        found.append(field_a_field)

    command.main(["--a-field", given], standalone_mode=False)
    assert found == [value]


def own_options(*commands: click.Command) -> set[str]:
    """Return the long options of commands, without those of the request fields."""
    shared = {"model", "top_n"}
    return {
        flag
        for command in commands
        for parameter in command.params
        if not str(parameter.name).startswith("field_") and parameter.name not in shared
        for flag in parameter.opts
        if flag.startswith("--")
    }


def options_for_ray() -> set[str]:
    """Return the long options of the command for Ray, from its source, as the command cannot be imported without Ray."""
    file = Path(connection.__file__).parents[1] / "integrations" / "ray" / "__main__.py"
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    words = [argument for call in calls if ast.unparse(call.func) == "click.option" for argument in call.args]
    flags = {ast.literal_eval(word) for word in words}
    return {flag for flag in flags if flag.startswith("--")} - {"--top-n"}


def test_options_of_the_commands_are_kept_from_the_contract() -> None:
    """The names of the commands' own options are listed, so that no field of a later contract takes one."""
    own = {"--help", "--version", *own_options(rank, batch), *options_for_ray()}
    assert {f"--{name.replace('_', '-')}" for name in connection.OWN} == own


@pytest.mark.parametrize("name", ["format", "timeout_", "explain", "rpm"])
def test_a_field_with_the_name_of_an_option_has_one_of_its_own(name: str) -> None:
    """A field of the contract with the name of a command's own option is passed as `--request-NAME`."""
    found: list[object] = []
    flag = name.strip("_")

    @click.command()
    @click.option(f"--{flag}", flag)
    @_field_option(name, str, "A field.")
    def command(**given: object) -> None:
        found.extend((given[flag], given[f"field_{name}"]))

    command.main([f"--{flag}", "a", f"--request-{flag}", "b"], standalone_mode=False)
    assert found == ["a", "b"]
