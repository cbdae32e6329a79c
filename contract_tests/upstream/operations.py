"""What an OpenAPI document says of an operation beside its schemas: parameters, bodies, statuses, headers, security.

References are followed here, so that a component and the same thing written in place are one.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from documents import METHODS, Document
from upstream.places import At, top

RERANK = "/rerank"
# OpenAPI: a header parameter or a response header of these names says nothing
IGNORED = {"accept", "authorization", "content-type"}
STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}


@dataclass(frozen=True)
class Media:
    """A body of one media type."""

    at: At
    schema: At | None


@dataclass(frozen=True)
class Value:
    """A parameter or a header: one value beside the body."""

    at: At
    name: str
    """As it is written; headers have no case."""
    required: bool
    schema: At | None
    written: str
    """How the value is written, as `form, explode`."""
    deprecated: bool


@dataclass(frozen=True)
class Status:
    """An answer."""

    at: At
    headers: Mapping[str, Value]
    media: Mapping[str, Media]


@dataclass(frozen=True)
class Operation:
    """One operation of a document."""

    at: At
    parameters: Mapping[str, Value]
    """By their place and name, as `query limit`."""
    body: At | None
    body_required: bool
    media: Mapping[str, Media]
    """The bodies of a request, by media type."""
    statuses: Mapping[str, Status]
    security: frozenset[str]
    """What lets a caller in; one of these is enough."""
    deprecated: bool

    def answers(self, status: str) -> Status | None:
        """What is said of a status: by itself, with all of its hundred, or with all others."""
        return next(
            (
                self.statuses[name]
                for name in (status, f"{status[0]}XX", f"{status[0]}xx", "default")
                if name in self.statuses
            ),
            None,
        )


@dataclass(frozen=True)
class Api:
    """The operations that two documents are compared in."""

    document: Document
    wanted: tuple[str, ...]
    """The paths that were read."""
    operations: Mapping[str, Operation]
    """By method and path, as `POST /rerank`, the prefix left out."""
    paths: int
    """How many paths the document has in all."""
    servers: Mapping[str, At]
    """The addresses that `/rerank` follows, each with its place."""


def read(document: Document, wanted: Iterable[str] | None = None, prefix: str | None = None) -> Api:
    """The operations under some paths of a document.

    Args:
        document: The document.
        wanted: Which paths are wanted, as the contract has them; all when left out.
        prefix: What stands before them in this document; found by itself where just one path ends in `/rerank`.

    Raises:
        CannotReadError: It is no OpenAPI 3, has no `/rerank`, or is broken where it is read.
    """
    check_version(document)
    found = top(document).get("paths")
    known = found.mapping() if found else {}
    if found is None or not known:
        raise top(document).wrong("it has no paths: name the document that describes the API")
    prefix = prefix_of(document, list(known), prefix)
    paths = tuple(known if wanted is None else wanted)
    operations = dict[str, Operation]()
    for path in paths:
        item = found.get(prefix + path)
        for method in METHODS:
            if item is not None and method in item.mapping():
                operations[f"{method.upper()} {path}"] = operation(document, item, method)
    return Api(document, paths, operations, len(known), servers(document, prefix))


def check_version(document: Document) -> None:
    """Refuse what is no OpenAPI 3."""
    value = document.data
    if not isinstance(value, dict):
        raise top(document).wrong("it is no OpenAPI document: an object with the key `openapi` is expected")
    if "swagger" in value:
        message = f"it is Swagger {value['swagger']}, and OpenAPI 3 is needed: convert it first, as `npx swagger2openapi FILE` does"
        raise top(document).wrong(message)
    if not str(value.get("openapi", "")).startswith("3."):
        said = f"`openapi` is {value['openapi']!r}" if "openapi" in value else "there is no key `openapi`"
        message = f"{said}, and a document of OpenAPI 3 is needed"
        raise top(document).wrong(message)


def prefix_of(document: Document, paths: list[str], prefix: str | None) -> str:
    """What stands before `/rerank` in the paths of a document."""
    where = document.name
    if prefix is not None:
        prefix = prefix.rstrip("/")
        if prefix + RERANK not in paths:
            message = f"it has no path {prefix + RERANK}: leave --prefix out, or correct it"
            raise top(document).wrong(message)
        return prefix
    if RERANK in paths:
        return ""
    found = [path for path in paths if path.endswith(RERANK)]
    if len(found) == 1:
        return found[0].removesuffix(RERANK)
    if found:
        message = (
            f"{len(found)} paths end in {RERANK}: say which with --prefix, as {found[0].removesuffix(RERANK)}"
            f" ({', '.join(found)})"
        )
        raise top(document).wrong(message)
    near = difflib.get_close_matches(RERANK, paths, n=3, cutoff=0.5)
    nearest = f"; the nearest is {near[0]}" if near else ""
    message = f"none of its {len(paths)} paths ends in {RERANK}{nearest}: is {where} the right document?"
    raise top(document).wrong(message)


def servers(document: Document, prefix: str) -> dict[str, At]:
    """The addresses that a document is served at, with the prefix of its paths."""
    found = dict[str, At]()
    for server in top(document).elements("servers"):
        url = server.text("url")
        for name, variable in server.entries("variables").items():
            url = url.replace(f"{{{name}}}", variable.text("default"))
        found[url.rstrip("/") + prefix] = server
    return found or {prefix or "/": top(document)}


def operation(document: Document, item: At, method: str) -> Operation:
    """One operation, with what it has from its path and from the whole document."""
    at = item.raw(method).followed()
    parameters = dict[str, Value]()
    for parameter in (*item.elements("parameters"), *at.elements("parameters")):
        place, name = parameter.text("in"), parameter.text("name")
        if place != "header":
            parameters[f"{place} {name}"] = value_of(parameter, place, f"{place} {name}")
        elif name.lower() not in IGNORED:
            parameters[f"{place} {name.lower()}"] = value_of(parameter, place, f"{place} {name}")
    body = at.get("requestBody")
    return Operation(
        at,
        parameters,
        body,
        body is not None and body.mapping().get("required") is True,
        media_of(body) if body else {},
        {
            status: status_of(answer)
            for status, answer in at.entries("responses").items()
            if not status.startswith("x-")
        },
        security_of(document, at),
        at.mapping().get("deprecated") is True,
    )


def value_of(at: At, place: str, name: str) -> Value:
    """A parameter, or a header in the place `header`."""
    said = at.mapping()
    schema = at.raw("schema") if "schema" in said else None
    written = "by its schema"
    if schema is None and "content" in said:
        media = media_of(at)
        written = ", ".join(media)
        schema = next((one.schema for one in media.values()), None)
    else:
        style = said.get("style", STYLES.get(place, "simple"))
        explode = said.get("explode", style == "form")
        written = f"{style}{', explode' if explode else ''}"
    return Value(at, name, said.get("required") is True, schema, written, said.get("deprecated") is True)


def media_of(at: At) -> dict[str, Media]:
    """The bodies that stand under `content`, by media type without its parameters."""
    found = dict[str, Media]()
    for name, media in at.entries("content").items():
        schema = media.raw("schema") if "schema" in media.mapping() else None
        found[name.partition(";")[0].strip().lower()] = Media(media, schema)
    return found


def status_of(at: At) -> Status:
    """An answer, its headers under names in lower case."""
    headers = {
        name.lower(): value_of(header, "header", f"header {name}")
        for name, header in at.entries("headers").items()
        if name.lower() not in IGNORED
    }
    return Status(at, headers, media_of(at))


def security_of(document: Document, at: At) -> frozenset[str]:
    """What lets a caller in, in words that do not depend on what a document calls its schemes."""
    source = at if "security" in at.mapping() else top(document)
    components = top(document).get("components")
    schemes = components.entries("securitySchemes") if components else {}
    found = set[str]()
    for choice in source.elements("security"):
        together = list[str]()
        for name, scopes in choice.mapping().items():
            if name not in schemes:
                message = f"the security scheme {name!r} is defined nowhere"
                raise choice.wrong(message)
            together.append(scheme(schemes[name], scopes))
        found.add(" and ".join(sorted(together)) or "nothing")
    return frozenset(found or {"nothing"})


def scheme(at: At, scopes: object) -> str:
    """One security scheme in words."""
    match at.text("type"):
        case "http":
            return f"http {at.text('scheme').lower()}"
        case "apiKey":
            return f"a key in the {at.text('in')} {at.text('name')}"
        case other:
            wanted = sorted(map(str, scopes)) if isinstance(scopes, list) else []
            return f"{other}{' with ' + ', '.join(wanted) if wanted else ''}"
