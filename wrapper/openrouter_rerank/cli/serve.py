"""The command `rerank serve`, which runs the reference server for development and tests."""

import json
import os
from urllib.parse import urlsplit

import click

from openrouter_rerank.cli.choices import OneOf
from openrouter_rerank.cli.connection import NO_VARIABLE, SCORERS
from openrouter_rerank.cli.errors import BadInput
from openrouter_rerank.dialects import codec, nearest_dialect
from openrouter_rerank_api.dialects import DIALECTS

_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_EXAMPLE = {
    "model": "any",
    "query": "capital of France",
    "documents": ["Berlin", "Paris, the capital of France"],
}


@click.command("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="The port; 0 for any free one.",
)
@click.option("--scorer", type=OneOf(SCORERS), default="lexical", show_default=True, help="The scorer.")
@click.option(
    "--dialect",
    type=OneOf(DIALECTS, nearest_dialect),
    default=DIALECTS[0],
    show_default=True,
    help="The API to serve: OpenRouter's, or another vendor's form of it.",
)
@click.option(
    "--compat", is_flag=True, help="Add the fields to each response that other vendors' clients require."
)
@click.option(
    "--key-env",
    metavar="NAME",
    help="Require the key in this environment variable.  [default: no key]",
)
def command(  # noqa: PLR0913 - the options of the command
    *, host: str, port: int, scorer: str, dialect: str, compat: bool, key_env: str | None
) -> None:
    """Run a local server of the API until Ctrl-C or SIGTERM. It ranks with BM25; use it for development and tests.

    When ready, it prints its URL on one line of standard output; messages go to standard error.
    /rerank is served under /api/v1, /v1, /v2 and the root; with --dialect, under any prefix.

    \b
    Exit codes:
      0    stopped by Ctrl-C or SIGTERM
      2    bad usage, or the address cannot be used
      130  interrupted before it was ready
    """  # noqa: D301 - \b makes click keep the line breaks of a block
    if compat and dialect != DIALECTS[0]:
        message = "--compat: cannot be combined with --dialect; leave one of them out"
        raise BadInput(message)
    if not host.isprintable():  # bytes that are not UTF-8, for which the resolver raises a TypeError
        message = f"--host: {host!r} is not a name or an address of a host; pass one of this machine, such as 127.0.0.1"
        raise BadInput(message)
    try:
        from rerank_conformance.reference.asgi import serve  # noqa: PLC0415 - an extra
        from rerank_conformance.reference.speaking import example, speaking  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        message = f"the server: it needs {error.name}; pip install 'openrouter-rerank[serve]', or '.[serve]' in a clone"
        raise BadInput(message) from error
    keys = None if key_env is None else [_key(key_env)]
    try:
        reference = speaking(dialect)(scorer, keys=keys, compat=compat)
    except (ImportError, ValueError) as error:
        raise BadInput(str(error)) from error

    def ready(url: str) -> None:
        request = url + urlsplit(codec(dialect).base_url or "").path, json.dumps(example(dialect, _EXAMPLE))
        click.echo(_banner(request, reference.model, key_env, host), err=True)
        click.echo(url)

    try:
        serve(reference, host, port, ready)
    except OSError as error:
        hint = "choose another --port (0 takes any free one) or --host"
        message = f"cannot listen on {host}, port {port}: {error.strerror or error}; {hint}"
        raise BadInput(message) from error


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise BadInput(NO_VARIABLE)
    return key


def _banner(request: tuple[str, str], model: str, key_env: str | None, host: str) -> str:
    key = f' -H "Authorization: Bearer ${key_env}"' if key_env else ""
    lines = [
        f"For development and tests only: it always ranks with {model}, whichever model is requested.",
        "Press Ctrl-C to stop it. To try it:",
        f"  curl {request[0]}/rerank -H 'Content-Type: application/json'{key} -d '{request[1]}'",
    ]
    if host not in _LOOPBACK and not key_env:
        lines.insert(1, f"Anyone who can reach {host} can use it; --key-env requires a key.")
    return "\n".join(lines)
