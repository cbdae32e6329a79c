"""The adapter for Ray Data, on a small Ray of this machine and against servers on loopback."""

import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from shells import KEY
from vendors import VENDORS, script

pytest.importorskip(
    "ray", reason="Ray is not installed here; `nox -s 'frameworks(framework=\"ray\")'` has it"
)

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

import pyarrow as pa
import ray
import ray.data
from pyarrow import parquet

from openrouter_rerank import BadRequestError, Retries, Usage
from openrouter_rerank.integrations.ray import Job, OpenRouterRerank
from openrouter_rerank.ledger import Totals
from openrouter_rerank.testing import FakeReranker, answer, envelope, serving

# Ray's own modules warn of what they do themselves.
pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{kind}" for kind in ("DeprecationWarning", "ResourceWarning", "UserWarning"))
)

COST = 0.25


@pytest.fixture(scope="module")
def session():
    """Start a Ray of two processors that is reachable from this machine only."""
    # What Ray makes sockets in has to have a short name.
    directory = Path(os.path.realpath(os.environ.get("TMPDIR", "/tmp"))) / f"ray-{os.getpid()}"  # noqa: S108
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
        object_store_memory=100 * 2**20,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(directory),
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield directory
    ray.shutdown()
    shutil.rmtree(directory, ignore_errors=True)


class Fake:
    """A fake on loopback: it answers after a moment, and knows how many requests were under way, when, and for what."""

    def __init__(self, script=None, pause=0.0, together=1, **settings):
        self.peak = self.now = 0
        self.came = []
        self.queries = []
        self.lock = threading.Lock()
        self.fake = FakeReranker(**settings)
        self.script = script
        self.pause = pause
        self.together = together  # of which the first answer waits to be under way at a time

    def __call__(self, request):
        """Handle a request."""
        with self.lock:
            self.came.append(time.monotonic())
            self.queries.append(request.json["query"])
            self.now += 1
            self.peak = max(self.peak, self.now)
        if self.pause:
            yield self.pause
        while self.peak < self.together:
            yield 0.01
        with self.lock:  # before the answer, after which the next one may come
            self.now -= 1
        yield from (self.script and self.script(request)) or self.fake.play(request)


def rows(count, **more):
    """So many rows, the query of each being its number, which its second document has."""
    documents = ["no number", "the number {}", "another {}"]
    return [
        {"id": row, "query": f"number {row}", "documents": [text.format(row) for text in documents], **more}
        for row in range(count)
    ]


def blocks(count, size=5):
    """Return a data set of rows in blocks of that size."""
    return ray.data.from_items(rows(count)).repartition(count // size)


def by_id(dataset):
    """Return the rows by their id."""
    return sorted(dataset.take_all(), key=lambda row: row["id"])


def test_ranked(session):
    """Each row has its columns, the ranking and what it was billed by."""
    fake = FakeReranker(
        billed=Usage(cost=COST, search_units=1, total_tokens=9), served_model="m", served_provider="p"
    )
    with serving(fake.play) as server:
        job = Job(base_url=server.url, api_key=KEY, top_n=2, model="a/b", with_documents=True)
        found = by_id(job.rank(blocks(20)))

    assert [row["id"] for row in found] == list(range(20))
    assert found[7].pop("response_id").startswith("gen-rerank-")
    assert found[7] == {
        "id": 7,
        "query": "number 7",
        "documents": ["no number", "the number 7", "another 7"],
        "indices": [1, 0],
        "scores": [1.0, 0.5],
        "ranked_documents": ["the number 7", "no number"],
        "model": "m",
        "provider": "p",
        "cost": COST,
        "search_units": 1,
        "total_tokens": 9,
        "rerank_error": None,
    }
    assert {call.options["model"] for call in fake.calls} == {"a/b"}
    assert job.totals() == Totals(
        calls=20, attempts=20, search_units=20, total_tokens=180, cost=20 * COST, unknown=0
    )


def test_a_dialect(session, monkeypatch):
    """A job ranks in a dialect, and sends its server neither OpenRouter's key nor its default model."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with serving(script(VENDORS["tei"])) as server:
        job = Job(dialect="tei", base_url=server.url, top_n=1, truncate=True)
        found = by_id(job.rank(blocks(10)))

    assert [row["indices"] for row in found] == [[2]] * 10
    assert [row["total_tokens"] for row in found] == [11] * 10
    assert all(request.json.keys() == {"query", "texts", "truncate"} for request in server.requests)
    assert not any("authorization" in request.headers for request in server.requests)
    assert job.totals().total_tokens == 110


def test_another_dialect(session):
    """A job ends where the server answers in another dialect, which may bill each row, and every row says so."""
    with serving(script(VENDORS["voyage"])) as server:
        found = by_id(Job(base_url=server.url, api_key="", concurrency=2).rank(blocks(60), batch_size=5))

    assert len(found) == 60
    assert all("pass dialect='voyage'" in row["rerank_error"]["message"] for row in found)
    assert len(server.requests) < 30


def test_unknown_usage(session):
    """What the server does not say is null, and no failure."""
    with serving(FakeReranker().play) as server:
        [row] = Job(base_url=server.url, api_key="").rank(blocks(1, 1)).take_all()

    assert [row[name] for name in ("cost", "search_units", "total_tokens", "rerank_error")] == [None] * 4
    assert row["indices"] == [1, 0, 2]


def test_structs(session):
    """Documents are structs with text and image, of which what is null is not sent; or any, by one field."""
    image = "https://images.example.com/a.png"
    fake = FakeReranker()
    mixed = [{"text": "the number", "image": None}, {"text": None, "image": image}]
    records = [{"id": 1, "body": "no"}, {"id": 2, "body": "number"}]
    with serving(fake.play) as server:
        job = Job(base_url=server.url, api_key="")
        job.rank(ray.data.from_items([{"query": "number", "documents": mixed}])).take_all()
        job = Job(base_url=server.url, api_key="", key="body", with_documents=True, prefix="r_")
        [row] = job.rank(ray.data.from_items([{"query": "number", "documents": records}])).take_all()

    assert fake.calls[0].documents == [{"text": "the number"}, {"image": image}]
    assert fake.calls[1].documents == ["no", "number"]
    assert (row["r_indices"], row["r_ranked_documents"]) == ([1, 0], records[::-1])


def test_requests_under_way(session):
    """No more requests than concurrency are under way over all actors, and as many as that are."""
    with serving(fake := Fake(pause=0.05, together=3)) as server:
        found = Job(base_url=server.url, api_key="", concurrency=3).rank(blocks(60), actors=3, batch_size=5)

        assert sum(row["rerank_error"] is None for row in found.take_all()) == 60
    assert fake.peak == 3


def test_rpm(session):
    """Requests of all actors are spaced as requests_per_minute says."""
    with serving(fake := Fake()) as server:
        Job(base_url=server.url, api_key="", requests_per_minute=60 / 0.5).rank(
            blocks(40), actors=3, batch_size=5
        ).materialize()

    # The first may be noted late, on a busy machine by some of the 20 seconds.
    assert fake.came[-1] - fake.came[0] > 0.5 * 39 * 0.5


def test_a_refusal_is_shared(session):
    """When one actor is refused, none sends for as long as the server says, and no row fails by it."""
    refused = []

    def script(request):
        if len(fake.came) < 10 or refused:
            return None
        refused.append(time.monotonic())
        return [answer(429, envelope(429, "slow"), headers={"Retry-After": "15"})]

    with serving(fake := Fake(script, pause=0.05)) as server:
        job = Job(base_url=server.url, api_key="", concurrency=4)
        found = job.rank(blocks(60), actors=3, batch_size=5).take_all()

    assert sum(row["rerank_error"] is None for row in found) == 60
    # Some are sent until all actors know of it. If they did not wait, most of the other 50 would come.
    assert sum(refused[0] < at < refused[0] + 14.5 for at in fake.came) < 25


def test_max_cost(session):
    """All actors together spend max_cost and no more; the rows for which nothing is left are rows with that error."""
    with serving(fake := Fake(billed=Usage(cost=COST))) as server:
        job = Job(base_url=server.url, api_key="", max_cost=5.0)
        found = job.rank(blocks(60), actors=3, batch_size=5).take_all()

    failed = [row for row in found if row["rerank_error"] is not None]
    assert len(fake.came) == 20
    assert (len(found), len(failed), job.totals().cost) == (60, 40, 5.0)
    assert {row["rerank_error"]["type"] for row in failed} == {"BudgetExceededError"}
    assert [failed[0][name] for name in ("indices", "scores", "cost", "model")] == [None] * 4


def test_errors_are_rows(session):
    """What one row has wrong is in that row, and the others are ranked; the rows that failed can be ranked again."""

    def script(request):
        if request.json["query"] == "number 3":
            return [answer(400, envelope(400, "no threes"))]
        return None

    table = rows(6)
    table[1]["query"] = None
    table[2]["documents"] = ["a", None]
    table[4]["documents"] = None
    table[5]["documents"] = []
    with serving(fake := Fake(script)) as server:
        job = Job(base_url=server.url, api_key="")
        ranked = job.rank(ray.data.from_items(table)).materialize()
        found = [row["rerank_error"] for row in by_id(ranked)]
        again = by_id(job.failed(ranked))
        with pytest.raises(ValueError, match="no column indices, scores"):
            job.failed(ray.data.from_items(table[:1]))

    assert [error and (error["type"], error["status"]) for error in found] == [
        None,
        ("TypeError", None),
        ("TypeError", None),
        ("BadRequestError", 400),
        ("TypeError", None),
        None,
    ]
    assert "no threes" in found[3]["message"]
    assert again == table[1:5]
    assert sorted(fake.queries) == ["number 0", "number 3"]


def test_stop_on_error(session, monkeypatch):
    """Asked to, it ends with the first error of a row, and that comes whole out of the actor."""

    def script(request):
        return [answer(400, envelope(400, "no"), headers={"X-Generation-Id": "g7"})]

    with serving(Fake(script)) as server:
        job = Job(base_url=server.url, api_key="", stop_on_error=True)
        monkeypatch.setattr(ray.data.DataContext.get_current(), "raise_original_map_exception", True)
        with pytest.raises(ray.exceptions.RayError) as caught:
            job.rank(blocks(10)).materialize()

    error = caught.value.cause
    assert isinstance(error, BadRequestError)
    assert (error.status, error.request_id, len(error.attempts)) == (400, "g7", 1)


@pytest.mark.parametrize("stop", [False, True])
def test_no_row_can_go_better(session, stop):
    """With a wrong key, of which the server says 401, nothing more is sent, and each row says why."""

    def script(request):
        return [answer(401, envelope(401, "who are you"))]

    with serving(fake := Fake(script)) as server:
        ranked = Job(base_url=server.url, api_key=KEY, concurrency=4, stop_on_error=stop).rank(
            blocks(100), batch_size=5
        )
        if stop:
            with pytest.raises(ray.exceptions.RayError, match="who are you"):
                ranked.materialize()
        else:
            found = ranked.take_all()
            assert len(found) == 100
            assert {row["rerank_error"]["status"] for row in found} == {401}

    assert len(fake.came) < 50


def test_what_is_forbidden_for_one_row(session):
    """A 403 may be about one row's text, and the others are ranked."""

    def script(request):
        return [answer(403, envelope(403, "flagged"))] if request.json["query"] == "number 3" else None

    with serving(Fake(script)) as server:
        found = by_id(Job(base_url=server.url, api_key="", concurrency=1).rank(blocks(10)))

    assert [row["id"] for row in found if row["rerank_error"]] == [3]


REFUSED = [
    pytest.param({}, ValueError, "OPENROUTER_API_KEY", id="no key"),
    pytest.param({"api_key": "", "concurrency": 0}, ValueError, "concurrency", id="concurrency"),
    pytest.param(
        {"api_key": "", "requests_per_minute": 0}, ValueError, "requests_per_minute", id="requests_per_minute"
    ),
    pytest.param({"api_key": "", "max_cost": -1}, ValueError, "max_cost", id="max_cost"),
    pytest.param({"api_key": "", "top_n": 0}, ValueError, "top_n", id="top_n"),
    pytest.param({"api_key": "", "modle": "a/b"}, TypeError, "modle", id="misspelt"),
    pytest.param({"api_key": "", "http_client": 7}, TypeError, "each actor makes its own", id="client"),
    pytest.param({"api_key": "", "verify": ssl.create_default_context()}, TypeError, "a path", id="verify"),
    pytest.param({"api_key": "", "scorer": "lexical"}, ValueError, "local=True", id="scorer"),
    pytest.param({"local": True, "base_url": "http://x.invalid"}, ValueError, "base_url", id="local"),
    pytest.param({"local": True, "dialect": "jina"}, ValueError, "dialect", id="local dialect"),
    pytest.param({"dialect": "tei"}, ValueError, "base_url", id="no address"),
    pytest.param({"dialect": "jina", "api_key": "", "priority": 1}, ValueError, "priority", id="field"),
    pytest.param({"dialect": "voyage", "api_key": ""}, ValueError, "model", id="no model"),
]


@pytest.mark.parametrize(("arguments", "error", "named"), REFUSED)
def test_what_can_never_work(session, arguments, error, named):
    """An argument that can never work is refused when the job is made."""
    with pytest.raises(error, match=named):
        Job(**arguments)


TEXTS = pa.list_(pa.string())
COLUMNS = [
    pytest.param(
        {"q": "x", "documents": ["a"]}, {}, ValueError, "no column 'query', only q, documents", id="query"
    ),
    pytest.param({"query": "x"}, {}, ValueError, "no column 'documents'.*documents_column", id="documents"),
    pytest.param({"query": 7, "documents": ["a"]}, {}, TypeError, "of type int64", id="number"),
    pytest.param({"query": "x", "documents": "a"}, {}, TypeError, "documents are a list", id="text"),
    pytest.param({"query": "x", "documents": [7]}, {}, TypeError, "of type int64", id="numbers"),
    pytest.param(
        {"query": "x", "documents": [{"body": "a"}]}, {}, ValueError, "Name the field.*key", id="struct"
    ),
    pytest.param(
        {"query": "x", "documents": [{"a": "a"}]}, {"key": "b"}, ValueError, "without 'b'", id="field"
    ),
    pytest.param(
        {"query": "x", "documents": ["a"]}, {"key": "b"}, ValueError, "Leave key out", id="no field"
    ),
    pytest.param({"query": "x", "documents": ["a"], "cost": 1}, {}, ValueError, "cost.*prefix", id="taken"),
]


@pytest.mark.parametrize(("row", "arguments", "error", "named"), COLUMNS)
def test_columns_that_are_none(session, row, arguments, error, named):
    """A data set without the columns is refused before anything is ranked."""
    job = Job(local=True, **arguments)

    with pytest.raises(error, match=named):
        job.rank(ray.data.from_items([row]))


def test_columns_that_are_none_in_an_actor(session):
    """`map_batches` with a data set without the columns ends with what is wrong, and nothing is sent."""
    with serving(Fake()) as server:
        job = Job(base_url=server.url, api_key="", query_column="question")
        ranked = blocks(5).map_batches(
            OpenRouterRerank,
            fn_constructor_args=[job],
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=1),
        )
        with pytest.raises(ray.exceptions.RayError, match="no column 'question', only"):
            ranked.materialize()

    assert server.requests == []


def test_the_key_does_not_show(session, server, monkeypatch):
    """The environment's key reaches the actors, and is in nothing that Ray writes or shows of the job."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    job = Job(base_url=server.url, extra_headers={"X-Secret": KEY[::-1]})
    monkeypatch.delenv("OPENROUTER_API_KEY")

    ranked = job.rank(blocks(5))
    assert {row["rerank_error"] for row in ranked.take_all()} == {None}

    assert KEY not in f"{job!r}{job}{ranked!r}{ranked.stats()}"
    written: dict[str, bytes] = {}
    for path in session.rglob("*"):
        # Ray removes and rotates files while it runs.
        with suppress(FileNotFoundError, IsADirectoryError):
            written[str(path)] = path.read_bytes() if path.is_file() else b""
    leaks = [path for path, text in written.items() if KEY.encode() in text or KEY[::-1].encode() in text]
    assert (len(written) > 10, leaks) == (True, [])


@pytest.mark.skipif(sys.platform != "linux", reason="the process of an actor is found in /proc")
@pytest.mark.parametrize("cached", [False, True])
def test_an_actor_dies(session, tmp_path, cached):
    """All rows are ranked though an actor dies, its turns are not lost; what a cache has is not sent again."""
    killed = []

    def script(request):
        with fake.lock:
            if len(fake.came) >= 30 and not killed:
                killed.extend(actors())
                for pid in killed:
                    os.kill(pid, signal.SIGKILL)

    with serving(fake := Fake(script, pause=0.02)) as server:
        cache = tmp_path / "answers" if cached else None
        job = Job(base_url=server.url, api_key="", concurrency=4, cache=cache, retries=Retries(attempts=1))
        found = by_id(job.rank(blocks(100, 50), actors=1, batch_size=50))

    assert killed
    assert [row["rerank_error"] for row in found] == [None] * 100
    again = len(fake.queries) - len(set(fake.queries))
    # What was under way was not remembered: four rows at the most.
    assert (again <= 4) if cached else (again > 20)
    assert job.totals().unknown >= 100


def actors():
    """Return the processes of actors that rank; those of an earlier data set may not have ended yet."""
    return [pid for pid, name in descendants(os.getpid()).items() if "OpenRouterRerank" in name]


def descendants(root):
    """Return the processes that a process has started, and those that they have, each with its name."""
    found, parents = {}, {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = (
                (status.parent / "cmdline").read_bytes(),
                status.read_text().rpartition(")")[2].split(),
            )
        except OSError:
            continue
        parents[int(status.parent.name)] = (int(rest[1]), name.decode(errors="replace"))
    for pid in parents:
        line = [pid]
        while line[-1] in parents:
            line.append(parents[line[-1]][0])
        if root in line[1:]:
            found[pid] = parents[pid][1]
    return found


def test_the_limits_are_gone(session):
    """When the actor that keeps the limits has died, nothing is sent and each row says so."""
    with serving(Fake()) as server:
        job = Job(base_url=server.url, api_key="")
        ranked = job.rank(blocks(20), batch_size=5)
        # All of them: what a data set still ranks would be counted as sent without limits.
        assert {row["rerank_error"] for row in ranked.take_all()} == {None}
        sent = len(server.requests)
        member = OpenRouterRerank(job)
        ray.kill(job.channel._actor)
        table = member(pa.Table.from_pylist(rows(3)))

    assert {error["type"] for error in table.column("rerank_error").to_pylist()} == {"LimiterUnavailable"}
    assert len(server.requests) == sent


def test_types():
    """The columns have the same types whatever is in them, so that all blocks of a data set fit together."""
    from openrouter_rerank.bulk.journal import FinishedRow
    from openrouter_rerank.integrations.ray import tables

    columns = tables.Columns(query="query", documents="documents", key=None, prefix="", with_documents=True)
    table = pa.table({"query": ["q"], "documents": pa.array([["a"]], TEXTS)})
    nothing = tables.with_results(table, [FinishedRow(0)], columns)
    all_there = FinishedRow(
        0,
        ranking=[(0, 1.0)],
        model="m",
        provider="p",
        cost=0.0,
        search_units=1,
        total_tokens=1,
        response_id="i",
    )

    assert nothing.schema == tables.with_results(table, [all_there], columns).schema
    assert nothing.schema.names == ["query", "documents", *columns.added]


def run(*arguments, **environment):
    """Run the command in a process of its own."""
    path = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return subprocess.run(
        [sys.executable, "-m", "openrouter_rerank.integrations.ray", *map(str, arguments)],
        env={**path, **environment},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=900,
    )


def test_the_command(tmp_path):
    """It ranks a Parquet data set into another, says what failed, and ranks that again."""
    broken = [True]

    def script(request):
        return [answer(400, envelope(400, "no"))] if broken and request.json["query"] == "number 3" else None

    source, target, again = tmp_path / "in.parquet", tmp_path / "out", tmp_path / "again"
    parquet.write_table(pa.Table.from_pylist(rows(50)), source, row_group_size=10)
    with serving(Fake(script, billed=Usage(cost=COST))) as server:
        options = ["--base-url", server.url, "-n", 1, "--model", "a/b", "--max-cost", 50, "--actors", 2]
        first = run(source, target, *options, OPENROUTER_API_KEY=KEY)
        broken.clear()
        second = run(target, again, *options, "--failed", OPENROUTER_API_KEY=KEY)

    found = parquet.read_table(target).sort_by("id").to_pylist()
    assert (first.returncode, second.returncode) == (1, 0), first.stderr + second.stderr
    assert "50 rows are in" in first.stderr
    assert "1 of them failed, cost $12.25" in first.stderr
    assert [row["indices"] for row in found] == [[1]] * 3 + [None] + [[1]] * 46
    assert [row["id"] for row in parquet.read_table(again).to_pylist()] == [3]
    assert KEY not in first.stderr + first.stdout


@pytest.mark.parametrize(
    ("options", "named"),
    [
        pytest.param([], "no API key: set OPENROUTER_API_KEY", id="no key"),
        pytest.param(
            ["--local", "--query-column", "question"], "no column 'question', only id, query", id="column"
        ),
        pytest.param(
            ["--local", "--base-url", "http://x.invalid"],
            "--local: cannot be combined with --base-url",
            id="both",
        ),
        pytest.param(["--local", "--concurrency", "0"], "--concurrency", id="concurrency"),
        pytest.param(["--local", "--address", "ray://127.0.0.1:1"], "Ray cannot be reached", id="address"),
    ],
)
def test_bad_input_to_the_command(tmp_path, options, named):
    """What can never work is one line and exit code 2."""
    source = tmp_path / "in.parquet"
    parquet.write_table(pa.Table.from_pylist(rows(3)), source)

    done = run(source, tmp_path / "out", *options)

    assert (done.returncode, named in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "out").exists()
    assert len(re.findall("^rerank: ", done.stderr, re.MULTILINE)) == 1


DOCS = Path(__file__).parents[3] / "docs" / "ray.md"
EXAMPLES = """
import doctest, sys
from openrouter_rerank.integrations.ray import dataset as ray
from ray.data import DataContext

DataContext.get_current().enable_progress_bars = False  # without tqdm Ray prints advice about it
ran = doctest.testmod(ray)
sys.exit(str(ran) if ran.failed or ran.attempted < 9 else 0)
"""


def run_python(code: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which may start a Ray."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=directory,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=900,
    )


def test_examples(tmp_path):
    """The examples of the docstrings print what they show."""
    done = run_python(EXAMPLES, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")
def test_the_page(tmp_path):
    """The programs of the page, run one after the other, print what it shows."""
    page = DOCS.read_text(encoding="utf-8")
    code, shown = (
        re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for language in ("python", "text")
    )

    done = run_python("\n".join(code), tmp_path)

    expected = "".join(shown).splitlines()
    printed = [
        line for line in done.stdout.splitlines() if line in expected
    ]  # Ray prints its progress between them
    assert (done.returncode, printed) == (0, expected), done.stdout + done.stderr


@pytest.mark.skipif(not DOCS.is_file(), reason="there are no docs away from the repository")
def test_the_documented_command(tmp_path):
    """The command of the docs that needs no key ranks the data set that is there."""
    [command] = re.findall("^    python (-m .* --local .*)$", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    parquet.write_table(pa.Table.from_pylist(rows(10)), tmp_path / "in.parquet")

    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=900,
    )

    assert (done.returncode, done.stderr.count("10 rows are in out, cost $0")) == (0, 1), done.stderr
    assert parquet.read_table(tmp_path / "out").column("rerank_error").null_count == 10
