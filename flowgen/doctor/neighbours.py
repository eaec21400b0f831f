"""Checks of a run against what it shares with others: waits, keys, children. See the package's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..collecting import collection_of
from ..history import Requested, SignalTerms, WaitTerms, effective
from ..runs import ChildCompleted, ChildFailed, EventCollected, SignalReplaced
from ..signals import signal_key
from ..transition import Wait
from .patient import Patient, invoked, is_held_by, surely_open


def _waits(patient: Patient) -> Iterator[str]:
    """The index of waits has those that are surely open, and none that was never asked for."""
    if not patient.row.open:
        return
    standing = {wait.id: wait for wait in patient.waits}
    asked = {
        record.terms.wait: record.terms
        for _, record in effective(patient.records)
        if isinstance(record, Requested) and isinstance(record.terms, WaitTerms)
    }
    for request in surely_open(patient.records):
        if isinstance(request.terms, WaitTerms) and request.terms.wait and request.terms.wait not in standing:
            yield f"step {request.step!r} waits for event {request.terms.event!r}, but is not among the open waits"
    for id, wait in standing.items():
        if not wait.step:
            continue
        terms = asked.get(id)
        if terms is None:
            yield f"there is an open wait {id} for step {wait.step!r}, which never asked for it"
        elif _told(terms) != _told(wait):
            yield f"step {wait.step!r} asked for {_told(terms)}, its open wait is for {_told(wait)}"


def _told(wait: WaitTerms | Wait) -> tuple[object, ...]:
    return wait.event, wait.path, wait.value, wait.where, wait.expires_at


def _signals(patient: Patient) -> Iterator[str]:
    """Who waits for a signal holds its key, or has been told."""
    if not patient.row.open:
        return
    replaced = {m.message.body.wait for m in patient.mail if isinstance(m.message.body, SignalReplaced)}
    for request in surely_open(patient.records):
        terms = request.terms
        if isinstance(terms, SignalTerms) and terms.wait not in replaced:
            held = patient.keys.get(signal_key(terms.signal))
            if held is None or held.holder != terms.wait:
                yield f"step {request.step!r} waits for signal {terms.signal!r}, but does not hold its key"


def _keys(patient: Patient) -> Iterator[str]:
    """An open run holds the keys that its row names."""
    row = patient.row
    if not row.open:
        return
    for name in row.holds:
        held = patient.keys.get(name)
        if name.startswith("collect/"):
            continue
        if held is None:
            yield f"key {name!r} is free, but this run is open and should hold it"
        elif not is_held_by(held, row):
            yield f"key {name!r} is held by {held.holder}, but this run is open and should hold it"


def _collection(patient: Patient) -> Iterator[str]:
    """What a collecting run has in its mailbox is what its key counts."""
    row = patient.row
    if row.stored != "collecting":
        return
    events = [m.message.body.event for m in patient.mail if isinstance(m.message.body, EventCollected)]
    if not events:
        yield "it collects, but has no events"
    for name in row.holds:
        held = patient.keys.get(name)
        if held is not None and held.holder == row.id:
            counted, size = collection_of(held), sum(len(event.data) for event in events)
            if (counted.count, counted.bytes) != (len(events), size):
                had = f"{counted.count} events of {counted.bytes} bytes"
                yield f"its key {name!r} counts {had}, its mailbox has {len(events)} of {size}"


def _children(patient: Patient) -> Iterator[str]:
    """Who waits for a run that has ended has been told so."""
    told = {m.message.body.step for m in patient.mail if isinstance(m.message.body, (ChildCompleted, ChildFailed))}
    for step, terms in invoked(patient):
        if step in told:
            continue
        children = patient.children.get(step, ())
        if not any(child.open for child in children):
            ended = ", ".join(f"{child.id} is {child.stored}" for child in children) or f"{terms.child} is not there"
            yield f"step {step!r} waits for a run of {terms.app}/{terms.workflow}, but {ended}, and nobody has told it"


CHECKS: dict[str, Callable[[Patient], Iterator[str]]] = {
    "waits": _waits,
    "signals": _signals,
    "keys": _keys,
    "collection": _collection,
    "children": _children,
}
