"""One call, from its arguments to its ranking or its one error. It decides all of that and does no I/O.

A call is a generator: it yields what has to be done (`Load`, `Send`, `Wait`), is sent what came of it, and returns the
ranking or raises. The two shells in client.py do what it says, and nothing of their own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from time import monotonic
from typing import Any, TypeAlias, TypeVar, cast

from openrouter_rerank.answer import late, read
from openrouter_rerank.documents import Sendable, as_list, to_wire
from openrouter_rerank.errors import Attempt, RerankError
from openrouter_rerank.ranking import Ranking
from openrouter_rerank.request import Settings, body, mapping, merged, score, seconds
from openrouter_rerank.steps import Answer, Outcome, Send, Step, Wait

T = TypeVar("T")

log = logging.getLogger("openrouter_rerank")

# An answer echoes the documents, escaped at worst sixfold; beyond that and this much it is no ranking.
_LARGEST_ANSWER = 64 * 2**20
_ESCAPED = 6


Call: TypeAlias = Generator[Step, Any, Ranking[T]]
"""Yields steps; is sent bytes for a Load, an Outcome for a Send, None for a Wait; returns the ranking."""


def rerank(  # noqa: PLR0913 - a call's own arguments
    settings: Settings,
    query: str,
    documents: Iterable[T],
    *,
    key: Callable[[T], Sendable] | str | None,
    timeout: float | None,
    extra_headers: Mapping[str, str] | None,
    extra_body: Mapping[str, Any] | None,
    **arguments: Any,
) -> Call[T]:
    """One call from its arguments to its ranking, whatever happens in between."""
    began = monotonic()
    given = {name: value for name, value in arguments.items() if value is not None}
    defaults = settings.defaults
    chosen: dict[str, Any] = {**defaults, **given}
    if extra_body is not None:
        chosen["extra_body"] = mapping("extra_body", defaults["extra_body"]) | mapping(
            "extra_body", extra_body
        )
    own = as_list(documents)
    min_score = score(chosen["min_score"])
    headers = settings.headers
    if extra_headers is not None:
        headers = merged(headers, extra_headers, "extra_headers")
    per_attempt = settings.timeout if timeout is None else seconds("timeout", timeout)
    wire = yield from to_wire(own, key, settings.max_image_bytes)
    content = body(query, cast(list[Any], wire), chosen)
    if not own:
        return Ranking(hits=(), total=0)
    limit = len(own) if chosen["top_n"] is None else min(int(chosen["top_n"]), len(own))
    largest = _LARGEST_ANSWER + _ESCAPED * len(content)
    end = None if settings.deadline is None else began + settings.deadline
    attempts: list[Attempt] = []
    error: RerankError | None = None
    while True:
        started = monotonic()
        left = per_attempt if end is None else min(per_attempt, end - started)
        if left <= 0:  # reading files, or oversleeping, took the rest
            error = error or late(settings)
            error.elapsed = started - began
            raise error
        send = Send(headers, content, left, largest)
        outcome = cast(Outcome, (yield send))
        now = monotonic()
        result = read(outcome, send, own, limit, min_score, settings)
        if isinstance(result, Ranking):
            attempts.append(Attempt(now - started, cast(Answer, outcome).status))
            result.attempts = tuple(attempts)
            result.elapsed = now - began
            log.debug(
                "ranked %d documents after %d attempt(s) in %.3f s", len(own), len(attempts), result.elapsed
            )
            return result
        error = result
        delay = settings.retries.delay(len(attempts) + 1, error)
        if delay is not None and end is not None and now + delay >= end:
            delay = None
        attempts.append(Attempt(now - started, getattr(error, "status", None), _briefly(error), delay))
        error.attempts = tuple(attempts)
        error.elapsed = now - began
        if delay is None:
            log.debug("gave up after %d attempt(s): %s", len(attempts), _briefly(error))
            raise error
        log.debug("attempt %d failed (%s); the next one in %.3f s", len(attempts), _briefly(error), delay)
        yield Wait(delay)


def _briefly(error: RerankError) -> str:
    status = getattr(error, "status", None)
    if status:
        return f"{status} {type(error).__name__}"
    return type(error.__cause__ or error).__name__
