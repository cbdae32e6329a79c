"""Write docs/commands.md, docs/rules.md and docs/statuses.md from the code; `nox -s docs` runs it, a test runs it with --check."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import click

from openrouter_rerank.cli.app import app
from openrouter_rerank.errors import STATUSES
from rerank_conformance import rules as rule_modules
from rerank_conformance.cli import main
from rerank_conformance.report import LEVELS
from rerank_conformance.reports.words import MEANINGS
from rerank_conformance.rules import RULES, Rule
from rerank_conformance.rules.levels import Group, group_of

DOCS = Path(__file__).parents[1]


def commands() -> str:
    """Return the output of `--help` of each command on a terminal of 80 columns."""
    lines = [
        "# The command lines",
        "",
        "The output of `--help`. `nox -s docs` writes this page, and a test compares it with the commands.",
        "",
        "From a clone, `pip install '.[cli]'` installs `rerank`, and `pip install '.[conformance]'` `rerank-conformance`.",
        "Guides: [Rank documents](guides/rank.md), [Rank a table](guides/batch.md), [Check a server](conformance.md).",
    ]
    for name, command in (("rerank", app), ("rerank-conformance", main)):
        for words in _below(command, name):
            level = "##" if len(words) == 1 else "###"
            lines += ["", f"{level} {' '.join(words)}", "", "```text", *_help(words), "```"]
    return "\n".join(lines) + "\n"


def _below(command: click.Command, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from _below(below, *words, name)


def _help(words: tuple[str, ...]) -> list[str]:
    name, *rest = words
    program = Path(sysconfig.get_path("scripts"), name)
    ran = subprocess.run(
        [program, *rest, "--help"],
        env={**os.environ, "COLUMNS": "80", "NO_COLOR": "1"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return [line.rstrip() for line in ran.stdout.splitlines()]


def rules() -> str:
    """Every rule of the conformance kit, by section."""
    lines = [
        "# The conformance rules",
        "",
        "The rules that `rerank-conformance check URL` holds a server to; `rerank-conformance rules` lists them too. `nox -s docs`",
        "writes this page, and a test compares it with the code.",
        "",
        "A server that breaks a MUST is nonconformant. A SHOULD is a recommendation, as honest models may differ; with `--strict` it",
        "counts too. `--quick` judges the rules that are marked quick. Each rule links to its place in the contract.",
        "[Does a server speak `/rerank`?](conformance.md) says how to check a server. Each rule ends with the usual fix.",
        "",
        "Each rule belongs to a level, by what a client loses when a server breaks it. A level includes the ones before it:",
        "",
        *(f"- **{level}**: {meaning}" for level, meaning in MEANINGS.items()),
    ]
    sections: dict[str, list[Rule]] = {}
    for rule in RULES.values():
        sections.setdefault(rule.id.partition(".")[0], []).append(rule)
    for name, listed in sections.items():
        lines += ["", f"## {name}", "", _description(name)]
        groups: dict[Group, list[Rule]] = {}
        for rule in sorted(listed, key=lambda rule: LEVELS.index(rule.conformance_level)):
            groups.setdefault(group_of(rule.id), []).append(rule)
        for group, alike in groups.items():
            lines += ["", f"**{group.level}**: {group.reason}", "", *map(_item, alike)]
    return "\n".join(lines) + "\n"


def _description(section: str) -> str:
    """Return the docstring of the module that has the rules of a section."""
    (module,) = (name for name in (section, f"{section}s") if hasattr(rule_modules, name))
    return inspect.getdoc(getattr(rule_modules, module)) or ""


def _item(rule: Rule) -> str:
    quick = ", quick" if rule.quick else ""
    since = f", since {rule.since}" if rule.since != "1.0.0" else ""
    place = f"[contract](../openapi.yaml{rule.source})"
    return f"- `{rule.id}` **{rule.level}**{quick}{since}: {rule.requirement}. ({place}) *Usual fix:* {rule.mend}"


def statuses() -> str:
    """Return the table of HTTP statuses."""
    lines = [
        "# HTTP statuses",
        "",
        "The error that each status raises, also as the code of an error inside a 200. A retried error is raised after the last",
        "attempt. [Handle errors](guides/errors.md) lists what to do about each class.",
        "",
        "| Status | Error | Retried | Next step |",
        "|---|---|---|---|",
    ]
    for row in STATUSES:
        if isinstance(row.statuses, range):
            shown = "others from 500" if 500 in row.statuses else "others below 500"
        else:
            shown = ", ".join(map(str, row.statuses))
        lines.append(
            f"| {shown} | `{row.error.__name__}` | {'yes' if row.retryable else 'no'} | {row.next_step} |"
        )
    lines += ["", "`rerank_many` slows all its requests down after the retried statuses " + _listed() + "."]
    return "\n".join(lines) + "\n"


def _listed() -> str:
    found = sorted(status for row in STATUSES if row.overloaded for status in row.statuses)
    return ", ".join(map(str, found))


PAGES = {"commands.md": commands, "rules.md": rules, "statuses.md": statuses}

if __name__ == "__main__":
    for page, text in PAGES.items():
        file, new = DOCS / page, text()
        if "--check" not in sys.argv:
            file.write_text(new, "utf-8", newline="\n")
        elif file.read_text("utf-8") != new:
            sys.exit(f"docs/{page} differs from what the code says; run `nox -s docs`")
