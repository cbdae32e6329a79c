"""`rerank batch` writes every value as it was, or refuses it before the first request."""

from __future__ import annotations

import base64
import csv
import io
import os
import re
import shutil
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from openrouter_rerank.bulk import batch as jobs
from openrouter_rerank.bulk import parquet as reader
from openrouter_rerank.bulk import paths, tables
from openrouter_rerank.bulk.files import BadFile
from openrouter_rerank.bulk.job import (
    COLUMNS,
    FORMATS,
    INPUT_FORMATS,
    RESULTS,
    BadBatch,
    Batch,
    BatchError,
    Survey,
    Unwritable,
)
from openrouter_rerank.bulk.journal import FinishedRow, opened
from openrouter_rerank.bulk.many import Result as Ranked
from openrouter_rerank.bulk.tables import Chunk, input_format, json_line, output_format, writer
from openrouter_rerank.ranking import Hit, Ranking, Usage
from openrouter_rerank.testing import Request as Sent
from openrouter_rerank.testing import Script, answer, envelope, honest, serving
from test_batch import lines, refused, rerank, rows, written

arrow = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `batch` is not installed")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")


def failing(request: Sent) -> Script:
    """Return a server that ranks the first query alone."""
    ranks = request.json["query"] == "q0"
    yield honest(request) if ranks else answer(400, envelope(400, "not this one"))


def ranking(request: Sent) -> Script:
    """Return an honest server."""
    yield honest(request)


def table(values: Any) -> Any:
    """Return a table with this column, of which every row can be ranked."""
    queries = [f"q{index}" for index in range(len(values))]
    return arrow.table({"query": queries, "documents": [["x"]] * len(values), "value": values})


def cells(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode(), newline="")))


class Kind(NamedTuple):
    """A column of Parquet, and how its values are written in JSON and in CSV."""

    values: Any
    json: list[Any]
    csv: list[str]


def _array(values: list[Any], type_: Any = None) -> Any:
    return arrow.array(values, type_)


LONG_AGO = -70_000_000_000_000_000
KINDS: dict[str, Kind] = {
    "nanoseconds": Kind(
        _array([1_700_000_000_123_456_789, None], arrow.timestamp("ns")),
        ["2023-11-14T22:13:20.123456789", None],
        ["2023-11-14T22:13:20.123456789", ""],
    ),
    "nanoseconds in a zone": Kind(
        _array([1_700_000_000_000_000_001] * 2, arrow.timestamp("ns", "+05:30")),
        ["2023-11-15T03:43:20.000000001+05:30"] * 2,
        ["2023-11-15T03:43:20.000000001+05:30"] * 2,
    ),
    "microseconds": Kind(
        _array([0, LONG_AGO], arrow.timestamp("us")),
        ["1970-01-01T00:00:00", "-0249-10-15T19:33:20"],
        ["1970-01-01T00:00:00", "-0249-10-15T19:33:20"],
    ),
    "UTC": Kind(
        _array([120] * 2, arrow.timestamp("ms", "UTC")),
        ["1970-01-01T00:00:00.12Z"] * 2,
        ["1970-01-01T00:00:00.12Z"] * 2,
    ),
    "dates": Kind(
        _array([0, -1_000_000], arrow.date32()), ["1970-01-01", "-0768-02-04"], ["1970-01-01", "-0768-02-04"]
    ),
    "times": Kind(
        _array([1, 0], arrow.time64("ns")),
        ["00:00:00.000000001", "00:00:00"],
        ["00:00:00.000000001", "00:00:00"],
    ),
    "durations": Kind(
        _array([1, -1_500_000_000], arrow.duration("ns")),
        ["PT0.000000001S", "-PT1.5S"],
        ["PT0.000000001S", "-PT1.5S"],
    ),
    "durations in milliseconds": Kind(
        _array([1_001, 90_000], arrow.duration("ms")), ["PT1.001S", "PT90S"], ["PT1.001S", "PT90S"]
    ),
    "durations in microseconds": Kind(
        _array([1_000_001, 5], arrow.duration("us")),
        ["PT1.000001S", "PT0.000005S"],
        ["PT1.000001S", "PT0.000005S"],
    ),
    "seconds": Kind(_array([5, None], arrow.duration("s")), ["PT5S", None], ["PT5S", ""]),
    "decimals": Kind(_array([Decimal("1.50"), None], arrow.decimal128(30, 2)), ["1.50", None], ["1.50", ""]),
    "bytes": Kind(_array([b"\0\xff", b""]), ["AP8=", ""], ["AP8=", ""]),
    "large integers": Kind(_array([2**64 - 1, 0], arrow.uint64()), [2**64 - 1, 0], [str(2**64 - 1), "0"]),
    "half floats": Kind(_array([1.5, None], arrow.float16()), [1.5, None], ["1.5", ""]),
    "maps": Kind(
        _array([[("k", 1), ("k", 2)], None], arrow.map_(arrow.string(), arrow.int8())),
        [[["k", 1], ["k", 2]], None],
        ['[["k",1],["k",2]]', ""],
    ),
    "categories": Kind(_array(["x", None]).dictionary_encode(), ["x", None], ["x", ""]),
    "structs": Kind(
        _array(
            [{"t": 1, "n": None}, None], arrow.struct([("t", arrow.timestamp("ns")), ("n", arrow.int8())])
        ),
        [{"t": "1970-01-01T00:00:00.000000001", "n": None}, None],
        ['{"t":"1970-01-01T00:00:00.000000001","n":null}', ""],
    ),
    "lists of times": Kind(
        _array([[1], []], arrow.list_(arrow.timestamp("ns"))),
        [["1970-01-01T00:00:00.000000001"], []],
        ['["1970-01-01T00:00:00.000000001"]', "[]"],
    ),
    "UUIDs": Kind(
        _array([b"x" * 16] * 2, arrow.uuid())
        if hasattr(arrow, "uuid")
        else _array(["78787878-7878-7878-7878-787878787878"] * 2),
        ["78787878-7878-7878-7878-787878787878"] * 2,
        ["78787878-7878-7878-7878-787878787878"] * 2,
    ),
    "nothing": Kind(arrow.nulls(2), [None, None], ["", ""]),
    "booleans of eight bits": Kind(
        arrow.ExtensionArray.from_storage(arrow.bool8(), _array([1, None], arrow.int8()))
        if hasattr(arrow, "bool8")
        else _array([True, None]),
        [True, None],
        ["true", ""],
    ),
    "booleans": Kind(_array([True, None]), [True, None], ["true", ""]),
    "vectors": Kind(_array([[0.5, -0.0]] * 2), [[0.5, -0.0]] * 2, ["[0.5,-0.0]"] * 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_parquet(tmp_path: Path, kind: str):
    """Each type of Parquet is written whole to each format, and to the file of failed rows."""
    given = KINDS[kind]
    source = tmp_path / "in.parquet"
    parquet.write_table(table(given.values), source)
    with serving(failing) as server:
        for form in FORMATS:
            target = tmp_path / f"out.{form}"
            assert rerank(source, target, "--base-url", server.url).exit_code == 1
            (failed,) = lines(target.with_name(f"out.{form}.failed.jsonl"))
            assert failed["value"] == given.json[1]
    assert lines(tmp_path / "out.jsonl")[0]["value"] == given.json[0]
    assert cells(tmp_path / "out.csv")[0]["value"] == given.csv[0]
    column = parquet.read_table(tmp_path / "out.parquet")["value"]
    assert column.type == parquet.read_table(source)["value"].type
    # compared as Arrow has them: without pandas Python has no nanoseconds
    assert column.slice(0, 1).combine_chunks().cast(given.values.type).equals(given.values.slice(0, 1))


NOT_IN_JSON: dict[str, tuple[Any, str]] = {
    "two fields of one name": (
        arrow.StructArray.from_arrays([_array([1]), _array([2])], names=["x", "x"]),
        "row 1: the column 'value'",
    ),
    "a time beyond all years": (_array([0, 2**60], arrow.timestamp("us")), "row 2: the column 'value'"),
    "a time beyond all years in a later chunk": (
        _array([0] * 299 + [2**60], arrow.timestamp("us")),
        "row 300: the column 'value'",
    ),
    "an unknown zone": (_array([0], arrow.timestamp("us", "No/Where")), "row 1: the column 'value'"),
    "bytes that are no text": (
        arrow.Array.from_buffers(
            arrow.string(), 1, [None, arrow.py_buffer(b"\0\0\0\0\1\0\0\0"), arrow.py_buffer(b"\xff")]
        ),
        "row 1: the column 'value'",
    ),
}


@pytest.mark.parametrize("options", [[], ["--keep-documents"]])
@pytest.mark.parametrize("form", FORMATS)
def test_the_error_of_an_earlier_run_is_dropped(tmp_path: Path, form: str, options: list[str]):
    """Failed rows that were converted to Parquet are ranked without their column of errors."""
    source, target = tmp_path / "in.parquet", tmp_path / f"out.{form}"
    given = {"query": ["q"], "documents": [["x"]], "rerank_error": [{"type": "x"}]}
    parquet.write_table(arrow.table(given), source)
    assert rerank(source, target, "--local", *options).exit_code == 0
    found = {
        "parquet": lambda: parquet.read_table(target).column_names,
        "csv": lambda: list(cells(target)[0]),
        "jsonl": lambda: list(lines(target)[0]),
    }[form]()
    assert found == ["query", *(["documents"] if options else []), *RESULTS]


@pytest.mark.parametrize("form", INPUT_FORMATS)
def test_an_input_that_vanishes(tmp_path: Path, form: str):
    """An input that cannot be read is reported by its name, the reason and the next step."""
    source = tmp_path / "in"
    job = Batch(source=source, target=tmp_path / "out", input_format=form, output_format="jsonl")
    with pytest.raises(BadBatch) as caught:
        next(tables.chunks(job))
    # The reason is that of pyarrow for Parquet.
    reason = ".*" if form == "parquet" else "No such file or directory"
    assert re.fullmatch(
        f"{re.escape(str(source))}: {reason}; name a file that can be read", str(caught.value)
    )


@pytest.mark.parametrize("kind", NOT_IN_JSON)
def test_values_of_parquet_that_json_cannot_hold(tmp_path: Path, kind: str):
    """A value that no file of failed rows could hold is refused by row and column, whatever the output is."""
    values, says = NOT_IN_JSON[kind]
    parquet.write_table(table(values), tmp_path / "in.parquet")
    with serving(ranking) as server:
        for form in FORMATS:
            result = rerank(tmp_path / "in.parquet", tmp_path / f"out.{form}", "--base-url", server.url)
            refused(result, 2, says, "cannot be written as JSON", "drop the column")
        assert server.requests == []
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_parquet_keeps_its_order_and_types_when_rows_fail(tmp_path: Path):
    """Rows that failed leave the others, of all chunks, as they were."""
    values = _array([index * 1_000_000_007 for index in range(700)], arrow.timestamp("ns"))
    parquet.write_table(table(values), tmp_path / "in.parquet")

    def some(request: Sent) -> Script:
        fails = int(request.json["query"][1:]) % 3 == 1
        yield answer(400, envelope(400, "no")) if fails else honest(request)

    with serving(some) as server:
        rerank(
            tmp_path / "in.parquet", tmp_path / "out.parquet", "--base-url", server.url, "--keep-documents"
        )
    found = parquet.read_table(tmp_path / "out.parquet")
    expected = parquet.read_table(tmp_path / "in.parquet").take([i for i in range(700) if i % 3 != 1])
    assert found.select(expected.column_names).equals(expected)
    assert len(lines(tmp_path / "out.parquet.failed.jsonl")) == 233


VERBATIM = (
    '"n":1.50',
    '"n":12345678901234567890123456789.10',
    '"n":1e999',
    '"n":9223372036854775808',
    '"n":null',
    "",
    '"n":{}',
    '"n":[[], {"":null}]',
    '"n":"\\u00e9\\u0000\\ud83d\\ude00"',
    '"":1',
    '"n\\u0000":"x"',
)


def test_json_lines_are_carried_verbatim(tmp_path: Path):
    """Numbers keep their digits, a missing key stays missing, in the output and for rows that fail."""
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given = [
        ",".join([f'{{"query":"q{number}","documents":["x"]', *filter(None, [value])])
        for value in VERBATIM
        for number in (0, 1)
    ]
    source.write_text("".join(f"{row}}}\n" for row in given))
    with serving(failing) as server:
        assert rerank(source, target, "--base-url", server.url, "--keep-documents").exit_code == 1
    failed = tmp_path / "out.jsonl.failed.jsonl"
    assert [row.partition(',"ranking"')[0] for row in target.read_text().splitlines()] == given[::2]
    assert [row.partition(',"rerank_error"')[0] for row in failed.read_text().splitlines()] == given[1::2]


TO_PARQUET: dict[str, tuple[list[str], Any]] = {
    "unsigned": (["9223372036854775808", "1"], [2**63, 1]),
    "numbers": (["1", "2.5"], [1.0, 2.5]),
    "the least": (["-9223372036854775808", "9223372036854775807"], [-(2**63), 2**63 - 1]),
    "the largest": (["18446744073709551615", "0"], [2**64 - 1, 0]),
    "integers in a list": (["[1, 9223372036854775808]", "null"], [[1, 2**63], None]),
    "lists in a list": (['[[], ["x"], null]', "[]"], [[[], ["x"], None], []]),
    "NaN": (["NaN", "-Infinity"], "float64"),
    "objects": (['{"a": 1}', '{"b": ["x"]}'], [{"a": 1, "b": None}, {"a": None, "b": ["x"]}]),
    "an empty name": (['{"": 1}', "null"], [{"": 1}, None]),
    "lists": (["[]", "[[1]]"], [[], [[1]]]),
    "nothing": (["null", "null"], [None, None]),
    "a NUL": (['"\\u0000"', '""'], ["\0", ""]),
}


@pytest.mark.parametrize("kind", TO_PARQUET)
def test_json_values_in_parquet(tmp_path: Path, kind: str):
    """Values that fit one type become a column of Parquet."""
    values, expected = TO_PARQUET[kind]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.parquet"
    source.write_text("".join(f'{{"query": "q", "documents": ["x"], "n": {value}}}\n' for value in values))
    assert rerank(source, target, "--local").exit_code == 0
    column = parquet.read_table(target)["n"]
    if expected == "float64":
        assert str(column.to_pylist()) == "[nan, -inf]"
    else:
        assert column.to_pylist() == expected


UNWRITABLE: dict[str, tuple[str, list[str], int, str]] = {
    "more than 64 bits": ("parquet", ["1", "18446744073709551616"], 2, "needs more than 64 bits"),
    "less than 64 bits": ("parquet", ["1", "-9223372036854775809"], 2, "needs more than 64 bits"),
    "signs": ("parquet", ["9223372036854775808", "-1"], 2, "negative"),
    "digits": ("parquet", ["1152921504606846977", "0.5"], 1, "exactly representable"),
    "large integers and digits": ("parquet", ["9223372036854775808", "0.5"], 1, "Parquet cannot hold"),
    "a huge number": ("parquet", ["1e999"], 1, "out of range"),
    "an empty object": ("parquet", ["null", "{}"], 2, "no child field to Parquet); write"),
    "an empty object in a list": ("parquet", ["[{}]"], 1, "no child field"),
    "an empty object in an object": ("parquet", ['{"a": {}}'], 1, "no child field"),
    "numbers and strings": (
        "parquet",
        ["1", '"x"'],
        2,
        "it contains a number and a string (the first value is in row 1)",
    ),
    "numbers and strings after nulls": (
        "parquet",
        ["null", "1", "2", '"x"'],
        4,
        "(it contains a number and a string (the first value is in row 2))",
    ),
    "booleans and numbers": ("parquet", ["true", "1"], 2, "a boolean and a number"),
    "numbers and strings in a list": ("parquet", ['[1, "x"]'], 1, "a number and a string"),
    "lists and objects": ("parquet", ["[1]", "null", '{"a": 1}'], 3, "an array and an object"),
    "several types in objects": ("parquet", ['{"a": 1}', '{"a": "x"}'], 2, "a number and a string"),
    "a NUL": ("csv", ['"a"', '"a\\u0000b"'], 2, "a NUL character"),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_refuses_what_the_output_cannot_hold(tmp_path: Path, kind: str):
    """Row, column, value and the option that helps are told before anything is sent; with that option it is written."""
    form, values, number, says = UNWRITABLE[kind]
    source = tmp_path / "in.jsonl"
    source.write_text("".join(f'{{"query": "q", "documents": ["x"], "n": {value}}}\n' for value in values))
    with serving(ranking) as server:
        command = (source, tmp_path / f"out.{form}", "--base-url", server.url)
        for more in ([], ["--dry-run"]):
            told = (
                f"in.jsonl, row {number}: ",
                "in the column 'n'",
                says,
                "--output-format jsonl",
                values[number - 1],
            )
            refused(rerank(*command, *more), 2, *told)
        assert server.requests == []
        assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
        assert rerank(*command, "--output-format", "jsonl").exit_code == 0


def _deep() -> list[Any]:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


WRONG: dict[str, Callable[[], Any]] = {
    "half a pair": lambda: "\ud800",
    "half a pair in a list": lambda: ["\ud800"],
    "an object without a JSON type": object,
    "a deep list": _deep,
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_value_that_cannot_be_written_is_named(kind: str):
    """Its row and column are named, in JSON lines and CSV; the other columns are not."""
    row = {"a": 1, "b": WRONG[kind](), "c": 2}
    with pytest.raises(Unwritable, match=r"^row 7: JSON cannot hold \S.* in the column 'b'"):
        json_line(row, 7)
    job = Batch(source=Path("in"), target=Path("out"), input_format="jsonl", output_format="csv")
    rows = writer(job, Survey(columns=dict.fromkeys(row)), io.BytesIO())
    with pytest.raises(Unwritable, match=r"^row 7: CSV cannot hold \S.* in the column 'b'"):
        rows.write(Chunk(6, [{}, row]), [1], [{}])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_a_deep_value_beside_nan(tmp_path: Path, brackets: str, form: str):
    """A value of any depth is written, or refused in one line."""
    source, target = tmp_path / "in.jsonl", tmp_path / f"out.{form}"
    outer = '{"x":' if brackets == "{}" else "["
    for depth in (50, 300, 600, 900, 960, 970, 980, 100_000):
        value = outer * depth + "1" + brackets[1] * depth
        source.write_text(f'{{"query": "q", "documents": ["x"], "a": NaN, "n": {value}}}\n')
        result = rerank(source, target, "--local", "--restart")
        assert result.exit_code in (0, 2)
        assert result.stderr.splitlines()[-1].startswith("rerank: ")
    refused(result, 2, "line 1: JSON that cannot be read (it is nested too deeply)")


def test_refuses_a_name_that_csv_cannot_hold(tmp_path: Path):
    """The header is checked as the cells are."""
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": [], "n\0": 1}])
    refused(rerank(source, tmp_path / "out.csv", "--local"), 2, "row 1: CSV cannot hold 'n\\x00'")


def test_a_long_value_is_shown_in_part(tmp_path: Path):
    """A message does not repeat a value of megabytes."""
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": [], "n": "\0" + "x" * 10**6}])
    result = rerank(source, tmp_path / "out.csv", "--local")
    refused(result, 2, 'row 1: CSV cannot hold "\\u0000xxx', "... in the column 'n'")
    assert len(result.stderr) < 1000


def test_a_label_that_is_a_number_is_refused(tmp_path: Path):
    """Only NaN says that there are no labels."""
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": ["x"], "relevance": 1.0}])
    refused(
        rerank(source, tmp_path / "out.jsonl", "--local"), 2, "'relevance' is not a list of whole numbers"
    )


def test_a_resumed_job_is_checked_too(tmp_path: Path):
    """A job that goes on into another format is held to that format."""
    source = written(tmp_path / "in.jsonl", [{**row, "n": {}} for row in rows(3)])

    def dying(request: Sent) -> Script:
        yield honest(request) if request.number < 2 else answer(401, envelope(401, "no"))

    with serving(dying) as server:
        command = (source, tmp_path / "out.jsonl", "--base-url", server.url, "--concurrency", 1)
        refused(rerank(*command), 1, "1 of 3 rows are finished")
        sent = len(server.requests)
        refused(rerank(*command, "--output-format", "parquet"), 2, "row 1: Parquet cannot hold {}")
        assert len(server.requests) == sent


@pytest.mark.parametrize("form", FORMATS)
def test_not_finite_is_told(tmp_path: Path, form: str):
    """NaN that cannot be written becomes null, which is reported with its first location before anything is sent."""
    source = tmp_path / "in.jsonl"
    base = '"query": "q{0}", "documents": ["x"]'
    source.write_text(f'{{{base.format(0)}, "a": [1]}}\n{{{base.format(1)}, "a": [NaN], "b": Infinity}}\n')
    with serving(failing) as server:
        result = rerank(source, tmp_path / f"out.{form}", "--base-url", server.url)
        assert result.stderr.startswith("rerank: NaN or infinity in 2 values of ")
        assert "(the first: row 2, column 'a'): JSON and CSV do not support them" in result.stderr
        assert (f"out.{form} and " in result.stderr) == (form != "parquet")
    (failed,) = lines(tmp_path / f"out.{form}.failed.jsonl")
    assert (failed["a"], failed["b"]) == ([None], None)


def test_not_finite_values_stay_in_parquet_and_are_nothing_elsewhere(tmp_path: Path):
    """Parquet keeps NaN; a label that is NaN is no label."""
    parquet.write_table(
        arrow.table({"query": ["q"], "documents": [["x"]], "n": [float("nan")], "relevance": [float("nan")]}),
        tmp_path / "in.parquet",
    )
    for form in FORMATS:
        assert rerank(tmp_path / "in.parquet", tmp_path / f"out.{form}", "--local").exit_code == 0
    assert str(parquet.read_table(tmp_path / "out.parquet")["n"].to_pylist()) == "[nan]"
    assert cells(tmp_path / "out.csv")[0]["n"] == ""
    assert lines(tmp_path / "out.jsonl")[0]["n"] is None


def test_images_of_failed_rows_can_be_sent_again(tmp_path: Path):
    """The bytes of an image are a data URI in the file of failed rows; what is not an image is base64."""
    image = b"\x89PNG\r\n\x1a\n" + b"0" * 20
    documents = [
        [{"text": "x", "image": image}, {"text": "y", "image": None}],
        [{"text": "z", "image": b"what"}],
    ]
    source = tmp_path / "in.parquet"
    parquet.write_table(arrow.table({"query": ["q1", "q2"], "documents": documents}), source)
    with serving(failing) as server:
        rerank(source, tmp_path / "out.parquet", "--base-url", server.url, "--with-documents")
        first, second = lines(tmp_path / "out.parquet.failed.jsonl")
        (sent,) = [request.json for request in server.requests]
    uri = f"data:image/png;base64,{base64.b64encode(image).decode()}"
    assert sent["documents"] == [{"text": "x", "image": uri}, {"text": "y"}]
    assert first["documents"] == [{"text": "x", "image": uri}, {"text": "y", "image": None}]
    assert second["documents"] == [{"text": "z", "image": base64.b64encode(b"what").decode()}]


PARQUET_DOCUMENTS: dict[str, tuple[Any, str]] = {
    "a query of bytes": (
        {"query": [b"q"], "documents": [["x"]]},
        "row 1: the query (column 'query') is a value of a type that",
    ),
    "documents of bytes": (
        {"query": ["q"], "documents": [[b"x"]]},
        "column 'documents': document 0 is a value of a type that",
    ),
    "a text of bytes": (
        {"query": ["q"], "documents": [[{"text": b"x"}]]},
        "document 0 has a value of a type that is not text in 'text'",
    ),
    "a time as a query": (
        {"query": _array([0], arrow.timestamp("ns")), "documents": [["x"]]},
        "row 1: the query",
    ),
}


@pytest.mark.parametrize("kind", PARQUET_DOCUMENTS)
def test_what_is_not_text_is_not_ranked(tmp_path: Path, kind: str):
    """A value of another type is never sent as the text by which it is written."""
    columns, says = PARQUET_DOCUMENTS[kind]
    parquet.write_table(arrow.table(columns), tmp_path / "in.parquet")
    refused(rerank(tmp_path / "in.parquet", tmp_path / "out.jsonl", "--local"), 2, says)


INPUT: list[tuple[str, bytes, str | None, str]] = [
    ("in.JSONL", b"{}", None, "jsonl"),
    ("in.ndjson", b"{}", None, "jsonl"),
    ("in.json.GZ", b"\x1f\x8b", None, "jsonl"),
    ("in.Tab", b"query", None, "tsv"),
    ("in.csv", b"{}", "jsonl", "jsonl"),
    ("in.csv", b"PAR1\xff", "jsonl", "parquet"),
    ("in.pq", b"", None, "parquet"),
]


@pytest.mark.parametrize(("name", "content", "given", "form"), INPUT)
def test_the_format_of_the_input(tmp_path: Path, name: str, content: bytes, given: str | None, form: str):
    """The first bytes of Parquet count before the option, and the option before the name, in any case."""
    (tmp_path / name).write_bytes(content)
    assert input_format(tmp_path / name, given) == form


OUTPUT: list[tuple[str, str | None, str]] = [
    ("out.JSONL", None, "jsonl"),
    ("out.Pq", None, "parquet"),
    ("out.csv", "jsonl", "jsonl"),
    ("out", "csv", "csv"),
]


@pytest.mark.parametrize(("name", "given", "form"), OUTPUT)
def test_the_format_of_the_output(name: str, given: str | None, form: str):
    """The option counts before the name, in any case."""
    assert output_format(Path(name), given) == form


@pytest.mark.parametrize("given", [None, *FORMATS])
@pytest.mark.parametrize("name", ["out.jsonl.gz", "out.csv.GZ"])
def test_the_output_is_not_compressed(name: str, given: str | None):
    """A name that promises compression is refused, also with a format."""
    with pytest.raises(BadBatch, match=f"{name}: OUT is not compressed; name it without .gz"):
        output_format(Path(name), given)


def test_rows_of_parquet_in_uneven_chunks(tmp_path: Path):
    """Rows are counted as they are, also if categories and row groups divide them into chunks of other sizes."""
    columns = {
        "query": ["q", "q", "q", "q", None, "q"],
        "documents": [["x"]] * 6,
        "category": _array(list("abcdef")).dictionary_encode(),
    }
    parquet.write_table(arrow.table(columns), tmp_path / "in.parquet", row_group_size=2)
    result = rerank(tmp_path / "in.parquet", tmp_path / "out.jsonl", "--local")
    refused(result, 2, "row 5: the query (column 'query') is null")


def test_parquet_by_its_first_bytes(tmp_path: Path):
    """Parquet is known by its first bytes under any name; two columns of one name are refused; damage is reported."""
    parquet.write_table(table(_array([1])), tmp_path / "in.dat")
    assert rerank(tmp_path / "in.dat", tmp_path / "out.jsonl", "--local").exit_code == 0
    (tmp_path / "text.jsonl").write_bytes(b"PAR1 is text too")
    assert input_format(tmp_path / "text.jsonl", None) == "jsonl"
    twice = arrow.table(
        [_array(["q"]), _array([["x"]]), _array([1]), _array([2])], names=["query", "documents", "a", "a"]
    )
    parquet.write_table(twice, tmp_path / "in.dat")
    for form in FORMATS:
        refused(
            rerank(tmp_path / "in.dat", tmp_path / f"o.{form}", "--local"),
            2,
            "two columns are named 'a'; rename",
        )
    parquet.write_table(
        table(_array([f"{index:09}" for index in range(3000)])), tmp_path / "in.dat", compression="gzip"
    )
    content = bytearray((tmp_path / "in.dat").read_bytes())
    content[100:20_000] = bytes(19_900)
    (tmp_path / "in.dat").write_bytes(content)
    refused(
        rerank(tmp_path / "in.dat", tmp_path / "o.jsonl", "--local"),
        2,
        "the Parquet file cannot be read",
        "get it again",
    )


def test_categories_have_the_values_of_their_type():
    """A value of a dictionary is written as one of its type is, whatever type that is."""
    times = _array([1, None], arrow.timestamp("ns")).dictionary_encode()
    given = arrow.record_batch([times], names=["t"])
    first, second = reader.rows("in.parquet", given, 1)
    assert bytes(first["t"]) == b'"1970-01-01T00:00:00.000000001"'
    assert second == {"t": None}


ANSWERS: dict[Any, str] = {int: "int64", float: "double", bool: "bool", str: "string", dict: "string"}


@pytest.mark.parametrize("kind", ANSWERS)
def test_types_of_added_columns(kind: type):
    """Scalars of an answer keep their type; other values are text."""
    assert str(reader.type_of(kind)) == ANSWERS[kind]


class _File:
    """A Parquet file whose first batch is read, and then an error is raised."""

    def __init__(self, error: Exception) -> None:
        self.error, self.is_open = error, True

    def iter_batches(self, batch_size: int) -> Iterator[int]:
        yield batch_size
        raise self.error

    def close(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(
    "error", [OSError("x"), arrow.ArrowInvalid("x"), arrow.ArrowNotImplementedError("x")], ids=repr
)
def test_damage_is_a_bad_file(monkeypatch: pytest.MonkeyPatch, error: Exception):
    """Each error that pyarrow raises for a damaged file is a BadFile with the next step, and the file is closed."""
    file = _File(error)
    monkeypatch.setattr(reader, "_opened", lambda *_: file)
    found = reader.batches("in.parquet", None)
    assert next(found) == reader.CHUNK
    with pytest.raises(BadFile, match=r"^in.parquet: the Parquet file cannot be read \(x\); get it again$"):
        next(found)
    assert not file.is_open


def test_a_reader_that_stops_closes_the_file(monkeypatch: pytest.MonkeyPatch):
    """A file that is not read to its end is closed with its iterator."""
    file = _File(OSError())
    monkeypatch.setattr(reader, "_opened", lambda *_: file)
    found: Any = reader.batches("in.parquet", None)
    next(found)
    assert file.is_open
    found.close()
    assert not file.is_open


def test_a_table_that_was_never_written_has_no_rows():
    """A writer that is closed at once leaves a whole file."""
    file = io.BytesIO()
    schema = arrow.schema([("n", arrow.int64())])
    reader.Writer(file, schema).close()
    assert parquet.read_table(io.BytesIO(file.getvalue())).equals(schema.empty_table())


@pytest.mark.parametrize("given", FORMATS)
@pytest.mark.parametrize("form", FORMATS)
def test_an_output_without_rows(tmp_path: Path, form: str, given: str):
    """If every row fails, the output has its columns and no row."""
    source, target = tmp_path / f"in.{given}", tmp_path / f"out.{form}"
    if given == "parquet":
        parquet.write_table(arrow.table({"query": ["q1"], "documents": [["x"]], "n": [1]}), source)
    else:
        content = (
            '{"query": "q1", "documents": ["x"], "n": 1}'
            if given == "jsonl"
            else 'query,documents,n\nq1,"[""x""]",1\n'
        )
        source.write_text(content)
    with serving(failing) as server:
        assert rerank(source, target, "--base-url", server.url).exit_code == 1
    assert len(lines(target.with_name(f"{target.name}.failed.jsonl"))) == 1
    if form == "parquet":
        found = parquet.read_table(target)
        assert (found.num_rows, found.column_names) == (0, ["query", "n", *RESULTS])
    else:
        header = ",".join(["query", "n", *RESULTS]) + "\r\n"
        assert target.read_bytes().decode() == (header if form == "csv" else "")


def test_columns_of_a_later_contract_in_parquet(monkeypatch: pytest.MonkeyPatch):
    """Lists and objects of an answer, and of a hit, are written as JSON; null stays null."""
    monkeypatch.setattr(tables, "HIT", {"more": dict})
    monkeypatch.setattr(tables, "COLUMNS", {"parts": list, "name": str})
    monkeypatch.setattr(tables, "RESULTS", ("ranking", "parts", "name"))
    file = io.BytesIO()
    job = Batch(source=Path("in"), target=Path("out"), input_format="jsonl", output_format="parquet")
    rows = writer(job, Survey(schema=arrow.schema([("n", arrow.int64())])), file)
    results = [
        {"ranking": [{"index": 0, "score": 0.5, "more": {"a": [1]}}], "parts": [1, None], "name": "x"},
        {"ranking": [{"index": 0, "score": 0.5, "more": None}], "parts": None, "name": None},
    ]
    rows.write(Chunk(1, [{"n": 1}, {}]), [0, 1], results)
    rows.close()
    expected = [
        {
            "n": 1,
            "ranking": [{"index": 0, "score": 0.5, "more": '{"a":[1]}'}],
            "parts": "[1,null]",
            "name": "x",
        },
        {"n": None, "ranking": [{"index": 0, "score": 0.5, "more": None}], "parts": None, "name": None},
    ]
    assert parquet.read_table(io.BytesIO(file.getvalue())).to_pylist() == expected


def test_a_value_that_parquet_cannot_hold_is_named_by_its_row():
    """The row is that of the input, also if rows before it failed."""
    job = Batch(source=Path("in"), target=Path("out"), input_format="jsonl", output_format="parquet")
    rows = writer(job, Survey(schema=arrow.schema([("n", arrow.int64())])), io.BytesIO())
    result = {"ranking": [], **dict.fromkeys(COLUMNS)}
    with pytest.raises(Unwritable, match=r"^row 8: Parquet cannot hold 'x' in the column 'n'"):
        rows.write(Chunk(6, [{"n": 1}, {"n": 2}, {"n": "x"}]), [1, 2], [result, result])


# It fails all the same


def test_nothing_is_lost_if_the_output_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """If the output cannot be written, the journal is complete, and the message says how to get the results."""
    source, target = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.parquet"
    job = Batch(source=source, target=target, input_format="jsonl", output_format="parquet")
    with serving(ranking) as server:
        with monkeypatch.context() as patched:
            survey = jobs.survey

            def surveyed(batch: Batch) -> Any:
                found = survey(batch)
                patched.setattr(jobs, "_results", lambda *_: 1 / 0)
                return found

            patched.setattr(jobs, "survey", surveyed)
            result = rerank(source, target, "--base-url", server.url)
        said = (
            "it cannot be written: division by zero; run the same command again",
            "Nothing is lost: all 3 rows are finished",
            "--output-format jsonl",
        )
        refused(result, 1, *said, str(job.journal))
        assert [path.name for path in tmp_path.glob("out*")] == ["out.parquet.part"]
        assert rerank(source, target, "--base-url", server.url, "--output-format", "jsonl").exit_code == 0
        assert len(server.requests) == 3
    assert [row["id"] for row in lines(target)] == [0, 1, 2]


def kept_of(ranking: Ranking[Any], row: int = 0) -> Any:
    """Return what the journal keeps of a ranking."""
    request = jobs.RowRequest(query="q", documents=["x"], row=row)
    return jobs.finished_row(Ranked(0, request, ranking))


def test_what_a_server_says_fits_every_format():
    """A name with half a character, or a count beyond 64 bits, keeps no ranking from being written."""
    usage = Usage(cost=1.0, search_units=2**70, total_tokens=-(2**70))
    ranked = Ranking(
        hits=(Hit(0, 0.5, "x"),),
        total=1,
        id="a\0",
        model="\ud800",
        provider=None,
        usage=usage,
    )
    found = kept_of(ranked, row=4)

    assert found == FinishedRow(4, [(0, 0.5)], model="\ufffd", cost=1.0, response_id="a\ufffd")
    assert jobs.error_columns(ValueError("\ud800"))["message"] == "\ufffd"


def test_fields_of_a_hit_of_a_later_contract(monkeypatch: pytest.MonkeyPatch):
    """They are kept in the journal, in a form that fits every format."""

    class LaterHit(Hit):
        more = "a\0"

    monkeypatch.setattr(jobs, "HIT", {"more": str})
    found = kept_of(Ranking(hits=(LaterHit(0, 0.5, "x"),), total=1))
    assert found.ranking == [(0, 0.5, "a\ufffd")]


@pytest.mark.parametrize(
    ("number", "kept"),
    [(2**63 - 1, True), (2**63, False), (-(2**63), True), (-(2**63) - 1, False)],
)
def test_integers_of_64_bits_are_kept(number: int, kept: bool):
    """A server's integer is stored if it has at most 64 bits; a larger one is null."""
    found = kept_of(Ranking(hits=(), total=1, usage=Usage(cost=1.0, search_units=number, total_tokens=None)))
    assert found.search_units == (number if kept else None)


def test_rows_without_documents_cost_nothing(tmp_path: Path):
    """An empty list of documents has an empty ranking at a cost of 0, as nothing is sent; other costs stay unknown."""
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": some} for some in ([], ["x"])])
    with serving(ranking) as server:
        assert rerank(source, tmp_path / "out.jsonl", "--base-url", server.url).exit_code == 0
        assert len(server.requests) == 1
    empty, ranked = lines(tmp_path / "out.jsonl")
    assert (empty["ranking"], empty["cost"]) == ([], 0.0)
    assert (len(ranked["ranking"]), ranked["cost"]) == (1, None)


def test_only_nulls_of_documents_are_left_out(tmp_path: Path):
    """Fields that are null, of any name, are not sent; empty texts are."""
    documents: list[Any] = [
        {"text": "", "image": "https://a.example/x.png"},
        {"text": "x", "image": None, "note": None},
        "",
    ]
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": documents}])
    with serving(ranking) as server:
        assert rerank(source, tmp_path / "out.jsonl", "--base-url", server.url).exit_code == 0
        assert server.requests[0].json["documents"] == [documents[0], {"text": "x"}, ""]


def test_a_lack_of_room_is_told_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An output that does not fit on the disk is refused before anything is sent; of --top-n no more is counted."""
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": ["x" * 10_000] * 10}])

    def free(number: int) -> None:
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(0, 0, number))  # type: ignore[attr-defined]

    free(20_000)
    command = (source, tmp_path / "out.jsonl", "--local", "--with-documents")
    refused(
        rerank(*command),
        2,
        "out.jsonl: it needs about 100,",
        "20,000 are free",
        "free some space, or name another OUT",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert rerank(*command, "-n", 1).exit_code == 0


# What is not ours


def _link(path: Path, other: Path) -> None:
    path.symlink_to(other)


def _same(path: Path, other: Path) -> None:
    os.link(other, path)


def _copy(path: Path, other: Path) -> None:
    path.write_bytes(other.read_bytes())


def _directory(path: Path, _: Path) -> None:
    path.mkdir()


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _dangling(path: Path, _: Path) -> None:
    path.symlink_to("nowhere")


PUT: dict[str, tuple[Callable[[Path, Path], None], str]] = {
    "a link": (_link, "is a symbolic link"),
    "a link to nothing": (_dangling, "is a symbolic link"),
    "another name of a file": (_same, ""),
    "a file": (_copy, ""),
    "a directory": (_directory, "is a directory"),
    "a pipe": (_pipe, "is a pipe or a device"),
}


@posix
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize(
    "name", ["out.jsonl.part", "out.jsonl.part.out", "out.jsonl.part.failed", "out.jsonl.failed.jsonl"]
)
@pytest.mark.parametrize("what", PUT)
def test_what_is_not_ours_is_left_alone(tmp_path: Path, what: str, name: str, restart: bool):
    """A file in the place of one of the job's that is not from an earlier run is left unchanged, and nothing is sent."""
    put, says = PUT[what]
    mine = tmp_path / "mine.txt"
    mine.write_text("a file of mine\n")
    source = written(tmp_path / "in.jsonl", rows(2))
    put(tmp_path / name, mine)
    before = (tmp_path / name).lstat()
    with serving(ranking) as server:
        result = rerank(
            source, tmp_path / "out.jsonl", "--base-url", server.url, *(["--restart"] if restart else [])
        )
        assert server.requests == []
    refused(result, 2, name, says)
    after = (tmp_path / name).lstat()
    assert (after.st_ino, after.st_size, after.st_mode) == (before.st_ino, before.st_size, before.st_mode)
    assert mine.read_text() == "a file of mine\n"
    assert not (tmp_path / "out.jsonl").exists()


FAILED: dict[str, tuple[str, bool]] = {
    "failed rows": ('{"query": "q", "rerank_error":{"type": "x"}}\n{}\n', True),
    "nothing": ("", True),
    "rows": ('{"query": "q", "documents": []}\n', False),
    "rows that mention it": ('["rerank_error":{}]\n', False),
    "failed rows later": ('{"query": "q"}\n{"rerank_error":{}}\n', False),
}


@pytest.mark.parametrize("kind", FAILED)
def test_restart_deletes_failed_rows_only(tmp_path: Path, kind: str):
    """A file in the place of failed rows is deleted by --restart only if it holds such rows, or nothing."""
    content, ours = FAILED[kind]
    source, failed = written(tmp_path / "in.jsonl", rows(1)), tmp_path / "out.jsonl.failed.jsonl"
    failed.write_text(content)
    result = rerank(source, tmp_path / "out.jsonl", "--local", "--restart")
    if ours:
        assert (result.exit_code, failed.exists()) == (0, False)
    else:
        refused(result, 2, "out.jsonl.failed.jsonl: it already exists and does not hold failed rows")
        assert failed.read_text() == content


def _job(tmp_path: Path) -> Batch:
    source, target = tmp_path / "in" / "in.jsonl", tmp_path / "out" / "out.jsonl"
    return Batch(source=source, target=target, input_format="jsonl", output_format="jsonl")


@posix
@pytest.mark.parametrize("what", [*PUT, "another file of the same size and time"])
def test_only_the_finished_file_itself_is_replaced(tmp_path: Path, what: str):
    """A file that appeared is the job's own if it is a regular file with the finished content."""
    job = _job(tmp_path)
    job.target.parent.mkdir()
    made = job.making[0]
    made.write_text("ranked")
    if what in PUT:
        PUT[what][0](job.target, made)
    else:
        job.target.write_text("unlike")
        os.utime(job.target, ns=(0, 0))
        os.utime(made, ns=(0, 0))
    ours = what in {"a file", "another name of a file"}
    with nullcontext() if ours else pytest.raises(BatchError, match="it appeared after") as caught:
        paths.refuse_appeared(job, {job.target: made})
    assert ours or type(caught.value) is BatchError
    with pytest.raises(BadBatch, match="it appeared after"):
        paths.refuse_appeared(job)


@pytest.mark.parametrize(("free", "fits"), [(99, False), (100, True), (101, True)])
def test_room_on_the_disk_of_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, fits: bool
):
    """The free space of OUT's directory has to be the estimate at least."""
    job = _job(tmp_path)
    free_at = {job.target.parent: free, job.source.parent: 200 - free}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, free_at[path]))  # type: ignore[attr-defined]
    with nullcontext() if fits else pytest.raises(BadBatch, match=r"needs about 100 bytes, and 99 are free"):
        paths.refuse_lack_of_room(job, Survey(size=100))


@posix
def test_a_link_that_appears_is_not_opened_as_the_journal(tmp_path: Path):
    """The journal is never the file to which a link leads."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "journal").symlink_to(tmp_path / "mine")
    with pytest.raises(BatchError, match="nothing was sent"):
        paths.open_journal(tmp_path / "journal")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_new_file_is_not_an_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file of that name is removed and not written into, and one that appears at this moment is kept."""
    file = tmp_path / "file"
    file.write_text("old")
    os.link(file, tmp_path / "other")
    with paths.create(file) as new:
        new.write(b"new")
        paths.flushed(new)
        assert file.read_text() == "new"
    assert (tmp_path / "other").read_text() == "old"
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    with pytest.raises(FileExistsError):
        paths.create(file)
    assert file.read_text() == "new"


@posix
@pytest.mark.parametrize("leads_to", [None, "mine"])
def test_a_link_in_the_place_of_the_output(tmp_path: Path, leads_to: str | None):
    """It counts as an output that is there; --restart replaces the link, and not what it leads to."""
    source, target, mine = written(tmp_path / "in.jsonl", rows(1)), tmp_path / "out.jsonl", tmp_path / "mine"
    target.symlink_to(mine)
    if leads_to is not None:
        mine.write_text(leads_to)
    refused(rerank(source, target, "--local"), 2, "already exists")
    assert rerank(source, target, "--local", "--restart").exit_code == 0
    assert (mine.read_text() if mine.exists() else None, target.is_symlink()) == (leads_to, False)


def test_restart_throws_away_what_is_ours(tmp_path: Path):
    """A journal whose header is damaged, rows that failed, and what a killed run left are all of an earlier run."""
    source, target = written(tmp_path / "in.jsonl", rows(2)), tmp_path / "out.jsonl"
    job = Batch(source=source, target=target, input_format="jsonl", output_format="jsonl")
    with opened(job, jobs.survey(job), restart=False) as journal:
        journal.record(FinishedRow(0, [(0, 0.5)]))
    content = job.journal.read_bytes()
    for path in job.making:
        path.write_text("half of an output")
    for header in (content, b"0" * 8 + content[8:], b""):
        job.journal.write_bytes(header)
        if not header:
            for path in job.making:
                assert not path.exists()
        job.failed.write_text('{"query": "q", "rerank_error":{"type": "x"}}\n')
        assert rerank(source, target, "--local", "--restart").exit_code == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl"]


@posix
def test_a_journal_that_is_kept_elsewhere_too(tmp_path: Path):
    """A journal with a second name, as of a copy by `cp -l`, is neither cut off nor gone on with."""
    source, target = written(tmp_path / "in.jsonl", rows(2)), tmp_path / "out.jsonl"
    job = Batch(source=source, target=target, input_format="jsonl", output_format="jsonl")
    with opened(job, jobs.survey(job), restart=False) as journal:
        journal.record(FinishedRow(0, [(0, 0.5)]))
    content = job.journal.read_bytes()
    os.link(job.journal, tmp_path / "copy")
    for more in ([], ["--restart"]):
        refused(
            rerank(source, target, "--local", *more), 2, "out.jsonl.part: it is a file with several names"
        )
        assert (tmp_path / "copy").read_bytes() == content


def test_a_journal_of_another_version(tmp_path: Path):
    """A journal that later versions may write is left alone."""
    source, target = written(tmp_path / "in.jsonl", rows(2)), tmp_path / "out.jsonl"
    content = b'{"rerank_batch":2}'
    line = b"%08x %s\n" % (zlib.crc32(content), content)
    target.with_name("out.jsonl.part").write_bytes(line)
    for more in ([], ["--restart"]):
        refused(rerank(source, target, "--local", *more), 2, "is not a journal of this version")
        assert target.with_name("out.jsonl.part").read_bytes() == line


@posix
def test_permissions(tmp_path: Path):
    """The journal is its owner's alone; the output is as the umask says."""
    source, target = written(tmp_path / "in.jsonl", rows(1)), tmp_path / "out.jsonl"
    modes: list[int] = []

    def script(request: Sent) -> Script:
        modes.append(stat.S_IMODE((tmp_path / "out.jsonl.part").stat().st_mode))
        yield honest(request)

    before = os.umask(0o027)
    try:
        with serving(script) as server:
            assert rerank(source, target, "--base-url", server.url).exit_code == 0
    finally:
        os.umask(before)
    assert modes == [0o600]
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@posix
def test_a_name_that_is_too_long(tmp_path: Path):
    """A name to which no ending can be put is told before anything is sent."""
    source = written(tmp_path / "in.jsonl", rows(1))
    with serving(ranking) as server:
        result = rerank(source, tmp_path / f"{'x' * 240}.jsonl", "--base-url", server.url)
        assert server.requests == []
    refused(result, 1, "cannot be written: File name too long", "nothing was sent")
    refused(
        rerank(source, tmp_path / "out.jsonl.gz", "--local"), 2, "OUT is not compressed; name it without .gz"
    )


# Long documents


def test_chunks(tmp_path: Path):
    """--chunk-words cuts documents; it belongs to the job, and --dry-run counts the pieces."""
    documents = ["one two three four five", "six"]
    source = written(tmp_path / "in.jsonl", [{"query": "q", "documents": documents}])
    command: tuple[Any, ...] = (source, tmp_path / "out.jsonl", "--chunk-words", 3, "--chunk-overlap", 1)

    def script(request: Sent) -> Script:
        yield answer(401, envelope(401, "no")) if request.number == 1 else honest(request)

    with serving(script) as server:
        command += ("--base-url", server.url)
        assert "3 documents" in rerank(*command, "--dry-run").stderr
        refused(rerank(*command), 1, "401")
        refused(
            rerank(*command[:2], *command[6:], "--chunk-words", 3), 2, "chunk was [3, 1] and is now [3, 0]"
        )
        assert rerank(*command).exit_code == 0
        assert server.requests[-1].json["documents"] == ["one two three", "three four five", "six"]
    (row,) = lines(tmp_path / "out.jsonl")
    assert sorted(hit["index"] for hit in row["ranking"]) == [0, 1]
    refused(
        rerank(source, tmp_path / "o.jsonl", "--local", "--chunk-overlap", 1),
        2,
        "--chunk-overlap: needs --chunk-words; add it",
    )
    refused(
        rerank(source, tmp_path / "o.jsonl", "--local", "--chunk-words", 1, "--chunk-overlap", 1),
        2,
        "make it smaller",
    )
