"""The options that rank long documents by their chunks."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from openrouter_rerank.cli.errors import BadInput

C = TypeVar("C", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--chunk-words",
        type=click.IntRange(min=1),
        metavar="N",
        help="Rank each document by the best of its chunks of N words.  [default: as a whole]",
    ),
    click.option(
        "--chunk-overlap",
        type=click.IntRange(min=0),
        metavar="M",
        help="Begin each chunk with the last M words of the one before; needs --chunk-words.  [default: 0]",
    ),
)


def chunk_options(command: C) -> C:
    """Add the options to a command's function."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def words(number: int | None, overlap: int | None) -> tuple[int, int] | None:
    """Return the words of a chunk and of its overlap; None if documents are ranked as a whole.

    Raises:
        BadInput: The options contradict each other.
    """
    if number is None:
        if overlap is not None:
            raise BadInput("--chunk-overlap: needs --chunk-words; add it")
        return None
    if overlap is not None and overlap >= number:
        message = f"--chunk-overlap: {overlap} words are not fewer than the {number} of --chunk-words; make it smaller"
        raise BadInput(message)
    return number, overlap or 0
