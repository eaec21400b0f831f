"""Collects what is left behind: from flowgen's store, the ledger, the warehouse and the gateway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flowgen.history import Record
from flowgen.runtime import LocalClient, RunInfo

from . import gateway, ledger, warehouse
from .app import fulfil
from .audit import Evidence, RunEvidence

History = tuple[RunInfo, Sequence[Record]]


def histories(client: LocalClient) -> Iterator[History]:
    """All runs of `fulfil` with their histories."""
    cursor = None
    while True:
        page = client.runs(workflow=fulfil, limit=500, cursor=cursor)
        yield from ((run, client.history(run.id)) for run in page.items)
        if (cursor := page.cursor) is None:
            return


def collect(runs: Iterable[History], orders: Iterable[str], killed: Iterable[int]) -> Evidence:
    """The evidence for `audit`: `orders` were sent, the processes `killed` were killed."""
    requests, payments = gateway.log()
    return Evidence(
        orders=frozenset(orders),
        runs=tuple(_evidence(run, records) for run, records in runs),
        entries=tuple(ledger.entries()),
        requests=tuple(requests),
        payments=tuple(payments),
        reserved=warehouse.reservations(),
        killed=frozenset(killed),
    )


def _evidence(run: RunInfo, records: Sequence[Record]) -> RunEvidence:
    return RunEvidence(run.id, run.event.data["order_id"], run.status, run.result, tuple(records))
