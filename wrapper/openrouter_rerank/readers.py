"""Read values of an answer leniently: None for anything of another type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from openrouter_rerank.decoding import well_formed


def members(value: object) -> Mapping[str, Any]:
    """Return the members of an object, or an empty mapping for anything else."""
    return cast(Mapping[str, Any], value) if isinstance(value, dict) else {}


def items(value: object) -> list[object]:
    """Return the items of a list; none for anything else."""
    return cast("list[object]", value) if isinstance(value, list) else []


def number(value: object) -> float | None:
    """Convert a number to float; return None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def count(value: object) -> int | None:
    """Convert an integer, also one written as 1.0; return None for anything else."""
    found = value if type(value) is int else number(value)
    # A larger number is not a count, and floats are not exact there.
    return int(found) if found is not None and abs(found) < 2**53 and found == int(found) else None


def text(value: object) -> str | None:
    """Return a string without lone surrogates; None for anything else."""
    return well_formed(value) if isinstance(value, str) else None


def flag(value: object) -> bool | None:
    """Return a boolean; None for anything else."""
    return value if isinstance(value, bool) else None


def billed(
    usage: Mapping[str, Any], meta: Mapping[str, Any], tokens: Mapping[str, Any]
) -> dict[str, int | None]:
    """Return the searches and the tokens that were billed, from the places where servers have them.

    Args:
        usage: The object of that name in the answer.
        meta: The object in which servers that follow Cohere say what they bill.
        tokens: The object in which servers that follow SiliconFlow do.
    """
    units = members(meta.get("billed_units"))
    search_units = count(usage.get("search_units"))
    if search_units is None:
        search_units = count(units.get("search_units"))
    total_tokens = _tokens(usage)
    if total_tokens is None:
        total_tokens = _tokens(units)
    if total_tokens is None and search_units is None:
        # Billing by search reports tokens too, which are not billed. Xinference counts the input's tokens twice.
        total_tokens = count(members(meta.get("tokens")).get("input_tokens"))
        total_tokens = _tokens(tokens) if total_tokens is None else total_tokens
    return {"search_units": search_units, "total_tokens": total_tokens}


def _tokens(usage: Mapping[str, Any]) -> int | None:
    """Return the number of tokens: the total, or the sum of input and output."""
    if usage.get("total_tokens") is not None:
        return count(usage["total_tokens"])
    for taken, given in (("input_tokens", "output_tokens"), ("prompt_tokens", "completion_tokens")):
        found = count(usage.get(taken))
        if found is not None:
            return found + (count(usage.get(given)) or 0)
    return None
