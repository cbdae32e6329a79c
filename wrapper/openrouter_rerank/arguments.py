"""Misnamed arguments of functions and values, refused with the nearest name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar

import msgspec

P = ParamSpec("P")
R = TypeVar("R")


class NoOptions(TypedDict):
    """No further arguments: the type of `**unknown`, by which a type checker refuses what the function refuses itself."""


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is most similar, or None."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def hint(value: object, names: Iterable[object]) -> str:
    """Return the suggestion of the name that is most similar to a value, to append to a message."""
    return suggestion(nearest(value.lower(), map(str, names)) if isinstance(value, str) else None)


def suggestion(name: str | None) -> str:
    """Return the question whether a name was meant, to append to a message; empty for None."""
    return f"; did you mean {name!r}?" if name else ""


def did_you_mean(name: str, names: Sequence[str]) -> str:
    """Return the hint for a misspelt argument: the nearest name, or else all names."""
    close = nearest(name, names)
    return f"did you mean {close!r}?" if close else f"its arguments are {', '.join(names)}"


def refuse(
    where: str,
    given: Iterable[str],
    known: Iterable[str],
    hint: Callable[[str, Sequence[str]], str] = did_you_mean,
) -> None:
    """Refuse the first argument that is not known.

    Args:
        where: The function, as the message names it.
        given: The names of the arguments that were given.
        known: The names of its arguments.
        hint: Returns what to do instead, by the name and the known names.

    Raises:
        TypeError: There is no such argument.
    """
    names = sorted(known)
    for name in given:
        if name not in names:
            message = f"{where}() has no argument {name!r}; {hint(name, names)}"
            raise TypeError(message)


def checks_names(function: Callable[P, R]) -> Callable[P, R]:
    """Make the function refuse a misnamed argument with the nearest name.

    Its frame holds the arguments, so it is not for functions that take secrets.
    """
    code = function.__code__
    known = [name for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if name != "self"]
    where = function.__qualname__.removesuffix(".__init__")

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs:
            refuse(where, kwargs, known)
        return function(*args, **kwargs)

    return call


class NamedFields(msgspec.StructMeta):
    """The metaclass of values whose constructor refuses a misnamed field with the nearest name."""

    # A type checker would take what it returns for the type of every value.
    if not TYPE_CHECKING:  # pragma: no branch

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Return a new value."""
            if kwargs:
                refuse(self.__name__, kwargs, self.__struct_fields__)
            return super().__call__(*args, **kwargs)
