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
"""The phase of a request. Requests of a phase are concurrent, but `alone` ones are sequential and `beside` ones run during all phases."""
Form = Literal["usual", "chunked", "new", "http-1.0", "after-head", "after-refusal", "after-pause"]
"""The form of HTTP of a request: the usual one, a chunked body, a new connection, HTTP/1.0, or a connection that had another
request before (and was then idle for a while in `after-pause`)."""
RAW_FORMS: frozenset[Form] = frozenset({"http-1.0", "after-head", "after-refusal"})
"""The forms that need their own connection, which a server in process does not have."""
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
"""The Authorization header of a request: the key, or a wrong variant of it."""

KEY = "$OPENROUTER_API_KEY"
"""The placeholder for the key in recorded exchanges."""
OF_RANKING = "/rerank"
"""The path of the operation."""
WRONG_KEY = "sk-or-v1-0000-this-key-is-unknown"

TRANSIENT = frozenset({408, 429, 502, 503, 504, *range(520, 525), 529})
"""Statuses of transient errors, which prove nothing about conformance; 504 and 520 to 523 come from edge networks."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A request and its purpose."""

    name: str
    phase: Phase
    rule: str | None = None
    """The rule that judges if the request was correctly accepted or refused."""
    body: object = None
    """The JSON value that is sent; bytes are sent as they are."""
    legal: bool | None = None
    """True if the contract allows the request; None if its ranking must not be judged."""
    method: str = "POST"
    path: str = OF_RANKING
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Headers in addition to the default ones; an empty value removes a default header."""
    form: Form = "usual"
    """The form of HTTP in which it is sent."""
    auth: Auth = "key"
    quick: bool = False
    sent: bytes | None = None
    """The bytes to send instead of the usual encoding of the body."""
    since: str = "1.0.0"
    """The first contract version that sends it: a released rule set keeps its requests."""

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
        """The documents of the request; empty if they are not a list."""
        documents: Any = self._object.get("documents")
        return cast("Sequence[Any]", documents) if isinstance(documents, list) else ()

    @cached_property
    def document_keys(self) -> Sequence[str]:
        """A string for each document; equal documents have equal strings."""
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
    """The headers, by name in lower case."""
    body: bytes

    @cached_property
    def value(self) -> Any:
        """The body parsed as JSON, or None if it is not JSON; NaN and infinities are accepted, as other rules judge numbers."""
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
"""In this order: no connection; no answer in time; a connection that ended before the answer, which is retried; an answer that
is not complete HTTP; a request that was never sent; a request that the check failed to send."""


@dataclass(frozen=True)
class NoResponse:
    """The reason why there is no answer."""

    kind: FaultKind
    message: str


@dataclass(frozen=True)
class Exchange:
    """A request and its outcome."""

    probe: Probe
    outcome: ReceivedResponse | NoResponse
    elapsed: float = 0.0
    attempts: int = 1
    """The number of times that the request was sent."""
    passing: tuple[int, ...] = ()
    """The transient statuses of its attempts, including a 500 that did not come again."""
    lasting: bool = False
    """True if its transient error came again each time later, while another request was ranked."""

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
            return f"answered {self.outcome.status} each time that it was sent"
        if transient_status(self.probe, self.outcome) is not None:
            error = self.outcome.value["error"]
            code = error.get("code") if isinstance(error, dict) else None
            named = "" if code is None else f" {json.dumps(code)[:40]}"
            return f"answered 200 with an error{named} in place of results"
        return None

    @property
    def crashed(self) -> bool:
        """True if the server failed: a 500, incomplete HTTP, or another 5xx that is not transient."""
        if isinstance(self.outcome, NoResponse):
            return self.outcome.kind == "broken"
        return self.outcome.status == 500 or (self.lasting and self.outcome.status > 500)

    @cached_property
    def ranked(self) -> bool:
        """True if a valid request was answered with 200 and results."""
        answer = self.answer
        if answer is None or answer.status != 200 or self.undecided:
            return False
        return bool(self.probe.legal) and transient_status(self.probe, answer) is None

    @cached_property
    def results(self) -> list[dict[str, Any]]:
        """The results that are objects; empty if `results` is not a list."""
        value = self.answer.value if self.answer else None
        if not isinstance(value, dict):
            return []
        found: Any = cast("dict[str, Any]", value).get("results")
        return [_indexed(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @cached_property
    def echoes(self) -> list[tuple[int, Any, Mapping[str, Any]]]:
        """The position of each result, its document in the request, and its echo, if index and echo have the right types."""
        documents = self.probe.documents
        found: list[tuple[int, Any, Mapping[str, Any]]] = []
        for place, one in enumerate(self.results):
            index, echo = one.get("index"), one.get("document")
            if is_index(index) and 0 <= index < len(documents) and isinstance(echo, dict):
                found.append((place, documents[index], cast("Mapping[str, Any]", echo)))
        return found

    @cached_property
    def scores(self) -> dict[int, float]:
        """The score by index, best first, if both have the right types."""
        return {
            one["index"]: float(one["relevance_score"])
            for one in self.results
            if is_index(one.get("index")) and is_number(one.get("relevance_score"))
        }

    @cached_property
    def order(self) -> list[int]:
        """The indices, best first."""
        return list(self.scores)


def is_index(value: object) -> TypeGuard[int]:
    """Return True for an integer; unlike JSON Schema, 2.0 is not one, as it cannot index a list."""
    return isinstance(value, int) and not isinstance(value, bool)


def _indexed(result: dict[str, Any]) -> dict[str, Any]:
    """Return the result with an index of 2.0 as an integer, as JSON Schema counts it."""
    index = result.get("index")
    return {**result, "index": int(index)} if isinstance(index, float) and index.is_integer() else result


def is_number(value: object) -> TypeGuard[float]:
    """Return True for a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that is too large for a float
        return False


def text_of(document: Any) -> str | None:
    """Return the text of a document as sent; None for a document with only an image."""
    return document if isinstance(document, str) else document.get("text")


def not_json(body: bytes, *, constants: bool = True) -> str | None:
    """Return the reason why bytes are not JSON, with the position; None if they are.

    Args:
        body: The bytes.
        constants: Accept NaN and infinities, which are not JSON.
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


_NEAR = 20  # characters that a message quotes


def transient_status(probe: Probe, answer: ReceivedResponse) -> int | None:
    """Return the status of a transient error; None if the answer is not one.

    The contract allows a 200 with an `error` in place of `results` when a provider fails late. An invalid request never reaches
    a provider, so there the error itself must name a transient status.
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
