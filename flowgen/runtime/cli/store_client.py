"""Commands as clients of a store: open it, ask, close it. They drive no runs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .faults import Fault

if TYPE_CHECKING:
    from ..engine import Engine

T = TypeVar("T")


def ask(db: str, question: Callable[[Engine], Awaitable[T]], *, create: bool = False) -> T:
    """Open the store and answer the question. Only with `create` may a file come into being."""
    import trio

    from ..opening import open_engine

    _check(db, create)

    async def answered() -> T:
        async with open_engine((), db, work=False) as engine:
            return await question(engine)

    return trio.run(answered)


def without_password(db: str) -> str:
    """A store URL as it may be shown."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", db)


def _check(db: str, create: bool) -> None:
    scheme, _, rest = db.partition("://")
    if scheme == "memory":
        raise Fault(
            "store", f"--db {db}: a memory store lives inside one process, so there is nothing to see from here"
        )
    path = rest.removeprefix("/")
    if scheme == "sqlite" and not create and path not in ("", rest) and "?" not in path and not Path(path).exists():
        raise Fault("store", f"no such database: {path} (flowgen dev TARGET makes one; --db names another)")
