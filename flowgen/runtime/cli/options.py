"""The options that many commands share, and how what is typed becomes a value."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from ...duration import MAX_SPAN, parse_duration
from ...errors import DefinitionError
from ..strict_json import BadJson, parse
from .faults import Fault

F = TypeVar("F", bound=Callable[..., Any])

STATUSES = "scheduled blocked collecting running waiting cancelling parked completed failed cancelled skipped".split()
DEFAULT_DB = "sqlite:///flowgen.db"

_NEAR = 20


def refuse_repeats(command: click.Command) -> None:
    """Let a command, and those below it, refuse an option that is said twice: which of the two is meant?"""
    if isinstance(command, click.Group):
        for each in command.commands.values():
            refuse_repeats(each)
        return
    parse = command.parse_args

    def parse_once(context: click.Context, arguments: list[str]) -> list[str]:
        _, _, order = command.make_parser(context).parse_args(list(arguments))
        said = [each for each in order if isinstance(each, click.Option) and not each.multiple]
        for option in said:
            if said.count(option) > 1:
                raise click.UsageError(f"Option '{option.opts[0]}' is there twice; say it once.", context)
        return parse(context, arguments)

    setattr(command, "parse_args", parse_once)  # noqa: B010 - an object of its own, and not for its class


def db_option(command: F) -> F:
    """`--db URL`: the store."""
    return click.option(
        "--db",
        metavar="URL",
        envvar="FLOWGEN_DB",
        default=DEFAULT_DB,
        show_default=True,
        help="The store: sqlite:///relative.db, sqlite:////absolute.db, or what a plug-in offers.",
    )(command)


def engine_db_option(command: F) -> F:
    """`--db URL` for an engine: also as `FLOWGEN_DB`."""
    return click.option(
        "--db",
        metavar="URL",
        envvar="FLOWGEN_DB",
        show_envvar=True,
        default=DEFAULT_DB,
        show_default=True,
        help="The store: sqlite:///relative.db, sqlite:////absolute.db, memory://, or what a plug-in offers.",
    )(command)


def json_option(command: F) -> F:
    """`--json`: the answer for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, also for errors.")(command)


def limit_option(command: F) -> F:
    """`--limit` and `--cursor`: a page of a list."""
    command = click.option("--cursor", help="Where the page before said that the next begins.")(command)
    return click.option(
        "--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many to list."
    )(command)


def data_option(command: F) -> F:
    """`--data JSON`, or `--data -` for standard input."""
    return click.option(
        "--data", metavar="JSON", default="{}", show_default=True, help="The data; - reads it from standard input."
    )(command)


def parse_data(text: str) -> Any:
    """The JSON value of `--data`, read as a stranger's is; a fault that says where it stops being JSON."""
    what = "--data"
    if text == "-":
        what, text = "standard input", _standard_input()
    try:
        return parse(text.encode(errors="surrogatepass"), what)
    except BadJson as bad:
        near = "" if bad.at is None else f", near {text[max(0, bad.at - _NEAR) : bad.at + _NEAR]!r}"
        raise Fault("invalid_json", bad.message + near) from None


def parse_time(option: str, text: str | None) -> datetime | None:
    """A time as it is typed: ISO 8601 (in UTC where it has no zone), or how long ago."""
    if text is None:
        return None
    try:
        return datetime.now(UTC) - timedelta(microseconds=parse_duration(text, option, maximum=MAX_SPAN))
    except DefinitionError:
        pass
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f'{option} {text}: write a time such as 2026-01-31T08:00:00+01:00, or how long ago, such as "7d"'
        raise Fault("usage", message) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise Fault("invalid_json", f"standard input is not UTF-8 text: {error}") from None
