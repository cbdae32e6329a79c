"""The clients, sync and async, which perform the I/O of calls.

Making one imports what stands below this module (httpx, the generated client); importing this module does not.
"""
# ruff: noqa: PLC0415 - for that reason

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable, Mapping
from copy import copy
from functools import partial
from time import sleep
from types import MethodType, TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypeVar, cast, overload

from openrouter_rerank.defaults import DEADLINE
from openrouter_rerank.documents import D, Listed, Sendable
from openrouter_rerank.models import ModelInfo
from openrouter_rerank.operations import BackOff, Load, Parallel, Recall, Remember, Send, Step, Wait
from openrouter_rerank.protocols import AsyncHttpClient, Cache, HttpClient
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank.retries import Retries

if TYPE_CHECKING:
    from os import PathLike
    from ssl import SSLContext
    from typing import Unpack

    from openrouter_rerank.arguments import NoOptions
    from openrouter_rerank.bulk.many import Progress, Requestable, RerankRequest
    from openrouter_rerank.bulk.money import Estimate
    from openrouter_rerank.bulk.run import RunContext
    from openrouter_rerank.bulk.tasks import AsyncResults
    from openrouter_rerank.bulk.threads import Results
    from openrouter_rerank.calls import Handler
    from openrouter_rerank.ledger import Ledger
    from openrouter_rerank.local import Scorer
    from openrouter_rerank.options import CallOptions, ClientOptions, LocalOptions
    from openrouter_rerank.settings import Settings
    from openrouter_rerank_api.dialects import Dialect

T = TypeVar("T")
V = TypeVar("V")
C = TypeVar("C")


F = TypeVar("F")


class _WithOptions:
    """A method whose signature names its options, for `help()` and notebooks; made when the method is first used."""

    def __init__(self, method: Any, options: str, *, shows_defaults: bool) -> None:
        self._of_class = isinstance(method, classmethod)
        self.function: Callable[..., Any] = method.__func__ if self._of_class else method
        self._options = options
        self._shows_defaults = shows_defaults
        self._is_ready = False
        # Python's own message about a missing or positional argument has this name, and the base class is private.
        name = self.function.__name__
        if self.function.__qualname__.startswith("_"):
            self.function.__qualname__ = "Reranker" if name == "__init__" else name

    def __get__(self, instance: object, owner: type) -> Any:
        if not self._is_ready:
            from openrouter_rerank import options

            options.document(
                self.function,
                getattr(options, self._options),
                options.DEFAULTS if self._shows_defaults else {},
            )
            # Last, as another thread may read the signature. Two threads may both make it: it is the same.
            self._is_ready = True
        bound = owner if self._of_class else instance
        return self.function if bound is None else MethodType(self.function, bound)


def _function_of(owner: type, name: str) -> Callable[..., Any]:
    method = vars(owner)[name]
    return method.function if isinstance(method, _WithOptions) else method


def _takes(options: str, *, shows_defaults: bool = False) -> Callable[[F], F]:
    """Name the options of a method in its signature, by the name of their class."""

    def decorate(method: F) -> F:
        return cast(F, _WithOptions(method, options, shows_defaults=shows_defaults))

    return decorate


def _refuse(method: str, unknown: NoOptions) -> None:
    """Refuse arguments that a method of the client does not have."""
    if unknown:
        from openrouter_rerank.options import names_of, refuse_unknown

        names = list(unknown)
        cast("dict[str, Any]", unknown).clear()  # misspelt headers are secrets too
        refuse_unknown(method, names, names_of(getattr(Reranker, method)))


def _mask(value: T) -> T:
    """Mask an argument of a call, so that a traceback with local variables does not show it."""
    from openrouter_rerank.redaction import mask

    return mask(value)


def _read_file(step: Load) -> bytes:
    try:
        with step.path.open("rb") as file:
            return file.read(step.limit + 1)
    except OSError as error:
        error.add_note(f"{step.where}: its image could not be read, and nothing was sent")
        raise


class ClosedRerankerError(RuntimeError):
    """The reranker was closed before the call began."""


class _Life:
    """The life that a reranker shares with its copies. It has no lock, which a forked process could inherit taken."""

    is_over = False


class _Base(ABC, Generic[C]):
    """The common part of both rerankers: everything but I/O."""

    _connections: Any
    _not_pickled: tuple[str, ...]
    """The arguments that keep it from being pickled."""
    _local: tuple[Scorer | str | None] | None = None
    """The scorer of the local mode; None for a client of a server."""

    @_takes("CallOptions", shows_defaults=True)
    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        api_key: str | None = None,
        *,
        dialect: Dialect = "openrouter",
        base_url: str | None = None,
        deadline: float | None = DEADLINE,
        retries: Retries = Retries(),  # noqa: B008 - a frozen value
        app_title: str | None = None,
        app_referer: str | None = None,
        app_categories: str | Iterable[str] | None = None,
        max_image_bytes: int | None = None,
        max_cost: float | None = None,
        cache: Cache | None = None,
        verify: bool | str | PathLike[str] | SSLContext = True,
        http_client: C | None = None,
        **options: Unpack[CallOptions],
    ) -> None:
        from openrouter_rerank.options import CALL, names_of, refuse_unknown
        from openrouter_rerank.redaction import Key, mask, mask_arguments
        from openrouter_rerank.settings import codec_of, key_variable, settings

        # A traceback with local variables must not show what may hold a secret.
        passed = {
            "api_key": bool(api_key),
            "extra_headers": bool(options.get("extra_headers")),
            "base_url": "?" in str(base_url),
            "http_client": http_client is not None,
            "max_cost": max_cost is not None,
            "verify": type(verify).__name__ == "SSLContext",
        }
        self._not_pickled = tuple(name for name, is_passed in passed.items() if is_passed)
        api_key, base_url = mask(api_key), mask(base_url)
        app_title, app_referer, app_categories = mask(app_title), mask(app_referer), mask(app_categories)
        mask_arguments(cast("dict[str, Any]", options))
        if not options.keys() <= CALL:
            names = list(options)
            cast("dict[str, Any]", options).clear()  # a misspelt api_key is a secret too
            refuse_unknown(type(self).__name__, names, names_of(type(self)) | names_of(Reranker))
        key = Key(api_key, key_variable(codec_of(dialect), base_url))
        key.check()
        self._settings: Settings = settings(
            key=key,
            dialect=dialect,
            base_url=base_url,
            deadline=deadline,
            retries=retries,
            app_title=app_title,
            app_referer=app_referer,
            app_categories=app_categories,
            max_image_bytes=max_image_bytes,
            max_cost=max_cost,
            cache=cache,
            verify=verify,
            has_client=http_client is not None,
            options=cast("Mapping[str, Any]", options),
        )
        self._handler = self._handlers()
        self._life = _Life()
        self._connect(http_client)

    @_takes("LocalOptions", shows_defaults=True)
    @classmethod
    def local(cls, scorer: Scorer | str | None = None, **options: Unpack[LocalOptions]) -> Self:
        """Return a reranker that ranks in this process, without a key or a network. Use it for development and tests.

        A call is served by the reference server of the conformance kit.

        Args:
            scorer: "lexical" (the default), "semantic", or a function of the query and the texts that returns a score for
                each text. Cached results of a function are used by this reranker alone.
            options: As for the constructor. By default a failed scorer is not retried.

        Raises:
            ImportError: An extra is not installed; the message names it.
        """
        from openrouter_rerank.local import address_of
        from openrouter_rerank.options import names_of, refuse_unknown
        from openrouter_rerank.redaction import mask_arguments

        mask_arguments(cast("dict[str, Any]", options))
        refuse_unknown("local", options, names_of(cls.local))
        # What fails here will fail again: it is the scorer.
        options.setdefault("retries", Retries(attempts=1))
        client = cls._local_client(scorer)
        made = cls("", base_url=address_of(scorer), http_client=client, **options)
        return made._of_local(scorer)

    @_takes("ClientOptions")
    def with_options(self, **options: Unpack[ClientOptions]) -> Self:
        """Return a copy with other defaults and the same connections, ledger and cache.

        To `extra_body` and `extra_headers` the copy adds its entries; every other option replaces the default. Closing
        either closes both.

        Args:
            options: As for the constructor. None keeps the default; for `deadline` it means no limit.

        Raises:
            ValueError, TypeError: An option is invalid, or does not exist.
            RuntimeError: The reranker is closed.

        Example:
            >>> with Reranker.local(top_n=3) as reranker:
            ...     best = reranker.with_options(top_n=1)
            ...     len(best.rerank("Where is Berlin?", ["Paris is in France.", "Berlin is in Germany."]))
            1
        """
        from openrouter_rerank.options import CLIENT, refuse_unknown
        from openrouter_rerank.settings import changed

        self._refuse_if_closed()
        if "extra_headers" in options:
            options["extra_headers"] = _mask(options["extra_headers"])
        refuse_unknown("with_options", options, CLIENT)
        copied = copy(self)
        vars(copied)["_settings"] = changed(self._settings, cast("Mapping[str, Any]", options))
        if options.get("extra_headers"):
            vars(copied)["_not_pickled"] = (*self._not_pickled, "extra_headers")
        return copied

    def _of_local(self, scorer: Scorer | str | None) -> Self:
        """Mark it as a client of the local mode, whose address and http client can be made again from the scorer."""
        self._local = (scorer,)
        remade = ("base_url", "http_client")
        self._not_pickled = tuple(name for name in self._not_pickled if name not in remade)
        return self

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        vars(copied).update(vars(self))
        return copied

    def __deepcopy__(self, memo: object) -> Self:
        # The settings cannot change, and the rest (connections, ledger, cache) is to be shared.
        return copy(self)

    def __getstate__(self) -> dict[str, Any]:
        from openrouter_rerank.pickling import arguments_of, has_key, refuse_to_pickle
        from openrouter_rerank.settings import key_variable

        self._refuse_if_closed()
        variable = key_variable(self._settings.codec, self._settings.url)
        refuse_to_pickle(type(self).__name__, self._not_pickled, variable)
        made_anew = {"_settings", "_handler", "_life", "_connections", "_not_pickled"}
        return {
            "arguments": arguments_of(self._settings),
            "has_key": has_key(self._settings),
            "attributes": {name: value for name, value in vars(self).items() if name not in made_anew},
        }

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update(state["attributes"])
        client = None if self._local is None else self._local_client(*self._local)
        # The constructor of a subclass may take other arguments.
        cast(Any, _Base).__init__(
            self, None if state["has_key"] else "", http_client=client, **state["arguments"]
        )
        self._not_pickled = ()

    @property
    def ledger(self) -> Ledger:
        """The costs of this client's calls so far."""
        return self._settings.ledger

    def _call(
        self, query: str, documents: Iterable[T], on_error: str, **options: Any
    ) -> Generator[Step, Any, Ranking[T] | OriginalOrder[T]]:
        """Return a call that has not begun."""
        from openrouter_rerank.core import rerank

        self._refuse_if_closed()
        calling: Callable[..., Generator[Step, Any, Ranking[T] | OriginalOrder[T]]] = rerank
        if on_error != "raise":
            if on_error != "keep_order":
                from openrouter_rerank.arguments import hint

                close = hint(on_error, ("raise", "keep_order"))
                message = f"on_error must be 'raise' or 'keep_order', not {on_error!r}{close}"
                raise ValueError(message)
            from openrouter_rerank.bulk.order import keep_order

            calling = keep_order
        # An application may load tracing after it has made the client.
        if sys.modules.get("opentelemetry.trace") is None:
            return calling(self._settings, self._handler, query, documents, **options)
        from openrouter_rerank.integrations.opentelemetry import traced

        calling = partial(calling, self._settings, query=query, documents=documents, **options)
        return traced(calling, self._handler, self._settings.where)

    def _handlers(self) -> Handler:
        """Return the handler of calls: each request through the cache if there is one, long lists in parts."""
        from openrouter_rerank.core import compose, send_one

        if self._settings.cache is None:
            return compose(send_one)
        from openrouter_rerank.bulk.cache import cached

        return compose(cached(send_one))

    def _refuse_if_closed(self) -> None:
        if self._life.is_over:
            raise ClosedRerankerError(
                "this reranker is closed; make a new one, or leave the with block later"
            )
        if self._connections.inherited:
            raise RuntimeError(
                "http_client: its connections belong to the process that this one was forked from; "
                "make the http client and the reranker in this process"
            )

    def _call_of(self, request: RerankRequest[T]) -> Generator[Step, Any, Ranking[T] | OriginalOrder[T]]:
        """Return the call of one request of a run, not yet begun."""
        options = request.arguments
        if "extra_headers" in options:
            options["extra_headers"] = _mask(options["extra_headers"])
        return self._call(request.query, request.documents, options.pop("on_error", "raise"), **options)

    def _run_context(self) -> RunContext:
        from openrouter_rerank.bulk.run import RunContext

        settings = self._settings
        return RunContext(
            settings.retries,
            settings.ledger,
            self._connections,
            self._call_of,
            self._run,
            self._do,
            self._refuse_if_closed,
        )

    @abstractmethod
    def _run(self, call: Generator[Step, Any, Any], perform: Callable[[Step], Any] | None = None) -> Any:
        """Run a call to its end."""

    @abstractmethod
    def _do(self, step: Step) -> Any:
        """Perform an operation that a call yields."""

    @classmethod
    @abstractmethod
    def _local_client(cls, scorer: Scorer | str | None) -> C:
        """Make the http client of the local mode."""

    @abstractmethod
    def _connect(self, http_client: C | None) -> None:
        """Make the connections, or take those of the injected client."""

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # a debugger looks at one whose arguments were refused
            return f"<{type(self).__name__}, not made>"
        its = self._settings
        dialect = "" if its.codec is None else f", dialect {its.codec.name}"
        return f"<{type(self).__name__} {its.where}{dialect}, model {its.defaults['model']}>"


class Reranker(_Base[HttpClient]):
    """A client that ranks documents by their relevance to a query. Threads may share it; close it, or use it in `with`.

    Copies (by `copy`, `deepcopy` or `with_options`) share its connections, ledger and cache; closing one closes all.

    A pickle contains the settings. Where it is loaded, the connections are new, the ledger is empty, and the key is read
    from the environment. A reranker with `api_key`, `extra_headers`, a query in `base_url`, `max_cost` or `http_client`
    cannot be pickled (TypeError). A function among the options must be picklable itself.

    A forked process may use it, over connections of its own. The ledger there begins as a copy.

    Args:
        api_key: The API key; by default from the environment variable OPENROUTER_API_KEY. The empty string sends none. In
            another dialect the default is the vendor's variable (CO_API_KEY, JINA_API_KEY, VOYAGE_API_KEY) at the vendor's
            own address, and no key at any other.
        dialect: The API that the server speaks: "openrouter" (the default), "cohere-v2", "jina" (also vLLM, llama.cpp,
            infinity), "tei" or "voyage". An option that the dialect cannot carry raises ValueError before anything is sent.
        base_url: The address under which `/rerank` lies; by default the vendor's of the dialect.
        model, top_n, min_score, provider, session_id, user, trace, extra_body, extra_headers, and the fields of a dialect:
            Defaults for every call; see `rerank`. A call adds its entries to `extra_body` and `extra_headers`, and replaces
            the others. In another dialect, `model` has no default.
        timeout: Seconds within which one attempt must be answered completely.
        deadline: Seconds within which a call must end, with all its attempts, waits and queueing; None for no limit.
        retries: When a failed attempt is repeated; see `Retries`.
        app_title: The name of your application, for the vendor's statistics.
        app_referer: The URL of your application, for the vendor's statistics.
        app_categories: The categories of your application, for the vendor's statistics.
        max_image_bytes: The largest image that is sent from a `Path` or bytes; 20 MiB by default.
        tag, max_documents, max_bytes, on_part_error, splitter, blank: Defaults for every call; see `rerank`.
        max_cost: US dollars that the calls of this client may cost. A call is refused (`BudgetExceededError`) if the cost so
            far, the amount reserved for calls in flight, and the largest cost of a call of its model would exceed it. The
            first calls of a model have an unknown cost and are sent while anything is left; `rerank_many` sends the first
            one alone. A call whose cost the server does not report is not limited.
        cache: The cache of answers; see `openrouter_rerank.bulk.cache`. None by default.
        verify: The certificates to trust: a path to a PEM file or directory, an `ssl.SSLContext`, or False to trust any
            server. True (the default) uses SSL_CERT_FILE or SSL_CERT_DIR, and certifi's if neither is set.
        http_client: An `httpx.Client` (or a compatible one) to send with, for proxies, certificates and tests. You close
            it; `timeout` replaces its own. A forked process needs a client of its own: if this reranker has used the client
            before the fork, it raises RuntimeError in the child.

    Raises:
        ValueError: There is no key, or an argument has a value that can never work.
        TypeError: An argument has the wrong type.

    Example:
        >>> with Reranker.local() as reranker:
        ...     ranking = reranker.rerank("Where is Berlin?", ["Paris is in France.", "Berlin is in Germany."], top_n=1)
        >>> ranking.documents
        ['Berlin is in Germany.']
    """

    @classmethod
    def _local_client(cls, scorer: Scorer | str | None) -> HttpClient:
        import httpx

        from openrouter_rerank.local import reference_transport

        return httpx.Client(transport=reference_transport(scorer))

    @overload
    def rerank(
        self,
        query: str,
        documents: Listed[D],
        *,
        key: None = None,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[D]: ...
    @overload
    def rerank(  # type: ignore[overload-overlap] # with key=None
        self,
        query: str,
        documents: Listed[D],
        *,
        key: None = None,
        on_error: Literal["raise", "keep_order"],
        **options: Unpack[CallOptions],
    ) -> Ranking[D] | OriginalOrder[D]: ...
    @overload
    def rerank(  # type: ignore[overload-cannot-match] # documents of several types # pyright: ignore[reportOverlappingOverload]
        self,
        query: str,
        documents: Listed[Sendable],
        *,
        key: None = None,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[Sendable]: ...
    @overload
    def rerank(  # type: ignore[overload-cannot-match, overload-overlap] # likewise # pyright: ignore[reportOverlappingOverload]
        self,
        query: str,
        documents: Listed[Sendable],
        *,
        key: None = None,
        on_error: Literal["raise", "keep_order"],
        **options: Unpack[CallOptions],
    ) -> Ranking[Sendable] | OriginalOrder[Sendable]: ...
    @overload
    def rerank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[T]: ...
    @overload
    def rerank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None,
        on_error: Literal["raise", "keep_order"],
        **options: Unpack[CallOptions],
    ) -> Ranking[T] | OriginalOrder[T]: ...
    @_takes("CallOptions")
    def rerank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None = None,
        on_error: Literal["raise", "keep_order"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[T] | OriginalOrder[T]:
        """Return the documents by relevance to the query, best first; each hit contains your own object.

        None as an argument stands for the client's default. An empty list gives an empty ranking without a request.

        Args:
            query: The text to compare the documents with. A blank query raises ValueError.
            documents: An iterable of str, of mappings with `text` and/or `image`, of `Document`, or of images (`Path`,
                bytes). With `key`, the documents may be any objects.
            key: A function that returns the part of a document to send, or the name of a field.
            model: The model, as `author/name`.
            top_n: The largest number of hits, at least 1. If it exceeds the number of documents, all are returned.
            min_score: The lowest score that a hit may have. The scale is the model's own.
            provider: Providers that may serve the request, and which of them are preferred.
            session_id: Id that groups calls for observability, at most 256 characters.
            user: Your id of the end user, for observability.
            trace: Names of the request in observability tools.
            max_tokens_per_doc, truncation, instruction, ...: Fields that only some dialects have; see docs/dialects.md. In
                another dialect they raise ValueError.
            timeout: Seconds within which one attempt must be answered completely.
            extra_body: Further keys of the request, sent as they are. They override the arguments.
            extra_headers: Further headers. They override ours.
            tag: A name under which the ledger sums up calls. It is never sent.
            max_documents: The number of documents above which a list is sent in parts (1,000 by default), at most four at a
                time, and merged into one ranking. If the server reports that a list or a part is too large, it is halved.
                All parts share one deadline. Scores are comparable only under one model and one provider. Without
                `provider`, the provider of the first part must serve the others; `ranking.mixed` is True if different
                providers served them.
            max_bytes: The size of a request above which it is sent in parts (30 MB by default).
            on_part_error: The effect of a failed part. "raise" (the default) ends the call. "partial" returns the documents
                of the other parts and lists the rest in `ranking.unranked`; it raises if no part succeeds.
            splitter: A function of a text to its pieces, such as `openrouter_rerank.split_by_words(300, 50)`. The score of a
                document is the highest of its pieces. Documents with an image stay whole.
            blank: The handling of documents with a blank text and no image. "send" (the default) sends them, which many
                servers refuse; "skip" leaves them out and lists them in `ranking.unranked`. A text of white space and
                invisible characters, such as a zero-width space, is blank.
            on_error: "raise" (the default), or "keep_order", which returns the first `top_n` documents in their original
                order in place of any RerankError. The result is an `OriginalOrder`: its `reranked` is False, and its
                `reason` is the error. Other errors are raised.

        Raises:
            ValueError, TypeError: An argument is invalid, such as a blank query; nothing was sent.
            OSError: An image file could not be read; nothing was sent.
            RuntimeError: The reranker is closed.
            BadRequestError: The server refuses the request; change the call.
            AuthenticationError: The key is wrong, or lacks the permission.
            InsufficientCreditsError: The account has no credits left.
            RateLimitError: Too many requests, after all retries.
            ServerError: The server or its provider failed, after all retries.
            InvalidResponseError: The response breaks the contract.
            BudgetExceededError: The call may exceed `max_cost`; nothing was sent.
            APIConnectionError: The connection failed, after all retries; `APITimeoutError` if time ran out.
        """
        if "extra_headers" in options:
            options["extra_headers"] = _mask(options["extra_headers"])
        return self._run(self._call(query, documents, on_error, key=key, **options))

    @overload
    def rerank_many(
        self,
        requests: Iterable[RerankRequest[T] | tuple[str, Listed[T]]],
        *,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        ordered: bool = True,
        stop_on_error: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Results[T]: ...
    @overload
    def rerank_many(
        self,
        requests: Iterable[Requestable],
        *,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        ordered: bool = True,
        stop_on_error: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> Results[Any]: ...
    @_takes("NoOptions")
    def rerank_many(  # noqa: PLR0913 - one argument for each thing that can be asked
        self,
        requests: Iterable[Requestable],
        *,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        ordered: bool = True,
        stop_on_error: bool = False,
        progress: Callable[[Progress], None] | None = None,
        **unknown: Unpack[NoOptions],
    ) -> Results[Any]:
        """Return an iterator over the results of many requests, several of which run at a time.

        Requests are read as results are taken, at most four times `concurrency` ahead, so millions of requests fit into
        memory. With `ordered`, early results wait for their turn within that number.

        A request that fails or is invalid is a result with its error; the others go on. When rate-limited (429, 503, 529),
        all requests back off together and fewer are sent; a call loses no attempt by that. The deadline of a call begins
        with its first request. If the iterable of requests raises, the error is raised after the results in flight. An
        exhausted `max_cost` ends the run.

        Leaving the loop cancels the requests in flight. If you keep the iterator in a variable, close it or use it in
        `with`. Requests of an injected `http_client` cannot be cancelled; closing waits for them.

        Args:
            requests: `RerankRequest`s, mappings with the same keys, or pairs of a query and its documents. They are read in
                your own thread, or by one task at a time.
            concurrency: The number of requests in flight. It is reduced while the server limits the rate.
            requests_per_minute: The number of requests that start in a minute, evenly spaced.
            ordered: True for results in the order of the requests, False for results as soon as they are ready.
            stop_on_error: End the run with the first error.
            progress: A function that is called with the progress before each result, in your own thread or task.

        Raises:
            ValueError, TypeError: An argument is invalid.
            RuntimeError: The reranker is closed, or the run began before this process was forked.

        Example:
            >>> pairs = [("Where is Berlin?", ["In Germany."]), ("Where is Paris?", ["In France."])]
            >>> with Reranker.local() as reranker:
            ...     for result in reranker.rerank_many(pairs, concurrency=2):
            ...         print(result.index, result.unwrap().documents)
            0 ['In Germany.']
            1 ['In France.']
        """
        from openrouter_rerank.bulk.threads import Results, Threads

        _refuse("rerank_many", unknown)
        self._refuse_if_closed()
        return Results(
            Threads(
                self._run_context(),
                requests,
                concurrency=concurrency,
                requests_per_minute=requests_per_minute,
                ordered=ordered,
                stop_on_error=stop_on_error,
                progress=progress,
            )
        )

    @_takes("NoOptions")
    def dry_run(self, requests: Iterable[Requestable], **unknown: Unpack[NoOptions]) -> Estimate:
        """Return the numbers of requests, documents, searches and bytes that `rerank_many` would send.

        Nothing is sent; images are read. An invalid request raises its error. Cache hits and retries are not predicted.

        Args:
            requests: As for `rerank_many`.

        Raises:
            ValueError, TypeError: A request is invalid; a note of the error names it.
            OSError: An image file could not be read.

        Example:
            >>> with Reranker.local() as reranker:
            ...     reranker.dry_run([("capital of France", ["Berlin", "Paris"] * 600)])
            Estimate(requests=2, documents=1200, search_units=12, bytes=10344)
        """
        from openrouter_rerank.bulk.money import estimate

        _refuse("dry_run", unknown)
        return self._run(estimate(self._settings, requests))

    @_takes("NoOptions")
    def models(
        self,
        *,
        timeout: float | None = None,
        extra_headers: Mapping[str, str] | None = None,
        **unknown: Unpack[NoOptions],
    ) -> list[ModelInfo]:
        """Return the models that rank, from all pages of the server's list. It costs nothing.

        Args:
            timeout: Seconds within which one attempt for one page must be answered completely; the client's by default.
                All pages share the client's `deadline`.
            extra_headers: Further headers. They override ours.

        Raises:
            ValueError, TypeError: An argument is invalid; nothing was sent.
            RuntimeError: The reranker is closed.
            BadRequestError: The server refuses the request; `status` is 404 if it has no list of models.
            AuthenticationError: The key is wrong, or lacks the permission.
            RateLimitError: Too many requests, after all retries.
            ServerError: The server failed, after all retries.
            InvalidResponseError: The response breaks the contract, or the list does not end.
            APIConnectionError: The connection failed, after all retries; `APITimeoutError` if time ran out.
        """
        from openrouter_rerank.listing import models

        extra_headers = _mask(extra_headers)
        _refuse("models", unknown)
        self._refuse_if_closed()
        return self._run(models(self._settings, timeout=timeout, extra_headers=extra_headers))

    def close(self) -> None:
        """Close the connections, unless they belong to an injected client. Later calls raise RuntimeError."""
        self._life.is_over = True
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, http_client: HttpClient | None) -> None:
        from openrouter_rerank.connections import Connections, Injected
        from openrouter_rerank.redaction import mask

        its = self._settings
        self._connections = (
            Connections(mask(its.url), its.headers, verify=its.verify, proxy=its.proxy)
            if http_client is None
            else Injected(http_client, mask(its.url))
        )

    def _sleep(self, seconds: float) -> None:
        sleep(seconds)

    def _run(self, call: Generator[Step, Any, V], perform: Callable[[Step], object] | None = None) -> V:
        perform = perform or self._do
        outcome: object = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                return cast(V, done.value)
            try:
                outcome = perform(step)
            except BaseException:
                call.close()
                raise

    def _do(self, step: Step) -> object:
        match step:
            case Send():
                return self._connections.send(step)
            case Wait():
                self._sleep(step.seconds)
                return None
            case BackOff():
                return None
            case Parallel():
                from openrouter_rerank.bulk.together import in_threads

                return in_threads(self._do, step)
            case Recall() | Remember():
                from openrouter_rerank.bulk.cache import touch

                return touch(self._settings.cache, step)
            case _:  # Load
                return _read_file(step)


class AsyncReranker(_Base[AsyncHttpClient]):
    """`Reranker` for asyncio and trio: the same arguments and the same behaviour, with `await`, `async with`, `aclose`.

    Event loops may share it, one after the other or at the same time; each has its own connections.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     async with AsyncReranker.local() as reranker:
        ...         return await reranker.rerank("Where is Berlin?", ["Paris is in France.", "Berlin is in Germany."])
        >>> asyncio.run(main())[0].document
        'Berlin is in Germany.'
    """

    @classmethod
    def _local_client(cls, scorer: Scorer | str | None) -> AsyncHttpClient:
        import httpx

        from openrouter_rerank.local import reference_transport

        return httpx.AsyncClient(transport=reference_transport(scorer))

    @overload
    async def rerank(
        self,
        query: str,
        documents: Listed[D],
        *,
        key: None = None,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[D]: ...
    @overload
    async def rerank(  # type: ignore[overload-overlap] # with key=None
        self,
        query: str,
        documents: Listed[D],
        *,
        key: None = None,
        on_error: Literal["raise", "keep_order"],
        **options: Unpack[CallOptions],
    ) -> Ranking[D] | OriginalOrder[D]: ...
    @overload
    async def rerank(  # type: ignore[overload-cannot-match] # documents of several types
        self,
        query: str,
        documents: Listed[Sendable],
        *,
        key: None = None,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[Sendable]: ...
    @overload
    async def rerank(  # type: ignore[overload-cannot-match, overload-overlap] # likewise
        self,
        query: str,
        documents: Listed[Sendable],
        *,
        key: None = None,
        on_error: Literal["raise", "keep_order"],
        **options: Unpack[CallOptions],
    ) -> Ranking[Sendable] | OriginalOrder[Sendable]: ...
    @overload
    async def rerank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None,
        on_error: Literal["raise"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[T]: ...
    @overload
    async def rerank(
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None,
        on_error: Literal["raise", "keep_order"],
        **options: Unpack[CallOptions],
    ) -> Ranking[T] | OriginalOrder[T]: ...
    @_takes("CallOptions")
    async def rerank(  # noqa: D102 - as the sync one; the docstring is set below
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None = None,
        on_error: Literal["raise", "keep_order"] = "raise",
        **options: Unpack[CallOptions],
    ) -> Ranking[T] | OriginalOrder[T]:
        if "extra_headers" in options:
            options["extra_headers"] = _mask(options["extra_headers"])
        return await self._run(self._call(query, documents, on_error, key=key, **options))

    @overload
    def rerank_many(
        self,
        requests: Iterable[RerankRequest[T] | tuple[str, Listed[T]]]
        | AsyncIterable[RerankRequest[T] | tuple[str, Listed[T]]],
        *,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        ordered: bool = True,
        stop_on_error: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncResults[T]: ...
    @overload
    def rerank_many(
        self,
        requests: Iterable[Requestable] | AsyncIterable[Requestable],
        *,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        ordered: bool = True,
        stop_on_error: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> AsyncResults[Any]: ...
    @_takes("NoOptions")
    def rerank_many(  # noqa: PLR0913, D102 - as the sync one; the docstring is set below
        self,
        requests: Iterable[Requestable] | AsyncIterable[Requestable],
        *,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        ordered: bool = True,
        stop_on_error: bool = False,
        progress: Callable[[Progress], None] | None = None,
        **unknown: Unpack[NoOptions],
    ) -> AsyncResults[Any]:
        from openrouter_rerank.bulk.tasks import AsyncResults, Tasks

        _refuse("rerank_many", unknown)
        self._refuse_if_closed()
        return AsyncResults(
            Tasks(
                self._run_context(),
                requests,
                concurrency=concurrency,
                requests_per_minute=requests_per_minute,
                ordered=ordered,
                stop_on_error=stop_on_error,
                progress=progress,
            )
        )

    @_takes("NoOptions")
    async def dry_run(  # noqa: D102 - set below
        self,
        requests: Iterable[Requestable] | AsyncIterable[Requestable],
        **unknown: Unpack[NoOptions],
    ) -> Estimate:
        from openrouter_rerank.bulk.money import Estimate, estimate

        _refuse("dry_run", unknown)
        if not isinstance(requests, AsyncIterable):
            return await self._run(estimate(self._settings, requests))
        found, number = Estimate(), 0
        async for request in requests:
            found += await self._run(estimate(self._settings, [request], number))
            number += 1
        return found

    @_takes("NoOptions")
    async def models(  # noqa: D102 - as the sync one; the docstring is set below
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - it is the attempt's, not the call's
        extra_headers: Mapping[str, str] | None = None,
        **unknown: Unpack[NoOptions],
    ) -> list[ModelInfo]:
        from openrouter_rerank.listing import models

        extra_headers = _mask(extra_headers)
        _refuse("models", unknown)
        self._refuse_if_closed()
        return await self._run(models(self._settings, timeout=timeout, extra_headers=extra_headers))

    async def aclose(self) -> None:
        """Close the connections, unless they belong to an injected client. Later calls raise RuntimeError."""
        self._life.is_over = True
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _connect(self, http_client: AsyncHttpClient | None) -> None:
        from openrouter_rerank.connections import AsyncConnections, AsyncInjected
        from openrouter_rerank.redaction import mask

        its = self._settings
        self._connections = (
            AsyncConnections(mask(its.url), its.headers, verify=its.verify, proxy=its.proxy)
            if http_client is None
            else AsyncInjected(http_client, mask(its.url))
        )

    async def _sleep(self, seconds: float) -> None:
        import anyio

        await anyio.sleep(seconds)

    async def _run(
        self, call: Generator[Step, Any, V], perform: Callable[[Step], Awaitable[object]] | None = None
    ) -> V:
        perform = perform or self._do
        outcome: object = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                return cast(V, done.value)
            try:
                outcome = await perform(step)
            except BaseException:
                call.close()
                raise

    async def _do(self, step: Step) -> object:
        match step:
            case Send():
                return await self._connections.send(step)
            case Wait():
                await self._sleep(step.seconds)
                return None
            case BackOff():
                return None
            case Parallel():
                from openrouter_rerank.bulk.together import in_tasks

                return await in_tasks(self._run, step)
            case Recall() | Remember():
                from openrouter_rerank.bulk.cache import atouch

                return await atouch(self._settings.cache, step)
            case _:  # Load
                from anyio.to_thread import run_sync

                return await run_sync(_read_file, step)


for _name in ("rerank", "rerank_many", "dry_run", "models"):
    _function_of(AsyncReranker, _name).__doc__ = _function_of(Reranker, _name).__doc__
