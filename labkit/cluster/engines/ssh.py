"""MPI engines on a list of hosts that can be reached by SSH: one ``mpiexec`` starts them all."""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from labkit.cluster.address import address_for
from labkit.cluster.death import PRINTING_GUARD, keep_printed_notes
from labkit.cluster.engines.local import MAX_ENGINES, LocalEngines
from labkit.cluster.engines.ssh_check import OPTIONS, HostCheck, check_hosts
from labkit.cluster.options import ClusterOptions
from labkit.cluster.owner import write_launcher
from labkit.cluster.script import preparation
from labkit.errors import NotAvailableError, UsageError
from labkit.hardware.messages import find_mpiexec

HEARTBEAT_MISSES = 40  # of 0.5 s: a network that is gone for less is nothing
LAUNCHER_FILE = "mpiexec"  # in the engines' folder: who ends the ranks when the notebook is gone

CONTROLLER_CONFIG = """\
# Written by labkit: the controller and mpiexec end when the notebook that started them is gone.
import os, signal
from labkit.cluster.folder import remove_folder
from labkit.cluster.owner import end_launcher, end_with

def end():
    end_launcher({launcher!r})
    remove_folder({directory!r})
    os.killpg(os.getpgrp(), signal.SIGTERM)

if os.getpgrp() == os.getpid():
    end_with({owner!r}, end)
"""

# What a rank does on its host. The notebook's home and folders need not be there: files of the rank's
# engine are put below the home of whoever logs in. A folder in /tmp could be made by somebody else first.
RANK = """\
home=$(getent passwd "$(id -un)" 2>/dev/null | cut -d: -f6)
export IPP_PROFILE_DIR="${{home:-$HOME}}/.labkit/rank-profile"
(umask 077; mkdir -p "$IPP_PROFILE_DIR") || exit 69
cd {start_in} 2>/dev/null || cd "${{home:-$HOME}}" || exit 69
{preparation}
{guard}
"""


class SSHEngines(LocalEngines):
    """MPI engines on other machines, without a batch system.

    The hosts need the same MPI and the same environment at the same paths, and a login without a password.
    They need not share folders.

    Parameters
    ----------
    options : ClusterOptions
        With ``hosts``; ranks are dealt out to them in turn, ``ranks_per_node`` at a time.
    """

    heartbeat_misses = HEARTBEAT_MISSES

    def __init__(self, options: ClusterOptions):
        super().__init__()
        self.options = options
        self.where = _hosts(options.hosts)

    @property
    def num_ranks_asked(self) -> int:
        return self.options.num_ranks

    def check_num_ranks(self, num_ranks: int) -> None:
        if not 1 <= num_ranks <= MAX_ENGINES:
            raise UsageError(f"-n {num_ranks}: between 1 and {MAX_ENGINES} ranks can be started over SSH.")

    def of_where(self) -> str:
        return f" on {_hosts(list(dict.fromkeys(rank.host for rank in self.ranks)))}"

    def _address(self) -> str:
        return self.options.address or address_for(host.rpartition("@")[2] for host in self.options.hosts)

    def _mpiexec(self) -> list[str]:
        ssh = shutil.which("ssh")
        if ssh is None:
            raise NotAvailableError("There is no ssh on this machine. Install it with: apt-get install openssh-client")
        mpiexec = find_mpiexec()
        check_hosts(
            self.options.hosts,
            HostCheck(
                ssh=ssh, python=self.options.python, preparation="\n".join(preparation(self.options)),
                proxy=str(Path(mpiexec).with_name("hydra_pmi_proxy")),
            ),
        )
        per_host = self.options.ranks_per_node or -(-self.options.num_ranks // len(self.options.hosts))
        return [
            mpiexec, "-launcher", "ssh", "-launcher-exec", ssh, "-localhost", self._address(), "-wdir", "/",
            "-hosts", ",".join(f"{host}:{per_host}" for host in self.options.hosts),
        ]

    def _engine_command(self) -> list[str]:
        script = RANK.format(
            start_in=shlex.quote(os.getcwd()), guard=PRINTING_GUARD,
            preparation="\n".join(preparation(self.options)),
        )
        return ["/bin/bash", "-c", script, "labkit-rank", self.options.python, "-m", "ipyparallel.engine"]

    def _controller_config(self) -> str:
        launcher = os.path.join(self._directory, LAUNCHER_FILE)
        return CONTROLLER_CONFIG.format(directory=self._directory, launcher=launcher, owner=os.getpid())

    def _controller_args(self) -> list[str]:
        address = self._address()
        return [
            f"--IPController.engine_ip={address}", "--IPController.client_ip=127.0.0.1",
            f"--IPController.location={address}",
        ]

    def _launch(self, num_ranks: int, say=None) -> None:
        before = os.environ.get("HYDRA_LAUNCHER_EXTRA_ARGS")
        os.environ["HYDRA_LAUNCHER_EXTRA_ARGS"] = " ".join(filter(None, [before, *OPTIONS]))
        try:
            super()._launch(num_ranks, say)
        finally:
            if before is None:
                del os.environ["HYDRA_LAUNCHER_EXTRA_ARGS"]
            else:
                os.environ["HYDRA_LAUNCHER_EXTRA_ARGS"] = before
        write_launcher(os.path.join(self._directory, LAUNCHER_FILE), self._launcher.pid)

    def cause_of_loss(self) -> tuple[int | None, str]:
        missing = [rank for rank in self.ranks if rank.engine_id not in set(self._client.ids)]
        ended = self._has_ended(wait_s=3.0)
        self._wait_for_launcher()
        keep_printed_notes(self._launcher.get_output(), self._deaths)
        rank, words = super().cause_of_loss()
        if rank is None and not ended and missing:
            hosts, numbers = sorted({rank.host for rank in missing}), ", ".join(str(rank.rank) for rank in missing)
            words = (
                f"does not answer any more: no sign of rank {numbers} on {', '.join(hosts)}, so the host or its "
                f"network is down"
            )
        return rank, words

    def _has_ended(self, wait_s: float) -> bool:
        """Whether mpiexec has, or does within some seconds, as it does when a rank has ended."""
        deadline = time.monotonic() + wait_s
        while time.monotonic() < deadline:
            process = self._launcher.process
            if not process.is_running() or process.status() == "zombie":
                return True
            time.sleep(0.05)
        return False

    def _kill_ranks(self) -> None:
        """mpiexec ends its ranks on all hosts."""
        launcher = self._launcher
        if launcher is not None and launcher.process.is_running():
            launcher.signal(15)
        self._wait_for_launcher()

    def _owner_of_ranks(self) -> None:
        return None


def _hosts(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 4 else ""
    return f"{len(names)} host{'s' if len(names) > 1 else ''} ({', '.join(names[:4])}{more})"
