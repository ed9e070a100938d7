"""The exceptions of labkit.

::

    LabkitError
    ├── UsageError                 an option, argument or value breaks a rule; nothing was run
    ├── NotAvailableError          this machine lacks something; the message says how to get it
    ├── TraceFormatError           a trace file is not what it should be
    ├── KernelError                a compiled kernel raised on a thread; ``.thread_num``, ``.start``, ``.stop``
    ├── CompileError               the compiler refused a C cell; nothing was run
    ├── CheckpointError            a checkpoint could not be written or read, or is of another model; nothing is lost
    ├── TrainingError              training stopped; ``.step``, ``.ranks``
    │   └── NonFiniteError             because a loss or a gradient is no finite number
    ├── EnginesError               the MPI engines did not start, or were lost
    └── CellError                  a cell did not end well; ``.statuses`` says what each rank did
        ├── RankFailedError        a rank raised an exception
        ├── RankDiedError          a rank's process ended: a signal, ``os._exit``, out of memory
        ├── DeadlockError          ranks wait for each other and nothing can move; ``.graph``
        │   └── CollectiveMismatchError  because they called different collectives
        ├── CellTimeoutError       the cell's time limit passed; ``.graph``
        ├── CellInterruptedError   the Stop button; ``.graph``
        └── ProgramError           a C cell ended by a signal or with a status; ``.signal_name``, ``.line``

Every message says the rule that was broken, the values that broke it, and the next step.
"""


class LabkitError(Exception):
    """Base of every error that labkit raises on purpose."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints: the message says it all, so no stack of library frames."""
        return [f"\x1b[31m{type(self).__name__}\x1b[0m: {self}"]


class UsageError(LabkitError, ValueError):
    """An option, argument or value breaks a rule. Nothing was run and nothing was lost."""


class NotAvailableError(LabkitError, RuntimeError):
    """This machine lacks something that was asked for."""


class TraceFormatError(LabkitError, ValueError):
    """A trace file is not in the format it should be in."""


class KernelError(LabkitError, RuntimeError):
    """A kernel raised on a thread of a team; what it raised is the ``__cause__``.

    Attributes
    ----------
    thread_num : int
    start, stop : int or None
        The iterations that the thread was at, of a loop.
    """

    def __init__(self, message: str, *, thread_num: int = 0, start: int | None = None, stop: int | None = None):
        super().__init__(message)
        self.thread_num, self.start, self.stop = thread_num, start, stop


class CompileError(LabkitError):
    """The compiler or the linker refused the cell.

    Attributes
    ----------
    messages : tuple of labkit.openmp.cell.diagnostics.Message
        What it said, errors first.
    """

    def __init__(self, text: str, messages: tuple = ()):
        super().__init__(text)
        self.messages = messages


class CheckpointError(LabkitError, RuntimeError):
    """A checkpoint could not be written or read, or is of another model. Older checkpoints are as they were."""


class TrainingError(LabkitError, RuntimeError):
    """Training stopped, on all ranks, before the optimizer of this step changed anything.

    Attributes
    ----------
    step : int or None
        Counted from 0.
    ranks : tuple of int
        Whose fault it is, where that is known.
    """

    def __init__(self, message: str, *, step: int | None = None, ranks: tuple[int, ...] = ()):
        super().__init__(message)
        self.step, self.ranks = step, ranks


class NonFiniteError(TrainingError):
    """A loss or a gradient is NaN or infinite."""


class EnginesError(LabkitError, RuntimeError):
    """The MPI engines did not start, or were lost."""


class CellError(LabkitError):
    """An MPI cell did not end well.

    Attributes
    ----------
    statuses : tuple of labkit.comm.waits.RankStatus
        What each rank was doing when the cell was ended, by rank.
    graph : labkit.comm.waits.WaitGraph or None
        Who waited for whom, where that is known.
    """

    def __init__(self, message: str, *, statuses: tuple = (), graph=None):
        super().__init__(message)
        self.statuses = statuses
        self.graph = graph


class RankFailedError(CellError):
    """A rank raised an exception; the other ranks were released."""


class RankDiedError(CellError):
    """The process of a rank ended, and with it the whole set of engines and their variables."""


class DeadlockError(CellError):
    """Ranks wait for each other, and no message that could free them can still arrive."""


class CollectiveMismatchError(DeadlockError):
    """The ranks of a communicator did not make the same collective calls in the same order.

    They may not even have got stuck: with small messages MPI can complete such calls, wrongly.
    """


class CellTimeoutError(CellError):
    """The cell ran longer than its ``--timeout``."""


class CellInterruptedError(CellError, KeyboardInterrupt):
    """The cell was stopped by its user."""


class ProgramError(CellError):
    """The program did not end well.

    Attributes
    ----------
    num_threads : int
        With which OMP_NUM_THREADS it ran.
    signal_name : str or None
        The signal that ended it, such as ``SIGSEGV``.
    exit_status : int or None
        Or the exit status.
    line : int or None
        The line of the cell, where known; the line of ``%%openmp`` is 1.
    """

    def __init__(self, text: str, *, num_threads: int, signal_name=None, exit_status=None, line=None):
        super().__init__(text)
        self.num_threads = num_threads
        self.signal_name = signal_name
        self.exit_status = exit_status
        self.line = line
