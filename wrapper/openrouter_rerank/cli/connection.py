"""The options that say who ranks, shared by every command that makes requests, and the client that they amount to."""

import os
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar, Unpack

import click

from openrouter_rerank import AsyncReranker, Reranker
from openrouter_rerank.cli.errors import BadInput
from openrouter_rerank.defaults import BASE_URL, KEY_VARIABLE, MODEL

C = TypeVar("C", bound=Callable[..., Any])
R = TypeVar("R", Reranker, AsyncReranker)

SCORERS = ("lexical", "semantic")


class Server(TypedDict):
    """What the options were given as; None where they were not."""

    local: bool
    scorer: str | None
    base_url: str | None
    timeout: float | None


class Connection(Server):
    """The same, the model, and what is done with blank documents."""

    model: str | None
    blank: str | None


_MODEL = click.option("-m", "--model", metavar="NAME", help=f"The model that ranks.  [default: {MODEL}]")
_BLANK = click.option(
    "--blank",
    type=click.Choice(("send", "skip")),
    help="Send documents with a blank text, which many servers refuse, or skip them.  [default: send]",
)
_OPTIONS = (
    click.option(
        "--local",
        is_flag=True,
        help="Rank on this machine, with no key and no network: a stand-in for development, and not a model.",
    ),
    click.option("--scorer", type=click.Choice(SCORERS), help="What ranks with --local.  [default: lexical]"),
    click.option(
        "--base-url",
        metavar="URL",
        help="Another server of the same API. It gets the key from OPENROUTER_API_KEY, if that is set.  "
        f"[default: {BASE_URL}]",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="How long one attempt may take. All attempts and waits together may take twice that.  [default: 60]",
    ),
)


def connection_options(command: C) -> C:
    """The command's function with the options; it takes them as `**connection: Unpack[Connection]`."""
    return _MODEL(server_options(_BLANK(command)))


def server_options(command: C) -> C:
    """The same without model and blank, for what ranks nothing; it takes them as `**server: Unpack[Server]`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def connect(kind: type[R], *, max_cost: float | None = None, **connection: Unpack[Connection]) -> R:
    """The client that the options ask for, of the class given; close it.

    Raises:
        BadInput: The options contradict each other, there is no key, or an extra is not installed.
        click.UsageError: An option has a value that can never work.
    """
    local, scorer, base_url = connection["local"], connection["scorer"], connection["base_url"]
    if local and base_url is not None:
        raise BadInput("--local ranks without any server, so there is no --base-url. Leave one of them out")
    if scorer is not None and not local:
        raise BadInput("--scorer says what ranks with --local. Add --local, or use --model")
    # An empty variable is how many tools say that there is none; another server may well take no key.
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not (key or local or base_url):
        message = f"no API key. Set {KEY_VARIABLE}, or rank on this machine without one: --local"
        raise BadInput(message)
    defaults: dict[str, Any] = {} if max_cost is None else {"max_cost": max_cost}
    if connection["model"] is not None:
        defaults["model"] = connection["model"]
    if connection["blank"] is not None:
        defaults["blank"] = connection["blank"]
    if connection["timeout"] is not None:
        defaults |= {"timeout": connection["timeout"], "deadline": 2 * connection["timeout"]}
    try:
        if local:
            return kind.local(scorer, **defaults)
        return kind(key, base_url=base_url or BASE_URL, **defaults)
    except ImportError as error:
        raise BadInput(str(error)) from error
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from error
