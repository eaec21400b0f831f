"""The context: what a workflow's body may know, all of it deterministic.

* `now` is the time of the newest record that the body was fed, not of any clock.
* `random` and `uuid()` are seeded by (seed of the run, scope): the n-th draw in a scope is the same
  whatever other branches do, and drawing numbers does not change the uuids.
* `logger` is silent while a history is replayed; otherwise its lines wait here until the runtime takes
  them, with the commit that they precede.

The interpreter moves it through the attributes `_clock`, `_scope` and `_replaying`, which are its alone.
There may be a hundred thousand contexts in a process, so what a body does not use is not made.

Refuses to know where log lines go, and what the history says.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from random import Random
from typing import Any, ClassVar, Generic, overload
from uuid import UUID

import attrs
from typing_extensions import TypeVar

from .duration import instant, moment
from .events import Event, as_event, is_event_class
from .values import NotData

E_co = TypeVar("E_co", covariant=True, default=dict[str, Any])
E = TypeVar("E")

DEBUG, INFO, WARNING, ERROR = 10, 20, 30, 40


@attrs.frozen
class LogLine:
    """A line that a body logged: a level as in `logging`, the text, and fields that belong to it."""

    level: int
    message: str
    extra: Mapping[str, Any] = attrs.Factory(dict)


@attrs.define(init=False, eq=False, repr=False, weakref_slot=False)
class Context(NotData, Generic[E_co]):
    """What a workflow's function is given.

    ::

        def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
            deadline = ctx.now + timedelta(days=2)
            order_id = ctx.event.data.order_id

    `event` is the event that started the run, `events` all of them (more than one in a batch);
    `run_id` and `workflow_id` say who is running.
    """

    _instead: ClassVar[str] = "pass what is needed of it, such as ctx.event.data; a step knows its run by step_info()"

    event: Event[E_co]
    events: tuple[Event[E_co], ...]
    run_id: str
    workflow_id: str
    _seed: int
    _clock: int
    _scope: str
    _replaying: bool
    _randoms: dict[str, Random] | None
    _uuids: dict[str, int] | None
    _logger: Logger | None

    def __init__(
        self, events: Sequence[Event[E_co]], *, run_id: str, workflow_id: str, seed: int, clock: int = 0
    ) -> None:
        """For the runtime; in tests use `Context.of`. `clock` is in microseconds."""
        self.events = tuple(events)
        self.event = self.events[0]
        self.run_id = run_id
        self.workflow_id = workflow_id
        self._seed = seed
        self._clock = clock
        self._scope = ""
        self._replaying = False
        self._randoms = None
        self._uuids = None
        self._logger = None

    @overload
    @classmethod
    def of(
        cls,
        data: dict[str, Any] | None = ...,
        event: str = ...,
        *,
        run_id: str = ...,
        workflow_id: str = ...,
        now: datetime | None = ...,
        seed: int = ...,
    ) -> Context[dict[str, Any]]: ...
    @overload
    @classmethod
    def of(
        cls,
        data: Event[E],
        event: str = ...,
        *,
        run_id: str = ...,
        workflow_id: str = ...,
        now: datetime | None = ...,
        seed: int = ...,
    ) -> Context[E]: ...
    @overload
    @classmethod
    def of(
        cls,
        data: E,
        event: str = ...,
        *,
        run_id: str = ...,
        workflow_id: str = ...,
        now: datetime | None = ...,
        seed: int = ...,
    ) -> Context[E]: ...
    @classmethod
    def of(
        cls,
        data: Any = None,
        event: str = "test/event",
        *,
        run_id: str = "test-run",
        workflow_id: str = "test-workflow",
        now: datetime | None = None,
        seed: int = 0,
    ) -> Context[Any]:
        """A context for a test, of the event's data, of an instance of an event class, or of an `Event`.

        `event` names the event when `data` is a dict. `now` is the start of 2026 if not given.

        >>> Context.of({"order_id": "7"}).event.data["order_id"]
        '7'
        """
        clock = _TEST_NOW if now is None else instant(now, "now of Context.of")
        return Context([_test_event(data, event)], run_id=run_id, workflow_id=workflow_id, seed=seed, clock=clock)

    @property
    def now(self) -> datetime:
        """The time of the newest recorded happening, aware, in UTC; at first when the run was started."""
        return moment(self._clock)

    @property
    def random(self) -> Random:
        """The random numbers of this branch of the body."""
        if self._randoms is None:
            self._randoms = {}
        generator = self._randoms.get(self._scope)
        if generator is None:
            generator = self._randoms[self._scope] = Random(self._digest("random", 0))
        return generator

    def uuid(self) -> UUID:
        """A new random UUID: the same one on each replay."""
        if self._uuids is None:
            self._uuids = {}
        count = self._uuids.get(self._scope, 0)
        self._uuids[self._scope] = count + 1
        return UUID(int=self._digest("uuid", count), version=4)

    @property
    def logger(self) -> Logger:
        """Logs what the body does, once: silent while its history is replayed."""
        if self._logger is None:
            self._logger = Logger(self)
        return self._logger

    def take_lines(self) -> list[LogLine]:
        """The lines logged since the last call, oldest first. For the runtime."""
        return [] if self._logger is None else self._logger.take_lines()

    def _digest(self, purpose: str, count: int) -> int:
        """128 bits that depend on the run's seed, the scope, the purpose and the count, and on nothing else."""
        text = f"{self._seed}\x00{purpose}\x00{count}\x00{self._scope}"
        return int.from_bytes(blake2b(text.encode(), digest_size=16).digest())

    def __repr__(self) -> str:
        return f"<Context of run {self.run_id!r} of {self.workflow_id!r}>"


@attrs.define(eq=False, repr=False)
class Logger:
    """The logger of a body. As in `logging`: a message, what to put into its `%s`, and `extra` fields.

    A message that does not fit its arguments is kept with them beside it; logging never raises, because
    it would then raise on the first run and not on a replay.
    """

    _context: Context[Any]
    _lines: list[LogLine] = attrs.Factory(list)

    def debug(self, message: object, *args: object, **options: Any) -> None:
        """Log at level DEBUG; options as for `log`."""
        self.log(DEBUG, message, *args, **options)

    def info(self, message: object, *args: object, **options: Any) -> None:
        """Log at level INFO; options as for `log`."""
        self.log(INFO, message, *args, **options)

    def warning(self, message: object, *args: object, **options: Any) -> None:
        """Log at level WARNING; options as for `log`."""
        self.log(WARNING, message, *args, **options)

    def error(self, message: object, *args: object, **options: Any) -> None:
        """Log at level ERROR; options as for `log`."""
        self.log(ERROR, message, *args, **options)

    def exception(self, message: object, *args: object, **options: Any) -> None:
        """Log at level ERROR, with the trace of the error that is being handled."""
        self.log(ERROR, message, *args, **{**options, "exc_info": True})

    def log(
        self,
        level: int,
        message: object,
        *args: object,
        extra: Mapping[str, Any] | None = None,
        exc_info: object = None,
        stack_info: bool = False,
        stacklevel: int = 1,
    ) -> None:
        """Log at a numeric level. Options as in `logging`: `extra` are fields of the line, `exc_info` adds the
        trace of the error that is being handled (or of the one given) as its field `trace`; the stack of a
        body says nothing, so `stack_info` and `stacklevel` are accepted and have no effect."""
        if self._context._replaying:
            return
        fields = dict(extra or {})
        if exc_info:
            fields["trace"] = _trace_of(exc_info)
        self._lines.append(LogLine(level, _text(message, args), fields))

    def take_lines(self) -> list[LogLine]:
        """The lines logged since the last call, oldest first."""
        lines = self._lines
        if lines:
            self._lines = []
        return lines


_TEST_NOW = 1_767_225_600_000_000


def _test_event(data: Any, name: str) -> Event[Any]:
    if isinstance(data, Event) or is_event_class(type(data)):
        return as_event(data)
    return Event(name, {} if data is None else data)


def _trace_of(exc_info: object) -> str:
    """The trace of an error, or of the one that is being handled; nothing if there is none."""
    error = exc_info if isinstance(exc_info, BaseException) else sys.exc_info()[1]
    return "".join(traceback.format_exception(error)) if error is not None else ""


def _text(message: object, args: tuple[object, ...]) -> str:
    try:
        text = str(message)
        return text % args if args else text
    except Exception as error:
        return f"{message!r} with {len(args)} arguments could not be formatted: {type(error).__name__}"
