"""``labkit doctor``: what this machine has and lacks, each lacking thing with its remedy."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from labkit.errors import NotAvailableError
from labkit.hardware.messages import find_mpiexec, run_mpi
from labkit.hardware.topology import Topology, detect_topology

OLDEST_PYTHON = (3, 11)
FREE_DISK_BYTES = 2 * 10**9
THREAD_LEVELS = ("SINGLE", "FUNNELED", "SERIALIZED", "MULTIPLE")
ASK_MPI = """
import json
from mpi4py import MPI
world = MPI.COMM_WORLD
sizes = world.gather(world.size)
if world.rank == 0:
    print(json.dumps({"size": world.size, "library": MPI.Get_library_version().splitlines()[0].strip("\\0 "),
                      "level": MPI.Query_thread()}))
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``status`` is ``"ok"``, ``"optional"`` (lacking, not needed) or ``"missing"``."""

    name: str
    status: str
    detail: str
    remedy: str = ""


def diagnose() -> list[Finding]:
    """Look at everything labkit needs or can use."""
    topology = detect_topology()
    return [
        check_python(), check_environment(), check_mpi(), check_lab(), check_cores(topology),
        check_caches(topology), check_memory(topology), check_disk(), check_compiler(),
        check_gpus(topology), check_browser(), check_slurm(),
    ]


def check_python() -> Finding:
    detail = f"{platform.python_version()} at {sys.executable}"
    if sys.version_info >= OLDEST_PYTHON:
        return Finding("Python", "ok", detail)
    needed = ".".join(map(str, OLDEST_PYTHON))
    return Finding("Python", "missing", detail, f"install Python {needed} or newer and name it: make lab PYTHON=...")


def check_environment() -> Finding:
    if sys.prefix != sys.base_prefix or "CONDA_PREFIX" in os.environ:
        return Finding("environment", "ok", sys.prefix)
    return Finding("environment", "optional", "not a virtual environment", "start with: make lab, which makes one")


def check_mpi(run: Callable[[list[str], int, float], str] = run_mpi) -> Finding:
    """Two real ranks must see a world of two; anything else is named."""
    remedy = "install one with: pip install mpich mpi4py"
    if importlib.util.find_spec("mpi4py") is None:
        return Finding("MPI", "missing", "the Python package mpi4py is not installed", remedy)
    try:
        mpiexec = find_mpiexec()
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder, "ask.py")
            program.write_text(ASK_MPI)
            lines = run([str(program)], 2, 60.0).strip().splitlines()
        answers = [json.loads(line) for line in lines if line.startswith("{")]
    except NotAvailableError as error:
        return Finding("MPI", "missing", str(error), remedy)
    except ValueError:
        answers = []
    if not answers:
        return Finding("MPI", "missing", "two ranks did not answer", remedy)
    first = answers[0]
    if len(answers) != 1 or first["size"] != 2:
        return Finding(
            "MPI", "missing",
            f"mpiexec -n 2 gave {len(answers)} worlds of size {first['size']}: {mpiexec} and {first['library']} "
            f"are of different kinds",
            "use the mpiexec of the library that mpi4py loads, or pip install mpich for both",
        )
    library = " ".join(first["library"].split())
    return Finding("MPI", "ok", f"{library}, thread level {THREAD_LEVELS[first['level']]}, {mpiexec}")


def check_lab() -> Finding:
    missing = [
        name for name in ("jupyterlab", "ipywidgets", "anywidget", "plotly", "ipyparallel")
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        return Finding("JupyterLab", "missing", f"not installed: {', '.join(missing)}", "run: make install")
    versions = ", ".join(f"{n} {importlib.metadata.version(n)}" for n in ("jupyterlab", "ipywidgets", "plotly"))
    extensions = Path(sys.prefix, "share/jupyter/labextensions")
    lacking = [
        name for name in ("@jupyter-widgets/jupyterlab-manager", "anywidget", "jupyterlab-plotly")
        if not (extensions / name).is_dir()
    ]
    if lacking:
        return Finding(
            "JupyterLab", "missing", f"{versions}; front-end parts are missing: {', '.join(lacking)}",
            "remove the folder .venv and run: make install",
        )
    return Finding("JupyterLab", "ok", versions)


def check_cores(topology: Topology) -> Finding:
    detail = (
        f"{topology.cpu_model}: {topology.num_sockets} socket(s), {topology.num_cores} cores, "
        f"{topology.num_threads} hardware threads, {topology.num_usable} usable here"
    )
    if topology.num_usable > 1:
        return Finding("cores", "ok", detail + (f", {topology.simd}" if topology.simd else ""))
    return Finding("cores", "optional", detail, "with one core everything works, but nothing gets faster in parallel")


def check_caches(topology: Topology) -> Finding:
    caches = [
        f"L{c.level}{'' if c.kind == 'Unified' else c.kind[0].lower()} {c.size_bytes // 1024} KiB x {c.count}"
        for c in topology.caches
    ]
    if caches:
        return Finding("caches", "ok", ", ".join(caches))
    return Finding("caches", "optional", "the system does not tell", "the lessons assume 8 MiB of last-level cache")


def check_memory(topology: Topology) -> Finding:
    detail = f"{topology.available_bytes / 1e9:.1f} GB free of {topology.memory_bytes / 1e9:.1f} GB"
    if topology.available_bytes >= 2e9:
        return Finding("memory", "ok", detail)
    return Finding("memory", "optional", detail, "close other programs, or use fewer MPI ranks (-n 2)")


def check_disk() -> Finding:
    folder = tempfile.gettempdir()
    try:
        with tempfile.NamedTemporaryFile(dir=folder):
            free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "missing", f"{folder} cannot be written: {error}", "set TMPDIR to a folder you can write")
    detail = f"{free / 1e9:.1f} GB free in {folder}"
    if free >= FREE_DISK_BYTES:
        return Finding("disk", "ok", detail)
    return Finding("disk", "optional", detail, "free some space: large lessons write temporary files")


def check_compiler() -> Finding:
    """A C compiler that links OpenMP."""
    remedy = "install one (on Debian and Ubuntu: sudo apt install gcc libc6-dev) for cells in C"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        return Finding("compiler", "optional", "no C compiler", remedy)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "try.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        command = [compiler, "-fopenmp", str(source), "-o", str(Path(folder, "try"))]
        try:
            works = subprocess.run(command, capture_output=True, timeout=60).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            works = False
    version = _first_line([compiler, "--version"])
    if works:
        return Finding("compiler", "ok", f"{version}, with OpenMP")
    return Finding("compiler", "optional", f"{version}, but it does not compile OpenMP", remedy)


def check_gpus(topology: Topology) -> Finding:
    if topology.gpus:
        return Finding(
            "GPUs", "ok", ", ".join(f"{g.name} ({g.memory_bytes / 2**30:.0f} GiB)" for g in topology.gpus)
        )
    return Finding("GPUs", "optional", "none found", "none is needed: GPU lessons run on the CPU, more slowly")


def check_browser() -> Finding:
    names = ("chromium", "chromium-browser", "google-chrome", "firefox", "safari", "open", "xdg-open", "wslview")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found:
        return Finding("browser", "ok", found)
    return Finding(
        "browser", "optional", "none found on the PATH",
        "open the printed address in any browser; the browser tests need: sudo apt install chromium",
    )


def check_slurm() -> Finding:
    if shutil.which("srun") is None:
        return Finding("Slurm", "optional", "not installed", "only needed to run cells on a cluster: log in to one")
    version = _first_line(["srun", "--version"]) or "srun is installed"
    nodes = _first_line(["sinfo", "-h", "-o", "%D nodes in %P"])
    if nodes:
        return Finding("Slurm", "ok", f"{version}, {nodes}")
    return Finding("Slurm", "optional", f"{version}, but no controller answers", "log in to a node of the cluster")


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip().splitlines()[0] if done.returncode == 0 and done.stdout.strip() else ""


def report(findings: list[Finding], *, colour: bool = False) -> str:
    """The findings as a table, remedies below what is lacking."""
    marks = {"ok": ("32", "ok"), "optional": ("33", "--"), "missing": ("31", "NO")}
    width = max(len(f.name) for f in findings)
    lines = []
    for finding in findings:
        code, mark = marks[finding.status]
        shown = f"\x1b[{code}m{mark}\x1b[0m" if colour else mark
        lines.append(f"{shown}  {finding.name:<{width}}  {finding.detail}")
        if finding.status != "ok":
            lines.append(f"    {'':<{width}}  -> {finding.remedy}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Print the findings; exit status 1 if something that is needed is missing."""
    parser = argparse.ArgumentParser(prog="labkit doctor", description=main.__doc__)
    parser.add_argument("--json", action="store_true", help="a list of objects instead of a table")
    options = parser.parse_args(argv)
    findings = diagnose()
    if options.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print(report(findings, colour=sys.stdout.isatty()))
    missing = [finding.name for finding in findings if finding.status == "missing"]
    if missing and not options.json:
        print(f"\nNot ready: {', '.join(missing)}.")
    return 1 if missing else 0
