"""Commands as clients of a store: open it, ask, close it. They drive no runs."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .faults import Fault

if TYPE_CHECKING:
    from ..engine import Engine
    from ..store import Store

T = TypeVar("T")


def ask_store(db: str, question: Callable[[Engine], Awaitable[T]], *, create: bool = False) -> T:
    """Open the store and answer the question. Only with `create` may a file come into being."""
    import trio

    from ..opening import open_engine

    check_store_url(db, create=create)

    async def answered() -> T:
        async with open_engine((), db, work=False) as engine:
            return await question(engine)

    return trio.run(answered)


def look(db: str, question: Callable[[Store], Awaitable[T]], option: str = "--db") -> T:
    """Open the store for reading only, and answer the question: nothing in it is changed, not even its schema."""
    import trio

    from ..stores import open_store

    check_store_url(db, option)

    async def answered() -> T:
        store = open_store(db, read_only=True)
        await store.open()
        try:
            return await question(store)
        finally:
            with trio.CancelScope(shield=True):
                await store.close()

    return trio.run(answered)


def without_password(db: str) -> str:
    """A store URL as it may be shown."""
    return re.sub(r"(?<=://)([^/@:]*):[^/@]*@", r"\1:***@", db)


def check_store_url(db: str, option: str = "--db", *, create: bool = False) -> None:
    """Raise a `Fault` for a store that cannot be, or that is not there and must not come into being."""
    scheme, _, rest = db.partition("://")
    if scheme == "memory":
        raise Fault(
            "store", f"{option} {db}: a memory store lives inside one process, so there is nothing to see from here"
        )
    path = rest.removeprefix("/")
    if scheme == "sqlite" and not create and path not in ("", rest) and "?" not in path and not Path(path).exists():
        raise Fault("store", f"no such database: {path} (flowgen dev TARGET makes one; {option} names another)")
