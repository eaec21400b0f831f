"""Another time of day, year and weekday for this process: what depends on the clock shows by being different.

The functions of `time` are replaced, and the constructors of `datetime` that look at the clock: in place, in the
class itself, because a substitute class would not be the one that annotations and values name. Python offers no door
for that, so it is done through the dict below the class's read-only view of it; only ever in a process whose whole
purpose is to find out what depends on the clock.

Monotonic clocks stay: they begin somewhere anyway, and the event loop lives by them.
"""

from __future__ import annotations

import ctypes
import datetime
import gc
import time
from collections.abc import Callable
from typing import Any

SHIFT = ((403 * 24 + 7) * 60 + 13) * 60 * 1_000_000
"""Microseconds: to another year, month, weekday, hour and minute."""

_BROKEN_DOWN = ("localtime", "gmtime", "ctime")


def shift_clock(micros: int) -> None:
    """From now on the clock shows so much more."""
    delta = datetime.timedelta(microseconds=micros)
    now, utc_time, time_ns = datetime.datetime.now, time.time, time.time_ns

    def today(cls: Any) -> Any:
        return cls.fromtimestamp((now() + delta).timestamp())

    _put(datetime.datetime, "now", classmethod(lambda cls, tz=None: cls.fromtimestamp(utc_time() + micros / 1e6, tz)))
    _put(datetime.datetime, "utcnow", classmethod(lambda cls: _naive_utc(cls, utc_time() + micros / 1e6)))
    _put(datetime.datetime, "today", classmethod(today))
    _put(datetime.date, "today", classmethod(today))
    time.time = lambda: utc_time() + micros / 1e6
    time.time_ns = lambda: time_ns() + micros * 1_000
    for name in _BROKEN_DOWN:
        setattr(time, name, _shifted(getattr(time, name)))
    strftime = time.strftime
    time.strftime = lambda form, *given: strftime(form, *(given or (time.localtime(),)))


def _naive_utc(cls: Any, seconds: float) -> Any:
    return cls.fromtimestamp(seconds, datetime.UTC).replace(tzinfo=None)


def _shifted(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda seconds=None: function(time.time() if seconds is None else seconds)


def _put(cls: type, name: str, value: Any) -> None:
    """Set an attribute of a class that is written in C."""
    (namespace,) = gc.get_referents(cls.__dict__)
    namespace[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))
