"""`flowgen events …`: look at what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .options import json_option, limit_option
from .output import say_json, say_page, when
from .place import Place, ask, place_option

if TYPE_CHECKING:
    from ...events import AcceptedEvent


@click.group()
def events() -> None:
    """List events."""


@events.command("list")
@click.option("--name", help="Only events called so.")
@click.option("--payloads", is_flag=True, help="Show also what they carry.")
@limit_option
@place_option
@json_option
def list_events(name: str | None, payloads: bool, limit: int, cursor: str | None, place: Place, as_json: bool) -> None:
    """List accepted events, newest first; JSON always holds their data."""
    from ..documents import accepted_document, page_document

    page = ask(place, lambda engine: engine.events(name, limit=limit, cursor=cursor))
    headings = ["EVENT", "NAME", "HAPPENED", "ID GIVEN", *(["DATA"] if payloads else [])]
    if as_json:
        say_json(page_document(page, accepted_document))
    else:
        say_page("no events", headings, [_row(event, payloads) for event in page.items], page.cursor)


def _row(event: AcceptedEvent, payloads: bool) -> Sequence[str]:
    from ...duration import moment

    data = [bytes(event.data).decode()] if payloads else []
    return [event.id, event.name, when(moment(event.ts)), event.key or "", *data]
