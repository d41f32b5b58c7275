"""Keeping children running: one that dies is reported and started again, later each time, never silently."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from learning_ops.process import ManagedProcess

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
"""Seconds before the first start again, and at most."""
STEADY = 60.0
"""After so many seconds of life a child counts as well again."""
_LOOK_EVERY = 0.2
_TAIL_LINES = 5


@dataclass(kw_only=True)
class _Patient:
    process: ManagedProcess
    started: float
    pause: float = FIRST_PAUSE
    due: float | None = None


class Supervisor:
    """Watches children; `report` hears a line or more for each end and each start. `clock` counts seconds.

    There is no last try: what cannot be started again is reported as long as it cannot.
    """

    def __init__(
        self,
        children: Sequence[ManagedProcess],
        report: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patients = [_Patient(process=process, started=clock()) for process in children]
        self._report = report
        self._clock = clock

    def run(self, stop: threading.Event) -> None:
        """Look after them until `stop` is set."""
        while not stop.wait(_LOOK_EVERY):
            self.look()

    def look(self) -> None:
        """One round: report who died since the last one, and start again whose time has come."""
        now = self._clock()
        for patient in self._patients:
            if patient.due is not None:
                if now >= patient.due:
                    self._start(patient, now)
            elif not patient.process.alive:
                if now - patient.started >= STEADY:
                    patient.pause = FIRST_PAUSE
                patient.due = now + patient.pause
                self._report(_told(patient.process, patient.pause))
                patient.pause = min(patient.pause * 2, LONGEST_PAUSE)

    def _start(self, patient: _Patient, now: float) -> None:
        try:
            patient.process.start()
        except OSError as error:  # no memory, no room for its log, …
            patient.due = now + patient.pause
            self._report(
                f"{patient.process.name} cannot be started ({error}), and is tried again in {patient.pause:g} s"
            )
            patient.pause = min(patient.pause * 2, LONGEST_PAUSE)
        else:
            patient.due, patient.started = None, now
            self._report(f"{patient.process.name} started again (process {patient.process.pid})")


def _told(process: ManagedProcess, pause: float) -> str:
    tail = process.log_tail(_TAIL_LINES)
    says = f"; its log, {process.log_path}, ends:\n{tail}" if tail else f"; its log, {process.log_path}, is empty"
    return f"{process.name} ended ({process.ending}) and is started again in {pause:g} s{says}"
