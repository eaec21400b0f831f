"""`flowgen dev` and `flowgen worker`: an engine for one app, with and without a running commentary."""

from __future__ import annotations

import click

from .options import db_option


@click.command()
@click.argument("target")
@db_option
@click.option("--payloads", is_flag=True, help="Show also what events carry and steps return.")
def dev(target: str, db: str, payloads: bool) -> int:
    """Run an engine for TARGET and print what happens as it happens.

    TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App.
    Ctrl-C drains and stops; a second one stops at once.
    """
    return _serve(target, db, narrated=True, payloads=payloads)


@click.command()
@click.argument("target")
@db_option
def worker(target: str, db: str) -> int:
    """Run an engine for TARGET; log lines go to standard error.

    TARGET is module:app or path/to/file.py:app; ":app" may be left out where there is one App.
    SIGTERM drains and stops; a second one stops at once.
    """
    return _serve(target, db, narrated=False, payloads=False)


def _serve(target: str, db: str, *, narrated: bool, payloads: bool) -> int:
    from .target import load_app

    app = load_app(target)

    import trio

    from .service import serve

    return trio.run(serve, app, target, db, narrated, payloads)
