"""Decide each step of a call, from its arguments to its ranking or its error; a shell in client.py performs the I/O."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar, cast

import msgspec

from openrouter_rerank.answer import deadline_exceeded, read
from openrouter_rerank.blank import name_blank, skip_blank
from openrouter_rerank.calls import Call, Handler, PreparedCall, is_too_large
from openrouter_rerank.documents import Sendable, as_list, to_wire
from openrouter_rerank.errors import Attempt, RerankError, StatusError
from openrouter_rerank.failures import UNSENT
from openrouter_rerank.operations import LARGEST_ANSWER, Answer, BackOff, Failure, Outcome, Send, Step, Wait
from openrouter_rerank.options import CALL, refuse_unknown
from openrouter_rerank.ranking import Ranking, Usage
from openrouter_rerank.request import body, check_options, score, seconds, with_options
from openrouter_rerank.retries import is_overloaded
from openrouter_rerank.settings import Settings

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger("openrouter_rerank")

# JSON escapes a character by at most six.
_ESCAPED = 6


def rerank(
    settings: Settings,
    handler: Handler,
    query: str,
    documents: Iterable[T],
    *,
    key: Callable[[T], Sendable] | str | None = None,
    **options: Any,
) -> Call[T]:
    """Validate the arguments of a call, and return the ranking of its documents.

    Args:
        settings: The client's.
        handler: Ranks the prepared call; see `compose`.
        query: See `Reranker.rerank`, as for the arguments that follow.
        documents: See there.
        key: See there.
        options: See there.

    Raises:
        TypeError, ValueError: An argument is invalid; nothing was sent.
        RerankError: The call failed.
    """
    began = monotonic()
    if not options.keys() <= CALL:
        refuse_unknown("rerank", options, CALL | {"query", "documents", "key", "on_error"})
    given = {name: value for name, value in options.items() if value is not None}
    chosen = settings.defaults
    if given:
        chosen = with_options(chosen, given)
        check_options(given, settings.codec)
    own = as_list(documents)
    min_score = score(chosen["min_score"])
    if "extra_headers" in given:
        settings = settings.with_headers(given["extra_headers"])
    per_attempt = seconds("timeout", given["timeout"]) if "timeout" in given else settings.timeout
    wire = yield from to_wire(own, key, settings.max_image_bytes, allow_empty=chosen["blank"] == "skip")
    codec = settings.codec
    prepared = PreparedCall(
        settings,
        query,
        own,
        cast(list[Any], wire) if codec is None else list(map(codec.document, wire, range(len(wire)))),
        chosen,
        settings.headers,
        per_attempt,
        began,
        min_score,
        range(len(own)),
    )
    if chosen["blank"] == "skip":
        return (yield from skip_blank(prepared, handler))
    return (yield from handler(prepared))


def compose(send: Handler) -> Handler:
    """Return the handler of whole calls, by the handler of a single request."""
    return warn_unranked(split(send))


def warn_unranked(handler: Handler) -> Handler:
    """Return a handler that warns of documents without a score."""

    def handle(prepared: PreparedCall[Any]) -> Call[Any]:
        ranking = yield from handler(prepared)
        if ranking.unranked:
            log.warning(
                "%d of %d documents came back without a score; ranking.unranked has their indices",
                len(ranking.unranked),
                len(prepared.own),
            )
        return ranking

    return handle


def split(send: Handler) -> Handler:
    """Return a handler that ranks a list by one request, or by several where one cannot hold it."""

    def handle(prepared: PreparedCall[Any]) -> Call[Any]:
        own, options = prepared.own, prepared.options
        is_refused = False
        if not own or (len(own) <= options["max_documents"] and options["splitter"] is None):
            content = body(prepared.query, prepared.wire, options, prepared.indices, prepared.settings.codec)
            if not own:
                return Ranking(hits=(), total=0)
            if len(own) == 1 or len(content) <= options["max_bytes"]:
                try:
                    return (yield from send(msgspec.structs.replace(prepared, content=content)))
                except StatusError as error:
                    if len(own) == 1 or not is_too_large(error):
                        raise
                    is_refused = True
        from openrouter_rerank.bulk.large import send_in_parts  # noqa: PLC0415 - most calls have one request

        return (yield from send_in_parts(prepared, send, is_refused=is_refused))

    return handle


def send_one(prepared: PreparedCall[T]) -> Call[T]:
    """Send one request with its retries, and enter it in the ledger whatever its result is.

    Raises:
        RerankError: No attempt succeeded, or the budget does not allow the request.
    """
    settings, model = prepared.settings, prepared.model
    largest = LARGEST_ANSWER + _ESCAPED * len(prepared.content)
    send = Send(prepared.headers, prepared.content, prepared.timeout, largest)
    request: _Request[T] = _Request(prepared)
    settings.ledger.reserve(request, model)
    usage: Usage | None = None
    trying = attempts(settings, prepared.began, send, request.read)
    outcome: object = None
    try:
        while True:
            step = trying.send(outcome)
            request.sent += isinstance(step, Send)
            outcome = yield step
    except StopIteration as done:
        complete, tried = cast("tuple[partial[Ranking[T]], tuple[Attempt, ...]]", done.value)
        ranking = complete(attempts=tried, elapsed=monotonic() - prepared.began)
        usage = ranking.usage
        log.debug(
            "ranked %d documents after %d attempt(s) in %.3f s", ranking.total, len(tried), ranking.elapsed
        )
        return ranking
    except RerankError as error:
        error.may_be_billed = request.is_unsure
        raise
    finally:
        # If the call is abandoned during a request, the cost of that request is unknown.
        unknown = (
            request.is_unsure or request.sent > request.answered or (usage is not None and usage.cost is None)
        )
        settings.ledger.settle(
            request, model, prepared.options["tag"], attempts=request.sent, usage=usage, unknown=unknown
        )


class _Request(msgspec.Struct, Generic[T], eq=False):
    """The progress of one request."""

    prepared: PreparedCall[T]
    sent: int = 0
    """The number of attempts that were sent."""
    answered: int = 0
    """The number of attempts that have a result."""
    is_unsure: bool = False
    """True if a failed attempt may have been billed."""

    def read(self, outcome: Outcome, send: Send) -> partial[Ranking[T]] | RerankError:
        """Return the ranking, or the error that the outcome of an attempt amounts to."""
        prepared = self.prepared
        self.answered += 1
        result = read(outcome, send, prepared)
        if isinstance(result, RerankError):
            self.is_unsure = self.is_unsure or _may_be_billed(outcome)
            name_blank(result, prepared)
        return result


def _may_be_billed(outcome: Outcome) -> bool:
    """Return True if a failed attempt may have done the work, and its answer was lost."""
    if isinstance(outcome, Failure):
        return UNSENT.isdisjoint(cls.__name__ for cls in type(outcome.error).__mro__)
    return outcome.status < 300


def attempts(
    settings: Settings, began: float, send: Send, read: Callable[[Outcome, Send], R | RerankError]
) -> Generator[Step, Any, tuple[R, tuple[Attempt, ...]]]:
    """Send a request until an attempt succeeds, and return its result and all attempts.

    Args:
        settings: The source of the retries and the deadline.
        began: The time at which the call began, from which the deadline counts.
        send: The request; its timeout is that of an attempt.
        read: Returns the result of an outcome, or an error.

    Raises:
        RerankError: No attempt succeeded.
    """
    end = None if settings.deadline is None else began + settings.deadline
    tried: list[Attempt] = []
    counted = 0
    error: RerankError | None = None
    while True:
        started = monotonic()
        left = send.timeout if end is None else min(send.timeout, end - started)
        if left <= 0:  # reading files, or oversleeping, took the rest
            error = error or deadline_exceeded(settings)
            error.elapsed = started - began
            raise error
        sent = send if left == send.timeout else send._replace(timeout=left)
        outcome = cast(Outcome, (yield sent))
        now = monotonic()
        result = read(outcome, sent)
        if not isinstance(result, RerankError):
            tried.append(Attempt(now - started, cast(Answer, outcome).status))
            return result, tuple(tried)
        error = result
        if is_overloaded(error) and (pause := (yield BackOff(error.retry_after))) is not None:
            # The whole run waits, which costs the call no attempt.
            delay = settings.retries.shared_delay(pause, error.retry_after)
        else:
            counted += 1
            delay = settings.retries.delay(counted, error)
        if delay is not None and end is not None and now + delay >= end:
            delay = None
        tried.append(Attempt(now - started, getattr(error, "status", None), _briefly(error), delay))
        error.attempts = tuple(tried)
        error.elapsed = now - began
        if delay is None:
            log.debug("gave up after %d attempt(s): %s", len(tried), _briefly(error))
            raise error
        log.debug("attempt %d failed (%s); the next one in %.3f s", len(tried), _briefly(error), delay)
        yield Wait(delay)


def _briefly(error: RerankError) -> str:
    status = getattr(error, "status", None)
    if status:
        return f"{status} {type(error).__name__}"
    return type(error.__cause__ or error).__name__
