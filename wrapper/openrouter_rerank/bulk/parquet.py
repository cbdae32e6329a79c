"""Read Parquet as JSON values, infer its types from JSON values, and write it."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, cast

import msgspec

from openrouter_rerank.bulk.files import BadFile, kind

CHUNK = 256
"""The number of rows to read or write at a time."""


def load(module: str = "pyarrow") -> Any:
    """Import pyarrow, or a module of it.

    Raises:
        BadFile: It is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        message = "Parquet needs pyarrow: pip install 'openrouter-rerank[batch]', or '.[batch]' in a clone"
        raise BadFile(message) from error


def type_of(kind: Any) -> Any:
    """Return the Arrow type for the type of an answer's field; lists and objects are written as JSON."""
    arrow = load()
    scalars = {int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    return scalars.get(kind, arrow.string())


def problems() -> tuple[type[Exception], ...]:
    """Return the exceptions that pyarrow raises for a value or a type that it refuses."""
    return (load().ArrowException, ValueError, TypeError, OverflowError)


# ------------------------------------------------------------------------------------------------------------- reading


def schema_of(name: str, source: Any) -> Any:
    """Return the schema of a file.

    Raises:
        BadFile: It is not Parquet, or two columns have the same name.
    """
    schema = _opened(name, source).schema_arrow
    twice = next((column for column in schema.names if schema.names.count(column) > 1), None)
    if twice is not None:
        message = f"{name}: two columns are named {twice!r}; rename one of them"
        raise BadFile(message)
    return schema


def batches(name: str, source: Any) -> Iterator[Any]:
    """Yield the record batches of a file.

    Raises:
        BadFile: It is not Parquet, or is damaged.
    """
    file = _opened(name, source)
    try:
        yield from file.iter_batches(batch_size=CHUNK)
    except (load().ArrowException, OSError) as error:
        message = f"{name}: the Parquet file cannot be read ({error}); get it again"
        raise BadFile(message) from error
    finally:
        file.close()


def _opened(name: str, source: Any) -> Any:
    try:
        return load("pyarrow.parquet").ParquetFile(source)
    except load().ArrowException as error:
        message = (
            f"{name}: not Parquet, or damaged ({error}); get it again, or pass its format with --input-format"
        )
        raise BadFile(message) from error


def rows(name: str, batch: Any, first: int) -> list[dict[str, Any]]:
    """Return the rows of a record batch as JSON values.

    Values without a JSON type are `msgspec.Raw`: dates and times in ISO 8601, decimals as strings. Maps are lists of pairs.
    Bytes stay bytes, and are written in base64.

    Args:
        name: The file's name, for messages.
        batch: The record batch.
        first: The number of its first row.

    Raises:
        BadFile: A value cannot be written as JSON.
    """
    names = batch.schema.names
    columns = [
        _json_values(f"{name}, row", first, column, values)
        for column, values in zip(names, batch.columns, strict=True)
    ]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _json_values(where: str, first: int, name: str, values: Any) -> list[Any]:
    try:
        if _is_json(values.type):
            return cast(list[Any], values.to_pylist())
        return [_json_value(value) for value in values]
    except problems():
        for number, value in enumerate(values, first):
            try:
                _json_value(value)
            except problems() as error:
                message = (
                    f"{where} {number}: the column {name!r} has a value of type {values.type} that cannot be written as JSON "
                    f"({error}); correct it, or drop the column"
                )
                raise BadFile(message) from error
        raise


def _is_json(type_: Any) -> bool:
    """Return True if pyarrow converts values of this type to JSON values."""
    is_ = load().types
    if is_.is_struct(type_):
        fields = [type_.field(place) for place in range(type_.num_fields)]
        return all(_is_json(field.type) for field in fields)
    if is_list(type_):
        return _is_json(type_.value_type)
    return is_text(type_) or any(
        check(type_)
        for check in (is_.is_null, is_.is_boolean, is_.is_integer, is_.is_float32, is_.is_float64)
    )


def is_text(type_: Any) -> bool:
    """Return True if the values of this type are strings."""
    is_ = load().types
    return bool(is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_))


def is_list(type_: Any) -> bool:
    """Return True if the values of this type are lists."""
    is_ = load().types
    checks = (
        is_.is_list,
        is_.is_large_list,
        is_.is_fixed_size_list,
        is_.is_list_view,
        is_.is_large_list_view,
    )
    return any(check(type_) for check in checks)


def _json_value(scalar: Any) -> Any:
    arrow = load()
    is_, type_ = arrow.types, scalar.type
    if not scalar.is_valid:
        return None
    if isinstance(scalar, arrow.ExtensionScalar):
        found: object = scalar.as_py()
        return (
            found if isinstance(found, bool) else str(found) if _is_uuid(type_) else _json_value(scalar.value)
        )
    if is_.is_dictionary(type_):
        return _json_value(scalar.value)
    if is_.is_nested(type_):
        return _nested(scalar)
    return scalar.as_py() if _is_json(type_) else _converted(scalar)


def _nested(scalar: Any) -> Any:
    is_, type_ = load().types, scalar.type
    if is_.is_map(type_):
        return [[_json_value(pair[0]), _json_value(pair[1])] for pair in scalar.values]
    if not is_.is_struct(type_):
        return [_json_value(value) for value in scalar.values]
    names = [field.name for field in type_]
    if len(set(names)) < len(names):
        message = "two fields of a struct have the same name"
        raise ValueError(message)
    return {name: _json_value(scalar[name]) for name in names}


def _converted(scalar: Any) -> Any:
    """Return the JSON for a value without a JSON type."""
    is_, type_ = load().types, scalar.type
    if is_.is_float16(type_):
        return float(scalar.as_py())
    if is_.is_decimal(type_):
        return _raw(str(scalar.as_py()))
    if is_.is_duration(type_):
        return _raw(_duration(scalar.value, type_.unit))
    if is_.is_temporal(type_):
        return _raw(_time(str(scalar.cast(load().string()))))
    return cast(
        bytes, scalar.as_py()
    )  # the only type left in Parquet; bytes are images, or are written in base64


def _is_uuid(type_: Any) -> bool:
    return getattr(type_, "extension_name", None) == "arrow.uuid"


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(text))


_DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}


def _duration(ticks: int, unit: str) -> str:
    """Return a duration in ISO 8601."""
    digits = _DIGITS[unit]
    seconds, rest = divmod(abs(ticks), 10**digits)
    fraction = f"{rest:0{digits}d}".rstrip("0") if rest else ""
    return f"{'-' if ticks < 0 else ''}PT{seconds}{'.' if fraction else ''}{fraction}S"


_TIME = re.compile(r"(-?[\d-]+)?( )?([\d:]+)?(?:\.(\d*?)0*)?(Z|[+-]\d{2}\d{2})?")


def _time(text: str) -> str:
    """Convert Arrow's text of a date or a time to ISO 8601."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(text)
    day, blank, time, fraction, zone = found.groups(default="")
    if len(zone) > 1:
        zone = f"{zone[:3]}:{zone[3:]}"
    return f"{day}{'T' if blank else ''}{time}{'.' if fraction else ''}{fraction}{zone}"


# --------------------------------------------------------------------------------------------------- types of JSON


class MixedTypes(Exception):
    """Values whose types do not fit in one Parquet column."""


class Inference:
    """The types of columns, inferred from JSON values."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}
        self._first: dict[str, int] = {}

    def add(self, name: str, number: int, value: Any) -> None:
        """Add a value of a column.

        Raises:
            MixedTypes: The value does not fit the earlier ones, or any type.
        """
        arrow = load()
        before = self._types.setdefault(name, arrow.null())
        try:
            found = _type_of(value)
            self._types[name] = _merged(before, found)
        except MixedTypes as error:
            first = self._first.get(name)
            since = "" if first is None else f" (the first value is in row {first})"
            message = f"{error}{since}"
            raise MixedTypes(message) from None
        if value is not None:
            self._first.setdefault(name, number)

    def schema(self) -> Any:
        """Return the schema of all columns."""
        return load().schema(list(self._types.items()))


def _type_of(value: Any) -> Any:
    arrow = load()
    if isinstance(value, dict):
        fields = cast(dict[str, Any], value)
        return arrow.struct([(name, _type_of(one)) for name, one in fields.items()])
    if isinstance(value, list):
        return arrow.list_(_element_type(cast(list[object], value)))
    if type(value) is int:
        return _integer_type(value)
    make = {type(None): arrow.null, bool: arrow.bool_, float: arrow.float64, str: arrow.string}
    return make[type(value)]()


def _integer_type(value: int) -> Any:
    if -(2**63) <= value < 2**63:
        return load().int64()
    if 0 < value < 2**64:
        return load().uint64()
    message = f"{value} needs more than 64 bits"
    raise MixedTypes(message)


def _element_type(values: list[object]) -> Any:
    kinds = set(map(type, values))
    if kinds in ({str}, {float}):  # a fast path for texts and vectors
        return _type_of(values[0])
    type_ = load().null()
    for value in values:
        type_ = _merged(type_, _type_of(value))
    return type_


def _merged(one: Any, other: Any) -> Any:
    arrow = load()
    is_ = arrow.types
    if one == other or is_.is_null(other):
        return one
    if is_.is_null(one):
        return other
    if is_.is_list(one) and is_.is_list(other):
        return arrow.list_(_merged(one.value_type, other.value_type))
    if is_.is_struct(one) and is_.is_struct(other):
        fields = {field.name: field.type for field in one}
        for field in other:
            fields[field.name] = _merged(fields.get(field.name, arrow.null()), field.type)
        return arrow.struct(list(fields.items()))
    numbers = [arrow.int64(), arrow.uint64(), arrow.float64()]
    if one in numbers and other in numbers:
        return max(one, other, key=numbers.index)
    message = f"it contains {_kind_of(one)} and {_kind_of(other)}"
    raise MixedTypes(message)


def _kind_of(type_: Any) -> str:
    is_ = load().types
    if is_.is_list(type_):
        return kind([])
    if is_.is_struct(type_):
        return kind({})
    example: Any = True if is_.is_boolean(type_) else "" if is_.is_string(type_) else 0
    return kind(example)


# ------------------------------------------------------------------------------------------------------------- writing


class BadValue(Exception):
    """A value that Parquet cannot store, with its position in the table."""

    def __init__(self, place: int, name: str, error: Exception) -> None:
        super().__init__(str(error).partition(". Consider")[0])
        self.place, self.name = place, name


def table(schema: Any, columns: Mapping[str, Sequence[Any]]) -> Any:
    """Return a table of JSON values.

    Raises:
        BadValue: A value does not fit its type.
    """
    arrow = load()
    arrays: list[Any] = []
    for field in schema:
        values = columns[field.name]
        try:
            arrays.append(arrow.array(values, field.type))
        except problems() as error:
            _raise_bad_value(values, field)
            raise BadValue(0, field.name, error) from error
    return arrow.Table.from_arrays(arrays, schema=schema)


class Writer:
    """Write tables of one schema to a file."""

    def __init__(self, file: Any, schema: Any) -> None:
        self._file, self._schema = file, schema
        self._writer: Any = None

    def write(self, rows: Any) -> None:
        """Write a table.

        Raises:
            BadValue: Parquet cannot store a type or a value of the table.
        """
        try:
            self._begun().write_table(rows)
        except problems() as error:
            for field in rows.schema:
                _raise_bad_value(rows.column(field.name), field)
            raise BadValue(0, rows.schema.names[0], error) from error

    def close(self) -> None:
        """Write the end of the file."""
        self._begun().close()

    def _begun(self) -> Any:
        # Created with the first table, so that an error for a type can name one of its values.
        if self._writer is None:
            self._writer = load("pyarrow.parquet").ParquetWriter(self._file, self._schema)
        return self._writer


def _raise_bad_value(values: Any, field: Any) -> None:
    """Raise BadValue for the first value that cannot be written alone."""
    arrow, parquet = load(), load("pyarrow.parquet")
    schema = arrow.schema([field])
    # Nulls last, so that an error for a type names a value, if there is one.
    order = sorted(range(len(values)), key=lambda place: not _is_valid(values[place]))
    for place in order:
        one = values[place]
        try:
            array = (
                values.slice(place, 1)
                if isinstance(values, arrow.ChunkedArray)
                else arrow.array([one], field.type)
            )
            with parquet.ParquetWriter(io.BytesIO(), schema) as alone:
                alone.write_table(arrow.Table.from_arrays([array], schema=schema))
        except problems() as error:
            raise BadValue(place, field.name, error) from error


def _is_valid(value: Any) -> bool:
    """Return True if the value is not null."""
    return bool(getattr(value, "is_valid", value is not None))
