"""An app: a registry of workflows, and their defaults. No connection, no global, no clock.

Workflows register themselves here when they are defined, so importing a module is enough to know what
it offers. An engine is given the app and reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from types import MappingProxyType
from typing import Any, TypedDict, TypeVar, overload

import attrs
from typing_extensions import Unpack

from .commands import Loop, Steps, check_name
from .commands.base import shown
from .commands.run import check_loop
from .context import Context
from .endpoints import Endpoint, EndpointAccess, make_endpoint
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
    location,
    make_workflow,
)

E = TypeVar("E")
R = TypeVar("R")

_NOT_OF_ENDPOINTS = {
    "on": "its requests start it; another workflow, which shares its code, can have the triggers",
    "debounce": "each request has an answer of its own, so requests do not share a run",
    "batch": "each request has an answer of its own, so requests do not share a run",
}


class EndpointOptions(TypedDict, total=False):
    """What `@app.endpoint` accepts, beside what makes it an endpoint: the options of workflows that go with it."""

    id: str
    retries: int
    backoff: Backoff
    concurrency: Concurrency | Sequence[Concurrency]
    throttle: Throttle
    rate_limit: RateLimit
    priority: Priority
    singleton: Singleton
    idempotency: str
    cancel_on: CancelOn | Sequence[CancelOn]
    timeouts: Timeouts
    on_failure: Workflow[Any, Any] | str
    changes: Changes
    max_steps: int


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

        def define(function: Any) -> Workflow[Any, Any]:
            return self._define(function, None, options)

        return define if fn is None else define(fn)

    def endpoint(
        self,
        method: str,
        path: str,
        /,
        *,
        wait: str | float | timedelta = "30s",
        access: EndpointAccess = "token",
        **options: Unpack[EndpointOptions],
    ) -> Callable[[Callable[[Context[E]], Steps[R]]], Workflow[E, R]]:
        """Make a generator function a workflow that answers HTTP requests, where `http_app` is served.

        ::

            @app.endpoint("POST", "/checkout", wait="10s")
            def checkout(ctx: Context) -> Steps[Response]:
                order = yield from Run(place_order, ctx.event.data["body"])
                return Response(201, order)

        `ctx.event.data` has the `method`, `path`, `query`, `headers` and `body` (JSON) of the request, and with a path
        such as `/orders/{id}` its `params`. Headers with credentials are left out. What the workflow returns, JSON or a
        `Response`, is the answer. If that takes longer than `wait` (up to five minutes), the answer is 202 with the
        `Location` of the result. A request is accepted once: the same `Idempotency-Key` again gives the same run.

        With `access="token"` it is called by whoever may operate the server; with `"public"` by anybody who can
        reach it. `options` are those of `workflow`, but `on`, `debounce` and `batch`.

        Raises `DefinitionError`, with file and line, for what can never work.
        """
        endpoint = make_endpoint(method, path, wait, access)

        def define(function: Any) -> Workflow[Any, Any]:
            for name, reason in _NOT_OF_ENDPOINTS.items():
                if options.get(name) is not None:
                    raise DefinitionError(f"endpoint {endpoint} ({location(function)}): it takes no {name}: {reason}")
            for other in self._workflows.values():
                if other.endpoint is not None and (other.endpoint.method, other.endpoint.path) == (method, path):
                    raise DefinitionError(
                        f"App({self.name!r}) has two endpoints {endpoint}: {other.fn.__name__} ({other.where}) and "
                        f"the one at {location(function)}; give one of them another path"
                    )
            return self._define(function, endpoint, options)

        return define

    def _define(self, fn: Any, endpoint: Endpoint | None, options: Mapping[str, Any]) -> Workflow[Any, Any]:
        chosen: dict[str, Any] = {"retries": self.retries, "backoff": self.backoff, "max_steps": self.max_steps}
        chosen.update((name, value) for name, value in options.items() if value is not None or name not in OPTIONS)
        made = make_workflow(fn, app=self.name, version=self.version, loop=self.loop, **chosen)
        made.endpoint = endpoint
        return self._add(made)

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
