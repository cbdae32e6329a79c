"""Many documents, many queries, and what they cost: what stands on one call and is no call itself."""

from openrouter_rerank.bulk.large import by_words

__all__ = ["by_words"]
