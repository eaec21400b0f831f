"""Begins the schedules that registrations name: one never-ending run for each workflow and cron text.

An engine that opens does so for its apps. Those that exist are left alone; two engines that open at the same
time meet at the schedule's unique key. A schedule that is not named any more ends by itself at its next tick.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..routing import RouteTable
from ..schedules import new_schedule, schedule_key
from .committer import Committer
from .environment import Environment
from .store import Duplicate, Store


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
        for name in wanted.keys() - held.keys():
            try:
                await committer.commit(new_schedule(*wanted[name], environment.new_id(), now))
            except Duplicate:
                continue
