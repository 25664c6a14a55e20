"""A relay between a client and the server that loses the answer to a commit: done there, never heard of here."""

from __future__ import annotations

import socket
import threading
from collections import Counter

# What ends a transaction's answer, and what those bring that end without a word for it: `pg_add`, and the runs of `pg_at_once`.
CLAIMED = b"\0\0\0\7running"
COMMITTED = (b"COMMIT\0", b"added\0", CLAIMED)


class Proxy:
    """Relays bytes to a Unix socket. `lose_next` closes the client's connection when the next commit's answer comes."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.lose_next = False
        self.lost = 0
        self.lost_by: Counter[bytes] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            for source, sink, answers in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._relay, args=(source, sink, answers), daemon=True).start()

    def _relay(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while piece := source.recv(65536):
                marks = [mark for mark in COMMITTED if mark in piece] if answers and self.lose_next else []
                if marks:
                    self.lose_next = False
                    self.lost_by.update(marks)
                    self.lost += 1
                    break
                sink.sendall(piece)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self) -> None:
        self._listener.close()
