"""Machine specs by hash: registered once a tenant, read by everybody who works on its events."""

from collections.abc import Collection, Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import DEFAULT_SPEC, MachineSpec

Key = tuple[str, str]
"""(tenant, spec hash)."""

DEFAULT_HASH = DEFAULT_SPEC.spec_hash()

# Keys are sorted by the caller, so that two registrations never wait for each other crosswise.
_REGISTER = text("""
    INSERT INTO learning.machine_spec (tenant, hash, spec)
    SELECT * FROM unnest(cast(:tenants AS text[]), cast(:hashes AS text[]), cast(:specs AS jsonb[]))
    ON CONFLICT DO NOTHING
""")

_LOAD = text("""
    SELECT s.tenant, s.hash, s.spec::text
    FROM learning.machine_spec s
    JOIN unnest(cast(:tenants AS text[]), cast(:hashes AS text[])) AS wanted (tenant, hash)
      ON s.tenant = wanted.tenant AND s.hash = wanted.hash
""")


class SpecCache:
    """The specs that this process has seen. A spec never changes under its hash, so nothing here goes stale."""

    def __init__(self) -> None:
        self._specs: dict[Key, MachineSpec] = {}

    def register(self, session: Session, specs: Mapping[Key, MachineSpec]) -> None:
        """Make these known, in the caller's transaction. They are cached once they are found there."""
        new = sorted(key for key in specs if key not in self._specs)
        if new:
            session.execute(
                _REGISTER,
                {
                    "tenants": [tenant for tenant, _ in new],
                    "hashes": [hash_ for _, hash_ in new],
                    "specs": [specs[key].to_json().decode() for key in new],
                },
            )

    def load(self, session: Session, keys: Collection[Key]) -> dict[Key, MachineSpec]:
        """Those of the specs that are known. The default spec is known everywhere."""
        missing = sorted({key for key in keys if key not in self._specs and key[1] != DEFAULT_HASH})
        if missing:
            rows = session.execute(
                _LOAD, {"tenants": [tenant for tenant, _ in missing], "hashes": [hash_ for _, hash_ in missing]}
            )
            for tenant, hash_, body in rows:
                self._specs[tenant, hash_] = MachineSpec.from_json(body)
        found = {key: DEFAULT_SPEC if key[1] == DEFAULT_HASH else self._specs.get(key) for key in keys}
        return {key: spec for key, spec in found.items() if spec is not None}
