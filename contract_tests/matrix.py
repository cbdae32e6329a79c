"""The kill matrix: which servers a check bites and by which rules, beside `st run` on the same contract.

`python contract_tests/matrix.py --markdown FILE` checks every server of the kit in process, in full and quick, judges it by the
checks of `st run`, and writes the page. It ends with 1 if a broken server that `st run` fails passes the full check. A run that was
killed goes on where it was: with `--kept FILE`, results are kept for as long as no source file changes.
"""

import argparse
import hashlib
import logging
import multiprocessing
import multiprocessing.pool
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

import msgspec

import st_run
from field_servers import FIELD_SERVERS
from rerank_conformance import check, contract
from rerank_conformance.altered import Server
from rerank_conformance.broken import BROKEN, UNAVOIDABLE, VARIANTS
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from rerank_conformance.rules import RULES

KEY = "sk-or-v1-the-right-key"
COMMAND = "nox -s matrix"
HERE = Path(__file__).parent
SHARE = 0.8
"""The share of what a full check catches that a quick one has to catch, too."""


@dataclass
class Run:
    """The verdict of one tool on one server."""

    bites: bool
    requests: int
    seconds: float
    musts: list[str] = field(default_factory=list[str])
    shoulds: list[str] = field(default_factory=list[str])
    verdict: str = ""


@dataclass
class Row:
    """One server, and what each tool made of it."""

    kind: str
    name: str
    says: str
    whole: Run
    quick: Run
    st: Run
    digest: str = ""
    """The source by which the row was made."""


def servers() -> Iterator[tuple[str, str, Server]]:
    """Every server of the kit: the reference, the broken ones, the legal ones, and those of the field."""
    yield "reference", "reference", Reference
    yield from (("broken", name, server) for name, server in BROKEN.items())
    yield from (("legal", name, server) for name, server in VARIANTS.items())
    yield from (("field", name, one.server) for name, one in FIELD_SERVERS.items() if one.bitten)


def digest() -> str:
    """Return the hash of everything that a row depends on."""
    found = hashlib.sha256(version("schemathesis").encode())
    sources = [*HERE.glob("*.py"), *(HERE / "rerank_conformance").rglob("*.py")]
    for path in [contract.find(), *sorted(one for one in sources if not one.name.startswith("test_"))]:
        found.update(path.read_bytes())
    return found.hexdigest()


def row(which: tuple[str, str]) -> Row:
    """Try one server in this process."""
    logging.disable(logging.CRITICAL)
    server = next(server for kind, name, server in servers() if (kind, name) == which)
    says = (server.__doc__ or "").strip().splitlines()[0] if server is not Reference else ""
    began = time.monotonic()
    failed = st_run.failed_checks(server)
    st = Run(bool(failed), len(st_run.recorded()), time.monotonic() - began, failed)
    return Row(*which, says, by_the_kit(server, quick=False), by_the_kit(server, quick=True), st)


def by_the_kit(server: Server, *, quick: bool) -> Run:
    """Check a server in this process."""
    return _run(server(keys={KEY}), quick=quick)


def _run(target: object, *, quick: bool) -> Run:
    report = check(target, key=KEY, seed=0, quick=quick, expect_auth=True)
    failed = report.of("fail")
    musts = [rule.id for rule in failed if rule.level == "MUST"]
    shoulds = [rule.id for rule in failed if rule.level == "SHOULD"]
    return Run(bool(musts), report.requests, report.elapsed_s, musts, shoulds, report.verdict)


class Counted:
    """A server with the number of requests that it was asked."""

    def __init__(self, server: Reference) -> None:
        self.count = 0
        self._answer = server.answer
        server.answer = self._counting

    def _counting(self, *request: object) -> object:
        self.count += 1
        return self._answer(*request)


def over_http() -> Row:
    """Try the reference over loopback, as a user does, with the command `st run`."""
    made = Reference(keys={KEY})
    counted = Counted(made)
    with running(made) as url:
        whole, quick = _run(url, quick=False), _run(url, quick=True)
        counted.count = 0
        began = time.monotonic()
        _st_run(url)
        st = Run(bites=False, requests=counted.count, seconds=time.monotonic() - began)
    return Row("reference", "reference", "", whole, quick, st)


def _st_run(url: str) -> None:
    words = [str(Path(sys.executable).parent / "st"), "run", str(contract.find()), "--url", url]
    words += ["--header", f"Authorization: Bearer {KEY}", "--seed", "1"]
    words += ["--include-operation-id", "createRerank"]
    with tempfile.TemporaryDirectory() as empty:
        done = subprocess.run(  # noqa: S603 - what is run is written here
            words,
            cwd=empty,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    if done.returncode:
        message = f"st run on the reference: exit code {done.returncode}: {done.stderr[-400:]}"
        raise RuntimeError(message)


def passing(rows: Sequence[Row]) -> list[str]:
    """Return the broken servers that `st run` fails and the full check does not find fault with, by a MUST or a SHOULD."""
    broken = [one for one in rows if one.kind in {"broken", "field"} and one.st.bites]
    return [one.name for one in broken if not one.whole.bites and not one.whole.shoulds]


def caught_quickly(rows: Sequence[Row]) -> float:
    """Return the share of what the full check catches that the quick one catches, too."""
    caught = [one for one in rows if one.kind in {"broken", "field"} and one.whole.bites]
    return sum(one.quick.bites for one in caught) / len(caught) if caught else 1.0


def summary(rows: Sequence[Row]) -> list[str]:
    """Format the table at the head: how many servers of each kind each tool catches."""
    tools = [("`check`", "whole"), ("`check --quick`", "quick")]
    tools.append((f"`st run`, schemathesis {version('schemathesis')}", "st"))
    lines = [f"| | {' | '.join(title for title, _ in tools)} |", f"|---|{'---:|' * len(tools)}"]
    should = [name for name, rule in RULES.items() if rule.level == "SHOULD"]
    groups = (
        ("broken servers, one for each MUST, that fail", [r for r in rows if r.kind == "broken" and r.name not in should]),
        ("broken as real servers are, that fail", [r for r in rows if r.kind == "field"]),
        ("legal servers that fail, and should not", [r for r in rows if r.kind == "legal"]),
        ("servers that break a SHOULD alone, that fail", [r for r in rows if r.kind == "broken" and r.name in should]),
    )  # fmt: skip
    for title, group in groups:
        cells = [f"{sum(getattr(one, tool).bites for one in group)} of {len(group)}" for _, tool in tools]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    honest = next(one for one in rows if one.kind == "reference")
    for title, cells in (
        ("requests, the reference server", [str(getattr(honest, tool).requests) for _, tool in tools]),
        ("seconds, the reference server", [f"{getattr(honest, tool).seconds:.1f}" for _, tool in tools]),
        ("requests, median of all", [f"{median(getattr(one, tool).requests for one in rows):.0f}" for _, tool in tools]),
    ):  # fmt: skip
        lines.append(f"| {title} | {' | '.join(cells)} |")
    alone = [one for one in rows if one.kind == "broken"]
    own = sum(set(one.whole.musts) <= {one.name, *UNAVOIDABLE.get(one.name, ())} for one in alone)
    bitten = sum(one.name in one.whole.musts + one.whole.shoulds for one in alone)
    blamed = mean([len(one.whole.musts) for one in alone if one.whole.musts] or [0])
    sentence = (
        f"Of {len(alone)} servers that each break one rule, {bitten} fail by that rule, {own} by no other MUST than "
        f"those that cannot be kept beside it, and {blamed:.1f} MUST rules are blamed for each on average. The quick check "
        f"catches {caught_quickly(rows):.0%} of what the full check catches."
    )
    lines += ["", sentence]
    return lines


def markdown(rows: Sequence[Row]) -> str:
    """Format the whole page."""
    lines = [
        "# The kill matrix",
        "",
        f"Written by `{COMMAND}`: every server of the conformance kit, in process, judged by the kit and by the checks of `st run` on",
        "the requests that it makes of the same contract with its defaults. A server fails by a MUST; `st run` fails it by any check.",
        "The requests and seconds of the reference server are those over loopback.",
        "",
        *summary(rows),
    ]
    for kind, title in (
        ("broken", "Broken servers, one for each rule"),
        ("field", "Broken as real servers are"),
        ("legal", "Legal servers"),
    ):
        lines += [
            "",
            f"## {title}",
            "",
            "| server | what it does | rules that bite it | quick | st run |",
            "|---|---|---|---|---|",
        ]
        for one in (one for one in rows if one.kind == kind):
            own = [f"**{name}**" if name == one.name else name for name in one.whole.musts]
            advised = [f"*{name}*" for name in one.whole.shoulds]
            cells = [
                one.name,
                one.says.replace("|", "\\|"),
                ", ".join(own + advised),
                "fails" if one.quick.bites else one.quick.verdict,
                "fails" if one.st.bites else "passes",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "**Bold** marks the server's own rule, *italics* mark rules of level SHOULD."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try every server, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markdown", type=Path, help="write the page there; without it, it is printed")
    parser.add_argument("--only", help="only servers with this in their name, and the reference")
    parser.add_argument("--kept", type=Path, help="keep the results there, and go on from them")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="processes at the same time")
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    everything = [(kind, name) for kind, name, _ in servers()]
    chosen = [one for one in everything if not given.only or given.only in one[1] or one[0] == "reference"]
    rows = {one[:2]: one[2] for one in _tried(chosen, given.kept, given.processes)}
    page = markdown([rows[one] for one in chosen])
    if given.markdown:
        given.markdown.write_text(page, "utf-8")
        sys.stdout.write("\n".join(summary([rows[one] for one in chosen])) + "\n")
    else:
        sys.stdout.write(page)
    if missed := passing([*rows.values()]):
        sys.exit(f"st run fails these, and the full check does not: {', '.join(missed)}")


def _tried(
    chosen: Sequence[tuple[str, str]], kept: Path | None, processes: int
) -> Iterator[tuple[str, str, Row]]:
    now = digest()
    known: dict[tuple[str, str], Row] = {}
    if kept is not None and kept.exists():
        for line in kept.read_bytes().splitlines():
            try:
                one = msgspec.json.decode(line, type=Row)
            except msgspec.DecodeError:  # the line at which a run was killed
                continue
            if one.digest == now:
                known[one.kind, one.name] = one
    yield from ((*which, known[which]) for which in chosen if which in known)
    left = [which for which in chosen if which not in known]
    # a process each, as threads would share one interpreter
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        for number, one in enumerate(_made(left, pool), 1):
            one.digest = now
            if kept is not None:
                with kept.open("ab") as file:
                    file.write(msgspec.json.encode(one) + b"\n")
            sys.stderr.write(f"{number} of {len(left)}: {one.name}\n")
            yield one.kind, one.name, one


def _made(left: Sequence[tuple[str, str]], pool: "multiprocessing.pool.Pool") -> Iterator[Row]:
    yield from pool.imap_unordered(row, [which for which in left if which[0] != "reference"])
    if ("reference", "reference") in left:
        # alone, as its time is measured: the median of three
        yield sorted((over_http() for _ in range(3)), key=lambda one: one.whole.seconds)[1]


if __name__ == "__main__":
    main()
