"""`Shelf`: what a backend brings, if it can keep documents and change several of them at once.

A document is some bytes under a name. That is all a shelf knows: no run, no event, no time. It has to be able
to do one thing well: to take a set of changes all together, durably, and only if nobody else changed anything
since. A directory of files can do that, as can one hash in Redis (`WATCH`, `MULTI`), an object store with
conditional writes, or a table of two columns in any database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs


@attrs.frozen
class Reading:
    """All documents of a shelf, as they were together after change number `version`."""

    version: int
    documents: Mapping[str, bytes]


class Shelf(Protocol):
    """Named documents that change together. Its methods block; one of them is called at a time.

    They are called from several threads, so a connection must be one that may move between threads. Each
    raises what it likes: any exception means that nothing is known, and the documents are read again.

    A name is `kind/rest`: a word, and up to 200 of the characters `a-z 0-9 _ - % .`, so it may be that of a file.
    """

    def open(self) -> None:
        """Make ready: connect, create what is missing. Raise `StoreUnusable` to say why that is hopeless."""

    def close(self) -> None:
        """Let everything go; may be called twice."""

    def version(self) -> int:
        """The number of the last change, 0 if there was none. Asked before each verb, so it should be cheap."""
        ...

    def read(self) -> Reading:
        """All documents, and the version of which they are. One consistent read."""
        ...

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        """Make these changes (None: the document goes) number `version + 1`; returns whether that was done.

        All of them or none, and durable when it returns True. False: the last change is not number `version`, because
        somebody else was faster, and nothing has changed.
        """
        ...
