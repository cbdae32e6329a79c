"""Requests of a quick check that hold what many others hold, and that are taken apart where they fail."""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from rerank_conformance import probes as written
from rerank_conformance.exchanges import Exchange, Probe

Send = Callable[[Probe], Awaitable[Exchange]]


@dataclass(frozen=True)
class Pack:
    """A request in place of others."""

    probe: Probe
    parts: tuple[str, ...]
    """The requests that are sent if it fails, by their names."""
    pairs: int = 0
    """The number of pairs at the beginning of its documents that have to have two scores each."""
    served: frozenset[int] = frozenset({200})
    """The statuses by which it does not fail."""

    def fails(self, exchange: Exchange) -> bool:
        """Return True if the parts have to be sent."""
        answer = exchange.answer
        if answer is None:
            return not exchange.undecided
        if answer.status in _LIMITS:
            return False
        if exchange.undecided or answer.status not in self.served:
            return True
        scores = exchange.scores
        return any(
            {first, first + 1} <= scores.keys() and scores[first] == scores[first + 1]
            for first in range(0, 2 * self.pairs, 2)
        )


def packs(model: str) -> tuple[Pack, ...]:
    """Return the packed requests of a quick check."""
    return (_fields(model), _texts(model), _pairs(model), _name(model), _odd(model))


_LIMITS = (408, 429)
"""Statuses that say nothing about what was sent."""

REPLACED = frozenset(
    {
        "rank-full",  # the first request of a check is the same, and stands for it
        "rank-top-2",
        "rank-top-more",
        "refuse-document-empty-object",
        "refuse-not-an-object",
        "refuse-top-n-boolean",
        "accept-mixed",
        "accept-unknown-fields",
        "model-name-1",
        "rank-blanks",
        "rank-identical",
        "rank-texts",
        "rank-unicode",
    }
)
"""Requests that a quick check sends as parts alone, or leaves out as the others find most of what they would."""


async def taken_apart(exchanges: Sequence[Exchange], packed: Sequence[Pack], send: Send) -> list[Exchange]:
    """Return the exchanges, with those of the parts in place of each pack that was not ranked.

    Args:
        exchanges: Everything that was sent.
        packed: The packs among it.
        send: Sends a request that is not counted among the first attempts.
    """
    by_name = {pack.probe.name: pack for pack in packed}
    single: dict[str, Probe] = {}
    found: list[Exchange] = []
    for exchange in exchanges:
        pack = by_name.get(exchange.probe.name)
        if pack is None or not pack.fails(exchange):
            found.append(exchange)
            continue
        if exchange.ranked:  # the rules that compare its documents do not know them, but all others do
            found.append(exchange)
        model = str(cast("dict[str, Any]", packed[0].probe.body)["model"])
        single = single or {probe.name: probe for probe in written.probes(model)}
        found += [await send(single[name]) for name in pack.parts]
    return found


def _legal(name: str, body: dict[str, Any], **more: Any) -> Probe:
    return Probe(
        name=name,
        phase="rank",
        rule="acceptance.plain",
        body=body,
        legal=True,
        quick=True,
        since="1.1.0",
        **more,
    )


def _fields(model: str) -> Pack:
    """Return every field and header that is legal, in a body in chunks."""
    documents = [{"text": text, "x_title": "x", "x_id": 7} for text in written.DOCUMENTS]
    body: dict[str, Any] = {
        "": 1,
        "x_unknown": {"a": [None]},
        "__proto__": {"top_n": 1},
        "trace": {"trace_id": "t", "span_name": "s", "experiment": ["b"]},
        "user": "u" * 128,
        "session_id": "\u00e9" * 256,
        "provider": {
            "allow_fallbacks": None,
            "require_parameters": None,
            "data_collection": "allow",
            "zdr": None,
            "order": None,
            "only": None,
            "ignore": ["nobody"],
            "quantizations": None,
            "sort": {"by": "price", "x_unknown": 1},
            "max_price": {"prompt": 100, "request": "100"},
            "preferred_max_latency": {"p50": 100, "p99": None},
            "preferred_min_throughput": 0.5,
            "options": {"nobody": {"x": 1}},
            "x_unknown": 1,
        },
        "top_n": 2**31,
        "documents": documents,
        "query": f"  {written.QUERY}",
        "model": model,
    }
    headers: dict[str, str] = {}
    for more in written.CLIENTS:
        headers |= more
    headers |= {
        "Accept": "application/json, text/event-stream",
        "Connection": "close",
        "Content-Type": 'Application/JSON; charset="utf-8"',
        "HTTP-Referer": "https://search.example.com",
        "X-OpenRouter-Title": "Example",
        "X-OpenRouter-Categories": "productivity,unheard-of",
    }
    sent = f"\r\n\t{json.dumps(body, indent=3)}{' ' * 200_000}\n".encode("ascii")
    probe = _legal("pack-fields", body, headers=headers, form="chunked", sent=sent)
    parts = (
        "http-chunked-large",
        "http-accept-3",
        "http-close",
        *(f"http-client-{number}" for number in range(1, len(written.CLIENTS) + 1)),
        *(f"accept-charset-{number}" for number in (2, 4)),
        "accept-attribution",
        "accept-escapes",
        "accept-characters-1",
        "accept-observability",
        "accept-user",
        "accept-provider",
        "accept-provider-nulls",
        "accept-provider-forms",
        "accept-unknown-fields",
        "accept-unknown-in-document",
        "accept-unknown-in-provider",
        "accept-unknown-in-preferences",
        "accept-odd-names",
        "rank-top-32-bits",
        "rank-query-blanks-1",
    )
    return Pack(probe, parts)


def _texts(model: str) -> Pack:
    """Return texts of every kind, as strings and as objects, in a body of more than a megabyte."""
    texts = (
        *written.BLANKS,
        *written.UNICODE,
        *written.MARKS,
        *written.TEXTS,
        *written.SPACED,
        *written.SPECIAL,
        *written.ENDS,
        *written.TEMPLATES,
        *written.IDENTICAL,
        written.LONG,
    )
    documents = [{"text": text} if number % 2 else text for number, text in enumerate(texts)]
    query = "O\u00f9 est \u30d1\u30ea? \U0001f5fc <|endoftext|>"
    body: dict[str, Any] = {"model": model, "query": query, "documents": documents}
    text = json.dumps(body, ensure_ascii=False).encode()
    sent = text[:-1] + b" " * written.MEGABYTE + text[-1:]
    probe = _legal("pack-texts", body, headers={"Accept": ""}, sent=sent)
    parts = (
        "rank-blanks",
        "rank-unicode",
        "rank-marks",
        "rank-texts",
        "rank-placeholders",
        "rank-ends",
        "rank-special",
        "rank-special-query-1",
        "rank-spaced",
        "rank-identical",
        "rank-long",
        "accept-mixed",
        "http-large",
        "http-accept-6",
    )
    return Pack(probe, parts)


def _pairs(model: str) -> Pack:
    """Return documents in pairs that differ in what is easily lost."""
    lines, special, marks, placeholders, *long = (
        next(one for one in written.probes(model) if one.name == name) for name in _OF_PAIRS
    )
    pairs = [*lines.documents[:4], *special.documents[:6], *marks.documents[: 2 * len(written.ENDINGS)]]
    pairs += placeholders.documents[: 2 * len(written.PLACEHOLDERS)]
    for one in long:
        pairs += one.documents[:2]
    body = {"model": model, "query": written.QUERY, "documents": [*pairs, written.DOCUMENTS[1]]}
    return Pack(_legal("pack-pairs", body), _OF_PAIRS, pairs=len(pairs) // 2)


_OF_PAIRS = (
    "rank-line-ends",
    "rank-after-special",
    "rank-after-marks",
    "rank-placeholders",
    "rank-document-300",
    "rank-document-700",
)


def _odd(model: str) -> Pack:
    """Return what a server should take, and may refuse: numbers and headers as few clients send them."""
    body = {
        "model": model,
        "query": " ",
        "documents": list(written.DOCUMENTS),
        "top_n": 2**70,
        "return_documents": True,
    }
    headers = {f"X-Example-{number}": "v" * 50 for number in range(60)}
    headers |= {"Baggage": f"key={'v' * 6000}", "X-OpenRouter-Title": written.TITLE, "Expect": "100-continue"}
    probe = Probe(
        name="pack-odd",
        phase="rank",
        rule="transport.long-headers",
        body=body,
        legal=True,
        quick=True,
        headers=headers,
        since="1.1.0",
    )
    parts = (
        "http-header-bytes",
        "http-long-header",
        "http-many-headers",
        "http-expect",
        "rank-top-huge",
        "rank-blank-query-1",
        "accept-dialect-1",
    )
    return Pack(probe, parts)


def _name(model: str) -> Pack:
    """Return a name that no server knows and that is odd in every way; a server may refuse it honestly."""
    name = "nobody/a/b:no-such-variant/r\u00e9rank \U0001f5fc" + "r" * 300
    body = {"model": name, "query": written.QUERY, "documents": list(written.DOCUMENTS[:3])}
    probe = Probe(
        name="pack-model-name",
        phase="rank",
        rule="model.any-name",
        body=body,
        legal=True,
        quick=True,
        since="1.1.0",
    )
    parts = tuple(one.name for one in written.probes(model) if one.name.startswith("model-name-"))
    return Pack(probe, parts, served=frozenset({200, 400, 403, 404}))
