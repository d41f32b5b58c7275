"""The configuration by which a tenant's agents lately used a store, for whoever works on the tenant and runs no agent."""

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.store import LearningStore
from learning_stores.wording import Terms

_LATEST = text("""
    SELECT spec::text FROM learning.machine_spec
    WHERE tenant = :tenant AND spec::jsonb -> 'stores' ? :store ORDER BY registered_at DESC, hash LIMIT 20
""")


def latest_terms(session: Session, tenant: str, store: LearningStore) -> Terms:
    """Of the specs registered last the first that can be read; the store's default where there is none."""
    for body in session.scalars(_LATEST, {"tenant": tenant, "store": store.name}):
        try:
            return Terms(spec=MachineSpec.from_json(body).stores[store.name])
        except ValueError:  # of a newer version than this
            continue
    return Terms(spec=StoreSpec(mode=store.modes[0], scope=store.scope))
