"""The whole system measured on one machine: events a second beside a naive design, memory, a backlog worked off, recall meanwhile.

Each measurement has a database of its own on the same servers; the model answers at once, in a process of its own; every
process that is started ends with its measurement. `make bench ONLY=end_to_end`, or `make bench-end-to-end ARGS=…`.
"""

from benchmarks.figures import Figure


def run() -> list[Figure]:
    """With the usual sizes: prints its tables as they are there, and gives the figures that have a goal."""
    from benchmarks.end_to_end.measurement import Sizes, measured

    return measured(Sizes())
