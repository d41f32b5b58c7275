"""What the operating system says of servers: which are left behind, and which listen."""

import signal
from pathlib import Path

import psutil

from ..process import NotInTime, wait_until

_PATIENCE = 15.0


def listens(pid: int, port: int) -> bool:
    """Whether process `pid` itself listens on TCP port `port` over IPv4; False where there is no such process."""
    try:
        places = psutil.Process(pid).net_connections("tcp4")
    except psutil.NoSuchProcess:
        return False
    return any(place.status == psutil.CONN_LISTEN and place.laddr.port == port for place in places)


def stop_orphans(program: str, home: Path) -> None:
    """Stop every process of `program` that works in directory `home`, left behind by an owner that was killed.

    The caller holds the data directory's lock, so nobody can be using them. They get SIGINT, then SIGQUIT, then SIGKILL,
    each with 15 s to end. Raises NotInTime for one that stays.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        for process in _working_in(program, home):
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                continue
        try:
            # Not psutil's own wait: a dead process that nobody collects, as in many containers, would keep it waiting.
            wait_until(lambda: not _working_in(program, home), _PATIENCE, f"the end of every {program} in {home}")
        except NotInTime:
            if number is signal.SIGKILL:
                raise
        else:
            return


def _working_in(program: str, home: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.name() == program and Path(process.cwd()) == home.resolve():
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):  # dead, or another user's and so not of this directory
            continue
    return found
