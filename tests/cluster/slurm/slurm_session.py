"""A Slurm cluster from its making to its end, for the tests and for the benchmarks."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from slurm_cluster import SCRIPT, SlurmCluster, why_not
from slurm_environment import make_environment, readable_python

CHECKOUT = Path(__file__).parents[3]
PREFIX = "labkit-slurm-"


def take_lock(path):
    """Hold a file's lock until this process ends, however it ends; None if somebody else holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def remove(folder):
    subprocess.run([SCRIPT, "down"], env=os.environ | {"CLUSTER_DIR": str(folder)}, check=True, timeout=60)
    shutil.rmtree(folder, ignore_errors=True)


def remove_left_over(base):
    """Remove what killed test sessions left: folders whose lock nobody holds."""
    for folder in base.glob(f"{PREFIX}*"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            descriptor = take_lock(folder / "lock")
            if descriptor is not None:
                remove(folder)
                os.close(descriptor)


class NotHereError(Exception):
    """The cluster cannot be made on this machine; the text says what to install."""


@contextlib.contextmanager
def slurm_session():
    """A controller and two idle nodes: see SlurmCluster."""
    reason = why_not()
    if reason is None and readable_python() is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        reason = f"no Python {version} outside of root's home for the users of the test cluster: apt install python3"
    if reason:
        raise NotHereError(reason)
    # Not below /tmp, which is private to each host, and not below root's home.
    base = Path("/var/tmp")
    remove_left_over(base)
    folder = Path(tempfile.mkdtemp(prefix=f"new-{PREFIX}", dir=base))
    lock = take_lock(folder / "lock")
    # Under its final name only now: a session that cleans up must not find it without its lock.
    folder = folder.rename(folder.with_name(folder.name.removeprefix("new-")))
    try:
        folder.chmod(0o755)
        python = make_environment(folder / "environment", CHECKOUT)
        cluster = SlurmCluster(folder, python, folder / "lock")
        cluster.verb("up")
        yield cluster
        for process in cluster.processes:
            process.end()
    finally:
        remove(folder)
        os.close(lock)
