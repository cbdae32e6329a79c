"""A test kit for projects that rerank: a fake reranker, servers with faults, record and replay. It makes no network call.

Importing this package imports none of it: a name is imported when it is first asked for, as the pytest plugin is loaded in
every run of an environment that has us.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openrouter_rerank.testing.cassette import (
        Cassette,
        Exchange,
        Recording,
        Replaying,
        UnmatchedRequest,
        recording,
        replaying,
    )
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
    "Cassette",
    "End",
    "Exchange",
    "FakeAnswer",
    "FakeCall",
    "FakeReranker",
    "Fault",
    "InProcess",
    "Recording",
    "Replaying",
    "Request",
    "Script",
    "Server",
    "UnmatchedRequest",
    "answer",
    "deaf",
    "envelope",
    "faulty",
    "head",
    "honest",
    "recording",
    "replaying",
    "results",
    "serving",
    "unused_address",
]

_HOMES = {
    "cassette": [
        "Cassette",
        "Exchange",
        "Recording",
        "Replaying",
        "UnmatchedRequest",
        "recording",
        "replaying",
    ],
    "fake": ["AsyncFakeReranker", "FakeAnswer", "FakeCall", "FakeReranker"],
    "faults": ["FAULTS", "Fault"],
    "inprocess": ["InProcess"],
    "loopback": ["Server", "deaf", "faulty", "serving", "unused_address"],
    "scripts": ["End", "Request", "Script", "answer", "envelope", "head", "honest", "results"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
