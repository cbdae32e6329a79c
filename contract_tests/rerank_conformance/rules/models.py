"""Rules of models: every name is valid; a server ranks with the model, or answers that it does not have it."""

from collections.abc import Iterator

from rerank_conformance.rules.acceptance import judged
from rerank_conformance.rules.rule import RESPONSES, Judgement, Seen, rule

# 403: a key may be kept from a model. 402 is not among them, as the account paid for the requests before.
_HONEST = frozenset({200, 400, 403, 404})


@rule(
    "model.any-name",
    "Any model name is ranked, or refused with 400 or 404: also unknown names, variants and odd names",
    f"{RESPONSES}/404",
    since="1.1.0",
)
def any_name(seen: Seen) -> Iterator[Judgement]:
    """Judge the requests for other models; the form of a refusal is judged by the rules of errors."""
    for exchange in seen.exchanges:
        if exchange.probe.rule == "model.any-name":
            yield judged(exchange, "200, 400 or 404", lambda answer: answer.status in _HONEST)
