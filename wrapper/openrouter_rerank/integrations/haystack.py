"""A ranker component for Haystack, on haystack-ai alone. It needs the extra `haystack`."""
# Types are checked where Haystack is not there, so what comes from it is unknown.
# mypy: disable-error-code="import-not-found,no-any-return,untyped-decorator"
# pyright: reportMissingImports=false, reportUntypedClassDecorator=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false
# Annotations are no strings here, as Haystack reads those of `run`.

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.defaults import BASE_URL, KEY_VARIABLE
from openrouter_rerank.documents import Document as TextAndImage
from openrouter_rerank.documents import Sendable
from openrouter_rerank.integrations.pair import Pair
from openrouter_rerank.ranking import Ranking

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.core.errors import SerializationError
    from haystack.utils import Secret
except ModuleNotFoundError as error:
    _message = f"the adapter for Haystack needs {error.name}: pip install 'openrouter-rerank[haystack]', or '.[haystack]' in a clone"
    raise ImportError(_message) from error

# Not strict: an absent key is refused by the reranker, whose message says what else there is.
_FROM_ENVIRONMENT = Secret.from_env_var(KEY_VARIABLE, strict=False)


@component
class OpenRouterRanker:
    """Documents by their relevance to the query, best first: copies with a new score.

    Sync and async runs each have a reranker of their kind, and its errors come through as they are. Without `top_k` and
    `score_threshold` all documents come back. Of a document its content is sent, and the image that its blob may be.

    Args:
        model: The model, as `author/name`.
        top_k: How many documents at most.
        score_threshold: Leave out documents below this score (a document of just this score stays). The scale is the
            model's own.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. None sends none.
        api_base_url: The address under which `/rerank` lies.
        provider: Which providers may serve, and which are preferred.
        meta_fields_to_embed: What of a document's meta is sent before its content.
        meta_data_separator: What stands between those and the content.
        timeout, deadline: As for `Reranker`.
        reranker, async_reranker: Ready ones, for all else that can be set; they stay yours to close, and the component
            cannot be serialized.

    Raises:
        ValueError: A ready reranker comes with what only the one who makes it can set.

    Example:
        >>> from haystack import Document
        >>> from openrouter_rerank import Reranker
        >>> ranker = OpenRouterRanker(reranker=Reranker.local(), top_k=1)
        >>> found = [Document(content="Paris is in France."), Document(content="Berlin is in Germany.")]
        >>> ranker.run(query="Where is Berlin?", documents=found)["documents"][0].content
        'Berlin is in Germany.'
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        model: str | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        *,
        api_key: Secret | None = _FROM_ENVIRONMENT,
        api_base_url: str = BASE_URL,
        provider: Mapping[str, Any] | None = None,
        meta_fields_to_embed: list[str] | None = None,
        meta_data_separator: str = "\n",
        timeout: float | None = None,
        deadline: float | None = None,
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
    ) -> None:
        self.model = model
        self.top_k = top_k
        self.score_threshold = score_threshold
        self.api_key = api_key
        self.api_base_url = api_base_url
        self.provider = provider
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.meta_data_separator = meta_data_separator
        self.timeout = timeout
        self.deadline = deadline
        ready = reranker is not None or async_reranker is not None
        self._pair = Pair(
            None if ready and api_key is _FROM_ENVIRONMENT else self._key,
            {
                "model": model,
                "top_n": top_k,
                "min_score": score_threshold,
                "base_url": None if ready and api_base_url == BASE_URL else api_base_url,
                "provider": provider,
                "timeout": timeout,
                "deadline": deadline,
            },
            reranker,
            async_reranker,
        )

    def warm_up(self) -> None:
        """Make the sync reranker, so that bad settings fail before anything runs.

        Raises:
            ValueError: There is no key, or an argument has a value that can never work.
            TypeError: An argument has the wrong type.
        """
        self._pair.check()

    async def warm_up_async(self) -> None:
        """Make the async reranker; it raises as `warm_up` does."""
        await self._pair.acheck()

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """The documents by their relevance to the query, best first, under `documents`. None give none, and no request.

        Raises:
            RerankError: As `Reranker.rerank` does, and all else that it raises. A pipeline wraps it in its own error.
        """
        limits = {"top_n": top_k, "min_score": score_threshold}
        return _output(self._pair.rerank(query, documents, self._sendable, **limits))

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """The same with `await`, on the event loop and in no thread."""
        limits = {"top_n": top_k, "min_score": score_threshold}
        return _output(await self._pair.arerank(query, documents, self._sendable, **limits))

    def close(self) -> None:
        """Close the connections of sync runs, unless the reranker was given. A later run opens new ones."""
        self._pair.close()

    async def close_async(self) -> None:
        """Close all connections, unless the rerankers were given. A later run opens new ones."""
        await self._pair.aclose()

    def to_dict(self) -> dict[str, Any]:
        """The component as a dictionary, with the name of the key's variable and never the key.

        Raises:
            SerializationError: It was made with a ready reranker, which cannot be written down.
        """
        if self._pair.given:
            raise SerializationError(
                "an OpenRouterRanker with a ready reranker cannot be serialized; make it by model, api_key and the like"
            )
        return default_to_dict(
            self,
            model=self.model,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            api_key=self.api_key and self.api_key.to_dict(),
            api_base_url=self.api_base_url,
            provider=None if self.provider is None else dict(self.provider),
            meta_fields_to_embed=self.meta_fields_to_embed,
            meta_data_separator=self.meta_data_separator,
            timeout=self.timeout,
            deadline=self.deadline,
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` wrote down."""
        return default_from_dict(cls, data)

    def _key(self) -> str | None:
        return "" if self.api_key is None else self.api_key.resolve_value()

    def _sendable(self, document: Document) -> Sendable:
        fields = [str(document.meta[name]) for name in self.meta_fields_to_embed if document.meta.get(name)]
        content = [] if document.content is None else [document.content]
        text = self.meta_data_separator.join([*fields, *content]) if fields or content else None
        blob = document.blob
        image = blob.data if blob and (blob.mime_type or "").startswith("image/") else None
        return text if text is not None and image is None else TextAndImage(text=text, image=image)


def _output(ranking: Ranking[Document]) -> dict[str, list[Document]]:
    ranked = [replace(hit.document, score=hit.score, meta={**hit.document.meta}) for hit in ranking]
    return {"documents": ranked}
