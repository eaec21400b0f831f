"""The driving end: runs of functions that are elsewhere, called over HTTP once a step.

A run of a remote function is an ordinary run with an ordinary history. Only its body is another: where an `Interpreter`
folds records into a live generator, a `RemoteBody` folds them into what a call says, and what it asks for next is that
call. What the app answers becomes records and open steps like those of a body that is written here. So leases, fences,
retries, flow control, waits that look back, cancel, retry and rerun are the same.

============  =========================================================================
`body`        `RemoteBody`: records in, calls and open steps out (pure)
`opened`      what such a body has open: steps, and calls (pure)
`telling`     what its calls tell, as it is on the wire (pure)
`absence`     an app that is away: calls that reached nobody (pure)
`answers`     what an answer means: records, open steps, an end (pure)
`asked`       the commands for what an app asks for (pure)
`calling`     a `Calling`, the command of a call; and the request that it is (pure)
`reentry`     the request that takes a call's place where the app has endpoints (pure)
`fetching`    a `Fetching`, the command of a request that is made here for an app (pure)
`functions`   an app's functions as workflows that a worker offers (pure)
`caller`      makes calls: what a worker's executor is for bodies, for calls
`transport`   how a call travels: connections that are kept, and their rules
============  =========================================================================
"""
