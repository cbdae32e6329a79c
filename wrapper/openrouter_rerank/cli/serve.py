"""`rerank serve`: the reference server on this machine, as a stand-in for the API. It is no model and no gateway."""

import os

import click

from openrouter_rerank.cli.connection import SCORERS
from openrouter_rerank.cli.errors import BadInput

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EXAMPLE = (
    '{"model": "any", "query": "capital of France", "documents": ["Berlin", "Paris, the capital of France"]}'
)


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port; 0 for any free one.",
)
@click.option(
    "--scorer", type=click.Choice(SCORERS), default="lexical", show_default=True, help="What ranks."
)
@click.option("--compat", is_flag=True, help="Add to each answer what other vendors' clients insist on.")
@click.option(
    "--key-env",
    metavar="NAME",
    help="Let in only who sends the key in this environment variable.  [default: everyone]",
)
def command(*, host: str, port: int, scorer: str, compat: bool, key_env: str | None) -> None:
    """Serve the API from this machine until Ctrl-C or SIGTERM: a stand-in for development, and not a model.

    Once it takes requests, its URL is the one line on standard output; the rest is told on standard error.
    /rerank is there under /api/v1, /v1, /v2 and the root.

    \b
    Exit codes:
      0    stopped by Ctrl-C or SIGTERM
      2    bad usage, or the address cannot be had
      130  interrupted before it served
    """  # noqa: D301 - click takes a backspace as the mark of a block to leave as it is
    try:
        from rerank_conformance.reference import Reference  # noqa: PLC0415 - an extra
        from rerank_conformance.reference.asgi import serve  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        message = (
            f"serving needs {error.name}. pip install 'openrouter-rerank[serve]', or '.[serve]' in a clone"
        )
        raise BadInput(message) from error
    keys = None if key_env is None else [_key(key_env)]
    try:
        reference = Reference(scorer, keys=keys, compat=compat)
    except ImportError as error:
        raise BadInput(str(error)) from error

    def ready(url: str) -> None:
        click.echo(_banner(url, reference.model, key_env, host), err=True)
        click.echo(url)

    try:
        serve(reference, host, port, ready)
    except OSError as error:
        hint = "Choose another --port (0 takes any free one) or --host"
        message = f"cannot listen on {host}, port {port}: {error.strerror or error}. {hint}"
        raise BadInput(message) from error


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        message = f"--key-env names {variable}, which is not set. Set it, or leave --key-env out"
        raise BadInput(message)
    return key


def _banner(url: str, model: str, key_env: str | None, host: str) -> str:
    key = f' -H "Authorization: Bearer ${key_env}"' if key_env else ""
    lines = [
        f"This is a stand-in for development, and not a model: it ranks by {model}, whatever model is asked for.",
        "Ctrl-C stops it. To try it:",
        f"  curl {url}/api/v1/rerank -H 'Content-Type: application/json'{key} -d '{_EXAMPLE}'",
    ]
    if host not in _LOOPBACK and not key_env:
        lines.insert(1, f"Whoever can reach {host} may use it; --key-env asks for a key.")
    return "\n".join(lines)
