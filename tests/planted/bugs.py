"""Bugs that somebody could write, and the tests that must catch them.

Each is an edit of one file: `find` occurs there exactly once and becomes `replace`. `tests` are the
arguments of pytest that select what has to fail. Add one for each guarantee: a test that nobody has
seen fail proves little.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Bug:
    """One edit that breaks one promise."""

    name: str
    promise: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]


BUGS = (
    Bug(
        name="shared-dice",
        promise="the n-th draw in a scope is the same whatever other branches draw",
        file="flowgen/context.py",
        find="generator = self._randoms.get(self._scope)",
        replace='generator = self._randoms.get("")',
        tests=("tests/test_context.py",),
    ),
    Bug(
        name="uuid-from-dice",
        promise="drawing random numbers moves no uuid",
        file="flowgen/context.py",
        find='return UUID(int=self._digest("uuid", count), version=4)',
        replace="return UUID(int=self.random.getrandbits(128), version=4)",
        tests=("tests/test_context.py",),
    ),
    Bug(
        name="loud-replay",
        promise="the logger is silent while a history is replayed",
        file="flowgen/context.py",
        find="        if self._context._replaying:\n            return\n        fields",
        replace="        fields",
        tests=("tests/test_context.py",),
    ),
    Bug(
        name="undo-in-order",
        promise="a saga compensates in reverse",
        file="flowgen/saga.py",
        find="self._undos.pop()",
        replace="self._undos.pop(0)",
        tests=("tests/test_saga.py",),
    ),
    Bug(
        name="undo-what-failed",
        promise="a saga undoes only what succeeded",
        file="flowgen/saga.py",
        find="        result = yield from command\n        self._undos.append(_made(undo, result))\n",
        replace="        self._undos.append(_made(undo, None))\n        result = yield from command\n",
        tests=("tests/test_saga.py",),
    ),
    Bug(
        name="timeout-in-fingerprint",
        promise="timeouts may be tuned while runs are open",
        file="flowgen/commands/waits.py",
        find='asked = {"event": self.event,',
        replace='asked = {"timeout": self.timeout, "event": self.event,',
        tests=("tests/test_commands.py",),
    ),
    Bug(
        name="numbered-names",
        promise="a name cannot look like the second occurrence of another",
        file="flowgen/commands/base.py",
        find="if _OCCURRENCE.search(name):",
        replace="if False:",
        tests=("tests/test_commands.py",),
    ),
    Bug(
        name="one-generator-twice",
        promise="a generator is a branch once",
        file="flowgen/commands/branches.py",
        find="if (first := generators.setdefault(id(branch), key)) != key:",
        replace="if (first := generators.setdefault(id(branch), key)) is None:",
        tests=("tests/test_commands.py",),
    ),
    Bug(
        name="accepted-and-ignored",
        promise="options of later versions are refused by name",
        file="flowgen/app.py",
        find="            refuse_options(unknown,",
        replace="            refuse_options((),",
        tests=("tests/test_workflow.py",),
    ),
    Bug(
        name="clock-in-the-core",
        promise="the core has no clock",
        file="pyproject.toml",
        find='"time".msg = "The core has no clock: take the time as an argument (`Environment` gives it)."\n',
        replace="",
        tests=("tests/test_layers.py",),
    ),
    Bug(
        name="upward-import",
        promise="the core imports nothing from the runtime",
        file="flowgen/ids.py",
        find="from hashlib import blake2b\n",
        replace="from hashlib import blake2b\n\nfrom . import runtime\n",
        tests=("tests/test_layers.py",),
    ),
    # -- the interpreter and its decisions --------------------------------------------------------
    Bug(
        name="fingerprint-unread",
        promise="a strict run whose code asks for something else is parked",
        file="flowgen/interpreter.py",
        find="(self._strict and record.digest and record.digest != step.digest)",
        replace="False",
        tests=("tests/test_divergence.py",),
    ),
    Bug(
        name="no-occurrence",
        promise="the same id again is another step",
        file="flowgen/fibers.py",
        find="counts[base] = occurrence + 1",
        replace="counts[base] = occurrence",
        tests=("tests/test_interpreter.py",),
    ),
    Bug(
        name="forgotten-retry",
        promise="what a retry takes back is not folded again",
        file="flowgen/history.py",
        find="if p <= entry.upto and",
        replace="if",
        tests=("tests/test_history.py", "tests/test_interpreter.py"),
    ),
    Bug(
        name="eternal-attempts",
        promise="a step is tried at most retries + 1 times",
        file="flowgen/draft.py",
        find="attempt > retries",
        replace="attempt > retries + 1",
        tests=("tests/test_draft.py",),
    ),
    Bug(
        name="payload-ignored",
        promise="an event id with another payload is a conflict",
        file="flowgen/acceptance.py",
        find="if held.detail != event.digest:",
        replace="if False:",
        tests=("tests/test_acceptance.py",),
    ),
    Bug(
        name="dedupe-by-the-clock",
        promise="an event id is remembered for as long as a run that it started is open",
        file="flowgen/acceptance.py",
        find="and not facts.started.get(held.holder, False)",
        replace="",
        tests=("tests/test_acceptance.py",),
    ),
    Bug(
        name="retry-after-undo",
        promise="a run whose compensations ran is not retried",
        file="flowgen/decisions.py",
        find="        if after:\n",
        replace="        if False:\n",
        tests=("tests/test_decisions.py",),
    ),
    # -- the stores --------------------------------------------------------------------------------
    Bug(
        name="no-fence-memory",
        promise="a write under an old fence changes nothing (memory)",
        file="flowgen/runtime/stores/memory/commits.py",
        find="if row.fence != progress.fence or (row.owner is None) != progress.reopen:",
        replace="if False:",
        tests=("tests/conformance/test_stores.py",),
    ),
    Bug(
        name="no-fence-sqlite",
        promise="a process stopped past its lease changes nothing when it goes on (SQLite)",
        file="flowgen/runtime/stores/sqlite/commit.py",
        find="if row.fence != progress.fence or (row.owner is None) != progress.reopen:",
        replace="if False:",
        tests=("tests/runtime/test_sqlite_conformance.py", "tests/crash/test_processes.py"),
    ),
    Bug(
        name="cancel-overlooked",
        promise="a run does not end while a cancel is unread",
        file="flowgen/runtime/stores/sqlite/commit.py",
        find="if progress.stored in TERMINAL and row.cancel > max(row.drained, progress.drained):",
        replace="if False:",
        tests=("tests/runtime/test_sqlite_conformance.py",),
    ),
    Bug(
        name="lost-wake-up",
        promise="a release with unread mail makes the run due at once",
        file="flowgen/runtime/stores/memory/commits.py",
        find='at_once = progress.stored == "parked" or row.mail > row.drained',
        replace='at_once = progress.stored == "parked"',
        tests=("tests/conformance/test_stores.py",),
    ),
    Bug(
        name="not-synced",
        promise="accepted means durable: SQLite syncs each commit",
        file="flowgen/runtime/stores/sqlite/connection.py",
        find='_setting(connection, path, "synchronous", "full", 2)',
        replace='_setting(connection, path, "synchronous", "normal", 1)',
        tests=(
            "tests/runtime/test_sqlite_files.py",
            "tests/runtime/test_sqlite_writer.py",
            "tests/crash/test_kill9.py",
        ),
    ),
    Bug(
        name="seal-unread",
        promise="a flipped bit in a stored record is refused, never replayed",
        file="flowgen/codec.py",
        find='if crc32(body, crc32(b"%d " % position, begun)) != seal:',
        replace="if False:",
        tests=("tests/runtime/test_sqlite_files.py", "tests/runtime/test_sqlite_recovery.py"),
    ),
    # -- the engine --------------------------------------------------------------------------------
    Bug(
        name="no-look-back",
        promise="a wait sees what was sent between the trigger and its registration",
        file="flowgen/runtime/drive.py",
        find="            event = await self._first_match(step, until=None)\n",
        replace="            event = None\n",
        tests=("tests/runtime/test_engine.py",),
    ),
    Bug(
        name="outcome-dropped",
        promise="a body that ended is not started again because a commit was refused",
        file="flowgen/runtime/drive.py",
        find="inputs = [*outcomes, *await self._rebuild()]",
        replace="inputs = await self._rebuild()",
        tests=("tests/properties/test_found.py", "tests/properties/test_simulations.py"),
    ),
    Bug(
        name="strikes-ignored",
        promise="a run that kills its workers is given up",
        file="flowgen/runtime/worker.py",
        find="        if row.strikes >= MAX_STRIKES:\n",
        replace="        if False:\n",
        tests=("tests/crash/test_poison.py",),
    ),
    Bug(
        name="heartless",
        promise="a blocked loop expires no other lease",
        file="flowgen/runtime/heartbeat.py",
        find="leases = [lease for key, lease in tuple(self._worker.leases.items()) if key != culprit]",
        replace="leases: list[Lease] = []",
        tests=("tests/runtime/test_heartbeat.py",),
    ),
    Bug(
        name="routed-before-delivered",
        promise="an event stays unrouted until it was delivered to the waits that it matches",
        file="flowgen/decisions.py",
        find="    messages = tuple(\n        Message(derived_id(event.id, wait.id)",
        replace="    messages = () and tuple(\n        Message(derived_id(event.id, wait.id)",
        tests=("tests/test_decisions.py", "tests/runtime/test_engine.py"),
    ),
    Bug(
        name="child-left-behind",
        promise="a cancelled run cancels the runs that it invoked",
        file="flowgen/pen.py",
        find='        if terms.on_cancel != "cancel":\n            return\n',
        replace="        return\n",
        tests=("tests/test_draft.py", "tests/runtime/test_engine.py"),
    ),
    Bug(
        name="outcome-overlooked",
        promise="a run is not released over the outcome of a body that has just ended",
        file="flowgen/runtime/drive.py",
        find="        if scope.cancelled_caught and self._bodies.get(step.id) is scope:\n",
        replace="        if self._bodies.get(step.id) is scope:\n",
        tests=("tests/properties/test_found.py",),
    ),
    Bug(
        name="own-run-twice",
        promise="a worker that gets its own run again stops what it did for it",
        file="flowgen/runtime/worker.py",
        find="            drive.stop()\n            await drive.over.wait()\n",
        replace="            pass\n",
        tests=("tests/properties/test_found.py",),
    ),
    Bug(
        name="attempt-without-a-lease",
        promise="no body begins after its outcome was recorded, on whatever worker",
        file="flowgen/runtime/drive.py",
        find="if decision.execute and decision.transition is None:",
        replace="if False:",
        tests=("tests/properties/test_found.py",),
    ),
    Bug(
        name="impatient-reads",
        promise="what a run has in hand survives a store that fails",
        file="flowgen/runtime/worker.py",
        find="            except (Refused, DamagedRun, StoreUnusable):\n",
        replace="            except StoreError:\n",
        tests=("tests/properties/test_found.py",),
    ),
    Bug(
        name="events-out-of-order",
        promise="a wait takes the earliest event that matches, in whatever order messages come",
        file="flowgen/runtime/drive.py",
        find="return await self._first_match(step, until=event.position) or event",
        replace="return event",
        tests=("tests/properties/test_simulations.py",),
    ),
    Bug(
        name="unseeded-schedule",
        promise="an equal seed gives an equal timeline, in any process",
        file="flowgen/testing/scheduling.py",
        find="    dice.seed(seed)\n",
        replace="    dice.seed()\n",
        tests=("tests/testing/test_simulator.py",),
    ),
    Bug(
        name="dead-engines-write",
        promise="nothing that a dead engine does reaches the store",
        file="flowgen/testing/connection.py",
        find="        self.dead = True\n",
        replace="        self.dead = False\n",
        tests=("tests/testing/test_connection.py",),
    ),
    Bug(
        name="one-pass-of-a-repeated-hour",
        promise="a schedule that runs along ticks in both passes of a repeated hour",
        file="flowgen/cron/ticks.py",
        find="if self._offset(soon) < self._offset(after):",
        replace="if False:",
        tests=("tests/properties/test_cron.py",),
    ),
    Bug(
        name="late-after-the-gap",
        promise="a fixed time that is skipped ticks right after the gap",
        file="flowgen/cron/ticks.py",
        find="return self._change(wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC), at)",
        replace="return at",
        tests=("tests/properties/test_cron.py",),
    ),
    Bug(
        name="repeated-at-the-second-pass",
        promise="a fixed time that is repeated ticks the first time",
        file="flowgen/cron/ticks.py",
        find="at = wall.replace(tzinfo=self.zone).astimezone(UTC)",
        replace="at = wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC)",
        tests=("tests/test_cron.py",),
    ),
)
