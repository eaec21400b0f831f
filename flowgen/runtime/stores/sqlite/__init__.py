"""The embedded store: everything in one SQLite file, through apsw.

==============  ======================================================================
`store`         `SqliteStore`: the verbs of the contract
`writer`        the one writer: group commit in a thread, or inline
`transaction`   a write transaction, and store time
`commit`        applying a transition; `world` what it changes besides its own run
`claims`        claims, leases, strikes; `registry` and `retention`
`reads`         the reads; `matching` how events meet waits
`schema`        tables and migrations; `rows` values as columns and back
`connection`    opening a file, settings, errors explained
==============  ======================================================================
"""

from .store import SqliteStore

__all__ = ["SqliteStore"]
