"""Steady load over the whole stack, as `up` runs it, with the curator's jobs every minute: does anything grow?

`make soak` (20 minutes). Judged at the end: the private memory of every process and the lag from emit to recallable are flat
over the last three quarters, the ledger adds up, no curator run failed, and no process is left behind.
"""
