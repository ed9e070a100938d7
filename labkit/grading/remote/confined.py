"""What a process gives up before the answer is executed in it: once in the zygote, the rest in every rank."""

from __future__ import annotations

from pathlib import Path

from labkit.grading.confinement import landlock, limits, python_rules, seccomp
from labkit.grading.confinement.confine import BLOCKED, confine
from labkit.grading.confinement.paths import DEVICES, SYSTEM, SYSTEM_FILES, python_folders, visible
from labkit.grading.confinement.sandbox import kernel_measures

FILE_BYTES = 1 << 20


class Confinement:
    """Confinement in two steps, for Landlock's many rules are inherited by forked processes."""

    def __init__(self, readable: list[str], hidden: list[str]):
        self.readable, self.hidden = [Path(p) for p in readable], [Path(p) for p in hidden]
        self.whole, self.listed = visible([*SYSTEM, *SYSTEM_FILES, *DEVICES, *python_folders(), *self.readable], self.hidden)
        self.with_landlock, self.with_seccomp = kernel_measures()

    def begin(self) -> None:
        """In the process that forks ranks: from now on, files can be read where an answer may read, and nowhere else."""
        self.in_use = limits.find_use()
        limits.drop_privileges()
        if self.with_landlock:
            landlock.restrict(self.whole, self.listed)

    def finish(self, *, memory_bytes: int, cpu_seconds: float) -> None:
        """In a rank: everything else."""
        limits.set_limits(memory_bytes=memory_bytes, cpu_seconds=cpu_seconds, file_bytes=FILE_BYTES, in_use=self.in_use)
        limits.drop_privileges()
        if self.with_seccomp:
            seccomp.install(seccomp.Level.ANSWER)
        python_rules.install(readable=[*self.whole, *self.listed], hidden=self.hidden, blocked=BLOCKED)


def confine_real_rank(options: dict) -> None:
    """In a real MPI rank, after ``MPI_Init``."""
    confine(
        seccomp.Level.REAL_RANK, readable=[Path(p) for p in options["readable"]], hidden=[Path(p) for p in options["hidden"]],
        memory_bytes=options["memory_bytes"], cpu_seconds=options["cpu_seconds"],
    )
