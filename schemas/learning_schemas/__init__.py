"""What travels: events, specs, patches, results. Pure values; nothing here talks to a server.

Invariants: an event is immutable and its key is (tenant, id); equal configurations have equal spec hashes; every error
names the field at fault and the remedy, and never repeats the input.
"""
