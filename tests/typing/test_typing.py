"""The types of the public surface, as mypy --strict and pyright see them.

The files in `accepted/` state types with `assert_type` and must be free of errors. Those in `refused/`
mark each line that must be an error with `# refused`; an error elsewhere fails the test as well.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
ACCEPTED = sorted((HERE / "accepted").glob("*.py"))
REFUSED = sorted((HERE / "refused").glob("*.py"))

Place = tuple[str, int]
Report = dict[Place, str]

_MYPY_LINE = re.compile(r"(?P<path>.+?):(?P<line>\d+)(?::\d+)?: error: (?P<message>.*)")


def run(*command: str) -> str:
    """The standard output of a checker; one that could not run at all is an error here."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def place(path: str | Path) -> str:
    """A file of ours: `accepted/…` or `refused/…`."""
    return "/".join(Path(path).parts[-2:])


def mypy() -> Report:
    """The errors that mypy reports, by file and line."""
    out = run("mypy", "--strict", "--follow-imports=silent", "--no-pretty", *map(str, [*ACCEPTED, *REFUSED]))
    found = [match for line in out.splitlines() if (match := _MYPY_LINE.match(line))]
    return {(place(m["path"]), int(m["line"])): m["message"] for m in found}


def pyright() -> Report:
    """The errors that pyright reports, by file and line."""
    out = run("pyright", "--outputjson", "--project", str(ROOT), *map(str, [*ACCEPTED, *REFUSED]))
    report: Report = {}
    for found in json.loads(out)["generalDiagnostics"]:
        if found["severity"] == "error":
            report[(place(found["file"]), found["range"]["start"]["line"] + 1)] = found["message"]
    return report


CHECKERS: dict[str, Callable[[], Report]] = {"mypy": mypy, "pyright": pyright}


@pytest.fixture(scope="module", params=CHECKERS)
def report(request: pytest.FixtureRequest) -> Report:
    """What one of the checkers says about all files."""
    return CHECKERS[request.param]()


def marked() -> set[Place]:
    """The lines that must be errors."""
    return {
        (place(path), number)
        for path in REFUSED
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if line.endswith("# refused")
    }


def test_there_are_files_of_both_sorts() -> None:
    """An empty directory would prove nothing."""
    assert len(ACCEPTED) >= 2
    assert len(marked()) >= 40


def test_what_should_type_check_does(report: Report) -> None:
    """The types of commands, contexts and workflows are those that the files state."""
    assert {at: message for at, message in report.items() if at[0].startswith("accepted/")} == {}


def test_what_should_not_type_check_does_not(report: Report) -> None:
    """Each marked line is an error, and no other line of those files is."""
    errors = {at: message for at, message in report.items() if at[0].startswith("refused/")}
    missed = marked() - errors.keys()
    extra = {at: message for at, message in errors.items() if at not in marked()}
    assert (missed, extra) == (set(), {})
