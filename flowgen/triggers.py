"""Triggers: what makes a workflow start, as values.

`OnEvent` names events, by their full name or by a pattern that ends in `/*` or `.*`, and may ask for more with a
condition. `NameIndex` finds, among many patterns, those that match a name, at a cost that does not grow
with those that do not. `OnCron` is a schedule, and what becomes of ticks that nobody was there for.

Refuses to know: which workflows there are (`workflow`), what starting one means (`decisions`), and what time it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Generic, Literal, TypeVar, get_args

import attrs

from .cron import Cron
from .duration import Micros, format_duration, parse_duration
from .errors import DefinitionError, InvalidInput
from .events import RESERVED_PREFIX, RUN_ENDS, check_event_name, event_name, is_event_class
from .expression import check_expression

T = TypeVar("T")

TRIGGER_VARIABLES = ("event",)

OWN_PATTERNS = (*RUN_ENDS.values(), "flowgen/run.*")
"""Those of flowgen's own events that start workflows."""

CatchUp = Literal["none", "last", "all"]
"""Which of the ticks that passed while no engine ran are made up for."""


@attrs.frozen(init=False)
class OnEvent:
    """Start a run for each event that is called `name` and for which `where` is true.

    `event` is a name, a pattern such as `"order/*"` (every name that begins with `order/`), or an event class:
    then the run's `ctx.event.data` is an instance of it. `where` is an expression over `event`. Of flowgen's own
    events, the ends of runs may be named: `"flowgen/run.failed"`, `.completed`, `.cancelled`, or `"flowgen/run.*"`.

    Raises `DefinitionError` for a name, pattern or expression that can never match.

    >>> OnEvent("order/placed", where="event.data.total > 0").name
    'order/placed'
    """

    name: str
    where: str | None = None
    event_class: type[Any] | None = None

    def __init__(self, event: str | type[Any], where: str | None = None) -> None:
        name = _pattern(event)
        if where is not None:
            check_expression(where, TRIGGER_VARIABLES, f"where of OnEvent({name!r})")
        self.__attrs_init__(name, where, event if isinstance(event, type) else None)

    def __repr__(self) -> str:
        event = repr(self.name) if self.event_class is None else self.event_class.__qualname__
        return f"OnEvent({event})" if self.where is None else f"OnEvent({event}, where={self.where!r})"


def _pattern(event: Any) -> str:
    """The name or pattern that a trigger is written with."""
    if isinstance(event, type) and is_event_class(event):
        return event_name(event)
    if not isinstance(event, str):
        shown = event.__qualname__ if isinstance(event, type) else repr(event)[:100]
        raise DefinitionError(f"OnEvent({shown}): it is neither an event's name nor a class with @event_type")
    try:
        check_event_name(event)
    except InvalidInput as error:
        raise DefinitionError(f"OnEvent: {error}") from None
    if event.startswith(RESERVED_PREFIX) and event not in OWN_PATTERNS:
        raise DefinitionError(
            f"OnEvent({event!r}): of flowgen's own events, these start workflows: {', '.join(OWN_PATTERNS)}"
        )
    star = event.find("*")
    if star >= 0 and (star != len(event) - 1 or not event.endswith(("/*", ".*"))):
        raise DefinitionError(
            f'OnEvent({event!r}): a * may only be the last character, after "/" or "."; it is at character {star + 1}'
        )
    return event


@attrs.frozen(init=False)
class OnCron:
    """Start a run at each tick of a schedule: five fields, in UTC or, after `TZ=Area/City `, where you say.

    `jitter` spreads the starts: each tick is late by up to that much (a duration, shorter than the time between
    two ticks), so that not everything starts on the hour. `catch_up` says what becomes of the ticks that passed
    while no engine ran: `"none"` of them starts a run, only the `"last"` does, or `"all"` do.

    Raises `DefinitionError` for a schedule that cannot be read or can never tick, and for a jitter or catch-up
    that makes no sense.

    >>> OnCron("TZ=Asia/Tokyo 0 9 * * mon", jitter="5m").schedule
    'TZ=Asia/Tokyo 0 9 * * MON'
    """

    schedule: str
    jitter: Micros = 0
    catch_up: CatchUp = "last"

    def __init__(self, schedule: str, jitter: str | float | timedelta = 0, catch_up: CatchUp = "last") -> None:
        cron = Cron(schedule)
        if catch_up not in get_args(CatchUp):
            raise DefinitionError(f"catch_up of {_shown(cron)}: {catch_up!r:.100} is not 'none', 'last' or 'all'")
        self.__attrs_init__(cron.text, _jitter(cron, jitter), catch_up)

    @property
    def cron(self) -> Cron:
        """The schedule's arithmetic."""
        return Cron(self.schedule)

    def __repr__(self) -> str:
        jitter = f", jitter={format_duration(self.jitter)!r}" if self.jitter else ""
        catch_up = f", catch_up={self.catch_up!r}" if self.catch_up != "last" else ""
        return f"OnCron({self.schedule!r}{jitter}{catch_up})"


def _jitter(cron: Cron, jitter: Any) -> Micros:
    """How late a tick may be: never so late that it meets the next one."""
    what = f"jitter of {_shown(cron)}"
    late = parse_duration(jitter, what)
    if late >= cron.shortest_interval:
        raise DefinitionError(
            f"{what}: {format_duration(late)} is not shorter than the {format_duration(cron.shortest_interval)} "
            "between two ticks, so they would meet"
        )
    return late


def _shown(cron: Cron) -> str:
    return f"OnCron({cron.text!r})"


class NameIndex(Generic[T]):
    """Items by the pattern they wait for; `find` gives those of a name, in the order they were added.

    A pattern matches the name that it is or, if it ends in `*`, all that begin with what comes before that.
    """

    def __init__(self, entries: Iterable[tuple[str, T]] = ()) -> None:
        self._entries: dict[str, list[tuple[int, T]]] = {}
        for number, (pattern, item) in enumerate(entries):
            self._entries.setdefault(pattern, []).append((number, item))

    def find(self, name: str) -> list[T]:
        """The items whose pattern matches `name`."""
        found = list(self._entries.get(name, ()))
        for position, character in enumerate(name):
            if character in "/.":
                found += self._entries.get(name[: position + 1] + "*", ())
        return [item for _, item in sorted(found, key=lambda entry: entry[0])]
