"""`flowgen send` and `flowgen invoke`: events and runs from the command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ...duration import parse_duration
from ..paging import Pages
from .faults import Fault
from .options import data_option, json_option, parse_data
from .output import json_text, note, say, say_json
from .place import Place, ask, place_option

if TYPE_CHECKING:
    from ...events import Event
    from ..info import RunInfo
    from .place import Verbs

A_MOMENT = 2.0
"""Seconds after which a run that nobody has begun is worth a remark."""


@click.command()
@click.argument("name")
@data_option
@click.option("--id", "event_id", help="Makes sending it again harmless: the same id starts nothing new.")
@place_option
@json_option
def send(name: str, data: str, event_id: str | None, place: Place, as_json: bool) -> None:
    """Send one event, called NAME.

    Its id is printed, and the runs that it starts: by then they are durable, whether or not an engine is
    at work. What is not yet known to the store is started by nothing: run flowgen dev first.
    """
    from ...events import Event

    event = Event(name, parse_data(data), event_id)
    sent, runs = ask(place, lambda engine: _send(engine, event), create=True)
    if as_json:
        say_json({"ids": [sent], "runs": [_document(run) for run in runs]})
    else:
        say("\n".join([sent, *map(_line, runs)]))
        if not runs:
            note("it starts no run; runs that wait for such an event go on")


def _document(run: RunInfo) -> dict[str, str | None]:
    return {"id": run.id, "app": run.app, "workflow_id": run.workflow_id, "status": run.status, "reason": run.reason}


def _line(run: RunInfo) -> str:
    """What becomes of the event in one workflow: flow control may skip it or collect it with others."""
    where = f"{run.app}/{run.workflow_id}, run {run.id}"
    match run.status:
        case "skipped":
            return f"skips {where}: {run.reason}"
        case "collecting":
            return f"is collected by {where}"
        case _:
            return f"starts {where}"


async def _send(engine: Verbs, event: Event[Any]) -> tuple[str, Sequence[RunInfo]]:
    (sent,) = await engine.send(event)
    pages = Pages(lambda cursor: engine.runs(event=sent, cursor=cursor))
    return sent, [run async for run in pages.items()]


@click.command()
@click.argument("workflow")
@data_option
@click.option("--wait", is_flag=True, help="Wait for its end and print what it returned.")
@click.option("--timeout", metavar="DURATION", help='With --wait: wait no longer than this, such as "30s".')
@place_option
@json_option
def invoke(workflow: str, data: str, wait: bool, timeout: str | None, place: Place, as_json: bool) -> None:
    """Start one run of a workflow.

    WORKFLOW is its id, or app/id where several apps have it. The run's id is printed.

    An engine that offers the workflow does the work: flowgen dev, or any process with an open engine.
    With --wait the exit code is 1 if the run fails, is cancelled or takes longer than --timeout.
    """
    if timeout is not None and not wait:
        raise Fault("usage", "--timeout says how long to --wait; say both or neither")
    value = parse_data(data)
    if timeout is not None:
        parse_duration(timeout, "--timeout")

    async def question(engine: Verbs) -> tuple[str, Any]:
        run = await engine.start(workflow, value)
        if not wait:
            return run, None
        note(f"run {run}")
        return run, await _result(engine, run, timeout)

    run, result = ask(place, question)
    if as_json:
        say_json({"run": run, "result": result} if wait else {"run": run})
    else:
        say(json_text(result) if wait else run)


async def _result(engine: Verbs, run: str, timeout: str | None) -> Any:
    """The run's result; beside waiting for it, a remark if nobody seems to work on it."""
    import trio

    async with trio.open_nursery() as nursery:
        nursery.start_soon(remark_if_not_begun, engine, run)
        result = await engine.result(run, timeout=timeout)
        nursery.cancel_scope.cancel()
    return result


async def remark_if_not_begun(engine: Verbs, run: str) -> None:
    """After a moment: say who could begin the run, if nobody has."""
    import trio

    await trio.sleep(A_MOMENT)
    info = await engine.run(run)
    if info.status == "scheduled":
        workflow = f"{info.app}/{info.workflow_id}"
        note(f"no engine has begun it: one that offers {workflow} must be at work, such as flowgen dev TARGET; waiting")
