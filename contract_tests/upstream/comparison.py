"""Every difference of meaning between the contract and the vendor's document, each with a name, a place and a sentence.

What stands in pairs here is the contract's and then the vendor's.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, TypeVar

from jsonschema_rs.canonical import CanonicalizationError, Containment

from upstream.operations import Api, Media, Operation, Status, Value
from upstream.places import At, top
from upstream.schemas import LIMITS, NOTES, TAKEN, Case, Conjunction, Node, Schemas, key_of, node

One = TypeVar("One")
Other = TypeVar("Other")
Pair = tuple[One, One]

ABSENT = "absent"
ANYTHING = "anything"
NONE = "none"
JSON = "application/json"
SHOWN = 160  # characters of a piece of JSON in a message
SPELLING = {"field", *NOTES}
"""Kinds of difference that can be there although both allow the same values."""
THINGS = {"operation", "server", "parameter", "header", "body", "media type", "status", "field", "form"}
"""Kinds of difference in which one side has something that the other does not have."""
SUBJECTS = {
    "body": "The body",
    "extra": "What further fields may be",
    "form": "Its form",
    "meaning": "What is allowed",
    "null": "Whether null may stand there",
    "required": "Whether it has to be there",
    "required fields": "Which fields have to be there",
    "security": "What lets a caller in",
    "type": "The type",
    "values": "The list of values",
    "written": "How it is written",
}


@dataclass(frozen=True)
class Place:
    """A place on the wire."""

    part: str
    """The part of an operation, as `POST /rerank request`."""
    path: str = ""
    """Where within it, as `provider.order[]`."""

    def __str__(self) -> str:
        return f"{self.part} {self.path}".rstrip()

    def field(self, name: str) -> "Place":
        """A field of the object that is here."""
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    def items(self) -> "Place":
        """The elements of the array that is here."""
        return replace(self, path=f"{self.path}[]")

    def within(self, name: str) -> "Place":
        """A part of this part."""
        return Place(f"{self.part} {name}")


@dataclass(frozen=True)
class Difference:
    """One difference of meaning, at one place."""

    kind: str
    place: Place
    said: Pair[str]
    """What each says, in a few words that stay the same as long as it says so."""
    at: Pair[At]
    effect: str = ""
    """Who is the worse off, where that is proved."""
    seat: str = ""
    """The part of the contract that was compared there."""

    @property
    def thing(self) -> str:
        """What one side has and the other does not have."""
        return f"{'an' if self.kind[0] in 'aeiou' else 'a'} {self.kind}"

    @property
    def sentence(self) -> str:
        """What differs, for a person."""
        ours, theirs = self.said
        if ours == ABSENT and self.kind in THINGS:
            said = f"The vendor has {self.thing} that the contract does not have: {theirs}."
        elif theirs == ABSENT and self.kind in THINGS:
            said = f"The contract has {self.thing} that the vendor does not have: {ours}."
        else:
            subject = SUBJECTS.get(self.kind, f"`{self.kind}`")
            said = f"{subject} differs: {ours} in the contract, {theirs} in the vendor's document."
        return f"{said} {self.effect}".rstrip()


@dataclass
class Group:
    """One difference at all places where it is the same, as in the body that all errors share."""

    first: Difference
    all: list[Difference] = field(default_factory=list)
    everywhere: bool = False
    """Whether it is wherever that part of the contract was compared, and that is more than one place."""


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison."""

    differences: list[Difference]
    visits: Mapping[str, set[Place]]
    """Where each part of the contract was compared."""

    def groups(self, differences: Iterable[Difference]) -> list[Group]:
        """The differences, those that are the same at several places together."""
        found = dict[tuple[str, ...], Group]()
        for one in differences:
            name = one.place.part.rpartition(" ")[2] if one.kind in ("parameter", "header") else ""
            key = (one.kind, one.at[0].pointer, *one.said, one.place.path, name)
            found.setdefault(key, Group(one)).all.append(one)
        for group in found.values():
            group.everywhere = len(group.all) == len(self.visits.get(group.first.seat, ())) > 1
        return list(found.values())


def compare(ours: Api, theirs: Api) -> Comparison:
    """All differences of meaning in the operations of two documents.

    Raises:
        CannotReadError: One of the documents is broken where it is compared.
    """
    schemas = (
        Schemas("contract", ours.document, list(_roots(ours))),
        Schemas("vendor", theirs.document, list(_roots(theirs))),
    )
    comparing = _Comparing(schemas)
    comparing.apis((ours, theirs))
    return Comparison(comparing.found, comparing.visits)


def _roots(api: Api) -> Iterator[At]:
    """All schemas that the operations name themselves."""
    for operation in api.operations.values():
        bodies, values = [operation.media], [operation.parameters]
        for status in operation.statuses.values():
            bodies.append(status.media)
            values.append(status.headers)
        yield from (media.schema for body in bodies for media in body.values() if media.schema is not None)
        yield from (value.schema for group in values for value in group.values() if value.schema is not None)


@dataclass
class _Comparing:
    """A comparison under way."""

    schemas: Pair[Schemas]
    found: list[Difference] = field(default_factory=list[Difference])
    visits: dict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))
    _open: set[Pair[tuple[str, ...]]] = field(default_factory=set[Pair[tuple[str, ...]]])

    def differ(self, kind: str, place: Place, said: Pair[str], at: Pair[At]) -> None:
        """Note a difference, unless both say the same."""
        self.note(Difference(kind, place, said, at))

    def note(self, one: Difference) -> None:
        """Note a difference, unless both say the same."""
        if one.said[0] != one.said[1]:
            self.found.append(one)

    def things(self, kind: str, place: Place, pair: Pair[At | None], around: Pair[At]) -> None:
        """Note that only one side has something: the last word of its place."""
        name = str(place).rpartition(" ")[2]
        words = each(lambda one: ABSENT if one is None else name, pair)
        self.differ(kind, place, words, (pair[0] or around[0], pair[1] or around[1]))

    def apis(self, pair: Pair[Api]) -> None:
        """Servers and operations."""
        tops = each(lambda api: top(api.document), pair)
        for url, servers in aligned(each(lambda api: api.servers, pair)):
            self.things("server", Place(f"server {url}"), servers, tops)
        for name, (ours, theirs) in aligned(each(lambda api: api.operations, pair)):
            if ours and theirs:
                self.operations(name, (ours, theirs))
            else:
                self.things(
                    "operation", Place(name), (ours.at if ours else None, theirs.at if theirs else None), tops
                )

    def operations(self, name: str, pair: Pair[Operation]) -> None:
        """One operation that both have."""
        around, place, request = each(lambda one: one.at, pair), Place(name), Place(f"{name} request")
        words = each(lambda one: " or ".join(sorted(one.security)), pair)
        self.differ("security", place.within("security"), words, around)
        self.differ("deprecated", place, each(lambda one: flag(one.deprecated), pair), around)
        self.several("parameter", place, each(lambda one: one.parameters, pair), around, asks=True)
        ours, theirs = each(lambda one: one.body, pair)
        if ours and theirs:
            bodies = (ours, theirs)
            self.differ("required", request, each(lambda one: need(one.body_required), pair), bodies)
            self.media(request, each(lambda one: one.media, pair), bodies, asks=True)
        else:
            self.things("body", request, (ours, theirs), around)
        for status in sorted({*pair[0].statuses, *pair[1].statuses}):
            mine, their = pair[0].answers(status), pair[1].answers(status)
            if mine and their:
                self.statuses(place.within(status), (mine, their))
            else:
                answers = (mine.at if mine else None, their.at if their else None)
                self.things("status", place.within(status), answers, around)

    def statuses(self, place: Place, pair: Pair[Status]) -> None:
        """One answer that both have."""
        around = each(lambda one: one.at, pair)
        self.several("header", place, each(lambda one: one.headers, pair), around, asks=False)
        self.media(place, each(lambda one: one.media, pair), around, asks=False)

    def several(
        self, kind: str, place: Place, pair: Pair[Mapping[str, Value]], around: Pair[At], *, asks: bool
    ) -> None:
        """Parameters or headers."""
        for key, (ours, theirs) in aligned(pair):
            name = ours.name if ours else theirs.name if theirs else key
            if ours and theirs:
                self.values(place.within(name), (ours, theirs), asks=asks)
            else:
                words = worded_value(self.schemas[0], ours), worded_value(self.schemas[1], theirs)
                self.differ(
                    kind,
                    place.within(name),
                    words,
                    (ours.at if ours else around[0], theirs.at if theirs else around[1]),
                )

    def values(self, place: Place, pair: Pair[Value], *, asks: bool) -> None:
        """A parameter or a header that both have."""
        at, nodes = each(lambda one: one.at, pair), each(lambda one: node_of(one.schema), pair)
        self.differ("required", place, each(lambda one: need(one.required), pair), at)
        self.differ("deprecated", place, each(lambda one: flag(one.deprecated), pair), at)
        # one text or number is written the same, exploded or not
        several = {
            name for side, one in zip(self.schemas, nodes, strict=True) for name in side.cases(one)
        } & {"array", "object"}
        words = each(lambda one: one.written if several else one.written.partition(",")[0], pair)
        self.differ("written", place, words, at)
        self.nodes(place, nodes, at, asks=asks)

    def media(self, place: Place, pair: Pair[Mapping[str, Media]], around: Pair[At], *, asks: bool) -> None:
        """The bodies of a request or an answer, by media type."""
        for name, (ours, theirs) in aligned(pair):
            if ours and theirs:
                within = place if name == JSON else place.within(name)
                self.nodes(
                    within, (node_of(ours.schema), node_of(theirs.schema)), (ours.at, theirs.at), asks=asks
                )
            else:
                bodies = (ours.at if ours else None, theirs.at if theirs else None)
                self.things("media type", place.within(name), bodies, around)

    def nodes(
        self, place: Place, pair: Pair[Node], around: Pair[At], *, asks: bool, equal: bool = False
    ) -> None:
        """Two schemas that stand for the same value.

        Args:
            place: Where that value is on the wire.
            pair: The schemas.
            around: Where they stand, should they say nothing.
            asks: Whether the value is sent by the caller.
            equal: Whether both are known to allow the same values.
        """
        key = each(pointers, pair)
        if key in self._open:  # a schema that contains itself: what differs is told of on the way here
            return
        self._open.add(key)
        before = len(self.found)
        same, effect = (Containment.YES, "") if equal else self.proved(pair, asks=asks)
        cases = (self.schemas[0].cases(pair[0]), self.schemas[1].cases(pair[1]))
        at = place_of(pair[0], cases[0], around[0]), place_of(pair[1], cases[1], around[1])
        self.visits[at[0].pointer].add(place)
        _Spot(self, place, at, effect, asks=asks, equal=same is Containment.YES).compare(cases)
        if same is Containment.NO and all(one.kind in NOTES for one in self.found[before:]):
            self.note(Difference("meaning", place, self.apart(pair), at, effect))
        self._open.discard(key)

    def proved(self, pair: Pair[Node], *, asks: bool) -> tuple[Containment, str]:
        """Whether both allow the same values, and if not, who is the worse off."""
        yes = Containment.YES
        try:
            ours, theirs = self.schemas[0].truth(pair[0]), self.schemas[1].truth(pair[1])
            they_cover, we_cover = theirs.covers(ours), ours.covers(theirs)
        except CanonicalizationError:  # what it cannot compare, it cannot prove
            return Containment.UNKNOWN, ""
        if they_cover is we_cover is yes:
            return yes, ""
        same = Containment.NO if Containment.NO in (they_cover, we_cover) else Containment.UNKNOWN
        if they_cover is yes:
            return (
                same,
                "The vendor allows more." if asks else "The vendor may answer more than the contract says.",
            )
        if we_cover is yes:
            return (
                same,
                "What the contract allows may be refused."
                if asks
                else "The contract allows answers that the vendor does not give.",
            )
        return same, ""

    def apart(self, pair: Pair[Node]) -> Pair[str]:
        """What only the one and only the other allows, as pieces of JSON Schema."""
        try:
            ours, theirs = self.schemas[0].truth(pair[0]), self.schemas[1].truth(pair[1])
            return short(ours.subtract(theirs).to_json_schema()), short(
                theirs.subtract(ours).to_json_schema()
            )
        except CanonicalizationError:  # it cannot be written down
            return "these values", "others"


@dataclass(frozen=True)
class _Spot:
    """One place on the wire at which two schemas meet."""

    comparing: _Comparing
    place: Place
    at: Pair[At]
    effect: str
    asks: bool
    equal: bool

    def compare(self, pair: Pair[dict[str, list[Case]]]) -> None:
        """Compare the ways to fit."""
        self.notes(pair)
        self.types(pair)
        if not (anything(pair[0]) or anything(pair[1])):
            for name in sorted((pair[0].keys() & pair[1].keys()) - {"null"}):
                self.cases(name, (pair[0][name], pair[1][name]))

    def differ(
        self, kind: str, said: Pair[str], at: Pair[At] | None = None, *, field: str | None = None
    ) -> None:
        """Note a difference, unless both allow the same values and it is one of spelling."""
        if not self.equal or kind in SPELLING:
            place = self.place if field is None else self.place.field(field)
            effect = "" if kind in SPELLING else self.effect
            self.comparing.note(Difference(kind, place, said, at or self.at, effect, self.at[0].pointer))

    def below(self, place: Place, pair: Pair[Node]) -> None:
        """Compare what is below this place."""
        around = first(pair[0], self.at[0]), first(pair[1], self.at[1])
        self.comparing.nodes(place, pair, around, asks=self.asks, equal=self.equal)

    def notes(self, pair: Pair[dict[str, list[Case]]]) -> None:
        """What the schemas say beside the values that they allow, and keywords that are not taken apart here."""
        flats = each(
            lambda cases: [
                flat.said for of_type in cases.values() for case in of_type for flat in case.flats
            ],
            pair,
        )
        for name in NOTES:
            self.differ(name, (spoken(flats[0], name, " or "), spoken(flats[1], name, " or ")))
        keywords = each(lambda side: {key for said in side for key in said if key not in TAKEN}, flats)
        for key in sorted(keywords[0] | keywords[1]):
            words = spoken(flats[0], key, " and "), spoken(flats[1], key, " and ")
            if words[0] != words[1]:
                self.differ(key, each(shortened, words))

    def types(self, pair: Pair[dict[str, list[Case]]]) -> None:
        """The types, and apart from them whether null is one."""
        if not (anything(pair[0]) or anything(pair[1])):
            self.differ("null", each(lambda cases: "allowed" if "null" in cases else "forbidden", pair))
        self.differ("type", each(typed, pair))

    def cases(self, name: str, pair: Pair[list[Case]]) -> None:
        """The ways to fit for one type."""
        match name:
            case "object":
                self.objects(pair)
            case "array":
                self.arrays(pair)
            case _:
                self.scalars(name, pair)

    def scalars(self, name: str, pair: Pair[list[Case]]) -> None:
        """Texts, numbers, true and false."""
        ours, theirs = each(merged, pair)
        if len(ours) == len(theirs) == 1:
            self.limits(name, (ours[0], theirs[0]))
            if ours[0].values is not None or theirs[0].values is not None:
                words = each(
                    lambda case: listed(case) or f"any {typed({name: [case]})}", (ours[0], theirs[0])
                )
                self.differ("values", words, (ours[0].at, theirs[0].at))
        else:
            self.differ("form", each(lambda cases: " or ".join(sorted(map(worded, cases))), (ours, theirs)))

    def limits(self, name: str, pair: Pair[Case]) -> None:
        """The bounds of a value."""
        bounds = each(lambda case: case.limits(), pair)
        for keyword in LIMITS.get(name, ()):
            words = bound(bounds[0], keyword), bound(bounds[1], keyword)
            self.differ(keyword, words, each(lambda case: case.at, pair))

    def arrays(self, pair: Pair[list[Case]]) -> None:
        """Arrays: how many elements, and which."""
        words = each(lambda cases: sorted(set(map(worded, cases))), pair)
        if len(words[0]) == len(words[1]) == 1:
            self.limits("array", (pair[0][0], pair[1][0]))
        else:
            self.differ("form", each(" or ".join, words))
        self.below(self.place.items(), each(elements, pair))

    def objects(self, pair: Pair[list[Case]]) -> None:
        """Objects: the forms that are the same are set aside, and the others compared as one."""
        ours, theirs = self.without_pairs(pair) if len(pair[0]) > 1 and len(pair[1]) > 1 else pair
        if ours and theirs:
            _Objects(self, (ours, theirs)).compare()
            return
        for one, other in zip_longest(ours, theirs):
            at = one.at if one else self.at[0], other.at if other else self.at[1]
            self.differ("form", each(lambda case: form(case) if case else ABSENT, (one, other)), at)

    def without_pairs(self, pair: Pair[list[Case]]) -> Pair[list[Case]]:
        """The forms that the other side does not have."""
        left, rest = list[Case](), list(pair[1])
        for case in pair[0]:
            for other in rest:
                if self.same(case, other):
                    rest.remove(other)
                    break
            else:
                left.append(case)
        return left, rest

    def same(self, ours: Case, theirs: Case) -> bool:
        """Whether two forms are proved to be one."""
        try:
            mine, their = self.comparing.schemas[0].truth_of(ours), self.comparing.schemas[1].truth_of(theirs)
            return mine.covers(their) is their.covers(mine) is Containment.YES
        except CanonicalizationError:
            return False


@dataclass(frozen=True)
class _Objects:
    """The forms of an object on both sides."""

    spot: _Spot
    pair: Pair[list[Case]]

    def compare(self) -> None:
        """Fields, which of them are needed, and what else may be there."""
        declared = each(fields, self.pair)
        at = first_of(self.pair[0], self.spot.at[0]), first_of(self.pair[1], self.spot.at[1])
        for name, (ours, theirs) in aligned(declared):
            if ours is not None and theirs is not None:
                self.spot.below(self.spot.place.field(name), (ours, theirs))
            else:
                words = self.field(0, name, ours), self.field(1, name, theirs)
                self.spot.differ(
                    "field", words, (first(ours or (), at[0]), first(theirs or (), at[1])), field=name
                )
        self.presence(declared, at)
        if len(self.pair[0]) == len(self.pair[1]) == 1:
            self.spot.limits("object", (self.pair[0][0], self.pair[1][0]))
        self.others(at)

    def field(self, side: int, name: str, wanted: Node | None) -> str:
        """A field in a few words."""
        if wanted is None:
            return ABSENT
        required = all(name in case.required() for case in self.pair[side])
        return f"{describe(self.spot.comparing.schemas[side], wanted)}, {need(required)}"

    def presence(self, declared: Pair[dict[str, Node]], at: Pair[At]) -> None:
        """Which fields have to be there."""
        ours, theirs = each(needs, self.pair)
        if len(ours) == len(theirs) == 1:
            for name in sorted((ours[0] ^ theirs[0]) & declared[0].keys() & declared[1].keys()):
                words = need(name in ours[0]), need(name in theirs[0])
                places = first(declared[0][name], at[0]), first(declared[1][name], at[1])
                self.spot.differ("required", words, places, field=name)
        else:
            self.spot.differ("required fields", each(chosen, (ours, theirs)), at)

    def others(self, at: Pair[At]) -> None:
        """What may be there beside the fields that have a name."""
        schemas = self.spot.comparing.schemas
        ours, theirs = rest(self.pair[0], schemas[0]), rest(self.pair[1], schemas[1])
        if isinstance(ours, str) or isinstance(theirs, str):
            words = (
                ours if isinstance(ours, str) else describe(schemas[0], ours),
                theirs if isinstance(theirs, str) else describe(schemas[1], theirs),
            )
            self.spot.differ("extra", words, at)
        else:
            self.spot.below(self.spot.place.field("*"), (ours, theirs))


# Pairs.


def each(question: Callable[[One], Other], pair: Pair[One]) -> Pair[Other]:
    """The answers of both sides to a question."""
    return question(pair[0]), question(pair[1])


def aligned(pair: Pair[Mapping[str, One]]) -> Iterator[tuple[str, Pair[One | None]]]:
    """What both have under each name, in the contract's order and then in the vendor's."""
    for name in {**pair[0], **pair[1]}:
        yield name, (pair[0].get(name), pair[1].get(name))


# Words, and small questions about schemas.


def need(required: bool) -> str:  # noqa: FBT001 - the word for it
    """Whether something has to be there, in a word."""
    return "required" if required else "optional"


def flag(said: bool) -> str:  # noqa: FBT001 - the word for it
    """A flag that is set, or says nothing."""
    return "true" if said else NONE


def short(value: Any) -> str:
    """A piece of JSON Schema for a message."""
    if isinstance(value, dict):
        value = {key: inside for key, inside in value.items() if key != "$schema"}
    return "nothing" if value in (False, {"not": {}}) else shortened(json.dumps(value, ensure_ascii=False))


def shortened(text: str) -> str:
    """A text that fits into a message."""
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def spoken(side: Iterable[Mapping[str, Any]], key: str, between: str) -> str:
    """What is said under a keyword, each thing once."""
    return between.join(sorted({key_of(said[key]) for said in side if key in said})) or NONE


def bound(limits: Mapping[str, Any], keyword: str) -> str:
    """A limit in words."""
    return key_of(limits[keyword]) if keyword in limits else NONE


def node_of(schema: At | None) -> Node:
    """A schema, or that nothing is said."""
    return node(schema) if schema is not None else ((),)


def pointers(wanted: Node) -> tuple[str, ...]:
    """What names a node."""
    return tuple(at.pointer for conjunction in wanted for at in conjunction)


def first(wanted: Node, otherwise: At) -> At:
    """Where a node begins."""
    return next((at for conjunction in wanted for at in conjunction), otherwise)


def first_of(cases: list[Case], otherwise: At) -> At:
    """Where a case is, if it is the only one."""
    return cases[0].at if len(cases) == 1 else otherwise


def place_of(wanted: Node, cases: Mapping[str, list[Case]], otherwise: At) -> At:
    """Where a schema stands: what it comes down to where that is one thing, and itself otherwise."""
    found = [case.at for name, of_type in cases.items() if name != "null" for case in of_type]
    if len({at.pointer for at in found}) == 1 and found[0].pointer != "#":
        return found[0]
    return first(wanted, otherwise).followed()


def anything(cases: Mapping[str, list[Case]]) -> bool:
    """Whether all types are let in, as by a schema that says nothing."""
    return {"boolean", "number", "string", "array", "object"} <= cases.keys()


def typed(cases: Mapping[str, list[Case]]) -> str:
    """The types in words, null aside."""
    if anything(cases):
        return ANYTHING
    whole = all(case.whole for case in cases.get("number", ()))
    names = ["integer" if name == "number" and whole else name for name in cases if name != "null"]
    return " or ".join(sorted(names)) or ("only null" if cases else "nothing at all")


def listed(case: Case) -> str | None:
    """The only values of a case."""
    return None if case.values is None else ", ".join(sorted(map(key_of, case.values)))


def worded(case: Case) -> str:
    """A case in words."""
    limits = [f"{name} {key_of(value)}" for name, value in case.limits().items()]
    return ", ".join([listed(case) or f"any {typed({case.type: [case]})}", *limits])


def merged(cases: list[Case]) -> list[Case]:
    """Cases of one scalar type without those that others make needless; lists of values become one list."""
    free = sorted((case for case in cases if case.unlimited()), key=lambda case: case.whole)
    if free:
        return free[:1]
    if all(case.values is not None and not case.limits() for case in cases):
        values = {key_of(value): value for case in cases for value in case.values or ()}
        return [replace(cases[-1], values=tuple(values.values()))]
    return list({worded(case): case for case in cases}.values())


def elements(cases: list[Case]) -> Node:
    """What the elements of an array may be, in one form or another."""
    return tuple(conjunction for case in cases for conjunction in case.items())


def fields(cases: list[Case]) -> dict[str, Node]:
    """The fields of an object's forms; what each may be in one form or another."""
    found = dict[str, tuple[Conjunction, ...]]()
    for case in cases:
        unsaid: dict[str, Conjunction] = dict.fromkeys(sorted(case.required()), ())
        for name, conjunction in (unsaid | case.properties()).items():
            found[name] = (*found.get(name, ()), conjunction)
    return found


def needs(cases: list[Case]) -> list[frozenset[str]]:
    """The least sets of fields that have to be there, one of which is enough."""
    found = {case.required() for case in cases}
    return sorted((one for one in found if not any(other < one for other in found)), key=sorted)


def chosen(ways: list[frozenset[str]]) -> str:
    """Sets of fields in words."""
    return " or ".join(" with ".join(sorted(names)) or "nothing" for names in ways)


def rest(cases: list[Case], schemas: Schemas) -> str | Node:
    """What fields without a name of their own may be: in a word, or as schemas."""
    if all(case.closed() for case in cases):
        return "forbidden"
    found: Node = tuple(case.additional() for case in cases if not case.closed())
    return ANYTHING if schemas.takes_all(found) else found


def form(case: Case) -> str:
    """One form of an object in words."""
    required = case.required()
    names = [f"{name}{'' if name in required else '?'}" for name in case.properties()]
    return f"object with {', '.join(names)}" if names else "object"


def describe(schemas: Schemas, wanted: Node) -> str:
    """A schema in a few words."""
    cases = schemas.cases(wanted)
    if anything(cases):
        return ANYTHING
    words = list[str]()
    for name, of_type in cases.items():
        match name:
            case "array":
                words.append(f"array of {typed(schemas.cases(elements(of_type)))}")
            case "object":
                words.append("object")
            case "null":
                continue
            case _:
                values = [listed(one) for one in merged(of_type)]
                words.append(" or ".join(one for one in values if one) or typed({name: of_type}))
    return " or ".join([*sorted(words), *(["null"] if "null" in cases else [])]) or "nothing at all"


def worded_value(schemas: Schemas, value: Value | None) -> str:
    """A parameter or a header in a few words."""
    return ABSENT if value is None else f"{describe(schemas, node_of(value.schema))}, {need(value.required)}"
