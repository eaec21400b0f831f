"""The apps that are elsewhere, in the name of one engine: offered, changed, withdrawn, and found again.

An app that is offered is registered in the store like one that is written here, with what it takes to call it. So all
that is said of workflows in force holds for its functions, and an engine that opens later goes on with its runs.

Refuses to know how an app is called, and who may offer one.
"""

from __future__ import annotations

import trio

from ..app import App
from ..codec import encode_definition
from ..errors import InvalidInput
from .calendar import begin_schedules
from .committer import Committer
from .driving.functions import app_of, apps_of, is_remote, remote_app_of
from .environment import Environment
from .protocol.registration import RemoteApp
from .store import Offer, Registration, Store
from .worker import Worker


def registration_of(app: App, worker: Worker) -> Registration:
    """What a worker offers of an app, as the store keeps it."""
    offers = tuple(
        Offer(workflow.id, worker.offers[app.name, workflow.id], encode_definition(workflow.definition()))
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

    async def adopt(self) -> None:
        """Offer the apps that others have registered in the store, and that are no apps of this engine."""
        found = apps_of(self._worker.routes)
        for app in found.values():
            if app.name not in self._apps:
                await self._put(app)

    async def offer(self, remote: RemoteApp) -> bool:
        """Offer an app, in the place of what it said of itself before. Whether that changes anything."""
        async with self._turn:
            here = self._apps.get(remote.name)
            if here is not None and not is_remote(here):
                raise InvalidInput(
                    f"an app {remote.name!r} is written here: an app that is elsewhere takes another name"
                )
            app = app_of(remote)
            if here is not None and _definitions(here) == _definitions(app):
                return False
            await self._put(app)
            return True

    async def withdraw(self, name: str) -> bool:
        """Offer an app no longer: nothing starts its functions, and open runs of them wait. Whether it was offered."""
        async with self._turn:
            app = self._apps.get(name)
            if app is None or not is_remote(app):
                return False
            del self._apps[name]
            self._worker.offer(self._apps)
            await self._store.register(Registration(name, self._worker.id, ()))
            await self._worker.fresh_routes()
            return True

    def apps(self) -> tuple[RemoteApp, ...]:
        """The apps that are offered."""
        return tuple(remote_app_of(app) for app in self._apps.values() if is_remote(app))

    async def _put(self, app: App) -> None:
        self._apps[app.name] = app
        self._worker.offer(self._apps)
        await self._store.register(registration_of(app, self._worker))
        table = await self._worker.fresh_routes()
        await begin_schedules(self._store, self._environment, self._committer, table, [app.name])
        self._worker.wake()


def _definitions(app: App) -> dict[str, bytes]:
    return {workflow.id: bytes(encode_definition(workflow.definition())) for workflow in app.workflows.values()}
