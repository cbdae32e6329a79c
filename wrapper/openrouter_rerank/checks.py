"""Check the numbers that callers pass, however large."""

from __future__ import annotations

from math import inf, isfinite

# Seconds: 23 days. A socket waits for less than 2**31 milliseconds, and a lock or a sleep not much longer on some platforms.
LONGEST_TIME = 2_000_000.0
_SHOWN = 40


def as_float(name: str, value: object, what: str) -> float:
    """Return a number as a float, infinite if no float is as large.

    Raises:
        TypeError: It is not a number; the message says what it must be.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        message = f"{name} must be {what}, not {type(value).__name__}"
        raise TypeError(message)
    try:
        return float(value)
    except OverflowError:
        return inf if value > 0 else -inf


def positive(name: str, value: object, what: str) -> float:
    """Return a positive finite number as a float.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not positive, or no float is as large.
    """
    number = as_float(name, value, f"a number{what}")
    if not (number > 0 and isfinite(number)):
        message = f"{name} must be a positive number{what}, not {shown(value)}"
        raise ValueError(message)
    return number


def shown(value: object) -> str:
    """Return a short text for a value in a message."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out no more than some thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
