"""Each difference between two documents as a finding: which decision holds, where, and in which words; no I/O."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from changes import schemas, security
from changes.comparer import ABSENT, Change
from changes.contract import Contract
from changes.decisions import CATEGORIES, DECISIONS, Category
from changes.usages import Spot, Usages, fields, listed, where
from documents import METHODS, below, pointer_to, steps, target

DOCUMENTATION = frozenset(
    [
        "description",
        "summary",
        "title",
        "example",
        "examples",
        "externalDocs",
        "$comment",
        "tags",
        "order",
        "openapi",
        "termsOfService",
        "$id",
        "$schema",
        "$anchor",
    ]
)
"""Keywords that change nothing on the wire."""
TOLD_BY_WHO_REFERS = frozenset(
    {"Schema", "Parameter", "Header", "Response", "RequestBody", "Example", "Link"}
)
"""Components, of which whoever refers to them tells what changed."""
PLAIN = frozenset(
    [
        "Info",
        "Contact",
        "License",
        "Tag",
        "TagGroup",
        "TagList",
        "ExternalDocs",
        "Example",
        "ExamplesMap",
        "SpecExtension",
        "NamedSchemas",
        "Link",
        "LinksMap",
    ]
)
"""Types of which every change is documentation."""
SERIALIZATION = frozenset({"style", "explode", "allowReserved", "allowEmptyValue"})
COMBINATORS = {"AnyOf": "anyOf", "OneOf": "oneOf", "AllOf": "allOf"}
_LONGEST = 60  # characters of a value that a sentence quotes


@dataclass(frozen=True)
class Finding:
    """One difference, as the user is told it."""

    decision: str
    """A key of DECISIONS."""
    says: str
    """What changed, as a sentence."""
    change: Change = field(repr=False)

    @property
    def categories(self) -> tuple[Category, ...]:
        """Where it is listed."""
        return DECISIONS[self.decision].categories

    def consequence(self, category: Category) -> str:
        """What it does to those of a category; empty if nothing."""
        decision = DECISIONS[self.decision]
        return {"callers": decision.callers, "servers": decision.servers}.get(category, "")


def judge(old: Contract, new: Contract, changes: Sequence[Change]) -> list[Finding]:
    """What the changes do to whom, the worst first."""
    found = _Judge(old, new, changes).findings()
    unique = {(each.decision, each.says, each.change.old, each.change.new): each for each in found}
    order = list(CATEGORIES)
    return sorted(unique.values(), key=lambda each: order.index(each.categories[0]))


class _Judge:
    def __init__(self, old: Contract, new: Contract, changes: Sequence[Change]) -> None:
        self.old, self.new = old, new
        self.before, self.after = Usages(old), Usages(new)
        self.changes = list(changes)
        self.properties = {
            change.path: change for change in changes if change.type == "Schema" and change.kind != "modified"
        }

    def findings(self) -> Iterator[Finding]:
        """What every change comes to."""
        told_by_another = self._rewritten()
        yield from told_by_another.findings
        is_security = False
        for change in self.changes:
            if id(change) in told_by_another.changes:
                continue
            if change.type in {"SecurityRequirement", "SecurityRequirementList"}:
                is_security = True
                continue
            yield from self._of(change)
        if is_security:
            yield from self._of_security()

    def _of(self, change: Change) -> Iterable[Finding]:
        judges: dict[str, Callable[[Change], Iterable[Finding]]] = {
            "Schema": self._schema,
            "SchemaProperties": self._properties,
            "Parameter": self._parameter,
            "ParameterList": self._parameters,
            "RequestBody": self._body,
            "MediaType": self._media_type,
            "MediaTypesMap": self._media_types,
            "Response": self._response,
            "Header": self._header,
            "HeadersMap": self._headers,
            "Operation": self._operation,
            "PathItem": self._path_item,
            "Paths": self._paths,
            "Server": self._server,
            "ServerList": self._servers,
            "SecurityScheme": self._security_scheme,
            "Unseen": self._unseen,
        }
        if change.path.startswith("#/components/") and change.type in TOLD_BY_WHO_REFERS:
            is_used = bool(change.old and self.before.paths(change.old)) or bool(
                change.new and self.after.paths(change.new)
            )
            if change.kind != "modified" or change.keyword == "key" or not is_used:
                return self._component(change)
        if change.path.startswith("#/components") and change.type.startswith(("Components", "Named")):
            return [self._documentation(change)]  # what refers to them tells the rest
        if change.type == "Info" and change.keyword == "version":
            return []
        if change.kind == "modified" and self._is_documentation(change.keyword) and change.type != "Unseen":
            return [self._documentation(change)]
        return judges.get(change.type, self._other)(change)

    # Schemas.

    def _schema(self, change: Change) -> Iterator[Finding]:
        match change.keyword:
            case "":
                yield from self._whole_schema(change)
            case "required":
                yield from self._required(change)
            case "default":
                yield from self._default(change)
            case "deprecated":
                yield self._deprecated(change)
            case keyword if keyword not in schemas.KNOWN:
                yield from self._other(change)
            case _:
                yield from self._keyword(change)

    def _whole_schema(self, change: Change) -> Iterator[Finding]:
        path = steps(change.path)
        holder = path[-2] if len(path) > 1 else ""
        is_new = change.kind == "added"
        if holder in {"properties", "patternProperties"}:
            yield from self._property(change)
        elif holder in {"anyOf", "oneOf", "allOf"}:
            effect: schemas.Effect = "wider" if is_new is (holder != "allOf") else "narrower"
            form = self._form(change)
            if holder == "allOf":
                said = f"has to be {form} too" if is_new else f"need not be {form} any more"
            else:
                said = (
                    f"may be {form} {'now' if form == 'null' else 'too'}"
                    if is_new
                    else f"may not be {form} any more"
                )
            yield from self._by_direction(change, effect, said)
        else:
            keyword = path[-1]
            if keyword == "schema":
                effect = "narrower" if is_new else "wider"
            else:
                effect = schemas.of_keyword(keyword, self.old, change.was, self.new, change.now)
            said = f"has `{keyword}` now" if is_new else f"has no `{keyword}` any more, which was"
            yield from self._by_direction(
                replace(change, keyword=keyword), effect, f"{said} {self._form(change)}"
            )

    def _property(self, change: Change) -> Iterator[Finding]:
        is_new = change.kind == "added"
        path = steps(change.path)
        name = path[-1]
        holder = self._node(self.before if is_new else self.after, tuple(path[:-2]))
        is_closed = isinstance(holder, Mapping) and (
            holder.get("additionalProperties", True) is False
            or holder.get("unevaluatedProperties", True) is False
        )
        now = self._node(self.after, tuple(path[:-2]))
        is_required = is_new and isinstance(now, Mapping) and name in now.get("required", [])
        for direction, spots in self._directions(change):
            said = f"{self._subject(spots)} is {'new' if is_new else 'gone'}"
            if not direction:
                yield self._finding(
                    change, "unused", f"{self._named(change)} is {'new' if is_new else 'gone'}"
                )
            elif is_required:
                yield self._finding(
                    change, self._decision(direction, "narrower"), f"{said}, and always there"
                    if direction == "response" else f"{said}, and required"
                )  # fmt: skip
            elif is_closed:
                effect: schemas.Effect = "wider" if is_new else "narrower"
                if not is_new and direction == "response":  # who reads it finds it no more, closed or open
                    yield self._finding(change, "response.property.removed", said)
                yield self._finding(
                    change, self._decision(direction, effect), f"{said}, and the object is closed"
                )
            elif direction == "both":
                yield self._finding(change, "response.property.added" if is_new else "both.unlike", said)
            else:
                yield self._finding(change, f"{direction}.property.{'added' if is_new else 'removed'}", said)

    def _required(self, change: Change) -> Iterator[Finding]:
        was = [] if change.was is ABSENT else change.was
        now = [] if change.now is ABSENT else change.now
        if sorted(was) == sorted(now):
            yield self._same(change)
            return
        for name in [*(n for n in now if n not in was), *(n for n in was if n not in now)]:
            step = below("/properties", name)
            if change.path + step in self.properties:  # told by what became of the property
                continue
            is_new = name in now
            for direction, spots in self._directions(change, inside=f".{name}"):
                said = {
                    ("request", True): "is required now",
                    ("request", False): "may be left out now",
                }.get((direction, is_new), "is always there now" if is_new else "may be missing now")
                effect: schemas.Effect = "narrower" if is_new else "wider"
                yield self._finding(
                    change, self._decision(direction, effect), f"{self._subject(spots)} {said}"
                )

    def _default(self, change: Change) -> Iterator[Finding]:
        which = "added" if change.was is ABSENT else "removed" if change.now is ABSENT else "changed"
        said = {
            "added": f"is {_quoted(change.now)} where it is left out",
            "removed": f"is no longer {_quoted(change.was)} where it is left out",
            "changed": f"is {_quoted(change.now)} where it is left out, and was {_quoted(change.was)}",
        }[which]
        spots = self._spots(change)
        if not spots:
            yield self._finding(change, "unused", f"{self._named(change)} {said}")
        else:
            yield self._finding(change, f"default.{which}", f"{self._subject(spots)} {said}")

    def _keyword(self, change: Change) -> Iterator[Finding]:
        effect = schemas.of_keyword(change.keyword, self.old, change.was, self.new, change.now)
        said = self._of_keyword(change)
        for finding in self._by_direction(change, effect, said):
            # what is only read may be marked readOnly, and what is only sent writeOnly
            direction = {"readOnly": "response", "writeOnly": "request"}.get(change.keyword, "-")
            is_plain = finding.decision.startswith(f"{direction}.")
            yield replace(finding, decision="documentation") if is_plain else finding

    def _of_keyword(self, change: Change) -> str:  # noqa: PLR0911 - one for each way to say it
        """What became of a keyword, as the rest of a sentence."""
        was, now, keyword = change.was, change.now, change.keyword
        if keyword == "type" and ABSENT not in (was, now):
            one, other = ({value} if isinstance(value, str) else set(value) for value in (was, now))
            if other - one == {"null"} and one < other:
                return "may be null now"
            if one - other == {"null"} and other < one:
                return "may not be null any more"
            return f"is {_types(other)} now, and was {_types(one)}"
        if keyword == "enum" and isinstance(was, list) and isinstance(now, list):
            gone = [_quoted(value) for value in was if value not in now]
            new = [_quoted(value) for value in now if value not in was]
            said = [f"may not be {listed(gone, 5)} any more"] if gone else []
            said += [f"may be {listed(new, 5)} too"] if new else []
            return " and ".join(said)
        if keyword == "additionalProperties" and False in (was, now):
            return "may have no keys but those named any more" if now is False else "may have other keys too"
        if was is ABSENT:
            return f"has `{keyword}` {_quoted(now)} now, and had none"
        if now is ABSENT:
            return f"has no `{keyword}` any more, which was {_quoted(was)}"
        return f"has `{keyword}` {_quoted(now)} now, and had {_quoted(was)}"

    def _properties(self, change: Change) -> Iterator[Finding]:
        names = change.now if change.kind == "added" else change.was
        if change.kind == "modified" or not isinstance(names, Mapping):
            yield from self._by_direction(change, "unlike", f"`{change.keyword}` says something else")
            return
        for name, value in names.items():
            step = below("", name)
            yield from self._property(
                Change(
                    "Schema",
                    change.kind,
                    "",
                    change.old and change.old + step,
                    change.new and change.new + step,
                    value if change.kind == "removed" else ABSENT,
                    value if change.kind == "added" else ABSENT,
                    change.path + step,
                )
            )

    def _rewritten(self) -> "_Rewritten":
        """The schemas that are put together in another way: each is judged as a whole."""
        nodes, forms = dict[str, Change](), dict[str, dict[str, Change]]()
        for change in self.changes:
            path = steps(change.path)
            if change.type in COMBINATORS and change.kind != "modified" and len(path) > 1:
                nodes.setdefault(pointer_to(path[:-1]), change)
            elif change.type == "Schema" and change.kind != "modified" and path[-2:-1] == ["oneOf"]:
                nodes.setdefault(pointer_to(path[:-2]), change)
            elif change.type == "Schema" and change.kind != "modified" and path[-2:-1] == ["anyOf"]:
                forms.setdefault(pointer_to(path[:-2]), {})[change.kind] = change
            elif change.type == "SchemaProperties" and change.kind == "modified":
                nodes.setdefault(below(change.path, change.keyword), change)
            elif change.type == "Schema" and change.keyword == "type" and self._is_another(change):
                nodes.setdefault(change.path, change)
        told = _Rewritten()
        replaced = {pointer: of["added"] for pointer, of in forms.items() if len(of) > 1}
        for pointer, first in (replaced | nodes).items():
            path = tuple(steps(pointer))
            was, now = self._node(self.before, path), self._node(self.after, path)
            if was is ABSENT or now is ABSENT:
                continue
            effect = schemas.relation(self.old, was, self.new, now)
            if pointer not in nodes and effect == "unlike":  # each of the forms says more
                continue
            parts = [
                change
                for change in self.changes
                if (change is first or f"{change.path}/".startswith(f"{pointer}/"))
                and change.keyword not in DOCUMENTATION | {"default", "deprecated"}
            ]
            told.changes |= {id(change) for change in parts}
            old = first.old or next((part.old for part in parts if part.old), None)
            new = first.new or next((part.new for part in parts if part.new), None)
            breaking = any(part.says_breaking for part in parts)
            whole = Change("Schema", "modified", "", old, new, was, now, pointer, breaking)
            is_type = first.keyword == "type"
            said = self._of_keyword(first) if is_type else self._of_forms(was, now, effect)
            told.findings += list(self._by_direction(whole, effect, said, at=path))
        return told

    def _is_another(self, change: Change) -> bool:
        """Whether a type has nothing of what it was, so that whatever else is said below it is of another thing."""
        if ABSENT in (change.was, change.now):
            return False
        one, other = ({each} if isinstance(each, str) else set(each) for each in (change.was, change.now))
        return not one & other and {"integer", "number"} - one - other != set()

    def _of_forms(self, was: Any, now: Any, effect: schemas.Effect) -> str:
        one, other = schemas.canonical(self.old, was), schemas.canonical(self.new, now)
        null = {"type": ["null"]}
        if effect == "wider" and schemas.within(other, {"anyOf": [one, null]}):
            return "may be null now"
        if effect == "narrower" and schemas.within(one, {"anyOf": [other, null]}):
            return "may not be null any more"
        return {
            "same": "is put together in another way, and allows the same",
            "wider": "may be more than it might",
            "narrower": "may be less than it might",
            "unlike": "may be something else than it might",
        }[effect]

    # What carries schemas.

    def _parameter(self, change: Change) -> Iterator[Finding]:
        if change.kind == "modified":
            was, now = change.was, change.now
            spots = self._spots(change)
            subject = self._subject(spots)
            if change.keyword == "required":
                is_required = now is True
                if (was is True) == is_required:
                    yield self._same(change)
                else:
                    decision = "request.narrower" if is_required else "request.wider"
                    said = "is required now" if is_required else "may be left out now"
                    yield self._finding(change, decision, f"{subject} {said}")
            elif change.keyword == "deprecated":
                yield self._deprecated(change)
            elif change.keyword in SERIALIZATION | {"name", "in"}:
                yield self._finding(change, "parameter.moved", f"{subject} {self._of_keyword(change)}")
            else:
                yield from self._other(change)
            return
        whole = change.now if change.kind == "added" else change.was
        document = self.new if change.kind == "added" else self.old
        whole = document.resolved(whole)
        spots = self._spots(change)
        of = listed([f"`{name}`" for name in sorted({spot.operation for spot in spots if spot.operation})])
        said = f"The {whole.get('in', '')} parameter `{whole.get('name', '')}` of {of}"
        if change.kind == "removed":
            yield self._finding(change, "parameter.removed", f"{said} is gone")
        elif whole.get("required") is True:
            yield self._finding(change, "request.narrower", f"{said} is new, and required")
        else:
            yield self._finding(change, "parameter.added", f"{said} is new")

    def _parameters(self, change: Change) -> Iterator[Finding]:
        yield from self._each(change, "Parameter", self._parameter)

    def _body(self, change: Change) -> Iterator[Finding]:
        if change.keyword == "required":
            now, was = change.now is True, change.was is True
            if now == was:
                yield self._same(change)
            else:
                decision = "request.narrower" if now else "request.wider"
                said = "is required now" if now else "may be left out now"
                yield self._finding(change, decision, f"{self._subject(self._spots(change))} {said}")
        elif change.kind == "added":
            whole = self.new.resolved(change.now)
            decision = "request.unlike" if whole.get("required") is True else "request.wider"
            yield self._finding(change, decision, f"{self._subject(self._spots(change))} has a body now")
        elif change.kind == "removed":
            said = f"{self._subject(self._spots(change))} has no body any more"
            yield self._finding(change, "body.removed", said)
        else:
            yield from self._other(change)

    def _media_type(self, change: Change) -> Iterator[Finding]:
        if change.kind == "modified" and change.keyword != "key":
            yield from self._other(change)
            return
        names = [(kind, name) for kind, name in self._names(change)]
        for kind, name in names:
            for direction, spots in self._directions(change):
                which = "request" if direction == "request" else "response"
                said = f"{self._subject(spots)} {'comes' if which == 'response' else 'is taken'}"
                said += f" as `{name}` too" if kind == "added" else f" as `{name}` no more"
                yield self._finding(change, f"{which}.type.{kind}", said)

    def _media_types(self, change: Change) -> Iterator[Finding]:
        yield from self._each(change, "MediaType", self._media_type)

    def _response(self, change: Change) -> Iterator[Finding]:
        if change.kind == "modified" and change.keyword != "key":
            yield from self._other(change)
            return
        path = steps(change.path)
        of = f"`{path[2].upper()} {path[1]}`" if len(path) > 2 else ""
        for kind, status in self._names(change):
            which = "success" if status[:1] in "123" else "error"
            said = f"{of} may answer {status} now" if kind == "added" else f"{of} answers {status} no more"
            yield self._finding(change, f"status.{which}.{kind}", said)

    def _header(self, change: Change) -> Iterator[Finding]:
        if change.kind == "modified" and change.keyword == "required":
            if (change.was is True) == (change.now is True):
                yield self._same(change)
                return
            is_required = change.now is True
            said = "is always there now" if is_required else "may be missing now"
            decision = "header.required" if is_required else "header.optional"
            yield self._finding(change, decision, f"{self._subject(self._spots(change))} {said}")
            return
        if change.keyword == "deprecated":
            yield self._deprecated(change)
            return
        if change.kind == "modified" and change.keyword != "key":
            yield from self._other(change)
            return
        spots = self._spots(change)
        for kind, name in self._names(change):
            if change.keyword == "key" and str(change.was).lower() == str(change.now).lower():
                yield self._same(change)
                return
            whole = self.new.resolved(change.now) if change.kind == "added" else {}
            statuses = sorted({spot.part.rpartition(" of ")[2] for spot in spots})
            of = listed([f"`{each}`" for each in sorted({spot.operation for spot in spots})])
            said = f"The header `{name}` of {listed(statuses)} from {of} is {'new' if kind == 'added' else 'gone'}"
            if kind == "added" and whole.get("required") is True:
                yield self._finding(change, "header.required", f"{said}, and always there")
            else:
                yield self._finding(change, f"header.{kind}", said)

    def _headers(self, change: Change) -> Iterator[Finding]:
        yield from self._each(change, "Header", self._header)

    # Operations and above.

    def _operation(self, change: Change) -> Iterator[Finding]:
        path = steps(change.path)
        name = f"`{path[2].upper()} {path[1]}`" if len(path) > 2 else self._named(change)
        if change.kind == "added":
            yield self._finding(change, "operation.added", f"{name} is new")
        elif change.kind == "removed":
            yield self._finding(change, "operation.removed", f"{name} is gone")
        elif change.keyword == "operationId":
            was, now = (_quoted(value) for value in (change.was, change.now))
            said = f"{name} has the operationId {now} now, and had {was}"
            yield self._finding(change, "operation.renamed", said)
        elif change.keyword == "deprecated":
            yield self._deprecated(change, name)
        else:
            yield from self._other(change)

    def _path_item(self, change: Change) -> Iterator[Finding]:
        if change.kind == "modified" and change.keyword != "key":
            yield from self._other(change)
            return
        for kind, name in self._names(change):
            document = self.new if kind == "added" else self.old
            pointer = change.new if kind == "added" else change.old
            item = document.resolved(document.at(pointer or "#"))
            for method in (method for method in METHODS if method in item):
                said = f"`{method.upper()} {name}` is {'new' if kind == 'added' else 'gone'}"
                yield self._finding(change, f"operation.{kind}", said)

    def _paths(self, change: Change) -> Iterator[Finding]:
        yield from self._each(change, "PathItem", self._path_item)

    def _server(self, change: Change) -> Iterator[Finding]:
        if change.keyword == "url":
            yield self._finding(
                change,
                "server.removed",
                f"The server {_quoted(change.was)} is at {_quoted(change.now)} now",
            )
        elif change.kind == "modified":
            yield self._finding(
                change, "server.removed", f"The address of a server changed in its {change.keyword}"
            )
        else:
            whole = change.now if change.kind == "added" else change.was
            said = f"The server `{whole.get('url')}` is {'new' if change.kind == 'added' else 'gone'}"
            yield self._finding(change, f"server.{change.kind}", said)

    def _servers(self, change: Change) -> Iterator[Finding]:
        yield from self._each(change, "Server", self._server)

    def _security_scheme(self, change: Change) -> Iterator[Finding]:
        if change.kind == "modified":
            said = f"The key `{steps(change.path)[2]}` {self._of_keyword(change)}"
            yield self._finding(change, "security.unlike", said)

    def _of_security(self) -> Iterator[Finding]:
        for each in security.differences(self.old, self.new):
            change = Change("Security", "modified", "security", each.old, each.new, ABSENT, ABSENT)
            of = listed([f"`{name}`" for name in each.operations])
            yield self._finding(change, f"security.{each.kind}", f"{of} {each.says}")

    # The rest.

    def _component(self, change: Change) -> Iterator[Finding]:
        """A component is told by who refers to it; but if nobody does, or if it is called otherwise."""
        name = self._named(change)
        if change.keyword == "key":
            said = f"The component {_quoted(change.was)} is called {_quoted(change.now)} now, and so is its class in generated clients"
            yield self._finding(change, "documentation", said)
        elif change.kind == "added" and not self.after.paths(change.new or "#"):
            yield self._finding(change, "unused", f"{name} is new, and nothing refers to it")
        elif change.kind == "removed" and not self.before.paths(change.old or "#"):
            yield self._finding(change, "unused", f"{name} is gone, to which nothing referred")
        elif change.kind == "modified":
            yield self._finding(change, "unused", f"{name}, to which nothing refers, says something else")

    def _unseen(self, change: Change) -> Iterator[Finding]:
        path = steps(change.new or change.old or "#")
        holder = self._holder(change)
        said = f"{holder[:1].upper()}{holder[1:]} says something else"
        is_used = (change.new and self.after.paths(change.new)) or (
            change.old and self.before.paths(change.old)
        )
        if {"example", "examples"} & set(path):
            yield self._finding(change, "documentation", f"{self._shown(path)} shows something else")
        elif any(self._is_documentation(step) for step in (path[-1], change.keyword)):
            yield self._documentation(change)
        elif not is_used:
            yield self._finding(change, "unused", f"{said}, and nothing refers to it")
        elif (
            change.keyword == "$ref"
            and schemas.relation(self.old, change.was, self.new, change.now) == "same"
        ):
            said = f"{holder[:1].upper()}{holder[1:]} is written in another place, and says the same"
            yield self._finding(change, "same", said)
        else:
            yield self._finding(change, "unknown", said)

    def _shown(self, path: list[str]) -> str:
        at = next(number for number, step in enumerate(path) if step in {"example", "examples"})
        if path[at] == "examples" and len(path) > at + 1:
            return f"The example `{path[at + 1]}`"
        return "An example"

    def _other(self, change: Change) -> Iterator[Finding]:
        if change.type in PLAIN:
            yield self._documentation(change)
            return
        known = {"SchemaList", "SchemaMap", "PatternProperties", "DependentRequired", "DependentSchemas"}
        if change.type in known and change.kind != "modified":
            effect: schemas.Effect = "narrower" if change.kind == "added" else "wider"
            said = f"has {'a' if change.kind == 'added' else 'no'} `{steps(change.path)[-1]}` now"
            yield from self._by_direction(change, effect, said)
            return
        became = {"added": "is new", "removed": "is gone", "modified": "changed"}[change.kind]
        what = change.keyword or steps(change.path)[-1]
        yield self._finding(change, "unknown", f"`{what}` of {self._holder(change)} {became}")

    def _documentation(self, change: Change) -> Finding:
        became = {"added": "new", "removed": "gone"}.get(change.kind, "")
        if change.type == "Example":
            return self._finding(
                change,
                "documentation",
                f"{self._shown(steps(change.path))} {f'is {became}' if became else 'changed'}",
            )
        if not became:
            became = "new" if change.was is ABSENT else "gone" if change.now is ABSENT else ""
        keyword = change.keyword or steps(change.path or change.new or change.old or "#")[-1]
        if not change.keyword and change.type in {"Tag", "TagGroup"}:
            named = self._named(change)
            return self._finding(
                change, "documentation", f"{named} {f'is {became}' if became else 'changed'}"
            )
        what = f"The {keyword}" if keyword.isalpha() and keyword != "openapi" else f"`{keyword}`"
        verb = "are" if keyword in {"examples", "tags"} else "is"
        return self._finding(
            change,
            "documentation",
            f"{what} of {self._holder(change)} {f'{verb} {became}' if became else 'changed'}",
        )

    def _deprecated(self, change: Change, name: str = "") -> Finding:
        subject = name or self._subject(self._spots(change))
        if change.now is True:
            return self._finding(change, "deprecated", f"{subject} is deprecated")
        return self._finding(change, "undeprecated", f"{subject} is not deprecated any more")

    def _same(self, change: Change) -> Finding:
        said = f"`{change.keyword}` of {self._holder(change)} is written in another way, and means the same"
        return self._finding(change, "same", said)

    # Words and places.

    def _by_direction(
        self, change: Change, effect: schemas.Effect, said: str, at: tuple[str, ...] = ()
    ) -> Iterator[Finding]:
        """A finding for each way that what changed is sent."""
        path = at or tuple(steps(change.path))
        if set(path) & {"if", "then", "else"} or path.count("not") > 1:
            effect = "unlike"
        elif "not" in (path if change.kind == "modified" else path[:-1]):
            effect = {"narrower": "wider", "wider": "narrower"}.get(effect, effect)  # type: ignore[assignment]
        for direction, spots in self._directions(change, at=at):
            if effect == "same" and change.keyword:
                yield self._same(change)
            elif effect == "same":
                yield self._finding(change, "same", f"{self._subject(spots)} {said}")
            else:
                yield self._finding(
                    change, self._decision(direction, effect), f"{self._subject(spots)} {said}"
                )

    def _decision(self, direction: str, effect: schemas.Effect) -> str:
        return f"{direction}.{effect}" if direction else "unused"

    def _directions(
        self, change: Change, *, inside: str = "", at: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, frozenset[Spot]]]:
        """The uses of what changed, by who sends it; `inside` is a field below it."""
        spots = self._spots(change)
        if at and not any(spot.direction for spot in spots):
            spots = frozenset({self.after.spot(at)})
        if inside:
            spots = frozenset(
                Spot(spot.direction, spot.operation, spot.part, f"{spot.field}{inside}".removeprefix("."))
                for spot in spots
            )
        for direction in ("request", "response", "both"):
            of = frozenset(spot for spot in spots if spot.direction == direction)
            if of:
                yield direction, of
        if not any(spot.direction for spot in spots):
            yield "", spots

    def _spots(self, change: Change) -> frozenset[Spot]:
        """The uses that changed: those that a place has in both, or in the one and not in the other."""
        was, now = self._holding(change)
        old = self.before.spots(was) if was else frozenset[Spot]()
        new = self.after.spots(now) if now else frozenset[Spot]()
        if was and now:
            return (old & new) or (old | new)
        usages, other = (self.after, self.before) if now else (self.before, self.after)
        paths = usages.paths(now or was or "#")
        apart = frozenset(usages.spot(path) for path in paths if not other.is_at(path))
        return apart or old or new

    def _holding(self, change: Change) -> tuple[str | None, str | None]:
        """Where what changed is or was: for a keyword, what has it."""
        if not change.keyword or change.keyword in {"key", "$ref", "order"}:
            return change.old, change.new
        was, now = (place and place.rpartition("/")[0] for place in (change.old, change.new))
        return was, now

    def _subject(self, spots: frozenset[Spot]) -> str:
        names, place = fields(spots), where(spots)
        if names:
            return f"{names} {place}"
        words = place.removeprefix("in ")
        return words[:1].upper() + words[1:] or "The contract"

    def _named(self, change: Change) -> str:
        """A place that nothing sends, by its name."""
        was, now = self._holding(change)
        document, path = (self.new, steps(now)) if now else (self.old, steps(was or "#"))
        match path:
            case ("components", kind, name, *inside):
                return f"`{name}` in components/{kind}" + (f" ({pointer_to(inside)[2:]})" if inside else "")
            case ("paths", name, method, *_) if method in METHODS:
                return f"`{method.upper()} {name}`"
            case ("servers" | "tags", _, *_):
                whole = document.at(pointer_to(path[:2]))
                return f"the {path[0][:-1]} `{whole.get('name') or whole.get('url')}`"
            case []:
                return "the contract"
            case _:
                return f"`{'.'.join(path[:3])}`"

    def _holder(self, change: Change) -> str:
        spots = self._spots(change)
        if any(spot.part for spot in spots):
            subject = self._subject(spots)
            return subject[:1].lower() + subject[1:]
        return self._named(change)

    def _form(self, change: Change) -> str:
        """A schema in a word or two."""
        value = change.now if change.kind == "added" else change.was
        if isinstance(value, Mapping):
            if isinstance(value.get("$ref"), str):
                return f"`{steps(target(value['$ref']))[-1]}`"
            if value.get("title"):
                return f"`{value['title']}`"
            if value.get("type") == "null":
                return "null"
            if value.get("type"):
                kind = value["type"]
                return _types({kind} if isinstance(kind, str) else set(kind))
        return _quoted(value)

    def _names(self, change: Change) -> list[tuple[str, str]]:
        """What was added and removed, by name: both, where one became the other."""
        if change.keyword == "key":
            return [("removed", str(change.was)), ("added", str(change.now))]
        return [(change.kind, steps(change.path)[-1])]

    def _each(
        self, change: Change, name: str, judge: Callable[[Change], Iterable[Finding]]
    ) -> Iterator[Finding]:
        """What became of each member of a list or map that was added or removed as a whole."""
        whole = change.now if change.kind == "added" else change.was
        if change.kind == "modified" or not isinstance(whole, Mapping | list):
            yield from self._other(change)
            return
        members = whole.items() if isinstance(whole, Mapping) else enumerate(whole)
        for key, value in members:
            step = below("", key)
            yield from judge(
                Change(
                    name,
                    change.kind,
                    "",
                    change.old and change.old + step,
                    change.new and change.new + step,
                    value if change.kind == "removed" else ABSENT,
                    value if change.kind == "added" else ABSENT,
                    change.path + step,
                )
            )

    def _node(self, usages: Usages, path: tuple[str, ...]) -> Any:
        try:
            return usages.node(path)
        except (KeyError, IndexError, TypeError, ValueError):
            return ABSENT

    def _is_documentation(self, keyword: str) -> bool:
        return keyword in DOCUMENTATION or keyword.startswith("x-")

    def _finding(self, change: Change, decision: str, says: str) -> Finding:
        return Finding(decision, f"{says[:1].upper()}{says[1:]}.", change)


@dataclass
class _Rewritten:
    """Findings about whole schemas, and the changes that they account for."""

    findings: list[Finding] = field(default_factory=list[Finding])
    changes: set[int] = field(default_factory=set[int])


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return f"`{text[:_LONGEST]}...`" if len(text) > _LONGEST else f"`{text}`"


def _types(names: set[str]) -> str:
    return " or ".join(sorted(names, key=lambda name: (name == "null", name)))
