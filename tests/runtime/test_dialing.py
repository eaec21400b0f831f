"""Dialing: connections go to the address that was checked."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, create_default_context

import pytest
import trio
import trio.testing

from flowgen.runtime.addresses import AppUrl, Reach, UrlRefused
from flowgen.runtime.dialing import CannotDial, Dialer, system_resolver


class Resolver:
    """Gives other answers each time it is asked, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append((name, port))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


@asynccontextmanager
async def listening(*hosts: str, tls: SSLContext | None = None) -> AsyncIterator[tuple[int, list[str]]]:
    """Listeners at one port of some addresses; gives the port, and at which of them a connection was taken."""
    taken: list[str] = []

    async def take(stream: trio.SocketStream) -> None:
        taken.append(stream.socket.getsockname()[0])
        served = stream if tls is None else trio.SSLStream(stream, tls, server_side=True)
        async with served:
            try:
                await served.send_all(b"hello")
            except trio.BrokenResourceError:
                """The client did not like the certificate."""

    async with trio.open_nursery() as nursery:
        port = 0
        for host in hosts:
            listeners = await nursery.start(partial(trio.serve_tcp, take, port, host=host))
            port = listeners[0].socket.getsockname()[1]
        yield port, taken
        nursery.cancel_scope.cancel()


async def said(dialer: Dialer, url: str) -> bytes:
    """What is heard at a URL."""
    async with await dialer.connect(AppUrl.parse(url)) as stream:
        return bytes(await stream.receive_some(5))


async def test_a_name_that_flips_is_called_where_it_was_checked() -> None:
    """It is looked up once for a connection, and the connection is to that answer."""
    async with listening("127.0.0.1", "127.0.0.2") as (port, taken):
        resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
        assert await said(Dialer(Reach.server(["127.0.0.1"]), resolver), f"http://app.example:{port}/") == b"hello"
        assert taken == ["127.0.0.1"]
        assert resolver.asked == [("app.example", port)]


async def test_each_connection_is_checked() -> None:
    """A name that was good is refused when it has flipped, and nothing is connected to."""
    async with listening("127.0.0.1", "127.0.0.2") as (port, taken):
        dialer = Dialer(Reach.server(["127.0.0.1"]), Resolver(["127.0.0.1"], ["127.0.0.2"]))
        await said(dialer, f"http://app.example:{port}/")
        with pytest.raises(UrlRefused, match=r"127\.0\.0\.2"):
            await dialer.connect(AppUrl.parse(f"http://app.example:{port}/"))
        assert taken == ["127.0.0.1"]


@pytest.mark.parametrize("answer", [["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"], ["127.0.0.1", "fe80::1%lo"]])
async def test_one_forbidden_address_refuses_the_name(answer: list[str]) -> None:
    """Whatever the others are, and in whatever order."""
    async with listening("127.0.0.1") as (port, taken):
        with pytest.raises(UrlRefused):
            await Dialer(Reach.dev(), Resolver(answer)).connect(AppUrl.parse(f"http://app.example:{port}/"))
        assert taken == []


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[::ffff:127.0.0.1]", "0.0.0.0", "[64:ff9b::7f00:1]", "10.0.0.1", "8.8.8.8"],
)
async def test_what_is_written_as_an_address_is_checked_too(host: str) -> None:
    """And not looked up."""
    resolver = Resolver(["127.0.0.1"])
    with pytest.raises(UrlRefused):
        await Dialer(Reach.dev(), resolver).connect(AppUrl.parse(f"http://{host}:3000/"))
    assert resolver.asked == []


async def test_the_first_address_that_answers_is_taken() -> None:
    """An app that listens at one address of `localhost` is found, whichever comes first."""
    async with listening("127.0.0.2") as (port, taken):
        dialer = Dialer(Reach.dev(), Resolver(["127.0.0.1", "::1", "127.0.0.2"]))
        assert await said(dialer, f"http://localhost:{port}/") == b"hello"
        assert taken == ["127.0.0.2"]


async def test_what_cannot_be_reached_says_why() -> None:
    """A name that nobody knows, one without addresses, and an address where nobody listens."""
    async with listening("127.0.0.1") as (port, _):
        free = AppUrl.parse(f"http://localhost:{port}/")
        with pytest.raises(CannotDial, match=r"127\.0\.0\.3: Connection refused"):
            await Dialer(Reach.dev(), Resolver(["127.0.0.3"])).connect(free)
        with pytest.raises(CannotDial, match="no address"):
            await Dialer(Reach.dev(), Resolver([])).connect(free)

    async def unknown(name: str, port: int) -> Sequence[str]:
        raise OSError(-2, "Name or service not known")

    with pytest.raises(CannotDial, match="Name or service not known"):
        await Dialer(Reach.dev(), unknown).connect(free)


async def test_dialing_takes_no_longer_than_it_may(autojump_clock: trio.testing.MockClock) -> None:
    """A resolver that never answers is given up."""

    async def never(name: str, port: int) -> Sequence[str]:
        await trio.sleep_forever()
        raise AssertionError

    with pytest.raises(CannotDial, match="within 10 s"):
        await Dialer(Reach.dev(), never).connect(AppUrl.parse("http://localhost:3000/"))


async def test_the_system_knows_localhost() -> None:
    """As addresses of the loopback."""
    assert {"127.0.0.1", "::1"} >= set(await system_resolver("localhost", 80)) != set()


# -- TLS -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of app.example."""
    folder = tmp_path_factory.mktemp("tls")
    key, made = folder / "key.pem", folder / "cert.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", "/CN=app.example", "-addext", "subjectAltName=DNS:app.example"]
    subprocess.run([*command, "-keyout", key, "-out", made], check=True, capture_output=True)
    return key, made


async def test_the_certificate_is_that_of_the_name(certificate: tuple[Path, Path]) -> None:
    """Though the connection is to an address; that of another name is refused."""
    key, made = certificate
    server = SSLContext(PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made, key)
    async with listening("127.0.0.1", tls=server) as (port, _):
        dialer = Dialer(Reach.dev(), Resolver(["127.0.0.1"]), create_default_context(cafile=str(made)))
        assert await said(dialer, f"https://app.example:{port}/") == b"hello"
        with pytest.raises(CannotDial, match="Hostname mismatch"):
            await dialer.connect(AppUrl.parse(f"https://other.example:{port}/"))
        with pytest.raises(CannotDial, match="self-signed"):
            await Dialer(Reach.dev(), Resolver(["127.0.0.1"])).connect(AppUrl.parse(f"https://app.example:{port}/"))


async def test_tls_with_what_speaks_none_ends() -> None:
    """And says so."""
    async with listening("127.0.0.1") as (port, _):
        with pytest.raises(CannotDial, match="SSL"):
            await Dialer(Reach.dev(), Resolver(["127.0.0.1"])).connect(AppUrl.parse(f"https://app.example:{port}/"))
