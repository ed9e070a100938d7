"""The format between judge and ranks: JSON with arrays behind it. Nothing is ever unpickled by the judge."""

from __future__ import annotations

import json
import socket
import struct
import time
from typing import Any

import numpy as np

MAX_FRAME_BYTES = 1 << 28
HEAD = struct.Struct(">II")
PIECE_BYTES = 1 << 16
PLAIN_KINDS = "biufcSU"


_to_json = json.JSONEncoder(separators=(",", ":")).encode


class WireError(Exception):
    """What has arrived is not in the format, or cannot be put into it."""


class Closed(Exception):
    """The other side has closed the connection: its process has ended."""


class Late(Exception):
    """Nothing arrived before the deadline."""


class Odd:
    """Stands for a value of an answer that is no plain data: equal to nothing, and shown by its type."""

    def __init__(self, type_name: str):
        self.type_name = type_name

    def __repr__(self):
        return f"an object of type {self.type_name}"


class Link:
    """One end of a connection: frames of a JSON value and blocks of bytes."""

    def __init__(self, sock: socket.socket):
        self.sock = sock
        self.deadline: float | None = None  # of time.monotonic
        self._rest = b""

    def set_deadline(self, seconds: float) -> None:
        """From now on, whatever takes longer than so many seconds from now raises Late."""
        self.deadline = time.monotonic() + seconds
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) + 1)  # the kernel's: no call to wait before each call
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def send(self, value: Any, blocks: list = ()) -> None:
        """Send one frame."""
        parts = [block if isinstance(block, bytes) else memoryview(block).cast("B") for block in blocks]
        sizes = [len(part) for part in parts]
        header = _to_json([value, sizes]).encode()
        frame = b"".join((HEAD.pack(len(header), sum(sizes)), header, *parts))
        try:
            self.sock.sendall(frame)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None
        except (TimeoutError, BlockingIOError):
            raise Late from None

    def receive(self) -> tuple[Any, list[memoryview]]:
        """The next frame.

        Raises
        ------
        Closed, Late, WireError
        """
        data = self._rest or self._some()
        while len(data) < HEAD.size:
            data += self._some()
        header_size, body_size = HEAD.unpack_from(data)
        end = HEAD.size + header_size + body_size
        if end > MAX_FRAME_BYTES:
            raise WireError(f"a frame of {end} bytes: at most {MAX_FRAME_BYTES} are taken")
        if len(data) < end:
            data = self._all(data, end)
        self._rest = data[end:] if len(data) > end else b""
        view = memoryview(data)
        try:
            start = HEAD.size + header_size
            value, sizes = json.loads(bytes(view[HEAD.size : start]))
            blocks = []
            for size in sizes:
                if size < 0 or start + size > end:
                    raise ValueError(size)
                blocks.append(view[start : start + size])
                start += size
        except (ValueError, TypeError, RecursionError) as error:
            raise WireError(f"a frame that cannot be read: {error}") from None
        return value, blocks

    def _some(self) -> bytes:
        """What has arrived, at least a byte."""
        try:
            data = self.sock.recv(PIECE_BYTES)
        except (TimeoutError, BlockingIOError):
            raise Late from None
        except ConnectionResetError:
            raise Closed from None
        if not data:
            raise Closed
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise Late
        return data

    def _all(self, begun: bytes, size: int) -> bytearray:
        data = bytearray(size)
        data[: len(begun)] = begun
        have = len(begun)
        while have < size:
            piece = self._some()
            data[have : have + len(piece)] = piece  # a rank speaks when it is asked: nothing follows a frame
            have += len(piece)
        return data

    def close(self) -> None:
        self.sock.close()


def encode(value: Any, blocks: list) -> Any:
    """A value as JSON; the contents of its arrays are appended to ``blocks``.

    Raises
    ------
    WireError
        It is no plain data.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value if kind is not int or -(2**62) < value < 2**62 else {"int": str(value)}
    if kind is list:
        return [encode(item, blocks) for item in value]
    if kind is tuple:
        return {"tuple": [encode(item, blocks) for item in value]}
    if kind is dict:
        return {"dict": [[encode(k, blocks), encode(v, blocks)] for k, v in value.items()]}
    if kind is bytes:
        blocks.append(value)
        return {"bytes": len(blocks) - 1}
    if kind is complex:
        return {"complex": [value.real, value.imag]}
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in PLAIN_KINDS:
        array = np.ascontiguousarray(value)
        blocks.append(array.reshape(-1).view(np.uint8) if array.size else b"")
        word = "array" if isinstance(value, np.ndarray) else "scalar"
        return {word: [array.dtype.str, list(np.shape(value)), len(blocks) - 1]}
    raise WireError(f"{kind.__name__} is no plain data")


def decode(value: Any, blocks: list) -> Any:
    """The inverse of :func:`encode`; arrays are fresh and can be written."""
    if isinstance(value, list):
        return [decode(item, blocks) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        ((word, content),) = value.items()
        if word == "tuple":
            return tuple(decode(item, blocks) for item in content)
        if word == "dict":
            return {decode(k, blocks): decode(v, blocks) for k, v in content}
        if word == "bytes":
            return bytes(blocks[content])
        if word == "complex":
            return complex(*content)
        if word == "int":
            return int(content)
        if word == "odd":
            return Odd(str(content)[:80])
        if word in ("array", "scalar"):
            code, shape, number = content
            dtype = np.dtype(code)
            if dtype.kind not in PLAIN_KINDS:
                raise ValueError(code)
            array = np.frombuffer(blocks[number], dtype).reshape(shape).copy()
            return array if word == "array" else array[()]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise WireError(f"a value that cannot be read: {error}") from None
    raise WireError(f"a value of the unknown kind {word!r}")
