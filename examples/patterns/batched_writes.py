"""Batched writes: many small events, one statement for up to a hundred of them.

No event is lost and none is in two batches, whatever crashes. The statement itself may run twice (the process dies
after it, before its record), so it ignores rows that are there already: each has an id of its own.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Batch, Context, Event, OnEvent, Run, Steps
from flowgen.testing import Trace, simulate

app = App("metrics")
table: dict[str, int] = {}
"""Stands for a table of a database; the key is its primary key."""


def insert(rows: list[list[Any]]) -> int:
    """`insert … on conflict do nothing`; how many rows there were."""
    for id, value in rows:
        table.setdefault(id, value)
    return len(rows)


@app.workflow(on=OnEvent("sensor/read"), batch=Batch(100, wait="10s", key="event.data.plant"))
def store(ctx: Context) -> Steps[int]:
    return (yield from Run(insert, [[event.data["id"], event.data["value"]] for event in ctx.events]))


def story(**how: Any) -> Trace:
    """230 readings of one plant within a few seconds, and a single one of another."""
    table.clear()
    readings = [
        (f"{number * 10}ms", Event("sensor/read", {"plant": "north", "id": f"n{number}", "value": number}))
        for number in range(230)
    ]
    return simulate(app, [*readings, Event("sensor/read", {"plant": "south", "id": "s0", "value": 7})], **how)


if __name__ == "__main__":
    print(story().timeline())
