"""Each difference between two contracts as a finding: its decision, its places, and its sentence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jsonschema_rs.canonical import Containment

from changes.contract import Contract
from changes.decisions import CATEGORIES, DECISIONS, Category
from changes.sentences import (
    describe_difference,
    describe_kind,
    describe_places,
    describe_prose,
    name_change,
    name_location,
)
from compare.data import COMPARED, SERIALIZATION, Change, changes, is_equal, referenced, used_components
from compare.descriptions import ABSENT, NONE
from compare.differences import Comparison, Difference, compare
from compare.documents import decode_reference, join_pointer, split_pointer
from compare.locations import Location, root
from compare.operations import read_api
from compare.schemas import EXPANDED, LISTS, NOTES, PROVED, is_free

PARTS = {"body", "explode", "header", "media type", "parameter", "security", "status", "written"}
"""Kinds of difference in parts of an operation, with their own decisions."""


@dataclass(frozen=True)
class Finding:
    """A difference, as reported to the user."""

    decision: str
    """A key of DECISIONS."""
    sentence: str
    old: Location | None = field(repr=False)
    """The location in the old contract; None if it is new."""
    new: Location | None = field(repr=False)

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories that list it."""
        return DECISIONS[self.decision].categories

    def consequence(self, category: Category) -> str:
        """Return the consequence for a category; empty if there is none."""
        decision = DECISIONS[self.decision]
        return {"callers": decision.callers, "servers": decision.servers}.get(category, "")


def find(old: Contract, new: Contract) -> list[Finding]:
    """Return the differences between two contracts, the worst first.

    Raises:
        CannotReadError: A contract is malformed where it is compared.
    """
    apis = read_api(old), read_api(new)
    compared = compare(*apis)
    rest = _Rest(
        compared,
        (root(old), root(new)),
        (_Pointers(used_components(apis[0])), _Pointers(used_components(apis[1]))),
    )
    found = [*_of_meaning(compared.differences), *rest.findings()]
    unique = {
        (one.decision, one.sentence, *(at and at.pointer for at in (one.old, one.new))): one for one in found
    }
    order = list(CATEGORIES)
    return sorted(unique.values(), key=lambda finding: order.index(finding.categories[0]))


# The differences of meaning.


def _of_meaning(differences: Iterable[Difference]) -> Iterator[Finding]:
    """Yield a finding for each difference of meaning; the same difference at several places is one finding."""
    groups = dict[tuple[str, ...], list[tuple[str, Difference]]]()
    for one in differences:
        for decision in decide(one):
            pointers = (part.pointer if part else "" for part in one.parts)
            key = (decision, describe_difference(one, decision), *pointers)
            groups.setdefault(key, []).append((decision, one))
    for (_, predicate, *_), members in groups.items():
        decision, first = members[0]
        sentence = f"{describe_places([one.place for _, one in members], first)} {predicate}"
        yield _finding(decision, sentence, *(first.parts if any(first.parts) else first.around))


def decide(one: Difference) -> list[str]:  # noqa: C901, PLR0911 - one for each kind
    """Return the decisions that apply to a difference."""
    direction = one.place.direction
    is_new, is_gone = (value in (ABSENT, NONE) for value in one.values)
    became = "added" if is_new else "removed" if is_gone else "changed"
    if one.effect == "unknown":
        return ["unknown"]
    match one.kind:
        case "callback":
            return ["unknown"]
        case "operation":
            return ["unknown" if direction == "both" else f"operation.{became}"]
        case "server":
            return [f"server.{became}"]
        case "operationId":
            return ["operation.renamed"]
        case "deprecated":
            return ["undeprecated" if is_gone else "deprecated"]
        case "default":
            return [f"default.{became}"]
        case _ if one.is_idle:
            return ["documentation"]
        case "field":
            return _decide_field(one, direction, became)
    if direction == "both":
        return [f"both.{one.effect if one.effect != 'same' else 'unlike'}"]
    if one.kind in PARTS or (one.kind == "required" and _is_header(one)):
        return [_decide_part(one, direction, became)]
    return ["same" if one.effect == "same" else f"{direction}.{one.effect}"]


def _decide_field(one: Difference, direction: str, became: str) -> list[str]:
    """Return the decisions for a property that only one contract names."""
    if one.effect == "same":
        if direction == "both":
            return ["response.property.added" if became == "added" else "both.unlike"]
        return [f"{direction}.property.{became}"]
    # callers miss a removed property that they read, also if other properties are allowed
    missed = ["response.property.removed"] if (direction, became) == ("response", "removed") else []
    return [*missed, f"{direction}.{one.effect}"]


def _decide_part(one: Difference, direction: str, became: str) -> str:  # noqa: PLR0911 - one for each kind
    """Return the decision for a part of an operation."""
    match one.kind:
        case "security":
            kinds = {"narrower": "security.stricter", "wider": "security.looser", "unlike": "security.unlike"}
            return kinds.get(one.effect, "same")
        case "parameter":
            is_required = became == "added" and one.effect == "narrower"
            return "request.narrower" if is_required else f"parameter.{became}"
        case "written" | "explode":
            return "parameter.moved" if direction == "request" else "response.unlike"
        case "header":
            return "header.required" if became == "added" and one.effect == "narrower" else f"header.{became}"
        case "required":
            return "header.required" if one.effect == "narrower" else "header.optional"
        case "body":
            return "body.removed" if became == "removed" else f"request.{one.effect}"
        case "media type":
            return f"{direction}.type.{became}"
        case _:
            status = one.place.part.rpartition(" ")[2]
            return f"status.{'success' if status[:1] in '123' else 'error'}.{became}"


def _is_header(one: Difference) -> bool:
    """Return True if a difference is about a response header, not about a part of its value."""
    return one.place.direction == "response" and " header " in one.place.part and not one.place.path


# The rest of the data.


@dataclass(frozen=True)
class _Rest:
    """The differences of the data without a difference of meaning."""

    compared: Comparison
    roots: tuple[Location, Location]
    used: tuple["_Pointers", "_Pointers"]
    """The components that operations use, in both contracts."""

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each difference of the data that no difference of meaning covers."""
        renamed = self.renamed()
        for was, now in renamed:
            name = split_pointer(now.pointer)[-1]
            sentence = f"{name_location(was)} is now `{name}`, and so is its class in generated clients"
            yield _finding("documentation", sentence, was, now)
        moved = {(was.pointer, now.pointer) for was, now in renamed}
        differences = self.compared.differences
        told = _Pointers(part.pointer for one in differences for part in one.parts if part)
        seats = {one.seat for one in differences if one.seat}
        for change in changes(*self.roots):
            if change.path == ["info", "version"] or self.targets(change) in moved:
                continue
            if change.is_prose:
                yield _finding("documentation", describe_prose(change), change.old, change.new)
            elif not self.is_used(change):
                sentence = f"{name_change(change)} {describe_kind(change)}, and nothing refers to it"
                yield _finding("unused", sentence, change.old, change.new)
            elif not (self.is_component(change) or self.is_told(change, told)):
                yield from self.unnamed(change, told, seats)

    def renamed(self) -> list[tuple[Location, Location]]:
        """Return the renamed components, as pairs of locations."""
        found = list[tuple[Location, Location]]()
        old, new = (at.entries("components") for at in self.roots)
        for kind in old.keys() & new.keys():
            was, now = old[kind], new[kind]
            added = [now.child(name) for name in now.mapping() if name not in was.mapping()]
            for name in was.mapping():
                match = next((at for at in added if is_equal(at.value, was.value[name])), None)
                if name not in now.mapping() and match:
                    added.remove(match)
                    found.append((was.child(name), match))
        return found

    def targets(self, change: Change) -> tuple[str, ...]:
        """Return the old and new pointers that a changed reference leads to; for any other change, its own pointers."""
        places = change.old, change.new
        values = [at.value if at and isinstance(at.value, dict) else {} for at in places]
        if all(isinstance(value.get("$ref"), str) for value in values):
            return tuple(decode_reference(value["$ref"]) for value in values)
        return tuple(at.pointer if at else "" for at in places)

    def is_component(self, change: Change) -> bool:
        """Return True if whole components were added or removed; changed references to them are reported instead."""
        return change.path[:1] == ["components"] and len(change.path) <= 3 and not (change.old and change.new)

    def is_used(self, change: Change) -> bool:
        """Return True if a change is outside of components, or in a component that operations use."""
        places = zip((change.old, change.new), self.used, strict=True)
        return change.path[0] != "components" or all(used.overlap(at.pointer) for at, used in places if at)

    def is_told(self, change: Change, told: "_Pointers") -> bool:
        """Return True if a difference of meaning is at the place of a change, or in a schema that it refers to."""
        places = [at for at in (change.old, change.new) if at]
        pointers = {at.pointer for at in places}
        for at in places:
            pointers |= referenced(at.document, [at.value])
        return any(map(told.overlap, pointers))

    def unnamed(self, change: Change, told: "_Pointers", seats: set[str]) -> Iterator[Finding]:
        """Yield the finding for a change without a difference of meaning at its place, unless one contains it."""
        schemas, keyword = change.schemas, change.keywords[-1]
        if change.is_order:
            is_plain = not any(isinstance(value, (dict, list)) for value in change.around[1].value)
            decision = "same" if is_plain else "documentation"
            yield _finding(decision, f"The order of {name_change(change)} changed", change.old, change.new)
            return
        if not schemas:
            if keyword in SERIALIZATION and any(told.overlap(at.pointer) for at in change.around):
                return
            is_same = keyword in COMPARED
        elif keyword in NOTES:
            is_same = all(at is None or is_free(keyword, at.value) for at in (change.old, change.new))
        elif keyword not in EXPANDED | PROVED:
            is_same = False
        else:
            proof = self.compared.prove(*schemas)
            if proof is not Containment.YES and self.is_seated(schemas[0], seats, proof):
                return
            # if there is no proof, rely on the comparison by parts, which found no difference in expanded keywords
            is_same = proof is Containment.YES or (
                proof is Containment.UNKNOWN and keyword in EXPANDED - {"oneOf"}
            )
        if is_same:
            old, new = schemas or (change.old or change.around[0], change.new or change.around[1])
            yield _finding(
                "same", f"{name_location(new)} is written differently and means the same", old, new
            )
        else:
            yield _finding(
                "unknown", f"{name_change(change)} {describe_kind(change)}", change.old, change.new
            )

    def is_seated(self, schema: Location, seats: set[str], proof: Containment) -> bool:
        """Return True if a difference of meaning is in this schema, or in the schema that it is a branch of."""
        path = split_pointer(schema.pointer)
        while path[-2:-1] and path[-2] in LISTS:  # a branch is compared with its schema
            path = path[:-2]
        around = join_pointer(path)
        if any(seat == around or seat.startswith(f"{around}/") for seat in seats):
            return True
        # a component that is a branch of another schema
        values = (schema.document.at(seat) for seat in seats)
        return proof is Containment.NO and _Pointers(referenced(schema.document, values)).overlap(around)


def _finding(decision: str, sentence: str, old: Location | None, new: Location | None) -> Finding:
    return Finding(decision, f"{sentence[:1].upper()}{sentence[1:]}.", old, new)


class _Pointers:
    """A set of pointers that can find overlaps with other pointers."""

    def __init__(self, pointers: Iterable[str]) -> None:
        self._all = set(pointers)
        self._around = {around for pointer in self._all for around in _parents(pointer)}

    def overlap(self, pointer: str) -> bool:
        """Return True if a pointer is equal to one of these, above it, or below it."""
        return pointer in self._around or not self._all.isdisjoint(_parents(pointer))


def _parents(pointer: str) -> Iterator[str]:
    """Yield a pointer and its parents, without the root."""
    while pointer and pointer != "#":
        yield pointer
        pointer = pointer.rpartition("/")[0]
