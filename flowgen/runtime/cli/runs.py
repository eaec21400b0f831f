"""`flowgen runs …` and `flowgen why`: look at runs, and steer them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs
import click

from .bulk import Filter, bulk_options, do_all, one_or_all
from .export import export
from .faults import Fault
from .options import STATUSES, json_option, limit_option
from .output import escaped, json_text, printable, say, say_json, say_page, shortened, when
from .place import Place, ask, place_option

if TYPE_CHECKING:
    from ...history import Record
    from ..info import RunInfo
    from .narrator import Note
    from .place import Verbs

_LONG = 200


@click.group()
def runs() -> None:
    """List, show, cancel, retry, rerun and export runs."""


runs.add_command(export)


@runs.command("list")
@click.option("--workflow", metavar="ID", help="Only runs of this workflow: its id, or app/id.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs in this state.")
@limit_option
@place_option
@json_option
def list_runs(
    workflow: str | None, status: str | None, limit: int, cursor: str | None, place: Place, as_json: bool
) -> None:
    """List runs, newest first."""
    from ..documents import page_document, run_document

    page = ask(place, lambda engine: engine.runs(workflow=workflow, status=status, limit=limit, cursor=cursor))
    headings = ["RUN", "WORKFLOW", "STATUS", "CREATED", "ENDED", "REASON"]
    if as_json:
        say_json(page_document(page, run_document))
    else:
        say_page("no runs", headings, [_row(run) for run in page.items], page.cursor)


def _row(run: RunInfo) -> Sequence[str]:
    reason = str(run.error) if run.error is not None else run.reason or ""
    return run.id, f"{run.app}/{run.workflow_id}", run.status, when(run.created_at), when(run.ended_at), reason


@runs.command()
@click.argument("run")
@place_option
@json_option
def show(run: str, place: Place, as_json: bool) -> None:
    """Show a run: its state, event, result or error, and history."""
    from ...codec import record_to_dict
    from ..documents import run_document

    shown = ask(place, lambda engine: _look(engine, run))
    if as_json:
        history = [record_to_dict(record) for record in shown.history]
        say_json({**run_document(shown.info), "why": shown.why, "history": history})
    else:
        say("\n".join(_portrait(shown)))


@attrs.frozen
class _Shown:
    info: RunInfo
    why: str
    history: list[Record]

    @property
    def note(self) -> Note:
        from ...events import accept_event
        from .narrator import Note

        events = tuple(accept_event(event, "", 0) for event in self.info.events)
        return Note(self.info.workflow_id, events, self.info.parent_id)


async def _look(engine: Verbs, run: str) -> _Shown:
    return _Shown(await engine.run(run), await engine.why(run), await engine.history(run))


def _portrait(shown: _Shown) -> list[str]:
    info = shown.info
    started = [f"{event.name} {json_text(event.data)}" for event in info.events]
    fields = [
        ("run", info.id),
        ("workflow", f"{info.app}/{info.workflow_id}"),
        ("status", info.status),
        ("why", shown.why if info.ended_at is None else ""),
        ("created", when(info.created_at)),
        ("started", when(info.started_at)),
        ("ended", when(info.ended_at)),
        ("parent", info.parent_id or ""),
        *[("event", text) for text in started],
        ("result", json_text(info.result) if info.status == "completed" else ""),
        ("error", str(info.error) if info.error is not None else ""),
        ("restarted", f"as run {info.restarted_as}" if info.restarted_as else ""),
    ]
    lines = [
        f"{name:<10} {shortened(value, _LONG) if name != 'error' else printable(value)}"
        for name, value in fields
        if value
    ]
    if info.error is not None and info.error.trace:
        lines += ["", *[f"    {escaped(line)}" for line in info.error.trace.splitlines()]]
    return [*lines, "", *_story(shown)]


def _story(shown: _Shown) -> list[str]:
    """The history, each record with its time since the first one."""
    from .narrator import tell

    lines = []
    for position, record in enumerate(shown.history):
        began = shown.history[0].at
        told = tell(record, shown.info.id, shown.note, began, payloads=True)
        if told is not None:
            verb, text, _ = told
            lines.append(f"{position:>5}  +{(record.at - began) / 1_000_000:.3f}s  {verb:<10}  {escaped(text)}")
    return lines


@runs.command()
@click.argument("run", required=False)
@click.option("--reason", default="cancelled by request", show_default=True, help="Why; its body gets to see it.")
@bulk_options
@place_option
@json_option
def cancel(run: str | None, reason: str, bulk: Filter, place: Place, as_json: bool) -> int | None:
    """Cancel an open run, or --all that a filter selects; each ends when its clean-up has run."""
    run = one_or_all(run, bulk)
    if run is None:
        return do_all("cancel", bulk, place, as_json, reason=reason)
    ask(place, lambda engine: engine.cancel(run, reason=reason))
    _answer(f"run {run} is being cancelled", as_json, run=run, status="cancelling")
    return None


@runs.command()
@click.argument("run", required=False)
@bulk_options
@place_option
@json_option
def retry(run: str | None, bulk: Filter, place: Place, as_json: bool) -> int | None:
    """Let a failed or parked run go on from where it failed, on today's code; or --all that a filter selects."""
    run = one_or_all(run, bulk)
    if run is None:
        return do_all("retry", bulk, place, as_json)
    ask(place, lambda engine: engine.retry(run))
    _answer(f"run {run} is due again, from where it failed", as_json, run=run)
    return None


@runs.command()
@click.argument("run", required=False)
@click.option("--from-step", metavar="STEP", help="Keep the outcomes of the steps before this one.")
@bulk_options
@place_option
@json_option
def rerun(run: str | None, from_step: str | None, bulk: Filter, place: Place, as_json: bool) -> int | None:
    """Start a fresh run with the same event, and print its id; or one for each of --all that a filter selects."""
    run = one_or_all(run, bulk)
    if run is None:
        if from_step is not None:
            raise Fault("usage", "--from-step goes with one run, not with --all")
        return do_all("rerun", bulk, place, as_json)
    created = ask(place, lambda engine: engine.rerun(run, from_step=from_step))
    _answer(created, as_json, run=created, rerun_of=run)
    return None


@click.command()
@click.argument("run")
@place_option
@json_option
def why(run: str, place: Place, as_json: bool) -> None:
    """Say in a sentence what a run is doing, or waits for."""
    reason = ask(place, lambda engine: engine.why(run))
    _answer(reason, as_json, run=run, why=reason)


def _answer(text: str, as_json: bool, **fields: str) -> None:
    if as_json:
        say_json(fields)
    else:
        say(printable(text))
