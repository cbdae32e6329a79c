"""The operations of an OpenAPI document: parameters, bodies, statuses, headers, security, servers, callbacks.

References are followed, so that a component equals the same definition written inline.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from compare.documents import METHODS, Document
from compare.locations import Location, root

# OpenAPI ignores header parameters and response headers with these names
IGNORED = {"accept", "authorization", "content-type"}
STYLES = {"query": "form", "cookie": "form", "path": "simple", "header": "simple"}

Alternative = frozenset[tuple[str, frozenset[str]]]
"""The security schemes that a caller needs together, each with its scopes; empty if no scheme is needed."""


@dataclass(frozen=True)
class Media:
    """A body of one media type."""

    at: Location
    schema: Location | None
    encoding: Location | None


@dataclass(frozen=True)
class Value:
    """A parameter or a header."""

    at: Location
    name: str
    """The name as written; headers are compared case-insensitively."""
    required: bool
    schema: Location | None
    serialization: str
    """The style, such as `form`, or the media type."""
    explode: bool
    deprecated: bool


@dataclass(frozen=True)
class Status:
    """A response."""

    at: Location
    headers: Mapping[str, Value]
    media: Mapping[str, Media]


@dataclass(frozen=True)
class Security:
    """The credentials that an operation accepts."""

    at: Location | None
    alternatives: frozenset[Alternative]
    """The alternatives; each is sufficient."""
    schemes: Mapping[str, Location] = field(default_factory=dict[str, Location], compare=False)
    """The schemes, by their description."""


@dataclass(frozen=True)
class Operation:
    """One operation of a document."""

    at: Location
    path: Location
    """The path item, which other operations share."""
    operation_id: str
    parameters: Mapping[str, Value]
    """The parameters by place and name, such as `query limit`."""
    body: Location | None
    body_required: bool
    media: Mapping[str, Media]
    """The request bodies, by media type."""
    statuses: Mapping[str, Status]
    security: Security
    servers: Mapping[str, Location]
    """The servers of this operation alone."""
    callbacks: Mapping[str, "Operation"]
    """The callbacks by name, method and expression."""
    deprecated: bool

    def response(self, status: str) -> Status | None:
        """Return the response of a status: its own, that of its class (such as 4XX), or the default."""
        names = (status, f"{status[0]}XX", f"{status[0]}xx", "default")
        return next((self.statuses[name] for name in names if name in self.statuses), None)


@dataclass(frozen=True)
class Api:
    """The operations of one document."""

    document: Document
    operations: Mapping[str, Operation]
    """The operations by method and path without the prefix, such as `POST /rerank`; webhooks as `webhook POST name`."""
    servers: Mapping[str, Location]


def read_api(document: Document, paths: Iterable[str] | None = None, prefix: str = "") -> Api:
    """Return the operations of a document.

    Args:
        document: The document.
        paths: The paths to read, without the prefix; all paths, and webhooks, if None.
        prefix: The text before each of the paths in this document.

    Raises:
        CannotReadError: The document is malformed where it is read.
    """
    items = root(document).get("paths")
    known = items.mapping() if items else {}
    operations = dict[str, Operation]()
    if paths is None:
        paths = [path for path in known if not path.startswith("x-")]
        for name, webhook in root(document).entries("webhooks").items():
            webhooks = _read_item(webhook)
            operations |= {f"webhook {method.upper()} {name}": made for method, made in webhooks.items()}
    for path in paths:
        item = items.get(prefix + path) if items else None
        operations |= {f"{method.upper()} {path}": made for method, made in _read_item(item).items()}
    return Api(document, operations, read_servers(root(document), prefix) or {prefix or "/": root(document)})


def read_servers(at: Location, prefix: str = "") -> dict[str, Location]:
    """Return the servers of a document, a path or an operation by their URL, with the default of each variable."""
    found = dict[str, Location]()
    for server in at.elements("servers"):
        url = server.text("url")
        for name, variable in server.entries("variables").items():
            url = url.replace(f"{{{name}}}", variable.text("default"))
        found[url.rstrip("/") + prefix] = server
    return found


def _read_item(item: Location | None, parents: frozenset[str] = frozenset()) -> dict[str, Operation]:
    """Return the operations of a path item by method; empty for a callback that contains itself."""
    if item is None or item.pointer in parents:
        return {}
    methods = [method for method in METHODS if method in item.mapping()]
    return {method: _read_operation(item, method, parents | {item.pointer}) for method in methods}


def _read_operation(item: Location, method: str, parents: frozenset[str]) -> Operation:
    """Return one operation, with what it inherits from its path and the document."""
    at = item.child(method).resolve()
    parameters = dict[str, Value]()
    for parameter in (*item.elements("parameters"), *at.elements("parameters")):
        place, name = parameter.text("in"), parameter.text("name")
        if place != "header":
            parameters[f"{place} {name}"] = _read_value(parameter, place, f"{place} {name}")
        elif name.lower() not in IGNORED:
            parameters[f"{place} {name.lower()}"] = _read_value(parameter, place, f"{place} {name}")
    body = at.get("requestBody")
    responses = {
        status: _read_status(response)
        for status, response in at.entries("responses").items()
        if not status.startswith("x-")
    }
    callbacks = {
        f"{name} {inner.upper()} {expression}": made
        for name, callback in at.entries("callbacks").items()
        for expression in callback.mapping()
        if not expression.startswith("x-")
        for inner, made in _read_item(callback.child(expression).resolve(), parents).items()
    }
    return Operation(
        at=at,
        path=item,
        operation_id=str(at.mapping().get("operationId", "")),
        parameters=parameters,
        body=body,
        body_required=body is not None and body.mapping().get("required") is True,
        media=_read_media(body) if body else {},
        statuses=responses,
        security=_read_security(at),
        servers=read_servers(at) or read_servers(item),
        callbacks=callbacks,
        deprecated=at.mapping().get("deprecated") is True,
    )


def _read_value(at: Location, place: str, name: str) -> Value:
    """Return a parameter, or a response header with the place `header`."""
    raw = at.mapping()
    schema = at.keyword("schema")
    if schema is None and "content" in raw:
        media = _read_media(at)
        serialization, explode = ", ".join(media), False
        schema = next((one.schema for one in media.values()), None)
    else:
        serialization = str(raw.get("style", STYLES.get(place, "simple")))
        explode = raw.get("explode", serialization == "form") is True
        for keyword, words in (("allowReserved", "reserved"), ("allowEmptyValue", "empty")):
            serialization += f", {words}" if raw.get(keyword) is True else ""
    return Value(
        at=at,
        name=name,
        required=raw.get("required") is True,
        schema=schema,
        serialization=serialization,
        explode=explode,
        deprecated=raw.get("deprecated") is True,
    )


def _read_media(at: Location) -> dict[str, Media]:
    """Return the bodies under `content`, by media type without its parameters."""
    return {
        name.partition(";")[0].strip().lower(): Media(
            media, media.keyword("schema"), media.keyword("encoding") if media.mapping() else None
        )
        for name, media in at.entries("content").items()
    }


def _read_status(at: Location) -> Status:
    """Return a response, with its headers by name in lower case."""
    headers = {
        name.lower(): _read_value(header, "header", f"header {name}")
        for name, header in at.entries("headers").items()
        if name.lower() not in IGNORED
    }
    return Status(at, headers, _read_media(at))


def _read_security(at: Location) -> Security:
    """Return the credentials that an operation accepts, described without the document's own names."""
    top = root(at.document)
    source = at if "security" in at.mapping() else top
    components = top.get("components")
    known = components.entries("securitySchemes") if components else {}
    alternatives, schemes = set[Alternative](), dict[str, Location]()
    for requirement in source.elements("security"):
        needed = set[tuple[str, frozenset[str]]]()
        for name, scopes in requirement.mapping().items():
            if name not in known:
                message = (
                    f"the security scheme {name[:80]!r} is not defined: add it to components/securitySchemes"
                )
                raise requirement.error(message)
            description = _describe_scheme(known[name])
            schemes[description] = known[name]
            needed.add((description, frozenset(map(str, scopes if isinstance(scopes, list) else []))))
        alternatives.add(frozenset(needed))
    return Security(source.keyword("security"), frozenset(alternatives or {frozenset()}), schemes)


def _describe_scheme(at: Location) -> str:
    """Describe a security scheme by the credentials that it sends."""
    match at.text("type"):
        case "http":
            return f"http {at.text('scheme').lower()}"
        case "apiKey":
            return f"a key in the {at.text('in')} {at.text('name')}"
        case "oauth2":
            flows = [
                " ".join(
                    [name, *(str(url) for key, url in sorted(flow.mapping().items()) if key.endswith("Url"))]
                )
                for name, flow in sorted(at.entries("flows").items())
                if not name.startswith("x-")
            ]
            return f"oauth2{' by ' if flows else ''}{' or '.join(flows)}"
        case "openIdConnect":
            return f"openIdConnect at {at.text('openIdConnectUrl')}"
        case other:
            return other
