"""Human approval: a run waits for days for what a person says, reminds them, and gives up in the end.

Waiting costs nothing: no thread, no memory, no slot. The answer is an event, which a web form sends; `match`
finds the run that it is for. An answer that comes before the run waits for it is found all the same.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Context, Event, OnEvent, Run, Steps, WaitFor
from flowgen.testing import Trace, simulate

app = App("expenses")
REMINDERS = 3


def write_to(boss: str, text: str) -> None:
    """Send a mail with a link to the form; the form sends `expense/answered`."""


def pay(expense: str) -> str:
    return f"{expense} is paid"


@app.workflow(on=OnEvent("expense/filed"))
def approve(ctx: Context) -> Steps[str]:
    expense, boss = ctx.event.data["expense"], ctx.event.data["boss"]
    for number in range(1 + REMINDERS):
        yield Run("ask", write_to, boss, f"please look at {expense}" + " again" * number)
        answer = yield from WaitFor("answer", "expense/answered", match="data.expense", timeout="2d")
        if answer is not None:
            break
    else:
        return f"{expense} is refused: {boss} did not answer"
    if not answer.data["approved"]:
        return f"{expense} is refused by {boss}"
    return (yield from Run(pay, expense))


def story(**how: Any) -> Trace:
    """One boss answers after five days, one says no at once, one never answers."""
    filed = [Event("expense/filed", {"expense": f"e{number}", "boss": "Ada"}) for number in (1, 2, 3)]
    answers = [
        ("5m", Event("expense/answered", {"expense": "e2", "approved": False})),
        ("5d", Event("expense/answered", {"expense": "e1", "approved": True})),
    ]
    return simulate(app, [*filed, *answers], **how)


if __name__ == "__main__":
    print(story().timeline())
