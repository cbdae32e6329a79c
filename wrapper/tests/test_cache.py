"""Answers that are remembered: by what, for how long, and what happens when a cache is broken."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import anyio
import cachetools
import httpx
import msgspec
import pytest

import openrouter_rerank.bulk.cache
from openrouter_rerank import AsyncReranker, BadRequestError, BudgetExceededError, Reranker, Usage
from openrouter_rerank.bulk.cache import Cache, DiskCache, MemoryCache
from openrouter_rerank.ledger import Totals
from shells import KEY, QUICK, Clock, Handler, Scoring, Shell


class Recorded:
    """A cache that a test looks into; without `blocking`, it is asked in a worker thread."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.threads: set[int] = set()

    def get(self, key: str, /) -> bytes | None:
        """Return the number of entries."""
        self.threads.add(threading.get_ident())
        return self.held.get(key)

    def set(self, key: str, value: bytes, /) -> None:
        """Hold it."""
        self.held[key] = value


def reranker(handler: Handler, **given: Any) -> Reranker:
    """Return a client whose server is the handler."""
    client = httpx.Client(transport=httpx.MockTransport(handler))
    return Reranker(**{"api_key": KEY, "retries": QUICK, "http_client": client, **given})


KINDS: list[Callable[[Path], Cache]] = [
    lambda _: MemoryCache(),
    lambda path: DiskCache(path / "answers.sqlite"),
    lambda _: Recorded(),
]


@pytest.mark.parametrize("kind", KINDS, ids=["memory", "disk", "own"])
def test_an_answer_is_remembered(any_shell: Shell, kind: Any, tmp_path: Path) -> None:
    """The second call sends nothing; its ranking is the same, says that it was remembered, and costs nothing."""
    server = Scoring()
    documents = [{"text": "a"}, {"text": "bb"}]
    with any_shell.open(server, cache=kind(tmp_path)) as rank:
        first = rank("q", documents)
        second: Any = rank("q", documents)

    assert len(server.requests) == 1
    assert (first.cached, second.cached) == (False, True)
    assert (second.indices, second.scores) == (first.indices, first.scores)
    assert second[0].document is documents[1]
    assert (second.id, second.model, second.provider) == (first.id, first.model, first.provider)
    assert (first.usage, second.usage) == (Usage(0.25, 1), Usage(0.0, 0, 0))
    assert (second.attempts, len(first.attempts)) == ((), 1)
    assert second.response.results == first.response.results
    assert second.elapsed > 0
    assert "cached=True" in repr(second)


def test_the_ledger_counts_it_and_pays_nothing() -> None:
    """A call that the cache answers is one, under its model and its tag, and costs nothing; max_cost lets it pass."""
    with reranker(Scoring(cost=1.0), cache=MemoryCache(), max_cost=1.5) as client:
        client.rerank("q", ["a"])
        client.rerank("q", ["a"], tag="t")

        assert client.ledger.total == Totals(calls=2, attempts=1, cached=1, search_units=1, cost=1.0)
        assert client.ledger.by_tag["t"] == Totals(calls=1, cached=1)
        with pytest.raises(BudgetExceededError):
            client.rerank("q", ["b"])


SAME: list[dict[str, Any]] = [
    {},
    {"session_id": "s"},
    {"user": "u", "trace": {"trace_name": "t"}},
    {"extra_body": {"user": "x", "session_id": "y", "trace": {"z": 1}}},
    {"extra_headers": {"X-Request-Id": "7"}},
    {"min_score": 1.5},
    {"tag": "t", "timeout": 9, "max_documents": 7, "on_part_error": "partial"},
    {"model": "cohere/rerank-v3.5"},
    {"top_n": None},
    {"documents": [{"text": "a"}, {"text": "bb"}], "key": "text"},
]


@pytest.mark.parametrize("arguments", SAME)
def test_what_the_answer_does_not_depend_on(arguments: Any) -> None:
    """Options that name the caller, bound the call, or apply locally are not in the key."""
    server = Scoring()
    with reranker(server, cache=MemoryCache()) as client:
        client.rerank("q", ["a", "bb"])
        ranking = client.rerank(**{"query": "q", "documents": ["a", "bb"], **arguments})

    assert ranking.cached
    assert len(server.requests) == 1
    assert len(ranking) == (1 if "min_score" in arguments else 2)


OTHER: list[dict[str, Any]] = [
    {"query": "Q"},
    {"documents": ["bb", "a"]},
    {"documents": ["a", "bb", "c"]},
    {"documents": ["a", {"text": "bb", "image": "https://i.example/b.png"}]},
    {"model": "other"},
    {"top_n": 1},
    {"provider": {"order": ["x"]}},
    {"extra_body": {"priority": 1}},
    {"extra_body": {"model": "other"}},
]


@pytest.mark.parametrize("arguments", OTHER)
def test_what_the_answer_depends_on(arguments: Any) -> None:
    """Everything that may change the answer is in the key."""
    server = Scoring()
    with reranker(server, cache=MemoryCache()) as client:
        client.rerank("q", ["a", "bb"])
        assert not client.rerank(**{"query": "q", "documents": ["a", "bb"], **arguments}).cached

    assert len(server.requests) == 2


def test_the_order_of_extra_keys_is_of_no_account() -> None:
    """The same keys of extra_body in another order are the same request."""
    with reranker(Scoring(), cache=MemoryCache()) as client:
        client.rerank("q", ["a"], extra_body={"x": 1, "y": 2})
        assert client.rerank("q", ["a"], extra_body={"y": 2, "x": 1}).cached


def test_the_address_is_in_the_key_and_the_api_key_nowhere() -> None:
    """Clients of one server share what is remembered, whatever their keys; those of another server do not."""
    cache = Recorded()

    def echoing(request: httpx.Request) -> httpx.Response:
        answer = Scoring()(request)
        return httpx.Response(
            200,
            content=answer.content.replace(b"gen-1", KEY.encode()),
            headers={
                "Set-Cookie": "session=1",
                "X-Generation-Id": "gen-7",
                "Content-Type": "application/json",
            },
        )

    with reranker(echoing, cache=cache) as client:
        client.rerank("q", ["a"])
    with reranker(echoing, cache=cache, api_key="another-key-that-is-long") as client:
        ranking = client.rerank("q", ["a"])
    with reranker(echoing, cache=cache, base_url="https://other.example/v1") as client:
        assert not client.rerank("q", ["a"]).cached

    assert ranking.cached
    assert ranking.request_id == "gen-7"
    assert "set-cookie" not in ranking.headers
    assert all(len(key) == 64 and key.isalnum() for key in cache.held)
    assert not any(KEY.encode() in value or b"session=1" in value for value in cache.held.values())


def test_only_rankings_are_remembered(any_shell: Shell) -> None:
    """A failed call is sent again."""
    cache = Recorded()
    with any_shell.open(Scoring(failing="a"), cache=cache) as rank:
        for _ in range(2):
            with pytest.raises(BadRequestError):
                rank("q", ["a"])
        rank("q", [])

    assert not cache.held


def test_a_compressed_answer_is_remembered_unpacked() -> None:
    """The cache has the decompressed body, and no header of its compression."""
    import gzip

    def packed(request: httpx.Request) -> httpx.Response:
        content = gzip.compress(Scoring()(request).content)
        stream = httpx.ByteStream(content)
        return httpx.Response(200, stream=stream, headers={"Content-Encoding": "gzip"})

    with reranker(packed, cache=MemoryCache()) as client:
        client.rerank("q", ["a", "bb"])
        ranking = client.rerank("q", ["a", "bb"])

    assert ranking.cached
    assert ranking.indices == [1, 0]
    assert "content-encoding" not in ranking.headers


def test_parts_are_remembered_one_by_one(any_shell: Shell) -> None:
    """A list that failed in part is asked for what is missing; the provider of a remembered part still counts."""
    server = Scoring(failing="y")
    cache = MemoryCache()
    documents = ["a", "bb", "y", "ccc"]
    with any_shell.open(server, cache=cache, max_documents=1, on_part_error="partial") as rank:
        assert rank("q", documents).unranked == (2,)
        before = len(server.requests)
        again = rank("q", documents)
        assert len(server.requests) == before + 1
        assert [part.cached for part in again.parts] == [True, True, False, True]
        assert not again.cached
        whole = [rank("q", ["a", "bb"]).cached for _ in range(2)]

    assert server.requests[before]["provider"] == {"order": ["Cohere"], "allow_fallbacks": False}
    assert whole == [True, True]


def test_local_scorers_have_answers_of_their_own(tmp_path: Path) -> None:
    """A scorer is never answered by what another one, or another function, has scored; the same one's name is enough."""
    cache = DiskCache(tmp_path / "x")

    def backwards(query: str, texts: Sequence[str]) -> list[float]:
        return [float(place) for place in range(len(texts))]

    def ranked(scorer: Any) -> tuple[list[int], bool]:
        with Reranker.local(scorer, cache=cache) as reranker:
            ranking = reranker.rerank("a dog", ["a dog", "a cat"])
        return ranking.indices, ranking.cached

    async def twin() -> bool:
        async with AsyncReranker.local(cache=cache) as reranker:
            return (await reranker.rerank("a dog", ["a dog", "a cat"])).cached

    assert ranked("lexical") == ([0, 1], False)
    assert ranked(backwards) == ([1, 0], False)
    assert ranked(lambda query, texts: [0.0] * len(texts)) == ([0, 1], False)
    assert ranked(None) == ([0, 1], True)
    assert anyio.run(twin)


# Broken caches


class Broken:
    """A cache that always fails."""

    def get(self, key: str, /) -> bytes | None:
        """Nothing."""
        raise OSError("the disk is gone")

    def set(self, key: str, value: bytes, /) -> None:
        """Nothing."""
        raise MemoryError


def test_a_cache_that_fails_costs_no_call(any_shell: Shell, caplog: pytest.LogCaptureFixture) -> None:
    """The request is made, and the log says what happened."""
    server = Scoring()
    with caplog.at_level(logging.DEBUG, "openrouter_rerank"), any_shell.open(server, cache=Broken()) as rank:
        assert rank("q", ["a", "bb"]).indices == [1, 0]

    assert len(server.requests) == 1
    assert caplog.text.count("the cache failed") == 2


def _kept(body: Any, version: Any = None) -> bytes:
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return msgspec.msgpack.encode([version if version is not None else [["a", "b"]], content])


WRONG: list[Any] = [
    b"",
    b"nonsense",
    pickle.dumps([1]),
    "text",
    7,
    msgspec.msgpack.encode([1]),
    msgspec.msgpack.encode({"headers": [], "body": b""}),
    _kept(b"{}"),
    _kept(b"not json"),
    _kept({"error": {"code": 500, "message": "no"}}),
    _kept({"model": "m", "results": [{"index": 7, "relevance_score": 1.0}]}),
    _kept({"model": "m", "results": [{"index": 0, "relevance_score": 1.0}] * 2}),
    _kept({"model": "m", "results": []}, version=3),
]


@pytest.mark.parametrize("held", WRONG, ids=range(len(WRONG)))
def test_what_is_no_answer_is_not_used(shell: Shell, held: Any) -> None:
    """Cached values are checked like answers; an invalid one is requested again and replaced."""
    server = Scoring()

    class Wrong(Recorded):
        def get(self, key: str, /) -> bytes | None:
            return self.held.get(key, held)

    with shell.open(server, cache=Wrong()) as rank:
        first = rank("q", ["a", "bb"])
        second = rank("q", ["a", "bb"])

    assert (first.cached, second.cached, len(server.requests)) == (False, True, 1)


@pytest.mark.parametrize("cache", [{}, "memory", 7, sqlite3])
def test_what_is_no_cache(cache: Any) -> None:
    """An object without both methods is refused when it is passed."""
    with pytest.raises(TypeError, match="cache must have the methods get and set"):
        Reranker(KEY, cache=cache)


def test_a_cache_may_wait_elsewhere() -> None:
    """An async call asks a cache in a worker thread, unless it says that it never waits."""
    waiting, quick = Recorded(), Recorded()
    quick.blocking = False  # type: ignore[attr-defined] # on purpose
    with Shell("asyncio").open(Scoring(), cache=waiting) as rank:
        rank("q", ["a"])
        loop = {thread.ident for thread in threading.enumerate() if "worker" not in thread.name.lower()}
        assert not waiting.threads & loop
    with Shell("asyncio").open(Scoring(), cache=quick) as rank:
        rank("q", ["a"])
        loop = {thread.ident for thread in threading.enumerate() if "worker" not in thread.name.lower()}
        assert quick.threads <= loop


# In memory


def test_memory_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used answer is dropped first, and each expires."""
    clock = Clock()

    class Steered(cachetools.TTLCache[str, bytes]):
        def __init__(self, maxsize: float, ttl: float) -> None:
            super().__init__(maxsize, ttl, timer=clock)

    monkeypatch.setattr(cachetools, "TTLCache", Steered)
    cache = MemoryCache(max_entries=2, ttl=200)
    cache.set("a", b"1")
    cache.set("b", b"2")
    assert cache.get("a") == b"1"
    cache.set("c", b"3")
    assert [cache.get(key) for key in "abc"] == [b"1", None, b"3"]
    assert "2 of 2 answers" in repr(cache)
    clock.advance(250)
    assert [cache.get(key) for key in "abc"] == [None, None, None]


def test_memory_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without its extra, the error names it."""
    monkeypatch.setitem(sys.modules, "cachetools", None)
    with pytest.raises(ImportError, match=r"pip install 'openrouter-rerank\[cache\]'"):
        MemoryCache()


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda _: MemoryCache(max_entries=0), ValueError),
        (lambda _: MemoryCache(ttl=float("nan")), ValueError),
        (lambda _: MemoryCache(ttl="1"), TypeError),
        (lambda path: DiskCache(path / "x", max_bytes=-1), ValueError),
        (lambda path: DiskCache(path / "x", ttl=True), TypeError),
    ],
)
def test_limits_are_checked(make: Any, error: Any, tmp_path: Path) -> None:
    """A limit is a positive number."""
    with pytest.raises(error, match="must be a"):
        make(tmp_path)


# On disk


def test_disk_outlives_the_process(tmp_path: Path) -> None:
    """Another cache on the same file has what the first was given; the directory is made."""
    path = tmp_path / "new" / "answers.sqlite"
    DiskCache(str(path)).set("a", b"1")

    assert DiskCache(path).get("a") == b"1"
    assert DiskCache(path).get("b") is None
    assert repr(DiskCache(path)) == f"<DiskCache {path}>"


def test_disk_forgets_what_is_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time an answer is not found, and is removed when another is remembered."""
    path, clock = tmp_path / "x", Clock()
    monkeypatch.setattr("openrouter_rerank.bulk.cache.time", clock)
    cache = DiskCache(path, ttl=200)
    cache.set("a", b"1")
    assert cache.get("a") == b"1"
    clock.advance(250)
    assert cache.get("a") is None
    cache.set("b", b"2")

    file = sqlite3.connect(path)
    assert file.execute("select key from answers").fetchall() == [("b",)]
    file.close()


def test_disk_removes_an_old_answer_that_is_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is old by the time at which it was made, however often it is used."""
    path, clock = tmp_path / "x", Clock()
    monkeypatch.setattr("openrouter_rerank.bulk.cache.time", clock)
    cache = DiskCache(path, ttl=200)
    cache.set("a", b"1")
    clock.advance(150)
    assert cache.get("a") == b"1"
    clock.advance(100)
    assert cache.get("a") is None
    cache.set("b", b"2")

    file = sqlite3.connect(path)
    assert file.execute("select key from answers").fetchall() == [("b",)]
    file.close()


@pytest.mark.parametrize(("size", "is_kept"), [(200_000, True), (200_001, False)])
def test_disk_takes_answers_of_half_its_size(tmp_path: Path, size: int, is_kept: bool) -> None:
    """An answer of up to half of the limit is kept."""
    cache = DiskCache(tmp_path / "x", max_bytes=400_000)
    cache.set("a", bytes(size))

    assert (cache.get("a") is not None) == is_kept


def test_disk_keeps_to_its_size(tmp_path: Path) -> None:
    """The file does not grow beyond its limit, what was used last stays, and what is too large is not taken."""
    path = tmp_path / "x"
    cache = DiskCache(path, max_bytes=400_000)
    cache.set("kept", b"k" * 10_000)
    for number in range(200):
        cache.set(f"{number}", bytes(10_000))
        assert cache.get("kept")
    cache.set("large", bytes(300_000))

    assert cache.get("0") is None
    assert cache.get("199") is not None
    assert cache.get("large") is None
    assert path.stat().st_size < 450_000


def test_disk_with_no_room_at_all(tmp_path: Path) -> None:
    """A limit below what the empty file takes keeps nothing, and ends."""
    cache = DiskCache(tmp_path / "x", max_bytes=1_000)
    cache.set("a", bytes(100))

    assert cache.get("a") is None


def test_disk_is_shared_by_threads(tmp_path: Path) -> None:
    """Threads that write at the same time wait for each other, and no answer is lost."""
    cache = DiskCache(tmp_path / "x")
    failures: list[sqlite3.Error] = []

    def work(name: str) -> None:
        try:
            for number in range(10):
                cache.set(f"{name}{number}", name.encode())
        except sqlite3.Error as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failures
    assert all(cache.get(f"{name}{number}") == name.encode() for name in "abcd" for number in range(10))


@pytest.mark.parametrize("content", ["not sqlite" * 200, "create table answers (a)", "create table mine (a)"])
def test_disk_refuses_what_is_not_its_own(tmp_path: Path, content: str) -> None:
    """Another file, a database of somebody else's too, is left as it is, and the error names it."""
    path = tmp_path / "x"
    if content.startswith("create"):
        file = sqlite3.connect(path)
        file.execute(content)
        file.close()
    else:
        path.write_text(content)
    before = path.read_bytes()

    with pytest.raises(OSError, match="cannot be used as a cache"):
        DiskCache(path)
    assert path.read_bytes() == before


def test_disk_has_no_directory(tmp_path: Path) -> None:
    """If the file's directory cannot be made, the error names the cache's file and the next step."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"x cannot be used as a cache .*name another file"):
        DiskCache(tmp_path / "file" / "x")


def modes(directory: Path) -> dict[str, int]:
    """Return the modes of the files in a directory."""
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}


@pytest.fixture
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.usefixtures("_open_umask")
def test_disk_is_read_by_nobody_else(tmp_path: Path) -> None:
    """The file, what SQLite puts beside it and the directories made for it are the user's own; others stay as they are."""
    path = tmp_path / "made" / "too" / "x"
    cache = DiskCache(path)
    cache.set("a", b"1")

    assert modes(path.parent) == {"x": 0o600, "x-wal": 0o600, "x-shm": 0o600}
    assert modes(tmp_path) == {"made": 0o700}
    assert modes(tmp_path / "made") == {"too": 0o700}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.usefixtures("_open_umask")
def test_disk_through_a_link(tmp_path: Path) -> None:
    """A link that leads to no file yet is followed."""
    (tmp_path / "link").symlink_to(tmp_path / "target")
    DiskCache(tmp_path / "link").set("a", b"1")

    assert modes(tmp_path)["target"] == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize(("mode", "becomes"), [(0o644, 0o600), (0o640, 0o640), (0o600, 0o600)])
def test_disk_closes_what_was_open(mode: int, becomes: int, tmp_path: Path) -> None:
    """A file of ours that an earlier version left open to all is closed to others; another mode was given on purpose."""
    path = tmp_path / "x"
    made: Any = DiskCache(path)
    made.set("a", b"1")
    made._file.close()
    path.chmod(mode)
    (tmp_path / "x-wal").touch(mode)
    (tmp_path / "x-wal").chmod(mode)

    assert DiskCache(path).get("a") == b"1"
    assert set(modes(tmp_path).values()) == {becomes}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_disk_leaves_the_mode_of_another_file(tmp_path: Path) -> None:
    """A file that is not ours keeps its mode too."""
    path = tmp_path / "x"
    path.write_text("not sqlite" * 200)
    path.chmod(0o644)

    with pytest.raises(OSError, match="cannot be used"):
        DiskCache(path)
    assert modes(tmp_path) == {"x": 0o644}


def test_disk_with_a_name_of_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that means something else to SQLite is a file here."""
    monkeypatch.chdir(tmp_path)
    DiskCache(":memory:").set("a", b"1")

    assert DiskCache(":memory:").get("a") == b"1"


OPENER = """
import sys
from openrouter_rerank.bulk.cache import DiskCache
print("ready", flush=True)
for line in sys.stdin:
    cache = DiskCache(line.strip())
    cache.set(str(sys.argv[1]), b"1")
    print(cache.get(str(sys.argv[1])), flush=True)
"""


def test_disk_is_made_by_many_processes_at_once(tmp_path: Path) -> None:
    """Processes that open a new file at the same moment all have it: "database is locked" is waited out."""
    openers = [
        subprocess.Popen(
            [sys.executable, "-c", OPENER, str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    with contextlib.ExitStack() as stack:
        for opener in openers:
            stack.enter_context(opener)
            stack.callback(opener.kill)
        pipes = [(cast(IO[str], opener.stdin), cast(IO[str], opener.stdout)) for opener in openers]
        assert [output.readline() for _, output in pipes] == ["ready\n"] * len(pipes)
        for attempt in range(10):
            for given, _ in pipes:
                given.write(f"{tmp_path / 'new' / str(attempt)}\n")
                given.flush()
            assert [output.readline() for _, output in pipes] == ["b'1'\n"] * len(pipes)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_LOCKED])
def test_disk_waits_for_another_process(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To be busy is tried again until the time is up; anything else fails at once, and closes the file."""
    busy = sqlite3.OperationalError("database is locked")
    busy.sqlite_errorcode = code
    errors: list[BaseException] = [busy, busy]
    set_up = openrouter_rerank.bulk.cache._set_up

    def failing(file: sqlite3.Connection) -> None:
        if errors:
            raise errors.pop()
        set_up(file)

    monkeypatch.setattr(openrouter_rerank.bulk.cache, "_set_up", failing)
    DiskCache(tmp_path / "x").set("a", b"1")
    errors += [busy] * 3
    monkeypatch.setattr(openrouter_rerank.bulk.cache, "_OPENING", -1)
    with pytest.raises(OSError, match="cannot be used as a cache \\(database is locked\\)"):
        DiskCache(tmp_path / "x")
    errors[:] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        DiskCache(tmp_path / "x")


class Bomb:
    """An object that unpickling would run."""

    def __reduce__(self) -> Any:
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """A pickle that somebody put into the file is bytes that are no answer."""
    path = tmp_path / "x"
    cache = DiskCache(path)
    server = Scoring()
    with reranker(server, cache=cache) as client:
        client.rerank("q", ["a"])
        file = sqlite3.connect(path, isolation_level=None)
        file.execute("update answers set value = ?", (pickle.dumps(Bomb()),))
        file.close()
        assert not client.rerank("q", ["a"]).cached

    assert len(server.requests) == 2
