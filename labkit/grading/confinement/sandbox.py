"""What this machine offers to confine a process, and commands run in bubblewrap."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError
from labkit.grading.confinement.landlock import landlock_version
from labkit.grading.confinement.paths import SYSTEM, SYSTEM_FILES, is_inside, outermost, python_folders
from labkit.grading.confinement.seccomp import has_seccomp

VARIABLE = "LABKIT_SANDBOX"  # "limits" or "no-bubblewrap": use less than there is
KEPT = (
    "PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONUNBUFFERED", "PYTHONUTF8",
    "PYTHONNOUSERSITE", "PYTHONIOENCODING", VARIABLE,
)
SET = {
    "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",  # the same answer gets the same points
    # MPI libraries copy between ranks through shared memory, not by reading each other's memory, which is refused.
    "MPIR_CVAR_CH4_CMA_ENABLE": "0", "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
    "OMPI_MCA_btl_sm_use_cma": "0", "UCX_LOG_LEVEL": "fatal", "HWLOC_HIDE_ERRORS": "2",  # no complaints on stderr
    "PRTE_ALLOW_RUN_AS_ROOT": "1", "PRTE_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
}
TOPOLOGY = Path("/sys/devices/system")  # of processors: MPI libraries ask for it
TRY_S = 10.0


@dataclass(frozen=True)
class Sandbox:
    """What confines an answer: each of the four, or not."""

    bubblewrap: bool
    seccomp: bool
    landlock: bool
    limits: bool = True

    @property
    def text(self) -> str:
        """``"bubblewrap, landlock, seccomp, limits"``, or less, and what to do about it."""
        names = [name for name in ("bubblewrap", "landlock", "seccomp", "limits") if getattr(self, name)]
        found = names[0] + " only" if len(names) == 1 else ", ".join(names)
        if self.bubblewrap or not sys.platform.startswith("linux"):
            return found
        if _lowered():
            return f"{found} ({VARIABLE}={_lowered()})"
        if shutil.which("bwrap"):
            return f"{found} (bubblewrap is installed but may not make user namespaces here)"
        return f"{found} (for more: apt install bubblewrap)"


def find_sandbox() -> Sandbox:
    """What works on this machine; each is tried once.

    The variable ``LABKIT_SANDBOX`` lowers it: ``no-bubblewrap``, or ``limits``.

    Raises
    ------
    UsageError
        The variable is something else.
    """
    return _find(_lowered())


def kernel_measures() -> tuple[bool, bool]:
    """Whether Landlock and seccomp are there and wanted: :func:`find_sandbox` for a process that is in it."""
    wanted = _lowered() != "limits"
    return wanted and landlock_version() > 0, wanted and has_seccomp()


def _lowered() -> str:
    value = os.environ.get(VARIABLE, "")
    if value not in ("", "limits", "no-bubblewrap"):
        raise UsageError(f"{VARIABLE}={value!r} must be limits or no-bubblewrap, or not set at all.")
    return value


@functools.cache
def _find(lowered: str) -> Sandbox:
    landlock, seccomp = kernel_measures()
    return Sandbox(bubblewrap=not lowered and _bubblewrap_works(), seccomp=seccomp, landlock=landlock)


def _bubblewrap_works() -> bool:
    """Whether bubblewrap runs Python here: containers often forbid user namespaces, or a /proc of one's own."""
    if not sys.platform.startswith("linux") or not shutil.which("bwrap"):
        return False
    argv = [*_view([], []), "--", sys.executable, "-I", "-S", "-c", ""]
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRY_S, env=environment(Path("/")),
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def environment(scratch: Path) -> dict[str, str]:
    """The environment variables of a confined process: a few of this one's, and fixed ones."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    path = f"{Path(sys.executable).parent}:{kept.pop('PATH', '/usr/local/bin:/usr/bin:/bin')}"
    return {"PATH": path, **kept, **SET, "HOME": str(scratch), "TMPDIR": "/tmp"}


def command(
    argv: Sequence[str], *, scratch: Path, readable: Sequence[Path] = (), hidden: Sequence[Path] = (),
    sandbox: Sandbox | None = None,
) -> list[str]:
    """``argv`` inside the sandbox: what to give to ``subprocess.Popen``, with ``cwd=scratch``.

    In bubblewrap it sees what Python needs, labkit and ``readable``, all read-only; ``scratch``, its current
    folder, which it can write; a /tmp, /dev and /proc of its own; no network, no other processes. It ends when
    the thread that started it ends. Without bubblewrap only the environment is cleared.

    Parameters
    ----------
    argv : sequence of str
        Program and arguments.
    scratch : Path
        An existing folder.
    readable : sequence of Path
        More files or folders.
    hidden : sequence of Path
        Folders that are empty for it, and files that it cannot open, wherever they are.
    sandbox : Sandbox, optional
        Default: :func:`find_sandbox`.

    Returns
    -------
    list of str
        Inherited file descriptors (``pass_fds``) stay open.

    Examples
    --------
    >>> command(["true"], scratch=Path("/tmp"), sandbox=Sandbox(False, False, False))[-1]
    'true'
    """
    sandbox = sandbox or find_sandbox()
    scratch = Path(os.path.realpath(scratch))
    variables = [f"{name}={value}" for name, value in environment(scratch).items()]
    cleared = ["/usr/bin/env", "-i", *variables, *argv]
    if not sandbox.bubblewrap:
        return cleared
    return [*_view(readable, hidden), "--bind", str(scratch), str(scratch), "--chdir", str(scratch), "--", *cleared]


def _view(readable: Sequence[Path], hidden: Sequence[Path]) -> list[str]:
    """bwrap and its options: what is seen. Later options cover earlier ones."""
    options = [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "localhost",
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",
    ]
    for path in SYSTEM:
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            options += ["--ro-bind", str(path), str(path)]
    shown = outermost([*python_folders(), *(Path(os.path.abspath(path)) for path in readable)])
    shown = [path for path in shown if not is_inside(path, [p for p in SYSTEM if not p.is_symlink()])]
    for path in (*SYSTEM_FILES, TOPOLOGY, *shown):
        options += ["--ro-bind-try", str(path), str(path)]
    for path in map(Path, map(os.path.realpath, hidden)):
        if path.is_dir():
            options += ["--tmpfs", str(path), "--remount-ro", str(path)]
        elif path.exists():
            options += ["--ro-bind", "/dev/null", str(path)]
    return options
