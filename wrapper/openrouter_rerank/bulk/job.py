"""A job of `rerank batch`: what is ranked by which columns, where it goes, and what may end it. Values alone."""

from __future__ import annotations

import errno
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from openrouter_rerank_api.answers import ANSWER, HIT, USAGE

FORMATS = ("jsonl", "csv", "parquet")
"""The formats of the output."""
INPUT_FORMATS = ("jsonl", "csv", "tsv", "parquet")

RELEVANCE = "relevance"
ERROR = "rerank_error"
"""The column of a row that failed; it is left out where such rows are read again."""
COLUMNS: Mapping[str, type] = {
    **{name: kind for name, kind in ANSWER.items() if name != "id"},
    **USAGE,
    "response_id": ANSWER["id"],
}
"""The columns that are added to a row beside its ranking: the fields of the answer, with their types."""
RESULTS = ("ranking", *COLUMNS)
"""The columns that are added to a row."""
PLACE = ("index", "score", *HIT)
"""The fields of a hit that are kept, without its document."""

# These need more room; whatever else a file system says wants something else done.
_NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))

Rows: TypeAlias = Iterator[dict[str, Any]]


class BatchError(Exception):
    """What ends a job, and what to do about it."""


class BadBatch(BatchError):
    """The input or the options are wrong, and nothing was sent."""


class Unwritable(Exception):
    """A value that cannot be written in the format of a file."""

    def __init__(self, row: int, column: str, value: object, reason: str, form: str) -> None:
        shown = bytes(value).decode() if isinstance(value, msgspec.Raw) else repr(value)
        if len(shown) > _SHOWN:
            shown = f"{shown[:_SHOWN]}..."
        step = "mend it" if form == "JSON" else "write JSON lines with --output-format jsonl, or mend it"
        super().__init__(f"row {row}: {form} cannot hold {shown} in the column {column!r} ({reason}); {step}")


_SHOWN = 60


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A job: what is ranked by which columns, and where it goes."""

    source: Path
    target: Path
    input_format: str
    output_format: str
    query_column: str = "query"
    documents_column: str = "documents"
    id_column: str | None = None
    text_field: str | None = None
    """Of documents that are objects, the field that is ranked by; without it they are sent as they are."""
    prefix: str = ""
    """Put before the name of each added column."""
    keep_documents: bool = False
    with_documents: bool = False
    """Whether the ranking carries its documents."""
    chunk: tuple[int, int] | None = None
    """Words of a chunk, and of its overlap, where documents are ranked by their chunks."""
    options: Mapping[str, Any] = {}
    """What else determines the rankings: a job is not taken up with others."""

    @property
    def journal(self) -> Path:
        """Where the rows that are finished are kept."""
        return self.target.with_name(self.target.name + ".part")

    @property
    def failed(self) -> Path:
        """Where the rows that failed go."""
        return self.target.with_name(self.target.name + ".failed.jsonl")

    @property
    def making(self) -> tuple[Path, Path]:
        """What both are called until they are whole."""
        names = (self.journal.name + ".out", self.journal.name + ".failed")
        return self.target.with_name(names[0]), self.target.with_name(names[1])

    @property
    def written(self) -> tuple[Path, ...]:
        """All that the job may write, and remove."""
        return (self.target, self.failed, self.journal, *self.making)

    def carried(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What of the row is in the output too."""
        return {
            name: value for name, value in row.items() if self.keep_documents or name != self.documents_column
        }

    def added(self, name: str) -> str:
        """The name of an added column."""
        return self.prefix + name


class Survey(msgspec.Struct):
    """What the input is, found by reading all of it before anything is sent."""

    rows: int = 0
    labelled: int = 0
    """How many rows have relevance labels."""
    columns: dict[str, None] = msgspec.field(default_factory=dict[str, None])
    """Their names, in the order in which they were met."""
    digest: str = ""
    schema: Any = None
    """For Parquet: the types of the columns that are carried over."""
    size: int = 0
    """Bytes of the output, or a little more, if no row fails."""
    not_finite: int = 0
    """Values with NaN or infinity, which JSON does not have."""
    first_not_finite: str = ""
    """The place of the first one."""


@contextmanager
def reporting(path: Path, kept: str) -> Generator[None]:
    """Tell an error of the file system as what ends a job."""
    try:
        yield
    except OSError as error:
        what = "Make room" if error.errno in _NO_ROOM else "Mend that"
        message = f"{path} could not be written: {error.strerror or error}. {what} and run the same command again: {kept}"
        raise BatchError(message) from error
