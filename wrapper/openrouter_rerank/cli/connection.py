"""The connection options of all commands that send requests, and the client made from them."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import UnionType
from typing import Annotated, Any, Literal, TypedDict, TypeVar, Union, Unpack, cast, get_args, get_origin

import click

from openrouter_rerank import AsyncReranker, Reranker
from openrouter_rerank.cli.choices import OneOf
from openrouter_rerank.cli.errors import BadInput
from openrouter_rerank.cli.numbers import PositiveNumber
from openrouter_rerank.defaults import BASE_URL, KEY_VARIABLE, MODEL
from openrouter_rerank.redaction import mask, reveal

C = TypeVar("C", bound=Callable[..., Any])
R = TypeVar("R", Reranker, AsyncReranker)

SCORERS = ("lexical", "semantic")


class ServerOptions(TypedDict):
    """The options of a server; None if an option was not passed."""

    local: bool
    scorer: str | None
    dialect: str | None
    base_url: str | None
    key_env: str | None
    timeout: float | None
    ca_file: str | None


class Connection(ServerOptions):
    """The options of a server and its requests; `fields` has the request fields that were passed."""

    model: str | None
    blank: str | None
    fields: Mapping[str, Any]


_MODEL = click.option("-m", "--model", metavar="NAME", help=f"The model that ranks.  [default: {MODEL}]")
_BLANK = click.option(
    "--blank",
    type=OneOf(("send", "skip")),
    help="Send documents with a blank text, which many servers refuse, or skip them.  [default: send]",
)
_OPTIONS = (
    click.option(
        "--local",
        is_flag=True,
        help="Rank offline with BM25, without a key. Use it for development and tests.",
    ),
    click.option("--scorer", type=OneOf(SCORERS), help="The scorer of --local.  [default: lexical]"),
    click.option(
        "--base-url",
        metavar="URL",
        help="The base URL of another server. Without --dialect, it gets the key from OPENROUTER_API_KEY, if set.  "
        f"[default: {BASE_URL}, or the one of the dialect's vendor]",
    ),
    click.option(
        "--timeout",
        type=PositiveNumber(),
        metavar="SECONDS",
        help="The timeout of one attempt. All attempts and waits may take twice as long in total.  [default: 60]",
    ),
    click.option(
        "--ca-file",
        type=click.Path(exists=True),
        metavar="FILE",
        help="Trust the certificates in this PEM file or directory.  [default: SSL_CERT_FILE, else public certificates]",
    ),
)


OWN = {
    "actors", "address", "base_url", "batch_size", "blank", "ca_file", "cache", "chunk_overlap",
    "chunk_words", "concurrency", "dialect", "documents_column", "dry_run", "explain", "failed", "format",
    "help", "id_column", "input_format", "keep_documents", "key_env", "local", "max_cost", "min_score",
    "output_format", "prefix", "query_column", "requests_per_minute", "restart", "rpm", "scorer",
    "text_field", "timeout", "version", "with_documents",
}  # fmt: skip
"""The commands' own options. The option of a request field with such a name begins with `--request-`."""


def _read_json(context: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    """Return the value of an option that is JSON."""
    try:
        return None if value is None else json.loads(value)
    except ValueError as error:
        message = f'not JSON: {error}. Quote it for the shell, for example \'{{"name": "value"}}\''
        raise click.BadParameter(message, context, parameter) from error


def _text_or_json(kinds: Sequence[Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """Return a reader for an option whose value is JSON of one of these types, or else text."""

    def read(_: click.Context, __: click.Parameter, value: str | None) -> Any:
        try:
            found: Any = None if value is None else json.loads(value)
        except ValueError:
            return value
        is_number = type(found) in kinds or (type(found) is int and float in kinds)
        return found if is_number or type(found) in (str, list, dict) else value

    return read


def _field_option(name: str, expected: Any, summary: str) -> Callable[[C], C]:
    """Return the option for a field of the request; values that are not scalars are JSON."""
    kinds = [kind for kind in _kinds(expected) if kind is not type(None)]
    flag = f"--{'request-' * (name.strip('_') in OWN)}{name.strip('_').replace('_', '-')}"
    if len(kinds) > 1 and str in kinds:
        return click.option(
            flag, f"field_{name}", callback=_text_or_json(kinds), metavar="TEXT|JSON", help=summary
        )
    if len(kinds) > 1 or kinds[0] not in (str, int, float, bool):
        return click.option(flag, f"field_{name}", callback=_read_json, metavar="JSON", help=summary)
    words = _words(expected)
    if words and kinds == [str]:
        return click.option(flag, f"field_{name}", type=OneOf(words), help=summary)
    metavar = {str: "TEXT", int: "N", float: "NUMBER", bool: "true|false"}[kinds[0]]
    return click.option(flag, f"field_{name}", type=kinds[0], metavar=metavar, help=summary)


def _words(expected: Any) -> list[str]:
    """Return the values of an enumerated field; empty for other fields."""
    if get_origin(expected) is Literal:
        return list(get_args(expected))
    return [word for part in get_args(expected) if part is not type(None) for word in _words(part)]


def _kinds(expected: Any) -> list[Any]:
    """Return the Python types that a field may have."""
    origin = get_origin(expected)
    if origin is Annotated:
        return _kinds(get_args(expected)[0])
    if origin is Literal:
        values: tuple[object, ...] = get_args(expected)
        return list(dict.fromkeys(map(type, values)))
    if origin in (Union, UnionType):
        return [kind for part in get_args(expected) for kind in _kinds(part)]
    return [expected]


def connection_options(command: C) -> C:
    """Add the options to a command's function, which receives them as `**connection: Unpack[Connection]`."""
    from openrouter_rerank_api import dialects  # noqa: PLC0415 - not needed for `rerank --help`
    from openrouter_rerank_api.options import SUMMARIES, WIRE_TYPES  # noqa: PLC0415 - likewise

    # model and top_n have their own options with short forms.
    types = {name: expected for name, expected in WIRE_TYPES.items() if name not in ("model", "top_n")}
    summaries = {**SUMMARIES, "extra_body": "Further keys of the request, sent unchanged."}
    for name, summary in dialects.SUMMARIES.items():
        having = {dialect: known[name] for dialect, known in dialects.REQUESTS.items() if name in known}
        types[name] = next(iter(having.values()))
        summaries[name] = f"{summary}  [--dialect {' or '.join(having)}]"
    types["extra_body"] = Mapping

    @wraps(command)
    def collected(**given: Any) -> Any:
        fields = {name: value for name in types if (value := given.pop(f"field_{name}")) is not None}
        return command(**given, fields=fields)

    made = server_options(_BLANK(cast(C, collected)))
    for name, expected in reversed(types.items()):
        made = _field_option(name, expected, summaries[name])(made)
    return _MODEL(made)


def server_options(command: C) -> C:
    """Add only the options of a server; the function receives them as `**server: Unpack[ServerOptions]`."""
    from openrouter_rerank.dialects import codec, nearest_dialect  # noqa: PLC0415 - not needed for `rerank --help`
    from openrouter_rerank_api.dialects import DIALECTS  # noqa: PLC0415 - likewise

    codecs = [codec(name) for name in DIALECTS[1:]]
    variables = [one.key_variable for one in codecs if one.key_variable is not None]
    key = click.option(
        "--key-env",
        metavar="NAME",
        help=f"The environment variable with the API key.  [default: {KEY_VARIABLE}; with --dialect, "
        f"{_listed(variables)} at the vendor's own URL, else no key]",
    )
    for option in reversed((*_OPTIONS[:3], key, *_OPTIONS[3:])):
        command = option(command)
    return click.option(
        "--dialect",
        type=OneOf(DIALECTS, nearest_dialect),
        help=f"The API of the server; use jina for vLLM, llama.cpp and infinity too.  [default: {DIALECTS[0]}]",
    )(command)


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def dialect_of(connection: ServerOptions) -> Any:
    """Return the name of the dialect."""
    return connection["dialect"] or _default_dialect()


def _default_dialect() -> str:
    from openrouter_rerank_api.dialects import DIALECTS  # noqa: PLC0415 - not needed for `rerank --help`

    return DIALECTS[0]


def default_model(connection: ServerOptions) -> str:
    """Return the model to request without --model; empty if the dialect has no default."""
    return MODEL if dialect_of(connection) == _default_dialect() else ""


# It does not quote the name, which may be the key itself.
NO_VARIABLE = (
    "--key-env: no environment variable of this name has a key; pass the name, not the key, or leave it out"
)


def key_of(connection: ServerOptions) -> str | None:
    """Return the masked API key, as tracebacks can show local variables; None for the vendor's key of the dialect.

    Raises:
        BadInput: The named variable has no key.
    """
    name = connection["key_env"]
    if name is None and dialect_of(connection) != _default_dialect():
        return None
    # An empty variable counts as no key; another server may not need one.
    key = mask(os.environ.get(name or KEY_VARIABLE, "").strip())
    if name is not None and not reveal(key):
        raise BadInput(NO_VARIABLE)
    return key


def connect(kind: type[R], *, max_cost: float | None = None, **connection: Unpack[Connection]) -> R:
    """Return a client of this class for the options; the caller closes it.

    Raises:
        BadInput: The options contradict each other, the key is missing, or an extra is not installed.
        click.UsageError: An option has an invalid value.
    """
    local, scorer, base_url = connection["local"], connection["scorer"], connection["base_url"]
    for option in ("--dialect", "--base-url", "--key-env", "--ca-file"):
        if local and cast("Mapping[str, Any]", connection)[option[2:].replace("-", "_")] is not None:
            message = f"--local: cannot be combined with {option}; leave one of them out"
            raise BadInput(message)
    if scorer is not None and not local:
        raise BadInput("--scorer: needs --local; add --local, or use --model")
    key = key_of(connection)
    if not (key is None or reveal(key) or local or base_url):
        message = f"no API key: set {KEY_VARIABLE}, or rank offline with --local"
        raise BadInput(message)
    if key is None:
        _check_vendor_key(dialect_of(connection), base_url)
    given = {
        **connection["fields"],
        "max_cost": max_cost,
        "model": connection["model"],
        "blank": connection["blank"],
        "timeout": connection["timeout"],
        "deadline": connection["timeout"] and 2 * connection["timeout"],
    }
    defaults: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        if local:
            return kind.local(scorer, **defaults)
        defaults |= _trust(connection["ca_file"])
        return kind(key, dialect=dialect_of(connection), base_url=base_url, **defaults)
    except ImportError as error:
        raise BadInput(str(error)) from error
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error), click.get_current_context()) from error


def _check_vendor_key(dialect: Any, base_url: str | None) -> None:
    """Raise if the vendor's variable has no key.

    Raises:
        BadInput: The key is missing.
    """
    from openrouter_rerank.dialects import codec  # noqa: PLC0415 - not needed for `rerank --help`
    from openrouter_rerank.settings import key_variable  # noqa: PLC0415 - likewise

    variable = key_variable(codec(dialect), base_url)
    if variable is not None and not os.environ.get(variable, "").strip():
        message = f"no API key: set {variable}, or name another variable with --key-env"
        raise BadInput(message)


def _trust(ca_file: str | None) -> dict[str, Any]:
    if ca_file is None:
        return {}
    from openrouter_rerank.certificates import ssl_context  # noqa: PLC0415 - it imports httpx

    return {"verify": ssl_context(ca_file, "--ca-file")}
