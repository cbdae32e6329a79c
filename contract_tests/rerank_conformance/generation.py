"""Requests that schemathesis makes from the contract: its examples, its boundary values, and random ones.

They are made before any is sent, against a stand-in, so that a seed gives the same requests whatever the server
answers, and they can be sent at the same time. Each is then judged by the same rules as those written by hand.
"""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, cast

import msgspec

from rerank_conformance import cases as making
from rerank_conformance import contract, storage
from rerank_conformance.cases import Case, Order
from rerank_conformance.contract import Contract
from rerank_conformance.derived import REQUEST
from rerank_conformance.exchanges import Probe

EXAMPLES = 100
"""Random requests in a full check."""
MODELS = 12
"""Names of models that are asked for as they are generated; all other legal requests ask for one model."""
_SHAPING = ("openrouter-rerank", "schemathesis", "hypothesis", "hypothesis-jsonschema", "jsonschema-rs")
"""The packages on whose versions the requests depend."""
_FAILED = "schemathesis could not make its requests"


class _Stored(msgspec.Struct):
    """The content of a file in the cache directory."""

    digest: str
    """The hash of the key and the cases."""
    cases: msgspec.Raw


# Made here: msgspec crashes if two threads meet a new class at once.
_STORED = msgspec.json.Decoder(_Stored)
_CASES = msgspec.json.Decoder(tuple[Case, ...])


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
    cases = _cases(document, seed, examples, storage.directory() if cache else None)
    if cache:
        _write(key, cases)
    return cases


def _key(document: str, seed: int, examples: int) -> str:
    """Return the hash of everything on which the cases depend."""
    versions = [_version(name) for name in _SHAPING]
    # a checkout changes without a new version; Python has the table of characters
    ours = source.read_bytes().hex() if (source := Path(making.__file__)).is_file() else ""
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
        stored = _STORED.decode(content or b"")
        if stored.digest != _digest(key, bytes(stored.cases)):
            return None
        return _CASES.decode(stored.cases)
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


def _cases(text: str, seed: int, examples: int, tables: Path | None = None) -> tuple[Case, ...]:
    """Return the cases that schemathesis makes, in a process of its own.

    Hypothesis seeds the global generators of random numbers while it draws, and fails if another thread draws from them.

    Args:
        text: The contract as JSON.
        seed: See `generated`.
        examples: See `generated`.
        tables: The directory where Hypothesis keeps its tables of characters, which take a second to make.
    """
    order = msgspec.json.encode(Order(document=text, seed=seed, examples=examples))
    command = [sys.executable, "-P", "-W", "ignore", "-m", making.__name__]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # Hypothesis leaves files
        environment.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(tables or folder))
        try:
            done = subprocess.run(  # noqa: S603 - this Python and a module of ours
                command, input=order, capture_output=True, cwd=folder, env=environment, check=False
            )
        except OSError as error:
            raise RuntimeError(f"{_FAILED}: {type(error).__name__}: {error}"[:300]) from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"{_FAILED}: {lines[-1]}"[:300])
    return _CASES.decode(done.stdout)


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
