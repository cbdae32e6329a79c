"""The command `rerank-conformance`: check a server, compare reports, list the rules, or run a test server."""

import inspect
import io
import json
import os
import platform
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec
from click.core import ParameterSource

from rerank_conformance import contract, storage
from rerank_conformance.dialects import CANONICAL, NAMES
from rerank_conformance.expected import check_issue, read_expected, read_text, update
from rerank_conformance.report import LEVELS, Report, nearest
from rerank_conformance.target import is_live, refusal

_STDOUT = "-"


class _OneOf(click.Choice[str]):
    """One of several values, in any case; the error for another value suggests the most similar one."""

    def __init__(self, choices: Iterable[str]) -> None:
        super().__init__(tuple(choices), case_sensitive=False)

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Return the message for another value."""
        del ctx
        near = nearest(str(value), self.choices)
        return (
            f"{str(value)!r} is not one of {', '.join(map(repr, self.choices))}{f'; {near}' if near else ''}"
        )


# It does not quote the name, which may be the key itself.
NO_VARIABLE = (
    "--key-env: no environment variable of this name has a key; pass the name, not the key, or leave it out"
)


class _Failed(click.ClickException):
    """The command could not run; exit with code 2."""

    exit_code = 2


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - as click calls it
    del parameter
    if value and not context.resilient_parsing:
        package = metadata.version("openrouter-rerank")
        of_contract, of_python = contract.load().version, platform.python_version()
        click.echo(f"openrouter-rerank {package}, contract {of_contract}, Python {of_python}")
        context.exit()


_VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of the package, the contract and Python, and exit.",
)


class _KitCommands(click.Group):
    """The group of commands; each has `--version`."""

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        cmd.params.append(_VERSION)
        super().add_command(cmd, name)


@click.group(cls=_KitCommands, params=[_VERSION], context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Check a server against the contract of POST /rerank.

    Exit codes: 0 conformant, or no failure found by --quick; 1 nonconformant;
    2 undecided or could not run.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # a report may quote characters that the terminal cannot show
            stream.reconfigure(errors="backslashreplace")


@main.command()
@click.argument("url")
@click.option("--json", metavar="FILE", help="Write the report as JSON; - for standard output.")
@click.option("--junit", metavar="FILE", help="Write the report as JUnit XML.")
@click.option("--html", metavar="FILE", help="Write the report as an HTML page.")
@click.option("--summary", metavar="FILE", help="Write a summary as Markdown.")
@click.option("--badge", metavar="FILE", help="Write a badge as SVG.")
@click.option(
    "--rule", "rules", multiple=True, metavar="ID-PREFIX", help="Judge only these rules. Repeatable."
)
@click.option("--quick", is_flag=True, help="Judge only the essential rules, in at most 40 requests.")
@click.option(
    "--max-requests", metavar="N", type=click.IntRange(min=1), help="Send no more requests than this."
)
@click.option(
    "--seed",
    metavar="N",
    type=click.IntRange(min=0),
    help="Generate other requests, or those of an earlier check.  [default: 0]",
)
@click.option("--dialect", type=_OneOf(NAMES), default=CANONICAL, show_default=True, help="The API that the server speaks: that of the contract, or another vendor's form of it. jina is also that of vLLM, llama.cpp and infinity.")  # fmt: skip
@click.option("--model", metavar="NAME", help="The model to ask for.  [default: cohere/rerank-v3.5, or the usual one of the dialect]")  # fmt: skip
@click.option("--timeout", metavar="SECONDS", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Seconds to wait for a response.")  # fmt: skip
@click.option("--tolerance", metavar="SCORE", type=click.FloatRange(min=0), help="The allowed difference of two scores of one document.  [default: 0.01]")  # fmt: skip
@click.option("--rate", metavar="N", type=click.FloatRange(min=0, min_open=True), help="Send at most this many requests per second.  [default: 5 for a remote server, else no limit]")  # fmt: skip
@click.option("--concurrency", type=click.IntRange(min=1), metavar="N", help="The number of requests in flight. It is halved when the server is overloaded.  [default: 16]")  # fmt: skip
@click.option("--no-cache", is_flag=True, help="Do not use the cache of generated requests.")  # fmt: skip
@click.option("--key-env", default="OPENROUTER_API_KEY", show_default=True, metavar="NAME", help="The environment variable that holds the key.")  # fmt: skip
@click.option("--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file that holds the key.")  # fmt: skip
@click.option("--expected-failures", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of rules that the server is known to break: an id on each line, a reason after #.")  # fmt: skip
@click.option("--contract-version", metavar="VERSION", help="Judge the server by this version of the contract.  [default: the newest]")  # fmt: skip
@click.option("--level", type=_OneOf(LEVELS), metavar="LEVEL", default="strict", show_default=True, help="The level that decides the exit code: ranking (texts, indices and scores), interface (also errors, keys, limits and every documented form), strict (everything).")  # fmt: skip
@click.option("--strict", is_flag=True, help="Count a SHOULD as a MUST.")
@click.option("--expect-auth", is_flag=True, help="Judge a server that needs no key as if it did.")
@click.option("--annotations/--no-annotations", default=None, help="Print up to ten causes as annotations of GitHub Actions.  [default: on if GITHUB_ACTIONS is true]")  # fmt: skip
@click.option("--yes", is_flag=True, help="Call a remote server without asking.")
def check(url: str, **options: Any) -> NoReturn:
    """Check a server. URL is its base URL, without /rerank."""
    from rerank_conformance import running  # noqa: PLC0415 - slow to import, and not needed for help
    from rerank_conformance.dialects.rules import ids  # noqa: PLC0415 - likewise
    from rerank_conformance.rules import rule_set  # noqa: PLC0415 - likewise

    if problem := refusal(url):
        raise click.BadParameter(problem, param_hint="URL")
    if options["contract_version"] is not None:
        try:
            rule_set(options["contract_version"])
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--contract-version") from error
    rules: tuple[str, ...] = options["rules"]
    known = ids(options["dialect"])
    for prefix in rules:
        if not any(name.startswith(prefix) for name in known):
            sections = {f"{name.partition('.')[0]}." for name in known}
            near = nearest(prefix, [*known, *sections])
            message = f"no rule begins with {prefix!r}; {near or '`rerank-conformance rules` lists them'}"
            raise click.BadParameter(message, param_hint="--rule")
    settings: dict[str, Any] = {
        "key": _key(options["key_env"], options["key_file"]),
        "key_env": options["key_env"],
        "key_file": None if options["key_file"] is None else str(options["key_file"]),
        "quick": options["quick"],
        "max_requests": options["max_requests"],
        "rules": rules,
        "timeout": options["timeout"],
        "strict": options["strict"],
        "level": options["level"],
        "expect_auth": options["expect_auth"],
        "cache": not options["no_cache"],
        "expected": _expected(options["expected_failures"], options["dialect"]),
        "dialect": options["dialect"],
    }
    settings |= {
        name: options[name]
        for name in ("seed", "model", "tolerance", "rate", "concurrency", "contract_version")
        if options[name] is not None
    }
    chosen = _checked(settings)
    # fail before requests are paid for if a report cannot be written
    makers = _makers(strict=options["strict"])
    files = _writable({name: options[name] for name in makers if options[name] is not None})
    try:
        _ask(url, settings, running.estimate(chosen, has_key=bool(settings["key"])), options["yes"])
        report = _run(url, settings)
    except (KeyboardInterrupt, click.Abort) as error:
        # click exits with 1, which would mean that the server does not conform
        raise _Failed("Interrupted; no report was written") from error
    report = msgspec.structs.replace(report, command=_command_line(click.get_current_context(), report.seed))
    annotated: bool | None = options["annotations"]
    if annotated is None:
        annotated = os.environ.get("GITHUB_ACTIONS") == "true"
    err = _STDOUT in files.values()
    if annotated:
        _show_annotated(report, err=err, strict=options["strict"])
    else:
        show(report, err=err)
    for name, file in files.items():
        _write(file, makers[name](report))
    sys.exit(report.exit_code)


_OUTPUT_OPTIONS = frozenset({"annotations", "json", "junit", "html", "summary", "badge", "yes", "seed"})


def _command_line(context: click.Context, seed: int) -> str:
    """Return the command line that repeats this run, with its seed and the options that change the check."""
    words = ["rerank-conformance", "check", str(context.params["url"])]
    for parameter in context.command.params:
        name = parameter.name or ""
        is_default = context.get_parameter_source(name) is ParameterSource.DEFAULT
        if isinstance(parameter, click.Argument) or name in _OUTPUT_OPTIONS or is_default:
            continue
        value = context.params[name]
        if parameter.multiple:
            words += [word for one in value for word in (parameter.opts[0], str(one))]
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            words += [parameter.opts[0]] if value else []
        else:
            words += [parameter.opts[0], str(value)]
    return shlex.join([*words, "--seed", str(seed)])


def _run(url: str, settings: dict[str, Any]) -> Report:
    from rerank_conformance import running  # noqa: PLC0415 - see check
    from rerank_conformance.reports import terminal  # noqa: PLC0415 - likewise

    # Hypothesis stores tables of characters, by default in the working directory
    kept = storage.directory()
    if kept is not None:
        os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(kept))
    with terminal.progress(terminal.console(err=True)) as show_progress:
        return running.check(url, progress=show_progress, partial=True, **settings)


def _makers(*, strict: bool) -> dict[str, Callable[[Report], str]]:
    """Return the functions that render the report in each format."""
    from rerank_conformance.reports import badge, junit, page, summary  # noqa: PLC0415 - see check

    return {
        "json": Report.to_json,
        "junit": partial(junit.render, strict=strict),
        "html": page.of_report,
        "summary": summary.render,
        "badge": badge.render,
    }


def _checked(settings: Mapping[str, Any]) -> Any:
    """Return the settings of a check with their defaults; raise if one is invalid."""
    from rerank_conformance import running  # noqa: PLC0415 - see check

    try:
        return running.CheckSettings(**running.with_model(settings))
    except ValueError as error:
        msg = f"--{error}"
        raise click.UsageError(msg) from error


def _key(name: str, file: Path | None) -> str | None:
    if not name.isidentifier():
        raise _Failed(NO_VARIABLE)
    try:
        key = (file.read_text("utf-8", "replace") if file else os.environ.get(name, "")).strip()
    except OSError as error:
        msg = f"The key file {file} cannot be read: {error.strerror}"
        raise _Failed(msg) from error
    if not (key.isascii() and key.isprintable()):
        msg = f"The key in {file or name} has characters that a header cannot carry; use printable ASCII"
        raise _Failed(msg)
    if file is not None and not key:
        msg = f"The key file {file} is empty; write the key into it, or leave --key-file out"
        raise _Failed(msg)
    return key or None


def _expected(file: Path | None, dialect: str) -> dict[str, str]:
    from rerank_conformance.dialects.rules import ids  # noqa: PLC0415 - see check

    if file is None:
        return {}
    try:
        return read_expected(file, ids(dialect))
    except (ValueError, OSError) as error:
        raise _Failed(str(error)) from error


def _ask(url: str, settings: dict[str, Any], estimate: str, yes: bool) -> None:  # noqa: FBT001 - a flag of the command
    click.echo(f"{url}: {estimate}", err=True)
    if not is_live(url):
        return
    if not settings["key"]:
        raise _Failed(
            "No key: set OPENROUTER_API_KEY, name another variable by --key-env, or a file by --key-file"
        )
    if yes:
        return
    if not sys.stdin.isatty():
        raise _Failed("This server is not on this machine, and calls may cost money; pass --yes to go on")
    if not click.confirm("This server is not on this machine, and calls may cost money. Go on?", err=True):
        raise _Failed("Nothing was sent")


def _writable(files: dict[str, str]) -> dict[str, str]:
    """Return the same files; fail if one of them cannot be written."""
    named = list(files.values())
    for option, file in files.items():
        if named.count(file) > 1:
            msg = f"{file} is given twice; give each report a file of its own"
            raise click.BadParameter(msg, param_hint=f"--{option}")
        path = Path(file)
        if file == _STDOUT or (path.exists() and not path.is_file() and not path.is_dir()):
            continue  # opening and closing a pipe would end it before the report is written
        existed = path.exists()
        try:
            path.open("ab").close()
            if not existed:
                path.unlink()
        except OSError as error:
            msg = f"--{option}: {file} cannot be written: {error.strerror}"
            raise _Failed(msg) from error
    return files


def _write(file: str, text: str) -> None:
    if file == _STDOUT:
        click.echo(text.encode(), nl=False)  # JSON is UTF-8, also on a terminal with another encoding
        return
    try:
        Path(file).write_text(text, "utf-8", newline="")
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror}"
        raise _Failed(msg) from error


def show(report: Report, *, err: bool = False) -> None:
    """Print the report: the verdict of each level, the causes by weight, and the verdict on the last line."""
    from rerank_conformance.reports import terminal  # noqa: PLC0415 - see check

    console = terminal.console(err=err)
    if terminal.is_interactive(console):
        terminal.show(report, console)
        return
    for line in terminal.lines(report):
        click.echo(line, err=err)


def _show_annotated(report: Report, *, err: bool, strict: bool) -> None:
    """Print the report with workflow commands turned off, then the annotations."""
    from rerank_conformance.reports import annotations  # noqa: PLC0415 - see check

    stop, resume = annotations.fences()
    click.echo(stop, err=err)
    show(report, err=err)
    click.echo(resume, err=err)
    for line in annotations.lines(report, strict=strict):
        click.echo(line, err=err)


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--json", "json_file", metavar="FILE", help="Write the matrix as JSON; - for standard output.")
@click.option("--html", metavar="FILE", help="Write the matrix as an HTML page.")
@click.option("--all", "everything", is_flag=True, help="Also show the rules that every server passes.")
def compare(files: tuple[str, ...], json_file: str | None, html: str | None, *, everything: bool) -> None:
    """Compare servers by their JSON reports.

    Each FILE is a report that `check --json` wrote.
    """
    from rerank_conformance.reports import comparison, page, terminal  # noqa: PLC0415 - see check

    named = {"json": json_file, "html": html}
    outputs = _writable({name: file for name, file in named.items() if file is not None})
    matrix = comparison.compare({file: _read(file) for file in dict.fromkeys(files)})
    if _STDOUT not in outputs.values():
        console = terminal.console()
        for line in terminal.matrix(matrix, everything=everything):
            console.print(line, soft_wrap=True)
    for name, file in outputs.items():
        _write(file, matrix.to_json() if name == "json" else page.of_comparison(matrix))


def _read(file: str) -> Report:
    try:
        return Report.from_json(Path(file).read_bytes())
    except OSError as error:
        msg = f"{file} cannot be read: {error.strerror}"
        raise _Failed(msg) from error
    except ValueError as error:
        msg = f"{file}: {error}"
        raise _Failed(msg) from error


@main.command()
@click.argument("report_file", metavar="REPORT.json")
@click.option("--file", type=click.Path(dir_okay=False, path_type=Path), default=Path("expected-failures.txt"), show_default=True, help="The file of expected failures; it is created if missing.")  # fmt: skip
@click.option("--reason", help="The reason for the added rules.  [default: the requirement of the rule]")
@click.option("--issue", metavar="URL", help="A link to the issue of the added rules.")
@click.option("--strict", is_flag=True, help="Also add the failed SHOULD rules.")
def expect(report_file: str, file: Path, reason: str | None, issue: str | None, *, strict: bool) -> None:
    """Write or update the file of expected failures.

    REPORT.json is a report that `check --json` wrote. Failed rules of the
    level that decides are added, rules that pass again are removed, and no
    other line changes. A quick check removes no rule.
    """
    from rerank_conformance.dialects.rules import ids  # noqa: PLC0415 - see check

    if issue is not None and (problem := check_issue(issue)):
        raise click.BadParameter(problem, param_hint="--issue")
    report = _read(report_file)
    _writable({"file": str(file)})
    try:
        text = read_text(file) if file.exists() else ""
        new = update(file, text, report, ids(report.dialect), reason=reason, issue=issue, strict=strict)
    except (ValueError, OSError) as error:
        raise _Failed(str(error)) from error
    if new.text != text:
        _write(str(file), new.text)
    for rule in new.added:
        click.echo(f"+ {rule}")
    for rule in new.removed:
        click.echo(f"- {rule}: it passes")
    for rule in new.passing:
        click.echo(f"  {rule}: it passes a quick check; a whole check decides")
    kept = len(new.kept) + len(new.passing)
    click.echo(f"{file}: {len(new.added)} added, {len(new.removed)} removed, {kept} kept")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def rules(*, as_json: bool) -> None:
    """List the rules with their levels."""
    from rerank_conformance.rules import RULES  # noqa: PLC0415 - see check

    if as_json:
        names = (
            "id",
            "level",
            "conformance_level",
            "level_reason",
            "requirement",
            "mend",
            "source",
            "since",
            "quick",
        )
        listed = [{name: getattr(rule, name) for name in names} for rule in RULES.values()]
        whole = {"contract_version": contract.load().version, "rules": listed}
        click.echo(msgspec.json.format(json.dumps(whole), indent=2))
        return
    width = max(map(len, RULES))
    for rule in RULES.values():
        click.echo(
            f"{rule.id:{width}}  {rule.conformance_level:9}  {rule.level:6}  {rule.since}  {rule.requirement}"
        )


@main.command()
@click.option("--broken", metavar="RULE", help="Run the server that breaks this rule.")
@click.option("--variant", metavar="NAME", help="Run an unusual server that is legal.")
@click.option("--list", "listed", is_flag=True, help="List the broken and the legal servers.")
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port; 0 for any free one.",
)
@click.option(
    "--key-env", metavar="NAME", help="Require the key in this environment variable.  [default: no key]"
)
@click.option("--dialect", type=_OneOf(NAMES), default=CANONICAL, show_default=True, help="The API to serve: that of the contract, or another vendor's form of it.")  # fmt: skip
def serve(  # noqa: PLR0913 - the options of the command
    broken: str | None, variant: str | None, dialect: str, port: int, key_env: str | None, *, listed: bool
) -> None:
    """Run the reference server, or a test server, on 127.0.0.1."""
    from rerank_conformance.reference import Reference, asgi  # noqa: PLC0415 - see check
    from rerank_conformance.reference.speaking import speaking  # noqa: PLC0415 - likewise

    if broken and variant:
        raise click.UsageError("--broken and --variant exclude each other")
    make: Any = Reference
    if broken or variant or listed:
        from rerank_conformance import broken as servers  # noqa: PLC0415 - likewise

        if listed:
            for line in _servers(servers.BROKEN, servers.VARIANTS):
                click.echo(line)
            return
        known: Any = servers.BROKEN if broken else servers.VARIANTS
        option, name = ("--broken", broken) if broken else ("--variant", variant)
        if name not in known:
            near = nearest(str(name), known) or "`rerank-conformance serve --list` lists them"
            msg = f"{option}: no server is named {name!r}; {near}"
            raise click.UsageError(msg)
        make = known[name]
    keys = {os.environ.get(key_env, "")} if key_env is not None else None
    if keys == {""}:
        raise _Failed(NO_VARIABLE)
    try:
        asgi.serve(speaking(dialect, make)(keys=keys), port=port, ready=click.echo)
    except (OSError, ValueError) as error:
        raise _Failed(str(error)) from error


def _servers(broken: Mapping[str, Any], variants: Mapping[str, Any]) -> Iterator[str]:
    """Yield the list of servers, each with its docstring."""
    width = max(map(len, (*broken, *variants)))
    for section, names in groupby(sorted(broken), lambda name: name.partition(".")[0]):
        yield f"--broken: {section}"
        yield from (f"  {name:{width}}  {inspect.getdoc(broken[name])}" for name in names)
        yield ""
    yield "--variant: legal servers"
    yield from (f"  {name:{width}}  {inspect.getdoc(make)}" for name, make in variants.items())


if __name__ == "__main__":
    main()
