"""Where recorded runs come from: a store, or a file that `flowgen runs export` wrote. Both are only read.

A source is read twice over: one process lists references to the runs, page by page, and others load the run of each
reference. A reference is plain JSON, so it can go from process to process; a history is loaded, judged and
dropped, one at a time, so memory is bounded by the longest one.

Refuses to know what becomes of the runs.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from functools import partial
from pathlib import Path
from typing import IO, Protocol

import attrs

from ...codec import Exported, import_runs, is_header
from ...errors import InvalidInput, UndecodableError
from ...runs import RunRow
from ...verdicts import RecordedRun
from ..lookup import load_routes
from ..paging import Items, Pages
from ..store import RunFilter, Store
from ..stores import open_store

Ref = tuple[str, str] | tuple[int, int]
"""The app and id of a run in a store; the offset and the line number of its header in a file."""

ENDINGS = ("completed", "failed", "cancelled")
"""Skipped runs have no history."""


@attrs.frozen
class Choice:
    """Which runs of a store are meant: of this app, all open ones, and so many of each workflow and ending."""

    app: str
    workflows: tuple[str, ...]
    closed: int


class Source(Protocol):
    """Recorded runs, somewhere."""

    async def digests(self, app: str) -> dict[str, str]: ...
    async def elsewhere(self, app: str) -> tuple[str, ...]: ...
    def refs(self, choice: Choice) -> AsyncGenerator[Ref, None]: ...
    async def load(self, ref: Ref) -> RecordedRun | None: ...
    async def close(self) -> None: ...


async def open_source(against: str) -> Source:
    """The source that a store URL or a path names, opened for reading only."""
    if "://" not in against:
        return FileSource(Path(against))
    store = open_store(against, read_only=True)
    await store.open()
    return StoreSource(store)


def rows(store: Store, where: RunFilter) -> Items[RunRow]:
    """The rows of all runs that a filter selects, newest first, read page by page."""
    return Pages(partial(store.find_runs, where)).items()


class StoreSource:
    """The runs of a store that is open."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def refs(self, choice: Choice) -> AsyncGenerator[Ref, None]:
        """All open runs of the app, then the newest ones that have ended."""
        async for row in rows(self.store, RunFilter(choice.app, status="open")):
            yield row.app, row.id
        for workflow in choice.workflows:
            for status in ENDINGS if choice.closed else ():
                left = choice.closed
                async for row in rows(self.store, RunFilter(choice.app, workflow, status)):
                    yield row.app, row.id
                    left -= 1
                    if not left:
                        break

    async def load(self, ref: Ref) -> RecordedRun | None:
        """A run; None if it was deleted meanwhile. Raises `DamagedRun`."""
        app, run = ref
        return await self.store.load(str(app), str(run))

    async def digests(self, app: str) -> dict[str, str]:
        """The digest of the code that is in force for each workflow of an app."""
        return {item.workflow: item.digest for item in (await self.store.registrations()).items if item.app == app}

    async def elsewhere(self, app: str) -> tuple[str, ...]:
        """The workflows of an app whose code is called over HTTP."""
        routes = await load_routes(self.store)
        return tuple(each.definition.id for each in routes if each.app == app and each.definition.remote is not None)

    async def close(self) -> None:
        await self.store.close()


class FileSource:
    """The runs in an exported file, all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] = _opened(path)

    async def digests(self, app: str) -> dict[str, str]:
        """None: what is in the file is meant, whatever code it began on."""
        return {}

    async def elsewhere(self, app: str) -> tuple[str, ...]:
        """None: a file does not say where the code of a run is."""
        return ()

    async def refs(self, choice: Choice) -> AsyncGenerator[Ref, None]:
        """Where in the file the runs of the app begin. Raises `InvalidInput` if it is no export."""
        offset, first = 0, True
        with _opened(self._path) as file:
            for number, line in enumerate(file, 1):
                if line.strip() and is_header(line.decode(errors="replace")):
                    first = False
                    if self._exported(offset, number).row.app == choice.app:
                        yield offset, number
                elif line.strip() and first:
                    raise InvalidInput(f"{self._path}, line {number}: not the header of an exported run")
                offset += len(line)

    async def load(self, ref: Ref) -> RecordedRun | None:
        """The run that begins there. Raises `UndecodableError`."""
        offset, number = ref
        assert isinstance(offset, int)
        self._file.seek(offset)
        try:
            return next(import_runs(self._lines()))
        except UndecodableError as error:
            raise UndecodableError(f"{self._path}, from line {number} on: {error}") from error

    def _exported(self, offset: int, number: int) -> Exported:
        """The run that begins there, without its records."""
        self._file.seek(offset)
        try:
            return next(import_runs([self._file.readline().decode()]))
        except UndecodableError as error:
            raise InvalidInput(f"{self._path}, line {number}: {error}") from error

    def _lines(self) -> Iterator[str]:
        while line := self._file.readline():
            yield line.decode(errors="replace")

    async def close(self) -> None:
        self._file.close()


def _opened(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from error
