"""A line of JSON for each model request, for those who want to see what went to the model."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from io import TextIOWrapper
from pathlib import Path
from typing import Any


class RequestLog:
    """Appends to a file readable by its owner only. Without `bodies` no text of a request is kept, only a hash of it."""

    def __init__(self, path: Path, *, bodies: bool = False) -> None:
        self._bodies = bodies
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._file = TextIOWrapper(os.fdopen(handle, "ab", buffering=0), encoding="utf-8", write_through=True)

    def write(
        self,
        *,
        number: int,
        endpoint: str,
        status: int,
        fault: str | None,
        raw: bytes,
        request: Mapping[str, Any] | None,
        answered: Mapping[str, Any] | None,
    ) -> None:
        """Record one request with its answer's HTTP status (499: the client left) and the fault that it met, if any."""
        body = request or {}
        entry: dict[str, Any] = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "number": number,
            "endpoint": endpoint,
            "model": body.get("model"),
            "format": _held(body, "text", "format", "name") or _held(body, "response_format", "json_schema", "name"),
            "status": status,
            "fault": fault,
            "input_sha256": sha256(raw).hexdigest(),
        }
        if self._bodies:
            entry |= {"request": request, "response": answered}
        self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")

    def close(self) -> None:
        """Close the file; nothing is written after."""
        self._file.close()


def _held(body: object, *path: str) -> object:
    """What lies at a path of a request that may be malformed; None where nothing does."""
    for key in path:
        body = body.get(key) if isinstance(body, dict) else None
    return body
