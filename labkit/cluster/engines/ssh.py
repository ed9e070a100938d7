"""MPI engines on a list of hosts that can be reached by SSH: one ``mpiexec`` starts them all."""

from __future__ import annotations

import shutil
import subprocess

from labkit.cluster.address import address_for
from labkit.cluster.engines.local import MAX_ENGINES, LocalEngines
from labkit.cluster.options import ClusterOptions
from labkit.errors import EnginesError, NotAvailableError, UsageError

SSH_TIMEOUT_S = 10
TRY = ["-o", "BatchMode=yes", "-o", f"ConnectTimeout={SSH_TIMEOUT_S}"]


class SSHEngines(LocalEngines):
    """MPI engines on other machines, without a batch system.

    The hosts need the same environment at the same path, and a login without a password.

    Parameters
    ----------
    options : ClusterOptions
        With ``hosts``; ranks are dealt out to them in turn, ``ranks_per_node`` at a time.
    """

    def __init__(self, options: ClusterOptions):
        super().__init__()
        self.options = options
        self.where = f"{len(options.hosts)} hosts"

    @property
    def num_ranks_asked(self) -> int:
        return self.options.num_ranks

    def check_num_ranks(self, num_ranks: int) -> None:
        if not 1 <= num_ranks <= MAX_ENGINES:
            raise UsageError(f"-n {num_ranks}: between 1 and {MAX_ENGINES} ranks can be started over SSH.")

    def _mpiexec(self) -> list[str]:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise NotAvailableError("There is no ssh on this machine. Install it with: apt-get install openssh-client")
        self._check_hosts(ssh)
        per_host = self.options.ranks_per_node or -(-self.options.num_ranks // len(self.options.hosts))
        hosts = ",".join(f"{host}:{per_host}" for host in self.options.hosts)
        address = self.options.address or address_for(self.options.hosts)
        return [*super()._mpiexec(), "-launcher", "ssh", "-launcher-exec", ssh, "-localhost", address, "-hosts", hosts]

    def _check_hosts(self, ssh: str) -> None:
        """One sentence for a host that cannot be used, instead of what mpiexec prints when it hangs."""
        running = {
            host: subprocess.Popen(
                [ssh, *TRY, host, self.options.python, "-c", "'import ipyparallel, labkit, mpi4py'"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            )
            for host in self.options.hosts
        }
        for host, process in running.items():
            try:
                _, words = process.communicate(timeout=3 * SSH_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                _, words = process.communicate()
                words = f"no answer for {3 * SSH_TIMEOUT_S} s\n{words}"
            if process.returncode == 0:
                continue
            last = (words.strip().splitlines() or ["it printed nothing"])[-1]
            why = "cannot be reached" if process.returncode == 255 else "lacks the environment"
            remedy = (
                f"Try: ssh {host} true" if process.returncode == 255
                else f"Install labkit there at the same path, {self.options.python}, or name another with --python."
            )
            for other in running.values():
                if other.poll() is None:
                    other.kill()
            raise EnginesError(f"Host {host} {why}: {last}. {remedy}")

    def _controller_args(self) -> list[str]:
        address = self.options.address or address_for(self.options.hosts)
        return [
            f"--IPController.engine_ip={address}", "--IPController.client_ip=127.0.0.1", f"--IPController.location={address}",
        ]

    def _kill_ranks(self) -> None:
        launcher = self._launcher
        if launcher is not None and launcher.process.is_running():
            launcher.signal(15)  # mpiexec ends its ranks on all hosts
        self._wait_for_launcher()

    def _owner_of_ranks(self) -> None:
        return None
