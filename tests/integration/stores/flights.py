"""A TCP proxy that counts flights: bursts of bytes from the client that the server has to answer before the next."""

import select
import socket
import threading
from types import TracebackType
from typing import Self


class CountingProxy:
    """Between a client and a Postgres server on loopback. `flights` counts changes of direction towards the server."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wake, self._woken = socket.socketpair()
        self._threads: list[threading.Thread] = []
        self.connections = 0
        self.flights = 0
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wake.close()
        for thread in self._threads:
            thread.join(timeout=10)
        self._listener.close()
        self._woken.close()

    def _start(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args)  # type: ignore[arg-type]  # both targets are methods
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._woken], [], [])
            if self._woken in ready:
                return
            client, _ = self._listener.accept()
            self.connections += 1
            self._start(self._carry, client)

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answered = True
            while True:
                ready, _, _ = select.select([client, server, self._woken], [], [])
                if self._woken in ready:
                    return
                for source, other in ((server, client), (client, server)):
                    if source not in ready:
                        continue
                    data = source.recv(65_536)
                    if not data:
                        return
                    if source is server:
                        answered = True
                    elif answered:
                        self.flights += 1
                        answered = False
                    other.sendall(data)
