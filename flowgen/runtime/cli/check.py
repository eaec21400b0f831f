"""`flowgen check`: which runs would today's code break? All open runs are replayed on it, and some that ended."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from .faults import DONE, REFUSED
from .options import json_option
from .output import note, printable, say, shortened, write
from .store_client import check_store_url
from .target import load_app, relative

if TYPE_CHECKING:
    from ...app import App
    from ..replay.answers import Answer
    from ..replay.tally import Group, Tally

_WIDE = 400
_REASONS = 5
_WORKER = (sys.executable, "-m", "flowgen.runtime.cli.check_worker")


@click.command()
@click.argument("target")
@click.option("--against", metavar="URL", required=True, help="A store, or a file of flowgen runs export.")
@click.option(
    "--closed",
    type=click.IntRange(min=0),
    default=100,
    show_default=True,
    help="Of a store: so many ended runs of each workflow and way of ending, the newest.",
)
@click.option("--perturb", is_flag=True, help="Replay twice, with another hash seed and another clock, and compare.")
@click.option("--jobs", type=click.IntRange(1, 256), help="How many processes replay; one a processor by default.")
@json_option
def check(target: str, against: str, closed: int, perturb: bool, jobs: int | None, as_json: bool) -> int:
    """Replay recorded runs on the code of TARGET, and say which would break.

    All open runs of TARGET's app are replayed, and of those that ended some that began on the code that is in force.
    The store is only read, and nothing is executed. The exit code is 1 if a run breaks, and 0, with a remark, if there
    is none to replay.
    """
    import trio

    from ..replay.tally import Tally

    app = load_app(target)
    if "://" in against:
        check_store_url(against, "--against")
    tally = Tally()
    try:
        trio.run(_check, app, target, against, closed, perturb, jobs or _processors(), tally)
        if as_json:
            _say_json(tally)
        else:
            _tell(tally, target)
    finally:
        tally.close()
    if not tally.runs:
        note(
            f"there is no run of app {app.name!r} to replay in {printable(against)}, so nothing was proved; "
            "before a first deployment that is as it should be"
        )
    return REFUSED if tally.breaking else DONE


async def _check(app: App, target: str, against: str, closed: int, perturb: bool, jobs: int, tally: Tally) -> None:
    from ..replay.answers import Begin
    from ..replay.crew import Crew
    from ..replay.sources import Choice, open_source

    source = await open_source(against)
    try:
        begin = Begin(target, against, await source.digests(app.name), await source.elsewhere(app.name))
        choice = Choice(app.name, tuple(app.workflows), closed)
        await Crew(_WORKER, begin, jobs, perturb).answer(source.refs(choice), tally.add)
    finally:
        await source.close()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# -- the report ------------------------------------------------------------------------------------


def _say_json(tally: Tally) -> None:
    """One document, written a run at a time."""
    counts = json.dumps({"runs": tally.runs, "same": tally.same, "safe": tally.safe})
    write(f'{counts[:-1]}, "breaks": [', sys.stdout)
    for number, answer in enumerate(tally.breaks(), 1):
        write(json.dumps(_document(answer)) + ("," if number < tally.breaking else ""), sys.stdout)
    write("]}", sys.stdout)


def _document(answer: Answer) -> dict[str, Any]:
    return {
        "run": answer.run,
        "workflow": answer.workflow,
        "step": answer.step,
        "recorded": answer.recorded,
        "yields": answer.yields,
        "cause": _cause(answer),
    }


def _cause(answer: Answer) -> str:
    return f"{answer.cause} ({relative(answer.where)})" if answer.where else answer.cause


def _tell(tally: Tally, target: str) -> None:
    counts = f"{tally.same} same, {tally.safe} safe, {tally.breaking} break{'s' if tally.breaking == 1 else ''}"
    say(f"{tally.runs} run{'s' if tally.runs != 1 else ''} replayed on {printable(target)}: {counts}")
    for reason, many in tally.why_safe.most_common(_REASONS):
        say(printable(f"safe {many} × {reason}"))
    for group in tally.groups:
        say("\n" + "\n".join(_portrait(group)))
    if tally.ungrouped:
        say(f"\nand {tally.ungrouped} more, for other reasons: --json names all")


def _portrait(group: Group) -> list[str]:
    first = group.first
    counts = [f"{many} {word}" for many, word in ((group.open, "open"), (group.ended, "ended")) if many]
    more = f" and {group.runs - len(group.named)} more" if group.runs > len(group.named) else ""
    lines = [
        f"breaks  {printable(first.workflow or '(unknown)')}, {' and '.join(counts)}: {printable(_cause(first))}",
        f"  at step:     {shortened(first.step, _WIDE)}",
        f"  recorded:    {shortened(first.recorded, _WIDE)}",
        f"  code yields: {shortened(first.yields, _WIDE)}" if first.yields else "",
        f"  runs:        {', '.join(group.named)}{more}",
    ]
    return [line for line in lines if line]
