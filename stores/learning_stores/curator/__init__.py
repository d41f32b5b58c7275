"""The curator: scheduled upkeep that keeps memory small, true and affordable.

Invariants: Postgres holds the truth, a Celery message only hints at it; a run's unique (job, tenant, store, tick) decides
between any number of beats; each step is one short transaction that also moves the run's cursor on, under the run's token, so
that a kill at any moment loses nothing and doubles nothing; a dry run takes the same steps and rolls back all but the run's own
row; what a job changes in memory has a change of origin `curator` whose `by_whom` is the run, and undo takes it back.
"""
