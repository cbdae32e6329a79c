"""The type of a rule, and the registry of all rules."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from rerank_conformance import contract
from rerank_conformance.contract import Contract
from rerank_conformance.exchanges import Exchange, NoResponse
from rerank_conformance.report import ConformanceLevel, Level
from rerank_conformance.rules.levels import group_of
from rerank_conformance.rules.mending import mend_of

TOLERANCE = 0.01
"""The default tolerance: the largest difference between two scores that count as equal."""


@dataclass(frozen=True)
class Finding:
    """One way in which a server breaks a rule."""

    expected: str
    actual: str
    exchange: Exchange | None
    compared: Exchange | None = None
    """The exchange before it, if only two of them show it."""


@dataclass(frozen=True)
class Undecided:
    """An exchange without a conclusion."""

    reason: str


Judgement = Finding | Undecided | None
"""None if the rule was kept."""


@dataclass(frozen=True)
class Recording:
    """Everything that was recorded in a check."""

    exchanges: Sequence[Exchange]
    tolerance: float = TOLERANCE
    has_key: bool = True
    by: Contract = field(default_factory=contract.load, repr=False)
    """The contract that the server is held to."""

    def ranked(self) -> Iterator[Exchange]:
        """Return the valid requests that got a ranking, generated ones included."""
        return iter(self._ranked)

    @cached_property
    def _ranked(self) -> Sequence[Exchange]:
        return [exchange for exchange in self.exchanges if exchange.ranked]

    def named(self, name: str) -> Exchange | None:
        """Return the exchange of one probe, or None."""
        return next((exchange for exchange in self.exchanges if exchange.probe.name == name), None)

    def under(self, prefix: str) -> list[Exchange]:
        """Return the exchanges of the probes whose names begin with a prefix."""
        return [exchange for exchange in self.exchanges if exchange.probe.name.startswith(prefix)]

    @cached_property
    def own_faults(self) -> Sequence[Exchange]:
        """The requests that the check itself failed to send."""
        return [
            one
            for one in self.exchanges
            if isinstance(one.outcome, NoResponse) and one.outcome.kind == "internal"
        ]

    @cached_property
    def spread(self) -> float:
        """The largest difference between the best and the worst score of a plain ranking."""
        found = [exchange.scores.values() for name in _PLAIN if (exchange := self.named(name))]
        return max((max(scores) - min(scores) for scores in found if scores), default=0.0)

    @cached_property
    def noise(self) -> float:
        """The largest difference of a score when the same request is sent again."""
        one, again = (self.named(name) for name in ("rank-full", "rank-again"))
        if one is None or again is None:
            return 0.0
        return max(
            (abs(one.scores[index] - again.scores[index]) for index in one.scores if index in again.scores),
            default=0.0,
        )

    def close(self, one: float, other: float) -> bool:
        """Return True if two scores count as equal.

        The bound on their difference grows with the spread, as the noise of large logits shows in scores near zero too.
        """
        return abs(one - other) <= self.tolerance * max(1.0, abs(one), abs(other), self.spread)


_PLAIN = ("smoke", "rank-full", "rank-again", "rank-other-query")

Judge = Callable[[Recording], Iterable[Judgement]]


@dataclass(frozen=True)
class Rule:
    """One requirement."""

    id: str
    level: Level
    requirement: str
    source: str
    """A JSON pointer into `openapi.yaml`."""
    judge: Judge
    quick: bool
    """True if `--quick` has exchanges for it."""
    since: str
    """The first version of the contract whose rule set contains it. A rule of a released set never gets stricter: a stricter
    check is a new rule, or a probe of a later version."""
    thorough: bool
    """True if a single exchange without a conclusion leaves the rule undecided."""

    @property
    def conformance_level(self) -> ConformanceLevel:
        """The lowest conformance level that includes the rule."""
        return group_of(self.id).level

    @property
    def level_reason(self) -> str:
        """The reason for the conformance level, in one sentence."""
        return group_of(self.id).reason

    @property
    def mend(self) -> str | None:
        """The usual fix for a failure; a test requires one of every rule."""
        return mend_of(self.id)


RULES: dict[str, Rule] = {}
"""Every rule by its id, in the order of a report."""


def rule(  # noqa: PLR0913 - the parts of a rule
    name: str,
    requirement: str,
    source: str,
    *,
    level: Level = "MUST",
    quick: bool = True,
    thorough: bool = False,
    since: str = "1.0.0",
) -> Callable[[Judge], Judge]:
    """Return a decorator that registers a judge as a rule."""

    def register(judge: Judge) -> Judge:
        if name in RULES:
            message = f"two rules are named {name}"
            raise ValueError(message)
        RULES[name] = Rule(name, level, requirement, source, judge, quick, since, thorough)
        return judge

    return register


def rule_set(version: str) -> list[Rule]:
    """Return the rules of a version of the contract, without those that were added later.

    Raises:
        ValueError: There is no contract of that version.
    """
    newest = contract.numbers(contract.load(version).version)
    return [rule for rule in RULES.values() if contract.numbers(rule.since) <= newest]


SCHEMA = "#/components/schemas"
POST = "#/paths/~1rerank/post"
RESPONSES = f"{POST}/responses"
