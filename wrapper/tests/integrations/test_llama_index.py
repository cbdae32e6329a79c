"""The adapter for LlamaIndex, behind a retriever and against a server on loopback."""

import traceback
from contextlib import aclosing, closing

import pytest

from shells import KEY

pytest.importorskip("llama_index.core", reason="LlamaIndex is not installed here; `nox -s frameworks` has it")

from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode

from openrouter_rerank import AsyncReranker, AuthenticationError, Reranker
from openrouter_rerank.integrations.llama_index import OpenRouterRerank

QUESTION = "Where is Berlin?"
# What is asked for even where no language model is: it answers nothing that is looked at.
Settings.llm = MockLLM()


def nodes():
    """Three nodes with the scores of a retrieval, of which the last is about the question."""
    texts = {"paris": "Paris is in France.", "rome": "Rome is in Italy.", "berlin": "Berlin is in Germany."}
    return [
        NodeWithScore(node=TextNode(id_=name, text=text, metadata={"page": 1}), score=score)
        for (name, text), score in zip(texts.items(), [0.7, 0.6, 0.5], strict=True)
    ]


class Fixed(BaseRetriever):
    """A retriever that finds the same nodes for every question."""

    def _retrieve(self, query_bundle):
        return nodes()


def engine(postprocessor):
    """Return a query engine that retrieves and reranks, and asks no language model."""
    synthesizer = get_response_synthesizer(response_mode="no_text")
    return RetrieverQueryEngine(Fixed(), synthesizer, [postprocessor])


@pytest.fixture
def events():
    """Provide the events of instrumentation that are sent while a test runs."""
    seen = []

    class Keep(BaseEventHandler):
        def handle(self, event, **kwargs):
            seen.append(event)

    handler = Keep()
    dispatcher = get_dispatcher()
    dispatcher.add_event_handler(handler)
    yield seen
    dispatcher.event_handlers.remove(handler)


def test_in_a_query_engine(server):
    """In a query engine it gives the best nodes first, under new scores, and changes no original."""
    with closing(OpenRouterRerank(api_key=KEY, base_url=server.url, model="a/b", top_n=2)) as postprocessor:
        best, second = engine(postprocessor).query(QUESTION).source_nodes

    assert (best.node_id, best.text, best.metadata) == ("berlin", "Berlin is in Germany.", {"page": 1})
    assert best.score > second.score
    assert [(body["model"], body["query"], body["top_n"]) for body in server.sent] == [("a/b", QUESTION, 2)]


@pytest.mark.anyio
async def test_in_a_query_engine_with_await(server):
    """The same with await."""
    async with aclosing(OpenRouterRerank(api_key=KEY, base_url=server.url, top_n=1)) as postprocessor:
        [best] = (await engine(postprocessor).aquery(QUESTION)).source_nodes

    assert best.node_id == "berlin"


def test_the_originals_keep_their_scores():
    """The nodes that were passed in keep their scores: they may be shown beside the new ones."""
    found = nodes()

    ranked = OpenRouterRerank(reranker=Reranker.local()).postprocess_nodes(found, QueryBundle(QUESTION))

    assert [node.score for node in found] == [0.7, 0.6, 0.5]
    assert ranked[0].node is found[2].node


@pytest.mark.anyio
async def test_await_needs_no_sync_reranker():
    """With await it ranks by the async reranker, so that no thread is taken for it; the sync method has none then."""
    postprocessor = OpenRouterRerank(async_reranker=AsyncReranker.local(), top_n=1)

    [best] = await postprocessor.apostprocess_nodes(nodes(), query_str=QUESTION)

    assert best.node_id == "berlin"
    with pytest.raises(ValueError, match="pass it too, or call the async method"):
        postprocessor.postprocess_nodes(nodes(), query_str=QUESTION)


@pytest.mark.anyio
async def test_no_nodes_and_no_query(server, events):
    """No nodes give none, without a request or an event; no query is refused."""
    postprocessor = OpenRouterRerank(api_key=KEY, base_url=server.url)

    assert postprocessor.postprocess_nodes([], query_str=QUESTION) == []
    assert await postprocessor.apostprocess_nodes([], query_str=QUESTION) == []
    with pytest.raises(ValueError, match="query is missing"):
        postprocessor.postprocess_nodes(nodes())
    with pytest.raises(ValueError, match="query is missing"):
        await postprocessor.apostprocess_nodes(nodes())
    assert server.sent == []
    assert not [event for event in events if isinstance(event, ReRankStartEvent)]


def test_min_score():
    """Nodes below min_score are left out, and a node of just this score stays."""
    scores = {"Paris is in France.": 0.1, "Rome is in Italy.": 0.5, "Berlin is in Germany.": 0.9}
    local = Reranker.local(lambda query, texts: [scores[text] for text in texts])
    postprocessor = OpenRouterRerank(reranker=local, min_score=0.5, metadata_mode=MetadataMode.NONE)

    assert [node.score for node in postprocessor.postprocess_nodes(nodes(), query_str=QUESTION)] == [0.9, 0.5]


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        pytest.param({}, "page: 1\n\nParis is in France.", id="default"),
        pytest.param({"metadata_mode": MetadataMode.NONE}, "Paris is in France.", id="none"),
    ],
)
def test_metadata_mode(server, mode, sent):
    """A node's text is sent with the metadata of its mode: by default that for embeddings."""
    with closing(OpenRouterRerank(api_key=KEY, base_url=server.url, **mode)) as postprocessor:
        postprocessor.postprocess_nodes(nodes(), query_str=QUESTION)

    assert server.sent[0]["documents"][0] == sent


@pytest.mark.anyio
async def test_events(events):
    """It sends the events of LlamaIndex's own rerankers, sync and async: what goes in and what comes out."""
    postprocessor = OpenRouterRerank(
        reranker=Reranker.local(model="a/b"), async_reranker=AsyncReranker.local(), top_n=1
    )

    postprocessor.postprocess_nodes(nodes(), query_str=QUESTION)
    await postprocessor.apostprocess_nodes(nodes(), query_str=QUESTION)

    assert [type(event) for event in events] == [ReRankStartEvent, ReRankEndEvent] * 2
    start, end = events[:2]
    assert (start.query, len(start.nodes), start.top_n, start.model_name) == (QUESTION, 3, 1, "a/b")
    assert [node.node_id for node in end.nodes] == ["berlin"]


def test_callbacks():
    """The older callback manager is told of the reranking too."""
    debug = LlamaDebugHandler(print_trace_on_end=False)
    postprocessor = OpenRouterRerank(
        reranker=Reranker.local(), top_n=1, callback_manager=CallbackManager([debug])
    )

    postprocessor.postprocess_nodes(nodes(), query_str=QUESTION)

    [(start, end)] = debug.get_event_pairs(CBEventType.RERANKING)
    assert start.payload[EventPayload.QUERY_STR] == QUESTION
    assert [node.node_id for node in end.payload[EventPayload.NODES]] == ["berlin"]


@pytest.mark.anyio
async def test_errors(server, events):
    """An error of the reranker comes through as it is, and no end is told of."""
    async with aclosing(OpenRouterRerank(api_key="sk-or-v1-another", base_url=server.url)) as postprocessor:
        with pytest.raises(AuthenticationError):
            postprocessor.postprocess_nodes(nodes(), query_str=QUESTION)
        with pytest.raises(AuthenticationError):
            await postprocessor.apostprocess_nodes(nodes(), query_str=QUESTION)

    assert not [event for event in events if isinstance(event, ReRankEndEvent)]


REFUSED = [
    pytest.param({}, ValueError, "OPENROUTER_API_KEY", id="no key"),
    pytest.param({"api_key": KEY, "top_n": 0}, ValueError, "top_n", id="top_n"),
    pytest.param({"api_key": KEY, "min_score": float("nan")}, ValueError, "min_score", id="min_score"),
    pytest.param({"api_key": KEY, "base_url": "ftp://x"}, ValueError, "base_url", id="base_url"),
    pytest.param({"topn": 3}, TypeError, "topn", id="misspelt"),
]


@pytest.mark.parametrize(("arguments", "error", "named"), REFUSED)
def test_what_can_never_work(arguments, error, named):
    """An argument that can never work is refused when the postprocessor is made, and the key shows nowhere in that."""
    with pytest.raises(error, match=named) as caught:
        OpenRouterRerank(**arguments)

    shown = "".join(traceback.TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert KEY not in shown.replace(repr(arguments), "")


def test_written_down(monkeypatch):
    """A serialized postprocessor has everything but the key, and can be restored where the key is set."""
    written = OpenRouterRerank(api_key=KEY, model="a/b", top_n=2, metadata_mode=MetadataMode.NONE).to_dict()
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)

    again = OpenRouterRerank.from_dict(written)

    assert KEY not in str(written)
    assert (again.model, again.top_n, again.metadata_mode) == ("a/b", 2, MetadataMode.NONE)


def test_docs(shown):
    """The examples of the docs come out as they say."""
    assert shown("LlamaIndex") == 2
