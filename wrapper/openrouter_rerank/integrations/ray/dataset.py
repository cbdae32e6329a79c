"""Rank data sets of Ray Data: a job, and the class that ranks one batch of rows in an actor."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from msgspec.structs import replace

from openrouter_rerank.bulk.batch import PLAIN, error_columns, finished_row
from openrouter_rerank.bulk.cache import DiskCache
from openrouter_rerank.bulk.job import ERROR
from openrouter_rerank.bulk.journal import FinishedRow
from openrouter_rerank.bulk.many import RerankRequest
from openrouter_rerank.bulk.pace import Pace
from openrouter_rerank.bulk.threads import Results, Threads
from openrouter_rerank.client import Reranker
from openrouter_rerank.errors import (
    AuthenticationError,
    BudgetExceededError,
    InsufficientCreditsError,
    is_unreadable_ranking,
)
from openrouter_rerank.integrations.ray.limits import LimiterClient, LimiterUnavailable, Limits, RemoteGate
from openrouter_rerank.ledger import Ledger, Totals
from openrouter_rerank.redaction import Key, mask, reveal
from openrouter_rerank.retries import Retries
from openrouter_rerank.settings import codec_of, key_variable
from openrouter_rerank_api.dialects import Dialect

try:
    # Dynamic, as the type checkers run without Ray.
    ray: Any = import_module("ray")
    data: Any = import_module("ray.data")
    col: Any = import_module("ray.data.expressions").col
    from openrouter_rerank.integrations.ray import tables
except ModuleNotFoundError as error:
    _message = f"the adapter for Ray needs {error.name}: pip install 'openrouter-rerank[ray]', or '.[ray]' in a clone"
    raise ImportError(_message) from error

# The largest number of messages at a time: each thread of each actor waits for one.
_MESSAGES = 10_000


class Job:
    """The columns, the client's settings and the limits of a job. Make it in the driver; each actor gets a copy.

    All arguments are checked before anything is sent. The limits hold for all actors together, and for all data sets
    ranked by the same job: a limiter, an actor that lives as long as the job, admits each request.

    Args:
        query_column: The column with the query, a string.
        documents_column: The column with the list of documents: strings, or structs with `text` and/or `image`.
        key: The field to send of documents that are other structs.
        prefix: A prefix for the names of the added columns.
        with_documents: Add the documents in their new order too.
        concurrency: The largest number of requests in flight, over all actors. There are fewer while the server is
            overloaded; then all actors back off together.
        requests_per_minute: The number of requests that may start in a minute, over all actors; None for no limit.
        max_cost: The largest cost of all rows in US dollars, as far as the server reports costs. Until the first report,
            one row is ranked at a time. Rows beyond the budget get an error.
        stop_on_error: Raise the first error of a row, which ends Ray's job.
        cache: A file on each machine for a `DiskCache`, so that a batch that Ray repeats there is not billed again.
        api_key: The key; by default that of the environment here, which goes to the actors with the job. The empty string
            sends none.
        dialect: The API that the server speaks, as for `Reranker`.
        base_url: The address under which `/rerank` lies; by default the vendor's of the dialect.
        local: Rank offline in the actors themselves. Use it for development and tests.
        scorer: The scorer of `local`: "lexical", "semantic", or a function.
        settings: The other arguments of `Reranker`, except `http_client`: model, top_n, min_score, provider, timeout,
            deadline, retries, extra_headers and so on.

    Raises:
        ValueError: There is no key, or an argument has an invalid value.
        TypeError: An argument has the wrong type, or does not exist.
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
        dialect: Dialect = "openrouter",
        base_url: str | None = None,
        local: bool = False,
        scorer: Any = None,
        **settings: Any,
    ) -> None:
        # Not a string: Ray shows an operator's arguments in its dashboard and exports them.
        api_key, base_url = mask(api_key), mask(base_url)
        self._key = Key("" if local else api_key, key_variable(codec_of(dialect), base_url))
        base_url = reveal(base_url)
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
        self._dialect: Dialect = dialect
        self._base_url = base_url
        self._scorer = scorer
        self._local = local
        self._settings = settings
        if scorer is not None and not local:
            raise ValueError("scorer says what ranks with local=True; leave it out, or rank locally")
        if local and (base_url is not None or codec_of(dialect) is not None):
            raise ValueError(
                "local=True ranks without any server, so there is no base_url or dialect. Leave one of them out"
            )
        if "http_client" in settings:
            raise TypeError("http_client: each actor makes its own; it cannot be passed in")
        if isinstance(settings.get("verify"), ssl.SSLContext):
            raise TypeError(
                "verify: an ssl.SSLContext cannot be sent to actors; pass a path that each machine has"
            )
        with self.reranker(max_cost=max_cost) as checked:
            checked.dry_run([PLAIN])  # what is wrong with it is wrong with every row
            self.where = checked.where
        Pace(concurrency, requests_per_minute, Retries())
        retries: Any = settings.get("retries", Retries())
        actor: Any = ray.remote(Limits).options(num_cpus=0, max_concurrency=_MESSAGES)
        self.channel = _Channel(actor.remote(concurrency, requests_per_minute, max_cost, retries))

    def __repr__(self) -> str:
        return f"<Job of {self.where}>"

    def rank(self, dataset: Any, *, actors: int = 2, batch_size: int = 64) -> Any:
        """Return the data set with the columns of the ranking added.

        Like every operation of Ray Data this is lazy, and runs again each time that the rows are read: write the result, or
        `materialize()` it, once.

        Args:
            dataset: A `ray.data.Dataset`. Its first block may be read to know its columns.
            actors: The number of actors, each with a client of its own.
            batch_size: The number of rows that an actor ranks at a time. Ray repeats a batch whose actor died.

        Raises:
            ValueError, TypeError: The data set does not have the columns.
        """
        schema = dataset.schema()
        if schema is not None and hasattr(schema.base_schema, "field"):
            tables.check(schema.base_schema, self.columns)
        # Ray repeats whole blocks, however many batches of one were ranked: so make each block one batch.
        return dataset.repartition(target_num_rows_per_block=batch_size).map_batches(
            OpenRouterRerank,
            fn_constructor_args=[self],
            batch_size=batch_size,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(size=actors),
            # The actors mostly wait for the network, and must not take the CPUs with which Ray reads.
            num_cpus=0,
            udf_modifying_row_count=False,
        )

    def failed(self, dataset: Any) -> Any:
        """Return the failed rows of a ranked data set without the added columns, to rank them again.

        Raises:
            ValueError: The data set was not ranked with this job's `prefix` and `with_documents`.
        """
        added, error = self.columns.added, self.columns.prefix + ERROR
        schema = dataset.schema()
        missing = [] if schema is None else [name for name in added if name not in schema.names]
        if missing:
            message = f"it was not ranked by such a job, as it has no column {', '.join(missing)}"
            raise ValueError(message)
        return dataset.filter(expr=col(error).is_not_null()).drop_columns(added)

    def totals(self) -> Totals:
        """Return the totals of all calls of all actors, including those that Ray repeated."""
        return cast(Totals, self.channel.ask("totals"))

    def reranker(self, max_cost: float | None = None) -> _Reranker:
        """Return a client with the job's settings."""
        settings = dict(self._settings)
        if self._cache is not None:
            settings["cache"] = DiskCache(self._cache)
        if max_cost is not None:
            settings["max_cost"] = max_cost
        if self._local:
            return _Reranker.local(self._scorer, **settings)
        return _Reranker(cast(str, self._key), dialect=self._dialect, base_url=self._base_url, **settings)


class OpenRouterRerank:
    """A class for `Dataset.map_batches`, which adds the columns of the ranking to Arrow tables.

    Each actor has one client. `Job.rank` does what the example does, and checks the columns first.

    Args:
        job: The columns, the client's settings, and the limits.

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
        # It stays the same when Ray restarts this actor.
        name = str(ray.get_runtime_context().get_actor_id() or uuid4())
        self._member = self._reranker.join(job.channel, name, max_cost=job.limited)

    def __call__(self, batch: Any) -> Any:
        """Return the table with columns for the ranking, the usage and the error of each row.

        Raises:
            ValueError, TypeError: The table does not have the columns; nothing was sent.
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
                    none_ranked = all(row.error is not None for row in found.values())
                    if _ends_all(result.error) or (none_ranked and is_unreadable_ranking(result.error)):
                        ended = ended or result.error
                        self._member.end(result.error)
                        results.drain()
                row = finished_row(result)
                found[row.row] = row
        ended = ended or gate.ended
        if ended is not None and self._job.stop_on_error:
            raise ended
        rest = None if ended is None else error_columns(ended)
        rows = [found.get(number) or FinishedRow(number, error=rest) for number in range(batch.num_rows)]
        return tables.with_results(batch, rows, columns)


def _ends_all(error: Exception) -> bool:
    """Return True if no other row can succeed: the key is wrong, or no money is left. Other errors may be the row's own."""
    if isinstance(error, AuthenticationError):
        return error.status == 401
    return isinstance(error, BudgetExceededError | InsufficientCreditsError | LimiterUnavailable)


class _Reranker(Reranker):
    """A reranker with shared limits."""

    @property
    def where(self) -> str:
        """The server's address, redacted."""
        return self._settings.where

    def join(self, channel: _Channel, name: str, *, max_cost: bool) -> LimiterClient:
        """Enter its calls in the limits' ledger too, from now on."""
        settings = self._settings
        extra: dict[str, Any] = settings.defaults["extra_body"] or {}
        member = LimiterClient(
            channel,
            name,
            model=str(extra.get("model", settings.defaults["model"]) or ""),
            timeout=settings.timeout,
            deadline=settings.deadline,
            max_cost=max_cost,
        )
        ledger: Ledger = member.ledger
        self._settings = replace(settings, ledger=ledger)
        return member

    def run(
        self,
        requests: Iterator[RerankRequest[Any]],
        gate: RemoteGate,
        *,
        concurrency: int,
        stop_on_error: bool,
    ) -> Results[Any]:
        """Rank requests as `rerank_many` does, through a gate."""
        run = Threads(
            self._run_context(),
            requests,
            gate=gate,
            concurrency=concurrency,
            requests_per_minute=None,
            ordered=False,
            stop_on_error=stop_on_error,
            progress=None,
        )
        return Results(run)


class _Channel:
    """The connection to the actor that is the limiter."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the limiter and return its result."""
        try:
            return ray.get(getattr(self._actor, method).remote(*arguments))
        except ray.exceptions.RayError as error:
            message = (
                f"the actor that keeps the limits of all actors cannot be reached ({type(error).__name__}), so nothing was sent. "
                "Make a new Job, and rank what failed again"
            )
            raise LimiterUnavailable(message) from error

    def tell(self, method: str, *arguments: Any) -> None:
        """Call a method of the limiter without waiting for it."""
        getattr(self._actor, method).remote(*arguments)
