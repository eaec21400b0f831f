"""The order in which trio runs its tasks, made to follow from a seed.

Trio shuffles the tasks that are ready at one moment, on purpose. Its tests (and hypothesis and pytest-trio)
make that shuffle deterministic by two private names; so does this, and only here. It puts them back.

One task is trio's own: a signal from outside wakes it, at any moment (a profiler's, a time limit's, that of a child
that ended). It takes no part in the shuffle, so that no signal has a say in what a seed means.
"""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from random import Random
from typing import Any

import trio
from trio._core import _run

_WOKEN_BY_SIGNALS = "<TrioToken.run_sync_soon task>"


@contextlib.contextmanager
def seeded_scheduling(seed: str) -> Iterator[None]:
    """Inside, trio's choices follow from `seed`, in any process, under any hash seed, whatever signals come."""
    dice, allowed = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r = _Dice(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]
        _run._r = dice


class _Dice(Random):
    """What shuffles the tasks that are ready."""

    def shuffle(self, x: Any) -> None:
        """Shuffle tasks in place. What a signal woke is put before them, and costs no throw."""
        if len(x) < 2:  # as most are
            return None
        woken = [task for task in x if task.name == _WOKEN_BY_SIGNALS and _has_begun(task)]
        if not woken:
            return super().shuffle(x)
        others = [task for task in x if task not in woken]
        super().shuffle(others)
        x[:] = woken + others
        return None


def _has_begun(task: trio.lowlevel.Task) -> bool:
    """Whether a task has run before. Trio's own begins beside the main task, in each run: until then it takes part."""
    return inspect.getcoroutinestate(task.coro) != inspect.CORO_CREATED
