"""Bugs that somebody could write into a store: what engines offer, withdraw and pause."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "a worker that retires goes on counting",
        "registry",
        "if key[1] == worker]",
        "if key[1] == worker and not worker]",
        "what the retired offered counts no more",
    ),
    bug(
        "a worker that retires takes its workflows away",
        "registry",
        "        del state.registered[key]\n\n\ndef registrations",
        "        del state.registered[key]\n"
        "        state.in_force = {n: r for n, r in state.in_force.items() if n[0] != key[0]}\n\n\ndef registrations",
        "who retires withdraws nothing",
    ),
    bug(
        "new code is not paused",
        "registry",
        "paused=name in state.paused)",
        "paused=state.in_force[name].paused)",
        "a paused workflow is listed as such",
        "new code is paused like the old",
    ),
    bug(
        "a pause is nothing new",
        "registry",
        "        state.paused ^= {name}\n        state.generation += 1",
        "        state.paused ^= {name}",
        "the generation grows when a workflow is paused",
    ),
    bug(
        "the code that was registered last is in force",
        "registry",
        "definitions.setdefault(offer.workflow, {})[offer.digest] = offer.definition",
        "definitions[offer.workflow] = {offer.digest: offer.definition}",
        "the digest first seen last is in force",
    ),
    bug(
        "workers live for ever",
        "registry",
        "state.workers[w].seen_at + ALIVE <= now",
        "False",
        "dead code is not in force",
        "a workflow is withdrawn when nobody offers it",
    ),
    bug(
        "an app withdraws the workflows of others",
        "registry",
        "{name: r for name, r in state.in_force.items() if r.app != app} | after",
        "after",
        "an app touches only itself",
        "what is registered is in force",
    ),
)  # fmt: skip
