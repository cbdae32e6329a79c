"""The settings of all adapters: each in one place, and the same in copies, in pickles and where they are written down."""

from __future__ import annotations

import asyncio
import copy
import importlib
import inspect
import json
import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from openrouter_rerank import AsyncReranker, BadRequestError, RateLimitError, Reranker
from openrouter_rerank.bulk import split_by_words
from openrouter_rerank.options import CALL
from openrouter_rerank.testing import AsyncFakeReranker, FakeReranker, answer, envelope, serving
from openrouter_rerank_api.dialects import SUMMARIES
from openrouter_rerank_api.models import ProviderPreferences
from shells import KEY
from vendors import VENDORS, script

TEXTS = ["a", "b", "c"]
SCORES = {"a": 0.7, "b": 0.8, "c": 0.9, "": 0.0}


class Adapter:
    """One of the adapters, under the names of `Reranker`."""

    def __init__(self, module: str, cls: str, names: dict[str, str]) -> None:
        self.module = module
        self.name = cls
        self.names = names

    @property
    def cls(self) -> Any:
        """The class; the test is skipped where the framework is not installed."""
        needs = {"langchain": "langchain_core", "llama_index": "llama_index.core", "haystack": "haystack"}
        pytest.importorskip(needs[self.module], reason="`nox -s frameworks` has it")
        return getattr(importlib.import_module(f"openrouter_rerank.integrations.{self.module}"), self.name)

    def make(self, **given: Any) -> Any:
        """Return an adapter."""
        cls = self.cls
        if "api_key" in given and self.module == "haystack":
            given["api_key"] = self.key(given["api_key"])
        return cls(**{self.names.get(name, name): value for name, value in given.items()})

    def key(self, key: str | None) -> Any:
        """Return a key as the framework has it; empty for none, None for that of the environment."""
        if self.module != "haystack":
            return key
        from haystack.utils import Secret

        return Secret.from_token(key) if key else None

    def change(self, adapter: Any, **given: Any) -> None:
        """Assign attributes."""
        for name, value in given.items():
            setattr(adapter, self.names.get(name, name), value)

    def documents(self, texts: list[Any]) -> list[Any]:
        """Documents of the framework, with scores of a retrieval where it has them."""
        if self.module == "langchain":
            from langchain_core.documents import Document

            return [Document(text) for text in texts]
        if self.module == "haystack":
            from haystack import Document

            return [Document(content=text, score=0.25) for text in texts]
        from llama_index.core.schema import NodeWithScore, TextNode

        return [NodeWithScore(node=TextNode(text=text), score=0.25) for text in texts]

    def found(self, documents: Any) -> list[tuple[str, Any]]:
        """Return the texts and scores of what came back."""
        if self.module == "langchain":
            return [(found.page_content, found.metadata.get("relevance_score")) for found in documents]
        if self.module == "haystack":
            return [(found.content, found.score) for found in documents["documents"]]
        return [(found.text, found.score) for found in documents]

    def rank(self, adapter: Any, texts: list[Any] = TEXTS) -> list[tuple[str, Any]]:
        """One sync call."""
        documents = self.documents(texts)
        if self.module == "langchain":
            return self.found(adapter.compress_documents(documents, "q"))
        if self.module == "haystack":
            return self.found(adapter.run(query="q", documents=documents))
        return self.found(adapter.postprocess_nodes(documents, query_str="q"))

    async def arank(self, adapter: Any, texts: list[Any] = TEXTS) -> list[tuple[str, Any]]:
        """One call with await."""
        documents = self.documents(texts)
        if self.module == "langchain":
            return self.found(await adapter.acompress_documents(documents, "q"))
        if self.module == "haystack":
            return self.found(await adapter.run_async(query="q", documents=documents))
        return self.found(await adapter.apostprocess_nodes(documents, query_str="q"))

    def close(self, adapter: Any) -> None:
        """Close all of it."""
        asyncio.run(adapter.close_async() if self.module == "haystack" else adapter.aclose())

    def read_back(self, adapter: Any) -> Any:
        """Return the adapter restored from its JSON."""
        cls = self.cls
        if self.module == "langchain":
            return cls(**json.loads(adapter.model_dump_json()))
        return cls.from_dict(json.loads(json.dumps(adapter.to_dict())))


ADAPTERS = {
    "langchain": Adapter("langchain", "OpenRouterRerank", {}),
    "llama_index": Adapter("llama_index", "OpenRouterRerank", {}),
    "haystack": Adapter(
        "haystack",
        "OpenRouterRanker",
        {"top_n": "top_k", "min_score": "score_threshold", "base_url": "api_base_url"},
    ),
}


@pytest.fixture(params=ADAPTERS)
def adapter(request: pytest.FixtureRequest) -> Adapter:
    """Each of the adapters."""
    found = ADAPTERS[request.param]
    assert found.cls
    return found


@pytest.fixture
def pydantic(adapter: Adapter) -> Adapter:
    """Each of those that are models of pydantic."""
    if adapter.module == "haystack":
        pytest.skip("a component of Haystack is a class of Python's own")
    return adapter


def test_an_argument_of_the_facade_with_another_name_here(adapter: Adapter) -> None:
    """The name that an argument has in the facade leads to the one that it has in the adapter."""
    for name, own in adapter.names.items():
        with pytest.raises(TypeError, match=rf"has no argument '{name}'; did you mean '{own}'\?"):
            adapter.cls(**{name: "x"})


VALUES: dict[str, Any] = {
    "model": "a/b",
    "top_n": 2,
    "provider": {"order": ["cohere"]},
    "session_id": "s",
    "user": "u",
    "trace": {"trace_name": "t"},
    "min_score": 0.75,
    "timeout": 5.0,
    "extra_body": {"x": 1},
    "tag": "t",
    "max_documents": 2,
    "max_bytes": 10_000,
    "on_part_error": "partial",
    "splitter": split_by_words(3, 1),
    "blank": "skip",
}
"""A value for each option that can be written down."""


def test_every_option_is_an_argument(adapter: Adapter) -> None:
    """An adapter takes all options of a call, and has each as an attribute."""
    made = adapter.make(api_key="", **VALUES, extra_headers={"X-A": "1"})

    assert {*VALUES, "extra_headers", *SUMMARIES} == CALL
    assert set(SUMMARIES) <= set(inspect.signature(adapter.cls.__init__).parameters)
    for name, value in VALUES.items():
        assert getattr(made, adapter.names.get(name, name)) == value
    assert "on_part_error" in str(inspect.signature(adapter.cls.__init__))


def test_every_option_reaches_the_request(adapter: Adapter) -> None:
    """Options that are passed, or changed later, are sent."""
    fake = FakeReranker(SCORES)
    sent = {name: VALUES[name] for name in ("model", "top_n", "provider", "session_id", "user", "trace")}
    for early in (True, False):
        made = adapter.make(reranker=fake, **(sent if early else {}))
        if not early:
            adapter.change(made, **sent)
        adapter.rank(made)
        assert fake.calls[-1].options == sent


async def test_a_dialect(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter ranks in a dialect, also read back and sync or not; OpenRouter's key and model stay at home."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with serving(script(VENDORS["tei"])) as server:
        made = adapter.make(dialect="tei", base_url=server.url, truncate=True, top_n=2)
        for one in (made, adapter.read_back(made), copy.copy(made)):
            assert [text for text, _ in adapter.rank(one)] == ["c", "b"]
            assert [text for text, _ in await adapter.arank(one)] == ["c", "b"]
            await (one.close_async() if adapter.module == "haystack" else one.aclose())
    assert [request.json for request in server.requests] == [
        {"query": "q", "texts": TEXTS, "truncate": True}
    ] * 6
    assert not any("authorization" in request.headers for request in server.requests)
    with pytest.raises(ValueError, match="user: the dialect 'tei' has no such field"):
        adapter.make(dialect="tei", base_url="http://server.example", user="u")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda adapter: adapter])
async def test_a_changed_attribute_counts(adapter: Adapter, duplicate: Callable[[Any], Any]) -> None:
    """At the next call, sync and async, of an adapter or of a copy; the original stays as it is."""
    first = adapter.make(top_n=3, reranker=FakeReranker(SCORES), async_reranker=AsyncFakeReranker(SCORES))
    made = duplicate(first)
    adapter.change(made, top_n=2, min_score=0.85)

    assert adapter.rank(made) == await adapter.arank(made) == [("c", 0.9)]
    adapter.change(made, min_score=None)
    assert len(adapter.rank(made)) == 2
    if made is not first:
        assert len(adapter.rank(first)) == 3


def test_a_copy_with_changes_counts(pydantic: Adapter) -> None:
    """`model_copy(update=...)`, deep or not, changes what it shows."""
    first = pydantic.make(top_n=3, reranker=FakeReranker(SCORES))

    for deep in (False, True):
        assert len(pydantic.rank(first.model_copy(update={"top_n": 1}, deep=deep))) == 1
    other = first.model_copy(update={"reranker": FakeReranker({**SCORES, "a": 1.0})})
    assert pydantic.rank(other)[0] == ("a", 1.0)


@pytest.mark.parametrize(
    ("update", "error", "message"),
    [
        ({"topn": 1}, TypeError, "no argument 'topn'; did you mean 'top_n'?"),
        ({"top_n": 0}, ValueError, "top_n must be at least 1"),
        ({"top_n": "2"}, TypeError, "top_n must be an int"),
        ({"min_score": float("nan")}, ValueError, "min_score"),
        ({"provider": {"oder": []}}, ValueError, "did you mean 'order'"),
        ({"on_error": "keep"}, ValueError, "on_error must be 'raise' or 'keep_order'"),
        ({"splitter": {"word": 3}}, ValueError, "splitter: a mapping has words and overlap"),
        ({"splitter": {"words": 0}}, ValueError, "n must be at least 1"),
        ({"splitter": 3}, TypeError, "splitter must be a function"),
        ({"blank": "drop"}, ValueError, "blank must be 'send' or 'skip'"),
        (
            {"base_url": "http://x.example.com"},
            ValueError,
            "base_url: cannot be combined with a ready reranker",
        ),
        ({"deadline": 3}, ValueError, "deadline: cannot be combined with a ready reranker"),
        ({"api_key": "k"}, ValueError, "api_key: cannot be combined with a ready reranker"),
        ({"reranker": "<Reranker>"}, TypeError, "reranker must be a reranker, not str"),
        ({"reranker": AsyncFakeReranker()}, TypeError, "exchange them"),
    ],
)
def test_a_change_that_can_never_work(
    adapter: Adapter, update: dict[str, Any], error: type[Exception], message: str
) -> None:
    """A wrong value is refused at the next call, however it was set; in the constructor at once."""
    fake = FakeReranker(SCORES)
    made = adapter.make(reranker=fake)
    if adapter.module == "haystack":
        if "topn" in update:
            pytest.skip("an attribute of Python's own takes any name")
        adapter.change(made, **{n: adapter.key(v) if n == "api_key" else v for n, v in update.items()})
    else:
        made = made.model_copy(update=update)
    with pytest.raises(error, match=message):
        adapter.rank(made)
    assert fake.calls == []
    if "topn" not in update:
        with pytest.raises(error, match=message):
            adapter.make(**{"reranker": fake, **update})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"topn": 1}, "did you mean"),
        ({"retries": None}, "set it where the reranker is made"),
        ({"quux": 1}, "no argument 'quux'"),
    ],
)
def test_an_unknown_argument(adapter: Adapter, given: dict[str, Any], message: str) -> None:
    """An argument that does not exist is refused, with the nearest."""
    with pytest.raises(TypeError, match=message):
        adapter.make(api_key="", **given)


@pytest.mark.parametrize(("name", "meant"), [("top_n", "top_k"), ("min_score", "score_threshold")])
def test_names_of_haystack(name: str, meant: str) -> None:
    """Haystack's own names are the only ones of the component."""
    with pytest.raises(TypeError, match=f"no argument '{name}'; did you mean '{meant}'"):
        ADAPTERS["haystack"].cls(api_key=None, **{name: 1})


@pytest.mark.parametrize("update", [{"deadline": 0}, {"base_url": ""}, {"base_url": "ftp://x"}])
def test_arguments_of_the_constructor_are_checked_early(adapter: Adapter, update: dict[str, Any]) -> None:
    """Arguments are checked at construction, also without a key."""
    with pytest.raises(ValueError, match=next(iter(update))):
        adapter.make(api_key="", **update)


async def test_a_changed_address_or_key_makes_new_rerankers(adapter: Adapter) -> None:
    """The next call goes to the new address with the new key, and the old connections are closed."""
    keys: list[str | None] = []
    fakes = FakeReranker(SCORES), FakeReranker(SCORES)

    def script(fake: FakeReranker) -> Any:
        def play(request: Any) -> Any:
            keys.append(request.headers.get("authorization"))
            return fake.play(request)

        return play

    with serving(script(fakes[0])) as one, serving(script(fakes[1])) as other:
        made = adapter.make(api_key=KEY, base_url=one.url)
        adapter.rank(made)
        await adapter.arank(made)
        duplicate = copy.copy(made)
        adapter.change(made, base_url=other.url, api_key=adapter.key("sk-another"))
        adapter.rank(made)
        await adapter.arank(made)
        adapter.change(made, deadline=60.0)
        adapter.rank(made)
        await adapter.arank(made)
        assert (len(fakes[0].calls), len(fakes[1].calls)) == (2, 4)
        assert keys == [f"Bearer {KEY}"] * 2 + ["Bearer sk-another"] * 4
        # The copy ranks by the old ones still, over the same connections.
        adapter.rank(duplicate)
        await adapter.arank(duplicate)
        assert (len(fakes[0].calls), one.connections) == (4, 2)
        for used in (made, duplicate):
            await (used.close_async() if adapter.module == "haystack" else used.aclose())
        assert one.wait_until(lambda now: now.held == 0)
        assert other.wait_until(lambda now: now.held == 0)


def test_old_connections_are_closed(adapter: Adapter) -> None:
    """Connections to an address that no copy uses any more are closed at the next call."""
    with serving(FakeReranker(SCORES).play) as one, serving(FakeReranker(SCORES).play) as other:
        made = adapter.make(api_key="", base_url=one.url)
        adapter.rank(made)
        adapter.change(made, base_url=other.url)
        adapter.rank(made)
        assert one.wait_until(lambda now: now.held == 0)
        duplicate = copy.copy(made)
        for used in (made, duplicate):
            adapter.change(used, base_url=one.url)
            adapter.rank(used)
        assert other.wait_until(lambda now: now.held == 0)
        made.close()
        duplicate.close()


def test_copies_share_connections(adapter: Adapter) -> None:
    """Copies with the same address and key rank over the same connections; each works on where another was closed."""
    with serving(FakeReranker(SCORES).play) as server:
        made = adapter.make(api_key=KEY, base_url=server.url)
        adapter.rank(made)
        for _ in range(3):
            duplicate = copy.deepcopy(made)
            adapter.change(duplicate, top_n=1)
            assert len(adapter.rank(duplicate)) == 1
        assert server.connections == 1
        duplicate.close()
        assert len(adapter.rank(made)) == 3
        made.close()


async def test_a_failure_keeps_the_order(adapter: Adapter, caplog: pytest.LogCaptureFixture) -> None:
    """With on_error="keep_order" the documents come as they were, cut to top_n, and a warning has the reason."""
    score = None if adapter.module == "langchain" else 0.25
    made = adapter.make(
        on_error="keep_order",
        top_n=2,
        min_score=0.5,
        reranker=FakeReranker(script=[RateLimitError]),
        async_reranker=AsyncFakeReranker(script=[RateLimitError]),
    )
    with caplog.at_level(logging.WARNING, "openrouter_rerank"):
        found = [adapter.rank(made), await adapter.arank(made)]

    assert found == [[("a", score), ("b", score)]] * 2
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "429 Too Many Requests" in caplog.messages[0]
    with pytest.raises(ValueError, match="top_n"):
        adapter.change(made, top_n=0)
        adapter.rank(made)


def test_raising_is_the_default(adapter: Adapter) -> None:
    """The original order is kept only if asked; the attribute can be changed."""
    made = adapter.make(reranker=FakeReranker(script=[RateLimitError] * 2))
    with pytest.raises(RateLimitError):
        adapter.rank(made)
    adapter.change(made, on_error="keep_order")
    assert [text for text, _ in adapter.rank(made)] == TEXTS


def test_blank_documents(adapter: Adapter) -> None:
    """Blank documents are left out on request, and named where they are refused."""

    def strict(request: Any) -> Any:
        if "" in request.json["documents"]:
            yield answer(400, envelope(400, "empty"))
        else:
            yield from fake.play(request)

    fake = FakeReranker(SCORES)
    with serving(strict) as server:
        made = adapter.make(api_key="", base_url=server.url)
        with pytest.raises(BadRequestError, match=r"\(index 1\).*blank=\"skip\""):
            adapter.rank(made, ["a", "", "b"])
        adapter.change(made, blank="skip")
        assert [text for text, _ in adapter.rank(made, ["a", "", "b"])] == ["b", "a"]
        made.close()


def test_a_document_of_haystack_without_content() -> None:
    """A document without content is blank too."""
    haystack = ADAPTERS["haystack"]
    assert haystack.cls
    made = haystack.make(reranker=FakeReranker(SCORES), blank="skip")

    assert haystack.rank(made, ["a", None, "b"]) == [("b", 0.8), ("a", 0.7)]


def test_long_documents(adapter: Adapter) -> None:
    """With splitter= a document is ranked by the best of its pieces, and comes back whole."""
    fake = FakeReranker({"a b": 0.1, "c": 0.9, "d": 0.5})
    for splitter in (split_by_words(2), {"words": 2}, {"words": 2, "overlap": 0}):
        made = adapter.make(reranker=fake, splitter=splitter)
        assert adapter.rank(made, ["d", "a b c"]) == [("a b c", 0.9), ("d", 0.5)]
        adapter.change(made, splitter=splitter)
        assert len(adapter.rank(made, ["a b c"])) == 1


def test_written_down_and_read_back(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through JSON all settings come back, attributes that were changed too; there is no key in it."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    made = adapter.make(base_url="http://x.example.com/v1", deadline=9.0, on_error="keep_order", top_n=9)
    adapter.change(made, **VALUES)
    loaded = adapter.read_back(made)

    assert loaded._setup().given == made._setup().given == VALUES
    assert loaded._setup().client == made._setup().client
    assert loaded.on_error == "keep_order"
    assert adapter.read_back(adapter.make())._setup().given == {}
    typed = adapter.make(provider=ProviderPreferences(order=["cohere"]))
    assert adapter.read_back(typed).provider == {"order": ["cohere"]}


def test_no_secret_is_written_down(pydantic: Adapter) -> None:
    """Keys and values of headers are in no dump and no repr; what has to be given again is refused, not left out."""
    made = pydantic.make(
        api_key=KEY, extra_headers={"Api-Key": KEY}, base_url=f"http://x.example.com/?k={KEY}"
    )
    shown = (
        f"{made!r}{made}{made.model_dump(exclude={'base_url'})}{made.model_dump_json(exclude={'base_url'})}"
    )
    assert KEY not in shown
    with pytest.raises(TypeError, match="extra_headers must be a mapping, not str"):
        pydantic.read_back(made)
    pydantic.change(made, api_key=KEY)
    assert KEY not in repr(made)
    with pytest.raises(TypeError, match="reranker must be a reranker, not str"):
        pydantic.read_back(pydantic.make(reranker=FakeReranker()))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reranker": FakeReranker()}, "a ready reranker"),
        ({"extra_headers": {"A": "b"}}, "extra_headers"),
        ({"splitter": str.split}, "a function as splitter"),
    ],
)
def test_what_haystack_cannot_write_down(
    given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says so, in place of writing another component."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    assert ADAPTERS["haystack"].cls
    from haystack.core.errors import SerializationError

    with pytest.raises(SerializationError, match=message):
        ADAPTERS["haystack"].make(**given).to_dict()


def test_a_pickle_is_the_same_adapter(adapter: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle has all settings and the server; the key is that of the environment where it is loaded."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    keys: list[str | None] = []

    def play(request: Any) -> Any:
        keys.append(request.headers.get("authorization"))
        return fake.play(request)

    fake = FakeReranker(SCORES)
    with serving(play) as server:
        made = adapter.make(base_url=server.url)
        adapter.change(made, top_n=1)
        adapter.rank(made)
        written = pickle.dumps(made)
        assert KEY.encode() not in written
        monkeypatch.setenv("OPENROUTER_API_KEY", "sk-of-the-worker")
        loaded = pickle.loads(written)
        assert adapter.rank(loaded) == [("c", 0.9)]
        monkeypatch.delenv("OPENROUTER_API_KEY")
        with pytest.raises(ValueError, match="OPENROUTER_API_KEY"):
            adapter.rank(pickle.loads(written))
        for used in (made, loaded):
            used.close()
    assert keys == [f"Bearer {KEY}", "Bearer sk-of-the-worker"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"api_key": KEY}, "api_key: it was passed"),
        ({"api_key": "", "extra_headers": {"Api-Key": KEY}}, "extra_headers"),
        ({"api_key": "", "base_url": f"http://x.example.com/?key={KEY}"}, "base_url"),
        ({"reranker": Reranker(KEY)}, "api_key: it was passed"),
        ({"async_reranker": AsyncReranker(KEY)}, "api_key: it was passed"),
        ({"reranker": FakeReranker()}, "cannot pickle a FakeReranker"),
    ],
)
def test_what_a_pickle_cannot_have(
    adapter: Adapter, given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that was passed, or a reranker that has one, is refused: no pickle becomes another adapter."""
    monkeypatch.setenv("OPENROUTER_API_KEY", "sk-another-one")
    made = adapter.make(**given)
    with pytest.raises(TypeError, match=message):
        pickle.dumps(made)
    for duplicate in (copy.copy(made), copy.deepcopy(made)):
        assert duplicate._setup().key_source == made._setup().key_source


def test_a_pickle_with_a_ready_reranker(adapter: Adapter) -> None:
    """A ready reranker goes along where it can be pickled."""
    made = adapter.make(reranker=Reranker.local(top_n=1))

    assert len(adapter.rank(pickle.loads(pickle.dumps(made)))) == 1


WORKERS = """
import multiprocessing
from test_settings import ADAPTERS

def rank(adapter, name):
    return ADAPTERS[name].rank(adapter)

if __name__ == "__main__":
    adapter = ADAPTERS[{name!r}].make(base_url={url!r}, top_n=1)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.apply(rank, [adapter, {name!r}]))
"""


def test_other_processes(adapter: Adapter, tmp_path: Path) -> None:
    """An adapter works in a process that is spawned."""
    here = Path(__file__).parent
    program = tmp_path / "workers.py"
    environment = {**os.environ, "OPENROUTER_API_KEY": KEY}
    with serving(FakeReranker(SCORES).play) as server:
        source = f"import sys; sys.path[:0] = [{str(here)!r}, {str(here.parent)!r}]\n"
        program.write_text(source + WORKERS.format(name=adapter.module, url=server.url), encoding="utf-8")
        ran = subprocess.run(
            [sys.executable, program],
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
            env=environment,
        )
    assert "[('c', 0.9)]" in ran.stdout, ran.stderr
