"""Memory stores that wait in odd places and have odd clocks, and ones with a bug in them.

`yielding` waits at random before and after each verb. `interleaved` waits at random *within* a commit and
around each other verb, under one asynchronous lock, as a store does that talks to a database; without the
lock it is broken, and the kit has to see it. `planted` is the memory store with edits of its source.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import trio

from flowgen.runtime.store import Claims, Committed, Store, Who
from flowgen.runtime.stores import memory
from flowgen.runtime.stores.memory import MemoryStore, commits, ownership
from flowgen.testing.conformance.case import Factory
from flowgen.transition import Transition

Clock = Callable[[], int]

HOUR = 3_600_000_000


def skewed(clock: Clock, random: Random) -> Clock:
    """A clock that is hours off, and goes back and forth: right again only after time has passed."""
    offset = random.choice([-3, 3]) * HOUR
    shown = 0

    def read() -> int:
        nonlocal shown
        now = clock() + offset
        first, shown = now != shown, now
        return now if first else now - random.randrange(HOUR)

    return read


async def _wait_a_little(random: Random) -> None:
    for _ in range(random.randrange(3)):
        await trio.lowlevel.checkpoint()


class YieldingStore:
    """A store whose verbs wait at random before they begin and before they answer."""

    def __init__(self, store: Store, random: Random) -> None:
        self._store = store
        self._random = random

    def __getattr__(self, name: str) -> Any:
        verb = getattr(self._store, name)
        if not inspect.iscoroutinefunction(verb) or name == "wait_changed":
            return verb

        async def waiting(*args: Any, **options: Any) -> Any:
            await _wait_a_little(self._random)
            answer = await verb(*args, **options)
            await _wait_a_little(self._random)
            return answer

        return waiting


class InterleavedStore(YieldingStore):
    """A memory store that waits between the phases of a commit; `locked` keeps others out meanwhile."""

    def __init__(self, store: MemoryStore, random: Random, *, locked: bool = True) -> None:
        super().__init__(store, random)
        self._memory = store
        self._lock = trio.Lock() if locked else None

    @asynccontextmanager
    async def _alone(self) -> Any:
        if self._lock is None:
            yield
        else:
            async with self._lock:
                yield

    def __getattr__(self, name: str) -> Any:
        verb = super().__getattr__(name)
        if not inspect.iscoroutinefunction(verb) or name == "wait_changed":
            return verb

        async def alone(*args: Any, **options: Any) -> Any:
            async with self._alone():
                return await verb(*args, **options)

        return alone

    async def commit(self, transition: Transition) -> Committed:
        state = self._memory._state
        async with self._alone():
            now = state.now()
            if not commits.applied(state, transition):
                await _wait_a_little(self._random)
                commits.check(state, transition, now)
                await _wait_a_little(self._random)
                if commits.apply(state, transition, now):
                    self._memory._announce()
            answer = commits.answer(state, transition, now)
            await _wait_a_little(self._random)
            return answer

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        state = self._memory._state
        async with self._alone():
            claiming = ownership.begin(state, who, lease)
            while len(claiming.given) < limit and (claimed := ownership.choose(state, claiming)) is not None:
                await _wait_a_little(self._random)
                ownership.take(state, claiming, claimed)
            return ownership.end(state, claiming)


class HastyReleaseStore(InterleavedStore):
    """It decides when a released run is due by the mail that it saw before it waited for its turn."""

    async def commit(self, transition: Transition) -> Committed:
        progress = transition.progress
        if progress is None or not progress.release:
            return await super().commit(transition)
        run = self._memory._state.runs[progress.app, progress.run]
        unread = run.row.mail > progress.drained
        await _wait_a_little(self._random)
        committed = await super().commit(transition)
        if not unread:
            run.row.due_at = progress.due_at
        return committed


class ExactStore(YieldingStore):
    """A memory store that tries a claim on a copy before it says that somebody should look again now."""

    async def next_due(self, who: Who) -> int | None:
        trial = MemoryStore(lambda: 0)
        trial._state = deepcopy(self._store._state)  # type: ignore[attr-defined]
        given = (await trial.claim(who, 10, 1)).runs
        return await (self._store if given else trial).next_due(who)


def yielding(seed: int) -> Factory:
    """Makes yielding stores with skewed clocks."""

    def make(clock: Clock) -> Any:
        random = Random(seed)
        return YieldingStore(MemoryStore(skewed(clock, random)), random)

    return make


def interleaved(seed: int, *, locked: bool = True) -> Factory:
    """Makes interleaved stores with skewed clocks."""

    def make(clock: Clock) -> Any:
        random = Random(seed)
        return InterleavedStore(MemoryStore(skewed(clock, random)), random, locked=locked)

    return make


def hasty(seed: int) -> Factory:
    """Makes stores whose releases look at the mailbox too early."""
    return lambda clock: HastyReleaseStore(MemoryStore(clock), Random(seed))


Edit = tuple[str, str, str]
"""A module of the memory store, a text that occurs in it once, and what is put in its place."""

_MODULES = ("indexes", "order", "slots", "state", "commits", "ownership", "registry", "queries", "counting", "store")
_numbers = count()


def planted(edits: Sequence[Edit]) -> Factory:
    """Makes memory stores whose source was edited."""
    package = f"{memory.__name__}_planted_{next(_numbers)}"
    parent = types.ModuleType(package)
    parent.__path__ = []
    sys.modules[package] = parent
    for name in _MODULES:
        source = (Path(memory.__file__).parent / f"{name}.py").read_text()
        for module, find, replace in edits:
            if module == name:
                assert source.count(find) == 1, f"{find!r} occurs {source.count(find)} times in {module}.py"
                source = source.replace(find, replace)
        copy = types.ModuleType(f"{package}.{name}")
        copy.__package__ = package
        sys.modules[copy.__name__] = copy
        setattr(parent, name, copy)
        exec(compile(source, f"planted {name}.py", "exec"), copy.__dict__)
    store: Any = parent.store  # type: ignore[attr-defined]
    return lambda clock: store.MemoryStore(clock)
