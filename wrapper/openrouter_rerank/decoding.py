"""Read JSON strictly, and where that fails as leniently as its use allows.

A ranking that is paid for is not lost for a part of its answer that nobody reads: an echo that is cut within a character, a
NaN beside the results, a number of five thousand digits, a byte that is not UTF-8, or nesting without end.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import isfinite
from typing import Any, TypeVar, cast

import msgspec

B = TypeVar("B")

# What is nested deeper is dropped: no field of the contract is, and repr and pickle recurse.
_DEEPEST = 64
_TOO_DEEP = "[nested too deeply]"
# A body of nothing but brackets and quotes takes too long otherwise.
_MOST_TOKENS = 1_000_000
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[{]+|[\]}]+', re.DOTALL)
# What may follow the value: a server of C++ ends its text with a zero, and some add a line for people.
_PADDING = " \t\r\n\0"


def prepare(types: Iterable[Any]) -> None:
    """Have msgspec read the types that `msgspec.convert` is given later.

    It reads the fields of a class when it first meets it, and crashes the process if two threads meet it at once. A module
    does this when it is imported, or keeps a decoder.
    """
    for each in types:
        msgspec.json.Decoder(each)


def decode(content: bytes, decoder: msgspec.json.Decoder[B]) -> B:
    """Decode a JSON text; where it is not quite JSON, decode what can be read of it.

    The types of the decoder hold either way. A number that is not finite, or too long for an integer, is null.

    Raises:
        msgspec.ValidationError: A value is not of its type; the message names the place.
        msgspec.DecodeError: It cannot be read as JSON.
    """
    try:
        return decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = str(error)
    try:
        return msgspec.convert(_lenient(content), decoder.type)
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(described(error, content)) from None
    except (ValueError, RecursionError):
        raise msgspec.DecodeError(problem) from None


_PLAIN: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Any)


def described(error: msgspec.ValidationError, content: bytes) -> str:
    """Return the problem of a value of a JSON text that `decode` has read."""
    problem = str(error)
    if "got `null`" in problem and not _is_strict(content):
        # The server may have sent NaN, and a message that says null alone misleads.
        return problem.replace("got `null`", "got `null` or a number that is not finite")
    return problem


def _is_strict(content: bytes) -> bool:
    try:
        _PLAIN.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def plain(content: bytes) -> object:
    """Return the JSON text as plain data; None where it cannot be read."""
    try:
        return cast(object, decode(content, _PLAIN))
    except msgspec.DecodeError:
        return None


def pruned(value: object, depth: int = _DEEPEST) -> Any:
    """Return plain data without what is nested too deeply, and without halves of surrogate pairs."""
    match value:
        case str():
            return well_formed(value)
        case list() | dict() if depth == 0:
            return _TOO_DEEP
        case list():
            return [pruned(item, depth - 1) for item in cast(list[object], value)]
        case dict():
            members = cast(dict[str, object], value)
            return {well_formed(name): pruned(item, depth - 1) for name, item in members.items()}
        case _:
            return value


def well_formed(text: str) -> str:
    """Return the text with U+FFFD for each half of a surrogate pair, which no encoder takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _integer(digits: str) -> int | None:
    try:
        return int(digits)
    except ValueError:  # Python converts no more than some thousands of digits
        return None


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if isfinite(number) else None


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return {well_formed(name): value for name, value in pairs}


_lenient_decoder = json.JSONDecoder(
    object_pairs_hook=_members,
    parse_constant=lambda _: None,
    parse_int=_integer,
    parse_float=_number,
    strict=False,
)


def _lenient(content: bytes) -> object:
    """Return the first value of a text that is nearly JSON.

    Raises:
        ValueError: There is no value, or another list or object follows it, so that it is unknown which one counts.
        RecursionError: The caller's stack is nearly full.
    """
    text = content.decode(json.detect_encoding(content), "replace").lstrip(_PADDING)
    try:
        value, end = _lenient_decoder.raw_decode(text)
    except RecursionError:
        text = _flattened(text)
        value, end = _lenient_decoder.raw_decode(text)
    if text[end : end + 64].lstrip(_PADDING).startswith(("{", "[")):
        raise ValueError("another value follows the first")
    return cast(object, value)


def _flattened(text: str) -> str:
    """Return the text with null for each list and object that is nested too deeply."""
    kept: list[str] = []
    depth = start = 0
    for number, token in enumerate(_TOKEN.finditer(text)):
        if number == _MOST_TOKENS:
            raise ValueError("it is nested too deeply, and too long to look for where")
        size = token.end() - token.start()
        match text[token.start()]:
            case "[" | "{":
                if depth <= _DEEPEST < depth + size:
                    kept += (text[start : token.start() + _DEEPEST - depth], "null")
                depth += size
            case "]" | "}":
                if depth > _DEEPEST >= depth - size:
                    start = token.start() + depth - _DEEPEST
                depth -= size
            case _:  # a string
                pass
    if depth <= _DEEPEST:
        kept.append(text[start:])
    return "".join(kept)
