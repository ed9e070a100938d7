"""``%%openmp``: compile a cell of C or C++, run it with several numbers of threads, show its speed-up."""

from __future__ import annotations

import argparse
import re
import shlex
import sys

from IPython.core.magic import Magics, cell_magic, magics_class

from labkit.errors import UsageError
from labkit.magics.options import OptionParser, positive_seconds
from labkit.openmp.schedule import Schedule

RESULT_NAME = "_openmp"  # where the notebook finds the last result
MOST_THREADS, MOST_NUMBERS, MOST_REPEATS = 1024, 64, 1000
BINDS = ("true", "false", "close", "spread", "primary", "master")
RUNTIME_SCHEDULE = re.compile(r"schedule\s*\(\s*(?:\w+\s*:\s*)?runtime\s*\)")
WITH_VALUE = ("--flags", "--args", "--env")  # values may begin with a dash


class CellOptionParser(OptionParser):
    """Options whose values may begin with a dash: ``--flags "-O1"``, ``--args -1,x``."""

    def parse_args(self, args=None, namespace=None):
        words = list(args)
        for position in range(len(words) - 2, -1, -1):
            if words[position] in WITH_VALUE and not words[position + 1].startswith("--"):
                words[position : position + 2] = [f"{words[position]}={words[position + 1]}"]
        return super().parse_args(words, namespace)


def _threads(text: str) -> tuple[int, ...]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers such as 1,2,4") from None
    wrong = [n for n in numbers if not 1 <= n <= MOST_THREADS]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]} threads: a number of threads is 1 to {MOST_THREADS}")
    if len(numbers) > MOST_NUMBERS:
        raise argparse.ArgumentTypeError(f"{len(numbers)} numbers of threads: at most {MOST_NUMBERS}")
    return tuple(dict.fromkeys(numbers))


def _repeat(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_REPEATS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of repeats, 1 to {MOST_REPEATS}")
    return int(text)


def _schedule(text: str) -> str:
    try:
        return str(Schedule.parse(text))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _places(text: str) -> str:
    if not re.fullmatch(r"[\w{}():,!\- ]+", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of places such as cores, threads or {{0,1}},{{2,3}}")
    return text


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    if name == "OMP_NUM_THREADS":
        raise argparse.ArgumentTypeError("the number of threads is set by --threads")
    return name, value


_options = CellOptionParser("%%openmp", "Compile a cell of C or C++ and run it with several numbers of threads.")
_options.add_argument("--threads", type=_threads, default=(), metavar="1,2,4")
_options.add_argument("--repeat", type=_repeat, default=None, metavar="N")
_options.add_argument("--args", default=None, metavar="x,y,n")
_options.add_argument("--call", default=None, metavar="FUNCTION")
_options.add_argument("--compiler", default=None, metavar="NAME")
_options.add_argument("--cxx", action="store_true")
_options.add_argument("--flags", default=None, metavar='"-O2 ..."')
_options.add_argument("--schedule", type=_schedule, default=None, metavar="dynamic,4")
_options.add_argument("--bind", choices=BINDS, default=None)
_options.add_argument("--places", type=_places, default=None, metavar="cores")
_options.add_argument("--env", type=_variable, action="append", default=[], metavar="NAME=VALUE")
_options.add_argument("--timeout", type=positive_seconds, default=None, metavar="SECONDS")
_options.add_argument("--plot", action="store_true")
_options.add_argument("--races", action="store_true")
_options.add_argument("--emit-asm", nargs="?", const="", default=None, metavar="FUNCTION")
_options.add_argument("--vector-report", action="store_true")


@magics_class
class OpenmpMagics(Magics):
    """The magic of C cells of one notebook."""

    @cell_magic
    def openmp(self, line: str, cell: str | None) -> None:
        """Compile the cell and run it with each number of threads, in a process of its own.

        ::

            %%openmp [--threads 1,2,4] [--repeat N] [--timeout SECONDS] [--plot]

        A whole program with ``main``: what it prints, its time, speed-up and efficiency. By default 1, 2, 4, ...
        threads up to all cores, and one repeat. With more than two numbers of threads, or ``--plot``, the
        speed-up is drawn with the laws fitted to it.

        ::

            %%openmp --args x,y,1000 [--call FUNCTION]

        A function ``run`` (or another) gets arrays and numbers of the notebook, and what it writes is seen there.
        Every call starts with the arrays as they were; the last one's are kept. Arrays made by
        ``labkit.openmp.cell.shared_array`` are not copied. By default 5 repeats; the time is that of the call.

        ::

            [--compiler gcc|clang|...] [--cxx] [--flags "-O2 -ffast-math"] [--schedule dynamic,4]
            [--bind close] [--places cores] [--env NAME=VALUE]

        The compiler gets ``-O3 -march=native -fopenmp -g -Wall`` and then these flags. ``--schedule`` is for loops with
        ``schedule(runtime)``.

        ::

            [--races] [--emit-asm [FUNCTION]] [--vector-report]

        ``--races`` runs the cell once under Clang's thread sanitizer instead and names the lines that race.
        ``--emit-asm`` shows the machine code of the innermost loops, or of a function; ``--vector-report`` which loops
        became vector instructions. The result is kept as ``_openmp``.
        """
        from labkit.openmp.cell.run import OpenmpCell

        options = _options.parse_line(line)
        cell = cell or ""
        chosen = _cell_options(options)
        if options.plot and len(options.threads) == 1:
            raise UsageError(
                "%%openmp: --plot draws the speed-up over several numbers of threads: name them, --threads 1,2."
            )
        if options.races and (options.plot or options.repeat):
            raise UsageError("%%openmp: --races runs the cell once and takes no times: leave --plot and --repeat out.")
        looks = options.emit_asm is not None or options.vector_report
        if looks and _only_to_look_at(cell, options):
            self._keep(**self._look(cell, chosen, options))
            return
        prepared = OpenmpCell(cell, chosen, self.shell.user_ns, _write)
        if options.schedule and not RUNTIME_SCHEDULE.search(cell):
            _write("stderr", "(--schedule is followed by loops with schedule(runtime), and this cell has none)\n")
        looked = self._look(cell, chosen, options) if looks else {}
        if options.races:
            self._races(prepared, cell, looked)
        else:
            self._run(prepared, options, looked)

    def _run(self, prepared, options, looked: dict) -> None:
        from labkit.hardware.timing import BUSY_SHARE

        result = prepared.run()
        result = self._keep(result, **looked)
        _write("stdout", result.table() + "\n")
        if result.base.num_threads != 1:
            _write("stdout", f"Speed-up relative to {result.base.num_threads} threads.\n")
        crowded = [run.num_threads for run in result.runs if run.num_threads > result.num_cores]
        if crowded:
            cores = "1 core" if result.num_cores == 1 else f"{result.num_cores} cores"
            _write("stdout", f"{', '.join(map(str, crowded))} threads had to share {cores}: no speed-up beyond that.\n")
        if result.others_share > BUSY_SHARE:
            _write(
                "stdout", f"busy: other processes used {result.others_share:.0%} of the machine meanwhile; these times "
                f"may be too long.\n",
            )
        if options.plot or len(result.runs) > 2:
            _draw(result)

    def _races(self, prepared, cell: str, looked: dict) -> None:
        from labkit.openmp.cell.races import show_races

        races = prepared.find_races()
        self._keep(races=races, **looked)
        if races:
            _write("stdout", show_races(list(races), cell) + "\n")
        else:
            _write(
                "stdout", f"No race in this run with {prepared.races_threads} threads. Only what was executed was "
                f"checked.\n",
            )

    def _look(self, cell: str, chosen, options) -> dict:
        """Show machine code and remarks; gives what of them the result keeps."""
        from labkit.openmp.cell.build import MOST_SECONDS
        from labkit.openmp.cell.compilers import find_compiler
        from labkit.openmp.cell.examine import assembly_of, remarks_of, show_assembly
        from labkit.openmp.cell.prototype import looks_like_cxx
        from labkit.openmp.cell.vectors import show_remarks

        compiler = find_compiler(chosen.compiler, cxx=chosen.cxx or looks_like_cxx(cell))
        limit, kept = options.timeout or MOST_SECONDS, {}
        if options.vector_report:
            remarks = remarks_of(cell, compiler, chosen.flags, timeout_s=limit)
            kept["remarks"] = tuple(remarks)
            text = show_remarks(remarks, cell) or "The compiler says nothing about loops of this cell."
            _write("stdout", text + "\n")
        if options.emit_asm is not None:
            functions = assembly_of(cell, compiler, chosen.flags, timeout_s=limit)
            text, kept["loops"] = show_assembly(functions, cell, options.emit_asm)
            _write("stdout", text + "\n")
        return kept

    def _keep(self, result=None, **more):
        """Put the result where the notebook finds it."""
        from dataclasses import replace

        from labkit.openmp.cell.result import CellResult

        self.shell.user_ns[RESULT_NAME] = replace(result or CellResult(), **more)
        return self.shell.user_ns[RESULT_NAME]


def _cell_options(options):
    from labkit.openmp.cell.compilers import check_flags
    from labkit.openmp.cell.run import CellOptions

    environment = dict(options.env)
    given = {"OMP_SCHEDULE": options.schedule, "OMP_PROC_BIND": options.bind, "OMP_PLACES": options.places}
    environment |= {name: value for name, value in given.items() if value is not None}
    try:
        flags = tuple(check_flags(shlex.split(options.flags or "")))
    except ValueError as error:
        raise UsageError(f"%%openmp: --flags {options.flags!r}: {str(error).lower()}.") from None
    args = None if options.args is None else tuple(word.strip() for word in options.args.split(","))
    return CellOptions(
        options.threads, options.repeat, options.compiler, options.cxx, flags, environment,
        () if args == ("",) else args, options.call, options.timeout,
    )  # fmt: skip


def _only_to_look_at(cell: str, options) -> bool:
    """Whether the cell is a function without arguments for it: it is compiled and shown, and not run."""
    from labkit.openmp.cell.prototype import functions_of

    functions = functions_of(cell)
    if "main" in functions or options.args is not None or options.call is not None or options.races or not cell.strip():
        return False
    return "run" not in functions or bool(functions["run"].parameters)


def _write(stream: str, text: str) -> None:
    target = getattr(sys, stream)
    target.write(text)
    target.flush()


def _draw(result) -> None:
    from IPython.display import publish_display_data

    from labkit.views.display import figure_bundle
    from labkit.views.speedup import speedup_figure

    if result.base.num_threads != 1:
        _write("stdout", "No picture: speed-up is relative to one thread, which --threads does not name.\n")
        return
    threads = [run.num_threads for run in result.runs]
    publish_display_data(figure_bundle(speedup_figure(threads, result.speedups, result.fits)))
