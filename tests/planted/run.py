"""Plant each bug in a copy of the project, and see the tests catch it.

::

    make planted                        all of them
    make planted ARGS="shared-dice"     some of them
    make planted ARGS="--part 2/3"      the second third (CI takes turns)

A bug that no test notices is a failure here, and so is one that cannot be planted any more. Before the
first bug, the tests must pass on the copy as it is. They leave its bytecode there, which each later run reads; of a
planted bug none is written.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))

from tests.planted.bugs import BUGS, Bug  # noqa: E402  (run as a script, the path comes first)

COPIED = ("flowgen", "tests", "examples", "docs", "pyproject.toml", "README.md")
LIMIT_SECONDS = 600
SOUND_LIMIT_SECONDS = 1800
TESTS_FAILED = 1


def plant(bug: Bug, copy: Path) -> str:
    """Make the edit, or say why it cannot be made. Gives the text as it was."""
    file = copy / bug.file
    text = file.read_text()
    if (count := text.count(bug.find)) != 1:
        raise SystemExit(f"{bug.name}: {bug.find!r} occurs {count} times in {bug.file}; it has to occur once")
    file.write_text(text.replace(bug.find, bug.replace))
    return text


def restore(bug: Bug, copy: Path, text: str) -> None:
    """Undo the edit, with the time of the file too, by which its bytecode is known."""
    (copy / bug.file).write_text(text)
    shutil.copystat(ROOT / bug.file, copy / bug.file)


def tests_of(copy: Path, tests: Sequence[str], *, sound: bool) -> int:
    """The exit code of pytest in the copy; a hang counts as caught. A sound copy keeps bytecode and has more time."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "" if sound else "1"}
    seconds = SOUND_LIMIT_SECONDS if sound else LIMIT_SECONDS
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    try:
        return subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=seconds, check=False
        ).returncode
    except subprocess.TimeoutExpired:
        return TESTS_FAILED


def copied(target: Path) -> None:
    """Copy what the tests need."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name, ignore=shutil.ignore_patterns("__pycache__", "*.db*"))
        elif source.exists():
            shutil.copy(source, target / name)


def chosen(names: Sequence[str], part: str | None) -> list[Bug]:
    """The bugs that the arguments select."""
    if unknown := set(names) - {bug.name for bug in BUGS}:
        raise SystemExit(f"no such bug: {', '.join(sorted(unknown))}; there are {', '.join(b.name for b in BUGS)}")
    bugs = [bug for bug in BUGS if not names or bug.name in names]
    if part is None:
        return bugs
    number, _, parts = part.partition("/")
    if not (number.isdigit() and parts.isdigit() and 1 <= int(number) <= int(parts)):
        raise SystemExit(f"--part {part}: write it like 2/3")
    return bugs[int(number) - 1 :: int(parts)]


def run(bugs: Sequence[Bug]) -> list[str]:
    """Plant each of these bugs, and tell of each whether it was caught; the names of those that were not."""
    missed = []
    with tempfile.TemporaryDirectory() as directory:
        copy = Path(directory)
        copied(copy)
        needed = list(dict.fromkeys(test for bug in bugs for test in bug.tests))
        if needed and tests_of(copy, needed, sound=True) != 0:
            raise SystemExit("the tests fail without any bug: mend that first (make test)")
        for bug in bugs:
            text = plant(bug, copy)
            caught = tests_of(copy, bug.tests, sound=False) == TESTS_FAILED
            restore(bug, copy, text)
            print(f"{'caught' if caught else 'MISSED'}  {bug.name}: {bug.promise}", flush=True)
            missed += [] if caught else [bug.name]
    return missed


def main() -> int:
    parser = argparse.ArgumentParser(description="Plant known bugs and see each of them caught.")
    parser.add_argument("names", nargs="*", help="which bugs; all if none is named")
    parser.add_argument("--part", help="a share of them, such as 2/3")
    arguments = parser.parse_args()
    bugs = chosen(arguments.names, arguments.part)
    missed = run(bugs)
    print(f"{len(bugs) - len(missed)} of {len(bugs)} planted bugs were caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
