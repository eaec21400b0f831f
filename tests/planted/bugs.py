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
        find="        if not self._context._replaying:\n",
        replace="        if True:\n",
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
)
