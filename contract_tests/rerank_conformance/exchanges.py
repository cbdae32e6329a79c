"""What is sent to a server and what came of it, as values; nothing here sends or judges."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeGuard, cast

Phase = Literal["smoke", "refuse", "rank", "alone", "generate"]
"""What is sent when: those of one phase at the same time, but for `alone`, which is one after the other."""
Form = Literal["usual", "chunked", "http-1.0", "after-head", "after-refusal"]
"""Which form of HTTP a request has: the usual one, a body in chunks, HTTP/1.0, or another request before it on its connection."""
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
"""What stands for the key in everything that is recorded."""
OF_RANKING = "/rerank"
"""The path of the operation."""
WRONG_KEY = "sk-or-v1-0000-this-key-is-unknown"

TRANSIENT = frozenset({429, 503, 529})
"""Statuses that say `later`: they prove nothing about conformance."""


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
    """Whether the contract allows the request; None where nothing about the ranking may be judged by it."""
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

    @property
    def documents(self) -> Sequence[Any]:
        """The documents of the request; none where it has no list of them."""
        return cast("Sequence[Any]", self._object.get("documents") or ())

    @property
    def top_n(self) -> float | None:
        """The `top_n` of the request."""
        return cast("float | None", self._object.get("top_n"))

    @property
    def _object(self) -> dict[str, Any]:
        return cast("dict[str, Any]", self.body) if isinstance(self.body, dict) else {}


@dataclass(frozen=True)
class Answer:
    """What a server sent back, whole."""

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
    def media_type(self) -> str:
        """The media type, without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


FaultKind = Literal["unreachable", "timeout", "closed", "broken", "unsent"]
"""No connection; no answer in time; a connection that ended before the answer began, which is tried again; an answer
that is not whole HTTP; a request that was never sent."""


@dataclass(frozen=True)
class Fault:
    """What came instead of an answer."""

    kind: FaultKind
    message: str


@dataclass(frozen=True)
class Exchange:
    """A request, and what came of it."""

    probe: Probe
    outcome: Answer | Fault
    elapsed: float = 0.0

    @property
    def answer(self) -> Answer | None:
        """The answer, if there was one."""
        return self.outcome if isinstance(self.outcome, Answer) else None

    @property
    def undecided(self) -> str | None:
        """Why nothing can be concluded from this exchange; None where something can."""
        if isinstance(self.outcome, Fault):
            return self.outcome.message if self.outcome.kind != "broken" else None
        if self.outcome.status in TRANSIENT:
            return f"answered {self.outcome.status} until the time for it was used up"
        code = _error_code(self.outcome)
        if self.outcome.status == 200 and code in {*TRANSIENT, 502, 524}:
            return f"answered 200 with the passing error {code} in it"
        return None

    @property
    def ranked(self) -> bool:
        """Whether a legal request was answered with 200."""
        return bool(self.probe.legal) and self.answer is not None and self.answer.status == 200

    @cached_property
    def results(self) -> list[dict[str, Any]]:
        """The results that are objects; none where there is no list of them."""
        value = self.answer.value if self.answer else None
        if not isinstance(value, dict):
            return []
        found: Any = cast("dict[str, Any]", value).get("results")
        return [_indexed(one) for one in found if isinstance(one, dict)] if isinstance(found, list) else []

    @cached_property
    def scores(self) -> dict[int, float]:
        """The score of each index, best first, where both are of the right type."""
        return {
            one["index"]: float(one["relevance_score"])
            for one in self.results
            if is_index(one.get("index")) and is_number(one.get("relevance_score"))
        }

    @property
    def order(self) -> list[int]:
        """The indexes, best first."""
        return list(self.scores)


def is_index(value: object) -> TypeGuard[int]:
    """Whether it is an integer; JSON Schema counts 2.0 among them, callers that index a list do not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _indexed(result: dict[str, Any]) -> dict[str, Any]:
    """The result with an index of 2.0 read as the integer that it is by JSON Schema, so that every rule judges it."""
    index = result.get("index")
    return {**result, "index": int(index)} if isinstance(index, float) and index.is_integer() else result


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer that no float can hold
        return False


def text_of(document: Any) -> str | None:
    """The text of a document as it was sent; None for an image alone."""
    return document if isinstance(document, str) else document.get("text")


def _error_code(answer: Answer) -> Any:
    value = answer.value
    error = cast("dict[str, Any]", value).get("error") if isinstance(value, dict) else None
    code = cast("dict[str, Any]", error).get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) else None
