"""Arrivals in a CSV file: one line a request, seconds from the start of the run."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from labkit.errors import UsageError

COLUMN = "time_s"


def write_times(path: str | Path, times: Iterable[float]) -> Path:
    """Write arrivals; :func:`read_times` gives back the same numbers, to the last bit.

    Parameters
    ----------
    path : path
        A file of this name is replaced.
    times : iterable of float
        Seconds.
    """
    path = Path(path)
    values = [float(value) for value in times]
    if not all(math.isfinite(value) and value >= 0 for value in values):
        raise UsageError("write_times: times are finite seconds from the start of a run, 0 or more: mend them first.")
    path.write_text("\n".join([COLUMN, *map(repr, values)]) + "\n", encoding="utf-8")
    return path


def read_times(path: str | Path, *, column: str | None = None, start_at_zero: bool = False) -> np.ndarray:
    """Arrivals from a CSV file, sorted.

    Parameters
    ----------
    path : path
        Lines of comma-separated values, with or without a first line of names.
    column : str, optional
        The name of the column with the seconds; by default ``time_s`` if there is one, otherwise the first column.
    start_at_zero : bool
        Subtract the first time, for files with times of a clock.

    Returns
    -------
    ndarray of float64

    Raises
    ------
    UsageError
        No such file or column, no number or none at all, negative or not finite; with the line.
    """
    path = Path(path)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [(line, row) for line, row in enumerate(csv.reader(file), 1) if any(cell.strip() for cell in row)]
    except OSError as error:
        raise UsageError(f"read_times: {path} cannot be read: {error.strerror or error}: check its name.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"read_times: {path} is no text of comma-separated values: {error}.") from None
    names = [cell.strip() for cell in rows[0][1]] if rows and not _is_number(rows[0][1][0]) else None
    place = _place(path, names, column)
    times = np.array([_seconds(path, line, row, place) for line, row in rows[1 if names else 0:]], np.float64)
    if not len(times):
        raise UsageError(f"read_times: {path} has no times: write one a line, in seconds.")
    times.sort()
    if start_at_zero:
        times -= times[0]
    if times[0] < 0:
        raise UsageError(f"read_times: {path} has the negative time {times[0]:g} s: pass start_at_zero=True.")
    return times


def _place(path: Path, names: list[str] | None, column: str | None) -> int:
    if column is None:
        return names.index(COLUMN) if names and COLUMN in names else 0
    if not names or column not in names:
        has = f"its columns are {', '.join(names)}" if names else "it has no line of names"
        raise UsageError(f"read_times: {path} has no column {column!r}: {has}.")
    return names.index(column)


def _seconds(path: Path, line: int, row: list[str], place: int) -> float:
    text = row[place].strip() if place < len(row) else ""
    if not _is_number(text) or not math.isfinite(float(text)):
        raise UsageError(f"read_times: {path}, line {line}: {text!r} is no number of seconds: mend the line.")
    return float(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
