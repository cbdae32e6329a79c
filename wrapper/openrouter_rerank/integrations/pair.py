"""The sync and the async reranker of an adapter, created from its settings or passed in."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from threading import Lock
from typing import Any, Generic, TypeVar, cast
from weakref import WeakSet

import msgspec

from openrouter_rerank import forks
from openrouter_rerank.bulk import split_by_words
from openrouter_rerank.bulk.large import ByWords
from openrouter_rerank.client import AsyncReranker, ClosedRerankerError, Reranker
from openrouter_rerank.defaults import DEADLINE, MODEL
from openrouter_rerank.documents import Sendable
from openrouter_rerank.operations import Secrets
from openrouter_rerank.pickling import refuse_to_pickle
from openrouter_rerank.ranking import OriginalOrder, Ranking
from openrouter_rerank.redaction import Key
from openrouter_rerank.retries import Retries
from openrouter_rerank.settings import codec_of, key_variable, settings
from openrouter_rerank_api.dialects import DIALECTS
from openrouter_rerank_api.types import Model

T = TypeVar("T")
R = TypeVar("R", Reranker, AsyncReranker)

log = logging.getLogger("openrouter_rerank")


class Setup(msgspec.Struct, frozen=True):
    """A snapshot of the settings of an adapter; None means the default."""

    options: Mapping[str, Any]
    """The options of a call."""
    on_error: str
    client: Mapping[str, Any]
    """The other constructor arguments of a reranker, except the key."""
    key: Callable[[], Any] | None
    """A function that returns the API key, so that our frames do not contain it; None to read the environment."""
    key_source: object
    """An object that compares equal for equal keys."""
    reranker: Reranker | None
    async_reranker: AsyncReranker | None

    def __repr__(self) -> str:
        return "<settings of an adapter>"

    @property
    def is_ready(self) -> bool:
        """True if a ready reranker was passed."""
        return self.reranker is not None or self.async_reranker is not None

    @property
    def model(self) -> str:
        """The model of calls; empty for a ready reranker of another class."""
        if self.options["model"] is not None or not self.is_ready:
            default = MODEL if codec_of(self.dialect) is None else ""
            return str(self.options["model"] or default)
        inside = getattr(self.reranker or self.async_reranker, "_settings", None)
        return str(inside.defaults["model"] or "") if inside else ""

    @property
    def dialect(self) -> str:
        """The name of the dialect."""
        return self.client["dialect"] or DIALECTS[0]

    @property
    def given(self) -> dict[str, Any]:
        """The options of a call that are not None."""
        return {
            name: splitter_of(value) if name == "splitter" else value
            for name, value in self.options.items()
            if value is not None
        }

    def changed(self, **options: Any) -> Setup:
        """Return the settings with these options replaced; None keeps the current value."""
        given = {name: value for name, value in options.items() if value is not None}
        return msgspec.structs.replace(self, options={**self.options, **given})

    def check(self) -> None:
        """Raise if a setting is invalid, apart from the key.

        Raises:
            ValueError: A setting is invalid, or belongs to a ready reranker.
            TypeError: A setting has the wrong type.
        """
        self.check_ready()
        if self.on_error not in ("raise", "keep_order"):
            message = f"on_error must be 'raise' or 'keep_order', not {self.on_error!r}"
            raise ValueError(message)
        settings(
            key=Key(""),
            dialect=self.dialect,
            base_url=self.client["base_url"],
            deadline=DEADLINE if self.client["deadline"] is None else self.client["deadline"],
            retries=Retries(),
            app_title=None,
            app_referer=None,
            app_categories=None,
            max_image_bytes=None,
            max_cost=None,
            cache=None,
            verify=True,
            has_client=True,  # ignore the proxies of the environment
            options=self.given,
        )

    def check_ready(self) -> None:
        """Raise if a ready reranker has the wrong type, or is combined with arguments of its constructor."""
        if isinstance(self.reranker, AsyncReranker) or isinstance(self.async_reranker, Reranker):
            raise TypeError(
                "reranker= must be a Reranker and async_reranker= an AsyncReranker; exchange them"
            )
        for name in ("reranker", "async_reranker"):
            value = getattr(self, name)
            if value is not None and not callable(getattr(value, "rerank", None)):
                message = f"{name} must be a reranker, not {type(value).__name__}"
                raise TypeError(message)
        of_client = [name for name, value in self.client.items() if value is not None]
        late = [*(["api_key"] if self.key else []), *of_client]
        if self.is_ready and late:
            message = f"{', '.join(late)}: cannot be combined with a ready reranker; pass it to the constructor of the reranker"
            raise ValueError(message)

    def refuse_secrets(self, kind: str, *, has_key: bool) -> None:
        """Refuse to pickle an adapter that has a secret.

        Raises:
            TypeError: The adapter has a secret; the message names the argument.
        """
        secrets = {
            "api_key": has_key,
            "extra_headers": bool(self.options["extra_headers"]),
            "base_url": "?" in str(self.client["base_url"]),
        }
        variable = key_variable(codec_of(self.dialect), self.client["base_url"])
        refuse_to_pickle(kind, (name for name, is_there in secrets.items() if is_there), variable)


def splitter_of(value: Any) -> Any:
    """Return a splitter unchanged, or convert the mapping that `plain` returns for `split_by_words`.

    Raises:
        TypeError, ValueError: The mapping is invalid.
    """
    if not isinstance(value, Mapping):
        return value
    given = dict(cast(Mapping[str, Any], value))
    if not {"words"} <= given.keys() <= {"words", "overlap"}:
        message = f"splitter: a mapping has words and overlap, not {', '.join(map(str, given)) or 'nothing'}; pass split_by_words(300, 50)"
        raise ValueError(message)
    return split_by_words(given["words"], given.get("overlap", 0))


def plain(name: str, value: Any) -> Any:
    """Return the value of an option as plain data if possible; of headers, only the names."""
    if isinstance(value, ByWords):
        return {"words": value.words, "overlap": value.overlap}
    if isinstance(value, Model):
        return value.to_dict()
    if not isinstance(value, Mapping):
        return value
    fields = dict(cast("Mapping[str, Any]", value))
    return repr(Secrets(fields)) if name == "extra_headers" and fields else fields


class _Made(msgspec.Struct, Generic[R], frozen=True):
    """A created reranker, its arguments, and the pairs of the adapter and its copies that use it."""

    arguments: object
    reranker: R
    users: WeakSet[Pair]

    def discard(self, pair: Pair) -> bool:
        """Remove a pair from the users; return True if it was the last."""
        self.users.discard(pair)
        return not self.users


class Pair:
    """The rerankers that an adapter created from its settings at the last call.

    A copy uses the same rerankers until its settings differ.
    """

    def __init__(self) -> None:
        self._sync: _Made[Reranker] | None = None
        self._async: _Made[AsyncReranker] | None = None
        self._lock = Lock()
        forks.register(self)

    def _after_fork(self) -> None:
        self._lock = Lock()

    def __copy__(self) -> Pair:
        copied = Pair()
        with self._lock:
            copied._sync, copied._async = self._sync, self._async
            for made in (self._sync, self._async):
                if made is not None:
                    made.users.add(copied)
        return copied

    def __deepcopy__(self, memo: object) -> Pair:
        return self.__copy__()

    def __reduce__(self) -> Any:
        return Pair, ()  # a loaded adapter creates new rerankers

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pair)  # adapters are equal if their settings are equal

    __hash__ = object.__hash__  # for `_Made.users`

    def rerank(
        self, setup: Setup, query: str, documents: Iterable[T], key: Callable[[T], Sendable]
    ) -> Ranking[T] | OriginalOrder[T]:
        """Rank with the sync reranker."""
        while True:
            reranker: Any = self.sync(setup)
            try:
                ranking = reranker.rerank(query, documents, key=key, on_error=setup.on_error, **setup.given)
            except ClosedRerankerError:
                if not _was_closed(reranker, setup):
                    raise
            else:
                return _noted(ranking)

    async def arerank(
        self, setup: Setup, query: str, documents: Iterable[T], key: Callable[[T], Sendable]
    ) -> Ranking[T] | OriginalOrder[T]:
        """Rank with the async reranker, without a thread."""
        while True:
            reranker: Any = await self.asynchronous(setup)
            try:
                ranking = await reranker.rerank(
                    query, documents, key=key, on_error=setup.on_error, **setup.given
                )
            except ClosedRerankerError:
                if not _was_closed(reranker, setup):
                    raise
            else:
                return _noted(ranking)

    def sync(self, setup: Setup) -> Reranker:
        """Return the sync reranker of the settings; if they changed, create a new one and close the old one.

        Raises:
            ValueError: The key is missing, a setting is invalid, or only an async reranker was passed.
            TypeError: A setting has the wrong type.
        """
        setup.check_ready()
        if setup.reranker is not None:
            return setup.reranker
        if setup.is_ready:
            raise ValueError(
                "reranker= is missing beside async_reranker=; pass it too, or call the async method"
            )
        with self._lock:
            made, old = _renewed(self._sync, setup, Reranker)
            made.users.add(self)
            self._sync = made
            if old is not None and old.discard(self):
                old.reranker.close()
        return made.reranker

    async def asynchronous(self, setup: Setup) -> AsyncReranker:
        """Return the async reranker like `sync`."""
        setup.check_ready()
        if setup.async_reranker is not None:
            return setup.async_reranker
        if setup.is_ready:
            raise ValueError(
                "async_reranker= is missing beside reranker=; pass it too, or call the sync method"
            )
        with self._lock:
            made, old = _renewed(self._async, setup, AsyncReranker)
            made.users.add(self)
            self._async = made
        if old is not None and old.discard(self):
            await old.reranker.aclose()
        return made.reranker

    def close(self) -> None:
        """Close the created sync reranker, also for copies. A later call creates a new one."""
        with self._lock:
            made, self._sync = self._sync, None
        if made is not None:
            made.reranker.close()

    async def aclose(self) -> None:
        """Close both created rerankers, also for copies. A later call creates new ones."""
        self.close()
        with self._lock:
            made, self._async = self._async, None
        if made is not None:
            await made.reranker.aclose()


def _renewed(made: _Made[R] | None, setup: Setup, kind: type[R]) -> tuple[_Made[R], _Made[R] | None]:
    """Return a reranker with these settings, and the one that it replaces, or None."""
    arguments = {name: value for name, value in setup.client.items() if value is not None}
    wanted = (arguments, setup.key_source)
    # A copy of the adapter may have closed it.
    if made is not None and made.arguments == wanted and not _is_over(made.reranker):
        return made, None
    return _Made(wanted, kind(setup.key and setup.key(), **arguments), WeakSet()), made


def _was_closed(reranker: Any, setup: Setup) -> bool:
    """Return True if another thread closed the created reranker before the call began, so that a new one can be created."""
    return not setup.is_ready and _is_over(reranker)


def _is_over(reranker: Reranker | AsyncReranker) -> bool:
    life: Any = vars(reranker)["_life"]
    return bool(life.is_over)


def _noted(ranking: Ranking[T] | OriginalOrder[T]) -> Ranking[T] | OriginalOrder[T]:
    if isinstance(ranking, OriginalOrder):
        log.warning("ranking failed; the documents keep their order: %s", ranking.reason)
    return ranking
