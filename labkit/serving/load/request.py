"""What is sent: a URL taken apart, and bodies made into the bytes of HTTP requests."""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.errors import UsageError

PATH = "/predict"  # of a URL that names none: where the servers of labkit.serving take requests


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go: an address, and what stands in their first lines."""

    url: str
    address: str
    port: int
    host_header: str
    path: str


def target_of(function: str, url: str) -> Target:
    """Take a URL apart and look up its host.

    Raises
    ------
    UsageError
        Not an ``http`` URL, or an unknown host. Whether a server answers there is found out by asking it.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{function}: {url!r} is no URL ({error}): pass one such as http://127.0.0.1:8000/predict."
        ) from None
    if parts.scheme != "http" or not host:
        raise UsageError(
            f"{function}: url is an http URL with a host, not {url!r} (TLS is not spoken): pass one such as "
            f"http://127.0.0.1:8000/predict."
        )
    path = parts.path if parts.path not in ("", "/") else PATH
    path += f"?{parts.query}" if parts.query else ""
    if any(letter <= " " or letter > "~" for letter in path + parts.netloc):
        raise UsageError(f"{function}: {url!r} has letters that no URL has: percent-encode them (urllib.parse.quote).")
    try:
        address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4]
    except OSError as error:
        raise UsageError(f"{function}: the host of {url} is not known ({error}): check its name.") from None
    return Target(url, address[0], port, parts.netloc.rpartition("@")[2], path)


def request_bytes(function: str, target: Target, bodies: object) -> list[bytes]:
    """The bytes of every different request, in the order they are used in turn.

    Parameters
    ----------
    bodies : bytes, str, dict, a sequence of these, or None
        A dict is sent as JSON. None sends GET requests without a body.
    """
    if bodies is None:
        return [_head("GET", target, None)]
    if isinstance(bodies, (bytes, bytearray, str, dict)):
        bodies = [bodies]
    if not isinstance(bodies, Sequence) or not len(bodies):
        raise UsageError(
            f"{function}: bodies is bytes, text, a dict, or a list with at least one of these, not "
            f"{type(bodies).__name__}: pass such as [b'{{\"rows\": [[0.0]]}}']."
        )
    contents = [_content(function, number, body) for number, body in enumerate(bodies)]
    return [_head("POST", target, content) + content for content in contents]


def _content(function: str, number: int, body: object) -> bytes:
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict):
        try:
            return json.dumps(body).encode()
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"{function}: bodies[{number}] cannot be written as JSON ({error}): use lists and numbers, not arrays."
            ) from None
    raise UsageError(f"{function}: a body is bytes, text or a dict, but bodies[{number}] is {type(body).__name__}.")


def _head(method: str, target: Target, content: bytes | None) -> bytes:
    lines = [f"{method} {target.path} HTTP/1.1", f"Host: {target.host_header}", "User-Agent: labkit",
             "Accept: */*"]
    if content is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode("ascii")
