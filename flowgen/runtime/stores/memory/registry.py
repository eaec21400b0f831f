"""Registrations: of the digests that live workers offer, the one first seen last is in force."""

from __future__ import annotations

import attrs

from ....outcome import Json
from ...store import ALIVE, Registered, Registration, Registrations
from .state import Named, State


def register(state: State, registration: Registration) -> int:
    """Replace what a worker offers of an app, see what that changes, and answer the generation."""
    now = state.now()
    app = registration.app
    worker = registration.worker
    state.note_alive(worker, now, state.suspect_of(worker))
    state.registered.pop((app, worker), None)
    state.registered[app, worker] = registration
    for offer in registration.offers:
        state.first_seen.setdefault((app, offer.workflow, offer.digest), len(state.first_seen))
    for key in [(a, w) for a, w in state.registered if a == app and state.workers[w].seen_at + ALIVE <= now]:
        del state.registered[key]
    before = _of_app(state, app)
    after = _offered(state, app)
    if after != before:
        state.generation += 1
        state.in_force = {name: r for name, r in state.in_force.items() if r.app != app} | after
    return state.generation


def retire(state: State, worker: str) -> None:
    """Forget what a worker offers; what is in force stays so until the next registration."""
    for key in [key for key in state.registered if key[1] == worker]:
        del state.registered[key]


def registrations(state: State) -> Registrations:
    """The definitions in force, by app and workflow."""
    items = [attrs.evolve(state.in_force[name], paused=name in state.paused) for name in sorted(state.in_force)]
    return Registrations(tuple(items), state.generation)


def pause(state: State, name: Named, paused: bool) -> int:
    """Note that a workflow is paused or not, whether it is registered or not, and answer the generation."""
    if paused is not (name in state.paused):
        state.paused ^= {name}
        state.generation += 1
    return state.generation


def _of_app(state: State, app: str) -> dict[Named, Registered]:
    return {name: registered for name, registered in state.in_force.items() if registered.app == app}


def _offered(state: State, app: str) -> dict[Named, Registered]:
    """What is in force for an app: of equal digests, the definition that was registered last."""
    definitions: dict[str, dict[str, Json]] = {}
    for registration in state.registered.values():
        if registration.app == app:
            for offer in registration.offers:
                definitions.setdefault(offer.workflow, {})[offer.digest] = offer.definition
    in_force = {}
    for workflow, offered in definitions.items():
        newest = max(offered, key=lambda digest: state.first_seen[app, workflow, digest])
        in_force[app, workflow] = Registered(app, workflow, newest, offered[newest])
    return in_force
