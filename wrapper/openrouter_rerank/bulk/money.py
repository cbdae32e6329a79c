"""Estimate what `rerank_many` would send."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from math import ceil
from typing import Any, TypeVar

import msgspec

from openrouter_rerank.bulk.many import Requestable, RerankRequest, as_request, refuse_one
from openrouter_rerank.calls import Call, PreparedCall
from openrouter_rerank.core import compose, rerank
from openrouter_rerank.operations import Parallel, Step
from openrouter_rerank.ranking import Ranking
from openrouter_rerank.settings import Settings
from openrouter_rerank_api.types import encode

T = TypeVar("T")


class Estimate(msgspec.Struct, frozen=True):
    """The size of what a run would send."""

    requests: int = 0
    """HTTP requests, including each part of a large list, without retries."""
    documents: int = 0
    """Documents, or the pieces that `splitter` makes of them."""
    search_units: int = 0
    """Search units by Cohere's rule: one for each hundred documents, where a document counts once for each 500 tokens,
    including the query's. A token is assumed to be four bytes, as there is no tokenizer; `usage` has the billed number.
    Models that are billed by token do not use it."""
    bytes: int = 0
    """Bytes of all request bodies."""

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.requests + other.requests,
            self.documents + other.documents,
            self.search_units + other.search_units,
            self.bytes + other.bytes,
        )


_TOKENS = 500
_BYTES_PER_TOKEN = 4
_DOCUMENTS = 100


def estimate(
    settings: Settings, requests: Iterable[Requestable], first: int = 0
) -> Generator[Step, Any, Estimate]:
    """Estimate what these requests would send; the first one has the number `first`.

    Raises:
        TypeError, ValueError: A request is invalid; a note of the error says which.
    """
    refuse_one(requests)
    found = Estimate()
    for index, given in enumerate(requests, first):
        try:
            found += yield from _one(settings, as_request(given))
        except Exception as error:
            error.add_note(f"It was request {index}.")
            raise
    return found


def _one(settings: Settings, request: RerankRequest[Any]) -> Generator[Step, Any, Estimate]:
    counted: list[Estimate] = []

    def measure(prepared: PreparedCall[Any]) -> Call[Any]:
        counted.append(_measured(prepared))
        return Ranking(hits=(), total=len(prepared.own))
        yield  # makes it a generator, as every handler is

    arguments = {name: value for name, value in request.arguments.items() if name != "on_error"}
    call = rerank(settings, compose(measure), request.query, request.documents, **arguments)
    outcome: object = None
    while True:
        try:
            step = call.send(outcome)
        except StopIteration:
            return sum(counted, Estimate())
        if isinstance(step, Parallel):
            outcome = []
            for part in step.calls:
                outcome.append((yield from part))
        else:
            outcome = yield step


def _measured(prepared: PreparedCall[Any]) -> Estimate:
    query = len(encode(prepared.query))
    sizes = (query + len(encode(document)) for document in prepared.wire)
    counting = sum(ceil(size / (_BYTES_PER_TOKEN * _TOKENS)) for size in sizes)
    return Estimate(1, len(prepared.wire), ceil(counting / _DOCUMENTS), len(prepared.content))
