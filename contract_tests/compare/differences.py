"""The differences of meaning between two documents, each with a kind, a place on the wire, and its effect.

A pair has the part of the first document, then that of the second.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import zip_longest
from typing import Any

from jsonschema_rs.canonical import CanonicalizationError, Containment

from compare.data import unknown_keywords
from compare.descriptions import (
    ABSENT,
    ANYTHING,
    FORBIDDEN,
    NONE,
    PRESENCE,
    Pair,
    aligned,
    bounds_schema,
    describe,
    describe_case,
    describe_form,
    describe_presence,
    describe_schema,
    describe_sets,
    describe_types,
    describe_value,
    each,
    every_flat,
    field_of,
    first,
    first_of,
    is_anything,
    items_of,
    join_values,
    keyword_of,
    keywords_of,
    list_values,
    locate,
    merge,
    note_effect,
    others_of,
    pointers,
    properties_of,
    related_keywords,
    required_sets,
    shorten_pair,
)
from compare.locations import Location, root
from compare.operations import Alternative, Api, Media, Operation, Security, Status, Value, read_servers
from compare.schemas import (
    EXPANDED,
    LIMITS,
    NOTES,
    PROVED,
    Case,
    Effect,
    Node,
    Schemas,
    json_key,
    node_of,
    relate,
)

Key = Pair[tuple[tuple[str, ...], ...]]
"""The pointers of two schemas."""

JSON = "application/json"
BOTH_WAYS = ("webhook", "callback")


@dataclass(frozen=True)
class Place:
    """A place on the wire."""

    operation: str
    """For example `POST /rerank`."""
    part: str = ""
    """For example `request`, `query limit` or `429 header Retry-After`."""
    path: str = ""
    """The path within the body or the value, for example `provider.order[]`."""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.operation, self.part, self.path)))

    @property
    def direction(self) -> str:
        """The direction: `request`, `response`, `both` in callbacks, or empty if nothing is sent."""
        first = self.part.partition(" ")[0]
        if self.operation.startswith(BOTH_WAYS) or first in BOTH_WAYS:
            return "both"
        if first in ("", "security", "server"):
            return ""
        return (
            "request"
            if first in ("request", "query", "path", "header", "cookie", "querystring")
            else "response"
        )

    def field(self, name: str) -> "Place":
        """Return the place of a property."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    def items(self) -> "Place":
        """Return the place of an array's elements."""
        return replace(self, path=f"{self.path}[]")

    def moved(self, old: "Place", new: "Place") -> "Place":
        """Return this place with its parent `old` replaced by `new`."""
        inside = self.path[len(old.path) :].removeprefix(".")
        separator = "." if inside and new.path and not inside.startswith("[]") else ""
        return replace(new, path=f"{new.path}{separator}{inside}")

    def within(self, name: str) -> "Place":
        """Return the place of a part of this part."""
        return replace(self, part=f"{self.part} {name}".lstrip())


@dataclass(frozen=True)
class Difference:
    """One difference of meaning, at one place."""

    kind: str
    place: Place
    values: Pair[str]
    """A short description of each side."""
    parts: Pair[Location | None]
    """The locations of the differing parts; None if a part is absent."""
    around: Pair[Location]
    """The locations to show if a part is absent."""
    effect: Effect
    """The values that the second document allows, relative to the first."""
    seat: str = ""
    """The part of the first document that was compared."""

    @property
    def at(self) -> Pair[Location]:
        """The locations to show."""
        return self.parts[0] or self.around[0], self.parts[1] or self.around[1]

    @property
    def is_idle(self) -> bool:
        """True if its keyword means nothing at its place: `readOnly` in a response, `xml` in JSON."""
        place = self.place
        match self.kind:
            case "readOnly":
                return place.direction == "response"
            case "writeOnly":
                return place.direction == "request"
            case "xml":
                return "xml" not in place.part
            case _:
                return False


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison."""

    differences: list[Difference]
    visits: Mapping[str, set[Place]]
    """The places at which each part of the first document was compared."""
    schemas: Pair[Schemas]

    def prove(self, left: Location, right: Location) -> Containment:
        """Prove, or disprove, that two schemas allow the same values."""
        return prove_same(self.schemas, (node_of(left), node_of(right)))[0]


def compare(left: Api, right: Api) -> Comparison:
    """Return all differences of meaning between the operations of two documents.

    Raises:
        CannotReadError: A document is malformed where it is compared.
    """
    schemas = (
        Schemas("left", left.document, list(_schemas(left.operations.values()))),
        Schemas("right", right.document, list(_schemas(right.operations.values()))),
    )
    comparer = _Comparer(schemas)
    comparer.apis((left, right))
    visits = defaultdict[str, set[Place]](set)
    for seat, place in comparer.visits:
        visits[seat].add(place)
    return Comparison(comparer.found, visits, schemas)


def prove(proof: Callable[[], Effect]) -> Effect:
    """Return a proved effect; `unlike` if the library cannot prove one."""
    try:
        return proof()
    except CanonicalizationError:
        return "unlike"


def prove_same(schemas: Pair[Schemas], pair: Pair[Node]) -> tuple[Containment, Effect]:
    """Prove, or disprove, that two schemas allow the same values; also return the effect."""
    try:
        left, right = schemas[0].proof(pair[0]), schemas[1].proof(pair[1])
        covers = right.covers(left), left.covers(right)
    except CanonicalizationError:
        return Containment.UNKNOWN, "unlike"
    if covers == (Containment.YES, Containment.YES):
        return Containment.YES, "same"
    return Containment.NO if Containment.NO in covers else Containment.UNKNOWN, relate(left, right)


def _schemas(operations: Iterable[Operation]) -> Iterator[Location]:
    """Yield the top-level schemas of the operations."""
    for operation in operations:
        bodies, values = [operation.media], [operation.parameters]
        for status in operation.statuses.values():
            bodies.append(status.media)
            values.append(status.headers)
        yield from (media.schema for body in bodies for media in body.values() if media.schema is not None)
        yield from (value.schema for group in values for value in group.values() if value.schema is not None)
        yield from _schemas(operation.callbacks.values())


@dataclass
class _Comparer:
    """A comparison in progress."""

    schemas: Pair[Schemas]
    found: list[Difference] = field(default_factory=list[Difference])
    visits: list[tuple[str, Place]] = field(default_factory=list[tuple[str, Place]])
    """The parts of the first document that were compared, with their places."""
    _open: set[Key] = field(default_factory=set[Key])
    _cuts: int = 0
    """The number of recursive schemas that were not compared again."""
    _done: dict[Key, tuple[Place, list[Difference], list[tuple[str, Place]]]] = field(
        default_factory=dict[Key, Any]
    )
    """The results of schemas with their place, to be repeated at other places."""

    def note(self, difference: Difference) -> None:
        """Record a difference, unless both sides are described in the same way."""
        if difference.values[0] != difference.values[1]:
            self.found.append(difference)

    def presence(
        self,
        kind: str,
        place: Place,
        pair: Pair[Location | None],
        around: Pair[Location],
        effect: Effect = "same",
    ) -> None:
        """Record that only one side has a part, described by the last word of its place."""
        name = str(place).rpartition(" ")[2]
        values = each(lambda one: ABSENT if one is None else name, pair)
        self.note(Difference(kind, place, values, pair, around, effect))

    def flag(
        self, kind: str, place: Place, flags: Pair[bool], around: Pair[Location], words: tuple[str, str]
    ) -> None:
        """Record that a flag differs; `words` are for a set flag and for an unset one."""
        values = each(lambda is_set: words[0] if is_set else words[1], flags)
        parts = each(lambda at: at.keyword(kind), around)
        self.note(Difference(kind, place, values, parts, around, "wider" if flags[0] else "narrower"))

    def unknown(self, place: Place, pair: Pair[Location]) -> None:
        """Compare the keywords of an object that nothing else compares."""
        for name, parts in aligned(each(unknown_keywords, pair)):
            words = shorten_pair(each(lambda at: json_key(at.value) if at else NONE, parts))
            self.note(Difference(name, place, words, parts, pair, "unknown"))

    def apis(self, pair: Pair[Api]) -> None:
        """Compare servers and operations."""
        tops = each(lambda api: root(api.document), pair)
        self.unknown(Place("document"), tops)
        for url, servers in aligned(each(lambda api: api.servers, pair)):
            self.server(Place(f"server {url}"), servers, tops)
        self.operations(None, each(lambda api: api.operations, pair), tops)

    def server(self, place: Place, pair: Pair[Location | None], around: Pair[Location]) -> None:
        """Compare a server."""
        left, right = pair
        if left and right:
            self.unknown(place, (left, right))
        else:
            self.presence("server", place, pair, around)

    def operations(
        self, holder: Place | None, pair: Pair[Mapping[str, Operation]], around: Pair[Location]
    ) -> None:
        """Compare operations, or the callbacks of an operation."""
        for name, (left, right) in aligned(pair):
            place = holder.within(f"callback {name}") if holder else Place(name)
            if left and right:
                self.operation(place, (left, right))
            else:
                parts = left.at if left else None, right.at if right else None
                self.presence("callback" if holder else "operation", place, parts, around)

    def operation(self, place: Place, pair: Pair[Operation]) -> None:
        """Compare an operation that both sides have."""
        around, request = each(lambda one: one.at, pair), place.within("request")
        self.unknown(place, each(lambda one: one.path, pair))
        self.unknown(place, around)
        self.security(place.within("security"), each(lambda one: one.security, pair), around)
        self.flag("deprecated", place, each(lambda one: one.deprecated, pair), around, ("true", NONE))
        ids = each(lambda one: one.operation_id or NONE, pair)
        parts = each(lambda at: at.keyword("operationId"), around)
        self.note(Difference("operationId", place, ids, parts, around, "unlike"))
        if pair[0].servers or pair[1].servers:
            inherited = each(lambda one: one.servers or read_servers(root(one.at.document)), pair)
            for url, servers in aligned(inherited):
                self.server(place.within(f"server {url}"), servers, around)
        self.values("parameter", place, each(lambda one: one.parameters, pair), around)
        left, right = each(lambda one: one.body, pair)
        if left and right:
            self.unknown(request, (left, right))
            self.flag("required", request, each(lambda one: one.body_required, pair), (left, right), PRESENCE)
            self.media(request, each(lambda one: one.media, pair), (left, right))
        else:
            self.presence(
                "body", request, (left, right), around, "unlike" if pair[1].body_required else "wider"
            )
        for status in sorted({*pair[0].statuses, *pair[1].statuses}):
            mine, theirs = pair[0].response(status), pair[1].response(status)
            if mine and theirs:
                self.status(place.within(status), (mine, theirs))
            else:
                responses = mine.at if mine else None, theirs.at if theirs else None
                self.presence("status", place.within(status), responses, around)
        self.operations(place, each(lambda one: one.callbacks, pair), around)

    def security(self, place: Place, pair: Pair[Security], around: Pair[Location]) -> None:
        """Compare the accepted credentials."""
        values = each(lambda one: " or ".join(sorted(map(describe_credentials, one.alternatives))), pair)
        lost = [
            one
            for one in pair[0].alternatives
            if not any(_suffices(one, other) for other in pair[1].alternatives)
        ]
        new = [
            one
            for one in pair[1].alternatives
            if not any(_suffices(one, other) for other in pair[0].alternatives)
        ]
        effect: Effect = "unlike" if lost and new else "narrower" if lost else "wider" if new else "same"
        parts = each(lambda one: one.at, pair)
        if parts[0] and parts[1] and parts[0].value == parts[1].value:  # the schemes themselves differ
            parts = _only(pair[0], pair[1]), _only(pair[1], pair[0])
        self.note(Difference("security", place, values, parts, around, effect))
        for _, (left, right) in aligned(each(lambda one: one.schemes, pair)):
            if left and right:
                self.unknown(place, (left, right))

    def status(self, place: Place, pair: Pair[Status]) -> None:
        """Compare a response that both sides have."""
        around = each(lambda one: one.at, pair)
        self.unknown(place, around)
        self.values("header", place, each(lambda one: one.headers, pair), around)
        self.media(place, each(lambda one: one.media, pair), around)

    def values(
        self, kind: str, place: Place, pair: Pair[Mapping[str, Value]], around: Pair[Location]
    ) -> None:
        """Compare parameters or headers."""
        for key, (left, right) in aligned(pair):
            name = left.name if left else right.name if right else key
            if left and right:
                self.value(place.within(name), (left, right))
            else:
                words = describe_value(self.schemas[0], left), describe_value(self.schemas[1], right)
                parts = left.at if left else None, right.at if right else None
                effect: Effect = "narrower" if right and right.required else "same"
                self.note(Difference(kind, place.within(name), words, parts, around, effect))

    def value(self, place: Place, pair: Pair[Value]) -> None:
        """Compare a parameter or a header that both sides have."""
        at, nodes = each(lambda one: one.at, pair), each(lambda one: node_of(one.schema), pair)
        self.unknown(place, at)
        self.flag("required", place, each(lambda one: one.required, pair), at, PRESENCE)
        self.flag("deprecated", place, each(lambda one: one.deprecated, pair), at, ("true", NONE))
        parts = serialization_parts(at)
        types = {name for side, node in zip(self.schemas, nodes, strict=True) for name in side.cases(node)}
        styles = each(lambda one: one.serialization, pair)
        exploded = each(lambda one: f"{one.serialization}{', explode' if one.explode else ''}", pair)
        if types & {"array", "object"}:
            self.note(Difference("written", place, exploded, parts, at, "unlike"))
        elif styles[0] != styles[1]:
            self.note(Difference("written", place, styles, parts, at, "unlike"))
        else:  # `explode` does not change a single text or number
            self.note(Difference("explode", place, exploded, parts, at, "same"))
        self.nodes(place, nodes, at)

    def media(self, place: Place, pair: Pair[Mapping[str, Media]], around: Pair[Location]) -> None:
        """Compare the bodies of a request or a response, by media type."""
        for name, (left, right) in aligned(pair):
            if left and right:
                within, at = place if name == JSON else place.within(name), (left.at, right.at)
                self.unknown(within, at)
                encodings = left.encoding, right.encoding
                words = shorten_pair(each(lambda one: json_key(one.value) if one else NONE, encodings))
                self.note(Difference("encoding", within, words, encodings, at, "unlike"))
                self.nodes(within, (node_of(left.schema), node_of(right.schema)), at)
            else:
                bodies = left.at if left else None, right.at if right else None
                self.presence("media type", place.within(name), bodies, around)

    def nodes(self, place: Place, pair: Pair[Node], around: Pair[Location], *, is_same: bool = False) -> None:
        """Compare two schemas of the same value.

        Args:
            place: The place of the value on the wire.
            pair: The schemas.
            around: The locations to show if a schema is absent.
            is_same: True if both are proved to allow the same values.
        """
        key = each(pointers, pair)
        if key in self._open:  # a schema that contains itself: the outer comparison records its differences
            self._cuts += 1
            return
        if key in self._done:
            self.repeat(place, *self._done[key])
            return
        self._open.add(key)
        before, visited, cuts = len(self.found), len(self.visits), self._cuts
        proof: tuple[Containment, Effect] = Containment.YES, "same"
        same, effect = proof if is_same else prove_same(self.schemas, pair)
        cases = self.schemas[0].cases(pair[0]), self.schemas[1].cases(pair[1])
        at = locate(pair[0], cases[0], around[0]), locate(pair[1], cases[1], around[1])
        self.visits.append((at[0].pointer, place))
        _SchemaComparer(self, place, at, effect, is_same=same is Containment.YES).compare(cases)
        if same is Containment.NO and all(one.kind in NOTES for one in self.found[before:]):
            self.note(Difference("meaning", place, self.subtract(pair), at, at, effect, at[0].pointer))
        self._open.discard(key)
        if cuts == self._cuts and all(conjunction for node in key for conjunction in node):
            self._done[key] = place, self.found[before:], self.visits[visited:]

    def repeat(
        self, place: Place, old: Place, found: list[Difference], visits: list[tuple[str, Place]]
    ) -> None:
        """Record the results of two schemas at another place."""
        self.found += [replace(one, place=one.place.moved(old, place)) for one in found]
        self.visits += [(seat, visit.moved(old, place)) for seat, visit in visits]

    def subtract(self, pair: Pair[Node]) -> Pair[str]:
        """Return the values that only one side allows, as JSON Schema."""
        try:
            left, right = self.schemas[0].proof(pair[0]), self.schemas[1].proof(pair[1])
            return describe_schema(left.subtract(right)), describe_schema(right.subtract(left))
        except CanonicalizationError:  # it has no JSON Schema
            return "these values", "others"


@dataclass(frozen=True)
class _SchemaComparer:
    """The comparison of two schemas at one place."""

    comparer: _Comparer
    place: Place
    at: Pair[Location]
    effect: Effect
    is_same: bool

    def compare(self, pair: Pair[dict[str, list[Case]]]) -> None:
        """Compare the cases by type."""
        self.notes(pair)
        self.types(pair)
        if not (is_anything(pair[0]) or is_anything(pair[1])):
            for name in sorted((pair[0].keys() & pair[1].keys()) - {"null"}):
                self.cases(name, (pair[0][name], pair[1][name]))

    def note(  # noqa: PLR0913 - the parts of a difference
        self,
        kind: str,
        values: Pair[str],
        effect: Effect | Callable[[], Effect],
        parts: Pair[Location | None] = (None, None),
        *,
        around: Pair[Location] | None = None,
        name: str | None = None,
        always: bool = False,
    ) -> None:
        """Record a difference; unless `always`, only if the schemas are not proved to be the same."""
        if values[0] == values[1] or (self.is_same and not always):
            return
        place = self.place if name is None else self.place.field(name)
        proved = effect if isinstance(effect, str) else prove(effect)
        self.comparer.note(
            Difference(kind, place, values, parts, around or self.at, proved, self.at[0].pointer)
        )

    def relate(self, left: Any, right: Any) -> Callable[[], Effect]:
        """Return a function that proves the effect of some keywords alone."""
        schemas = self.comparer.schemas
        return lambda: relate(schemas[0].proof_of_keywords(left), schemas[1].proof_of_keywords(right))

    def relate_cases(self, pair: Pair[list[Case]]) -> Callable[[], Effect]:
        """Return a function that proves the effect of some cases."""
        schemas = self.comparer.schemas
        return lambda: relate(schemas[0].proof_of_cases(pair[0]), schemas[1].proof_of_cases(pair[1]))

    def below(self, place: Place, pair: Pair[Node]) -> None:
        """Compare the schemas below this place."""
        around = first(pair[0], self.at[0]), first(pair[1], self.at[1])
        self.comparer.nodes(place, pair, around, is_same=self.is_same)

    def notes(self, pair: Pair[dict[str, list[Case]]]) -> None:
        """Compare the annotations, and the keywords that are not expanded."""
        flats = each(every_flat, pair)
        for key in NOTES:
            values = each(partial(join_values, key=key, separator=" or "), flats)
            parts = each(partial(keyword_of, key=key), flats)
            self.note(key, values, note_effect(key, values), parts, always=True)
        names = each(
            lambda side: {key for flat in side for key in flat.keywords if key not in EXPANDED}, flats
        )
        for key in sorted(names[0] | names[1]):
            values = each(partial(join_values, key=key, separator=" and "), flats)
            if values[0] == values[1]:
                continue
            words = shorten_pair(values)
            parts = each(partial(keyword_of, key=key), flats)
            if key in PROVED:
                related = each(partial(keywords_of, keys=related_keywords(key)), flats)
                is_single = all(len(of_type) == 1 for cases in pair for of_type in cases.values())
                self.note(key, words, self.relate(*related) if is_single else self.effect, parts)
            else:
                self.note(key, words, "unknown", parts, always=True)

    def types(self, pair: Pair[dict[str, list[Case]]]) -> None:
        """Compare the types, and null separately."""
        if not (is_anything(pair[0]) or is_anything(pair[1])):
            values = each(lambda cases: "allowed" if "null" in cases else "forbidden", pair)
            parts = each(
                lambda cases: next(
                    (one.keyword("type", "enum", "const") for one in cases.get("null", ())), None
                ),
                pair,
            )
            self.note("null", values, "wider" if "null" in pair[1] else "narrower", parts)
        types = each(
            lambda cases: {
                "anyOf": [case.type_schema() for name in cases if name != "null" for case in cases[name]]
            },
            pair,
        )
        schemas = each(lambda one: one if one["anyOf"] else False, types)
        parts = each(lambda cases: keyword_of(every_flat(cases), "type"), pair)
        self.note("type", each(describe_types, pair), self.relate(*schemas), parts)

    def cases(self, name: str, pair: Pair[list[Case]]) -> None:
        """Compare the cases of one type."""
        match name:
            case "object":
                self.objects(pair)
            case "array":
                self.arrays(pair)
            case _:
                self.scalars(name, pair)

    def scalars(self, name: str, pair: Pair[list[Case]]) -> None:
        """Compare strings, numbers and booleans."""
        left, right = each(merge, pair)
        if len(left) == len(right) == 1:
            both = left[0], right[0]
            self.limits(name, both)
            if both[0].values is not None or both[1].values is not None:
                words = each(lambda case: list_values(case) or f"any {describe_types({name: [case]})}", both)
                schemas = each(
                    lambda case: (
                        {"enum": list(case.values)} if case.values is not None else case.type_schema()
                    ),
                    both,
                )
                parts = each(lambda case: case.keyword("enum", "const"), both)
                around = each(lambda case: case.at, both)
                self.note("values", words, self.relate(*schemas), parts, around=around)
        else:
            words = each(lambda cases: " or ".join(sorted(map(describe_case, cases))), (left, right))
            self.note("form", words, self.relate_cases((left, right)), self.at)

    def limits(self, name: str, pair: Pair[Case]) -> None:
        """Compare the bounds of a value."""
        bounds = each(lambda case: case.limits(), pair)
        for keyword in LIMITS.get(name, ()):
            words = bounds[0].get(keyword, NONE), bounds[1].get(keyword, NONE)
            parts = pair[0].keyword(keyword), pair[1].keyword(keyword)
            schemas = bounds_schema(pair[0], keyword), bounds_schema(pair[1], keyword)
            self.note(keyword, words, self.relate(*schemas), parts, around=each(lambda case: case.at, pair))

    def arrays(self, pair: Pair[list[Case]]) -> None:
        """Compare arrays: the number of elements, and their schemas."""
        words = each(lambda cases: sorted(set(map(describe_case, cases))), pair)
        if len(words[0]) == len(words[1]) == 1:
            self.limits("array", (pair[0][0], pair[1][0]))
        else:
            self.note("form", each(" or ".join, words), self.relate_cases(pair), self.at)
        self.below(self.place.items(), each(items_of, pair))

    def objects(self, pair: Pair[list[Case]]) -> None:
        """Compare objects: pair equal forms first, then compare the others as one."""
        left, right = self.without_pairs(pair) if len(pair[0]) > 1 and len(pair[1]) > 1 else pair
        if left and right:
            _ObjectComparer(self, (left, right)).compare()
            return
        for one, other in zip_longest(left, right):
            words = each(lambda case: describe_form(case) if case else ABSENT, (one, other))
            parts = one.at if one else None, other.at if other else None
            self.note("form", words, "wider" if other else "narrower", parts)

    def without_pairs(self, pair: Pair[list[Case]]) -> Pair[list[Case]]:
        """Return the forms that only one side has."""
        left, remaining = list[Case](), list(pair[1])
        for case in pair[0]:
            for other in remaining:
                if prove(self.relate_cases(([case], [other]))) == "same":
                    remaining.remove(other)
                    _ObjectComparer(replace(self, is_same=True), ([case], [other])).compare()
                    break
            else:
                left.append(case)
        return left, remaining


@dataclass(frozen=True)
class _ObjectComparer:
    """The comparison of the forms of an object."""

    holder: _SchemaComparer
    pair: Pair[list[Case]]

    def compare(self) -> None:
        """Compare the properties, the required properties, and the other properties."""
        declared = each(properties_of, self.pair)
        at = first_of(self.pair[0], self.holder.at[0]), first_of(self.pair[1], self.holder.at[1])
        for name, (left, right) in aligned(declared):
            if left is not None and right is not None:
                self.holder.below(self.holder.place.field(name), (left, right))
            else:
                words = self.describe(0, name, left), self.describe(1, name, right)
                parts = field_of(self.pair[0], name), field_of(self.pair[1], name)
                self.holder.note("field", words, self.effect(name), parts, around=at, name=name)
        self.presence(declared, at)
        if len(self.pair[0]) == len(self.pair[1]) == 1:
            self.holder.limits("object", (self.pair[0][0], self.pair[1][0]))
        self.others(at)

    def effect(self, name: str) -> Effect:
        """Return the effect of a property that only one side names; `same` if the other side ignores it."""
        was_refused, is_refused = each(lambda cases: all(case.refuses(name) for case in cases), self.pair)
        is_required = all(name in case.required() for case in self.pair[1])
        if was_refused and is_required:
            return "unlike"
        return "narrower" if is_refused or is_required else "wider" if was_refused else "same"

    def describe(self, side: int, name: str, node: Node | None) -> str:
        """Describe a property."""
        if node is None:
            return ABSENT
        is_required = all(name in case.required() for case in self.pair[side])
        return f"{describe(self.holder.comparer.schemas[side], node)}, {describe_presence(is_required)}"

    def presence(self, declared: Pair[dict[str, Node]], at: Pair[Location]) -> None:
        """Compare the required properties."""
        left, right = each(required_sets, self.pair)
        parts = each(
            lambda cases: next(filter(None, (case.keyword("required") for case in cases)), None), self.pair
        )
        if len(left) == len(right) == 1:
            for name in sorted((left[0] ^ right[0]) & declared[0].keys() & declared[1].keys()):
                words = describe_presence(name in left[0]), describe_presence(name in right[0])
                around = first(declared[0][name], at[0]), first(declared[1][name], at[1])
                effect: Effect = "narrower" if name in right[0] else "wider"
                self.holder.note("required", words, effect, parts, around=around, name=name)
        else:
            schemas = each(lambda sets: {"anyOf": [{"required": sorted(one)} for one in sets]}, (left, right))
            words = each(describe_sets, (left, right))
            self.holder.note("required fields", words, self.holder.relate(*schemas), parts, around=at)

    def others(self, at: Pair[Location]) -> None:
        """Compare the schemas of unnamed properties."""
        schemas = self.holder.comparer.schemas
        left, right = others_of(self.pair[0], schemas[0]), others_of(self.pair[1], schemas[1])
        if isinstance(left, str) or isinstance(right, str):
            words = (
                left if isinstance(left, str) else describe(schemas[0], left),
                right if isinstance(right, str) else describe(schemas[1], right),
            )
            parts = each(lambda cases: cases[0].keyword("additionalProperties"), self.pair)
            effect: Effect = "narrower" if left == ANYTHING or right == FORBIDDEN else "wider"
            self.holder.note("extra", words, effect, parts, around=at)
        else:
            self.holder.below(self.holder.place.field("*"), (left, right))


# Parameters and security.


def serialization_parts(pair: Pair[Location]) -> Pair[Location | None]:
    """Return the first keyword that changes the serialization of a parameter or a header."""
    for keyword in ("style", "content", "allowReserved", "allowEmptyValue", "explode"):
        left, right = pair[0].keyword(keyword), pair[1].keyword(keyword)
        if json_key(left and left.value) != json_key(right and right.value):
            return left, right
    return None, None


def _suffices(credentials: Alternative, needed: Alternative) -> bool:
    """Return True if the credentials include the needed ones."""
    given = dict(credentials)
    return all(scheme in given and scopes <= given[scheme] for scheme, scopes in needed)


def _only(one: Security, other: Security) -> Location | None:
    """Return the first scheme that only the first side has."""
    return next((one.schemes[name] for name in sorted(one.schemes.keys() - other.schemes.keys())), one.at)


def describe_credentials(alternative: Alternative) -> str:
    """Describe the credentials that are needed together."""
    words = [
        f"{name}{' with ' + ', '.join(sorted(scopes)) if scopes else ''}" for name, scopes in alternative
    ]
    return " and ".join(sorted(words)) or "nothing"
