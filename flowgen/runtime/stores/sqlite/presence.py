"""Whether a store's file is still there: the one that was opened, under the path that names it.

SQLite goes on working with a file that was deleted, moved or replaced, and so loses everything that is
written from then on. A store therefore looks at the path now and then; once the file is gone the store is
unusable for good, because what it has in hand belongs to another world than what is under the path now.

Refuses to know: what is read and written in between (`store`), and who ends because of it.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import Final

from ...store import StoreUnusable

log = logging.getLogger("flowgen")

EACH: Final = 0.25
"""The path is looked at once in so many seconds, if anybody asks."""


class Presence:
    """Remembers which file was opened. May be used from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._look_at = 0.0
        self._gone: str | None = None

    def opened(self) -> None:
        """The file under the path has just been opened."""
        self._file, self._gone = self._found(), None

    def check(self) -> None:
        """Raise `StoreUnusable` if the file is gone; it is looked for only if the last time is a while ago."""
        if self._gone is not None:
            raise StoreUnusable(self._gone)
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + EACH
            self.look()

    def look(self) -> None:
        """Look for the file now. Raises `StoreUnusable` if it is gone."""
        found = self._found()
        if self._file is None or found == self._file:
            return
        what = "deleted or moved" if found is None else "replaced by another file"
        first = self._gone is None
        self._gone = (
            f"{self._path} was {what} while it was in use: what is written now would be lost, so this store is closed "
            "to all use; put the file back, or begin anew with the one that is there, and start the program again"
        )
        if first:
            log.critical("%s", self._gone)
        raise StoreUnusable(self._gone)

    def _found(self) -> tuple[int, int] | None:
        """Device and number of the file under the path; None if there is none."""
        try:
            status = os.stat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return self._file  # who may not look has no news
        return status.st_dev, status.st_ino
