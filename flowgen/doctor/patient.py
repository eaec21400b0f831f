"""What the doctor looks at, a run as it was read; and what has to be read beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from .. import singleton
from ..collecting import collecting_key
from ..errors import ExpressionError
from ..events import AcceptedEvent, event_document
from ..flow_control import Policies, key_text
from ..history import (
    ENDS,
    OUTCOMES,
    CancelAccepted,
    CleanupExpired,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SignalTerms,
)
from ..runs import Mail, RunRow
from ..signals import decode_waiter, signal_key
from ..transition import Key, Wait

DECIDING = (*OUTCOMES, *ENDS, CancelAccepted, CleanupExpired, Retried)
"""Records with which a body may give up on what it has asked for."""

NO_POLICIES = Policies()


@attrs.frozen
class Finding:
    """One difference: what `subject` (a run, a workflow, a cell) has, and what it should have.

    `code` names the rule that is broken.
    """

    code: str
    app: str
    subject: str
    message: str

    def __str__(self) -> str:
        return f"{self.app}/{self.subject}: {self.message}"


@attrs.frozen
class Patient:
    """A run as it was read, with its policies, and what was read of its neighbourhood a moment later.

    `keys` are those of `key_names`; one that nobody holds is absent. `children` are the rows of the runs that each
    invoke of `invoked` has led to, by step.
    """

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    records: tuple[Record, ...]
    mail: tuple[Mail, ...]
    now: int
    policies: Policies = NO_POLICIES
    waits: tuple[Wait, ...] = ()
    keys: dict[str, Key] = attrs.Factory(dict)
    children: dict[str, tuple[RunRow, ...]] = attrs.Factory(dict)

    @property
    def idle(self) -> bool:
        """Whether the run is open and nobody owns it."""
        return self.row.open and self.row.owner is None


def surely_open(history: Sequence[Record]) -> list[Requested]:
    """The requests that are open whatever the code is: nothing was decided after them."""
    found: list[Requested] = []
    for record in reversed(history):
        if isinstance(record, DECIDING):
            break
        if isinstance(record, Requested):
            found.append(record)
    return found


def invoked(patient: Patient) -> list[tuple[str, InvokeTerms]]:
    """The invokes that wait for an end, by step."""
    if not patient.row.open:
        return []
    return [
        (r.step, r.terms) for r in surely_open(patient.records) if isinstance(r.terms, InvokeTerms) and r.terms.child
    ]


def key_names(patient: Patient) -> set[str]:
    """The keys that this run holds, has held, or may have held."""
    names = set(patient.row.holds)
    for record in patient.records:
        if isinstance(record, Requested) and isinstance(record.terms, SignalTerms):
            names.add(signal_key(record.terms.signal))
    if patient.events:
        names |= set(_flow_keys(patient.row.workflow, patient.policies, event_document(patient.events[-1])))
    return names


def _flow_keys(workflow: str, policies: Policies, document: dict[str, object]) -> Iterator[str]:
    collects = policies.debounce or policies.batch
    try:
        if policies.singleton is not None:
            yield singleton.singleton_key(workflow, key_text(policies.singleton.key, document))
        if collects is not None:
            yield collecting_key(workflow, key_text(collects.key, document))
    except ExpressionError:
        return


def cell_names(patient: Patient) -> set[str]:
    """The cells of flow control that its events have written to."""
    policies, workflow = patient.policies, patient.row.workflow
    names = set()
    for event in patient.events[-1:]:
        document = event_document(event)
        for kind, policy in (("rate", policies.rate_limit), ("throttle", policies.throttle)):
            if policy is not None:
                try:
                    names.add(f"{kind}/{workflow}/{key_text(policy.key, document)}")
                except ExpressionError:
                    continue
    return names


def is_held_by(held: Key, row: RunRow) -> bool:
    """Whether a key is for this run: it holds it, or is named as one that its holder waits for."""
    if held.name.startswith("signal/"):
        waiter = decode_waiter(held)
        return waiter.run == row.id
    if held.name.startswith(singleton.PREFIX):
        return row.id in (held.holder, *singleton.waited_for(held))
    return held.holder == row.id and held.name.startswith(("collect/", "schedule/"))
