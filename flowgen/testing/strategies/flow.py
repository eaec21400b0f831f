"""Options of flow control that a workflow accepts together."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ...errors import DefinitionError
from ...flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    check_policies,
)
from .expressions import FIELDS

_KEYS = st.none() | st.sampled_from(FIELDS).map("event.data.{}".format)
_COUNTS = st.integers(1, 20)
_SPANS = st.sampled_from(["1s", "10s", "1m", "1h", "1d"])
_CONCURRENCIES = st.builds(Concurrency, _COUNTS, key=_KEYS, scope=st.sampled_from(["workflow", "app"]))
_CANCELS = st.builds(
    CancelOn,
    st.sampled_from(["order/cancelled", "all/stopped"]),
    match=st.none() | st.sampled_from(FIELDS).map("data.{}".format),
    timeout=st.none() | _SPANS,
)

_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "concurrency": st.lists(_CONCURRENCIES, min_size=1, max_size=2),
    "throttle": st.builds(Throttle, _COUNTS, _SPANS, key=_KEYS, burst=st.integers(1, 5)),
    "rate_limit": st.builds(RateLimit, _COUNTS, _SPANS, key=_KEYS),
    "debounce": st.builds(Debounce, st.sampled_from(["1s", "1m"]), key=_KEYS, max_wait=st.none() | st.just("1h")),
    "batch": st.builds(Batch, _COUNTS, st.sampled_from(["1s", "1m"]), key=_KEYS),
    "priority": st.builds(Priority, st.sampled_from(["120", "event.data.a == 1 ? 60 : 0", "event.data.b"])),
    "singleton": st.builds(Singleton, key=_KEYS, mode=st.sampled_from(["skip", "cancel"])),
    "idempotency": st.sampled_from(FIELDS).map("event.data.{}".format),
    "cancel_on": st.lists(_CANCELS, min_size=1, max_size=2),
    "timeouts": st.builds(Timeouts, start=_SPANS, finish=st.none() | _SPANS),
}


def policies(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    """Options for `@app.workflow(**options)` that are accepted together: some of these, by default of all.

    >>> policies("concurrency", "throttle").validate()
    """
    for name in names:
        if name not in _OPTIONS:
            raise DefinitionError(f"policies({name!r}): there is no such option; there are {', '.join(_OPTIONS)}")
    chosen = {name: _OPTIONS[name] for name in names or _OPTIONS}
    return st.fixed_dictionaries({}, optional=chosen).map(_accepted)


def _accepted(options: dict[str, Any]) -> dict[str, Any]:
    """The options, without the last ones that clash with those before them."""
    kept: dict[str, Any] = {}
    for name, option in options.items():
        for given in (option, option[:1] if isinstance(option, list) else None):
            if given is not None and _goes(kept | {name: given}):
                kept[name] = given
                break
    return kept


def _goes(options: dict[str, Any]) -> bool:
    try:
        check_policies("policies", "app/workflow", **options)
    except DefinitionError:
        return False
    return True
