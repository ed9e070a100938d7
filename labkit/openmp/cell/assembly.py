"""The machine code of a cell: its innermost loops, or a whole function, with the lines of the cell beside it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

FILE = re.compile(r'^\s*\.file\s+(\d+)\s+(?:"[^"]*"\s+)?"([^"]*)"')
LOC = re.compile(r"^\s*\.loc\s+(\d+)\s+(\d+)")
LABEL = re.compile(r'^"?([\w.$@]+)"?:')
LOCAL = re.compile(r"^\.?L\w+$")
JUMP = re.compile(r"^(?:j\w+|b(?:\.\w+)?|cbn?z|tbn?z)\s+(?:.*,\s*)?(\.?L\w+)$")
PACKED = re.compile(r"^v?(?!mov)\w*p[sd]$|^vp\w+|^p(?!ush|op)\w+|^v?movdq\w+|^v?mov[au]p[sd]|^vbroadcast\w*")


@dataclass(frozen=True)
class Instruction:
    """An instruction or a label, and the line of the cell that it comes from (None if that is not known)."""

    text: str
    line: int | None
    is_label: bool = False


@dataclass(frozen=True)
class AsmFunction:
    """The machine code of one function; compilers make a parallel region a function of its own."""

    name: str
    first_line: int | None
    body: tuple[Instruction, ...]


@dataclass(frozen=True)
class Loop:
    """An innermost loop.

    Attributes
    ----------
    function : str
    lines : tuple of int
        Lines of the cell that it comes from.
    body : tuple of Instruction
        From its label to the jump back.
    """

    function: str
    lines: tuple[int, ...]
    body: tuple[Instruction, ...]

    @property
    def num_instructions(self) -> int:
        """How many instructions one turn is."""
        return sum(not item.is_label for item in self.body)

    @property
    def vector_bits(self) -> int:
        """The width of the widest vector instruction; 0 if there is none."""
        return max((_bits(item.text) for item in self.body if not item.is_label), default=0)


def parse_assembly(text: str, cell_file: str) -> list[AsmFunction]:
    """The functions of a compiler's assembly that come from the cell, without directives and comments."""
    numbers: set[str] = set()
    functions: list[AsmFunction] = []
    name = first = line = None
    body: list[Instruction] | None = None
    for raw in text.splitlines():
        if file := FILE.match(raw):
            (numbers.add if file[2].endswith(cell_file) else numbers.discard)(file[1])
        elif loc := LOC.match(raw):
            line = int(loc[2]) or line if loc[1] in numbers else None
            if body is not None and first is None and line is not None:
                first = line
        elif label := LABEL.match(raw):
            if not LOCAL.match(label[1]):
                name = label[1]
            elif body is not None:
                body.append(Instruction(label[1], line, is_label=True))
        elif ".cfi_startproc" in raw:
            body, first = [], line
        elif ".cfi_endproc" in raw:
            if body is not None and first is not None:
                functions.append(AsmFunction(name or "?", first, tuple(_without_idle_labels(body))))
            body = line = None
        elif body is not None and raw.startswith(("\t", " ")):
            words = re.sub(r"\s+(?:#|//|;).*$|^\s*#.*$", "", raw).strip()
            if words and not words.startswith("."):
                body.append(Instruction(re.sub(r"\s+", " ", words), line))
    return functions


def innermost_loops(functions: list[AsmFunction]) -> list[Loop]:
    """Stretches from a label to a jump back to it that hold no other such stretch; longest first in each function."""
    found = []
    for function in functions:
        where = {item.text: k for k, item in enumerate(function.body) if item.is_label}
        spans = set()
        for k, item in enumerate(function.body):
            jump = None if item.is_label else JUMP.match(item.text)
            if jump and where.get(jump[1], k + 1) <= k and _reaches(function.body, where, where[jump[1]], k):
                spans.add((where[jump[1]], k))
        for start, end in sorted(spans):
            if any((s, e) != (start, end) and start <= s and e <= end for s, e in spans):
                continue
            body = function.body[start : end + 1]
            lines = tuple(sorted({item.line for item in body if item.line is not None and not item.is_label}))
            found.append(Loop(function.name, lines, body))
    return found


def show_loops(loops: list[Loop], cell: str) -> str:
    """Loops as text, each with a head that says where it is from and how wide its instructions are."""
    parts = []
    for loop in loops:
        lines = ", ".join(map(str, loop.lines)) or "?"
        wide = f"vectors of {loop.vector_bits} bits" if loop.vector_bits else "no vector instructions"
        where = f"{loop.function}: loop of line{'s' * (len(loop.lines) > 1)} {lines}"
        parts.append(f"{where}, {loop.num_instructions} instructions, {wide}\n{show_code(loop.body, cell)}")
    return "\n\n".join(parts)


def show_code(body: tuple[Instruction, ...], cell: str) -> str:
    """Instructions under the lines of the cell that they come from."""
    lines, text, last = cell.split("\n"), [], None
    for item in body:
        if item.line is not None and item.line != last and 0 <= item.line - 2 < len(lines) and not item.is_label:
            text.append(f"    # line {item.line}: {lines[item.line - 2].strip()}")
            last = item.line
        text.append(f"{item.text}:" if item.is_label else f"    {item.text}")
    return "\n".join(text)


def demangled(names: list[str]) -> list[str]:
    """Names of C++ functions as they are written; unchanged without the tool for it."""
    tool = shutil.which("c++filt") or shutil.which("llvm-cxxfilt")
    if tool is None or not names:
        return names
    run = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, timeout=20)
    found = run.stdout.splitlines()
    return found if len(found) == len(names) else names


def _reaches(body: tuple[Instruction, ...], where: dict[str, int], start: int, end: int) -> bool:
    """Whether control can come from ``start`` to ``end`` without leaving the stretch between them.

    Not every jump back closes a loop: compilers move rare code behind a function, and it jumps back from there.
    """
    seen, waiting = set(), [start]
    while waiting:
        k = waiting.pop()
        if k == end:
            return True
        if k in seen or not start <= k < end:
            continue
        seen.add(k)
        item = body[k]
        jump = None if item.is_label else JUMP.match(item.text)
        if jump and jump[1] in where:
            waiting.append(where[jump[1]])
        if item.is_label or not re.match(r"(?:jmp|b|ret\w*|br)\b(?!\.)", item.text):
            waiting.append(k + 1)
    return False


def _without_idle_labels(body: list[Instruction]) -> list[Instruction]:
    used = {jump[1] for item in body if not item.is_label and (jump := JUMP.match(item.text))}
    return [item for item in body if not item.is_label or item.text in used]


def _bits(text: str) -> int:
    if re.search(r"\bz\d+\.[bhsd]\b", text):  # SVE
        return 128
    if re.search(r"\bv\d+\.(?:16b|8h|4s|2d)\b", text):
        return 128
    mnemonic = text.split()[0]
    for register, bits in (("%zmm", 512), ("%ymm", 256)):
        if register in text:
            return bits
    return 128 if "%xmm" in text and PACKED.match(mnemonic) else 0
