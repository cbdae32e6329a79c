"""Where a place of a document is used, in the field's words; it compares nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from changes.contract import Contract
from documents import METHODS, pointer_to, steps, target

MOST = 1000  # usages of one place that are looked at

_THROUGH = {"anyOf", "oneOf", "allOf", "not", "if", "then", "else", "contains", "propertyNames"}
_NAMED = {"properties", "patternProperties", "dependentSchemas"}


@dataclass(frozen=True)
class Spot:
    """One use of a place: by whom it is sent, in which part of which operation, and in which field."""

    direction: str
    """`request` or `response`; `both` where this does not tell; empty where nothing is sent."""
    operation: str
    """As `POST /rerank`; empty above all operations."""
    part: str
    """As `request`, `answer 200`, `parameter limit`, `header Retry-After of 429`."""
    field: str
    """As `documents[].text`; empty for the whole."""


class Usages:
    """Which usages each place of a document has, looked up when asked for."""

    def __init__(self, document: Contract) -> None:
        self.document = document
        self._paths: dict[str, frozenset[tuple[str, ...]]] = {}

    @cached_property
    def _referrers(self) -> Mapping[str, list[tuple[str, ...]]]:
        """By the target of each `$ref`, the paths of what refers to it."""
        found = dict[str, list[tuple[str, ...]]]()
        stack: list[tuple[tuple[str, ...], Any]] = [((), self.document.data)]
        while stack:
            path, node = stack.pop()
            children: list[tuple[str, Any]] = []
            if isinstance(node, Mapping):
                if isinstance(node.get("$ref"), str):
                    found.setdefault(target(node["$ref"]), []).append(path)
                children = list(node.items())
            elif isinstance(node, list):
                children = [(str(number), child) for number, child in enumerate(node)]
            stack += [((*path, step), child) for step, child in children]
        return found

    def paths(self, pointer: str) -> frozenset[tuple[str, ...]]:
        """The ways to a place from the top of the document, each going through every `$ref`."""
        if pointer not in self._paths:
            found = set[tuple[str, ...]]()
            stack = [(tuple(steps(pointer)), frozenset[str]())]
            while stack and len(found) < MOST:
                path, through = stack.pop()
                if path[:1] != ("components",) or path[1:2] == ("securitySchemes",):
                    found.add(path)
                    continue
                for length in range(len(path), 2, -1):
                    place = pointer_to(path[:length])
                    if place not in through:
                        stack += [
                            ((*before, *path[length:]), through | {place})
                            for before in self._referrers.get(place, [])
                        ]
            self._paths[pointer] = frozenset(found)
        return self._paths[pointer]

    def spots(self, pointer: str) -> frozenset[Spot]:
        """The uses of a place; none for a component that nothing refers to."""
        return frozenset(self.spot(path) for path in self.paths(pointer))

    def is_at(self, path: tuple[str, ...]) -> bool:
        """Whether there is something at the end of such a way."""
        node: Any = self.document.data
        for step in path:
            node = self.document.resolved(node)
            if isinstance(node, list) and step.isdecimal() and int(step) < len(node):
                node = node[int(step)]
            elif isinstance(node, Mapping) and step in node:
                node = node[step]
            else:
                return False
        return True

    def node(self, path: tuple[str, ...]) -> Any:
        """What is at the end of such a way, its `$ref` followed.

        Raises:
            KeyError: nothing is there.
        """
        node: Any = self.document.resolved(self.document.data)
        for step in path:
            node = node[int(step)] if isinstance(node, list) else node[step]
            node = self.document.resolved(node)
        return node

    def spot(self, path: tuple[str, ...]) -> Spot:  # noqa: PLR0911 - one for each part of a document
        """What such a way means."""
        match path:
            case ("paths", _, "parameters", number, *rest):
                return Spot("request", path[1], self._parameter(path[:4], number), _field(rest))
            case ("paths", name, method, *rest) if method in METHODS:
                operation = f"{method.upper()} {name}"
                match rest:
                    case ("parameters", number, *inside):
                        return Spot("request", operation, self._parameter(path[:5], number), _field(inside))
                    case ("requestBody", *inside):
                        return Spot("request", operation, "request", _field(inside))
                    case ("responses", status, "headers", header, *inside):
                        return Spot("response", operation, f"header {header} of {status}", _field(inside))
                    case ("responses", status, *inside):
                        return Spot("response", operation, f"answer {status}", _field(inside))
                    case ("callbacks", *_):
                        return Spot("both", operation, "callbacks", "")
                    case _:
                        return Spot("", operation, "", "")
            case ("webhooks", name, *_):
                return Spot("both", f"webhook {name}", "", "")
            case ("paths", name, *_):
                return Spot("", name, "", "")
            case _:
                return Spot("", "", "", "")

    def _parameter(self, path: tuple[str, ...], number: str) -> str:
        try:
            return f"parameter {self.node(path)['name']}"
        except (KeyError, IndexError, TypeError, ValueError):
            return f"parameter {number}"


def _field(path: "list[str]") -> str:
    """The field of a body that a way leads into, as `documents[].text`."""
    if "schema" not in path:
        return ""
    rest, made = iter(path[path.index("schema") + 1 :]), ""
    for step in rest:
        if step in _NAMED:
            name = next(rest, "")
            made += f".{name}" if name else ""
        elif step == "items":
            made += "[]"
        elif step == "prefixItems":
            made += f"[{next(rest, '')}]"
        elif step in {"additionalProperties", "unevaluatedProperties"}:
            made += ".*"
        elif step in {"anyOf", "oneOf", "allOf"}:
            next(rest, "")
        elif step not in _THROUGH:
            break
    return made.removeprefix(".")


def operations(spots: "frozenset[Spot]") -> list[str]:
    """The operations of some spots, in order."""
    return sorted({spot.operation for spot in spots if spot.operation})


def where(spots: "frozenset[Spot]") -> str:
    """Where some spots are, in words, as "in the request of `POST /rerank`"; empty above all operations."""
    parts = sorted({spot.part for spot in spots if spot.part}, key=_rank)
    of = listed([f"`{name}`" for name in operations(spots)])
    of = f" of {of}" if of else ""
    if not parts:
        return of.strip()
    said = list[str]()
    statuses = [part.removeprefix("answer ") for part in parts if part.startswith("answer ")]
    headers = list(dict.fromkeys(part.split()[1] for part in parts if part.startswith("header ")))
    for part in parts:
        if part == "request":
            said.append("in the request")
        elif part.startswith("parameter "):
            said.append(f"in the parameter `{part.removeprefix('parameter ')}`")
        elif part == "callbacks":
            said.append("in the callbacks")
    if statuses:
        said.append(_answers(statuses))
    said += [f"in the header `{header}`" for header in headers]
    return f"{listed(said)}{of}"


def listed(words: list[str], most: int = 3) -> str:
    """Some words as one phrase, the last of many as a number."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return ", ".join(words[:-1]) + (" and " if len(words) > 1 else "") + words[-1] if words else ""


def fields(spots: "frozenset[Spot]") -> str:
    """The fields of some spots, in words; empty for whole bodies."""
    names = sorted({spot.field for spot in spots if spot.field})
    return listed([f"`{name}`" for name in names])


def _answers(statuses: list[str]) -> str:
    if len(statuses) == 1:
        return f"in the answer {statuses[0]}"
    if len(statuses) > 3 and not any(status.startswith("2") for status in statuses):
        return "in the errors"
    return f"in the answers {listed(statuses, 4)}"


def _rank(part: str) -> tuple[int, str]:
    kind = part.split(maxsplit=1)[0]
    return (["request", "parameter", "answer", "header"].index(kind) if kind != "callbacks" else 9, part)
