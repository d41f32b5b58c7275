"""The corrections of a machine: what people add, change, take back and promote, under their name."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from learning_machine.arguments import checked_id
from learning_machine.asking import Asking, Question, checked_by, checked_ids, checked_uuid, wording_in
from learning_schemas.errors import InvalidArgument
from learning_schemas.results import Learning
from learning_stores import correction
from learning_stores.promotion import promote
from learning_stores.wording import Wording

_STORE_OF = {
    "title": "learned_knowledge",
    "learning": "learned_knowledge",
    "entity": "entity_memory",
    "relation": "entity_memory",
}
_PROFILE = "user_profile"


class Corrections(Asking):
    """The part of a machine through which people change what is remembered. `by` says who does, and is kept with the change.

    Every method has a twin for asyncio (`aadd`, …). All raise `InvalidArgument` for bad input, and `MemoryUnavailable` where
    Postgres is away.
    """

    def add(
        self,
        content: str | None = None,
        *,
        by: str,
        user_id: str | None = None,
        session_id: str | None = None,
        store: str | None = None,
        kind: str | None = None,
        field: str | None = None,
        value: Any = None,
        title: str | None = None,
        learning: str | None = None,
        context: str | None = None,
        tags: Sequence[str] | None = None,
        entity: str | None = None,
        type: str | None = None,  # noqa: A002 - the word of entities, as in `entity(name, type)`
        relation: str | None = None,
        target: str | None = None,
        target_type: str | None = None,
        date: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Learning:
        """Remember what a person states, at once and under their name: the learning that holds it.

            machine.add("Is vegetarian", user_id="alex", by="support@acme.com")
            machine.add(field="name", value="Alex", user_id="alex", by="support@acme.com")
            machine.add(title="Flaky tests", learning="Retry the login test once", tags=["ci"], by="bob")
            machine.add("Uses PostgreSQL", entity="Acme Corp", type="company", by="bob")
            machine.add(relation="CTO of", entity="Bob", type="person", target="Acme Corp", target_type="company", by="bob")

        `store` is told by the arguments where it is not given: `title` and `learning` mean learned_knowledge, `entity` means
        entity_memory, else user_profile. `kind` is needed for a session's context ("summary", "goal"; "plan" and "progress"
        have a list of steps as `value`), for an entity's "description" and "alias", and in stores of one's own with several
        kinds, which also take `data`. An equal learning gains evidence instead; a field's old value is replaced. It needs
        nobody's approval. Secrets are redacted as in `emit`.
        """
        return self._ask(self._addition(by, store, kind, user_id, session_id, wording_in(locals())))

    async def aadd(
        self,
        content: str | None = None,
        *,
        by: str,
        user_id: str | None = None,
        session_id: str | None = None,
        store: str | None = None,
        kind: str | None = None,
        field: str | None = None,
        value: Any = None,
        title: str | None = None,
        learning: str | None = None,
        context: str | None = None,
        tags: Sequence[str] | None = None,
        entity: str | None = None,
        type: str | None = None,  # noqa: A002 - as in `add`
        relation: str | None = None,
        target: str | None = None,
        target_type: str | None = None,
        date: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Learning:
        """`add` for asyncio."""
        return await self._aask(self._addition(by, store, kind, user_id, session_id, wording_in(locals())))

    def update(
        self,
        learning_id: UUID | str,
        content: str | None = None,
        *,
        by: str,
        value: Any = None,
        title: str | None = None,
        learning: str | None = None,
        context: str | None = None,
        tags: Sequence[str] | None = None,
        relation: str | None = None,
        date: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Learning:
        """Correct a learning: the new one, which counts until the user says otherwise. What is not given stays.

        The arguments are those of `add` for its kind. The old one is kept, retired as "corrected". Raises `UnknownLearning`,
        and `StaleLearning` where it is no longer live, which says what became of it.
        """
        return self._ask(self._correction(learning_id, by, wording_in(locals())))

    async def aupdate(
        self,
        learning_id: UUID | str,
        content: str | None = None,
        *,
        by: str,
        value: Any = None,
        title: str | None = None,
        learning: str | None = None,
        context: str | None = None,
        tags: Sequence[str] | None = None,
        relation: str | None = None,
        date: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Learning:
        """`update` for asyncio."""
        return await self._aask(self._correction(learning_id, by, wording_in(locals())))

    def retract(self, learning_id: UUID | str, *, by: str) -> Learning:
        """Take a learning back: the same, retired. It comes back only by the user's own later words, or by a person.

        Raises `UnknownLearning`, and `StaleLearning` where it is no longer live.
        """
        return self._ask(self._retraction(learning_id, by))

    async def aretract(self, learning_id: UUID | str, *, by: str) -> Learning:
        """`retract` for asyncio."""
        return await self._aask(self._retraction(learning_id, by))

    def promote(self, learning_id: UUID | str, namespace: str, *, by: str) -> Learning:
        """State an insight in a wider namespace too, a team's or "global": the learning there, with the evidence of both.

        The original stays. Raises `UnknownLearning`, and `StaleLearning` where it is no longer live.
        """
        return self._ask(self._promotion(learning_id, namespace, by))

    async def apromote(self, learning_id: UUID | str, namespace: str, *, by: str) -> Learning:
        """`promote` for asyncio."""
        return await self._aask(self._promotion(learning_id, namespace, by))

    def _addition(
        self,
        by: object,
        store: str | None,
        kind: str | None,
        user_id: object,
        session_id: object,
        given: Mapping[str, Any],
    ) -> Question[Learning]:
        user, session = checked_ids(user_id, session_id)
        said = self._wording(given)
        name = store if store is not None else self._meant_store(said, kind)
        place = self._written_place(name, user, session)
        return partial(
            correction.add,
            place=place,
            store=self._store(name),
            terms=self._terms(name),
            said=said,
            by=checked_by(by),
            kind=kind,
        )

    def _correction(self, learning_id: object, by: object, given: Mapping[str, Any]) -> Question[Learning]:
        return partial(
            correction.update,
            tenant=self.tenant,
            learning_id=checked_uuid("learning_id", learning_id),
            said=self._wording(given),
            terms_of=self._terms,
            by=checked_by(by),
            stores=self._stores,
        )

    def _retraction(self, learning_id: object, by: object) -> Question[Learning]:
        named = checked_uuid("learning_id", learning_id)
        return partial(
            correction.retract, tenant=self.tenant, learning_id=named, by=checked_by(by), stores=self._stores
        )

    def _promotion(self, learning_id: object, namespace: object, by: object) -> Question[Learning]:
        return partial(
            promote,
            tenant=self.tenant,
            learning_id=checked_uuid("learning_id", learning_id),
            namespace=checked_id("namespace", namespace),
            by=checked_by(by),
            stores=self._stores,
        )

    def _meant_store(self, said: Wording, kind: str | None) -> str:
        """The store that the arguments mean."""
        meant = next((_STORE_OF[name] for name in said.given if name in _STORE_OF), _PROFILE)
        holding = [name for name, store in self._stores.items() if kind is not None and kind in store.kinds]
        if meant == _PROFILE and len(holding) == 1:
            return holding[0]
        if meant in self._stores:
            return meant
        if meant == _PROFILE and len(self._stores) == 1:
            return next(iter(self._stores))
        raise InvalidArgument(
            "store", f"is not given, and this machine has no {meant}", f"It has {', '.join(self._stores)}"
        )
