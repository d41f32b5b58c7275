"""Reading what a process shows on its metrics port."""

import http.client
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Shown:
    """A page: status, text."""

    status: int
    text: str


def page(port: int, path: str, timeout: float = 15) -> Shown:
    """What a process on this host answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Shown(response.status, response.read().decode())
    finally:
        connection.close()


def serves(port: int) -> bool:
    """Whether anything answers there."""
    try:
        return page(port, "/livez").status == 200
    except (OSError, http.client.HTTPException):
        return False


class Samples:
    """The samples of one scrape."""

    def __init__(self, port: int) -> None:
        shown = page(port, "/metrics")
        assert shown.status == 200, shown.text
        self.all = [sample for family in text_string_to_metric_families(shown.text) for sample in family.samples]

    def value(self, name: str, **labels: str) -> float | None:
        """The sum of the samples that have these labels; None where there are none."""
        found = [sample.value for sample in self.all if sample.name == name and labels.items() <= sample.labels.items()]
        return sum(found) if found else None
