"""Tasks: work that comes up while other work is done, run by whichever thread is free.

Compiled functions make them, under a root that :meth:`labkit.openmp.team.Team.tasks` runs on one thread::

    @numba.njit
    def fibonacci(team, n, cutoff, result):
        if n < cutoff:
            result[0] = serial_fibonacci(n)
            return
        parts = np.zeros(2, np.int64)
        task(team, fibonacci, (team, n - 1, cutoff, parts[:1]))
        task(team, fibonacci, (team, n - 2, cutoff, parts[1:]))
        taskwait()
        result[0] = parts[0] + parts[1]

``task(team, function, arguments)`` is ``#pragma omp task``, ``taskwait()`` waits for the tasks made by this one, and
``task_depend(team, function, arguments, tokens, out, in_)`` orders tasks by what they read and write, which makes a
graph of them. They are tasks of the OpenMP runtime; each costs about as much as a few hundred additions, so small
pieces of work are better done at once (the cut-off).
"""

from labkit.openmp.intrinsics import task, task_depend, taskwait

__all__ = ["task", "task_depend", "taskwait"]
