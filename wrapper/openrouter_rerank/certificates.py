"""The certificates that a server is trusted by, as `verify=` names them."""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TypeAlias, cast

import httpx

Verify: TypeAlias = "bool | str | os.PathLike[str] | ssl.SSLContext"
"""The values that `verify=` accepts."""

# How OpenSSL finds a certificate in a directory.
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def check_verify(verify: object) -> Verify:
    """Return the argument, checked by its type.

    Raises:
        TypeError: It is of another type.
        ValueError: It is an empty path, or a context for servers.
    """
    if not isinstance(verify, bool | str | os.PathLike | ssl.SSLContext):
        message = f"verify must be True, False, a path or an ssl.SSLContext, not {type(verify).__name__}"
        raise TypeError(message)
    if isinstance(verify, ssl.SSLContext):
        if verify.protocol == ssl.PROTOCOL_TLS_SERVER:
            raise ValueError(
                "verify: the ssl.SSLContext is one for servers; make it with ssl.create_default_context()"
            )
    elif not isinstance(verify, bool) and not os.fspath(verify):
        raise ValueError("verify: the path is empty; name a file or a directory of certificates")
    return cast(Verify, verify)


def ssl_context(verify: Verify, name: str = "verify") -> ssl.SSLContext:
    """Return the context that trusts what `verify` names; reading certificates takes longer than a call.

    Args:
        verify: A path to certificates in PEM form, a context, True for those of the environment or of certifi, False to
            trust any.
        name: What messages call it.

    Raises:
        ValueError: The certificates cannot be read.
    """
    if isinstance(verify, ssl.SSLContext):
        return verify
    if isinstance(verify, bool):
        try:
            return httpx.create_ssl_context(verify)
        except OSError as error:
            message = f"SSL_CERT_FILE or SSL_CERT_DIR names certificates that cannot be read ({error}); correct or unset it"
            raise ValueError(message) from error
    # httpx deprecates paths, and does with them what is done here.
    path = Path(os.fsdecode(verify))
    try:
        if not path.is_dir():
            return ssl.create_default_context(cafile=path)
        if any(_HASHED.fullmatch(entry.name) for entry in path.iterdir()):
            return ssl.create_default_context(capath=path)
    except (OSError, ValueError) as error:
        message = f"{name}: no certificates can be read from {str(path)!r} ({error}); name a PEM file, or a directory of them"
        raise ValueError(message) from error
    # OpenSSL would read nothing from it, and say nothing.
    message = f"{name}: the directory {str(path)!r} has no certificates that OpenSSL finds; run `openssl rehash` on it"
    raise ValueError(message)
