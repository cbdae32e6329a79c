"""The command `rerank-conformance`: check a server, list the rules, serve the reference or a broken server."""

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
import msgspec

from rerank_conformance import contract
from rerank_conformance.report import Report, read_expected
from rerank_conformance.target import is_live

_RESPONSES = {
    "conformant": "conformant",
    "nonconformant": "NOT conformant",
    "undecided": "undecided",
}


class _Failed(click.ClickException):
    """What could not be run; the contract of this command has 2 for that."""

    exit_code = 2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="openrouter-rerank")
def main() -> None:
    """Judge any server by the contract of POST /rerank.

    Exit codes: 0 conformant, 1 nonconformant, 2 undecided or could not run.
    """


@main.command()
@click.argument("url")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write the report as JSON."
)
@click.option(
    "--rule", "rules", multiple=True, metavar="ID-PREFIX", help="Judge only these rules. Repeatable."
)
@click.option("--quick", is_flag=True, help="The essential rules alone, in at most 40 requests.")
@click.option("--max-requests", type=click.IntRange(min=1), help="Send no more requests than this.")
@click.option("--seed", type=click.IntRange(min=0), help="Generate the requests of an earlier check again.")
@click.option("--model", help="The model to ask for.  [default: cohere/rerank-v3.5]")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Seconds for one answer.")  # fmt: skip
@click.option("--tolerance", type=click.FloatRange(min=0), help="How far two scores of one document may lie apart.  [default: 0.01]")  # fmt: skip
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), help="Requests in a second.  [default: 5 for a live server]")  # fmt: skip
@click.option("--key-env", default="OPENROUTER_API_KEY", show_default=True, metavar="NAME", help="The environment variable that holds the key.")  # fmt: skip
@click.option("--key-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file that holds the key.")  # fmt: skip
@click.option("--expected-failures", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="A file of rules that the server is known to break: an id on each line, a reason after #.")  # fmt: skip
@click.option("--strict", is_flag=True, help="A SHOULD counts as a MUST.")
@click.option("--yes", is_flag=True, help="Do not ask before calling a live server.")
def check(url: str, **options: Any) -> NoReturn:
    """Check the server that has /rerank right under URL."""
    from rerank_conformance import running  # noqa: PLC0415 - help and usage need none of it
    from rerank_conformance.rules import RULES  # noqa: PLC0415 - likewise

    if not url.startswith(("http://", "https://")):
        raise click.BadParameter("expected a URL that begins with http:// or https://", param_hint="URL")
    rules: tuple[str, ...] = options["rules"]
    for prefix in rules:
        if not any(name.startswith(prefix) for name in RULES):
            message = f"no rule begins with {prefix!r}; `rerank-conformance rules` lists them"
            raise click.BadParameter(message, param_hint="--rule")
    settings: dict[str, Any] = {
        "key": _key(options["key_env"], options["key_file"]),
        "quick": options["quick"],
        "max_requests": options["max_requests"],
        "rules": rules,
        "timeout": options["timeout"],
        "strict": options["strict"],
        "expected": _expected(options["expected_failures"]),
    }
    settings |= {
        name: options[name] for name in ("seed", "model", "tolerance", "rate") if options[name] is not None
    }
    _ask(
        url,
        settings,
        running.estimate(running.Settings(**settings), has_key=bool(settings["key"])),
        options["yes"],
    )
    report = running.check(url, **settings)
    if options["json_file"] is not None:
        _write(options["json_file"], report.to_json())
    show(report)
    sys.exit(report.exit_code)


def _key(name: str, file: Path | None) -> str | None:
    key = (file.read_text("utf-8") if file else os.environ.get(name, "")).strip()
    if not (key.isascii() and key.isprintable()):
        msg = f"The key in {file or name} holds what no header can carry: printable ASCII alone"
        raise _Failed(msg)
    return key or None


def _expected(file: Path | None) -> dict[str, str]:
    from rerank_conformance.rules import RULES  # noqa: PLC0415 - see check

    if file is None:
        return {}
    try:
        return read_expected(file, RULES)
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
        raise _Failed("This server is not on this machine, and calls may cost money: say --yes to go on")
    if not click.confirm("This server is not on this machine, and calls may cost money. Go on?", err=True):
        raise _Failed("Nothing was sent")


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        msg = f"{file} cannot be written: {error.strerror}"
        raise _Failed(msg) from error


def show(report: Report) -> None:
    """Print the report: each rule that did not pass, and the verdict."""
    for rule in report.rules:
        if rule.verdict in {"pass", "skip"} and not (rule.verdict == "pass" and rule.reason):
            continue
        click.echo(f"{rule.verdict.upper():9} {rule.level:6} {rule.id}: {rule.requirement}")
        for name in ("expected", "actual", "reason", "curl"):
            value = getattr(rule, name)
            if value:
                click.echo(f"    {name}: {value}")
        click.echo(f"    contract: openapi.yaml{rule.source}")
    counts = {name: len(report.of(name)) for name in ("pass", "fail", "known", "undecided", "error", "skip")}
    said = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    click.echo(
        f"{_RESPONSES[report.verdict]}: {said} ({report.requests} requests, {report.elapsed_s:.1f} s, seed {report.seed})"
    )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def rules(*, as_json: bool) -> None:
    """List the rules."""
    from rerank_conformance.rules import RULES  # noqa: PLC0415 - see check

    if as_json:
        listed = [
            {name: getattr(rule, name) for name in ("id", "level", "requirement", "source", "since", "quick")}
            for rule in RULES.values()
        ]
        whole = {"contract_version": contract.load().version, "rules": listed}
        click.echo(msgspec.json.format(json.dumps(whole), indent=2))
        return
    width = max(map(len, RULES))
    for rule in RULES.values():
        click.echo(f"{rule.id:{width}}  {rule.level:6}  {rule.requirement}")


@main.command()
@click.option("--broken", metavar="RULE", help="Serve the server that breaks this rule.")
@click.option("--variant", metavar="NAME", help="Serve a server that is legal in another way.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; any that is free if 0.")
@click.option("--key-env", metavar="NAME", help="Let in only the key in this environment variable.")
def serve(broken: str | None, variant: str | None, port: int, key_env: str | None) -> None:
    """Serve the reference server, or one to try a check on, at 127.0.0.1."""
    from rerank_conformance.reference import Reference, asgi  # noqa: PLC0415 - see check

    if broken and variant:
        raise click.UsageError("--broken and --variant exclude each other")
    make: Any = Reference
    if broken or variant:
        from rerank_conformance import broken as servers  # noqa: PLC0415 - likewise

        known: Any = servers.BROKEN if broken else servers.VARIANTS
        name = broken or variant
        if name not in known:
            msg = f"no such server: {name}; there are {', '.join(sorted(known))}"
            raise click.UsageError(msg)
        make = known[name]
    keys = {os.environ.get(key_env, "")} if key_env else None
    try:
        asgi.serve(make(keys=keys), port=port, ready=click.echo)
    except (OSError, ValueError) as error:
        raise _Failed(str(error)) from error


if __name__ == "__main__":
    main()
