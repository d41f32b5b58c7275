"""Becomes another program that dies with the process which started it.

Run as a file, not imported: `python -I -S tether.py PARENT_PID SIGNAL USER PROGRAM [ARGUMENT ...]`, where USER may be
empty. It exists because `preexec_fn` can deadlock in a threaded parent; without `site` it costs 10 to 20 ms a start.

The order matters: Linux clears the death signal when the user changes, so the user comes first; and a parent that died
before the signal was set would never send it, so the parent is looked at afterwards.
"""

# All imports come first: once the user has changed, the interpreter's own files may be out of reach.
import ctypes
import os
import pwd
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _drop_to(user: str) -> None:
    entry = pwd.getpwnam(user)
    os.initgroups(entry.pw_name, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def _die_with_parent(parent: int, death_signal: int) -> None:
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the process that started this one is gone")


def main(arguments: list[str]) -> None:
    """Change user, tie the process to its parent, and become the program; exits 127 where it cannot be run."""
    parent, death_signal, user, *program = arguments
    # A shell's background job starts with SIGINT ignored, and exec would hand that on.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.umask(0o077)  # what a child writes is its user's alone, whatever the terminal that started the parent says
    if user:
        _drop_to(user)
    _die_with_parent(int(parent), int(death_signal))
    try:
        os.execvp(program[0], program)  # noqa: S606 - this file's whole purpose
    except OSError as error:
        print(f"{program[0]} cannot be run: {error.strerror}", file=sys.stderr)  # noqa: T201 - stderr is the log here
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
