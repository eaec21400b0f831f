"""The proof: what the ledger, the gateway's log and the runs' histories say together.

Nothing is compared by clocks. An outcome in a history names the gateway's request that it came from; a
request with a higher number under the same idempotency key comes from a step that ran again although
its outcome was recorded.

Knows nothing of how the evidence came about; `evidence.py` collects it.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from decimal import Decimal

import attrs

from flowgen.history import AttemptFailed, Record, StepFailed, StepSucceeded

from .gateway import Payment, Request
from .ledger import Entry
from .warehouse import CATALOGUE


@attrs.frozen
class RunEvidence:
    """A run of `fulfil`: for which order, how it ended, and its history."""

    id: str
    order_id: str
    status: str
    result: object
    records: tuple[Record, ...]


@attrs.frozen
class Evidence:
    """All that was left behind. `orders` are those that were sent, `killed` the processes of dead engines."""

    orders: frozenset[str]
    runs: tuple[RunEvidence, ...]
    entries: tuple[Entry, ...]
    requests: tuple[Request, ...]
    payments: tuple[Payment, ...]
    reserved: dict[str, tuple[str, int]]
    killed: frozenset[int]

    def without(self, orders: frozenset[str]) -> Evidence:
        """What is left without some orders."""
        return attrs.evolve(
            self,
            orders=self.orders - orders,
            runs=tuple(run for run in self.runs if run.order_id not in orders),
            entries=tuple(entry for entry in self.entries if entry.order_id not in orders),
            requests=tuple(request for request in self.requests if request.order_id not in orders),
            payments=tuple(payment for payment in self.payments if payment.order_id not in orders),
            reserved={order: taken for order, taken in self.reserved.items() if order not in orders},
        )

    def cut_off(self) -> list[Request]:
        """The requests whose answer nobody recorded: their engine died first."""
        recorded = {request_of(record) for run in self.runs for record in run.records}
        return [request for request in self.requests if request.number not in recorded]


def request_of(record: Record) -> int | None:
    """The gateway's request that a record came from: in its value, or at the beginning of its error."""
    match record:
        case StepSucceeded(kind="run", value=value):
            receipt = json.loads(bytes(value))
            return receipt.get("request") if isinstance(receipt, dict) else None
        case StepFailed(failure=failure) | AttemptFailed(failure=failure):
            named = re.match(r"request (\d+):", failure.message)
            return int(named[1]) if named else None
        case _:
            return None


# -- the checks: each yields what contradicts its promise -------------------------------------------


def lost_orders(evidence: Evidence) -> Iterator[str]:
    runs = Counter(run.order_id for run in evidence.runs)
    entries = Counter(entry.order_id for entry in evidence.entries)
    for order in sorted(evidence.orders | runs.keys() | entries.keys()):
        if (runs[order], entries[order], order in evidence.orders) != (1, 1, True):
            sent = "was sent" if order in evidence.orders else "was never sent"
            yield f"{order} {sent}, has {runs[order]} runs and {entries[order]} entries in the ledger"


def different_endings(evidence: Evidence) -> Iterator[str]:
    entries = {entry.run: entry for entry in evidence.entries}
    for run in evidence.runs:
        entry = entries.get(run.id)
        if run.status != "completed" or entry is None or entry.ending != run.result:
            said = "has no entry in the ledger" if entry is None else f"is {entry.ending} in the ledger"
            yield f"{run.order_id} {said}, and its run {run.id} is {run.status} with {run.result!r}"


def double_charges(evidence: Evidence) -> Iterator[str]:
    charges = defaultdict(list)
    for payment in evidence.payments:
        if payment.amount > 0:
            charges[payment.order_id].append(payment)
    for order, payments in charges.items():
        if len(payments) > 1:
            yield f"{order} was charged {len(payments)} times, by requests {[p.request for p in payments]}"


def wrong_balances(evidence: Evidence) -> Iterator[str]:
    balances: defaultdict[str, Decimal] = defaultdict(Decimal)
    for payment in evidence.payments:
        balances[payment.order_id] += payment.amount
    paid = {entry.order_id: entry.paid for entry in evidence.entries}
    for order in sorted(balances.keys() | paid.keys()):
        if balances[order] != paid.get(order, Decimal(0)):
            yield f"{order}: the gateway has {balances[order]} EUR, the ledger {paid.get(order, 'nothing')}"


def late_requests(evidence: Evidence) -> Iterator[str]:
    requests = defaultdict(list)
    for request in evidence.requests:
        requests[request.key].append(request.number)
    for run in evidence.runs:
        for record in run.records:
            if isinstance(record, StepSucceeded | StepFailed) and (numbers := requests.get(f"{run.id}/{record.step}")):
                outcome = request_of(record)
                if outcome is None or max(numbers) > outcome:
                    yield f"{run.order_id}: {record.step!r} is recorded with request {outcome}, but made {numbers}"


def unexplained_requests(evidence: Evidence) -> Iterator[str]:
    for request in evidence.cut_off():
        if request.process not in evidence.killed:
            yield f"{request.order_id}: request {request.number} is not recorded, and its engine was not killed"


def wrong_stock(evidence: Evidence) -> Iterator[str]:
    shipped = {entry.order_id for entry in evidence.entries if entry.ending == "shipped"}
    for order in sorted(shipped ^ evidence.reserved.keys()):
        yield f"{order}: {'nothing is reserved' if order in shipped else 'it keeps stock that it does not ship'}"
    taken: Counter[str] = Counter()
    for sku, quantity in evidence.reserved.values():
        taken[sku] += quantity
    for sku, quantity in taken.items():
        if quantity > CATALOGUE[sku].stock:
            yield f"{quantity} × {sku} are reserved, there were {CATALOGUE[sku].stock}"


CHECKS: dict[str, Callable[[Evidence], Iterator[str]]] = {
    "no order is lost, and none is carried out twice": lost_orders,
    "each run ended as the ledger says": different_endings,
    "nobody was charged twice": double_charges,
    "the gateway holds what the ledger says was paid": wrong_balances,
    "the warehouse keeps what is shipped, and sold no more than it had": wrong_stock,
    "no request came after its step's outcome was recorded": late_requests,
    "each request that nobody recorded was cut off by a kill": unexplained_requests,
}
