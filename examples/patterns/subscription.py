"""Long-lived subscription: one run a customer, for years; a loop around what may happen next.

Each occurrence of a `WaitFor` looks back to just after the event that the one before it returned, so the loop sees
each event once, and none is lost while it is busy. The history would grow for ever, so after a few months the run
restarts: its successor begins with an empty history, keeps the customer's place in the singleton, and looks
for events from where this one stopped.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from flowgen import App, Context, Event, OnEvent, Race, Restart, Run, Singleton, SleepUntil, Steps, WaitFor
from flowgen.testing import Trace, simulate

app = App("papers")
MONTH = timedelta(days=30)
ROUNDS = 6
"""So many times around the loop, then the run restarts."""


def charge(customer: str, plan: str) -> str:
    return f"{customer} paid for {plan}"


@app.workflow(on=OnEvent("subscription/begun"), singleton=Singleton(key="event.data.customer"))
def subscription(ctx: Context) -> Steps[int]:
    state = ctx.event.data
    customer, plan, months = state["customer"], state["plan"], state.get("months", 0)
    due = datetime.fromisoformat(state["due"]) if "due" in state else ctx.now
    for _ in range(ROUNDS):
        next_ = yield Race(
            month=SleepUntil("month", due),
            changed=WaitFor("changed", "plan/changed", match="data.customer", timeout="60d"),
            ended=WaitFor("ended", "subscription/ended", match="data.customer", timeout="60d"),
        )
        match next_.name:
            case "month":
                yield Run(charge, customer, plan)
                months, due = months + 1, due + MONTH
            case "changed":
                plan = next_.value.data["plan"]
            case "ended":
                return months
    yield Restart({"customer": customer, "plan": plan, "months": months, "due": due.isoformat()})


def story(**how: Any) -> Trace:
    """A customer subscribes (twice, by mistake), changes the plan after 100 days and leaves after a year."""
    begun = Event("subscription/begun", {"customer": "ada", "plan": "daily"})
    changed = Event("plan/changed", {"customer": "ada", "plan": "weekly"})
    ended = Event("subscription/ended", {"customer": "ada"})
    return simulate(app, [begun, ("1d", begun), ("100d", changed), ("365d", ended)], **how)


if __name__ == "__main__":
    print(story().timeline())
