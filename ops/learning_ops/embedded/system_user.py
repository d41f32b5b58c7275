"""The system user that root runs Postgres as."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

NAME = "learning-postgres"


class NoSystemUser(Exception):
    """Postgres refuses to run as root, and user learning-postgres cannot be made: REASON. Run as an ordinary user, create that user, or set LEARNING_DATABASE_URL"""  # noqa: E501 - the message is one line

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"Postgres refuses to run as root, and user {NAME} cannot be made: {reason}. "
            "Run as an ordinary user, create that user, or set LEARNING_DATABASE_URL"
        )


def system_user(home: Path) -> pwd.struct_passwd | None:
    """The user to run as: None where we are not root, else the owner of `home` where that is an ordinary user, else
    `learning-postgres`, made if need be (without password, shell or home), or who called sudo where it cannot be made.

    Raises NoSystemUser.
    """
    if os.geteuid() != 0:
        return None
    if home.exists() and (owner := home.stat().st_uid) != 0:
        try:
            return pwd.getpwuid(owner)
        except KeyError as error:
            raise NoSystemUser(f"{home} belongs to uid {owner}, which has no name here") from error
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        return _made()


def _made() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if useradd is None:
        caller = os.environ.get("SUDO_UID", "")
        if caller.isdigit() and int(caller) != 0:
            return pwd.getpwuid(int(caller))
        raise NoSystemUser("there is no useradd")
    shell = next((path for path in ("/usr/sbin/nologin", "/sbin/nologin") if Path(path).exists()), "/bin/false")
    made = subprocess.run(
        [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent", "--shell", shell, NAME],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,  # another process may have made it in this moment
    )
    try:
        return pwd.getpwnam(NAME)
    except KeyError:
        raise NoSystemUser(made.stderr.strip() or f"useradd ended with {made.returncode}") from None
