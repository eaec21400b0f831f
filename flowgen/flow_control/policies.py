"""All that one workflow says about flow control, and which options do not go together.

`check_policies` takes the options of `@app.workflow` as they were written and gives one `Policies`, or refuses with
the reason. Two options are refused together only where one of them would undo what the other is for (`CLASHES`). All
other pairs work in the order of the three moments: idempotency, rate limit, debounce or batch; singleton,
throttle, priority; concurrency. `docs/decisions/flow-control-pairs.md` has the table of all pairs, and why.

`Policies` is a value of texts and numbers: it is part of what a registration says of a workflow.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, TypeVar

import attrs

from ..errors import DefinitionError
from .checks import check_key, shown
from .options import Batch, CancelOn, Concurrency, Debounce, Priority, RateLimit, Singleton, Throttle, Timeouts

T = TypeVar("T")

MAX_CONCURRENCY = 2
MAX_CANCEL_ON = 5
"""Each is a wait that every run opens."""

EXAMPLES: dict[type, str] = {
    Concurrency: "Concurrency(10)",
    Throttle: "Throttle(3, per='1m')",
    RateLimit: "RateLimit(10, per='1h')",
    Debounce: "Debounce('5m')",
    Batch: "Batch(100, wait='5s')",
    Priority: "Priority('event.data.vip ? 120 : 0')",
    Singleton: "Singleton()",
    CancelOn: "CancelOn('order/cancelled', match='data.order_id')",
    Timeouts: "Timeouts(finish='2d')",
}


@attrs.frozen
class Policies:
    """The flow control of one workflow. `on_failure` is the name of a workflow, `app/id`."""

    concurrency: tuple[Concurrency, ...] = ()
    throttle: Throttle | None = None
    rate_limit: RateLimit | None = None
    debounce: Debounce | None = None
    batch: Batch | None = None
    priority: Priority | None = None
    singleton: Singleton | None = None
    idempotency: str | None = None
    cancel_on: tuple[CancelOn, ...] = ()
    timeouts: Timeouts | None = None
    on_failure: str | None = None


def check_policies(
    at: str,
    name: str,
    *,
    concurrency: Any = None,
    throttle: Any = None,
    rate_limit: Any = None,
    debounce: Any = None,
    batch: Any = None,
    priority: Any = None,
    singleton: Any = None,
    idempotency: Any = None,
    cancel_on: Any = None,
    timeouts: Any = None,
    on_failure: Any = None,
) -> Policies:
    """The policies of the workflow called `name` (`app/id`), from its options as they were written.

    `at` says in errors where that is. `concurrency` and `cancel_on` are one or a list; `on_failure` is a workflow,
    `"id"` or `"app/id"`.

    Raises `DefinitionError` for an option of the wrong kind, and for options that do not go together.
    """
    policies = Policies(
        concurrency=_several(concurrency, Concurrency, MAX_CONCURRENCY, f"{at}: concurrency"),
        throttle=_one(throttle, Throttle, f"{at}: throttle"),
        rate_limit=_one(rate_limit, RateLimit, f"{at}: rate_limit"),
        debounce=_one(debounce, Debounce, f"{at}: debounce"),
        batch=_one(batch, Batch, f"{at}: batch"),
        priority=_one(priority, Priority, f"{at}: priority"),
        singleton=_one(singleton, Singleton, f"{at}: singleton"),
        idempotency=check_key(idempotency, f"{at}: idempotency"),
        cancel_on=_several(cancel_on, CancelOn, MAX_CANCEL_ON, f"{at}: cancel_on"),
        timeouts=_one(timeouts, Timeouts, f"{at}: timeouts"),
        on_failure=_on_failure(on_failure, name, f"{at}: on_failure"),
    )
    _check_repeats(policies, at)
    for clash in CLASHES:
        if getattr(policies, clash.first) and getattr(policies, clash.second) and clash.holds(policies):
            raise DefinitionError(f"{at}: {clash.first} and {clash.second} do not go together: {clash.reason}")
    return policies


# -- options that do not go together ---------------------------------------------------------------


@attrs.frozen
class Clash:
    """Two options, when they clash (given that both are there), and why, with what to do instead."""

    first: str
    second: str
    holds: Callable[[Policies], bool]
    reason: str


def _always(policies: Policies) -> bool:
    return True


def _idempotent_by(option: str) -> Callable[[Policies], bool]:
    """Whether the idempotency key is the key of another option."""

    def holds(policies: Policies) -> bool:
        return bool(getattr(policies, option).key == policies.idempotency)

    return holds


def _replaced(policies: Policies) -> bool:
    """Whether idempotency keeps the run that singleton would cancel."""
    singleton = policies.singleton
    return singleton is not None and singleton.mode == "cancel" and _idempotent_by("singleton")(policies)


CLASHES = (
    Clash(
        "debounce",
        "batch",
        _always,
        "both collect the events of a key, but debounce keeps the last one and batch all of them; remove one",
    ),
    Clash(
        "singleton",
        "batch",
        _always,
        "a batch collects events so that none is lost, and singleton would skip or cancel all of them at once; "
        "to let one batch run at a time, and the next wait for it, use concurrency=Concurrency(1) instead",
    ),
    Clash(
        "idempotency",
        "debounce",
        _idempotent_by("debounce"),
        "they have the same key, so every event after the first is a duplicate, and the run would get the first "
        "event, not the last; remove idempotency, or give it a key that tells the events of a debounce apart",
    ),
    Clash(
        "idempotency",
        "batch",
        _idempotent_by("batch"),
        "they have the same key, so every event after the first is a duplicate, and no batch would have more than "
        "one; remove idempotency, or give it a key that tells the events of a batch apart",
    ),
    Clash(
        "idempotency",
        "singleton",
        _replaced,
        "they have the same key, so an event that should cancel the open run is a duplicate and never does; "
        "remove idempotency, or use mode='skip'",
    ),
)


def _check_repeats(policies: Policies, at: str) -> None:
    """Refuse two limits of one thing, and the same cancelling event twice."""
    match policies.concurrency:
        case (first, second) if (first.key, first.scope) == (second.key, second.scope):
            raise DefinitionError(
                f"{at}: concurrency: {first} and {second} limit the same thing, so only the smaller would count; "
                "remove one, or give one of them another key or scope"
            )
    for one, other in combinations(policies.cancel_on, 2):
        if (one.event, one.match, one.where) == (other.event, other.match, other.where):
            raise DefinitionError(f"{at}: cancel_on: {one} and {other} cancel on the same events; remove one")


# -- each option by itself -------------------------------------------------------------------------


def _one(value: Any, kind: type[T], what: str) -> T | None:
    """`value` if it is an option of that kind, or None."""
    if value is None or isinstance(value, kind):
        return value
    raise DefinitionError(f"{what}: {_name(value)} is not a {kind.__name__}; write {EXAMPLES[kind]}")


def _several(value: Any, kind: type[T], most: int, what: str) -> tuple[T, ...]:
    """The options in `value`: one, or a list of at most so many."""
    if value is None:
        return ()
    given = tuple(value) if isinstance(value, list | tuple) else (value,)
    if len(given) > most:
        raise DefinitionError(f"{what}: {len(given)} are given; at most {most} are accepted")
    options = [_one(item, kind, what) for item in given]
    if None in options:
        raise DefinitionError(f"{what}: None is not a {kind.__name__}; write {EXAMPLES[kind]}")
    return tuple(option for option in options if option is not None)


def _on_failure(value: Any, name: str, what: str) -> str | None:
    """The full name of the workflow that handles failures."""
    if value is None:
        return None
    app, _, _ = name.partition("/")
    target = value if isinstance(value, str) else _workflow_name(value, what)
    parts = target.split("/") if "/" in target else [app, target]
    if len(parts) != 2 or not all(parts) or not target.isprintable():
        raise DefinitionError(f"{what}: {shown(value)} is not the id of a workflow; write it 'id' or 'app/id'")
    if parts == name.split("/"):
        raise DefinitionError(f"{what}: a workflow that handles its own failures would never end; name another one")
    return "/".join(parts)


def _workflow_name(value: Any, what: str) -> str:
    if not hasattr(value, "__flowgen_workflow__"):
        raise DefinitionError(
            f"{what}: {_name(value)} is neither a workflow nor the id of one; "
            "decorate the function with @app.workflow, or write its id"
        )
    return f"{value.app}/{value.id}"


def _name(value: object) -> str:
    """What a value is called where it is written."""
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else shown(value)
