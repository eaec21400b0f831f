"""Polling: a job elsewhere that does not call back; ask whether it is done, less and less often.

A loop, a step and a sleep. Between two questions the run holds nothing. `Timeouts` bounds it all; `Backoff` and
retries are for questions that fail, and have nothing to do with how often one asks.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Context, Event, OnEvent, Run, RunCancelled, Sleep, Steps, Timeouts
from flowgen.testing import Trace, simulate

app = App("video")
MOST_SECONDS = 300


def begin(file: str) -> str:
    return f"job of {file}"


def is_done(job: str, asked: int) -> bool:
    """Ask the service. This one is quick for most files and never done with one of them."""
    return asked >= 8 and not job.endswith("endless.mov")


def give_up(job: str) -> None:
    """Tell the service that nobody wants it any more."""


@app.workflow(on=OnEvent("video/uploaded"), timeouts=Timeouts(finish="2h"))
def transcode(ctx: Context) -> Steps[str]:
    job = yield from Run(begin, ctx.event.data["file"])
    try:
        asked, seconds = 0, 5
        while not (yield from Run(is_done, job, asked)):
            yield Sleep("a while", seconds)
            asked, seconds = asked + 1, min(2 * seconds, MOST_SECONDS)
    except RunCancelled:
        yield Run(give_up, job)
        raise
    return f"{job}: done after asking {asked + 1} times"


def story(**how: Any) -> Trace:
    """One job is done after a while, the other one never."""
    files = [Event("video/uploaded", {"file": name}) for name in ("talk.mov", "endless.mov")]
    return simulate(app, files, **how)


if __name__ == "__main__":
    print(story().timeline())
