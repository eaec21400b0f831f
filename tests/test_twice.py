"""`twice` and `elsewhere`: what runs a second time does so over HTTP, and what is left out exists."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from flowgen import App, Context, Event, OnEvent, Run, Sleep, Steps
from flowgen.testing import Start, simulate

from . import twice
from .elsewhere import Wire, elsewhere

ROOT = Path(__file__).parents[1]


def _tests() -> set[str]:
    """The tests of all suites, by path and name."""
    files = {file for suite in twice.SUITES for file in _files(ROOT / suite.partition("::")[0])}
    names = {
        f"{file.relative_to(ROOT)}::{node.name}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return {name for name in names if name.startswith(twice.SUITES)}


def _files(suite: Path) -> list[Path]:
    return sorted(suite.rglob("test_*.py")) if suite.is_dir() else [suite]


def test_what_is_left_out_exists() -> None:
    """A test that was renamed runs twice again, and so does one that nobody knows why it was left out."""
    tests = _tests()
    assert [name for name in [*twice.ONLY_HERE, *twice.OTHER_DICE] if name.partition("[")[0] not in tests] == []
    assert all(twice.ONLY_HERE.values())
    assert all(any(name.startswith(suite) for name in tests) for suite in twice.SUITES)


def test_most_run_twice() -> None:
    """What is left out is the exception."""
    assert len(twice.ONLY_HERE) < len(_tests()) / 4


def app() -> App:
    app = App("counted")

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[int]:
        first = yield Run(abs, -1)
        yield Sleep("nap", "1h")
        return first

    return app


def test_elsewhere_is_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request for the body, one for the sleep and one for the end; here there is none, and the result is the same."""
    urls: list[str] = []
    send = Wire.send

    async def counting(self: Wire, url: str, *request: Any) -> Any:
        urls.append(url)
        return await send(self, url, *request)

    monkeypatch.setattr(Wire, "send", counting)
    with twice._recorded() as here:
        simulate(app(), Event("go", {}))
    assert urls == []
    with elsewhere(), twice._recorded() as there:
        assert simulate(app(), Event("go", {})).run("work").result == 1
    assert len(urls) == 3
    assert here == there


def test_a_difference_is_seen() -> None:
    """Of one line, though ids may be others; but not of a simulation in which something can go wrong."""
    with twice._recorded() as timelines:
        for seconds in (1, 2):
            simulate(slept(seconds), [Start("work", {})])
        simulate(slept(1), [Start("work", {})], workers=2)
    assert timelines[0] != timelines[1]
    assert timelines[2] == []


def slept(seconds: int) -> App:
    app = App("slept")

    @app.workflow
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("nap", seconds)

    return app
