"""Debounced reindex: a document that is being edited is indexed once it has been left alone for a while.

`max_wait` sees to documents that are never left alone. `Concurrency(1, key=…)` has no two runs index the same
document at the same time, should indexing take longer than the quiet.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Concurrency, Context, Debounce, Event, OnEvent, Run, Steps
from flowgen.testing import Trace, simulate

app = App("wiki")
texts: dict[str, str] = {}
index: dict[str, str] = {}


def read(page: str) -> str:
    return texts[page]


def write_index(page: str, text: str) -> int:
    index[page] = text
    return len(text.split())


@app.workflow(
    on=OnEvent("page/edited"),
    debounce=Debounce("2m", key="event.data.page", max_wait="10m"),
    concurrency=Concurrency(1, key="event.data.page"),
)
def reindex(ctx: Context) -> Steps[int]:
    page = ctx.event.data["page"]
    text = yield from Run(read, page)
    return (yield from Run(write_index, page, text))


def story(**how: Any) -> Trace:
    """One page is edited three times and then left alone; another one is edited once a minute, for twelve minutes."""
    texts.update(home="welcome to the wiki", news="it has news now")
    index.clear()
    home = [(f"{seconds}s", Event("page/edited", {"page": "home"})) for seconds in (0, 40, 95)]
    news = [(f"{minute * 60 + 1}s", Event("page/edited", {"page": "news"})) for minute in range(13)]
    return simulate(app, [*home, *news], **how)


if __name__ == "__main__":
    print(story().timeline())
