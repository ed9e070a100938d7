"""Where the processes of the probe report to: a socket at the address that the controller would use."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time

MAX_LINE_BYTES = 1 << 16
MAX_REPORTS = 10_000
PATIENCE_S = 30.0


class Listener:
    """Listens at an address, and nowhere else, until it is closed; use it in a ``with`` block.

    Attributes
    ----------
    port : int
        That was free.
    token : str
        What a connection must say first; others are closed.
    reports : list of dict
        That have arrived.

    Raises
    ------
    OSError
        This machine has no such address.
    """

    def __init__(self, address: str):
        self.token = secrets.token_hex(16)
        self.reports: list[dict] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.bind((address, 0))
            self._socket.listen(256)
        except BaseException:
            self._socket.close()
            raise
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True, name="labkit doctor").start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *error) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True, name="labkit doctor").start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), connection, connection.makefile("rwb") as stream:
            connection.settimeout(PATIENCE_S)
            if not secrets.compare_digest(stream.readline(MAX_LINE_BYTES).strip(), self.token.encode()):
                return
            while line := stream.readline(MAX_LINE_BYTES):
                if line == b"clock\n":
                    stream.write(f"{time.time()!r}\n".encode())
                    stream.flush()
                elif len(self.reports) < MAX_REPORTS:
                    self.reports.append(json.loads(line))
