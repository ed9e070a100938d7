"""How the output of several ranks is shown under one cell: every line says whose it is."""

from __future__ import annotations

import sys
import time

from IPython.display import publish_display_data

RANK_COLOURS = (34, 31, 32, 35, 36, 33)  # ANSI; repeated when there are more ranks
FLUSH_EVERY_S = 0.2
RICH = ("text/html", "text/latex", "text/markdown", "application/", "image/")


def label(rank: int, width: int = 1) -> str:
    """The start of a line of a rank's output."""
    colour = RANK_COLOURS[rank % len(RANK_COLOURS)]
    return f"\x1b[{colour}mrank {rank:>{width}} │\x1b[0m "


class RankOutput:
    """Collects what ranks print and shows it by whole lines, ranks in order at each flush."""

    def __init__(self, num_ranks: int):
        self.width = len(str(num_ranks - 1))
        self.parts: dict[tuple[int, str], str] = {}
        self.flushed = time.monotonic()

    def text(self, rank: int, stream: str, text: str) -> None:
        """Text that a rank has printed; shown at the next flush."""
        self.parts[rank, stream] = self.parts.get((rank, stream), "") + text

    def flush_now_and_then(self) -> None:
        """Show complete lines unless some were shown a moment ago: short cells come out in order."""
        if time.monotonic() - self.flushed > FLUSH_EVERY_S:
            self.flush()

    def flush(self, *, all_of_it: bool = False) -> None:
        """Show complete lines; with ``all_of_it`` also a last line without an end."""
        self.flushed = time.monotonic()
        for (rank, stream), text in sorted(self.parts.items()):
            end = len(text) if all_of_it else text.rfind("\n") + 1
            if end:
                self._write(rank, stream, text[:end])
                self.parts[rank, stream] = text[end:]

    def display(self, rank: int, content: dict) -> None:
        """Something that a rank has displayed, for example a figure."""
        self.flush(all_of_it=True)
        self._bundle(rank, content["data"], content.get("metadata", {}), "")

    def result(self, rank: int, bundle: dict) -> None:
        """The value of the last expression of a rank's cell."""
        self._bundle(rank, bundle["data"], bundle["metadata"], "Out: ")

    def _bundle(self, rank: int, data: dict, metadata: dict, prefix: str) -> None:
        if any(mime.startswith(RICH) for mime in data):
            self._write(rank, "stdout", prefix.rstrip() + "\n")
            publish_display_data(data, metadata)
        else:
            self._write(rank, "stdout", prefix + data.get("text/plain", "") + "\n")

    def _write(self, rank: int, stream: str, text: str) -> None:
        start = label(rank, self.width)
        lines = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]  # keep what \r leaves visible
        if lines[-1] == "":
            lines.pop()
        target = getattr(sys, stream)
        target.write("".join(f"{start}{line}\n" for line in lines))
        target.flush()
