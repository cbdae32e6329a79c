"""The group of commands; a command is imported only when it runs."""

import logging
import platform
import sys
from importlib import import_module
from typing import Any, NoReturn

import click
from click.exceptions import NoArgsIsHelpError

from openrouter_rerank.cli.errors import EXIT_CODES, INTERRUPTED, error_line
from openrouter_rerank.version import VERSION

# The commands report errors themselves; without a handler, log records would also go to standard error.
logging.getLogger("openrouter_rerank").addHandler(logging.NullHandler())

# The summary of each command, by name (also the name of its module). `--help` thus imports no command.
COMMANDS = {
    "rank": "Rank documents by their relevance to a query.",
    "batch": "Rank the rows of a table; each row has a query and documents.",
    "models": "List the rerank models with their context lengths and prices.",
    "doctor": "Diagnose a server, and show how to connect to it.",
    "serve": "Run a local server of the API, for development and tests.",
}


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: FBT001 - as click calls it
    del parameter
    if not value or context.resilient_parsing:
        return
    from openrouter_rerank_api.options import CONTRACT_VERSION  # noqa: PLC0415 - not needed for `rerank --help`

    click.echo(
        f"openrouter-rerank {VERSION}, contract {CONTRACT_VERSION}, Python {platform.python_version()}"
    )
    context.exit()


_VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the versions of the package, the contract and Python, and exit.",
)


class OneLine(click.Command):
    """A command that reports an error on one line."""

    def main(self, *args: Any, **options: Any) -> NoReturn:
        """Run the command and exit; write an error as one line to standard error."""
        # Click's own handling writes several lines and has other exit codes.
        options["standalone_mode"] = False
        try:
            code: object = super().main(*args, **options)
        except click.Abort:
            code = INTERRUPTED
        except NoArgsIsHelpError as error:
            error.show()
            code = error.exit_code
        except click.ClickException as error:
            click.echo(error_line(error), err=True)
            code = error.exit_code
        sys.exit(code if isinstance(code, int) else 0)


class _Commands(OneLine, click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:
                return None
            from openrouter_rerank.arguments import nearest  # noqa: PLC0415 - only needed for a misspelt name

            close = nearest(cmd_name, COMMANDS)
            hint = f"did you mean {close!r}?" if close else f"the commands are {', '.join(COMMANDS)}"
            ctx.fail(f"no such command: {cmd_name!r}; {hint}")
        command: click.Command = import_module(f"openrouter_rerank.cli.{cmd_name}").command
        if _VERSION not in command.params:
            command.params.append(_VERSION)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


_COMPLETION = """\b
Shell completion: add the line for your shell to its configuration.
  bash  eval "$(_RERANK_COMPLETE=bash_source rerank)"
  zsh   eval "$(_RERANK_COMPLETE=zsh_source rerank)"
  fish  _RERANK_COMPLETE=fish_source rerank | source
"""


@click.command(
    "rerank",
    cls=_Commands,
    params=[_VERSION],
    epilog=f"{EXIT_CODES}\n{_COMPLETION}",
    context_settings={"help_option_names": ["-h", "--help"]},
)
def app() -> None:
    """Rank documents by their relevance to a query, with OpenRouter or any compatible server.

    The API key is read from the environment variable OPENROUTER_API_KEY. Without a key, `rerank rank --local`
    ranks offline with BM25.
    """
