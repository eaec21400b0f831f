"""`flowgen dev`, `flowgen server` and `flowgen worker`: an engine for some apps, with HTTP and without.

==========  =========================================================================================
`dev`       HTTP, a running commentary, what the linter finds, and a supervisor, which starts the engine
            again when it died or, with `--reload`, when its code has changed
`server`    HTTP; whoever supervises services does so here
`worker`    no HTTP
==========  =========================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from .faults import Fault
from .lint import remark
from .options import engine_db_option
from .settings import check_environment

if TYPE_CHECKING:
    import socket

    from ...app import App
    from ..http.settings import Settings
    from .service import Elsewhere

F = TypeVar("F", bound=Callable[..., Any])


def _http_options(command: F) -> F:
    """`--host`, `--port` and `--auth-token`."""
    for option in (
        click.option(
            "--auth-token",
            metavar="TOKEN",
            help="Callers must say it: needed off loopback. FLOWGEN_AUTH_TOKEN keeps it out of the process list.",
        ),
        click.option("--port", type=int, default=8288, show_default=True, help="Where to listen; 0 is any free port."),
        click.option("--host", default="127.0.0.1", show_default=True, help="Off loopback a token is needed."),
    ):
        command = option(command)
    return command


def _targets_argument(command: F) -> F:
    return click.argument("target", nargs=-1, required=True)(command)


def _urls_option(command: F) -> F:
    """`-u URL`: apps that are elsewhere."""
    return click.option(
        "-u",
        "--sdk-url",
        "urls",
        metavar="URL",
        multiple=True,
        help="Where an app serves its functions over HTTP, such as http://127.0.0.1:3000/api/inngest; again for more.",
    )(command)


@click.command()
@click.argument("target", nargs=-1)
@engine_db_option
@_http_options
@_urls_option
@click.option(
    "--discover/--no-discover",
    default=None,
    help="Look for apps at the usual ports of this machine; so it does where neither TARGET nor -u is said.",
)
@click.option("--reload", is_flag=True, help="Start the engine again when the code has changed; open runs go on.")
@click.option("--payloads", is_flag=True, help="Show also what events carry and steps return.")
@click.option("--supervised", hidden=True, help="What a supervisor gives to its engine.")
def dev(
    target: tuple[str, ...],
    db: str,
    host: str,
    port: int,
    auth_token: str | None,
    urls: tuple[str, ...],
    discover: bool | None,
    reload: bool,
    payloads: bool,
    supervised: str | None,
) -> int:
    """Run an engine for TARGETs with a web page, and print what happens as it happens.

    A TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App. Apps that serve their
    functions over HTTP, in any language, are named by -u, or found; then no TARGET is needed.
    Ctrl-C drains and stops; a second one stops at once.
    """
    settings = _settings(host, auth_token)
    elsewhere = _elsewhere(urls, not target and not urls if discover is None else discover)
    if not target and not urls and not elsewhere.discover:
        raise Fault("usage", "nothing to run: say a TARGET, or -u URL, or leave out --no-discover")
    if supervised is not None:
        return _work(target, db, host, settings, supervised, payloads, elsewhere)

    from ..http.sockets import bind
    from .supervisor import supervise

    sockets = bind(host, port)
    arguments = ["dev", *target, "--db", db, "--host", host, *(["--payloads"] if payloads else [])]
    arguments += [part for url in elsewhere.urls for part in ("-u", url)]
    arguments.append("--discover" if elsewhere.discover else "--no-discover")
    return supervise(arguments, target if reload else (), sockets, settings)


@click.command()
@click.argument("target", nargs=-1)
@engine_db_option
@_http_options
@_urls_option
def server(
    target: tuple[str, ...], db: str, host: str, port: int, auth_token: str | None, urls: tuple[str, ...]
) -> int:
    """Run an engine for TARGETs with HTTP, for production; log lines go to standard error.

    FLOWGEN_AUTH_TOKEN, FLOWGEN_EVENT_KEY, FLOWGEN_SIGNING_KEY and FLOWGEN_HOSTS say who may call it, and by which
    names; FLOWGEN_DB where the store is. Apps that serve their functions over HTTP (-u) are called with signed
    requests, at public addresses and those in FLOWGEN_APP_HOSTS. SIGTERM drains and stops; a second one stops at once.
    """
    settings = _settings(host, auth_token, production=True)
    elsewhere = _elsewhere(urls, False)
    if not target and not urls and not settings.app_keys:
        raise Fault("usage", "nothing to run: say a TARGET or -u URL, or set FLOWGEN_SIGNING_KEY so that apps register")
    if urls and not settings.app_keys:
        raise Fault("no_key", "-u: apps are called with signed requests: set FLOWGEN_SIGNING_KEY to signkey-NAME-HEX")
    apps = _apps(target)

    from ..http.sockets import bind

    return _run(apps, db, host, settings, bind(host, port), elsewhere=elsewhere)


@click.command()
@_targets_argument
@engine_db_option
def worker(target: tuple[str, ...], db: str) -> int:
    """Run an engine for TARGETs without HTTP; log lines go to standard error.

    A TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App.
    SIGTERM drains and stops; a second one stops at once.
    """
    check_environment(os.environ)
    apps = _apps(target)

    import trio

    from .service import Plan, serve

    return trio.run(serve, Plan(apps, db))


def _apps(targets: Sequence[str]) -> list[tuple[str, App]]:
    from .target import load_apps

    return load_apps(targets)


def _elsewhere(urls: Sequence[str], discover: bool) -> Elsewhere:
    """The apps that are elsewhere; their URLs as they are always written. A fault for one that is none."""
    from ..addresses import AppUrl, UrlRefused
    from .service import Elsewhere

    try:
        return Elsewhere(tuple(dict.fromkeys(str(AppUrl.parse(url)) for url in urls)), discover)
    except UrlRefused as error:
        raise Fault("usage", f"-u {error}") from None


def _work(
    targets: Sequence[str],
    db: str,
    host: str,
    settings: Settings,
    supervised: str,
    payloads: bool,
    elsewhere: Elsewhere,
) -> int:
    """Be the process that a supervisor has started: with its sockets, and for as long as it lives."""
    from .supervisor import Leash

    leash = Leash.read(supervised)
    leash.heed()
    apps = _apps(targets)
    for _, app in apps:
        remark(app)
    return _run(
        apps,
        db,
        host,
        settings,
        leash.sockets,
        elsewhere=elsewhere,
        narrated=True,
        payloads=payloads,
        supervised=True,
    )


def _run(
    apps: Sequence[tuple[str, App]],
    db: str,
    host: str,
    settings: Settings,
    sockets: Sequence[socket.socket],
    *,
    elsewhere: Elsewhere,
    **more: bool,
) -> int:
    import trio

    from .service import Door, Plan, serve

    try:
        import graphql  # noqa: F401
        import h11  # noqa: F401
        import httptools  # noqa: F401
        import jinja2  # noqa: F401
        import rfc8785  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn.protocols.websockets.websockets_sansio_impl  # noqa: F401
    except ImportError as error:
        raise Fault("extra", f"{error.name} is not installed: pip install 'flowgen-workflows[server]'") from None
    try:
        return trio.run(serve, Plan(apps, db, door=Door(host, sockets, settings), elsewhere=elsewhere, **more))
    finally:
        for each in sockets:
            each.close()


def _settings(host: str, token: str | None, *, production: bool = False) -> Settings:
    """Who may call: as the environment says, and with this token. A fault if others could call without one."""
    from ..http.settings import Settings
    from ..http.sockets import is_loopback

    check_environment(os.environ)
    settings = attrs.evolve(Settings.from_environment(), dev=not production)
    if token is not None:
        settings = attrs.evolve(settings, auth_tokens=(token, *settings.auth_tokens))
    if settings.auth_tokens:
        return settings
    how = "set one: FLOWGEN_AUTH_TOKEN, or --auth-token TOKEN"
    if not is_loopback(host):
        raise Fault("no_token", f"--host {host} lets other machines in, and there is no token; {how}")
    if production and settings.hosts:
        names = ", ".join(sorted(settings.hosts))
        raise Fault("no_token", f"FLOWGEN_HOSTS lets whoever can call {names} in, and there is no token; {how}")
    return settings
