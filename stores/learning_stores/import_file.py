"""Reading an export as a source of an import: line by line, each checked before anything is written."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import ValidationError
from pydantic_core import from_json

from learning_schemas.finding import first_finding
from learning_schemas.limits import Id
from learning_stores.export import FORMAT, VERSION
from learning_stores.import_record import Imported, ImportedEntity, ImportedLearning, NotImported

MAX_LINE_BYTES = 32 * 1024 * 1024
"""Of a line: an event of 2,000 messages with its deliveries fits in."""

_TYPES: Mapping[str, type[ImportedLearning | ImportedEntity]] = {"learning": ImportedLearning, "entity": ImportedEntity}


class ExportFile:
    """A file that `export` wrote. Raises `NotImported` where it is none, was cut off, or holds more than it says."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._opened() as file:
            number, header = next(_lines(file), (1, None))
        if not isinstance(header, dict) or header.get("record") != "header" or header.get("format") != FORMAT:
            raise NotImported(_at(number), f"is not the header of an export: there is no format {FORMAT!r}")
        if header.get("version") != VERSION:
            raise NotImported(
                f"{_at(number)}, version", f"is not {VERSION}: another version of Learning Machine wrote it"
            )
        self.tenant = _id(header, "tenant")
        self._user_id = _id(header, "user_id")
        counts = header.get("counts")
        if not isinstance(counts, dict) or not all(type(count) is int and count >= 0 for count in counts.values()):
            raise NotImported(f"{_at(number)}, counts", "is not an object of numbers")
        self.counts: dict[str, int] = counts

    @property
    def name(self) -> str:
        """The tenant that it was exported from."""
        return self.tenant

    @property
    def user_id(self) -> str:
        """The user who was exported."""
        return self._user_id

    def records(self) -> Iterator[tuple[str, Imported]]:
        """The learnings and entities, each with its line. Other records are counted."""
        found = dict.fromkeys(self.counts, 0)
        number = 1
        with self._opened() as file:
            for number, record in _lines(file):
                if number == 1:
                    continue
                if not isinstance(record, dict) or not isinstance(record.get("record"), str):
                    raise NotImported(_at(number), "is not an object that says which record it is")
                kind = record["record"]
                found[kind] = found.get(kind, 0) + 1
                if (model := _TYPES.get(kind)) is None:
                    continue
                try:
                    yield _at(number), model.model_validate(record)
                except ValidationError as error:
                    wrong = first_finding(error)
                    field = f", {wrong.field}" if wrong.field else ""
                    raise NotImported(f"{_at(number)}{field}", wrong.problem) from None
        for kind, count in found.items():
            if count != (expected := self.counts.get(kind, 0)):
                told = f"is the last of {count:,} records {kind!r}, and there are to be {expected:,}"
                raise NotImported(_at(number), f"{told}: the file is not whole")

    def _opened(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise NotImported(str(self._path), error.strerror or type(error).__name__) from None


def _lines(file: BinaryIO) -> Iterator[tuple[int, Any]]:
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise NotImported(_at(number), f"is longer than {MAX_LINE_BYTES:,} bytes")
        try:
            yield number, from_json(line)
        except ValueError as error:  # its text has the place and not the words
            raise NotImported(_at(number), f"is no JSON ({str(error).partition(' at line ')[0]})") from None


def _at(number: int) -> str:
    return f"line {number:,}"


def _id(header: Mapping[str, Any], name: str) -> str:
    from pydantic import TypeAdapter

    try:
        checked: str = TypeAdapter(Id).validate_python(header.get(name), strict=True)
    except ValidationError as error:
        raise NotImported(f"line 1, {name}", first_finding(error).problem) from None
    return checked
