"""A node postprocessor for LlamaIndex, on llama-index-core alone. It needs the extra `llama-index`."""
# Types are checked where LlamaIndex is not there, so what comes from it is unknown.
# mypy: disable-error-code="import-not-found,misc,no-any-return"
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.integrations.pair import Pair
from openrouter_rerank.ranking import Ranking

try:
    from llama_index.core.bridge.pydantic import PrivateAttr, SecretStr
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
except ModuleNotFoundError as error:
    _message = f"the adapter for LlamaIndex needs {error.name}: pip install 'openrouter-rerank[llama-index]', or '.[llama-index]' in a clone"
    raise ImportError(_message) from error

_dispatcher = get_dispatcher(__name__)


class OpenRouterRerank(BaseNodePostprocessor):
    """Nodes by their relevance to the query, best first: each node as it was, under a new score.

    Sync and async calls each have a reranker of their kind, and its errors come through as they are. Without `top_n` and
    `min_score` all nodes come back. The events of LlamaIndex's own rerankers are sent. Of a node its text is sent, and
    of its metadata what the mode says; of an image node no image.

    Args:
        model: The model, as `author/name`.
        top_n: How many nodes at most.
        min_score: Leave out nodes below this score. The scale is the model's own.
        provider: Which providers may serve, and which are preferred.
        metadata_mode: Which metadata is sent with a node's text; by default what would be embedded.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. The empty string sends none.
        base_url, timeout, deadline: As for `Reranker`.
        reranker, async_reranker: Ready ones, for all else that can be set; they stay yours to close.
        callback_manager: Whom LlamaIndex tells of events, in its older way.

    Raises:
        ValueError: There is no key, or an argument has a value that can never work.
        TypeError: An argument has the wrong type.

    Example:
        >>> from llama_index.core.schema import NodeWithScore, TextNode
        >>> from openrouter_rerank import Reranker
        >>> postprocessor = OpenRouterRerank(reranker=Reranker.local(), top_n=1)
        >>> found = [NodeWithScore(node=TextNode(text=text)) for text in ("Paris is in France.", "Berlin is in Germany.")]
        >>> [best] = postprocessor.postprocess_nodes(found, query_str="Where is Berlin?")
        >>> best.text
        'Berlin is in Germany.'
    """

    model: str | None = None
    top_n: int | None = None
    min_score: float | None = None
    provider: Mapping[str, Any] | None = None
    metadata_mode: MetadataMode = MetadataMode.EMBED
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
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        api_key: SecretStr | str | None = None,
        base_url: str | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
        callback_manager: CallbackManager | None = None,
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
        fields: dict[str, Any] = {
            **settings,
            "metadata_mode": metadata_mode,
            "callback_manager": callback_manager,
        }
        super().__init__(**{name: value for name, value in fields.items() if value is not None})
        self._pair = pair

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex serializes it."""
        return "OpenRouterRerank"

    def close(self) -> None:
        """Close the connections of sync calls, unless the reranker was given. A later call opens new ones."""
        self._pair.close()

    async def aclose(self) -> None:
        """Close all connections, unless the rerankers were given. A later call opens new ones."""
        await self._pair.aclose()

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._events(nodes, query) as scored:
            scored.extend(_scored(self._pair.rerank(query, nodes, self._text)))
        return scored

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        with self._events(nodes, query) as scored:
            scored.extend(_scored(await self._pair.arerank(query, nodes, self._text)))
        return scored

    def _text(self, node: NodeWithScore) -> str:
        return node.node.get_content(metadata_mode=self.metadata_mode)

    @contextmanager
    def _events(self, nodes: Sequence[NodeWithScore], query: str) -> Generator[list[NodeWithScore]]:
        """Tell of the start, and of the end with what the block has put into the list."""
        model = self._pair.model
        top_n = self.top_n or len(nodes)
        scored: list[NodeWithScore] = []
        _dispatcher.event(ReRankStartEvent(query=query, nodes=list(nodes), top_n=top_n, model_name=model))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: model,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield scored
            event.on_end(payload={EventPayload.NODES: scored})
        _dispatcher.event(ReRankEndEvent(nodes=scored))


def _query(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise ValueError("there is no query to rank by: pass query_bundle= or query_str=")
    return bundle.query_str


def _scored(ranking: Ranking[NodeWithScore]) -> list[NodeWithScore]:
    return [NodeWithScore(node=hit.document.node, score=hit.score) for hit in ranking]
