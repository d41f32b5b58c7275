"""What the tests of the stores do again and again: take events in, claim a mailbox, commit what a model would have said."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from harness import rows
from learning_schemas.event import ConversationCompleted
from learning_schemas.ids import uuid7
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores import mailbox
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.commit import Committed, Extraction, commit
from learning_stores.database import Database
from learning_stores.event_log import Incoming, accept
from learning_stores.mailbox import Claim, NotReady
from learning_stores.operations import Citation, Operation, Put
from learning_stores.place import Place
from learning_stores.specs import SpecCache
from learning_stores.window import Window, load_window

SHARDS = 8
PROFILE_ONLY = MachineSpec(stores={"user_profile": StoreSpec(scope="user", debounce=0)})
BOTH_AT_ONCE = MachineSpec(
    stores={
        "user_profile": StoreSpec(scope="user", debounce=0),
        "session_context": StoreSpec(scope="session", debounce=0),
    }
)


def incoming(*events: ConversationCompleted) -> list[Incoming]:
    """Events as they come from a stream."""
    return [Incoming(event=each, via="stream", body_bytes=len(each.to_json())) for each in events]


def take_in(
    database: Database,
    *events: ConversationCompleted,
    spec: MachineSpec | None = None,
    cache: SpecCache | None = None,
) -> Mapping[Any, str]:
    """One intake batch, as the dispatcher; its events name `spec` where one is given."""
    carried = {}
    if spec is not None:
        events = tuple(each.model_copy(update={"spec": spec.spec_hash()}) for each in events)
        carried = {(each.tenant, spec.spec_hash()): spec for each in events}
    return database.run(None, accept, incoming(*events), carried, cache or SpecCache(), SHARDS)


def mailbox_id(everything_db: Database, store: str = "user_profile", tenant: str = "default") -> int:
    """The only mailbox of a store and tenant."""
    (found,) = rows(
        everything_db,
        "SELECT id FROM learning.mailbox WHERE store = :store AND tenant = :tenant",
        store=store,
        tenant=tenant,
    )
    return int(found["id"])


def claim(app_db: Database, number: int, tenant: str = "default", owner: str = "worker") -> Claim:
    """Claim a mailbox that is ready."""
    held = app_db.run(tenant, mailbox.claim, tenant, number, owner)
    assert isinstance(held, Claim), held
    return held


def refused(app_db: Database, number: int, tenant: str = "default") -> NotReady:
    """Try to claim a mailbox that is not ready."""
    answer = app_db.run(tenant, mailbox.claim, tenant, number, "worker")
    assert isinstance(answer, NotReady), answer
    return answer


def window_of(app_db: Database, held: Claim, budget: int = 6_000) -> Window:
    """What an extraction would read."""
    window = app_db.run(held.tenant, load_window, held, budget)
    assert window is not None
    return window


def place_of(held: Claim, **values: Any) -> Place:
    """Where a store without namespace writes."""
    return Place(
        tenant=held.tenant,
        store=held.store,
        user_id=held.user_id,
        session_id=held.session_id,
        **{"scope": held.scope, **values},
    )


def extraction(
    held: Claim,
    window: Window,
    operations: Sequence[Operation] = (),
    dropped: Counter[str] | None = None,
    *,
    place: Place | None = None,
    admission: Admission = AT_ONCE,
) -> Extraction:
    """Work as a worker hands it to commit."""
    return Extraction(
        id=uuid7(),
        window=window,
        place=place or place_of(held),
        admission=admission,
        operations=operations,
        dropped=dropped or Counter(),
        model="offline-rules-1",
        prompt_name="user_profile",
        prompt_version="1-test",
        started_at=datetime.now(UTC),
    )


def citation(window: Window, number: int = 0, quote: str = "I work at Netflix.") -> Citation:
    """A citation of the window's user message of that number."""
    said = [message for message in window.messages if not message.earlier and message.role == "user"][number]
    return Citation(
        event_id=said.event_id, message=said.index, quote=quote, user_id=window.user_id, occurred_at=said.at
    )


def put(window: Window, content: str, *, kind: str = "memory", key: str | None = None, **values: Any) -> Put:
    """A statement that the window's first user message supports."""
    from learning_stores.grounding import content_key

    return Put(
        kind=kind,
        content=content,
        content_key=key or content_key(content),
        citations=values.pop("citations", (citation(window),)),
        **values,
    )


def field(window: Window, name: str, value: str, **values: Any) -> Put:
    """A profile field's value."""
    return put(window, f"{name}: {value}", kind="field", key=name, data={"name": name, "value": value}, **values)


def work(
    app_db: Database,
    held: Claim,
    *operations: Operation,
    keep: bool = False,
    window: Window | None = None,
    **values: Any,
) -> Committed:
    """Commit operations for the window that is next."""
    window = window or window_of(app_db, held)
    return app_db.run(held.tenant, commit, held, extraction(held, window, operations, **values), keep=keep)
