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

The contract itself is `flowgen.runtime.store.Store`; the cases are one file for each of its nouns.
"""

from __future__ import annotations

import attrs

from . import (
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
    slot_cases,
    slotless_cases,
    strike_cases,
    wait_cases,
)
from .case import Case, Factory, Reopen
from .model_cases import check_against_model

__all__ = ["Case", "Report", "check_against_model", "check_store", "store_cases"]


@attrs.frozen
class Report:
    """The cases that a store passed, and those that it could not be asked."""

    passed: tuple[Case, ...]
    skipped: tuple[Case, ...]


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
        restart_cases,
        concurrency_cases,
        model_cases,
    )
    return [case for module in modules for case in module.case.cases]


def check_store(factory: Factory, *, reopen: Reopen | None = None) -> Report:
    """Check that a store keeps the contract; raises `AssertionError` with the scenarios that fail."""
    passed: list[Case] = []
    skipped: list[Case] = []
    failures: list[str] = []
    for case in store_cases():
        try:
            (passed if case.check(factory, reopen=reopen) is None else skipped).append(case)
        except AssertionError as failure:
            failures.append(str(failure))
    if failures:
        raise AssertionError(f"{len(failures)} of {len(store_cases())} cases failed\n\n" + "\n\n".join(failures))
    return Report(tuple(passed), tuple(skipped))
