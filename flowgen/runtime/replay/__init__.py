"""Recorded runs on today's code: what `flowgen check` does.

===========  ===================================================================
`sources`    where recorded runs come from: a store, or an exported file
`answers`    what one process tells another of a run
`crew`       the processes that replay, and what happens when one of them dies
`tally`      what came of all runs, counted and grouped by cause
===========  ===================================================================
"""
