"""Who is broken by which kind of change, and why: the table that `nox -s changes` decides by; it looks at no document.

Two people hold a contract. **Callers** written for the old one send what it allowed and named, and read what it
promised. **Servers** that conform to the old one take what it allowed, refuse what it forbade, ignore keys that they do
not know, and send what it allowed. A change breaks callers if a server of the new contract may do to them what the old
one ruled out; it breaks servers if a server of the old contract does not conform to the new one.

So what is sent may only become *less* and what is read may only become *more* at the cost of somebody: narrower requests
break those who send them, wider answers those who read them, wider requests and narrower answers the servers.
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
"""The four kinds, from the worst to the least, with the heading of each."""


@dataclass(frozen=True)
class Decision:
    """What a kind of change does to whom."""

    why: str
    """The reason, for who doubts the decision."""
    callers: str = ""
    """What it does to callers of the old contract; empty if nothing."""
    servers: str = ""
    """What it does to servers of the old contract; empty if nothing."""
    otherwise: Literal["additive", "documentation"] = "additive"
    """What it is where it breaks neither."""

    @property
    def categories(self) -> tuple[Category, ...]:
        """Where it is listed: under everybody whom it breaks, or under one of the others."""
        broken: list[Category] = []
        if self.callers:
            broken.append("callers")
        if self.servers:
            broken.append("servers")
        return tuple(broken) or (self.otherwise,)


_REFUSED = "Callers that send what was legal are refused."
_REFUSE = "Servers have to refuse what they took."
_TAKE = "Servers have to take what they could refuse."
_SEND_LESS = "Servers may no longer send all that they could."
_READ_MORE = "Callers may get what they were told they would not."

DECISIONS: dict[str, Decision] = {
    # What stands in schemas, parameters and headers.
    "request.narrower": Decision(
        "What was legal to send is not any more; and by the rules of the kit a server refuses what is illegal.",
        callers=_REFUSED,
        servers=_REFUSE,
    ),
    "request.wider": Decision(
        "Whoever sends what was legal goes on; but a server of the old contract refuses what is newly legal.",
        servers=_TAKE,
    ),
    "request.unlike": Decision(
        "Some of what was legal to send is not any more, and some is that was not; or it cannot be told.",
        callers=_REFUSED,
        servers=_TAKE,
    ),
    "response.narrower": Decision(
        "All that comes was legal before; but a server of the old contract may send what is not legal any more.",
        servers=_SEND_LESS,
    ),
    "response.wider": Decision(
        "All that servers send is still legal; but who reads by the old contract does not expect all that may come.",
        callers=_READ_MORE,
    ),
    "response.unlike": Decision(
        "Some of what was legal to answer is not any more, and some is that was not; or it cannot be told.",
        callers=_READ_MORE,
        servers=_SEND_LESS,
    ),
    "both.narrower": Decision("It is sent both ways.", callers=_REFUSED, servers=_SEND_LESS),
    "both.wider": Decision("It is sent both ways.", callers=_READ_MORE, servers=_TAKE),
    "both.unlike": Decision("It is sent both ways.", callers=_READ_MORE, servers=_TAKE),
    "request.property.added": Decision(
        "Callers need not send it, and a server that does not know a key ignores it; in an object that is closed this "
        "is request.wider."
    ),
    "request.property.removed": Decision(
        "It may still be sent, as any key may, and is ignored: what it asked for does not happen, and nobody is told.",
        callers="Servers ignore it: what it asked for does not happen.",
    ),
    "response.property.added": Decision(
        "Servers need not send it, and a caller ignores a key that it does not know; in an object that is closed this "
        "is response.wider."
    ),
    "response.property.removed": Decision(
        "Who reads it finds it no more. Servers may go on to send it, as any key.",
        callers="Callers that read it find it no more.",
    ),
    "default.added": Decision(
        "What leaving it out means was open and is promised now.",
        servers="Servers have to act so where it is left out.",
    ),
    "default.removed": Decision(
        "Who leaves it out relied on what it meant; servers may go on to act so.",
        callers="Callers that leave it out cannot rely on what that means.",
    ),
    "default.changed": Decision(
        "Leaving it out means something else, for those who leave it out and for those who act by it.",
        callers="Callers that leave it out get something else.",
        servers="Servers have to act otherwise where it is left out.",
    ),
    "deprecated": Decision(
        "It works as before; that it will go is news, which semantic versioning asks to be a minor version."
    ),
    "undeprecated": Decision("It works as before, and will not go.", otherwise="documentation"),
    # Operations and what belongs to them.
    "operation.added": Decision(
        "Nobody calls it yet. A server of the old contract has not got it, and is still a server of the operations "
        "that it has."
    ),
    "operation.removed": Decision(
        "Who calls it is refused. A server may go on to have it.",
        callers="Callers of it are answered 404.",
    ),
    "operation.renamed": Decision(
        "On the wire nothing changed; the functions of generated clients are named by it.",
        callers="Callers of generated clients find the function under another name.",
    ),
    "parameter.added": Decision("Callers need not send it, and a server that does not know it ignores it."),
    "parameter.removed": Decision(
        "It may still be sent and is ignored: what it asked for does not happen, and nobody is told.",
        callers="Servers ignore it: what it asked for does not happen.",
    ),
    "parameter.moved": Decision(
        "It is looked for in another place, or read in another way.",
        callers="Callers send it where, or as, it is not read.",
        servers="Servers look for it where, or read it as, it is not sent.",
    ),
    "body.removed": Decision(
        "What was sent in it is ignored.", callers="Servers ignore what was sent in it."
    ),
    "request.type.removed": Decision(
        "Who sends it may be refused. Whether a server goes on to take it is its own affair.",
        callers="Callers that send it may be refused.",
    ),
    "request.type.added": Decision("A server of the old contract does not take it.", servers=_TAKE),
    "response.type.removed": Decision(
        "Who asks for it does not get it; who sends it does not conform.",
        callers="Callers that ask for it do not get it.",
        servers="Servers may not answer in it.",
    ),
    "response.type.added": Decision("It comes to those who ask for it, by their Accept header."),
    "status.error.added": Decision(
        "RFC 9110 (15): who does not know a status treats it as the x00 of its class; nobody has to answer it."
    ),
    "status.error.removed": Decision(
        "Who handles it waits for nothing. A server that answers it does not conform.",
        servers="Servers may not answer it.",
    ),
    "status.success.added": Decision(
        "It is a success by its class, with a body that callers do not know.",
        callers="Callers may get a success whose body they do not know.",
    ),
    "status.success.removed": Decision(
        "Who waits for it waits in vain, and who answers it does not conform.",
        callers="Callers do not get the answer that they wait for.",
        servers="Servers may not answer it.",
    ),
    "header.added": Decision("Servers need not send it, and a caller ignores what it does not know."),
    "header.required": Decision(
        "It may have been missing, and may not be.", servers="Servers have to send it always."
    ),
    "header.removed": Decision(
        "Who reads it finds it no more. Servers may go on to send it.",
        callers="Callers that read it find it no more.",
    ),
    "header.optional": Decision(
        "It was promised, and may be missing.", callers="Callers may find it missing."
    ),
    "security.stricter": Decision(
        "What let callers in does not any more; a server has to refuse it.",
        callers="Callers that were let in are refused.",
        servers="Servers have to refuse whom they let in.",
    ),
    "security.looser": Decision(
        "What lets callers in still does; a server of the old contract refuses what else has to.",
        servers="Servers have to let in whom they could refuse.",
    ),
    "security.unlike": Decision(
        "Callers have to show something else, and servers to ask for it.",
        callers="Callers that were let in are refused.",
        servers="Servers have to let in whom they could refuse.",
    ),
    "server.added": Decision("There is one more address."),
    "server.removed": Decision(
        "Who calls it is at a wrong address.", callers="Callers of this address are at the wrong one."
    ),
    # Nothing on the wire.
    "documentation": Decision(
        "It says what is so in other words, or shows it; nothing on the wire may change by it.",
        otherwise="documentation",
    ),
    "same": Decision("It is written in another way and allows the same.", otherwise="documentation"),
    "unused": Decision("Nothing refers to it.", otherwise="documentation"),
    "unknown": Decision(
        "This table does not know what it means: to take it for harmless would be a guess.",
        callers="What it does to callers cannot be told: read it.",
        servers="What it does to servers cannot be told: read it.",
    ),
}
"""By the kind of change. `request.` is what callers send and servers read, `response.` the other way round."""
