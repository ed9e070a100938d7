"""What goes wrong with kernels, in a few words: they do not compile, do not fit their arguments, or raise."""

from __future__ import annotations

import inspect
import re

import numba
import numpy as np
from numba.core.errors import NumbaError

from labkit.errors import KernelError, UsageError
from labkit.openmp.shared import ERROR_THREAD, FAILED, GOING_ON, LINE, ROW_START, ROW_STOP, ROWS, STOP

NOISE = re.compile(r"\x1b\[[0-9;]*m")  # colours


def name_of(kernel) -> str:
    return getattr(kernel, "__name__", repr(kernel))


def has_raised(shared: np.ndarray) -> bool:
    """Whether what came out of a launch came from a thread of the region."""
    return shared[STOP] == FAILED


def kernel_error(error: BaseException, loop, shared: np.ndarray, num_threads: int) -> KernelError:
    """What a kernel raised, with its thread and its iterations."""
    thread = int(shared[ERROR_THREAD])
    row = ROWS + thread * LINE
    start, stop = int(shared[row + ROW_START]), int(shared[row + ROW_STOP])
    shared[STOP] = GOING_ON
    where = ""
    if loop.num_given == 2:
        where = f", iterations {start} to {stop - 1}"
    elif loop.num_given == 3:
        where = f", iterations {start} to {stop - 1} of both loops (row by row)"
    words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    what = "the sections" if loop.num_given == 0 else name_of(loop.kernel)
    again = f" Try {name_of(loop.kernel)}({start}, {stop}, ...) alone." if loop.num_given == 2 else ""
    return KernelError(
        f"{what} raised on thread {thread} of {num_threads}{where}: {words}. The other threads have stopped; what was "
        f"written until then stays.{again}",
        thread_num=thread, start=start if where else None, stop=stop if where else None,
    )


def check_arguments(arguments: tuple) -> None:
    """Whether compiled code can take them: a UsageError names the first that it cannot."""
    for number, argument in enumerate(arguments):
        if isinstance(argument, tuple):
            check_arguments(argument)
            continue
        where = f"argument {number + 1} after the number of iterations"
        if isinstance(argument, np.ndarray) and argument.dtype.hasobject:
            raise UsageError(
                f"{where} is an array of Python objects: kernels take arrays of numbers; use astype(float)."
            )
        if isinstance(argument, list | set | dict):
            raise UsageError(f"{where} is a {type(argument).__name__}: kernels take arrays; pass np.array(...) of it.")
        try:
            numba.typeof(argument)
        except (ValueError, NumbaError):
            raise UsageError(
                f"{where} is {argument!r:.60} of type {type(argument).__name__}: kernels take NumPy arrays and "
                "numbers: pass such values."
            ) from None


def compile_error(error: Exception, loop, arguments: tuple) -> UsageError:
    """Why a kernel could not be compiled for these arguments: its line, and the reason."""
    kernels = getattr(loop, "functions", None) or (loop.kernel,)
    argument_sets = arguments if hasattr(loop, "functions") else (arguments,)
    for kernel, its_arguments in zip(kernels, argument_sets, strict=True):
        name = name_of(kernel)
        kinds = (*given_types(loop), *map(numba.typeof, its_arguments))
        problem = _number_problem(kernel, loop, its_arguments)
        if problem:
            return UsageError(problem)
        if not kernel._can_compile and kinds not in kernel.overloads:
            taken = "; ".join(str(signature) for signature in kernel.overloads) or "none"
            return UsageError(
                f"{name} was compiled for arguments of other types: it takes {taken}, and was given "
                f"({', '.join(map(str, kinds))}): pass arrays of those types, or leave the signature out of numba.njit."
            )
        try:
            kernel.compile(kinds)
        except NumbaError as its_own:
            return UsageError(f"{name} does not compile for ({', '.join(map(str, kinds))}): {reason(its_own)}")
        except Exception as its_own:
            return UsageError(f"{name} does not compile: {type(its_own).__name__}: {str(its_own):.300}")
    return UsageError(f"{name_of(loop.kernel)} does not compile: {reason(error)}")


def given_types(loop) -> tuple:
    """The types of the arguments that a loop or region gives by itself."""
    if type(loop).__name__ == "Region":
        return (numba.typeof(np.zeros(1, np.int64)),)
    return (numba.int64,) * loop.num_given


def _number_problem(kernel, loop, arguments) -> str:
    given = {0: (), 2: ("start", "stop"), 3: ("row", "start", "stop")}.get(loop.num_given, ("team",))
    try:
        inspect.signature(kernel.py_func).bind(*given, *arguments)
    except TypeError as problem:
        call = ", ".join([*given, *(f"argument {k + 1}" for k in range(len(arguments)))])
        return (
            f"{name_of(kernel)}{inspect.signature(kernel.py_func)} cannot be called as {name_of(kernel)}({call}): "
            f"{problem}: pass as many arguments as it takes."
        )
    return ""


def reason(error: NumbaError) -> str:
    """The line that matters of Numba's message, and the source line it is about."""
    text = NOISE.sub("", str(error))
    wanted = [
        line.strip() for line in text.splitlines()
        if line.strip() and not line.startswith(("Failed in ", "During: ", "File ", "This error", "To see", "If you"))
        and "<source elided>" not in line
    ]
    message = next((line for line in wanted if not set(line) <= set("^-~ ")), type(error).__name__)
    place = ""
    found = re.findall(r'File "([^"]+)", line (\d+):\n(?:.*\n)*?(?=\s*\^)', text)
    pointed = re.findall(r'File "([^"]+)", line (\d+):\n((?:.*\n)*?)\s*\^', text)
    if found and pointed:
        file, line, source = pointed[0]
        place = f" (line {line}: {source.strip().splitlines()[-1].strip()})" if source.strip() else f" (line {line})"
    return f"{message}{place}"
