"""A program that did not end well, in words: the signal, the thread, the line of the cell."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from dataclasses import dataclass

from labkit.errors import ProgramError
from labkit.openmp.cell.build import Program
from labkit.openmp.cell.child import ChildEnd
from labkit.openmp.cell.result import threads_text

MEANINGS = {
    "SIGSEGV": "segmentation fault: it touched memory that is not its own, such as an element beyond an array's end",
    "SIGBUS": "it touched memory that does not exist",
    "SIGFPE": "arithmetic that has no result, such as a whole number divided by 0",
    "SIGILL": "an instruction that this processor does not know",
    "SIGABRT": "it called abort: a failed assert, an exception that nobody caught, or memory written beyond its end",
    "SIGKILL": "killed from outside, perhaps because memory ran out",
    "SIGTERM": "told to end from outside",
    "SIGXCPU": "it reached this machine's limit of processor time",
    "SIGXFSZ": "it reached this machine's limit of the size of a file",
}
FULL_STACK = (
    "segmentation fault: the stack is full, because of a large array inside a function or of recursion without an end"
)
MORE_STACK = "; --env OMP_STACKSIZE=64M gives more to every thread but the first"
FRAME = re.compile(r"^(?P<file>[^(]*)\((?P<symbol>[^+)]*)\+(?P<offset>0x[0-9a-f]+)\)")


@dataclass(frozen=True)
class Trace:
    """Where a signal hit: the thread, the size of its team, whether the stack was full, the line of the cell."""

    thread_num: int
    num_threads: int
    full_stack: bool
    line: int | None


def program_error(program: Program, end: ChildEnd, num_threads: int, cell: str) -> ProgramError:
    """The error of a program that ended with another status than 0."""
    how = f"with {threads_text(num_threads)}"
    if end.status is None:
        return ProgramError(
            f"The process that watches over the program was killed, and the program with it ({how}): run the cell "
            f"again.",
            num_threads=num_threads,
        )
    if end.status >= 0:
        return ProgramError(
            f"The program ended with exit status {end.status} ({how}); 0 means success.", num_threads=num_threads,
            exit_status=end.status,
        )
    try:
        name = signal.Signals(-end.status).name
    except ValueError:
        name = f"signal {-end.status}"
    trace = find_trace(program, end.report)
    meaning = MEANINGS.get(name, "")
    if name == "SIGSEGV" and trace is not None and trace.full_stack:
        meaning = FULL_STACK + (MORE_STACK if trace.thread_num else "")
    text = f"The program was ended by {name} {how}"
    line = trace.line if trace else None
    if trace and trace.num_threads > 1:
        text += f", in thread {trace.thread_num}"
    if line is not None:
        text += f", at line {line}"
    text += f" ({meaning})." if meaning else "."
    if line is not None and 0 <= line - 2 < len(cell.split("\n")):
        text += f"\n{line:>5} | {cell.split(chr(10))[line - 2]}"
    return ProgramError(text, num_threads=num_threads, signal_name=name, line=line)


def find_trace(program: Program, report: list[str]) -> Trace | None:
    """What the handler in the program has written before it died."""
    start = next((k for k, line in enumerate(report) if re.fullmatch(r"crash( \d+){4}", line)), None)
    if start is None:
        return None
    _, thread_num, num_threads, near_stack = map(int, report[start].split()[1:])
    return Trace(thread_num, num_threads, bool(near_stack), _line(program, report[start + 1 :]))


def _line(program: Program, frames: list[str]) -> int | None:
    """The line of the cell nearest to the crash."""
    tool = shutil.which("addr2line") or shutil.which("llvm-addr2line")
    addresses = []
    for position, frame in enumerate(frames):
        match = FRAME.match(frame)
        if match and position > 0 and match["file"] == str(program.path) and not match["symbol"]:
            # Frame 0 is the handler, 1 the system's way into it, 2 where the signal hit; others are behind a call.
            addresses.append(hex(int(match["offset"], 16) - (position > 2)))
    if tool is None or not addresses:
        return None
    try:
        found = subprocess.run(
            [tool, "-i", "-e", str(program.path), *addresses], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=20,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    places = re.findall(rf"{re.escape(program.cell_file)}:(\d+)", found)
    return next((int(number) for number in places if int(number) > 0), None)
