"""Validate the arguments of a call, and make the body of a request from them."""

from __future__ import annotations

import json
import re
from collections import abc
from collections.abc import Callable, Mapping, Sequence, Sized
from math import isfinite
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Required,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import msgspec
from attrs import NOTHING, fields

from openrouter_rerank.arguments import hint, nearest
from openrouter_rerank.checks import LONGEST_TIME, as_float, positive, shown
from openrouter_rerank.decoding import prepare
from openrouter_rerank.documents import exact
from openrouter_rerank_api.api.rerank import create_rerank
from openrouter_rerank_api.dialects import REQUESTS, SUMMARIES
from openrouter_rerank_api.models import RerankRequest
from openrouter_rerank_api.options import NAMES, OPEN, WIRE_TYPES
from openrouter_rerank_api.types import Model, encode

if TYPE_CHECKING:
    from openrouter_rerank.dialects.codec import Codec


def with_options(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a call: those that are given in place of the defaults, `extra_body` added to its default."""
    chosen = {
        **defaults,
        **{name: given[name] for name in given.keys() & defaults.keys() if given[name] is not None},
    }
    if given.get("extra_body") is not None:
        chosen["extra_body"] = mapping("extra_body", defaults["extra_body"]) | mapping(
            "extra_body", given["extra_body"]
        )
    return chosen


def mapping(name: str, value: object) -> dict[str, Any]:
    """Return a mapping with strings as its keys; empty for None.

    Raises:
        TypeError: The value is not such a mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        message = f"{name} must be a mapping, not {type(value).__name__}"
        raise TypeError(message)
    given = dict(cast(Mapping[object, Any], value))
    for key in given:
        if not isinstance(key, str):
            message = f"{name} must have str keys, and {shown(key)} is not a str"
            raise TypeError(message)
    return cast(dict[str, Any], given)


def seconds(name: str, value: object) -> float:
    """Return a positive number of seconds, at most LONGEST_TIME.

    Raises:
        TypeError, ValueError: The value is not a positive number.
    """
    return min(positive(name, value, " of seconds"), LONGEST_TIME)


def score(value: object) -> float | None:
    """Return the lowest score that a hit may have.

    Raises:
        TypeError, ValueError: The value is not a finite number.
    """
    if value is None:
        return None
    number = as_float("min_score", value, "a number")
    if not isfinite(number):
        message = f"min_score must be a finite number, not {shown(value)}"
        raise ValueError(message)
    return number


def _string(name: str, value: object) -> str:
    if not isinstance(value, str):
        message = f"{name} must be a str, not {type(value).__name__}"
        raise TypeError(message)
    if not value.strip():
        message = f"{name} is blank; pass a {name}"
        raise ValueError(message)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _lone_surrogate(name, error) from None
    return exact(value)


def whole_number(name: str, value: object) -> int:
    """Return an integer from 1.

    Raises:
        TypeError, ValueError: The value is not one.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        message = f"{name} must be an int, not {type(value).__name__}"
        raise TypeError(message)
    number = int(cast(Any, value))
    if number < 1:
        message = f"{name} must be at least 1, not {shown(number)}"
        raise ValueError(message)
    return number


def _one_of(*values: str) -> Callable[[str, object], object]:
    """Return a check that a value is one of these."""

    def check(name: str, value: object) -> object:
        if value not in values:
            message = f"{name} must be {_either(values)}, not {shown(value)}{hint(value, values)}"
            raise ValueError(message)
        return value

    return check


def _splitter(name: str, value: object) -> object:
    if not callable(value):
        message = f"{name} must be a function of a text that gives its pieces, not {type(value).__name__}"
        raise TypeError(message)
    return value


_OPTIONS: Mapping[str, Callable[[str, object], object]] = {
    "tag": _string,
    "max_documents": whole_number,
    "max_bytes": whole_number,
    "on_part_error": _one_of("raise", "partial"),
    "blank": _one_of("send", "skip"),
    "splitter": _splitter,
}


def check_options(given: Mapping[str, Any], codec: Codec | None) -> None:
    """Check those arguments that say how a call is made, and are never sent; refuse fields of other dialects.

    Raises:
        TypeError, ValueError: One of them cannot be followed; the message says which.
    """
    if codec is None:
        for name in given.keys() & SUMMARIES.keys():
            having = " or ".join(repr(dialect) for dialect, known in REQUESTS.items() if name in known)
            message = f"{name}: OpenRouter has no such field (dialect {having} has it); pass dialect=, or use extra_body"
            raise ValueError(message)
    for name in given.keys() & _OPTIONS.keys():
        _OPTIONS[name](name, given[name])


prepare(expected for fields in (WIRE_TYPES, *REQUESTS.values()) for expected in fields.values())


def _field(name: str, value: object, expected: Any) -> Any:
    """Return the value of a field of the request as plain data, checked by its type in the contract.

    Raises:
        TypeError: It has the wrong type.
        ValueError: It is blank, out of bounds, misspelt, or JSON cannot carry it.
    """
    plain: Any = _plain(name, value)
    try:
        msgspec.convert(plain, expected)
    except msgspec.ValidationError as error:
        if "missing required" in str(error):
            _refuse_unknown_keys(name, plain, expected)  # it may be there, misspelt
        raise _refusal(name, plain, str(error), expected) from None
    _refuse_unknown_keys(name, plain, expected)
    return plain


def _plain(name: str, value: Any) -> Any:
    """Return a value without subclasses of Python's own types, which the JSON encoder refuses."""
    match value:
        case str():
            return _string(name, value)
        case bool() | None:
            return value
        case Model():
            return _as_json(name, value)
        case Mapping():
            return _as_json(name, mapping(name, cast(object, value)))
        case _ if hasattr(value, "__index__"):  # numpy's integers too
            return int(value)
        case _:
            return _as_json(name, value)


def _refusal(name: str, value: object, problem: str, expected: object) -> TypeError | ValueError:
    """Return the error for a value that the contract does not allow, by msgspec's description of the problem."""
    wanted, _, path = problem.partition(" - at `$")
    wanted = wanted.replace("`", "")
    wanted = wanted[0].lower() + wanted[1:]
    for part in re.findall(r"\.[^.\[`]+|\[(?:\d+|\.{3})\]", path):
        place, value, expected = _part(part, value, expected)
        name += place
    missing = re.fullmatch(r"object missing required field (.*)", wanted)
    if missing:
        return ValueError(f"{name}: the key {missing[1]!r} is missing; it is required")
    kind, _, got = wanted.removeprefix("expected ").partition(", got ")
    if got:
        for word, ours in (("object", "mapping"), ("array", "list"), (" | null", ""), (" | ", " or ")):
            kind = kind.replace(word, ours)
        article = "an" if kind[0] in "aeiou" else "a"
        # A wrong type of a part is a wrong value of the argument.
        error = ValueError if path else TypeError
        return error(f"{name} must be {article} {kind}, not {type(value).__name__}")
    words = _words(expected)
    if words and wanted.startswith("invalid enum value"):
        return ValueError(f"{name} must be {_either(words)}, not {shown(value)}{hint(value, words)}")
    bound = re.fullmatch(r"(?:int|float) ([<>]=?) (\S+)", kind)
    if bound:
        return ValueError(f"{name} must be {_BOUNDS[bound[1]]} {float(bound[2]):.15g}, not {shown(value)}")
    length = re.fullmatch(r"(str|array|object) of length ([<>]=?) (\d+)", kind)
    if length:
        size = f"{_BOUNDS[length[2]]} {length[3]} {_UNITS[length[1]]}"
        return ValueError(f"{name} must have {size}, not {len(cast('Sized', value)):,}")
    return ValueError(f"{name}: {wanted.replace('array', 'list')}, and it is {shown(value)}")


def _part(part: str, value: Any, expected: object) -> tuple[str, Any, object]:
    """Return the place, the value and the type of a part of a value, by its place in msgspec's words.

    The place of a value of an open object is `[...]` there, without its key.
    """
    kinds = _alternatives(expected)
    if part == "[...]":
        inner = next(get_args(kind)[1] for kind in kinds if get_origin(kind) is abc.Mapping)
        key = next(key for key, item in value.items() if not _is_valid(item, inner))
        return f".{key}", value[key], inner
    if part.startswith("["):
        place = int(part[1:-1])
        return part, value[place], next(get_args(kind)[0] for kind in kinds if get_origin(kind) is list)
    key = part[1:]
    hints = (get_type_hints(kind, include_extras=True) for kind in kinds if is_typeddict(kind))
    return part, value[key], next(known[key] for known in hints if key in known)


def _is_valid(value: object, expected: Any) -> bool:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError:
        return False
    return True


_UNITS = {"str": "characters", "array": "items", "object": "keys"}
_BOUNDS = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}


def _words(expected: Any) -> list[str]:
    """Return the values of the closed lists that a type allows."""
    if get_origin(expected) is Literal:
        return list(get_args(expected))
    return [word for part in get_args(expected) for word in _words(part)]


def _either(words: Sequence[str]) -> str:
    quoted = list(map(repr, words))
    return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))


def _refuse_unknown_keys(name: str, value: object, expected: object) -> None:
    """Refuse what msgspec does not look at, at any depth: misspelt keys, and an item twice in a list without repetition.

    A key is misspelt if the contract does not name it, or in an open object if it is nearly a name.
    """
    if isinstance(value, list):
        _refuse_unknown_keys_of_items(name, cast("list[object]", value), expected)
        return
    if not isinstance(value, dict):
        return
    given = cast(dict[str, Any], value)
    for kind in _alternatives(expected):
        if get_origin(kind) is abc.Mapping:
            for key, item in given.items():
                _refuse_unknown_keys(f"{name}.{key}", item, get_args(kind)[1])
        if not is_typeddict(kind):
            continue
        hints = get_type_hints(kind, include_extras=True)
        for key, item in given.items():
            if key in hints:
                _refuse_unknown_keys(f"{name}.{key}", item, hints[key])
                continue
            is_open = kind in OPEN
            close = nearest(key, hints, 0.85 if is_open else 0.4)
            if close or not is_open:
                hint = f"did you mean {close!r}?" if close else f"it knows {', '.join(hints)}."
                message = f"{name}: unknown key {key!r}; {hint} To send it all the same, use extra_body"
                raise ValueError(message)


def _refuse_unknown_keys_of_items(name: str, items: list[object], expected: object) -> None:
    for kind in _alternatives(expected):
        if get_origin(kind) is Annotated and any(meta.extra for meta in get_args(kind)[1:]):
            texts = [json.dumps(item, sort_keys=True) for item in items]
            if len(set(texts)) < len(texts):
                twice = next(text for text in texts if texts.count(text) > 1)
                message = f"{name}: {shown(json.loads(twice))} is there twice; leave one of them out"
                raise ValueError(message)
        if get_origin(kind) is list:
            for place, item in enumerate(items):
                _refuse_unknown_keys(f"{name}[{place}]", item, get_args(kind)[0])


def _alternatives(expected: object) -> list[Any]:
    """Return the types that a union allows; one with bounds is there with them and without."""
    if get_origin(expected) in (Union, UnionType, Required):
        return [kind for part in get_args(expected) for kind in _alternatives(part)]
    if get_origin(expected) is Annotated:
        return [expected, *_alternatives(get_args(expected)[0])]
    return [expected]


def body(
    query: object,
    wire: list[Any],
    arguments: Mapping[str, Any],
    indices: Sequence[int] | None = None,
    codec: Codec | None = None,
) -> bytes:
    """Validate the arguments, and return the JSON text of a request with these documents.

    `indices` are the caller's, by which an error names a document; by default the places in the list. `codec` is that of
    another dialect.

    Raises:
        TypeError, ValueError: An argument cannot be sent, or is misspelt; the message says which.
    """
    try:
        return (
            _canonical(query, wire, arguments)
            if codec is None
            else _encoded(query, wire, arguments, indices, codec)
        )
    except UnicodeEncodeError as error:
        # All else was checked before.
        place = next(place for place, document in enumerate(wire) if not _is_encodable(document))
        where = f"document {place if indices is None else indices[place]}"
        raise _lone_surrogate(where, error) from None


# The arguments of `rerank` by which an answer is checked.
_CHECKED = ("query", "documents", "top_n")


def _extra(arguments: Mapping[str, Any], own: Mapping[str, str]) -> dict[str, Any]:
    """Return the further keys of a request.

    Args:
        arguments: The arguments of the call.
        own: The keys that may not be among them, with the argument of `rerank` in whose place each is.

    Raises:
        ValueError: One of them is such a key.
    """
    given = mapping("extra_body", arguments["extra_body"])
    if not given:
        return {}
    extra = cast("dict[str, Any]", _as_json("extra_body", given))
    for name, argument in own.items():
        if name in extra:
            message = f"extra_body: {name!r} is not allowed, as the answer is checked by it; pass {argument} to rerank()"
            raise ValueError(message)
    return extra


def _encoded(
    query: object, wire: list[Any], arguments: Mapping[str, Any], indices: Sequence[int] | None, codec: Codec
) -> bytes:
    """Return the body of a request in another dialect."""
    given: dict[str, Any] = {"query": _string("query", query), "documents": wire}
    for name in (*WIRE_TYPES, *SUMMARIES):
        if (value := arguments[name]) is not None:
            # What the dialect does not have, the codec refuses.
            expected = codec.fields.get(name, WIRE_TYPES.get(name))
            given[name] = value if expected is None else _field(name, value, expected)
    own = {name: name for name in _CHECKED} | {codec.wire_name(name) or name: name for name in _CHECKED}
    extra = _extra(arguments, own)
    model = codec.wire_name("model")
    if model in extra:
        given["model"] = extra[model]
    return encode({**codec.encode(given, indices), **extra})


_ATTRIBUTES = {attribute.name for attribute in fields(RerankRequest) if attribute.init}
REQUIRED = frozenset(attribute.name for attribute in fields(RerankRequest) if attribute.default is NOTHING)
"""The fields that the contract requires."""


def _canonical(query: object, wire: list[Any], arguments: Mapping[str, Any]) -> bytes:
    given: dict[str, Any] = {
        name: _field(name, value, WIRE_TYPES[name])
        for name in WIRE_TYPES
        if (value := arguments[name]) is not None
    }
    if "top_n" in given:
        # Some servers refuse what openapi.yaml allows: a top_n above the number of documents.
        given["top_n"] = min(given["top_n"], len(wire))
    further = dict[str, Any]()
    if (extra := _extra(arguments, {name: name for name in _CHECKED})) or NAMES:
        given = {NAMES.get(name, name): value for name, value in given.items()} | extra
        further = {name: given.pop(name) for name in given.keys() - _ATTRIBUTES}
    given |= {"query": _string("query", query), "documents": wire}
    if missing := REQUIRED - given.keys():
        if wire:
            message = (
                f"{min(missing)} is required by the API; pass it to rerank(), or to Reranker() for all calls"
            )
            raise ValueError(message)
        given |= dict.fromkeys(missing)  # a client's options may lack what each call passes
    request = RerankRequest(**given)
    request.additional_properties.update(further)
    return cast(bytes, create_rerank.get_kwargs(body=request)["content"])


# More than any request has; further down Python's own limit is near, and where it lies depends on the caller.
_DEEPEST = 100


def _as_json(name: str, value: object) -> object:
    """Return a value as JSON has it.

    Raises:
        TypeError, ValueError: The encoder would send it as something else (a date as text), or cannot encode it.
    """
    try:
        given = value.to_dict() if isinstance(value, Model) else value
        text = json.dumps(given, allow_nan=False, ensure_ascii=False)
        text.encode()
        plain: object = json.loads(text)
    except UnicodeEncodeError as error:
        raise _lone_surrogate(name, error) from None
    except (TypeError, ValueError) as error:
        message = f"{name} holds what JSON cannot (an object of Python, nan, infinity, itself): {error}"
        raise (TypeError if isinstance(error, TypeError) else ValueError)(message) from None
    except RecursionError:
        raise _too_deep(name) from None
    level: list[object] = [plain]
    for _ in range(_DEEPEST):
        level = [item for outer in level for item in _inner(outer)]
        if not level:
            return plain
    raise _too_deep(name)


def _inner(value: object) -> list[object]:
    """Return the lists and objects directly inside a list or an object."""
    if isinstance(value, dict):
        value = list(cast(dict[str, object], value).values())
    if not isinstance(value, list):
        return []
    items = cast(list[Any], value)  # type: ignore[redundant-cast] # pyright needs it
    return [item for item in items if type(item) in (dict, list)]


def _too_deep(name: str) -> ValueError:
    return ValueError(f"{name} is nested more than {_DEEPEST} deep, or holds itself; make it flatter")


def _lone_surrogate(holder: str, error: UnicodeEncodeError) -> ValueError:
    return ValueError(
        f"{holder} has a lone surrogate ({error.object[error.start]!r}), which JSON cannot carry"
    )


def _is_encodable(value: object) -> bool:
    try:
        encode(value)
    except UnicodeEncodeError:
        return False
    return True
