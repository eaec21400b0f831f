"""The embedded store: everything in one SQLite file, through apsw.

==============  ======================================================================
`store`         `SqliteStore`: the verbs of the contract
`writer`        the one writer: group commit in a thread, or inline; `batch` the changes of one commit
`transaction`   a write transaction, and store time
`commit`        applying a transition; `world` what it changes besides its own run
`row`           a run's row as writes see it, and the ready order; `slots` who holds them, who waits for them
`claims`        giving runs: `candidates` in their order, `contest` for slots; `leases` and workers
`registry`      what workers offer, and what is paused; `retention`
`reads`         the reads; `matching` how events meet waits
`schema`        tables and migrations; `rows` values as columns and back
`connection`    opening a file, settings, errors explained; `presence` whether it is still there
==============  ======================================================================
"""

from .store import SqliteStore

__all__ = ["SqliteStore"]
