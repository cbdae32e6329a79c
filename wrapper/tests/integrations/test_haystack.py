"""The adapter for Haystack, in Haystack's own pipelines and against a server on loopback."""

from contextlib import closing
from traceback import TracebackException

import pytest

from shells import KEY

pytest.importorskip("haystack", reason="Haystack is not installed here; `nox -s frameworks` has it")

from haystack import Document, Pipeline
from haystack.core.errors import PipelineRuntimeError, SerializationError
from haystack.dataclasses import ByteStream
from haystack.utils import Secret

from openrouter_rerank import AsyncReranker, AuthenticationError, Reranker
from openrouter_rerank.integrations.haystack import OpenRouterRanker

QUESTION = "Where is Berlin?"
MODULE = "openrouter_rerank.integrations.haystack"
PNG = b"\x89PNG\r\n\x1a\nthe rest"


def documents():
    """Three documents with the scores of a retrieval, of which the last is about the question."""
    return [
        Document(id="paris", content="Paris is in France.", meta={"page": 1}, score=0.7),
        Document(id="rome", content="Rome is in Italy.", meta={"page": 2}, score=0.6),
        Document(id="berlin", content="Berlin is in Germany.", meta={"page": 3}, score=0.5),
    ]


def pipeline(ranker):
    """Return a pipeline of the ranker alone."""
    made = Pipeline()
    made.add_component("ranker", ranker)
    return made


def asked(**more):
    """Return the inputs of a pipeline's run."""
    return {"ranker": {"query": QUESTION, "documents": documents(), **more}}


def test_in_a_pipeline(server, monkeypatch):
    """In a pipeline it gives the best documents first, under new scores."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    with closing(pipeline(OpenRouterRanker(model="a/b", api_base_url=server.url, top_k=2))) as running:
        best, second = running.run(asked())["ranker"]["documents"]

    assert (best.id, best.content, best.meta) == ("berlin", "Berlin is in Germany.", {"page": 3})
    assert best.score > second.score
    assert [(body["model"], body["query"], body["top_n"]) for body in server.sent] == [("a/b", QUESTION, 2)]


@pytest.mark.anyio
async def test_in_a_pipeline_with_await(server):
    """The same with await."""
    running = pipeline(OpenRouterRanker(api_key=Secret.from_token(KEY), api_base_url=server.url, top_k=1))

    [best] = (await running.run_async(asked()))["ranker"]["documents"]
    await running.close_async()

    assert best.id == "berlin"


@pytest.mark.anyio
async def test_await_needs_no_sync_reranker():
    """With await it ranks by the async reranker, so that no thread is taken for it; `run` has none then."""
    ranker = OpenRouterRanker(async_reranker=AsyncReranker.local(), top_k=1)

    [best] = (await pipeline(ranker).run_async(asked()))["ranker"]["documents"]

    assert best.id == "berlin"
    with pytest.raises(ValueError, match="pass it too, or call the async method"):
        ranker.run(QUESTION, documents())


def test_the_originals_are_as_they_were():
    """The documents that were passed in keep their scores and their meta, whatever is done with the ranked ones."""
    found = documents()

    ranked = OpenRouterRanker(reranker=Reranker.local()).run(QUESTION, found)["documents"]
    ranked[0].meta["page"] = "changed"

    assert found == documents()


@pytest.mark.anyio
async def test_no_documents(server):
    """No documents give none, and no request."""
    ranker = OpenRouterRanker(api_key=Secret.from_token(KEY), api_base_url=server.url)

    assert ranker.run(QUESTION, []) == {"documents": []}
    assert await ranker.run_async(QUESTION, []) == {"documents": []}
    assert server.sent == []


@pytest.mark.anyio
async def test_limits():
    """A run's top_k and score_threshold win over the component's; a document of just the threshold's score stays."""
    scores = {"Paris is in France.": 0.1, "Rome is in Italy.": 0.5, "Berlin is in Germany.": 0.9}
    ranker = OpenRouterRanker(
        top_k=1,
        reranker=Reranker.local(lambda query, texts: [scores[text] for text in texts]),
        async_reranker=AsyncReranker.local(lambda query, texts: [scores[text] for text in texts]),
    )

    running = pipeline(ranker)

    runs = [
        running.run(asked()),
        running.run(asked(top_k=3, score_threshold=0.5)),
        await running.run_async(asked(top_k=3, score_threshold=0.5)),
    ]

    found = [[document.score for document in run["ranker"]["documents"]] for run in runs]
    assert found == [[0.9], [0.9, 0.5], [0.9, 0.5]]


def test_what_is_sent(server):
    """Of a document its content is sent after the meta fields that were named, and its blob where that is an image."""
    found = [
        Document(content="a", meta={"title": "A", "year": 1999}),
        Document(content="b", meta={"title": None}),
        Document(content="c", blob=ByteStream(PNG, mime_type="image/png")),
        Document(blob=ByteStream(PNG, mime_type="image/png")),
        Document(content="e", blob=ByteStream(b"sound", mime_type="audio/wav")),
    ]
    ranker = OpenRouterRanker(
        api_key=Secret.from_token(KEY),
        api_base_url=server.url,
        meta_fields_to_embed=["title", "year"],
        meta_data_separator=" / ",
    )

    with closing(ranker):
        ranker.run(QUESTION, found)

    uri = "data:image/png;base64,iVBORw0KGgp0aGUgcmVzdA=="
    assert server.sent[0]["documents"] == [
        "A / 1999 / a",
        "b",
        {"text": "c", "image": uri},
        {"image": uri},
        "e",
    ]


def test_a_document_of_nothing(server):
    """A document with neither content nor an image is refused, before anything is sent."""
    ranker = OpenRouterRanker(api_key=Secret.from_token(KEY), api_base_url=server.url)

    with pytest.raises(ValueError, match="document 1: it has neither"):
        ranker.run(QUESTION, [Document(content="a"), Document(meta={"page": 1})])

    assert server.sent == []


@pytest.mark.anyio
async def test_errors(server):
    """An error of the reranker comes through the component as it is; a pipeline wraps it in its own."""
    ranker = OpenRouterRanker(api_key=Secret.from_token("sk-or-v1-another"), api_base_url=server.url)

    with pytest.raises(AuthenticationError):
        ranker.run(QUESTION, documents())
    with pytest.raises(AuthenticationError):
        await ranker.run_async(QUESTION, documents())
    with pytest.raises(PipelineRuntimeError) as caught:
        pipeline(ranker).run(asked())

    assert isinstance(caught.value.__cause__, AuthenticationError)
    await ranker.close_async()


REFUSED = [
    pytest.param({}, ValueError, "OPENROUTER_API_KEY", id="no key"),
    pytest.param({"api_key": None, "top_k": 0}, ValueError, "top_n", id="top_k"),
    pytest.param({"api_key": None, "api_base_url": "ftp://x"}, ValueError, "base_url", id="api_base_url"),
]


@pytest.mark.parametrize(("arguments", "error", "named"), REFUSED)
@pytest.mark.anyio
async def test_what_can_never_work(arguments, error, named):
    """A setting that can never work is refused when the pipeline warms up, before anything runs."""
    with pytest.raises(error, match=named):
        pipeline(OpenRouterRanker(**arguments)).warm_up()
    with pytest.raises(error, match=named):
        await pipeline(OpenRouterRanker(**arguments)).warm_up_async()


def test_settings_beside_a_ready_reranker():
    """Options of a new reranker are refused beside a ready one."""
    with pytest.raises(ValueError, match="api_key, base_url"):
        OpenRouterRanker(
            reranker=Reranker.local(), api_key=Secret.from_token(KEY), api_base_url="https://x.example.com"
        )


def test_no_key(monkeypatch):
    """With None as the key none is sent, not even the environment's."""
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    ranker = OpenRouterRanker(api_key=None)
    ranker.warm_up()

    assert "Authorization" not in ranker._pair.sync(ranker._setup())._settings.headers


def test_written_down():
    """A pipeline is written down with the name of the key's variable, and read back; a key itself is never written."""
    first = OpenRouterRanker(
        "a/b",
        2,
        0.25,
        api_key=Secret.from_env_var("MY_KEY"),
        api_base_url="https://rerank.example.com/v1",
        provider={"order": ["cohere"]},
        meta_fields_to_embed=["title"],
        meta_data_separator=" ",
        timeout=1.5,
        deadline=2.5,
    )

    again = Pipeline.loads(pipeline(first).dumps(), allowed_modules=[MODULE]).get_component("ranker")

    assert again.to_dict() == first.to_dict()
    assert again.api_key == Secret.from_env_var("MY_KEY")
    assert (again.model, again.top_k, again.score_threshold) == ("a/b", 2, 0.25)
    assert (again.timeout, again.deadline, again.meta_data_separator) == (1.5, 2.5, " ")
    with pytest.raises(ValueError, match="annot serialize"):
        OpenRouterRanker(api_key=Secret.from_token(KEY)).to_dict()
    with pytest.raises(SerializationError, match="ready reranker"):
        OpenRouterRanker(reranker=Reranker.local()).to_dict()


def test_a_key_that_is_not_a_secret():
    """A key as a text, which the component would show and could not pickle, is refused and not shown."""
    with pytest.raises(
        TypeError, match=r"api_key must be a Secret of Haystack, not str; pass Secret.from_token"
    ) as raised:
        OpenRouterRanker(api_key=KEY)  # type: ignore[arg-type]
    shown = TracebackException.from_exception(raised.value, capture_locals=True)
    ours = [frame for frame in shown.stack if "/openrouter_rerank/" in frame.filename]
    assert KEY not in str([frame.locals for frame in ours])


def test_the_defaults_written_down():
    """A component of defaults is written down and read back too."""
    written = OpenRouterRanker().to_dict()

    assert OpenRouterRanker.from_dict(written).to_dict() == written


def test_docs(shown, monkeypatch):
    """The examples of the docs come out as they say."""
    monkeypatch.setenv("RERANK_KEY", KEY)
    assert shown("Haystack") == 2
