"""Sums of floating-point numbers: from the loop everybody writes to the correctly rounded sum.

::

    arguments      what all of them take: checked in one place
    recursive      one accumulator, in the order of the array
    pairwise       halves of halves
    compensated    Kahan, Neumaier, Ogita-Rump-Oishi: the rounding errors are added up, too
    accumulator    a number as wide as the format: sums without any rounding
    exact          the correctly rounded sum
    reproducible   the same bits for any order, threads and ranks: exact, or in a few bins
    threaded       compensated sums in lanes, on a team of threads
    dot            dot products
    bounds         what can be said about the error before, and while, a sum is computed
    adversarial    inputs of a chosen condition number
    registry       all of them by name
    errors         measured: in ulp, and against the condition number
    trees          in which order ranks combine their partial sums

The names of compiled loops end in ``_kernels``; those modules import Numba, and are imported when a sum is computed.
"""
