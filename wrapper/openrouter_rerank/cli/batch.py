"""The command `rerank batch`, which ranks the rows of a table."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import shorten
from threading import Lock
from types import FrameType
from typing import TYPE_CHECKING, Any, Unpack

import click
import msgspec

from openrouter_rerank import (
    AuthenticationError,
    BudgetExceededError,
    InsufficientCreditsError,
    Reranker,
    RerankError,
)
from openrouter_rerank.bulk import batch as jobs
from openrouter_rerank.bulk.files import STDIN
from openrouter_rerank.bulk.job import (
    COLUMNS,
    FORMATS,
    INPUT_FORMATS,
    PLACE,
    BadBatch,
    Batch,
    BatchError,
    Survey,
    reporting,
)
from openrouter_rerank.bulk.journal import FinishedRow, Journal, opened
from openrouter_rerank.bulk.tables import input_format, output_format, read
from openrouter_rerank.cli.choices import OneOf
from openrouter_rerank.cli.chunks import chunk_options, words
from openrouter_rerank.cli.connection import Connection, connect, connection_options, default_model
from openrouter_rerank.cli.errors import EXIT_CODES, INTERRUPTED, BadInput, CallFailed, one_line
from openrouter_rerank.cli.numbers import PositiveNumber
from openrouter_rerank.errors import is_of_another_dialect, is_unreadable_ranking
from openrouter_rerank.ledger import exact, is_reached

if TYPE_CHECKING:
    from openrouter_rerank.bulk.many import Progress, Result
    from openrouter_rerank.bulk.threads import Results

# Errors that every other row would get too; the rows can be ranked after the cause is fixed.
_ENDING = (BudgetExceededError, AuthenticationError, InsufficientCreditsError)
# After this many retryable failures in a row, or failures due to the dialect, the job stops.
_OUTAGE = 50
# Seconds between two lines of progress, without a terminal.
_REPORT_EVERY = 5.0
# The summary names this many types of errors, with this many characters of the first message of each.
_KINDS = 3
_LONGEST_MESSAGE = 160


@click.command("batch", epilog=EXIT_CODES)
@click.argument("source", metavar="IN", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path, dir_okay=False))
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
    help="The number of rows in flight. It is reduced while the server limits the rate.",
)
@click.option(
    "--requests-per-minute",
    "--rpm",
    type=PositiveNumber(),
    metavar="N",
    help="The number of requests that start in a minute.  [default: no limit]",
)
@click.option(
    "--max-cost",
    type=PositiveNumber(),
    metavar="DOLLARS",
    help="Stop before the total cost of the job exceeds this, including earlier runs.  [default: no limit]",
)
@click.option("--dry-run", is_flag=True, help="Read IN, report what would be sent, and send nothing.")
@click.option("--restart", is_flag=True, help="Delete OUT and the finished rows of earlier runs.")
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
@click.option(
    "--text-field",
    metavar="NAME",
    help="The field with the text, if documents are objects of your own.  "
    "[default: objects have text and/or image, and are sent unchanged]",
)
@click.option("--id-column", metavar="NAME", help="A column that identifies the rows in error messages.")
@click.option("--prefix", default="", metavar="TEXT", help="The prefix of the name of each added column.")
@click.option("--keep-documents", is_flag=True, help="Copy the column of documents to OUT.")
@click.option(
    "--with-documents", is_flag=True, help="Include each document in the ranking, beside its index."
)
@chunk_options
@click.option(
    "--input-format",
    "given_input",
    type=OneOf(INPUT_FORMATS),
    help="The format of IN.  [default: by its name]",
)
@click.option(
    "--output-format",
    "given_output",
    type=OneOf(FORMATS),
    help="The format of OUT.  [default: by its name]",
)
def command(  # noqa: PLR0913 - one argument for each option
    *,
    source: Path,
    target: Path,
    top_n: int | None,
    concurrency: int,
    requests_per_minute: float | None,
    max_cost: float | None,
    dry_run: bool,
    restart: bool,
    query_column: str,
    documents_column: str,
    text_field: str | None,
    id_column: str | None,
    prefix: str,
    keep_documents: bool,
    with_documents: bool,
    chunk_words: int | None,
    chunk_overlap: int | None,
    given_input: str | None,
    given_output: str | None,
    **connection: Unpack[Connection],
) -> int:
    """Rank the documents of each row of IN by the row's query, and write OUT as JSON lines, CSV or Parquet.

    IN is JSON lines, a JSON array of objects, CSV (with commas, semicolons or tabs), TSV, or Parquet. Text is UTF-8, or
    UTF-16 with a byte order mark, and may be compressed with gzip. A row has a query and a list of documents: texts, or
    objects with text and/or image; with --text-field, any objects. In CSV, the list is a JSON array in a cell.

    OUT has the rows in the same order with all other columns, and these new ones: ranking (a list with HIT, best first),
    COLUMNS. Failed rows are written unchanged to OUT.failed.jsonl, which can be the next IN. Values that OUT cannot store
    are reported before anything is sent. From Parquet to JSON, dates and times become ISO 8601, decimals strings, bytes
    base64, and maps lists of pairs. If there is a column relevance (a list of whole numbers, one for each document),
    nDCG@10 and MRR@10 are reported, before and after ranking.

    Interrupt and rerun the same command safely: finished rows are in OUT.part and are not ranked again. Only the rows in
    flight, at most --concurrency, may be billed twice. The first Ctrl-C waits for them; the second does not.
    """
    if not source.is_file():
        message = (
            f"{source}: it is a pipe or a device, but IN is read more than once; write it to a file first"
        )
        raise BadInput(message)
    try:
        _check_target(target)
        job = Batch(
            source=source,
            target=target,
            input_format=input_format(source, given_input),
            output_format=output_format(target, given_output),
            query_column=query_column,
            documents_column=documents_column,
            text_field=text_field,
            id_column=id_column,
            prefix=prefix,
            keep_documents=keep_documents,
            with_documents=with_documents,
            chunk=words(chunk_words, chunk_overlap),
            options={
                "model": connection["model"],
                "top_n": top_n,
                **connection["fields"],
                "local": connection["local"],
                "scorer": connection["scorer"],
                # Without the query of the URL, which may contain a secret.
                "base_url": (connection["base_url"] or "").partition("?")[0],
                # Omitted by default, so that journals of earlier versions still match.
                **({"blank": "skip"} if connection["blank"] == "skip" else {}),
                **({} if default_model(connection) else {"dialect": connection["dialect"]}),
            },
        )
        if source.resolve() in {path.resolve() for path in job.written}:
            message = f"{source}: this run would write or remove it; name another OUT"
            raise BadInput(message)
        _check_texts(job)
        found = _surveyed(job)
        if dry_run:
            return _estimated(job, found, top_n, connection)
        with opened(job, found, restart=restart) as journal:
            run = _BatchRun(job, found, journal)
            if journal.done < found.rows:
                if max_cost is not None and is_reached(exact(max_cost), journal.spent):
                    message = f"--max-cost is reached: {run.state()}; raise it to continue"
                    raise CallFailed(message)
                with _unless_useless(journal), connect(Reranker, max_cost=max_cost, **connection) as reranker:
                    _check_options(reranker)
                    model = connection["model"] or default_model(connection)
                    reranker.ledger.carry_over(model, spent=journal.spent, largest=journal.largest)
                    # Close IN also if the job stops early.
                    with closing(jobs.requests(job, journal, top_n)) as requests:
                        run.rank(
                            reranker.rerank_many(
                                requests,
                                concurrency=concurrency,
                                requests_per_minute=requests_per_minute,
                                ordered=False,
                                progress=run.on_progress,
                            ),
                            limited=max_cost is not None,
                        )
                with _unless_useless(journal):
                    if run.ended_early():
                        return INTERRUPTED
            summary = jobs.finish(job, found, journal)
            run.report(summary)
            return 1 if journal.failed else 0
    except BadBatch as error:
        raise BadInput(str(error)) from error
    except BatchError as error:
        raise CallFailed(str(error)) from error


# The names of the columns, from the contract.
command.help = (command.help or "").replace("HIT", ", ".join(PLACE)).replace("COLUMNS", ", ".join(COLUMNS))


def _check_target(target: Path) -> None:
    if str(target) == STDIN:
        raise BadInput("OUT: a later run cannot resume standard output; name a file")
    with reporting(target, "nothing was sent"):
        if target.exists() and not target.is_file():
            message = f"{target}: it is a pipe or a device, but OUT is moved to this name when it is complete; name a file"
            raise BadInput(message)


def _check_texts(job: Batch) -> None:
    """Raise if an option is not text: bytes of the command line that are not UTF-8 are lone surrogates."""
    columns = ("query_column", "documents_column", "text_field", "id_column", "prefix")
    for name, value in {**{name: getattr(job, name) for name in columns}, **job.options}.items():
        try:
            msgspec.json.encode(value)
        except UnicodeEncodeError as error:
            shown = error.object[error.start]
            message = f"--{name.replace('_', '-')}: {shown!r} is a lone surrogate, which is not a character; pass UTF-8"
            raise BadInput(message) from error


def _surveyed(job: Batch) -> Survey:
    """Read the whole input, and warn about values that are written as null."""
    found = jobs.survey(job)
    if found.not_finite:
        files = job.failed if job.output_format == "parquet" else f"{job.target} and {job.failed}"
        _say(
            f"NaN or infinity in {found.not_finite:,} values of {job.source} (the first: {found.first_not_finite}): "
            f"JSON and CSV do not support them, so {files} will have null instead"
        )
    return found


class _WrongDialect(CallFailed):
    """The server speaks another dialect than the command."""


@contextmanager
def _unless_useless(journal: Journal) -> Generator[None]:
    """Remove a journal without finished rows if the command must be changed, as the journal would refuse the new command."""
    try:
        yield
    except (BadInput, click.UsageError, _WrongDialect):
        if not journal.done:
            journal.remove()
        raise


def _check_options(reranker: Reranker) -> None:
    """Raise if the options would make every row fail.

    Raises:
        click.UsageError: An option is wrong; nothing was sent.
    """
    try:
        reranker.dry_run([jobs.PLAIN])
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


def _estimated(job: Batch, found: Survey, top_n: int | None, connection: Connection) -> int:
    number = 0

    def rows() -> Generator[jobs.RowRequest]:
        nonlocal number
        for number, row in enumerate(read(job), 1):
            yield jobs.request(row, number, job, top_n)

    with connect(Reranker, **connection) as reranker, closing(rows()) as requests:
        _check_options(reranker)
        try:
            estimate = reranker.dry_run(requests)
        except (ValueError, TypeError) as error:
            message = f"{job.source}, row {number}: {error}; correct the row, or change the options"
            raise BadInput(message) from error
    click.echo(
        f"{found.rows:,} rows, {estimate.requests:,} requests, {estimate.documents:,} documents, "
        f"{estimate.bytes:,} bytes, about {estimate.search_units:,} search units; nothing was sent",
        err=True,
    )
    return 0


class _BatchRun:
    """A run of a job: record results and report progress."""

    def __init__(self, job: Batch, found: Survey, journal: Journal) -> None:
        self._job = job
        self._rows = found.rows
        self._journal = journal
        self._earlier = journal.done
        self._doubtful: list[FinishedRow] = []
        """The latest failed rows whose error may concern every row; recorded once another row is finished."""
        self._lock = Lock()
        self._limited = False
        self._stopped_by: Exception | None = None
        self._interrupted = False
        self._last: Exception | None = None
        self._show: Callable[[Progress | None], None] = lambda _: None
        self._note: Callable[[str], None] = _say

    def rank(self, results: Results[Any], *, limited: bool) -> None:
        """Record results until the end or an interrupt; warn if the cost limit cannot be enforced."""
        self._limited = limited
        if self._journal.cut:
            _say(f"the incomplete last line of {self._job.journal} was removed")
        if self._earlier:
            _say(f"resuming: {self.state()}")
        with results, _signals(self._interrupt(results)), self._shown():
            results.keep(lambda result: self._keep(result, results))
            try:
                for _ in results:
                    pass
                if not (self._interrupted or self._stopped_by):
                    self._end()
            except KeyboardInterrupt:  # the second one
                pass
            finally:
                self._journal.sync()

    def on_progress(self, progress: Progress) -> None:
        """Show the progress of the run."""
        self._show(progress)

    def state(self) -> str:
        """Return the progress of the job as a sentence."""
        journal = self._journal
        failed = f", {journal.failed:,} of them failed" if journal.failed else ""
        return f"{journal.done:,} of {self._rows:,} rows are finished{failed}, cost {self._cost()}"

    def _cost(self) -> str:
        journal = self._journal
        if not journal.unknown:
            return f"${journal.cost:.6g}"
        if journal.unknown == journal.done - journal.failed:
            return "unknown"
        return f"${journal.cost:.6g} and unknown for {journal.unknown:,} rows"

    def ended_early(self) -> bool:
        """Return True if the run was interrupted.

        Raises:
            CallFailed: An error stopped the run.
        """
        if self._journal.done == self._rows:
            return False
        if self._stopped_by is not None:
            if is_of_another_dialect(self._stopped_by):
                message = f"stopped, as the server speaks another dialect: {self._stopped_by}; {self.state()}; correct the command and run it again"
                raise _WrongDialect(message)
            after = "stopped after many temporary failures in a row: " if self._doubtful else ""
            message = f"{after}{self._stopped_by}; {self.state()}; run the same command again to continue"
            raise CallFailed(message)
        _say(f"interrupted: {self.state()}; run the same command again to continue")
        return True

    def report(self, summary: jobs.Summary) -> None:
        """Report the results of the whole job."""
        _say(f"{self.state()}; {self._job.target} is written")
        if self._journal.failed:
            _say(
                f"the failed rows are in {self._job.failed}, which can be the next IN: {'; '.join(self._failures())}"
            )
        if self._journal.unranked:
            _say(
                f"{self._journal.unranked:,} documents of {self._journal.unranked_rows:,} rows came back without a score "
                "and are not in their rankings"
            )
        if summary.labelled:
            before, after = (
                ", ".join(f"{name} {measured[key]:.4f}" for key, name in jobs.METRICS.items())
                for measured in (summary.before, summary.after)
            )
            _say(f"{summary.labelled:,} rows with labels: before {before}; after {after}")
        if summary.unmeasured:
            _say(
                f"{summary.unmeasured:,} rows have labels, but the metrics need pytrec-eval-terrier: "
                "pip install 'openrouter-rerank[batch]', or '.[batch]' in a clone"
            )

    def _keep(self, result: Result[Any], results: Results[Any]) -> None:
        error = result.error
        none_ranked = self._journal.done == self._journal.failed
        if error is not None and (
            isinstance(error, _ENDING) or (none_ranked and is_unreadable_ranking(error))
        ):
            self._stop(error, results)
            return
        finished = jobs.finished_row(result)
        with self._lock:
            if isinstance(error, RerankError) and (error.retryable or is_of_another_dialect(error)):
                self._doubtful.append(finished)
                self._last = error
                if len(self._doubtful) >= _OUTAGE:
                    self._stop(error, results)
                return
            if self._stopped_by is None:
                self._record_doubtful()
            self._journal.record(finished)
            unknown = self._limited and self._journal.unknown > 0
            self._limited = self._limited and not unknown
        if unknown:
            self._note("--max-cost has no effect: the server reports no cost; limit the rows of IN instead")

    def _record_doubtful(self) -> None:
        for finished in self._doubtful:
            self._journal.record(finished)
        self._doubtful.clear()

    def _end(self) -> None:
        """Finish the run; if every row failed with a retryable error, treat it as an outage."""
        if self._doubtful and not self._journal.done:
            self._stopped_by = self._last
        else:
            self._record_doubtful()

    def _stop(self, error: Exception, results: Results[Any]) -> None:
        self._stopped_by = self._stopped_by or error
        results.drain()

    def _failures(self) -> Iterator[str]:
        journal = self._journal
        for kind, number in journal.failures.most_common(_KINDS):
            yield f"{number:,} by {kind} ({shorten(one_line(journal.messages[kind]), _LONGEST_MESSAGE, placeholder='…')})"
        rest = sum(number for _, number in journal.failures.most_common()[_KINDS:])
        if rest:
            yield f"{rest:,} by other errors"

    def _interrupt(self, results: Results[Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            del number, frame
            if self._interrupted:
                raise KeyboardInterrupt
            self._interrupted = True
            results.drain()
            # Unbuffered, because the signal may arrive while a buffer is written.
            os.write(2, b"\nrerank: finishing the rows in flight; press Ctrl-C again to stop at once\n")

        return handle

    @contextmanager
    def _shown(self) -> Generator[None]:
        if not sys.stderr.isatty():
            self._show = self._line()
            yield
            return
        from rich.console import Console  # noqa: PLC0415 - slow, and only needed on a terminal
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
        from rich.progress import Progress as Bar  # noqa: PLC0415 - likewise

        columns = (
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(
                "{task.fields[rate]} rows/s · cost {task.fields[cost]} · {task.fields[failed]} failed"
            ),
            TimeRemainingColumn(),
        )
        with Bar(*columns, console=Console(stderr=True), refresh_per_second=4) as bar:
            task = bar.add_task("", total=self._rows, completed=self._earlier, rate="-", cost="-", failed=0)

            def show(progress: Progress | None) -> None:
                bar.update(
                    task,
                    completed=self._earlier + (progress.done if progress else 0),
                    **self._facts(progress),
                )

            self._show = show
            self._note = lambda text: bar.console.print(f"rerank: {text}", markup=False, highlight=False)
            yield
            self._note = _say

    def _facts(self, progress: Progress | None) -> dict[str, Any]:
        rate = progress.done / progress.elapsed if progress and progress.elapsed else 0.0
        return {"rate": f"{rate:.1f}", "cost": self._cost(), "failed": self._journal.failed}

    def _line(self, every: float = _REPORT_EVERY) -> Callable[[Progress | None], None]:
        reported = time.monotonic()

        def show(progress: Progress | None) -> None:
            nonlocal reported
            now = time.monotonic()
            if progress is not None and now - reported >= every:
                reported = now
                rate = progress.done / progress.elapsed
                left = (self._rows - self._journal.done) / rate
                _say(f"{self.state()}, {rate:.1f} rows/s, about {left:.0f} s left")

        return show


@contextmanager
def _signals(handle: Callable[[int, FrameType | None], None]) -> Generator[None]:
    """Handle SIGINT and SIGTERM with this function within the block."""
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _say(text: str) -> None:
    click.echo(f"rerank: {one_line(text)}", err=True)
