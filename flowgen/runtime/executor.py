"""The executor: one attempt of a step's body → its outcome, as data.

Whatever a body does comes back as a value: any exception, `SystemExit` and `KeyboardInterrupt` included,
a result without a JSON form, a time-out. Only a cancellation that is meant for the attempt passes.

Sync bodies run in threads, `async def` ones on trio or, with `loop="asyncio"`, on the asyncio thread.
Whether a function is async is decided once for each function.

Refuses to know: what is recorded of an outcome, and whether it is tried again.
"""

from __future__ import annotations

import contextvars
import copy
import inspect
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any, Protocol

import attrs
import trio

from ..duration import format_duration, moment
from ..errors import DefinitionError, NonRetriableError, RetryAfterError, UnserializableError
from ..outcome import Answered, Failure, Outcome, Raised, Returned, failure_of
from ..retry import retry_after_micros
from ..step import StepInfo, enter, leave
from ..tree import Step
from ..values import Secret, call_arguments, encode
from .asyncio_thread import AsyncioThread
from .environment import Environment
from .threads import Job, ThreadPool

Stub = Callable[..., Any]

_UNCHANGING = frozenset({str, int, float, bool, bytes, type(None)})
_SHORTEST_SECRET = 4


class Bodies(Protocol):
    """What a worker needs of an executor. A simulation has one of its own."""

    @property
    def abandoned(self) -> int: ...
    def run(self, step: Step, run_id: str, default_loop: str) -> Awaitable[Outcome | Answered]: ...
    def close(self) -> None: ...


@attrs.define(eq=False)
class _ScopeFlag:
    """The flag of an attempt on an event loop: set when its cancel scope is."""

    scope: trio.CancelScope

    @property
    def cancelled(self) -> bool:
        return self.scope.cancel_called


class Executor:
    """Runs bodies. Made inside trio; `close` it when the engine ends."""

    def __init__(self, environment: Environment, threads: int = 64) -> None:
        self._environment = environment
        self._pool = ThreadPool(threads)
        self._asyncio = AsyncioThread()

    @property
    def abandoned(self) -> int:
        """How many threads still run a body whose attempt is over."""
        return self._pool.abandoned

    async def run(self, step: Step, run_id: str, default_loop: str) -> Outcome:
        """Run the body of a step once."""
        command = step.command
        timeout = command.timeout
        info = StepInfo(run_id, step.id, step.failures + 1, f"{run_id}/{step.id}")
        try:
            if timeout is None:
                value = await self._call(command, info, default_loop)
            else:
                info.deadline = moment(self._environment.now() + timeout)
                scope = trio.CancelScope()
                with scope:
                    info._flag = _ScopeFlag(scope)
                    value = await self._call(command, info, default_loop, partial(_limit, scope, timeout))
                if scope.cancelled_caught:
                    return Raised(Failure("StepTimeout", f"it took longer than {format_duration(timeout)}"))
            return Returned(encode(value, f"the result of step {step.id!r}"))
        except trio.Cancelled:
            if trio.current_effective_deadline() == float("-inf"):
                raise
            return Raised(Failure("Cancelled", "the body raised a cancellation that was not meant for it"))
        except UnserializableError as error:
            return Raised(failure_of(error), retriable=False)
        except BaseException as error:
            return self._raised(error, command, default_loop)

    async def _call(
        self, command: Any, info: StepInfo, default_loop: str, begins: Callable[[], object] | None = None
    ) -> Any:
        """Call the body where it belongs; `begins` is called when it does, for a sync one once it has a thread."""
        function = command.fn
        args, kwargs = own_arguments(command)
        if not is_async(function):
            return await self._call_sync(function, args, kwargs, info, begins)
        if begins is not None:
            begins()
        if (command.loop or default_loop) == "asyncio":
            return await self._asyncio.run(lambda: _inside(info, function, args, kwargs))
        token = enter(info)
        try:
            return await function(*args, **kwargs)
        finally:
            leave(token)

    async def _call_sync(
        self,
        function: Stub,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        info: StepInfo,
        begins: Callable[[], object] | None,
    ) -> Any:
        def call() -> Any:
            enter(info)
            return function(*args, **kwargs)

        context = contextvars.copy_context()
        if not self._environment.threads:
            if begins is not None:
                begins()
            await trio.lowlevel.checkpoint()
            return context.run(call)
        job = Job(call, context, begins)
        info._flag = job
        value = await self._pool.run(job)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(
                f"{function!r} is no `async def` function but returned a coroutine: give Run the async function itself"
            )
        return value

    def _raised(self, error: BaseException, command: Any, default_loop: str) -> Raised:
        failure = masked(failure_of(error), secrets_in((command.args, command.kwargs)))
        if isinstance(error, NonRetriableError) or _not_callable_so(error):
            return Raised(failure, retriable=False)
        if isinstance(error, RetryAfterError):
            try:
                return Raised(failure, retry_after=retry_after_micros(error, self._environment.now()))
            except DefinitionError as wrong:
                return Raised(failure_of(wrong), retriable=False)
        hint = _wrong_loop(error, command, command.loop or default_loop)
        return Raised(attrs.evolve(failure, message=failure.message + hint) if hint else failure)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()
        self._asyncio.close()


def own_arguments(command: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a body, its own to change: the workflow's objects stay as they were recorded."""
    args, kwargs = command.args, command.kwargs
    if _unchanging(args) and (not kwargs or _unchanging(kwargs.values())):
        return args, kwargs
    with suppress(Exception):  # what cannot be copied is passed as it is
        args, kwargs = copy.deepcopy((args, kwargs))
    return call_arguments(args, kwargs)


def _unchanging(values: Iterable[Any]) -> bool:
    for value in values:  # noqa: SIM110 - a generator expression costs twice as much
        if type(value) not in _UNCHANGING:
            return False
    return True


def secrets_in(value: Any) -> list[str]:
    """The texts that are hidden in the `Secret`s among a step's arguments."""
    match value:
        case Secret():
            revealed = value.reveal()
            return [revealed] if isinstance(revealed, str) and len(revealed) >= _SHORTEST_SECRET else []
        case list() | tuple():
            return [text for item in value for text in secrets_in(item)]
        case dict():
            return [text for item in value.values() for text in secrets_in(item)]
        case _:
            return []


def masked(failure: Failure, secrets: list[str]) -> Failure:
    """A failure without the secrets that its texts may quote."""
    if not secrets:
        return failure
    message, trace = failure.message, failure.trace
    for secret in secrets:
        message, trace = message.replace(secret, "***"), trace.replace(secret, "***")
    cause = masked(failure.cause, secrets) if failure.cause is not None else None
    return Failure(failure.type, message, trace, cause)


def _limit(scope: trio.CancelScope, micros: int) -> None:
    """The time of an attempt runs from now."""
    scope.deadline = trio.current_time() + micros / 1_000_000


def _not_callable_so(error: BaseException) -> bool:
    """Whether the call itself was refused (wrong number of arguments): the body was never entered."""
    if not isinstance(error, TypeError) or error.__traceback__ is None:
        return False
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    return trace.tb_frame.f_code.co_filename == __file__


async def _inside(info: StepInfo, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> Any:
    enter(info)
    return await function(*args, **kwargs)


@lru_cache(maxsize=4096)
def is_async(function: Any) -> bool:
    """Whether calling `function` gives something to await."""
    while hasattr(function, "func") and hasattr(function, "keywords"):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _wrong_loop(error: BaseException, command: Any, loop: str) -> str:
    """A hint for a body that met the other event loop."""
    if not is_async(command.fn):
        return ""
    text = str(error)
    if loop == "trio" and ("no running event loop" in text or "no current event loop" in text or "trio got" in text):
        return ". The step ran on trio: if it needs asyncio, say .options(loop='asyncio') or App(loop='asyncio')"
    if loop == "asyncio" and ("must be called from async context" in text or "Task got bad yield" in text):
        return ". The step ran on asyncio: if it needs trio, say .options(loop='trio') or App(loop='trio')"
    return ""
