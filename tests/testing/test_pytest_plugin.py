"""The pytest plugin: fixtures and hypothesis profiles."""

from __future__ import annotations

import tomllib
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
INSTALLED = any(entry.value == "flowgen.testing.pytest_plugin" for entry in entry_points(group="pytest11"))

TEST = """
from hypothesis import settings
from flowgen import App, Event, OnEvent, Run, Sleep

app = App("shop")

@app.workflow(on=OnEvent("placed"))
def fulfil(ctx):
    yield Sleep("settle", "1h")
    return (yield Run(str, 7))
"""


def outcome(pytester: pytest.Pytester, test: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(TEST + test)
    plugin = () if INSTALLED else ("-p", "flowgen.testing.pytest_plugin")
    return pytester.runpytest_subprocess(*plugin, "-p", "no:cacheprovider", *options)


def test_a_failed_test_shows_its_simulations(pytester: pytest.Pytester) -> None:
    """The timelines of the last simulations are in the report of a test that failed, and of no other."""
    result = outcome(
        pytester,
        """
def test_good(simulate):
    assert simulate(app, [Event("placed", {"n": 1})]).run("fulfil").result == "7"

def test_bad(simulate):
    for seed in range(5):
        simulate(app, [Event("placed", {"n": 2})], seed=seed)
    assert simulate(app, [Event("placed", {"n": 3})], seed=5).run("fulfil").result == "8"
""",
    )
    result.assert_outcomes(passed=1, failed=1)
    sections = [line.strip("- ") for line in result.outlines if "simulation, " in line]
    assert sections == [f"simulation, <Trace of seed {seed}: fulfil#0 (completed)>" for seed in (3, 4, 5)]
    result.stdout.fnmatch_lines(["*0d 00:00:00.000000  client *sends placed {*n*:3}", "*0d 01:00:00*fulfil#0 ends: *"])
    assert 'sends placed {"n":1}' not in result.stdout.str()


def test_a_virtual_clock_is_a_fixture(pytester: pytest.Pytester) -> None:
    """Each test has its own, at the start of virtual time."""
    result = outcome(
        pytester,
        """
import trio

def test_a_day(virtual_clock):
    trio.run(trio.sleep, 86_400, clock=virtual_clock)
    assert virtual_clock.now.isoformat() == "2026-01-02T00:00:00+00:00"

def test_another_one(virtual_clock):
    assert virtual_clock.now.isoformat() == "2026-01-01T00:00:00+00:00"
""",
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("profile, examples, same", [("flowgen-ci", 100, True), ("flowgen-thorough", 5_000, False)])
def test_profiles_are_registered(pytester: pytest.Pytester, profile: str, examples: int, same: bool) -> None:
    """By name: few examples which are always the same, or many."""
    test = f"""
def test_profile():
    assert (settings.default.max_examples, settings.default.derandomize) == ({examples}, {same})
    assert settings.default.deadline is None
"""
    outcome(pytester, test, "--hypothesis-profile", profile).assert_outcomes(passed=1)


def test_a_conftest_may_load_them(pytester: pytest.Pytester) -> None:
    """They are there before the first conftest is read."""
    pytester.makeconftest('from hypothesis import settings; settings.load_profile("flowgen-ci")')
    outcome(pytester, "\ndef test_profile():\n    assert settings.default.derandomize\n").assert_outcomes(passed=1)


def test_pytest_finds_it_by_itself() -> None:
    """The distribution says where the plugin is."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert import_module(project["entry-points"]["pytest11"]["flowgen"]).SHOWN
