"""Who has read and written what in a region: races by happens-before, and cache lines that several threads write.

For every element the last write is kept, and of each strand the last read since (as in FastTrack: Flanagan, Freund,
"FastTrack: efficient and precise dynamic race detection", 2009). An access races with one of those if that one is not
over for certain when it comes. So a race is found on almost every run, however the threads took turns.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from labkit.openmp.simulated_team.report import ATOMIC, READ, WRITE, Access, Race, SharedLine, Step
from labkit.openmp.simulated_team.strands import Strand

LINE_BYTES = 64
MOST_RACES = 50
_HERE = str(Path(__file__).parent)


class Allocation:
    """The memory of an array that threads share, and its name."""

    def __init__(self, array: np.ndarray, name: str):
        self.array, self.name = array, name
        self.address = address_of(array)
        root = array
        while isinstance(root.base, np.ndarray):
            root = root.base
        self.begin = address_of(root)  # of the whole array, whose view this may be: taken as the begin of a cache line
        self.num_outside = 0  # accesses when no region ran

    def place(self, address: int) -> tuple[int, ...]:
        """The indices of the element at an address."""
        strides, shape, found = self.array.strides, self.array.shape, {}
        backwards = [stride < 0 for stride in strides]
        left = address - self.address + sum((n - 1) * -s for n, s in zip(shape, strides, strict=True) if s < 0)
        for dim in sorted(range(self.array.ndim), key=lambda d: -abs(strides[d])):
            found[dim], left = divmod(left, abs(strides[dim])) if strides[dim] else (0, left)
        return tuple(shape[dim] - 1 - found[dim] if backwards[dim] else found[dim] for dim in range(self.array.ndim))

    def element(self, address: int) -> str:
        """``"x[3]"``."""
        return f"{self.name}[{', '.join(map(str, self.place(address)))}]"


def address_of(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class _Cell:
    __slots__ = ("write", "reads", "told")

    def __init__(self):
        self.write = None  # (strand number, moment, Access)
        self.reads: dict = {}  # by strand number
        self.told = None  # what the last atomic operation here has told


class Memory:
    """All shared elements of a region."""

    def __init__(self, num_threads: int, num_recorded: int = 0):
        self.num_accesses = [0] * num_threads
        self.cells: dict[int, _Cell] = {}
        self.races: dict[tuple, Race] = {}
        self.lines: dict[tuple[int, int], dict[int, int]] = {}  # (id of allocation, line) -> writes by thread
        self.allocations: dict[int, Allocation] = {}  # kept, so that no address is used twice
        self.num_recorded, self.steps = num_recorded, []

    def access(
        self, strand: Strand, of: Allocation, addresses, kind: str, value=None, *, is_task: bool = False
    ) -> None:
        """Note an access of a strand to elements, and the races that it is part of."""
        frame = user_frame()
        code = frame.f_code
        found = Access(strand.thread_num, kind, code.co_name, code.co_filename, frame.f_lineno, is_task)
        self.allocations.setdefault(id(of), of)
        for address in addresses:
            cell = self.cells.get(address)
            if cell is None:
                cell = self.cells[address] = _Cell()
            if kind is ATOMIC and cell.told is not None:
                strand.hear(*cell.told)
            strand.path += 1
            self.num_accesses[strand.thread_num] += 1
            self._compare(strand, of, address, cell, found)
            if kind is READ:
                cell.reads[strand.number] = strand.moment, found
            else:
                cell.write = strand.number, strand.moment, found
                cell.reads.clear()
                line = id(of), (address - of.begin) // LINE_BYTES
                writes = self.lines.setdefault(line, {})
                writes[strand.thread_num] = writes.get(strand.thread_num, 0) + 1
            if kind is ATOMIC:
                cell.told = strand.tell()
            if len(self.steps) < self.num_recorded:
                words = {READ: "read", WRITE: "write", ATOMIC: "add"}[kind]
                shown = "" if value is None else f" {'->' if kind is READ else '='} {value}"
                self.steps.append(Step(strand.thread_num, f"{words} {of.element(address)}{shown}", frame.f_lineno))

    def _compare(self, strand, of, address, cell, now: Access) -> None:
        """Races of an access with what was before at its element."""
        if cell.write is not None:
            number, moment, before = cell.write
            if number != strand.number and not strand.comes_after(number, moment):
                self._note(of, address, before, now)
        if now.kind is not READ:
            for number, (moment, before) in cell.reads.items():
                if number != strand.number and not strand.comes_after(number, moment):
                    self._note(of, address, before, now)

    def _note(self, of, address, first: Access, second: Access) -> None:
        key = (of.name, *sorted([(first.file, first.line, first.kind), (second.file, second.line, second.kind)]))
        known = self.races.get(key)
        element = of.element(address)
        if known is None and len(self.races) < MOST_RACES:
            self.races[key] = Race(element, first, second)
        elif known is not None and known.element != element:
            self.races[key] = replace(known, num_elements=known.num_elements + 1)

    def shared_lines(self) -> tuple[SharedLine, ...]:
        """Cache lines that more than one thread has written, of arrays that begin with a line."""
        found = []
        for (number, line), writes in self.lines.items():
            if len(writes) > 1:
                of = self.allocations[number]
                size = of.array.itemsize
                last = (line + 1) * LINE_BYTES // size - 1
                found.append(SharedLine(of.name, line * LINE_BYTES // size, last, tuple(sorted(writes.items()))))
        return tuple(found)


def user_frame():
    """The innermost frame outside of this package and of NumPy."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_HERE) or "/numpy/" in frame.f_code.co_filename:
        if frame.f_back is None:
            break
        frame = frame.f_back
    return frame
