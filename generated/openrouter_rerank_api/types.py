"""The shared parts of all models and operations: `UNSET`, `Model`, reading and writing JSON, `Response`."""

import os
from collections.abc import Mapping
from threading import RLock
from typing import Any, Generic, TypeVar, cast

import msgspec
from attrs import define, field, fields
from msgspec import UNSET
from msgspec import UnsetType as Unset

from .errors import MalformedBody

T = TypeVar("T")


@define
class Model:
    """The base of every model. Fields that the contract does not name are kept and sent unchanged."""

    # msgspec does not write a field that starts with an underscore.
    _additional_properties: dict[str, Any] = field(factory=dict[str, Any], init=False, repr=False)

    @property
    def additional_properties(self) -> dict[str, Any]:
        """The fields that the contract does not name, by their names on the wire."""
        return self._additional_properties

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data without the unset fields."""
        return cast(dict[str, Any], to_builtins(self))


@define
class Response(Generic[T]):
    """An answer of the server.

    `status_code` is the plain number, known or not. `parsed` is the body as the contract describes it for that status;
    it is None for a status that the contract does not name, and for an error whose body is not the contract's envelope
    (HTML from a gateway, an empty body): `content` has the bytes.
    """

    status_code: int
    content: bytes
    headers: Mapping[str, str]
    parsed: T | None


def encode(value: object) -> bytes:
    """Return the JSON text of a value that may hold models.

    Raises:
        UnicodeEncodeError: A string holds a lone surrogate, which JSON text cannot.
    """
    return msgspec.json.encode(to_builtins(value) if _has_unknown(value) else value)


def decode(content: bytes, model: type[T]) -> T:
    """Return the JSON text as a model: required fields and types are checked, unknown fields are kept.

    Raises:
        MalformedBody: It is not JSON, or breaks the contract; the message names the location.
    """
    try:
        source = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody(f"the body is not JSON: {error}", content) from error
    try:
        return convert(source, model)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"the body is not a {model.__name__}: {error}", content) from error


def convert(source: object, model: type[T]) -> T:
    """Return plain data (as from `json.loads`) as a model, checked like `decode`.

    Raises:
        msgspec.ValidationError: It breaks the contract; the message names the location.
    """
    if model not in _prepared:
        _prepare(model)
    value = msgspec.convert(source, model)
    _keep_unknown(value, source)
    return value


_prepared: set[type] = set()
_preparing = RLock()  # a signal handler may fork
# Windows has no fork.
getattr(os, "register_at_fork", dict)(
    before=_preparing.acquire, after_in_parent=_preparing.release, after_in_child=_preparing.release
)


def _prepare(model: type) -> None:
    """Have msgspec read the fields of a model: it crashes the process if two threads meet a new class at once."""
    with _preparing:
        msgspec.json.Decoder(model)
        _prepared.add(model)


def to_builtins(value: object) -> object:
    """Return plain dicts and lists for a value that may hold models, with unknown and without unset fields."""
    if isinstance(value, Model):
        known = {name: getattr(value, name) for name in _names(type(value))}
        present = {name: to_builtins(item) for name, item in known.items() if item is not UNSET}
        return present | {name: to_builtins(item) for name, item in value.additional_properties.items()}
    if isinstance(value, list):
        return [to_builtins(item) for item in cast(list[object], value)]
    if isinstance(value, dict):
        return {key: to_builtins(item) for key, item in cast(dict[str, object], value).items()}
    return value


_NAMES: dict[type[Model], tuple[str, ...]] = {}


def _names(model: type[Model]) -> tuple[str, ...]:
    if model not in _NAMES:
        _NAMES[model] = tuple(attribute.name for attribute in fields(model) if attribute.init)
    return _NAMES[model]


def _has_unknown(value: object) -> bool:
    if isinstance(value, Model):
        return bool(value.additional_properties) or any(
            _has_unknown(item)
            for name in _names(type(value))
            if (item := getattr(value, name)) is not UNSET and not isinstance(item, str)
        )
    if isinstance(value, list):
        items = cast(list[object], value)
        # Lists of plain strings are the common case, and are copied in one step.
        return not {type(item) for item in items} <= {str} and any(map(_has_unknown, items))
    return False


def _keep_unknown(value: object, source: object) -> None:
    if isinstance(value, Model):
        fields_of = cast(Mapping[str, object], source)
        names = _names(type(value))
        for name, item in fields_of.items():
            if name in names:
                _keep_unknown(getattr(value, name), item)
            else:
                value.additional_properties[name] = item
    elif isinstance(value, list):
        for child, item in zip(cast(list[object], value), cast(list[object], source), strict=True):
            _keep_unknown(child, item)


__all__ = ["UNSET", "Model", "Response", "Unset", "convert", "decode", "encode", "to_builtins"]
