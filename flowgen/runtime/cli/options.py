"""The options that many commands share, and how what is typed becomes a value."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, NoReturn, TypeVar

import click

from ...duration import MAX_SPAN, parse_duration
from ...errors import DefinitionError, InvalidInput
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
    """The JSON value of `--data`; a fault that says where it stops being JSON.

    Raises `InvalidInput` for a key that one object has twice: which of its values was meant is not for us to say.
    """
    what = "--data"
    if text == "-":
        what, text = "standard input", _standard_input()
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=partial(_object, what))
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - _NEAR) : error.pos + _NEAR]
        place = f"line {error.lineno}, column {error.colno}"
        raise Fault("invalid_json", f"{what} is not JSON: {error.msg} at {place}, near {near!r}") from None
    except RecursionError:
        raise Fault("invalid_json", f"{what} is nested too deeply") from None
    except ValueError as error:
        raise Fault("invalid_json", f"{what} is not JSON: {error}") from None


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


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(what: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in made if keys.count(key) > 1)
        raise InvalidInput(f"{what}: the key {twice!r:.100} is there twice in one object; say it once")
    return made


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise Fault("invalid_json", f"standard input is not UTF-8 text: {error}") from None
