"""Saga: several services, no common transaction; what was done is undone if a later part fails.

Each part is given with its undoing. Undoing is made of steps too, so it is retried and survives crashes. An undoing
should be harmless where there is nothing to undo: a part that failed may have worked after all.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Context, Event, NonRetriableError, OnEvent, Run, Saga, StepError, Steps
from flowgen.testing import Trace, simulate

app = App("travel")


def book(what: str, trip: str) -> str:
    if what == "car" and trip == "island":
        raise NonRetriableError("no cars on the island")
    return f"{what}-{trip}"


def cancel(what: str, trip: str) -> None:
    """Idempotent: cancelling what was never booked, or is cancelled already, does nothing."""


@app.workflow(on=OnEvent("trip/wanted"))
def arrange(ctx: Context) -> Steps[dict[str, Any]]:
    trip = ctx.event.data["trip"]
    saga = Saga()
    booked: list[str] = []
    try:
        for what in ("flight", "hotel", "car"):
            doing, undoing = Run(f"book {what}", book, what, trip), Run(f"cancel {what}", cancel, what, trip)
            booked.append((yield from saga.do(doing, undo=undoing)))
    except StepError as error:
        yield from saga.compensate()
        return {"booked": [], "because": error.message}
    return {"booked": booked}


def story(**how: Any) -> Trace:
    """One trip that can be arranged, and one that cannot."""
    return simulate(app, [Event("trip/wanted", {"trip": "lake"}), Event("trip/wanted", {"trip": "island"})], **how)


if __name__ == "__main__":
    print(story().timeline())
