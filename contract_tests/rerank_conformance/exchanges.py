"""Requests to a server and their outcomes, as values."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NoReturn, TypeGuard, cast

Phase = Literal["smoke", "refuse", "rank", "alone", "generate", "beside"]
"""The phase of a request: those of one are sent at the same time, but `alone` one after the other and `beside` during all others."""
Form = Literal["usual", "chunked", "new", "http-1.0", "after-head", "after-refusal", "after-pause"]
"""The form of HTTP of a request: the usual one, a body in chunks, a new connection, HTTP/1.0, or another request before it on
its connection, which is then idle for a while in `after-pause`."""
RAW_FORMS: frozenset[Form] = frozenset({"http-1.0", "after-head", "after-refusal"})
"""The forms that need a connection of their own, which a server in process has not."""
Auth = Literal[
    "key",
    "none",
    "basic",
    "empty",
    "bare",
    "wrong",
    "longer",
    "shorter",
    "other-end",
    "other-case",
    "lower-case",
]
"""Which Authorization a request carries: the key itself, or what is wrong about it."""

KEY = "$OPENROUTER_API_KEY"
"""The placeholder for the key in everything that is recorded."""
OF_RANKING = "/rerank"
"""The path of the operation."""
WRONG_KEY = "sk-or-v1-0000-this-key-is-unknown"

TRANSIENT = frozenset({408, 429, 502, 503, 504, *range(520, 525), 529})
"""Statuses that say "try again": they prove nothing about conformance. 504 and 520 to 523 are those of edge networks."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """One request, and what it is for."""

    name: str
    phase: Phase
    rule: str | None = None
    """The rule that judges whether it was accepted, or refused, as it should have been."""
    body: object = None
    """The JSON value that is sent; bytes are sent as they are."""
    legal: bool | None = None
    """True if the contract allows the request; None if nothing about the ranking may be judged by it."""
    method: str = "POST"
    path: str = OF_RANKING
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Beside those of every request; an empty value takes one of those away."""
    form: Form = "usual"
    """The form of HTTP in which it is sent."""
    auth: Auth = "key"
    quick: bool = False
    sent: bytes | None = None
    """The bytes that are sent, where they are not the usual ones of the body."""
    since: str = "1.0.0"
    """The version of the contract from which on it is sent: a released rule set keeps its requests, too."""

    @cached_property
    def content(self) -> bytes:
        """The bytes of the body."""
        if self.sent is not None:
            return self.sent
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body, ensure_ascii=False).encode("utf-8")

    @cached_property
    def documents(self) -> Sequence[Any]:
        """The documents of the request; none where it has no list of them."""
        documents: Any = self._object.get("documents")
        return cast("Sequence[Any]", documents) if isinstance(documents, list) else ()

    @cached_property
    def document_keys(self) -> Sequence[str]:
        """A string for each document; those of equal documents are equal."""
        return [json.dumps(document, sort_keys=True) for document in self.documents]

    @cached_property
    def top_n(self) -> float | None:
        """The `top_n` of the request."""
        return cast("float | None", self._object.get("top_n"))

    @cached_property
    def _object(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.body) if isinstance(self.body, dict) else {}


@dataclass(frozen=True)
class ReceivedResponse:
    """A whole response."""

    status: int
    headers: Mapping[str, str]
    """By names in lower case."""
    body: bytes

    @cached_property
    def value(self) -> Any:
        """The body read as JSON; NaN and infinities are read too, as other rules judge numbers.

        None where it is no JSON.
        """
        try:
            return json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError):
            return None

    @property
    def not_json(self) -> str | None:
        """The reason why the body is not JSON, with the place; None if it is."""
        return not_json(self.body)

    @cached_property
    def media_type(self) -> str:
        """The media type, without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


FaultKind = Literal["unreachable", "timeout", "closed", "broken", "unsent", "internal"]
"""No connection; no answer in time; a connection that ended before the answer began, which is tried again; an answer
that is not whole HTTP; a request that was never sent; a request that the check itself failed to send."""


@dataclass(frozen=True)
class NoResponse:
    """The reason why there is no answer."""

    kind: FaultKind
    message: str


@dataclass(frozen=True)
class Exchange:
    """A request, and what came of it."""

    probe: Probe
    outcome: ReceivedResponse | NoResponse
    elapsed: float = 0.0
    attempts: int = 1
    """The number of times that the request was sent."""
    passing: tuple[int, ...] = ()
    """The transient statuses that attempts were answered with, those of a recovered 500 included."""
    lasting: bool = False
    """True if its transient error came again later, each time, while another request was ranked."""

    @cached_property
    def answer(self) -> ReceivedResponse | None:
        """The answer, if there was one."""
        return self.outcome if isinstance(self.outcome, ReceivedResponse) else None

    @cached_property
    def undecided(self) -> str | None:
        """The reason why nothing can be concluded from this exchange; None if something can."""
        if isinstance(self.outcome, NoResponse):
            return self.outcome.message if self.outcome.kind != "broken" else None
        if self.lasting:
            return None
        if self.outcome.status in TRANSIENT:
            return f"answered {self.outcome.status} until the time for it was used up"
        if transient_status(self.probe, self.outcome) is not None:
            error = self.outcome.value["error"]
            code = error.get("code") if isinstance(error, dict) else None
            named = "" if code is None else f" {json.dumps(code)[:40]}"
            return f"answered 200 with an error{named} in place of results"
        return None

    @property
    def crashed(self) -> bool:
        """True if the server failed: 500, an answer that is not whole HTTP, or another 5xx that does not pass."""
        if isinstance(self.outcome, NoResponse):
            return self.outcome.kind == "broken"
        return self.outcome.status == 500 or (self.lasting and self.outcome.status > 500)

    @cached_property
    def ranked(self) -> bool:
        """True if a legal request was answered with 200, and not with an error in place of results."""
        answer = self.answer
        if answer is None or answer.status != 200 or self.undecided:
            return False
        return bool(self.probe.legal) and transient_status(self.probe, answer) is None

    @cached_property
    def results(self) -> list[dict[str, Any]]:
        """The results that are objects; none where there is no list of them."""
        value = self.answer.value if self.answer else None
        if not isinstance(value, dict):
            return []
        found: Any = cast("dict[str, Any]", value).get("results")
        return [_indexed(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @cached_property
    def echoes(self) -> list[tuple[int, Any, Mapping[str, Any]]]:
        """The place of each result, the document that it points at, and its echo, where both are of the right type."""
        documents = self.probe.documents
        found: list[tuple[int, Any, Mapping[str, Any]]] = []
        for place, one in enumerate(self.results):
            index, echo = one.get("index"), one.get("document")
            if is_index(index) and 0 <= index < len(documents) and isinstance(echo, dict):
                found.append((place, documents[index], cast("Mapping[str, Any]", echo)))
        return found

    @cached_property
    def scores(self) -> dict[int, float]:
        """The score of each index, best first, where both are of the right type."""
        return {
            one["index"]: float(one["relevance_score"])
            for one in self.results
            if is_index(one.get("index")) and is_number(one.get("relevance_score"))
        }

    @cached_property
    def order(self) -> list[int]:
        """The indexes, best first."""
        return list(self.scores)


def is_index(value: object) -> TypeGuard[int]:
    """Return True if it is an integer; JSON Schema counts 2.0 among them, callers that index a list do not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _indexed(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result with an index of 2.0 as an integer, which it is by JSON Schema."""
    index = result.get("index")
    return {**result, "index": int(index)} if isinstance(index, float) and index.is_integer() else result


def is_number(value: object) -> TypeGuard[float]:
    """Return True if it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def text_of(document: Any) -> str | None:
    """Return the text of a document as it was sent; None for an image alone."""
    return document if isinstance(document, str) else document.get("text")


def not_json(body: bytes, *, constants: bool = True) -> str | None:
    """Return the reason why bytes cannot be read as JSON, with the place; None if they can.

    Args:
        body: The bytes.
        constants: Read NaN and infinities, which JSON does not have, too.
    """
    if not body.strip():
        return "Not JSON: the body is empty"
    try:
        json.loads(body.decode("utf-8"), parse_constant=None if constants else _refuse_constant)
    except json.JSONDecodeError as error:
        near = body.decode("utf-8")[error.pos : error.pos + _NEAR]
        found = f"found {json.dumps(near)}" if near else "the body ends"
        return f"Not JSON: {error.msg} at line {error.lineno}, column {error.colno}; {found}"
    except UnicodeDecodeError as error:
        return f"Not JSON: byte {error.start} is not UTF-8; found 0x{body[error.start]:02x}"
    except RecursionError:
        return "The body is nested too deeply to read"
    except ValueError as error:
        return f"Not JSON: {str(error).partition(':')[0]}"
    return None


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not a number in JSON"
    raise ValueError(message)


_NEAR = 20  # characters of what is not JSON that a message quotes


def transient_status(probe: Probe, answer: ReceivedResponse) -> int | None:
    """Return the status by which an answer says "try again"; None if it does not.

    The contract allows a 200 with an `error` in place of `results` when a provider fails late. It allows none for an illegal
    request, which no provider sees, so there the error has to name a transient status itself.
    """
    if answer.status in TRANSIENT:
        return answer.status
    value = answer.value
    if answer.status != 200 or not isinstance(value, dict):
        return None
    members = cast("dict[str, Any]", value)
    error = members.get("error")
    if not error or isinstance(members.get("results"), list):
        return None
    code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    if isinstance(code, int) and code in TRANSIENT:
        return code
    return 500 if probe.legal else None
