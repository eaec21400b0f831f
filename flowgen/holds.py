"""The unique keys that a run lets go of when it ends: its row names them (`RunRow.holds`).

Every road to an end leads through here: the body's, a cancel before the start, an end without code. A
singleton's key may belong to somebody else by now, who waits for this very end; and the key of a run that
collects is touched by each event that enters, which must not be lost in a run that ends. So what is written
depends on the key as it was read, and its version guards it.
"""

from __future__ import annotations

import attrs

from . import singleton
from .facts import Facts, Questions
from .runs import Message, RunRow
from .transition import DropKey, TakeKey


@attrs.define
class LetGo:
    """What the end of a run changes of the keys that it held."""

    take: list[TakeKey] = attrs.Factory(list)
    drop: list[DropKey] = attrs.Factory(list)
    messages: list[Message] = attrs.Factory(list)


def let_go(row: RunRow, facts: Facts) -> LetGo | Questions:
    """Let go of all that a run holds; or what must be known first."""
    unknown = {(row.app, name) for name in row.holds} - facts.keys.keys()
    if unknown:
        return Questions(keys=unknown)
    let = LetGo()
    for name in row.holds:
        held = facts.keys[row.app, name]
        if held is None:
            continue
        if not name.startswith(singleton.PREFIX):
            let.drop += [DropKey(row.app, name, row.id, held.version)] if held.holder == row.id else []
            continue
        change = singleton.let_go(row.app, held, row.id)
        if isinstance(change, TakeKey):
            let.take.append(change)
            freed = singleton.freed(row.app, held, change, row.id)
            let.messages += [freed] if freed is not None else []
        elif change is not None:
            let.drop.append(change)
    return let
