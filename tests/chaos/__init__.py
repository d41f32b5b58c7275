"""Chaos runs: real processes under load, faults at random from a seed, and a comparison with what the producers wrote down.

Invariants: a run is fixed by its `Load` and seed, as far as an operating system can be; the comparison knows only the
producers' journals and the database; nothing that a run starts outlives it.
"""
