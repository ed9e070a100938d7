"""Data races of a cell, as Clang's thread sanitizer reports them together with Archer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

START = "WARNING: ThreadSanitizer: data race"
ACCESS = re.compile(r"^  (Previous )?(atomic )?(read|write) of size \d+ at \S+ by (?:main )?thread", re.IGNORECASE)
FRAME = re.compile(r"^    #\d+ .*?(?:^|[/ ])(cell\.(?:c|cpp)):(\d+)(?::(\d+))?")
GLOBAL = re.compile(r"^  Location is global '([^'?]+)'")
HEAP = re.compile(r"^  Location is heap block of size (\d+)")
ARCHER = "Archer detected OpenMP application with TSan"
NOISE = ("LLVMSymbolizer: ", "ThreadSanitizer: ")
BAD_ADDRESSES = "ThreadSanitizer: unexpected memory mapping"
MOST_SHOWN = 10
OPERATORS = ("<<=", ">>=", "++", "--", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "=")


@dataclass(frozen=True, order=True)
class Access:
    """One side of a race: a line and column of the cell, ``read`` or ``write``, and the expression there."""

    line: int
    column: int
    kind: str
    expression: str = ""


@dataclass(frozen=True)
class Race:
    """Two accesses of two threads to the same memory, at least one a write, that nothing puts in order.

    Attributes
    ----------
    accesses : tuple of Access
        Two, in the order of their lines.
    variable : str
        What is accessed, as far as it is known.
    times : int
        How many of the sanitizer's reports say so.
    """

    accesses: tuple[Access, Access]
    variable: str
    times: int = 1

    def __str__(self) -> str:
        first, second = self.accesses
        kinds = f"{first.kind} at line {first.line} and {second.kind} at line {second.line}"
        if first.line == second.line:
            kinds = f"line {first.line}: {first.kind} and {second.kind}"
        return f"{self.variable or 'memory'}: {kinds}, by two threads at the same time"


def find_races(log: str, cell: str) -> list[Race]:
    """The races of a log, each once, by lines.

    Parameters
    ----------
    log : str
        What the sanitizer wrote.
    cell : str
        The cell; its first line is number 2.
    """
    found: dict[tuple, Race] = {}
    for part in log.split(START)[1:]:
        race = _race(part, cell.split("\n"))
        if race is None:
            continue
        key = race.accesses[0].line, race.accesses[1].line, race.variable
        known = found.get(key)
        # A write says more than a read of the same statement.
        better = race if known is None or _num_writes(race) > _num_writes(known) else known
        found[key] = Race(better.accesses, better.variable, 1 if known is None else known.times + 1)
    return sorted(found.values(), key=lambda race: race.accesses)


def show_races(races: list[Race], cell: str) -> str:
    """Races in words, with the lines of the cell."""
    lines = cell.split("\n")
    parts = []
    for race in races[:MOST_SHOWN]:
        part = f"race on {race}"
        for number in dict.fromkeys(access.line for access in race.accesses):
            columns = {a.column for a in race.accesses if a.line == number and a.column}
            quoted = lines[number - 2] if 0 <= number - 2 < len(lines) else ""
            part += f"\n{number:>5} | {quoted}"
            if columns:
                marks = "".join("^" if k + 1 in columns else re.sub(r"[^\t]", " ", c) for k, c in enumerate(quoted))
                part += f"\n{'':>5} | {marks.rstrip()}"
        parts.append(part)
    if len(races) > MOST_SHOWN:
        parts.append(f"... and {len(races) - MOST_SHOWN} more.")
    return "\n".join(parts)


class Cleaned:
    """The program's output by whole lines, without what Archer and the sanitizer print among them."""

    def __init__(self, pass_on: Callable[[str, str], None]):
        self._pass_on, self._lines = pass_on, {"stdout": "", "stderr": ""}
        self.archer_seen = self.bad_addresses = False

    def add(self, stream: str, text: str) -> None:
        """Text of the program."""
        *lines, self._lines[stream] = (self._lines[stream] + text).split("\n")
        for line in lines:
            self._line(stream, line + "\n")

    def end(self) -> None:
        """The program has ended: last lines without an end."""
        for stream, line in self._lines.items():
            if line:
                self._line(stream, line)

    def _line(self, stream: str, line: str) -> None:
        self.bad_addresses |= BAD_ADDRESSES in line
        if line.startswith(ARCHER):
            self.archer_seen = True
        elif not line.startswith(NOISE):
            self._pass_on(stream, line)


def _num_writes(race: Race) -> int:
    return sum("write" in access.kind for access in race.accesses)


def _race(part: str, lines: list[str]) -> Race | None:
    """One report. None if a side of it is not in the cell."""
    accesses: list[Access] = []
    variable, kind, open_access = "", "", False
    for line in part.splitlines():
        access, frame = ACCESS.match(line), FRAME.match(line)
        if access:
            kind = ("atomic " if access[2] else "") + access[3].lower()
            open_access = True
        elif frame and open_access:
            number, column = int(frame[2]), int(frame[3] or 0)
            accesses.append(Access(number, column, kind, _expression(lines, number, column)))
            open_access = False
        elif not line.strip():
            open_access = False
        elif match := GLOBAL.match(line):
            variable = match[1]
    if len(accesses) < 2:
        return None
    first, second = sorted(accesses[:2])
    named = next((a.expression for a in (first, second) if a.expression and "write" in a.kind), "")
    expression = named or first.expression or second.expression
    if variable and expression and not re.match(rf"{re.escape(variable)}\b", expression):
        expression = ""
    return Race((first, second), expression or variable)


def _expression(lines: list[str], number: int, column: int) -> str:
    """What a column of the report points at: Clang names an operator for the variable to its left."""
    if not (0 <= number - 2 < len(lines) and 0 < column <= len(lines[number - 2])):
        return ""
    text = lines[number - 2]
    at = text[column - 1 :]
    if at.startswith(("++", "--")):
        prefix = re.match(r"(?:\+\+|--)\s*([A-Za-z_][\w.]*(?:\[[^\]]*\])*)", at)
        if prefix:
            return prefix[1]
    if at.startswith(OPERATORS):
        return _left_operand(text[: column - 1].rstrip())
    right = re.match(r"[A-Za-z_][\w.]*(?:->\w+)*(?:\[[^\]]*\])*", at)
    inside_a_name = column > 1 and re.match(r"\w", text[column - 2])
    return right[0] if right and not inside_a_name else ""


def _left_operand(text: str) -> str:
    """The expression that a text ends with: names, members and indices, brackets and all."""
    start = len(text)
    while start > 0:
        sign = text[start - 1]
        if sign in ")]":
            depth, k = 1, start - 2
            while k >= 0 and depth:
                depth += {")": 1, "]": 1, "(": -1, "[": -1}.get(text[k], 0)
                k -= 1
            if depth:
                return ""
            start = k + 1
            if sign == ")":
                break
        elif sign.isalnum() or sign in "_.":
            start -= 1
        elif text[:start].endswith("->"):
            start -= 2
        else:
            break
    return text[start:].strip()
