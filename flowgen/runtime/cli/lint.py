"""`flowgen lint`: what in the code of TARGET's workflows cannot be replayed."""

from __future__ import annotations

import inspect
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from .faults import DONE, REFUSED
from .options import json_option
from .output import note, printable, say, say_json
from .target import load_app, relative

if TYPE_CHECKING:
    from ...app import App
    from ...lint import Entry, Finding, Source


@click.command()
@click.argument("target")
@json_option
def lint(target: str, as_json: bool) -> int:
    """Say what in the bodies of TARGET's workflows cannot be replayed, or does not do what it seems to.

    TARGET is imported to find its workflows; what is told follows from their source alone. A finding is accepted
    with the comment "# flowgen: ignore[CODE]" on its line. The exit code is 1 if there are findings.
    """
    app = load_app(target)
    entries = _entries(app)
    findings = _findings(entries)
    if as_json:
        say_json([attrs.asdict(finding) for finding in findings])
    else:
        for finding in findings:
            say(printable(str(finding)))
        many = len(findings)
        verdict = "nothing" if not many else f"{many} finding{'s' if many > 1 else ''}"
        note(f"{len(entries)} workflow{'s' if len(entries) != 1 else ''} of {app.name}: {verdict} found")
    return REFUSED if findings else DONE


def remark(app: App) -> None:
    """Say what the linter finds in the workflows of an app that is about to run: it hinders nothing."""
    for finding in _findings(_entries(app)):
        note(f"lint       {printable(str(finding))}")


def _findings(entries: list[Entry]) -> list[Finding]:
    from ...lint import lint as lint_workflows

    findings = lint_workflows(entries, _Sources({entry.module for entry in entries}).find)
    return [attrs.evolve(finding, path=relative(finding.path)) for finding in findings]


def _entries(app: App) -> list[Entry]:
    """The functions of the app's workflows; a remark on those that have no source."""
    from ...lint import Entry

    entries = []
    for workflow in app.workflows.values():
        function = inspect.unwrap(workflow.fn)
        code = function.__code__
        if _file(function.__module__) != code.co_filename:
            note(f"workflow {workflow.id}: its source is not that of its module, so it is not looked at")
            continue
        entries.append(Entry(function.__module__, code.co_name, code.co_firstlineno))
    return entries


def _file(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


class _Sources:
    """The modules that are the user's own: those of the packages, or beside the files, in which workflows are."""

    def __init__(self, modules: set[str]) -> None:
        self._packages = {module.partition(".")[0] for module in modules}
        self._directories = {
            Path(file).parent for module in modules if "." not in module and (file := _file(module)) is not None
        }

    def find(self, name: str) -> Source | None:
        """The source of a module, if it is one of these and has been imported."""
        from ...lint import Source

        file = _file(name)
        if file is None or not file.endswith(".py"):
            return None
        beside = "." not in name and Path(file).parent in self._directories
        if not beside and name.partition(".")[0] not in self._packages:
            return None
        try:
            with tokenize.open(file) as opened:
                return Source(name, file, opened.read(), Path(file).name == "__init__.py")
        except (OSError, SyntaxError, UnicodeDecodeError):
            return None
