"""What a rank gives up before it executes the answer."""

from __future__ import annotations


def confine_rank(options: dict) -> None:
    """Confine this process; see :mod:`labkit.grading.confinement`."""
    from pathlib import Path

    from labkit.grading.confinement.confine import confine
    from labkit.grading.confinement.seccomp import Level

    confine(
        Level[options["level"]], readable=[Path(p) for p in options["readable"]], hidden=[Path(p) for p in options["hidden"]],
        memory_bytes=options["memory_bytes"], cpu_seconds=options["cpu_seconds"],
    )
