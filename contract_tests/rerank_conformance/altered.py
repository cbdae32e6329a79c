"""The reference server with one step altered: makers of servers that differ from it in that step alone.

Each maker takes a sentence that says what the server does, and the change; what the change is given and gives back
is the step's own. Nothing here says whether a change is legal.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

from rerank_conformance.reference import Reference, ReferenceRequest, ReferenceResponse, Refusal
from rerank_conformance.reference.server import Body
from rerank_conformance.scorers import Scorer

Server = type[Reference]
"""Makes a server; it takes what `Reference` takes, and its docstring says what it does."""


def answering(what: str, change: Callable[[Body, Body], Any]) -> Server:
    """Make a server that changes its ranking as a whole: the answer and the request give what is sent."""

    class Answering(Reference):
        def render(self, body: Body, ranked: Any) -> Body:
            return cast("Body", change(super().render(body, ranked), body))

    return _said(Answering, what)


def listing(what: str, change: Callable[[list[Body], Body], Any]) -> Server:
    """Make a server that changes its list of results: the results and the request give the results."""
    return answering(what, lambda answer, body: {**answer, "results": change(answer["results"], body)})


def each(what: str, change: Callable[[Body], Any]) -> Server:
    """Make a server that changes every result by itself."""
    return listing(what, lambda results, _: [change(result) for result in results])


def echoing(what: str, change: Callable[[Body], Any]) -> Server:
    """Make a server that changes every echo."""
    return each(what, lambda result: {**result, "document": change(result["document"])})


def respelling(what: str, change: Callable[[str], str]) -> Server:
    """Make a server that changes the text of every echo."""
    return echoing(
        what,
        lambda document: {
            name: change(value) if name == "text" else value for name, value in document.items()
        },
    )


def billing(what: str, change: Callable[[Body], Any]) -> Server:
    """Make a server that changes what it says of usage."""
    return answering(what, lambda answer, _: {**answer, "usage": change(answer["usage"])})


def scoring(what: str, change: Callable[[str, Sequence[str], list[float]], list[float]]) -> Server:
    """Make a server that scores differently: the query, the texts and the scores give the scores."""

    class Scoring(Reference):
        def scores(self, query: str, texts: Sequence[str]) -> list[float]:
            return change(query, texts, super().scores(query, texts))

    return _said(Scoring, what)


def by(what: str, scorer: Scorer) -> Server:
    """Make a server that ranks by another scorer."""
    return scoring(what, lambda query, texts, _: list(scorer(query, texts)))


def asked(what: str, change: Callable[[Body], Body]) -> Server:
    """Make a server that ranks another request than the one that it was sent; it echoes what it ranks."""

    class Asked(Reference):
        def validate(self, value: object) -> Body:
            return change(super().validate(value))

    return _said(Asked, what)


def taking(what: str, mend: Callable[[Body], Body]) -> Server:
    """Make a server that takes illegal objects: each is mended before it is validated."""

    class Taking(Reference):
        def validate(self, value: object) -> Body:
            return super().validate(mend({**members(value)}) if members(value) else value)

    return _said(Taking, what)


def refusing(what: str, when: Callable[[Body], object], status: int = 400) -> Server:
    """Make a server that refuses legal requests."""

    class Refusing(Reference):
        def validate(self, value: object) -> Body:
            body = super().validate(value)
            if when(body):
                raise Refusal(status, what)
            return body

    return _said(Refusing, what)


def failing(what: str, when: Callable[[Body], object], status: int = 500) -> Server:
    """Make a server that fails on illegal objects before it has validated them."""

    class Failing(Reference):
        def validate(self, value: object) -> Body:
            if when(members(value)):
                raise Refusal(status, what)
            return super().validate(value)

    return _said(Failing, what)


def erring(what: str, change: Callable[[int, Body], Any]) -> Server:
    """Make a server that changes the envelope of its errors: status and envelope give what is sent."""

    class Erring(Reference):
        def envelope(self, status: int, message: str) -> Body:
            return cast("Body", change(status, super().envelope(status, message)))

    return _said(Erring, what)


def sending(what: str, change: Callable[[ReferenceResponse], ReferenceResponse]) -> Server:
    """Make a server that changes its answers as they are sent, rankings and errors."""

    class Sending(Reference):
        def encode(self, status: int, payload: Body, headers: Any = None) -> ReferenceResponse:
            return change(super().encode(status, payload, headers))

    return _said(Sending, what)


def ranking(what: str, change: Callable[[ReferenceResponse], ReferenceResponse]) -> Server:
    """Make a server that changes its rankings as they are sent, and leaves its errors as they are."""
    return sending(what, lambda answer: change(answer) if answer.status == 200 else answer)


def failures(what: str, change: Callable[[ReferenceResponse], ReferenceResponse]) -> Server:
    """Make a server that changes its errors as they are sent, and leaves its rankings as they are."""
    return sending(what, lambda answer: answer if answer.status == 200 else change(answer))


def refused_as(what: str, status: int, sent: int) -> Server:
    """Make a server that answers with another status, in the envelope too, where it refuses with this one."""

    class RefusedAs(Reference):
        def answer(self, method: str, path: str, headers: Any, body: bytes) -> ReferenceResponse:
            answer = super().answer(method, path, headers, body)
            if answer.status != status:
                return answer
            return self.encode(sent, self.envelope(sent, what))

    return _said(RefusedAs, what)


def hearing(what: str, change: Callable[[ReferenceRequest], ReferenceRequest]) -> Server:
    """Make a server that takes a request for another one, head and body, before its first step."""

    class Hearing(Reference):
        def respond(self, request: ReferenceRequest) -> ReferenceResponse:
            return super().respond(change(request))

    return _said(Hearing, what)


def members(value: object) -> Body:
    """Return the members of a JSON object; an empty mapping for any other value."""
    return cast("Body", value) if isinstance(value, dict) else {}


def _said(server: Server, what: str) -> Server:
    server.__doc__ = what
    return server
