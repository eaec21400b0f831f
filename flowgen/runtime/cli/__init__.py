"""The command line.

==============  ======================================================================
`program`       `flowgen` and how it ends; `faults` what went wrong, and exit codes
`dev`           `dev`, `server` and `worker`; `service` an engine for a `target`, until a signal
`serve`         workflows for a server elsewhere, which drives them over HTTP
`supervisor`    keeps the engine of `dev` at work; `sources` tries code that has changed; `settings` the environment
`feed`          what the engine does, printed; `narrator` puts it into words
`sending`       `send`, `invoke`
`runs`          `runs …`, `why`; `bulk` is what `--all` does there, `export` what `runs export` does
`events`        `events …`
`check`         `check`, with processes of `check_worker`; `lint` is `lint`
`workflows`     `workflows …`; `upkeep` is `purge` and `doctor`
`place`         where those ask, a server or a store; `store_client` opens one
`options`       what is typed; `output` what is printed
==============  ======================================================================

Commands import the engine inside, so that `flowgen --help` need not wait for it.
"""

from .program import main, run

__all__ = ["main", "run"]
