"""What is wrong with a deployment, and what to do about each thing: `learning-machine doctor`.

Invariants: a check only looks, and changes nothing; it has a time of its own, and neither a server that is away nor another
check that fails keeps it from saying what it found; what it says holds no password and nobody's words; everything above `ok`
has a remedy.
"""

from learning_ops.doctor.deployment import Deployment
from learning_ops.doctor.examination import CHECK_SECONDS, CHECKS, Check, Examination, examine
from learning_ops.doctor.finding import LEVELS, Finding, Level

__all__ = ["CHECKS", "CHECK_SECONDS", "LEVELS", "Check", "Deployment", "Examination", "Finding", "Level", "examine"]
