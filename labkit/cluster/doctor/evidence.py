"""What the doctor has seen, as plain values: diagnosing needs nothing else, so it can be tested with made-up ones."""

from __future__ import annotations

from dataclasses import dataclass, field

#: What a rank cannot do without, in the order in which it is imported.
NEEDED = ("numpy", "psutil", "IPython", "ipyparallel", "labkit")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answered; ``code`` is None if it did not end in time or could not be started."""

    command: str
    code: int | None
    text: str

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def last(self) -> str:
        """The last line that says something."""
        lines = [line.strip() for line in self.text.splitlines() if line.strip()]
        return lines[-1] if lines else "it printed nothing"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as the scheduler describes it; times in seconds, None is no limit."""

    name: str
    is_default: bool
    is_up: bool
    max_time_s: float | None
    default_time_s: float | None
    num_nodes: int
    num_usable: int
    reasons: str = ""  # why others are not


@dataclass(frozen=True, slots=True)
class Job:
    """The probe's job, or one that has ended."""

    job_id: str
    word: str  # as JobState has it; "starting", "running" and "ended" mean that it had nodes
    reason: str = ""
    native: str = ""
    nodes: tuple[str, ...] = ()
    waited_s: float = 0.0
    started: bool = False
    log: str = ""


@dataclass(frozen=True, slots=True)
class Process:
    """One process of the probe, as far as it came.

    ``stage`` is ``"shell"`` (Python did not start), ``"python"`` (no MPI library was loaded), ``"loaded"``
    (MPI did not start), ``"world"`` (a first barrier did not end) or ``"mpi"`` (all of it).
    """

    host: str
    pid: int
    stage: str
    python: str = ""  # path of the interpreter
    python_error: str = ""
    versions: dict[str, str] = field(default_factory=dict)  # "" for what cannot be found
    errors: dict[str, str] = field(default_factory=dict)  # of imports
    folder_seen: bool | None = None
    connect_error: str | None = None  # "" if it connected
    source_address: str = ""  # from which it did
    interface: str = ""
    clock_offset_s: float | None = None  # its clock minus the doctor's
    clock_error_s: float = 0.0
    gpus: tuple[str, ...] = ()
    mpi_error: str = ""
    size: int | None = None
    rank: int | None = None
    library: str = ""
    paths: tuple[str, ...] = ()  # of the MPI libraries it has loaded
    thread_level: str = ""
    transports: str = ""  # what the library says of the network
    gpu_aware: bool | None = None  # None: the library does not say
    memory_kinds: str = ""

    @property
    def flavour(self) -> str:
        """Of which family its MPI library is."""
        return flavour_of(self.library)


def flavour_of(library: str) -> str:
    """``"Open MPI"``, ``"Intel MPI"``, ``"MVAPICH"``, ``"MPICH"`` or ``""``, by what MPI calls itself."""
    for words, flavour in (
        ("open mpi", "Open MPI"),
        ("intel", "Intel MPI"),
        ("mvapich", "MVAPICH"),
        ("mpich", "MPICH"),
    ):
        if words in library.lower():
            return flavour
    return ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that has been seen of a cluster. None, "" and () stand for what has not been looked at."""

    options: object  # ClusterOptions
    title: str  # of the scheduler, for sentences
    host: str = ""  # this machine
    versions: dict[str, str] = field(default_factory=dict)  # here
    found: dict[str, str] = field(default_factory=dict)  # path of each command that is needed, "" if it is not there
    authentication: Answer | None = None
    controller: Answer | None = None
    version: str = ""  # of the scheduler
    partitions: tuple[Partition, ...] = ()
    folder: str = ""
    folder_error: str = ""
    address: str = ""
    address_error: str = ""
    interface: str = ""
    submission: Answer | None = None
    refusal: str = ""  # in words
    hosts: dict[str, Answer] = field(default_factory=dict)  # over SSH
    last_job: Job | None = None  # of the cluster that the notebook uses, if it has ended
    job: Job | None = None
    num_asked: int = 0  # processes that the probe should have
    processes: tuple[Process, ...] = ()
    launcher_said: str = ""
    launcher_code: int | None = None
    clock_is_foreign: bool = True  # whether processes have another clock than this one

    @property
    def mpi(self) -> str:
        return self.options.mpi
