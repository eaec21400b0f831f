"""Bugs in the stores: fences, wake-ups, what is durable, and runs that begin with their claim."""

from __future__ import annotations

from .bug import Bug

BUGS = (
    Bug(
        name="no-fence-memory",
        promise="a write under an old fence changes nothing (memory)",
        file="flowgen/runtime/stores/memory/commits.py",
        find="if row.fence != progress.fence or (row.owner is None) != progress.reopen:",
        replace="if False:",
        tests=("tests/conformance/test_stores.py::test_memory_store[a stale fence changes nothing]",),
    ),
    Bug(
        name="no-fence-sqlite",
        promise="a process stopped past its lease changes nothing when it goes on (SQLite)",
        file="flowgen/runtime/stores/sqlite/commit.py",
        find="if row.fence != progress.fence or (row.owner is None) != progress.reopen:",
        replace="if False:",
        tests=(
            "tests/runtime/test_sqlite_conformance.py::test_sqlite_store[a stale fence changes nothing-inline]",
            "tests/crash/test_processes.py",
        ),
    ),
    Bug(
        name="cancel-overlooked",
        promise="a run does not end while a cancel is unread",
        file="flowgen/runtime/stores/sqlite/commit.py",
        find="if progress.stored in TERMINAL and row.cancel > max(row.drained, progress.drained):",
        replace="if False:",
        tests=("tests/runtime/test_sqlite_conformance.py::test_sqlite_store[an unread cancel changes nothing-inline]",),
    ),
    Bug(
        name="lost-wake-up",
        promise="a release with unread mail makes the run due at once",
        file="flowgen/runtime/stores/memory/commits.py",
        find='at_once = progress.stored == "parked" or awaited > row.drained',
        replace='at_once = progress.stored == "parked"',
        tests=("tests/conformance/test_stores.py::test_memory_store[a release with unread mail is due now]",),
    ),
    Bug(
        name="not-synced",
        promise="accepted means durable: SQLite syncs each commit",
        file="flowgen/runtime/stores/sqlite/connection.py",
        find='_setting(connection, path, "synchronous", "full", 2)',
        replace='_setting(connection, path, "synchronous", "normal", 1)',
        tests=(
            "tests/runtime/test_sqlite_files.py",
            "tests/runtime/test_sqlite_writer.py",
            "tests/crash/test_kill9.py",
        ),
    ),
    Bug(
        name="begun-without-slots",
        promise="without its slots no run begins",
        file="flowgen/runtime/stores/begun.py",
        find="if not (claimed.codeless or claimed.slotless) else None",
        replace="if not claimed.codeless else None",
        tests=("tests/conformance/test_stores.py",),
    ),
    Bug(
        name="row-before-its-beginning",
        promise="a run that began with its claim is given as it is then",
        file="flowgen/runtime/stores/begun.py",
        find="attrs.evolve(claimed, row=loaded.row, beginning=",
        replace="attrs.evolve(claimed, beginning=",
        tests=("tests/conformance/test_stores.py",),
    ),
    Bug(
        name="refused-with-its-beginning",
        promise="a run whose beginning is refused is claimed all the same",
        file="flowgen/runtime/stores/begun.py",
        find="except (Refused, DamagedRun):",
        replace="except DamagedRun:",
        tests=("tests/conformance/test_stores.py",),
    ),
)
