"""Rank a Parquet data set with Ray: `python -m openrouter_rerank.integrations.ray IN OUT`."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any, Unpack

import click

from openrouter_rerank import Reranker
from openrouter_rerank.bulk.job import COLUMNS, ERROR
from openrouter_rerank.cli.app import OneLine
from openrouter_rerank.cli.connection import Connection, connect, connection_options, dialect_of, key_of
from openrouter_rerank.cli.errors import EXIT_CODES, BadInput, CallFailed, one_line
from openrouter_rerank.integrations.ray.dataset import Job, ray

# The smallest number of rows in a file of OUT. Rows that are ranked and not written are lost if the command dies.
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
@click.option(
    "-n", "--top-n", type=click.IntRange(min=1), metavar="N", help="Return only the best N of each row."
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    metavar="N",
    help="The largest number of rows in flight, over all actors.",
)
@click.option(
    "--requests-per-minute",
    "--rpm",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="The number of requests that may start in a minute, over all actors.  [default: no limit]",
)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    metavar="DOLLARS",
    help="The largest cost of all rows.  [default: no limit]",
)
@click.option(
    "--query-column", default="query", show_default=True, metavar="NAME", help="The column of the query."
)
@click.option(
    "--documents-column",
    default="documents",
    show_default=True,
    metavar="NAME",
    help="The column of the list of documents.",
)
@click.option("--text-field", metavar="NAME", help="The field to send of documents that are objects.")
@click.option("--prefix", default="", metavar="TEXT", help="A prefix for the names of the added columns.")
@click.option("--with-documents", is_flag=True, help="Add the documents in their new order too.")
@click.option("--failed", is_flag=True, help="IN is an earlier OUT: rank its failed rows again.")
@click.option(
    "--cache",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Cache answers in this file on each machine, so that repeated rows are not billed again.",
)
@click.option(
    "--actors",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    metavar="N",
    help="The number of actors that rank.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    metavar="N",
    help="The number of rows that an actor ranks at a time. They are ranked again if it dies.",
)
@click.option(
    "--address",
    metavar="ADDRESS",
    help=f"The Ray cluster, as for `ray.init`.  [default: {_ADDRESS}, or else a new Ray on this machine]",
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
    """Rank the documents of each row of IN by the row's query, and write the rows to OUT, both Parquet.

    IN is a file, a directory or an address that Ray can read; OUT is a new directory or address. A row has a query and a
    list of documents: strings, or structs with text and/or image. OUT has all rows, in any order, with all their columns
    and these: indices and scores (best first), COLUMNS, and
    rerank_error, which is null unless the row failed. To rank failed rows again, give OUT as IN with --failed.

    A batch whose actor died is ranked again, and its finished rows are billed twice, unless there is a --cache. If the
    command itself dies, rows that are not in OUT yet are lost; it does not resume, as `rerank batch` does.
    """
    local_target = "://" not in target
    if local_target and Path(target).exists():
        message = f"{target}: it already exists; name another OUT, or remove it"
        raise BadInput(message)
    if "://" not in source and not Path(source).exists():
        message = f"{source}: there is no such file or directory. Name a Parquet data set as IN"
        raise BadInput(message)
    with connect(Reranker, max_cost=max_cost, **connection):
        pass  # checks the options and the key
    settings: dict[str, Any] = {"top_n": top_n, **connection["fields"]}
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
                dialect=dialect_of(connection),
                base_url=connection["base_url"],
                local=connection["local"],
                scorer=connection["scorer"],
                api_key=key_of(connection),
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
            message = f"Ray failed: {str(error).strip().splitlines()[-1]}"
            raise CallFailed(message) from error
        return _report(job, source, target, prefix + ERROR)
    finally:
        ray.shutdown()


def _start(address: str | None) -> None:
    # Ray reports usage statistics to its makers unless this is set before it starts.
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
    # A worker has another working directory.
    return path if "://" in path else str(Path(path).resolve())


def _report(job: Any, source: str, target: str, error: str) -> int:
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


command.help = (command.help or "").replace("COLUMNS", ", ".join(COLUMNS))

if __name__ == "__main__":
    command()
