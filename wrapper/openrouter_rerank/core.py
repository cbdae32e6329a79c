"""One call, from its arguments to its ranking or its one error. It decides all of that and does no I/O.

A call is a generator: it yields what has to be done (`Load`, `Send`, `Wait`), is sent what came of it, and returns the
ranking or raises. The two shells in client.py do what it says, and nothing of their own. What stands on one request (lists
that are split, a cache) is in bulk/, and comes in as a function of what is `Asked`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable
from functools import partial
from time import monotonic
from typing import Any, TypeVar, cast

from openrouter_rerank.answer import late, read
from openrouter_rerank.blank import name_blank, skip_blank
from openrouter_rerank.calls import Asked, Call, Way
from openrouter_rerank.documents import Sendable, as_list, to_wire
from openrouter_rerank.errors import Attempt, RerankError, StatusError
from openrouter_rerank.failures import UNSENT
from openrouter_rerank.operations import LARGEST_ANSWER, Answer, Failure, Outcome, Send, Step, Wait
from openrouter_rerank.options import CALL, refuse_unknown
from openrouter_rerank.ranking import Ranking, Usage
from openrouter_rerank.request import body, check_options, score, seconds, with_options
from openrouter_rerank.settings import Settings

T = TypeVar("T")
R = TypeVar("R")

log = logging.getLogger("openrouter_rerank")

# JSON escapes a character by at most six.
_ESCAPED = 6


def rerank(  # noqa: PLR0913 - a call's own arguments
    settings: Settings,
    query: str,
    documents: Iterable[T],
    *,
    key: Callable[[T], Sendable] | str | None = None,
    one: Way[Any] | None = None,
    split: Way[Any] | None = None,
    **options: Any,
) -> Call[T]:
    """One call from its arguments to its ranking, whatever happens in between.

    `one` is how a single request is made (by default it is sent, and that is all), `split` how a list is ranked that is too
    large for one request (by default it is sent all the same).
    """
    began = monotonic()
    if not options.keys() <= CALL:
        refuse_unknown("rerank", options, CALL | {"query", "documents", "key", "on_error"})
    given = {name: value for name, value in options.items() if value is not None}
    chosen = settings.defaults
    if given:
        chosen = with_options(chosen, given)
        check_options(given)
    own = as_list(documents)
    min_score = score(chosen["min_score"])
    if "extra_headers" in given:
        settings = settings.with_headers(given["extra_headers"])
    per_attempt = seconds("timeout", given["timeout"]) if "timeout" in given else settings.timeout
    wire = yield from to_wire(own, key, settings.max_image_bytes, allow_empty=chosen["blank"] == "skip")
    asked = Asked(
        settings,
        query,
        own,
        cast(list[Any], wire),
        chosen,
        settings.headers,
        per_attempt,
        began,
        min_score,
        one or ask,
        range(len(own)),
    )
    rank = partial(_ranked, split=split)
    if chosen["blank"] == "skip":
        return (yield from skip_blank(asked, rank))
    return (yield from rank(asked))


def _ranked(asked: Asked[T], split: Way[Any] | None) -> Call[T]:
    """Rank what is sent; warn if the server leaves some of it without a score."""
    ranking = yield from _sent(asked, split)
    if ranking.unranked:
        log.warning(
            "%d of %d documents came back without a score; ranking.unranked has their indices",
            len(ranking.unranked),
            len(asked.own),
        )
    return ranking


def _sent(asked: Asked[T], split: Way[Any] | None) -> Call[T]:
    """Rank with one request, or with several where one cannot hold the list."""
    own, chosen = asked.own, asked.chosen
    if split is not None and own and (len(own) > chosen["max_documents"] or chosen["splitter"] is not None):
        return (yield from split(asked))
    asked.content = body(asked.query, asked.wire, chosen, asked.indices)
    if not own:
        return Ranking(hits=(), total=0)
    if split is None or len(own) == 1:
        return (yield from asked.one(asked))
    if len(asked.content) <= chosen["max_bytes"]:
        try:
            return (yield from asked.one(asked))
        except StatusError as error:
            if not is_too_large(error):
                raise
    return (yield from split(asked))


def is_too_large(error: RerankError) -> bool:
    """True if the server takes fewer documents, or shorter ones."""
    return isinstance(error, StatusError) and error.too_large


def ask(asked: Asked[T]) -> Call[T]:
    """One request with its attempts, entered in the ledger whatever comes of it."""
    settings, own, top_n = asked.settings, asked.own, asked.chosen["top_n"]
    limit = len(own) if top_n is None else min(int(top_n), len(own))

    def reading(outcome: Outcome, sent: Send) -> Ranking[T] | RerankError:
        asked.answered += 1
        result = read(outcome, sent, own, limit, asked.min_score, settings)
        if isinstance(result, RerankError):
            asked.unsure = asked.unsure or _may_be_billed(outcome)
            name_blank(result, asked)
        return result

    largest = LARGEST_ANSWER + _ESCAPED * len(asked.content)
    send = Send(asked.headers, asked.content, asked.timeout, largest)
    model = asked.model
    settings.ledger.reserve(asked, model)
    usage: Usage | None = None
    trying = attempts(settings, asked.began, send, reading)
    outcome: object = None
    try:
        while True:
            step = trying.send(outcome)
            asked.sent += isinstance(step, Send)
            outcome = yield step
    except StopIteration as done:
        ranking, tried = cast("tuple[Ranking[T], tuple[Attempt, ...]]", done.value)
        usage = ranking.usage
        ranking.attempts = tried
        ranking.elapsed = monotonic() - asked.began
        log.debug("ranked %d documents after %d attempt(s) in %.3f s", len(own), len(tried), ranking.elapsed)
        return ranking
    finally:
        # Of a call that is given up while a request is under way, nobody knows what that request comes to.
        unknown = asked.unsure or asked.sent > asked.answered or (usage is not None and usage.cost is None)
        settings.ledger.settle(
            asked, model, asked.chosen["tag"], attempts=asked.sent, usage=usage, unknown=unknown
        )


def _may_be_billed(outcome: Outcome) -> bool:
    """Whether the work of a request that failed may have been done, and its answer lost."""
    if isinstance(outcome, Failure):
        return UNSENT.isdisjoint(cls.__name__ for cls in type(outcome.error).__mro__)
    return outcome.status < 300


def attempts(
    settings: Settings, began: float, send: Send, read: Callable[[Outcome, Send], R | RerankError]
) -> Generator[Step, Any, tuple[R, tuple[Attempt, ...]]]:
    """What is read of the first good answer to a request, and what it took; the one error where none comes.

    Args:
        settings: Its retries and its deadline hold.
        began: When the call began, from which the deadline counts.
        send: The request; its timeout is that of an attempt.
        read: Makes what is wanted of an outcome, or the error that it amounts to.

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
            error = error or late(settings)
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
        counted += settings.retries.counts(error)
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
