"""A server of a dialect, as one of the canonical form: its requests are encoded, and its answers decoded, by the codec."""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol, cast

from rerank_conformance import contract
from rerank_conformance.derived import REQUEST
from rerank_conformance.dialects.codec import Body, DialectCodec
from rerank_conformance.exchanges import Exchange, NoResponse, Probe, ReceivedResponse
from rerank_conformance.target import Budget

_ECHOED = frozenset(
    {
        "rank-reversed",
        "rank-top-2",
        "rank-identical",
        "rank-blanks",
        "rank-spaced",
        "rank-unicode",
        "rank-marks",
        "rank-ends",
        "rank-long",
        "rank-texts",
        "rank-images",
    }
)
"""The requests that ask for the documents in the answer, where a dialect has them on request."""
NOT_QUICK = frozenset(
    {
        "rank-full",  # the first request of a check is the same, and stands for it
        "refuse-document-empty-object",
        "refuse-not-an-object",
        "refuse-top-n-boolean",
        "refuse-top-n-null",
        "rank-images",
    }
)
"""Requests that a quick check of a dialect, which has no packed ones, leaves out to stay within its budget."""
_INFO = "/info"


@dataclass(frozen=True, kw_only=True)
class WireProbe(Probe):
    """A request whose bytes are in a dialect, and whose body is the canonical one."""

    echo: bool = False
    """True if it asks for the documents in the answer."""


@dataclass(frozen=True)
class DecodedAnswer(ReceivedResponse):
    """An answer in a dialect, whose value is the canonical form."""

    canonical: Any = None
    wire: Any = None
    """The body read as JSON."""

    @cached_property
    def value(self) -> Any:
        """The canonical form of the body; None where it is not JSON."""
        return self.canonical


class Sender(Protocol):
    """A server that is sent requests."""

    @property
    def budget(self) -> Budget:
        """The budget of the check."""
        ...

    async def send(self, probe: Probe, *, is_repeat: bool = False) -> Exchange:
        """Send a request and return the exchange."""
        ...


class Translated:
    """A server of a dialect that is sent canonical requests, and gives canonical exchanges."""

    def __init__(self, session: Sender, codec: DialectCodec) -> None:
        self.codec = codec
        self._session = session
        self._limit: int | None = None
        """The most documents of a request, as the server says."""
        self._asked = False

    @property
    def budget(self) -> Budget:
        """The budget of the check."""
        return self._session.budget

    async def send(self, probe: Probe, *, is_repeat: bool = False) -> Exchange:
        """Encode and send a request, and return the decoded exchange."""
        if not self._asked:
            self._asked = True
            await self._ask_for_limit()
        wire = probe if isinstance(probe, WireProbe) and probe.sent is not None else self.translated(probe)
        if wire is None:
            return Exchange(
                probe, NoResponse("unsent", f"was not sent: {self.codec.name} has no form for it")
            )
        exchange = await self._session.send(wire, is_repeat=is_repeat)
        return replace(exchange, outcome=decoded(exchange.outcome, self.codec))

    async def _ask_for_limit(self) -> None:
        """Ask for the most documents of a request, if the dialect has a way to; without an answer there is no limit."""
        if _INFO not in self.codec.contract.document["paths"]:
            return
        exchange = await self._session.send(Probe(name="info", phase="smoke", method="GET", path=_INFO))
        value: object = exchange.answer.value if exchange.answer else None
        limit = cast("Body", value).get("max_client_batch_size") if isinstance(value, dict) else None
        if isinstance(limit, int) and limit > 0:
            self._limit = limit

    def translations(self, probes: Iterable[Probe]) -> list[Probe]:
        """Return the requests that the dialect can carry, encoded, and those of its own rules."""
        return [wire for probe in probes if (wire := self.translated(probe)) is not None]

    def translated(self, probe: Probe) -> WireProbe | None:
        """Return the request in the dialect; None if it cannot carry the request, or judges it otherwise."""
        codec = self.codec
        if isinstance(probe.body, dict):
            probe = replace(probe, body=codec.adjusted(cast("Body", probe.body)))
        if probe.legal and not self._is_carried(probe):
            return None
        if self._limit is not None and len(probe.documents) > self._limit:
            if probe.rule != "acceptance.many-documents":
                return None
            probe = replace(probe, legal=None)
        echo = probe.name in _ECHOED or (isinstance(probe, WireProbe) and probe.echo)
        content = self._content(probe, echo=echo)
        # a request that is illegal by its headers has a legal body
        by_body = probe.legal is not None and not (probe.legal is False and probe.headers)
        if by_body and _is_legal(content, codec) is not probe.legal:
            return None
        return _wire(probe, sent=content, echo=echo)

    def _is_carried(self, probe: Probe) -> bool:
        body = cast("Body", probe.body) if isinstance(probe.body, dict) else {}
        known = contract.load().at(REQUEST)[1]["properties"].keys()
        lost = body.keys() & known - set(self.codec.own) - {"model"}
        return not lost and not (self.codec.clamps and (probe.top_n or 0) > len(probe.documents))

    def _content(self, probe: Probe, *, echo: bool) -> bytes:
        if isinstance(probe.body, dict) and probe.sent is None:
            return json.dumps(self.codec.encode(probe.body, echo=echo), ensure_ascii=False).encode("utf-8")
        content = probe.content
        for canonical, name in self.codec.own.items():
            content = content.replace(f'"{canonical}"'.encode(), f'"{name}"'.encode())
        return content

    def generated(self, probes: Iterable[Probe]) -> Iterator[WireProbe]:
        """Yield the requests that are generated from the dialect's contract, with their canonical bodies."""
        for probe in probes:
            body, legal = probe.body, probe.legal
            echo = isinstance(body, dict) and self.codec.asks_for_echo(cast("Body", body))
            if isinstance(body, dict):
                body = self.codec.read(cast("Body", body))
                if legal and contract.load().request.violation(body) is not None:
                    legal = None  # the dialect says nothing of a value that the canonical form forbids
                if legal and self._limit is not None and len(body["documents"]) > self._limit:
                    legal = None  # the server says that it refuses these
            yield _wire(probe, body=body, legal=legal, sent=probe.content, echo=echo)


def _wire(probe: Probe, **changes: Any) -> WireProbe:
    """Return a request with its bytes in a dialect."""
    same: dict[str, Any] = {name: getattr(probe, name) for name in Probe.__dataclass_fields__}
    return WireProbe(**{**same, **changes})


def _is_legal(content: bytes, codec: DialectCodec) -> bool:
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return False
    return codec.contract.request.violation(value) is None


def _no_constant(name: str) -> float:
    raise ValueError(name)


def decoded(outcome: ReceivedResponse | NoResponse, codec: DialectCodec) -> ReceivedResponse | NoResponse:
    """Return an answer with the canonical form as its value; a fault as it is."""
    if isinstance(outcome, NoResponse):
        return outcome
    wire = outcome.value
    canonical = codec.decode(wire, outcome.headers)
    return DecodedAnswer(outcome.status, outcome.headers, outcome.body, canonical, wire)
