"""Every crash point of twelve workflows, in memory and on SQLite: the ten patterns, the shop, and that of the README.

Each is given little to do, so that all of its points can be tried. What a workflow keeps outside of the store is
made anew for each world.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from shop import app as shop
from shop.gateway import Receipt
from shop.orders import read_orders, validate

from flowgen import App, Event, NonRetriableError
from flowgen.runtime.store import Store
from flowgen.runtime.stores import SqliteStore
from flowgen.testing import CrashReport, VirtualClock, explore_crashes

ROOT = Path(__file__).parents[2]
ORDER = next(row for row in read_orders() if row.sku == "mug" and row.amount == "44.70")


@attrs.frozen
class Case:
    """A workflow, what happens to it, and how it is explored."""

    app: App
    events: list[Any]
    steps: dict[str, Any] = attrs.Factory(dict)
    how: dict[str, Any] = attrs.Factory(dict)


def readme() -> Case:
    """The workflow of the README's thirty lines."""
    code = re.search(r"```python\n# shop\.py\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(code[1], "README.md", "exec", dont_inherit=True), names)
    placed = names["OrderPlaced"]("7", 9.99)
    return Case(names["app"], [placed, ("1h", Event("order/approved", {"order_id": "7", "by": "Ada"}))])


def the_shop() -> Case:
    """An order that is carried out; its services answer at once."""
    order = validate(ORDER)
    paid = Receipt(1, order.id, order.total)
    steps = {"charge": paid, "refund": paid, "reserve": None, "print_label": "DE-1", "write ledger": None}
    return Case(shop.app, [ORDER], steps)


def pattern(name: str, events: list[Any], steps: dict[str, Any] | None = None, **how: Any) -> Callable[[], Case]:
    return lambda: Case(import_module(f"patterns.{name}").app, events, steps or {}, how)


async def shrink(photo: str) -> str:
    """Each takes a time of its own, so that each has a commit of its own."""
    await trio.sleep(ord(photo[0]) - ord("a") + 1)
    if photo == "broken":
        raise NonRetriableError("not a picture")
    return photo


READINGS = [Event("sensor/read", {"plant": "north", "id": f"n{n}", "value": n}) for n in range(2)]
EDITS = [Event("page/edited", {"page": "home"}), ("40s", Event("page/edited", {"page": "home"}))]
FILED = [
    Event("expense/filed", {"expense": "e1", "boss": "Ada"}),
    ("3d", Event("expense/answered", {"expense": "e1", "approved": True})),
]
SUBSCRIBED = [
    Event("subscription/begun", {"customer": "ada", "plan": "daily"}),
    ("10d", Event("plan/changed", {"customer": "ada", "plan": "weekly"})),
    ("40d", Event("subscription/ended", {"customer": "ada"})),
]

CASES: dict[str, Callable[[], Case]] = {
    "readme": readme,
    "shop": the_shop,
    "batched_writes": pattern("batched_writes", READINGS, {"insert": 2}, lease="1s"),
    "cron_report": pattern("cron_report", [], until="8d"),
    "debounced_reindex": pattern("debounced_reindex", EDITS, {"read": "text", "write_index": 1}),
    "fan_out": pattern("fan_out", [Event("issue/published", {"issue": 1})], {"load_readers": ["a"]}),
    "human_approval": pattern("human_approval", FILED),
    "map_items": pattern(
        "map_items", [Event("album/uploaded", {"photos": ["a", "broken", "c", "d", "e"]})], {"shrink": shrink}
    ),
    "polling": pattern("polling", [Event("video/uploaded", {"file": "a"})], {"is_done": lambda job, asked: asked > 1}),
    "rate_limited_api": pattern("rate_limited_api", [Event("tour/planned", {"stops": ["address 1", "address 3"]})]),
    "saga": pattern("saga", [Event("trip/wanted", {"trip": "island"})]),
    "subscription": pattern("subscription", SUBSCRIBED),
}


@pytest.fixture(autouse=True)
def short_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The subscription restarts early, so that a restart has its crash points."""
    monkeypatch.setattr(import_module("patterns.subscription"), "ROUNDS", 3)


def explore(case: Case, **how: Any) -> CrashReport:
    return explore_crashes(case.app, case.events, case.steps, **{**case.how, **how})


def test_there_are_twelve() -> None:
    """Every pattern is among them."""
    patterns = {path.stem for path in (ROOT / "examples" / "patterns").glob("*.py")} - {"__init__"}
    assert set(CASES) == patterns | {"readme", "shop"}
    assert len(CASES) == 12


@pytest.mark.parametrize("name", CASES)
def test_every_crash_point_ends_as_without_a_crash(name: str) -> None:
    """In memory, with everything that can happen at a point."""
    report = explore(CASES[name]())
    assert not report.violations, report
    assert len(report.points) > 30


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_no_different(name: str, tmp_path: Path) -> None:
    """On SQLite, with a file for each world."""
    numbers = count()

    def store(clock: VirtualClock) -> Store:
        return SqliteStore(tmp_path / f"{next(numbers)}.db", clock, inline=True)

    report = explore(CASES[name](), store=store, faults=["crash_before", "crash_after", "error_after"])
    assert not report.violations, report
    assert len(report.points) > 20
