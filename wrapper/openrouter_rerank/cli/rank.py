"""The command `rerank rank`, which ranks documents in files by their relevance to a query."""

import sys
from typing import Unpack

import click

from openrouter_rerank import Reranker, RerankError
from openrouter_rerank.bulk import split_by_words
from openrouter_rerank.bulk.files import STDIN
from openrouter_rerank.cli import output, rows
from openrouter_rerank.cli.choices import OneOf
from openrouter_rerank.cli.chunks import chunk_options, words
from openrouter_rerank.cli.connection import Connection, connect, connection_options
from openrouter_rerank.cli.errors import EXIT_CODES, BadInput, CallFailed, one_line
from openrouter_rerank.cli.rows import Row
from openrouter_rerank_api.answers import ANSWER


@click.command("rank", epilog=EXIT_CODES)
@click.argument("query")
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path())
@click.option(
    "-n", "--top-n", type=click.IntRange(min=1), metavar="N", help="Return only the best N.  [default: all]"
)
@click.option(
    "--min-score", type=float, metavar="SCORE", help="Return only documents with this score or above."
)
@connection_options
@chunk_options
@click.option(
    "--input-format",
    type=OneOf(rows.FORMATS),
    help="The format of every FILE.  [default: by its name; text for standard input]",
)
@click.option(
    "--text-field",
    default="text",
    show_default=True,
    metavar="NAME",
    help="The JSON field, or the column of a table, with the text to rank.",
)
@click.option(
    "--format",
    "output_format",
    type=OneOf(tuple(output.FORMATS)),
    help="The output format.  [default: table on a terminal, else jsonl]",
)
@click.option("--explain", is_flag=True, help="Print a table with a bar for each score.")
def command(  # noqa: PLR0913 - one argument for each option
    *,
    query: str,
    files: tuple[str, ...],
    top_n: int | None,
    min_score: float | None,
    chunk_words: int | None,
    chunk_overlap: int | None,
    input_format: str | None,
    text_field: str,
    output_format: str | None,
    explain: bool,
    **connection: Unpack[Connection],
) -> None:
    """Rank the documents in the FILEs by their relevance to QUERY, best first.

    A document is a line of a text file, a line of a .jsonl file (a string, or an object with a text field), an element of
    the array in a .json file, or a row of a .csv, .tsv or .parquet file with a header. Columns are separated by commas,
    semicolons or tabs. Text is UTF-8, or UTF-16 with a byte order mark, and may be compressed with gzip. Blank lines are
    skipped. Without FILE, or with -, standard input is read. Several files form one list; index counts from 0 over all of
    them.

    \b
    --format table  rank, score, index, document; then model, provider, cost, time
    --format jsonl  one line each: {HIT}
    --format json   one object: ANSWER, usage, elapsed, ..., "hits"
    """  # noqa: D301 - \b makes click keep the line breaks of a block

    def text(row: Row) -> str:
        return row.text(text_field)

    if explain and output_format not in {None, "table"}:
        message = f"--explain: cannot be combined with --format {output_format}; leave one of them out"
        raise BadInput(message)
    if not files:
        if sys.stdin is None or sys.stdin.isatty():
            raise BadInput("no documents: name a FILE, pipe them in, or pass - to type them")
        files = (STDIN,)
    chunked = words(chunk_words, chunk_overlap)
    with connect(Reranker, **connection) as reranker:
        documents = list(rows.read(files, input_format, text_field))
        if not documents:
            names = ", ".join(
                "standard input" if file == STDIN else click.format_filename(file) for file in files
            )
            click.echo(one_line(f"rerank: {names}: no documents found; nothing was sent"), err=True)
        try:
            ranking = reranker.rerank(
                query,
                documents,
                key=text,
                top_n=top_n,
                min_score=min_score,
                splitter=None if chunked is None else split_by_words(*chunked),
            )
        except RerankError as error:
            raise CallFailed(str(error)) from error
        except ValueError as error:
            raise click.UsageError(str(error), click.get_current_context()) from error
    if ranking.unranked:
        click.echo(output.unranked_line(ranking, documents), err=True)
    rows.note_not_finite(documents)
    show = output.explained if explain else output.FORMATS[output_format or output.default_format()]
    output.write(show(ranking, text))


# The names of the fields, from the contract.
command.help = (
    (command.help or "")
    .replace("HIT", ", ".join(f'"{name}"' for name in output.HIT_NAMES))
    .replace("ANSWER", ", ".join(ANSWER))
)
