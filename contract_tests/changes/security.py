"""What lets a caller in, before and after; no I/O."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from changes.contract import Contract
from changes.usages import listed
from documents import METHODS, pointer_to

Way = frozenset[tuple[str, frozenset[str]]]
"""One way in: every scheme that it asks for, with the scopes. None asked for: everybody is let in."""


@dataclass(frozen=True)
class Difference:
    """What became of the ways into some operations."""

    kind: Literal["stricter", "looser", "unlike"]
    operations: tuple[str, ...]
    says: str
    old: str | None
    new: str | None


def differences(old: Contract, new: Contract) -> Iterator[Difference]:
    """What lets callers in no more, and what does now, for the operations that both documents have."""
    before, after = dict(_operations(old)), dict(_operations(new))
    found = dict[tuple[Any, ...], list[str]]()
    for name, (was, old_place) in before.items():
        if name in after and after[name][0] != was:
            now, new_place = after[name]
            found.setdefault((was, now, old_place, new_place), []).append(name)
    for (was, now, old_place, new_place), names in found.items():
        lost = [way for way in was if not any(_is_let_in(way, other) for other in now)]
        gained = [way for way in now if not any(_is_let_in(way, other) for other in was)]
        if lost or gained:
            kind: Literal["stricter", "looser", "unlike"]
            kind = "unlike" if lost and gained else "stricter" if lost else "looser"
            many = len(names) > 1
            said = {
                "stricter": f"{'ask' if many else 'asks'} for {_words(now)} now, and {_words(was)} was enough",
                "looser": f"{'let' if many else 'lets'} in callers with {_words(gained)} too",
                "unlike": f"{'ask' if many else 'asks'} for {_words(now)} now, and asked for {_words(was)}",
            }[kind]
            yield Difference(kind, tuple(sorted(names)), said, old_place, new_place)


def _is_let_in(way: Way, other: Way) -> bool:
    """Whether who has the one way has the other, as that asks for no more."""
    has = dict(way)
    return all(scheme in has and scopes <= has[scheme] for scheme, scopes in other)


def _words(ways: Collection[Way]) -> str:
    said = [" with ".join(_scheme(*each) for each in sorted(way, key=str)) or "no key" for way in ways]
    return " or ".join(sorted(said))


def _scheme(name: str, scopes: frozenset[str]) -> str:
    return f"`{name}`" + (f" ({listed(sorted(scopes))})" if scopes else "")


def _operations(document: Contract) -> Iterator[tuple[str, tuple[frozenset[Way], str]]]:
    """The ways into each operation, and where they stand."""
    for path, item in document.data.get("paths", {}).items():
        whole = document.resolved(item)
        for method in METHODS:
            if isinstance(whole, Mapping) and method in whole:
                own = "security" in whole[method]
                place = pointer_to(["paths", path, method, "security"]) if own else "#/security"
                asked = whole[method]["security"] if own else document.data.get("security", [])
                yield f"{method.upper()} {path}", (_ways(asked), place)


def _ways(asked: list[Mapping[str, list[str]]]) -> frozenset[Way]:
    ways = [frozenset((name, frozenset(scopes)) for name, scopes in each.items()) for each in asked]
    return frozenset(ways or [frozenset()])
