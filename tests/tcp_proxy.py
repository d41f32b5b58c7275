"""A way to a server that a test can open and cut: what is down, from a client's side, without stopping what others use."""

import socket
import threading
from contextlib import suppress

from learning_ops.process import free_port


class TcpProxy:
    """Forwards a loopback port to another while it is open; silent while it is stalled; refused connections while it is not."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._sockets: set[socket.socket] = set()
        self._pumps: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._flows = threading.Event()
        self._flows.set()

    def open(self) -> None:
        """Let clients through."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._thread = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._thread.start()

    def stall(self) -> None:
        """Take connections and what they send, and answer nothing, until `go_on`: a server that hangs."""
        self._flows.clear()

    def go_on(self) -> None:
        """Let through what was held back, and everything after it."""
        self._flows.set()

    def cut(self) -> None:
        """Close the port and every connection through it."""
        self._flows.set()
        if self._listener is not None and self._thread is not None:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._thread.join()
            self._listener.close()
            self._listener = None
        with self._lock:
            sockets, pumps = list(self._sockets), self._pumps
            self._pumps = []
        for each in sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for pump in pumps:
            pump.join()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            with self._lock:
                self._sockets |= {client, server}
                pump = threading.Thread(target=self._pump, args=(client, server), daemon=True)
                self._pumps.append(pump)
            pump.start()

    def _pump(self, client: socket.socket, server: socket.socket) -> None:
        back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
        back.start()
        self._copy(client, server)
        back.join()
        with self._lock:
            self._sockets -= {client, server}
        client.close()
        server.close()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
