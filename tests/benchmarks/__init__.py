"""What docs/benchmarks.md claims, measured: each figure beside its peer in the same run on the same servers.

`make bench` runs all; `make bench ONLY=emit` one of them. Figures are ratios first, since a machine's own numbers say little
about another's.
"""
