"""`flowgen runs cancel | retry | rerun --all`: one verb for all runs that a filter selects.

Without `--yes` it is a dry run, which says what would be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from .faults import DONE, REFUSED, Fault
from .options import parse_time
from .output import note, printable, say, say_json
from .place import Place, ask

if TYPE_CHECKING:
    from ..bulk import BulkResult, Verb
    from .place import Verbs

F = TypeVar("F", bound=Callable[..., Any])

_LISTED = 20


@attrs.frozen
class Filter:
    """What was typed beside `--all`."""

    all: bool
    workflow: str | None
    status: str | None
    before: str | None
    after: str | None
    yes: bool

    @property
    def empty(self) -> bool:
        """Whether nothing was typed."""
        return self == Filter(False, None, None, None, None, False)


def bulk_options(command: F) -> F:
    """`--all` and the options that go with it, as one argument `bulk`."""

    def gathered(**options: Any) -> Any:
        bulk = Filter(*(options.pop(name) for name in ("all_", "workflow", "status", "before", "after", "yes")))
        return command(bulk=bulk, **options)

    gathered.__doc__, gathered.__name__ = command.__doc__, command.__name__
    gathered.__click_params__ = list(getattr(command, "__click_params__", []))  # type: ignore[attr-defined]
    wrapped: Any = gathered
    for option in (
        click.option("--yes", is_flag=True, help="With --all: do it. Without, it is a dry run."),
        click.option("--after", metavar="TIME", help="With --all: created at that time or later."),
        click.option("--before", metavar="TIME", help='With --all: created before that time: ISO 8601, or "7d" ago.'),
        click.option("--status", metavar="STATE", help="With --all: only runs in this state."),
        click.option("--workflow", metavar="ID", help="With --all: only runs of this workflow: its id, or app/id."),
        click.option("--all", "all_", is_flag=True, help="All runs that the options below select."),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[no-any-return]


def one_or_all(run: str | None, bulk: Filter) -> str | None:
    """The one run that is meant; None for all that the filter selects. A fault if neither or both were typed."""
    if bulk.all and run is not None:
        raise Fault("usage", f"say one run ({run}) or --all, not both")
    if run is None and not bulk.all:
        raise Fault("usage", "say which run, or --all")
    if run is not None and not bulk.empty:
        raise Fault("usage", "--workflow, --status, --before, --after and --yes go with --all")
    return run


def do_all(verb: Verb, bulk: Filter, place: Place, as_json: bool, **more: str) -> int:
    """Do the verb to all of them, or say what would be done; the exit code."""
    before, after = parse_time("--before", bulk.before), parse_time("--after", bulk.after)

    async def question(engine: Verbs) -> BulkResult:
        verbs: dict[Verb, Any] = {"cancel": engine.cancel_all, "retry": engine.retry_all, "rerun": engine.rerun_all}
        done: BulkResult = await verbs[verb](
            workflow=bulk.workflow, status=bulk.status, before=before, after=after, dry_run=not bulk.yes, **more
        )
        return done

    result = ask(place, question)
    if as_json:
        say_json(attrs.asdict(result))
    else:
        _tell(result)
    return REFUSED if result.refused and not result.dry_run else DONE


_DONE = {"cancel": "being cancelled", "retry": "due again", "rerun": "rerun"}


def _tell(result: BulkResult) -> None:
    many = f"{result.done} run{'s' if result.done != 1 else ''}"
    if result.dry_run:
        say(f"dry run: {result.verb} would be done to {many}; --yes does it")
    else:
        say(f"{many} {_DONE[result.verb]}")
    for run in result.runs[:_LISTED]:
        say(run)
    if result.done > _LISTED:
        note(f"and {result.done - _LISTED} more")
    if result.refused:
        note(f"{result.refused} refused:")
    for refusal in result.refusals[:_LISTED]:
        note(printable(f"{refusal.run}: {refusal.reason}"))
    if result.refused > _LISTED:
        note(f"and {result.refused - _LISTED} more")
