"""The reference is about what there is: every public name, error, state and limit is on its page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import attrs
import pytest

import flowgen
import flowgen.runtime
import flowgen.testing
from flowgen import (
    acceptance,
    admission,
    collecting,
    commands,
    errors,
    events,
    fibers,
    misuse,
    retry,
    runs,
    schedules,
    values,
    workflow,
)
from flowgen.acceptance import DEDUPE_WINDOW
from flowgen.app import App
from flowgen.commands import base, waits
from flowgen.context import Context
from flowgen.duration import DAY, HOUR, MAX_DURATION, MINUTE
from flowgen.expression import compiled
from flowgen.flow_control import options as flow_options
from flowgen.flow_control import policies
from flowgen.runtime import Engine, LocalClient, RunInfo, engine, executor, offers, opening, worker
from flowgen.runtime import store as contract
from flowgen.values import arguments

from .pages import PAGES, ROOT, page_name

REFERENCE = ROOT / "docs" / "reference"


def page(*names: str) -> str:
    return "\n".join((REFERENCE / f"{name}.md").read_text(encoding="utf-8") for name in names)


def missing(names: Iterable[str], text: str) -> list[str]:
    """The names that a page does not have."""
    return [name for name in names if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text)]


def public(thing: type) -> list[str]:
    return [name for name in vars(thing) if not name.startswith("_")]


def test_every_name_that_is_exported_is_in_the_reference() -> None:
    """Whatever one can import has a place where it is explained."""
    everything = page("commands", "workflows", "values", "engine", "errors", "testing", "served-functions") + (
        ROOT / "docs" / "how-to" / "secrets.md"
    ).read_text(encoding="utf-8")
    names = [*flowgen.__all__, *flowgen.runtime.__all__, *flowgen.testing.__all__]
    assert missing([name for name in names if name != "StepInfo"], everything) == []


def test_every_error_is_on_the_page_of_errors() -> None:
    """A message that somebody looks up is found."""
    defined = [n for n, e in vars(errors).items() if inspect.isclass(e) and issubclass(e, BaseException)]
    assert missing(defined, page("errors")) == []


def test_every_verb_and_option_of_the_engine_is_on_its_page() -> None:
    """Also those of the blocking client, which are the same."""
    verbs = [name for name in public(Engine) if inspect.iscoroutinefunction(getattr(Engine, name))]
    options = [n for n in inspect.signature(opening.open_engine).parameters if n not in ("environment", "executor")]
    fields = [field.name for field in attrs.fields(RunInfo)]
    assert missing([*verbs, *public(LocalClient), *options, *fields, *get_args(runs.Status)], page("engine")) == []


def test_every_option_of_workflows_is_on_its_page() -> None:
    """What the decorator takes, and what an app takes."""
    options = list(inspect.signature(App).parameters)
    assert missing([*workflow.OPTIONS, *options], page("workflows")) == []
    assert missing(public(Context), page("workflows") + "`take_lines`") == []


@pytest.mark.parametrize("name", commands.__all__)
def test_every_parameter_of_a_command_is_on_the_page_of_commands(name: str) -> None:
    """Each argument that a command takes is named where the command is explained."""
    command = getattr(commands, name)
    if not (inspect.isclass(command) and issubclass(command, commands.Command)):
        return
    section = re.search(rf"^## [^\n]*\b{name}\b.*?(?=^## |\Z)", page("commands"), re.MULTILINE | re.DOTALL)
    if name in ("Command", "StepCommand"):
        return
    assert section is not None, name
    parameters = [
        p for p in inspect.signature(command).parameters if p not in ("first", "duration", "until", "_nameless")
    ]
    assert [p for p in parameters if not re.search(rf"\b{p}\b", section[0])] == []


LIMITS = {
    "steps in a run": (f"{workflow.DEFAULT_MAX_STEPS:,}", f"{workflow.MAX_MAX_STEPS:,}"),
    "commands yielded in a row": (f"{misuse.COMMANDS_PER_ADVANCE:,}",),
    "groups": (f"{misuse.MAX_NESTING}",),
    "retries of a step": (f"0 to {retry.MAX_RETRIES}", f"default {retry.DEFAULT_RETRIES}"),
    "delay before a retry": (f"{retry.MAX_RETRY_AFTER // HOUR} h", f"{retry.MIN_RETRY_AFTER // 1_000_000} s"),
    "sleep, timeout": (f"{MAX_DURATION // DAY} days",),
    "clean-up": (f"{fibers.CLEANUP_TIMEOUT // MINUTE} min",),
    "result of a step": (f"{values.MAX_RESULT_BYTES >> 20} MiB",),
    "arguments shown": (f"{arguments.PREVIEW_BYTES >> 10} KiB",),
    "nesting of a value": (f"{values.MAX_DEPTH} levels",),
    "data of an event": (f"{events.MAX_EVENT_BYTES >> 10} KiB",),
    "events in one": (f"{engine.MAX_BATCH:,}",),
    "name of an event": (str(events.MAX_NAME),),
    "text of a condition": (f"{compiled.MAX_TEXT:,}",),
    "runs that one engine has": (f"{inspect.signature(opening.open_engine).parameters['max_runs'].default:,}",),
    "runs of one app elsewhere": (
        str(inspect.signature(opening.open_engine).parameters["max_runs"].default // offers.SHARES),
    ),
    "runs that one engine keeps": (f"{worker.CACHED_RUNS:,}",),
    "threads for sync steps": (
        str(inspect.signature(executor.Executor).parameters["threads"].default),
        str(worker.ABANDONED_THREADS),
    ),
    "runs or events in a page": (str(contract.PAGE),),
    "an event's id": (f"{DEDUPE_WINDOW // HOUR} h",),
    "events that start runs": (f"{acceptance.STARTS_AT_ONCE:,}",),
    "limits of concurrency": (str(policies.MAX_CONCURRENCY), str(policies.MAX_CANCEL_ON)),
    "limit of a concurrency": (f"{flow_options.MAX_LIMIT:,}",),
    "limit of a rate limit": (f"{flow_options.MAX_RATE_LIMIT:,}",),
    "events of a batch": (f"{flow_options.MAX_BATCH:,}", f"{collecting.MAX_BATCH_BYTES >> 20} MiB"),
    "priority": (f"-{flow_options.MAX_PRIORITY} to {flow_options.MAX_PRIORITY}",),
    "an idempotency key": (f"{admission.ONCE_FOR // HOUR} h",),
    "missed ticks": (str(schedules.AT_ONCE), f"{schedules.LATE // MINUTE} min"),
    "deaths of its process": (f"{runs.MAX_STRIKES} in a row",),
}


@pytest.mark.parametrize("what", LIMITS)
def test_every_limit_on_the_page_is_that_of_the_code(what: str) -> None:
    """A number in the code cannot change without the page."""
    row = next(line for line in page("limits").splitlines() if line.startswith(f"| {what}"))
    for number in LIMITS[what]:
        assert re.search(rf"(?<!\d){re.escape(number)}(?!\d)", row), (number, row)


def test_the_lengths_of_names_are_the_same_everywhere() -> None:
    """The page names one number for all of them."""
    assert events.MAX_NAME == events.MAX_ID == base.MAX_NAME_LENGTH == waits.MAX_SIGNAL_LENGTH


# -- links -----------------------------------------------------------------------------------------

LINKS = [
    (source, target)
    for source in [*PAGES, *sorted((ROOT / "examples").rglob("*.md"))]
    for target in re.findall(r"\]\(([^)\s]+)\)", source.read_text(encoding="utf-8"))
    if not target.startswith("https:")
]


def anchors(target: Path) -> set[str]:
    """The anchors that a forge gives to a page's headings."""
    titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("source, target", LINKS, ids=lambda v: page_name(v) if isinstance(v, Path) else v)
def test_every_link_leads_somewhere(source: Path, target: str) -> None:
    """To a file of the project, and to a heading in it."""
    place, _, anchor = target.partition("#")
    path = source if not place else (source.parent / place).resolve()
    assert path.exists()
    assert not anchor or anchor in anchors(path)


# -- the code that pages speak of ------------------------------------------------------------------

MODULES = {path.relative_to(ROOT / "flowgen").as_posix() for path in (ROOT / "flowgen").rglob("*.py")}


@pytest.mark.parametrize("source", [p for p in PAGES if p.is_relative_to(ROOT / "docs")], ids=page_name)
def test_every_module_that_a_page_names_exists(source: Path) -> None:
    """`draft.py` or `runtime/drive.py` in code is a file of flowgen: pages follow when files move."""
    text = re.sub(r"^```.*?^```$", "", source.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    named = re.findall(r"`(?:flowgen/)?((?:runtime/|testing/)?\w+\.py)`", text)
    users = set(re.findall(r"^# (\w+\.py)$", source.read_text(encoding="utf-8"), re.MULTILINE))
    names = {path.rpartition("/")[2] for path in MODULES} | users
    assert [name for name in named if name not in MODULES and ("/" in name or name not in names)] == []


def test_every_module_of_the_core_has_its_place_in_the_architecture() -> None:
    """Who looks for a module on the page finds its layer."""
    text = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    core = {path.split("/")[0].removesuffix(".py") for path in MODULES}
    core -= {"__init__", "__main__", "runtime", "testing"}
    assert missing(sorted(core), text) == []
