"""Shelves for tests: one in memory, with hooks; and a store that never trusts what it has read."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowgen.runtime.stores import DocumentStore, Reading
from flowgen.runtime.stores.documents.desk import Desk, Noted


class MemoryShelf:
    """A shelf in memory. `before_write` is called at each write, to be faster, or to raise."""

    def __init__(self) -> None:
        self.number = 0
        self.documents: dict[str, bytes] = {}
        self.before_write: Callable[[], None] | None = None
        self.reads = 0

    def __repr__(self) -> str:
        return "a shelf in memory"

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """Nor to close."""

    def version(self) -> int:
        return self.number

    def read(self) -> Reading:
        self.reads += 1
        return Reading(self.number, dict(self.documents))

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        hook, self.before_write = self.before_write, None
        if hook is not None:
            hook()
        if version != self.number:
            return False
        self.number += 1
        for name, data in changes.items():
            if data is None:
                self.documents.pop(name, None)
            else:
                self.documents[name] = data
        return True


class ForgetfulDesk(Desk):
    """A desk that reads everything anew before whatever it is asked, as if another process had just written."""

    def _fresh(self) -> Noted:
        self._forget()
        return super()._fresh()


def forgetful(shelf: MemoryShelf, clock: Callable[[], int]) -> DocumentStore:
    """A store that knows nothing but what is on its shelf."""
    store = DocumentStore(shelf, clock, inline=True)
    store._desk = ForgetfulDesk(shelf, clock)
    return store
