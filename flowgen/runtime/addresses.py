"""Where an app may be: which URLs a server calls, and which addresses those may lead to.

Whoever may register an app says where this server sends its requests, so both halves are checked:

* the *URL*, when it is read (`AppUrl.parse`): one way to write it, and every other is refused. No user, no fragment, no
  number that only some programs take for an address, no port of another protocol, nothing to be trimmed or decoded;
* the *address*, each time a connection is opened (`Reach.check`): of this machine alone in development; else a public
  one, or one that the server's owner has allowed.

============================================  =======================  =======================================
address                                       `Reach.dev()`            `Reach.server(allowed)`
============================================  =======================  =======================================
127.0.0.0/8, ::1                              yes                      if it is allowed
private, shared, documentation                no                       if it is allowed
public                                        no                       yes
link-local (169.254.169.254), multicast,      never                    never
unspecified, reserved, or an IPv4 address
inside of an IPv6 one (mapped, NAT64, 6to4)
============================================  =======================  =======================================

Pure. Refuses to know how names are looked up and connections opened (`dialing`), and what is sent over them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import attrs

from ..errors import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LONGEST: Final = 2_048
"""Characters that a URL may have."""

_FORM: Final = re.compile(r"(https?)://([^/?#]*)([/?#].*)?", re.IGNORECASE)
_BEFORE_PATH: Final = re.compile(r"(?:[^/?#]*//)?[^/?#]*")
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_PLACE: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS: Final = {"http": 80, "https": 443}

_LAST_SYSTEM_PORT: Final = 1_023
_OTHER_PROTOCOLS: Final = frozenset(
    {1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080}
)
"""The ports above the system's that browsers do not open, because what listens there may take HTTP for its own
(https://fetch.spec.whatwg.org/#port-blocking)."""

_LOOPBACK: Final = IPv6Address("::1")
_HIDING: Final = tuple(
    IPv6Network(text) for text in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
"""IPv6 addresses that carry an IPv4 one: compatible, mapped, NAT64 (two), 6to4, Teredo."""


class UrlRefused(InvalidInput):
    """An app's URL that this server does not call."""


@attrs.frozen
class AppUrl:
    """A URL of an app, taken apart. `host` is in lower case and without brackets; `target` is its path and query."""

    scheme: str
    host: str
    port: int
    target: str

    @classmethod
    def parse(cls, text: str) -> AppUrl:
        """Read a URL. Raises `UrlRefused` with the reason.

        >>> AppUrl.parse("http://127.0.0.1:3000/api/inngest").target
        '/api/inngest'
        """
        if not 1 <= len(text) <= LONGEST:
            raise UrlRefused(f"a URL has 1 to {LONGEST} characters, not {len(text)}")
        if "@" in _BEFORE_PATH.match(text)[0]:  # type: ignore[index]  # it matches everything
            raise UrlRefused("a URL with a user or a password in it is refused: an app is called without")
        if not _PRINTABLE.fullmatch(text) or "\\" in text:
            raise _refused(text, "it has spaces, control characters, backslashes or letters that a URL spells with %")
        form = _FORM.fullmatch(text)
        if form is None:
            raise _refused(text, "an app is called at http://HOST/PATH or https://HOST/PATH")
        scheme, place, target = form[1].lower(), form[2].lower(), form[3] or "/"
        if "#" in target:
            raise _refused(text, "it has a fragment, which is never sent")
        where = _PLACE.fullmatch(place)
        if where is None:
            raise _refused(text, f"{place!r:.100} is no host with a port")
        port = int(where[2]) if where[2] is not None else _PORTS[scheme]
        _check_port(text, port)
        return cls(scheme, _host(text, where[1]), port, target if target.startswith("/") else "/" + target)

    def __str__(self) -> str:
        return self.origin + self.target

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self.scheme}://{self.authority}"

    @property
    def authority(self) -> str:
        """What the header `Host` says: the port is left out where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> Address | None:
        """The address that it is written with, if it is; a name has to be looked up."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None


@attrs.frozen
class Reach:
    """Which addresses a server calls. `networks` and `names` are allowed to be private."""

    loopback_only: bool
    networks: tuple[Network, ...] = ()
    names: frozenset[str] = frozenset()

    @classmethod
    def dev(cls) -> Reach:
        """This machine, and nothing else."""
        return cls(True)

    @classmethod
    def server(cls, allowed: Iterable[str] = ()) -> Reach:
        """Public addresses, and what is allowed beside them: networks, addresses, and names of hosts.

        Raises `InvalidInput` for what is none of these.
        """
        networks, names = [], set()
        for entry in allowed:
            network = _network(entry)
            if network is not None:
                networks.append(network)
            else:
                names.add(_allowed_name(entry))
        return cls(False, tuple(networks), frozenset(names))

    def check(self, url: AppUrl, address: Address) -> None:
        """Raise `UrlRefused` if a URL leads to an address that is out of reach."""
        kind = _never(address)
        if kind is not None:
            raise UrlRefused(f"{_led(url, address)}, which is {kind}: no app is called there")
        if self.loopback_only:
            if not address.is_loopback:
                raise UrlRefused(
                    f"{_led(url, address)}, which is not this machine: `flowgen dev` calls apps at 127.0.0.1, ::1 and "
                    "localhost alone"
                )
        elif not (_is_public(address) or url.host in self.names or any(address in each for each in self.networks)):
            raise UrlRefused(
                f"{_led(url, address)}, which is not public; if the app is meant to be there, allow it: "
                f"FLOWGEN_APP_HOSTS={url.host}"
            )


def _refused(text: str, reason: str) -> UrlRefused:
    return UrlRefused(f"{text!r:.200}: {reason}")


def _check_port(text: str, port: int) -> None:
    if not 1 <= port <= 65_535:
        raise _refused(text, f"port {port} is none: say 1 to 65535")
    if (port <= _LAST_SYSTEM_PORT and port not in _PORTS.values()) or port in _OTHER_PROTOCOLS:
        raise _refused(text, f"port {port} is that of another protocol: below 1024 only 80 and 443 are called")


def _host(text: str, place: str) -> str:
    """The host of a URL: an address as it is always written, or a name."""
    if place.startswith("["):
        try:
            return str(IPv6Address(_without_zone(place[1:-1])))
        except ValueError:
            raise _refused(text, f"{place!r:.100} is no IPv6 address") from None
    if _NUMBER.fullmatch(place.rpartition(".")[2]):
        try:
            return str(IPv4Address(place))
        except ValueError:
            raise _refused(text, f"{place!r:.100} is no IPv4 address of four decimal numbers") from None
    if not _is_name(place):
        raise _refused(text, f"{place!r:.100} is no name of a host")
    return place


def _without_zone(address: str) -> str:
    if "%" in address:
        raise ValueError("a zone means something on one machine only")
    return address


def _is_name(text: str) -> bool:
    return 1 <= len(text) <= 253 and all(_LABEL.fullmatch(label) for label in text.split("."))


def _network(entry: str) -> Network | None:
    """The network, or the one address, that an entry of the allow-list is; None if it may be a name."""
    try:
        return ip_network(entry)
    except ValueError:
        if "/" in entry or ":" in entry:
            raise InvalidInput(f"{entry!r:.100} is no network: write it like 10.1.0.0/16, or fd00::/8") from None
        return None


def _allowed_name(entry: str) -> str:
    name = entry.lower()
    if not _is_name(name) or _NUMBER.fullmatch(name.rpartition(".")[2]):
        raise InvalidInput(f"{entry!r:.100} is neither a network, such as 10.1.0.0/16, nor the name of a host")
    return name


def _never(address: Address) -> str | None:
    """What an address is that is called in no case, in words."""
    if address == _LOOPBACK:
        return None
    if isinstance(address, IPv6Address):
        if any(address in network for network in _HIDING):
            return "an IPv6 address with an IPv4 one inside"
        if address.is_site_local:
            return "a site-local address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or (isinstance(address, IPv4Address) and int(address) < 1 << 24):
        return "an unspecified address"
    return "a reserved address" if address.is_reserved else None


def _is_public(address: Address) -> bool:
    return address.is_global


def _led(url: AppUrl, address: Address) -> str:
    return f"{url.origin} is at {address}" if url.address is None else f"{url.origin}"
