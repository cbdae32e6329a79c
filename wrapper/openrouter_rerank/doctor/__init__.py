"""Find out what is wrong with a rerank server, or with the configuration of a client for it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Unpack, cast

from openrouter_rerank.arguments import NoOptions, refuse
from openrouter_rerank.defaults import KEY_VARIABLE
from openrouter_rerank.doctor.report import CODES, Configuration, Diagnosis, Problem
from openrouter_rerank.options import document, names_of
from openrouter_rerank.redaction import Key, mask, reveal

if TYPE_CHECKING:
    from openrouter_rerank.certificates import Verify

__all__ = [
    "CODES",
    "Configuration",
    "Diagnosis",
    "Problem",
    "diagnose",
    "is_live",
    "key_variable",
]


def diagnose(  # noqa: PLR0913 - all by keyword
    url: str,
    *,
    api_key: str | None = None,
    key_env: str | None = None,
    model: str | None = None,
    dialect: str | None = None,
    max_requests: int = 25,
    timeout: float = 10.0,
    verify: Verify = True,
    **unknown: Unpack[NoOptions],
) -> Diagnosis:
    """Examine a rerank server: its address, dialect, key, model, limits and ranking.

    It sends real requests, which a vendor may bill: some 15 small ones, one with 300 short documents and one to three with
    documents of 2,000 to 32,000 characters.

    Args:
        url: The address of the server: its `base_url`, the whole address of `/rerank`, or a part of it, its
            documentation, or another operation of the same server.
        api_key: The key; "" for none. By default that of the environment variable.
        key_env: The environment variable of the key. By default the vendor's own (such as CO_API_KEY) for an address of the
            vendor, else OPENROUTER_API_KEY; a server of your own is examined without a key if it is not set.
        model: The model to ask for; by default one that the server has.
        dialect: The dialect that you use; by default the one that fits.
        max_requests: The largest number of requests.
        timeout: Seconds for one response.
        verify: As for `Reranker`.

    Returns:
        The diagnosis. A server with problems is no error.

    Raises:
        TypeError, ValueError: An argument can never work; nothing was sent.

    Example:
        >>> from openrouter_rerank.testing import unused_address
        >>> diagnosis = diagnose(unused_address())
        >>> [problem.code for problem in diagnosis.problems], diagnosis.is_usable
        (['unreachable'], False)
    """
    from openrouter_rerank.doctor import shell  # noqa: PLC0415 - it imports httpx

    api_key, url = mask(api_key), mask(url)
    if unknown:
        names = dict.fromkeys(unknown)
        cast("dict[str, Any]", unknown).clear()  # a misspelt api_key is a secret too
        refuse("diagnose", names, names_of(diagnose))
    if key_env and not key_env.isidentifier():
        # It may be the key itself, so the message does not quote it.
        message = "key_env (--key-env): not the name of an environment variable; pass the name, not the key"
        raise ValueError(message)
    variable = key_env or key_variable(url)
    if reveal(api_key) is None:
        api_key = mask(os.environ.get(variable, "").strip())
    key: Key | None = shell.given_key(api_key) if reveal(api_key) else None
    return shell.examine_url(
        url,
        key=key,
        key_variable=variable,
        model=model,
        dialect=dialect,
        max_requests=max_requests,
        timeout=timeout,
        verify=verify,
    )


document(diagnose, NoOptions, {})


def key_variable(url: str) -> str:
    """Return the environment variable of the key for an address.

    Raises:
        ValueError: The URL can never work.
    """
    from openrouter_rerank.dialects import codec  # noqa: PLC0415 - likewise
    from openrouter_rerank.doctor import addresses  # noqa: PLC0415 - likewise

    vendor = addresses.vendor_of(addresses.complete(url))
    return (codec(vendor).key_variable if vendor else None) or KEY_VARIABLE


def is_live(url: str) -> bool:
    """Return True if the address is of another machine, where calls may cost money.

    Raises:
        ValueError: The URL can never work.
    """
    from openrouter_rerank.doctor import addresses  # noqa: PLC0415 - likewise

    return addresses.is_live(addresses.complete(url))
