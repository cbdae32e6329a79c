"""Compare the cost of a call with different clients, in one run against a canned server.

    python benchmarks/speed.py [--rounds N] [--sizes 10,100,1000] [--json FILE] [--markdown FILE] [--svg FILE]
                               [--keep] [--compare [VERSION]]

Method: in each round, the contenders take turns, so that other load affects all of them alike. Each turn begins with a call that
is not counted. The result of a round is the median of its calls, and the result of the run is the median of its rounds. The table
has the median and the quartiles of the ratios within each round; a change smaller than the interquartile range is noise. Garbage is
collected before each turn, so that no contender pays for another one's.
"""

import argparse
import asyncio
import gc
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    ExitStack,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple, cast

import history
import httpx
import picture
from canned_server import MODEL, QUESTION, texts

KEY = f"sk-or-v1-{0:064}"
"""A key as long as those of OpenRouter."""
SHORT_KEY = "EMPTY"
"""A typical key for a local server that needs no key."""
BASELINE = "httpx + json"
FACADE = "openrouter_rerank"
CONCURRENCY = 16
ASYNC_SIZES = (10, 100)
ASYNC_CALLS = 160
LEAST_STARTS = 15
FAILED = "FAILED"

# A call returns the results of its library: mappings or objects with an index.
Call = Callable[[], Sequence[Any]]
AsyncCall = Callable[[], Awaitable[Sequence[Any]]]


def post_arguments(root: str, documents: list[str]) -> dict[str, Any]:
    """Return the arguments of `post`, as written without a library for the API."""
    return {
        "url": f"{root}/api/v1/rerank",
        "json": {"model": MODEL, "query": QUESTION, "documents": documents},
        "headers": {"Authorization": f"Bearer {KEY}"},
    }


def results_of(response: httpx.Response) -> list[Any]:
    """Return the results of a response, as read without a library for the API."""
    results: list[Any] = response.json()["results"]
    return results


@contextmanager
def raw_httpx(root: str, documents: list[str]) -> Generator[Call]:
    """Rank with raw httpx and json."""
    with httpx.Client() as client:
        yield lambda: results_of(client.post(**post_arguments(root, documents)))


@asynccontextmanager
async def raw_httpx_async(root: str, documents: list[str]) -> AsyncGenerator[AsyncCall]:
    """Rank with raw httpx and json, async."""
    async with httpx.AsyncClient() as client:

        async def call() -> Sequence[Any]:
            return results_of(await client.post(**post_arguments(root, documents)))

        yield call


@contextmanager
def facade(root: str, documents: list[str], key: str = KEY) -> Generator[Call]:
    """Rank with our facade: results are validated and joined with the documents."""
    from openrouter_rerank import Reranker  # noqa: PLC0415 - may be missing if only others are measured

    with Reranker(key, base_url=f"{root}/api/v1", model=MODEL) as reranker:
        yield lambda: reranker.rerank(QUESTION, documents)


@asynccontextmanager
async def facade_async(root: str, documents: list[str]) -> AsyncGenerator[AsyncCall]:
    """Rank with our facade, async."""
    from openrouter_rerank import AsyncReranker  # noqa: PLC0415 - likewise

    async with AsyncReranker(KEY, base_url=f"{root}/api/v1", model=MODEL) as reranker:
        yield lambda: reranker.rerank(QUESTION, documents)


@contextmanager
def generated(root: str, documents: list[str]) -> Generator[Call]:
    """Rank with our low-level client: responses are validated, including every echo."""
    from openrouter_rerank_api import AuthenticatedClient  # noqa: PLC0415 - likewise
    from openrouter_rerank_api.api.rerank import create_rerank  # noqa: PLC0415 - likewise
    from openrouter_rerank_api.models import RerankRequest  # noqa: PLC0415 - likewise

    with AuthenticatedClient(f"{root}/api/v1", token=KEY) as client:

        def call() -> Sequence[Any]:
            body = RerankRequest(model=MODEL, query=QUESTION, documents=list(documents))
            answer: Any = create_rerank.sync(client=client, body=body)
            results: list[Any] = answer.results
            return results

        yield call


@contextmanager
def openrouter(root: str, documents: list[str]) -> Generator[Call]:
    """Rank with the vendor's SDK."""
    sdk: Any = importlib.import_module("openrouter")
    retries: Any = importlib.import_module("openrouter.utils.retries")
    never = retries.RetryConfig("none", retries.BackoffStrategy(1, 1, 1, 1), retry_connection_errors=False)
    with sdk.OpenRouter(api_key=KEY, server_url=f"{root}/api/v1", retry_config=never) as client:
        yield lambda: client.rerank.rerank(model=MODEL, query=QUESTION, documents=documents).results


@contextmanager
def cohere(root: str, documents: list[str]) -> Generator[Call]:
    """Rank with Cohere's older client, as the path of the newer one is fixed."""
    sdk: Any = importlib.import_module("cohere")
    client = sdk.Client(api_key=KEY, base_url=f"{root}/api")
    never = {"max_retries": 0}
    yield (
        lambda: client.rerank(model=MODEL, query=QUESTION, documents=documents, request_options=never).results
    )


class Contender(NamedTuple):
    """A client to measure, its package, and the goal for its ratio to the baseline."""

    name: str
    package: str
    open: Callable[[str, list[str]], AbstractContextManager[Call]]
    open_async: Callable[[str, list[str]], AbstractAsyncContextManager[AsyncCall]] | None = None
    goal: float | None = None


CONTENDERS = (
    Contender(BASELINE, "httpx", raw_httpx, raw_httpx_async),
    Contender(FACADE, "openrouter_rerank", facade, facade_async, goal=0.6),
    Contender(
        f"{FACADE}, key of {len(SHORT_KEY)} characters",
        "openrouter_rerank",
        partial(facade, key=SHORT_KEY),
        goal=0.6,
    ),
    Contender("openrouter_rerank_api", "openrouter_rerank_api", generated),
    Contender("openrouter", "openrouter", openrouter),
    Contender("cohere", "cohere", cohere),
)


class Figure(NamedTuple):
    """A row of a table: its label, a value per round for each column, and the goal for its ratio."""

    group: str
    name: str
    rounds: dict[str, list[float]]
    ratios: list[float]
    goal: float | None
    at_least: bool = False

    @property
    def verdict(self) -> str:
        """The verdict on the goal, with a note if it is within noise."""
        if self.goal is None:
            return ""
        ratio, (low, _, high) = median(self.ratios), quartiles(self.ratios)
        met = ratio >= self.goal if self.at_least else ratio <= self.goal
        return ("yes" if met else "**no**") + (", within noise" if low <= self.goal <= high else "")


def quartiles(values: list[float]) -> list[float]:
    """Return the three quartiles; a single value is returned three times."""
    return quantiles(values, method="inclusive") if len(values) > 1 else values * 3


def index_of(result: Any) -> int:
    """Return the index of a result of any library."""
    index: int = cast(dict[str, int], result)["index"] if isinstance(result, dict) else result.index
    return index


@contextmanager
def canned() -> Generator[str]:
    """Serve canned responses from a separate process, and yield its URL."""
    command: list[str | Path] = [sys.executable, Path(__file__).with_name("canned_server.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as server:  # noqa: S603 - our own program
        try:
            assert server.stdout  # noqa: S101 - it is the pipe
            yield f"http://127.0.0.1:{int(server.stdout.readline())}"
        finally:
            server.kill()


def checked(name: str, size: int, results: Sequence[Any], best: int) -> None:
    """Raise if a contender returns another number of results, or another best one, than the baseline."""
    if len(results) != size or index_of(results[0]) != best:
        problem = f"{name} returned {len(results)} results for {size} documents, or another best one"
        raise RuntimeError(problem)


def measure_calls(
    address: str, sizes: list[int], rounds: int, contenders: Sequence[Contender]
) -> list[Figure]:
    """Return the wall and CPU times of sequential calls."""
    with ExitStack() as stack:
        calls: dict[tuple[int, str], Call] = {}
        for size in sizes:
            for contender in contenders:
                call = stack.enter_context(contender.open(f"{address}/n/{size}", texts(size)))
                calls[size, contender.name] = call
                best = index_of(calls[size, BASELINE]()[0])
                for _ in range(3):
                    checked(contender.name, size, call(), best)
        # Exclude the imported modules from garbage collection, as no program imports all of these clients.
        gc.collect()
        gc.freeze()
        wall: dict[tuple[int, str], list[float]] = {turn: [] for turn in calls}
        cpu: dict[tuple[int, str], list[float]] = {turn: [] for turn in calls}
        for _ in range(rounds):
            for turn, call in calls.items():
                gc.collect()
                call()
                walls: list[float] = []
                cpus: list[float] = []
                for _ in range(max(5, min(40, 2000 // turn[0]))):
                    started, busy = time.perf_counter(), time.process_time()
                    call()
                    walls.append(time.perf_counter() - started)
                    cpus.append(time.process_time() - busy)
                wall[turn].append(median(walls) * 1000)
                cpu[turn].append(median(cpus) * 1000)
        gc.unfreeze()
    return [
        Figure(
            f"{size:,} documents",
            contender.name,
            {"wall ms": wall[size, contender.name], "CPU ms": cpu[size, contender.name]},
            [
                ours / theirs
                for ours, theirs in zip(wall[size, contender.name], wall[size, BASELINE], strict=True)
            ],
            contender.goal,
        )
        for size in sizes
        for contender in contenders
    ]


async def measure_async(
    address: str, sizes: list[int], rounds: int, contenders: Sequence[Contender]
) -> list[Figure]:
    """Return the calls per second with sixteen in flight."""
    async with AsyncExitStack() as stack:
        calls: dict[tuple[int, str], AsyncCall] = {}
        for size in sizes:
            for contender in contenders:
                if contender.open_async:
                    opened = contender.open_async(f"{address}/n/{size}", texts(size))
                    calls[size, contender.name] = await stack.enter_async_context(opened)
        for (size, name), call in calls.items():
            checked(name, size, await call(), index_of((await calls[size, BASELINE]())[0]))
        gc.collect()
        gc.freeze()
        rate: dict[tuple[int, str], list[float]] = {turn: [] for turn in calls}
        cpu: dict[tuple[int, str], list[float]] = {turn: [] for turn in calls}
        for _ in range(rounds):
            for turn, call in calls.items():
                gc.collect()
                await in_flight(call, CONCURRENCY)
                started, busy = time.perf_counter(), time.process_time()
                await in_flight(call, ASYNC_CALLS)
                rate[turn].append(ASYNC_CALLS / (time.perf_counter() - started))
                cpu[turn].append((time.process_time() - busy) / ASYNC_CALLS * 1000)
        gc.unfreeze()
    return [
        Figure(
            f"{size:,} documents",
            name,
            {"calls/s": rate[size, name], "CPU ms": cpu[size, name]},
            [mine / theirs for mine, theirs in zip(rate[size, name], rate[size, BASELINE], strict=True)],
            1.0 if name == FACADE else None,
            at_least=True,
        )
        for size, name in calls
    ]


async def in_flight(call: AsyncCall, count: int) -> None:
    """Make this number of calls, sixteen at a time."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(work() for _ in range(CONCURRENCY)))


class Start(NamedTuple):
    """A command, and the goal for its ratio to the first command of its group."""

    group: str
    name: str
    command: list[str | Path]
    goal: float | None = None

    def run(self) -> None:
        """Run the command.

        Raises:
            CalledProcessError: It failed.
        """
        subprocess.run(self.command, check=True, capture_output=True, text=True)  # noqa: S603 - the commands below


LEAD = (
    "The cost of a call beside raw httpx with json and beside other clients, against a canned server in a process of its own on "
    "the same machine. Its responses have a Content-Length; h11 reads a chunked one, which takes longer. `nox -s bench` writes this page."
)

# Import a name, as the package may import lazily.
FACADE_IMPORT = "from openrouter_rerank import Reranker"
COMMAND = Path(sys.executable).with_name("rerank")
# The first client pays for lazy imports.
HTTPX_CLIENT = "import httpx; httpx.Client()"
FACADE_CLIENT = f"{FACADE_IMPORT}; Reranker('sk-bench')"
STARTS = (
    Start("import", 'python -c "import httpx"', [sys.executable, "-c", "import httpx"]),
    Start("import", f'python -c "{FACADE_IMPORT}"', [sys.executable, "-c", FACADE_IMPORT], goal=0.5),
    Start("import", "rerank --help", [COMMAND, "--help"], goal=2.0),
    Start("first client", f'python -c "{HTTPX_CLIENT}"', [sys.executable, "-c", HTTPX_CLIENT]),
    Start("first client", f'python -c "{FACADE_CLIENT}"', [sys.executable, "-c", FACADE_CLIENT], goal=1.6),
)


def measure_starts(rounds: int, starts: Sequence[Start]) -> list[Figure]:
    """Return the wall times of fresh processes, including the start of the interpreter."""
    times: dict[str, list[float]] = {start.name: [] for start in starts}
    for _ in range(max(rounds, LEAST_STARTS)):
        for start in starts:
            began = time.perf_counter()
            start.run()
            times[start.name].append((time.perf_counter() - began) * 1000)
    baselines = {start.group: times[start.name] for start in reversed(starts)}
    return [
        Figure(
            start.group,
            start.name,
            {"wall ms": times[start.name], "best ms": [min(times[start.name])]},
            [mine / theirs for mine, theirs in zip(times[start.name], baselines[start.group], strict=True)],
            start.goal,
        )
        for start in starts
    ]


def machine() -> str:
    """Return a description of the machine and the versions on one line."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    names = (
        "httpx",
        "httpcore",
        "h11",
        "anyio",
        "sniffio",
        "msgspec",
        "openrouter-rerank",
        "openrouter",
        "cohere",
    )
    versions: list[str] = []
    for name in names:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} not installed")
    python = f"{platform.python_implementation()} {platform.python_version()}"
    system = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores{load}"
    return f"{python}, {system}; {', '.join(versions)}."


def table(figures: list[Figure]) -> str:
    """Return the figures as a Markdown table that is aligned for terminals."""
    columns = list(figures[0].rounds)
    rows = [["", "", *columns, "ratio", "quartiles", "goal", "met"]]
    for figure in figures:
        low, middle, high = quartiles(figure.ratios)
        sign = "≥" if figure.at_least else "≤"
        rows.append(
            [
                figure.group,
                figure.name,
                *(
                    f"{median(values):.{0 if median(values) >= 100 else 2}f}"
                    for values in figure.rounds.values()
                ),
                f"{middle:.2f}",
                f"{low:.2f} to {high:.2f}",
                "" if figure.goal is None else f"{sign} {figure.goal:.2f}",
                figure.verdict,
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )


def able_contenders(address: str, notes: list[str]) -> list[Contender]:
    """Return the contenders that are installed and return the right results; append a note for each other one."""
    able: list[Contender] = []
    for contender in CONTENDERS:
        if importlib.util.find_spec(contender.package) is None:
            notes.append(f"Left out: {contender.name}, as the package {contender.package} is not installed.")
            continue
        try:
            measure_calls(address, [3], 1, list(dict.fromkeys((CONTENDERS[0], contender))))
        except Exception as error:  # noqa: BLE001 - the others can still be measured
            notes.append(f"{FAILED}: {contender.name}: {type(error).__name__}: {error}")
        else:
            able.append(contender)
    return able


def able_starts(notes: list[str]) -> list[Start]:
    """Return the commands that are installed and succeed; append a note for each other one. Running them also writes bytecode."""
    able: list[Start] = []
    for start in STARTS:
        if start.command[0] is COMMAND and not COMMAND.exists():
            notes.append(f"Left out: {start.name}, as the command is not installed beside {sys.executable}.")
            continue
        try:
            start.run()
        except subprocess.CalledProcessError as error:
            notes.append(f"{FAILED}: {start.name}: {str(error.stderr).strip().splitlines()[-1:]}")
        else:
            able.append(start)
    return able


def main() -> int:
    """Measure, print, and return 1 if a contender could not be measured."""
    parser = argparse.ArgumentParser(description="Compare the cost of a call with different clients.")
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="the number of rounds")
    parser.add_argument(
        "--sizes", default="10,100,1000", metavar="N,...", help="the numbers of documents in a call"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the values of every round to this file"
    )
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw the ratios in this file")
    history.add_options(parser)
    arguments = parser.parse_args()
    since = history.since(parser, arguments)
    sizes = [int(size) for size in arguments.sizes.split(",")]
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(name, None)  # not for loopback

    machine_line = machine()  # before our own load
    notes: list[str] = []
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1) / 2:
        notes.append(
            "The machine was busy at the start: trust CPU time more than wall time, and measure again."
        )
    with canned() as address:
        contenders = able_contenders(address, notes)
        calls = measure_calls(address, sizes, arguments.rounds, contenders)
        small = [size for size in sizes if size in ASYNC_SIZES]
        flights = asyncio.run(measure_async(address, small, arguments.rounds, contenders)) if small else []
    starts = measure_starts(arguments.rounds, able_starts(notes))

    sections = {
        "One call after another": calls,
        f"Async, {CONCURRENCY} calls in flight": flights,
        "Start": starts,
    }
    command = shlex.join(["python", "benchmarks/speed.py", *sys.argv[1:]])
    report = "\n\n".join(
        [
            "# Performance",
            LEAD,
            f"Printed by `{command}` on {machine_line}",
            f"Ratios are to the first row of each group, within each round ({arguments.rounds} rounds); ms and calls/s are medians.",
            *(f"**{title}**\n\n{table(figures)}" for title, figures in sections.items() if figures),
            *([f"![The ratios as bars]({arguments.svg.name})"] if arguments.svg else []),
            *notes,
        ]
    )
    print(report)
    if arguments.svg:
        picture.draw(sections, arguments.svg)
    ratios = {
        f"{title} / {figure.group} / {figure.name}": history.spread(figure.ratios)
        for title, figures in sections.items()
        for figure in figures
        if set(figure.ratios) != {1.0}  # the baselines
    }
    history.settle(ratios, since, keeping=arguments.keep)
    if arguments.markdown:
        arguments.markdown.write_text(report + "\n", encoding="utf-8")
    if arguments.json:
        data = {
            "command": command,
            "machine": machine_line,
            "figures": {
                title: [figure._asdict() for figure in figures] for title, figures in sections.items()
            },
            "notes": notes,
        }
        arguments.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    return int(any(note.startswith(FAILED) for note in notes))


if __name__ == "__main__":
    sys.exit(main())
