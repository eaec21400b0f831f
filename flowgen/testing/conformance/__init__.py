"""The conformance kit: what every store does, as named cases, a model, and races.

>>> from flowgen.runtime.stores import MemoryStore
>>> check_store(lambda clock: MemoryStore(clock)).skipped[0].name
'queues outlive the process'

Prove your store with one test::

    def test_my_store():
        check_store(lambda clock: MyStore(clock=clock), reopen=lambda store, clock: MyStore(store.url, clock=clock))

or with a test for each case::

    @pytest.mark.parametrize("case", store_cases(), ids=lambda case: case.name)
    def test_my_store(case):
        case.check(make_store)

`factory` makes a fresh, empty store for each case. If it takes `clock` it is given a function that returns
microseconds since the epoch, which the kit moves; without it, cases in which time passes are skipped.
`reopen` gets a store and returns another one on the same data; without it, cases about what outlives a
process are skipped. A failure is an `AssertionError` that tells the scenario: what was asked and answered
so far, what was expected, what came instead.

A backend that brings only a shelf for `DocumentStore` has that checked first, by `check_shelf`: it is asked what no
case of a store can see, such as that of two writers the slower is refused.

The contract itself is `flowgen.runtime.store.Store`; the cases are one file for each of its nouns.
"""

from __future__ import annotations

from . import (
    beginning_cases,
    claim_cases,
    collecting_cases,
    commit_cases,
    concurrency_cases,
    event_cases,
    fence_cases,
    key_cases,
    mail_cases,
    model_cases,
    query_cases,
    ready_cases,
    registration_cases,
    restart_cases,
    shelves,
    slot_cases,
    slotless_cases,
    strike_cases,
    together_cases,
    wait_cases,
)
from .case import Case, Factory, Reopen
from .model_cases import check_against_model
from .report import Report, examine
from .shelves import MakeShelf, ReopenShelf

__all__ = ["Case", "Report", "check_against_model", "check_shelf", "check_store", "shelf_cases", "store_cases"]


def store_cases() -> list[Case]:
    """All cases, in the order in which they are best read."""
    modules = (
        commit_cases,
        fence_cases,
        mail_cases,
        claim_cases,
        ready_cases,
        slot_cases,
        slotless_cases,
        collecting_cases,
        strike_cases,
        wait_cases,
        event_cases,
        key_cases,
        registration_cases,
        query_cases,
        together_cases,
        beginning_cases,
        restart_cases,
        concurrency_cases,
        model_cases,
    )
    return [case for module in modules for case in module.case.cases]


def check_store(factory: Factory, *, reopen: Reopen | None = None) -> Report:
    """Check that a store keeps the contract; raises `AssertionError` with the scenarios that fail, ten of many."""
    return examine(store_cases(), factory, reopen)


def shelf_cases() -> list[Case]:
    """All cases of shelves, in the order in which they are best read."""
    return list(shelves.case.cases)


def check_shelf(factory: MakeShelf, *, reopen: ReopenShelf | None = None) -> Report:
    """Check that a shelf of a `DocumentStore` keeps its promises; raises `AssertionError` with the scenarios that fail.

    `factory` makes a fresh, empty shelf. `reopen` gets a shelf and makes another one on the same documents; without
    it, cases about other processes are skipped.
    """
    return examine(shelf_cases(), factory, reopen)
