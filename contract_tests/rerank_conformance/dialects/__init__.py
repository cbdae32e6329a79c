"""Other vendors' forms of the API: for each dialect a codec of the kit, which shares no code with the clients."""

from rerank_conformance.dialects.codec import Codec
from rerank_conformance.dialects.cohere import CODEC as _COHERE
from rerank_conformance.dialects.jina import CODEC as _JINA
from rerank_conformance.dialects.tei import CODEC as _TEI
from rerank_conformance.dialects.voyage import CODEC as _VOYAGE

CODECS: dict[str, Codec] = {one.name: one for one in (_COHERE, _JINA, _TEI, _VOYAGE)}
"""The codec of each dialect, by its name."""
CANONICAL = "openrouter"
"""The name of the form that needs no codec."""
NAMES: tuple[str, ...] = (CANONICAL, *CODECS)
"""Every dialect."""


def codec(name: str) -> Codec | None:
    """Return the codec of a dialect; None for the canonical form.

    Raises:
        ValueError: There is no dialect of that name.
    """
    if name not in NAMES:
        message = f"dialect: {name!r} is not a dialect; use one of {', '.join(NAMES)}"
        raise ValueError(message)
    return CODECS.get(name)
