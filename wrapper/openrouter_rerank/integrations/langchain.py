"""A document compressor for LangChain. It needs only langchain-core, from the extra `langchain`."""
# Types are also checked without LangChain, so that its types are unknown.
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

    from openrouter_rerank.integrations.fields import AdapterSettings, masked
except ModuleNotFoundError as error:
    _message = f"the adapter for LangChain needs {error.name}: pip install 'openrouter-rerank[langchain]', or '.[langchain]' in a clone"
    raise ImportError(_message) from error


if TYPE_CHECKING:
    from typing import Unpack

    from pydantic import SecretStr

    from openrouter_rerank.client import AsyncReranker, Reranker
    from openrouter_rerank_api.dialects import Dialect


class OpenRouterRerank(AdapterSettings, BaseDocumentCompressor):
    """A compressor that returns copies of the documents by relevance, best first, with `relevance_score` in the metadata.

    Sync calls use a `Reranker`, and async calls an `AsyncReranker`. Their errors are raised unchanged. Without `top_n` and
    `min_score` all documents are returned. Each argument is an attribute; a call uses its current value.

    A copy shares the connections as long as its URL, key and deadline are the same. Dumps and pickles do not contain the
    key; it is read from the environment when they are loaded.

    Args:
        model, top_n, min_score, provider, timeout, splitter, blank: As for `Reranker.rerank`, and all its other options.
            `splitter` may be `split_by_words(300, 50)`, which can be dumped.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. With an empty string, no key is sent.
        dialect, base_url, deadline: As for `Reranker`.
        on_error: "raise" (the default), or "keep_order", which returns copies of the first `top_n` documents in their original
            order, without `relevance_score`, instead of raising a RerankError. The reason is logged as a warning.
        reranker, async_reranker: Ready rerankers with other settings, which you close yourself.

    Raises:
        ValueError: There is no key, or an argument has an invalid value.
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
        callbacks: Callbacks | None = None,  # noqa: ARG002 - LangChain passes them, but a compressor is not a run
    ) -> Sequence[Document]:
        """Return the documents by relevance to the query, best first. An empty list sends nothing.

        Raises:
            RerankError: The call failed. All errors are those of `Reranker.rerank`.
        """
        return _copies(self._pair.rerank(self._setup(), query, documents, _text))

    async def acompress_documents(
        self,
        documents: Sequence[Document],
        query: str,
        callbacks: Callbacks | None = None,  # noqa: ARG002 - as above
    ) -> Sequence[Document]:
        """Return the documents like `compress_documents`, with `await` and without a thread."""
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
