"""The memory store: the contract in plain Python, and the reference for every other store.

Everything is kept in dictionaries of one object, which engines of one process may share; nothing outlives
it. Where it is, "durable" means "as long as the object".

* A verb (`store`) waits for nothing between its reads and its writes.
* A commit (`commits`) looks at everything before it changes anything, so a refusal has changed nothing.
* What is kept (`state`) is immutable, or a row that only this object holds: rows are copied on the way in
  and out.
* Store time is the highest time that the clock ever showed.

It keeps values, not bytes: what a record looks like on disk is the business of `codec` and other stores.
"""

from .store import MemoryStore

__all__ = ["MemoryStore"]
