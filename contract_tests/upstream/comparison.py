"""Every difference of meaning between the contract and the vendor's document, each with a name, a place and a sentence."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from upstream.documents import At
from jsonschema_rs.canonical import CanonicalizationError, Containment
from upstream.operations import Api, Media, Operation, Status, Value
from upstream.schemas import LIMITS, NOTES, TAKEN, Case, Conjunction, Node, Schemas, key_of, node

ABSENT = "absent"
ANYTHING = "anything"
JSON = "application/json"
# Differences of these kinds can be there although both allow the same values.
SAID = {"field", *NOTES}
SHOWN = 160  # characters of a piece of JSON in a message

THINGS = {"operation", "server", "parameter", "header", "body", "media type", "status", "field", "form"}
"""Kinds of difference in which one side has something that the other has not."""
SUBJECTS = {
    "body": "The body",
    "extra": "What further fields may be",
    "form": "The forms of it",
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
        return Place(self.part, f"{self.path}.{name}" if self.path else name)

    def items(self) -> "Place":
        """The elements of the array that is here."""
        return Place(self.part, f"{self.path}[]")


@dataclass(frozen=True)
class Difference:
    """One difference of meaning, at one place."""

    kind: str
    place: Place
    ours: str
    """What the contract says, in a few words that stay the same as long as it says so."""
    theirs: str
    our_place: At
    their_place: At
    effect: str = ""
    """Who is the worse off, where that is proved."""
    seat: str = ""
    """Where in the contract the part was compared that it is about."""

    @property
    def sentence(self) -> str:
        """What differs, for a person."""
        if self.ours == ABSENT and self.kind in THINGS:
            said = f"The vendor has a {self.kind} that the contract does not have: {self.theirs}."
        elif self.theirs == ABSENT and self.kind in THINGS:
            said = f"The contract has a {self.kind} that the vendor does not have: {self.ours}."
        else:
            subject = SUBJECTS.get(self.kind, f"`{self.kind}`")
            said = f"{subject} differs: {self.ours} in the contract, {self.theirs} in the vendor's document."
        return f"{said} {self.effect}".rstrip()


@dataclass
class Group:
    """One difference at all places where it is the same, as in the body that all errors share."""

    first: Difference
    all: list[Difference] = field(default_factory=list)
    everywhere: bool = False
    """Whether it is at each place where that part of the contract was compared, and there are several."""


@dataclass(frozen=True)
class Comparison:
    """What came of a comparison."""

    differences: list[Difference]
    compared: int
    """How many pairs of schemas were compared."""
    visits: Mapping[str, set[Place]]
    """Where each part of the contract was compared."""

    def groups(self, differences: Iterable[Difference]) -> list[Group]:
        """The differences, those that are the same at several places together."""
        found = dict[tuple[str, ...], Group]()
        for one in differences:
            name = one.place.part.rpartition(" ")[2] if one.kind in ("parameter", "header") else ""
            key = (one.kind, one.our_place.pointer, one.ours, one.theirs, one.place.path, name)
            found.setdefault(key, Group(one)).all.append(one)
        for group in found.values():
            visits = self.visits.get(group.first.seat, set())
            group.everywhere = len(group.all) == len(visits) > 1
        return list(found.values())


def compare(ours: Api, theirs: Api) -> Comparison:
    """All differences of meaning in the operations that the contract has.

    Raises:
        CannotReadError: One of the documents is broken where it is compared.
    """
    comparing = _Comparing(
        Schemas("contract", ours.document, list(_roots(ours))),
        Schemas("vendor", theirs.document, list(_roots(theirs))),
    )
    comparing.apis(ours, theirs)
    return Comparison(comparing.found, comparing.compared, comparing.visits)


def _roots(api: Api) -> Iterator[At]:
    """All schemas that the operations name themselves."""
    for operation in api.operations.values():
        values = [*operation.parameters.values()]
        media = [*operation.media.values()]
        for status in operation.statuses.values():
            values += status.headers.values()
            media += status.media.values()
        yield from (one.schema for one in (*values, *media) if one.schema is not None)


@dataclass
class _Comparing:
    """A comparison under way."""

    ours: Schemas
    theirs: Schemas
    found: list[Difference] = field(default_factory=list)
    compared: int = 0
    visits: dict[str, set[Place]] = field(default_factory=lambda: defaultdict(set))
    _open: set[tuple[tuple[str, ...], tuple[str, ...]]] = field(default_factory=set)

    def differ(  # noqa: PLR0913 - a difference has all of these
        self, kind: str, place: Place, ours: str, theirs: str, our_place: At, their_place: At, effect: str = "", seat: str = ""
    ) -> None:
        """Note a difference, unless both say the same."""
        if ours != theirs:
            self.found.append(
                Difference(kind, place, ours, theirs, our_place, their_place, effect, seat or our_place.pointer)
            )

    # Operations.

    def apis(self, ours: Api, theirs: Api) -> None:
        """Servers and operations."""
        top, there = ours.document.top, theirs.document.top
        for url in merged_keys(ours.servers, theirs.servers):
            one, other = ours.servers.get(url), theirs.servers.get(url)
            self.differ("server", Place("servers"), said(one, url), said(other, url), one or top, other or there)
        for name in merged_keys(ours.operations, theirs.operations):
            mine, their = ours.operations.get(name), theirs.operations.get(name)
            if mine and their:
                self.operations(name, mine, their)
            else:
                places = mine.at if mine else top, their.at if their else there
                self.differ("operation", Place(name), said(mine, name), said(their, name), *places)

    def operations(self, name: str, ours: Operation, theirs: Operation) -> None:
        """One operation that both have."""
        here = ours.at, theirs.at
        self.differ("security", Place(f"{name} security"), either(ours.security), either(theirs.security), *here)
        self.differ("deprecated", Place(name), flag(ours.deprecated), flag(theirs.deprecated), *here)
        self.several("parameter", name, ours.parameters, theirs.parameters, *here, asks=True)
        request = Place(f"{name} request")
        body, their_body = ours.body, theirs.body
        if body is None or their_body is None:
            places = body or ours.at, their_body or theirs.at
            self.differ("body", request, said(body), said(their_body), *places)
        else:
            words = need(ours.body_required), need(theirs.body_required)
            self.differ("required", request, *words, body, their_body)
            self.media(request, ours.media, theirs.media, body, their_body, asks=True)
        for status in sorted({*ours.statuses, *theirs.statuses}):
            place = Place(f"{name} {status}")
            mine, their = ours.answers(status), theirs.answers(status)
            if mine and their:
                self.statuses(place, mine, their)
            else:
                places = mine.at if mine else ours.at, their.at if their else theirs.at
                self.differ("status", place, said(mine, status), said(their, status), *places)

    def statuses(self, place: Place, ours: Status, theirs: Status) -> None:
        """One answer that both have."""
        self.several("header", place.part, ours.headers, theirs.headers, ours.at, theirs.at, asks=False)
        self.media(place, ours.media, theirs.media, ours.at, theirs.at, asks=False)

    def several(  # noqa: PLR0913 - both sides, and where they are
        self, kind: str, part: str, ours: Mapping[str, Value], theirs: Mapping[str, Value], at: At, there: At, *, asks: bool
    ) -> None:
        """Parameters or headers."""
        for key in merged_keys(ours, theirs):
            mine, their = ours.get(key), theirs.get(key)
            if mine and their:
                self.values(Place(f"{part} {mine.name}"), mine, their, asks=asks)
            else:
                place = Place(f"{part} {(mine or theirs[key]).name}")
                words = worded_value(self.ours, mine), worded_value(self.theirs, their)
                self.differ(kind, place, *words, mine.at if mine else at, their.at if their else there)

    def values(self, place: Place, ours: Value, theirs: Value, *, asks: bool) -> None:
        """A parameter or a header that both have."""
        here = ours.at, theirs.at
        self.differ("required", place, need(ours.required), need(theirs.required), *here)
        self.differ("deprecated", place, flag(ours.deprecated), flag(theirs.deprecated), *here)
        mine, their = node_of(ours.schema), node_of(theirs.schema)
        # one text or number is written the same, exploded or not
        several = {*self.ours.cases(mine), *self.theirs.cases(their)} & {"array", "object"}
        written = [one.written if several else one.written.partition(",")[0] for one in (ours, theirs)]
        self.differ("written", place, *written, *here)
        self.nodes(place, mine, their, *here, asks=asks)

    def media(  # noqa: PLR0913 - both sides, and where they are
        self, place: Place, ours: Mapping[str, Media], theirs: Mapping[str, Media], at: At, there: At, *, asks: bool
    ) -> None:
        """The bodies of a request or an answer, by media type."""
        for name in merged_keys(ours, theirs):
            mine, their = ours.get(name), theirs.get(name)
            within = place if name == JSON else Place(f"{place.part} {name}")
            if mine and their:
                nodes = node_of(mine.schema), node_of(their.schema)
                self.nodes(within, *nodes, mine.at, their.at, asks=asks)
            else:
                places = mine.at if mine else at, their.at if their else there
                self.differ("media type", Place(f"{place.part} {name}"), said(mine, name), said(their, name), *places)

    # Schemas.

    def nodes(  # noqa: PLR0913 - both sides, and where they are
        self, place: Place, ours: Node, theirs: Node, at: At, there: At, *, asks: bool, equal: bool = False
    ) -> None:
        """Two schemas that stand for the same value.

        Args:
            place: Where that value is on the wire.
            ours: The contract's schema.
            theirs: The vendor's schema.
            at: Where the contract's schema stands, should it say nothing.
            there: Where the vendor's schema stands.
            asks: Whether the value is sent by the caller.
            equal: Whether both are known to allow the same values.
        """
        pair = (pointers(ours), pointers(theirs))
        if pair in self._open:  # a schema that contains itself: what differs is told of on the way here
            return
        self._open.add(pair)
        self.compared += 1
        before = len(self.found)
        wider, effect = self.proved(ours, theirs, asks=asks) if not equal else (Containment.YES, "")
        equal = wider is Containment.YES
        mine, their = self.ours.cases(ours), self.theirs.cases(theirs)
        at, there = place_of(ours, mine, at), place_of(theirs, their, there)
        self.visits[at.pointer].add(place)
        spot = _Spot(self, place, at, there, effect, asks=asks, equal=equal)
        spot.notes(mine, their)
        spot.types(mine, their)
        mine.pop("null", None)
        their.pop("null", None)
        if not (anything(mine) or anything(their)):
            for name in mine.keys() & their.keys():
                spot.cases(name, mine[name], their[name])
        if wider is Containment.NO and not any(one.kind not in NOTES for one in self.found[before:]):
            self.differ("meaning", place, *self.apart(ours, theirs), at, there, effect)
        self._open.discard(pair)

    def proved(self, ours: Node, theirs: Node, *, asks: bool) -> tuple[Containment, str]:
        """Whether both allow the same values, and if not, who is the worse off."""
        try:
            mine, their = self.ours.truth(ours), self.theirs.truth(theirs)
            they_cover, we_cover = their.covers(mine), mine.covers(their)
        except CanonicalizationError:  # what it cannot compare, it cannot prove
            return Containment.UNKNOWN, ""
        verdict = (they_cover, we_cover)
        if verdict == (Containment.YES, Containment.YES):
            return Containment.YES, ""
        same = Containment.NO if Containment.NO in verdict else Containment.UNKNOWN
        if they_cover is Containment.YES:
            return same, "The vendor allows more than the contract." if asks else "The vendor may answer more than the contract says."
        if we_cover is Containment.YES:
            return same, "What the contract allows may be refused." if asks else "The contract allows answers that the vendor does not give."
        return same, ""

    def apart(self, ours: Node, theirs: Node) -> tuple[str, str]:
        """What only the one and only the other allows, as pieces of JSON Schema."""
        mine, their = self.ours.truth(ours), self.theirs.truth(theirs)
        try:
            return short(mine.subtract(their).to_json_schema()), short(their.subtract(mine).to_json_schema())
        except CanonicalizationError:  # it cannot be written down
            return describe(self.ours, ours), f"{describe(self.theirs, theirs)}, and not the same values"


@dataclass(frozen=True)
class _Spot:
    """One place on the wire at which two schemas meet."""

    comparing: _Comparing
    place: Place
    at: At
    there: At
    effect: str
    asks: bool
    equal: bool

    def differ(  # noqa: PLR0913 - both sides, and where they are
        self, kind: str, ours: str, theirs: str, at: At | None = None, there: At | None = None, *, field: str | None = None
    ) -> None:
        """Note a difference, unless both allow the same values and it is one of spelling."""
        if not self.equal or kind in SAID:
            place = self.place if field is None else self.place.field(field)
            effect = "" if kind in SAID else self.effect
            self.comparing.differ(kind, place, ours, theirs, at or self.at, there or self.there, effect, self.at.pointer)

    def below(self, place: Place, ours: Node, theirs: Node, at: At, there: At) -> None:
        """Compare what is below this place."""
        self.comparing.nodes(place, ours, theirs, at, there, asks=self.asks, equal=self.equal)

    def notes(self, ours: Mapping[str, list[Case]], theirs: Mapping[str, list[Case]]) -> None:
        """What the schemas say beside the values that they allow, and keywords that are not taken apart here."""
        for name in NOTES:
            said = [
                sorted({key_of(flat.said[name]) for case in every(cases) for flat in case.flats if name in flat.said})
                for cases in (ours, theirs)
            ]
            self.differ(name, *(" or ".join(one) or "none" for one in said))
        others = [
            {
                (key, key_of(value))
                for case in every(cases)
                for flat in case.flats
                for key, value in flat.said.items()
                if key not in TAKEN
            }
            for cases in (ours, theirs)
        ]
        for key in sorted({key for one in others for key, _ in one}):
            said = [" and ".join(sorted(value for name, value in one if name == key)) or "none" for one in others]
            if said[0] != said[1]:
                self.differ(key, *(text if len(text) <= SHOWN else text[:SHOWN] + "..." for text in said))

    def types(self, ours: Mapping[str, list[Case]], theirs: Mapping[str, list[Case]]) -> None:
        """The types, and apart from them whether null is one."""
        if not (anything(ours) or anything(theirs)):
            words = ["allowed" if "null" in cases else "forbidden" for cases in (ours, theirs)]
            self.differ("null", *words)
        self.differ("type", *(typed(cases) for cases in (ours, theirs)))

    def cases(self, name: str, ours: list[Case], theirs: list[Case]) -> None:
        """The ways to fit for one type."""
        match name:
            case "object":
                self.objects(ours, theirs)
            case "array":
                self.arrays(ours, theirs)
            case _:
                self.scalars(name, ours, theirs)

    def scalars(self, name: str, ours: list[Case], theirs: list[Case]) -> None:
        """Texts, numbers, true and false."""
        mine, their = merged(ours), merged(theirs)
        if len(mine) == len(their) == 1:
            self.limits(name, mine[0], their[0])
            values = [listed(case) or f"any {typed({name: [case]})}" for case in (mine[0], their[0])]
            if not all(value.startswith("any ") for value in values):
                self.differ("values", *values, mine[0].at, their[0].at)
        else:
            self.differ("form", *(" or ".join(sorted(worded(case) for case in cases)) for cases in (mine, their)))

    def limits(self, name: str, ours: Case, theirs: Case) -> None:
        """The bounds of a value."""
        mine, their = ours.limits(), theirs.limits()
        for keyword in LIMITS.get(name, ()):
            words = [key_of(limits[keyword]) if keyword in limits else "none" for limits in (mine, their)]
            self.differ(keyword, *words, ours.at, theirs.at)

    def arrays(self, ours: list[Case], theirs: list[Case]) -> None:
        """Arrays: how many elements, and which."""
        limits = [sorted({worded(case) for case in cases}) for cases in (ours, theirs)]
        if len(limits[0]) == len(limits[1]) == 1:
            self.limits("array", ours[0], theirs[0])
        else:
            self.differ("form", *(" or ".join(one) for one in limits))
        at, there = (first_of(cases, side) for cases, side in ((ours, self.at), (theirs, self.there)))
        items = [tuple(way for case in cases for way in case.items()) for cases in (ours, theirs)]
        self.below(self.place.items(), *items, at, there)

    def objects(self, ours: list[Case], theirs: list[Case]) -> None:
        """Objects: the forms that are the same are set aside, and the others compared as one."""
        if len(ours) > 1 and len(theirs) > 1:
            ours, theirs = self.without_pairs(ours, theirs)
            for one, other in zip_longest(ours, theirs) if not (ours and theirs) else ():
                words = [ABSENT if case is None else form(case) for case in (one, other)]
                self.differ("form", *words, one.at if one else None, other.at if other else None)
            if not (ours and theirs):
                return
        _Objects(self, ours, theirs).compare()

    def without_pairs(self, ours: list[Case], theirs: list[Case]) -> tuple[list[Case], list[Case]]:
        """The forms that the other side has not."""
        left, rest = list[Case](), list(theirs)
        for case in ours:
            truth = self.comparing.ours.truth_of(case)
            for other in rest:
                their = self.comparing.theirs.truth_of(other)
                if truth.covers(their) is their.covers(truth) is Containment.YES:
                    rest.remove(other)
                    break
            else:
                left.append(case)
        return left, rest


@dataclass(frozen=True)
class _Objects:
    """The forms of an object on both sides."""

    spot: _Spot
    ours: list[Case]
    theirs: list[Case]

    def compare(self) -> None:
        """Fields, which of them are needed, and what else may be there."""
        spot = self.spot
        mine, their = fields(self.ours), fields(self.theirs)
        at, there = (first_of(cases, side) for cases, side in ((self.ours, spot.at), (self.theirs, spot.there)))
        for name in (*mine, *(name for name in their if name not in mine)):
            if name in mine and name in their:
                spot.below(spot.place.field(name), mine[name], their[name], *(first(one, spot.at) for one in (mine[name], their[name])))
            else:
                words = [
                    f"{describe(schemas, found[name])}, {self.needed(name, cases)}" if name in found else ABSENT
                    for schemas, found, cases in (
                        (spot.comparing.ours, mine, self.ours),
                        (spot.comparing.theirs, their, self.theirs),
                    )
                ]
                places = first(mine.get(name, ()), at), first(their.get(name, ()), there)
                spot.differ("field", *words, *places, field=name)
        self.presence(mine, their, at, there)
        if len(self.ours) == len(self.theirs) == 1:
            spot.limits("object", self.ours[0], self.theirs[0])
        self.others(at, there)

    @staticmethod
    def needed(name: str, cases: list[Case]) -> str:
        """Whether a field has to be there."""
        return need(all(name in case.required() for case in cases))

    def presence(self, mine: Mapping[str, Node], their: Mapping[str, Node], at: At, there: At) -> None:
        """Which fields have to be there."""
        ours, theirs = needs(self.ours), needs(self.theirs)
        if len(ours) == len(theirs) == 1:
            for name in sorted(ours[0] ^ theirs[0]):
                if (name in mine) == (name in their):
                    words = [need(name in one[0]) for one in (ours, theirs)]
                    places = first(mine.get(name, ()), at), first(their.get(name, ()), there)
                    self.spot.differ("required", *words, *places, field=name)
            return
        words = [" or ".join(" with ".join(sorted(one)) or "nothing" for one in ways) for ways in (ours, theirs)]
        self.spot.differ("required fields", *words, at, there)

    def others(self, at: At, there: At) -> None:
        """What may be there beside the fields that have a name."""
        ours, theirs = (_rest(cases) for cases in (self.ours, self.theirs))
        if isinstance(ours, str) or isinstance(theirs, str):
            words = [
                one if isinstance(one, str) else f"each {describe(schemas, one)}"
                for one, schemas in ((ours, self.spot.comparing.ours), (theirs, self.spot.comparing.theirs))
            ]
            self.spot.differ("extra", *words, at, there)
        else:
            self.spot.below(self.spot.place.field("*"), ours, theirs, first(ours, at), first(theirs, there))


def _rest(cases: list[Case]) -> str | Node:
    """What fields without a name of their own may be: in words, or as schemas."""
    if all(case.closed() for case in cases):
        return "forbidden"
    found: Node = tuple(case.additional() for case in cases if not case.closed())
    return "anything" if () in found else found


# Words, and small questions about cases.


def said(there: object, word: str = "there") -> str:
    """A word for what is there."""
    return ABSENT if there is None else word


def need(required: bool) -> str:  # noqa: FBT001 - the word for it
    """Whether something has to be there, in a word."""
    return "required" if required else "optional"


def flag(said: bool) -> str:  # noqa: FBT001 - the word for it
    """A flag that is set, or says nothing."""
    return "true" if said else "none"


def either(choices: Iterable[str]) -> str:
    """Choices in one order."""
    return " or ".join(sorted(choices))


def short(value: Any) -> str:
    """A piece of JSON Schema for a message."""
    if isinstance(value, dict):
        value = {key: inside for key, inside in value.items() if key != "$schema"}
    text = "nothing" if value in (False, {"not": {}}) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def node_of(schema: At | None) -> Node:
    """A schema, or that nothing is said."""
    return node(schema) if schema is not None else ((),)


def pointers(wanted: Node) -> tuple[str, ...]:
    """What names a node."""
    return tuple(at.pointer for conjunction in wanted for at in (*conjunction,))


def first(wanted: Node, otherwise: At) -> At:
    """Where a node begins."""
    return next((at for conjunction in wanted for at in conjunction), otherwise)


def first_of(cases: list[Case], otherwise: At) -> At:
    """Where cases begin."""
    return cases[0].at if len(cases) == 1 else otherwise


def place_of(wanted: Node, cases: Mapping[str, list[Case]], otherwise: At) -> At:
    """Where a schema stands: what it comes down to where that is one thing, and itself otherwise."""
    found = [case.at for name, of_type in cases.items() if name != "null" for case in of_type]
    if len({at.pointer for at in found}) == 1 and found[0].pointer != "#":
        return found[0]
    begins = first(wanted, otherwise)
    return begins.followed()


def every(cases: Mapping[str, list[Case]]) -> Iterator[Case]:
    """All cases."""
    for of_type in cases.values():
        yield from of_type


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
    return None if case.values is None else ", ".join(sorted(key_of(value) for value in case.values))


def worded(case: Case) -> str:
    """A case in words."""
    limits = [f"{name} {key_of(value)}" for name, value in case.limits().items()]
    return ", ".join([listed(case) or f"any {typed({case.type: [case]})}", *limits])


def merged(cases: list[Case]) -> list[Case]:
    """Cases of one scalar type without those that others make needless; lists of values become one list."""
    free = [case for case in cases if case.unlimited()]
    if free:
        return free[:1]
    if all(case.values is not None and not case.limits() for case in cases):
        values = {key_of(value): value for case in cases for value in case.values or ()}
        last = cases[-1]
        return [Case(last.type, last.flats, tuple(values.values()), whole=False)]
    return list({worded(case): case for case in cases}.values())


def fields(cases: list[Case]) -> dict[str, Node]:
    """The fields of an object's forms; what each may be in one form or another."""
    found = dict[str, tuple[Conjunction, ...]]()
    for case in cases:
        for name, conjunction in case.properties().items():
            found[name] = (*found.get(name, ()), conjunction)
    return found


def needs(cases: list[Case]) -> list[frozenset[str]]:
    """The least sets of fields that have to be there, one of which is enough."""
    found = {case.required() for case in cases}
    return sorted((one for one in found if not any(other < one for other in found)), key=sorted)


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
        if name == "array":
            items = tuple(way for case in of_type for way in case.items())
            inside = schemas.cases(items)
            words.append(f"array of {typed(inside)}")
        elif name == "object":
            words.append("object")
        elif name != "null":
            values = [listed(case) for case in merged(of_type)]
            words.append(" or ".join(value for value in values if value) or typed({name: of_type}))
    return " or ".join([*sorted(words), *(["null"] if "null" in cases else [])]) or "nothing at all"


def worded_value(schemas: Schemas, value: Value | None) -> str:
    """A parameter or a header in a few words."""
    return ABSENT if value is None else f"{describe(schemas, node_of(value.schema))}, {need(value.required)}"


def merged_keys(ours: Mapping[str, object], theirs: Mapping[str, object]) -> list[str]:
    """The names of both, in the contract's order and then in the vendor's."""
    return list({**ours, **theirs})
