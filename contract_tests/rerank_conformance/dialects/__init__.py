"""Other vendors' forms of the API: for each dialect a codec of the kit, which shares no code with the clients."""

from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

from rerank_conformance import contract
from rerank_conformance.dialects.codec import DialectCodec


def _found() -> Iterator[DialectCodec]:
    """Yield the codec of each contract that has one, from the module of its name."""
    for name in contract.dialects():
        module = f"{__name__}.{name.replace('-', '_')}"
        if find_spec(module) is not None:
            yield import_module(module).CODEC


CODECS: dict[str, DialectCodec] = {one.name: one for one in _found()}
"""The codec of each dialect, by its name."""
CANONICAL = "openrouter"
"""The name of the form that needs no codec."""
NAMES: tuple[str, ...] = (CANONICAL, *CODECS)
"""Every dialect."""


def codec(name: str) -> DialectCodec | None:
    """Return the codec of a dialect; None for the canonical form.

    Raises:
        ValueError: There is no dialect of that name.
    """
    if name not in NAMES:
        message = f"dialect: {name!r} is not a dialect; use one of {', '.join(NAMES)}"
        raise ValueError(message)
    return CODECS.get(name)
