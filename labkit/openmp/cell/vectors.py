"""Which loops of a cell the compiler has made vector instructions of, and why not the others."""

from __future__ import annotations

import re
from dataclasses import dataclass

GCC_OPTIONS = ("-fopt-info-vec-optimized-missed",)
CLANG_OPTIONS = ("-Rpass=loop-vectorize", "-Rpass-missed=loop-vectorize", "-Rpass-analysis=loop-vectorize")
PLACE = re.compile(r"^(?P<file>[^\s:][^:\n]*):(?P<line>\d+):\d+: (?:optimized|missed|remark): +(?P<text>.*)$")
GCC_YES = re.compile(r"loop vectorized using (\d+) byte vectors")
CLANG_YES = re.compile(r"vectorized loop \(vectorization width: (\S+), interleaved count: (\d+)\)")


@dataclass(frozen=True, order=True)
class Remark:
    """What became of the loop at a line of the cell."""

    line: int
    vectorized: bool
    text: str


def parse_remarks(output: str, cell_file: str, cell: str) -> list[Remark]:
    """The compiler's remarks about loops, one a line of the cell; a loop that was vectorized at all counts as such."""
    yes: dict[int, list[str]] = {}
    no: dict[int, list[str]] = {}
    waiting = None
    for raw in output.splitlines():
        match = PLACE.match(raw)
        if match is None:
            continue
        line, text = int(match["line"]), re.sub(r" \[-R[^\]]*\]$", "", match["text"])
        inside = match["file"].endswith(cell_file)
        if found := GCC_YES.search(text):
            waiting = None
            if inside:
                yes.setdefault(line, []).append(f"{found[1]}-byte vectors")
        elif found := CLANG_YES.search(text):
            if inside:
                yes.setdefault(line, []).append(f"{found[1]} elements at a time, {found[2]} vectors in turn")
        elif text.startswith("couldn't vectorize loop"):
            waiting = line if inside else None
        elif text.startswith("not vectorized: "):
            if waiting is not None:
                where = "" if line == waiting else f" (line {line})"
                no.setdefault(waiting, []).append(text.removeprefix("not vectorized: ").rstrip(".") + where)
            waiting = None
        elif inside and text.startswith("loop not vectorized: "):
            no.setdefault(line, []).append(text.removeprefix("loop not vectorized: ").rstrip("."))
        elif inside and text == "loop not vectorized":
            no.setdefault(line, [])
    lines = cell.split("\n")
    for line in list(no):
        pragma = 0 <= line - 2 < len(lines) and lines[line - 2].lstrip().startswith("#")
        if line in yes or (pragma and no[line] == ["number of iterations cannot be computed"]):
            del no[line]  # the rest of a vectorized loop; a loop of the OpenMP runtime, to add up a reduction
    remarks = [Remark(line, True, ", ".join(dict.fromkeys(texts))) for line, texts in yes.items()]
    remarks += [Remark(line, False, "; ".join(dict.fromkeys(texts))) for line, texts in no.items()]
    return sorted(remarks)


def show_remarks(remarks: list[Remark], cell: str) -> str:
    """Remarks in words, under the lines of the cell."""
    lines, parts = cell.split("\n"), []
    for remark in remarks:
        what = "vectorized" if remark.vectorized else "not vectorized"
        quoted = lines[remark.line - 2] if 0 <= remark.line - 2 < len(lines) else ""
        why = f": {remark.text}" if remark.text else ""
        parts.append(f"line {remark.line}: {what}{why}\n{remark.line:>5} | {quoted}")
    return "\n".join(parts)
