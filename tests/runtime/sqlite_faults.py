"""A file system that does as it is told: it counts syncs, and raises what a test asks for.

One VFS for all tests (names are global in SQLite). `Disk` is what a test gets: set `fault` to have every
write or sync of a kind raise, `on_sync` to be called before each sync.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import attrs

NAME = "flowgen-faulty"


@attrs.define
class Disk:
    """How the disk behaves. `fault` is (operation, end of the file's name, what to raise)."""

    fault: tuple[str, str, Callable[[], Exception]] | None = None
    on_sync: Callable[[str], None] | None = None
    syncs: int = 0

    def meet(self, operation: str, name: str) -> None:
        if self.fault is not None and self.fault[0] == operation and name.endswith(self.fault[1]):
            raise self.fault[2]()


_disk = Disk()


class _File(apsw.VFSFile):
    def __init__(self, vfs: str, name: Any, flags: list[int]) -> None:
        self.name = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        _disk.meet("open", self.name)
        super().__init__(vfs, name, flags)

    def xRead(self, amount: int, offset: int) -> bytes:
        _disk.meet("read", self.name)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        _disk.meet("write", self.name)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        _disk.syncs += 1
        if _disk.on_sync is not None:
            _disk.on_sync(self.name)
        _disk.meet("sync", self.name)
        super().xSync(flags)


class _VFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> _File:
        return _File("", name, flags)


_vfs = _VFS()


@contextmanager
def disk() -> Iterator[Disk]:
    """A disk that works, until the test says otherwise; it works again afterwards."""
    global _disk
    _disk = Disk()
    try:
        yield _disk
    finally:
        _disk = Disk()


def flip_bit(path: Path, text: bytes) -> None:
    """Flip one bit of the first place in the file that holds `text`."""
    content = bytearray(path.read_bytes())
    place = content.find(text)
    assert place >= 0, f"{text!r} is not in {path}"
    content[place] ^= 1
    path.write_bytes(content)
