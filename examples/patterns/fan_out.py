"""Fan-out: one event, many runs, each with retries and a history of its own.

Two ways. Several workflows may start on one event, and know nothing of each other: a new one is added
without touching the others. And a workflow may send an event for each of many things: all of them leave with one
commit, exactly once. Neither waits for what it has started; for that, see `map_items.py`.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Concurrency, Context, Event, OnEvent, Run, SendEvent, Steps
from flowgen.testing import Trace, simulate

app = App("magazine")


def load_readers(issue: int) -> list[str]:
    return [f"reader-{number}@example.org" for number in range(issue * 100)]


def mail(to: str, issue: int) -> str:
    return f"issue {issue} to {to}"


@app.workflow(on=OnEvent("issue/published"))
def update_archive(ctx: Context) -> Steps[str]:
    return (yield from Run("add", "issue {}".format, ctx.event.data["issue"]))


@app.workflow(on=OnEvent("issue/published"))
def announce(ctx: Context) -> Steps[int]:
    issue = ctx.event.data["issue"]
    readers = yield from Run(load_readers, issue)
    if readers:
        yield SendEvent("one each", [Event("issue/wanted", {"to": reader, "issue": issue}) for reader in readers])
    return len(readers)


@app.workflow(on=OnEvent("issue/wanted"), concurrency=Concurrency(20))
def deliver(ctx: Context) -> Steps[str]:
    return (yield from Run(mail, ctx.event.data["to"], ctx.event.data["issue"]))


def story(**how: Any) -> Trace:
    """An issue is published: one run archives it, one announces it, and a hundred deliver it."""
    return simulate(app, [Event("issue/published", {"issue": 1})], **how)


if __name__ == "__main__":
    print(story().timeline())
