"""Shelves are checked by themselves: what is wrong with one is told by the cases that are about it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from flowgen.runtime.stores import Reading
from flowgen.testing.conformance import check_shelf, shelf_cases
from flowgen.testing.conformance.report import MOST_TOLD, examine
from tests.docs.pages import ROOT, blocks

CASES = {case.name: case for case in shelf_cases()}


@attrs.define
class Papers:
    """What several shelves in memory share."""

    number: int = 0
    documents: dict[str, bytes] = attrs.Factory(dict)
    lock: threading.RLock = attrs.Factory(threading.RLock)


class Cabinet:
    """A shelf in memory that others may share."""

    def __init__(self, papers: Papers | None = None) -> None:
        self.papers = papers or Papers()

    def open(self) -> None:
        """There is nothing to open."""

    def close(self) -> None:
        """Nor to close."""

    def version(self) -> int:
        return self.papers.number

    def read(self) -> Reading:
        with self.papers.lock:
            return Reading(self.papers.number, dict(self.papers.documents))

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        with self.papers.lock:
            if version != self.papers.number:
                return False
            self.apply(changes)
            return True

    def apply(self, changes: Mapping[str, bytes | None]) -> None:
        self.papers.number += 1
        for name, data in changes.items():
            self.papers.documents.pop(name, None)
            if data is not None:
                self.papers.documents[name] = data


class LastOneWins(Cabinet):
    """It does not look at the version: whoever writes last is right."""

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        with self.papers.lock:
            self.apply(changes)
            return True


class Believer(Cabinet):
    """It believes in versions of the future."""

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        return super().write(min(version, self.papers.number), changes) if version >= self.papers.number else False


class Sloppy(Cabinet):
    """It says no, and does a part of it."""

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        if version != self.papers.number:
            self.papers.documents.update({name: data for name, data in changes.items() if data is not None})
        return super().write(version, changes)


class Hoarder(Cabinet):
    """It never lets a document go."""

    def apply(self, changes: Mapping[str, bytes | None]) -> None:
        super().apply({name: data for name, data in changes.items() if data is not None})


class Showcase(Cabinet):
    """What it was read as is what it is."""

    def read(self) -> Reading:
        return Reading(self.papers.number, self.papers.documents)


class Shouting(Cabinet):
    """It knows no difference between two names that it does not like."""

    def apply(self, changes: Mapping[str, bytes | None]) -> None:
        super().apply({name.replace("-", "_")[:100]: data for name, data in changes.items()})


class Private(Cabinet):
    """Nobody else sees what it has."""

    def __init__(self, papers: Papers | None = None) -> None:
        super().__init__(None)


class Idle(Cabinet):
    """A write of nothing is nothing to it."""

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        return super().write(version, changes) if changes else True


class Vague(Cabinet):
    """It says neither yes nor no."""

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> Any:
        super().write(version, changes)


class Hasty(Cabinet):
    """It looks, and then writes, and others come in between: all who count for the first time meet there."""

    def __init__(self, papers: Papers | None = None) -> None:
        super().__init__(papers)
        self.waits = iter([True])

    def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
        if version != self.papers.number:
            return False
        if threading.current_thread() is not threading.main_thread() and next(self.waits, False):
            MEETING.wait()
        self.apply(changes)
        return True


MEETING = threading.Barrier(3, timeout=240)

BUGS: tuple[tuple[type[Cabinet], tuple[str, ...]], ...] = (
    (
        LastOneWins,
        ("who was slower is refused", "of two shelves the slower is refused", "a refused write changes nothing"),
    ),
    (Believer, ("a version that never was is refused",)),
    (Sloppy, ("a refused write changes nothing", "who was slower is refused")),
    (Hoarder, ("documents change together", "what was written outlives the shelf")),
    (Showcase, ("a reading stays as it was",)),
    (Shouting, ("names are what the contract allows",)),
    (Private, ("a change is seen by others at once", "what was written outlives a crash")),
    (Idle, ("no changes are a change",)),
    (Vague, ("a change is number one more",)),
    (Hasty, ("no update is lost in a race",)),
)


def again(shelf: Cabinet) -> Cabinet:
    """Another shelf of its kind on the same documents."""
    return type(shelf)(shelf.papers)


def test_a_shelf_that_is_right_passes() -> None:
    """All cases; without another way to its documents, those about other processes are skipped and named."""
    assert check_shelf(Cabinet, reopen=again).skipped == ()
    skipped = {case.name for case in check_shelf(Cabinet).skipped}
    assert {"a change is seen by others at once", "no update is lost in a race"} <= skipped


@pytest.mark.parametrize(("broken", "caught_by"), BUGS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_shelf_is_caught(broken: type[Cabinet], caught_by: tuple[str, ...]) -> None:
    """By each of the cases that are named beside the bug."""
    for name in caught_by:
        with pytest.raises(AssertionError, match=f"^{name}: "):
            CASES[name].check(broken, reopen=again)


# -- the shelf of the documentation ----------------------------------------------------------------


def directory_shelf(edit: Callable[[str], str]) -> Any:
    """The class of the how-to's shelf, its source edited."""
    (source,) = [
        b for b in blocks(ROOT / "docs/how-to/write-a-store.md", "python") if b.lstrip().startswith("# directory.py")
    ]
    namespace: dict[str, Any] = {}
    exec(compile(edit(source), "directory.py", "exec"), namespace)
    return namespace["Directory"]


def without_versions(source: str) -> str:
    """The planted bug: it takes whatever it is given, whoever was faster."""
    look = "            if version != self.last_change():\n                return False\n"
    assert source.count(look) == 1
    return source.replace(look, "")


@pytest.fixture
def directories(tmp_path: Path) -> Callable[[], Path]:
    paths: Iterator[Path] = (tmp_path / f"shelf {number}" for number in range(1_000))
    return lambda: next(paths)


def test_the_shelf_of_the_how_to_passes(directories: Callable[[], Path]) -> None:
    """The directory of JSON files keeps all promises of a shelf, under threads that race, too."""
    shelf = directory_shelf(lambda source: source)
    report = check_shelf(lambda: shelf(directories()), reopen=lambda other: shelf(other.path))
    assert report.skipped == ()


def test_a_copy_of_it_that_ignores_versions_fails_with_a_readable_report(directories: Callable[[], Path]) -> None:
    """It says which promise is broken, what was asked and answered, and what should have come."""
    shelf = directory_shelf(without_versions)
    with pytest.raises(AssertionError) as caught:
        CASES["of two shelves the slower is refused"].check(
            lambda: shelf(directories()), reopen=lambda other: shelf(other.path)
        )
    assert str(caught.value) == (
        "of two shelves the slower is refused: Both have read the same; one writes, and the other is told so: no "
        "update is lost between processes.\n"
        "   1. write(0, {'cell/count': b'1'})\n"
        "      → True\n"
        "   2. write(1, {'cell/count': b'2'})\n"
        "      → True\n"
        "   3. second write(1, {'cell/count': b'2, says the second'})\n"
        "      → True\n"
        "the last change is number 2, not 1, so write(1, …) is refused\n"
        "  expected: False\n"
        "  got:      True"
    )


# -- reports ---------------------------------------------------------------------------------------


def test_a_very_broken_shelf_is_told_of_in_ten_stories() -> None:
    """The first failures are told, and how many there are besides."""

    class Nothing(Cabinet):
        def write(self, version: int, changes: Mapping[str, bytes | None]) -> bool:
            raise OSError("read-only file system")

    with pytest.raises(AssertionError) as caught:
        examine(shelf_cases(), Nothing, again)
    first, *stories, last = str(caught.value).split("\n\n")
    failed = int(first.split()[0])
    assert first == f"{failed} of {len(CASES)} cases failed"
    assert len(stories) == MOST_TOLD
    assert last.startswith(f"… and {failed - MOST_TOLD} more")
    assert all("OSError: read-only file system" in story for story in stories)
