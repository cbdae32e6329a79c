"""Requests that schemathesis makes from the contract: its examples, its boundary values, and random ones.

They are made before any is sent, against a stand-in, so that a seed gives the same requests whatever the server
answers, and they can be sent at the same time. Each is then judged by the same rules as those written by hand.
"""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgspec

from rerank_conformance import contract, storage
from rerank_conformance.contract import Contract
from rerank_conformance.derived import REQUEST
from rerank_conformance.exchanges import Probe

EXAMPLES = 100
"""Random requests in a full check."""
MODELS = 12
"""Names of models that are asked for as they are generated; all other legal requests ask for one model."""
_HEADERS = ("HTTP-Referer", "X-OpenRouter-Title", "X-OpenRouter-Categories")
_SHAPING = ("openrouter-rerank", "schemathesis", "hypothesis", "hypothesis-jsonschema", "jsonschema-rs")
"""The packages on whose versions the requests depend."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A request as schemathesis made it, before it asks for the model of a check."""

    number: int
    phase: str
    content: str
    """The body as JSON."""
    headers: dict[str, str]


class _Stored(msgspec.Struct):
    """The content of a file in the cache directory."""

    digest: str
    """The hash of the key and the cases."""
    cases: msgspec.Raw


def generated(  # noqa: PLR0913 - what the requests depend on
    model: str,
    seed: int,
    examples: int = EXAMPLES,
    contract_version: str | None = None,
    *,
    cache: bool = True,
    dialect: str | None = None,
) -> tuple[Probe, ...]:
    """Return the generated requests without duplicates.

    Args:
        model: The model that legal requests ask for.
        seed: The same seed gives the same requests, with the same versions of schemathesis and Hypothesis.
        examples: How many random ones are made, at most.
        contract_version: The contract that they are made of; the newest if None.
        cache: Read them from the user's cache directory, or write them there; the requests are the same without.
        dialect: The dialect of whose contract they are made; None for `openapi.yaml`.

    Raises:
        RuntimeError: schemathesis failed.
    """
    by = contract.load(contract_version) if dialect is None else contract.load_dialect(dialect)
    # of two engines at work in one process the second leaves a whole phase out, and says nothing
    with _ONE_AT_A_TIME:
        cases = cases_of(seed, examples, contract_version, cache=cache, dialect=dialect)
    probes: dict[tuple[bytes, str], Probe] = {}
    names: dict[str, None] = {}
    for case in cases:
        body = json.loads(case.content)
        probe = _probe(case, body, model, by)
        probes.setdefault((probe.content, str(probe.headers)), probe)
        if probe.legal and "model" in body:
            names.setdefault(body["model"])
    return (*probes.values(), *_models(names, model))


_ONE_AT_A_TIME = threading.Lock()


@lru_cache(maxsize=4)
def cases_of(
    seed: int, examples: int, contract_version: str | None, *, cache: bool, dialect: str | None = None
) -> tuple[Case, ...]:
    """Return the cases of a seed: from this process, from the cache directory, or made by schemathesis."""
    by = contract.load(contract_version) if dialect is None else contract.load_dialect(dialect)
    document = json.dumps(by.document)
    key = _key(document, seed, examples)
    stored = _read(key) if cache else None
    if stored is not None:
        return stored
    made = (_case(number, case) for number, case in enumerate(_cases(document, seed, examples)))
    cases = tuple(case for case in made if case is not None)
    if cache:
        _write(key, cases)
    return cases


def _key(document: str, seed: int, examples: int) -> str:
    """Return the hash of everything on which the cases depend."""
    versions = [_version(name) for name in _SHAPING]
    # a checkout changes without a new version; Python has the table of characters
    ours = Path(__file__).read_bytes().hex() if Path(__file__).is_file() else ""
    parts = [sys.version, *versions, ours, document, str(seed), str(examples)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _digest(key: str, cases: bytes) -> str:
    return hashlib.sha256(key.encode() + cases).hexdigest()


def _read(key: str) -> tuple[Case, ...] | None:
    """Return the stored cases; None if there are none, or the file is not as it was written."""
    content = storage.read(f"generated-{key}")
    try:
        stored = msgspec.json.decode(content or b"", type=_Stored)
        if stored.digest != _digest(key, bytes(stored.cases)):
            return None
        return msgspec.json.decode(stored.cases, type=tuple[Case, ...])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write(key: str, cases: tuple[Case, ...]) -> None:
    encoded = msgspec.json.encode(cases)
    stored = _Stored(digest=_digest(key, encoded), cases=msgspec.Raw(encoded))
    storage.write(f"generated-{key}", msgspec.json.encode(stored))


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


def _cases(text: str, seed: int, examples: int) -> Iterator[Any]:
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
    document = json.loads(text)
    # no other operation is judged, and a server need not have any
    document["paths"] = {"/rerank": document["paths"]["/rerank"]}
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = _stand_in
    with without_local_constants():
        for event in from_schema(schema).execute():
            match event:
                case events.NonFatalError(value=error) | events.FatalError(exception=error):
                    message = f"schemathesis could not make its requests: {type(error).__name__}: {error}"
                    raise RuntimeError(message[:300]) from error
                case events.ScenarioFinished():
                    yield from (node.value for node in event.recorder.cases.values())
                case _:
                    pass


@contextmanager
def without_local_constants() -> Generator[None]:
    """Keep Hypothesis from using literals of the caller's modules: they differ between callers, and may be secrets."""
    providers: Any = import_module("hypothesis.internal.conjecture.providers")
    found = getattr(providers, "_get_local_constants", None)
    if found is None:
        yield
        return
    none = import_module("hypothesis.internal.constants_ast").Constants()
    providers.CONSTANTS_CACHE.cache.clear()
    providers._get_local_constants = lambda: none  # noqa: SLF001 - Hypothesis has no setting for it
    try:
        yield
    finally:
        providers._get_local_constants = found  # noqa: SLF001
        providers.CONSTANTS_CACHE.cache.clear()


def _stand_in(
    environ: dict[str, Any], start: Callable[[str, list[tuple[str, str]]], object]
) -> Iterable[bytes]:
    del environ
    start("200 OK", [("Content-Type", "application/json")])
    return [b'{"model": "m", "results": []}']


def _case(number: int, case: Any) -> Case | None:
    """Return the case as plain data; None if it is not a request of the operation."""
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
        content = json.dumps(body, ensure_ascii=False, allow_nan=False)
        content.encode("utf-8")
    except (ValueError, RecursionError):  # nothing that JSON could carry
        return None
    headers = {name: value for name, value in given.items() if name in _HEADERS and _sendable(value)}
    phase = case.meta.phase.name.value if case.meta else "fuzzing"
    return Case(number=number, phase=phase, content=content, headers=headers)


def _probe(case: Case, body: Any, model: str, by: Contract) -> Probe:
    content = case.content
    legal = by.request.violation(body) is None
    if legal and "model" in by.at(REQUEST)[1]["properties"]:
        body = {**cast("dict[str, Any]", body), "model": model}
        content = json.dumps(body, ensure_ascii=False)
    return Probe(
        name=f"generated-{case.phase}-{case.number}",
        phase="generate",
        body=body,
        sent=content.encode("utf-8"),
        legal=legal,
        headers=case.headers,
    )


def _sendable(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()
