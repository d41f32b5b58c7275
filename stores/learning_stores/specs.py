"""Machine specs by hash: registered once a tenant, read by everybody who works on its events."""

import logging
from collections.abc import Collection, Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from learning_schemas.spec import DEFAULT_SPEC, MachineSpec

Key = tuple[str, str]
"""(tenant, spec hash)."""

DEFAULT_HASH = DEFAULT_SPEC.spec_hash()

KEPT_SPECS = 1_024
"""Specs that a process keeps in memory; the rest are read again when they are needed."""

logger = logging.getLogger("learning.specs")

_REGISTERED = "learning.registered_specs"
"""Where a session keeps the keys that its transaction registered."""

# Keys are sorted by the caller, so that two registrations never wait for each other crosswise.
_REGISTER = text("""
    INSERT INTO learning.machine_spec (tenant, hash, spec)
    SELECT * FROM unnest(cast(:tenants AS text[]), cast(:hashes AS text[]), cast(:specs AS json[]))
    ON CONFLICT DO NOTHING
""")

_LOAD = text("""
    SELECT s.tenant, s.hash, s.spec::text
    FROM learning.machine_spec s
    JOIN unnest(cast(:tenants AS text[]), cast(:hashes AS text[])) AS wanted (tenant, hash)
      ON s.tenant = wanted.tenant AND s.hash = wanted.hash
""")


class SpecCache:
    """The specs that this process has seen. A spec never changes under its hash, so nothing here goes stale.

    What a transaction itself registered is not kept by it: it may be rolled back, and the spec would be known here alone.
    """

    def __init__(self) -> None:
        self._specs: dict[Key, MachineSpec] = {}

    def register(self, session: Session, specs: Mapping[Key, MachineSpec]) -> None:
        """Make these known, in the caller's transaction."""
        new = sorted(key for key in specs if key not in self._specs)
        if new:
            session.info.setdefault(_REGISTERED, set()).update(new)
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
        read: dict[Key, MachineSpec] = {}
        if missing:
            rows = session.execute(
                _LOAD, {"tenants": [tenant for tenant, _ in missing], "hashes": [hash_ for _, hash_ in missing]}
            )
            for tenant, hash_, body in rows:
                if (spec := _readable(hash_, body)) is not None:
                    read[tenant, hash_] = spec
            own = session.info.get(_REGISTERED, ())
            self._specs.update({key: spec for key, spec in read.items() if key not in own})
            while len(self._specs) > KEPT_SPECS:
                del self._specs[next(iter(self._specs))]
        found = {key: DEFAULT_SPEC if key[1] == DEFAULT_HASH else self._specs.get(key) or read.get(key) for key in keys}
        return {key: spec for key, spec in found.items() if spec is not None}


def _readable(spec_hash: str, body: str) -> MachineSpec | None:
    """A registered spec; None for one that is not what its hash says, or that this version cannot read."""
    try:
        spec = MachineSpec.from_json(body)
    except ValueError as error:  # pydantic's among them: their text could hold instructions
        logger.warning("spec %s cannot be read (%s)", spec_hash[:12], type(error).__name__)
        return None
    return spec if spec.spec_hash() == spec_hash else None
