"""agno's LearningMachine with our memory in it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from agno.learn import machine as theirs

from learning_machine.config import Configuration, StoreArguments, configure
from learning_machine.integrations.agno.arguments import refuse_of_a_call, stores_of
from learning_machine.integrations.agno.conversation import Said, spoken
from learning_machine.integrations.agno.hook import LearningHook
from learning_machine.integrations.agno.notices import ignored
from learning_machine.integrations.agno.place import url_of
from learning_machine.integrations.agno.tools import Memory
from learning_machine.integrations.agno.turns import Turns, by_store
from learning_machine.integrations.agno.views import StoreView
from learning_machine.lock import Lock
from learning_schemas.errors import ConfigurationError
from learning_stores.settings import AgentSettings

_BEHIND_MESSAGE = ("entity_id", "entity_type", "namespace")
"""What agno's recall takes by place behind the message."""


class MachineOptions(TypedDict, total=False):
    """What our machine can be told besides agno's arguments; docs/configuration.md says what each means."""

    tenant: str | None
    require_tenant: bool
    stores: Sequence[Any]
    language: str | None
    database_url: str | None
    redis_url: str | None
    redact: bool
    redaction_hooks: Sequence[Callable[[str], str]]
    recall_deadline: float
    recall_tokens: int
    emit_deadline: float | None
    spool_dir: str | None


class LearningMachine(theirs.LearningMachine):
    """Our memory for agents and teams of agno's: `Agent(learning=LearningMachine(user_profile=True))`.

    Takes agno's arguments, and ours by keyword. Without any store it has the user profile and the session context. The
    database is that of `database_url`, else of `LEARNING_DATABASE_URL` or `.learning/env`, else that of `db`, else that of the
    agent's db; Redis is that of `redis_url`, else of `LEARNING_REDIS_URL` or `.learning/env`. A `model` that is a name is the
    extraction model; one of agno's is the agent's alone. `memory` is our machine, for all that agno has no name for.
    Raises `ConfigurationError` that names the argument, when it is made or, where only the agent's db could tell, at the first run.
    """

    def __init__(
        self,
        db: Any = None,
        model: Any = None,
        knowledge: Any = None,
        user_profile: Any = False,
        user_memory: Any = False,
        session_context: Any = False,
        entity_memory: Any = False,
        learned_knowledge: Any = False,
        decision_log: Any = False,
        namespace: str = "global",
        max_updates_per_run: int = 10,
        custom_stores: dict[str, Any] | None = None,
        debug_mode: bool = False,
        name: str | None = None,
        **options: Unpack[MachineOptions],
    ) -> None:
        # With a name, agno stores a component's machine by reference, and never builds one of its own in the place of ours.
        super().__init__(
            db=db, model=model, knowledge=knowledge, user_profile=user_profile, user_memory=user_memory,
            session_context=session_context, entity_memory=entity_memory, learned_knowledge=learned_knowledge,
            decision_log=decision_log, namespace=namespace, max_updates_per_run=max_updates_per_run,
            custom_stores=custom_stores, debug_mode=debug_mode, name=name or "default",
        )  # fmt: skip
        if unknown := options.keys() - MachineOptions.__annotations__.keys():
            raise TypeError(f"LearningMachine() got an unexpected keyword argument {min(unknown)!r}")
        if knowledge is not None:
            ignored("knowledge", "insights are kept in Postgres, with their embeddings")
        if max_updates_per_run != 10:
            ignored("max_updates_per_run", "workers take all that a conversation says; budgets limit what it may cost")
        if model is not None and not isinstance(model, str):
            ignored("model", "the workers' model extracts: LEARNING_MODEL names it, or model='gpt-5-mini' as a name")
        if debug_mode:
            ignored(
                "debug_mode",
                "`learning-machine trace` and `status` tell what became of a turn, and the log what failed",
            )
        self._given = _given(self, options)
        self._configuration = _configured(self._given)
        self._memory: Memory | None = None
        self._turns = Turns(lambda: self.memory)
        self._hook = LearningHook(self, self._turns.hand_over)
        self._making = Lock()
        settings = AgentSettings.load(database_url=options.get("database_url"), redis_url=options.get("redis_url"))
        settings.redis()  # nothing of agno's could name it later
        if settings.database_url is not None or db is not None:
            self._connect(db)

    # What agno calls, with agno's arguments. Nothing of it raises in a run; a call by hand is refused what it would not be given.

    def build_context(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        message: str | None = None,
        *others: Any,
        **named: Any,
    ) -> str:
        """What is remembered, for the prompt; empty where it could not be recalled within its deadline."""
        self._check_recall(others, named)
        return self._turns.recall(user_id, session_id, message).context

    async def abuild_context(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        message: str | None = None,
        *others: Any,
        **named: Any,
    ) -> str:
        """`build_context` for asyncio."""
        self._check_recall(others, named)
        return (await self._turns.arecall(user_id, session_id, message)).context

    def recall(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        message: str | None = None,
        *others: Any,
        **named: Any,
    ) -> dict[str, Any]:
        """The same as learnings, by store."""
        self._check_recall(others, named)
        return by_store(self._turns.recall(user_id, session_id, message))

    async def arecall(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        message: str | None = None,
        *others: Any,
        **named: Any,
    ) -> dict[str, Any]:
        """`recall` for asyncio."""
        self._check_recall(others, named)
        return by_store(await self._turns.arecall(user_id, session_id, message))

    def get_tools(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        namespace: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        **_: Any,
    ) -> list[Callable[..., Any]]:
        """The tools of our stores, for the agent. Without a user those of stores that need none."""
        refuse_of_a_call({"namespace": namespace}, self.namespace)
        ids = {"user_id": user_id, "session_id": session_id, "agent_id": agent_id, "team_id": team_id}
        return self._turns.tools(False, reading=self.reads_only, **ids)

    async def aget_tools(
        self,
        user_id: str | None = None,
        session_id: str | None = None,
        namespace: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        **_: Any,
    ) -> list[Callable[..., Any]]:
        """`get_tools` for asyncio."""
        refuse_of_a_call({"namespace": namespace}, self.namespace)
        ids = {"user_id": user_id, "session_id": session_id, "agent_id": agent_id, "team_id": team_id}
        return self._turns.tools(True, reading=self.reads_only, **ids)

    def process(
        self,
        messages: list[Any],
        user_id: str | None = None,
        session_id: str | None = None,
        namespace: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Hand a conversation over. In a run, where agno calls this before the answer is there, the post-hook does it."""
        refuse_of_a_call({"namespace": namespace}, self.namespace)
        if kwargs.get("run_metrics") is None:
            said = Said(messages=spoken(messages), history="auto")
            self._turns.give(said, user_id=user_id, session_id=session_id, agent_id=agent_id, team_id=team_id)

    async def aprocess(
        self,
        messages: list[Any],
        user_id: str | None = None,
        session_id: str | None = None,
        namespace: str | None = None,
        agent_id: str | None = None,
        team_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        """`process` for asyncio."""
        self.process(messages, user_id, session_id, namespace, agent_id, team_id, **kwargs)

    def capture_hook(self) -> Callable[..., None]:
        """The post-hook, for `Agent(post_hooks=[…])` of a program that places the context by hand."""
        return self._hook

    def acapture_hook(self) -> Callable[..., None]:
        """The same: it holds up no event loop."""
        return self._hook

    def _check_recall(self, others: tuple[Any, ...], named: dict[str, Any]) -> None:
        refuse_of_a_call(named | dict(zip(_BEHIND_MESSAGE, others, strict=False)), self.namespace)

    @property
    def reads_only(self) -> bool:
        """agno makes a machine read-only, for attempts that are to leave no trace, by a copy whose `process` does nothing."""
        return "process" in vars(self)

    def _instructions_text(self) -> str:
        return self.memory.instructions()

    # What agno looks up.

    @property
    def memory(self) -> Memory:
        """Our machine. Raises `ConfigurationError` where the database is not known yet."""
        return self._connect(None)

    @property
    def stores(self) -> dict[str, Any]:
        """A view of each store, by name; what agno keeps apart as the user's memories is in the profile."""
        names = [*self._configuration.stores]
        if "user_profile" in names:
            names.append("user_memory")
        return {
            name: StoreView("user_profile" if name == "user_memory" else name, lambda: self.memory) for name in names
        }

    @property
    def was_updated(self) -> bool:
        """False: what a turn teaches is extracted after it."""
        return False

    @property
    def requires_history(self) -> bool:
        """False: a proposal is approved by a person, outside the conversation."""
        return False

    @property
    def curator(self) -> Any:
        """None here: our curator runs beside the workers. Raises `ConfigurationError`."""
        raise ConfigurationError(
            "curator",
            "is agno's, and works on agno's tables",
            "Give prune=… to a store's config, or run `learning-machine curate`",
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> theirs.LearningMachine:
        """Refused: what agno stores of a machine has no tenant and no address. Raises `ConfigurationError`."""
        raise ConfigurationError(
            "from_dict",
            "would make a machine without the tenant, the addresses and the options of the one that was stored",
            "Declare the machine, with its name, on the registry that loads the component",
        )

    def attach(self, owner: Any) -> None:
        """Be the machine of an agent or team: its db tells the database where nothing else does, and the post-hook is added."""
        self._connect(getattr(owner, "db", None))
        with self._making.mutex:
            hooks = list(owner.post_hooks or [])
            if self._hook not in hooks:
                owner.post_hooks = [*hooks, self._hook]

    def close(self) -> None:
        """Wait for what was handed over, and give back every connection."""
        self._turns.close()
        if self._memory is not None:
            self._memory.close()

    def __repr__(self) -> str:
        return f"LearningMachine(name={self.name!r}, stores={', '.join(self._configuration.stores)})"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __copy__(self) -> "LearningMachine":
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._hook = LearningHook(made, made._turns.hand_over)  # that of an agent's machine alone hands over
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> "LearningMachine":
        return self  # connections and what waits to be handed over are one machine's

    def _connect(self, db: Any) -> Memory:
        with self._making.mutex:
            if self._memory is None:
                known = AgentSettings.load(database_url=self._given.get("database_url")).database_url is not None
                url = None if known else url_of(db if db is not None else self.db)
                self._memory = Memory(**(self._given if url is None else {**self._given, "database_url": url}))
            return self._memory


def _given(machine: theirs.LearningMachine, options: MachineOptions) -> dict[str, Any]:
    """The arguments of our machine."""
    given: dict[str, Any] = {**options, "name": machine.name}
    given |= stores_of(vars(machine), machine.namespace)
    if isinstance(machine.model, str):
        given["model"] = machine.model
    return given


def _configured(given: Mapping[str, Any]) -> Configuration:
    """What our machine will be, checked before its database is known. Raises `ConfigurationError`."""
    names = ("user_profile", "session_context", "entity_memory", "learned_knowledge")
    arguments = StoreArguments(
        built_in={name: given.get(name) for name in names},
        custom=given.get("stores", ()),
        namespace=given.get("namespace"),
        language=given.get("language"),
    )
    return configure(given["name"], given.get("model"), arguments)
