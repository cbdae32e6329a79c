"""The command `rerank models`, which lists the rerank models of a server."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Unpack

import click
import msgspec

from openrouter_rerank import ModelInfo, Reranker, RerankError
from openrouter_rerank.cli import output
from openrouter_rerank.cli.choices import OneOf
from openrouter_rerank.cli.connection import ServerOptions, connect, server_options
from openrouter_rerank.cli.errors import EXIT_CODES, BadInput, CallFailed, one_line
from openrouter_rerank.defaults import BASE_URL

_UNKNOWN = "unknown"
# Wider than any list, so that no id is truncated.
_WIDE = 10_000


def jsonl(models: Sequence[ModelInfo]) -> bytes:
    """Return a line of JSON for each model; null means unknown."""
    return b"".join(msgspec.json.encode(model) + b"\n" for model in models)


def json(models: Sequence[ModelInfo]) -> bytes:
    """Return all models as one JSON object on a line."""
    return msgspec.json.encode({"models": models}) + b"\n"


def table(models: Sequence[ModelInfo]) -> bytes:
    """Return a table with a line for each model, and their number below it."""
    from rich.console import Console  # noqa: PLC0415 - slow, and only needed for tables
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
        # As Text, because a string would be read as markup.
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
    type=OneOf(tuple(FORMATS)),
    help="The output format.  [default: table on a terminal, else jsonl]",
)
def command(*, output_format: str | None, **server: Unpack[ServerOptions]) -> None:
    """List the rerank models with their context lengths and prices.

    OpenRouter's list needs no key. For most rerank models it has no price; "unknown" does not mean free: each response
    reports its cost.

    \b
    --format table  id, context (tokens), price
    --format jsonl  one line each: {"id", "name", "context_length", "price_per_search", "price_per_token", ...}
    --format json   one object: {"models": [...]}
    """  # noqa: D301 - \b makes click keep the line breaks of a block
    if not (server["local"] or server["dialect"]):
        # With an explicit base URL, a key is not required; the list does not need one.
        server["base_url"] = server["base_url"] or BASE_URL
    with connect(Reranker, model=None, blank=None, fields={}, **server) as reranker:
        try:
            models = reranker.models()
        except RerankError as error:
            raise CallFailed(str(error)) from error
        except ValueError as error:
            raise BadInput(str(error)) from error
    output.write(FORMATS[output_format or output.default_format()](models))


def _prices(model: ModelInfo) -> Iterator[str]:
    if model.price_per_search is not None:
        yield f"${_plain(model.price_per_search)} / search"
    if model.price_per_token is not None:
        yield f"${_plain(model.price_per_token * 1_000_000)} / M tokens"


def _plain(price: float) -> str:
    """Return a price with four significant digits and without an exponent."""
    text = f"{Decimal(f'{price:.4g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _facts(models: Sequence[ModelInfo]) -> Iterator[str]:
    yield f"{len(models)} model{'s'[: len(models) != 1]}"
    if any(not list(_prices(model)) for model in models):
        yield f"{_UNKNOWN} does not mean free: the list has no price for it"
