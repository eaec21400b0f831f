"""The tables, as numbered migrations.

`user_version` holds the number of the last migration applied, `application_id` says that the file
is ours. A migration is only ever appended; released ones never change. They run one transaction
each, under the write lock, so that several processes may open a new file at once.

What each table is for:

`store`         one row: the highest store time given out with a commit, the newest event position, the
                newest version of a key or cell, the generation of the registrations
`runs`          one row a run, in the order of `rows.COLUMNS`; narrow, because progress rewrites it
`inputs`        what is written once a run and may be large: the events that it handles
`started`       which event started which run
`collected`     the same again for events that a run collected, so that they are forgotten with it
`held`          who holds which concurrency slot, until when
`history`       records in the order in which they were written, each sealed with a checksum: a commit of
                many runs' progress fills a few pages, instead of touching one page of each run
`mail`          mailboxes; a drained message leaves its id, so that it is never taken twice
`events`        accepted events, numbered as accepted; one from the future has no position yet
`waits`         open waits, found by (event, path, value); `key` is the run's
`match_paths`   the paths that waits on an event name ever had; `event_values` is complete for each
                above position `since`
`event_values`  what events have at those paths, so that look-back is a look-up
`keys`, `cells` unique keys and flow-control documents
`workers`       who is alive, and which suspect it executes
`digests`       every digest of a workflow that was ever offered, numbered as first seen
`offers`        which worker offers what, and what follows: `in_force`, the definitions that route
`paused`        workflows whose runs are to wait

An index that a claim uses holds only runs that can be claimed, so finished runs cost nothing there.
No index names a column that plain progress writes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import apsw

from ...store import StoreUnusable
from .connection import patiently

APPLICATION_ID: Final = int.from_bytes(b"flow")

_FIRST: Final = """
create table store (
    one integer primary key check (one = 1),
    high_water integer not null,
    last_position integer not null,
    last_version integer not null,
    generation integer not null
) strict;
insert into store values (1, 0, 0, 0, 0);

create table runs (
    key integer primary key,
    app text not null,
    id text not null,
    workflow text not null,
    created_at integer not null,
    seed integer not null,
    stored text not null,
    reason text,
    start_at integer,
    due_at integer,
    started_at integer,
    ended_at integer,
    owner text,
    fence integer not null,
    length integer not null,
    mail integer not null,
    drained integer not null,
    cancel integer not null,
    strikes integer not null,
    life integer not null,
    digest text,
    parent_app text,
    parent_run text,
    parent_step text,
    parent_child text,
    restarted_as text,
    since text,
    claimed_at integer not null,
    cancel_at integer,
    codeless_at integer,
    looks_from integer
) strict;
create unique index runs_by_id on runs (id, app);
create index runs_due on runs (app, workflow, due_at, id) where stored = 'open' and due_at is not null;
create index runs_parked on runs (app, workflow, digest, due_at, id) where stored = 'parked';
create index runs_codeless on runs (codeless_at, app, id) where codeless_at is not null;
create index runs_children on runs (parent_app, parent_run, app, id) where parent_run is not null;
create index runs_by_status on runs (stored, created_at, app, id);
create index runs_by_workflow on runs (app, workflow, stored, created_at, id);
create index runs_ended on runs (ended_at, app, id) where ended_at is not null;
create index runs_looking on runs (looks_from) where stored in ('open', 'parked');

create table inputs (
    run integer primary key,
    transition text not null,
    checksum integer not null,
    body blob not null
) strict;

create table started (
    event text not null,
    app text not null,
    run text not null,
    primary key (event, app, run)
) strict, without rowid;

create table history (
    number integer primary key,
    run integer not null,
    position integer not null,
    fence integer not null,
    checksum integer not null,
    body blob not null
) strict;
create unique index history_of_run on history (run, position);

create table mail (
    run integer not null,
    number integer not null,
    id text not null,
    checksum integer not null,
    body blob not null,
    primary key (run, number)
) strict, without rowid;
create unique index mail_by_id on mail (run, id);

create table events (
    number integer primary key,
    id text not null unique,
    position integer,
    name text not null,
    ts integer not null,
    accepted_at integer not null,
    user_key text,
    digest text not null,
    routed integer not null,
    checksum integer not null,
    data blob not null
) strict;
create unique index events_by_position on events (position, accepted_at) where position is not null;
create index events_by_name on events (name, position) where position is not null;
create index events_as_accepted on events (name);
create index events_unrouted on events (position) where routed = 0 and position is not null;
create index events_future on events (ts, number) where position is null;

create table waits (
    key integer not null,
    app text not null,
    run text not null,
    id text not null,
    step text not null,
    event text not null,
    after integer not null,
    expires_at integer not null,
    path text,
    value text,
    condition text,
    scope blob,
    looked_to integer
) strict;
create unique index waits_of_run on waits (key, id);
create index waits_matching on waits (event, path, value, app, run, id);

create table match_paths (
    event text not null,
    path text not null,
    since integer not null,
    primary key (event, path)
) strict, without rowid;

create table event_values (
    event text not null,
    path text not null,
    value text not null,
    position integer not null,
    primary key (event, path, value, position)
) strict, without rowid;

create table keys (
    app text not null,
    name text not null,
    holder text not null,
    detail text not null,
    expires_at integer,
    version integer not null,
    primary key (app, name)
) strict, without rowid;
create index keys_expiring on keys (expires_at) where expires_at is not null;

create table cells (
    app text not null,
    name text not null,
    version integer not null,
    value blob,
    expires_at integer,
    primary key (app, name)
) strict, without rowid;
create index cells_expiring on cells (expires_at) where expires_at is not null;

create table workers (
    id text primary key,
    seen_at integer not null,
    suspect integer
) strict, without rowid;

create table digests (
    number integer primary key,
    app text not null,
    workflow text not null,
    digest text not null,
    unique (app, workflow, digest)
) strict;

create table offers (
    app text not null,
    worker text not null,
    workflow text not null,
    digest text not null,
    definition blob not null,
    registered integer not null,
    primary key (app, worker, workflow)
) strict, without rowid;

create table in_force (
    app text not null,
    workflow text not null,
    digest text not null,
    definition blob not null,
    primary key (app, workflow)
) strict, without rowid;
"""

_FLOW_CONTROL: Final = """
alter table runs add column controlled integer not null default 0;
alter table runs add column priority integer not null default 0;
alter table runs add column slots text;
alter table runs add column holds text;
alter table runs add column callers text;
alter table runs add column deadline integer;
alter table runs add column wanted_at integer;
alter table runs add column blocked_on text;
alter table runs add column place integer;
alter table runs add column line integer not null default 0;
alter table runs add column rank integer;
update runs set rank = due_at where ended_at is null;
alter table events add column deferred integer not null default 0;

drop index runs_due;
drop index runs_parked;
drop index runs_looking;
drop index runs_by_status;
create index runs_plain on runs (rank, app, id) where line = 0 and rank is not null and stored <> 'parked';
create index runs_later on runs (rank, app, id) where line = 1;
create index runs_ranked on runs (rank, app, id) where line = 2 and stored <> 'parked';
create index runs_ready on runs (app, workflow, line, rank, id) where rank is not null and stored <> 'parked';
create index runs_parked on runs (app, workflow, digest, line, rank, id) where stored = 'parked';
create index runs_blocked on runs (app, blocked_on, workflow, place, id) where blocked_on is not null;
create index runs_looking on runs (looks_from) where ended_at is null;
create index runs_by_app on runs (app, stored, created_at, id);

create table held (
    app text not null,
    slot text not null,
    until integer not null,
    run integer not null,
    primary key (app, slot, until, run)
) strict, without rowid;
create index held_by_run on held (run);

create table collected (
    run integer not null,
    event text not null,
    primary key (run, event)
) strict, without rowid;

create table paused (
    app text not null,
    workflow text not null,
    primary key (app, workflow)
) strict, without rowid;
"""

MIGRATIONS: Final[tuple[str, ...]] = (_FIRST, _FLOW_CONTROL)
"""Migration n (from 1) leads from schema n - 1 to schema n."""

NEWEST: Final = len(MIGRATIONS)


def check(connection: apsw.Connection, path: Path) -> int:
    """The schema version of the file, 0 if it is new; `StoreUnusable` if it is not for us."""
    with connection:  # all of it at one moment: another process may just be making the file
        application = connection.pragma("application_id")
        version = int(connection.pragma("user_version"))
        (tables,) = connection.execute("select count(*) from sqlite_schema").fetchall()[0]
    if application == 0 and version == 0 and tables == 0:
        return 0
    if application != APPLICATION_ID:
        raise StoreUnusable(
            f"{path} is a SQLite database of another application (application id {application}, {tables} tables): "
            "flowgen will not touch it; name another file"
        )
    if version > NEWEST:
        raise StoreUnusable(
            f"{path} has schema {version}, but this flowgen knows schemas up to {NEWEST}: "
            "a newer flowgen wrote it; upgrade this one"
        )
    return version


def check_newest(connection: apsw.Connection, path: Path) -> None:
    """Refuse a file that could only be read after a migration."""
    version = check(connection, path)
    if version == 0:
        raise StoreUnusable(f"{path} is empty: no engine has ever worked on it")
    if version < NEWEST:
        raise StoreUnusable(
            f"{path} has schema {version}, this flowgen reads schema {NEWEST}, and only looking may not change it: "
            "let an engine of this flowgen open it, or a copy of it, once"
        )


def migrate(connection: apsw.Connection, path: Path, patience: float) -> None:
    """Bring the file to the newest schema, one transaction a migration."""
    while check(connection, path) < NEWEST:
        patiently(lambda: connection.execute("begin immediate"), patience)
        try:
            version = check(connection, path)
            if version < NEWEST:
                for _ in connection.execute(MIGRATIONS[version]):
                    """A script's later statements run only when it is iterated."""
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", version + 1)
            connection.execute("commit")
        except BaseException:
            if connection.in_transaction:
                connection.execute("rollback")
            raise
