"""What a cluster should be: how many ranks, where, for how long, with which software."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields

from labkit.cluster import option_checks as check
from labkit.errors import UsageError

BATCH_KINDS = ("slurm", "pbs", "lsf", "sge")
KINDS = ("local", *BATCH_KINDS, "ssh")
DEFAULT_NUM_RANKS = 4

# Options that a kind has no use for are refused: ignored, they would be believed.
_NO_JOB = ("time", "partition", "account", "gpus", "memory", "directives")
_UNUSED = {
    "local": (*_NO_JOB, "num_nodes", "ranks_per_node", "modules", "environment", "hosts", "address"),
    "ssh": _NO_JOB,
    **dict.fromkeys(BATCH_KINDS, ("hosts",)),
}
_SHELL_LINE = re.compile(r"(?:source|\.|conda|mamba|micromamba|module|ml|spack|export|eval)\s")

OPTION_WORDS = {
    "num_ranks": "-n",
    "num_nodes": "--nodes",
    "ranks_per_node": "--ranks-per-node",
    "modules": "--module",
    "directives": "--directive",
}


def option_word(field: str) -> str:
    """How a field of :class:`ClusterOptions` is written on a command line."""
    return OPTION_WORDS.get(field, "--" + field.replace("_", "-"))


def is_path(field: str, text: str) -> bool:
    """Whether the text of a field is a path, and not a line of shell or a command of the nodes.

    Examples
    --------
    >>> is_path("environment", "my venv"), is_path("environment", "conda activate labkit")
    (True, False)
    """
    if field == "environment":
        return _SHELL_LINE.match(text) is None
    return field == "folder" or (field == "python" and "/" in text)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """A cluster as it was asked for; checked and brought into one form when it is made.

    Attributes
    ----------
    kind : str
        ``"local"``, ``"slurm"``, ``"pbs"``, ``"lsf"``, ``"sge"`` or ``"ssh"``.
    num_ranks : int
        MPI ranks; nodes x ranks per node where it is not given, else 4.
    num_nodes, ranks_per_node : int or None
        None: the scheduler decides. For ssh the number of hosts.
    time : str or None
        Time limit as ``"HH:MM:SS"`` (also given as minutes, MM:SS, D-HH:MM:SS); None: the site's.
    partition, account : str or None
        Partition or queue; account or project.
    gpus : int
        GPUs a node.
    memory : str or None
        Memory a node, as ``"4G"``.
    modules : tuple of str
        Environment modules, loaded in this order.
    environment : str or None
        Folder of a venv or conda environment (absolute), or a line of shell that activates one.
    directives : tuple of str
        More directives for the scheduler, without their prefix: ``"--constraint=ib"``.
    mpi : str
        How ranks find each other: ``"pmi2"`` (default for Slurm), ``"pmix"``, ``"pmix_v4"``,
        ``"cray_shasta"`` (``srun --mpi=...``), ``"none"`` (``srun`` with the site's default),
        or ``"mpiexec"`` (default elsewhere).
    hosts : tuple of str
        For ssh: ``name`` or ``user@name``.
    name : str
        Of the cluster and its job; the kind where it is not given.
    folder : str or None
        A folder (absolute) that the nodes see too; None: one that labkit makes.
    address : str or None
        IP address the controller listens on; None: found out.
    keep : bool
        The cluster outlives the notebook that started it.
    python : str
        The interpreter on the nodes. Default: this one; with ``environment`` its ``python``.

    Raises
    ------
    UsageError
        A value breaks a rule; the message says the rule, the value and what to write.

    Examples
    --------
    >>> options = ClusterOptions("slurm", num_nodes=2, ranks_per_node=4, time="30")
    >>> options.num_ranks, options.time, options.mpi, options.name
    (8, '00:30:00', 'pmi2', 'slurm')
    """

    kind: str = "local"
    num_ranks: int | None = None
    num_nodes: int | None = None
    ranks_per_node: int | None = None
    time: str | None = None
    partition: str | None = None
    account: str | None = None
    gpus: int = 0
    memory: str | None = None
    modules: tuple[str, ...] = ()
    environment: str | None = None
    directives: tuple[str, ...] = ()
    mpi: str | None = None
    hosts: tuple[str, ...] = ()
    name: str | None = None
    folder: str | None = None
    address: str | None = None
    keep: bool = False
    python: str | None = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UsageError(f"There is no kind of cluster {self.kind!r}. Choose one of: {', '.join(KINDS)}.")
        self._check_unused()
        self._check_values()
        self._check_layout()
        self._set("mpi", self.mpi or ("pmi2" if self.kind == "slurm" else "mpiexec"))
        self._check_mpi()
        self._set("name", check.check_name(self.name or self.kind))
        self._set("python", self.python or ("python" if self.environment else sys.executable))

    @property
    def is_batch(self) -> bool:
        """Whether a scheduler runs it."""
        return self.kind in BATCH_KINDS

    @property
    def environment_is_path(self) -> bool:
        """Whether ``environment`` is a folder, and not a line of shell."""
        return self.environment is not None and is_path("environment", self.environment)

    @property
    def time_seconds(self) -> int | None:
        """The time limit in seconds."""
        return None if self.time is None else check.seconds_of(self.time)

    def changed(self, **values) -> ClusterOptions:
        """The same options but for these; what follows from the others is not derived anew."""
        return ClusterOptions(**{field.name: getattr(self, field.name) for field in fields(self)} | values)

    def ranks_by_node(self) -> list[int] | None:
        """Ranks of each node, nodes filled in order; None where the scheduler decides.

        Examples
        --------
        >>> ClusterOptions("slurm", num_ranks=7, num_nodes=2).ranks_by_node()
        [4, 3]
        """
        if self.num_nodes is None:
            return None
        if self.ranks_per_node is None:
            full, more = divmod(self.num_ranks, self.num_nodes)
            return [full + (node < more) for node in range(self.num_nodes)]
        *others, last = [self.ranks_per_node] * self.num_nodes
        return [*others, last - (self.num_nodes * self.ranks_per_node - self.num_ranks)]

    # -- checks ---------------------------------------------------------------------------------

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    def _check_unused(self) -> None:
        for field in _UNUSED[self.kind]:
            value = getattr(self, field)
            if value not in (None, (), [], 0) and not (field == "num_nodes" and value == 1):
                text = " ".join(map(str, value)) if isinstance(value, (tuple, list)) else value
                raise UsageError(
                    f"{option_word(field)} {text}: a cluster of kind {self.kind} has no use for it. Leave it out, or start another kind "
                    f"({', '.join(kind for kind in KINDS if field not in _UNUSED[kind])})."
                )

    def _check_values(self) -> None:
        for field in ("num_ranks", "num_nodes", "ranks_per_node"):
            if getattr(self, field) is not None:
                check.check_count(option_word(field), getattr(self, field), 1)
        check.check_count("--gpus", self.gpus, 0)
        if not isinstance(self.keep, bool):
            raise UsageError(f"keep = {self.keep!r}: it is true or false.")
        checks = {
            "time": check.check_time,
            "memory": check.check_memory,
            "address": check.check_address,
            "partition": lambda value: check.check_site_name("--partition", value),
            "account": lambda value: check.check_site_name("--account", value),
            "environment": self._checked_environment,
            "folder": lambda value: check.check_path("--folder", value),
            "python": self._checked_python,
        }
        for field, checked in checks.items():
            if getattr(self, field) is not None:
                self._set(field, checked(getattr(self, field)))
        several = {"modules": check.check_module, "directives": check.check_directive, "hosts": check.check_host}
        for field, checked in several.items():
            values = getattr(self, field)
            if isinstance(values, str) or not isinstance(values, (list, tuple)):
                raise UsageError(f"{field} = {values!r}: a list of texts is needed, for example [{values!r}].")
            self._set(field, tuple(checked(value) for value in values))

    @staticmethod
    def _checked_environment(value: object) -> str:
        text = check.check_text("--environment", value).strip()
        return check.check_path("--environment", text) if is_path("environment", text) else text

    @staticmethod
    def _checked_python(value: object) -> str:
        text = check.check_text("--python", value)
        if text.startswith("-"):
            raise UsageError(f"--python {text!r}: the path of an interpreter is needed, for example /usr/bin/python3.")
        return check.check_path("--python", text) if is_path("python", text) else text

    def _check_layout(self) -> None:
        if self.kind == "ssh":
            self._check_hosts()
        nodes, each, ranks = self.num_nodes, self.ranks_per_node, self.num_ranks
        if ranks is None:
            self._set("num_ranks", DEFAULT_NUM_RANKS if nodes is None and each is None else (nodes or 1) * (each or 1))
            if nodes is None and each is not None:
                self._set("num_nodes", 1)
            return
        if nodes is None and each is not None:
            self._set("num_nodes", -(-ranks // each))
        elif nodes is not None and nodes > ranks:
            raise UsageError(
                f"--nodes {nodes}: every node needs at least one rank, but -n is {ranks}. "
                f"Write --nodes {ranks} or fewer, or -n {nodes} or more."
            )
        elif nodes is not None and each is not None and not (nodes - 1) * each < ranks <= nodes * each:
            raise UsageError(
                f"--nodes {nodes} x --ranks-per-node {each} = {nodes * each}, but -n is {ranks}. "
                f"Write -n {nodes * each}, or --nodes {-(-ranks // each)}, or leave one of the three out."
            )

    def _check_hosts(self) -> None:
        if not self.hosts:
            raise UsageError("A cluster of kind ssh needs hosts. Write them as --hosts node1,node2.")
        twice = sorted({host for host in self.hosts if self.hosts.count(host) > 1})
        if twice:
            raise UsageError(
                f"--hosts: {twice[0]} is named twice. Name each host once; --ranks-per-node puts more ranks on each."
            )
        if self.num_nodes not in (None, len(self.hosts)):
            raise UsageError(
                f"--nodes {self.num_nodes}: --hosts names {len(self.hosts)} hosts. Leave --nodes out, or name as many."
            )
        self._set("num_nodes", len(self.hosts))

    def _check_mpi(self) -> None:
        allowed = ("mpiexec",)
        if self.kind == "slurm":
            allowed = ("pmi2", "pmix", "pmix_v<number>", "cray_shasta", "mpiexec", "none")
        known = self.mpi in allowed or (self.kind == "slurm" and re.fullmatch(r"pmix_v\d{1,2}", str(self.mpi)))
        if not known:
            raise UsageError(
                f"--mpi {self.mpi}: a cluster of kind {self.kind} starts its ranks by {', '.join(allowed)}. "
                f"Choose one of them, or leave --mpi out."
            )


def check_field_names(values: Mapping[str, object], where: str) -> None:
    """Raise UsageError, with the nearest name, for a key that is no field of :class:`ClusterOptions`."""
    import difflib

    names = [field.name for field in fields(ClusterOptions)]
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(key, names, n=1)
            raise UsageError(
                f"{where}: there is no option {key!r}. "
                + (f"Did you mean {near[0]!r}? " if near else "")
                + f"The options are: {', '.join(names)}."
            )
