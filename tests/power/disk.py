"""A disk that may lose power: it knows what was synced, and makes images of what might be left.

What SQLite writes through this VFS goes to real files, so that it works as always. Beside that the disk keeps, for
each file, what is *durable* (as of the last sync of that file) and the writes that came later. After a loss of
power any part of those may be there, in any order, down to sectors of 512 bytes: the hardware promises no more.
The shared memory of the WAL is not kept: it is made anew after a start.

Refuses to know what is in the files, and what should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any, Literal

import apsw
import attrs

NAME = "flowgen-power"
SECTOR = 512

Loss = Literal["none", "all", "first", "some", "torn"]
"""Which of the writes since the last sync are there: none, all, the first ones, some, some sectors of some."""

LOSSES: tuple[Loss, ...] = ("none", "all", "first", "some", "torn")

Moment = Literal["write", "sync", "answer"]
"""After a write, before a sync, or when the store has answered."""

Image = dict[str, bytes]
"""The bytes of each file, by name."""


@attrs.frozen
class Write:
    """Bytes written at an offset; or, without bytes, the file cut there."""

    offset: int
    data: bytes | None

    def on(self, content: bytearray) -> None:
        if self.data is None:
            del content[self.offset :]
            return
        content.extend(bytes(max(0, self.offset - len(content))))
        content[self.offset : self.offset + len(self.data)] = self.data

    def sectors(self) -> Iterator[Write]:
        """The parts of a write that the disk does one by one."""
        if self.data is None:
            yield self
            return
        start = 0
        while start < len(self.data):
            end = min(len(self.data), start + SECTOR - (self.offset + start) % SECTOR)
            yield Write(self.offset + start, self.data[start:end])
            start = end


@attrs.define
class File:
    """What is durable of a file, and what was written since it was synced. `synced`: its name is durable, too."""

    durable: bytearray = attrs.Factory(bytearray)
    pending: list[Write] = attrs.Factory(list)
    synced: bool = False

    def sync(self) -> None:
        for write in self.pending:
            write.on(self.durable)
        self.pending.clear()
        self.synced = True

    def after(self, loss: Loss, random: Random) -> bytes | None:
        """What is left of it; None if not even its name is."""
        survivors = _surviving(self.pending, loss, random)
        if not self.synced and not survivors:
            return None
        content = bytearray(self.durable)
        for write in survivors:
            write.on(content)
        return bytes(content)


def _surviving(pending: list[Write], loss: Loss, random: Random) -> list[Write]:
    match loss:
        case "none":
            return []
        case "all":
            return pending
        case "first":
            return pending[: random.randrange(len(pending) + 1)]
        case "some":
            return [write for write in pending if random.random() < 0.5]
        case "torn":
            return [part for write in pending for part in write.sectors() if random.random() < 0.5]


@attrs.define
class Disk:
    """All files. `on_point` is called after each write and before each sync: a moment at which power may fail."""

    files: dict[str, File] = attrs.Factory(dict)
    on_point: Callable[[Moment, str], None] = lambda moment, name: None

    @property
    def unsynced(self) -> bool:
        """Whether anything was written and not synced."""
        return any(file.pending for file in self.files.values())

    def image(self, loss: Loss, random: Random) -> Image:
        """What might be left if power failed now."""
        left = {name: file.after(loss, random) for name, file in self.files.items()}
        return {name: content for name, content in left.items() if content is not None}

    def note(self, name: str, write: Write) -> None:
        self.files.setdefault(name, File()).pending.append(write)
        self.on_point("write", name)

    def sync(self, name: str) -> None:
        self.on_point("sync", name)
        self.files.setdefault(name, File()).sync()


_disk = Disk()


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int]) -> None:
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        self.name = Path(path).name
        super().__init__("", name, flags)

    def xWrite(self, data: Any, offset: int) -> None:
        super().xWrite(data, offset)
        _disk.note(self.name, Write(offset, bytes(data)))

    def xTruncate(self, size: int) -> None:
        super().xTruncate(size)
        _disk.note(self.name, Write(size, None))

    def xSync(self, flags: int) -> None:
        _disk.sync(self.name)  # the real disk is not asked: nothing here outlives the process


class _VFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File(name, flags)

    def xDelete(self, name: str, sync: bool) -> None:
        super().xDelete(name, sync)
        _disk.files.pop(Path(name).name, None)


_vfs = _VFS()


@contextmanager
def disk() -> Iterator[Disk]:
    """An empty disk, for stores with `vfs=NAME`; one at a time."""
    global _disk
    _disk = Disk()
    try:
        yield _disk
    finally:
        _disk = Disk()
