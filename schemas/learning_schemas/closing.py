"""What a producer says when it closes: the last number that it gave to an event, so that a tail that was lost is seen."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from learning_schemas.errors import InvalidEvent
from learning_schemas.finding import first_finding

MAX_CLOSING_BYTES = 1_024


class ProducerClosed(BaseModel):
    """The field `closed` of a stream entry that has no event. Any stream takes it; of several the greatest `last` counts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    producer: UUID
    last: Annotated[int, Field(ge=1, lt=2**63, strict=True)]

    def to_json(self) -> bytes:
        """The wire form."""
        return self.model_dump_json().encode()

    @classmethod
    def from_json(cls, body: bytes) -> Self:
        """Validate a wire entry. Raises `InvalidEvent` that names the first field at fault."""
        try:
            if len(body) > MAX_CLOSING_BYTES:
                raise InvalidEvent("closed", f"is {len(body):,} bytes long", _REMEDY)
            return cls.model_validate_json(body)
        except ValidationError as error:
            found = first_finding(error)
            raise InvalidEvent(f"closed.{found.field}" if found.field else "closed", found.problem, _REMEDY) from None


_REMEDY = 'Write it as {"producer": "<UUID>", "last": <the greatest seq>}'
