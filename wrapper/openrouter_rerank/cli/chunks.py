"""The options to rank long documents by chunks."""

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
        help="Split documents into chunks of N words, and rank each by its best chunk.  [default: do not split]",
    ),
    click.option(
        "--chunk-overlap",
        type=click.IntRange(min=0),
        metavar="M",
        help="Begin each chunk with the last M words of the previous one; needs --chunk-words.  [default: 0]",
    ),
)


def chunk_options(command: C) -> C:
    """Add the options to a command's function."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def words(number: int | None, overlap: int | None) -> tuple[int, int] | None:
    """Return the numbers of words in a chunk and in the overlap; None if documents are not split.

    Raises:
        BadInput: The options contradict each other.
    """
    if number is None:
        if overlap is not None:
            raise BadInput("--chunk-overlap: needs --chunk-words; add it")
        return None
    if overlap is not None and overlap >= number:
        message = f"--chunk-overlap: {overlap} is not less than --chunk-words {number}; make it smaller"
        raise BadInput(message)
    return number, overlap or 0
