"""The apps that are elsewhere, in the name of one engine: offered, changed, withdrawn, and heard of.

An app that is offered is registered in the store like one that is written here, with what it takes to call it. So all
that is said of workflows in force holds for its functions.

It is registered in a name of its own (`ELSEWHERE`), not in that of the engine that it was offered to: whichever engine
that is, what was said last is what holds, and it holds when that engine is gone. All engines that call apps drive its
runs. One that opens finds it in the store, and one that is open hears of it as soon as the registrations have changed.

Refuses to know how an app is called, and who may offer one.
"""

from __future__ import annotations

import logging
from typing import Final

import attrs
import trio

from ..app import App
from ..codec import encode_definition
from ..errors import InvalidInput
from .calendar import begin_schedules
from .committer import Committer
from .driving.functions import app_of, apps_of, is_remote, remote_app_of, remote_digest
from .environment import Environment
from .protocol.registration import RemoteApp
from .store import Offer, Registration, Store
from .worker import Worker

log = logging.getLogger("flowgen.apps")

ELSEWHERE: Final = "(elsewhere)"
"""The worker in whose name an app that is elsewhere is registered: none."""


MOST_ENDPOINTS: Final = 200
"""So many endpoints of an app are known by their paths."""


def registration_of(app: App, worker: Worker) -> Registration:
    """What a worker offers of an app, as the store keeps it."""
    offers = tuple(
        Offer(workflow.id, worker.offers.digests[app.name, workflow.id], encode_definition(workflow.definition()))
        for workflow in app.workflows.values()
    )
    return Registration(app.name, worker.id, offers)


class Offering:
    """Offers apps that are elsewhere. `apps` are all of the engine's, and kept up to date."""

    def __init__(
        self, apps: dict[str, App], store: Store, environment: Environment, committer: Committer, worker: Worker
    ) -> None:
        self._apps = apps
        self._store = store
        self._environment = environment
        self._committer = committer
        self._worker = worker
        self._turn = trio.Lock()
        self._places: dict[str, set[str]] = {}
        self._shared: set[str] = set()

    async def adopt(self) -> None:
        """Offer the apps that are registered in the store, and hear of all that changes there from now on."""
        self._worker.rerouted = self.hear
        self.hear()
        names = [app.name for app in self._apps.values() if is_remote(app)]
        await begin_schedules(self._store, self._environment, self._committer, self._worker.routes, names)

    def hear(self) -> None:
        """Offer what is registered by now. Apps that are written here stay as they are."""
        found = apps_of(self._worker.routes)
        here = {name: app for name, app in self._apps.items() if is_remote(app)}
        gone = here.keys() - found.keys()
        changed = [
            name
            for name, app in found.items()
            if (name in here or name not in self._apps) and not (name in here and _is_same(here[name], app))
        ]
        if not gone and not changed:
            return
        for name in gone:
            del self._apps[name]
        self._apps.update({name: found[name] for name in changed})
        self._worker.offers.renew(self._apps)
        for name in changed:
            self._worker.reregistered(name)
        self._worker.wake()

    async def offer(self, remote: RemoteApp) -> bool:
        """Offer an app, in the place of what it said of itself before. Whether that changes anything."""
        async with self._turn:
            return await self._offer(remote)

    def _has_room(self, remote: RemoteApp) -> bool:
        """Whether an app may have these endpoints: it has them already, or not too many."""
        here = self._apps.get(remote.name)
        return here is None or all(
            function.id in here.workflows or len(here.workflows) < MOST_ENDPOINTS for function in remote.functions
        )

    async def add(self, remote: RemoteApp, instead: RemoteApp) -> RemoteApp:
        """Offer endpoints of an app beside those that it has: of each one hears when it is asked something.

        If it has too many it is offered `instead`; given is which of the two it was. Nothing is written for what is
        known already. Raises `InvalidInput` if the app has functions of another kind.
        """
        async with self._turn:  # or those that come at once would all find room
            added = remote if self._has_room(remote) else instead
            await self._add(added)
        return added

    async def _add(self, remote: RemoteApp) -> None:
        here = self._apps.get(remote.name)
        if here is None or not is_remote(here):
            await self._offer(remote)
            return
        known = {function.id: function for function in remote_app_of(here).functions}
        if all(known.get(function.id) == function for function in remote.functions):
            return
        functions = (known | {function.id: function for function in remote.functions}).values()
        if not all(function.endpoint for function in functions):
            raise InvalidInput(f"an app {remote.name!r} has registered functions, so it can have no endpoints")
        await self._offer(attrs.evolve(remote, functions=tuple(functions)))

    async def _offer(self, remote: RemoteApp) -> bool:
        here = self._apps.get(remote.name)
        if here is not None and not is_remote(here):
            raise InvalidInput(f"an app {remote.name!r} is written here: an app that is elsewhere takes another name")
        app = app_of(remote)
        if here is not None and _is_same(here, app):
            return False
        if here is not None:
            self._tell_of_move(remote_app_of(here), remote)
        await self._register(Registration(app.name, ELSEWHERE, _offers(app)))
        await begin_schedules(self._store, self._environment, self._committer, self._worker.routes, [app.name])
        return True

    async def withdraw(self, name: str) -> bool:
        """Offer an app no longer: nothing starts its functions, and open runs of them wait. Whether it was offered."""
        async with self._turn:
            app = self._apps.get(name)
            if app is None or not is_remote(app):
                return False
            await self._register(Registration(name, ELSEWHERE, ()))
            return True

    def apps(self) -> tuple[RemoteApp, ...]:
        """The apps that are offered."""
        return tuple(remote_app_of(app) for app in self._apps.values() if is_remote(app))

    async def _register(self, registration: Registration) -> None:
        """What is registered then is heard at once."""
        await self._store.register(registration)
        await self._worker.fresh_routes()

    def _tell_of_move(self, before: RemoteApp, after: RemoteApp) -> None:
        """An app may move. Two that take each other's place, again and again, are told so once."""
        if before.url == after.url:
            return
        places = self._places.setdefault(after.name, {before.url})
        if after.url not in places:
            places.add(after.url)
            log.info("app %s has moved from %s to %s", after.name, before.url, after.url)
        elif after.name not in self._shared:
            self._shared.add(after.name)
            log.warning(
                "two apps are called %s, at %s and at %s: each takes the other's place; give one another id",
                *(after.name, before.url, after.url),
            )


def _is_same(one: App, other: App) -> bool:
    """Whether two apps say the same of themselves."""
    return _definitions(one) == _definitions(other)


def _offers(app: App) -> tuple[Offer, ...]:
    return tuple(
        Offer(workflow.id, remote_digest(workflow), encode_definition(workflow.definition()))
        for workflow in app.workflows.values()
    )


def _definitions(app: App) -> dict[str, bytes]:
    return {workflow.id: bytes(encode_definition(workflow.definition())) for workflow in app.workflows.values()}
