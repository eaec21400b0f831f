"""`flowgen purge` and `flowgen doctor`: keep a store small, and see that it is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ...duration import MAX_SPAN, parse_duration
from .faults import DONE, REFUSED
from .options import db_option, json_option
from .output import printable, say, say_json
from .store_client import ask_store

if TYPE_CHECKING:
    from ..checkup import Report


@click.command()
@click.option("--older-than", metavar="DURATION", required=True, help='Such as "30d".')
@db_option
@json_option
def purge(older_than: str, db: str, as_json: bool) -> None:
    """Delete runs that ended longer ago, and events that nobody needs any more.

    What is open is never touched. Engines may go on working meanwhile.
    """
    parse_duration(older_than, "--older-than", maximum=MAX_SPAN)
    deleted = ask_store(db, lambda engine: engine.purge(older_than))
    if as_json:
        say_json({"deleted": deleted, "older_than": older_than})
    else:
        say(f"{deleted} runs and events deleted")


@click.command()
@db_option
@json_option
def doctor(db: str, as_json: bool) -> int:
    """Verify a store: recompute what follows from histories and mailboxes, and report what differs.

    Changes nothing. The exit code is 1 if something was found.
    """
    from ..checkup import check_up

    report = ask_store(db, lambda engine: check_up(engine.store))
    if as_json:
        say_json(_document(report))
    else:
        for finding in report.findings:
            say(printable(f"{finding.code}: {finding}"))
        many = len(report.findings)
        verdict = "nothing" if not many else f"{many} difference{'s' if many > 1 else ''}"
        say(f"{report.runs} runs and {report.events} events looked at: {verdict} found")
    return REFUSED if report.findings else DONE


def _document(report: Report) -> dict[str, object]:
    findings = [
        {"code": found.code, "app": found.app, "subject": found.subject, "message": found.message}
        for found in report.findings
    ]
    return {"runs": report.runs, "events": report.events, "findings": findings}
