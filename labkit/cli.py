"""The command ``labkit``."""

from __future__ import annotations

import importlib
import sys

from labkit.errors import LabkitError, UsageError

COMMANDS = {
    "lab": ("labkit.lab", "start JupyterLab with the first lesson"),
    "run": ("labkit.run.command", "execute a notebook, its MPI cells also on a cluster"),
    "doctor": ("labkit.hardware.doctor", "say what this machine has and lacks, with remedies"),
    "cluster": ("labkit.cluster.command", "start, look at and end clusters for MPI cells; job scripts"),
    "progress": ("labkit.grading.course_progress", "say how far you are in the course"),
    "grade": ("labkit.grading.command", "grade notebooks: a score sheet, reports, a class overview"),
    "exercises": ("labkit.grading.notebooks", "build or check the notebooks of the exercises"),
    "release": ("labkit.grading.release", "write the tree for students, or an nbgrader course"),
    "bench": ("labkit.bench", "run the benchmarks and compare with their goals"),
}


def usage() -> str:
    """The help text."""
    lines = [f"  {name:10} {text}" for name, (_, text) in COMMANDS.items()]
    return "usage: labkit COMMAND [OPTIONS]\n\n" + "\n".join(lines) + "\n\nlabkit COMMAND --help says more."


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit status 0, 1 (it failed), 2 (bad usage), 130 (interrupted)."""
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from labkit import __version__

        print(__version__)
        return 0
    if arguments[0] not in COMMANDS:
        print(f"labkit: there is no command {arguments[0]!r}.\n{usage()}", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(COMMANDS[arguments[0]][0]).main(arguments[1:])
    except UsageError as error:
        print(f"labkit {arguments[0]}: {error}", file=sys.stderr)
        return 2
    except LabkitError as error:
        print(f"labkit {arguments[0]}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
