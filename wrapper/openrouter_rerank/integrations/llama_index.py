"""A node postprocessor for LlamaIndex. It needs only llama-index-core, from the extra `llama-index`."""
# Types are also checked without LlamaIndex, so that its types are unknown.
# mypy: disable-error-code="import-not-found,misc,no-any-return"
# pyright: reportMissingImports=false, reportUntypedBaseClass=false, reportUnknownMemberType=false
# pyright: reportPrivateImportUsage=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from openrouter_rerank.integrations.pair import Setup
from openrouter_rerank.options import CallOptions, document
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank.redaction import hides_frames

try:
    from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
    from llama_index.core.postprocessor.types import BaseNodePostprocessor
    from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle

    from openrouter_rerank.integrations.fields import AdapterSettings, masked
except ModuleNotFoundError as error:
    _message = f"the adapter for LlamaIndex needs {error.name}: pip install 'openrouter-rerank[llama-index]', or '.[llama-index]' in a clone"
    raise ImportError(_message) from error

if TYPE_CHECKING:
    from typing import Unpack

    from llama_index.core.bridge.pydantic import SecretStr

    from openrouter_rerank.client import AsyncReranker, Reranker
    from openrouter_rerank_api.dialects import Dialect

_dispatcher = get_dispatcher(__name__)


class OpenRouterRerank(AdapterSettings, BaseNodePostprocessor):
    """A postprocessor that returns the nodes by relevance, best first, with new scores.

    Sync calls use a `Reranker`, and async calls an `AsyncReranker`. Their errors are raised unchanged. Without `top_n` and
    `min_score` all nodes are returned. It sends the events of LlamaIndex's own rerankers. The text of a node is sent with
    the metadata of `metadata_mode`; images are not sent. Each argument is an attribute; a call uses its current value.

    A copy shares the connections as long as its URL, key and deadline are the same. JSON and pickles do not contain the
    key; it is read from the environment when they are loaded.

    Args:
        model, top_n, min_score, provider, timeout, splitter, blank: As for `Reranker.rerank`, and all its other options.
            `splitter` may be `split_by_words(300, 50)`, which can be serialized.
        metadata_mode: The metadata to send with a node's text; by default the metadata for embeddings.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. With an empty string, no key is sent.
        dialect, base_url, deadline: As for `Reranker`.
        on_error: "raise" (the default), or "keep_order", which returns the first `top_n` nodes in their original order and with
            their own scores, instead of raising a RerankError. The reason is logged as a warning.
        reranker, async_reranker: Ready rerankers with other settings, which you close yourself.
        callback_manager: The manager of LlamaIndex's older callback events.

    Raises:
        ValueError: There is no key, or an argument has an invalid value.
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

    metadata_mode: MetadataMode = MetadataMode.EMBED

    @hides_frames
    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        *,
        metadata_mode: MetadataMode = MetadataMode.EMBED,
        api_key: SecretStr | str | None = None,
        dialect: Dialect | None = None,
        base_url: str | None = None,
        deadline: float | None = None,
        on_error: Literal["raise", "keep_order"] = "raise",
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
        callback_manager: CallbackManager | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        secret = masked(api_key)
        del api_key  # a traceback with local variables must not show it
        given = {**self._known(options), "metadata_mode": metadata_mode}
        if callback_manager is not None:
            given["callback_manager"] = callback_manager
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

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in LlamaIndex's serialized form."""
        return "OpenRouterRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        setup = self._setup()
        with self._events(setup, nodes, query) as scored:
            scored.extend(_scored(self._pair.rerank(setup, query, nodes, self._text)))
        return scored

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query(query_bundle)
        if not nodes:
            return []
        setup = self._setup()
        with self._events(setup, nodes, query) as scored:
            scored.extend(_scored(await self._pair.arerank(setup, query, nodes, self._text)))
        return scored

    def _text(self, node: NodeWithScore) -> str:
        return node.node.get_content(metadata_mode=MetadataMode(self.metadata_mode))

    @contextmanager
    def _events(
        self, setup: Setup, nodes: Sequence[NodeWithScore], query: str
    ) -> Generator[list[NodeWithScore]]:
        """Emit the start event, and the end event with the nodes that the block adds to the list."""
        model = setup.model
        top_n = setup.options["top_n"] or len(nodes)
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
        raise ValueError("the query is missing; pass query_bundle= or query_str=")
    return bundle.query_str


def _scored(ranking: Ranking[NodeWithScore] | OriginalOrder[NodeWithScore]) -> list[NodeWithScore]:
    return [
        NodeWithScore(node=hit.document.node, score=hit.document.score if hit.score is None else hit.score)
        for hit in ranking
    ]
