"""What every shelf does: the five methods of `Shelf`, as named cases, and a race of threads.

A `DocumentStore` is only as good as its shelf, and `check_store` cannot see all that a shelf does wrong: that the
slower of two writers is refused matters only between a look and a write, and no case of a store can get in there. So
shelves are asked themselves.

Refuses to know what the documents are.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ...runtime.stores.documents import Reading, Shelf
from .case import PATIENCE, Case
from .world import Unavailable

MakeShelf = Callable[[], Shelf]
"""Makes a fresh, empty shelf, not opened yet."""

ReopenShelf = Callable[[Any], Shelf]
"""Given a shelf, makes another one on the same documents, not opened yet."""

Script = Callable[["Bench"], None]

_THREADS, _ROUNDS, _TRIES = 3, 20, 10_000
_LONGEST_NAME = 200
_BIG = 1_000_000
_HERE = str(Path(__file__))


class Bench:
    """A fresh shelf that is open, and a log of what was asked and answered."""

    def __init__(self, shelf: Shelf, again: Callable[[], Shelf] | None) -> None:
        self.log: list[str] = []
        self.shelf = shelf
        self._again = again
        self._opened = [shelf]
        shelf.open()

    def second(self) -> Shelf:
        """The same documents as another process sees them; it writes down nothing."""
        if self._again is None:
            raise Unavailable("no way was given to open the same documents again")
        shelf = self._again()
        shelf.open()
        self._opened.append(shelf)
        return shelf

    def close(self) -> None:
        """Close what was opened."""
        for shelf in reversed(self._opened):
            shelf.close()

    # -- asking -----------------------------------------------------------------------------------

    def write(self, version: int, changes: Mapping[str, bytes | None], shelf: Shelf | None = None) -> object:
        """Ask for changes, and write down what was answered."""
        who = "" if shelf is None or shelf is self.shelf else "second "
        self.log.append(f"{who}write({version}, {_brief(dict(changes))})")
        answer: object = (shelf or self.shelf).write(version, changes)
        self.log[-1] += f"\n      → {answer!r}"
        return answer

    def put(self, changes: Mapping[str, bytes | None]) -> None:
        """Make changes that nobody can have anything against."""
        version = self.shelf.version()
        self.expect("nobody was faster, so the change is made", self.write(version, changes), True)

    def refused(self, version: int, changes: Mapping[str, bytes | None], shelf: Shelf | None = None) -> None:
        """The shelf refuses to make these changes under this version, and nothing has changed."""
        before = self.shelf.read()
        self.expect(
            f"the last change is number {before.version}, not {version}, so write({version}, …) is refused",
            self.write(version, changes, shelf),
            False,
        )
        after = self.shelf.read()
        self.expect("a refused write changes no document", _brief(after.documents), _brief(before.documents))
        self.expect("a refused write is no change", after.version, before.version)

    # -- judging ----------------------------------------------------------------------------------

    def holds(self, version: int, documents: Mapping[str, bytes], shelf: Shelf | None = None) -> None:
        """What is on the shelf."""
        asked, who = shelf or self.shelf, "" if shelf is None or shelf is self.shelf else "second "
        reading = asked.read()
        self.log.append(f"{who}read()\n      → {_brief(reading)}")
        self.expect("the documents", _brief(reading.documents), _brief(documents))
        self.expect("the version of what was read", reading.version, version)
        self.expect(f"{who}version()", asked.version(), version)

    def expect(self, what: str, got: object, expected: object) -> None:
        """`got` must equal `expected`."""
        if got != expected or type(got) is not type(expected):
            self.fail(
                f"{what}\n  expected: {expected if isinstance(expected, str) else repr(expected)}\n  got:      "
                f"{got if isinstance(got, str) else repr(got)}"
            )

    def fail(self, message: str) -> NoReturn:
        """The case has failed."""
        raise AssertionError(message)


def _brief(value: object) -> str:
    """Documents on one line, large ones by their size."""
    match value:
        case Reading(version, documents):
            return f"Reading({version}, {_brief(documents)})"
        case Mapping():
            return "{" + ", ".join(f"{_brief(name)}: {_brief(value[name])}" for name in sorted(value)) + "}"
        case str() | bytes() if len(value) > 60:
            return f"<{len(value)} of {type(value).__name__}, {value[:8]!r} …>"
        case _:
            return repr(value)


# -- the cases -------------------------------------------------------------------------------------


class Collection:
    """Cases in the order in which they are written."""

    def __init__(self) -> None:
        self.cases: list[Case] = []

    def __call__(self, script: Script) -> Script:
        """Decorator: a function is a case; its name and docstring are the case's."""
        about = " ".join((script.__doc__ or "").split())
        assert about, f"case {script.__name__} does not say what it is about"
        self.cases.append(Case(script.__name__.replace("_", " "), about, _judge_by(script)))
        return script


def _judge_by(script: Script) -> Callable[[Any, Any], None]:
    def judge(factory: MakeShelf, reopen: ReopenShelf | None) -> None:
        shelf = factory()
        bench = Bench(shelf, None if reopen is None else lambda: reopen(shelf))
        try:
            try:
                script(bench)
            finally:
                bench.close()
        except Unavailable:
            raise
        except AssertionError as failure:
            raise AssertionError(f"{_story(bench)}\n{failure}") from failure
        except Exception as error:
            raise AssertionError(f"{_story(bench)}\n{type(error).__name__}: {error}{_place(error)}") from error

    return judge


def _story(bench: Bench) -> str:
    steps = "\n".join(f"  {number:2}. {entry}" for number, entry in enumerate(bench.log, 1))
    return steps or "  (nothing was asked yet)"


def _place(error: BaseException) -> str:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _HERE]
    return f"\n  in: {frames[-1].line}" if frames else ""


case = Collection()


@case
def a_fresh_shelf_is_empty(bench: Bench) -> None:
    """It has no document, and its version is 0."""
    bench.holds(0, {})


@case
def a_change_is_number_one_more(bench: Bench) -> None:
    """A write under the version of the last change is made, and has the next number."""
    bench.put({"run/a": b"1"})
    bench.holds(1, {"run/a": b"1"})
    bench.put({"run/b": b"2"})
    bench.holds(2, {"run/a": b"1", "run/b": b"2"})


@case
def documents_change_together(bench: Bench) -> None:
    """One write may add, replace and remove; what it does not name stays."""
    bench.put({"run/a": b"1", "run/b": b"2", "run/c": b"3"})
    bench.put({"run/a": b"10", "run/b": None, "event/d": b"4"})
    bench.holds(2, {"run/a": b"10", "run/c": b"3", "event/d": b"4"})


@case
def what_is_not_there_may_be_removed(bench: Bench) -> None:
    """To remove a document that does not exist is a change like any other."""
    bench.put({"run/a": None})
    bench.holds(1, {})


@case
def a_removed_document_may_come_back(bench: Bench) -> None:
    """A name is free again when its document is gone."""
    bench.put({"run/a": b"1"})
    bench.put({"run/a": None})
    bench.put({"run/a": b"2"})
    bench.holds(3, {"run/a": b"2"})


@case
def who_was_slower_is_refused(bench: Bench) -> None:
    """A write under a version that is not that of the last change is refused: else the other's change would be lost."""
    bench.put({"run/a": b"the first"})
    bench.refused(0, {"run/a": b"the second, who read nothing of the first"})


@case
def a_refused_write_changes_nothing(bench: Bench) -> None:
    """Nothing is added, replaced or removed by it, not even what the last change did not touch."""
    bench.put({"run/a": b"1", "run/b": b"2"})
    bench.put({"run/a": b"3"})
    bench.refused(1, {"run/a": b"4", "run/b": None, "run/c": b"5"})
    bench.put({"run/c": b"6"})
    bench.holds(3, {"run/a": b"3", "run/b": b"2", "run/c": b"6"})


@case
def a_version_that_never_was_is_refused(bench: Bench) -> None:
    """So is a write under a version of the future."""
    bench.put({"run/a": b"1"})
    bench.refused(2, {"run/a": b"2"})


@case
def no_changes_are_a_change(bench: Bench) -> None:
    """A write of nothing has a number, and is refused like any other."""
    bench.put({})
    bench.holds(1, {})
    bench.refused(0, {})


@case
def bytes_come_back_as_they_were(bench: Bench) -> None:
    """Empty documents, and large ones; JSON text of any language, with quotes, escapes and line ends in it."""
    documents = {
        "run/empty": b"",
        "run/text": '"Größe \\u0000 \\" 注文"\r\n\t{}\n'.encode(),
        "run/large": b"x" * _BIG,
    }
    bench.put(documents)
    bench.holds(1, documents)
    bench.expect("the large one, byte for byte", bench.shelf.read().documents["run/large"] == b"x" * _BIG, True)


@case
def names_are_what_the_contract_allows(bench: Bench) -> None:
    """`kind/rest`, of a-z 0-9 _ - % . up to 200 characters: no two of them are one, and none is lost."""
    names = ["run/a", "run/a.b", "run/a-b", "run/a_b", "run/a%2eb", "run/0", "event/a", "key/a", "run/" + "n" * 196]
    assert max(map(len, names)) == _LONGEST_NAME
    documents = {name: name.encode() for name in names}
    bench.put(documents)
    bench.holds(1, documents)


@case
def a_reading_stays_as_it_was(bench: Bench) -> None:
    """What was read does not change when the shelf does."""
    bench.put({"run/a": b"1"})
    reading = bench.shelf.read()
    bench.put({"run/a": b"2", "run/b": b"3"})
    bench.expect("the documents that were read before", _brief(reading.documents), _brief({"run/a": b"1"}))
    bench.expect("their version", reading.version, 1)


@case
def a_shelf_may_be_closed_twice(bench: Bench) -> None:
    """Closing again does nothing."""
    bench.shelf.close()
    bench.shelf.close()


@case
def what_was_written_outlives_the_shelf(bench: Bench) -> None:
    """Whoever opens the same documents later finds all of them, and the number of the last change."""
    bench.put({"run/a": b"1", "run/b": b"2"})
    bench.put({"run/b": None})
    bench.shelf.close()
    bench.holds(2, {"run/a": b"1"}, bench.second())


@case
def what_was_written_outlives_a_crash(bench: Bench) -> None:
    """So does whoever opens them after a process that died without closing anything."""
    bench.put({"run/a": b"1"})
    bench.holds(1, {"run/a": b"1"}, bench.second())


@case
def to_open_changes_nothing(bench: Bench) -> None:
    """Opening documents that are there is no change."""
    bench.put({"run/a": b"1"})
    bench.second()
    bench.holds(1, {"run/a": b"1"})


@case
def a_change_is_seen_by_others_at_once(bench: Bench) -> None:
    """Both `version` and `read` of another shelf know of a change when the write has returned."""
    other = bench.second()
    bench.put({"run/a": b"1"})
    bench.holds(1, {"run/a": b"1"}, other)
    bench.expect("the second may go on from there", bench.write(1, {"run/b": b"2"}, other), True)
    bench.holds(2, {"run/a": b"1", "run/b": b"2"})


@case
def of_two_shelves_the_slower_is_refused(bench: Bench) -> None:
    """Both have read the same; one writes, and the other is told so: no update is lost between processes."""
    other = bench.second()
    bench.put({"cell/count": b"1"})
    seen = other.read()
    bench.put({"cell/count": b"2"})
    bench.refused(seen.version, {"cell/count": b"2, says the second"}, other)
    bench.holds(2, {"cell/count": b"2"}, other)


@case
def no_update_is_lost_in_a_race(bench: Bench) -> None:
    """Several threads count on one document, each with a shelf of its own: what is counted is what was made."""
    shelves = [bench.second() for _ in range(_THREADS)]
    bench.put({"cell/count": b"0"})
    errors: list[BaseException] = []
    threads = [threading.Thread(target=_count, args=(shelf, errors), daemon=True) for shelf in shelves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if any(thread.is_alive() for thread in threads):
        bench.fail(f"the threads wait for one another: they have not come to an end within {PATIENCE} s")
    bench.log.append(f"{_THREADS} threads count {_ROUNDS} times each: read(), then write(…) until it is made")
    if errors:
        raise errors[0]
    bench.holds(1 + _THREADS * _ROUNDS, {"cell/count": b"%d" % (_THREADS * _ROUNDS)})


def _count(shelf: Shelf, errors: list[BaseException]) -> None:
    try:
        for _ in range(_ROUNDS):
            assert any(_counted(shelf) for _ in range(_TRIES)), (
                f"write(…) was refused {_TRIES} times, each time under the version that was read just before"
            )
    except BaseException as error:
        errors.append(error)


def _counted(shelf: Shelf) -> bool:
    reading = shelf.read()
    return shelf.write(reading.version, {"cell/count": b"%d" % (int(reading.documents["cell/count"]) + 1)})
