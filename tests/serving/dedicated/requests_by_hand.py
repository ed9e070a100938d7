"""Requests as bytes, for tests that send what no client library would."""

import json
import socket
import time

import numpy as np


def rows_of(seed: int, num_rows: int = 1) -> list:
    """Pixels of digits, at random."""
    return np.random.default_rng(seed).integers(0, 17, (num_rows, 64)).tolist()


def connect(port: int, timeout_s: float = 60) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout_s)


def request(body: bytes, *, path="/predict", method="POST", headers=()) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_answer(connection: socket.socket):
    """(status, headers, body); ConnectionError if it ends before."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _more(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    while len(body) < int(headers["content-length"]):
        body += _more(connection)
    return int(first.split()[1]), headers, json.loads(body) if "json" in headers["content-type"] else body.decode()


def _more(connection) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise ConnectionError("the connection ended")
    return data


def ask(port: int, body=None, **options):
    """One request on a connection of its own: (status, headers, body)."""
    if body is None:
        body, options = b"", {"method": "GET", **options}
    elif not isinstance(body, bytes):
        body = json.dumps({"rows": body}).encode()
    with connect(port) as connection:
        connection.sendall(request(body, **options))
        return read_answer(connection)


def wait_until(condition, timeout_s: float = 60):
    """The first true value of ``condition()``."""
    limit = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < limit, "it did not happen"
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
