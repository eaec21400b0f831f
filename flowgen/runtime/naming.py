"""Which app, workflow or run is meant by what a caller wrote.

A workflow is given as itself, by its id, or as `app/id`; a run by its id, or as `app/id`. A bare id is enough
where only one app can be meant. An engine with apps means its own, one without any those of its store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..app import App
from ..errors import InvalidInput, NotFound
from ..workflow import Workflow
from .store import TAIL, Loaded, Store

_SHOWN = 20

Target = Workflow[Any, Any] | str


class Names:
    """Finds what is meant, in the name of an engine with these apps."""

    def __init__(self, apps: Mapping[str, App], store: Store) -> None:
        self._apps = apps
        self._store = store

    async def workflow(self, workflow: Target) -> tuple[str, str]:
        """The app and id of a workflow. Raises `NotFound` if no app, or more than one, can be meant."""
        if isinstance(workflow, Workflow):
            return workflow.app, workflow.id
        if not isinstance(workflow, str):
            raise InvalidInput(f"{workflow!r} is neither a workflow nor the id of one")
        app, _, name = workflow.rpartition("/")
        return app or await self.only_app(f"workflow {workflow!r}", name), name

    async def run(self, run: str, start: int = TAIL) -> Loaded:
        """A run with its records from `start`. Raises `NotFound`."""
        app, _, run_id = run.rpartition("/")
        for name in [app] if app else await self._workflows():
            loaded = await self._store.load(name, run_id, start)
            if loaded is not None:
                return loaded
        raise NotFound(f"there is no run {run!r} in this store")

    async def only_app(self, what: str, workflow: str | None = None) -> str:
        """The one app that has the workflow, or the one app that there is."""
        known = await self._workflows()
        names = [app for app, workflows in known.items() if workflow is None or workflow in workflows]
        if len(names) == 1:
            return names[0]
        if workflow is not None and not names:
            raise NotFound(f"{what}: no app here has it; the workflows are: {_listed(known)}")
        raise NotFound(f"{what}: say which app it is of, as app/id; the apps here are: {', '.join(known) or 'none'}")

    async def _workflows(self) -> dict[str, set[str]]:
        """The workflows of each app: of the engine's or, if it has none, of those registered in the store."""
        if self._apps:
            return {name: set(app.workflows) for name, app in self._apps.items()}
        known: dict[str, set[str]] = {}
        for item in (await self._store.registrations()).items:
            known.setdefault(item.app, set()).add(item.workflow)
        return known


def workflow_id(workflow: Target) -> str:
    """The id in what names a workflow."""
    return workflow.id if isinstance(workflow, Workflow) else workflow.rpartition("/")[2]


def _listed(workflows: dict[str, set[str]]) -> str:
    names = sorted(f"{app}/{name}" for app, names in workflows.items() for name in names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
