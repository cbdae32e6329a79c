"""A table of queries, each with its documents, ranked row by row: what is checked, what is asked, and what is made of it.

A job keeps a journal beside its output, `OUT.part`; the output is made of the input and the journal when all rows are there.
It makes no call itself, and prints nothing.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, Unpack, cast

import msgspec

from openrouter_rerank.bulk.job import ERROR, RELEVANCE, RESULTS, BadBatch, Batch, Rows, Survey, reporting
from openrouter_rerank.bulk.journal import Journal, Kept
from openrouter_rerank.bulk.many import Request, Result
from openrouter_rerank.bulk.tables import CHUNK, flushed, infers, read, schema_of, write
from openrouter_rerank.errors import ResponseError
from openrouter_rerank.options import CallOptions

_DEPTH = 10
"""How many places of a ranking the metrics look at."""


# ------------------------------------------------------------------------------------------------------------ checking


def survey(batch: Batch) -> Survey:
    """What the input is.

    Raises:
        BadBatch: It cannot be read, or a row of it can be no request.
    """
    found = Survey()
    chunks = infers(batch)
    chunk: list[dict[str, Any]] = []
    for number, row in enumerate(read(batch), 1):
        _check(row, number, batch)
        found.rows += 1
        found.labelled += row.get(RELEVANCE) is not None
        found.columns.update(dict.fromkeys(row))
        if chunks is not None:
            chunk.append(batch.carried(row))
            if len(chunk) == CHUNK:
                chunks(chunk)
                chunk = []
    if found.rows == 0:
        message = f"{batch.source}: there is no row in it. Name a file with rows"
        raise BadBatch(message)
    _refuse_collisions(found, batch)
    found.digest = _digest(batch.source)
    if batch.output_format == "parquet":
        found.schema = schema_of(batch) if chunks is None else chunks(chunk)
    return found


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
            message = f"{where}: there is no column {column!r}, only {', '.join(row)}. Name the right one with {option}"
            raise BadBatch(message)
    if batch.id_column is not None and batch.id_column not in row:
        message = (
            f"{where}: there is no column {batch.id_column!r}, only {', '.join(row)}. Change --id-column"
        )
        raise BadBatch(message)
    if batch.id_column is not None:
        where += f" ({batch.id_column} {row[batch.id_column]!r})"
    query, documents = row[batch.query_column], row[batch.documents_column]
    if not isinstance(query, str):
        message = f"{where}: the query is {_kind(query)}, not a text. Mend or remove the row"
        raise BadBatch(message)
    if not isinstance(documents, list):
        message = f"{where}: the documents are {_kind(documents)}, not a list. Mend or remove the row"
        raise BadBatch(message)
    for place, document in enumerate(cast(list[object], documents)):
        problem = _problem(document, batch.text_field)
        if problem is not None:
            message = f"{where}: document {place} {problem}"
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
            f"{where}: the column {RELEVANCE!r} is no list of whole numbers, one for each document. "
            "Mend it, or rename the column if it is something else"
        )
        raise BadBatch(message)


def _problem(document: object, field: str | None) -> str | None:
    """What keeps a document from being sent, if anything does."""
    if isinstance(document, str):
        return None
    if not isinstance(document, dict):
        return f"is {_kind(document)}, not a text or an object. Mend or remove the row"
    there = {name: value for name, value in cast(dict[str, Any], document).items() if value is not None}
    names = ", ".join(there) or "nothing"
    if field is not None:
        hint = f"has no text in {field!r}; it has {names}. Name the right field with --text-field"
        return None if isinstance(there.get(field), str) else hint
    if there.keys() - {"text", "image"}:
        return (
            f"has {names}, and but text and image can be sent. Say which field to rank by with --text-field"
        )
    return None if there else "has neither text nor image. Mend or remove the row"


def _kind(value: object) -> str:
    return "missing" if value is None else f"of type {type(value).__name__}"


def _refuse_collisions(found: Survey, batch: Batch) -> None:
    added = [batch.added(name) for name in RESULTS]
    kept = set(found.columns) - (set() if batch.keep_documents else {batch.documents_column})
    taken = [name for name in added if name in kept]
    if taken:
        message = (
            f"{batch.source} has columns of its own that are named as those to be added: {', '.join(taken)}. "
            "Put something before the added ones with --prefix"
        )
        raise BadBatch(message)


# -------------------------------------------------------------------------------------------------------------- asking


def documents_of(row: Mapping[str, Any], batch: Batch) -> list[Any]:
    """The documents of a row as they are sent."""
    documents, field = row[batch.documents_column], batch.text_field
    if field is None:
        return sendable(documents)
    return [document if isinstance(document, str) else document[field] for document in documents]


def sendable(documents: list[Any]) -> list[Any]:
    """The documents without what Arrow fills up with null, as its structs all have the same fields."""
    return [
        {name: value for name, value in cast(dict[str, Any], document).items() if value is not None}
        if isinstance(document, dict)
        else document
        for document in documents
    ]


class Row(Request):
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


def kept(result: Result) -> Kept:
    """What is kept of the result of a `Row`."""
    row: int = result.request.row
    ranking: Any = result.ranking
    if result.error is not None:
        return Kept(row, error=told(result.error))
    return Kept(
        row,
        [(hit.index, hit.score) for hit in ranking],
        ranking.model,
        ranking.provider,
        ranking.usage.cost
        if ranking.attempts or ranking.usage.cost
        else 0.0,  # of no documents nothing is sent
        ranking.usage.search_units,
        ranking.usage.total_tokens,
        ranking.id,
        unranked=len(ranking.unranked),
    )


def told(error: Exception) -> dict[str, Any]:
    """An error as it stands in a row."""
    status = error.status if isinstance(error, ResponseError) else None
    return {"type": type(error).__name__, "message": str(error), "status": status}


def requests(batch: Batch, journal: Journal, top_n: int | None) -> Iterator[Row]:
    """The requests of the rows that are not finished.

    Raises:
        BadBatch: The input has changed, and a row of it can be no request.
    """
    for number, row in enumerate(islice(read(batch), journal.rows)):
        if number not in journal:
            _check(row, number + 1, batch)
            yield Row(number, row[batch.query_column], documents_of(row, batch), top_n=top_n)


# ------------------------------------------------------------------------------------------------------------- writing


class Summary(msgspec.Struct):
    """How good the order was, before and after; the mean over the rows that have labels."""

    labelled: int = 0
    unmeasured: int = 0
    """How many rows have labels that nothing installed can measure by."""
    before: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    after: dict[str, float] = msgspec.field(default_factory=dict[str, float])


METRICS = {"ndcg_cut_10": "nDCG@10", "recip_rank": "MRR@10"}


def finish(batch: Batch, found: Survey, journal: Journal) -> Summary:
    """Make the output of the input and the journal, and remove the journal. It may be killed, and done again.

    Raises:
        BatchError: It cannot be written, or the input has changed; the journal is whole.
    """
    rate = _rater() if found.labelled else None
    summary = Summary(unmeasured=found.labelled if rate is None else 0)
    finished = f"all {found.rows} rows are finished and will not be ranked again"
    parts = batch.making
    try:
        with reporting(batch.target, finished):
            _refuse_changed(batch, found)
            with parts[1].open("wb") as failed:
                write(parts[0], _output(batch, journal, failed, summary, rate), batch, found)
                flushed(failed)
            _refuse_changed(batch, found)
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


def _refuse_changed(batch: Batch, found: Survey) -> None:
    if _digest(batch.source) != found.digest:
        message = f"{batch.source} has changed since it was read. Put it back and run the same command again"
        raise BadBatch(message)


def _output(
    batch: Batch,
    journal: Journal,
    failed: BinaryIO,
    summary: Summary,
    rate: Callable[[list[Any], list[int]], Mapping[str, float]] | None,
) -> Rows:
    for number, row in enumerate(read(batch)):
        what = journal[number]
        if what.ranking is None:
            failed.write(msgspec.json.encode({**row, ERROR: what.error}) + b"\n")
            continue
        documents, labels = row[batch.documents_column], row.get(RELEVANCE)
        if rate is not None and labels is not None:
            summary.labelled += 1
            order = [index for index, _ in what.ranking]
            for sums, indices in ((summary.before, list(range(len(documents)))), (summary.after, order)):
                for name, value in rate(labels, indices).items():
                    sums[name] = sums.get(name, 0.0) + value
        ranking: list[dict[str, Any]] = [{"index": index, "score": score} for index, score in what.ranking]
        if batch.with_documents:
            for hit in ranking:
                hit["document"] = documents[hit["index"]]
        values = {"ranking": ranking, **{name: getattr(what, name) for name in RESULTS[1:]}}
        yield {**batch.carried(row), **{batch.added(name): values[name] for name in RESULTS}}


def _rater() -> Callable[[list[Any], list[int]], Mapping[str, float]] | None:
    """What measures an order by labels: trec_eval, in its Python build; None where it is not installed."""
    try:
        trec: Any = import_module("pytrec_eval")
    except ModuleNotFoundError:
        return None

    def rate(labels: list[Any], order: list[int]) -> Mapping[str, float]:
        relevance = {"q": {str(index): int(label) for index, label in enumerate(labels)}}
        evaluator = trec.RelevanceEvaluator(relevance, {"ndcg_cut.10", "recip_rank"})
        # trec_eval sorts by score; places make no ties.
        run = {str(index): float(-place) for place, index in enumerate(order[:_DEPTH])}
        measured: dict[str, Any] = evaluator.evaluate({"q": run}).get("q", {}) if run else {}
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
