"""Which line of a cell is being executed. Source files of cells are named ``<mpi cell 3>``."""

from __future__ import annotations

import linecache
import sys

CELL_FILENAME = "<mpi cell "


def cell_frame(frame=None):
    """The innermost frame of a cell, outwards from ``frame`` (default: the caller's); None outside a cell."""
    if frame is None:
        frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith(CELL_FILENAME):
            return frame
        frame = frame.f_back
    return None


def cell_line() -> int | None:
    """The line of the cell that is being executed, or None outside a cell."""
    frame = cell_frame()
    return frame.f_lineno if frame is not None else None


def line_and_source(frame) -> tuple[int | None, str]:
    """Line number and text of a frame of a cell; (None, "") for None."""
    if frame is None:
        return None, ""
    return frame.f_lineno, linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
