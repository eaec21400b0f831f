"""The sockets that a server listens on: bound before anything else is begun, so that a port in use is told at once.

A name of the loopback means both its addresses, where the machine has them: a browser may try either for `localhost`.
Port 0 is any free one, the same for all addresses.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final

from ...errors import InvalidInput

_LOOPBACK: Final = ("127.0.0.1", "::1")
_BACKLOG: Final = 2_048
_TRIES: Final = 20

_Address = tuple[socket.AddressFamily, tuple[Any, ...]]
"""A family, and an address as the system takes it there."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can call a server that listens there."""
    if host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def bind(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen at `port` of `host`. Raises `InvalidInput` with the reason if that cannot be."""
    if not 0 <= port <= 65_535:
        raise InvalidInput(f"port {port}: a port is a number from 0 (any free one) to 65535")
    for attempt in range(_TRIES):
        try:
            return _bound(host, port)
        except _Taken as taken:
            if port != 0 or attempt == _TRIES - 1:
                raise InvalidInput(_taken(host, port)) from taken
    raise AssertionError("the last try returns or raises")


def url_of(host: str, sockets: Sequence[socket.socket]) -> str:
    """The address to call a server at, as a person would write it."""
    port = sockets[0].getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


class _Taken(Exception):
    """Somebody else listens there."""


def _bound(host: str, port: int) -> list[socket.socket]:
    """The first address must be had; the loopback's second one only where there is such a thing."""
    first, *others = _addresses(host, port)
    sockets = [_listening(*first, host)]
    try:
        for family, address in others:
            try:
                sockets.append(_listening(family, (address[0], sockets[0].getsockname()[1], *address[2:]), host))
            except InvalidInput:
                continue
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _addresses(host: str, port: int) -> list[_Address]:
    if host.lower() == "localhost" or host in _LOOPBACK:
        wanted: list[str | None] = [host if host in _LOOPBACK else _LOOPBACK[0]]
        wanted += [other for other in _LOOPBACK if other not in wanted]
    else:
        wanted = [host]
    found: list[_Address] = []
    for name in wanted:
        try:
            answers = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            if not found:
                reason = error.strerror if isinstance(error, OSError) else error
                raise InvalidInput(f"host {name!r}: no address of this machine is called so ({reason})") from None
            continue
        found += [(socket.AddressFamily(family), tuple(address)) for family, _, _, _, address in answers[:1]]
    return found


def _listening(family: socket.AddressFamily, address: tuple[Any, ...], host: str) -> socket.socket:
    """A socket that listens at one address. `_Taken` or `InvalidInput` if it cannot."""
    try:
        made = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInput(f"host {host!r}: {error.strerror}") from None
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
        made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise _Taken from None
        raise InvalidInput(_refused(host, address[1], error)) from None
    return made


def _taken(host: str, port: int) -> str:
    return f"port {port} of {host} is in use: another server is there; stop it, or say another port (0 is any free one)"


def _refused(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"port {port} of {host} may not be used by this user: say one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"host {host!r} is no address of this machine"
        case _:
            return f"port {port} of {host} cannot be listened on: {error.strerror}"
