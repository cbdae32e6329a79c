"""The table of decisions: whom each kind of change breaks, and why.

**Callers** of the old contract send the requests that it allowed and rely on the responses that it promised. **Servers** of the
old contract accept and refuse requests as it said, ignore unknown keys, and send the responses that it allowed. A change breaks
callers if a server of the new contract may treat them in a way that the old one ruled out. It breaks servers if a server of the old
contract does not conform to the new one.

So narrower requests break callers, and also servers, which have to refuse more. Wider responses break callers. Wider requests and
narrower responses break servers.
"""

from dataclasses import dataclass
from typing import Literal

Category = Literal["callers", "servers", "additive", "documentation"]
CATEGORIES: dict[Category, str] = {
    "callers": "Breaking for callers",
    "servers": "Breaking for servers",
    "additive": "Additive",
    "documentation": "Documentation",
}
"""The categories and their headings, the worst first."""


@dataclass(frozen=True)
class Decision:
    """The effect of one kind of change."""

    why: str
    """The reason."""
    callers: str = ""
    """The consequence for callers of the old contract; empty if there is none."""
    servers: str = ""
    """The consequence for servers of the old contract; empty if there is none."""
    otherwise: Literal["additive", "documentation"] = "additive"
    """The category if it breaks neither."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """The categories that list it."""
        broken: list[Category] = []
        if self.callers:
            broken.append("callers")
        if self.servers:
            broken.append("servers")
        return tuple(broken) or (self.otherwise,)


_REFUSED = "Requests that were valid are refused."
_REFUSE = "Servers have to refuse requests that they accepted."
_ACCEPT = "Servers have to accept requests that they could refuse."
_SEND_LESS = "Servers may no longer send all that they could."
_READ_MORE = "Callers may get responses that were ruled out."

DECISIONS: dict[str, Decision] = {
    # Schemas, parameters and headers.
    "request.narrower": Decision(
        "Some valid requests are no longer valid, and by the rules of the kit a server refuses invalid ones.",
        callers=_REFUSED,
        servers=_REFUSE,
    ),
    "request.wider": Decision(
        "All valid requests stay valid; but a server of the old contract refuses the new ones.",
        servers=_ACCEPT,
    ),
    "request.unlike": Decision(
        "Some valid requests are no longer valid, and some others are now; or nothing is proved.",
        callers=_REFUSED,
        servers=_ACCEPT,
    ),
    "response.narrower": Decision(
        "All new responses were valid before; but a server of the old contract may send others.",
        servers=_SEND_LESS,
    ),
    "response.wider": Decision(
        "All valid responses stay valid; but a caller of the old contract does not expect the new ones.",
        callers=_READ_MORE,
    ),
    "response.unlike": Decision(
        "Some valid responses are no longer valid, and some others are now; or nothing is proved.",
        callers=_READ_MORE,
        servers=_SEND_LESS,
    ),
    "both.narrower": Decision("It is sent in both directions.", callers=_REFUSED, servers=_SEND_LESS),
    "both.wider": Decision("It is sent in both directions.", callers=_READ_MORE, servers=_ACCEPT),
    "both.unlike": Decision("It is sent in both directions.", callers=_READ_MORE, servers=_ACCEPT),
    "request.property.added": Decision(
        "Callers need not send it, and a server ignores an unknown key. In a closed object this is request.wider."
    ),
    "request.property.removed": Decision(
        "It may still be sent, as any key, and is ignored without an error.",
        callers="Servers ignore it, without an error.",
    ),
    "response.property.added": Decision(
        "Servers need not send it, and a caller ignores an unknown key. In a closed object this is response.wider."
    ),
    "response.property.removed": Decision(
        "Callers that read it no longer find it. Servers may still send it, as any key.",
        callers="Callers that read it no longer find it.",
    ),
    "default.added": Decision(
        "The effect of leaving it out was open, and is now promised.",
        servers="Servers have to apply it where the value is left out.",
    ),
    "default.removed": Decision(
        "Callers that leave it out relied on the default; servers may still apply it.",
        callers="Callers that leave it out can no longer rely on the default.",
    ),
    "default.changed": Decision(
        "Leaving it out has another effect, for callers and for servers.",
        callers="Callers that leave it out get another result.",
        servers="Servers have to apply another value where it is left out.",
    ),
    "deprecated": Decision(
        "It works as before. Semantic versioning asks for a minor version when something is deprecated."
    ),
    "undeprecated": Decision("It works as before, and stays.", otherwise="documentation"),
    # Operations and their parts.
    "operation.added": Decision(
        "Nobody calls it yet. A server of the old contract does not have it, and still serves the operations that it has."
    ),
    "operation.removed": Decision(
        "Its callers are refused. A server may still have it.",
        callers="Its callers get 404.",
    ),
    "operation.renamed": Decision(
        "Nothing changed on the wire; but the operationId names the functions of generated clients.",
        callers="The function of generated clients has another name.",
    ),
    "parameter.added": Decision("Callers need not send it, and a server ignores an unknown parameter."),
    "parameter.removed": Decision(
        "It may still be sent, and is ignored without an error.",
        callers="Servers ignore it, without an error.",
    ),
    "parameter.moved": Decision(
        "It is written in another way.",
        callers="Callers write it in a way that is not read.",
        servers="Servers read it in a way that is not written.",
    ),
    "body.removed": Decision("The body that was sent is ignored.", callers="Servers ignore the body."),
    "request.type.removed": Decision(
        "Callers that send it may be refused. A server may still accept it.",
        callers="Callers that send it may be refused.",
    ),
    "request.type.added": Decision("A server of the old contract does not accept it.", servers=_ACCEPT),
    "response.type.removed": Decision(
        "Callers that ask for it do not get it; servers that send it do not conform.",
        callers="Callers that ask for it do not get it.",
        servers="Servers may no longer answer in it.",
    ),
    "response.type.added": Decision("It is sent to callers that ask for it by their Accept header."),
    "status.error.added": Decision(
        "RFC 9110 (15): a client treats an unknown status as the x00 of its class; no server has to send it."
    ),
    "status.error.removed": Decision(
        "Callers that handle it are not affected. A server that answers it does not conform.",
        servers="Servers may no longer answer it.",
    ),
    "status.success.added": Decision(
        "It is a success by its class, with a body that callers do not know.",
        callers="Callers may get a success with a body that they do not know.",
    ),
    "status.success.removed": Decision(
        "Callers that expect it do not get it, and a server that answers it does not conform.",
        callers="Callers do not get the response that they expect.",
        servers="Servers may no longer answer it.",
    ),
    "header.added": Decision("Servers need not send it, and a caller ignores an unknown header."),
    "header.required": Decision(
        "It could be missing, and may not be now.", servers="Servers have to send it always."
    ),
    "header.removed": Decision(
        "Callers that read it no longer find it. Servers may still send it.",
        callers="Callers that read it no longer find it.",
    ),
    "header.optional": Decision("It was promised, and may now be missing.", callers="It may be missing."),
    "security.stricter": Decision(
        "Credentials that were accepted no longer are; a server has to refuse them.",
        callers="Callers with accepted credentials are refused.",
        servers="Servers have to refuse credentials that they accepted.",
    ),
    "security.looser": Decision(
        "Accepted credentials stay accepted; but a server of the old contract refuses the new ones.",
        servers="Servers have to accept credentials that they could refuse.",
    ),
    "security.unlike": Decision(
        "Callers have to send other credentials, and servers to ask for them.",
        callers="Callers with accepted credentials are refused.",
        servers="Servers have to accept credentials that they could refuse.",
    ),
    "server.added": Decision("There is one more URL."),
    "server.removed": Decision(
        "Its callers use a wrong URL.", callers="Callers of this URL use a wrong one."
    ),
    # Nothing on the wire.
    "documentation": Decision("Only words or examples changed.", otherwise="documentation"),
    "same": Decision("It is written in another way, and allows the same values.", otherwise="documentation"),
    "unused": Decision("Nothing refers to it.", otherwise="documentation"),
    "unknown": Decision(
        "The comparison does not know its meaning, and must not guess that it is harmless.",
        callers="The consequence for callers is unknown: read the change.",
        servers="The consequence for servers is unknown: read the change.",
    ),
}
"""The decisions, by the kind of change; `request.` is sent by callers, `response.` by servers."""
