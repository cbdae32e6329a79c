"""`rerank batch` ranks every row once: through kills, Ctrl-C, full disks, and files of every kind."""

from __future__ import annotations

import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from openrouter_rerank.bulk import batch as jobs
from openrouter_rerank.bulk import journal as journals
from openrouter_rerank.bulk.job import FORMATS, PLACE, BadBatch, Batch
from openrouter_rerank.bulk.journal import FinishedRow, Journal, opened
from openrouter_rerank.bulk.many import Progress
from openrouter_rerank.cli import batch
from openrouter_rerank.cli.app import app
from openrouter_rerank.testing import Request as Sent
from openrouter_rerank.testing import Script, Server, answer, envelope, head, honest, serving
from openrouter_rerank.testing import results as body_of
from openrouter_rerank.testing.faults import CHUNKED
from shells import LONG, SOON

MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from openrouter_rerank.cli import main; main()"
)
AT_ONCE = 4

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals or limits")


def rerank(*args: object) -> Result:
    """`rerank batch`, run in this process; any exception but its exit is raised."""
    return CliRunner().invoke(app, ["batch", *map(str, args)], env={"COLUMNS": "80"}, catch_exceptions=False)


def started(*args: object, before: str = "") -> subprocess.Popen[str]:
    """`rerank batch` in a process of its own."""
    pipes: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    command = [sys.executable, "-W", "error", "-c", f"{before}\n{MAIN}", "batch", *map(str, args)]
    return subprocess.Popen(command, text=True, **pipes)


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it told, once it has ended."""
    with process:
        try:
            output, error = process.communicate(timeout=SOON)
        finally:
            process.kill()
    assert output == ""
    return process.returncode, error


def until(true: Callable[[], bool]) -> bool:
    """Wait until it is true; False if it does not become so."""
    end = time.monotonic() + SOON
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def until_told(process: subprocess.Popen[str], words: str) -> str:
    """Read what a process tells until a line has these words; return that line."""
    assert process.stderr is not None
    return next((line for line in process.stderr if words in line), "")


def refused(result: Result, code: int, *says: str) -> None:
    """One line told why, and the code is this."""
    assert re.fullmatch(r"rerank: [^\n]+\n", result.stderr)
    for words in says:
        assert words in result.stderr
    assert (result.exit_code, result.stdout) == (code, "")


def rows(number: int) -> list[dict[str, Any]]:
    """Rows of three documents, each with a query of its own."""
    return [{"id": index, "query": f"q{index}", "documents": ["a", "b", "c"]} for index in range(number)]


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def written(path: Path, given: Sequence[dict[str, Any]]) -> Path:
    """Return the file, with these rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return path


def asked(server: Server) -> Counter[str]:
    """Count how often each query was sent."""
    return Counter(request.json["query"] for request in list(server.requests))


def complete(target: Path, number: int) -> None:
    """Assert that the output has each row once, in order and ranked, and that no other file is left."""
    found = lines(target)
    assert [row["id"] for row in found] == list(range(number))
    assert all([hit["index"] for hit in row["ranking"]] == [2, 1, 0] for row in found)
    assert [path.name for path in target.parent.glob(f"{target.name}*")] == [target.name]


@contextmanager
def slow(seconds: float = 0.004) -> Generator[Server]:
    """Provide an honest server that takes its time."""

    def script(request: Sent) -> Script:
        yield seconds
        yield honest(request)

    with serving(script) as server:
        yield server


@contextmanager
def holding(first: int) -> Generator[tuple[Server, threading.Event]]:
    """Provide an honest server that answers so many requests at once, and all others when the event is set."""
    go = threading.Event()

    def script(request: Sent) -> Script:
        while request.number > first and not go.is_set():
            yield 0.01
        yield honest(request)

    with serving(script) as server:
        yield server, go


# It dies


@posix
@pytest.mark.parametrize(("suffix", "number"), [("jsonl", 300), ("parquet", 100)])
def test_killed_again_and_again(tmp_path: Path, suffix: str, number: int):
    """Killed at random moments until it is done, it ranks each row, writes it once, and repeats no more than was under way."""
    kills = 0
    chance = random.Random(f"kills {suffix}")
    source, target = written(tmp_path / "in.jsonl", rows(number)), tmp_path / f"out.{suffix}"
    goal = 0

    def script(request: Sent) -> Script:
        yield 0.004
        while request.number > goal:  # so that none gets through before it is killed, however late that is
            yield 0.01
        yield honest(request)

    with serving(script) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", AT_ONCE)
        while kills < 40:
            goal = len(server.requests) + chance.randrange(1, number // 5)
            process = started(*command)
            with process:
                # Some die while they start or read, most while they rank, and the last ones while they write.
                if chance.random() < 0.8:
                    while len(server.requests) < goal and process.poll() is None:
                        time.sleep(0.001)
                else:
                    time.sleep(chance.random())
                time.sleep(chance.random() * 0.02)
                process.kill()
                process.communicate()
            finished = target.exists() and not target.with_name(target.name + ".part").exists()
            if finished or process.returncode == 0:
                break
            kills += 1
        repeated = asked(server)
    assert kills >= 3
    assert sorted(repeated) == sorted(row["query"] for row in rows(number))
    assert sum(repeated.values()) - number <= kills * AT_ONCE
    if suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
        assert parquet.read_table(target)["id"].to_pylist() == list(range(number))
    else:
        complete(target, number)


def job_of(tmp_path: Path, number: int = 3, **options: Any) -> Batch:
    """Return a job of these rows into out.jsonl."""
    source = written(tmp_path / "in.jsonl", rows(number))
    target = tmp_path / "out.jsonl"
    return Batch(source=source, target=target, input_format="jsonl", output_format="jsonl", **options)


def test_a_journal_cut_anywhere(tmp_path: Path):
    """If a journal breaks off at any byte, the rows of its complete lines are finished and the others are not."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        for row in (2, 0, 1):
            journal.record(FinishedRow(row, [(0, 0.5)], cost=0.25))
    whole = job.journal.read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == ord("\n")]

    for size in range(len(whole) + 1):
        for tail in (b"", b"\0" * 30):
            job.journal.write_bytes(whole[:size] + tail)
            with opened(job, found, restart=False) as journal:
                expected = [row for row, end in zip((2, 0, 1), ends[1:], strict=True) if end <= size]
                assert [row for row in (2, 0, 1) if row in journal] == expected
                assert journal.done == len(expected)
                assert journal.cost == 0.25 * len(expected)
                assert job.journal.stat().st_size == max(end for end in ends if end <= max(size, ends[0]))
                assert all(journal[row].ranking == [(0, 0.5)] for row in expected)
                if size == 40 + ends[0]:
                    journal.record(FinishedRow(1))
                    assert 1 in journal


def test_a_journal_damaged_anywhere(tmp_path: Path):
    """A line of which any byte is another one is not a finished row."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        journal.record(FinishedRow(1, [(0, 0.5)]))
    whole = job.journal.read_bytes()
    for place in range(whole.index(b"\n") + 1, len(whole)):
        for byte in {0, ord("x"), whole[place] ^ 1}:
            job.journal.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
            with opened(job, found, restart=False) as journal:
                assert (journal.done, 1 in journal) == (0, False)


def test_a_damaged_header_needs_restart(tmp_path: Path):
    """A journal whose header is damaged may be of another job, and is only deleted on demand."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        journal.record(FinishedRow(1, [(0, 0.5)]))
    whole = job.journal.read_bytes()
    damaged = b"0" * 8 + whole[8:]
    job.journal.write_bytes(damaged)
    with (
        pytest.raises(BadBatch, match="it is not a journal of this version; remove it"),
        opened(job, found, restart=False),
    ):
        pass
    assert job.journal.read_bytes() == damaged
    with opened(job, found, restart=True) as journal:
        assert journal.done == 0
    assert job.journal.read_bytes() == whole[: whole.index(b"\n") + 1]


def test_a_header_of_a_replacing_job_cut_anywhere(tmp_path: Path):
    """Without its header, a job that replaces OUT has not begun: OUT is not overwritten without --restart."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    job.target.write_text("mine")
    with opened(job, found, restart=True) as journal:
        assert journal.replaces
    header = job.journal.read_bytes()
    for size in range(len(header)):
        job.journal.write_bytes(header[:size])
        with pytest.raises(BadBatch, match="it already exists"), opened(job, found, restart=False):
            pass
        assert job.journal.read_bytes() == header[:size]
        with opened(job, found, restart=True):
            assert job.journal.read_bytes() == header
    assert job.target.read_text() == "mine"


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.failed.jsonl"])
def test_a_refused_job_leaves_no_journal(tmp_path: Path, name: str):
    """The next command is refused for the same reason as the first, and not for a journal that it left."""
    job = job_of(tmp_path)
    (tmp_path / name).write_text("mine")
    refused(rerank(job.source, job.target, "--local"), 2, f"{name}: it already exists, without an unfinished")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", name]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"query_column": "id"}, {}),
        ({}, {"query_column": "id"}),
        ({"documents_column": "id"}, {}),
        ({"text_field": "x"}, {"text_field": "y"}),
        ({"chunk": (3, 1)}, {"chunk": (3, 2)}),
        ({"options": {"model": "m"}}, {"options": {}}),
        ({"options": {}}, {"options": {"model": "m"}}),
    ],
)
def test_each_option_of_a_job_is_compared(tmp_path: Path, before: dict[str, Any], now: dict[str, Any]):
    """A journal of a job with another value of an option that determines rankings is refused, and kept."""
    first, second = job_of(tmp_path, **before), job_of(tmp_path, **now)
    found = jobs.survey(job_of(tmp_path))
    with opened(first, found, restart=False) as journal:
        journal.record(FinishedRow(0, [(0, 0.5)]))
    name = next(iter({**before, **now}))
    with (
        pytest.raises(BadBatch, match=f"other options: {'model' if name == 'options' else name} was "),
        opened(second, found, restart=False),
    ):
        pass
    with opened(first, found, restart=False) as journal:
        assert journal.done == 1


def test_restart_deletes_the_finished_rows(tmp_path: Path):
    """A row that was finished before --restart does not come back when the new run is interrupted."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        for row in range(3):
            journal.record(FinishedRow(row, [(0, 0.5)]))
    with opened(job, found, restart=True) as journal:
        journal.record(FinishedRow(2, [(0, 0.5)]))
    with opened(job, found, restart=False) as journal:
        assert [row for row in range(3) if row in journal] == [2]


def test_the_sums_of_a_journal(tmp_path: Path):
    """Costs are added as decimals; the sums are the same after the journal was loaded again."""
    job = job_of(tmp_path, 7)
    found = jobs.survey(job)
    kept = [
        FinishedRow(0, [(0, 0.5)], cost=0.1),
        FinishedRow(1, [(0, 0.5)], cost=0.4, unranked=2),
        FinishedRow(2, [(0, 0.5)], cost=0.1, unranked=1),
        FinishedRow(3, [(0, 0.5)]),
        FinishedRow(4, error={"type": "A", "message": "first", "status": None}),
        FinishedRow(5, error={"type": "A", "message": "second", "status": None}),
        FinishedRow(6, error={"type": "B", "message": "third", "status": None}),
    ]
    with opened(job, found, restart=False) as first:
        for row in kept:
            first.record(row)
    with opened(job, found, restart=False) as second:
        pass
    for journal in (first, second):
        assert (journal.done, journal.failed, journal.unknown) == (7, 3, 1)
        assert (journal.spent, journal.largest) == (Decimal("0.6"), Decimal("0.4"))
        assert (journal.unranked, journal.unranked_rows) == (3, 2)
        assert journal.failures == {"A": 2, "B": 1}
        assert journal.messages == {"A": "first", "B": "third"}


def test_a_journal_is_flushed_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The journal is flushed to the disk when more than a second has passed since the last time, and at no other row."""
    now, synced = [0.0], list[float]()
    job = job_of(tmp_path, 6)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        monkeypatch.setattr(os, "fsync", lambda _: synced.append(now[0]))
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        journal.sync()
        for row, moment in enumerate((0.5, 1.0, 1.5, 2.0, 2.5, 2.75)):
            now[0] = moment
            journal.record(FinishedRow(row))
    assert synced == [0.0, 1.5, 2.75]


def test_rows_are_recorded_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While a thread writes a row, no other one writes at the same place."""
    job = job_of(tmp_path, 40)
    found = jobs.survey(job)
    write, inside, most = os.write, [0], [0]

    def slowly(number: int, content: Any) -> int:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0)  # let other threads run
        size = write(number, content[: len(content) // 2 + 1])
        inside[0] -= 1
        return size

    with opened(job, found, restart=False) as journal:
        monkeypatch.setattr(os, "write", slowly)
        threads = [threading.Thread(target=journal.record, args=[FinishedRow(row)]) for row in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.undo()
    with opened(job, found, restart=False) as journal:
        assert (journal.done, most[0]) == (40, 1)


@posix
@pytest.mark.parametrize("again", [False, True])
def test_a_journal_that_vanishes_before_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
):
    """A file that another run deletes, or replaces, between opening and locking is opened again."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    lock, calls = journals._lock, [0]

    def late(number: int) -> None:
        calls[0] += 1
        if calls[0] == 1:
            job.journal.unlink()
            if again:
                job.journal.write_bytes(b"")
        lock(number)

    monkeypatch.setattr(journals, "_lock", late)
    with opened(job, found, restart=False) as journal:
        journal.record(FinishedRow(0))
    with opened(job, found, restart=False) as journal:
        assert (journal.done, calls[0]) == (1, 3)


def test_a_damaged_line_and_all_after_it_are_ranked_again(tmp_path: Path):
    """A line whose checksum is wrong is no finished row, and the message says what was cut off."""
    source, target = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"
    with slow() as server:
        command = (source, target, "--base-url", server.url)
        job = Batch(
            source=source,
            target=target,
            input_format="jsonl",
            output_format="jsonl",
            options={"model": None, "top_n": None, "local": False, "scorer": None, "base_url": server.url},
        )
        with opened(job, jobs.survey(job), restart=False) as journal:
            for row in range(3):
                journal.record(FinishedRow(row, [(2, 0.5), (1, 0.4), (0, 0.3)]))
        content = job.journal.read_bytes().splitlines(keepends=True)
        content[2] = content[2].replace(b"0.5", b"0.6")
        job.journal.write_bytes(b"".join(content))
        result = rerank(*command)
        assert asked(server) == {"q1": 1, "q2": 1}
    assert result.exit_code == 0
    assert "the incomplete last line of" in result.stderr
    complete(target, 3)


@posix
def test_ctrl_c_waits_for_what_is_under_way(tmp_path: Path):
    """The first Ctrl-C starts nothing more, keeps what was under way, says how to go on, and exits with 130."""
    number = 60
    source, target = written(tmp_path / "in.jsonl", rows(number)), tmp_path / "out.jsonl"
    with holding(10) as (server, go):
        command = (source, target, "--base-url", server.url, "--concurrency", AT_ONCE)
        process = started(*command)
        assert server.wait_until(lambda now: len(now.requests) >= 10 + AT_ONCE)
        process.send_signal(signal.SIGINT)
        assert "finishing the rows in flight" in until_told(process, "finishing")
        go.set()
        code, told = ended(process)
        sent = sum(asked(server).values())
        assert code == 130
        assert f"interrupted: {sent} of {number} rows are finished" in told
        assert "run the same command again to continue" in told
        assert ended(started(*command))[0] == 0
        assert set(asked(server).values()) == {1}
    complete(target, number)


@posix
def test_ctrl_c_twice_leaves_at_once(tmp_path: Path):
    """The second Ctrl-C waits for nothing, and what was finished stays so."""

    def stuck(request: Sent) -> Script:
        if request.number <= 5:
            yield honest(request)
            return
        yield head(200, CHUNKED)
        while True:
            yield 0.02
            yield b"1\r\n \r\n"

    source, target = written(tmp_path / "in.jsonl", rows(60)), tmp_path / "out.jsonl"
    journal = target.with_name("out.jsonl.part")
    with serving(stuck) as server:
        process = started(
            source, target, "--base-url", server.url, "--concurrency", AT_ONCE, "--timeout", LONG
        )
        assert server.wait_until(lambda now: len(now.requests) >= 5 + AT_ONCE)
        assert until(lambda: len(journal.read_bytes().splitlines()) == 1 + 5)
        process.send_signal(signal.SIGINT)
        until_told(process, "finishing")
        process.send_signal(signal.SIGINT)
        code, told = ended(process)
        assert code == 130
        assert "Traceback" not in told
        assert "interrupted: 5 of 60 rows are finished" in told
    assert len(journal.read_bytes().splitlines()) == 1 + 5


LIMITED = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"


@posix
@pytest.mark.parametrize("limit", [100, 3000, 60_000])
def test_a_full_disk(tmp_path: Path, limit: int):
    """If the disk is full, one line says what to do, and the same command resumes once there is room."""
    number = 300
    source, target = written(tmp_path / "in.jsonl", rows(number)), tmp_path / "out.jsonl"
    with slow(0.001) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", AT_ONCE)
        # As the file system says that a file may not grow, in place of that it is full.
        code, told = ended(started(*command, before=LIMITED.format(limit)))
        assert code == 1
        assert told.count("\n") == 1
        assert "it cannot be written: File too large; free some space and run the same command again" in told
        assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
        assert not target.exists()
        if limit > 100:
            assert target.with_name("out.jsonl.part").read_bytes().endswith(b"\n")
        assert ended(started(*command))[0] == 0
        repeated = sum(asked(server).values()) - number
    assert repeated <= AT_ONCE
    complete(target, number)


@posix
def test_two_at_the_same_time(tmp_path: Path):
    """A second run into the same output is refused while the first one writes, which it does not disturb."""
    source, target = written(tmp_path / "in.jsonl", rows(40)), tmp_path / "out.jsonl"
    with holding(1) as (server, go):
        command = (source, target, "--base-url", server.url, "--concurrency", AT_ONCE)
        process = started(*command)
        assert server.wait_until(lambda now: len(now.requests) >= 2)
        refused(rerank(*command), 2, "another process is writing", "out.jsonl.part")
        go.set()
        assert ended(process)[0] == 0
        assert set(asked(server).values()) == {1}
    complete(target, 40)


# What is taken up, and what is not


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.failed.jsonl"])
@pytest.mark.parametrize("when", ["between two runs", "during the run"])
def test_a_file_that_appears_is_left_alone(tmp_path: Path, when: str, name: str):
    """A file of that name that the job did not write is not overwritten; once it is moved away, nothing is ranked again."""
    source, target, mine = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl", tmp_path / name

    def dying(request: Sent) -> Script:
        if when == "during the run":
            mine.write_text("mine")
        yield answer(401, envelope(401, "no")) if request.number == 3 else honest(request)

    with serving(dying) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", 1)
        refused(rerank(*command), 1, "401")
        sent = len(server.requests)
        if when == "during the run":
            mine.unlink()
            result = rerank(*command)
            assert result.exit_code == 1
            assert f"{name}: it appeared after this job began" in result.stderr
            assert "no finished row is lost" in result.stderr
            sent += 1
        else:
            mine.write_text("mine")
            refused(rerank(*command), 2, f"{name}: it appeared after this job began", "move it away")
        assert (mine.read_text(), len(server.requests)) == ("mine", sent)
        mine.unlink()
        when = "afterwards"
        assert rerank(*command).exit_code == 0
        assert len(server.requests) == 4
    complete(target, 3)


def test_an_output_of_the_job_itself_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A run that was killed after it wrote OUT is finished by the next one, as is one that replaces an older OUT."""
    source, target = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"

    def dying(request: Sent) -> Script:
        yield answer(401, envelope(401, "no")) if request.number == 2 else honest(request)

    target.write_text("from an earlier job")
    with serving(dying) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", 1)
        refused(rerank(*command, "--restart"), 1, "401")
        assert target.read_text() == "from an earlier job"
        with monkeypatch.context() as killed:
            killed.setattr(Journal, "remove", lambda _: None)
            assert rerank(*command).exit_code == 0
        assert rerank(*command).exit_code == 0
        assert len(server.requests) == 4
    complete(target, 3)


@pytest.mark.parametrize("option", ["--max-cost", "--requests-per-minute", "--timeout"])
@pytest.mark.parametrize("number", ["nan", "inf", "1e999"])
def test_a_number_that_is_not_finite(tmp_path: Path, option: str, number: str):
    """NaN and infinity, which are in every range, are refused by the name of the option."""
    source = written(tmp_path / "in.jsonl", rows(1))
    refused(
        rerank(source, tmp_path / "out.jsonl", "--local", option, number),
        2,
        option,
        f"{number} is not a finite",
    )


@pytest.mark.parametrize("without", ["", "out.jsonl", "out.jsonl.failed.jsonl"])
def test_the_files_of_a_killed_run_are_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without: str
):
    """A run that was killed while it moved its files is finished by the next one, and nothing is ranked again."""
    source, target = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"

    def picky(request: Sent) -> Script:
        fails = request.json["query"] == "q1"
        yield answer(400, envelope(400, "no")) if fails else honest(request)

    with serving(picky) as server:
        command = (source, target, "--base-url", server.url)
        with monkeypatch.context() as killed:
            killed.setattr(Journal, "remove", lambda _: None)
            assert rerank(*command).exit_code == 1
        if without:
            (tmp_path / without).unlink()
        result = rerank(*command)
        assert len(server.requests) == 3
    assert result.exit_code == 1
    assert "3 of 3 rows are finished, 1 of them failed" in result.stderr
    assert [row["id"] for row in lines(target)] == [0, 2]
    assert [row["id"] for row in lines(tmp_path / "out.jsonl.failed.jsonl")] == [1]
    assert not target.with_name("out.jsonl.part").exists()


def test_only_the_same_job_is_taken_up(tmp_path: Path):
    """Another input, or other options that change the rankings, are refused by name; --restart throws away what there is."""
    source, target = written(tmp_path / "in.jsonl", rows(3)), tmp_path / "out.jsonl"

    def dying(request: Sent) -> Script:
        yield honest(request) if request.number < 3 else answer(401, envelope(401, "no"))

    with serving(dying) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", 1)
        refused(
            rerank(*command), 1, "401", "2 of 3 rows are finished", "run the same command again to continue"
        )
        refused(rerank(*command, "-n", 2), 2, "other options: top_n was None and is now 2", "--restart")
        refused(rerank(*command, "-m", "x/y"), 2, "model was None and is now 'x/y'")
        written(source, rows(4))
        refused(rerank(*command), 2, "another input, or the input has changed", "--restart")
    with slow() as server:
        result = rerank(source, target, "--base-url", server.url, "--restart")
        assert result.exit_code == 0
        assert asked(server) == {f"q{index}": 1 for index in range(4)}
    complete(target, 4)
    refused(rerank(*command), 2, "out.jsonl: it already exists", "--restart")


def test_rows_that_fail(tmp_path: Path):
    """They go to a file as they were, the rest to the output, the exit code is 1, and the file can be fed back in."""
    source, target = written(tmp_path / "in.jsonl", rows(10)), tmp_path / "out.jsonl"

    def picky(request: Sent) -> Script:
        bad = request.json["query"] in ("q3", "q7")
        yield answer(400, envelope(400, "not this one")) if bad else honest(request)

    with serving(picky) as server:
        result = rerank(source, target, "--base-url", server.url)
    failed = tmp_path / "out.jsonl.failed.jsonl"
    assert result.exit_code == 1
    assert "10 of 10 rows are finished, 2 of them failed" in result.stderr
    assert "out.jsonl.failed.jsonl, which can be the next IN: 2 by BadRequestError (400 Bad" in result.stderr
    assert [row["id"] for row in lines(target)] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert [{key: row[key] for key in ("id", "query", "documents")} for row in lines(failed)] == [
        rows(10)[3],
        rows(10)[7],
    ]
    assert lines(failed)[0]["rerank_error"]["type"] == "BadRequestError"
    assert lines(failed)[0]["rerank_error"]["status"] == 400
    assert "not this one" in lines(failed)[0]["rerank_error"]["message"]

    with slow() as server:
        assert rerank(failed, tmp_path / "again.jsonl", "--base-url", server.url).exit_code == 0
    assert [row["id"] for row in lines(tmp_path / "again.jsonl")] == [3, 7]
    assert "rerank_error" not in lines(tmp_path / "again.jsonl")[0]


def test_max_cost(tmp_path: Path):
    """The job stops before it costs more, what earlier runs of it cost included, and goes on when it may cost more."""
    source, target = written(tmp_path / "in.jsonl", rows(10)), tmp_path / "out.jsonl"

    def priced(request: Sent) -> Script:
        yield answer(200, body_of((2, 0.9), (1, 0.8), (0, 0.7), usage={"cost": 0.5}))

    with serving(priced) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", 2)
        refused(rerank(*command, "--max-cost", 2), 1, "max_cost is", "4 of 10 rows are finished, cost $2")
        refused(rerank(*command, "--max-cost", 2), 1, "--max-cost is reached", "raise it to continue")
        result = rerank(*command, "--max-cost", 3)
        assert (result.exit_code, "6 of 10 rows are finished, cost $3" in result.stderr) == (1, True)
        result = rerank(*command)
        assert (result.exit_code, "10 of 10 rows are finished, cost $5" in result.stderr) == (0, True)
        assert set(asked(server).values()) == {1}
    complete(target, 10)


@pytest.mark.parametrize(
    ("cost", "limit", "fits"),
    [
        (0.1, 0.3, 3),
        (0.1, 1.0, 10),
        (0.1, 0.1 + 0.2, 3),
        (0.7, 2.1, 3),
        (0.3, 1.0, 3),
        (0.29, 0.3, 1),
        (0.25, 0.25, 1),
    ],
)
def test_max_cost_again(cost: float, limit: float, fits: int, tmp_path: Path):
    """A job that has reached its limit, or would pass it with its next row, makes no request when it is run again."""
    source, target = written(tmp_path / "in.jsonl", rows(12)), tmp_path / "out.jsonl"

    def priced(request: Sent) -> Script:
        yield answer(200, body_of((2, 0.9), (1, 0.8), (0, 0.7), usage={"cost": cost}))

    with serving(priced) as server:
        command = (source, target, "--base-url", server.url, "--concurrency", 1, "--max-cost", limit)
        for _ in range(3):
            result = rerank(*command)
            assert (result.exit_code, result.stdout) == (1, "")
            assert f"{fits} of 12 rows are finished" in result.stderr
            assert "raise" in result.stderr.lower()
            assert len(server.requests) == fits


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list open files")
def test_a_job_that_stops_leaves_nothing_open(tmp_path: Path):
    """The error that stopped it may be kept, and with it the frames that have read IN."""
    source, target = written(tmp_path / "in.jsonl", rows(12)), tmp_path / "out.jsonl"

    def priced(request: Sent) -> Script:
        yield answer(200, body_of((2, 0.9), (1, 0.8), (0, 0.7), usage={"cost": 0.1}))

    with serving(priced) as server:
        kept = rerank(source, target, "--base-url", server.url, "--concurrency", 1, "--max-cost", 0.3)
    opened = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    assert kept.exit_code == 1
    assert str(source) not in opened


def test_documents_without_a_score(tmp_path: Path):
    """Documents that came back without a score are counted at the end, those of earlier runs too; it is no failure."""
    source, target = written(tmp_path / "in.jsonl", rows(5)), tmp_path / "out.jsonl"

    def dropping(request: Sent) -> Script:
        number = int(request.json["query"][1:])
        yield answer(200, body_of(*((index, 0.5) for index in range(min(number, 3)))))

    with serving(dropping) as server:
        result = rerank(source, target, "--base-url", server.url)

    assert (result.exit_code, result.stdout) == (0, "")
    assert (
        "rerank: 6 documents of 3 rows came back without a score and are not in their rankings\n"
        in result.stderr
    )
    assert "ranking.unranked" not in result.stderr
    assert [len(row["ranking"]) for row in lines(target)] == [0, 1, 2, 3, 3]


def test_an_outage_ends_the_run(tmp_path: Path):
    """If row after row fails by a passing fault, the run stops early; once it has passed, the rows are ranked."""
    number = 1000
    source, target = written(tmp_path / "in.jsonl", rows(number)), tmp_path / "out.jsonl"
    mended = threading.Event()
    journal = target.with_name("out.jsonl.part")

    def script(request: Sent) -> Script:
        there = mended.is_set() or int(request.json["query"][1:]) < 100
        while not there and len(journal.read_bytes().splitlines()) < 1 + 100:  # a success ends an outage
            yield 0.01
        yield honest(request) if there else answer(500, envelope(500, "no"), headers={"Retry-After": "0"})

    with serving(script) as server:
        command = (source, target, "--base-url", server.url)
        says = ("stopped after many temporary failures in a row: 500", "100 of 1,000 rows are finished, cost")
        refused(rerank(*command), 1, *says, "run the same command again to continue")
        assert len(asked(server)) < 200
        mended.set()
        assert rerank(*command).exit_code == 0
    complete(target, number)


def test_a_few_that_fail_by_what_may_pass(tmp_path: Path):
    """They are rows that failed, where others did not; where none was ever ranked, nothing is finished and no output made."""
    source, target = written(tmp_path / "in.jsonl", rows(10)), tmp_path / "out.jsonl"
    bad = {"q3", "q9"}

    def script(request: Sent) -> Script:
        failing = request.json["query"] in bad
        yield answer(500, envelope(500, "no"), headers={"Retry-After": "0"}) if failing else honest(request)

    with serving(script) as server:
        result = rerank(source, target, "--base-url", server.url)
        assert (result.exit_code, len(lines(target))) == (1, 8)
        failed = lines(tmp_path / "out.jsonl.failed.jsonl")
        assert [(row["id"], row["rerank_error"]["status"]) for row in failed] == [(3, 500), (9, 500)]
        command = (tmp_path / "out.jsonl.failed.jsonl", tmp_path / "again.jsonl", "--base-url", server.url)
        refused(
            rerank(*command), 1, "500", "0 of 2 rows are finished", "run the same command again to continue"
        )
        bad.clear()
        assert rerank(*command).exit_code == 0
    assert [row["id"] for row in lines(tmp_path / "again.jsonl")] == [3, 9]


def test_max_cost_where_no_cost_is_told(tmp_path: Path):
    """A limit that has no effect, as the server reports no cost, is reported once."""
    source, target = written(tmp_path / "in.jsonl", rows(10)), tmp_path / "out.jsonl"
    with slow(0) as server:
        result = rerank(source, target, "--base-url", server.url, "--max-cost", 2)
    assert result.exit_code == 0
    assert result.stderr.count("--max-cost has no effect") == 1


# Formats


def test_from_each_format_to_each(tmp_path: Path):
    """Rows come out of JSON lines, CSV and Parquet, and go into each, with all columns and the same ranking."""
    arrow = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `batch` is not installed")
    given = [
        {
            "id": index,
            "query": 'blue, "sky"\nred',
            "documents": ["red", "blue sky", "é"],
            "note": None if index else "n",
        }
        for index in range(300)
    ]
    sources = {name: tmp_path / f"in.{name}" for name in FORMATS}
    written(sources["jsonl"], given)
    parquet.write_table(arrow.Table.from_pylist(given), sources["parquet"])
    with sources["csv"].open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(given[0])
        writer.writerows(
            [row["id"], row["query"], json.dumps(row["documents"]), row["note"]] for row in given
        )

    def read(path: Path) -> list[dict[str, Any]]:
        if path.suffix == ".parquet":
            return parquet.read_table(path).to_pylist()
        if path.suffix == ".jsonl":
            return lines(path)
        with path.open(encoding="utf-8", newline="") as file:
            return [{**row, "ranking": json.loads(row["ranking"])} for row in csv.DictReader(file)]

    for name, source in sources.items():
        for other in FORMATS:
            target = tmp_path / f"{name}-to.{other}"
            assert rerank(source, target, "--local", "--with-documents").exit_code == 0
            found = read(target)
            assert [int(row["id"]) for row in found] == list(range(300))
            assert [hit["index"] for hit in found[0]["ranking"]] == [1, 0, 2]
            assert [hit["document"] for hit in found[0]["ranking"]] == ["blue sky", "red", "é"]
            assert found[0]["query"] == given[0]["query"]
            assert found[0]["model"].startswith("local/")
            assert (found[0]["note"], found[1]["note"]) in (("n", None), ("n", ""))
            assert "documents" not in found[0]
    kept = tmp_path / "kept.parquet"
    assert rerank(sources["parquet"], kept, "--local", "--keep-documents", "--prefix", "r_").exit_code == 0
    assert parquet.read_table(kept).to_pylist()[0]["documents"] == ["red", "blue sky", "é"]
    assert set(parquet.read_table(kept).to_pylist()[0]["r_ranking"][0]) == set(PLACE)


def test_labels(tmp_path: Path):
    """With labels, nDCG@10 and MRR@10 are told before and after; rows without labels count in neither."""
    pytest.importorskip("pytrec_eval", reason="the extra `batch` is not installed")
    given = [
        {"query": "blue", "documents": ["red", "blue"], "relevance": [0, 1]},
        {"query": "blue", "documents": ["blue", "red", "green"], "relevance": [0, 0, 2]},
        {"query": "blue", "documents": ["blue"], "relevance": None},
    ]
    result = rerank(written(tmp_path / "in.jsonl", given), tmp_path / "out.jsonl", "--local")

    # By hand: the labelled document is second and third before, first and third after; 1/log2(3) and 1/log2(4) at those.
    assert result.exit_code == 0
    told = re.search(r"2 rows with labels: before (.*); after (.*)\n", result.stderr)
    assert told is not None
    assert told.groups() == ("nDCG@10 0.5655, MRR@10 0.4167", "nDCG@10 0.7500, MRR@10 0.6667")
    assert "rows have labels" not in result.stderr


def test_labels_of_csv(tmp_path: Path):
    """Labels in a cell are a JSON array; a row with an empty cell has none."""
    pytest.importorskip("pytrec_eval", reason="the extra `batch` is not installed")
    source = tmp_path / "in.csv"
    source.write_text('query,documents,relevance\nblue,"[""blue"", ""red""]","[1, 0]"\nblue,"[""red""]",\n')
    result = rerank(source, tmp_path / "out.csv", "--local")
    assert result.exit_code == 0
    assert "1 rows with labels: before nDCG@10 1.0000, MRR@10 1.0000; after nDCG@10 1.0000" in result.stderr


def test_labels_of_rows_that_are_not_ranked(tmp_path: Path):
    """Failed rows do not count, and a row without documents counts as 0."""
    pytest.importorskip("pytrec_eval", reason="the extra `batch` is not installed")
    labels = ([0, 0, 1], [0, 0, 1], [])
    given = [{**row, "relevance": some} for row, some in zip(rows(3), labels, strict=True)]
    given[2]["documents"] = []

    def script(request: Sent) -> Script:
        fails = request.json["query"] == "q1"
        yield answer(400, envelope(400, "no")) if fails else honest(request)

    with serving(script) as server:
        result = rerank(
            written(tmp_path / "in.jsonl", given), tmp_path / "out.jsonl", "--base-url", server.url
        )

    # By hand: the labelled document is third before and first after; each mean is over two rows.
    assert result.exit_code == 1
    says = "2 rows with labels: before nDCG@10 0.2500, MRR@10 0.1667; after nDCG@10 0.5000, MRR@10 0.5000"
    assert says in result.stderr


def test_labels_that_nothing_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without the extra, the rows with labels are counted, with what to install; the job is done."""
    monkeypatch.setitem(sys.modules, "pytrec_eval", None)
    given = [
        {"query": "blue", "documents": ["red", "blue"], "relevance": labels} for labels in ([0, 1], None)
    ]
    result = rerank(written(tmp_path / "in.jsonl", given), tmp_path / "out.jsonl", "--local")

    assert (result.exit_code, (tmp_path / "out.jsonl").exists()) == (0, True)
    assert "1 rows have labels" in result.stderr
    assert "[batch]" in result.stderr


def test_labels_beyond_ten(tmp_path: Path):
    """A relevant document on the eleventh place is on none that counts."""
    pytest.importorskip("pytrec_eval", reason="the extra `batch` is not installed")
    documents = ["red"] * 10 + ["blue"]
    given = [{"query": "blue", "documents": documents, "relevance": [0] * 10 + [1]}]
    result = rerank(written(tmp_path / "in.jsonl", given), tmp_path / "out.jsonl", "--local")

    assert "before nDCG@10 0.0000, MRR@10 0.0000; after nDCG@10 1.0000, MRR@10 1.0000" in result.stderr


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"query": "q", "documents": ["a"], "model": 1}, ["--prefix", "x_"]),
        ({"query": "q", "ranking": ["a"]}, ["--documents-column", "ranking"]),
    ],
)
def test_columns_without_a_collision(tmp_path: Path, given: dict[str, Any], options: list[str]):
    """A prefix, or documents that are not copied, make room for an added column."""
    source = written(tmp_path / "in.jsonl", [given])
    assert rerank(source, tmp_path / "out.jsonl", "--local", *options).exit_code == 0
    (row,) = lines(tmp_path / "out.jsonl")
    prefix = options[1] if options[0] == "--prefix" else ""
    assert [hit["index"] for hit in row[f"{prefix}ranking"]] == [0]
    assert row.get("model") == (1 if prefix else row["model"])


def test_documents_of_ones_own(tmp_path: Path):
    """With --text-field, documents may be objects of any kind, ranked by that field; the ranking has them whole."""
    own = [{"id": 1, "body": "red"}, "green", {"id": 2, "body": "blue", "tags": ["sky"]}]
    source = written(tmp_path / "in.jsonl", [{"query": "blue", "documents": own}])
    command = (source, tmp_path / "out.jsonl", "--with-documents")
    with slow(0) as server:
        assert rerank(*command, "--base-url", server.url, "--text-field", "body").exit_code == 0
        assert server.requests[0].json["documents"] == ["red", "green", "blue"]
    (row,) = lines(tmp_path / "out.jsonl")
    assert [hit["document"] for hit in row["ranking"]] == [own[2], own[1], own[0]]

    (tmp_path / "out.jsonl").unlink()
    refused(rerank(*command, "--local"), 2, "document 0 has id, body", "--text-field")
    refused(
        rerank(*command, "--local", "--text-field", "x"),
        2,
        "document 0 has no field 'x', only id, body; name the",
    )


def test_dry_run(tmp_path: Path):
    """It says what would be sent, sends nothing and leaves nothing."""
    with slow() as server:
        source = written(tmp_path / "in.jsonl", rows(7))
        result = rerank(source, tmp_path / "out.jsonl", "--base-url", server.url, "--dry-run")
        assert server.requests == []
    assert result.exit_code == 0
    assert re.match(
        r"7 rows, 7 requests, 21 documents, \d+ bytes, about 7 search units; nothing", result.stderr
    )
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    written(source, [*rows(2), {"query": " ", "documents": ["a"]}])
    refused(
        rerank(source, tmp_path / "out.jsonl", "--local", "--dry-run"), 2, "in.jsonl, row 3: query is blank"
    )


def _file(name: str, content: str | bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


GOOD = '{"query": "q", "documents": ["a"]}\n'
BAD: dict[str, tuple[Callable[[Path], Path], list[str], str]] = {
    "nothing": (_file("in.jsonl", "\n\n"), [], "it has no rows"),
    "no JSON": (_file("in.jsonl", GOOD + "{"), [], "line 2, column 2: not JSON (Expecting property name"),
    "a list": (_file("in.jsonl", "[]"), [], "it has no rows"),
    "a list of lists": (_file("in.jsonl", "[[]]"), [], "line 1: an array is not a row"),
    "not UTF-8": (_file("in.jsonl", b'{"query": "\xff"}'), [], "line 1, column 12: byte 0xff is not UTF-8"),
    "no query": (
        _file("in.jsonl", '{"q": "x", "documents": []}'),
        [],
        "no column 'query', only q, documents",
    ),
    "no documents": (_file("in.jsonl", GOOD + '{"query": "x"}'), [], "row 2: there is no column 'documents'"),
    "a query of 7": (
        _file("in.jsonl", '{"query": 7, "documents": []}'),
        [],
        "the query (column 'query') is a number, not a string",
    ),
    "a null query": (
        _file("in.jsonl", '{"query": null, "documents": []}'),
        [],
        "the query (column 'query') is null, not a string",
    ),
    "one document": (
        _file("in.jsonl", '{"query": "q", "documents": "a"}'),
        [],
        "(column 'documents') are a string, not an array",
    ),
    "documents in a string beside NaN": (
        _file("in.jsonl", '{"query": "q", "documents": "[\\"a\\"]", "n": NaN}'),
        [],
        "(column 'documents') are a string, not an array",
    ),
    "a document of 7": (
        _file("in.jsonl", '{"query": "q", "documents": [7]}'),
        [],
        "column 'documents': document 0 is a number",
    ),
    "an empty document": (
        _file("in.jsonl", '{"query": "q", "documents": [{"text": null}]}'),
        [],
        "document 0 has neither text nor image",
    ),
    "an empty document of one's own": (
        _file("in.jsonl", '{"query": "q", "documents": [{"a": null}]}'),
        ["--text-field", "x"],
        "document 0 has no field 'x', only nothing; name the right field",
    ),
    "too few labels": (
        _file("in.jsonl", '{"query": "q", "documents": ["a"], "relevance": []}'),
        [],
        "not a list of whole numbers, one for each document",
    ),
    "half a label": (
        _file("in.jsonl", '{"query": "q", "documents": ["a"], "relevance": [0.5]}'),
        [],
        "not a list of whole numbers",
    ),
    **{
        f"a label of {label}": (
            _file("in.jsonl", f'{{"query": "q", "documents": ["a"], "relevance": [{label}]}}'),
            [],
            "not a list of whole numbers",
        )
        for label in ("NaN", "Infinity", '"1"', "null")
    },
    "a row of a later chunk": (
        _file("in.jsonl", GOOD * 300 + '{"query": 7, "documents": []}'),
        [],
        "row 301: the query",
    ),
    "a column of that name": (
        _file("in.jsonl", '{"query": "q", "documents": [], "model": 1}'),
        [],
        "the names of added ones: model",
    ),
    "a column of that name with a prefix": (
        _file("in.jsonl", '{"query": "q", "documents": [], "x_model": 1}'),
        ["--prefix", "x_"],
        "the names of added ones: x_model",
    ),
    "documents of that name that are kept": (
        _file("in.jsonl", '{"query": "q", "ranking": []}'),
        ["--documents-column", "ranking", "--keep-documents"],
        "the names of added ones: ranking",
    ),
    "no such id": (_file("in.jsonl", GOOD), ["--id-column", "no"], "no column 'no'"),
    "an id to know it by": (
        _file("in.jsonl", '{"query": 7, "documents": [], "no": "r7"}'),
        ["--id-column", "no"],
        "row 1 (no 'r7'): the query",
    ),
    "another name": (_file("in.dat", GOOD), [], "its name does not have a known suffix; add --input-format"),
    "CSV without JSON": (
        _file("in.csv", "query,documents\nq,a;b\n"),
        [],
        "line 2: the cell 'documents' is not JSON (a;b)",
    ),
    "CSV without a list": (
        _file("in.csv", "query,documents\nq,\n"),
        [],
        "line 2: the cell 'documents' is not JSON ()",
    ),
    "CSV with a deep list": (
        _file("in.csv", "query,documents\nq," + "[" * 100_000 + "]" * 100_000),
        [],
        "line 2: the cell 'documents' is not JSON",
    ),
    "a deep list": (
        _file("in.jsonl", '{"query": "q", "documents": ' + "[" * 100_000 + "]" * 100_000 + "}"),
        [],
        "line 1: JSON that cannot be read (it is nested too deeply)",
    ),
    "CSV with too few cells": (
        _file("in.csv", "query,documents\nq\n"),
        [],
        "the row has 1 cells but the header has 2",
    ),
    "CSV with two of a name": (_file("in.csv", "query,query\n"), [], "two columns are named 'query'"),
    "broken CSV": (_file("in.csv", 'query,documents\n"q,'), [], "line 2: not CSV (unexpected end of data)"),
    "no Parquet": (_file("in.parquet", "PAR"), [], "not Parquet"),
    "several types for Parquet": (
        _file("in.jsonl", GOOD[:-2] + ', "n": 1}\n' + GOOD[:-2] + ', "n": "x"}'),
        ["--output-format", "parquet"],
        "row 2: Parquet cannot hold \"x\" in the column 'n' (it contains a number and a string",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(tmp_path: Path, name: str):
    """An impossible job is reported in one line with its location, before anything is sent or written: exit code 2."""
    if "arquet" in name:
        pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
    make, options, says = BAD[name]
    source = make(tmp_path)
    refused(rerank(source, tmp_path / "out.jsonl", "--base-url", "http://127.0.0.1:9", *options), 2, says)
    assert list(tmp_path.iterdir()) == [source]


def test_bad_options(tmp_path: Path):
    """Options that can never work are told before anything is read."""
    source = written(tmp_path / "in.jsonl", rows(1))
    for name in ("", ".part", ".failed.jsonl", ".part.out", ".part.failed"):
        own = written(tmp_path / f"in.jsonl{name}", rows(1))
        command = (own, source, "--local", "--restart", "--input-format", "jsonl")
        refused(rerank(*command), 2, "this run would write or remove it; name another OUT")
        assert lines(own) == rows(1)
        own.unlink()
    written(source, rows(1))
    refused(rerank(source, tmp_path / "out", "--local"), 2, "add --output-format")
    refused(rerank(tmp_path / "no.jsonl", tmp_path / "out.jsonl", "--local"), 2, "does not exist")
    says = "it cannot be written: No such file or directory; fix that and run the same command again"
    refused(rerank(source, tmp_path / "no" / "out.jsonl", "--local"), 1, says)
    refused(
        rerank(source, tmp_path / f"{'o' * 300}.jsonl", "--local"), 1, "cannot be written: File name too long"
    )
    refused(
        rerank(source, "-", "--local", "--output-format", "jsonl"), 2, "resume standard output; name a file"
    )
    written(tmp_path / "out.jsonl.failed.jsonl", rows(1))
    refused(rerank(source, tmp_path / "out.jsonl", "--local"), 2, "out.jsonl.failed.jsonl: it already exists")
    (tmp_path / "out.jsonl.failed.jsonl").unlink()
    refused(rerank(source, tmp_path / "out.jsonl"), 2, "no API key")
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe.jsonl")
        says = "is a pipe or a device, "
        refused(rerank(tmp_path / "pipe.jsonl", tmp_path / "out.jsonl", "--local"), 2, says)
        refused(rerank(source, tmp_path / "pipe.jsonl", "--local", "--restart"), 2, says)
    (tmp_path / "out.jsonl.part").write_text("a file of mine\n")
    refused(rerank(source, tmp_path / "out.jsonl", "--local"), 2, "is not a journal")
    assert (tmp_path / "out.jsonl.part").read_text() == "a file of mine\n"


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    "option",
    [
        "--query-column",
        "--documents-column",
        "--text-field",
        "--id-column",
        "--prefix",
        "--model",
        "--base-url",
        "--user",
        "--provider",
    ],
)
def test_options_that_are_not_text(tmp_path: Path, option: str, form: str):
    """Bytes of the command line that are not UTF-8 are refused by the name of the option, before IN is read."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
    source = _file("in.jsonl", "not JSON")(tmp_path)
    value = '{"only": ["a\udcff"]}' if option == "--provider" else "a\udcff"
    result = rerank(source, tmp_path / f"out.{form}", "--local", option, value)
    refused(result, 2, f"{option}: '\\udcff' is a lone surrogate, which is not a character; pass UTF-8")
    assert list(tmp_path.iterdir()) == [source]


def test_an_input_that_changes_meanwhile(tmp_path: Path):
    """Rows that came, went or became none while it was ranked make no output: it is told, and what is finished is kept."""
    job = job_of(tmp_path)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        journal.record(FinishedRow(0, [(0, 0.5)]))
        written(job.source, rows(9))
        assert [row.row for row in jobs.requests(job, journal, None)] == [1, 2]
        written(job.source, [rows(1)[0], {"query": 7, "documents": []}])
        with pytest.raises(BadBatch, match=r"row 2: the query .* is a number"):
            list(jobs.requests(job, journal, None))
        with pytest.raises(BadBatch, match="has changed since it was read"):
            jobs.finish(job, found, journal)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl.part"]


def test_an_input_that_changes_while_the_output_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An output of two versions of IN is not moved to its name."""
    source, flushed = written(tmp_path / "in.jsonl", rows(3)), jobs.flushed

    def changing(file: Any) -> None:
        flushed(file)
        written(source, rows(4))

    monkeypatch.setattr(jobs, "flushed", changing)
    result = rerank(source, tmp_path / "out.jsonl", "--local")
    refused(result, 2, "in.jsonl: it has changed since it was read; restore it")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", "out.jsonl.part"]


@posix
def test_the_output_is_on_the_disk_before_the_journal_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each file is flushed to the disk before it gets its name, and then its directory, while the journal is there."""
    source, target = written(tmp_path / "in.jsonl", rows(2)), tmp_path / "out.jsonl"
    failed, journal = target.with_name("out.jsonl.failed.jsonl"), target.with_name("out.jsonl.part")
    sync, synced = os.fsync, list[tuple[int, bool, bool, bool]]()

    def recording(number: int) -> None:
        sync(number)
        synced.append((os.fstat(number).st_ino, failed.exists(), target.exists(), journal.exists()))

    def picky(request: Sent) -> Script:
        fails = request.json["query"] == "q1"
        yield answer(400, envelope(400, "no")) if fails else honest(request)

    monkeypatch.setattr(os, "fsync", recording)
    with serving(picky) as server:
        assert rerank(source, target, "--base-url", server.url).exit_code == 1
    assert (target.stat().st_ino, False, False, True) in synced
    assert (failed.stat().st_ino, False, False, True) in synced
    assert synced[-1] == (tmp_path.stat().st_ino, True, True, True)


@posix
def test_failed_rows_get_their_name_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The output is the last file that gets its name, as it is the sign that a job is complete."""
    source, target = written(tmp_path / "in.jsonl", rows(1)), tmp_path / "out.jsonl"
    order: list[str] = []
    replace = Path.replace

    def recording(path: Path, other: Path) -> Path:
        order.append(other.name)
        return replace(path, other)

    monkeypatch.setattr(Path, "replace", recording)
    with serving(lambda _: iter([answer(400, envelope(400, "no"))])) as server:
        assert rerank(source, target, "--base-url", server.url).exit_code == 1
    assert order == ["out.jsonl.failed.jsonl", "out.jsonl"]


def test_top_n(tmp_path: Path):
    """--top-n is sent with each row, and limits its ranking."""
    source = written(tmp_path / "in.jsonl", rows(2))
    with slow(0) as server:
        assert rerank(source, tmp_path / "out.jsonl", "-n", 2, "--base-url", server.url).exit_code == 0
        assert [request.json["top_n"] for request in server.requests] == [2, 2]
    assert [len(row["ranking"]) for row in lines(tmp_path / "out.jsonl")] == [2, 2]


def test_a_journal_of_an_older_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A field of a hit that the journal does not have is null in the output."""
    job = job_of(tmp_path, 1)
    found = jobs.survey(job)
    with opened(job, found, restart=False) as journal:
        journal.record(FinishedRow(0, [(2, 0.5)]))
        monkeypatch.setattr(jobs, "PLACE", ("index", "score", "new"))
        jobs.finish(job, found, journal)
    assert lines(job.target)[0]["ranking"] == [{"index": 2, "score": 0.5, "new": None}]


def test_progress_without_a_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Without a terminal, a line now and then reports the progress."""
    job = job_of(tmp_path, 4)
    found = jobs.survey(job)
    state = Progress(
        done=1, failed=0, cost=0.5, unknown=0, search_units=1, total_tokens=0, elapsed=2.0, limit=8
    )
    with opened(job, found, restart=False) as journal:
        journal.record(FinishedRow(0, [(0, 0.5)], cost=0.5))
        run = batch._BatchRun(job, found, journal)
        run._line(every=60.0)(state)
        run._line(every=0.0)(state)
    told = capsys.readouterr().err
    assert told == "rerank: 1 of 4 rows are finished, cost $0.5, 0.5 rows/s, about 6 s left\n"


@posix
def test_progress_on_a_terminal(tmp_path: Path):
    """On a terminal a bar shows how many rows are finished, the rate, the cost and the time left."""
    import pty

    control, terminal = pty.openpty()
    source, target = written(tmp_path / "in.jsonl", rows(40)), tmp_path / "out.jsonl"
    with slow(0.02) as server:
        command = [sys.executable, "-c", MAIN, "batch", str(source), str(target), "--base-url", server.url]
        environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm"}
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=terminal, env=environment)
        os.close(terminal)
        shown = b""
        try:
            while data := os.read(control, 4096):
                shown += data
        except OSError:  # as Linux says that the other end is closed
            pass
        finally:
            process.kill()
            process.wait()
            os.close(control)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"40/40 [\d.]+ rows/s · cost unknown · 0 failed", text)
    assert "out.jsonl is written" in text
    complete(target, 40)


def test_memory_is_eight_bytes_a_row(tmp_path: Path):
    """A journal of a million rows is known by eight megabytes of places."""
    with (tmp_path / "j").open("w+b") as file:
        journal = Journal(tmp_path / "j", file, 10**6)
        assert journal._places.itemsize * len(journal._places) == 8 * 10**6
        assert 999_999 not in journal


def test_what_is_kept_can_be_read_again():
    """A failure that is none of the server's is kept with its class and message."""
    assert msgspec.json.decode(msgspec.json.encode(jobs.error_columns(ValueError("x")))) == {
        "type": "ValueError",
        "message": "x",
        "status": None,
    }
