"""Bugs that somebody could write into a store: positions, waits, looking back and routing."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "a wait is found by events that it has seen",
        "indexes",
        "if (wait.after or 0) < event.position:",
        "if (wait.after or 0) <= event.position:",
        "a wait is for later events",
    ),
    bug(
        "waits compare texts",
        "indexes",
        "value = match_key(value_at(document, parse_path(path)))",
        "value = str(value_at(document, parse_path(path)))",
        "a wait is found by the value at its path",
    ),
    bug(
        "looking back begins too early",
        "indexes",
        "start = bisect_right(events, since, key=_position)",
        "start = bisect_left(events, since, key=_position)",
        "looking back is between positions",
    ),
    bug(
        "looking back ends too late",
        "indexes",
        "bisect_left(events, until, key=_position)",
        "bisect_right(events, until, key=_position)",
        "looking back is between positions",
    ),
    bug(
        "looking back does not learn of new events",
        "indexes",
        "                if name == event.name:\n                    values.setdefault",
        "                if False:\n                    values.setdefault",
        "looking back finds values",
    ),
    bug(
        "events from the future are there at once",
        "commits",
        "None if event.ts > event.accepted_at else state.events.last + 1",
        "state.events.last + 1",
        "an event from the future waits",
    ),
    bug(
        "positions are given again",
        "indexes",
        "        del self._by_number[number]\n",
        "        del self._by_number[number]\n"
        "        self.last = max([e.position or 0 for _, e in self._by_id.values()], default=0)\n",
        "positions are not given again",
    ),
    bug(
        "a wait that comes with its run looks at everything",
        "commits",
        "after=run.events[-1].position if run.events else 0)",
        "after=0)",
        "a wait that comes with its run looks from the runs event on",
    ),
    bug(
        "an event from the future is placed a moment too early",
        "indexes",
        "self._future[0][0] <= now:",
        "self._future[0][0] <= now + 1:",
        "an event from the future waits",
    ),
    bug(
        "events from the future are placed by their ids",
        "indexes",
        "        while self._future and self._future[0][0] <= now:\n"
        "            number, event = self._by_id[heappop(self._future)[2]]\n",
        "        due = sorted(id for at, _, id in self._future if at <= now)\n"
        "        self._future = [entry for entry in self._future if entry[0] > now]\n"
        "        for id in due:\n"
        "            number, event = self._by_id[id]\n",
        "events from the future come in order of time",
    ),
    bug(
        "what somebody waits for is routed by its acceptance",
        "commits",
        "if not event.deferred and not state.waits.awaited((event.name,)):",
        "if not event.deferred:",
        "what somebody waits for is left to the router",
        "what its own commit waits for is left to the router",
    ),
    bug(
        "an acceptance routes before its waits are open",
        "commits",
        "    for wait in transition.open_waits:\n        _open_wait(state, wait)\n"
        "    if transition.routes:\n        _route_unheard(state, transition.accept)\n",
        "    if transition.routes:\n        _route_unheard(state, transition.accept)\n"
        "    for wait in transition.open_waits:\n        _open_wait(state, wait)\n",
        "what its own commit waits for is left to the router",
    ),
    bug(
        "deferred events are routed by their acceptance",
        "commits",
        "if not event.deferred and not state.waits.awaited((event.name,)):",
        "if not state.waits.awaited((event.name,)):",
        "what starts later is left to the router",
    ),
    bug(
        "every acceptance routes",
        "commits",
        "    if transition.routes:\n        _route_unheard",
        "    if True:\n        _route_unheard",
        "an acceptance that does not route leaves all to the router",
    ),
    bug(
        "what is routed at once is forgotten",
        "commits",
        "            state.events.unrouted.pop(event.id, None)",
        "            state.events.unrouted.pop(event.id, None)\n            state.events.delete(event.id)",
        "what is routed at once can be looked back to",
    ),
    bug(
        "a name is awaited for ever",
        "indexes",
        "        if not paths:\n            del self._waits[wait.event]",
        "",
        "a name is awaited until its last wait is closed",
    ),
    bug(
        "only waits on any value are awaited",
        "indexes",
        "[name for name in names if name in self._waits]",
        "[name for name in names if None in self._waits.get(name, {})]",
        "a name is awaited while a wait is open",
    ),
)  # fmt: skip
