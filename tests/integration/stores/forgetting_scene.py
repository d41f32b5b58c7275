"""What the tests of forgetting do: users who say things, workers who learn them, and a walk over every column of every table."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from harness import Place as TestPlace
from harness import event, rows
from integration.stores.steps import claim, take_in, window_of, work
from learning_schemas.event import ConversationCompleted
from learning_schemas.spec import MachineSpec, StoreSpec
from learning_stores.admission import AT_ONCE, Admission
from learning_stores.database import Database
from learning_stores.forgetting import forget
from learning_stores.forgetting_begin import target_of
from learning_stores.forgetting_receipt import STAYS, ForgetReceipt
from learning_stores.grounding import content_key
from learning_stores.operations import Citation, EntityName, Operation, Put
from learning_stores.place import Place
from learning_stores.window import Window

ALL = MachineSpec(
    stores={
        "user_profile": StoreSpec(scope="user", debounce=0),
        "session_context": StoreSpec(scope="session", debounce=0),
        "entity_memory": StoreSpec(scope="session", debounce=0),
        "learned_knowledge": StoreSpec(scope="session", debounce=0),
    }
)
SHARED = ("entity_memory", "learned_knowledge")


def later(seconds: float = 600.0) -> UUID:
    """An id that an event has that is made so long after now."""
    milliseconds = int((datetime.now(UTC) + timedelta(seconds=seconds)).timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | secrets.randbits(62))


class Scene:
    """One tenant with users in it."""

    def __init__(self, place: TestPlace, app: Database, dispatcher: Database, everything: Database) -> None:
        self.place = place
        self.app = app
        self.dispatcher = dispatcher
        self.everything = everything

    def say(self, user_id: str, text: str, *, session_id: str = "s1", **values: Any) -> ConversationCompleted:
        """An event of one message, taken in for all stores."""
        said = event(user_id=user_id, session_id=session_id, messages=[{"role": "user", "content": text}], **values)
        take_in(self.dispatcher, said, spec=ALL)
        return said

    def mailbox(self, store: str, user_id: str, session_id: str = "s1") -> int | None:
        scope = f"user/{user_id}" if store == "user_profile" else f"session/{user_id}/{session_id}"
        found = rows(
            self.everything,
            "SELECT id FROM learning.mailbox WHERE store = :store AND scope = :scope",
            store=store,
            scope=scope,
        )
        return found[0]["id"] if found else None

    def learn(
        self,
        store: str,
        user_id: str,
        build: Any,
        *,
        session_id: str = "s1",
        admission: Admission = AT_ONCE,
    ) -> None:
        """Work on what waits for a store: `build` makes operations of the citation."""
        number = self.mailbox(store, user_id, session_id)
        assert number is not None
        held = claim(self.app, number)
        window = window_of(self.app, held)
        operations = build(cited(window))
        shared = {"scope": "namespace/global", "namespace": "global"} if store in SHARED else {"scope": held.scope}
        place = Place(tenant="default", store=store, user_id=user_id, session_id=session_id, **shared)
        work(self.app, held, *operations, window=window, place=place, admission=admission)

    def rest(self, user_id: str, session_id: str = "s1") -> None:
        """Work off what waits for the user, finding nothing."""
        for store in ALL.stores:
            while (number := self.mailbox(store, user_id, session_id)) is not None:
                work(self.app, claim(self.app, number))

    def forget(self, user_id: str | None = None, **ids: Any) -> ForgetReceipt:
        """Forget them."""
        options = {name: ids.pop(name) for name in ("close", "by", "outside") if name in ids}
        target = self.app.run("default", target_of, "default", user_id, ids.get("session_id"), ids.get("event_id"))
        return forget(self.app, target, **options)

    def contents(self, status: str = "active", store: str | None = None) -> set[str]:
        """What is live."""
        query = "SELECT content FROM learning.learning WHERE status = :status"
        found = rows(
            self.everything,
            query + (" AND store = :store" if store else ""),
            status=status,
            **({"store": store} if store else {}),
        )
        return {row["content"] for row in found}

    def tables_with(self, word: str) -> set[str]:
        """Tables of which some row holds the word, as text: quicker than `traces`, and blind for bytes."""
        tables = rows(
            self.everything,
            "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = 'learning' AND c.relkind IN ('r', 'p')",
        )
        look = " UNION ALL ".join(
            f"(SELECT '{each['relname']}' AS name FROM learning.{each['relname']} t WHERE t::text LIKE :word LIMIT 1)"
            for each in tables
        )
        return {row["name"] for row in rows(self.everything, look, word=f"%{word}%")}

    def traces(self, *words: str, allowed: Sequence[str] = tuple(STAYS)) -> dict[str, str]:
        """Columns of any table of which some row holds one of these words, whatever its type; but the documented ones."""
        columns = rows(
            self.everything,
            """SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, NULL) AS type
               FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
               WHERE n.nspname = 'learning' AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped""",
        )
        looks = []
        for each in columns:
            if (name := f"{each['table']}.{each['column']}") not in allowed:
                column = f'"{each["column"]}"'
                text = f"encode({column}, 'escape')" if each["type"] == "bytea" else f"{column}::text"
                told = f'SELECT {text} AS told FROM learning."{each["table"]}"'
                looks.append(f"(SELECT '{name}' AS name, told FROM ({told}) t WHERE told ILIKE ANY (:words) LIMIT 1)")
        found = rows(self.everything, " UNION ALL ".join(looks), words=[f"%{word}%" for word in words])
        return {each["name"]: each["told"] for each in found}


def cited(window: Window, number: int = -1) -> Citation:
    """A citation of the last user message that is new, whole."""
    said = [message for message in window.messages if not message.earlier and message.role == "user"][number]
    return Citation(
        event_id=said.event_id, message=said.index, quote=said.text, user_id=window.user_id, occurred_at=said.at
    )


def memory(content: str, **values: Any) -> Any:
    """A user's memory."""
    return lambda citation: [
        Put(kind="memory", content=content, content_key=content_key(content), citations=(citation,), **values)
    ]


def summary(content: str) -> Any:
    """A session's summary."""
    return lambda citation: [Put(kind="summary", content=content, content_key="summary", citations=(citation,))]


def insight(title: str, learning: str, context: str | None = None) -> Any:
    """A shared insight."""
    from learning_stores.insight import insight_put

    def build(citation: Citation) -> list[Operation]:
        return [
            insight_put(
                title=title, learning=learning, context=context, tags=("tagged",), fields=None, citations=(citation,)
            )
        ]

    return build


def entity(name: str, *facts: str, kind: str = "company", aliases: Sequence[str] = (), named: bool = True) -> Any:
    """Facts of an entity; its names with it, unless it was known under them."""
    from learning_stores.entity_statements import alias_of, fact_of

    def build(citation: Citation) -> list[Operation]:
        of = EntityName(name, kind)
        names = [alias_of(of, each, (citation,)) for each in ((name, *aliases) if named else aliases)]
        return [*names, *(fact_of(of, fact, (citation,)) for fact in facts)]

    return build
