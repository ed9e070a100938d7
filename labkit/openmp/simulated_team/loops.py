"""A loop under a schedule on simulated threads."""

from __future__ import annotations

from collections.abc import Callable

from labkit.errors import UsageError
from labkit.openmp.schedule import Schedule, chunk_arrays

BASES = {
    "+": 0, "*": 1, "min": float("inf"), "max": float("-inf"), "and": True, "or": False,
}


class Loop:
    """The chunks of a loop, whose they are, and the results of the threads."""

    def __init__(self, kernel, sizes, arguments, plan: Schedule, num_threads: int, reduction, reproducible: bool):
        if reproducible and reduction is None:
            raise UsageError("reproducible=True makes a reduction reproducible, but there is none: pass reduction='+'.")
        self.kernel, self.sizes, self.arguments, self.plan = kernel, sizes, arguments, plan
        self.num_threads, self.reduction = num_threads, reduction
        self.num_iterations = sizes[0] * (sizes[1] if len(sizes) == 2 else 1)
        self.combine, self.length = None, 0
        if reduction is not None:
            from labkit.openmp import reductions

            self.combine = reductions.OPERATIONS[reductions.check_operation(reduction)].py_func
            self.length = reductions.block_length(self.num_iterations) if reproducible else 0
        self.num_dealt = -(-self.num_iterations // self.length) if self.length else self.num_iterations
        self.results: list = [None] * (self.num_dealt if self.length else num_threads)

    def shares(self, region) -> Callable:
        """What each thread runs."""
        starts, stops, owners = (array.tolist() for array in chunk_arrays(self.plan, self.num_dealt, self.num_threads))
        chunks = list(zip(starts, stops, owners, strict=True))

        def share(thread: int):
            own = [chunk for chunk in chunks if chunk[2] == thread]
            while True:
                region.pause()
                if self.plan.is_static:
                    if not own:
                        return
                    start, stop, _ = own.pop(0)
                else:
                    if region.counter >= len(chunks):
                        return
                    start, stop, _ = chunks[region.counter]
                    region.counter += 1
                region.num_chunks += 1
                self._run_chunk(region, thread, start, stop)

        return lambda thread: lambda: share(thread)

    def _run_chunk(self, region, thread: int, start: int, stop: int) -> None:
        fiber = region.fiber
        if self.length:
            for block in range(start, stop):
                first, last = block * self.length, min((block + 1) * self.length, self.num_iterations)
                fiber.chunk = first, last
                self.results[block] = self._call(first, last)
            return
        fiber.chunk = start, stop
        value = self._call(start, stop)
        if self.combine is not None:
            before = self.results[thread]
            self.results[thread] = value if before is None else self.combine(before, value)

    def _call(self, start: int, stop: int):
        """The kernel on iterations of the loop; row by row, if it has two."""
        if len(self.sizes) == 1:
            return self.kernel(start, stop, *self.arguments)
        width, total = self.sizes[1], None
        while start < stop:
            row, column = divmod(start, width)
            end = min(column + stop - start, width)
            value = self.kernel(row, column, end, *self.arguments)
            if self.combine is not None:
                total = value if total is None else self.combine(total, value)
            start += end - column
        return total

    def result(self):
        """All threads' results combined, or None."""
        if self.combine is None:
            return None
        found = [value for value in self.results if value is not None]
        if not found:
            return BASES[self.reduction]
        while len(found) > 1 and self.length:  # neighbours, level by level
            pairs = [self.combine(found[k], found[k + 1]) for k in range(0, len(found) - 1, 2)]
            found = pairs + found[len(pairs) * 2 :]
        total = found[0]
        for value in found[1:]:
            total = self.combine(total, value)
        return total
