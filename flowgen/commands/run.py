"""`Run`: call a function once and remember what it returned.

The hottest command: making one, with an id and two arguments, takes about a microsecond, so what can
be looked up is looked up (`check_name`) and nothing is copied.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from inspect import CO_ASYNC_GENERATOR, CO_GENERATOR, iscoroutine
from types import FunctionType
from typing import Any, ClassVar, Literal, ParamSpec, TypeVar, get_args, overload

import attrs

from ..duration import Micros, format_duration, parse_duration
from ..errors import DefinitionError
from ..history import Kind
from ..outcome import Json
from ..retry import Backoff, check_retries
from ..values import encode_arguments, plain_arguments
from .base import R_co, StepCommand, call_text, changed, check_name, name_of, shown

P = ParamSpec("P")
R = TypeVar("R")

Loop = Literal["trio", "asyncio"]
"""Where the async functions of steps run."""

LOOPS: tuple[str, ...] = get_args(Loop)
_GENERATORS = CO_GENERATOR | CO_ASYNC_GENERATOR


@attrs.define(init=False, repr=False)
class Run(StepCommand[R_co]):
    """Call `fn(*args, **kwargs)` as a step and give what it returned.

    ::

        order = yield Run("load order", load_order, order_id)
        paid = yield from Run(charge, order, currency="eur")     # its id is "charge"

    The function may be sync or async. Its arguments and its result must have a JSON form; the result
    comes back as its annotated return type. It runs at least once; once its outcome is recorded it
    never runs again. After the last failed attempt `StepError` is raised at the yield.

    Settings come with `options`; the workflow's, then the app's, are the defaults.
    """

    kind: ClassVar[Kind] = "run"
    id: str
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    retries: int | None
    backoff: Backoff | None
    timeout: Micros | None
    loop: Loop | None

    @overload
    def __init__(
        self: Run[R], id: str, fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs
    ) -> None: ...
    @overload
    def __init__(self: Run[R], id: str, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def __init__(self: Run[R], fn: Callable[P, Awaitable[R]], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    @overload
    def __init__(self: Run[R], fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> None: ...
    def __init__(self, first: Any, /, *args: Any, **kwargs: Any) -> None:
        if isinstance(first, str):
            self.id = check_name(first, "id of Run")
            if not args:
                raise DefinitionError(f"Run({first!r}) has no function; write Run({first!r}, function, arguments…)")
            self.fn = fn = args[0]
            self.args = args[1:]
        else:
            self.fn = fn = first
            self.args = args
        if type(fn) is not FunctionType or fn.__code__.co_flags & _GENERATORS:
            _check_function(fn, first if fn is not first else None)
        if fn is first:
            self.id = check_name(_own_name(first), "id of Run")
        self.kwargs = kwargs
        self.retries = self.backoff = self.timeout = self.loop = None

    def options(
        self,
        *,
        id: str | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        timeout: str | float | timedelta | None = None,
        loop: Loop | None = None,
    ) -> Run[R_co]:
        """A copy with other settings; those not given stay as they are.

        `retries` is from 0 to 20, `timeout` bounds one attempt, `loop` says where an async function runs.
        """
        return changed(
            self,
            id=None if id is None else check_name(id, "id of Run"),
            retries=None if retries is None else check_retries(retries, f"retries of {self.id!r}"),
            backoff=None if backoff is None else _check_backoff(backoff, self.id),
            timeout=None if timeout is None else _check_timeout(timeout, self.id),
            loop=None if loop is None else check_loop(loop, f"loop of {self.id!r}"),
        )

    def arguments(self) -> Json:
        plain = plain_arguments(self.args, self.kwargs)
        if plain is not None:
            return plain
        return encode_arguments(self.args, self.kwargs, f"the arguments of step {self.id!r}")

    def __repr__(self) -> str:
        arguments = [shown(value) for value in self.args]
        arguments += [f"{name}={shown(value)}" for name, value in self.kwargs.items()]
        call = f"Run({', '.join([repr(self.id), name_of(self.fn), *arguments])})"
        settings = call_text(
            "",
            retries=self.retries,
            backoff=self.backoff,
            timeout=None if self.timeout is None else format_duration(self.timeout),
            loop=self.loop,
        )
        return call if settings == "()" else f"{call}.options{settings}"


def check_loop(value: Any, what: str) -> Loop:
    """`value` if it names an event loop."""
    if value not in LOOPS:
        raise DefinitionError(f"{what}: {shown(value)} is no event loop; it is 'trio' or 'asyncio'")
    loop: Loop = value
    return loop


def _check_function(fn: Any, id: str | None) -> None:
    """Refuse what can be no step's function, with a hint for each usual slip."""
    code = getattr(fn, "__code__", None)
    if code is not None:
        if code.co_flags & _GENERATORS:
            raise DefinitionError(
                f"{_call(id)}: {fn.__name__} is a generator function, not a step; "
                f"make it a part of the workflow with `yield from {fn.__name__}(…)`"
            )
    elif not callable(fn):
        raise DefinitionError(f"{_call(id)}: {_uncallable(fn)}")
    elif hasattr(fn, "__flowgen_workflow__"):
        raise DefinitionError(f"{_call(id)}: {name_of(fn)} is a workflow, not a step; run it with Invoke(id, workflow)")


def _uncallable(fn: Any) -> str:
    if not iscoroutine(fn):
        return f"{shown(fn)} is not a function"
    fn.close()  # so that it does not also warn that it was never awaited
    return f"got the coroutine of {fn.__name__}, already called; write Run(id, {fn.__name__}, arguments…)"


def _call(id: str | None) -> str:
    return "Run(…)" if id is None else f"Run({id!r}, …)"


def _own_name(fn: Any) -> str:
    name = getattr(fn, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise DefinitionError(f"Run({shown(fn)}): it has no name of its own to be the step's id; write Run('an id', …)")
    return name


def _check_backoff(value: object, id: str) -> Backoff:
    if not isinstance(value, Backoff):
        raise DefinitionError(f"backoff of {id!r}: {shown(value)} is not a Backoff; write Backoff.exponential('1s')")
    return value


def _check_timeout(value: str | float | timedelta, id: str) -> Micros:
    timeout = parse_duration(value, f"timeout of {id!r}")
    if timeout == 0:
        raise DefinitionError(f"timeout of {id!r}: {shown(value)} leaves no time at all; give it some, or none at all")
    return timeout
