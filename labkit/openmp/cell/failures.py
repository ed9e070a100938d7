"""How a C cell can fail besides the errors of :mod:`labkit.errors`.

::

    LabkitError
    ├── CompileError       the compiler refused the cell; nothing was run
    └── CellError
        └── ProgramError   the program ended by a signal, or with an exit status other than 0
"""

from __future__ import annotations

from labkit.errors import CellError, LabkitError


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
