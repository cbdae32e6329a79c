"""Pickle a reranker: its settings go along; secrets, connections and budgets do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from openrouter_rerank.settings import Settings

_REASONS: Mapping[str, str] = {
    "api_key": "it was passed, and a key is not pickled; {}, or pickle the arguments",
    "extra_headers": "they may hold secrets and are not pickled; set them where it is used",
    "base_url": "its query may hold a secret and is not pickled; make it where it is used",
    "http_client": "an injected client cannot be pickled; make it where it is used",
    "verify": "an ssl.SSLContext cannot be pickled; pass a file or a directory of certificates",
    "max_cost": "a budget holds within one process; make one with its share of the budget in each process",
}
_KEY_HEADER = "Authorization"


def refuse_to_pickle(kind: str, names: Iterable[str], variable: str | None) -> None:
    """Refuse to pickle an object for the first of these arguments.

    Args:
        kind: The class of the object.
        names: The arguments.
        variable: The environment variable from which its key could be read; None if there is none.

    Raises:
        TypeError: There is one; the message says why it stands in the way, and never has its value.
    """
    for name in names:
        instead = f"set {variable} in both processes" if variable else "make it where it is used"
        message = f"cannot pickle this {kind}: {name}: {_REASONS[name].format(instead)}"
        raise TypeError(message)


def arguments_of(settings: Settings) -> dict[str, Any]:
    """Return the arguments that make a client of these settings, without the key.

    The headers are those of the package and the application alone, as others are refused before.
    """
    headers = {name: value for name, value in settings.headers.items() if name != _KEY_HEADER}
    return {
        **{name: value for name, value in settings.defaults.items() if value is not None},
        **({} if settings.codec is None else {"dialect": settings.codec.name}),
        "base_url": settings.url,
        "timeout": settings.timeout,
        "deadline": settings.deadline,
        "retries": settings.retries,
        "max_image_bytes": settings.max_image_bytes,
        "cache": settings.cache,
        "verify": settings.verify,
        "extra_headers": headers,
    }


def has_key(settings: Settings) -> bool:
    """Return True if requests carry a key."""
    return _KEY_HEADER in settings.headers
