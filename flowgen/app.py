"""An app: a registry of workflows, and their defaults. No connection, no global, no clock.

Workflows register themselves here when they are defined, so importing a module is enough to know what
it offers. An engine is given the app and reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeVar, overload

import attrs

from .commands import Loop, Steps, check_name
from .commands.base import shown
from .commands.run import check_loop
from .context import Context
from .errors import DefinitionError
from .flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from .retry import DEFAULT_BACKOFF, DEFAULT_RETRIES, Backoff, check_retries
from .workflow import (
    DEFAULT_MAX_STEPS,
    OPTIONS,
    Changes,
    Trigger,
    Workflow,
    check_backoff,
    check_max_steps,
    make_workflow,
)

E = TypeVar("E")
R = TypeVar("R")


@attrs.define(init=False, eq=False, repr=False)
class App:
    """A named registry of workflows: `app = App("shop")`, then `@app.workflow(…)` on each function.

    `retries` (0 to 20), `backoff`, `loop` ("trio" or "asyncio": where async steps run) and `max_steps`
    are the defaults of its workflows. `version` becomes part of what identifies the code: change it when
    behaviour changes that is not in the code itself.
    """

    name: str
    version: str
    retries: int
    backoff: Backoff
    loop: Loop
    max_steps: int
    _workflows: dict[str, Workflow[Any, Any]]

    def __init__(
        self,
        name: str,
        *,
        version: str = "",
        retries: int = DEFAULT_RETRIES,
        backoff: Backoff = DEFAULT_BACKOFF,
        loop: Loop = "trio",
        max_steps: int = DEFAULT_MAX_STEPS,
    ) -> None:
        self.name = check_name(name, "name of App")
        if not isinstance(version, str):
            raise DefinitionError(f"version of App({name!r}): {shown(version)} is not a str")
        self.version = version
        self.retries = check_retries(retries, f"retries of App({name!r})")
        self.backoff = check_backoff(backoff, f"backoff of App({name!r})")
        self.loop = check_loop(loop, f"loop of App({name!r})")
        self.max_steps = check_max_steps(max_steps, f"max_steps of App({name!r})")
        self._workflows = {}

    @property
    def workflows(self) -> Mapping[str, Workflow[Any, Any]]:
        """The workflows by their ids, in the order of their definition; read-only."""
        return MappingProxyType(self._workflows)

    @overload
    def workflow(self, fn: Callable[[Context[E]], Steps[R]], /) -> Workflow[E, R]: ...
    @overload
    def workflow(
        self,
        fn: None = None,
        /,
        *,
        on: Trigger | Sequence[Trigger] | None = None,
        id: str | None = None,
        retries: int | None = None,
        backoff: Backoff | None = None,
        concurrency: Concurrency | Sequence[Concurrency] | None = None,
        throttle: Throttle | None = None,
        rate_limit: RateLimit | None = None,
        debounce: Debounce | None = None,
        batch: Batch | None = None,
        priority: Priority | None = None,
        singleton: Singleton | None = None,
        idempotency: str | None = None,
        cancel_on: CancelOn | Sequence[CancelOn] | None = None,
        timeouts: Timeouts | None = None,
        on_failure: Workflow[Any, Any] | str | None = None,
        changes: Changes = "strict",
        max_steps: int | None = None,
    ) -> Callable[[Callable[[Context[E]], Steps[R]]], Workflow[E, R]]: ...
    def workflow(self, fn: Any = None, /, **options: Any) -> Any:
        """Make a generator function a workflow of this app, with or without options.

        ::

            @app.workflow(on=OnEvent("order/placed"), retries=2, concurrency=Concurrency(10))
            def fulfil(ctx: Context[dict[str, Any]]) -> Steps[str]: ...

        What starts it: `on` is a trigger (`OnEvent`, `OnCron`) or a list of them; without one, the workflow is
        only started or invoked. `id` is the function's name, dashed, if not given.

        How its runs execute: `retries`, `backoff` and `max_steps` are those of the app if not given.
        `changes="strict"` parks a run whose history differs from the code in any way; `"additive"` lets steps
        be added and removed.

        When its runs start, wait and stop: `concurrency` (one or two), `throttle`, `rate_limit`, `debounce`,
        `batch`, `priority`, `singleton`, and `idempotency`, an expression over `event`. `cancel_on` (one or a
        list) and `timeouts` cancel open runs. `on_failure` is the workflow, or the id of the workflow, that is
        started when a run fails.

        Raises `DefinitionError`, with file and line, for what can never work.
        """
        chosen: dict[str, Any] = {"retries": self.retries, "backoff": self.backoff, "max_steps": self.max_steps}
        chosen.update((name, value) for name, value in options.items() if value is not None or name not in OPTIONS)

        def define(function: Any) -> Workflow[Any, Any]:
            return self._add(make_workflow(function, app=self.name, version=self.version, loop=self.loop, **chosen))

        return define if fn is None else define(fn)

    def _add(self, workflow: Workflow[Any, Any]) -> Workflow[Any, Any]:
        other = self._workflows.get(workflow.id)
        if other is not None:
            raise DefinitionError(
                f"App({self.name!r}) has two workflows with the id {workflow.id!r}: "
                f"{other.fn.__name__} ({other.where}) and {workflow.fn.__name__} ({workflow.where}); "
                "give one of them another id"
            )
        self._workflows[workflow.id] = workflow
        return workflow

    def __repr__(self) -> str:
        return f"App({self.name!r})"
