"""Check the input of a job, make requests from its rows, and write the output.

A job has a journal beside its output, `OUT.part`. When all rows are finished, input and journal are merged into the output.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import islice, zip_longest
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, Unpack, cast

import msgspec

from openrouter_rerank.bulk.files import is_finite, kind
from openrouter_rerank.bulk.job import (
    COLUMNS,
    ERROR,
    PLACE,
    RELEVANCE,
    RESULTS,
    SCALARS,
    BadBatch,
    Batch,
    BatchError,
    Survey,
    Unwritable,
    reporting,
)
from openrouter_rerank.bulk.journal import FinishedRow, Journal
from openrouter_rerank.bulk.large import split_by_words
from openrouter_rerank.bulk.many import RerankRequest, Result
from openrouter_rerank.bulk.paths import create, flushed, refuse_appeared
from openrouter_rerank.bulk.tables import CarriedSchema, carried_value, chunks, json_line, read, writer
from openrouter_rerank.documents import to_wire
from openrouter_rerank.errors import ResponseError
from openrouter_rerank.options import CallOptions
from openrouter_rerank_api.answers import ANSWER, HIT, USAGE

_DEPTH = 10
"""The number of hits that the metrics count."""


# ------------------------------------------------------------------------------------------------------------ checking


def survey(batch: Batch) -> Survey:
    """Read the whole input, and return the facts about it.

    Every row is also written to a file that discards its content, once as ranked and once as failed, to be sure that it can be written.

    Raises:
        BadBatch: The input cannot be read, a row is not a valid request, or a value does not fit the output.
    """
    found = Survey(digest=_digest(batch.source))
    schema = CarriedSchema(batch) if batch.output_format == "parquet" else None
    try:
        for chunk in chunks(batch):
            for number, row in enumerate(chunk.rows, chunk.first):
                _check(row, number, batch)
                _note_not_finite(row, number, found)
                found.rows += 1
                found.labelled += row.get(RELEVANCE) is not None
                found.columns.update(dict.fromkeys(row))
            if schema is not None:
                schema.add(chunk)
        if found.rows == 0:
            message = f"{batch.source}: it has no rows; name a file with rows"
            raise BadBatch(message)
        _refuse_collisions(found, batch)
        found.schema = None if schema is None else schema.found()
        out, failed = _Nowhere(), _Nowhere()
        _write_rows(batch, found, _either, cast(BinaryIO, out), cast(BinaryIO, failed))
    except Unwritable as error:
        message = f"{batch.source}, {error}"
        raise BadBatch(message) from error
    found.size = out.tell()
    return found


class _Nowhere(io.RawIOBase):
    """A file that discards its content and counts its size."""

    def __init__(self) -> None:
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self._size += size
        return size

    def tell(self) -> int:
        return self._size


def _either(number: int, row: Mapping[str, Any], batch: Batch) -> tuple[FinishedRow, FinishedRow]:
    """Return both possible outcomes of a row: a ranking of typical size, and a failure."""
    more = [_sample(kind) for kind in HIT.values()]
    ranking = [(index, _SCORE, *more) for index in range(len(row[batch.documents_column]))]
    values = {name: _sample(kind) for name, kind in COLUMNS.items()}
    ranked = FinishedRow(number, ranking[: batch.options.get("top_n")], **values)
    return ranked, FinishedRow(number, error={"type": "", "message": "", "status": None})


_SCORE = 0.12345678901234567
_SAMPLES: Mapping[Any, Any] = {str: "n" * 30, int: 0, float: 0.0, bool: False}
"""Typical values of an answer; names and ids have about 30 characters."""


def _sample(kind: Any) -> Any:
    """Return a typical value of a field; None for a list or an object."""
    return _SAMPLES[kind] if kind in SCALARS else None


def _note_not_finite(row: Mapping[str, Any], number: int, found: Survey) -> None:
    for column, value in row.items():
        if not is_finite(value):
            found.not_finite += 1
            found.first_not_finite = found.first_not_finite or f"row {number}, column {column!r}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check(row: Mapping[str, Any], number: int, batch: Batch) -> None:
    where = f"{batch.source}, row {number}"
    for column, option in (
        (batch.query_column, "--query-column"),
        (batch.documents_column, "--documents-column"),
    ):
        if column not in row:
            message = f"{where}: there is no column {column!r}, only {', '.join(row)}; name the right one with {option}"
            raise BadBatch(message)
    if batch.id_column is not None and batch.id_column not in row:
        message = (
            f"{where}: there is no column {batch.id_column!r}, only {', '.join(row)}; change --id-column"
        )
        raise BadBatch(message)
    if batch.id_column is not None:
        where += f" ({batch.id_column} {carried_value(row[batch.id_column])!r})"
    query, documents = row[batch.query_column], row[batch.documents_column]
    if not isinstance(query, str):
        message = f"{where}: the query (column {batch.query_column!r}) is {kind(query)}, not a string; correct or remove the row"
        raise BadBatch(message)
    if not isinstance(documents, list):
        message = (
            f"{where}: the documents (column {batch.documents_column!r}) are {kind(documents)}, not an array; "
            "correct or remove the row"
        )
        raise BadBatch(message)
    for place, document in enumerate(cast(list[object], documents)):
        problem = _problem(document, batch.text_field)
        if problem is not None:
            message = f"{where}, column {batch.documents_column!r}: document {place} {problem}"
            raise BadBatch(message)
    labels = row.get(RELEVANCE)
    if labels is not None and not (
        isinstance(labels, list)
        and len(cast(list[object], labels)) == len(cast(list[object], documents))
        and all(
            isinstance(label, int | float) and isfinite(label) and label == int(label)
            for label in cast(list[object], labels)
        )
    ):
        message = (
            f"{where}: the column {RELEVANCE!r} is not a list of whole numbers, one for each document; "
            "correct it, or rename the column if it is something else"
        )
        raise BadBatch(message)


def _problem(document: object, field: str | None) -> str | None:
    """Return the reason why a document cannot be sent, or None."""
    if isinstance(document, str):
        return None
    if not isinstance(document, dict):
        return f"is {kind(document)}, not a string or an object; correct or remove the row"
    given = cast(dict[str, Any], document)
    there = {name: value for name, value in given.items() if value is not None}
    names = ", ".join(there) or "nothing"
    if field is not None:
        if field not in given:
            return f"has no field {field!r}, only {names}; name the right field with --text-field"
        return _problem_of_fields(given, [field])
    if there.keys() - {"text", "image"}:
        return (
            f"has {names}, but only text and image can be sent; name the field to rank by with --text-field"
        )
    return (
        _problem_of_fields(there, list(there))
        if there
        else "has neither text nor image; correct or remove the row"
    )


def _problem_of_fields(document: Mapping[str, Any], fields: Sequence[str]) -> str | None:
    for name in fields:
        if not isinstance(document[name], (str, bytes) if name == "image" else str):
            return f"has {kind(document[name])} in {name!r}, not a string; correct or remove the row"
    return None


def _refuse_collisions(found: Survey, batch: Batch) -> None:
    added = [batch.added(name) for name in RESULTS]
    kept = set(found.columns) - (set() if batch.keep_documents else {batch.documents_column})
    taken = [name for name in added if name in kept]
    if taken:
        message = (
            f"{batch.source}: it already has columns with the names of added ones: {', '.join(taken)}; "
            "give the added ones a prefix with --prefix"
        )
        raise BadBatch(message)


# ------------------------------------------------------------------------------------------------------------ requests


def documents_of(row: Mapping[str, Any], batch: Batch) -> list[Any]:
    """Return the documents of a row as they are sent."""
    documents, field = row[batch.documents_column], batch.text_field
    if field is None:
        return sendable(documents)
    return [document if isinstance(document, str) else document[field] for document in documents]


def sendable(documents: list[Any]) -> list[Any]:
    """Return the documents without the nulls that Arrow adds so that all structs have the same fields."""
    return [
        {name: value for name, value in cast(dict[str, Any], document).items() if value is not None}
        if isinstance(document, dict)
        else document
        for document in documents
    ]


class RowRequest(RerankRequest[Any]):
    """The request of a row of the input."""

    __slots__ = ("row",)

    def __init__(
        self,
        row: int,
        query: str,
        documents: list[Any],
        *,
        key: str | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        super().__init__(query, documents, key=key, **options)
        self.row = row


PLAIN = ("query", ["document"])
"""A request that is valid with any options: its error is due to the options, and concerns every row."""


def finished_row(result: Result[Any]) -> FinishedRow:
    """Return the outcome of a `RowRequest`."""
    row: int = result.request.row
    ranking: Any = result.ranking
    if result.error is not None:
        return FinishedRow(row, error=error_columns(result.error))
    values = {"response_id": ranking.id}
    values |= {name: getattr(ranking, name) for name in ANSWER if name != "id"}
    values |= {name: getattr(ranking.usage, name) for name in USAGE}
    if not ranking.attempts and not ranking.usage.cost:
        values["cost"] = 0.0  # nothing was sent for an empty list of documents
    return FinishedRow(
        row,
        [(hit.index, hit.score, *[_storable(getattr(hit, name)) for name in HIT]) for hit in ranking],
        unranked=len(ranking.unranked),
        **{name: _storable(value) for name, value in values.items()},
    )


def error_columns(error: Exception) -> dict[str, Any]:
    """Return the value of the error column."""
    status = error.status if isinstance(error, ResponseError) else None
    return {"type": type(error).__name__, "message": _storable(str(error)), "status": status}


def _storable(value: Any) -> Any:
    """Return a server's value in a form that every output format supports.

    NUL characters and lone surrogates are replaced; an integer of more than 64 bits becomes None.
    """
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    return None if isinstance(value, int) and not -(2**63) <= value < 2**63 else value


_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def requests(batch: Batch, journal: Journal, top_n: int | None) -> Generator[RowRequest]:
    """Yield the requests of the unfinished rows.

    Raises:
        BadBatch: The input has changed, and a row is not a valid request any more.
    """
    for number, row in enumerate(islice(read(batch), journal.rows)):
        if number not in journal:
            _check(row, number + 1, batch)
            yield request(row, number, batch, top_n)


def request(row: Mapping[str, Any], number: int, batch: Batch, top_n: int | None) -> RowRequest:
    """Return the request of a row."""
    return RowRequest(
        number,
        row[batch.query_column],
        documents_of(row, batch),
        top_n=top_n,
        splitter=None if batch.chunk is None else split_by_words(*batch.chunk),
    )


# ------------------------------------------------------------------------------------------------------------- writing


class Summary(msgspec.Struct):
    """The quality of the order before and after ranking: the mean over the rows with labels."""

    labelled: int = 0
    unmeasured: int = 0
    """The number of rows with labels, if no evaluator is installed."""
    before: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    after: dict[str, float] = msgspec.field(default_factory=dict[str, float])


METRICS = {"ndcg_cut_10": "nDCG@10", "recip_rank": "MRR@10"}


def finish(batch: Batch, found: Survey, journal: Journal) -> Summary:
    """Merge input and journal into the output, and remove the journal; safe to repeat after an interruption.

    Raises:
        BatchError: The output cannot be written, or the input has changed; the journal is intact.
    """
    rate = _rater() if found.labelled else None
    summary = Summary(unmeasured=found.labelled if rate is None else 0)
    parts = batch.making

    def outcome(number: int, row: Mapping[str, Any], batch: Batch) -> tuple[FinishedRow]:
        finished = journal[number]
        if finished.ranking is not None and rate is not None and row.get(RELEVANCE) is not None:
            _measure(summary, rate, row[RELEVANCE], finished.ranking, len(row[batch.documents_column]))
        return (finished,)

    try:
        with _reporting_any(batch, found):
            _refuse_changed(batch, found)
            with create(parts[0]) as out, create(parts[1]) as failed:
                _write_rows(batch, found, outcome, out, failed)
                flushed(out)
                flushed(failed)
            _refuse_changed(batch, found)
            if not journal.replaces:
                made = {batch.target: parts[0]} | ({batch.failed: parts[1]} if journal.failed else {})
                refuse_appeared(batch, made)
            if journal.failed:
                parts[1].replace(batch.failed)
            else:
                batch.failed.unlink(missing_ok=True)
            parts[0].replace(batch.target)
            _sync_directory(batch.target.parent)
    finally:
        for part in parts:
            with suppress(OSError):
                part.unlink(missing_ok=True)
    journal.remove()
    for measured in (summary.before, summary.after):
        for name in measured:
            measured[name] /= summary.labelled
    return summary


@contextmanager
def _reporting_any(batch: Batch, found: Survey) -> Generator[None]:
    """Raise any error of writing as a BatchError that says that nothing is lost."""
    finished = f"all {found.rows} rows are finished and will not be ranked again"
    try:
        with reporting(batch.target, finished):
            yield
    except BatchError:
        raise
    except Exception as error:
        message = (
            f"{batch.target}: it cannot be written: {error}; run the same command again with --output-format jsonl. "
            f"Nothing is lost: {finished}, as {batch.journal} has them"
        )
        raise BatchError(message) from error


def _refuse_changed(batch: Batch, found: Survey) -> None:
    if _digest(batch.source) != found.digest:
        message = (
            f"{batch.source}: it has changed since it was read; restore it and run the same command again"
        )
        raise BadBatch(message)


def _write_rows(
    batch: Batch,
    found: Survey,
    outcomes: Callable[[int, Mapping[str, Any], Batch], Sequence[FinishedRow]],
    out: BinaryIO,
    failed: BinaryIO,
) -> None:
    """Write each row of the input with its outcomes: rankings to `out`, failures to `failed`.

    Raises:
        Unwritable: A value does not fit its file.
    """
    rows = writer(batch, found, out)
    for chunk in chunks(batch):
        places: list[int] = []
        results: list[dict[str, Any]] = []
        for place, row in enumerate(chunk.rows):
            number = chunk.first + place
            for outcome in outcomes(number - 1, row, batch):
                if outcome.ranking is None:
                    sent_again = {**row, batch.documents_column: _with_images(row[batch.documents_column])}
                    failed.write(json_line({**sent_again, ERROR: outcome.error}, number))
                else:
                    places.append(place)
                    results.append(_results(outcome, outcome.ranking, row[batch.documents_column], batch))
        rows.write(chunk, places, results)
    rows.close()


def _results(
    outcome: FinishedRow, ranking: Sequence[tuple[Any, ...]], documents: list[Any], batch: Batch
) -> dict[str, Any]:
    """Return the columns that are added to a row."""
    # A journal of an older contract has fewer values of a hit.
    hits: list[dict[str, Any]] = [dict(zip_longest(PLACE, values)) for values in ranking]
    if batch.with_documents:
        for hit in hits:
            hit["document"] = documents[hit["index"]]
    values = {"ranking": hits, **{name: getattr(outcome, name) for name in COLUMNS}}
    return {batch.added(name): value for name, value in values.items()}


def _with_images(documents: list[Any]) -> list[Any]:
    """Return the documents with images as data URIs instead of bytes, which JSON cannot contain."""
    return [
        _with_image(cast(dict[str, Any], document))
        if isinstance(document, dict) and isinstance(cast(dict[str, Any], document).get("image"), bytes)
        else document
        for document in documents
    ]


def _with_image(document: dict[str, Any]) -> dict[str, Any]:
    try:
        next(to_wire([{"image": document["image"]}], None, sys.maxsize))
    except StopIteration as done:
        return {**document, "image": done.value[0].image}
    except ValueError:  # it is not an image of a known format
        pass
    return document


_Rate: TypeAlias = Callable[[list[Any], list[int]], Mapping[str, float]]


def _measure(
    summary: Summary, rate: _Rate, labels: list[Any], ranking: Sequence[tuple[Any, ...]], documents: int
) -> None:
    summary.labelled += 1
    order = [index for index, *_ in ranking]
    for sums, indices in ((summary.before, list(range(documents))), (summary.after, order)):
        for name, value in rate(labels, indices).items():
            sums[name] = sums.get(name, 0.0) + value


def _rater() -> _Rate | None:
    """Return the evaluator of trec_eval's Python build, or None if it is not installed."""
    try:
        trec: Any = import_module("pytrec_eval")
    except ModuleNotFoundError:
        return None

    def rate(labels: list[Any], order: list[int]) -> Mapping[str, float]:
        relevance = {"q": {str(index): int(label) for index, label in enumerate(labels)}}
        evaluator = trec.RelevanceEvaluator(relevance, {"ndcg_cut.10", "recip_rank"})
        # trec_eval sorts by score; negative positions avoid ties.
        run = {str(index): float(-place) for place, index in enumerate(order[:_DEPTH])}
        measured: dict[str, Any] = evaluator.evaluate({"q": run})["q"] if run else {}
        return {name: float(measured.get(name, 0.0)) for name in METRICS}

    return rate


def _sync_directory(path: Path) -> None:
    if sys.platform == "win32":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
