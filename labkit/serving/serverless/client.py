"""The owner's side of the connections to the service: one a thread, kept open."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPResponse

from labkit.errors import LabkitError

ASK_LIMIT_S = 60.0


class ServiceClient:
    """Speaks to the service on `port`; `said` returns what the service wrote to its standard error, for messages."""

    def __init__(self, port: int, said: Callable[[], str]):
        self.port, self._said = port, said
        self._local = threading.local()

    def request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout_s: float
    ) -> tuple[HTTPResponse, bytes]:
        """One exchange, on the connection of this thread.

        Raises
        ------
        LabkitError
            No answer in time, or the service is gone.
        """
        connection = self._connection()
        connection.timeout = timeout_s
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(timeout_s)
            try:
                connection.request(method, path, body, headers)
            except (BrokenPipeError, ConnectionResetError):
                pass  # refused before all was sent; the answer says why
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError:
            connection.close()
            raise LabkitError(f"no answer from the function after {timeout_s:g} s; its logs() may say why.") from None
        except (OSError, HTTPException) as error:
            connection.close()
            raise LabkitError(f"the service of the function closed the connection ({error}): {self._said()}") from None
        except BaseException:  # the Stop button: the answer to this request must not become the next one's
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        return answer, content

    def _connection(self) -> HTTPConnection:
        connection = getattr(self._local, "connection", None)
        if connection is None or self._local.pid != os.getpid():  # a forked process has its own
            connection = self._local.connection = HTTPConnection("127.0.0.1", self.port)
            self._local.pid = os.getpid()
        return connection

    def ask(self, what: str) -> object:
        """The answer to ``GET /labkit/...``, decoded."""
        answer, content = self.request("GET", f"/labkit/{what}", None, {}, ASK_LIMIT_S)
        if answer.status != 200:
            raise LabkitError(
                f"the service of the function answered {answer.status}: {content[:500].decode('utf-8', 'replace')}"
            )
        return json.loads(content)
