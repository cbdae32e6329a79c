"""Data sets of Ray Data, ranked row by row within limits that all actors share. It needs the extra `ray`.

Ray reads, distributes, restarts, spills and writes. What is here makes a batch of rows into requests, and results into columns.
`python -m openrouter_rerank.integrations.ray` ranks a Parquet data set.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from msgspec.structs import replace

from openrouter_rerank.bulk.batch import kept, told
from openrouter_rerank.bulk.cache import DiskCache
from openrouter_rerank.bulk.job import ERROR
from openrouter_rerank.bulk.journal import FinishedRow
from openrouter_rerank.bulk.many import RerankRequest, Results
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.shared import Limits, Lost, Member, Turns
from openrouter_rerank.bulk.threads import Threads
from openrouter_rerank.client import Reranker
from openrouter_rerank.defaults import BASE_URL
from openrouter_rerank.errors import AuthenticationError, BudgetExceededError, InsufficientCreditsError
from openrouter_rerank.ledger import Ledger, Totals
from openrouter_rerank.redaction import Key
from openrouter_rerank.retries import Retries

try:
    # Unknown to the type checkers, which look at this where Ray is not there.
    ray: Any = import_module("ray")
    data: Any = import_module("ray.data")
    col: Any = import_module("ray.data.expressions").col
    from openrouter_rerank.integrations.ray import tables
except ModuleNotFoundError as error:
    _message = f"the adapter for Ray needs {error.name}: pip install 'openrouter-rerank[ray]', or '.[ray]' in a clone"
    raise ImportError(_message) from error

# So many questions at a time: each thread of each actor has one.
_QUESTIONS = 10_000


class Job:
    """What is ranked, by whom, and within which limits: made where the data set is, and passed to each actor.

    All is checked here, before anything is sent. The limits hold for all actors together, and for all data sets that
    are ranked by the same job: an actor of Ray's own, which lives as long as the job does, lets each request in.

    Args:
        query_column: The column with the query, a string.
        documents_column: The column with the list of documents: strings, or structs with `text` and/or `image`.
        key: The field that is sent of documents that are other structs.
        prefix: Put before the name of each column that is added.
        with_documents: Add the documents in their new order too.
        concurrency: How many requests may be under way at a time, over all actors. There are fewer while the server
            refuses some, which all actors wait out together.
        requests_per_minute: How many requests may start in a minute, over all actors; None for as many as there are.
        max_cost: US dollars that all rows may cost, as far as the server says what they cost. Until a row has said it,
            one is ranked at a time. Rows for which nothing is left are rows with an error.
        stop_on_error: Raise the first error of a row, which ends Ray's job.
        cache: A file on each machine that remembers answers (`openrouter_rerank.bulk.cache.disk`), so that what Ray does
            again there is not paid again.
        api_key: The key; by default that of the environment here, which goes to the actors with the job. The empty string
            sends none.
        base_url: The address under which `/rerank` lies.
        local: Rank in the actors themselves, with no key and no network: a stand-in for development, no model.
        scorer: What ranks then: "lexical", "semantic", or a function.
        settings: All else that `Reranker` takes, but for `http_client`: model, top_n, min_score, provider, timeout,
            deadline, retries, extra_headers and so on.

    Raises:
        ValueError: There is no key, or an argument has a value that can never work.
        TypeError: An argument has the wrong type, or there is none of that name.
        OSError: The cache's file cannot be used here.
        ImportError: The extra that `local` needs is not installed.

    Example:
        >>> import ray
        >>> context = ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        >>> table = {"query": "Where is Berlin?", "documents": ["Paris is in France.", "Berlin is in Germany."]}
        >>> job = Job(local=True, top_n=1)
        >>> job.rank(ray.data.from_items([table])).take_all()[0]["indices"]
        [1]
        >>> job.totals().calls
        1
        >>> ray.shutdown()
    """

    def __init__(  # noqa: PLR0913 - one argument for each thing that can be set
        self,
        *,
        query_column: str = "query",
        documents_column: str = "documents",
        key: str | None = None,
        prefix: str = "",
        with_documents: bool = False,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        max_cost: float | None = None,
        stop_on_error: bool = False,
        cache: str | Path | None = None,
        api_key: str | None = None,
        base_url: str = BASE_URL,
        local: bool = False,
        scorer: Any = None,
        **settings: Any,
    ) -> None:
        # Not as a string: what an operator is made with, Ray shows in its dashboard and exports.
        self._key = Key("" if local else api_key)
        del api_key
        self.columns = tables.Columns(
            query=query_column,
            documents=documents_column,
            key=key,
            prefix=prefix,
            with_documents=with_documents,
        )
        self.concurrency = concurrency
        self.limited = max_cost is not None
        self.stop_on_error = stop_on_error
        self._cache = None if cache is None else Path(cache)
        self._base_url = base_url
        self._scorer = scorer
        self._local = local
        self._settings = settings
        if scorer is not None and not local:
            raise ValueError("scorer says what ranks with local=True; leave it out, or rank locally")
        if local and base_url != BASE_URL:
            raise ValueError(
                "local=True ranks without any server, so there is no base_url. Leave one of them out"
            )
        if "http_client" in settings:
            raise TypeError("http_client: each actor makes its own; it cannot be passed in")
        if isinstance(settings.get("verify"), ssl.SSLContext):
            raise TypeError(
                "verify: an ssl.SSLContext cannot be sent to actors; pass a path that each machine has"
            )
        with self.reranker(max_cost=max_cost) as checked:
            self.where = checked.where
        Pace(concurrency, requests_per_minute, Retries())
        retries: Any = settings.get("retries", Retries())
        actor: Any = ray.remote(Limits).options(num_cpus=0, max_concurrency=_QUESTIONS)
        self.door = _Door(actor.remote(concurrency, requests_per_minute, max_cost, retries))

    def __repr__(self) -> str:
        return f"<Job of {self.where}>"

    def rank(self, dataset: Any, *, actors: int = 2, batch_size: int = 64) -> Any:
        """The data set with its rows ranked: all their columns, and those of the ranking.

        Like all that Ray Data does it is lazy, and done anew each time that its rows are asked for: write it, or
        `materialize()` it, once.

        Args:
            dataset: A `ray.data.Dataset`. Its first block may be read to know its columns.
            actors: How many actors rank, each with a client of its own.
            batch_size: How many rows an actor ranks at a time. Ray does a batch again whose actor died.

        Raises:
            ValueError, TypeError: The data set has not the columns that are named.
        """
        schema = dataset.schema()
        if schema is not None and hasattr(schema.base_schema, "field"):
            tables.check(schema.base_schema, self.columns)
        # What Ray does again is a block, however many batches of it were ranked: so a block is a batch.
        return dataset.repartition(target_num_rows_per_block=batch_size).map_batches(
            OpenRouterRerank,
            fn_constructor_args=[self],
            batch_size=batch_size,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=actors),
            # They wait for a network nearly all the time, and must not keep from Ray what it reads with.
            num_cpus=0,
            udf_modifying_row_count=False,
        )

    def failed(self, dataset: Any) -> Any:
        """The rows that failed of a data set that was ranked, as they were before, to be ranked again.

        Raises:
            ValueError: It has not the columns of one that was ranked, with this job's `prefix` and `with_documents`.
        """
        added, error = self.columns.added, self.columns.prefix + ERROR
        schema = dataset.schema()
        missing = [] if schema is None else [name for name in added if name not in schema.names]
        if missing:
            message = f"it was not ranked by such a job, as it has no column {', '.join(missing)}"
            raise ValueError(message)
        return dataset.filter(expr=col(error).is_not_null()).drop_columns(added)

    def totals(self) -> Totals:
        """What all calls have come to so far, over all actors, with those that Ray had done again."""
        return cast(Totals, self.door.ask("totals"))

    def reranker(self, max_cost: float | None = None) -> _Reranker:
        """A client as each actor has one."""
        settings = dict(self._settings)
        if self._cache is not None:
            settings["cache"] = DiskCache(self._cache)
        if max_cost is not None:
            settings["max_cost"] = max_cost
        if self._local:
            return _Reranker.local(self._scorer, **settings)
        return _Reranker(cast(str, self._key), base_url=self._base_url, **settings)


class OpenRouterRerank:
    """For `Dataset.map_batches`: Arrow tables in, and the same with the columns of the ranking out.

    An actor has one client. `Job.rank` does what follows, and checks the columns before.

    Args:
        job: What is ranked, by whom, within which limits.

    Example:
        >>> import ray
        >>> context = ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
        >>> table = {"query": "Where is Berlin?", "documents": ["Paris is in France.", "Berlin is in Germany."]}
        >>> ranked = ray.data.from_items([table]).map_batches(
        ...     OpenRouterRerank,
        ...     fn_constructor_args=[Job(local=True, with_documents=True)],
        ...     batch_format="pyarrow",
        ...     compute=ray.data.ActorPoolStrategy(size=1),
        ... )
        >>> ranked.take_all()[0]["ranked_documents"]
        ['Berlin is in Germany.', 'Paris is in France.']
        >>> ray.shutdown()
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._reranker = job.reranker()
        # It is the same when Ray makes this actor anew.
        name = str(ray.get_runtime_context().get_actor_id() or uuid4())
        self._member = self._reranker.join(job.door, name, max_cost=job.limited)

    def __call__(self, batch: Any) -> Any:
        """The table with columns for the ranking, the usage and the error of each row.

        Raises:
            ValueError, TypeError: It has not the columns that are named; nothing was sent.
            Exception: With `stop_on_error`, the first error of a row.
        """
        columns = self._job.columns
        tables.check(batch.schema, columns)
        gate = self._member.gate()
        ended: Exception | None = None
        found: dict[int, FinishedRow] = {}
        with self._reranker.run(
            tables.requests(batch, columns),
            gate,
            concurrency=self._job.concurrency,
            stop_on_error=self._job.stop_on_error,
        ) as results:
            for result in results:
                if result.error is not None:
                    if self._job.stop_on_error:
                        raise result.error
                    if _ends_all(result.error):
                        ended = ended or result.error
                        self._member.end(result.error)
                        results.drain()
                row = kept(result)
                found[row.row] = row
        ended = ended or gate.ended
        if ended is not None and self._job.stop_on_error:
            raise ended
        rest = None if ended is None else told(ended)
        rows = [found.get(number) or FinishedRow(number, error=rest) for number in range(batch.num_rows)]
        return tables.with_results(batch, rows, columns)


def _ends_all(error: Exception) -> bool:
    """Whether no other row can go better: with a wrong key, or without money. What else is forbidden may be the row's own."""
    if isinstance(error, AuthenticationError):
        return error.status == 401
    return isinstance(error, BudgetExceededError | InsufficientCreditsError | Lost)


class _Reranker(Reranker):
    """A reranker whose limits are shared."""

    @property
    def where(self) -> str:
        """Where it ranks, without what in an address may be secret."""
        return self._settings.where

    def join(self, door: _Door, name: str, *, max_cost: bool) -> Member:
        """Its calls are entered in the limits' ledger too from now on."""
        settings = self._settings
        extra: dict[str, Any] = settings.defaults["extra_body"] or {}
        member = Member(
            door,
            name,
            model=str(extra.get("model", settings.defaults["model"])),
            timeout=settings.timeout,
            deadline=settings.deadline,
            max_cost=max_cost,
        )
        ledger: Ledger = member.ledger
        self._settings = replace(settings, ledger=ledger)
        return member

    def run(
        self, requests: Iterator[RerankRequest], gate: Turns, *, concurrency: int, stop_on_error: bool
    ) -> Results:
        """`rerank_many` through a gate."""
        run = Threads(
            self._shell(),
            requests,
            gate=gate,
            concurrency=concurrency,
            requests_per_minute=None,
            ordered=False,
            stop_on_error=stop_on_error,
            progress=None,
        )
        return Results(run)


class _Door:
    """The way to the limits, which an actor of Ray's keeps."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def ask(self, what: str, *arguments: Any) -> Any:
        """The answer of a method."""
        try:
            return ray.get(getattr(self._actor, what).remote(*arguments))
        except ray.exceptions.RayError as error:
            message = (
                f"the actor that keeps the limits of all actors cannot be reached ({type(error).__name__}), so nothing was sent. "
                "Make a new Job, and rank what failed again"
            )
            raise Lost(message) from error

    def tell(self, what: str, *arguments: Any) -> None:
        """The same without waiting."""
        getattr(self._actor, what).remote(*arguments)
