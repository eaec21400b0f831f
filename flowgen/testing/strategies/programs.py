"""Random workflows: programs as data, the generator that runs one, and strategies that make them.

A program is a *block*, a list of *nodes*; it is plain JSON, so that another process can play it too.

=====================================  ==============================================================
`["step", kind, name]`                 a leaf command, see `LEAVES`
`["all", options, branches]`           `All`; options: `limit`, `collect`, `named`
`["race", branches]`                   `Race`
`["sub", block]`                       `yield from` a part
`["try", block, handler]`              `except StepError`
`["guard", block, cleanup]`            `except RunCancelled`, clean up, raise it again
`["swallow", block, rest]`             `except RunCancelled`, and on as if nothing had been
`["finally", block, cleanup]`          `finally`
`["fail", text]`                       raise `ValueError`
`["draw"]`                             a random number and a uuid
`["bad"]`                              a step with an argument that cannot be encoded
=====================================  ==============================================================

A branch is `["command", node]` (a leaf or a group) or `["generator", block]`.

Each body writes down all that it sees into a journal, and returns it: so a difference anywhere is one in its
result. Programs end: each wait has a timeout, and there are no loops.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import strategies as st

from ...app import App
from ...commands import (
    All,
    Command,
    Invoke,
    Race,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    Steps,
    WaitFor,
    WaitForSignal,
    Winner,
)
from ...context import Context
from ...errors import FlowgenError, RunCancelled, StepError
from ...events import Event
from ...outcome import Failed, Succeeded
from ...triggers import OnEvent
from ...workflow import Workflow

Block = list[Any]
Note = Callable[[Context[Any], str], None]
Leaf = Callable[[str], Command[Any]]
Words = Mapping[str, Mapping[str, Leaf]]

NAMES = ("a", "b", "c")
PROGRAM, CHILD = "program", "child"
TRIGGER = "program/started"


def act(*args: Any) -> Any:
    """The function of the steps of programs."""
    return list(args)


LEAVES: dict[str, Leaf] = {
    "run": lambda name: Run(name, act, name),
    "sleep": lambda name: Sleep(name, "1m"),
    "wait": lambda name: WaitFor(name, "order/paid", match="data.id", timeout="1h"),
    "signal": lambda name: WaitForSignal(name, f"signal {name}", timeout="1h"),
    "invoke": lambda name: Invoke(name, CHILD, {"name": name}),
    "send": lambda name: SendEvent(name, Event("order/done", {"name": name})),
    "tell": lambda name: SendSignal(name, f"signal {name}"),
}
WORDS: Words = {"step": LEAVES}
"""The words of nodes that are leaf commands, and what they mean."""


# -- as workflows ----------------------------------------------------------------------------------


def workflows(depth: int = 2) -> st.SearchStrategy[Workflow[Any, Any]]:
    """Random workflows, `depth` deep at most; they use every command, branches, clean-ups and chance.

    Each belongs to an app of its own, with the child that it may invoke, and starts on `program/started`; it may
    wait for `order/paid` (`data.id`) and for the signals `signal a`, `signal b`, `signal c`. It returns what it saw.

    >>> workflows(depth=1).validate()
    """
    return blocks(depth).map(workflow_of)


def workflow_of(block: Block) -> Workflow[Any, Any]:
    """The program as a workflow of an app of its own."""
    app = App("generated")

    @app.workflow(id=CHILD)
    def child(ctx: Context) -> Steps[Any]:
        return (yield Run("act", act, ctx.event.data["name"]))

    def program(ctx: Context[Any]) -> Steps[list[str]]:
        seen: list[str] = []
        yield from body_of(block, lambda _, line: seen.append(line))(ctx)
        return seen

    program.__doc__ = f"{app.name}: {block}"
    return app.workflow(on=OnEvent(TRIGGER), id=PROGRAM, retries=1)(program)


def body_of(block: Block, note: Note, words: Words = WORDS) -> Callable[[Context[Any]], Steps[None]]:
    """The program as a body; `note` is told all that it sees. `words` may have other leaves beside these."""

    def program(ctx: Context[Any]) -> Steps[None]:
        yield from _Program(ctx, note, words).block(block)

    return program


class _Program:
    """One execution of a program."""

    def __init__(self, ctx: Context[Any], note: Note, words: Words) -> None:
        self._ctx = ctx
        self._write = note
        self._words = words

    def _note(self, what: str, value: object = "") -> None:
        self._write(self._ctx, f"{self._ctx._scope!r} {what} {value}".strip())

    def block(self, block: Block) -> Steps[None]:
        for node in block:
            yield from self._node(node)

    def _node(self, node: Any) -> Steps[None]:
        match node:
            case ["sub", block]:
                yield from self.block(block)
            case ["try", block, handler]:
                try:
                    yield from self.block(block)
                except (StepError, ValueError) as error:
                    self._note("caught", f"{type(error).__name__}: {error}")
                    yield from self.block(handler)
            case ["guard", block, cleanup]:
                try:
                    yield from self.block(block)
                except RunCancelled as cancelled:
                    self._note("cancelled", cancelled.reason)
                    yield from self.block(cleanup)
                    raise
            case ["swallow", block, rest]:
                try:
                    yield from self.block(block)
                except RunCancelled as cancelled:
                    self._note("swallowed", cancelled.reason)
                yield from self.block(rest)
            case ["finally", block, cleanup]:
                try:
                    yield from self.block(block)
                finally:
                    yield from self.block(cleanup)
            case ["fail", text]:
                raise ValueError(text)
            case ["draw"]:
                self._note("drew", f"{self._ctx.random.random()} {self._ctx.uuid()}")
            case ["bad"]:
                try:
                    yield Run("bad", act, object())
                except FlowgenError as error:
                    self._note("refused", type(error).__name__)
            case _:
                self._note("got", _shown((yield self._command(node))))

    def _command(self, node: Any) -> Command[Any]:
        match node:
            case [word, kind, name] if word in self._words:
                return self._words[word][kind](name)
            case ["race", branches]:
                return Race(**{f"k{n}": self._branch(branch) for n, branch in enumerate(branches)})
            case ["all", options, branches]:
                made = [self._branch(branch) for branch in branches]
                on_error: Any = "collect" if options["collect"] else "fail"
                if options["named"]:
                    return All({f"k{n}": b for n, b in enumerate(made)}, limit=options["limit"], on_error=on_error)
                return All(*made, limit=options["limit"], on_error=on_error)
        raise AssertionError(node)

    def _branch(self, branch: Any) -> Any:
        what, inner = branch
        return self._command(inner) if what == "command" else self._returning(inner)

    def _returning(self, block: Block) -> Steps[int]:
        self._note("begin")
        yield from self.block(block)
        return len(block)


def _shown(value: Any) -> str:
    match value:
        case Event():
            return f"event {value.data}"
        case Winner(name, inner):
            return f"{name} won with {_shown(inner)}"
        case Succeeded(inner):
            return f"succeeded {_shown(inner)}"
        case Failed(failure):
            return f"failed {failure}"
        case tuple():
            return f"({', '.join(map(_shown, value))})"
        case dict():
            return f"{{{', '.join(f'{k}: {_shown(v)}' for k, v in value.items())}}}"
        case _:
            return str(value)


# -- making one ------------------------------------------------------------------------------------


def blocks(depth: int = 3) -> st.SearchStrategy[Block]:
    """Programs as data, `depth` deep at most."""
    simple = st.one_of(
        leaves(),
        leaves(("run", "sleep")),
        st.just(["draw"]),
        st.just(["bad"]),
        st.sampled_from(NAMES).map(lambda text: ["fail", text]),
    )
    if depth == 0:
        return st.lists(simple, max_size=3)
    inner = st.deferred(lambda: blocks(depth - 1))
    both = [st.tuples(st.just(word), inner, inner).map(list) for word in ("try", "guard", "swallow", "finally")]
    compound = st.one_of(_groups(inner, 1), _groups(inner, 1), st.tuples(st.just("sub"), inner).map(list), *both)
    return st.lists(st.one_of(simple, compound, compound), max_size=4)


def leaves(kinds: tuple[str, ...] = tuple(LEAVES)) -> st.SearchStrategy[Any]:
    """Single steps, of these kinds."""
    return st.tuples(st.just("step"), st.sampled_from(kinds), st.sampled_from(NAMES)).map(list)


def _groups(inner: st.SearchStrategy[Block], depth: int) -> st.SearchStrategy[Any]:
    below = leaves() if depth == 0 else st.deferred(lambda: _groups(inner, depth - 1))
    options = st.fixed_dictionaries(
        {"limit": st.none() | st.integers(1, 3), "collect": st.booleans(), "named": st.booleans()}
    )
    return st.one_of(
        st.tuples(st.just("all"), options, _branches(inner, below, 0)).map(list),
        st.tuples(st.just("race"), _branches(inner, below, 1)).map(list),
    )


def _branches(inner: st.SearchStrategy[Block], groups: st.SearchStrategy[Any], least: int) -> st.SearchStrategy[Any]:
    command = st.tuples(st.just("command"), st.one_of(leaves(), groups)).map(list)
    generator = st.tuples(st.just("generator"), inner).map(list)
    return st.lists(st.one_of(command, generator), min_size=least, max_size=4)
