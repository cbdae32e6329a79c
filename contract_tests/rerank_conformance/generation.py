"""Requests that schemathesis makes from the contract: its examples, its boundary values, and random ones.

They are made before any is sent, against a stand-in, so that a seed gives the same requests whatever the server
answers, and they can be sent at the same time. Each is then judged by the same rules as those written by hand.
"""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, cast

from rerank_conformance import contract
from rerank_conformance.contract import Contract
from rerank_conformance.exchanges import Probe

EXAMPLES = 100
"""Random requests in a full check."""
MODELS = 12
"""Names of models that are asked for as they are generated; all other legal requests ask for one model."""
_HEADERS = ("HTTP-Referer", "X-OpenRouter-Title", "X-OpenRouter-Categories")


def generated(
    model: str, seed: int, examples: int = EXAMPLES, contract_version: str | None = None
) -> tuple[Probe, ...]:
    """Return the generated requests without duplicates.

    Args:
        model: The model that legal requests ask for.
        seed: The same seed gives the same requests, with the same versions of schemathesis and Hypothesis.
        examples: How many random ones are made, at most.
        contract_version: The contract that they are made of; the newest if None.

    Raises:
        RuntimeError: schemathesis failed.
    """
    # of two engines at work in one process the second leaves a whole phase out, and says nothing
    with _ONE_AT_A_TIME:
        return _generated(model, seed, examples, contract_version)


_ONE_AT_A_TIME = threading.Lock()


@lru_cache(maxsize=2)
def _generated(model: str, seed: int, examples: int, version: str | None) -> tuple[Probe, ...]:
    probes: dict[tuple[bytes, str], Probe] = {}
    by = contract.load(version)
    names: dict[str, None] = {}
    for number, case in enumerate(_cases(seed, examples, by)):
        probe = _probe(number, case, model, by)
        if probe is not None:
            probes.setdefault((probe.content, str(probe.headers)), probe)
            if probe.legal:
                names.setdefault(case.body["model"])
    return (*probes.values(), *_models(names, model))


def _models(names: Iterable[str], model: str) -> Iterator[Probe]:
    """Yield requests for the models that were generated: legal names, which no server needs to know."""
    others = (name for name in names if name != model)
    for number, name in enumerate(islice(others, MODELS), 1):
        yield Probe(
            name=f"generated-model-{number}",
            phase="generate",
            rule="model.any-name",
            body={"model": name, "query": "q", "documents": ["a", "b"]},
            legal=True,
            since="1.1.0",
        )


def _cases(seed: int, examples: int, by: Contract) -> Iterator[Any]:
    import schemathesis  # noqa: PLC0415 - takes a moment, and --quick does without
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415
    from schemathesis.engine import events, from_schema  # noqa: PLC0415

    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "continue-on-failure": True,
            # the rules judge, not its checks: some of those let a 401 for everything pass
            "checks": {"enabled": False},
            "generation": {"max-examples": examples, "database": "none"},
            "phases": {"stateful": {"enabled": False}, "coverage": {"unexpected-methods": []}},
        }
    )
    document = json.loads(json.dumps(by.document))
    # no other operation is judged, and a server need not have any
    document["paths"] = {"/rerank": document["paths"]["/rerank"]}
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = _stand_in
    for event in from_schema(schema).execute():
        match event:
            case events.NonFatalError(value=error) | events.FatalError(exception=error):
                message = f"schemathesis could not make its requests: {type(error).__name__}: {error}"
                raise RuntimeError(message[:300]) from error
            case events.ScenarioFinished():
                yield from (node.value for node in event.recorder.cases.values())
            case _:
                pass


def _stand_in(
    environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    del environ
    start("200 OK", [("Content-Type", "application/json")])
    return [b'{"model": "m", "results": []}']


def _probe(number: int, case: Any, model: str, by: Contract) -> Probe | None:
    if case.method != "POST":  # other methods have rules of their own
        return None
    body = case.body
    has_body = isinstance(body, (dict, list, str, int, float, bool)) or body is None
    if not has_body or (case.media_type or "application/json") != "application/json":
        return None
    given = dict(case.headers or {})
    media_type = next((value for name, value in given.items() if name.lower() == "content-type"), None)
    if media_type is not None and media_type != "application/json":
        return None  # what makes a type of JSON is not for generation to say
    try:
        content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
    except (ValueError, RecursionError):  # nothing that JSON could carry
        return None
    headers = {name: value for name, value in given.items() if name in _HEADERS and _sendable(value)}
    legal = by.request.violation(body) is None
    if legal:
        body = {**cast("dict[str, Any]", body), "model": model}
        content = json.dumps(body, ensure_ascii=False).encode("utf-8")
    phase = case.meta.phase.name.value if case.meta else "fuzzing"
    return Probe(
        name=f"generated-{phase}-{number}",
        phase="generate",
        body=body,
        sent=content,
        legal=legal,
        headers=headers,
    )


def _sendable(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
