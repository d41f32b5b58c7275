"""Rows on their way into the tables, written together: one statement for the learnings of a patch, one for its evidence."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from learning_stores import learning_rows
from learning_stores.operations import Citation, Provenance


class PendingRows:
    """What one set of operations adds. Whoever reads or changes what may be among it flushes first."""

    def __init__(self, session: Session, source: Provenance) -> None:
        self._session = session
        self._source = source
        self._learnings: dict[UUID, dict[str, Any]] = {}
        self._cited: list[tuple[UUID, Citation]] = []

    def __contains__(self, learning_id: UUID) -> bool:
        return learning_id in self._learnings

    def add(self, new: learning_rows.New, learning_id: UUID, **how: Any) -> None:
        """A learning, as `learning_rows.row_of` makes it."""
        self._learnings[learning_id] = learning_rows.row_of(self._source, new, learning_id, **how)

    def cite(self, learning_id: UUID, citations: Sequence[Citation]) -> None:
        """Evidence."""
        self._cited += [(learning_id, citation) for citation in citations]

    def flush(self) -> None:
        """Write it. Raises `Raced`."""
        if self._learnings:
            learning_rows.insert(self._session, self._source, list(self._learnings.values()))
            self._learnings = {}
        if self._cited:
            learning_rows.cite(self._session, self._source, self._cited)
            self._cited = []
