"""How the output of several ranks is shown under one cell: every line says whose it is."""

from __future__ import annotations

import sys
import time

from IPython.display import publish_display_data

from labkit.comm.deadlock import ranks_text

RANK_COLOURS = (34, 31, 32, 35, 36, 33)  # ANSI; repeated when there are more ranks
FLUSH_EVERY_S = 0.2
MANY_RANKS = 16  # beyond, equal output of several ranks is shown once
MAX_GROUPS = 64  # of ranks that print different things, shown at a time
RICH = ("text/html", "text/latex", "text/markdown", "application/", "image/")


def label(ranks: int | list[int], width: int = 1) -> str:
    """The start of a line of the output of a rank, or of ranks that show the same."""
    ranks = [ranks] if isinstance(ranks, int) else ranks
    colour = RANK_COLOURS[ranks[0] % len(RANK_COLOURS)]
    words = f"rank {ranks[0]:>{width}}" if len(ranks) == 1 else ranks_text(ranks)
    return f"\x1b[{colour}m{words} │\x1b[0m "


class RankOutput:
    """Collects what ranks print and shows it by whole lines, ranks in order at each flush."""

    def __init__(self, num_ranks: int):
        self.num_ranks = num_ranks
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
        ready: dict[tuple, list[int]] = {}
        for (rank, stream), text in sorted(self.parts.items()):
            end = len(text) if all_of_it else text.rfind("\n") + 1
            if end:
                key = (stream, text[:end]) if self.num_ranks > MANY_RANKS else (stream, text[:end], rank)
                ready.setdefault(key, []).append(rank)
                self.parts[rank, stream] = text[end:]
        self._write_groups([(ranks, stream, text) for (stream, text, *_), ranks in ready.items()])

    def display(self, rank: int, content: dict) -> None:
        """Something that a rank has displayed, for example a figure."""
        self.flush(all_of_it=True)
        self._bundle(rank, content["data"], content.get("metadata", {}), "")

    def results(self, bundles: dict[int, dict]) -> None:
        """The values of the last expression of the cell, by rank."""
        if self.num_ranks <= MANY_RANKS:
            for rank, bundle in bundles.items():
                self._bundle(rank, bundle["data"], bundle["metadata"], "Out: ")
            return
        same: dict[str, list[int]] = {}
        for rank, bundle in bundles.items():
            same.setdefault(bundle["data"].get("text/plain", ""), []).append(rank)
        self._write_groups([(ranks, "stdout", f"Out: {text}\n") for text, ranks in same.items()])

    def _bundle(self, rank: int, data: dict, metadata: dict, prefix: str) -> None:
        if any(mime.startswith(RICH) for mime in data):
            self._write(rank, "stdout", prefix.rstrip() + "\n")
            publish_display_data(data, metadata)
        else:
            self._write(rank, "stdout", prefix + data.get("text/plain", "") + "\n")

    def _write_groups(self, groups: list[tuple[list[int], str, str]]) -> None:
        """Text of ranks that show the same, once; the first and the last few if there are very many."""
        left_out = groups[MAX_GROUPS - 8 : -8] if len(groups) > MAX_GROUPS else []
        for position, (ranks, stream, text) in enumerate(groups):
            if left_out and position == MAX_GROUPS - 8:
                sys.stdout.write(f"[... {ranks_text(sum((r for r, *_ in left_out), []))} show other things ...]\n")
            if not left_out or position < MAX_GROUPS - 8 or position >= len(groups) - 8:
                self._write(ranks, stream, text)

    def _write(self, ranks: int | list[int], stream: str, text: str) -> None:
        start = label(ranks, self.width)
        lines = [line.rsplit("\r", 1)[-1] for line in text.split("\n")]  # keep what \r leaves visible
        if lines[-1] == "":
            lines.pop()
        target = getattr(sys, stream)
        target.write("".join(f"{start}{line}\n" for line in lines))
        target.flush()
