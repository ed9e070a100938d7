"""An exception of an answer: in words for the judge, and what the judge makes of them."""

from __future__ import annotations

import linecache
import traceback

from labkit.comm.source_lines import CELL_FILENAME
from labkit.grading.remote.wire import WireError, plain_text

ANSWER_FILE = f"{CELL_FILENAME}answer>"
MAX_WORDS = 4000
MAX_FRAMES = 12
MAX_LINE = 100_000


class AnswerRaised(Exception):
    """The answer raised an exception: its type, its words, and its traceback as text."""

    def __init__(self, kind: str, words: str, trace: str, line: int | None):
        super().__init__(f"{kind}: {words}")
        self.kind, self.words, self.trace, self.line = kind, words, trace, line


class ForbiddenCall(Exception):
    """The answer made a call that the exercise forbids."""

    def __init__(self, name: str, line: int | None):
        super().__init__(name)
        self.name, self.line = name, line


def raised(error: BaseException) -> list:
    """Type, words, traceback with lines of the answer only, and its last line or None."""
    try:
        words = str(error)[:MAX_WORDS]
    except BaseException:
        words = "(its message could not be made)"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == ANSWER_FILE]
    lines = []
    for frame in frames[-MAX_FRAMES:]:
        text = linecache.getline(ANSWER_FILE, frame.lineno).strip()
        lines.append(f"  line {frame.lineno}, in {frame.name}\n    {text}")
    line = frames[-1].lineno if frames else None
    if isinstance(error, SyntaxError) and error.filename == ANSWER_FILE:
        line = error.lineno
        lines.append(f"  line {line}\n    {(error.text or '').strip()}")
        words = error.msg
    return [type(error).__name__, words, "\n".join(lines), line]


def raised_from(words) -> AnswerRaised:
    """What :func:`raised` has made, checked.

    Raises
    ------
    WireError
        Something else has arrived.
    """
    if not isinstance(words, list) or len(words) != 4:
        raise WireError("an exception without its words")
    kind, text, trace, line = words
    return AnswerRaised(
        plain_text(kind, 200) or "an exception", plain_text(text, MAX_WORDS), plain_text(trace, 20_000),
        line if type(line) is int and 0 < line < MAX_LINE else None,
    )
