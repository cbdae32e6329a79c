"""Spans: one for each call, with what OpenInference names, and no text but where it is asked for."""

import asyncio
import logging
import subprocess
import sys
from functools import partial
from itertools import cycle
from pathlib import Path

import anyio
import httpx
import msgspec
import pytest

from driving import answered, call, finish, ranked, send_whole
from shells import KEY, QUICK

pytest.importorskip("opentelemetry.trace", reason="opentelemetry-api is not installed")
pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")

from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from openrouter_rerank import (
    APIConnectionError,
    AsyncReranker,
    RateLimitError,
    Reranker,
    Retries,
    ServerError,
)
from openrouter_rerank.integrations import opentelemetry

QUERY, DOCUMENTS = "the query", ["the first", "the second", "the third"]
EXPORTER = InMemorySpanExporter()
RANKED = {
    "id": "gen-1",
    "model": "served/model",
    "provider": "Cohere",
    "results": [{"index": 2, "relevance_score": 0.75}, {"index": 0, "relevance_score": 0.5}],
    "usage": {"cost": 0.001, "search_units": 1, "total_tokens": 30},
}


@pytest.fixture(scope="module", autouse=True)
def _provider():
    # A process has one, and the first to set it wins.
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)
    assert trace.get_tracer_provider() is provider


@pytest.fixture
def spans(monkeypatch):
    """Provide the spans that have ended, and an environment that says nothing of what they show."""
    monkeypatch.delenv("OPENINFERENCE_HIDE_INPUTS", raising=False)
    monkeypatch.delenv("OPENINFERENCE_HIDE_OUTPUTS", raising=False)
    EXPORTER.clear()
    yield EXPORTER.get_finished_spans
    EXPORTER.clear()


def traced(*given, **more):
    """Return a call with its span, to be driven by hand."""
    return opentelemetry.traced(partial(call, *given, **more), send_whole, "https://x.example.com:8443")


def replies(*answers):
    """Return a transport with these answers, of which the last one repeats."""
    left = iter([*answers[:-1], *()])
    last = cycle([answers[-1]])
    return lambda request: next(left, None) or next(last)


def ok(request):
    """Return an answer of two hits."""
    return httpx.Response(200, json=RANKED, headers={"x-request-id": "req-1"})


def refused(status, message="no"):
    """Return an answer that says that the request failed."""
    return httpx.Response(status, json={"error": {"code": status, "message": message}})


def test_a_call_is_a_span(any_shell, spans):
    """A call is one span with the attributes of a reranker, and with neither query nor documents."""
    settings = {"model": "a/b", "top_n": 2, "session_id": "s-1", "user": "u-1"}
    with any_shell.open(ok, base_url="https://rerank.example.com:8443/v1?secret=x", **settings) as rank:
        rank(QUERY, DOCUMENTS)

    [span] = spans()
    assert (span.name, span.kind, span.status.status_code) == (
        "rerank",
        trace.SpanKind.CLIENT,
        trace.StatusCode.UNSET,
    )
    assert dict(span.attributes) == {
        "openinference.span.kind": "RERANKER",
        "server.address": "rerank.example.com",
        "server.port": 8443,
        "reranker.model_name": "a/b",
        "reranker.top_k": 2,
        "session.id": "s-1",
        "user.id": "u-1",
        "openrouter_rerank.documents": 3,
        "reranker.output_documents.0.document.id": "2",
        "reranker.output_documents.0.document.score": 0.75,
        "reranker.output_documents.1.document.id": "0",
        "reranker.output_documents.1.document.score": 0.5,
        "http.response.status_code": 200,
        "llm.cost.total": 0.001,
        "llm.token_count.total": 30,
        "openrouter_rerank.search_units": 1,
        "openrouter_rerank.model": "served/model",
        "openrouter_rerank.provider": "Cohere",
        "openrouter_rerank.id": "gen-1",
        "openrouter_rerank.request_id": "req-1",
        "openrouter_rerank.attempts": 1,
        "openrouter_rerank.cached": False,
        "openrouter_rerank.reordered": False,
    }


def test_bodies_where_they_are_asked_for(shell, spans, monkeypatch):
    """With OpenInference's variables at false, query and documents are there, and of an inline image its kind and size."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_INPUTS", "false")
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "False")
    documents = [
        "the first",
        {"image": "https://images.example.com/2"},
        {"image": "data:image/png;base64,AAAA"},
    ]
    with shell.open(ok) as rank:
        rank(QUERY, documents)

    [span] = spans()
    shown = {
        name: value
        for name, value in span.attributes.items()
        if name.endswith((".content", "reranker.query"))
    }
    assert shown == {
        "reranker.query": QUERY,
        "reranker.input_documents.0.document.content": "the first",
        "reranker.input_documents.1.document.content": "https://images.example.com/2",
        "reranker.input_documents.2.document.content": "data:image/png;base64,... (26 characters)",
        "reranker.output_documents.0.document.content": "data:image/png;base64,... (26 characters)",
        "reranker.output_documents.1.document.content": "the first",
    }


def test_the_bodies_of_a_list_with_blank_documents(spans, monkeypatch):
    """If blank documents are skipped, each hit is shown with its own text, by the caller's index."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "false")
    finish(traced({"blank": "skip"}, documents=["", "first", " ", "second"]), ranked((1, 0.9), (0, 0.5)))

    [span] = spans()
    place = "reranker.output_documents.{}.document.{}".format
    assert [
        (span.attributes[place(number, "id")], span.attributes[place(number, "content")]) for number in (0, 1)
    ] == [("3", "second"), ("1", "first")]


@pytest.mark.parametrize("value", ["", "true", "0", "no"])
def test_bodies_are_hidden(spans, monkeypatch, value):
    """Any other value of the variables hides the bodies, as their absence does: in attributes, events and status."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_INPUTS", value)
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", value)
    finish(traced(query=QUERY, documents=DOCUMENTS), ranked((0, 1)))
    with pytest.raises(RateLimitError):
        echo = answered(429, {"error": {"message": f"too much: {QUERY}, {DOCUMENTS}"}})
        finish(traced({"retries": QUICK}, query=QUERY, documents=DOCUMENTS), echo, echo, echo)

    whole = "".join(span.to_json() for span in spans())
    assert [text for text in [QUERY, *DOCUMENTS] if text in whole] == []


def test_an_error(any_shell, spans):
    """A call that failed is a span in error, with the error's type, the status, each wait, and no secret."""
    with (
        any_shell.open(lambda request: refused(429, f"slow down, {KEY}")) as rank,
        pytest.raises(RateLimitError),
    ):
        rank(QUERY, DOCUMENTS)

    [span] = spans()
    assert (span.status.status_code, span.status.description) == (trace.StatusCode.ERROR, "RateLimitError")
    assert span.attributes["error.type"] == "openrouter_rerank.errors.RateLimitError"
    assert span.attributes["http.response.status_code"] == 429
    assert span.attributes["openrouter_rerank.attempts"] == 3
    assert [event.name for event in span.events] == ["retry", "retry", "exception"]
    assert span.events[0].attributes["http.response.status_code"] == 429
    assert span.events[0].attributes["openrouter_rerank.wait"] > 0
    assert dict(span.events[2].attributes) == {"exception.type": "openrouter_rerank.errors.RateLimitError"}
    assert KEY not in span.to_json()


def test_an_error_with_its_message(spans, monkeypatch):
    """If inputs are shown the error's message is too, without a key that a server echoed."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_INPUTS", "false")
    with pytest.raises(ServerError):
        finish(traced({"retries": QUICK}), *[answered(500, {"error": {"message": f"oh {KEY}"}})] * 3)

    [span] = spans()
    assert "oh [key]" in span.events[-1].attributes["exception.message"]
    assert KEY not in span.to_json()


def test_retries(shell, spans):
    """A call that succeeded in the end is no error, and has an event for each attempt that was not the last."""
    with shell.open(replies(refused(503), httpx.Response(200, json=RANKED))) as rank:
        rank(QUERY, DOCUMENTS)

    [span] = spans()
    assert span.status.status_code is trace.StatusCode.UNSET
    assert [event.attributes["http.response.status_code"] for event in span.events] == [503]
    assert span.attributes["openrouter_rerank.attempts"] == 2


def test_no_connection(shell, spans):
    """An attempt that got no answer has the transport's error in its event."""

    def fail(request):
        raise httpx.ConnectError("nobody there")

    with shell.open(fail) as rank, pytest.raises(APIConnectionError):
        rank(QUERY, DOCUMENTS)

    [span] = spans()
    assert span.attributes["error.type"] == "openrouter_rerank.errors.APIConnectionError"
    assert span.events[0].attributes["error.type"] == "httpx.ConnectError"


def test_arguments_that_can_never_work(shell, spans):
    """A call that sends nothing, as an argument is wrong, is a span in error too."""
    with shell.open(ok) as rank, pytest.raises(ValueError, match="top_n"):
        rank(QUERY, DOCUMENTS, top_n=0)

    [span] = spans()
    assert (span.status.description, span.attributes["error.type"]) == ("ValueError", "builtins.ValueError")


def test_a_file_that_cannot_be_read(shell, spans, tmp_path):
    """A failure of the transport is the span's error, and is still raised."""
    with shell.open(ok) as rank, pytest.raises(FileNotFoundError) as caught:
        rank(QUERY, [tmp_path / "missing.png"])

    [span] = spans()
    assert span.attributes["error.type"] == "builtins.FileNotFoundError"
    assert "nothing was sent" in caught.value.__notes__[0]


def test_no_documents(shell, spans):
    """No documents make a span of no attempts, as no request is made."""
    with shell.open(ok) as rank:
        rank(QUERY, [])

    [span] = spans()
    assert span.attributes["openrouter_rerank.attempts"] == 0


def test_a_cancelled_call(spans):
    """A call that is cancelled ends its span then, and what comes after in the task has the caller's span as its parent."""
    timeout = None

    async def handler(request):
        timeout.reschedule(0)
        await asyncio.sleep(60)

    async def main():
        nonlocal timeout
        timeout = asyncio.timeout(60)
        client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        async with AsyncReranker(KEY, http_client=client) as reranker:
            with pytest.raises(TimeoutError):
                async with timeout:
                    await reranker.rerank(QUERY, DOCUMENTS)
            assert [span.attributes["error.type"] for span in spans()] == [
                "asyncio.exceptions.CancelledError"
            ]
            assert trace.get_current_span() is trace.INVALID_SPAN

    asyncio.run(main())


def test_a_call_that_is_left(spans, caplog):
    """A call that nobody runs to its end ends its span all the same."""
    running = traced()
    next(running)
    running.close()

    [span] = spans()
    assert span.attributes["error.type"] == "builtins.GeneratorExit"
    assert caplog.records == []


def test_parents_and_children(any_shell, spans):
    """The span's parent is the caller's, and what the transport does in a call has the call's span as its parent."""
    tracer = trace.get_tracer("a caller")
    inside = []

    def handler(request):
        inside.append(trace.get_current_span().get_span_context().span_id)
        return ok(request)

    with tracer.start_as_current_span("caller") as caller, any_shell.open(handler) as rank:
        rank(QUERY, DOCUMENTS)
        assert trace.get_current_span() is caller

    span, _ = spans()
    assert inside == [span.context.span_id]
    # The async shells run in a thread of their own, which has a context of its own.
    if any_shell.name == "sync":
        assert span.parent.span_id == caller.get_span_context().span_id


def test_many_at_a_time(spans):
    """Calls of one event loop at the same time each have a span below their caller's."""

    async def handler(request):
        await asyncio.sleep(0.001)
        return ok(request)

    async def main():
        client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        tracer = trace.get_tracer("a caller")
        async with AsyncReranker(KEY, http_client=client) as reranker:
            with tracer.start_as_current_span("caller") as caller:
                await asyncio.gather(*(reranker.rerank(QUERY, DOCUMENTS) for _ in range(10)))
        return caller.get_span_context().span_id

    caller = asyncio.run(main())

    *calls, _ = spans()
    assert [span.parent.span_id for span in calls] == [caller] * 10


@pytest.mark.parametrize("kind", ["sync", "asyncio", "trio"])
def test_many_queries(spans, kind):
    """Each call of a run has a span below the caller's, those of workers that were hired while another waited too."""
    if kind == "trio":
        pytest.importorskip("trio", reason="trio is not installed")
    failing = iter([True, False, True, True])
    tracer = trace.get_tracer("a caller")
    pairs = [(QUERY, DOCUMENTS)] * 40
    given = {"retries": Retries(first_wait=0.02, fraction=lambda: 1.0)}

    def handler(request):
        return httpx.Response(500) if next(failing, False) else ok(request)

    async def main():
        client = httpx.AsyncClient(transport=httpx.MockTransport(handler))
        with tracer.start_as_current_span("caller") as caller:
            async with AsyncReranker(KEY, http_client=client, **given) as reranker:
                async for _ in reranker.rerank_many(pairs, concurrency=2):
                    pass
        return caller

    if kind == "sync":
        client = httpx.Client(transport=httpx.MockTransport(handler))
        with (
            tracer.start_as_current_span("caller") as caller,
            Reranker(KEY, http_client=client, **given) as one,
        ):
            list(one.rerank_many(pairs, concurrency=2))
    else:
        caller = anyio.run(main, backend=kind)

    *calls, _ = spans()
    assert [span.parent.span_id for span in calls] == [caller.get_span_context().span_id] * 40


def test_long_lists(spans, caplog):
    """Of long lists the best hits are kept, and the SDK's limit of 128 attributes drops nothing, bodies shown or not."""
    with caplog.at_level(logging.WARNING, "opentelemetry"):
        finish(
            traced(documents=["text"] * 1000),
            ranked(*((i, 1000 - i) for i in range(1000))),
        )

    [span] = spans()
    assert "reranker.output_documents.24.document.id" in span.attributes
    assert "reranker.output_documents.25.document.id" not in span.attributes
    assert span.dropped_attributes == 0
    assert caplog.records == []


def test_long_lists_with_their_bodies(spans, monkeypatch):
    """With bodies shown the SDK's limit drops nothing either."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_INPUTS", "false")
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "false")
    settings = {"top_n": 1000, "session_id": "s", "user": "u"}
    usage = RANKED["usage"]
    answer = ranked(*((i, 1000 - i) for i in range(1000)), id="1", provider="p", usage=usage)
    answer = answer._replace(headers=httpx.Headers({"x-request-id": "1"}))
    finish(traced(settings, documents=["text"] * 1000), answer)

    [span] = spans()
    assert span.dropped_attributes == 0
    assert span.attributes["openinference.span.kind"] == "RERANKER"


def test_arguments_of_a_long_list(shell, spans):
    """A list that is split before its arguments are checked is refused as any is, whatever the span can hold of them."""
    with shell.open(ok) as rank, pytest.raises(TypeError, match="query must be a str"):
        rank(3, DOCUMENTS, max_documents=1)

    [span] = spans()
    assert span.attributes["error.type"] == "builtins.TypeError"


def test_a_list_in_parts(shell, spans):
    """A list that is sent in parts is one span, of all its documents and with the sum of what its parts cost."""

    def handler(request):
        count = len(msgspec.json.decode(request.content)["documents"])
        hits = [{"index": index, "relevance_score": 1 / (index + 1)} for index in range(count)]
        return httpx.Response(200, json={**RANKED, "results": hits})

    with shell.open(handler) as rank:
        rank(QUERY, [f"document {number}" for number in range(5)], max_documents=2)

    [span] = spans()
    assert span.attributes["openrouter_rerank.documents"] == 5
    assert span.attributes["openrouter_rerank.parts"] == 3
    assert span.attributes["openrouter_rerank.search_units"] == 3
    assert span.attributes["llm.cost.total"] == pytest.approx(0.003)
    assert [span.attributes[f"reranker.output_documents.{place}.document.id"] for place in range(3)] == [
        "0",
        "2",
        "4",
    ]


def test_a_part_is_tried_again(shell, spans, monkeypatch):
    """The attempts of a part that failed are events of the one span; its documents' texts are those of the whole list."""
    monkeypatch.setenv("OPENINFERENCE_HIDE_OUTPUTS", "false")
    left = [refused(503)]

    def handler(request):
        if left:
            return left.pop()
        hits = [{"index": 0, "relevance_score": 0.5}]
        return httpx.Response(200, json={**RANKED, "results": hits})

    with shell.open(handler) as rank:
        rank(QUERY, ["a", "b"], max_documents=1)

    [span] = spans()
    assert [event.attributes["http.response.status_code"] for event in span.events] == [503]
    shown = [span.attributes[f"reranker.output_documents.{place}.document.content"] for place in range(2)]
    assert shown == ["a", "b"]


def test_the_order_that_is_kept(shell, spans):
    """A call that failed and gave the documents in their order is a span in error, though it raised nothing."""
    with shell.open(lambda request: refused(402)) as rank:
        rank(QUERY, DOCUMENTS, on_error="keep_order")

    [span] = spans()
    assert (span.status.status_code, span.status.description) == (
        trace.StatusCode.ERROR,
        "InsufficientCreditsError",
    )
    assert span.attributes["http.response.status_code"] == 402


def test_suppressed(spans):
    """If instrumentation is suppressed, as exporters do for their own requests, there is no span."""
    suppressed = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        with Reranker.local() as reranker:
            ranking = reranker.rerank(QUERY, DOCUMENTS)
    finally:
        context.detach(suppressed)

    assert len(ranking) == 3
    assert spans() == ()


def test_tracing_that_is_not_loaded(shell, spans, monkeypatch):
    """Without tracing loaded by the application, a call has no span."""
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with shell.open(ok) as rank:
        ranking = rank(QUERY, DOCUMENTS)

    assert ranking.indices == [2, 0]
    assert spans() == ()


def test_the_names_are_openinference_s():
    """The attributes are named as the conventions' own package names them, where that is installed."""
    conventions = pytest.importorskip(
        "openinference.semconv.trace", reason="openinference-semantic-conventions is not installed"
    )
    source = Path(opentelemetry.__file__).read_text(encoding="utf-8")

    named = {
        conventions.SpanAttributes.OPENINFERENCE_SPAN_KIND,
        conventions.SpanAttributes.LLM_COST_TOTAL,
        conventions.SpanAttributes.LLM_TOKEN_COUNT_TOTAL,
        conventions.SpanAttributes.SESSION_ID,
        conventions.SpanAttributes.USER_ID,
        conventions.RerankerAttributes.RERANKER_MODEL_NAME,
        conventions.RerankerAttributes.RERANKER_QUERY,
        conventions.RerankerAttributes.RERANKER_TOP_K,
        conventions.RerankerAttributes.RERANKER_INPUT_DOCUMENTS,
        conventions.RerankerAttributes.RERANKER_OUTPUT_DOCUMENTS,
        conventions.DocumentAttributes.DOCUMENT_CONTENT,
    }
    assert [name for name in named if name not in source] == []


ALONE = """
import sys
from openrouter_rerank import Reranker
with Reranker.local() as reranker:
    reranker.rerank("q", ["a"])
loaded = [name for name in sys.modules if "opentelemetry" in name]
{then}
print(loaded)
"""
LATER = """
import opentelemetry.trace
with Reranker.local() as reranker:
    reranker.rerank("q", ["a"])
print("openrouter_rerank.integrations.opentelemetry" in sys.modules)
"""


@pytest.mark.parametrize(
    ("then", "printed"), [pytest.param("", "[]", id="alone"), pytest.param(LATER, "True\n[]", id="later")]
)
def test_nothing_is_imported(then, printed):
    """A call never imports tracing; once the application has, calls have spans."""
    ran = subprocess.run(
        [sys.executable, "-c", ALONE.format(then=then)], capture_output=True, encoding="utf-8", check=True
    )

    assert ran.stdout.strip() == printed
