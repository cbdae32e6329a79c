"""Run our facade against other vendors' real servers, which are started and stopped here.

The results of the facade, sync and async, are compared with the server's responses to a plain POST.
"""

import asyncio
import json
import math
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
from clients import DOCUMENTS, QUERY
from processes import NotRunningError, first_line, free_port, serving

from openrouter_rerank import (
    AsyncReranker,
    AuthenticationError,
    BadRequestError,
    Ranking,
    Reranker,
    RerankError,
    StatusError,
)
from openrouter_rerank_api.dialects import Dialect

HERE = Path(__file__).resolve().parent
KEY = "sk-interop"
STARTING = 300  # seconds for a short script

Arguments = dict[str, Any]


class Call(NamedTuple):
    """A call of the facade: its arguments, and the error that it must raise; None if it must rank."""

    name: str
    arguments: Arguments
    error: type[StatusError] | None = None
    key: str = KEY
    dialect: Dialect = "openrouter"


class Server(NamedTuple):
    """A running server."""

    name: str
    version: str
    base_url: str
    model: str
    calls: tuple[Call, ...]


class Row(NamedTuple):
    """A call of a server with both rerankers: the problem or the result of each."""

    server: str
    version: str
    call: str
    cells: tuple[str, str]
    failed: bool


RANKS = (Call("strings", {"documents": DOCUMENTS}), Call("top_n=2", {"documents": DOCUMENTS, "top_n": 2}))
OBJECTS = [{"text": text} for text in DOCUMENTS]
WRONG_KEY = Call("a wrong key", {"documents": DOCUMENTS}, AuthenticationError, key="sk-wrong")
LLAMA = (
    *RANKS,
    Call("dialect jina, documents as objects", {"documents": OBJECTS}, dialect="jina"),
    Call("dialect tei, documents as objects", {"documents": OBJECTS, "top_n": 2}, dialect="tei"),
    Call("documents as objects, which it refuses", {"documents": OBJECTS}, BadRequestError),
    WRONG_KEY,
)
FLAT = (
    *RANKS,
    Call("dialect jina, documents as objects", {"documents": OBJECTS}, dialect="jina"),
    WRONG_KEY,
)
LITELLM = (
    *RANKS,
    Call("dialect jina", {"documents": DOCUMENTS, "top_n": 2}, dialect="jina"),
    Call("dialect cohere-v2", {"documents": DOCUMENTS, "top_n": 2}, dialect="cohere-v2"),
    Call("documents as objects", {"documents": OBJECTS}),
    Call("a model that it does not have", {"documents": DOCUMENTS, "model": "none"}, BadRequestError),
    # without a database it cannot look up keys, and answers 400
    Call("a wrong key, which it answers with 400", {"documents": DOCUMENTS}, BadRequestError, key="sk-wrong"),
    Call(
        "a key that its upstream refuses",
        {"documents": DOCUMENTS, "model": "locked-out"},
        AuthenticationError,
    ),
)


@dataclass(frozen=True)
class Commands:
    """The commands of servers in separate environments; None for a server that could not be installed."""

    litellm: Path
    infinity: Path | None = None
    vllm: Path | None = None


def table(commands: Commands) -> list[Row]:
    """Start the servers, and call each with both rerankers."""
    rows: list[Row] = []
    for name, start in starts(commands).items():
        if start is None:
            rows.append(Row(name, "", "", ("not run: it could not be installed",) * 2, failed=False))
            continue
        try:
            with start() as server:
                rows += [row(server, call) for call in server.calls]
        except (NotRunningError, OSError) as error:
            rows.append(Row(name, "", "", (f"not run: {error}",) * 2, failed=name in REQUIRED))
    return rows


REQUIRED = ("llama.cpp", "LiteLLM proxy", "rerank serve")
"""The servers that run wherever their packages are installed."""


def starts(commands: Commands) -> dict[str, Callable[[], AbstractContextManager[Server]] | None]:
    """Return a function that starts each server; None for a server that could not be installed."""
    infinity_command, vllm_command = commands.infinity, commands.vllm
    return {
        "llama.cpp": llama,
        "LiteLLM proxy": lambda: proxy(commands.litellm),
        "infinity": infinity_command and (lambda: infinity(infinity_command)),
        "vLLM": vllm_command and (lambda: vllm(vllm_command)),
        "rerank serve": ours,
    }


@contextmanager
def llama() -> Generator[Server]:
    """Run llama.cpp's server with a model of random weights."""
    with serving([sys.executable, HERE / "llama_server.py"], first_line, {"INTEROP_KEY": KEY}) as url:
        yield Server("llama.cpp", f"xllamacpp {_version('xllamacpp')}", f"{url}/v1", "random", LLAMA)


@contextmanager
def proxy(command: Path) -> Generator[Server]:
    """Run the LiteLLM proxy in front of our own server, which replaces Cohere's."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(TemporaryDirectory(prefix="interop-litellm-")))
        rerank = [
            Path(sys.executable).with_name("rerank"),
            "serve",
            "--port=0",
            "--compat",
            "--key-env=UPSTREAM",
        ]
        upstream = stack.enter_context(serving(rerank, first_line, {"UPSTREAM": "sk-upstream"}))
        keys = {"reranker": "sk-upstream", "locked-out": "sk-not-upstream"}
        models = [
            {
                "model_name": name,
                "litellm_params": {
                    "model": "cohere/any",
                    "api_base": f"{upstream}/v1/rerank",
                    "api_key": key,
                },
            }
            for name, key in keys.items()
        ]
        configuration = {
            "model_list": models,
            "general_settings": {"master_key": KEY},
            # otherwise it answers 429 for a while after its upstream refused a request
            "router_settings": {"disable_cooldowns": True},
        }
        config = home / "config.yaml"
        config.write_text(json.dumps(configuration), "utf-8")
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        run = [command, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
        offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # otherwise it fetches its price list
        stack.enter_context(
            serving(run, lambda _: url if alive(f"{url}/health/liveliness") else None, offline)
        )
        yield Server("LiteLLM proxy", f"litellm {installed(command)}", f"{url}/v1", "reranker", LITELLM)


@contextmanager
def ours() -> Generator[Server]:
    """Run our own server, for comparison."""
    command = [Path(sys.executable).with_name("rerank"), "serve", "--port=0", "--key-env=UPSTREAM"]
    with serving(command, first_line, {"UPSTREAM": KEY}) as url:
        yield Server(
            "rerank serve",
            f"openrouter-rerank {_version('openrouter-rerank')}",
            f"{url}/api/v1",
            "any",
            (*RANKS, WRONG_KEY),
        )


@contextmanager
def infinity(command: Path) -> Generator[Server]:
    """Run infinity with a model of random weights."""
    with _tiny(command) as (model, port):
        run = [command, "v2", "--model-id", model, "--served-model-name", "tiny", "--device", "cpu"]
        run += ["--engine", "torch", "--no-bettertransformer", "--no-model-warmup", "--api-key", KEY]
        run += ["--host", "127.0.0.1", "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        offline = {"HF_HUB_OFFLINE": "1", "INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1"}
        with serving(run, lambda _: url if alive(f"{url}/health") else None, offline):
            yield Server("infinity", f"infinity-emb {installed(command, 'infinity-emb')}", url, "tiny", FLAT)


@contextmanager
def vllm(command: Path) -> Generator[Server]:
    """Run vLLM on a CPU, with a model of random weights."""
    with _tiny(command) as (model, port):
        run = [
            command,
            "serve",
            model,
            "--served-model-name",
            "tiny",
            "--runner",
            "pooling",
            "--dtype",
            "float32",
        ]
        run += ["--api-key", KEY, "--host", "127.0.0.1", "--port", str(port)]
        url = f"http://127.0.0.1:{port}"
        offline = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
        with serving(run, lambda _: url if alive(f"{url}/health") else None, offline):
            yield Server("vLLM", f"vllm-cpu {installed(command, 'vllm-cpu')}", f"{url}/v1", "tiny", FLAT)


@contextmanager
def _tiny(command: Path) -> Generator[tuple[Path, int]]:
    """Write the model with the server's own transformers, and yield its directory and a port."""
    with TemporaryDirectory(prefix="interop-tiny-") as home:
        write = [python_beside(command), HERE / "tiny_reranker.py", home]
        done = subprocess.run(write, capture_output=True, encoding="utf-8", timeout=STARTING, check=False)
        if done.returncode:
            message = f"the model could not be written: {' '.join(done.stderr.split())[-300:]}"
            raise NotRunningError(message)
        yield Path(home), free_port()


def alive(url: str) -> bool:
    """Return True if a server accepts requests."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def python_beside(command: Path) -> Path:
    """Return the Python of the environment of a command."""
    return command.with_name(Path(sys.executable).name)


def installed(command: Path, package: str = "litellm") -> str:
    """Return the version of a package in the environment of a command."""
    ask = f"from importlib.metadata import version; print(version({package!r}))"
    run = [python_beside(command), "-c", ask]
    done = subprocess.run(run, capture_output=True, encoding="utf-8", timeout=STARTING, check=False)
    return done.stdout.strip() or "of an unknown version"


def row(server: Server, call: Call) -> Row:
    """Make a call with both rerankers."""
    expected = None if call.error else plain(server, call)
    cells = tuple(judged(call, shell, server, expected) for shell in (sync, asynchronous))
    failed = any(wrong for wrong, _ in cells)
    first, second = (result for _, result in cells)
    return Row(server.name, server.version, call.name, (first, second), failed)


def plain(server: Server, call: Call) -> list[tuple[int, float]]:
    """Return the server's response to a plain POST, best first."""
    body = {"model": server.model, "query": QUERY, **call.arguments}
    if call.dialect != "openrouter":
        body["documents"] = DOCUMENTS  # other dialects send objects as their texts
    headers = {"Authorization": f"Bearer {call.key}"}
    answer = httpx.post(f"{server.base_url}/rerank", json=body, headers=headers, timeout=30)
    results = answer.raise_for_status().json()["results"]
    return sorted(
        ((result["index"], result["relevance_score"]) for result in results), key=lambda pair: -pair[1]
    )


def settings(server: Server, call: Call) -> Arguments:
    """Return the arguments of both rerankers."""
    return {
        "api_key": call.key,
        "dialect": call.dialect,
        "base_url": server.base_url,
        "model": None if call.dialect == "tei" else server.model,
        "timeout": 30.0,
        "deadline": 60.0,
    }


def sync(server: Server, call: Call) -> Ranking[Any]:
    """Rank with `Reranker`."""
    with Reranker(**settings(server, call)) as reranker:
        return reranker.rerank(QUERY, **call.arguments)


def asynchronous(server: Server, call: Call) -> Ranking[Any]:
    """Rank with `AsyncReranker`."""

    async def rank() -> Ranking[Any]:
        async with AsyncReranker(**settings(server, call)) as reranker:
            return await reranker.rerank(QUERY, **call.arguments)

    return asyncio.run(rank())


def judged(
    call: Call,
    shell: Callable[[Server, Call], Ranking[Any]],
    server: Server,
    expected: list[tuple[int, float]] | None,
) -> tuple[bool, str]:
    """Return True if a reranker failed, and the text of the problem or the result."""
    try:
        ranking = shell(server, call)
    except RerankError as error:
        status = f" ({error.status})" if isinstance(error, StatusError) else ""
        result = type(error).__name__ + status
        return (False, result) if call.error and type(error) is call.error else (True, f"{result}: {error}")
    if expected is None:
        return True, f"a ranking instead of {call.error and call.error.__name__}"
    problem = wrong(ranking, expected, call.arguments["documents"])
    return bool(problem), problem or f"ranks {ranking.indices}; usage: {usage(ranking)}"


def wrong(ranking: Ranking[Any], expected: list[tuple[int, float]], documents: Sequence[Any]) -> str:
    """Return the problems of a ranking."""
    if [index for index, _ in expected] != list(ranking.indices):
        return f"the order is {list(ranking.indices)}, not {[index for index, _ in expected]}"
    for hit, (_, score) in zip(ranking, expected, strict=True):
        if not math.isclose(hit.score, score, rel_tol=1e-4, abs_tol=1e-4):
            return f"document {hit.index} has the score {hit.score}, not {score}"
        if hit.document is not documents[hit.index]:
            return f"document {hit.index} is not the caller's own"
    return ""


def usage(ranking: Ranking[Any]) -> str:
    """Return the usage of the ranking, without missing fields."""
    figures = {name: getattr(ranking.usage, name) for name in ("cost", "search_units", "total_tokens")}
    return ", ".join(f"{name} {value:g}" for name, value in figures.items() if value is not None) or "none"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
