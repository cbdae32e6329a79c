"""Measure the time and memory of many small requests beside a hand-written loop.

    python benchmarks/many.py [--rounds N] [--each N] [--requests N] [--concurrency N] [--markdown FILE]
                              [--keep] [--compare [VERSION]]

Method: in each round, the contenders take turns with the same number of requests, against a canned server in its own process,
so that other load affects all of them alike. The table has the median and the quartiles of the ratios within each round. Memory
is measured in a separate process with one long run: its maximum, minus the memory at the start.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from pathlib import Path
from statistics import median

import history
import httpx
from canned_server import MODEL, QUESTION, texts
from speed import BASELINE, KEY, canned, machine, post_arguments, quartiles, results_of

from openrouter_rerank import AsyncReranker, Reranker

DOCUMENTS = 10
GOALS = {"AsyncReranker.rerank_many": 2.8, "Reranker.rerank_many": 2.3}
MEMORY_GOAL = 150
MIB = 2**20

Run = Callable[[str, int, int], None]


def requests(count: int) -> Iterator[tuple[str, list[str]]]:
    """Return an iterator over this number of small requests."""
    return islice(repeat((QUESTION, texts(DOCUMENTS))), count)


def raw(root: str, count: int, concurrency: int) -> None:
    """Send the requests from tasks that share an iterator and a client, as written without a library."""

    async def main() -> None:
        left = requests(count)
        async with httpx.AsyncClient() as client:

            async def work() -> None:
                for _, documents in left:
                    results = results_of(await client.post(**post_arguments(root, documents)))
                    checked(len(results))

            await asyncio.gather(*(work() for _ in range(concurrency)))

    asyncio.run(main())


def with_tasks(root: str, count: int, concurrency: int) -> None:
    """Use `AsyncReranker.rerank_many`."""

    async def main() -> None:
        async with AsyncReranker(KEY, base_url=f"{root}/api/v1", model=MODEL) as reranker:
            async for result in reranker.rerank_many(requests(count), concurrency=concurrency):
                checked(len(result.unwrap()))

    asyncio.run(main())


def with_threads(root: str, count: int, concurrency: int) -> None:
    """Use `Reranker.rerank_many`."""
    with Reranker(KEY, base_url=f"{root}/api/v1", model=MODEL) as reranker:
        for result in reranker.rerank_many(requests(count), concurrency=concurrency):
            checked(len(result.unwrap()))


def checked(results: int) -> None:
    """Raise if a contender returns the wrong number of results."""
    if results != DOCUMENTS:
        problem = f"{results} results for {DOCUMENTS} documents"
        raise RuntimeError(problem)


CONTENDERS: dict[str, Run] = {
    BASELINE: raw,
    "AsyncReranker.rerank_many": with_tasks,
    "Reranker.rerank_many": with_threads,
}


def measure(root: str, rounds: int, each: int, concurrency: int) -> dict[str, list[float]]:
    """Return the requests per second of each contender in each round."""
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for round_ in range(rounds + 1):
        for name, run in CONTENDERS.items():
            gc.collect()
            began = time.perf_counter()
            run(root, each, concurrency)
            if round_:  # the first round is a warm-up
                rates[name].append(each / (time.perf_counter() - began))
    return rates


def held() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


def growth(name: str, root: str, count: int, concurrency: int) -> tuple[float, float]:
    """Return the growth in MiB, and the requests per second, of a run in a separate process."""
    command = [sys.executable, __file__, "--grow", name, root, str(count), str(concurrency)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - ourselves
    grown, rate = done.stdout.split()
    return float(grown), float(rate)


def grow(name: str, root: str, count: int, concurrency: int) -> None:
    """Make one long run, and print its growth and its rate."""
    began, start = time.perf_counter(), held()
    CONTENDERS[name](root, count, concurrency)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(most - start, count / (time.perf_counter() - began))


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    if sys.argv[1:2] == ["--grow"]:
        name, root, count, concurrency = sys.argv[2:]
        grow(name, root, int(count), int(concurrency))
        return 0
    parser = argparse.ArgumentParser(description="Measure many requests, side by side.")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="the number of rounds")
    parser.add_argument(
        "--each", type=int, default=1000, metavar="N", help="the requests of a contender in a round"
    )
    parser.add_argument(
        "--requests", type=int, default=100_000, metavar="N", help="the requests of the long run"
    )
    parser.add_argument("--concurrency", type=int, default=16, metavar="N", help="the requests in flight")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file")
    history.add_options(parser)
    arguments = parser.parse_args()
    since = history.since(parser, arguments)
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        os.environ.pop(variable, None)  # not for loopback
    machine_line = machine()  # before our own load
    concurrency: int = arguments.concurrency
    with canned() as address:
        root = f"{address}/n/{DOCUMENTS}"
        rates = measure(root, arguments.rounds, arguments.each, concurrency)
        long = {
            name: growth(name, root, arguments.requests, concurrency)
            for name in CONTENDERS
            if name != BASELINE
        }
    rows = [["", "requests/s", "ratio", "quartiles", "goal", "met", "long run, requests/s", "grew by"]]
    missed = False
    spreads: dict[str, list[float]] = {}
    for name, mine in rates.items():
        ratios = [one / other for one, other in zip(mine, rates[BASELINE], strict=True)]
        low, middle, high = quartiles(ratios)
        ours = name in long
        if ours:
            spreads[f"Many queries / {DOCUMENTS} documents / {name}"] = history.spread(ratios)
        grown, rate = long.get(name, (0.0, 0.0))
        least = GOALS.get(name, 0.0)
        met = middle >= least and grown < MEMORY_GOAL
        missed = missed or (ours and not met)
        goal = f"≥ {least}, < {MEMORY_GOAL} MiB" if ours else ""
        verdict = ("yes" if met else "**no**") if ours else ""
        rows.append(
            [
                name,
                f"{median(mine):.0f}",
                f"{middle:.2f}",
                f"{low:.2f} to {high:.2f}",
                goal,
                verdict,
                f"{rate:.0f}" if ours else "",
                f"{grown:.0f} MiB" if ours else "",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    table = "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    )
    command = shlex.join(["python", "benchmarks/many.py", *sys.argv[1:]])
    report = "\n\n".join(
        [
            "# Performance of many queries",
            (
                "The throughput of many small requests beside a hand-written loop of tasks over raw httpx, against a canned "
                "server in a process of its own on the same machine. `nox -s bench` writes this page."
            ),
            f"Printed by `{command}` on {machine_line}",
            (
                f"Each request has {DOCUMENTS} documents; {concurrency} are in flight. Ratios are to the first row, "
                f"within each round of {arguments.each:,} requests ({arguments.rounds} rounds). The long run makes "
                f"{arguments.requests:,} requests in a process of its own."
            ),
            table,
        ]
    )
    print(report)
    if arguments.markdown:
        arguments.markdown.write_text(report + "\n", encoding="utf-8")
    history.settle(spreads, since, keeping=arguments.keep)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
