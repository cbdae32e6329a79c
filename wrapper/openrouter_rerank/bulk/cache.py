"""Cache answers in memory, on disk, or in the caller's own cache.

    Reranker(cache=MemoryCache())
    Reranker(cache=DiskCache(path))

The key is a hash of the URL, the dialect and the request: the model, the query, the documents in their order, and the options
that are sent. It contains neither the API key nor `session_id`, `user`, `trace` and headers, so clients whose answers differ by
those need separate caches. Only rankings are cached, and a cached answer is validated like a new one. If the cache fails, or
holds an invalid answer, the request is sent.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from threading import Lock
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any, TypeVar, cast
from weakref import finalize

import httpx
import msgspec

from openrouter_rerank import forks
from openrouter_rerank.answer import read
from openrouter_rerank.arguments import checks_names
from openrouter_rerank.calls import Call, Handler, PreparedCall
from openrouter_rerank.checks import positive
from openrouter_rerank.errors import RerankError
from openrouter_rerank.operations import LARGEST_ANSWER, Answer, Recall, Remember, Send
from openrouter_rerank.protocols import Cache
from openrouter_rerank.ranking import NOTHING_BILLED, Ranking
from openrouter_rerank.request import body

if TYPE_CHECKING:
    from cachetools import TTLCache

__all__ = ["Cache", "DiskCache", "MemoryCache"]

T = TypeVar("T")

log = logging.getLogger("openrouter_rerank")


# ------------------------------------------------------------------------------------------------------------- deciding

# Headers of the transfer, and headers for a single client.
_NOT_KEPT = frozenset({"content-encoding", "content-length", "transfer-encoding", "set-cookie"})


class _Kept(msgspec.Struct, array_like=True):
    """A cached answer."""

    headers: list[tuple[str, str]]
    body: bytes


_DECODER = msgspec.msgpack.Decoder(_Kept)


def cached(send: Handler) -> Handler:
    """Return a handler that returns a cached ranking, or sends the request and caches its answer."""

    def handle(prepared: PreparedCall[Any]) -> Call[Any]:
        key = key_of(prepared)
        found = _recalled((yield Recall(key)), prepared)
        if found is not None:
            prepared.settings.ledger.remembered(prepared.model, prepared.options["tag"])
            return found
        ranking = yield from send(prepared)
        headers = [(name, value) for name, value in ranking.headers.items() if name.lower() not in _NOT_KEPT]
        yield Remember(key, msgspec.msgpack.encode(_Kept(headers, ranking.body)))
        return ranking

    return handle


def key_of(prepared: PreparedCall[Any]) -> str:
    """Return a hash of everything that determines the answer."""
    options, content = prepared.options, prepared.content
    unsent = dict.fromkeys(("session_id", "user", "trace"))
    extra = dict(options["extra_body"] or {})
    if extra or any(options[name] is not None for name in unsent):
        kept = {name: extra[name] for name in sorted(extra.keys() - unsent.keys())}
        changed = {**options, **unsent, "extra_body": kept}
        content = body(prepared.query, prepared.wire, changed, codec=prepared.settings.codec)
    codec = prepared.settings.codec
    # The number is the version of the stored form.
    form = b"1" if codec is None else f"1 {codec.name}".encode()
    return sha256(b"\n".join((form, prepared.settings.url.encode(), content))).hexdigest()


def _recalled(value: object, prepared: PreparedCall[T]) -> Ranking[T] | None:
    if value is None:
        return None
    try:
        kept = _DECODER.decode(cast(bytes, value))
    except (msgspec.DecodeError, TypeError, ValueError) as error:
        log.debug("the cached value is not an answer: %s", error)
        return None
    send = Send(prepared.headers, prepared.content, prepared.timeout, LARGEST_ANSWER)
    answer = Answer(200, httpx.Headers(kept.headers), kept.body)
    complete = read(answer, send, prepared)
    if isinstance(complete, RerankError):
        log.debug("the cached answer is not a ranking: %s", complete)
        return None
    return complete(cached=True, usage=NOTHING_BILLED, elapsed=monotonic() - prepared.began)


# --------------------------------------------------------------------------------------------------------------- acting


def touch(cache: Cache | None, step: Recall | Remember) -> bytes | None:
    """Read or write the cache; a failure counts as a miss."""
    try:
        if isinstance(step, Recall):
            return cast(Cache, cache).get(step.key)
        cast(Cache, cache).set(step.key, step.value)
    except Exception:
        log.debug("the cache failed", exc_info=True)
    return None


async def atouch(cache: Cache | None, step: Recall | Remember) -> bytes | None:
    """Read or write the cache, in a worker thread if it may block."""
    if getattr(cache, "blocking", True):
        from anyio.to_thread import run_sync  # noqa: PLC0415 - only async code needs it

        return await run_sync(touch, cache, step)
    return touch(cache, step)


# ------------------------------------------------------------------------------------------------------------ in memory


class MemoryCache:
    """A thread-safe cache in memory that drops the least recently used answers first.

    Args:
        max_entries: The maximum number of answers.
        ttl: The seconds to keep an answer.

    Raises:
        ImportError: The extra is not installed; the message names it.
        TypeError, ValueError: A limit is not a positive number.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> with Reranker.local(cache=MemoryCache()) as reranker:
        ...     [reranker.rerank("capital of France", ["Berlin", "Paris"]).cached for _ in range(2)]
        [False, True]
    """

    blocking = False

    @checks_names
    def __init__(self, max_entries: int = 1_000, ttl: float = 3600.0) -> None:
        try:
            from cachetools import TTLCache  # noqa: PLC0415 - an extra
        except ModuleNotFoundError as error:
            message = f"MemoryCache needs {error.name}: pip install 'openrouter-rerank[cache]', or '.[cache]' in a clone"
            raise ImportError(message) from error
        self._answers: TTLCache[str, bytes] = TTLCache[str, bytes](
            positive("max_entries", max_entries, ""), positive("ttl", ttl, " of seconds")
        )
        self._lock = Lock()
        forks.register(self)

    def _after_fork(self) -> None:
        self._lock = Lock()

    def get(self, key: str, /) -> bytes | None:
        """Return the answer under the key, or None."""
        with self._lock:
            return self._answers.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        """Keep an answer under the key."""
        with self._lock:
            self._answers[key] = value

    def __reduce__(self) -> Any:
        raise TypeError(
            "cannot pickle a MemoryCache: it belongs to one process; use DiskCache(path), which processes share"
        )

    def __repr__(self) -> str:
        # Counting uses the clock of the cache, which two threads at once would stop for good.
        with self._lock:
            return f"<MemoryCache, {len(self._answers)} of {self._answers.maxsize:.0f} answers>"


# -------------------------------------------------------------------------------------------------------------- on disk


# Marks an SQLite file as a cache, so that nothing is written to, or deleted from, another database.
_OURS = int.from_bytes(b"rrk1")
# Another program may have written the file, so its schema is not trusted. A power failure may lose answers.
_SETUP = "pragma trusted_schema = off; pragma synchronous = normal;"
# In one transaction, so that another process sees all of it or nothing.
_CREATE = f"""
begin immediate;
pragma application_id = {_OURS};
create table if not exists answers (key text primary key, value blob not null, made real not null, used real not null);
create index if not exists by_use on answers (used);
create index if not exists by_age on answers (made);
commit;
"""
# The maximum seconds to wait for another process that has locked the file: in a call, and when the cache is opened.
_WAIT = 1.0
_OPENING = 30.0
_RETRY = 0.05
# The mode of files of earlier versions.
_READABLE_BY_ALL = 0o644
_OURS_ALONE = 0o600
# The connections of the parent process, which a forked process must not close.
_INHERITED: list[sqlite3.Connection] = []


class DiskCache:
    """A cache in an SQLite file that threads and processes can share.

    The least recently used answers are dropped first. The file contains the documents that the server echoed, so only you
    can read it and the directories that are made for it. Nothing in it is executed or unpickled.

    Args:
        path: The file; it is created if it is missing.
        max_bytes: The maximum size of the file.
        ttl: The seconds to keep an answer.

    Raises:
        OSError: The file cannot be created, or is not a cache.
        TypeError, ValueError: A limit is not a positive number.
    """

    @checks_names
    def __init__(self, path: str | Path, max_bytes: int = 1_000_000_000, ttl: float = 30 * 86_400.0) -> None:
        path = Path(path)
        max_bytes = int(positive("max_bytes", max_bytes, ""))
        ttl = positive("ttl", ttl, " of seconds")
        # An absolute path, as SQLite treats names such as ":memory:" specially.
        self._path = path.absolute()
        self._max_bytes = max_bytes
        self._ttl = ttl
        self._lock = Lock()
        self._file: sqlite3.Connection | None = None
        forks.register(self)
        try:
            _make_directory(path.parent)
            _make_private(path.resolve())
            with self._opened(_OPENING) as file:
                file.execute("select key, value, made, used from answers limit 1")
        except (sqlite3.Error, OSError) as error:
            message = f"{path} cannot be used as a cache ({error}); name another file, or remove it"
            raise OSError(message) from error

    @contextmanager
    def _opened(self, wait: float = _WAIT) -> Generator[sqlite3.Connection]:
        with self._lock:
            if self._file is None:
                self._file = self._connected(monotonic() + wait)
                self._closing = finalize(self, self._file.close)
            with self._file:  # commits, or rolls back
                yield self._file

    def _after_fork(self) -> None:
        self._lock = Lock()
        if self._file is not None:
            # SQLite forbids using or closing a connection in another process.
            self._closing.detach()
            _INHERITED.append(self._file)
            self._file = None

    def _connected(self, end: float) -> sqlite3.Connection:
        """Return a connection to the file, and set the file up; other processes may do the same at this time."""
        while True:
            file = sqlite3.connect(self._path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
            try:
                _set_up(file)
            except sqlite3.Error as error:
                file.close()
                # Switching to write-ahead logging ignores the timeout: it fails at once if another process does the same.
                if not _is_busy(error) or monotonic() > end:
                    raise
                sleep(_RETRY)
            except BaseException:
                file.close()
                raise
            else:
                return file

    def get(self, key: str, /) -> bytes | None:
        """Return the answer under the key, or None."""
        now = time()
        with self._opened() as file:
            found: tuple[bytes] | None = file.execute(
                "update answers set used = ? where key = ? and made > ? returning value",
                (now, key, now - self._ttl),
            ).fetchone()
        return None if found is None else found[0]

    def set(self, key: str, value: bytes, /) -> None:
        """Keep an answer under the key."""
        now = time()
        if len(value) > self._max_bytes // 2:
            return
        with self._opened() as file:
            file.execute("begin immediate")
            file.execute("delete from answers where made <= ?", (now - self._ttl,))
            file.execute("insert or replace into answers values (?, ?, ?, ?)", (key, value, now, now))
            removed = 1
            while removed and self._size(file) > self._max_bytes:
                # A tenth at a time, so that not every answer needs a deletion.
                removed = file.execute(
                    "delete from answers where key in (select key from answers order by used "
                    "limit (select count(*) / 10 + 1 from answers))"
                ).rowcount

    def _size(self, file: sqlite3.Connection) -> int:
        pages, free, size = (
            int(file.execute(f"pragma {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return (pages - free) * size

    def __reduce__(self) -> Any:
        return type(self), (self._path, self._max_bytes, self._ttl)

    def __repr__(self) -> str:
        return f"<DiskCache {self._path}>"


def _set_up(file: sqlite3.Connection) -> None:
    tables, mark, mode = (
        file.execute(query).fetchone()[0]
        for query in (
            "select count(*) from sqlite_master",
            "pragma application_id",
            "pragma journal_mode",
        )
    )
    if tables and mark != _OURS:
        raise sqlite3.DatabaseError("it is another database")
    file.executescript(_SETUP)
    if mode != "wal":
        file.execute("pragma journal_mode = wal")
    if not tables:
        file.executescript(_CREATE)


_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})


def _is_busy(error: sqlite3.Error) -> bool:
    """Return True if another process is using the file."""
    # The lower byte is the primary error code.
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY


def _make_directory(path: Path) -> None:
    """Create the missing directories, readable only by this user."""
    if not path.exists():
        _make_directory(path.parent)
        path.mkdir(0o700, exist_ok=True)


def _make_private(path: Path) -> None:
    """Create the file, readable only by this user; SQLite gives its other files the same mode.

    A cache of an earlier version, which all users can read, becomes private. Any other mode was set on purpose.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _OURS_ALONE))
        return
    if stat.S_IMODE(path.stat().st_mode) != _READABLE_BY_ALL or _mark_of(path) != _OURS:
        return
    for one in (path, *(path.with_name(f"{path.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        with suppress(OSError):  # it does not exist, or belongs to someone else
            one.chmod(_OURS_ALONE)


def _mark_of(path: Path) -> int:
    """Return the application id of an SQLite file: https://www.sqlite.org/fileformat2.html#application_id."""
    with path.open("rb") as file:
        head = file.read(72)
    return int.from_bytes(head[68:])
