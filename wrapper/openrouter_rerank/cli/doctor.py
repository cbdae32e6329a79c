"""The command `rerank doctor`, which diagnoses a server."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import click

from openrouter_rerank.cli.choices import OneOf
from openrouter_rerank.cli.errors import BadInput, one_line
from openrouter_rerank.dialects import nearest_dialect
from openrouter_rerank.doctor import Diagnosis, diagnose, is_live, key_variable
from openrouter_rerank.redaction import mask
from openrouter_rerank_api.dialects import DIALECTS

_STDOUT = "-"


@click.command("doctor")
@click.argument("url")
@click.option(
    "--key-env",
    metavar="NAME",
    help="The environment variable with the key.  [default: the vendor's, else OPENROUTER_API_KEY]",
)
@click.option("--model", metavar="NAME", help="The model to request.  [default: a model of the server]")
@click.option(
    "--dialect", type=OneOf(DIALECTS, nearest_dialect), help="The dialect that you use.  [default: detected]"
)
@click.option(
    "--json", "json_file", metavar="FILE", help="Write the diagnosis as JSON; - for standard output."
)
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=25,
    show_default=True,
    metavar="N",
    help="Send no more requests than this.",
)
@click.option("--yes", is_flag=True, help="Do not ask before calling a live server.")
def command(  # noqa: PLR0913 - one argument for each option
    *,
    url: str,
    key_env: str | None,
    model: str | None,
    dialect: str | None,
    json_file: str | None,
    max_requests: int,
    yes: bool,
) -> int:
    """Diagnose the server at URL, and show how to connect to it.

    URL may be the base URL, the full URL of /rerank or a part of it, the server's documentation, or another operation of
    the server. The requests are real: about 15 small ones, one with 300 short documents, and up to three with documents of
    2,000 to 32,000 characters.

    \b
    Exit codes:
      0    the server is usable; there may be warnings
      1    there is a problem
      2    bad usage, not confirmed, or the diagnosis could not be written
      130  interrupted
    """  # noqa: D301 - \b makes click keep the line breaks of a block
    masked = mask(url)
    del url
    try:
        variable = key_env or key_variable(masked)
        _ask(masked, max_requests, yes=yes)
        if json_file is not None:
            _check_writable(json_file)
        found = diagnose(masked, key_env=variable, model=model, dialect=dialect, max_requests=max_requests)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error
    try:
        if json_file is not None:
            _write(json_file, found.to_json() + "\n")
        click.echo("\n".join(lines(found)).encode("utf-8", "replace"), err=json_file == _STDOUT)
    except BrokenPipeError:
        pass  # the reader has closed the pipe, for example `| head`
    except OSError as error:
        message = (
            f"the diagnosis could not be written: {error.strerror}; free some space and run the command again"
        )
        raise BadInput(message) from error
    return found.exit_code


def lines(found: Diagnosis) -> Iterator[str]:
    """Yield the diagnosis as text: the verdict, the problems, the facts, and the lines to paste."""
    dialect = "unknown dialect" if found.dialect == "unknown" else f"dialect {found.dialect}"
    errors = sum(problem.severity == "error" for problem in found.problems)
    verdict = "usable" if found.is_usable else f"{errors} problem{'s'[: errors != 1]}"
    yield one_line(f"{found.base_url}: {verdict}; {dialect}")
    for problem in found.problems:
        yield f"  {problem.severity} {problem.code}: {one_line(problem.says)}"
        yield f"    do: {one_line(problem.do)}"
    for name, value in found.facts.items():
        yield f"  {one_line(name.replace('_', ' '))}: {one_line(_shown(value))}"
    yield f"  {found.requests} request{'s'[: found.requests != 1]} in {found.elapsed_s:.2f} s"
    for name, value in (("Python", found.configuration.python), ("Shell", found.configuration.shell)):
        if value is not None:
            yield f"{name}:"
            yield f"  {one_line(value)}"


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_shown, cast("list[object]", value))) or "none"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _ask(url: str, most: int, *, yes: bool) -> None:
    """Ask before calling a live server.

    Raises:
        BadInput: The user did not agree.
    """
    if yes or not is_live(url):
        return
    question = "This server is not on this machine, and calls may cost money"
    if not sys.stdin or not sys.stdin.isatty():
        message = f"{question}; pass --yes to send up to {most} requests"
        raise BadInput(message)
    if not click.confirm(f"{question}. Send up to {most} requests?", err=True):
        raise BadInput("nothing was sent")


def _check_writable(file: str) -> None:
    """Raise if the file cannot be written, before requests are paid for."""
    path = Path(file)
    if file == _STDOUT or (path.exists() and not path.is_file() and not path.is_dir()):
        return
    existed = path.exists()
    try:
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise _unwritable(file, error) from error


def _write(file: str, text: str) -> None:
    if file == _STDOUT:
        click.echo(text.encode(), nl=False)  # JSON is UTF-8, also on a terminal with another encoding
        return
    try:
        Path(file).write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise _unwritable(file, error) from error


def _unwritable(file: str, error: OSError) -> BadInput:
    message = f"--json: {file} cannot be written: {error.strerror}; name another file"
    return BadInput(message)
