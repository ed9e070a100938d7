"""``confine()``: the calling process gives up all but computing and what it has open."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.grading.confinement import landlock, limits, python_rules, seccomp
from labkit.grading.confinement.paths import DEVICES, SYSTEM, SYSTEM_FILES, python_folders, visible
from labkit.grading.confinement.sandbox import kernel_measures
from labkit.grading.confinement.seccomp import Level

BLOCKED = ("labkit.grading", "labkit.mpi", "labkit.openmp.kernels")
NUM_THREADS = 512  # of all ranks of a sandbox together, beyond those when it was prepared


def confine(
    level: Level, *, readable: Sequence[Path] = (), hidden: Sequence[Path] = (), memory_bytes: int, cpu_seconds: float,
    file_bytes: int = 1 << 20, keep_fds: Collection[int] | None = None, blocked: Sequence[str] = BLOCKED,
    python: bool = True,
) -> None:
    """Confine the calling process, for good, just before it runs an answer.

    Afterwards it can compute, start threads, import what Python has installed, and use the file descriptors that
    it has. It cannot write or delete files, read others, open sockets, start or signal processes, or allocate and
    compute beyond the limits. What this machine cannot enforce is left out (:func:`.sandbox.find_sandbox`).

    The same as ``prepare(...).apply(...)``, which see for the parameters.
    """
    prepare(level, readable=readable, hidden=hidden, blocked=blocked, python=python).apply(
        memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, file_bytes=file_bytes, keep_fds=keep_fds,
    )


def prepare(
    level: Level, *, readable: Sequence[Path] = (), hidden: Sequence[Path] = (), blocked: Sequence[str] = BLOCKED,
    python: bool = True,
) -> Confinement:
    """What is the same for every process: done once, before forking. Restricts nothing yet.

    Parameters
    ----------
    level : Level
        ``Level.ANSWER``, or ``Level.REAL_RANK`` after ``MPI_Init``.
    readable : sequence of Path
        Files and folders to read beside Python's own: the scratch folder, say.
    hidden : sequence of Path
        Exceptions, also inside Python's own folders: references, cases, the judge's sources. Their names can be
        listed where Python needs the folder around them; nothing in them can be read.
    blocked : sequence of str
        Modules that cannot be imported any more. They go from ``sys.modules`` too: import before what the code
        that runs the answer needs later.
    python : bool
        Install the rules inside Python.
    """
    hidden = tuple(Path(os.path.realpath(path)) for path in hidden)
    whole, listed = visible([*SYSTEM, *SYSTEM_FILES, *DEVICES, *python_folders(), *readable], hidden)
    with_landlock, with_seccomp = kernel_measures()
    return Confinement(
        tuple(whole), tuple(listed), hidden, tuple(blocked), python,
        landlock.make_rules(whole, listed) if with_landlock else None,
        seccomp.compile_filter(level) if with_seccomp else None,
        limits.count_threads() + NUM_THREADS,
    )


@dataclass(frozen=True)
class Confinement:
    """Made by :func:`prepare`; :meth:`apply` once in each process, it is fast."""

    readable: tuple[Path, ...]
    listable: tuple[Path, ...]
    hidden: tuple[Path, ...]
    blocked: tuple[str, ...]
    python: bool
    landlock_rules: int | None
    filter_code: bytes | None
    num_processes: int

    def apply(
        self, *, memory_bytes: int, cpu_seconds: float, file_bytes: int = 1 << 20,
        keep_fds: Collection[int] | None = None,
    ) -> None:
        """Confine the calling process, for good.

        Parameters
        ----------
        memory_bytes, cpu_seconds, file_bytes
            See :func:`.limits.set_limits`.
        keep_fds : collection of int, optional
            Close every file descriptor but these and 0, 1, 2: a forked process has those of its parent, also the
            sockets of other ranks. None closes nothing (an MPI library has its own).

        Notes
        -----
        The order matters. Descriptors first; limits next, because seccomp refuses to change them; the end of
        privileges, without which a process may take neither Landlock nor seccomp; Landlock before seccomp, which
        does not know its calls; Python's rules last, for they refuse what the others do.
        """
        rules = self.landlock_rules
        if keep_fds is not None:
            _close_others({0, 1, 2, *keep_fds} | (set() if rules is None else {rules}))
        limits.set_limits(
            memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, file_bytes=file_bytes,
            num_processes=self.num_processes,
        )
        limits.drop_privileges()
        if rules is not None:
            landlock.restrict(rules)
            os.close(rules)
        if self.filter_code is not None:
            seccomp.install(self.filter_code)
        if self.python:
            python_rules.install(
                readable=[*self.readable, *self.listable], hidden=self.hidden, blocked=self.blocked,
            )


def _close_others(kept: set[int]) -> None:
    edges = [-1, *sorted(kept), os.sysconf("SC_OPEN_MAX")]
    for low, high in zip(edges, edges[1:], strict=False):
        if low + 1 < high:  # os.closerange(0, 0) closes everything
            os.closerange(low + 1, high)
