"""``confine()``: the calling process gives up all but computing and what it has open."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from labkit.grading.confinement import landlock, limits, python_rules, seccomp
from labkit.grading.confinement.paths import DEVICES, SYSTEM, SYSTEM_FILES, python_folders, visible
from labkit.grading.confinement.sandbox import kernel_measures
from labkit.grading.confinement.seccomp import Level

BLOCKED = ("labkit.grading", "labkit.mpi")


def confine(
    level: Level, *, readable: Sequence[Path] = (), hidden: Sequence[Path] = (), memory_bytes: int, cpu_seconds: float,
    file_bytes: int = 1 << 20, keep_fds: Collection[int] | None = None, blocked: Sequence[str] = BLOCKED,
    python: bool = True,
) -> None:
    """Confine the calling process, for good, just before it runs an answer.

    Afterwards it can compute, start threads, import what Python has installed, and use the file descriptors that
    it has. It cannot write or delete files, read others, open sockets, start or signal processes, or allocate and
    compute beyond the limits. What this machine cannot enforce is left out (:func:`.sandbox.find_sandbox`).

    Parameters
    ----------
    level : Level
        ``Level.ANSWER``, or ``Level.REAL_RANK`` after ``MPI_Init``.
    readable : sequence of Path
        Files and folders to read beside Python's own: the scratch folder, say.
    hidden : sequence of Path
        Exceptions, also inside Python's own folders: references, cases, the judge's sources.
    memory_bytes, cpu_seconds, file_bytes
        See :func:`.limits.set_limits`.
    keep_fds : collection of int, optional
        Close every file descriptor but these and 0, 1, 2: a forked process has those of its parent, also the
        sockets of other ranks. None closes nothing (MPI has its own).
    blocked : sequence of str
        Modules that cannot be imported from now on. They are hidden from ``sys.modules`` too: import before what
        the code that runs the answer needs later.
    python : bool
        Install the rules inside Python.

    Notes
    -----
    The order matters. Descriptors first; limits next, because seccomp refuses to change them; the end of
    privileges, without which a process may take neither Landlock nor seccomp; Landlock before seccomp, which does
    not know its calls; Python's rules last, for they refuse what the others do.
    """
    whole, listed = visible([*SYSTEM, *SYSTEM_FILES, *DEVICES, *python_folders(), *readable], hidden)
    with_landlock, with_seccomp = kernel_measures()
    if keep_fds is not None:
        _close_others({0, 1, 2, *keep_fds})
    limits.set_limits(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, file_bytes=file_bytes)
    limits.drop_privileges()
    if with_landlock:
        landlock.restrict(whole, listed)
    if with_seccomp:
        seccomp.install(level)
    if python:
        python_rules.install(readable=[*whole, *listed], hidden=hidden, blocked=blocked)


def _close_others(kept: set[int]) -> None:
    edges = [-1, *sorted(kept), os.sysconf("SC_OPEN_MAX")]
    for low, high in zip(edges, edges[1:], strict=False):
        os.closerange(low + 1, high)
