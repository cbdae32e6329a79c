"""Descriptions of differences, their places, and values."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from compare.data import Change
from compare.descriptions import ABSENT, ANYTHING, FORBIDDEN, NONE, PRESENCE
from compare.differences import Difference, Place
from compare.documents import split_pointer
from compare.locations import Location

VALUES = 5  # values of a list that a sentence quotes
LONGEST = 60  # characters of a value that a sentence quotes


def describe_places(places: Sequence[Place], one: Difference) -> str:
    """Describe the places of a difference, as "`top_n` in the request of `POST /rerank`"."""
    for words in (places[0].operation, places[0].part):
        if words == "document":
            return "the document"
        if words.startswith("server "):
            return f"the server `{words.removeprefix('server ')}`"
    operations = join([f"`{name}`" for name in sorted({place.operation for place in places})])
    if not places[0].part or one.kind in ("operation", "security", "operationId"):
        return operations
    parts = join(describe_parts([place.part for place in places]))
    fields = join(sorted({f"`{place.path}`" for place in places if place.path}))
    return f"{fields} in {parts} of {operations}" if fields else f"{parts} of {operations}"


def describe_parts(parts: Iterable[str]) -> list[str]:
    """Describe some parts of operations."""
    found, statuses = dict[str, None](), list[str]()
    headers = dict[str, list[str]]()
    for part in dict.fromkeys(parts):
        match part.split(" "):
            case ["callback", name, *_]:
                found[f"the callback `{name}`"] = None
            case ["security", *_]:
                found["the security"] = None
            case ["request", *media]:
                found[f"the request{f' as `{media[0]}`' if media else ''}"] = None
            case [("query" | "path" | "header" | "cookie") as place, *name]:
                found[f"the {place} parameter `{' '.join(name)}`"] = None
            case [status, "header", *name]:
                headers.setdefault(" ".join(name), []).append(status)
            case [status, *media]:
                statuses.append(f"{status}{f' as `{media[0]}`' if media else ''}")
    words = [*found, *(f"the header `{name}` in {describe_statuses(of)}" for name, of in headers.items())]
    return [*words, describe_statuses(statuses)] if statuses else words


def describe_statuses(statuses: list[str]) -> str:
    """Describe some responses."""
    if len(statuses) > 3 and not any(status.startswith("2") for status in statuses):
        return "the errors"
    return f"the response{'s' if len(statuses) > 1 else ''} {join(sorted(statuses), 4)}"


def describe_difference(one: Difference, decision: str) -> str:  # noqa: C901, PLR0911, PLR0912 - one for each kind
    """Describe a difference, as the predicate of a sentence."""
    was, now = one.values
    is_new, is_gone = was == ABSENT, now == ABSENT
    is_response = one.place.direction == "response"
    match one.kind:
        case "field" | "parameter" | "header":
            if is_gone:
                return (
                    f"is removed{', and other properties are forbidden' if one.effect == 'narrower' else ''}"
                )
            presence = ", and always present" if is_response else ", and required"
            others = ", where other properties were forbidden" if one.effect in ("wider", "unlike") else ""
            return f"is new{presence if one.effect in ('narrower', 'unlike') else ''}{others}"
        case "form" if is_new or is_gone:
            return f"no longer allows an {was}" if is_gone else f"now also allows an {now}"
        case "body":
            return "no longer has a body" if is_gone else "now has a body"
        case "operation" | "callback" | "server" | "media type" | "status":
            return "is removed" if is_gone else "is new"
        case "required":
            is_required = now == PRESENCE[0]
            if is_response:
                return "is now always present" if is_required else "may now be missing"
            return "is now required" if is_required else "is now optional"
        case "null":
            return "may no longer be null" if now == FORBIDDEN else "may now be null"
        case "deprecated":
            return "is deprecated" if decision == "deprecated" else "is no longer deprecated"
        case "security":
            return f"accepts {now} now; before, {was}"
        case "operationId":
            return f"has the operationId {quote(now)} now; before, {quote(was)}"
        case "type":
            return f"is {now} now; before, {was}"
        case "values":
            return describe_values(was, now)
        case "extra" if FORBIDDEN in (was, now) or ANYTHING in (was, now):
            allowed = "forbids other properties" if now == FORBIDDEN else "allows other properties"
            return allowed + ("" if now in (FORBIDDEN, ANYTHING) else f" of type {now}")
        case "meaning":
            words = {"wider": "more values", "narrower": "fewer values"}.get(one.effect, "other values")
            return f"allows {words} now"
        case "written" | "explode" | "required fields" | "form":
            name = {"written": "style", "form": "forms"}.get(one.kind, one.kind)
            return f"has the {name} {quote(now)} now; before, {quote(was)}"
        case kind if was == NONE:
            return f"has `{kind}` {quote(now)} now"
        case kind if now == NONE:
            return f"no longer has `{kind}` {quote(was)}"
        case kind:
            return f"has `{kind}` {quote(now)} now; before, {quote(was)}"


def describe_values(was: str, now: str) -> str:
    """Describe a change of the listed values."""
    try:
        old, new = (list(map(json_value, json.loads(f"[{values}]"))) for values in (was, now))
    except ValueError:  # any value of a type
        return f"allows {quote(now)} now; before, {quote(was)}"
    gone = join([quote(value) for value in old if value not in new], VALUES)
    added = join([quote(value) for value in new if value not in old], VALUES)
    said = [f"no longer allows {gone}"] * bool(gone) + [f"now also allows {added}"] * bool(added)
    return " and ".join(said)


def json_value(value: Any) -> str:
    """Return a value as a sentence quotes it: a string without quotation marks."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def quote(text: str) -> str:
    """Quote a value, shortened."""
    text = " ".join(text.split())
    return f"`{text[:LONGEST]}...`" if len(text) > LONGEST else f"`{text}`"


def join(words: Sequence[str], most: int = 3) -> str:
    """Join words to one phrase, and count those beyond the limit."""
    if len(words) > most:
        words = [*words[: most - 1], f"{len(words) - most + 1} more"]
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def describe_kind(change: Change) -> str:
    """Describe the kind of a change of the data."""
    return "is new" if change.old is None else "is removed" if change.new is None else "changed"


def describe_prose(change: Change) -> str:
    """Describe a change that changes nothing on the wire."""
    if change.path[0] == "components" and change.path[1:2] == ["examples"] and len(change.path) > 2:
        return (
            f"The example `{change.path[2]}` {describe_kind(change) if len(change.path) == 3 else 'changed'}"
        )
    at = change.new or change.old
    if change.path[0] == "tags" and len(change.path) == 2 and at and isinstance(at.value, dict):
        return f"The tag {quote(str(at.value.get('name')))} {describe_kind(change)}"
    return f"{name_change(change)} {describe_kind(change)}"


def name_change(change: Change) -> str:
    """Name the place of a change."""
    return name_location(change.new or change.old or change.around[1])


def name_location(at: Location) -> str:
    """Name a location, as "`properties.top_n.title` of the schema `RerankRequest`"."""
    path = split_pointer(at.pointer)
    match path:
        case ["components", kind, name, *inside]:
            holder = f"{SINGULAR.get(kind, kind)} `{name}`"
        case ["paths", name, method, *inside] if method != "parameters":
            holder = f"`{method.upper()} {name}`"
        case ["paths", name, *inside]:
            holder = f"`{name}`"
        case _:
            return f"`{'.'.join(path)}`" if path else "the contract"
    return f"`{'.'.join(inside)}` of {holder}" if inside else holder


SINGULAR = {
    "callbacks": "the callback",
    "headers": "the header",
    "parameters": "the parameter",
    "requestBodies": "the request body",
    "responses": "the response",
    "schemas": "the schema",
    "securitySchemes": "the security scheme",
}
"""The words for one component of a kind."""
