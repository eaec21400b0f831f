"""`flowgen runs export`: runs and their histories as JSON Lines, one run or many in a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import ExitStack, aclosing
from functools import partial
from typing import TYPE_CHECKING, TextIO

import attrs
import click

from ...duration import instant, moment
from ..paging import Pages
from .faults import DONE, REFUSED, Fault
from .options import STATUSES, json_option, parse_time
from .output import note, printable, say, say_json, write
from .place import Place, ask_server, place_option, settled
from .store_client import look

if TYPE_CHECKING:
    from ..remote import AsyncClient
    from ..store import Loaded, Store


@attrs.frozen
class _Selection:
    """Which runs are meant: these, or all that the options select."""

    runs: tuple[str, ...]
    workflow: str | None
    status: str | None
    before: int | None
    after: int | None
    limit: int | None


@click.command()
@click.argument("run", nargs=-1)
@click.option("--workflow", metavar="ID", help="Only runs of this workflow: its id, or app/id.")
@click.option("--status", type=click.Choice(STATUSES), help="Only runs in this state.")
@click.option("--before", metavar="TIME", help='Created before that time: ISO 8601, or "7d" ago.')
@click.option("--after", metavar="TIME", help="Created at that time or later.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many, the newest.")
@click.option("--output", "-o", metavar="FILE", help="Write to FILE instead of standard output.")
@place_option
@json_option
def export(
    run: tuple[str, ...],
    workflow: str | None,
    status: str | None,
    before: str | None,
    after: str | None,
    limit: int | None,
    output: str | None,
    place: Place,
    as_json: bool,
) -> int:
    """Print runs and their histories as JSON Lines: each RUN or, without one, all that the options select.

    For each run a header line with the run and its events, then a record a line: what flowgen check and
    assert_replays need to replay it. The newest run comes first. A store is only read.
    """
    if run and (workflow, status, before, after, limit) != (None,) * 5:
        raise Fault("usage", "say which runs, or options that select them, not both")
    selection = _Selection(run, workflow, status, _at("--before", before), _at("--after", after), limit)
    with ExitStack() as stack:
        file = None if output is None else stack.enter_context(_opened(output))
        printer = _printer(output, file)
        place = settled(place)
        if place.url is not None:
            done = ask_server(place.url, lambda client: _export_served(client, selection, printer))
        else:
            assert place.db is not None
            done = look(place.db, lambda store: _export(store, selection, printer))
    if output is None:
        if not done.runs:
            note("no runs")
    elif as_json:
        say_json({"runs": done.runs, "records": done.records, "output": output})
    else:
        say(f"{_many(done.runs, 'run')} with {_many(done.records, 'record')} written to {output}")
    return REFUSED if done.damaged else DONE


@attrs.define
class _Done:
    runs: int = 0
    records: int = 0
    damaged: int = 0


async def _export(store: Store, selection: _Selection, print_lines: Callable[[str], None]) -> _Done:
    from ...codec import export_lines

    done = _Done()
    async with aclosing(_selected(store, selection, done)) as selected:
        async for loaded in selected:
            print_lines("\n".join(export_lines(loaded.row, loaded.events, loaded.records)))
            done.runs += 1
            done.records += len(loaded.records)
            if done.runs == selection.limit:
                break
    return done


async def _export_served(client: AsyncClient, selection: _Selection, print_lines: Callable[[str], None]) -> _Done:
    done = _Done()
    async with aclosing(_selected_of(client, selection)) as selected:
        async for run in selected:
            text = (await client.export(run)).rstrip("\n")
            print_lines(text)
            done.runs += 1
            done.records += text.count("\n")
            if done.runs == selection.limit:
                break
    return done


async def _selected_of(client: AsyncClient, selection: _Selection) -> AsyncGenerator[str, None]:
    """The runs that a server has, each as app/id."""
    for run in selection.runs:
        yield run
    if selection.runs:
        return
    select = partial(
        client.runs,
        workflow=selection.workflow,
        status=selection.status,
        before=None if selection.before is None else moment(selection.before),
        after=None if selection.after is None else moment(selection.after),
    )
    async for info in Pages(lambda cursor: select(cursor=cursor)).items():
        yield f"{info.app}/{info.id}"


async def _selected(store: Store, selection: _Selection, done: _Done) -> AsyncGenerator[Loaded, None]:
    """The runs, one at a time. A damaged one is told and left out, unless it was asked for by its id."""
    from ...runs import status_of
    from ..listing import stored_status
    from ..naming import Names
    from ..replay.sources import rows
    from ..store import DamagedRun, RunFilter

    names = Names({}, store)
    for run in selection.runs:
        yield await names.run(run, 0)
    if selection.runs:
        return
    app, workflow = (None, None) if selection.workflow is None else await names.workflow(selection.workflow)
    where = RunFilter(app, workflow, stored_status(selection.status), selection.before, selection.after)
    async for row in rows(store, where):
        if selection.status not in (None, status_of(row)):
            continue
        try:
            loaded = await store.load(row.app, row.id)
        except DamagedRun as error:
            done.damaged += 1
            note(printable(f"left out: {error}"))
            continue
        if loaded is not None:
            yield loaded


def _at(option: str, text: str | None) -> int | None:
    at = parse_time(option, text)
    return None if at is None else instant(at, option)


def _opened(output: str) -> TextIO:
    try:
        return open(output, "w", encoding="utf-8")
    except OSError as error:
        raise Fault("output", f"--output {output}: {error.strerror}") from error


def _printer(output: str | None, file: TextIO | None) -> Callable[[str], None]:
    if file is None:
        return say

    def print_lines(text: str) -> None:
        try:
            write(text, file)
        except OSError as error:
            raise Fault("output", f"--output {output}: {error.strerror}") from error

    return print_lines


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"
