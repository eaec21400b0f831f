"""The live generators of runs that were given back: a run that is claimed again here need not be replayed.

Refuses to know: whether a claim continues one (`entrance`), and which are worth their place (`worker`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from ..owned import Owned
from .offers import RunKey


class Resting:
    """Keeps at most `most` runs, and closes the one that was given back first to make room."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._runs: OrderedDict[RunKey, Owned] = OrderedDict()

    def keep(self, owned: Owned) -> None:
        """A run was given back."""
        self._runs[owned.row.app, owned.row.id] = owned
        if len(self._runs) > self.most:
            _, evicted = self._runs.popitem(last=False)
            evicted.interpreter.close()

    def take(self, key: RunKey) -> Owned | None:
        """A run as it was given back, for whoever has claimed it; None if it is not kept."""
        return self._runs.pop(key, None)

    def evict(self, chosen: Callable[[RunKey], bool]) -> None:
        """Drop these: each is replayed when it is claimed again."""
        for key in [key for key in self._runs if chosen(key)]:
            self._runs.pop(key).interpreter.close()
