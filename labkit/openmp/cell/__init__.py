"""Cells in C and C++: compiled by this machine's compiler, run in a process of their own, measured and explained.

::

    compilers.py     which compiler, with which options, and what to do without one
    build.py         a cell becomes a program; what was built once is not built again
    diagnostics.py   what the compiler says, with the lines of the cell
    entry.py         what of a cell is run
    prototype.py     the functions of a cell and their parameters
    shared.py        arrays in memory that another process can map
    arguments.py     values of the notebook against the parameters of a function
    runtime.py       the C that is linked to a cell: calls its function, notes where it crashed
    supervise.py     the process that starts the program, measures it and ends it with all it started
    child.py         the notebook's end of that
    output.py        what it prints, shown once if it is equal for several numbers of threads
    crash.py         a program that did not end well, in words
    run.py           a program with each number of threads
    result.py        what came out: times, speed-ups, output
    failures.py      the errors of this room
    races.py         what the thread sanitizer found
    examine.py       a cell compiled to be looked at:
    assembly.py      the machine code of its loops
    vectors.py       which loops the compiler made vector instructions of, and why not
"""

from labkit.openmp.cell.shared import shared_array

__all__ = ["shared_array"]
