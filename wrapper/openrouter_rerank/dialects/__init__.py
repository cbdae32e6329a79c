"""The forms in which other vendors have the same idea: one codec for each, loaded when it is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from openrouter_rerank.arguments import nearest, suggestion
from openrouter_rerank.dialects.codec import Codec, Envelope
from openrouter_rerank_api.dialects import DIALECTS

__all__ = ["Codec", "Envelope", "codec", "nearest_dialect", "other_dialect"]


def codec(name: object) -> Codec:
    """Return the codec of a dialect.

    Raises:
        ValueError: There is no such dialect; the message lists them.
    """
    if name not in DIALECTS:
        meant = suggestion(nearest_dialect(str(name)))
        message = f"dialect must be one of {', '.join(map(repr, DIALECTS))}, not {name!r:.40}{meant}"
        raise ValueError(message)
    module = import_module(f"openrouter_rerank.dialects.{str(name).replace('-', '_')}")
    return cast(Codec, module.CODEC)


def nearest_dialect(name: str) -> str | None:
    """Return the dialect of the server or vendor with this name, else the dialect with the most similar name, or None."""
    asked = name.lower()
    by_server = (one.name for one in map(codec, DIALECTS) if asked in one.servers)
    return next(by_server, None) or nearest(asked, DIALECTS)


def other_dialect(name: str, body: object) -> Codec | None:
    """Return the codec of a body that belongs to another dialect, or None where another dialect would not help.

    Args:
        name: The dialect in which the request was made.
        body: The body of the answer or the error: plain data, or text where it is not JSON.
    """
    alike = [one for one in map(codec, DIALECTS) if one.looks_like(body)]
    if not alike or name in {one.name for one in alike}:
        return None
    found = alike[0]
    read = codec(name).decode({}, body)
    if read is not None and read == found.decode({}, body):
        return None  # what is wrong with the results is the same in both
    return found
