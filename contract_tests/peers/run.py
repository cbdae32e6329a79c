"""Compare the facade with other clients on the faults of the test kit, and write the tables of a page.

Each client runs in its own environment, over loopback. The tables replace the lines of the page between
`<!-- begin tables -->` and `<!-- end tables -->`; the rest of the page is handwritten.

Exit codes: 0 done, 1 a client could not be run (the page names it), 2 wrong arguments.
"""

import argparse
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

from peers.adapters import DOCUMENTS
from peers.catalogue import PEERS, SECTIONS, Peer, Row
from peers.cells import Observation, describe
from peers.runner import CannotRunError, Facts, observe

BEGIN = "<!-- begin tables -->"
END = "<!-- end tables -->"
BOUND = 20.0

FACTS: dict[str, Callable[[Facts], str]] = {
    "version": lambda facts: facts["version"],
    "Python": lambda facts: facts["requires_python"],
    "packages that it installs besides itself": lambda facts: str(facts["packages"]),
    "size of all of them": lambda facts: f"{facts['megabytes']:.0f} MB",
    "types for checkers (`py.typed`)": lambda facts: "yes" if facts["typed"] else "no",
}


@dataclass
class Column:
    """The results of one client.

    Attributes:
        peer: The client.
        facts: The facts of the package.
        seen: The observations, by the name of the fault.
        problem: The reason why the client could not be run, or an empty string.
    """

    peer: Peer
    facts: Facts = field(default_factory=Facts)
    seen: dict[str, Observation] = field(default_factory=dict[str, Observation])
    problem: str = ""


def run(peer: Peer, python: str | None, rows: Sequence[Row], bound: float) -> Column:
    """Run one client on all rows; report each row on stderr."""
    column = Column(peer)
    if python is None or not Path(python).exists():
        column.problem = "not installed"
        return column
    try:
        results = observe(peer, python, rows, bound)
        for result, row in zip(results, [None, *rows], strict=True):
            if isinstance(result, Observation) and row:
                column.seen[row.fault.name] = result
                print(f"{peer.name}: {row.fault.name}: {cell(column, row, bound)}", file=sys.stderr)
            elif isinstance(result, dict):
                column.facts = result
    except CannotRunError as error:
        column.problem = str(error)
    return column


def cell(column: Column, row: Row, bound: float) -> str:
    """Return the text for a client and a fault."""
    seen = column.seen[row.fault.name]
    return describe(seen, DOCUMENTS, row.cause, bound, has_error=row.has_error)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def pickled(column: Column) -> str:
    """Return the number of a client's errors that can be pickled, of all."""
    errors = [seen for seen in column.seen.values() if seen.error]
    return f"{sum(seen.pickles for seen in errors)} of {len(errors)}"


def tables(columns: Sequence[Column], sections: Mapping[str, Sequence[Row]], bound: float, made: str) -> str:
    """Return the generated part of the page."""
    ran = [column for column in columns if not column.problem]
    names = [column.peer.name for column in ran]
    rows = [[name, *(show(column.facts) for column in ran)] for name, show in FACTS.items()]
    rows.append(["errors that can be pickled", *map(pickled, ran)])
    parts = [made, table(["", *names], rows)]
    parts += [f"{column.peer.name} was not run: {column.problem}." for column in columns if column.problem]
    for title, section in sections.items():
        rows = [
            [
                f"{row.fault.says} `{row.fault.name}`"
                + (f", `timeout={row.timeout:g}`" if row.timeout else ""),
                *(cell(column, row, bound) for column in ran),
            ]
            for row in section
        ]
        parts += [f"### {title}", table(["instruction to the server", *names], rows)]
    return "\n\n".join(parts)


def replace_tables(page: str, new: str) -> str:
    """Return the page with its tables replaced.

    Raises:
        ValueError: The page does not have both markers, each once and in order.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in before + after:
        message = f"the page: {BEGIN} and {END} must each appear once, in this order; add them"
        raise ValueError(message)
    return f"{before}{BEGIN}\n\n{new}\n\n{END}{after}"


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    every = {row.fault.name: row for section in SECTIONS.values() for row in section}
    parser.add_argument(
        "fault", nargs="*", metavar="FAULT", help="serve only these faults, and do not change the page"
    )
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PATH", help="the Python of the environment with a client")  # fmt: skip
    parser.add_argument("--bound", type=float, default=BOUND, metavar="SECONDS", help="kill a client whose call takes longer  [default: %(default)g]")  # fmt: skip
    parser.add_argument("--page", type=Path, metavar="FILE", help="the page to write the tables into")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.fault if name not in every]:
        parser.error(f"FAULT: {unknown[0]!r} is not one of {', '.join(every)}")
    options.python = dict(given.partition("=")[::2] for given in options.python)
    if unknown := [name for name in options.python if name not in {peer.name for peer in PEERS}]:
        parser.error(f"--python: {unknown[0]!r} is not one of {', '.join(peer.name for peer in PEERS)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all clients, and print the tables or write them into the page."""
    options = parse(arguments)
    sections = SECTIONS
    if options.fault:
        sections = {"Chosen faults": [row for rows in SECTIONS.values() for row in rows if row.fault.name in options.fault]}  # fmt: skip
    rows = [row for section in sections.values() for row in section]
    columns = [run(peer, options.python.get(peer.name), rows, options.bound) for peer in PEERS]
    today = datetime.now().astimezone().date()
    system = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.machine()}"
    made = f"Written by `nox -s peers` on {today} on {system}."
    new = tables(columns, sections, options.bound, made)
    if options.page and not options.fault:
        options.page.write_text(replace_tables(options.page.read_text("utf-8"), new), "utf-8")
    else:
        print(new)
    for column in columns:
        if column.problem:
            print(f"peers: {column.peer.name} was not run: {column.problem}", file=sys.stderr)
    return int(any(column.problem for column in columns))


if __name__ == "__main__":
    sys.exit(main())
