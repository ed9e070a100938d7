"""How far somebody has come: a small file on their own machine.

The file holds lessons that were opened, points of questions, boxes of flashcards and points of exercises,
by name, and nothing about the person. ``LABKIT_PROGRESS`` names another file.

- What is kept is read, changed and written back under a lock, so that several notebooks at once lose
  nothing of each other's; points only ever rise.
- A file is replaced in one step: a reader sees the old one or the new one.
- A file that cannot be understood is set aside under another name, and a new one is begun.
- Keeping progress never stops a notebook: the ``record_...`` functions return what went wrong, in words.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.grading.outcomes import Verdict

try:
    import fcntl
except ImportError:  # not on Windows: there, two notebooks at once may lose an entry, never the file
    fcntl = None

FORMAT = 1
LOCK_TIMEOUT_S = 5.0


def progress_path() -> Path:
    """Where progress is kept: ``LABKIT_PROGRESS``, or ``labkit/progress.json`` in the user's folder for data."""
    named = os.environ.get("LABKIT_PROGRESS")
    if named:
        return Path(named).expanduser()
    if base := os.environ.get("XDG_DATA_HOME"):
        return Path(base, "labkit", "progress.json")
    folder = "Library/Application Support" if sys.platform == "darwin" else ".local/share"
    return Path.home() / folder / "labkit" / "progress.json"


@dataclass(frozen=True)
class Progress:
    """What is kept, as it was read."""

    content: Mapping

    def _lesson(self, lesson: str) -> Mapping:
        return _mapping(_mapping(self.content.get("lessons")).get(lesson))

    def visited(self, lesson: str) -> bool:
        """Whether the quiz, cards or summary of the lesson have ever been opened."""
        return self._lesson(lesson).get("visited") is True

    def quiz_points(self, lesson: str) -> dict[str, float]:
        """The best points of each question of a lesson."""
        kept = _mapping(self._lesson(lesson).get("quiz"))
        return {name: points for name, points in kept.items() if _is_number(points)}

    def boxes(self, lesson: str) -> dict[str, int]:
        """The box of each flashcard of a lesson."""
        kept = _mapping(self._lesson(lesson).get("cards"))
        return {term: int(box) for term, box in kept.items() if _is_number(box) and box >= 0}

    def card_rounds(self, lesson: str) -> int:
        """Rounds through the flashcards of a lesson."""
        number = self._lesson(lesson).get("card_rounds")
        return int(number) if _is_number(number) and number >= 0 else 0

    def exercises(self) -> dict[str, dict]:
        """By ``"topic/name"``: the best ``points``, the ``max_points``, and whether it was ever ``passed``."""
        kept = _mapping(self.content.get("exercises"))
        return {
            name: {"points": entry["points"], "max_points": entry["max_points"], "passed": entry.get("passed") is True}
            for name, entry in kept.items()
            if isinstance(entry, dict) and _is_number(entry.get("points")) and _is_number(entry.get("max_points"))
        }


def read_progress() -> Progress:
    """What is kept; empty, if there is nothing or nothing that can be read."""
    try:
        return Progress(_parsed(progress_path().read_bytes()))
    except (OSError, ValueError):
        return Progress({})


def record_visit(lesson: str) -> str:
    """Keep that a lesson was opened. Returns "", or why it could not be kept."""
    if read_progress().visited(lesson):
        return ""
    return _change(lambda content: _entry(content, "lessons", lesson).update(visited=True))


def record_quiz(lesson: str, points: Mapping[str, float]) -> str:
    """Keep points of questions, by name, where they are better than before. Returns as :func:`record_visit`."""

    def change(content: dict) -> None:
        kept = _entry(content, "lessons", lesson, "quiz")
        for name, value in points.items():
            before = kept.get(name)
            kept[name] = max(float(value), before) if _is_number(before) else float(value)

    return _change(change)


def record_card(lesson: str, term: str, box: int, number: int) -> str:
    """Keep the box of a flashcard, and the number of the round. Returns as :func:`record_visit`."""

    def change(content: dict) -> None:
        entry = _entry(content, "lessons", lesson)
        _entry(content, "lessons", lesson, "cards")[term] = box
        before = entry.get("card_rounds")
        entry["card_rounds"] = max(number, before) if _is_number(before) else number

    return _change(change)


def record_exercise(verdict: Verdict) -> str:
    """Keep the points of an exercise, if they are better than before. Returns as :func:`record_visit`."""

    def change(content: dict) -> None:
        entry = _entry(content, "exercises", verdict.exercise)
        before = entry.get("points")
        entry["points"] = max(float(verdict.points), before) if _is_number(before) else float(verdict.points)
        entry["max_points"] = float(verdict.max_points)
        entry["passed"] = entry.get("passed") is True or verdict.passed

    return _change(change)


def reset_progress() -> Path | None:
    """Begin anew: the file is set aside, not deleted. Returns its new name, or None if there was none."""
    path = progress_path()
    if not path.exists():
        return None
    with _locked(path):
        return _set_aside(path, "old")


# -- the file ---------------------------------------------------------------------------------------


def _change(change: Callable[[dict], None]) -> str:
    path = progress_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            content = _content_to_change(path)
            before = json.dumps(content)
            change(content)
            if json.dumps(content) != before:
                _replace(path, content)
    except OSError as error:
        return f"Your progress could not be kept in {path}: {error}. Name another file in LABKIT_PROGRESS."
    return ""


def _content_to_change(path: Path) -> dict:
    try:
        return _parsed(path.read_bytes())
    except FileNotFoundError:
        pass
    except ValueError:
        _set_aside(path, "damaged")
    return {"format": FORMAT}


def _parsed(data: bytes) -> dict:
    try:
        content = json.loads(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError("not a file of progress, or one of another version")
    return content


def _replace(path: Path, content: dict) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, sort_keys=True)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise


def _set_aside(path: Path, word: str) -> Path:
    """Another name for a file: ``progress.damaged-1.json``, or -2, ..."""
    number = 1
    while (aside := path.with_name(f"{path.stem}.{word}-{number}{path.suffix}")).exists():
        number += 1
    os.replace(path, aside)
    return aside


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process and thread at a time. The lock goes with its open file, so a killed process leaves none."""
    if fcntl is None:
        yield
        return
    with open(path.with_name(f".{path.name}.lock"), "w") as file:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"another process has held the lock for {LOCK_TIMEOUT_S:g} s") from None
                time.sleep(0.01)
            except OSError:  # a file system without locks
                break
        yield


# -- parts of the content ---------------------------------------------------------------------------


def _entry(content: dict, *keys: str) -> dict:
    """A table in tables, made where there is none; anything else in its place is replaced."""
    for key in keys:
        if not isinstance(content.get(key), dict):
            content[key] = {}
        content = content[key]
    return content


def _mapping(value) -> Mapping:
    return value if isinstance(value, dict) else {}


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
