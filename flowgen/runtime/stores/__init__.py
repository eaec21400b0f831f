"""The stores that come with flowgen, and how a URL becomes a store.

`memory://` and `sqlite:///path` are built in. Other schemes come from the entry point group
`flowgen.stores`: a callable that takes the URL and returns a `Store`.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING
from weakref import WeakSet

from ...errors import InvalidInput
from ..store import Store

if TYPE_CHECKING:
    from .documents import DocumentStore, Reading, Shelf
    from .memory import MemoryStore
    from .sqlite import SqliteStore

__all__ = ["DocumentStore", "MemoryStore", "Reading", "Shelf", "SqliteStore", "open_store"]


_STORES: WeakSet[type[Store]] = WeakSet()
"""Classes whose instances were found to be stores: asking a protocol of so many verbs costs as much as ten commits."""


def open_store(url: str | Store, *, read_only: bool = False) -> Store:
    """The store that `url` names; a store is given back as it is. Raises `InvalidInput`.

    With `read_only` a SQLite file is not changed in any way; a store of a plug-in is opened as usual.
    """
    if not isinstance(url, str):
        if type(url) not in _STORES:
            if not isinstance(url, Store):
                raise InvalidInput(f"store={url!r} is neither a URL nor a Store")
            _STORES.add(type(url))
        return url
    scheme, separator, rest = url.partition("://")
    if not separator:
        raise InvalidInput(f"store URL {url!r} has no scheme: say memory:// or sqlite:///file.db")
    if scheme == "memory":
        from .memory import MemoryStore

        return MemoryStore()
    if scheme == "sqlite":
        return _sqlite(url, rest, read_only)
    for entry in entry_points(group="flowgen.stores", name=scheme):
        store: Store = entry.load()(url)
        return store
    raise InvalidInput(
        f"store URL {url!r}: nothing is installed for {scheme}://; memory:// and sqlite:/// are built in, others "
        "come with a package that has an entry point in the group flowgen.stores"
    )


def _sqlite(url: str, rest: str, read_only: bool) -> Store:
    if not rest.startswith("/") or len(rest) < 2:
        raise InvalidInput(f"store URL {url!r}: say sqlite:///relative.db or sqlite:////absolute.db")
    path, query, _ = rest[1:].partition("?")
    if query:
        raise InvalidInput(
            f"store URL {url!r}: it has a query, and there are no options to set there; say sqlite:///{path} "
            "(a file with a ? in its name: SqliteStore(path))"
        )
    from .sqlite import SqliteStore

    return SqliteStore(path, read_only=read_only)


def __getattr__(name: str) -> object:
    if name == "MemoryStore":
        from .memory import MemoryStore

        return MemoryStore
    if name == "SqliteStore":
        from .sqlite import SqliteStore

        return SqliteStore
    if name in ("DocumentStore", "Reading", "Shelf"):
        from . import documents

        return getattr(documents, name)
    raise AttributeError(name)
