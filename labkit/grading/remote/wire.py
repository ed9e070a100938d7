"""The format between judge and ranks: JSON with arrays behind it. Nothing is ever unpickled by the judge."""

from __future__ import annotations

import json
import math
import re
import socket
import struct
import sys
import time
from typing import Any

import numpy as np

MAX_FRAME_BYTES = 1 << 28
UNLIMITED = 1 << 40  # for the side that trusts the other
HEADER_WEIGHT = 20  # a byte of JSON may become so many bytes of Python objects
HEAD = struct.Struct(">II")
PIECE_BYTES = 1 << 16
PLAIN_KINDS = "biufcSU"
PLAIN_TYPE = re.compile(r"[<>|=]?[biufcSU][0-9]{1,6}")  # nothing else goes to numpy.dtype, which understands too much
MAX_DEPTH = 40
MAX_ODD_KEYS = 256  # of a dict, other than texts and small integers: those could be made to collide
SMALL = 2**61 - 1  # below, integers are their own hashes


def _json_encoder():
    """Of JSON texts: one encoder for all, where ``json`` would make one for every text."""
    encoder = json.JSONEncoder(separators=(",", ":"))
    if json.encoder.c_make_encoder is None:
        return encoder.encode
    make = json.encoder.c_make_encoder(
        None, encoder.default, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True
    )
    return lambda value: "".join(make(value, 0))


_to_json = _json_encoder()
_from_json = json.JSONDecoder().decode


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
    """One end of a connection: frames of a JSON value and blocks of bytes.

    Attributes
    ----------
    max_bytes : int
        A frame that needs more memory than this is refused before it is read.
    cost : int
        Bytes of memory that the last frame needed, at most.
    """

    def __init__(self, sock: socket.socket, max_bytes: int = MAX_FRAME_BYTES):
        self.sock = sock
        self.deadline: float | None = None  # of time.monotonic
        self.max_bytes = max_bytes
        self.cost = 0
        self._kernel_s = 0.0
        self._rest = b""

    def set_deadline(self, seconds: float) -> None:
        """From now on, whatever takes longer than so many seconds from now raises Late."""
        self.deadline = time.monotonic() + seconds
        self._tell_kernel(seconds)

    def _tell_kernel(self, seconds: float) -> None:
        """A wait ends after so long: so no call is needed to wait before each call."""
        self._kernel_s = seconds
        limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1e6) + 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def _check_deadline(self) -> None:
        if self.deadline is None:
            return
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise Late
        if left < 0.9 * self._kernel_s:  # the next wait may take as long as is left, not as long as was given
            self._tell_kernel(left)

    def send(self, value: Any, blocks: list = ()) -> None:
        """Send one frame.

        Raises
        ------
        Closed, Late, WireError
        """
        parts = [block if isinstance(block, bytes) else memoryview(block).cast("B") for block in blocks]
        sizes = [len(part) for part in parts]
        header = _to_json([value, sizes]).encode()
        body_size = sum(sizes)
        if max(len(header), body_size) >= 1 << 32:
            raise WireError(f"a frame of {body_size} bytes is too large")
        frame = b"".join((HEAD.pack(len(header), body_size), header, *parts))
        try:
            sent = self.sock.send(frame)
            while sent < len(frame):
                self._check_deadline()  # whoever reads slowly does not win time
                sent += self.sock.send(memoryview(frame)[sent:])
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
        self.cost = HEADER_WEIGHT * header_size + body_size
        if self.cost > self.max_bytes:
            raise WireError(f"a message of {header_size + body_size} bytes: there is room for {self.max_bytes}")
        end = HEAD.size + header_size + body_size
        if len(data) < end:
            data = self._all(data, end)
        self._rest = data[end:] if len(data) > end else b""
        view = memoryview(data)
        try:
            start = HEAD.size + header_size
            value, sizes = _from_json(str(view[HEAD.size : start], "utf-8"))
            blocks = []
            for size in sizes:
                if type(size) is not int or size < 0 or start + size > end:
                    raise ValueError(f"a block of {size!r:.40} bytes")
                blocks.append(view[start : start + size])
                start += size
        except (ValueError, TypeError, RecursionError) as error:
            raise WireError(f"a frame that cannot be read: {str(error):.200}") from None
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
        self._check_deadline()
        return data

    def _all(self, begun: bytes, size: int) -> bytearray:
        data = bytearray(size)
        data[: len(begun)] = begun
        view, have = memoryview(data), len(begun)
        while have < size:  # a rank speaks when it is asked: nothing follows a frame
            try:
                number = self.sock.recv_into(view[have:])
            except (TimeoutError, BlockingIOError):
                raise Late from None
            except ConnectionResetError:
                raise Closed from None
            if not number:
                raise Closed
            self._check_deadline()
            have += number
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
    """The inverse of :func:`encode`; arrays are fresh and can be written.

    Raises
    ------
    WireError
        Nothing that :func:`encode` makes.
    """
    try:
        return _decode(value, blocks, 0)
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError) as error:
        raise WireError(f"a value that cannot be read: {str(error):.200}") from None


def _decode(value: Any, blocks: list, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return [_decode(item, blocks, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    ((word, content),) = value.items()
    if word == "tuple":
        return tuple([_decode(item, blocks, depth + 1) for item in content])
    if word == "dict":
        return _decode_dict(content, blocks, depth)
    if word == "bytes":
        return bytes(blocks[content])
    if word == "complex":
        real, imag = content
        return complex(float(real), float(imag))
    if word == "int" and isinstance(content, str):
        return int(content)
    if word == "odd":
        return Odd(plain_text(content, 80))
    if word in ("array", "scalar"):
        code, shape, number = content
        array = _plain_array(blocks[number], plain_dtype(code)).reshape(plain_shape(shape))
        return array if word == "array" else array[()]
    raise WireError(f"a value of the unknown kind {word!r:.40}")


def _decode_dict(items: list, blocks: list, depth: int) -> dict:
    found, num_odd = {}, 0
    for key, value in items:
        key = _decode(key, blocks, depth + 1)
        if not (isinstance(key, str) or (isinstance(key, int) and abs(key) < SMALL)):
            num_odd += 1
            if num_odd > MAX_ODD_KEYS:
                raise ValueError(f"more than {MAX_ODD_KEYS} keys that are neither texts nor small integers")
        found[key] = _decode(value, blocks, depth + 1)
    return found


def _plain_array(block, dtype: np.dtype) -> np.ndarray:
    if dtype.kind == "b":
        return np.frombuffer(block, np.uint8) != 0  # a truth value has one of two patterns, whatever has arrived
    if dtype.kind == "U":
        points = np.frombuffer(block, np.dtype(np.uint32).newbyteorder(dtype.byteorder))
        if points.size and points.max() > sys.maxunicode:
            raise ValueError(f"there is no character {points.max()}")
    return np.frombuffer(block, dtype).copy()


def plain_dtype(code: Any) -> np.dtype:
    """The type of an array of plain data; ValueError or TypeError if it is none."""
    if not isinstance(code, str) or not PLAIN_TYPE.fullmatch(code):
        raise ValueError(f"{code!r:.40} is no type of plain data")
    return np.dtype(code)


def plain_shape(shape: Any) -> tuple[int, ...]:
    """The shape of an array; ValueError if it is none."""
    if not isinstance(shape, list) or not all(type(extent) is int and 0 <= extent < 2**62 for extent in shape):
        raise ValueError(f"{shape!r:.40} is no shape")
    if 0 in shape and math.prod(extent for extent in shape if extent) >= 2**40:
        raise ValueError(f"{shape!r:.40} is no shape of an array without elements")
    return tuple(shape)


def plain_text(text: Any, limit: int) -> str:
    """A text that can be printed and stored anywhere: at most so long, control characters shown as they are written."""
    if not isinstance(text, str):
        return ""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape", "backslashreplace").decode()
        for char in text[:limit]
    )
