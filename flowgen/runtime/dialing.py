"""Dialing: a connection to an app, to an address that was checked.

A name is looked up once for each connection. All that it leads to is checked (`Reach`), and the connection is opened to
what was checked, not to the name: an answer that changes between the check and the call changes nothing. With TLS the
certificate is still the name's. Nobody follows a redirect: it would lead where nothing was checked.

One forbidden address among several refuses the name, whatever the others are. Refuses to know what is said over the
connection.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from typing import Final

import attrs
import trio

from .addresses import Address, AppUrl, Reach, UrlRefused

DIAL_SECONDS: Final = 10.0
"""How long a connection may take to be there, the look-up and TLS included."""

Resolver = Callable[[str, int], Awaitable[Iterable[str]]]
"""What addresses a name has for connections to a port. Raises `OSError` if it has none."""


class CannotDial(Exception):
    """The world: an app could not be connected to just now. The message says why."""


async def system_resolver(name: str, port: int) -> list[str]:
    """What the system says."""
    found = await trio.socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


@attrs.frozen
class Dialer:
    """Opens connections to apps within reach."""

    reach: Reach
    resolver: Resolver = system_resolver
    tls: ssl.SSLContext | None = None
    seconds: float = DIAL_SECONDS

    async def addresses(self, url: AppUrl) -> tuple[Address, ...]:
        """Where a URL leads to, all of it checked. Raises `UrlRefused` or `CannotDial`."""
        written = url.address
        found = (written,) if written is not None else await self._looked_up(url)
        for address in found:
            self.reach.check(url, address)
        return found

    async def _looked_up(self, url: AppUrl) -> tuple[Address, ...]:
        try:
            found = tuple(ip_address(text) for text in await self.resolver(url.host, url.port))
        except (OSError, UnicodeError) as error:
            raise CannotDial(f"{url.host}: {_reason(error)}") from None
        except ValueError as error:
            raise UrlRefused(f"{url.host}: {error}") from None
        if not found:
            raise CannotDial(f"{url.host} has no address")
        return found

    async def connect(self, url: AppUrl) -> trio.abc.Stream:
        """A connection to the host of a URL, with TLS if that says so. Raises `UrlRefused` or `CannotDial`."""
        with trio.move_on_after(self.seconds):
            return await self._connect(url)
        raise CannotDial(f"{url.origin} was not reached within {self.seconds:g} s")

    async def _connect(self, url: AppUrl) -> trio.abc.Stream:
        stream = await self._first(url, await self.addresses(url))
        if url.scheme == "http":
            return stream
        secured = trio.SSLStream(
            stream, self.tls or ssl.create_default_context(), server_hostname=url.host, https_compatible=True
        )
        try:
            await secured.do_handshake()
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(stream)
            raise CannotDial(f"{url.origin}: {_reason(error.__cause__ or error)}") from None
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secured

    async def _first(self, url: AppUrl, addresses: tuple[Address, ...]) -> trio.SocketStream:
        """A connection to the first of some addresses that takes one."""
        errors: list[str] = []
        for address in addresses:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            opened = trio.socket.socket(family, socket.SOCK_STREAM)
            try:
                await opened.connect((str(address), url.port))
                return trio.SocketStream(opened)
            except OSError as error:
                opened.close()
                errors.append(f"{address}: {os.strerror(error.errno) if error.errno else error}")
            except BaseException:
                opened.close()
                raise
        raise CannotDial(f"{url.origin} takes no connection ({'; '.join(errors)})")


def _reason(error: BaseException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
