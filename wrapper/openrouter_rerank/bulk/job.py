"""A job of `rerank batch`: its files, columns and options, and its errors."""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from openrouter_rerank.bulk.files import kind
from openrouter_rerank_api.answers import ANSWER, HIT, USAGE

FORMATS = ("jsonl", "csv", "parquet")
"""The formats of the output."""
INPUT_FORMATS = ("jsonl", "csv", "tsv", "parquet")

RELEVANCE = "relevance"
ERROR = "rerank_error"
"""The column that a failed row has in addition; it is dropped when such rows are read again."""
COLUMNS: Mapping[str, Any] = {
    **{name: kind for name, kind in ANSWER.items() if name != "id"},
    **USAGE,
    "response_id": ANSWER["id"],
}
"""The columns that are added to a row beside its ranking: the fields of the answer, with their types."""
RESULTS = ("ranking", *COLUMNS)
"""The columns that are added to a row."""
SCALARS = (str, int, float, bool)
"""The types of which a column has values as they are; where a format has no others, values of these are JSON."""
PLACE = ("index", "score", *HIT)
"""The fields of a hit that are kept, without its document."""

# These errors need more space on the disk; others need another step.
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))

Rows: TypeAlias = Iterator[dict[str, Any]]


class BatchError(Exception):
    """An error that ends a job; the message has the next step."""


class BadBatch(BatchError):
    """Invalid input or options; nothing was sent."""


class Unwritable(Exception):
    """A value that cannot be written in the format of a file."""

    def __init__(self, row: int, column: str, value: object, reason: str, form: str) -> None:
        try:
            shown = bytes(value).decode() if isinstance(value, msgspec.Raw) else repr(value)
        except RecursionError:
            shown = kind(value)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}..."
        step = (
            "correct it" if form == "JSON" else "write JSON lines with --output-format jsonl, or correct it"
        )
        super().__init__(f"row {row}: {form} cannot hold {shown} in the column {column!r} ({reason}); {step}")


_SHOWN = 60


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """The files, columns and options of a job."""

    source: Path
    target: Path
    input_format: str
    output_format: str
    query_column: str = "query"
    documents_column: str = "documents"
    id_column: str | None = None
    text_field: str | None = None
    """The field with the text of documents that are objects; None to send them unchanged."""
    prefix: str = ""
    """The prefix of the name of each added column."""
    keep_documents: bool = False
    with_documents: bool = False
    """True to include the documents in the ranking."""
    chunk: tuple[int, int] | None = None
    """Words of a chunk and of its overlap; None to rank documents as a whole."""
    options: Mapping[str, Any] = {}
    """Other options that determine the rankings: a job is not resumed with different ones."""

    @property
    def journal(self) -> Path:
        """The file of the finished rows."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def failed(self) -> Path:
        """The file of the failed rows."""
        return self.target.with_name(self.target.name + ".failed.jsonl")

    @property
    def making(self) -> tuple[Path, Path]:
        """The temporary files of the target and of the failed rows, until both are complete."""
        names = (self.journal.name + ".out", self.journal.name + ".failed")
        return self.target.with_name(names[0]), self.target.with_name(names[1])

    @property
    def written(self) -> tuple[Path, ...]:
        """All files that the job can write and remove."""
        return (self.target, self.failed, self.journal, *self.making)

    def carried(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of the row that are copied to the output."""
        return {
            name: value for name, value in row.items() if self.keep_documents or name != self.documents_column
        }

    def added(self, name: str) -> str:
        """Return the name of an added column."""
        return self.prefix + name


class Survey(msgspec.Struct):
    """Facts about the input, collected before anything is sent."""

    rows: int = 0
    labelled: int = 0
    """The number of rows with relevance labels."""
    columns: dict[str, None] = msgspec.field(default_factory=dict[str, None])
    """The names of the columns, in order of appearance."""
    digest: str = ""
    schema: Any = None
    """For Parquet: the types of the columns that are copied to the output."""
    size: int = 0
    """An upper estimate of the bytes of the output if no row fails."""
    not_finite: int = 0
    """The number of values with NaN or infinity, which JSON cannot represent."""
    first_not_finite: str = ""
    """The place of the first one."""


@contextmanager
def reporting(path: Path, kept: str) -> Generator[None]:
    """Raise an error of the file system as a BatchError."""
    try:
        yield
    except OSError as error:
        step = "free some space" if error.errno in _NO_ROOM else "fix that"
        message = f"{path}: it cannot be written: {error.strerror or error}; {step} and run the same command again: {kept}"
        raise BatchError(message) from error
