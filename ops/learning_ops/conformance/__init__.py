"""What every store keeps, built in or of one's own, as tests to be subclassed. docs/custom-stores.md shows how.

    class TestDecisionLog(StoreConformance):
        case = StoreCase(store=DecisionLogStore(), machine={"stores": [DecisionLogStore]}, said=Said(…), …)

Needs pytest and the extra `embedded`. The tests extract as workers do, with the case's own words in the place of a model's
answer, against a Postgres of their own.
"""

from learning_ops.conformance.case import Said, StoreCase, known_as
from learning_ops.conformance.suite import StoreConformance

__all__ = ["Said", "StoreCase", "StoreConformance", "known_as"]
