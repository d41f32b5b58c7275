"""What an import takes in, whatever it was read from: learnings with what they stand on, and entities."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, Protocol, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from learning_schemas.errors import LearningMachineError
from learning_schemas.limits import MAX_ID_LENGTH, Id, check_json, clean_text
from learning_stores.entity_names import MAX_NAME, MAX_TYPE
from learning_stores.operations import MAX_CONTENT

MAX_EVIDENCE = 10_000
"""Of one learning."""
MAX_QUOTE = 100_000
MAX_KEY = 2_000
"""Characters of a key, which is the key of an index."""
_AHEAD = timedelta(days=1)  # as for events: clocks differ


def _not_ahead(value: datetime) -> datetime:
    # What is dated later than now could be replaced by nobody who says otherwise until then.
    if value > datetime.now(UTC) + _AHEAD:
        raise ValueError("is more than a day ahead")
    return value


Name = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NAME), AfterValidator(clean_text)]
Type = Annotated[str, StringConstraints(min_length=1, max_length=MAX_TYPE), AfterValidator(clean_text)]
Word = Annotated[str, StringConstraints(min_length=1, max_length=MAX_ID_LENGTH), AfterValidator(clean_text)]
Content = Annotated[str, StringConstraints(min_length=1, max_length=MAX_CONTENT), AfterValidator(clean_text)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=MAX_KEY), AfterValidator(clean_text)]
Data = Annotated[dict[str, Any], AfterValidator(check_json)]
Moment = Annotated[AwareDatetime, AfterValidator(_not_ahead)]
Origin = Literal["extraction", "tool", "human", "curator", "import"]


class NotImported(LearningMachineError):
    """What is to be imported cannot be; the message names where, what is wrong, and the remedy. What came before it stays."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where


class _Record(BaseModel):
    # A later version may say more; what is not known here is left out.
    model_config = ConfigDict(frozen=True, extra="ignore")


class ImportedEntity(_Record):
    """An entity by its name; one of the namespace "user" is the importing user's."""

    namespace: Word
    type: Type
    name: Name


class ImportedEvidence(_Record):
    """What a learning stands on: words of a message, or (without `event_id`) a tool's call or a person's word."""

    event_id: UUID | None = None
    message: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    quote: Annotated[str, StringConstraints(max_length=MAX_QUOTE), AfterValidator(clean_text)] | None = None
    user_id: Id | None = None
    occurred_at: Moment
    withdrawn_at: AwareDatetime | None = None


class ImportedLearning(_Record):
    """A learning as another database had it. `id` is that database's: what makes the import of it happen once."""

    id: UUID
    store: Word
    kind: Word
    namespace: Word | None = None
    session_id: Id | None = None
    agent_id: Id | None = None
    team_id: Id | None = None
    about: ImportedEntity | None = None
    target: ImportedEntity | None = None
    content: Content
    content_key: Key
    data: Data = {}
    language: Word | None = None
    status: Literal["active", "proposed", "retired"]
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    valid_from: Moment
    valid_to: AwareDatetime | None = None
    live_from: Moment
    retired_at: Moment | None = None
    retired_reason: Word | None = None
    replaced_by: UUID | None = None
    awaits: Literal["approval", "corroboration"] | None = None
    decided_by: Id | None = None
    decided_at: AwareDatetime | None = None
    origin: Origin
    evidence: Annotated[tuple[ImportedEvidence, ...], Field(max_length=MAX_EVIDENCE)] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.status == "retired") != (self.retired_at is not None):
            raise ValueError("retired_at is given for what is retired, and for nothing else")
        if (self.status == "proposed") != (self.awaits is not None):
            raise ValueError("awaits is given for what is proposed, and for nothing else")
        if self.retired_at is not None and self.retired_at < self.live_from:
            raise ValueError("retired_at is before live_from")
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise ValueError("valid_to is before valid_from")
        if self.about is None and self.target is not None:
            raise ValueError("target is given without about")
        return self


Imported = ImportedLearning | ImportedEntity


class ImportSource(Protocol):
    """Where an import reads from: another kind of file or database is another class like this."""

    @property
    def name(self) -> str:
        """Whose ids these are: two sources of one name and user hold the same learnings under the same ids."""
        ...

    @property
    def user_id(self) -> str:
        """Whom it is about, as the source names them."""
        ...

    def records(self) -> Iterator[tuple[str, Imported]]:
        """Each record with where it stands; may be asked for several times. Raises `NotImported`."""
        ...
