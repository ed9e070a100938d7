"""What a team launches: kernels in loops, bodies of regions, sections; compiled for the arguments of the first call."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable

import numba
import numpy as np
from numba import njit
from numba.core.dispatcher import Dispatcher
from numba.core.registry import cpu_target

from labkit.errors import UsageError
from labkit.openmp import loops, reductions
from labkit.openmp.cache import keep_on_disk
from labkit.openmp.failures import name_of
from labkit.openmp.intrinsics import fetch_add, load, run_region, system_thread_id, thread_num
from labkit.openmp.schedule import Schedule, chunk_arrays
from labkit.openmp.shared import COUNTER, GOING_ON, LINE, SETUP, STOP, shared_block
from labkit.openmp.simulate import ScheduleRun
from labkit.openmp.tracing import make_traced_loop

LARGEST_CHUNK = 2**52

_compiled_functions: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def check_kernel(function, what: str) -> Dispatcher:
    """A compiled function, or one made of a Python function; anything else is a UsageError."""
    if isinstance(function, Dispatcher):
        return function
    if not inspect.isfunction(function):
        raise UsageError(
            f"{what} is a function compiled by numba.njit, or a Python function that can be, not {function!r:.80}: "
            "pass such a function."
        )
    if function not in _compiled_functions:
        _compiled_functions[function] = njit(nogil=True)(function)
    return _compiled_functions[function]


def _rule(schedule: Schedule) -> tuple[int, int]:
    """How chunks are taken, and their size."""
    chunk_size = min(schedule.chunk_size or 1, LARGEST_CHUNK)
    if schedule.is_static:
        return (loops.BLOCK if schedule.chunk_size is None else loops.ROUND_ROBIN), chunk_size
    return (loops.DYNAMIC if schedule.kind == "dynamic" else loops.GUIDED), chunk_size


class Loop:
    """A kernel under a schedule. ``launch(num_threads, size, shared, arguments)`` -> what STOP says.

    If it ``has_result``, it gives that too, as a pair. A plain loop can be called directly on a block with its setup:
    ``compiled(size, block, arguments)``.
    """

    def __init__(self, kernel, schedule: Schedule, reduction, reproducible: bool, trace: bool, num_dims: int):
        if reproducible and reduction is None:
            raise UsageError("reproducible=True makes a reduction reproducible, but there is none: pass reduction='+'.")
        if reproducible and trace:
            raise UsageError(
                "reproducible=True with trace=True: the blocks of a reproducible reduction are no chunks of the "
                "schedule: trace it with reproducible=False."
            )
        self.kernel, self.schedule, self.num_dims = kernel, schedule, num_dims
        self.reduction = None if reduction is None else reductions.check_operation(reduction)
        self.num_given = 1 + num_dims  # arguments of the kernel that the loop gives
        self.rule, self.chunk_size = _rule(schedule)
        self.results: dict = {}  # by types of arguments: (type of the result, what changes nothing)
        if trace:
            make, self.launch = make_traced_loop, self._launch_traced
        elif reduction is None:
            make, self.launch = loops.make_loop, self._launch_plain if num_dims == 1 else self._launch_collapsed
        elif reproducible:
            make, self.launch = reductions.make_reproducible_reduction, self._launch_reproducible
        else:
            make, self.launch = reductions.make_reduction, self._launch_reduction
        options = () if reduction is None and not trace else (self.reduction,)
        self.compiled = _made(make, kernel, *options, num_dims)
        self.has_result = trace or reduction is not None

    def _sizes(self, size) -> tuple[int, int]:
        """Iterations in all, and in a row."""
        return (size[0] * size[1], size[1]) if self.num_dims == 2 else (size, 1)

    def set_up(self, shared: np.ndarray, num_threads: int, width: int = 1) -> None:
        """Write what a plain loop needs to know into a shared block."""
        shared[SETUP : SETUP + 4] = self.rule, self.chunk_size, num_threads, width

    def _launch_plain(self, num_threads, size, shared, arguments):
        self.set_up(shared, num_threads)
        return self.compiled(size, shared, arguments)

    def _launch_collapsed(self, num_threads, size, shared, arguments):
        n, width = size[0] * size[1], size[1]
        self.set_up(shared, num_threads, width)
        return self.compiled(n, shared, arguments)

    def _result(self, arguments):
        """The type in which results are combined, and what changes nothing."""
        # The type of a result follows from types and dimensions; asking Numba for all it knows takes far longer.
        kinds = tuple([(a.dtype, a.ndim) if type(a) is np.ndarray else type(a) for a in arguments])
        if kinds not in self.results:
            signature = (*[numba.int64] * self.num_given, *map(numba.typeof, arguments))
            template, _, given, named = self.kernel.get_call_template(signature, {})
            returned = template(cpu_target.typing_context).apply(given, named).return_type
            if not isinstance(returned, numba.types.Number | numba.types.Boolean):
                raise UsageError(
                    f"reduction={self.reduction!r}: the kernel returns the result of its iterations, a number, but "
                    f"{name_of(self.kernel)} returns {returned}: return a number."
                )
            dtype = reductions.result_type(
                self.reduction, np.dtype(numba.np.numpy_support.as_dtype(returned)), name_of(self.kernel)
            )
            self.results[kinds] = dtype, reductions.identity_of(self.reduction, dtype)
        return self.results[kinds]

    def _launch_reduction(self, num_threads, size, shared, arguments):
        n, width = self._sizes(size)
        partials = _partials(num_threads, *self._result(arguments))
        return self.compiled(num_threads, self.rule, n, self.chunk_size, width, shared, partials, arguments)

    def _launch_reproducible(self, num_threads, size, shared, arguments):
        dtype, identity = self._result(arguments)
        n, width = self._sizes(size)
        if n == 0:
            return GOING_ON, identity
        length = reductions.block_length(n)
        num_blocks = -(-n // length)
        return self.compiled(
            num_threads, self.rule, num_blocks, self.chunk_size, length, n, width, shared, np.empty(num_blocks, dtype),
            arguments,
        )

    def _launch_traced(self, num_threads, size, shared, arguments):
        from labkit.openmp.team import TracedLoop

        n, width = self._sizes(size)
        starts, stops, owners = chunk_arrays(self.schedule, n, num_threads)
        order = np.argsort(owners, kind="stable")
        firsts = np.searchsorted(owners[order], np.arange(num_threads + 1))
        plan = starts, stops, firsts, order, not self.schedule.is_static
        threads, times = np.zeros(len(starts), np.int64), np.zeros((len(starts), 3))
        start_times = np.full(num_threads, np.inf)
        unused = np.dtype(np.int64), 0
        partials = _partials(num_threads, *(unused if self.reduction is None else self._result(arguments)))
        stopped, result, begin = self.compiled(
            num_threads, plan, (threads, times, start_times), width, shared, partials, arguments
        )
        taken, began, ended = (times - begin).T.copy()
        start = np.where(np.isinf(start_times), 0.0, start_times - begin)
        run = ScheduleRun(self.schedule, num_threads, n, starts, stops, threads, taken, began, ended, start)
        return stopped, TracedLoop(None if self.reduction is None else result, run)


class Region:
    """A body that every thread runs, or of which one thread runs the root of the tasks."""

    num_given = 1  # the team
    has_result = False

    def __init__(self, body, kind: str):
        self.kernel = body
        self.compiled = _made(_make_region, body, kind)

    def launch(self, num_threads, size, shared, arguments):
        return self.compiled(num_threads, shared, arguments)


class Sections:
    """Functions that are run once each."""

    num_given = 0
    has_result = False

    def __init__(self, functions):
        self.functions, self.kernel = functions, functions[0] if functions else None
        self.compiled = _make_sections(functions) if functions else None

    def launch(self, num_threads, size, shared, arguments):
        if not self.functions:
            return GOING_ON
        return self.compiled(num_threads, shared, arguments)


def _partials(num_threads: int, dtype: np.dtype, identity) -> np.ndarray:
    """A cache line for the result of each thread, with what changes nothing in it."""
    return _empty_partials(num_threads, dtype, identity).copy()


@functools.lru_cache(maxsize=64)
def _empty_partials(num_threads: int, dtype: np.dtype, identity) -> np.ndarray:
    return np.full((num_threads, max(8 * LINE // dtype.itemsize, 1)), identity, dtype)


@functools.lru_cache(maxsize=256)
def _made(make: Callable, kernel: Dispatcher, *options) -> Callable:
    """Loops over a kernel are made once for all teams."""
    return make(kernel, *options)


def _make_region(body: Callable, kind: str) -> Callable:
    is_tasks = kind == "tasks"

    @njit
    def share(team, arguments):
        if is_tasks and thread_num() != 0:
            return  # to the barrier at the end, where threads run tasks
        body(team, *arguments)

    @njit(nogil=True)
    def launch(team_size, team, arguments):
        loops.reset_for_body(team, team_size)
        run_region(share, team_size, team, (team, arguments))
        return team[STOP]

    return keep_on_disk(launch, body, kind)


def _make_sections(functions: tuple) -> Callable:
    """The choice among functions of different types is a chain of ifs in a text of its own."""
    lines = ["def share(shared, arguments):", "    while load(shared, STOP) == GOING_ON:",
             "        k = fetch_add(shared, COUNTER, 1)"]
    for k in range(len(functions)):
        lines += [f"        {'el' * (k > 0)}if k == {k}:", f"            function_{k}(*arguments[{k}])"]
    lines += ["        else:", "            return"]
    names = {f"function_{k}": function for k, function in enumerate(functions)}
    names |= {"load": load, "fetch_add": fetch_add, "STOP": STOP, "GOING_ON": GOING_ON, "COUNTER": COUNTER}
    exec("\n".join(lines), names)
    share = njit(names["share"])

    @njit(nogil=True)
    def launch(team_size, shared, arguments):
        loops.reset(shared)
        run_region(share, team_size, shared, (shared, arguments))
        return shared[STOP]

    return launch


@njit(nogil=True)
def _note_threads(shared, numbers):
    run_region(_note_thread, numbers.size, shared, (numbers,))


@njit
def _note_thread(numbers):
    numbers[thread_num()] = system_thread_id()


def thread_ids(num_threads: int) -> list[int]:
    """The system's numbers of the threads of the pool that belongs to this Python thread."""
    numbers = np.zeros(num_threads, np.int64)
    _note_threads(shared_block(num_threads), numbers)
    return [number for number in numbers.tolist() if number]
