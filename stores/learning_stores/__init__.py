"""What lasts: the tables and their migrations, the event log, the mailboxes, the stores, recall.

Invariants: every function works on a `Session` whose transaction its caller began, as one tenant where it touches a
tenant's rows through the app role; concurrency is settled by the database (unique keys, row locks, tokens), never by a
lock in the process; locks are taken in the order subject, mailbox, entities by id, keys of statements, learnings by id; a
learning's content and validity are never changed in place.
"""
