"""Reranker and AsyncReranker: they send, sleep and read files as the core says. They decide nothing themselves.

Making one imports what stands below this module (httpx, the generated client); importing this module does not.
"""
# ruff: noqa: PLC0415 - for that reason

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from time import sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, Self, TypedDict, TypeVar, cast

from openrouter_rerank.defaults import BASE_URL, MODEL
from openrouter_rerank.documents import Sendable
from openrouter_rerank.ranking import Ranking
from openrouter_rerank.retries import Retries
from openrouter_rerank.steps import Load, Send, Step, Wait

if TYPE_CHECKING:
    from typing import Unpack

    from openrouter_rerank.core import Call
    from openrouter_rerank.local import Scorer
    from openrouter_rerank.request import Settings
    from openrouter_rerank_api.models import ProviderPreferences, Trace

T = TypeVar("T")
C = TypeVar("C")

# Where a local call goes: nowhere, as .invalid is reserved never to exist.
LOCAL_URL = "http://local.invalid/api/v1"


class HttpClient(Protocol):
    """What is asked of an injected http client: `httpx.Client` and its likes have it."""

    def build_request(self, method: str, url: Any, *, content: Any, headers: Any, extensions: Any) -> Any:
        """A request."""

    def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """The answer to it, with the body still to be read."""


class AsyncHttpClient(Protocol):
    """What is asked of an injected async http client: `httpx.AsyncClient` and its likes have it."""

    def build_request(self, method: str, url: Any, *, content: Any, headers: Any, extensions: Any) -> Any:
        """A request."""

    async def send(self, request: Any, *, stream: bool, follow_redirects: bool) -> Any:
        """The answer to it, with the body still to be read."""


class Defaults(TypedDict, total=False):
    """The arguments that `local()` shares with the constructor, each with the same meaning and default."""

    model: str
    top_n: int | None
    min_score: float | None
    provider: ProviderPreferences | Mapping[str, Any] | None
    session_id: str | None
    user: str | None
    trace: Trace | Mapping[str, Any] | None
    timeout: float
    deadline: float | None
    retries: Retries
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None
    max_image_bytes: int | None


def _read_file(step: Load) -> bytes:
    try:
        with step.path.open("rb") as file:
            return file.read(step.limit + 1)
    except OSError as error:
        error.add_note(f"{step.where}: its image could not be read, and nothing was sent")
        raise


class _Base(ABC, Generic[C]):
    """What the two shells have in common: everything that is not sending or sleeping."""

    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        api_key: str | None = None,
        *,
        base_url: str = BASE_URL,
        model: str = MODEL,
        top_n: int | None = None,
        min_score: float | None = None,
        provider: ProviderPreferences | Mapping[str, Any] | None = None,
        session_id: str | None = None,
        user: str | None = None,
        trace: Trace | Mapping[str, Any] | None = None,
        timeout: float = 60.0,
        deadline: float | None = 120.0,
        retries: Retries = Retries(),  # noqa: B008 - a frozen value
        app_title: str | None = None,
        app_referer: str | None = None,
        app_categories: str | Iterable[str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
        max_image_bytes: int | None = None,
        http_client: C | None = None,
    ) -> None:
        from openrouter_rerank.request import Key, settings

        key = Key(api_key)
        del api_key  # a traceback with local variables must not show it
        key.check()
        self._settings: Settings = settings(
            key=key,
            base_url=base_url,
            timeout=timeout,
            deadline=deadline,
            retries=retries,
            app_title=app_title,
            app_referer=app_referer,
            app_categories=app_categories,
            extra_headers=extra_headers,
            max_image_bytes=max_image_bytes,
            defaults={
                "model": model,
                "top_n": top_n,
                "min_score": min_score,
                "provider": provider,
                "session_id": session_id,
                "user": user,
                "trace": trace,
                "extra_body": extra_body,
            },
        )
        self._closed = False
        self._connect(http_client)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise RuntimeError("this reranker is closed; make a new one, or leave the with block later")

    @abstractmethod
    def _connect(self, http_client: C | None) -> None:
        """Make the connections, or take those of the injected client."""

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # a debugger looks at one whose arguments were refused
            return f"<{type(self).__name__}, not made>"
        return f"<{type(self).__name__} {self._settings.where}, model {self._settings.defaults['model']}>"


class Reranker(_Base[HttpClient]):
    """Ranks documents by their relevance to a query. Threads may share it; close it, or use it in `with`.

    Args:
        api_key: The key; by default from the environment variable OPENROUTER_API_KEY. The empty string sends none.
        base_url: The address under which `/rerank` lies.
        model, top_n, min_score, provider, session_id, user, trace, extra_body, extra_headers: Defaults for every call;
            see `rerank`. To the last two a call adds its own entries, to the others it gives another value.
        timeout: Seconds within which one attempt has to be answered whole.
        deadline: Seconds within which a call has to end, with all its attempts, waits and queueing; None for no limit.
        retries: When a failed attempt is tried again; see `Retries`.
        app_title, app_referer, app_categories: Your application's name, URL and categories, for the vendor's
            statistics.
        max_image_bytes: The largest image that is sent from a `Path` or bytes; 20 MiB by default.
        http_client: An `httpx.Client` (or one that works like it) to send with: for proxies, certificates, tests. It
            stays yours to close; `timeout` is used in place of its own.

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
    def local(cls, scorer: Scorer | str | None = None, **defaults: Unpack[Defaults]) -> Self:
        """A reranker that ranks in this process, with no key and no network: a stand-in for development, no model.

        A call takes the same way as a remote one, through the reference server of the conformance kit.

        Args:
            scorer: "lexical" (the default), "semantic", or a function of the query and the texts that gives each text a
                score.
            defaults: As for the constructor, but for `retries`: a scorer that failed is not asked again.

        Raises:
            ImportError: The extra that this needs is not installed; the message names it.
        """
        import httpx

        from openrouter_rerank.local import reference_transport

        # What fails here will fail again: it is the scorer.
        defaults.setdefault("retries", Retries(attempts=1))
        client = httpx.Client(transport=reference_transport(scorer))
        return cls("", base_url=LOCAL_URL, http_client=client, **defaults)

    def rerank(  # noqa: PLR0913 - one argument for each thing that can be asked
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None = None,
        model: str | None = None,
        top_n: int | None = None,
        min_score: float | None = None,
        provider: ProviderPreferences | Mapping[str, Any] | None = None,
        session_id: str | None = None,
        user: str | None = None,
        trace: Trace | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Ranking[T]:
        """The documents by their relevance to the query, best first, each hit with the caller's own object.

        Whatever is None is as the client's default says. No documents give an empty ranking, and no request.

        Args:
            query: What to look for.
            documents: Any iterable of str, of mappings with `text` and/or `image`, of `Document`, of images (`Path`,
                bytes), or, with `key`, of anything.
            key: What to send of each document: a function of it, or the name of a field.
            model: The model, as `author/name`.
            top_n: How many hits at most, from 1; more than there are documents is as good as all.
            min_score: Leave out hits below this score (a hit of just this score stays). The scale is the model's own.
            provider: Which providers may serve, and which are preferred.
            session_id: Groups calls for observability; at most 256 characters.
            user: Your id of the end user, for observability.
            trace: Names for observability tools.
            timeout: Seconds within which one attempt has to be answered whole.
            extra_body: Further keys of the request, sent as they are; they win over the arguments.
            extra_headers: Further headers; they win over ours.

        Raises:
            ValueError, TypeError: An argument can never work; nothing was sent.
            OSError: An image file could not be read; nothing was sent.
            RuntimeError: It is closed.
            BadRequest: The server refuses the request: change the call.
            Unauthorized: The key is wrong, or may not do this.
            InsufficientCredits: The account has no credits left.
            RateLimited: Too many requests, after all retries.
            Unavailable: The server or its provider failed, after all retries.
            MalformedResponse: The server's answer breaks the contract.
            ConnectionFailed: No usable answer came, after all retries; `TimedOut` where time ran out.
        """
        from openrouter_rerank.core import rerank

        self._refuse_if_closed()
        return self._run(
            rerank(
                self._settings,
                query,
                documents,
                key=key,
                model=model,
                top_n=top_n,
                min_score=min_score,
                provider=provider,
                session_id=session_id,
                user=user,
                trace=trace,
                timeout=timeout,
                extra_body=extra_body,
                extra_headers=extra_headers,
            )
        )

    def close(self) -> None:
        """Close the connections, unless they belong to an injected client. No call is taken after it."""
        self._closed = True
        self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, http_client: HttpClient | None) -> None:
        from openrouter_rerank.connections import Connections, Injected

        url, headers = self._settings.url, self._settings.headers
        self._connections = Connections(url, headers) if http_client is None else Injected(http_client, url)

    def _run(self, call: Call[T]) -> Ranking[T]:
        outcome: object = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                return cast(Ranking[T], done.value)
            outcome = self._do(step)

    def _do(self, step: Step) -> object:
        match step:
            case Send():
                return self._connections.send(step)
            case Wait():
                sleep(step.seconds)
                return None
            case _:  # Load
                return _read_file(step)


class AsyncReranker(_Base[AsyncHttpClient]):
    """`Reranker` for asyncio and trio: the same arguments and the same behaviour, with `await`, `async with`, `aclose`.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     async with AsyncReranker.local() as reranker:
        ...         return await reranker.rerank("Where is Berlin?", ["Paris is in France.", "Berlin is in Germany."])
        >>> asyncio.run(main())[0].document
        'Berlin is in Germany.'
    """

    @classmethod
    def local(cls, scorer: Scorer | str | None = None, **defaults: Unpack[Defaults]) -> Self:  # noqa: D102 - set below
        import httpx

        from openrouter_rerank.local import reference_transport

        # What fails here will fail again: it is the scorer.
        defaults.setdefault("retries", Retries(attempts=1))
        client = httpx.AsyncClient(transport=reference_transport(scorer))
        return cls("", base_url=LOCAL_URL, http_client=client, **defaults)

    async def rerank(  # noqa: PLR0913, D102 - as the sync one; the docstring is set below
        self,
        query: str,
        documents: Iterable[T],
        *,
        key: Callable[[T], Sendable] | str | None = None,
        model: str | None = None,
        top_n: int | None = None,
        min_score: float | None = None,
        provider: ProviderPreferences | Mapping[str, Any] | None = None,
        session_id: str | None = None,
        user: str | None = None,
        trace: Trace | Mapping[str, Any] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is the attempt's, not the call's
        extra_body: Mapping[str, Any] | None = None,
        extra_headers: Mapping[str, str] | None = None,
    ) -> Ranking[T]:
        from openrouter_rerank.core import rerank

        self._refuse_if_closed()
        return await self._run(
            rerank(
                self._settings,
                query,
                documents,
                key=key,
                model=model,
                top_n=top_n,
                min_score=min_score,
                provider=provider,
                session_id=session_id,
                user=user,
                trace=trace,
                timeout=timeout,
                extra_body=extra_body,
                extra_headers=extra_headers,
            )
        )

    async def aclose(self) -> None:
        """Close the connections, unless they belong to an injected client. No call is taken after it."""
        self._closed = True
        await self._connections.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _connect(self, http_client: AsyncHttpClient | None) -> None:
        from openrouter_rerank.connections import AsyncConnections, AsyncInjected

        url, headers = self._settings.url, self._settings.headers
        self._connections = (
            AsyncConnections(url, headers) if http_client is None else AsyncInjected(http_client, url)
        )

    async def _run(self, call: Call[T]) -> Ranking[T]:
        outcome: object = None
        while True:
            try:
                step = call.send(outcome)
            except StopIteration as done:
                return cast(Ranking[T], done.value)
            outcome = await self._do(step)

    async def _do(self, step: Step) -> object:
        match step:
            case Send():
                return await self._connections.send(step)
            case Wait():
                import anyio

                await anyio.sleep(step.seconds)
                return None
            case _:  # Load
                from anyio.to_thread import run_sync

                return await run_sync(_read_file, step)


AsyncReranker.local.__func__.__doc__ = Reranker.local.__doc__  # type: ignore[attr-defined] # it is a classmethod
AsyncReranker.rerank.__doc__ = Reranker.rerank.__doc__
