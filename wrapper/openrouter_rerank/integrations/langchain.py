"""A document compressor for LangChain, on langchain-core alone. It needs the extra `langchain`."""
# Types are checked where LangChain is not there, so what comes from it is unknown.
# mypy: disable-error-code="import-not-found,misc,no-any-return"
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from openrouter_rerank.options import CallOptions, document
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank.redaction import hides_frames

try:
    from langchain_core.callbacks import Callbacks
    from langchain_core.documents import BaseDocumentCompressor, Document

    from openrouter_rerank.integrations.fields import Settings, masked
except ModuleNotFoundError as error:
    _message = f"the adapter for LangChain needs {error.name}: pip install 'openrouter-rerank[langchain]', or '.[langchain]' in a clone"
    raise ImportError(_message) from error


if TYPE_CHECKING:
    from typing import Unpack

    from pydantic import SecretStr

    from openrouter_rerank.client import AsyncReranker, Reranker
    from openrouter_rerank_api.dialects import Dialect


class OpenRouterRerank(Settings, BaseDocumentCompressor):
    """Documents by their relevance to the query, best first: copies with `relevance_score` in their metadata.

    Sync and async calls each have a reranker of their kind, and its errors come through as they are. Without `top_n` and
    `min_score` all documents come back. Each argument is an attribute, and counts as it is at the time of a call.

    A copy has the same connections while its address, key and deadline are the same. What is dumped or pickled has no key:
    it comes from the environment where it is read.

    Args:
        model, top_n, min_score, provider, timeout, splitter, blank: As for `Reranker.rerank`, and all its other options.
            `splitter` may be `split_by_words(300, 50)`, which can be dumped.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. The empty string sends none.
        dialect, base_url, deadline: As for `Reranker`.
        on_error: "keep_order" gives copies of the documents in their order, the first `top_n` and without a
            `relevance_score`, in place of any RerankError, and logs a warning with the reason. "raise" is the default.
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

    @hides_frames
    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        *,
        api_key: SecretStr | str | None = None,
        dialect: Dialect | None = None,
        base_url: str | None = None,
        deadline: float | None = None,
        on_error: Literal["raise", "keep_order"] = "raise",
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        secret = masked(api_key)
        del api_key  # a traceback with local variables must not show it
        given = self._known(options)
        super().__init__(
            api_key=secret,
            dialect=dialect,
            base_url=base_url,
            deadline=deadline,
            on_error=on_error,
            reranker=reranker,
            async_reranker=async_reranker,
            **given,
        )
        self._check()

    document(__init__, CallOptions, {})

    def compress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain passes them; a compressor is no run of its own
    ) -> Sequence[Document]:
        """Return the documents by relevance to the query, best first; without documents, send nothing.

        Raises:
            RerankError: As `Reranker.rerank` does, and all else that it raises.
        """
        return _copies(self._pair.rerank(self._setup(), query, documents, _text))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - as above
    ) -> Sequence[Document]:
        """Compress with `await`, on the event loop and without a thread."""
        return _copies(await self._pair.arerank(self._setup(), query, documents, _text))


def _text(document: Document) -> str:
    return document.page_content


def _copies(ranking: Ranking[Document] | OriginalOrder[Document]) -> list[Document]:
    return [
        hit.document.model_copy(
            update={
                "metadata": {
                    **hit.document.metadata,
                    **({} if hit.score is None else {"relevance_score": hit.score}),
                }
            }
        )
        for hit in ranking
    ]
