"""The kill matrix: which servers a check bites and by which rules, beside plain `st run` on the same contract.

`python contract_tests/matrix.py --markdown FILE` checks every server of the kit over loopback, whole and quick, has
schemathesis' own command run over each of them, and writes what came of it. The time of each tool is measured on the
reference alone, one after the other, three times. It takes most of an hour; `--no-st` leaves schemathesis out and
takes ten minutes; `--kept FILE` keeps what came of each server there, and does not try it again.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

import msgspec

from field_servers import FIELD_SERVERS
from rerank_conformance import check, contract
from rerank_conformance.altered import Server
from rerank_conformance.broken import BROKEN, UNAVOIDABLE, VARIANTS
from rerank_conformance.reference import Reference
from rerank_conformance.reference.asgi import running
from rerank_conformance.rules import RULES

KEY = "sk-or-v1-the-right-key"
COMMAND = "nox -s matrix"


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
    st: Run | None


def servers() -> Iterator[tuple[str, str, Server]]:
    """Every server of the kit: the reference, the broken ones, the legal ones, and those of the field."""
    yield "reference", "reference", Reference
    yield from (("broken", name, server) for name, server in BROKEN.items())
    yield from (("legal", name, server) for name, server in VARIANTS.items())
    yield from (("field", name, one.server) for name, one in FIELD_SERVERS.items() if one.bitten)


def row(kind: str, name: str, server: Server, *, with_st: bool) -> Row:
    """One server, tried by everything."""
    says = (server.__doc__ or "").strip().splitlines()[0] if server is not Reference else ""
    return Row(
        kind,
        name,
        says,
        by_the_kit(server, quick=False),
        by_the_kit(server, quick=True),
        by_schemathesis(server) if with_st else None,
    )


def by_the_kit(server: Server, *, quick: bool) -> Run:
    """Check a server over loopback."""
    with running(server(keys={KEY})) as url:
        report = check(url, key=KEY, seed=0, quick=quick)
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


def by_schemathesis(server: Server) -> Run:
    """`st run` as a user would call it: the contract, the address, the key, and every default."""
    made = server(keys={KEY})
    counted = Counted(made)
    began = time.monotonic()
    with running(made) as url, tempfile.TemporaryDirectory() as empty:
        words = [str(Path(sys.executable).parent / "st"), "run", str(contract.find()), "--url", url]
        words += [
            "--header",
            f"Authorization: Bearer {KEY}",
            "--seed",
            "1",
            "--include-operation-id",
            "createRerank",
        ]
        done = subprocess.run(  # noqa: S603 - what is run is written here
            words,
            cwd=empty,
            env={**os.environ, "NO_COLOR": "1"},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    seconds = time.monotonic() - began
    if done.returncode not in {0, 1}:
        msg = f"st run ended with {done.returncode}: {done.stderr[-400:]}"
        raise RuntimeError(msg)
    return Run(done.returncode == 1, counted.count, seconds)


def summary(rows: Sequence[Row]) -> list[str]:
    """Format the table at the head: how many servers of each kind each tool catches."""
    tools = [("`check`", "whole"), ("`check --quick`", "quick")]
    if all(one.st for one in rows):
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
        f"those that cannot be kept beside it, and {blamed:.1f} MUST rules are blamed for each on average."
    )
    lines += ["", sentence]
    return lines


def markdown(rows: Sequence[Row]) -> str:
    """Format the whole page."""
    lines = [
        "# The kill matrix",
        "",
        f"Written by `{COMMAND}`: every server of the conformance kit, over loopback, judged by the kit and by schemathesis' own",
        "command on the same contract, with its defaults. A server fails by a MUST; `st run` fails it by any of its checks.",
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
                "" if one.st is None else ("fails" if one.st.bites else "passes"),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "In bold a server's own rule, in italics what is only a SHOULD."]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try every server, and print or write the page."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markdown", type=Path, help="write the page there; without it, it is printed")
    parser.add_argument("--no-st", action="store_true", help="leave schemathesis' own command out")
    parser.add_argument("--only", help="only servers with this in their name, and the reference")
    parser.add_argument(
        "--kept", type=Path, help="keep what came of each server there, and read what is there"
    )
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)
    reference, *others = servers()
    chosen = [one for one in others if not given.only or given.only in one[1]]
    kept = (
        msgspec.json.decode(given.kept.read_bytes(), type=list[Row])
        if given.kept and given.kept.exists()
        else []
    )
    known = {(one.kind, one.name): one for one in kept}
    timed = [row(*reference, with_st=not given.no_st) for _ in range(3)]
    middle = sorted(timed, key=lambda one: one.whole.seconds)[1]
    with ThreadPoolExecutor(2) as pool:
        rows = [
            middle,
            *pool.map(lambda one: known.get(one[:2]) or row(*one, with_st=not given.no_st), chosen),
        ]
    if given.kept:
        given.kept.write_bytes(msgspec.json.encode(rows[1:]))
    page = markdown(rows)
    if given.markdown:
        given.markdown.write_text(page, "utf-8")
        sys.stdout.write("\n".join(summary(rows)) + "\n")
    else:
        sys.stdout.write(page)


if __name__ == "__main__":
    main()
