"""Write the pages of docs/ that follow from the code: commands, rules, those of dialects, statuses, and the table of options.

`nox -s docs` runs it; a test runs it with --check.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import is_typeddict

import click

from openrouter_rerank import Reranker, options
from openrouter_rerank.cli.app import app
from openrouter_rerank.errors import STATUSES
from openrouter_rerank_api.dialects import DialectOptions
from openrouter_rerank_api.options import SUMMARIES
from rerank_conformance import rules as rule_modules
from rerank_conformance.cli import main
from rerank_conformance.dialects import CODECS
from rerank_conformance.dialects.applicability import TABLE, Entry, entry
from rerank_conformance.dialects.rules import DialectRule, own_rules, rules_of
from rerank_conformance.report import LEVELS
from rerank_conformance.reports.words import MEANINGS
from rerank_conformance.rules import RULES, Rule
from rerank_conformance.rules.levels import Group, group_of

DOCS = Path(__file__).parents[1]


def commands() -> str:
    """Return the output of `--help` of each command on a terminal of 80 columns."""
    lines = [
        "# Commands",
        "",
        "This page shows the output of `--help` for each command.",
        "",
        "In a clone, `pip install '.[cli]'` installs `rerank`, and `pip install '.[conformance]'` installs `rerank-conformance`.",
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
    """Return every rule of the conformance kit, by section."""
    lines = [
        "# Conformance rules",
        "",
        "`rerank-conformance check URL` judges a server by these rules; `rerank-conformance rules` lists them too.",
        "[Check a server](conformance.md) describes the command, and [Make a server conform](guides/conform.md) has two servers that",
        "keep every rule.",
        "",
        "Each rule has a level, and is a MUST or a SHOULD. A server that breaks a MUST is nonconformant. A SHOULD is a recommendation, as",
        "some models differ here for good reasons; `--strict` counts it as a MUST. A quick rule is judged with `--quick` too.",
        "",
        "A level says what a client loses if the server breaks the rule. Each level includes the ones before it:",
        "",
        *(f"- *{level}*: {meaning}" for level, meaning in MEANINGS.items()),
    ]
    for name, listed in _sections().items():
        lines += ["", f"## {name}", "", _description(name)]
        groups: dict[Group, list[Rule]] = {}
        for rule in sorted(listed, key=lambda rule: LEVELS.index(rule.conformance_level)):
            groups.setdefault(group_of(rule.id), []).append(rule)
        for group, alike in groups.items():
            lines += ["", f"*{group.level}*: {group.reason}", "", *map(_item, alike)]
    return "\n".join(lines) + "\n"


def _sections() -> dict[str, list[Rule]]:
    """Return the rules by section."""
    sections: dict[str, list[Rule]] = {}
    for rule in RULES.values():
        sections.setdefault(rule.id.partition(".")[0], []).append(rule)
    return sections


def _description(section: str) -> str:
    """Return the docstring of the module that has the rules of a section."""
    (module,) = (name for name in (section, f"{section}s") if hasattr(rule_modules, name))
    return inspect.getdoc(getattr(rule_modules, module)) or ""


def _item(rule: Rule) -> str:
    quick = ", quick" if rule.quick else ""
    since = f", since {rule.since}" if rule.since != "1.0.0" else ""
    place = f"[contract](../openapi.yaml{rule.source})"
    return (
        f"- `{rule.id}` **{rule.level}**, *{rule.conformance_level}*{quick}{since}: {rule.requirement}. ({place}) "
        f"**Fix**: {rule.mend}"
    )


def dialect_rules() -> str:
    """Return the table of which rule applies to which dialect, and the reasons."""
    lines = [
        "# The rules of each dialect",
        "",
        "This page shows how `rerank-conformance check URL --dialect NAME` judges each of [the rules](rules.md). It is generated by",
        "`nox -s docs` from the kit's table.",
        "",
        "- **same**: the rule applies unchanged, to the decoded requests and responses.",
        "- **SHOULD**, **MUST**: the same, at another level than in the canonical form.",
        "- **own**: the rule is judged by the contract of the dialect.",
        "- **n/a**: the rule does not apply. It is skipped in reports, with the reason.",
    ]
    names = list(CODECS)
    for section, listed in _sections().items():
        lines += ["", f"## {section}", "", f"| Rule | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
        lines += [
            f"| `{rule.id}` | {' | '.join(_applies(name, rule) for name in names)} |" for rule in listed
        ]
    for name in names:
        contract = f"contracts/dialects/{name}.yaml"
        lines += ["", f"## Why: {name}", "", f"By [{contract}](../{contract}).", ""]
        lines += [_reason(one) for one in TABLE[name]]
        own = [rule for rule, _ in own_rules(name)]
        if own:
            lines += ["", f"Rules that only {name} has:", "", *map(_own_item, own)]
    return "\n".join(lines) + "\n"


def _applies(name: str, rule: Rule) -> str:
    applied = next(one for one in rules_of(name) if one.id == rule.id)
    found = entry(name, rule.id)
    if isinstance(applied, DialectRule) and applied.not_applicable is not None:
        return "n/a"
    if found is not None and found.how == "own form":
        return "own" + (f", {applied.level}" if applied.level != rule.level else "")
    return applied.level if applied.level != rule.level else "same"


def _reason(one: Entry) -> str:
    word = {"as it is": f"**{one.level}**", "own form": "**own**", "not applicable": "**n/a**"}[one.how]
    listed = ", ".join(f"`{rule}*`" if rule.endswith((".", "-")) else f"`{rule}`" for rule in one.rules)
    return f"- {word} {one.reason}: {listed}."


def _own_item(rule: DialectRule) -> str:
    return f"- `{rule.id}` **{rule.level}** ({rule.conformance_level}): {rule.requirement}. ([contract](../{rule.source}))"


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


OPTIONS = re.compile(
    r"(?<=<!-- options, written by docs/_site/pages.py -->\n).*?(?=<!-- end of options -->)", re.DOTALL
)


def reference() -> str:
    """Return the page of the library's reference with its tables of options."""
    page = (DOCS / "api/openrouter_rerank.md").read_text("utf-8")
    parameters = inspect.signature(Reranker).parameters
    alone = [name for name in parameters if name not in options.CALL]
    of_dialects = [
        name for name in parameters if name in options.CALL & DialectOptions.__annotations__.keys()
    ]
    of_call = [name for name in parameters if name in options.CALL and name not in of_dialects]
    lines = [
        "",
        "Each option of a call is also an argument of the constructor, as the default of every call. There, None stands for the",
        "value in this table; in a call, None stands for the client's default.",
        "",
        *_options(of_call),
        "",
        "Only some [dialects](../dialects.md) have these; in any other they raise ValueError:",
        "",
        *_options(of_dialects),
        "",
        "The constructor alone takes:",
        "",
        *_options(alone),
        "",
    ]
    return OPTIONS.sub(lambda _: "\n".join(lines) + "\n", page)


def _options(names: list[str]) -> Iterator[str]:
    """Yield a table of options: name, type, default and meaning."""
    meanings = _meanings()
    yield "| Name | Type | Default | Meaning |"
    yield "|---|---|---|---|"
    for name in names:
        parameter = inspect.signature(Reranker).parameters[name]
        default = options.DEFAULTS.get(name, parameter.default)
        yield f"| `{name}` | {_type(parameter.annotation)} | `{default!r}` | {meanings[name]} |"


def _type(annotation: str) -> str:
    """Return an annotation as readers write it: without None, bounds, and the second form of a mapping."""
    if annotation.startswith("C |"):
        return "`httpx.Client`"
    plain = re.sub(r"Annotated\[(\w+), [^]]*\]", r"\1", annotation)
    plain = re.sub(r"Literal\[(.*?)\]", lambda found: found[1].replace(", ", " | "), plain)
    names = [
        name.replace("'", '"') for name in plain.split(" | ") if name != "None" and not name.endswith("Dict")
    ]
    if "Dict" in plain and "Mapping[str, Any]" not in names:
        names.append("Mapping[str, Any]")
    return " or ".join(f"`{name}`" for name in names)


def _meanings() -> dict[str, str]:
    """Return the short description of each argument of the constructor."""
    found = dict(SUMMARIES)
    for fields in filter(is_typeddict, vars(options).values()):
        for name, text in _docstrings(fields).items():
            found.setdefault(name, text if fields.__module__ == options.__name__ else _first(text))
    arguments = (inspect.getdoc(Reranker) or "").partition("Args:\n")[2].partition("\nRaises:")[0]
    for names, text in re.findall(r"^ {4}(\S[^:]*): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE):
        for name in names.split(", "):
            found.setdefault(name, _first(text))
    return {name: " ".join(text.split()) for name, text in found.items()}


def _docstrings(fields: type) -> dict[str, str]:
    """Return the docstring below each field of a TypedDict."""
    (body,) = (
        node.body for node in ast.parse(inspect.getsource(fields)).body if isinstance(node, ast.ClassDef)
    )
    return {
        field.target.id: ast.literal_eval(text.value)
        for field, text in pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
    }


def _first(text: str) -> str:
    """Return the first sentence of a text."""
    return re.split(r"(?<=\.)\s", text)[0]


PAGES = {
    "commands.md": commands,
    "rules.md": rules,
    "dialect-rules.md": dialect_rules,
    "statuses.md": statuses,
    "api/openrouter_rerank.md": reference,
}

if __name__ == "__main__":
    for page, text in PAGES.items():
        file, new = DOCS / page, text()
        if "--check" not in sys.argv:
            file.write_text(new, "utf-8", newline="\n")
        elif file.read_text("utf-8") != new:
            sys.exit(f"docs/{page} does not match the code; run `nox -s docs`")
