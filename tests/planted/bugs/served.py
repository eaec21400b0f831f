"""Bugs in what serves functions over HTTP, and calls them."""

from __future__ import annotations

from .bug import Bug

BUGS = (
    Bug(
        name="slots-for-calls-only",
        promise="an app elsewhere that is asked what there is to clean up does none of it without a slot",
        file="flowgen/runtime/driving/opened.py",
        find="        step.command.plans = True\n",
        replace="",
        tests=("tests/flow/test_timeouts.py",),
    ),
    Bug(
        name="lost-race-takes-the-event",
        promise="an event that resolved a wait whose race was lost elsewhere is seen by the next wait",
        file="flowgen/runtime/driving/body.py",
        find="        self._before[step_id] = seen\n",
        replace="        pass\n",
        tests=("tests/runtime/driving/test_ours.py",),
    ),
    Bug(
        name="lost-race-starves-the-successor",
        promise="an event that resolved a wait whose race was lost elsewhere is seen by its successor",
        file="flowgen/runtime/driving/body.py",
        find="        self._seen = dict(seen)\n",
        replace="        pass\n",
        tests=("tests/runtime/driving/test_ours.py",),
    ),
    Bug(
        name="led-run-is-called",
        promise="a run that its app leads by itself is not called meanwhile",
        file="flowgen/runtime/driving/caller.py",
        find="        led = self._led.get(body.row.id)\n",
        replace="        led = None\n",
        tests=("tests/runtime/driving/test_leads.py",),
    ),
    Bug(
        name="end-before-commit",
        promise="what an app leaves to the server is committed before it is answered",
        file="flowgen/runtime/driving/caller.py",
        find="            self._ending[run] = call\n",
        replace="            self._ending[run] = call\n            told.settle(True)\n",
        tests=("tests/runtime/driving/test_leads.py",),
    ),
    Bug(
        name="silence-for-ever",
        promise="an app that has died while it led a run is called after its silence",
        file="flowgen/runtime/driving/caller.py",
        find="            with trio.move_on_after(call.silence):\n",
        replace="            with trio.move_on_after(math.inf):\n",
        tests=("tests/runtime/driving/test_leads.py",),
    ),
    Bug(
        name="endpoint-anywhere",
        promise="an endpoint is called at the origin of its app, whatever its event says",
        file="flowgen/runtime/driving/reentry.py",
        find="AppUrl.parse(calling.body.remote.url).origin",
        replace='data["domain"]',
        tests=("tests/runtime/driving/test_leads.py",),
    ),
    Bug(
        name="output-for-anybody",
        promise="the output of a run is for who has the token of that run",
        file="flowgen/runtime/http/sdk/arrivals.py",
        find="    if not good:\n",
        replace="    if not token:\n",
        tests=("tests/runtime/http/sdk/test_arrivals.py",),
    ),
)
