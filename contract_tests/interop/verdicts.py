"""Check other vendors' real servers with the conformance kit, and write docs/servers.md."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import servers
from processes import NotRunningError
from servers import KEY, Commands, Server

from rerank_conformance.report import LEVELS, Report
from rerank_conformance.reports.words import VERDICTS, failed, grouped_causes, visible

PATIENCE = 1800  # seconds for one check
TIMEOUT = "120"  # seconds for one response, so that a busy machine does not decide a verdict
LONGEST = 160  # characters of a response
HEAD = """\
# Servers and the contract

The verdicts of `rerank-conformance check` on other vendors' servers, run for real on one machine without a network. `nox -s interop`
writes this page. [Choose a level](conformance.md#choose-a-level) describes the levels. A server that reaches no level can still be
used: [this client](interop.md) needs less than the contract promises.
"""
MODELS = """\
llama.cpp, infinity and vLLM have a model of random weights. In level `ranking`, only two recommendations depend on the model:
`relation.relevant-first` and `relation.other-scripts`. The LiteLLM proxy forwards to `rerank serve --compat`. TEI is missing, as no package has it; its `/rerank` takes
`texts` in place of `documents`. [Check a server in CI](guides/ci.md) has a workflow for each.
"""


class Verdict(NamedTuple):
    """The report on a server, or the reason why it is missing."""

    server: str
    version: str
    report: Report | None
    reason: str = ""


def all_verdicts(commands: Commands) -> list[Verdict]:
    """Start and check each server."""
    return [verdict(name, start) for name, start in servers.starts(commands).items()]


def verdict(name: str, start: Callable[[], AbstractContextManager[Server]] | None) -> Verdict:
    """Start and check one server."""
    if start is None:
        return Verdict(name, "", None, "it could not be installed")
    try:
        with start() as server:
            return Verdict(name, server.version, judge(server))
    except (NotRunningError, OSError) as error:
        return Verdict(name, "", None, str(error))


def judge(server: Server) -> Report:
    """Run a full check with the command, and return its report."""
    with TemporaryDirectory(prefix="interop-check-") as home:
        file = Path(home, "report.json")
        check = [sys.executable, "-m", "rerank_conformance", "check", server.base_url, "--json", file]
        check += ["--model", server.model, "--key-env", "INTEROP_KEY", "--seed", "1", "--timeout", TIMEOUT]
        environment = os.environ | {"INTEROP_KEY": KEY}
        try:
            # the exit code is 1 if the server is not conformant
            done = subprocess.run(
                check, env=environment, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False
            )
            return Report.from_json(file.read_bytes())
        except subprocess.TimeoutExpired:
            message = f"the check did not end within {PATIENCE} s"
            raise NotRunningError(message) from None
        except OSError:
            message = f"the check wrote no report: {' '.join(done.stderr.split())[-300:]}"
            raise NotRunningError(message) from None


def cells(one: Verdict) -> list[str]:
    """Return the row of a server in the table."""
    if one.report is None:
        return [one.server, f"not run: {one.reason}", *[""] * (len(LEVELS) + 1)]
    report = one.report
    levels = [
        f"{VERDICTS[report.verdicts[level]].lower()}: {failed(report.of_level(level))}" for level in LEVELS
    ]
    return [one.server, one.version, *levels, str(report.requests)]


def causes(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield the causes of each verdict, the heaviest first."""
    for one in verdicts:
        if one.report is None:
            continue
        yield f"## {one.server}\n"
        grouped = grouped_causes(one.report)
        if not grouped:
            yield "Nothing failed.\n"
        for title, found in grouped.items():
            yield f"{title}:\n"
            for cause in found:
                rule = cause.rule
                names = ", ".join(f"`{name}`" for name in cause.names)
                actual = " ".join(visible(rule.actual or rule.reason or "").split())
                shown = f"{actual[:LONGEST]}…" if len(actual) > LONGEST else actual
                shown = shown.replace("`", "'")
                title_of_cause = rule.requirement if len(cause.rules) == 1 else f"{len(cause.rules)} rules"
                yield f"- **{cause.level}** {title_of_cause} ({names}): `{shown}`"
            yield ""
