"""The benchmark: the workloads that flowgen promises figures for, measured beside their physical limit and its peers.

`run.py` is the command. `catalogue` says what is measured and what it must reach; each workload is a
small module that makes one *sample* in a process of its own (`child`); `report` turns samples into a
table and verdicts. `peers/` does the same workloads with other libraries, in virtualenvs of their own.
"""
