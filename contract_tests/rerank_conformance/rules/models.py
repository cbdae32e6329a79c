"""Rules of models: every name is valid; a server ranks with the model, or answers that it does not have it."""

from collections.abc import Iterator

from rerank_conformance.rules.acceptance import judged
from rerank_conformance.rules.rule import RESPONSES, Judgement, Recording, rule

# 403 is valid, as a key may lack access to a model. 402 is not, as the account paid for earlier requests.
_HONEST = frozenset({200, 400, 403, 404})


@rule(
    "model.any-name",
    "Any model name is ranked, or refused with 400 or 404: also unknown names, variants and odd names",
    f"{RESPONSES}/404",
    since="1.1.0",
)
def any_name(seen: Recording) -> Iterator[Judgement]:
    """Judge the requests for other models; the rules of errors judge the form of a refusal."""
    for exchange in seen.exchanges:
        if exchange.probe.rule == "model.any-name":
            yield judged(exchange, "200, 400 or 404", lambda answer: answer.status in _HONEST)
