"""The top imports the bottom, never the other way round."""

from __future__ import annotations

import logging.config
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parent.parent


def test_the_layers_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every contract in pyproject.toml is kept: packages, layers, and what the core may not import."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(logging.config, "dictConfig", lambda config: None)  # it would disable every other logger
    status = cli.lint_imports(no_cache=True)
    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


@pytest.mark.parametrize(
    "line, rule",
    [
        ("import time", "TID251"),
        ("from time import monotonic", "TID251"),
        ("import os", "TID251"),
        ("import trio", "TID251"),
        ("from croniter import croniter", "TID251"),
        ("import random; random.random()", "TID251"),
        ("from random import choice", "TID251"),
        ("import uuid; uuid.uuid4()", "TID251"),
        ("import datetime; datetime.datetime.now()", "TID251"),
        ("from datetime import datetime; datetime.utcnow()", "TID251"),
        ("def find(name): return f'select * from runs where id = {name}'", "S608"),
    ],
)
@pytest.mark.parametrize("path, banned", [("flowgen/x.py", True), ("flowgen/runtime/x.py", False)])
def test_the_core_has_no_clock_and_no_dice(line: str, rule: str, path: str, banned: bool) -> None:
    """Ambient calls are refused in the core and allowed in the runtime; SQL is built from text nowhere."""
    linter = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--stdin-filename", path, "-"]
    found = subprocess.run(linter, cwd=ROOT, input=line + "\n", capture_output=True, text=True, check=False).stdout
    assert (rule in found) == (banned or rule == "S608"), found


def test_seeded_dice_are_allowed() -> None:
    """A `Random` with a seed is a value like any other."""
    linter = [sys.executable, "-m", "ruff", "check", "--output-format=concise", "--stdin-filename", "flowgen/x.py", "-"]
    line = "from random import Random\n\nRandom(7).random()\n"
    done = subprocess.run(linter, cwd=ROOT, input=line, capture_output=True, text=True, check=False)
    assert "TID251" not in done.stdout
