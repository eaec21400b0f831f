"""A whole store on anything that can keep documents: `DocumentStore(shelf)`.

How the modules share the work:

`shelf`    the five methods that a backend brings: named bytes that change together
`papers`   the state of a store as documents, sealed, and back
`desk`     a state at hand, the documents that a change touches, and who was faster
`store`    the verbs of the contract, as the memory store means them

For backends where one process at a time has all open runs in memory: files, object stores, a hash in Redis. It reads
all documents when another process has changed any. A database that can look things up itself wants the verbs instead,
as the SQLite store has them.
"""

from .shelf import Reading, Shelf
from .store import DocumentStore

__all__ = ["DocumentStore", "Reading", "Shelf"]
