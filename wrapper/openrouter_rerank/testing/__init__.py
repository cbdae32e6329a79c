"""A test kit for projects that rerank: fake rerankers and servers with faults.

A name is imported on first access, because pytest loads our plugin in every run.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openrouter_rerank.testing.fake import AsyncFakeReranker, FakeAnswer, FakeCall, FakeReranker
    from openrouter_rerank.testing.faults import FAULTS, Fault
    from openrouter_rerank.testing.inprocess import InProcess
    from openrouter_rerank.testing.loopback import Server, deaf, faulty, serving, unused_address
    from openrouter_rerank.testing.scripts import (
        End,
        Request,
        Script,
        answer,
        envelope,
        head,
        honest,
        results,
    )

__all__ = [
    "FAULTS",
    "AsyncFakeReranker",
    "End",
    "FakeAnswer",
    "FakeCall",
    "FakeReranker",
    "Fault",
    "InProcess",
    "Request",
    "Script",
    "Server",
    "answer",
    "deaf",
    "envelope",
    "faulty",
    "head",
    "honest",
    "results",
    "serving",
    "unused_address",
]

_NAMES_BY_MODULE = {
    "fake": ["AsyncFakeReranker", "FakeAnswer", "FakeCall", "FakeReranker"],
    "faults": ["FAULTS", "Fault"],
    "inprocess": ["InProcess"],
    "loopback": ["Server", "deaf", "faulty", "serving", "unused_address"],
    "scripts": ["End", "Request", "Script", "answer", "envelope", "head", "honest", "results"],
}
_MODULE_BY_NAME = {name: module for module, names in _NAMES_BY_MODULE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_BY_NAME:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_MODULE_BY_NAME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
