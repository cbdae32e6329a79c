"""Errors of the commands, each with its exit code and its line for standard error."""

import re

import click

EXIT_CODES = """\b
Exit codes:
  0    done, also if the reader has closed the output
  1    the call failed, or its result could not be written
  2    bad usage or bad input; nothing was sent
  130  interrupted
"""
INTERRUPTED = 130

# Control characters, including those that change the writing direction.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class BadInput(click.ClickException):
    """An option or a document that cannot be used; nothing was sent."""

    exit_code = 2


class CallFailed(click.ClickException):
    """A failed request, or a result that could not be written."""

    exit_code = 1


def one_line(text: str) -> str:
    """Return the text on one line, without control characters."""
    return _CONTROL.sub("\ufffd", " ".join(text.split()))


def _misspelt(error: click.NoSuchOption) -> str:
    """Return the message for an unknown option, with the nearest one."""
    from openrouter_rerank.arguments import nearest  # noqa: PLC0415 - only needed for a misspelt name
    from openrouter_rerank.options import IN_HITS, NEEDLESS, RENAMED  # noqa: PLC0415 - likewise

    name = error.option_name.removeprefix("--").replace("-", "_")
    wanted = RENAMED.get(name, name)
    wanted = "key_env" if wanted == "api_key" else wanted
    known = [name for one in error.ctx.command.params for name in one.opts] if error.ctx else []
    close = nearest(f"--{wanted.replace('_', '-')}", known)
    hint = IN_HITS if NEEDLESS.get(name) == IN_HITS else f"did you mean {close!r}?" if close else ""
    return f"no such option: {error.option_name!r}" + (f"; {hint}" if hint else "")


_NUMBERS = {"integer": "an integer", "float": "a number"}


def _bad_value(error: click.BadParameter, parameter: click.Parameter) -> str:
    """Return the message for a value that an option or argument does not accept: its name, and the problem."""
    name = (
        max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.human_readable_name
    )
    message = error.message
    if not_a_number := re.fullmatch(r"(.*) is not a valid (integer|float)(?: range)?\.", message, re.DOTALL):
        return f"{name}: {not_a_number[1]} is not {_NUMBERS[not_a_number[2]]}"
    kind = parameter.type
    if isinstance(kind, click.types.BoolParamType):
        return f"{name}: it must be true or false, not {message.partition(' is not a valid ')[0]}"
    if isinstance(kind, click.IntRange | click.FloatRange) and " is not in the range " in message:
        least = f"{'more than' if kind.min_open else 'at least'} {kind.min:g}"
        allowed = least if kind.max is None else f"from {kind.min:g} to {kind.max:g}"
        return f"{name}: it must be {allowed}, not {message.partition(' is not in the range ')[0]}"
    return f"{name}: {message}"


def _message(error: click.ClickException) -> str:
    match error:
        case click.NoSuchOption():
            return _misspelt(error)
        case click.BadParameter(param=click.Parameter() as parameter) if not isinstance(
            error, click.MissingParameter
        ):
            return _bad_value(error, parameter)
        case _:
            return error.format_message()


# The arguments of Python, which the messages of the library name, and the options.
_OPTIONS = (
    (re.compile(r"\(api_key( or \w+)?\)"), r"(--key-env\1)"),
    (re.compile(r"\bdialect='([\w-]+)'"), r"--dialect \1"),
    (re.compile(r"\bdialect=(?=\W)"), "--dialect"),
    (re.compile(r"(?<![\w-])base_url\b(?!=)"), "--base-url"),
    (re.compile(r"(?<![\w-])extra_body\b"), "--extra-body"),
)


def _in_options(message: str) -> str:
    """Return a message of the library with the options of the commands instead of Python's arguments."""
    for argument, option in _OPTIONS:
        message = argument.sub(option, message)
    return message


def error_line(error: click.ClickException) -> str:
    """Return the line for standard error: the problem and the next step."""
    message = _in_options(one_line(_message(error)))
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "rerank"
        end = "" if message.endswith((".", "?")) else "."
        message = f"{message}{end} See '{command} --help'"
    return f"rerank: {message}"
