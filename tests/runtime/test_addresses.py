"""Where an app may be: which URLs are read, and which addresses they may lead to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import InvalidInput
from flowgen.runtime.addresses import LONGEST, AppUrl, Reach, UrlRefused

# -- URLs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, parsed, again",
    [
        ("http://127.0.0.1:3000/api/inngest", ("http", "127.0.0.1", 3000, "/api/inngest"), None),
        ("https://Shop.Example", ("https", "shop.example", 443, "/"), "https://shop.example/"),
        ("HTTP://localhost:80/x?a=%20&b=", ("http", "localhost", 80, "/x?a=%20&b="), "http://localhost/x?a=%20&b="),
        ("http://[::1]:5000/x", ("http", "::1", 5000, "/x"), None),
        ("http://[0:0::1]/x", ("http", "::1", 80, "/x"), "http://[::1]/x"),
        ("http://shop.example:443?a=1", ("http", "shop.example", 443, "/?a=1"), "http://shop.example:443/?a=1"),
        ("http://my_app-1:3000/a/@b", ("http", "my_app-1", 3000, "/a/@b"), None),
    ],
)
def test_a_url_is_taken_apart(text: str, parsed: tuple[str, str, int, str], again: str | None) -> None:
    """And put together again as it is always written."""
    url = AppUrl.parse(text)
    assert (url.scheme, url.host, url.port, url.target) == parsed
    assert str(url) == (again or text)
    assert AppUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    "text, reason",
    [
        ("file:///etc/passwd", "http://HOST/PATH"),
        ("gopher://127.0.0.1:3000/x", "http://HOST/PATH"),
        ("//127.0.0.1/x", "http://HOST/PATH"),
        ("http:/127.0.0.1/x", "http://HOST/PATH"),
        ("http://2130706433/x", "no IPv4 address"),
        ("http://0x7f000001/x", "no IPv4 address"),
        ("http://0x7f.1/x", "no IPv4 address"),
        ("http://127.1/x", "no IPv4 address"),
        ("http://0177.0.0.1/x", "no IPv4 address"),
        ("http://127.0.0.1.5/x", "no IPv4 address"),
        ("http://[::1%25lo]/x", "no IPv6 address"),
        ("http://[127.0.0.1]/x", "no IPv6 address"),
        ("http://::1/x", "no host with a port"),
        ("http://user:secret@127.0.0.1:3000/x", "user or a password"),
        ("http://127.0.0.1:3000@evil.example/x", "user or a password"),
        ("http://secret @evil.example/x", "user or a password"),
        ("http://127.0.0.1:3000\\@evil.example/x", "user or a password"),
        ("http://127.0.0.1\\evil.example/x", "backslashes"),
        ("http://127.0.0.1:3000/x\r\nHost: evil.example", "control characters"),
        ("http://127.0.0.1:3000/x y", "spaces"),
        ("http://127.0.0.1:3000/\x00", "control characters"),
        (" http://127.0.0.1:3000/x", "spaces"),
        ("http://ex\u0430mple.com/x", "spells with %"),
        ("http://127\u3002 0.0.1/x", "spells with %"),
        ("http://\uff11\uff12\uff17.0.0.1/x", "spells with %"),
        ("http://127.0.0.1:3000/x#y", "fragment"),
        ("http://127.0.0.1:/x", "no host with a port"),
        ("http://127.0.0.1:+80/x", "no host with a port"),
        ("http://127.0.0.1:0/x", "port 0"),
        ("http://127.0.0.1:65536/x", "port 65536"),
        ("http://127.0.0.1:22/x", "port 22 is that of another protocol"),
        ("http://127.0.0.1:25/x", "port 25"),
        ("http://127.0.0.1:6000/x", "port 6000"),
        ("http:///x", "no name of a host"),
        ("http://localhost./x", "no name of a host"),
        ("http://%6cocalhost/x", "no name of a host"),
        ("http://-a.example/x", "no name of a host"),
        ("", "1 to"),
        ("http://127.0.0.1/" + "x" * LONGEST, "1 to"),
    ],
)
def test_what_is_no_url_of_an_app_is_refused(text: str, reason: str) -> None:
    """With the reason, and without the password."""
    with pytest.raises(UrlRefused) as refused:
        AppUrl.parse(text)
    assert reason in str(refused.value)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=60), st.sampled_from(["", "http://", "https://", "http://127.0.0.1", "http://[", "http://a:"]))
def test_any_text_is_read_or_refused(text: str, before: str) -> None:
    """What is read is read the same when it is written again, and has nothing that could end a line of a request."""
    try:
        url = AppUrl.parse(before + text)
    except UrlRefused:
        return
    assert AppUrl.parse(str(url)) == url
    assert all("\x21" <= letter <= "\x7e" for letter in str(url))
    assert "@" not in url.authority


# -- addresses -------------------------------------------------------------------------------------------

NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "192.0.2.1", "fd00::1", "fd00:ec2::254"]
LOOPBACK = ["127.0.0.1", "127.8.9.10", "::1"]
PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700:4700::1111"]

ANY = AppUrl.parse("http://shop.example/x")
EVERYTHING = Reach.server(["0.0.0.0/0", "::/0", "shop.example"])


def takes(reach: Reach, address: str, url: AppUrl = ANY) -> bool:
    try:
        reach.check(url, ip_address(address))
    except UrlRefused:
        return False
    return True


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_are_called_in_no_case(address: str) -> None:
    """Not in development, and not where everything is allowed."""
    assert not takes(Reach.dev(), address)
    assert not takes(Reach.server(), address)
    assert not takes(EVERYTHING, address)


@pytest.mark.parametrize("address", PRIVATE + PUBLIC + LOOPBACK)
def test_in_development_this_machine_alone_is_called(address: str) -> None:
    """Whatever the name was."""
    assert takes(Reach.dev(), address) == (address in LOOPBACK)


@pytest.mark.parametrize("address", PRIVATE + PUBLIC + LOOPBACK)
def test_a_server_calls_what_is_public_or_allowed(address: str) -> None:
    """Allowed by its network, by itself, or by the name that led there; no other name, no other network."""
    assert takes(Reach.server(), address) == (address in PUBLIC)
    assert takes(EVERYTHING, address)
    assert takes(Reach.server([address]), address)
    assert takes(Reach.server(["Shop.example"]), address)
    assert takes(Reach.server(["other.example", "10.9.0.0/16"]), address) == (address in PUBLIC)


def test_a_refusal_says_what_to_do() -> None:
    """The address that the name led to, and how it is allowed where it can be."""
    with pytest.raises(UrlRefused, match=r"http://shop\.example is at 10\.1\.2\.3.*FLOWGEN_APP_HOSTS=shop\.example"):
        Reach.server().check(ANY, ip_address("10.1.2.3"))
    with pytest.raises(UrlRefused, match="not this machine"):
        Reach.dev().check(ANY, ip_address("10.1.2.3"))


@pytest.mark.parametrize("entry", ["", "10.1.0.0/99", "a b", "http://shop.example", "10.1.2", "shop.example:80", "*"])
def test_what_cannot_be_allowed_is_refused(entry: str) -> None:
    """An allow-list with a mistake in it must not be one that allows less, or more, than was meant."""
    with pytest.raises(InvalidInput, match="network"):
        Reach.server([entry])
