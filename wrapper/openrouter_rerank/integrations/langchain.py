"""A document compressor for LangChain, on langchain-core alone. It needs the extra `langchain`."""
# Types are checked where LangChain is not there, so what comes from it is unknown.
# mypy: disable-error-code="import-not-found,misc,no-any-return"
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.integrations.pair import Pair
from openrouter_rerank.ranking import Ranking

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document
    from pydantic import ConfigDict, PrivateAttr, SecretStr
except ModuleNotFoundError as error:
    _message = f"the adapter for LangChain needs {error.name}: pip install 'openrouter-rerank[langchain]', or '.[langchain]' in a clone"
    raise ImportError(_message) from error


class OpenRouterRerank(BaseDocumentCompressor):
    """Documents by their relevance to the query, best first: copies with `relevance_score` in their metadata.

    Sync and async calls each have a reranker of their kind, and its errors come through as they are. Without `top_n` and
    `min_score` all documents come back.

    Args:
        model: The model, as `author/name`.
        top_n: How many documents at most.
        min_score: Leave out documents below this score. The scale is the model's own.
        provider: Which providers may serve, and which are preferred.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. The empty string sends none.
        base_url, timeout, deadline: As for `Reranker`.
        reranker, async_reranker: Ready ones, for all else that can be set; they stay yours to close.

    Raises:
        ValueError: There is no key, or an argument has a value that can never work.
        TypeError: An argument has the wrong type.

    Example:
        >>> from langchain_core.documents import Document
        >>> from openrouter_rerank import Reranker
        >>> compressor = OpenRouterRerank(reranker=Reranker.local(), top_n=1)
        >>> found = [Document("Paris is in France."), Document("Berlin is in Germany.", metadata={"page": 7})]
        >>> [best] = compressor.compress_documents(found, "Where is Berlin?")
        >>> best.page_content, sorted(best.metadata)
        ('Berlin is in Germany.', ['page', 'relevance_score'])
    """

    model_config = ConfigDict(frozen=True)

    model: str | None = None
    top_n: int | None = None
    min_score: float | None = None
    provider: Mapping[str, Any] | None = None
    base_url: str | None = None
    timeout: float | None = None
    deadline: float | None = None

    _pair: Pair = PrivateAttr()

    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        *,
        model: str | None = None,
        top_n: int | None = None,
        min_score: float | None = None,
        provider: Mapping[str, Any] | None = None,
        api_key: SecretStr | str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
    ) -> None:
        secret = SecretStr(api_key) if isinstance(api_key, str) else api_key
        del api_key  # a traceback with local variables must not show it
        settings: dict[str, Any] = {
            "model": model,
            "top_n": top_n,
            "min_score": min_score,
            "provider": provider,
            "base_url": base_url,
            "timeout": timeout,
            "deadline": deadline,
        }
        pair = Pair(None if secret is None else secret.get_secret_value, settings, reranker, async_reranker)
        pair.check()
        super().__init__(**settings)
        self._pair = pair

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain passes them; a compressor is no run of its own
    ) -> Sequence[Document]:
        """The documents by their relevance to the query, best first. No documents give none, and no request.

        Raises:
            RerankError: As `Reranker.rerank` does, and all else that it raises.
        """
        return _copies(self._pair.rerank(query, documents, _text))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - as above
    ) -> Sequence[Document]:
        """The same with `await`, on the event loop and in no thread."""
        return _copies(await self._pair.arerank(query, documents, _text))

    def close(self) -> None:
        """Close the connections of sync calls, unless the reranker was given. A later call opens new ones."""
        self._pair.close()

    async def aclose(self) -> None:
        """Close all connections, unless the rerankers were given. A later call opens new ones."""
        await self._pair.aclose()


def _text(document: Document) -> str:
    return document.page_content


def _copies(ranking: Ranking[Document]) -> list[Document]:
    return [
        hit.document.model_copy(update={"metadata": {**hit.document.metadata, "relevance_score": hit.score}})
        for hit in ranking
    ]
