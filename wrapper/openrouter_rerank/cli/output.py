"""Print a ranking as JSON lines, one JSON object, or a table."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click
import msgspec

from openrouter_rerank import Hit, Ranking
from openrouter_rerank.cli.errors import CallFailed, one_line
from openrouter_rerank.cli.rows import Row
from openrouter_rerank_api.answers import ANSWER, HIT, USAGE

Texts = Callable[[Row], str]
"""Return the text of a document that is ranked and shown."""

_BAR = 20  # the maximum width of a bar; on a narrow terminal, half of the space beside the numbers
_NAMED = 5  # the maximum number of documents without a score to name
_GAP = 2  # blanks that rich puts between two columns


def jsonl(ranking: Ranking[Row], _: Texts) -> bytes:
    """Return a line of JSON for each hit, best first, with the document as in its file."""
    return b"".join(msgspec.json.encode(_hit(hit)) + b"\n" for hit in ranking)


def json(ranking: Ranking[Row], _: Texts) -> bytes:
    """Return one line of JSON with the hits and the facts of the call."""
    whole = {
        **{name: getattr(ranking, name) for name in ANSWER},
        "usage": {name: getattr(ranking.usage, name) for name in USAGE},
        "request_id": ranking.request_id,
        "elapsed": ranking.elapsed,
        "total": ranking.total,
        "reordered": ranking.reordered,
        "unranked": ranking.unranked,
        "hits": list(map(_hit, ranking)),
    }
    return msgspec.json.encode(whole) + b"\n"


def explained(ranking: Ranking[Row], text: Texts) -> bytes:
    """Return a table with a bar for each score."""
    return table(ranking, text, bars=True)


def table(ranking: Ranking[Row], text: Texts, *, bars: bool = False) -> bytes:
    """Return a table as wide as the terminal, with a line for each hit, and a summary of the call."""
    from rich.bar import Bar  # noqa: PLC0415 - slow, and only needed for tables
    from rich.console import Console  # noqa: PLC0415 - likewise
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    console = Console(file=sys.stdout, highlight=False)
    numbers = [(str(rank), f"{hit.score:#.4g}", str(hit.index)) for rank, hit in enumerate(ranking, 1)]
    grid = Table(box=None, pad_edge=False, header_style="bold")
    left = console.width
    for place, heading in enumerate(("rank", "score", "index")):
        width = max([len(heading), *(len(row[place]) for row in numbers)])
        grid.add_column(heading, justify="right", no_wrap=True)
        left -= width + _GAP
    bar = min(_BAR, max((left - _GAP) // 2, 1))
    if bars:
        grid.add_column(no_wrap=True)
        left -= bar + _GAP
    # The documents get the space beside the numbers; rich would truncate the numbers too.
    grid.add_column("document", no_wrap=True, overflow="ellipsis", max_width=max(left, 1))
    least, most = _scale(ranking.scores)
    for row, hit in zip(numbers, ranking, strict=True):
        # Four characters per column are enough for any script; a cell of megabytes would be slow.
        shown = one_line(text(hit.document)[: 4 * console.width])
        # As Text, because a string would be read as markup.
        if not bars:
            grid.add_row(*row, Text(shown))
        elif console.encoding.startswith("utf"):
            grid.add_row(*row, Bar(most - least, 0, hit.score - least, width=bar), Text(shown))
        else:
            part = round(bar * (hit.score - least) / (most - least))
            grid.add_row(*row, Text("#" * part), Text(shown))
    with console.capture() as captured:
        if ranking:
            console.print(grid)
            if bars:
                console.print(Text(f"bars from {least:.4g} to {most:.4g}", style="dim"))
        console.print(Text(" · ".join(_facts(ranking)), style="dim"))
    return captured.get().encode(console.encoding, "replace")


def _scale(scores: list[float]) -> tuple[float, float]:
    """Return the scores at both ends of the bars: 0 and 1 if all scores lie between, else the range of the scores."""
    least, most = min(scores, default=0.0), max(scores, default=1.0)
    if least >= 0 and most <= 1:
        return 0.0, 1.0
    least = min(least, 0.0) if most > 0 else least
    return (least, most) if most > least else (least - 1, most)


FORMATS: Mapping[str, Callable[[Ranking[Row], Texts], bytes]] = {"table": table, "jsonl": jsonl, "json": json}


def unranked_line(ranking: Ranking[Row], documents: Sequence[Row]) -> str:
    """Return the line about documents without a score."""
    places = [f"{documents[index].file}:{documents[index].line}" for index in ranking.unranked[:_NAMED]]
    more = len(ranking.unranked) - len(places)
    named = ", ".join(places) + (f" and {more:,} more" if more else "")
    number = f"{len(ranking.unranked):,} of {ranking.total:,}"
    return one_line(f"rerank: {number} documents came back without a score and are not shown: {named}")


def default_format() -> str:
    """Return `table` for a terminal, else `jsonl`."""
    return "table" if sys.stdout is not None and sys.stdout.isatty() else "jsonl"


def write(output: bytes) -> None:
    """Print to standard output.

    Raises:
        click.exceptions.Exit: The reader has closed the pipe, for example `| head`.
        CallFailed: It cannot be written.
    """
    try:
        click.echo(output, nl=False)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise click.exceptions.Exit(0) from None
        message = f"the output could not be written: {error.strerror}; free some space and rank again"
        raise CallFailed(message) from error


HIT_NAMES = ("index", "score", *HIT, "document", "file", "line")
"""The keys of a hit in JSON."""


def _hit(hit: Hit[Row]) -> dict[str, Any]:
    more = (getattr(hit, name) for name in HIT)
    return dict(zip(HIT_NAMES, (hit.index, hit.score, *more, *hit.document), strict=True))


def _facts(ranking: Ranking[Row]) -> Iterator[str]:
    yield f"{len(ranking)} of {ranking.total} documents"
    if ranking.model:
        by = f" by {one_line(ranking.provider)}" if ranking.provider else ""
        yield f"{one_line(ranking.model)}{by}"
    if ranking.usage.cost is not None:
        # Ten decimals are enough for the price of a token, without an exponent.
        yield f"cost ${f'{ranking.usage.cost:.10f}'.rstrip('0').rstrip('.')}"
    if ranking.unranked:
        yield f"{len(ranking.unranked)} without a score"
    if ranking.reordered:
        yield "the server did not sort the results; they were sorted here"
    yield f"{ranking.elapsed:.2f} s"
