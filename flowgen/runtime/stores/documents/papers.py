"""The state of a store as documents, and back.

One document for each run, event, key and cell, and four for what a store keeps once: its counters, its workers,
its registrations, and the queues of slots in which there may be room. Everything else that the state holds, such
as the ready order and the indexes, follows from these and is made anew by `restored`.

Each document is sealed: a checksum over its name and its bytes stands before them, so that a flipped bit, or a
document that strayed to another's name, is an error and never a wrong answer.

Knows nothing of shelves: names and bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, Final, TypeVar
from urllib.parse import quote
from zlib import crc32

import msgspec

from ....codec import (
    decode_event,
    decode_message,
    decode_record,
    decode_run_row,
    decode_wait,
    encode_event,
    encode_message,
    encode_record,
    encode_run_row,
    encode_wait,
)
from ....errors import StoreError, UndecodableError
from ....outcome import Json
from ....transition import Cell, Key
from ...store import Offer, Registered, Registration
from ..memory.indexes import RunKey
from ..memory.state import Named, Run, State, Worker

T = TypeVar("T", bound=msgspec.Struct)

_LONGEST: Final = 150


class _Run(msgspec.Struct, omit_defaults=True):
    row: Json
    created_by: str
    claimed_at: int
    cancelled_at: int
    wanted_at: int
    events: list[Json] = []
    records: list[Json] = []
    fences: list[int] = []
    mail: list[tuple[int, Json]] = []
    seen: list[str] = []
    waits: list[Json] = []
    linked: list[str] = []
    holding: tuple[str, ...] = ()
    rank: int | None = None


class _Event(msgspec.Struct):
    number: int
    event: Json
    routed: bool


class _Key(msgspec.Struct):
    app: str
    key: Key


class _Cell(msgspec.Struct):
    app: str
    name: str
    version: int
    expires_at: int | None
    value: Json


class _Counters(msgspec.Struct):
    time: int
    last_position: int
    accepted: int
    versions: int
    generation: int


class _Workers(msgspec.Struct):
    workers: dict[str, tuple[int, RunKey | None]]


class _Offers(msgspec.Struct):
    registered: list[tuple[str, str, list[tuple[str, str, Json]]]]
    first_seen: list[tuple[str, str, str]]
    in_force: list[tuple[str, str, str, Json]]
    paused: list[Named]


class _Queues(msgspec.Struct):
    freed: list[tuple[str, str, str, int]]


# -- names, and seals -------------------------------------------------------------------------------


def name_of(kind: str, *parts: str) -> str:
    """The name of a document: readable, with a digest where letters alone would not tell two apart."""
    text = ".".join(quote(part, safe="").replace(".", "%2E").replace("~", "%7E") for part in parts)
    name = text.lower()
    if name != text or len(name) > _LONGEST or name.startswith("."):
        digest = blake2b("/".join([str(len(parts[0])), *parts]).encode(), digest_size=12).hexdigest()
        name = f"{name[:_LONGEST]}-{digest}"
    return f"{kind}/{name}"


def _sealed(name: str, paper: msgspec.Struct) -> bytes:
    body = msgspec.json.encode(paper)
    return b"%08x %s" % (crc32(body, crc32(name.encode())), body)


def _unsealed(name: str, data: bytes, kind: type[T]) -> T:
    seal, _, body = data.partition(b" ")
    if seal != b"%08x" % crc32(body, crc32(name.encode())):
        raise StoreError(f"document {name} is damaged: its checksum is wrong; restore a backup")
    return msgspec.json.decode(body, type=kind)


# -- to documents -----------------------------------------------------------------------------------


def paper_of_run(state: State, key: RunKey) -> tuple[str, bytes | None]:
    """The document of a run; None if the run is gone."""
    name, run = name_of("run", *key), state.runs.get(key)
    if run is None:
        return name, None
    paper = _Run(
        Json(encode_run_row(run.row)),
        run.created_by,
        run.claimed_at,
        run.cancelled_at,
        run.wanted_at,
        [Json(encode_event(event)) for event in run.events],
        [Json(encode_record(record)) for record in run.records],
        run.fences,
        [(number, Json(encode_message(message))) for number, message in run.mail.items()],
        sorted(run.seen),
        [Json(encode_wait(wait)) for wait in run.waits.values()],
        list(run.linked),
        run.holding,
        run.rank,
    )
    return name, _sealed(name, paper)


def paper_of_event(state: State, id: str) -> tuple[str, bytes | None]:
    """The document of an event; None if it is gone."""
    name, event = name_of("event", id), state.events.get(id)
    if event is None:
        return name, None
    routed = event.position is not None and id not in state.events.unrouted
    return name, _sealed(name, _Event(state.events.number_of(id), Json(encode_event(event)), routed))


def paper_of_key(state: State, key: Named) -> tuple[str, bytes | None]:
    """The document of a key; None if nobody holds it."""
    name, held = name_of("key", *key), state.keys.get(key)
    return name, None if held is None else _sealed(name, _Key(key[0], held))


def paper_of_cell(state: State, key: Named) -> tuple[str, bytes | None]:
    """The document of a cell; None if it is not there."""
    name, cell = name_of("cell", *key), state.cells.get(key)
    if cell is None or cell.value is None:
        return name, None
    return name, _sealed(name, _Cell(*key, cell.version, cell.expires_at, cell.value))


def shared_papers(state: State, workers: Mapping[str, Worker]) -> Iterator[tuple[str, bytes]]:
    """The documents that a store has once, but for its counters."""
    registered = [
        (registration.app, registration.worker, [(o.workflow, o.digest, o.definition) for o in registration.offers])
        for registration in state.registered.values()
    ]
    in_force = [(r.app, r.workflow, r.digest, r.definition) for r in state.in_force.values()]
    offers = _Offers(registered, list(state.first_seen), in_force, sorted(state.paused))
    papers: tuple[tuple[str, msgspec.Struct], ...] = (
        ("store/workers", _Workers({name: (w.seen_at, w.suspect) for name, w in workers.items()})),
        ("store/offers", offers),
        ("store/queues", _Queues(sorted(state.slots.freed()))),
    )
    return ((name, _sealed(name, paper)) for name, paper in papers)


def counters(state: State) -> tuple[str, bytes]:
    """The document of what a store counts, and of the time that it has seen."""
    events = state.events
    paper = _Counters(state.highest, events.last, events.accepted, state.versions, state.generation)
    return "store/counters", _sealed("store/counters", paper)


# -- and back ---------------------------------------------------------------------------------------


def restore(state: State, documents: Mapping[str, bytes]) -> None:
    """Fill a state that is empty from documents. Raises `StoreError` for one that is not as it was written."""
    papers: dict[str, list[Any]] = {"run": [], "event": [], "key": [], "cell": [], "store": []}
    for name, data in documents.items():
        kind = name.partition("/")[0]
        if (expected := _KINDS.get(name) or _KINDS.get(kind)) is None:
            raise StoreError(f"document {name!r} is none of ours: is this another program's shelf, or a newer one's?")
        try:
            papers[kind].append(_unsealed(name, data, expected))
        except msgspec.MsgspecError as error:
            raise StoreError(f"document {name} cannot be read: {error}") from error
    try:
        for paper in papers["store"]:
            _restore_shared(state, paper)
        _restore_events(state, papers["event"])
        state.keys.update({(paper.app, paper.key.name): paper.key for paper in papers["key"]})
        state.cells.update({(paper.app, paper.name): _cell_of(paper) for paper in papers["cell"]})
        _restore_runs(state, [_run_of(paper) for paper in papers["run"]])
    except UndecodableError as error:
        raise StoreError(f"a document cannot be read: {error}") from error
    for paper in papers["store"]:
        if isinstance(paper, _Queues):
            state.restore_queues(paper.freed)


_KINDS: Final[Mapping[str, Any]] = {
    "run": _Run,
    "event": _Event,
    "key": _Key,
    "cell": _Cell,
    "store/counters": _Counters,
    "store/workers": _Workers,
    "store/offers": _Offers,
    "store/queues": _Queues,
}


def _restore_shared(state: State, paper: msgspec.Struct) -> None:
    match paper:
        case _Counters():
            state.highest = max(state.highest, paper.time)
            state.events.last, state.events.accepted = paper.last_position, paper.accepted
            state.versions, state.generation = paper.versions, paper.generation
        case _Workers():
            state.workers.update({name: Worker(*worker) for name, worker in paper.workers.items()})
        case _Offers():
            for app, worker, offers in paper.registered:
                registration = Registration(app, worker, tuple(Offer(*offer) for offer in offers))
                state.registered[app, worker] = registration
            state.first_seen.update({seen: number for number, seen in enumerate(paper.first_seen)})
            state.in_force.update({(entry[0], entry[1]): Registered(*entry) for entry in paper.in_force})
            state.paused.update(paper.paused)


def _restore_events(state: State, papers: list[_Event]) -> None:
    found = [(paper, decode_event(paper.event)) for paper in papers]
    for paper, event in sorted(found, key=lambda pair: (pair[1].position or 0, pair[0].number)):
        state.events.restore(paper.number, event, paper.routed)


def _cell_of(paper: _Cell) -> Cell:
    return Cell(paper.app, paper.name, paper.version, paper.value, paper.expires_at)


def _run_of(paper: _Run) -> Run:
    return Run(
        decode_run_row(paper.row),
        tuple([decode_event(event) for event in paper.events]),
        paper.created_by,
        paper.claimed_at,
        paper.cancelled_at,
        [decode_record(record) for record in paper.records],
        paper.fences,
        {number: decode_message(message) for number, message in paper.mail},
        set(paper.seen),
        {wait.id: wait for wait in map(decode_wait, paper.waits)},
        dict.fromkeys(paper.linked),
        paper.wanted_at,
        holding=paper.holding,
        rank=paper.rank,
    )


def _restore_runs(state: State, runs: list[Run]) -> None:
    for run in runs:
        state.runs[run.key] = run
    for run in runs:
        state.restore_run(run)
