"""Threads that are only thought of: a team that finds races and deadlocks, step by step, on one core.

``SimulatedTeam`` takes the kernels and bodies of :class:`labkit.openmp.team.Team`, compiled ones too, and runs them as
Python functions on threads that take turns. Every read and write of a shared element is a point where another thread
may go on; a seed decides who. Two accesses to an element by different threads, at least one of them a write, that
nothing orders are a *race*, whether or not the values came out wrong.

===================  ==================================================================================
``team.py``          ``SimulatedTeam``, with the methods of ``Team``
``regions.py``       a region, a loop, sections: who runs what
``tasks.py``         tasks, their dependences, and the threads that run them
``fibers.py``        threads as greenlets that take turns; deadlocks
``strands.py``       vector clocks: which of two steps comes before the other
``memory.py``        who has read and written what: races, lines of the cache that several threads write
``arrays.py``        arrays that tell of every access
``constructs.py``    barrier, critical, atomic, single, ... as these threads execute them
``python_form.py``   the Python form of a compiled kernel, in which those stand for the compiled ones
``report.py``        what came of it, as values and as text
===================  ==================================================================================

Not simulated: caches and the order in which a processor's writes become visible. A program without races has none of
these surprises, and one with a race is wrong here as it is there.
"""
