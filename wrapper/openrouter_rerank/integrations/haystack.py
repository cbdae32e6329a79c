"""A ranker component for Haystack. It needs only haystack-ai, from the extra `haystack`."""
# Types are also checked without Haystack, so that its types are unknown.
# mypy: disable-error-code="import-not-found,no-any-return,untyped-decorator"
# pyright: reportMissingImports=false, reportUntypedClassDecorator=false, reportUntypedFunctionDecorator=false
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false
# No `from __future__ import annotations`, as Haystack reads the annotations of `run`.

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Self

from openrouter_rerank.client import AsyncReranker, Reranker
from openrouter_rerank.defaults import KEY_VARIABLE
from openrouter_rerank.documents import Document as TextAndImage
from openrouter_rerank.documents import Sendable
from openrouter_rerank.integrations.pair import Pair, Setup, plain, splitter_of
from openrouter_rerank.options import CALL, CallOptions, document, names_of, refuse_unknown
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank.redaction import hides_frames
from openrouter_rerank_api.dialects import DIALECTS, Dialect

try:
    from haystack import Document, component, default_from_dict, default_to_dict
    from haystack.core.errors import SerializationError
    from haystack.utils import Secret
    from haystack.utils.auth import SecretType
except ModuleNotFoundError as error:
    _message = f"the adapter for Haystack needs {error.name}: pip install 'openrouter-rerank[haystack]', or '.[haystack]' in a clone"
    raise ImportError(_message) from error

# Not strict, because the reranker's message for a missing key also names alternatives.
_FROM_ENVIRONMENT = Secret.from_env_var(KEY_VARIABLE, strict=False)
# Options with Haystack's names.
_RENAMED = {"top_n": "top_k", "min_score": "score_threshold", "base_url": "api_base_url"}
# The other options; `model` is an argument of the constructor.
_OPTIONS = tuple(name for name in CallOptions.__annotations__ if name not in {*_RENAMED, "model"})
_Named = type(
    "Options", (), {"__annotations__": {name: CallOptions.__annotations__[name] for name in _OPTIONS}}
)


@component
class OpenRouterRanker:
    """A component that returns copies of the documents by relevance, best first, with new scores.

    Sync runs use a `Reranker`, and async runs an `AsyncReranker`. Their errors are raised unchanged. Without `top_k` and
    `score_threshold` all documents are returned. The content of a document is sent, and its blob if that is an image. Each
    argument is an attribute; a run uses its current value.

    A copy shares the connections as long as its URL, key and deadline are the same.

    Args:
        model: The model, as `author/name`.
        top_k: The maximum number of documents.
        score_threshold: The minimum score of a document. The scale depends on the model.
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. With None, no key is sent.
        dialect: The API of the server, as for `Reranker`. It also determines the default variable of the key.
        api_base_url: The base URL of `/rerank`; by default the one of the dialect's vendor.
        meta_fields_to_embed: The fields of a document's meta to send before its content.
        meta_data_separator: The separator between these fields and the content.
        deadline: As for `Reranker`.
        on_error: "raise" (the default), or "keep_order", which returns copies of the first `top_k` documents in their original
            order and with their own scores, instead of raising a RerankError. The reason is logged as a warning.
        reranker, async_reranker: Ready rerankers with other settings, which you close yourself. With one, the component
            cannot be serialized.
        provider, timeout, splitter, blank: As for `Reranker.rerank`, and all its other options. `splitter` may be
            `split_by_words(300, 50)`, which can be serialized. With `blank="skip"`, documents without content are omitted.

    Raises:
        ValueError: An argument is invalid, or belongs to a ready reranker.
        TypeError: An argument has the wrong type, or does not exist.

    Example:
        >>> from haystack import Document
        >>> from openrouter_rerank import Reranker
        >>> ranker = OpenRouterRanker(reranker=Reranker.local(), top_k=1)
        >>> found = [Document(content="Paris is in France."), Document(content="Berlin is in Germany.")]
        >>> ranker.run(query="Where is Berlin?", documents=found)["documents"][0].content
        'Berlin is in Germany.'
    """

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

    @hides_frames
    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        model: str | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        *,
        api_key: Secret | None = _FROM_ENVIRONMENT,
        dialect: Dialect = "openrouter",
        api_base_url: str | None = None,
        meta_fields_to_embed: list[str] | None = None,
        meta_data_separator: str = "\n",
        deadline: float | None = None,
        on_error: Literal["raise", "keep_order"] = "raise",
        reranker: Reranker | None = None,
        async_reranker: AsyncReranker | None = None,
        **options: Any,  # not Unpack[CallOptions], which has `model` too
    ) -> None:
        for name in _RENAMED.keys() & options.keys():
            message = f"OpenRouterRanker() has no argument {name!r}; did you mean {_RENAMED[name]!r}?"
            raise TypeError(message)
        refuse_unknown("OpenRouterRanker", options, names_of(OpenRouterRanker.__init__))
        if not isinstance(api_key, Secret | None):
            message = f"api_key must be a Secret of Haystack, not {type(api_key).__name__}; pass Secret.from_token(...)"
            raise TypeError(message)
        self.model = model
        self.top_k = top_k
        self.score_threshold = score_threshold
        self.api_key = api_key
        self.dialect: Dialect = dialect
        self.api_base_url = api_base_url
        self.meta_fields_to_embed = meta_fields_to_embed or []
        self.meta_data_separator = meta_data_separator
        self.deadline = deadline
        self.on_error = on_error
        self.reranker = reranker
        self.async_reranker = async_reranker
        for name in _OPTIONS:
            value = options.get(name)
            setattr(self, name, splitter_of(value) if name == "splitter" else value)
        self._pair = Pair()
        # Do not check the key: it may be missing where a pipeline is built.
        self._setup().check()

    document(__init__, _Named, {})

    def _setup(self) -> Setup:
        is_ready = self.reranker is not None or self.async_reranker is not None
        has_own_key = is_ready or self.dialect != DIALECTS[0]
        options = {name: getattr(self, _RENAMED.get(name, name)) for name in CALL}
        return Setup(
            options=options,
            on_error=self.on_error,
            client={
                "dialect": None if self.dialect == DIALECTS[0] else self.dialect,
                "base_url": self.api_base_url,
                "deadline": self.deadline,
            },
            # OpenRouter's key is not sent to servers of other dialects.
            key=None if has_own_key and self.api_key == _FROM_ENVIRONMENT else self._key,
            key_source=self.api_key,
            reranker=self.reranker,
            async_reranker=self.async_reranker,
        )

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self), _pair=self._pair.__copy__())
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        copied = object.__new__(type(self))
        memo[id(self)] = copied
        vars(copied).update(deepcopy(vars(self), memo))
        return copied

    def __getstate__(self) -> dict[str, Any]:
        setup = self._setup()
        is_written = self.api_key is None or self.api_key.type is SecretType.ENV_VAR
        setup.refuse_secrets(type(self).__name__, has_key=not is_written)
        return dict(vars(self))

    def warm_up(self) -> None:
        """Create the sync reranker, so that invalid settings fail early.

        Raises:
            ValueError: There is no key, or an argument has an invalid value.
            TypeError: An argument has the wrong type.
        """
        setup = self._setup()
        if not setup.is_ready:
            self._pair.sync(setup)

    async def warm_up_async(self) -> None:
        """Create the async reranker; raises like `warm_up`."""
        setup = self._setup()
        if not setup.is_ready:
            await self._pair.asynchronous(setup)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Return the documents by relevance to the query, best first, under `documents`. An empty list sends nothing.

        Raises:
            RerankError: The call failed. All errors are those of `Reranker.rerank`; a pipeline wraps them in its own.
        """
        setup = self._setup().changed(top_n=top_k, min_score=score_threshold)
        return _output(self._pair.rerank(setup, query, documents, self._sendable))

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        score_threshold: float | None = None,
    ) -> dict[str, list[Document]]:
        """Run like `run`, with `await` and without a thread."""
        setup = self._setup().changed(top_n=top_k, min_score=score_threshold)
        return _output(await self._pair.arerank(setup, query, documents, self._sendable))

    def close(self) -> None:
        """Close the connections of sync runs, unless the reranker was passed. A later run opens new ones."""
        self._pair.close()

    async def close_async(self) -> None:
        """Close all connections, unless the rerankers were passed. A later run opens new ones."""
        await self._pair.aclose()

    def to_dict(self) -> dict[str, Any]:
        """Return the component as a dictionary, with the variable of the key but never the key.

        Raises:
            SerializationError: A ready reranker, headers, or a function as `splitter` cannot be serialized.
        """
        splitter = plain("splitter", splitter_of(self.splitter))
        cannot = {
            "a ready reranker": self.reranker is not None or self.async_reranker is not None,
            "extra_headers, which may contain secrets,": bool(self.extra_headers),
            "a function as splitter (other than split_by_words(...))": callable(splitter),
        }
        for part, is_there in cannot.items():
            if is_there:
                message = f"an OpenRouterRanker with {part} cannot be serialized; use other arguments"
                raise SerializationError(message)
        options = {name: plain(name, getattr(self, name)) for name in _OPTIONS}
        return default_to_dict(
            self,
            model=self.model,
            top_k=self.top_k,
            score_threshold=self.score_threshold,
            api_key=self.api_key and self.api_key.to_dict(),
            dialect=self.dialect,
            api_base_url=self.api_base_url,
            meta_fields_to_embed=self.meta_fields_to_embed,
            meta_data_separator=self.meta_data_separator,
            deadline=self.deadline,
            on_error=self.on_error,
            **{name: value for name, value in options.items() if value is not None},
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the component that `to_dict` described."""
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


def _output(ranking: Ranking[Document] | OriginalOrder[Document]) -> dict[str, list[Document]]:
    ranked = [
        replace(
            hit.document,
            score=hit.document.score if hit.score is None else hit.score,
            meta={**hit.document.meta},
        )
        for hit in ranking
    ]
    return {"documents": ranked}
