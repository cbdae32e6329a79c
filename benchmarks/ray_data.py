"""Measure the cost of a row through Ray Data beside `rerank_many`, on one machine.

    python benchmarks/ray_data.py [--rounds N] [--rows N] [--concurrency N] [--actors N]

Method: in each round, both rank a number of rows with ten documents against a canned server in its own process, and then four
times as many. The difference in time is the cost of the additional rows; the start-up time of Ray is reported separately. Ratios are
taken within each round. On one machine Ray is always slower, as it is made for several.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from canned_server import MODEL, QUESTION, texts
from many import DOCUMENTS, requests
from speed import KEY, canned, machine, quartiles

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray

from openrouter_rerank import Reranker
from openrouter_rerank.integrations.ray import Job


def plain(root: str, rows: int, concurrency: int) -> None:
    """Rank with `Reranker.rerank_many`, in this process."""
    with Reranker(KEY, base_url=f"{root}/api/v1", model=MODEL) as reranker:
        for result in reranker.rerank_many(requests(rows), concurrency=concurrency):
            result.unwrap()


def through_ray(root: str, rows: int, concurrency: int, actors: int) -> None:
    """Rank with `Job.rank`, with the rows already in Ray."""
    data: Any = ray.data
    dataset = data.range(rows, override_num_blocks=8).map_batches(
        lambda batch: {
            "query": [QUESTION] * len(batch["id"]),
            "documents": [texts(DOCUMENTS)] * len(batch["id"]),
        }
    )
    job = Job(api_key=KEY, base_url=f"{root}/api/v1", model=MODEL, concurrency=concurrency)
    job.rank(dataset.materialize(), actors=actors, batch_size=256).materialize()
    if job.totals().calls != rows:
        problem = f"{job.totals().calls} calls for {rows} rows"
        raise RuntimeError(problem)


def measured(run: Callable[[int], None], rows: int) -> tuple[float, float]:
    """Return the rows per second, and the seconds of start-up."""
    times: list[float] = []
    for count in (rows, 4 * rows):
        began = time.perf_counter()
        run(count)
        times.append(time.perf_counter() - began)
    each = (times[1] - times[0]) / (3 * rows)
    return 1 / each, times[0] - rows * each


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the cost of a row through Ray Data.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="the number of rounds")
    parser.add_argument("--rows", type=int, default=1000, metavar="N", help="the rows of the shorter run")
    parser.add_argument("--concurrency", type=int, default=16, metavar="N", help="the requests in flight")
    parser.add_argument("--actors", type=int, default=2, metavar="N", help="the number of Ray actors")
    arguments = parser.parse_args()
    line = machine()
    ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    ray.data.DataContext.get_current().enable_progress_bars = False
    rates: list[tuple[float, float]] = []
    starts: list[float] = []
    with canned() as address:
        root = f"{address}/n/{DOCUMENTS}"
        for _ in range(arguments.rounds):
            alone, _ = measured(lambda rows: plain(root, rows, arguments.concurrency), arguments.rows)
            rate, start = measured(
                lambda rows: through_ray(root, rows, arguments.concurrency, arguments.actors), arguments.rows
            )
            rates.append((alone, rate))
            starts.append(start)
    ray.shutdown()
    low, middle, high = quartiles([rate / alone for alone, rate in rates])
    print(
        f"`{' '.join(['python', 'benchmarks/ray_data.py', *sys.argv[1:]])}` on {line}, ray {ray.__version__}"
    )
    print(
        f"rerank_many {median(alone for alone, _ in rates):.0f} rows/s; through Ray {median(rate for _, rate in rates):.0f} rows/s, "
        f"ratio {middle:.2f} ({low:.2f} to {high:.2f}), after {median(starts):.1f} s to begin"
    )


if __name__ == "__main__":
    main()
