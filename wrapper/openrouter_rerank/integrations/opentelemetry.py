"""Record each call as an OpenTelemetry span with the names of OpenInference.

If the application has imported `opentelemetry.trace`, each call has a span of its tracer provider. The names come from
openinference-semantic-conventions 0.1.42 (`reranker.*`, `llm.cost.total`) and OpenTelemetry's stable conventions
(`error.type`); all others begin with `openrouter_rerank.`.

By default, a span does not contain the query, documents or error messages, as servers quote requests in messages.
OPENINFERENCE_HIDE_INPUTS=false adds the query, the documents and the messages; OPENINFERENCE_HIDE_OUTPUTS=false adds the ranked
documents.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import msgspec

from openrouter_rerank.calls import Call, Handler, PreparedCall
from openrouter_rerank.errors import RerankError, ResponseError
from openrouter_rerank.operations import Answer, Failure, Parallel, Send, Step, Wait
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank.version import VERSION
from openrouter_rerank_api.answers import ANSWER, HIT, USAGE

try:
    from opentelemetry import context, trace
except ModuleNotFoundError as error:
    _message = f"spans need {error.name}: pip install 'openrouter-rerank[otel]', or '.[otel]' in a clone"
    raise ImportError(_message) from error

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_TRACER = trace.get_tracer("openrouter_rerank", VERSION)

# OpenTelemetry's SDK keeps only 128 attributes of a span, so long lists would displace more important ones.
_LISTED = 25

_STARTS: Mapping[str, Any] = {
    "kind": trace.SpanKind.CLIENT,
    "attributes": {"openinference.span.kind": "RERANKER"},
}
_SUPPRESSED = getattr(context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation")


class Calling(Protocol[R_co]):
    """A function that returns a call for a handler."""

    def __call__(self, *, handler: Handler) -> Generator[Step, Any, R_co]:
        """Return the call."""
        ...


def traced(calling: Calling[R_co], handler: Handler, where: str) -> Generator[Step, Any, R_co]:
    """Run a call in a span, which is current during the operations of the call.

    Args:
        calling: A function that returns the call.
        handler: The handler of the prepared call.
        where: The URL of the server.
    """
    span = trace.INVALID_SPAN if context.get_value(_SUPPRESSED) else _TRACER.start_span("rerank", **_STARTS)
    if not span.is_recording():
        return (yield from calling(handler=handler))
    span.set_attributes(_of_address(where))
    whole: list[PreparedCall[Any]] = []

    def noted(prepared: PreparedCall[Any]) -> Call[Any]:
        if prepared.own:
            whole.append(prepared)
            span.set_attributes(_of_request(prepared))
        return handler(prepared)

    # The shells run a call in one context from start to end, so that the span is detached where it was attached.
    with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            ranking = yield from _noting_retries(calling(handler=noted), span)
        except GeneratorExit as left:
            # A shell closes the call after an error in an operation, such as a cancellation.
            _fail(span, left.__context__ or left)
            raise
        except BaseException as error:
            _fail(span, error)
            raise
        _end(span, ranking, whole)
        return ranking


def _noting_retries(call: Generator[Step, Any, R], span: trace.Span) -> Generator[Step, Any, R]:
    answer: object = None
    outcome: object = None
    try:
        while True:
            step = call.send(answer)
            if isinstance(step, Wait):
                span.add_event("retry", _of_retry(outcome, step))
            elif isinstance(step, Parallel):
                step = step._replace(calls=[_noting_retries(part, span) for part in step.calls])
            answer = yield step
            if isinstance(step, Send):
                outcome = answer
    except StopIteration as done:
        return cast(R, done.value)
    finally:
        call.close()


def _end(span: trace.Span, ranking: object, whole: Sequence[PreparedCall[Any]]) -> None:
    if isinstance(ranking, OriginalOrder):
        _fail(span, ranking.reason)
    else:
        span.set_attributes(_of_ranking(cast(Ranking[Any], ranking), whole))


def _fail(span: trace.Span, error: BaseException) -> None:
    attributes = _of_error(error)
    span.set_attributes(attributes)
    span.set_status(trace.StatusCode.ERROR, type(error).__name__)
    message = {"exception.message": str(error)} if _is_shown("INPUTS") else {}
    span.add_event("exception", {"exception.type": attributes["error.type"], **message})


def _is_shown(what: str) -> bool:
    return os.environ.get(f"OPENINFERENCE_HIDE_{what}", "").strip().lower() == "false"


def _of_address(where: str) -> dict[str, Any]:
    parts = urlsplit(where)
    return _known({"server.address": parts.hostname, "server.port": parts.port})


def _of_request(prepared: PreparedCall[Any]) -> dict[str, Any]:
    # The values may be invalid, as a list to split is not validated yet.
    top_n = prepared.options["top_n"]
    attributes = _texts(
        {
            "reranker.model_name": prepared.model or None,
            "session.id": prepared.options["session_id"],
            "user.id": prepared.options["user"],
        }
    )
    attributes |= _known({"reranker.top_k": int(top_n) if hasattr(top_n, "__index__") else None})
    attributes["openrouter_rerank.documents"] = len(prepared.own)
    if _is_shown("INPUTS"):
        attributes |= _texts({"reranker.query": prepared.query})
        for place, document in enumerate(prepared.wire[:_LISTED]):
            attributes[f"reranker.input_documents.{place}.document.content"] = _content(document)
    return attributes


def _of_ranking(ranking: Ranking[Any], whole: Sequence[PreparedCall[Any]]) -> dict[str, Any]:
    attributes = _known(
        {
            "http.response.status_code": ranking.attempts[-1].status if ranking.attempts else None,
            **{_attribute(name): _value(getattr(ranking.usage, name)) for name in USAGE},
            **{
                _attribute(name): _value(getattr(ranking, name))
                for name, kind in ANSWER.items()
                if kind in _SHORT or _is_shown("OUTPUTS")
            },
            "openrouter_rerank.request_id": ranking.request_id,
            "openrouter_rerank.attempts": len(ranking.attempts),
            "openrouter_rerank.parts": len(ranking.parts) or None,
            "openrouter_rerank.unranked": len(ranking.unranked) or None,
            "openrouter_rerank.cached": ranking.cached,
            "openrouter_rerank.reordered": ranking.reordered,
        }
    )
    shown: dict[int, Any] = {}
    if whole and _is_shown("OUTPUTS"):
        shown = dict(zip(whole[0].indices, whole[0].wire, strict=True))
    for place, hit in enumerate(ranking.hits[:_LISTED]):
        document = f"reranker.output_documents.{place}.document"
        attributes[f"{document}.id"] = str(hit.index)
        attributes[f"{document}.score"] = hit.score
        more = _known({name: getattr(hit, name) for name, kind in HIT.items() if shown or kind in _NUMBERS})
        if more:
            attributes[f"{document}.metadata"] = msgspec.json.encode(more).decode()
        if shown:
            attributes[f"{document}.content"] = _content(shown[hit.index])
    return attributes


# Lists and objects, and the texts of a hit, may quote a document.
_NUMBERS = (int, float, bool)
_SHORT = (str, *_NUMBERS)


def _value(value: Any) -> Any:
    """Return a value for a span attribute: a list or an object as JSON."""
    return msgspec.json.encode(value).decode() if isinstance(value, list | dict) else value


def _attribute(name: str) -> str:
    """Return the attribute name of a field of the answer."""
    return _CONVENTIONS.get(name, f"openrouter_rerank.{name}")


_CONVENTIONS = {"cost": "llm.cost.total", "total_tokens": "llm.token_count.total"}


def _of_error(error: BaseException) -> dict[str, Any]:
    attributes: dict[str, Any] = {"error.type": _name(error)}
    if isinstance(error, RerankError):
        attributes["openrouter_rerank.attempts"] = len(error.attempts)
    if isinstance(error, ResponseError):
        attributes |= _known(
            {
                "http.response.status_code": error.status,
                "openrouter_rerank.error_code": error.code,
                "openrouter_rerank.error_type": error.error_type,
                "openrouter_rerank.provider": error.provider,
                "openrouter_rerank.request_id": error.request_id,
            }
        )
    return attributes


def _of_retry(outcome: object, step: Wait) -> dict[str, Any]:
    status = outcome.status if isinstance(outcome, Answer | Failure) else None
    error = outcome.error if isinstance(outcome, Failure) else None
    return _known(
        {
            "http.response.status_code": status,
            "error.type": error and _name(error),
            "openrouter_rerank.wait": step.seconds,
        }
    )


def _content(document: Any) -> str:
    """Return the text of a document, or the URL of its image; image data is omitted."""
    if isinstance(document, str):
        return document
    text, image = getattr(document, "text", None), getattr(document, "image", None)
    if isinstance(text, str) or not isinstance(image, str):
        return text or ""
    return (
        f"{image.partition(',')[0]},... ({len(image):,} characters)" if image.startswith("data:") else image
    )


def _name(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _texts(attributes: Mapping[str, object]) -> dict[str, Any]:
    return {name: str.__str__(value) for name, value in attributes.items() if isinstance(value, str)}


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}
