"""Make cases with schemathesis.

`python -m rerank_conformance.cases` reads an order from standard input and writes the cases to standard output, both as JSON.
"""

# What comes over the wire is Any, and pyright calls the parts of what isinstance makes of it unknown.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import json
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import msgspec

_HEADERS = ("HTTP-Referer", "X-OpenRouter-Title", "X-OpenRouter-Categories")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """The input of the generation: the same order makes the same cases."""

    document: str
    """The contract as JSON."""
    seed: int
    examples: int
    """The maximum number of random cases."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A request as schemathesis made it, before it asks for the model of a check."""

    number: int
    phase: str
    content: str
    """The body as JSON."""
    headers: dict[str, str]


def make(order: Order) -> tuple[Case, ...]:
    """Return the cases of an order.

    Raises:
        Exception: schemathesis failed; it has any type.
    """
    cases = (plain(number, case) for number, case in enumerate(_generate(order)))
    return tuple(case for case in cases if case is not None)


def _generate(order: Order) -> Iterator[Any]:
    import schemathesis  # noqa: PLC0415 - the parent imports this module, and takes no moment
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415
    from schemathesis.engine import events, from_schema  # noqa: PLC0415

    config = SchemathesisConfig.from_dict(
        {
            "seed": order.seed,
            "continue-on-failure": True,
            # the rules judge, not its checks: some of those let a 401 for everything pass
            "checks": {"enabled": False},
            "generation": {"max-examples": order.examples, "database": "none"},
            "phases": {"stateful": {"enabled": False}, "coverage": {"unexpected-methods": []}},
            "analysis": {"constants": {"enabled": False}},  # the literals of our own source
        }
    )
    document = json.loads(order.document)
    # no other operation is judged, and a server need not have any
    document["paths"] = {"/rerank": document["paths"]["/rerank"]}
    schema = schemathesis.openapi.from_dict(document, config=config)
    schema.app = _stand_in
    with without_local_constants():
        for event in from_schema(schema).execute():
            match event:
                case events.NonFatalError(value=error) | events.FatalError(exception=error):
                    raise error
                case events.ScenarioFinished():
                    yield from (node.value for node in event.recorder.cases.values())
                case _:
                    pass


@contextmanager
def without_local_constants() -> Generator[None]:
    """Keep Hypothesis from using literals of modules outside of site-packages.

    They are ours in a checkout, and those of the caller's `sitecustomize`; they would change the requests.
    """
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


def plain(number: int, case: Any) -> Case | None:
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


def _sendable(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable() and value == value.strip()


def _reason(error: Exception) -> str:
    """Return an error in one line, with those of a group."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return said + "".join(f"; {_reason(part)}" for part in getattr(error, "exceptions", ()))


def main() -> int:
    """Run the command, and return its exit code."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    try:
        cases = make(order)
    except Exception as error:  # noqa: BLE001 - the parent reports it, whatever it is
        sys.stderr.write(f"{_reason(error)}\n")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode(cases))
    return 0


if __name__ == "__main__":
    sys.exit(main())
