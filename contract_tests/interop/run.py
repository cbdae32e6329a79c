"""Run other vendors' clients against `rerank serve`, our facade against their servers, and the conformance check on these.

Exit codes: 0 everything required works, 1 something does not. A client that cannot be run has a row with the reason.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import clients
import servers
import verdicts
import workflows

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ("llama-cpp.yml", "litellm.yml")
HEAD = """\
# Clients and servers of others

Other vendors' clients against `rerank serve`, and this project's client against other servers. Each runs for real, on one machine
without a network. `nox -s interop` writes this page.
"""
CLIENTS = """\
## Other clients with this server

Each client sends a request for a ranking, one for the best 2, and one with a wrong key. It passes ("yes") if it returns the server's
indices and scores with the right document first, and raises an error with the status 401 for the wrong key. "Usage" is the usage
that its user sees. With `--compat` a response also has the fields that Cohere's clients read. `URL` is the line that `rerank serve`
prints. The provider of the AI SDK refuses a response without `meta`, which only `--compat` adds.
"""
DIALECTS = """\
## Their clients, in their own dialect

The same requests to `rerank serve --dialect NAME`, by the clients of the vendors that have these forms. TEI has no `top_n`: all
documents come back.
"""
SERVERS = """\
## This client with other servers

`Reranker` and `AsyncReranker` must return the server's indices and scores, best first, with the caller's own documents, or raise the
right error. llama.cpp, infinity and vLLM have a model of random weights, so their order has no meaning. The LiteLLM proxy has no
database, and forwards to `rerank serve --compat`. [Servers and the contract](servers.md) has the verdicts of the conformance check.
"""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a Markdown table that also reads well on a terminal."""
    rows = [head, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(
        f"| {line} |" for line in [lines[0], " | ".join("-" * width for width in widths), *lines[1:]]
    )


def of_clients(rows: Sequence[clients.Row]) -> str:
    """Format the table of clients."""
    head = ["client", "version", "base URL", "`rerank serve`", "usage", "`--compat`", "usage"]
    cells = [
        [row.client.name, row.version, f"`{row.client.base_url}`", row.plain.verdict, row.plain.usage, row.compat.verdict, row.compat.usage]
        for row in rows
    ]  # fmt: skip
    return table(head, cells)


def of_dialects(rows: Sequence[clients.DialectRow]) -> str:
    """Format the table of clients of other dialects."""
    head = ["client", "version", "base URL", "`--dialect`", "works", "usage"]
    cells = [
        [row.client.name, row.version, f"`{row.client.base_url}`", row.client.dialect, row.cell.verdict, row.cell.usage]
        for row in rows
    ]  # fmt: skip
    return table(head, cells)


def of_servers(rows: Sequence[servers.Row]) -> str:
    """Format the table of servers."""
    head = ["server", "version", "call", "`Reranker`", "`AsyncReranker`"]
    cells = [[row.server, row.version, row.call, *row.cells] for row in rows]
    return table(head, cells)


def of_verdicts(found: Sequence[verdicts.Verdict]) -> str:
    """Format the page of verdicts."""
    head = ["server", "version", *(f"`{level}`" for level in verdicts.LEVELS), "requests"]
    return "\n".join(
        [table(head, [verdicts.cells(one) for one in found]), "", verdicts.MODELS, *verdicts.causes(found)]
    )


def show(page: str, file: Path | None) -> None:
    """Print a page, and write it."""
    print(page)
    if file:
        file.write_text(page.rstrip("\n") + "\n", "utf-8")


def workflows_run() -> bool:
    """Run the workflows that need no container, and return True if each ends with a verdict on its server."""
    fine = True
    for name in WORKFLOWS:
        with TemporaryDirectory(prefix="interop-workflow-") as home:
            ran = workflows.run_workflow(ROOT / "docs/workflows" / name, Path(home))
        judged = [value for key, value in ran.outputs.items() if key.endswith(".verdict")]
        good = judged != [] and set(judged) <= {"conformant", "nonconformant"}
        print(f"docs/workflows/{name}: {', '.join(judged) or 'no verdict'}")
        if not good:
            print(ran.log, file=sys.stderr)
        fine &= good
    return fine


def main() -> int:
    """Run, print, and return 1 if something required does not work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "only",
        nargs="?",
        choices=("clients", "servers", "verdicts", "workflows"),
        help="one part  [default: all]",
    )
    beside = Path(sys.executable).with_name("litellm")
    parser.add_argument("--litellm", type=Path, default=beside, metavar="COMMAND", help="the command of the proxy, which may be in another environment  [default: the one beside this Python]")  # fmt: skip
    for name in ("infinity", "vllm"):
        parser.add_argument(f"--{name}", type=Path, metavar="COMMAND", help="its command, in a separate environment  [default: not run]")  # fmt: skip
    parser.add_argument(
        "--verdicts", type=Path, metavar="FILE", help="write the verdicts on servers to this file"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / ".nox", help="the directory of the npm clients")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report to this file")
    options = parser.parse_args()

    system = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    command = " ".join(["python contract_tests/interop/run.py", *([options.only] if options.only else [])])
    if options.markdown:
        command += f" --markdown {options.markdown}"
    today = datetime.now().astimezone().date()
    parts = [HEAD, f"Printed on {today} by `{command}` on {system}.\n"]
    failed = False
    commands = servers.Commands(options.litellm.absolute(), options.infinity, options.vllm)
    if options.only in {None, "clients"}:
        of_others = clients.table(options.cache.resolve())
        failed |= any(row.failed for row in of_others)
        parts += [CLIENTS, of_clients(of_others) + "\n"]
        in_dialects = clients.in_dialects(options.cache.resolve())
        failed |= any(row.failed for row in in_dialects)
        parts += [DIALECTS, of_dialects(in_dialects) + "\n"]
    if options.only in {None, "servers"}:
        rows = servers.table(commands)
        failed |= any(row.failed for row in rows)
        parts += [SERVERS, of_servers(rows) + "\n"]
    if len(parts) > 2:
        show("\n".join(parts), options.markdown)
    if options.only in {None, "verdicts"}:
        judged = verdicts.all_verdicts(commands)
        failed |= any(one.report is None for one in judged if one.server in servers.REQUIRED)
        show("\n".join([verdicts.HEAD, parts[1], of_verdicts(judged)]), options.verdicts)
    if options.only in {None, "workflows"}:
        failed |= not workflows_run()
    if failed:
        print("interop: something required does not work; see the tables", file=sys.stderr)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
