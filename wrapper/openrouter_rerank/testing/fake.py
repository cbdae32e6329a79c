"""Fake rerankers: scripted answers, with all checks of a real one."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import httpx
import msgspec

from openrouter_rerank import forks
from openrouter_rerank.arguments import NamedFields
from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.errors import (
    STATUSES,
    APIConnectionError,
    APITimeoutError,
    InvalidResponseError,
    RerankError,
    ResponseError,
    class_of,
)
from openrouter_rerank.ranking import Usage
from openrouter_rerank.retries import Retries
from openrouter_rerank.testing.faults import Fault
from openrouter_rerank.testing.inprocess import InProcess
from openrouter_rerank.testing.scripts import End, Request, Script, answer, envelope

if TYPE_CHECKING:
    from typing import Unpack

    from openrouter_rerank.options import LocalOptions

# RFC 2606 reserves .invalid, so that no request can leave the process.
FAKE_URL = "http://fake.invalid/api/v1"

Scores: TypeAlias = Mapping[str, float] | Callable[[str, str], float] | Sequence[float]
"""Scores by text, a function of query and text that returns the score, or scores in the order of the documents."""


class FakeAnswer(msgspec.Struct, frozen=True, kw_only=True, metaclass=NamedFields):
    """An answer of a fake; None means the setting of the fake."""

    scores: Scores | None = None
    billed: Usage | None = None
    served_model: str | None = None
    served_provider: str | None = None


Outcome: TypeAlias = Scores | FakeAnswer | RerankError | type[RerankError] | Fault | None
"""The outcome of a request: a ranking by scores, an error or a fault; None is a ranking by the fake's scores."""


@dataclass(frozen=True)
class FakeCall:
    """A request that a fake received."""

    query: str
    documents: list[Any]
    """The documents as sent: a text, or an object with `text`, `image` or both."""
    options: Mapping[str, Any]
    """The other fields of the request: `model`, and `top_n`, `provider` and so on if they were passed."""


def word_overlap(query: str, text: str) -> float:
    """Return the fraction of the query's words that are in the text, from 0 to 1.

    Example:
        >>> word_overlap("capital of France", "Paris is the capital of France.")
        1.0
    """
    wanted = set(re.findall(r"\w+", query.casefold()))
    found = set(re.findall(r"\w+", text.casefold()))
    return len(wanted & found) / len(wanted) if wanted else 0.0


class _Served:
    """An attribute of a fake's server, shared by all copies of the fake."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, fake: Any, owner: type) -> Any:
        return self if fake is None else getattr(fake._server, self._name)  # noqa: SLF001 - its own

    def __set__(self, fake: Any, value: object) -> None:
        setattr(fake._server, self._name, value)  # noqa: SLF001 - its own


class _Fake:
    """The server of a fake. Change its attributes between calls; copies of the fake share them.

    Attributes:
        scores: The scores of a request that the script does not cover.
        billed: The usage that each answer reports.
        served_model, served_provider: The model and the provider that each answer names.
        calls: The requests that it received. An empty list of documents makes no request.
    """

    # Annotated with the types of the values; a descriptor forwards them to the server.
    scores: Scores = cast(Any, _Served())
    billed: Usage = cast(Any, _Served())
    served_model: str | None = cast(Any, _Served())
    served_provider: str | None = cast(Any, _Served())
    calls: list[FakeCall] = cast(Any, _Served())
    _outcomes: Iterator[Outcome] = cast(Any, _Served())
    _lock: Lock

    def _serve(
        self,
        scores: Scores | None,
        script: Iterable[Outcome],
        billed: Usage,
        served_model: str | None,
        served_provider: str | None,
    ) -> None:
        self._server = SimpleNamespace()
        self.scores = word_overlap if scores is None else scores
        self.billed = billed
        self.served_model = served_model
        self.served_provider = served_provider
        self.calls = []
        self._lock = Lock()
        forks.register(self)
        self.script(script)

    def _after_fork(self) -> None:
        self._lock = Lock()

    def __reduce__(self) -> Any:
        message = f"cannot pickle a {type(self).__name__}: its script belongs to one process; for others, serve it: serving(fake.play)"
        raise TypeError(message)

    def script(self, outcomes: Iterable[Outcome]) -> None:
        """Set the outcomes of the next requests, in order; they replace the outcomes that are left."""
        self._outcomes = iter(outcomes)

    def play(self, request: Request) -> Script:
        """Yield the script for a request. `serving(fake.play)` serves the fake on loopback, for other processes."""
        if request.method != "POST" or not request.target.partition("?")[0].endswith("/rerank"):
            yield answer(
                404, envelope(404, f"the fake serves POST /rerank, not {request.method} {request.target}")
            )
            return
        options = cast(dict[str, Any], request.json)
        call = FakeCall(options.pop("query"), options.pop("documents"), options)
        with self._lock:
            self.calls.append(call)
            number = len(self.calls)
            outcome = next(self._outcomes, None)
        match outcome:
            case Fault():
                yield from outcome.script(replace(request, number=1))
            case RerankError():
                yield from _failing(type(outcome), outcome)
            case type():
                yield from _failing(outcome, None)
            case FakeAnswer():
                yield answer(200, self._answer(call, number, outcome))
            case _:
                yield answer(200, self._answer(call, number, FakeAnswer(scores=outcome)))

    def _answer(self, call: FakeCall, number: int, scripted: FakeAnswer) -> dict[str, Any]:
        texts = [_text(document) for document in call.documents]
        scores = _scored(self.scores if scripted.scores is None else scripted.scores, call.query, texts)
        order = sorted(range(len(texts)), key=lambda index: -scores[index])
        results = [
            {
                "index": index,
                "relevance_score": scores[index],
                "document": {"text": document} if isinstance(document, str) else document,
            }
            for index in order[: call.options.get("top_n")]
            for document in [call.documents[index]]
        ]
        billed = self.billed if scripted.billed is None else scripted.billed
        usage = {name: value for name, value in msgspec.to_builtins(billed).items() if value is not None}
        body = {
            "id": f"gen-rerank-1786406400-fake{number:016}",
            "model": scripted.served_model or self.served_model or call.options["model"],
            "provider": scripted.served_provider or self.served_provider,
            "usage": usage or None,
        }
        return {name: value for name, value in body.items() if value is not None} | {"results": results}


def _text(document: Any) -> str:
    return document if isinstance(document, str) else str(document.get("text") or document.get("image", ""))


def _scored(scores: Scores, query: str, texts: list[str]) -> list[float]:
    found: list[float]
    if isinstance(scores, Mapping):
        by_text = cast(Mapping[Any, float], scores)
        missing = next(
            (text for text in texts if text not in by_text and not hasattr(by_text, "__missing__")), None
        )
        if missing is not None:
            message = (
                f"scores: no score for the document {missing!r}; add one, or pass a defaultdict(float, ...)"
            )
            raise ValueError(message)
        found = [by_text[text] for text in texts]
    elif callable(scores):
        found = [scores(query, text) for text in texts]
    elif isinstance(scores, str) or not isinstance(scores, Iterable):
        message = (
            f"{scores!r} is not an outcome of a request; script scores, a RerankError, a FakeAnswer or a fault such as "
            "FAULTS['status_429_once']"
        )
        raise TypeError(message)
    else:
        found = list(scores)
        if len(found) != len(texts):
            message = f"scores: {len(found)} scores for {len(texts)} documents; give one for each document"
            raise ValueError(message)
    for value in found:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            message = (
                f"{value!r} is not a score; to test such answers, script a fault such as FAULTS['score_nan']"
            )
            raise ValueError(message)
    return found


# The first status in the table that raises the class.
_STATUSES: Mapping[type[RerankError], int] = {row.error: row.statuses[0] for row in reversed(STATUSES)}


def _failing(kind: type[Any], error: RerankError | None) -> Generator[bytes | End, None, None]:
    """Play the server behaviour that makes a call raise this error."""
    if kind is APITimeoutError:
        yield End.HANG
    elif kind is APIConnectionError:
        yield End.CLOSE
    elif kind is InvalidResponseError:
        yield answer(200, getattr(error, "body", b"") or {"scripted": "this is not a ranking"})
    elif kind in _STATUSES:
        raised = error if isinstance(error, ResponseError) else kind("as scripted")
        status = raised.status or _STATUSES[kind]
        if class_of(status) is not kind:
            message = f"{kind.__name__}: a call with the status {status} raises {class_of(status).__name__}; script that error"
            raise ValueError(message)
        headers = {} if raised.retry_after is None else {"Retry-After": f"{raised.retry_after:g}"}
        if raised.request_id is not None:
            headers["X-Generation-Id"] = raised.request_id
        more = {"metadata": raised.metadata} if raised.metadata else {}
        yield answer(status, envelope(raised.code or status, raised.message, **more), headers=headers)
    else:
        message = f"{kind.__name__}: a server cannot cause it; script one of {', '.join(sorted(k.__name__ for k in (*_STATUSES, APIConnectionError, InvalidResponseError, APITimeoutError)))}"
        raise TypeError(message)


class FakeReranker(_Fake, Reranker):
    """A `Reranker` with scripted answers: no network, no key, and all checks of a real one.

    A mistake in the script, such as a document without a score, raises ValueError or TypeError from the call.

    Args:
        scores: Scores by text, a function of query and text, or scores in the documents' order. The default is the
            fraction of the query's words that are in a text.
        script: The outcomes of the first requests, in order: scores, a `FakeAnswer`, an error or its class, or a fault;
            None is a ranking by `scores`. Any iterable; after its end, requests are ranked by `scores`.
        billed: The usage that each answer reports; by default, answers do not report it.
        served_model, served_provider: The model and the provider that each answer names; by default the requested model
            and no provider.
        settings: As for `Reranker`, except that calls are not retried by default. Pass `Retries(first_wait=0)` to retry;
            each attempt is a request.

    Attributes:
        calls: The requests that it received, as `FakeCall`. An empty list of documents makes no request.

    Example:
        >>> from openrouter_rerank import RateLimitError
        >>> fake = FakeReranker({"Paris": 0.2, "Berlin": 0.9}, script=[None, RateLimitError])
        >>> fake.rerank("capital of Germany", ["Paris", "Berlin"], top_n=1).documents
        ['Berlin']
        >>> fake.calls[0].options
        {'model': 'cohere/rerank-v3.5', 'top_n': 1}
        >>> fake.rerank("capital of Germany", ["Paris", "Berlin"])
        Traceback (most recent call last):
        openrouter_rerank.errors.RateLimitError: 429 Too Many Requests from http://fake.invalid/api/v1/rerank: as scripted. ...
    """

    def __init__(
        self,
        scores: Scores | None = None,
        *,
        script: Iterable[Outcome] = (),
        billed: Usage = Usage(),  # noqa: B008 - a frozen value
        served_model: str | None = None,
        served_provider: str | None = None,
        **settings: Unpack[LocalOptions],
    ) -> None:
        self._serve(scores, script, billed, served_model, served_provider)
        settings.setdefault("retries", Retries(attempts=1))
        client = httpx.Client(transport=InProcess(self.play))
        Reranker.__init__(self, "", base_url=FAKE_URL, http_client=client, **settings)


class AsyncFakeReranker(_Fake, AsyncReranker):
    """`FakeReranker` for asyncio and trio: the same arguments and behaviour, with `await`.

    Example:
        >>> import asyncio
        >>> fake = AsyncFakeReranker({"Paris": 0.2, "Berlin": 0.9})
        >>> asyncio.run(fake.rerank("capital of Germany", ["Paris", "Berlin"])).documents
        ['Berlin', 'Paris']
    """

    def __init__(
        self,
        scores: Scores | None = None,
        *,
        script: Iterable[Outcome] = (),
        billed: Usage = Usage(),  # noqa: B008 - a frozen value
        served_model: str | None = None,
        served_provider: str | None = None,
        **settings: Unpack[LocalOptions],
    ) -> None:
        self._serve(scores, script, billed, served_model, served_provider)
        settings.setdefault("retries", Retries(attempts=1))
        client = httpx.AsyncClient(transport=InProcess(self.play))
        AsyncReranker.__init__(self, "", base_url=FAKE_URL, http_client=client, **settings)
