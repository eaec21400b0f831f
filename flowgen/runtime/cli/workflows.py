"""`flowgen workflows …`: what the store knows of workflows; pause and resume them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from .options import json_option
from .output import say, say_json, table, when
from .place import Place, ask, place_option

if TYPE_CHECKING:
    from ..workflows import WorkflowInfo


@click.group()
def workflows() -> None:
    """List, pause and resume workflows."""


@workflows.command("list")
@place_option
@json_option
def list_workflows(place: Place, as_json: bool) -> None:
    """List the workflows in force: what starts each of them, its next ticks, and its flow control."""
    found = ask(place, lambda engine: engine.workflows())
    if as_json:
        say_json({"items": [_document(workflow) for workflow in found]})
    elif not found:
        say("no workflows: an engine that opens brings its own (flowgen dev TARGET)")
    else:
        headings = ["WORKFLOW", "STATE", "STARTED BY", "NEXT TICK", "FLOW CONTROL"]
        say(table(headings, [_row(workflow) for workflow in found]))


def _row(workflow: WorkflowInfo) -> list[str]:
    started_by = [*workflow.triggers, *[f"cron {schedule.cron}" for schedule in workflow.schedules]]
    ticks = [schedule.next[0] for schedule in workflow.schedules]
    return [
        f"{workflow.app}/{workflow.id}",
        "paused" if workflow.paused else "active",
        ", ".join(started_by) or "invoke only",
        when(min(ticks)) if ticks else "",
        "; ".join(f"{name}={option}" for name, option in workflow.policies.items()),
    ]


def _document(workflow: WorkflowInfo) -> dict[str, Any]:
    return {
        "app": workflow.app,
        "id": workflow.id,
        "paused": workflow.paused,
        "triggers": list(workflow.triggers),
        "schedules": [
            {
                "cron": schedule.cron,
                "catch_up": schedule.catch_up,
                "jitter": schedule.jitter,
                "next": [at.isoformat() for at in schedule.next],
            }
            for schedule in workflow.schedules
        ],
        "policies": workflow.policies,
    }


@workflows.command()
@click.argument("workflow")
@place_option
@json_option
def pause(workflow: str, place: Place, as_json: bool) -> None:
    """Let the runs of a workflow wait: none is begun, none goes on once it has come to wait.

    Events go on creating runs, which stay scheduled. It lasts until flowgen workflows resume.
    """
    ask(place, lambda engine: engine.pause(workflow))
    _answer(workflow, True, as_json)


@workflows.command()
@click.argument("workflow")
@place_option
@json_option
def resume(workflow: str, place: Place, as_json: bool) -> None:
    """Let the runs of a paused workflow go on."""
    ask(place, lambda engine: engine.resume(workflow))
    _answer(workflow, False, as_json)


def _answer(workflow: str, paused: bool, as_json: bool) -> None:
    if as_json:
        say_json({"workflow": workflow, "paused": paused})
    else:
        say(f"workflow {workflow} is paused" if paused else f"workflow {workflow} goes on")
