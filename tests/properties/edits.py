"""Edits of programs: what somebody does to a workflow between two deployments.

An edit changes one place of a program (`programs`) and leaves the rest: a step is put in or taken away, renamed, given
other arguments, another kind, or changes places with its neighbour. The program that it is made from stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from tests.properties.programs import Block

EDITS = ("insert", "remove", "rename", "reorder", "arguments", "kind")


def edited(block: Block, edit: str, place: int) -> Block:
    """The program after an edit at one of its places; unchanged if there is none for it."""
    changed = deepcopy(block)
    blocks = list(_blocks(changed))
    places = [(inner, n) for inner in blocks for n in range(len(inner) + (edit == "insert"))]
    if edit in ("rename", "arguments", "kind"):
        places = [(inner, n) for inner, n in places if inner[n][0] == "step"]
    if not places:
        return changed
    inner, n = places[place % len(places)]
    match edit:
        case "insert":
            inner.insert(n, ["step", "run", "new"])
        case "remove":
            del inner[n]
        case "rename":
            inner[n][2] = "renamed"
        case "arguments":
            inner[n] = ["changed", *inner[n][1:]]
        case "kind":
            inner[n][1] = "sleep" if inner[n][1] == "run" else "run"
        case "reorder" if n + 1 < len(inner):
            inner[n], inner[n + 1] = inner[n + 1], inner[n]
    return changed


def _blocks(block: Block) -> Iterator[Block]:
    """A program and all the blocks inside it."""
    yield block
    for node in block:
        for part in node[1:]:
            yield from _inside(part)


def _inside(part: Any) -> Iterator[Block]:
    if not isinstance(part, list):
        return
    if part and part[0] == "generator":
        yield from _blocks(part[1])
    elif part and part[0] == "command":
        yield from _inside(part[1][1:])
    elif all(isinstance(node, list) and node and isinstance(node[0], str) for node in part):
        if any(node[0] in ("command", "generator") for node in part):
            for branch in part:
                yield from _inside(branch)
        else:
            yield from _blocks(part)
