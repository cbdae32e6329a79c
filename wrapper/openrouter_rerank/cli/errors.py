"""What ends a command early, each with its exit code, and the one line that tells it. It prints nothing."""

import re

import click

EXIT_CODES = """\b
Exit codes:
  0    done (also if the reader of the output went away)
  1    the call failed, or its result could not be written
  2    bad usage or bad input; nothing was sent
  130  interrupted
"""
INTERRUPTED = 130

# What a terminal would act on instead of showing it, changes of the direction of writing included.
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class BadInput(click.ClickException):
    """An option or a document with which no request can be made; nothing was sent."""

    exit_code = 2


class CallFailed(click.ClickException):
    """A request that ended in an error, or a result that could not be written."""

    exit_code = 1


def one_line(text: str) -> str:
    """The text on one line, with nothing in it that a terminal would act on."""
    return _ACTING.sub("\ufffd", " ".join(text.split()))


def told(error: click.ClickException) -> str:
    """The error as the line for standard error: what happened, and what to do next."""
    message = one_line(error.format_message())
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "rerank"
        end = "" if message.endswith((".", "?")) else "."
        message = f"{message}{end} See '{command} --help'"
    return f"rerank: {message}"
