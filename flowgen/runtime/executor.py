"""The executor: one attempt of a step's body → its outcome, as data.

Whatever a body does comes back as a value: any exception, `SystemExit` and `KeyboardInterrupt` included,
a result without a JSON form, a time-out. Only a cancellation that is meant for the attempt passes.

Sync bodies run in threads, `async def` ones on trio or, with `loop="asyncio"`, on the asyncio thread.
Whether a function is async is decided once for each function.

Refuses to know: what is recorded of an outcome, and whether it is tried again.
"""

from __future__ import annotations

import contextvars
import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Protocol

import attrs
import trio

from ..duration import format_duration, moment
from ..errors import NonRetriableError, RetryAfterError, UnserializableError
from ..outcome import Failure, Outcome, Raised, Returned, failure_of
from ..retry import retry_after_micros
from ..step import StepInfo, enter, leave
from ..tree import Step
from ..values import call_arguments, encode
from .asyncio_thread import AsyncioThread
from .environment import Environment
from .threads import Job, ThreadPool

Stub = Callable[..., Any]


class Bodies(Protocol):
    """What a worker needs of an executor. A simulation has one of its own."""

    @property
    def abandoned(self) -> int: ...
    async def run(self, step: Step, run_id: str, default_loop: str) -> Outcome: ...
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
            if timeout is None and is_async(command.fn) and (command.loop or default_loop) == "trio":
                value = await _on_trio(command, info)
            elif timeout is None:
                value = await self._call(command, info, default_loop)
            else:
                info.deadline = moment(self._environment.now() + timeout)
                with trio.move_on_after(timeout / 1_000_000) as scope:
                    info._flag = _ScopeFlag(scope)
                    value = await self._call(command, info, default_loop)
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

    async def _call(self, command: Any, info: StepInfo, default_loop: str) -> Any:
        function = command.fn
        args, kwargs = call_arguments(command.args, command.kwargs)
        if not is_async(function):
            return await self._call_sync(function, args, kwargs, info)
        if (command.loop or default_loop) == "asyncio":
            return await self._asyncio.run(lambda: _inside(info, function, args, kwargs))
        return await _on_trio(command, info)

    async def _call_sync(self, function: Stub, args: tuple[Any, ...], kwargs: dict[str, Any], info: StepInfo) -> Any:
        def call() -> Any:
            enter(info)
            return function(*args, **kwargs)

        context = contextvars.copy_context()
        if not self._environment.threads:
            await trio.lowlevel.checkpoint()
            return context.run(call)
        job = Job(call, context)
        info._flag = job
        value = await self._pool.run(job)
        if inspect.iscoroutine(value):
            value.close()
            raise TypeError(
                f"{function!r} is no `async def` function but returned a coroutine: give Run the async function itself"
            )
        return value

    def _raised(self, error: BaseException, command: Any, default_loop: str) -> Raised:
        failure = failure_of(error)
        if isinstance(error, NonRetriableError):
            return Raised(failure, retriable=False)
        if isinstance(error, RetryAfterError):
            return Raised(failure, retry_after=retry_after_micros(error, self._environment.now()))
        hint = _wrong_loop(error, command, command.loop or default_loop)
        return Raised(attrs.evolve(failure, message=failure.message + hint) if hint else failure)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.close()
        self._asyncio.close()


async def _on_trio(command: Any, info: StepInfo) -> Any:
    args, kwargs = call_arguments(command.args, command.kwargs)
    token = enter(info)
    try:
        return await command.fn(*args, **kwargs)
    finally:
        leave(token)


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
