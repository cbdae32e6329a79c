"""Convert Arrow tables to requests, and results to columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any, cast

import msgspec

from openrouter_rerank.bulk import parquet
from openrouter_rerank.bulk.batch import RowRequest, sendable
from openrouter_rerank.bulk.job import COLUMNS, ERROR
from openrouter_rerank.bulk.journal import FinishedRow
from openrouter_rerank.bulk.tables import arrow_value

arrow: Any = import_module("pyarrow")

_RANKED = "ranked_documents"
_ERROR = arrow.struct([("type", arrow.string()), ("message", arrow.string()), ("status", arrow.int64())])


class Columns(msgspec.Struct, frozen=True, kw_only=True):
    """The columns to read and the columns to add."""

    query: str
    documents: str
    key: str | None
    """The field of a document that is sent; None for all of it."""
    prefix: str
    """A prefix for the names of the added columns."""
    with_documents: bool
    """True to add the documents in their new order."""

    @property
    def added(self) -> list[str]:
        """The names of the columns that are added."""
        ranked = [_RANKED] if self.with_documents else []
        return [self.prefix + name for name in ("indices", "scores", *ranked, *COLUMNS, ERROR)]


def check(schema: Any, columns: Columns) -> None:
    """Refuse a table from which no requests can be made.

    Raises:
        ValueError: A column is missing, or has the name of an added one.
        TypeError: The type of a column is not one of a query, or of documents.
    """
    for name, argument in ((columns.query, "query_column"), (columns.documents, "documents_column")):
        found = schema.names.count(name)
        if found != 1:
            there = f"there is no column {name!r}, only {', '.join(schema.names) or 'none at all'}"
            message = f"{there if not found else f'two columns are named {name!r}'}. Name the right one with {argument}"
            raise ValueError(message)
    taken = [name for name in columns.added if name in schema.names]
    if taken:
        message = (
            f"there are columns already that are named as those to be added: {', '.join(taken)}. "
            "Put something before the added ones with prefix"
        )
        raise ValueError(message)
    query = schema.field(columns.query).type
    if not (_is_text(query) or arrow.types.is_null(query)):
        message = f"the column {columns.query!r} is of type {query}, and a query is a string. Name another with query_column"
        raise TypeError(message)
    _check_documents(schema.field(columns.documents).type, columns)


def _check_documents(kind: Any, columns: Columns) -> None:
    types = arrow.types
    if types.is_null(kind):
        return  # each of its rows fails
    name = columns.documents
    if not any(getattr(types, f"is_{one}", _never)(kind) for one in _LISTS):
        message = (
            f"the column {name!r} is of type {kind}, and documents are a list of strings, or of structs with text and/or "
            "image. Name another with documents_column"
        )
        raise TypeError(message)
    one = kind.value_type
    if types.is_null(one):
        return
    if types.is_struct(one):
        fields = [one.field(place).name for place in range(one.num_fields)]
        if columns.key is not None and columns.key not in fields:
            message = f"documents are structs of {', '.join(fields)}, without {columns.key!r}. Name one of these with key"
            raise ValueError(message)
        if columns.key is None and not (fields and set(fields) <= {"text", "image"}):
            message = (
                f"documents are structs of {', '.join(fields)}, and only text and image are sent as they are. "
                "Name the field to send with key"
            )
            raise ValueError(message)
    elif not _is_text(one):
        message = (
            f"documents in the column {name!r} are of type {one}, and only strings and structs can be sent"
        )
        raise TypeError(message)
    elif columns.key is not None:
        message = f"documents are strings and have no field {columns.key!r}. Leave key out"
        raise ValueError(message)


_LISTS = ("list", "large_list", "fixed_size_list", "list_view", "large_list_view")


def _never(kind: Any) -> bool:
    del kind
    return False


def _is_text(kind: Any) -> bool:
    types = arrow.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        types.is_string(kind) or types.is_large_string(kind) or getattr(types, "is_string_view", _never)(kind)
    )


def requests(table: Any, columns: Columns) -> Iterator[RowRequest]:
    """Yield the request of each row."""
    queries, documents = table.column(columns.query), table.column(columns.documents)
    for number, (query, listed) in enumerate(zip(queries, documents, strict=True)):
        found = cast(list[Any] | None, listed.as_py())
        sent = found if found is None or columns.key is not None else sendable(found)
        # The call refuses null as it refuses any other value that is not a list.
        yield RowRequest(number, query.as_py(), cast(list[Any], sent), key=columns.key)


def with_results(table: Any, kept: Sequence[FinishedRow], columns: Columns) -> Any:
    """Return the table with the columns of its finished rows."""
    ranked = [row.ranking for row in kept]
    values: dict[str, Any] = {
        "indices": _lists(
            [ranking and [index for index, *_ in ranking] for ranking in ranked], arrow.int32()
        ),
        "scores": _lists(
            [ranking and [score for _, score, *_ in ranking] for ranking in ranked], arrow.float64()
        ),
    }
    if columns.with_documents:
        documents = table.column(columns.documents)
        kind = documents.type
        ordered = [
            ranking and [place[index] for index, *_ in ranking]
            for ranking, place in zip(ranked, documents.to_pylist(), strict=True)
        ]
        values[_RANKED] = _lists(ordered, arrow.null() if arrow.types.is_null(kind) else kind.value_type)
    for name, kind in COLUMNS.items():
        column = [arrow_value(kind, getattr(row, name)) for row in kept]
        values[name] = arrow.array(column, parquet.type_of(kind))
    values[ERROR] = arrow.array([row.error for row in kept], _ERROR)
    for name, value in values.items():
        table = table.append_column(columns.prefix + name, value)
    return table


def _lists(values: list[Any], kind: Any) -> Any:
    return arrow.array(values, arrow.list_(kind))
