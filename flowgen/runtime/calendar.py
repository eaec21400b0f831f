"""Begins the schedules that registrations name: one never-ending run for each workflow and cron text.

An engine that opens does so for its apps. Those that exist are left alone; two engines that open at the same
time meet at the schedule's unique key. A schedule that is not named any more ends by itself at its next tick.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from ..routing import RouteTable
from ..schedules import new_schedule, schedule_key
from ..transition import Transition
from .committer import Committer
from .environment import Environment
from .store import Duplicate, Store

AT_ONCE = 200
"""So many schedules begin in one commit."""


async def begin_schedules(
    store: Store, environment: Environment, committer: Committer, table: RouteTable, apps: Iterable[str]
) -> None:
    """Create the schedule runs that are missing."""
    for app in apps:
        wanted = {
            schedule_key(route.definition.id, schedule.text): (route, schedule)
            for route in table.of_app(app)
            for schedule in route.definition.schedules
        }
        if not wanted:
            continue
        held = await store.find_keys(app, list(wanted))
        now = await store.now()
        missing = [wanted[name] for name in wanted if name not in held]
        for start in range(0, len(missing), AT_ONCE):
            page = missing[start : start + AT_ONCE]
            await _begin(committer, [new_schedule(*each, environment.new_id(), now) for each in page])


async def _begin(committer: Committer, transitions: Sequence[Transition]) -> None:
    """Begin schedules, together if the store can do that; another engine may have been faster with any of them."""
    answers = await committer.commit_many(transitions)
    for transition, answer in zip(transitions, answers, strict=True):
        if answer is None:
            with suppress(Duplicate):
                await committer.commit(transition)
