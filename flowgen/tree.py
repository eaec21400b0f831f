"""The shape of a run in flight: fibers that wait for steps and groups.

::

    Fiber (a generator)  ── waits for ──►  Step   a leaf command, open until its outcome is fed
                                     └──►  Group  an All or Race; its live children are steps, fibers, groups

A node knows its parent and under which key the parent knows it; the parent knows its live children.
These are the nouns only. How they resume, end and are cancelled is for `fibers` to say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

import attrs

from .history import Kind, Terms
from .outcome import Json
from .values import digest

Key = str | int | None


@attrs.define(eq=False)  # built for every step
class Step:
    """An open step: what was asked, and what its records have said about it so far.

    `digest` is its fingerprint, made when somebody asks: replay finds equal arguments without it.
    `reader` restores its recorded value. `failures` counts failed attempts and `retry_at` is when the
    next may start; `terms` are those of its `Requested` record.
    """

    id: str
    name: str
    command: Any
    kind: Kind
    arguments: Json
    reader: Callable[[Json], Any]
    parent: Fiber | Group
    key: Key = None
    failures: int = 0
    retry_at: int | None = None
    terms: Terms | None = None
    _digest: str | None = None

    @property
    def digest(self) -> str:
        """The fingerprint of kind and arguments."""
        if self._digest is None:
            self._digest = digest(self.kind, self.arguments)
        return self._digest

    @property
    def deadline(self) -> int | None:
        """When time alone does something to this step; None if it never does."""
        if self.terms is None:
            return self.retry_at
        due: int | None = getattr(self.terms, "due_at", None)
        return due if due is not None else getattr(self.terms, "expires_at", None)


@attrs.define(eq=False)
class Fiber:
    """A generator that runs: the body (no parent, scope `""`) or a branch.

    `cancelled` is set once it is to end; from then its value counts for nothing. `thrown` says
    whether `RunCancelled` was thrown into it yet (not before what it waits for has ended).
    """

    generator: Generator[Any, Any, Any]
    scope: str
    parent: Group | None = None
    key: Key = None
    depth: int = 0
    waiting: Step | Group | None = None
    cancelled: bool = False
    thrown: bool = False
    closed: bool = False
    groups: dict[str, int] = attrs.Factory(dict)


@attrs.define(eq=False)
class Group:
    """An `All` or `Race` in flight.

    `fiber` is the one that yielded it (directly or inside another group), whose scope its branches share;
    `base` begins the scopes of its generator branches; `depth` counts the groups around it, itself
    included. `live` are the children that have started and not ended, in branch order; `unstarted` the
    branches that a limit still holds back. Once `decided`, `error` or `value` is what it will resume its
    parent with, as soon as `live` is empty.
    """

    command: Any
    fiber: Fiber
    base: str
    parent: Fiber | Group
    key: Key = None
    depth: int = 0
    live: dict[Key, Step | Fiber | Group] = attrs.Factory(dict)
    unstarted: deque[tuple[Key, Any]] = attrs.Factory(deque)
    results: dict[Key, Any] = attrs.Factory(dict)
    decided: bool = False
    cancelled: bool = False
    finished: bool = False
    error: BaseException | None = None
    value: Any = None


Node = Step | Fiber | Group
