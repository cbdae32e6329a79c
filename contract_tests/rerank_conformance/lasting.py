"""Transient errors that are not transient: a 5xx that one request gets every time, while others are ranked."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace

from rerank_conformance.exchanges import Exchange, Probe, transient_status

Send = Callable[[Probe], Awaitable[Exchange]]

_RULES = 6  # of which one request each is sent again; a server that fails more has enough to mend
_FEWEST = 4  # rules of invalid requests with one lasting status, after which it is that of all such requests
_OF_GENERATED = 2
_TIMES = 2


async def with_lasting(exchanges: Sequence[Exchange], plain: Probe, send: Send) -> list[Exchange]:
    """Return the exchanges, with those marked whose transient error comes every time.

    Each is sent again between plain requests. A plain request that is not ranked means that the server as a whole has trouble,
    from which nothing follows. Two plain requests in a row keep a server that fails every second time from being blamed.

    Args:
        exchanges: Everything that was sent.
        plain: A request that was ranked before.
        send: Sends a request that is not counted again.
    """
    lasting: set[tuple[str, int]] = set()
    chosen = list(_chosen(exchanges))
    for exchange in chosen:
        for _ in range(_TIMES):
            found = [await send(probe) for probe in (plain, exchange.probe, plain)]
            if not (found[0].ranked and found[2].ranked and _failure(found[1])):
                break
        else:
            lasting.add(_kind(exchange))
    everywhere = _of_invalid_requests(chosen, lasting)
    return [
        replace(one, lasting=True)
        if (failure := _failure(one))
        and (_kind(one) in lasting or (one.probe.legal is not True and failure in everywhere))
        else one
        for one in exchanges
    ]


def _of_invalid_requests(chosen: Sequence[Exchange], lasting: AbstractSet[tuple[str, int]]) -> set[int]:
    """Return the statuses that a server has for invalid requests, as every kind that was sent again got one every time."""
    invalid = [one for one in chosen if one.probe.legal is False and one.probe.rule]
    found = Counter(_failure(one) for one in invalid if _kind(one) in lasting)
    tried = Counter(_failure(one) for one in invalid)
    return {
        status for status, count in found.items() if status and count >= _FEWEST and count == tried[status]
    }


def _failure(exchange: Exchange) -> int | None:
    """Return the transient 5xx of an exchange; None if it ended in another way.

    429 and 408 are limits and not failures. A 200 with an error in place of results stays undecided, as it may come from a
    provider behind the server.
    """
    answer = exchange.answer
    failed = answer is not None and answer.status >= 500 and transient_status(exchange.probe, answer)
    return answer.status if answer is not None and failed else None


def _kind(exchange: Exchange) -> tuple[str, int]:
    """Return the key of requests that fail for one reason: a generated one stands for itself alone."""
    return exchange.probe.rule or exchange.probe.name, _failure(exchange) or 0


def _chosen(exchanges: Sequence[Exchange]) -> Iterator[Exchange]:
    failed = [one for one in exchanges if _failure(one)]
    by_rule = {one.probe.rule: one for one in reversed(failed) if one.probe.rule}
    yield from list(by_rule.values())[-_RULES:]
    yield from [one for one in failed if not one.probe.rule][:_OF_GENERATED]
