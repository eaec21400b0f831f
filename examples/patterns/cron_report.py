"""Cron report: every Monday at nine in Berlin, for each department, and once only.

The tick's own time says which week the report is about, not the clock: so a report that is late, caught up or
retried is about the same week. `catch_up="all"` makes up for every week in which nothing ran.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flowgen import All, App, Context, OnCron, Run, Steps, Timeouts
from flowgen.testing import Trace, simulate

app = App("office")
DEPARTMENTS = ("sales", "stock")


def count(department: str, since: datetime, until: datetime) -> int:
    return len(department) * (until - since).days


def mail(lines: list[str]) -> str:
    return "; ".join(lines)


@app.workflow(
    on=OnCron("TZ=Europe/Berlin 0 9 * * MON", jitter="10m", catch_up="all"), timeouts=Timeouts(start="1d", finish="6h")
)
def weekly_report(ctx: Context) -> Steps[str]:
    until = datetime.fromisoformat(ctx.event.data["tick"])
    since = until - timedelta(days=7)
    counts = yield All({name: Run(f"count {name}", count, name, since, until) for name in DEPARTMENTS})
    lines = [f"{name} {number}" for name, number in counts.items()]
    return (yield from Run(mail, [f"week to {until:%d.%m.}", *lines]))


def story(**how: Any) -> Trace:
    """Three Mondays of January 2026."""
    return simulate(app, **{"until": "20d", **how})


if __name__ == "__main__":
    print(story().timeline())
