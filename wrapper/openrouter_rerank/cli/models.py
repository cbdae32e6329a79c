"""`rerank models`: the models that rank, as the server lists them. It ranks nothing."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Unpack

import click
import msgspec

from openrouter_rerank import ModelInfo, Reranker, RerankError
from openrouter_rerank.cli import output
from openrouter_rerank.cli.connection import Server, connect, server_options
from openrouter_rerank.cli.errors import EXIT_CODES, CallFailed, one_line
from openrouter_rerank.defaults import BASE_URL

_UNKNOWN = "unknown"
# Wider than any list: what is cut off an id cannot be asked for.
_WIDE = 10_000


def jsonl(models: Sequence[ModelInfo]) -> bytes:
    """A JSON object on a line for each model; what is not known is null."""
    return b"".join(msgspec.json.encode(model) + b"\n" for model in models)


def json(models: Sequence[ModelInfo]) -> bytes:
    """One JSON object on a line: all models."""
    return msgspec.json.encode({"models": models}) + b"\n"


def table(models: Sequence[ModelInfo]) -> bytes:
    """A table, a line to a model, and below it how many there are."""
    from rich.console import Console  # noqa: PLC0415 - slow, and needed for tables alone
    from rich.table import Table  # noqa: PLC0415 - likewise
    from rich.text import Text  # noqa: PLC0415 - likewise

    console = Console(file=sys.stdout, highlight=False, width=_WIDE)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("id")
    grid.add_column("context", justify="right")
    grid.add_column("price")
    for model in models:
        context = _UNKNOWN if model.context_length is None else f"{model.context_length:,}"
        price = ", ".join(_prices(model)) or _UNKNOWN
        # As Text, for a string would be read as markup.
        grid.add_row(Text(one_line(model.id)), context, price)
    with console.capture() as captured:
        if models:
            console.print(grid)
        console.print(Text(" · ".join(_facts(models)), style="dim"))
    lines = captured.get().splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines).encode(console.encoding, "replace")


FORMATS: Mapping[str, Callable[[Sequence[ModelInfo]], bytes]] = {"table": table, "jsonl": jsonl, "json": json}


@click.command("models", epilog=EXIT_CODES)
@server_options
@click.option(
    "--format",
    "output_format",
    type=click.Choice(tuple(FORMATS)),
    help="How to print.  [default: table on a terminal, else jsonl]",
)
def command(*, output_format: str | None, **server: Unpack[Server]) -> None:
    """List the models that rank, with what is known of their context and price.

    The list of OpenRouter needs no key. It has no price for most models that rank: unknown is not free, and what a call
    cost is told after it.

    \b
    --format table  id, context (tokens), price
    --format jsonl  to a line: {"id", "name", "context_length", "price_per_search", "price_per_token", ...}
    --format json   one object: {"models": [...]}
    """  # noqa: D301 - click takes a backspace as the mark of a block to leave as it is
    if not server["local"]:
        # By name, another server or not, it may be asked without a key.
        server["base_url"] = server["base_url"] or BASE_URL
    with connect(Reranker, model=None, blank=None, fields={}, **server) as reranker:
        try:
            models = reranker.models()
        except RerankError as error:
            raise CallFailed(str(error)) from error
    output.write(FORMATS[output_format or output.default_format()](models))


def _prices(model: ModelInfo) -> Iterator[str]:
    if model.price_per_search is not None:
        yield f"${_plain(model.price_per_search)} / search"
    if model.price_per_token is not None:
        yield f"${_plain(model.price_per_token * 1_000_000)} / M tokens"


def _plain(price: float) -> str:
    """Four digits of the price, without an exponent, which would be read wrongly; never 0."""
    text = f"{Decimal(f'{price:.4g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _facts(models: Sequence[ModelInfo]) -> Iterator[str]:
    yield f"{len(models)} model{'s'[: len(models) != 1]}"
    if any(not list(_prices(model)) for model in models):
        yield f"{_UNKNOWN} is not free: the list has no price for it"
