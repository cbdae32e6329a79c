"""Copies and pickles of rerankers: the same settings and server, no secret, or a clear refusal."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from openrouter_rerank import AsyncReranker, Reranker, Retries
from openrouter_rerank.bulk import split_by_words
from openrouter_rerank.bulk.cache import DiskCache, MemoryCache
from openrouter_rerank.testing import AsyncFakeReranker, FakeReranker, answer, results, serving
from shells import KEY

KINDS = [Reranker, AsyncReranker]
URL = "http://127.0.0.1:9/v1"


def again(value: Any) -> Any:
    """Load a pickle, in which there is no key."""
    written = pickle.dumps(value)
    assert KEY.encode() not in written
    return pickle.loads(written)


def by_length(query: str, texts: Sequence[str]) -> list[float]:
    """Return a scorer that can be pickled."""
    return [float(len(text)) for text in texts]


def facts(reranker: Any) -> list[Any]:
    """All settings, but for what is made anew."""
    settings = reranker._settings
    left_out = {"headers", "redactor", "ledger", "cache"}
    names = [name for name in settings.__struct_fields__ if name not in left_out]
    return [dict(settings.headers.items()), *(getattr(settings, name) for name in names)]


ARGUMENTS: dict[str, Any] = {
    "base_url": URL,
    "model": "a/b",
    "top_n": 3,
    "min_score": 0.25,
    "provider": {"order": ["cohere"]},
    "timeout": 1.5,
    "deadline": None,
    "retries": Retries(attempts=5),
    "app_title": "App",
    "app_categories": "a,b",
    "extra_body": {"x": 1},
    "splitter": split_by_words(300, 50),
    "blank": "skip",
    "max_image_bytes": 7,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key", [KEY, ""])
def test_a_pickle_has_all_settings(kind: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reranker that is loaded has the settings and the server of the other; the key is the environment's."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    first = kind(None if key else "", **ARGUMENTS)
    changed = first.with_options(top_n=1, extra_body={"y": 2}, deadline=9.0)

    for reranker in (first, changed):
        loaded = again(again(reranker))
        assert type(loaded) is kind
        assert facts(loaded) == facts(reranker)
        assert ("Authorization" in loaded._settings.headers) == bool(key)
        assert loaded.ledger.total.calls == 0
    assert facts(again(changed)) != facts(first)


def test_the_key_comes_from_the_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loaded reranker takes the key of its environment; without one it is refused."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    written = pickle.dumps(Reranker(base_url=URL))
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-of-the-worker")
    assert pickle.loads(written)._settings.headers["Authorization"] == "Bearer sk-of-the-worker"
    monkeypatch.delenv("OPENROUTER_API_KEY")
    with pytest.raises(ValueError, match="no API key"):
        pickle.loads(written)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"api_key": KEY}, "api_key: it was passed"),
        ({"extra_headers": {"Api-Key": KEY}}, "extra_headers"),
        ({"base_url": f"{URL}?key={KEY}"}, "base_url"),
        ({"max_cost": 1.0}, "max_cost"),
    ],
)
def test_what_a_pickle_cannot_have(
    kind: Any, arguments: dict[str, Any], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that was passed, or a budget, is not pickled; the error names it and shows no secret."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-another-one")
    for reranker in (
        kind(**arguments),
        copy.copy(kind(**arguments)),
        kind(**arguments).with_options(top_n=1),
    ):
        with pytest.raises(TypeError, match=f"cannot pickle this {kind.__name__}: {named}") as caught:
            pickle.dumps(reranker)
        assert KEY not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_headers_that_are_added_later(kind: Any) -> None:
    """The headers of a copy keep it from being pickled, and not the original."""
    first = kind("", base_url=URL)

    with pytest.raises(TypeError, match="extra_headers"):
        pickle.dumps(first.with_options(extra_headers={"Api-Key": KEY}))
    again(first)


def test_an_injected_client() -> None:
    """An injected client is not pickled."""
    with httpx.Client() as client, pytest.raises(TypeError, match="http_client: an injected client"):
        pickle.dumps(Reranker("", http_client=client))


async def test_a_closed_one() -> None:
    """A reranker that is closed is refused as in any other use."""
    with Reranker("") as sync:
        pass
    async with AsyncReranker("") as other:
        pass
    for reranker in (sync, other):
        with pytest.raises(RuntimeError, match="closed"):
            pickle.dumps(reranker)


@pytest.mark.parametrize("scorer", [None, "lexical", by_length])
async def test_local(scorer: Any) -> None:
    """The local mode goes along: the scorer by name, a function if it can be imported."""
    documents = ["Berlin", "Paris is the capital of France."]
    with again(again(Reranker.local(scorer, top_n=1))) as loaded:
        assert loaded.rerank("capital of France", documents).indices == [1]
    async with again(AsyncReranker.local(scorer, top_n=1)) as other:
        assert (await other.rerank("capital of France", documents)).indices == [1]
    assert again(loaded_url := Reranker.local(scorer))._settings.url == loaded_url._settings.url


def test_functions_that_cannot_be_pickled() -> None:
    """A function without a name in a module is refused by pickle itself."""
    made: list[Callable[[], Any]] = [
        lambda: Reranker.local(lambda query, texts: [0.0 for _ in texts]),
        lambda: Reranker("", splitter=lambda text: [text]),
    ]
    for make in made:
        with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
            pickle.dumps(make())
    with pytest.raises(TypeError, match="max_cost"):
        pickle.dumps(Reranker.local(max_cost=1.0))


def test_caches(tmp_path: Path) -> None:
    """A cache on disk is the same file; one in memory is refused."""
    path = tmp_path / "answers"
    with Reranker.local(cache=DiskCache(path)) as first, again(first) as loaded:
        first.rerank("q", ["a"])
        assert loaded.rerank("q", ["a"]).cached
    with pytest.raises(TypeError, match="cannot pickle a MemoryCache"):
        pickle.dumps(Reranker.local(cache=MemoryCache()))


class Named(Reranker):
    """A subclass with a constructor of its own."""

    def __init__(self, name: str) -> None:
        super().__init__("", base_url=URL)
        self.name = name


def test_a_subclass_keeps_its_attributes() -> None:
    """Attributes of a subclass go along, by copy and by pickle."""
    first = Named("mine")

    for other in (again(first), copy.copy(first), copy.deepcopy(first)):
        assert (type(other), other.name, other._settings.url) == (Named, "mine", first._settings.url)


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_copies_share(duplicate: Callable[[Any], Any]) -> None:
    """A copy, deep or not, keeps the key, and shares connections and ledger; closing one closes both."""

    def ranking(request: Any) -> Any:
        seen.append(request.headers["authorization"])
        yield answer(200, results((0, 0.5)))

    seen: list[str] = []
    with serving(ranking) as server, Reranker(KEY, base_url=server.url) as first:
        other = (
            duplicate({"nested": [first]})["nested"][0] if duplicate is copy.deepcopy else duplicate(first)
        )
        other.rerank("q", ["a"])
        first.rerank("q", ["a"])
        assert first.ledger.total.calls == 2
        assert server.connections == 1
        other.close()
        with pytest.raises(RuntimeError, match="closed"):
            first.rerank("q", ["a"])
    assert seen == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize("kind", [FakeReranker, AsyncFakeReranker])
def test_fakes(kind: Any) -> None:
    """Copies of a fake share its server, whatever is changed at which; a fake is not pickled."""
    fake = kind({"a": 0.1})
    for other in (copy.copy(fake), copy.deepcopy(fake), fake.with_options(top_n=1)):
        other.scores = {"a": 0.9}
        assert fake.scores == {"a": 0.9}
        assert other.calls is fake.calls
    with pytest.raises(TypeError, match=f"cannot pickle a {kind.__name__}"):
        pickle.dumps(fake)


def test_changes_at_a_copy_count() -> None:
    """A script that is given to a copy is that of the one server."""
    fake = FakeReranker({"a": 0.1})
    other = fake.with_options(top_n=1)
    other.script([{"a": 0.5}])
    other.scores = {"a": 0.9}

    assert [fake.rerank("q", ["a"]).scores, other.rerank("q", ["a"]).scores] == [[0.5], [0.9]]


WORKERS = """
import multiprocessing
from openrouter_rerank import Reranker

def rank(reranker):
    with reranker:
        return reranker.rerank("capital of France", ["Berlin", "Paris is the capital of France."]).indices

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(rank, [Reranker.local(top_n=1)]))
"""


def test_other_processes(tmp_path: Path) -> None:
    """It works over processes that are spawned."""
    program = tmp_path / "workers.py"
    program.write_text(WORKERS, encoding="utf-8")
    ran = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False)

    assert (ran.stdout, ran.stderr) == ("[1]\n", "")


def test_jitter_is_drawn_in_each_process() -> None:
    """A pickle of a policy has no state of a generator, by which all processes would wait alike."""
    assert len(pickle.dumps(Retries())) < 500
    assert again(Retries()) == Retries()
