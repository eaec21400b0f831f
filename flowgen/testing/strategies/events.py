"""Events: of classes or of names, what starts a workflow, and when events come."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from ...duration import SECOND, format_duration, parse_duration
from ...errors import DefinitionError
from ...events import Event, check_sendable, event_name, is_event_class
from ...workflow import Workflow
from .values import MOST_ITEMS, Strategy, json_values, values

_NAMES = st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}", fullmatch=True)
_KEYS = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
_DATA = st.dictionaries(_KEYS, json_values(), max_size=MOST_ITEMS)


def events(*kinds: type | str, data: Strategy | None = None, ids: Strategy | None = None) -> Strategy:
    """Events of these kinds: event classes, or names; of any name, if none is given.

    `data` is what they carry (default: what the class's fields say, or any small object), and `ids` are the users'
    ids (default: none), such as `st.sampled_from(["a", "b"])` where events should repeat.

    >>> events("order/placed", data=st.just({"order_id": "7"})).validate()
    """
    if not kinds:
        return st.builds(Event, _NAMES, _DATA if data is None else data, st.none() if ids is None else ids)
    return st.one_of([_events_of(kind, data, ids) for kind in kinds])


def _events_of(kind: Any, data: Strategy | None, ids: Strategy | None) -> Strategy:
    match kind:
        case str():
            return _named(check_sendable(kind), _DATA if data is None else data, ids)
        case type() if is_event_class(kind):
            return _named(event_name(kind), values(kind) if data is None else data, ids)
    raise DefinitionError(f"events({kind!r:.100}): it is neither an event's name nor a class with @event_type")


def _named(name: str, data: Strategy, ids: Strategy | None) -> Strategy:
    """Events of one name. (To draw what is always the same costs as much as to draw what is not.)"""
    if ids is None:
        return data.map(lambda data: Event(name, data))
    return st.tuples(data, ids).map(lambda drawn: Event(name, *drawn))


def data_of(workflow: Workflow[Any, Any]) -> Strategy:
    """The data that starts a workflow: instances of its event class, or any small object if it has none."""
    return _DATA if workflow.event_class is None else values(workflow.event_class)


def durations(maximum: str | float | timedelta = "8d") -> st.SearchStrategy[str]:
    """Durations as text, up to a maximum: zero, moments, minutes, days."""
    greatest = parse_duration(maximum, "maximum of durations")
    scales = [scale for scale in (1_000, SECOND, 60 * SECOND, 3600 * SECOND, 24 * 3600 * SECOND) if scale <= greatest]
    if not scales:
        return st.integers(0, greatest).map(format_duration)
    spans = [st.integers(0, min(90, greatest // scale)).map(scale.__mul__) for scale in scales]
    return st.one_of(spans).map(format_duration)


def interleavings(
    *streams: Strategy, within: str | float | timedelta = "8d", most: int = 6
) -> st.SearchStrategy[list[tuple[str, Any]]]:
    """What happens when: `[(at, event), …]` for `simulate`, in the order of the times, at most so many.

    Each stream is a strategy of events, or of `Start`, `Cancel`, `Signal`, `Retry`; each may come several times
    or not at all, and in any order.

    >>> interleavings(events("order/approved"), within="2d").validate()
    """
    if not streams:
        return st.just([])
    greatest = parse_duration(within, "within of interleavings")
    items = st.lists(st.tuples(durations(within), st.one_of(streams)), max_size=most)
    return items.map(lambda given: _in_order(given, greatest))


def _in_order(items: Sequence[tuple[str, Any]], greatest: int) -> list[tuple[str, Any]]:
    return sorted(items, key=lambda item: parse_duration(item[0], "an interleaving", maximum=greatest))
