"""Rank offline, by an HTTP transport to the reference server in this process."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote
from uuid import uuid4

from openrouter_rerank.version import VERSION

log = logging.getLogger("openrouter_rerank")

if TYPE_CHECKING:
    from rerank_conformance.reference.inprocess import ReferenceTransport

Scorer = Callable[[str, Sequence[str]], Sequence[float]]
"""A function of a query and texts that returns one finite number per text; higher is more relevant."""


# Where a local call goes: nowhere, as .invalid is reserved never to exist.
LOCAL_URL = "http://local.invalid/api/v1"


def address_of(scorer: Scorer | str | None) -> str:
    """Return a base URL that differs by scorer and version, as a cache distinguishes answers by it."""
    name = f"{scorer or 'lexical'}-{VERSION}" if isinstance(scorer, str | None) else uuid4().hex
    return f"{LOCAL_URL}?scorer={quote(name)}"


def reference_transport(scorer: Scorer | str | None) -> ReferenceTransport:
    """Return a transport, sync and async, behind which the reference server ranks by the scorer.

    Raises:
        ImportError: The extra is not installed; the message names it.
        ValueError: No scorer has that name.
    """
    try:
        from rerank_conformance.reference import Reference, Refusal  # noqa: PLC0415 - an extra
        from rerank_conformance.reference.inprocess import ReferenceTransport  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        message = f"the local mode needs {error.name}: pip install 'openrouter-rerank[local]', or '.[local]' in a clone"
        raise ImportError(message) from error

    class Local(Reference):
        """The reference server, with errors that quote the scorer's, as the caller wrote it."""

        def scores(self, query: str, texts: Sequence[str]) -> list[float]:
            try:
                return super().scores(query, texts)
            except Exception as error:
                log.debug("the scorer failed", exc_info=True)
                message = f"the scorer {self.model} failed with {type(error).__name__}: {error}"
                raise Refusal(500, message) from error

    return ReferenceTransport(Local(scorer))
