"""A C cell, from its text to a result: built, run with each number of threads, measured."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from labkit.errors import CellInterruptedError, CellTimeoutError, NotAvailableError, ProgramError, UsageError
from labkit.hardware.timing import Contention
from labkit.openmp.cell.arguments import Arguments
from labkit.openmp.cell.build import Program, build
from labkit.openmp.cell.child import ChildEnd, run_program
from labkit.openmp.cell.compilers import Compiler, find_compiler, find_race_tools
from labkit.openmp.cell.crash import program_error
from labkit.openmp.cell.diagnostics import show_messages
from labkit.openmp.cell.entry import choose_entry, default_threads, usable_cores
from labkit.openmp.cell.output import ProgramOutput
from labkit.openmp.cell.prototype import looks_like_cxx
from labkit.openmp.cell.races import BAD_ADDRESSES, START, Cleaned, Race, find_races
from labkit.openmp.cell.result import CellResult, ThreadsRun, fits_of, threads_text
from labkit.openmp.cell.runtime import value_kind

PROGRAM_REPEATS, FUNCTION_REPEATS = 1, 5
OF_OPENMP = ("OMP_", "GOMP_", "KMP_", "LIBOMP_", "TSAN_", "ARCHER_", "ASAN_", "LABKIT_CELL_")


@dataclass(frozen=True)
class CellOptions:
    """How a cell is to be run; see ``%%openmp``."""

    threads: tuple[int, ...] = ()
    repeat: int | None = None
    compiler: str | None = None
    cxx: bool = False
    flags: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    args: tuple[str, ...] | None = None
    call: str | None = None
    timeout_s: float | None = None


class OpenmpCell:
    """A cell with its options, checked: what is wrong with them is said before anything is built.

    Parameters
    ----------
    text : str
        The cell.
    options : CellOptions
    namespace : mapping of str to object
        The notebook's variables.
    write : callable, optional
        Gets ``"stdout"`` or ``"stderr"``, and text to show while the cell runs.

    Raises
    ------
    UsageError
        An empty cell, nothing to call in it, or arguments that do not fit.
    """

    def __init__(
        self, text: str, options: CellOptions, namespace: Mapping[str, object] | None = None,
        write: Callable[[str, str], None] = lambda stream, text: None,
    ):  # fmt: skip
        if not text.strip():
            raise UsageError("This %%openmp cell is empty: write C below the %%openmp line.")
        if "\0" in text:
            raise UsageError("This %%openmp cell has a zero byte, which no compiler takes: remove it.")
        self.text, self.options, self.write = text, options, write
        self.num_cores = usable_cores()
        self.threads = options.threads or default_threads(self.num_cores)
        self.cxx = options.cxx or "++" in os.path.basename(options.compiler or "") or looks_like_cxx(text)
        self.function = choose_entry(text, options.call, options.args)
        self.repeat = options.repeat or (PROGRAM_REPEATS if self.function is None else FUNCTION_REPEATS)
        self._deadline: float | None = None
        self._arguments: Arguments | None = None
        if self.function is not None:
            self._arguments = Arguments(self.function, options.args or (), namespace or {})

    # -- the ways to run ---------------------------------------------------------------------------------

    def run(self) -> CellResult:
        """Build the cell and run it with each number of threads.

        Raises
        ------
        CompileError, ProgramError, CellTimeoutError, CellInterruptedError, NotAvailableError
            See there. The notebook's arrays are then what they were before.
        """
        compiler = find_compiler(self.options.compiler, cxx=self.cxx)
        program = self._build(compiler)
        arguments = self._shared(several_calls=len(self.threads) * self.repeat > 1)
        output = ProgramOutput(len(self.threads) > 1, self.write)
        runs: list[ThreadsRun] = []
        with _Guard(self, arguments), Contention() as contention:
            for num_threads in self.threads:
                runs.append(self._run_with(program, num_threads, arguments, output))
            output.finish()
        if arguments is not None:
            arguments.finish()
            self._tell_copied(arguments)
        command = " ".join([compiler.path, *self.options.flags])
        return CellResult(tuple(runs), fits_of(runs), contention.others_share, self.num_cores, command)

    def find_races(self) -> tuple[Race, ...]:
        """Run the cell once under the thread sanitizer."""
        tools = find_race_tools(self.options.compiler, cxx=self.cxx)
        program = self._build(tools.compiler, races=True)
        num_threads = max(2, *self.threads)
        arguments = self._shared(several_calls=False)
        log_path = program.folder / "races"
        _remove_logs(log_path)
        environment = self.environment(num_threads) | {
            "OMP_TOOL": "enabled", "OMP_TOOL_LIBRARIES": tools.archer, "ARCHER_OPTIONS": "verbose=1",
            "TSAN_OPTIONS": f"ignore_noninstrumented_modules=1 exitcode=0 history_size=4 log_path={log_path} "
            + (f"external_symbolizer_path={tools.symbolizer}" if tools.symbolizer else "allow_addr2line=1"),
        }  # fmt: skip
        output = ProgramOutput(False, self.write)
        output.begin(num_threads)
        cleaned = Cleaned(output.add)
        with _Guard(self, arguments):
            end = self._start(program, num_threads, arguments, environment, 1, cleaned.add, same_addresses=True)
            cleaned.end()
            output.end()
            log = "".join(path.read_text(errors="replace") for path in sorted(program.folder.glob("races.*")))
            if end.status != 0 and (cleaned.bad_addresses or BAD_ADDRESSES in log):
                raise NotAvailableError(
                    "%%openmp --races: the thread sanitizer cannot place its memory among this system's random "
                    "addresses: sudo sysctl vm.mmap_rnd_bits=28, or a newer Clang, lets it."
                )
            if START in log and end.status == 0 and not cleaned.archer_seen:
                raise NotAvailableError(
                    f"%%openmp --races: the OpenMP runtime did not load {tools.archer}, without which correct code is "
                    f"accused: install the OpenMP runtime of the same version as {tools.compiler.path}."
                )
            races = tuple(find_races(log, self.text))
            if end.status != 0:
                failure = self._failure(program, end, num_threads)
                if not races:
                    raise failure
                self.write("stderr", f"{failure}\n")
        if end.status == 0 and arguments is not None:
            arguments.finish()
            self._tell_copied(arguments)
        self.races_threads = num_threads
        return races

    def environment(self, num_threads: int) -> dict[str, str]:
        """All that the program finds in its environment; what the notebook has set for its own threads stays out."""
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(OF_OPENMP) and k != "LD_PRELOAD"}
        ours = {"OMP_NUM_THREADS": str(num_threads), "OMP_DYNAMIC": "false"}
        return inherited | ours | dict(self.options.environment)

    # -- parts ---------------------------------------------------------------------------------------------

    def _build(self, compiler: Compiler, *, races: bool = False) -> Program:
        self._deadline = None if self.options.timeout_s is None else time.monotonic() + self.options.timeout_s
        try:
            program = build(
                self.text, compiler, self.options.flags, function=self.function, races=races,
                timeout_s=self.options.timeout_s,
            )  # fmt: skip
        except KeyboardInterrupt:
            raise CellInterruptedError("Stopped while the cell was compiled.") from None
        if program.messages:
            self.write("stderr", show_messages(list(program.messages), self.text) + "\n")
        return program

    def _shared(self, *, several_calls: bool) -> Arguments | None:
        if self._arguments is not None:
            self._arguments.share(several_calls=several_calls)
        return self._arguments

    def _run_with(
        self, program: Program, num_threads: int, arguments: Arguments | None, output: ProgramOutput
    ) -> ThreadsRun:
        """All repeats with one number of threads: calls in one process, or processes."""
        times, cpu_s, texts, value = [], 0.0, ("", ""), None
        in_one = self.repeat if arguments is not None else 1
        for repeat in range(self.repeat // in_one):
            output.begin(num_threads, silent=repeat > 0)
            try:
                end = self._start(program, num_threads, arguments, self.environment(num_threads), in_one, output.add)
            finally:
                shown = output.end()
            texts = shown if repeat == 0 else texts
            if end.status != 0:
                raise self._failure(program, end, num_threads)
            calls = [int(line.split()[1]) * 1e-9 for line in end.report if re.fullmatch(r"call \d+", line)]
            if arguments is not None and len(calls) < in_one:
                raise ProgramError(
                    f"The function ended the program with exit status 0 in call {len(calls) + 1} of {in_one}: return "
                    f"from it instead of calling exit.", num_threads=num_threads, exit_status=0,
                )
            times += calls if arguments is not None else [end.wall_s]
            cpu_s += end.cpu_s
            value = _value(end)
        return ThreadsRun(num_threads, tuple(max(t, 1e-9) for t in times), *texts, value, cpu_s)

    def _start(
        self, program, num_threads, arguments, environment, num_calls, text, *, same_addresses=False
    ) -> ChildEnd:
        command, fds = [str(program.path)], []
        if arguments is not None:
            words, fds = arguments.command()
            command += [str(num_calls), value_kind(self.function), *words]
        self._now_with = num_threads
        end = run_program(
            command, environment, fds=fds, deadline=self._deadline, text=text, same_addresses=same_addresses
        )
        if end.timed_out:
            raise CellTimeoutError(
                f"The cell took longer than --timeout {self.options.timeout_s:g} (seconds) and was ended, while it ran "
                f"with {threads_text(num_threads)}."
            )
        return end

    def _failure(self, program: Program, end: ChildEnd, num_threads: int):
        return program_error(program, end, num_threads, self.text)

    def _tell_copied(self, arguments: Arguments) -> None:
        names = arguments.copied
        if names:
            were = "was" if len(names) == 1 else "were"
            self.write(
                "stdout", f"({', '.join(names)} {were} copied into shared memory; arrays of "
                f"labkit.openmp.cell.shared_array are passed as they are)\n",
            )


class _Guard:
    """Whatever ends a run early: the notebook's arrays are put back, and Stop gets its own error."""

    def __init__(self, cell: OpenmpCell, arguments: Arguments | None):
        self._cell, self._arguments = cell, arguments

    def __enter__(self) -> None:
        self._cell._now_with = self._cell.threads[0]

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            return
        lost = self._arguments.put_back() if self._arguments is not None else []
        if lost:
            self._cell.write("stderr", f"({', '.join(lost)}: what the program wrote until then is still there)\n")
        if issubclass(kind, KeyboardInterrupt) and not issubclass(kind, CellInterruptedError):
            raise CellInterruptedError(
                f"Stopped while the cell ran with {threads_text(self._cell._now_with)}; its process has ended."
            ) from None


def _value(end: ChildEnd) -> int | float | None:
    for line in end.report:
        if match := re.fullmatch(r"value ([iud]) (\S+)", line):
            return float.fromhex(match[2]) if match[1] == "d" else int(match[2])
    return None


def _remove_logs(log_path) -> None:
    for path in log_path.parent.glob(log_path.name + ".*"):
        path.unlink()
