"""A cell becomes a program. What this process has built once it does not build again."""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import CellTimeoutError, CompileError, NotAvailableError
from labkit.openmp.cell.compilers import FLAGS, GET_CLANG, GET_COMPILER, RACE_FLAGS, Compiler, machine_flags
from labkit.openmp.cell.diagnostics import Message, parse_messages, refusal
from labkit.openmp.cell.prototype import Function
from labkit.openmp.cell.runtime import CALLER, CRASH, call_source

PREFIX = "labkit-openmp-"
MOST_SECONDS = 120.0  # for the compiler, unless the cell has its own limit
LACKS_OPENMP = re.compile(
    r"omp\.h.*(?:not found|No such file)|cannot find -l(?:omp|gomp)|library -l(?:omp|gomp)|"
    r"unsupported option '-fopenmp|libgomp\.spec"
)
_folder: tempfile.TemporaryDirectory | None = None
_owner_pid = 0
_lock: int | None = None
_attempts = itertools.count()


@dataclass(frozen=True)
class Program:
    """A built cell.

    Attributes
    ----------
    folder, path : Path
        Where it was built, and the program there.
    cell_file : str
        The name of the file of the cell, as the compiler and debuggers call it.
    messages : tuple of Message
        Warnings.
    was_there : bool
        Whether it had been built before.
    """

    folder: Path
    path: Path
    cell_file: str
    messages: tuple[Message, ...]
    was_there: bool


def build(
    cell: str, compiler: Compiler, flags: Sequence[str] = (), *, function: Function | None = None, races: bool = False,
    timeout_s: float | None = None,
) -> Program:  # fmt: skip
    """Compile and link a cell.

    Parameters
    ----------
    cell : str
        A whole program, or, with ``function``, the file that defines it.
    compiler : Compiler
    flags : sequence of str
        Behind the usual ones, so that they win.
    function : Function, optional
        The function to call instead of the cell's ``main``.
    races : bool
        With the thread sanitizer, without optimization.
    timeout_s : float, optional
        Limit for the compiler.

    Raises
    ------
    CompileError
        The compiler refused it.
    NotAvailableError
        The compiler lacks OpenMP.
    CellTimeoutError
        The compiler took too long.
    """
    usual = RACE_FLAGS if races else FLAGS + machine_flags()
    options = [*usual, *_spoken(compiler), *flags]
    identity = json.dumps([compiler.path, options, cell, repr(function), CRASH, CALLER])
    folder = build_folder() / hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()[:32]
    cell_file, path = f"cell{compiler.suffix}", folder / "program"
    own_headers = re.search(r'^\s*#\s*include\s*"', cell, re.MULTILINE) is not None  # they may have changed
    if path.exists() and not own_headers:
        text = (folder / "messages").read_text()
        return Program(folder, path, cell_file, tuple(parse_messages(text, cell_file)), True)
    folder.mkdir(parents=True, exist_ok=True)
    write_cell(cell, folder / cell_file)
    source = cell_file
    if function is not None:
        source = f"call{compiler.suffix}"
        (folder / source).write_text(call_source(function, cell_file, cxx=compiler.cxx))
    parts = [] if races else [_runtime_part(compiler, "crash", CRASH)]
    if function is not None:
        parts.append(_runtime_part(compiler, "caller", CALLER))
    unfinished = folder / f"unfinished{next(_attempts)}"  # a linker that was stopped may still have its file open
    command = [
        compiler.path, *options, "-iquote", os.getcwd(), source, *map(str, parts), "-o", str(unfinished), "-lm", "-ldl",
    ]  # fmt: skip
    status, output = run_compiler(command, folder, timeout_s or MOST_SECONDS)
    if status != 0:
        _check_openmp(output, compiler)
        raise CompileError(*refusal(output, cell, cell_file))
    (folder / "messages").write_text(output)
    unfinished.rename(path)
    return Program(folder, path, cell_file, tuple(parse_messages(output, cell_file)), False)


def write_cell(cell: str, path: Path) -> None:
    """The cell as a file; the empty first line stands for that of ``%%openmp``, so that lines keep their numbers."""
    path.write_text("\n" + cell + "\n", errors="replace")


def build_folder() -> Path:
    """Where this process builds; it goes with the process."""
    global _folder, _owner_pid, _lock
    if _folder is None or _owner_pid != os.getpid() or not os.path.isdir(_folder.name):
        _sweep()
        _folder = tempfile.TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True)
        _lock = _locked(Path(_folder.name, "lock"), os.O_CREAT)
        _owner_pid = os.getpid()
    return Path(_folder.name)


def _locked(path: Path, flags: int = 0) -> int | None:
    """A lock that its process holds until it ends, however it ends; None if another process has it."""
    try:
        fd = os.open(path, os.O_RDWR | flags, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd


def _sweep() -> None:
    """Remove what notebooks that were killed have left behind: folders whose lock nobody holds."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        fd = _locked(path)
        if fd is not None:
            shutil.rmtree(path.parent, ignore_errors=True)
            os.close(fd)


def run_compiler(command: Sequence[str], folder: Path, timeout_s: float) -> tuple[int, str]:
    """Exit status and words of a compiler; nothing that it started stays behind, whatever happens."""
    environment = {**os.environ, "LC_ALL": "C"}
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            list(command), cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=words, stderr=words,
            start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise CellTimeoutError(
                f"The compiler was still busy with the cell after {timeout_s:g} s and was ended: make the cell "
                f"smaller, or "
                f"give a larger --timeout."
            ) from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        words.seek(0)
        return status, words.read(1 << 20).decode(errors="replace")


def _spoken(compiler: Compiler) -> list[str]:
    return ["-ftabstop=1"] if compiler.family == "gcc" else ["-Wno-unused-command-line-argument"]


def _runtime_part(compiler: Compiler, name: str, text: str) -> Path:
    """The object file of one of the texts of :mod:`labkit.openmp.cell.runtime`."""
    identity = hashlib.sha256(f"{compiler.path}\n{text}".encode()).hexdigest()[:16]
    part = build_folder() / f"{name}-{identity}.o"
    if not part.exists():
        source = part.with_suffix(".c")
        source.write_text(text)
        unfinished = part.with_suffix(f".unfinished{next(_attempts)}")
        command = [compiler.path, "-x", "c", "-O2", "-fopenmp", "-fPIC", "-c", str(source), "-o", str(unfinished)]
        status, output = run_compiler(command, build_folder(), MOST_SECONDS)
        if status != 0:
            _check_openmp(output, compiler)
            raise NotAvailableError(
                f"%%openmp: {compiler.path} does not compile C for this machine: {output.strip()[:500]}"
            )
        unfinished.rename(part)
    return part


def _check_openmp(output: str, compiler: Compiler) -> None:
    if LACKS_OPENMP.search(output):
        remedy = GET_CLANG if compiler.family == "clang" else GET_COMPILER
        raise NotAvailableError(f"%%openmp: {compiler.path} has no OpenMP: {remedy}.")
