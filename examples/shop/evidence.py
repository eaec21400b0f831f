"""Collects what is left behind: from flowgen's store, the ledger, the warehouse and the gateway."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from flowgen.history import Record
from flowgen.runtime import LocalClient, RunInfo

from . import gateway, ledger, warehouse
from .app import fulfil
from .audit import Evidence, RunEvidence

History = tuple[RunInfo, Sequence[Record]]


def histories(client: LocalClient) -> Iterator[History]:
    """All runs of `fulfil` with their histories."""
    return ((run, client.history(run.id)) for run in _runs(client))


def _runs(client: LocalClient) -> Iterator[RunInfo]:
    cursor = None
    while True:
        page = client.runs(workflow=fulfil, limit=500, cursor=cursor)
        yield from page.items
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


def by_hand(client: LocalClient, placed: Mapping[str, str]) -> frozenset[str]:
    """The orders that somebody sent, cancelled or reran on the page. `placed` has the event of each of the others."""
    runs = [(run.id, _order(run), run.status) for run in _runs(client)]
    counts = Counter(order for _, order, _ in runs)
    return frozenset(
        order
        for run, order, status in runs
        if order not in placed
        or status == "cancelled"
        or (counts[order] > 1 and run not in client.started(placed[order]))
    )


def _evidence(run: RunInfo, records: Sequence[Record]) -> RunEvidence:
    return RunEvidence(run.id, _order(run), run.status, run.result, tuple(records))


def _order(run: RunInfo) -> str:
    """Which order it is for; on the page one may send anything."""
    return str(run.event.data.get("order_id")) if isinstance(run.event.data, dict) else ""
