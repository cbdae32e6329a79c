"""A lexical scorer that remembers: tests that send the same texts to hundreds of servers compute each score once."""

from functools import lru_cache

from rerank_conformance.scorers import NamedScorer, lexical


@lru_cache(maxsize=100_000)
def _score(query: str, text: str) -> float:
    """Return the score of a text, which is the same among any other texts."""
    return lexical(query, [text])[0]


REMEMBERED = NamedScorer(lexical.name, lambda: lambda query, texts: [_score(query, text) for text in texts])
