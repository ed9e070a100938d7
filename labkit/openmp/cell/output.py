"""What a program prints with several numbers of threads: equal text once, different text with its number of threads."""

from __future__ import annotations

from collections.abc import Callable

from labkit.openmp.cell.result import threads_text

MOST_SHOWN = 50_000  # characters of each stream of each run
TAIL = 2_000  # of what is longer, the end is shown, too
COLOURS = (34, 31, 32, 35, 36, 33)  # ANSI


class Captured:
    """The text of one stream, with its middle left out if it is very long."""

    def __init__(self):
        self.head = ""
        self.tail = ""
        self.num_left_out = 0

    def add(self, text: str) -> str:
        """Keep text; returns the part that belongs to the head."""
        room = MOST_SHOWN - len(self.head)
        now, later = text[:room], text[room:]
        self.head += now
        if later:
            tail = self.tail + later
            self.num_left_out += max(0, len(tail) - TAIL)
            self.tail = tail[-TAIL:]
        return now

    @property
    def rest(self) -> str:
        """What is shown behind the head, at the end."""
        if not self.num_left_out:
            return self.tail
        return f"\n[... {self.num_left_out:,} characters are left out here ...]\n{self.tail}"

    @property
    def text(self) -> str:
        return self.head + self.rest


class ProgramOutput:
    """Shows the output of runs as it comes.

    The first run is shown at once. A later one is held back as long as it repeats the first; where it differs it is
    shown from its start.

    Parameters
    ----------
    several : bool
        Whether there are several numbers of threads: then each line says which.
    write : callable
        Gets ``"stdout"`` or ``"stderr"``, and text to show.
    """

    def __init__(self, several: bool, write: Callable[[str, str], None]):
        self.several, self._write = several, write
        self._first: dict[str, Captured] | None = None
        self._same: list[int] = []
        self._num_runs = 0

    def begin(self, num_threads: int, *, silent: bool = False) -> None:
        """A run starts; nothing of a ``silent`` one is shown."""
        self._num_threads, self._silent = num_threads, silent
        self._captured = {"stdout": Captured(), "stderr": Captured()}
        self._held: list[tuple[str, str]] | None = None if self._first is None else []
        self._lines = {"stdout": "", "stderr": ""}

    def add(self, stream: str, text: str) -> None:
        """Text that the program has printed."""
        now = self._captured[stream].add(text)
        if self._silent or not now:
            return
        if self._held is None:
            self._show(stream, now)
            return
        self._held.append((stream, now))
        if not self._first[stream].head.startswith(self._captured[stream].head):
            self._release()

    def end(self) -> tuple[str, str]:
        """The run has ended. Returns its stdout and stderr."""
        texts = {stream: captured.text for stream, captured in self._captured.items()}
        if not self._silent:
            if self._held is not None and any(texts[s] != self._first[s].text for s in texts):
                self._release()
            if self._held is None:
                for stream, captured in self._captured.items():
                    self._show(stream, captured.rest, last=True)
            elif any(texts.values()):
                self._same.append(self._num_threads)
            if self._first is None:
                self._first = self._captured
        self._silent = True
        return texts["stdout"], texts["stderr"]

    def finish(self) -> None:
        """All runs have ended: say which printed the same as the first."""
        if self._same:
            numbers = ", ".join(map(str, self._same))
            self._write("stdout", f"(the same output with {numbers} {'thread' if self._same == [1] else 'threads'})\n")

    def _release(self) -> None:
        held, self._held = self._held or [], None
        for stream, text in held:
            self._show(stream, text)

    def _show(self, stream: str, text: str, *, last: bool = False) -> None:
        if not self.several:
            if text:
                self._write(stream, text)
            return
        text = self._lines[stream] + text
        cut = len(text) if last else text.rfind("\n") + 1
        self._lines[stream] = text[cut:]
        if text[:cut]:
            lines = text[:cut].removesuffix("\n").split("\n")
            start = self._label()
            self._write(stream, "".join(f"{start}{line}\n" for line in lines))

    def _label(self) -> str:
        colour = COLOURS[(self._num_threads - 1) % len(COLOURS)]
        return f"\x1b[{colour}m{threads_text(self._num_threads)} │\x1b[0m "
