"""Map over many items: the same step for each of them, so many at a time, and a result that says what failed.

`on_error="collect"` lets one bad item not spoil the others. What is done is recorded: after a crash only those
that were in the making are made again.
"""

from __future__ import annotations

from typing import Any

import trio

from flowgen import All, App, Context, Event, Failed, NonRetriableError, OnEvent, Run, Steps, Succeeded
from flowgen.testing import Trace, simulate

app = App("photos")


async def shrink(photo: str) -> str:
    await trio.sleep(2)
    if photo.startswith("broken"):
        raise NonRetriableError("not a picture")
    return f"{photo} small"


@app.workflow(on=OnEvent("album/uploaded"))
def thumbnails(ctx: Context) -> Steps[dict[str, Any]]:
    photos = ctx.event.data["photos"]
    outcomes = yield All(*[Run("shrink", shrink, photo) for photo in photos], limit=10, on_error="collect")
    return {
        "small": sum(isinstance(outcome, Succeeded) for outcome in outcomes),
        "failed": [photo for photo, outcome in zip(photos, outcomes, strict=True) if isinstance(outcome, Failed)],
    }


def story(**how: Any) -> Trace:
    """An album of 120 photos, two of which are broken."""
    photos = [f"photo {number}" for number in range(118)] + ["broken 1", "broken 2"]
    return simulate(app, [Event("album/uploaded", {"photos": photos})], **how)


if __name__ == "__main__":
    print(story().timeline())
