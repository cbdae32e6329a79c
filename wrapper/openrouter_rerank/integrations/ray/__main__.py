"""`python -m openrouter_rerank.integrations.ray IN OUT`: a Parquet data set, ranked by Ray row by row."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

import click

from openrouter_rerank import Reranker
from openrouter_rerank.bulk.job import ERROR
from openrouter_rerank.cli.app import OneLine
from openrouter_rerank.cli.connection import Connection, connect, connection_options
from openrouter_rerank.cli.errors import EXIT_CODES, BadInput, CallFailed, one_line
from openrouter_rerank.defaults import BASE_URL, KEY_VARIABLE
from openrouter_rerank.integrations.ray import Job, ray

# Rows in a file of OUT at least. What is ranked and not written is lost when the command dies.
_ROWS_PER_FILE = 10_000
_ADDRESS = "RAY_ADDRESS"


@click.command(
    "python -m openrouter_rerank.integrations.ray",
    cls=OneLine,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@connection_options
@click.option("-n", "--top-n", type=click.IntRange(min=1), metavar="N", help="The best N only of each row.")
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="How many rows may be under way at a time, over all actors.",
)
@click.option(
    "--requests-per-minute",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="How many requests may start in a minute, over all actors.  [default: no limit]",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DOLLARS",
    help="Send nothing more before all rows together cost more.  [default: no limit]",
)
@click.option(
    "--query-column", default="query", show_default=True, metavar="NAME", help="Where the query is."
)
@click.option(
    "--documents-column",
    default="documents",
    show_default=True,
    metavar="NAME",
    help="Where the list of documents is.",
)
@click.option("--text-field", metavar="NAME", help="What to send of documents that are objects.")
@click.option("--prefix", default="", metavar="TEXT", help="Put before the name of each added column.")
@click.option("--with-documents", is_flag=True, help="Add the documents in their new order too.")
@click.option("--failed", is_flag=True, help="IN is an OUT of before: rank the rows again that failed.")
@click.option(
    "--cache",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Remember answers in this file of each machine, so that what is done again is not paid again.",
)
@click.option(
    "--actors",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="How many of Ray's actors rank.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="How many rows an actor ranks at a time. An actor that dies repeats as many.",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help=f"The Ray cluster, as `ray.init` takes it.  [default: {_ADDRESS}, and else a Ray of its own on this machine]",
)
def command(  # noqa: PLR0913 - one argument for each option
    *,
    source: str,
    target: str,
    top_n: int | None,
    concurrency: int,
    requests_per_minute: float | None,
    max_cost: float | None,
    query_column: str,
    documents_column: str,
    text_field: str | None,
    prefix: str,
    with_documents: bool,
    failed: bool,
    cache: Path | None,
    actors: int,
    batch_size: int,
    address: str | None,
    **connection: Unpack[Connection],
) -> int:
    """Rank the documents of each row of IN by the row's query, into OUT: Parquet, over as many machines as Ray has.

    IN is a file, a directory or an address that Ray can read, OUT a directory or an address that is not there yet. A row
    has a query and a list of documents: strings, or structs with text and/or image. OUT has all rows, in any order, with
    all their columns and beside them: indices and scores (best first), model, provider, cost, search_units,
    total_tokens, response_id, and rerank_error, which is null unless the row failed. To rank those rows again, give OUT
    as IN with --failed.

    A batch whose actor died is ranked again, and what was ranked of it is billed twice, unless there is a --cache. When
    the command itself dies, what is not in OUT yet is lost: nothing is taken up again, as `rerank batch` does.
    """
    local_target = "://" not in target
    if local_target and Path(target).exists():
        message = f"{target} is there already. Name another OUT, or remove it"
        raise BadInput(message)
    if "://" not in source and not Path(source).exists():
        message = f"{source}: there is no such file or directory. Name a Parquet data set as IN"
        raise BadInput(message)
    with connect(Reranker, max_cost=max_cost, **connection):
        pass  # its options are good, and there is a key where one is needed
    settings: dict[str, Any] = {"top_n": top_n}
    if connection["model"] is not None:
        settings["model"] = connection["model"]
    if connection["blank"] is not None:
        settings["blank"] = connection["blank"]
    if connection["timeout"] is not None:
        settings |= {"timeout": connection["timeout"], "deadline": 2 * connection["timeout"]}
    if connection["ca_file"] is not None:
        settings["verify"] = str(Path(connection["ca_file"]).absolute())
    _start(address)
    try:
        try:
            job = Job(
                query_column=query_column,
                documents_column=documents_column,
                key=text_field,
                prefix=prefix,
                with_documents=with_documents,
                concurrency=concurrency,
                requests_per_minute=requests_per_minute,
                max_cost=max_cost,
                cache=cache,
                base_url=connection["base_url"] or BASE_URL,
                local=connection["local"],
                scorer=connection["scorer"],
                # As `connect` has it: where it is not set, another server may well take none.
                api_key=os.environ.get(KEY_VARIABLE, ""),
                **settings,
            )
            dataset = ray.data.read_parquet(_absolute(source))
            if failed:
                dataset = job.failed(dataset)
            ranked = job.rank(dataset, actors=actors, batch_size=batch_size)
        except (ValueError, TypeError, OSError) as error:
            message = f"{source}: {error}"
            raise BadInput(message) from error
        try:
            ranked.write_parquet(_absolute(target), min_rows_per_file=_ROWS_PER_FILE)
        except ray.exceptions.RayError as error:
            message = f"Ray gave up: {str(error).strip().splitlines()[-1]}"
            raise CallFailed(message) from error
        return _told(job, source, target, prefix + ERROR)
    finally:
        ray.shutdown()


def _start(address: str | None) -> None:
    # Ray counts its users by a message to its makers, unless it is told otherwise before it starts.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None and not os.environ.get(_ADDRESS):
        where: dict[str, Any] = {"address": "local", "include_dashboard": False}
    else:
        where = {"address": address}
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    if not sys.stderr.isatty():
        ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        ray.init(**where, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, ValueError) as error:
        message = (
            f"Ray cannot be reached: {error}. Start a cluster and name it with --address, or leave it out"
        )
        raise BadInput(message) from error


def _absolute(path: str) -> str:
    # A worker has another directory.
    return path if "://" in path else str(Path(path).resolve())


def _told(job: Any, source: str, target: str, error: str) -> int:
    dataset: Any = import_module("pyarrow.dataset")
    try:
        written = dataset.dataset(_absolute(target))
    except FileNotFoundError:
        click.echo(
            f"rerank: there is no row to rank in {one_line(source)}, and {one_line(target)} was not written",
            err=True,
        )
        return 0
    rows, failed = written.count_rows(), written.count_rows(filter=dataset.field(error).is_valid())
    totals = job.totals()
    cost = f"${totals.cost:.6g}" + (f" and unknown for {totals.unknown:,} calls" if totals.unknown else "")
    bad = f", {failed:,} of them failed" if failed else ""
    click.echo(f"rerank: {rows:,} rows are in {one_line(target)}{bad}, cost {cost}", err=True)
    if failed:
        first = written.head(1, filter=dataset.field(error).is_valid()).column(error)[0].as_py()
        click.echo(
            f"rerank: one failed with {one_line(first['type'] + ': ' + first['message'])}. "
            "Give OUT as IN with --failed to rank those again",
            err=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    command()
