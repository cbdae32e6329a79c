"""TCP connections to the first address of a host that answers (happy eyeballs, RFC 8305), for threads."""

from __future__ import annotations

# `getaddrinfo` imports it when it is first called. A process that is forked at that moment would wait for this import for ever.
import encodings.idna  # noqa: F401 # pyright: ignore[reportUnusedImport]
import os
import socket
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import chain, zip_longest
from selectors import EVENT_WRITE, DefaultSelector
from typing import Any, TypeAlias, cast

Address: TypeAlias = tuple[int, int, int, str, Any]
"""As `socket.getaddrinfo` gives it."""

# What is waited for an address before the next is tried beside it; anyio and trio have the same.
_STAGGER = 0.25


def connect(
    host: str,
    port: int,
    left: Callable[[], float],
    local_address: str | None = None,
    options: Iterable[tuple[Any, ...]] = (),
) -> socket.socket:
    """Return a socket that is connected to one of the host's addresses.

    All addresses share the time: each has a head start of a quarter of a second on the next.

    Args:
        host: A name or an address.
        port: The port.
        left: Gives the seconds that are left, and raises when there are none; asked at least four times a second.
        local_address: The address to connect from.
        options: Arguments of `setsockopt`.

    Raises:
        OSError: The name cannot be resolved, or no address takes a connection.
    """
    waiting = deque(interleave(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    left()  # nothing bounds the resolver
    settings = [*options, (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
    errors: list[OSError] = []
    try:
        connected = _race(waiting, left, local_address, settings, errors)
        if connected is not None:
            return connected
        if len(errors) == 1:
            raise errors[0]
        message = "; ".join(dict.fromkeys(map(str, errors))) or f"{host} has no address"
        raise OSError(message) from (ExceptionGroup("each address failed", errors) if errors else None)
    finally:
        errors.clear()  # their tracebacks lead back here


def _race(
    waiting: deque[Address],
    left: Callable[[], float],
    local_address: str | None,
    options: Iterable[tuple[Any, ...]],
    errors: list[OSError],
) -> socket.socket | None:
    """Return the first socket that is connected, None where none can be; all others are closed."""
    with DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                if waiting:
                    try:
                        selector.register(_begin(waiting.popleft(), local_address, options), EVENT_WRITE)
                    except OSError as error:
                        errors.append(error)
                        continue
                for key, _ in selector.select(min(_STAGGER, left())):
                    candidate = cast(socket.socket, key.fileobj)
                    selector.unregister(candidate)
                    code = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                    if not code:
                        return candidate
                    candidate.close()
                    errors.append(OSError(code, os.strerror(code)))
        finally:
            for key in selector.get_map().values():
                cast(socket.socket, key.fileobj).close()
    return None


def _begin(address: Address, local_address: str | None, options: Iterable[tuple[Any, ...]]) -> socket.socket:
    family, kind, protocol, _, target = address
    candidate = socket.socket(family, kind, protocol)
    try:
        candidate.settimeout(0)
        for option in options:
            candidate.setsockopt(*option)
        if local_address is not None:
            candidate.bind((local_address, 0))
        with suppress(BlockingIOError):  # it is under way
            candidate.connect(target)
    except BaseException:
        candidate.close()
        raise
    return candidate


def interleave(addresses: Iterable[Address]) -> list[Address]:
    """Alternate between the families, as one of them may lead nowhere; the resolver's first goes first."""
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address[0], []).append(address)
    rounds = zip_longest(*families.values())
    return [address for address in chain.from_iterable(rounds) if address is not None]
