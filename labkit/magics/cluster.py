"""``%cluster``: move the ranks of ``%%mpi`` cells to a cluster, look at clusters, and end them."""

from __future__ import annotations

import os
import shlex

from IPython.core.magic import Magics, line_magic, magics_class

from labkit.cluster import manage, registry
from labkit.cluster.engines import LocalEngines
from labkit.cluster.option_words import parse_start
from labkit.cluster.options import ClusterOptions
from labkit.errors import UsageError
from labkit.magics.mpi import MPIMagics
from labkit.widgets.progress import Progress

ENVIRONMENT = "LABKIT_CLUSTER"  # the words of a cluster to start with the first cell, for notebooks without hands
USAGE = """\
%cluster start KIND [-n RANKS] [--nodes NODES] [--time MINUTES] ...   KIND: slurm, pbs, lsf, sge, ssh, local, or a profile
%cluster start KIND ... --dry-run     look at the job script first
%cluster connect NAME                 work with a cluster that was started with --keep
%cluster status | list                this notebook's cluster | all of yours
%cluster logs [NAME]                  what its job has printed
%cluster stop [NAME]                  end it; cells then run on this machine again
%cluster doctor [KIND ...] [--wait SECONDS]   find out why it does not work
%cluster script FILE.py KIND ...      a job script for a Python program, without a notebook
%cluster panel                        all of this with buttons"""


@magics_class
class ClusterMagics(Magics):
    """``%cluster`` of one notebook.

    Parameters
    ----------
    shell : InteractiveShell
    mpi : MPIMagics
        Whose cells run on the cluster.
    """

    def __init__(self, shell, mpi: MPIMagics):
        super().__init__(shell)
        self.mpi = mpi
        mpi.first_cluster = os.environ.get(ENVIRONMENT, "")
        mpi.start_first_cluster = self._start_first

    @line_magic
    def cluster(self, line: str):
        """Start, look at and end clusters for ``%%mpi`` cells; ``%cluster`` alone says how."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise UsageError(f"%cluster: {error} in: {line}") from None
        verb, *rest = words or ["help"]
        verbs = {
            "start": self._start, "connect": self._connect, "status": self._status, "list": self._list, "logs": self._logs,
            "stop": self._stop, "doctor": self._doctor, "script": self._script, "panel": self._panel, "help": self._help,
            "-h": self._help, "--help": self._help,
        }
        if verb not in verbs:
            raise UsageError(f"%cluster: there is no verb {verb!r}; there are {', '.join(list(verbs)[:9])}.\n{USAGE}")
        return verbs[verb](rest)

    # -- verbs ----------------------------------------------------------------------------------

    def _start(self, words: list[str]) -> None:
        request = parse_start(words, prog="%cluster start")
        if request.dry_run:
            print(manage.dry_run(request.options), end="")
        else:
            self.start(request.options)

    def start(self, options: ClusterOptions) -> None:
        """Start a cluster; the next cells run there."""
        self._let_go_of_present()
        self.mpi.use(manage.start(options, Progress()))

    def _start_first(self, words: str) -> None:
        self._start(shlex.split(words))

    def _connect(self, words: list[str]) -> None:
        if len(words) != 1:
            raise UsageError("%cluster connect NAME: name one cluster; %cluster list shows them.")
        registry.load(words[0])
        self._let_go_of_present()
        self.mpi.use(manage.connect(words[0], Progress()))

    def _let_go_of_present(self) -> None:
        engines = self.mpi.engines
        if engines.ranks:
            kept = getattr(engines, "kept", False)
            print(f"The ranks on {engines.where} {'are kept' if kept else 'are ended, and their variables are lost'}.")
        self.mpi.leave()

    def _status(self, words: list[str]) -> None:
        if words:
            print("\n".join(manage.status(registry.load(name)).text for name in words))
            return
        engines = self.mpi.engines
        name = getattr(engines, "name", None)
        if name is not None and any(record.name == name for record in registry.records()):
            print(manage.status(registry.load(name)).text)
        if not engines.ranks:
            print(f"No ranks are running on {engines.where}; a %%mpi cell starts them.")
            return
        hosts: dict[str, list[int]] = {}
        for rank in engines.ranks:
            hosts.setdefault(rank.host, []).append(rank.rank)
        print(f"{engines.num_ranks} ranks on {engines.where}, {engines.library}; {engines.num_cells} cells so far")
        for host, ranks in hosts.items():
            print(f"  {host}: rank {', '.join(map(str, ranks))}")

    def _list(self, words: list[str]) -> None:
        _refuse(words, "list")
        print("\n".join(status.text for status in manage.statuses()) or "No clusters: %cluster start ... makes one.")

    def _logs(self, words: list[str]) -> None:
        print(manage.logs(self._name(words, "logs")))

    def _stop(self, words: list[str]) -> None:
        engines = self.mpi.engines
        name = getattr(engines, "name", None)
        if words and words != [name]:
            print(manage.stop(self._name(words, "stop")))
            return
        if isinstance(engines, LocalEngines) and name is None and not engines.ranks:
            print("No cluster is running.")
            return
        engines.stop()
        print(f"The ranks on {engines.where} have been ended. Cells run on this machine now.")
        self.mpi.use(LocalEngines())

    def _doctor(self, words: list[str]):
        from labkit.cluster.doctor import examine

        return examine(words, engines=self.mpi.engines, progress=Progress())

    def _script(self, words: list[str]) -> None:
        from labkit.cluster.command import script_of

        print(script_of(words, prog="%cluster script"))

    def _panel(self, words: list[str]):
        _refuse(words, "panel")
        from labkit.widgets.cluster_panel import ClusterPanel

        return ClusterPanel(self)

    def _help(self, words: list[str]) -> None:
        print(USAGE)

    def _name(self, words: list[str], verb: str) -> str:
        """The cluster that is meant: the one named, this notebook's, or the only one."""
        if len(words) > 1:
            raise UsageError(f"%cluster {verb} [NAME]: name one cluster.")
        if words:
            return words[0]
        if (name := getattr(self.mpi.engines, "name", None)) is not None:
            return name
        names = [record.name for record in registry.records()]
        if len(names) != 1:
            raise UsageError(
                f"%cluster {verb}: which one? There are {', '.join(names)}." if names else f"%cluster {verb}: no cluster is running."
            )
        return names[0]


def _refuse(words: list[str], verb: str) -> None:
    if words:
        raise UsageError(f"%cluster {verb} takes no options, not {' '.join(words)}.")
