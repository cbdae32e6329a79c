"""Add up the costs of a client's calls, and hold them to a limit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from decimal import Decimal
from threading import Lock

from msgspec.structs import replace

from openrouter_rerank import forks
from openrouter_rerank.errors import BudgetExceededError
from openrouter_rerank.ranking import Usage
from openrouter_rerank_api.answers import SUMS, Summed, UsageSums

log = logging.getLogger("openrouter_rerank")

# What a server, or a caller, adds up in floats misses by less of itself: 0.1 + 0.2 is not 0.3.
_ROUNDING = Decimal("1e-12")


def exact(dollars: float) -> Decimal:
    """Return an amount as it is written: sums of floats miss, as ten times 0.1 is not 1."""
    return Decimal(repr(float(dollars)))


def is_reached(limit: Decimal, spent: Decimal) -> bool:
    """Return True if nothing is left of the limit."""
    return limit - spent <= limit * _ROUNDING


class Totals(UsageSums, frozen=True, kw_only=True):
    """Sums over calls. Unknown values are not included; `unknown` counts the calls that have them."""

    calls: int = 0
    """The number of calls, failed ones and each part of a split list included."""
    attempts: int = 0
    """The number of requests that these calls sent."""
    cached: int = 0
    """The number of cache hits. They send nothing and cost nothing."""
    unknown: int = 0
    """The number of calls of unknown cost: the server reported none, or a request without a complete response may have
    been billed. A response with an error status counts as free."""


class Ledger(Summed):
    """The costs of a client's calls so far. It is thread-safe, and has the numbers of `Totals`.

    A forked process begins with a copy, without the amount reserved for the parent's calls in flight. From then on, each
    process counts its own calls and has its own `max_cost`.

    Example:
        >>> from openrouter_rerank import Reranker
        >>> with Reranker.local() as reranker:
        ...     ranking = reranker.rerank("capital of France", ["Berlin", "Paris"], tag="tests")
        ...     reranker.ledger.calls, reranker.ledger.search_units
        (1, 1)
        >>> list(reranker.ledger.by_tag)
        ['tests']
    """

    def __init__(self, max_cost: float | None = None) -> None:
        self._max_cost = None if max_cost is None else exact(max_cost)
        self._lock = Lock()
        self._spent = Decimal(0)
        self._answered = False
        self._warned = False
        # By model and tag: summed up further when somebody asks.
        self._lines: dict[tuple[str, str | None], Totals] = {}
        self._largest: dict[str, Decimal] = {}
        self._reserved: dict[object, Decimal] = {}
        forks.register(self)

    def _after_fork(self) -> None:
        self._lock = Lock()
        self._reserved.clear()

    def _read(self) -> list[tuple[str, str | None, Totals]]:
        with self._lock:
            return [(model, tag, line) for (model, tag), line in self._lines.items()]

    @property
    def total(self) -> Totals:
        """All numbers at one moment."""
        return _sum(line for _, _, line in self._read())

    @property
    def calls(self) -> int:
        """The number of calls, failed ones and each part of a split list included."""
        return self.total.calls

    @property
    def attempts(self) -> int:
        """The number of requests that these calls sent."""
        return self.total.attempts

    @property
    def cached(self) -> int:
        """The number of cache hits."""
        return self.total.cached

    @property
    def unknown(self) -> int:
        """The number of calls of unknown cost."""
        return self.total.unknown

    @property
    def by_model(self) -> Mapping[str, Totals]:
        """The numbers of each requested model."""
        lines = self._read()
        models = dict.fromkeys(model for model, _, _ in lines)
        return {name: _sum(line for model, _, line in lines if model == name) for name in models}

    @property
    def by_tag(self) -> Mapping[str, Totals]:
        """The numbers of each `tag`."""
        lines = self._read()
        tags = dict.fromkeys(tag for _, tag, _ in lines if tag is not None)
        return {name: _sum(line for _, tag, line in lines if tag == name) for name in tags}

    @property
    def cost_unknown(self) -> bool:
        """True while max_cost is set and no call has succeeded, with or without a cost."""
        return self._max_cost is not None and not self._answered

    def reserve(self, call: object, model: str) -> None:
        """Reserve the cost that a call may have, until it is settled.

        Raises:
            BudgetExceededError: The call may exceed the limit.
        """
        limit = self._max_cost
        if limit is None:
            return
        with self._lock:
            spent, coming = self._spent, sum(self._reserved.values(), Decimal(0))
            next_cost = self._largest.get(model)
            # Of a model's first call nothing is known; it is made while there is anything left.
            passed = spent + coming + (next_cost or 0) > limit * (1 + _ROUNDING)
            if passed or is_reached(limit, spent + coming):
                raise _exceeded(model, spent, coming, limit, next_cost)
            self._reserved[call] = next_cost or Decimal(0)

    def carry_over(self, model: str, *, spent: Decimal, largest: Decimal | None) -> None:
        """Count the spending of earlier runs towards the limit, but not in the totals."""
        with self._lock:
            self._spent += spent
            if largest is not None:
                self._answered = True
                self._largest[model] = max(largest, self._largest.get(model, largest))

    def settle(  # noqa: PLR0913 - a line of a ledger
        self, call: object, model: str, tag: str | None, *, attempts: int, usage: Usage | None, unknown: bool
    ) -> None:
        """Enter the result of a call; `usage` is None if it failed."""
        answered = usage is not None
        usage = usage or _NO_USAGE
        with self._lock:
            self._answered = self._answered or answered
            if self._reserved:
                self._reserved.pop(call, None)
            line = self._lines.get((model, tag), _NOTHING)
            self._lines[model, tag] = replace(
                line,
                calls=line.calls + 1,
                attempts=line.attempts + attempts,
                unknown=line.unknown + unknown,
                **{name: getattr(line, name) + (getattr(usage, name) or 0) for name in SUMS},
            )
            if usage.cost is not None:
                cost = exact(usage.cost)
                self._spent += cost
                self._largest[model] = max(cost, self._largest.get(model, cost))
            is_useless = self._max_cost is not None and answered and usage.cost is None and not self._warned
            self._warned = self._warned or is_useless
        if is_useless:
            log.warning("max_cost has no effect: the server reports no cost; limit the requests instead")

    def release(self, call: object, *, spent: bool = False) -> None:
        """Release the reservation of a call that was not made, or whose cost is unknown and counts as spent."""
        with self._lock:
            amount = self._reserved.pop(call, Decimal(0))
            if spent:
                self._spent += amount

    def remembered(self, model: str, tag: str | None) -> None:
        """Enter a cache hit."""
        with self._lock:
            line = self._lines.get((model, tag), _NOTHING)
            self._lines[model, tag] = replace(line, calls=line.calls + 1, cached=line.cached + 1)

    def __repr__(self) -> str:
        total = self.total
        names = sorted(Totals.__struct_fields__, key=SUMS.__contains__)  # the counts of calls first
        return f"<Ledger: {', '.join(f'{name}={getattr(total, name)!r}' for name in names)}>"


def _sum(lines: Iterable[Totals]) -> Totals:
    given = [_NOTHING, *lines]
    return Totals(**{name: sum(getattr(line, name) for line in given) for name in Totals.__struct_fields__})


_NOTHING = Totals()
_NO_USAGE = Usage()


def _exceeded(
    model: str, spent: Decimal, coming: Decimal, limit: Decimal, next_cost: Decimal | None
) -> BudgetExceededError:
    known = None if next_cost is None else float(next_cost)
    under_way = f", ${float(coming):.6g} are set aside for calls under way" if coming else ""
    may = "is unknown" if known is None else f"may be ${known:.6g}"
    message = (
        f"max_cost is ${float(limit):.6g}, ${float(spent):.6g} are spent{under_way}, and the cost of the next call of {model} "
        f"{may}; nothing was sent. Raise max_cost, or look at the ledger for what it went to"
    )
    return BudgetExceededError(message, spent=float(spent), limit=float(limit), next_cost=known)
