"""Registrations: of the digests that live workers offer, the one first seen last is in force."""

from __future__ import annotations

import apsw

from ....outcome import Json
from ...store import ALIVE, Registered, Registration, Registrations
from .leases import note_alive
from .transaction import Transaction


def register(tx: Transaction, registration: Registration) -> int:
    """Replace what a worker offers of an app, see what that changes, and answer the generation."""
    app = registration.app
    note_alive(tx, registration.worker)
    tx.execute("delete from offers where app = ? and worker = ?", (app, registration.worker))
    number = tx.one("select coalesce(max(registered), 0) + 1 from offers")
    for offer in registration.offers:
        tx.execute(
            "insert or ignore into digests (app, workflow, digest) values (?, ?, ?)",
            (app, offer.workflow, offer.digest),
        )
        tx.execute(
            "replace into offers values (?, ?, ?, ?, ?, ?)",
            (app, registration.worker, offer.workflow, offer.digest, offer.definition, number),
        )
    tx.execute(
        "delete from offers where app = ? and worker in (select id from workers where seen_at <= ?)",
        (app, tx.now - ALIVE),
    )
    offered = tx.execute(_OFFERED, (app,)).fetchall()
    if offered != tx.execute("select * from in_force where app = ? order by workflow", (app,)).fetchall():
        tx.execute("delete from in_force where app = ?", (app,))
        for row in offered:
            tx.execute("insert into in_force values (?, ?, ?, ?)", row)
        tx.generation += 1
    tx.wakes = True
    generation: int = tx.generation
    return generation


def retire(tx: Transaction, worker: str) -> None:
    """Forget what a worker offers; what is in force stays so until the next registration."""
    tx.execute("delete from offers where worker = ?", (worker,))


# Of equal digests, the definition that was registered last.
_OFFERED = """
select app, workflow, digest, definition from (
    select o.*, row_number() over (partition by o.workflow order by d.number desc, o.registered desc) as place
    from offers o join digests d on d.app = o.app and d.workflow = o.workflow and d.digest = o.digest
    where o.app = ?
) where place = 1 order by workflow
"""


def registrations(connection: apsw.Connection) -> Registrations:
    """The definitions in force, by app and workflow."""
    generation = connection.execute("select generation from store").get
    paused = set(connection.execute("select app, workflow from paused"))
    rows = connection.execute("select app, workflow, digest, definition from in_force order by app, workflow")
    items = [
        Registered(app, workflow, digest, Json(text), (app, workflow) in paused) for app, workflow, digest, text in rows
    ]
    return Registrations(tuple(items), generation)


def pause(tx: Transaction, app: str, workflow: str, paused: bool) -> int:
    """Note that a workflow is paused or not, whether it is registered or not, and answer the generation."""
    if paused:
        tx.execute("insert or ignore into paused values (?, ?)", (app, workflow))
    else:
        tx.execute("delete from paused where app = ? and workflow = ?", (app, workflow))
    tx.generation += tx.connection.changes()
    tx.wakes = True
    generation: int = tx.generation
    return generation
