"""The adapter for LangChain, in LangChain's own retriever and against a server on loopback."""

import traceback
from contextlib import aclosing, closing

import pytest

from shells import KEY

pytest.importorskip("langchain_core", reason="LangChain is not installed here; `nox -s frameworks` has it")
pytest.importorskip(
    "langchain_classic",
    reason="LangChain's compression retriever is not installed here; `nox -s frameworks` has it",
)

from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import CallbackManager
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever

from openrouter_rerank import AsyncReranker, AuthenticationError, Reranker
from openrouter_rerank.integrations.langchain import OpenRouterRerank

QUESTION = "Where is Berlin?"


def documents():
    """Three documents, of which the last is about the question."""
    return [
        Document("Paris is in France.", metadata={"page": 1}, id="paris"),
        Document("Rome is in Italy.", metadata={"page": 2}, id="rome"),
        Document("Berlin is in Germany.", metadata={"page": 3}, id="berlin"),
    ]


class Fixed(BaseRetriever):
    """A retriever that finds the same documents for every question."""

    found: list[Document]

    def _get_relevant_documents(self, query, *, run_manager):
        return self.found


def retriever(compressor, found):
    """LangChain's own retriever around the compressor."""
    return ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Fixed(found=found))


def test_in_a_retriever(server):
    """In LangChain's compression retriever it gives the best documents first, with their scores, and changes no original."""
    found = documents()
    with closing(OpenRouterRerank(api_key=KEY, base_url=server.url, model="a/b", top_n=2)) as compressor:
        best, second = retriever(compressor, found).invoke(QUESTION)

    assert (best.page_content, best.id, best.metadata["page"]) == ("Berlin is in Germany.", "berlin", 3)
    assert best.metadata["relevance_score"] > second.metadata["relevance_score"]
    assert [document.metadata for document in found] == [{"page": 1}, {"page": 2}, {"page": 3}]
    assert [(body["model"], body["query"], body["top_n"]) for body in server.sent] == [("a/b", QUESTION, 2)]


@pytest.mark.anyio
async def test_in_a_retriever_with_await(server):
    """The same with await."""
    async with aclosing(OpenRouterRerank(api_key=KEY, base_url=server.url, top_n=1)) as compressor:
        [best] = await retriever(compressor, documents()).ainvoke(QUESTION)

    assert best.id == "berlin"
    assert best.metadata.keys() == {"page", "relevance_score"}


@pytest.mark.anyio
async def test_await_needs_no_sync_reranker():
    """With await it ranks by the async reranker, so that no thread is taken for it; the sync method has none then."""
    compressor = OpenRouterRerank(async_reranker=AsyncReranker.local(), top_n=1)

    [best] = await compressor.acompress_documents(documents(), QUESTION)

    assert best.id == "berlin"
    with pytest.raises(ValueError, match="pass it too, or call the async method"):
        compressor.compress_documents(documents(), QUESTION)


@pytest.mark.anyio
async def test_await_with_a_sync_reranker_alone():
    """With a ready sync reranker alone, the async method says what to pass."""
    with pytest.raises(ValueError, match="pass it too, or call the sync method"):
        await OpenRouterRerank(reranker=Reranker.local()).acompress_documents(documents(), QUESTION)


@pytest.mark.anyio
async def test_no_documents(server):
    """No documents give none, and no request."""
    compressor = OpenRouterRerank(api_key=KEY, base_url=server.url)

    assert compressor.compress_documents([], QUESTION) == []
    assert await compressor.acompress_documents([], QUESTION) == []
    assert server.sent == []


def test_min_score():
    """Documents below min_score are left out."""
    scores = {"Paris is in France.": 0.1, "Rome is in Italy.": 0.5, "Berlin is in Germany.": 0.9}
    local = Reranker.local(lambda query, texts: [scores[text] for text in texts])

    ranked = OpenRouterRerank(reranker=local, min_score=0.5).compress_documents(documents(), QUESTION)

    assert [document.metadata["relevance_score"] for document in ranked] == [0.9, 0.5]


def test_the_metadata_of_a_hit_is_its_own():
    """To change the metadata of a ranked document changes no other."""
    found = documents()
    ranked = OpenRouterRerank(reranker=Reranker.local()).compress_documents(found, QUESTION)

    ranked[0].metadata["page"] = "changed"

    assert [document.metadata["page"] for document in found] == [1, 2, 3]


def test_callbacks():
    """Callbacks are taken, as LangChain's retrievers pass them."""
    compressor = OpenRouterRerank(reranker=Reranker.local(), top_n=1)

    assert len(compressor.compress_documents(documents(), QUESTION, callbacks=CallbackManager([]))) == 1


@pytest.mark.anyio
async def test_errors(server):
    """An error of the reranker comes through a retriever as it is."""
    async with aclosing(OpenRouterRerank(api_key="sk-or-v1-another", base_url=server.url)) as compressor:
        with pytest.raises(AuthenticationError):
            retriever(compressor, documents()).invoke(QUESTION)
        with pytest.raises(AuthenticationError):
            await retriever(compressor, documents()).ainvoke(QUESTION)


REFUSED = [
    pytest.param({}, ValueError, "OPENROUTER_API_KEY", id="no key"),
    pytest.param({"api_key": KEY, "top_n": 0}, ValueError, "top_n", id="top_n"),
    pytest.param({"api_key": KEY, "min_score": float("nan")}, ValueError, "min_score", id="min_score"),
    pytest.param({"api_key": KEY, "base_url": "ftp://x"}, ValueError, "base_url", id="base_url"),
    pytest.param({"api_key": KEY, "provider": {"oder": []}}, ValueError, "order", id="provider"),
    pytest.param({"topn": 3}, TypeError, "topn", id="misspelt"),
]


@pytest.mark.parametrize(("arguments", "error", "named"), REFUSED)
def test_what_can_never_work(arguments, error, named):
    """An argument that can never work is refused when the compressor is made, and the key shows nowhere in that."""
    with pytest.raises(error, match=named) as caught:
        OpenRouterRerank(**arguments)

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert KEY not in shown.replace(repr(arguments), "")


def test_settings_beside_a_ready_reranker():
    """Options of a new reranker are refused beside a ready one, and so is one of the other kind."""
    with pytest.raises(ValueError, match="api_key, base_url"):
        OpenRouterRerank(reranker=Reranker.local(), api_key=KEY, base_url="https://x.example.com")
    with pytest.raises(TypeError, match="other way round"):
        OpenRouterRerank(reranker=AsyncReranker.local())


def test_the_key_from_the_environment(server, monkeypatch):
    """The key of the environment is used where none is given."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)

    with closing(OpenRouterRerank(base_url=server.url)) as compressor:
        assert compressor.compress_documents(documents(), QUESTION)[0].id == "berlin"


def test_the_empty_key(monkeypatch):
    """The empty key sends none, not even the environment's."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)

    compressor = OpenRouterRerank(api_key="")

    assert "Authorization" not in compressor._pair.sync(compressor._setup())._settings.headers


def test_the_key_does_not_show():
    """The key shows in no repr and in nothing that is written down of a compressor."""
    compressor = OpenRouterRerank(api_key=KEY)

    assert KEY not in f"{compressor!r}{compressor}{compressor.model_dump()}{compressor.model_dump_json()}"


@pytest.mark.anyio
async def test_a_ready_reranker_stays_open():
    """Rerankers that were given stay open when the compressor is closed: they are the caller's."""
    compressor = OpenRouterRerank(reranker=Reranker.local(), async_reranker=AsyncReranker.local())

    await compressor.aclose()

    assert compressor.compress_documents(documents(), QUESTION)
    assert await compressor.acompress_documents(documents(), QUESTION)


@pytest.mark.anyio
async def test_closed_and_called_again(server):
    """A compressor that was closed opens new connections for a later call."""
    async with aclosing(OpenRouterRerank(api_key=KEY, base_url=server.url)) as compressor:
        for _ in range(2):
            assert len(compressor.compress_documents(documents(), QUESTION)) == 3
            assert len(await compressor.acompress_documents(documents(), QUESTION)) == 3
            await compressor.aclose()


def test_docs(shown):
    """The examples of the docs come out as they say."""
    assert shown("LangChain") == 2
