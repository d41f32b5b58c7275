"""Where the servers of a stack on one machine are."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where everything is: the URLs of the three roles that log in, and of Redis; all with passwords.

    The superuser's is not among them: its password is in the data directory's secrets alone.
    """

    database_url: str
    dispatcher_database_url: str
    owner_database_url: str
    redis_url: str

    def env(self) -> dict[str, str]:
        """As `LEARNING_*` variables."""
        return {f"LEARNING_{name.upper()}": value for name, value in self.__dict__.items()}
