"""Describe observations as cells of a table."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Result = Sequence[Any]
"""The index, score and document of a result, as the client returned them."""


@dataclass(frozen=True)
class Observation:
    """The outcome of a call, and the requests that the server received.

    Attributes:
        requests: The number of requests.
        seconds: The duration of the call; None if it was still running at the bound.
        error: The class of the error, or an empty string.
        status: The HTTP status that the error has as an attribute.
        message: The text of the error.
        pickles: True if the error can be pickled.
        ranking: The results; None if the client returned None, or nothing yet.
    """

    requests: int
    seconds: float | None
    error: str = ""
    status: int | None = None
    message: str = ""
    pickles: bool = False
    ranking: Sequence[Result] | None = None


def describe(
    seen: Observation, documents: Sequence[str], cause: str, bound: float, *, has_error: bool = False
) -> str:
    """Return the text of a cell.

    Args:
        seen: The observation.
        documents: The documents of the call.
        cause: A regular expression for words that name the cause of the fault.
        bound: The seconds after which a call was given up.
        has_error: True if any ranking is wrong, even a valid one.
    """
    if seen.seconds is None:
        return f"**still waiting after {bound:g} s**{count(seen.requests, ' ({} requests)')}"
    # On a busy machine, fractions of a second mean nothing.
    duration = f", {seen.seconds:.0f} s" if seen.seconds >= 3 else ""
    ended = f"{count(seen.requests, ' after {} requests')}{duration}"
    if seen.error:
        unnamed = "" if names_cause(seen, cause) else ", cause not named"
        return f"`{seen.error}`{ended}{unnamed}"
    if seen.ranking is None:
        return f"**no results and no error**{ended}"
    problems = find_problems(seen.ranking, documents)
    if has_error and not problems:
        problems = ["ignores the fault"]
    if problems:
        return f"**{'; '.join(problems)}**{ended}"
    part = "" if len(seen.ranking) == len(documents) else f" {len(seen.ranking)} of {len(documents)}"
    return f"ranks{part}{ended}"


def count(requests: int, text: str) -> str:
    """Return the text with the number of requests; an empty string for one request."""
    return "" if requests == 1 else text.format(requests or "no")


def names_cause(seen: Observation, cause: str) -> bool:
    """Return True if the class, status or message of the error names the cause."""
    return re.search(cause, f"{seen.error} {seen.status} {seen.message}", re.IGNORECASE) is not None


def find_problems(ranking: Sequence[Result], documents: Sequence[str]) -> list[str]:
    """Return the problems of a ranking that a client returned without an error."""
    problems: list[str] = []
    for index, score, document in ranking:
        if not is_index(index, len(documents)):
            # In Python, a negative index counts from the end.
            is_wrong = document is not None and isinstance(index, int) and index < 0
            problems.append(f"{'wrong document for' if is_wrong else 'passes on'} index {show(index)}")
        if not is_number(score):
            problems.append(f"passes on score {show(score)}")
    places = Counter(index for index, _, _ in ranking if is_index(index, len(documents)))
    problems += [f"passes on index {index} ({times} times)" for index, times in places.items() if times > 1]
    scores = [score for _, score, _ in ranking]
    if all(map(is_number, scores)) and scores != sorted(scores, reverse=True):
        problems.append("passes on scores out of order")
    return problems


def is_index(value: Any, size: int) -> bool:
    """Return True for a valid index into a list of this size."""
    return type(value) is int and 0 <= value < size


def is_number(value: Any) -> bool:
    """Return True for a finite number."""
    return type(value) in {int, float} and math.isfinite(value)


def show(value: Any) -> str:
    """Return the repr of a value, shortened and escaped for Markdown."""
    text = repr(value).replace("|", "\\|")
    return f"`{text[:20]}`"
