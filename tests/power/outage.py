"""Power is lost at any moment of a store's work, and what is left has to be right.

At moments chosen by a seed an *image* is made of what might be left on the disk, opened with an ordinary SQLite,
checked by `integrity_check`, and read whole. It has to be, row for row, what the store held after the last commit that
was acknowledged, or after the one that was under way: acknowledged means durable (I1), and a commit is there whole
or not at all (I6, I40). Some images are also opened as stores and given to the doctor, who recomputes each checksum
and each rule that holds between rows.

Two workloads: random operations of the conformance model, and whole engines in simulation. A bound on the number of
images says when it is enough; the same seed makes the same images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from hashlib import blake2b
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import apsw
import attrs
import trio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from flowgen.runtime.checkup import check_up
from flowgen.runtime.store import Extended, Extender, Lease
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite.batch import LARGE
from flowgen.testing import Faults, VirtualClock, check_invariants, simulate
from flowgen.testing.conformance.model_cases import CONTEST, FRAGMENT, PRELUDE, duel_of
from tests.properties.worlds import WORLDS, app, events_of

from .disk import LOSSES, NAME, Disk, Image, Moment, disk

T = TypeVar("T")

FILE = "power.db"
SHARE_OF_WRITES = 0.05
LOSSES_A_POINT = 2
SHARE_OF_DOCTORS = 0.02


@attrs.define
class Figures:
    """What was examined: images that differ, those of them that a doctor saw, and the commits and checkpoints."""

    images: int = 0
    examined: int = 0
    commits: int = 0
    checkpoints: int = 0
    losses: dict[str, int] = attrs.Factory(lambda: dict.fromkeys(LOSSES, 0))

    def __str__(self) -> str:
        kinds = ", ".join(f"{loss} {count:,}" for loss, count in self.losses.items())
        return (
            f"{self.images:,} images ({kinds}) of {self.commits:,} commits and {self.checkpoints:,} checkpoints, "
            f"{self.examined:,} of them seen by the doctor"
        )


class Lost(AssertionError):
    """What is left after a loss of power is not what it has to be."""


class Outage:
    """Makes images of a disk while a store works on it, and judges them when the store has answered."""

    def __init__(self, disk: Disk, path: Path, figures: Figures, random: Random, *, doctor: bool) -> None:
        self._disk = disk
        self._path = path
        self._figures = figures
        self._random = random
        self._doctor = doctor
        self._live: apsw.Connection | None = None
        self._acknowledged: str | None = None
        self._left: list[tuple[Moment, str, str]] = []
        self._seen: set[bytes] = set()
        self._patients: list[Image] = []
        disk.on_point = self.point

    def point(self, moment: Moment, name: str) -> None:
        """Power may fail now."""
        self._figures.checkpoints += moment == "sync" and name == FILE
        if self._acknowledged is None or (moment == "write" and self._random.random() > SHARE_OF_WRITES):
            return
        losses = self._random.sample(LOSSES, LOSSES_A_POINT) if self._disk.unsynced else ["none"]
        for loss in losses:
            image = self._disk.image(loss, self._random)
            digest = _digest(image)
            if digest in self._seen and moment != "answer":
                continue
            self._figures.images += digest not in self._seen
            self._figures.losses[loss] += digest not in self._seen
            self._seen.add(digest)
            self._left.append((moment, loss, self._read(image)))
            if self._doctor and self._random.random() < SHARE_OF_DOCTORS:
                self._patients.append(image)

    def acknowledge(self) -> None:
        """The store has answered: what it holds now must be there from now on."""
        if self._live is None:
            self._live = apsw.Connection(str(self._path), apsw.SQLITE_OPEN_READONLY)
        before, now = self._acknowledged, _content(self._live)
        self._acknowledged = now
        self._figures.commits += before not in (None, now)
        self.point("answer", FILE)
        left, self._left = self._left, []
        for moment, loss, content in left:
            if content not in ((now,) if moment == "answer" else (before, now)):
                raise Lost(
                    f"power failed {MOMENTS[moment]} number {self._figures.commits}, and of what was not synced "
                    f"{loss} was left: {'an acknowledged' if moment == 'answer' else 'that or the one before'} commit "
                    "is lost, or there in part"
                )

    def close(self) -> None:
        """The workload is over: the doctor comes."""
        if self._live is not None:
            self._live.close()
        for image in self._patients:
            self._figures.examined += 1
            trio.run(_examine, _restored(image, self._path.parent / "patient"), clock=VirtualClock())

    def _read(self, image: Image) -> str:
        """All that is left, after SQLite has recovered it."""
        path = _restored(image, self._path.parent / "left")
        with closing(apsw.Connection(str(path))) as left:
            left.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            try:
                if (verdict := left.pragma("integrity_check")) != "ok":
                    raise Lost(f"what is left is damaged: {verdict}")
                return _content(left)
            except apsw.CorruptError as error:
                raise Lost(f"what is left is damaged: {error}") from error


MOMENTS: dict[Moment, str] = {
    "write": "at a write of commit",
    "sync": "before a sync of commit",
    "answer": "after the answer to commit",
}


def _restored(image: Image, directory: Path) -> Path:
    """The image as files, in a directory that holds nothing else afterwards."""
    directory.mkdir(exist_ok=True)
    for file in directory.iterdir():
        file.unlink()
    for name, content in image.items():
        (directory / name).write_bytes(content)
    return directory / FILE


def _digest(image: Image) -> bytes:
    digest = blake2b(digest_size=16)
    for name, content in sorted(image.items()):
        digest.update(b"%s %d " % (name.encode(), len(content)))
        digest.update(content)
    return digest.digest()


def _content(connection: apsw.Connection) -> str:
    """A digest of every row of every table."""
    digest = blake2b(digest_size=16)
    connection.execute("begin")
    try:
        tables = connection.execute("select name from sqlite_master where type = 'table' order by name").fetchall()
        for (table,) in tables:
            rows = connection.execute(f'select * from "{table}"').fetchall()  # noqa: S608
            digest.update(repr((table, rows)).encode())
    finally:
        connection.execute("rollback")
    return digest.hexdigest()


async def _examine(path: Path) -> None:
    store = SqliteStore(path, inline=True)
    await store.open()
    try:
        report = await check_up(store)
    finally:
        await store.close()
    if report.findings:
        raise Lost("the doctor finds damage:\n" + "\n".join(finding.message for finding in report.findings))


# -- the store, and what it does ----------------------------------------------------------------------


class WatchedStore(SqliteStore):
    """A store that says when it has answered."""

    def __init__(self, path: Path, clock: Callable[[], int], outage: Outage) -> None:
        super().__init__(path, clock, inline=True, vfs=NAME)
        self._outage = outage

    async def _write(self, change: Any, size: int = LARGE) -> Any:
        answer = await super()._write(change, size)
        self._outage.acknowledge()
        return answer

    def extender(self) -> Extender:
        return _WatchedExtender(super().extender(), self._outage)


@attrs.frozen
class _WatchedExtender:
    inner: Extender
    outage: Outage

    def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        extended = self.inner.extend(worker, leases, lease)
        self.outage.acknowledge()
        return extended

    def close(self) -> None:
        self.inner.close()


@contextmanager
def outages(
    figures: Figures, random: Random, *, doctor: bool = False
) -> Iterator[Callable[[Callable[[], int]], SqliteStore]]:
    """Makes stores on a disk that may lose power, one at a time."""
    outage: Outage | None = None
    with TemporaryDirectory() as directory, disk() as power:

        def make(clock: Callable[[], int]) -> SqliteStore:
            nonlocal outage
            path = Path(directory) / FILE
            outage = Outage(power, path, figures, random, doctor=doctor)
            return WatchedStore(path, clock, outage)

        yield make
        if outage is not None:
            outage.close()


def operations(images: int, number: int = 0) -> Figures:
    """Random operations of the conformance model, until there are so many images."""
    figures = Figures()
    while figures.images < images:
        number += 1
        _some_operations(figures, images, number)
    return figures


def _some_operations(figures: Figures, images: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=4,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from((PRELUDE, CONTEST)), st.lists(FRAGMENT, min_size=8, max_size=16))
    def play(first: Any, fragments: Any) -> None:
        if figures.images < images:
            with outages(figures, Random(number)) as make:
                duel_of(make, [*first, *(operation for fragment in fragments for operation in fragment)])

    play()


def engines(images: int, number: int = 0) -> Figures:
    """Whole engines at work on the worlds of the simulations, with faults, until there are so many images."""
    figures = Figures()
    while figures.images < images:
        number += 1
        random = Random(number)
        worlds = random.sample(WORLDS, 2)
        faults = Faults(crash=0.03, duplicate=0.05, delay=0.1, evict=0.1)
        with outages(figures, random, doctor=True) as make:
            check_invariants(simulate(app, events_of(worlds), seed=number, workers=2, faults=faults, store=make))
    return figures
