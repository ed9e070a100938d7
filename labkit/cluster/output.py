"""Printed text and displayed values of a rank, kept within bounds."""

from __future__ import annotations

import io
from collections import deque

LIMIT_CHARS = 200_000  # a rank and cell are shown at most about this much text
TAIL_CHARS = 50_000  # of which so much is the end
LIMIT_BINARY = 20_000_000  # an image


class LimitedStream(io.TextIOBase):
    """A text stream that passes on the beginning and the end of what is written to it.

    What lies between is counted and dropped, so that a cell which prints without end costs the
    notebook nothing. :meth:`close_cell` writes what was held back and says what was dropped.
    """

    def __init__(self, stream, limit_chars: int = LIMIT_CHARS, tail_chars: int = TAIL_CHARS):
        self.stream = stream
        self.head_chars, self.tail_chars = limit_chars - tail_chars, tail_chars
        self.begin_cell()

    def begin_cell(self) -> None:
        """Allow as much as at the start again; what holds on to this stream (a log handler) goes on."""
        self.head_left = self.head_chars
        self.tail: deque[str] = deque()
        self.num_tail = self.num_dropped = 0

    def writable(self) -> bool:
        return True

    @property
    def encoding(self):
        return getattr(self.stream, "encoding", "utf-8")

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self.stream.fileno()

    def flush(self) -> None:
        self.stream.flush()

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        size = len(text)
        if self.head_left > 0:
            self.stream.write(text[: self.head_left])
            text, self.head_left = text[self.head_left :], self.head_left - size
        if text:
            self._hold(text)
        return size

    def _hold(self, text: str) -> None:
        self.tail.append(text)
        self.num_tail += len(text)
        while self.num_tail > self.tail_chars:
            oldest = self.tail[0]
            excess = min(len(oldest), self.num_tail - self.tail_chars)
            self.num_dropped += excess
            self.num_tail -= excess
            if excess == len(oldest):
                self.tail.popleft()
            else:
                self.tail[0] = oldest[excess:]

    def close_cell(self) -> None:
        """Write what was held back."""
        if self.num_dropped:
            self.stream.write(
                f"\n[... {self.num_dropped:,} characters are not shown: a rank shows at most "
                f"{LIMIT_CHARS:,} a cell ...]\n"
            )
        self.stream.write("".join(self.tail))
        self.tail.clear()
        self.num_tail = self.num_dropped = 0
        self.stream.flush()


def limit_bundle(data: dict, metadata: dict) -> dict:
    """A display bundle without the forms that are too large to show."""
    kept = {
        mime: value
        for mime, value in data.items()
        if not isinstance(value, (str, bytes))
        or len(value) <= (LIMIT_CHARS if mime.startswith("text/") else LIMIT_BINARY)
    }
    if "text/plain" not in kept:
        text = data.get("text/plain")
        if text is None:  # its __repr__ has failed, and IPython has shown how
            kept["text/plain"] = "(a value that cannot be shown)"
        else:
            kept["text/plain"] = f"{text[:1000]} [... {len(text) - 1000:,} more characters]"
    return {"data": kept, "metadata": metadata}
