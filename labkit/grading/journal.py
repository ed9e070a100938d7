"""What has been judged, kept beside the score sheet: a run that was stopped goes on from there.

A line of JSON for every answer that was judged. Its key says all that points depend on: the answer's text, the
exercise, and the files it is judged by. So equal answers are judged once, and a changed exercise anew.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
from pathlib import Path
from typing import Self

from labkit.errors import UsageError
from labkit.grading.exercise import Exercise
from labkit.grading.outcomes import Verdict

NOT_JUDGED_BY = ("reference.py",)
JUDGE = ("grading", "comm")  # rooms of the package that points depend on


@functools.cache
def judge_digest() -> str:
    """A digest of the code that judges: another one may judge otherwise."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for room in JUDGE:
        for path in sorted((package / room).rglob("*.py")):
            digest.update(str(path.relative_to(package)).encode() + path.read_bytes())
    return digest.hexdigest()


def exercise_digest(exercise: Exercise) -> str:
    """A digest of what answers to an exercise are judged by: its own Python files, the topic's, and the judge's."""
    digest = hashlib.sha256(judge_digest().encode())
    for path in sorted([*exercise.folder.glob("*.py"), *exercise.folder.parent.glob("*.py")]):
        if path.name not in NOT_JUDGED_BY:
            data = path.read_bytes()
            digest.update(f"{path.relative_to(exercise.folder.parent)} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def answer_key(exercise: Exercise, digest: str, source: str | None) -> str:
    """The key of an answer to an exercise with this digest."""
    text = json.dumps([exercise.name, digest, source])
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """Verdicts by key; with a path they outlive the process. Use it as a context manager.

    Parameters
    ----------
    path : Path or None
        None keeps them in memory only.
    fresh : bool
        Forget what the file has.

    Raises
    ------
    UsageError
        Another process is using the file, or it cannot be written.
    """

    def __init__(self, path: Path | None = None, *, fresh: bool = False):
        self.verdicts: dict[str, Verdict] = {}
        self.file = None
        if path is None:
            return
        try:
            self.file = open(path, "ab+")  # noqa: SIM115: closed by close()
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.file.close()
            raise UsageError(f"another labkit grade is writing {path}: wait for it, or name another --out.") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be written ({error.strerror}): name another --out.") from None
        if fresh:
            self.file.truncate(0)
        self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self.file is not None:
            self.file.close()

    def add(self, key: str, verdict: Verdict) -> None:
        """Remember a verdict; when this returns, killing the process loses nothing."""
        self.verdicts[key] = verdict
        if self.file is not None:
            line = json.dumps([key, verdict.to_dict(timeline=False)], default=str)
            self.file.write(line.encode() + b"\n")
            self.file.flush()

    def _load(self) -> None:
        """Read the file. A last line that was cut off, or anything else that is no verdict, is left out."""
        self.file.seek(0)
        end = b"\n"
        for end in self.file:
            try:
                key, verdict = json.loads(end)
                self.verdicts[key] = Verdict.from_dict(verdict)
            except (ValueError, TypeError, KeyError):
                continue
        if not end.endswith(b"\n"):
            self.file.write(b"\n")
