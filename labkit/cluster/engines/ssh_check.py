"""Whether hosts can be used over SSH: one sentence for one that cannot, where mpiexec would hang."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from labkit.errors import EnginesError

CONNECT_TIMEOUT_S = 10
ANSWER_TIMEOUT_S = 30.0  # of all hosts together, which are asked at the same time
TERM_S = 2.0
OPTIONS = ("-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_TIMEOUT_S}")  # nobody is asked for a password
EXIT_UNREACHABLE = 255  # of ssh
EXIT_NO_MPI = 70


@dataclass(frozen=True)
class HostCheck:
    """What a host must have.

    Attributes
    ----------
    ssh : str
        The program.
    python : str
        The interpreter on the hosts; it must find labkit.
    preparation : str
        Lines of bash before it.
    proxy : str
        The program that mpiexec starts on each host.
    """

    ssh: str
    python: str
    preparation: str
    proxy: str

    def command(self, host: str) -> list[str]:
        """What is run for one host."""
        script = (
            f"[ -x {shlex.quote(self.proxy)} ] || exit {EXIT_NO_MPI}\n{self.preparation}\n"
            f"exec {shlex.quote(self.python)} -c 'import ipyparallel, labkit, mpi4py'"
        )
        return [self.ssh, *OPTIONS, host, f"bash -c {shlex.quote(script)}"]

    def why_not(self, host: str, status: int | None, words: str) -> str:
        """What is wrong, and what to do."""
        last = (words.strip().splitlines() or ["it printed nothing"])[-1]
        if status is None:
            return (
                f"Host {host} did not answer within {ANSWER_TIMEOUT_S:g} s. Try: ssh {host} true, or leave it out of "
                f"--hosts."
            )
        if status == EXIT_UNREACHABLE:
            return (
                f"Host {host} cannot be reached by ssh: {last}. It must let you in without a password: try "
                f"ssh {host} true, and ssh-copy-id {host} if it asks for one."
            )
        if status == EXIT_NO_MPI:
            return (
                f"Host {host} has no {self.proxy}, which starts the ranks there. Install the same MPI at the same "
                f"path, or start the notebook from an environment that all hosts share."
            )
        return (
            f"Host {host} lacks the environment: {last}. Install labkit there at the same path ({self.python}), or "
            f"name another with --python or --environment."
        )


def check_hosts(hosts: Sequence[str], check: HostCheck) -> None:
    """Ask all hosts at once.

    Raises
    ------
    EnginesError
        Of the first host, in their order, that cannot be used.
    """
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    with contextlib.ExitStack() as stack:
        running = []
        for host in hosts:
            # A file, for a connection that ssh keeps in the background would hold a pipe open.
            words = stack.enter_context(tempfile.TemporaryFile("w+", errors="replace"))
            process = subprocess.Popen(
                check.command(host), stdin=subprocess.DEVNULL, stdout=words, stderr=words, start_new_session=True
            )
            stack.callback(_end, process)
            running.append((host, process, words))
        for host, process, words in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
            if process.returncode != 0:
                words.seek(0)
                raise EnginesError(check.why_not(host, process.returncode, words.read()))


def _end(process: subprocess.Popen) -> None:
    for number, patience_s in ((signal.SIGTERM, TERM_S), (signal.SIGKILL, None)):
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(process.pid, number)
                process.wait(patience_s)
