"""`flowgen dev`, `flowgen server` and `flowgen worker`: an engine for some apps, with HTTP and without.

==========  =========================================================================================
`dev`       HTTP, a running commentary, and a supervisor, which starts the engine again when it died or,
            with `--reload`, when its code has changed
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
from .options import engine_db_option
from .settings import check_environment

if TYPE_CHECKING:
    import socket

    from ...app import App
    from ..http.settings import Settings

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


@click.command()
@_targets_argument
@engine_db_option
@_http_options
@click.option("--reload", is_flag=True, help="Start the engine again when the code has changed; open runs go on.")
@click.option("--payloads", is_flag=True, help="Show also what events carry and steps return.")
@click.option("--supervised", hidden=True, help="What a supervisor gives to its engine.")
def dev(
    target: tuple[str, ...],
    db: str,
    host: str,
    port: int,
    auth_token: str | None,
    reload: bool,
    payloads: bool,
    supervised: str | None,
) -> int:
    """Run an engine for TARGETs with a web page, and print what happens as it happens.

    A TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App.
    Ctrl-C drains and stops; a second one stops at once.
    """
    settings = _settings(host, auth_token)
    if supervised is not None:
        return _work(target, db, host, settings, supervised, payloads)

    from ..http.sockets import bind
    from .supervisor import supervise

    sockets = bind(host, port)
    arguments = ["dev", *target, "--db", db, "--host", host, *(["--payloads"] if payloads else [])]
    return supervise(arguments, target if reload else (), sockets, settings)


@click.command()
@_targets_argument
@engine_db_option
@_http_options
def server(target: tuple[str, ...], db: str, host: str, port: int, auth_token: str | None) -> int:
    """Run an engine for TARGETs with HTTP, for production; log lines go to standard error.

    FLOWGEN_AUTH_TOKEN, FLOWGEN_EVENT_KEY, FLOWGEN_SIGNING_KEY and FLOWGEN_HOSTS say who may call it, and by which
    names; FLOWGEN_DB where the store is. SIGTERM drains and stops; a second one stops at once.
    """
    settings = _settings(host, auth_token, production=True)
    apps = _apps(target)

    from ..http.sockets import bind

    return _run(apps, db, host, settings, bind(host, port))


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


def _work(targets: Sequence[str], db: str, host: str, settings: Settings, supervised: str, payloads: bool) -> int:
    """Be the process that a supervisor has started: with its sockets, and for as long as it lives."""
    from .supervisor import Leash

    leash = Leash.read(supervised)
    leash.heed()
    return _run(_apps(targets), db, host, settings, leash.sockets, narrated=True, payloads=payloads, supervised=True)


def _run(
    apps: Sequence[tuple[str, App]],
    db: str,
    host: str,
    settings: Settings,
    sockets: Sequence[socket.socket],
    **more: bool,
) -> int:
    import trio

    from .service import Door, Plan, serve

    try:
        import httptools  # noqa: F401
        import jinja2  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise Fault("extra", f"{error.name} is not installed: pip install 'flowgen-workflows[server]'") from None
    try:
        return trio.run(serve, Plan(apps, db, door=Door(host, sockets, settings), **more))
    finally:
        for each in sockets:
            each.close()


def _settings(host: str, token: str | None, *, production: bool = False) -> Settings:
    """Who may call: as the environment says, and with this token. A fault if others could call without one."""
    from ..http.settings import Settings
    from ..http.sockets import is_loopback

    check_environment(os.environ)
    settings = Settings.from_environment()
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
