"""What runs: the Celery app, the dispatcher, extraction, the model client.

Invariants: a Celery message is a hint, and losing or repeating one changes nothing; no database connection is held while a
model is asked; nothing that was said is in a task's arguments, result or exception, nor in a log; engines are built after a
fork.
"""
