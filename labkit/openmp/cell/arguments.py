"""Values of the notebook as arguments of a C function: checked against its prototype, passed without copying."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np

from labkit.errors import UsageError
from labkit.openmp.cell.prototype import Function, Parameter
from labkit.openmp.cell.shared import SharedBlock, block_of

MOST_ARGUMENTS = 60
NUMBER = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|\d+)|[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


@dataclass(eq=False)
class ArrayArgument:
    """An array and the shared memory that C finds it in; ``snapshot`` holds what it was before the first call."""

    name: str
    array: np.ndarray
    block: SharedBlock
    offset: int
    writable: bool
    copied: bool
    snapshot: SharedBlock | None = None

    @property
    def shared(self) -> np.ndarray:
        """The bytes that C sees."""
        return np.ndarray(self.array.nbytes, np.uint8, buffer=self.block, offset=self.offset)


@dataclass(frozen=True)
class ScalarArgument:
    """A number as text that C reads exactly: ``i`` integer, ``u`` unsigned integer, ``d`` floating point."""

    name: str
    kind: str
    text: str


class Arguments:
    """The arguments of one run of a cell's function, checked; :meth:`share` comes before the run.

    Parameters
    ----------
    function : Function
    words : sequence of str
        Names of variables, or numbers.
    namespace : mapping of str to object
        The notebook's variables.
    """

    def __init__(self, function: Function, words, namespace: Mapping[str, object]):
        self.function = function
        _check_count(function, words)
        self.items: list[ArrayArgument | ScalarArgument] = []
        self._copies: dict[tuple, SharedBlock] = {}
        for number, (word, parameter) in enumerate(zip(words, function.parameters, strict=True), start=1):
            value = _value(word, namespace)
            where = f"argument {number} of {function.name}, {word}"
            _check_known(where, parameter)
            if parameter.pointer:
                self.items.append(self._array(where, word, value, parameter))
            else:
                self.items.append(_scalar(where, word, value, parameter))
        self._check_overlaps()
        self._check_lengths()

    def share(self, *, several_calls: bool) -> None:
        """Put what C reads where C finds it; with several calls, each starts with the arrays as they are now."""
        for item in self.arrays:
            if item.copied:
                item.shared[:] = _bytes(item.array)
            if several_calls and item.writable:
                item.snapshot = SharedBlock(item.array.nbytes)
                np.copyto(np.frombuffer(item.snapshot, np.uint8)[: item.array.nbytes], item.shared)

    @property
    def arrays(self) -> list[ArrayArgument]:
        return [item for item in self.items if isinstance(item, ArrayArgument)]

    @property
    def copied(self) -> list[str]:
        """Names of the arrays that had to be copied into shared memory."""
        return list(dict.fromkeys(item.name for item in self.arrays if item.copied))

    def command(self) -> tuple[list[str], list[int]]:
        """The words that the program gets, and the files that it must inherit."""
        written = {item.block.fd for item in self.arrays if item.writable}
        words, fds = [], []
        for item in self.items:
            if isinstance(item, ScalarArgument):
                words.append(f"{item.kind}:{item.text}")
                continue
            snapshot = item.snapshot.fd if item.snapshot else -1
            words.append(
                f"a:{item.block.fd}:{item.offset}:{item.array.nbytes}:{int(item.block.fd in written)}:{snapshot}"
            )
            fds += [item.block.fd] + ([snapshot] if snapshot >= 0 else [])
        return words, sorted(set(fds))

    def finish(self) -> None:
        """After success: the notebook's own arrays get what C wrote."""
        for item in self.arrays:
            if item.copied and item.writable:
                _bytes(item.array)[:] = item.shared

    def put_back(self) -> list[str]:
        """After a failure: the arrays are as before. Returns the names of those of which that is not known."""
        lost = []
        for item in self.arrays:
            if item.writable and not item.copied:
                if item.snapshot is None:
                    lost.append(item.name)
                else:
                    item.shared[:] = np.frombuffer(item.snapshot, np.uint8)[: item.array.nbytes]
        return lost

    # -- parts ------------------------------------------------------------------------------------------

    def _array(self, where: str, word: str, array, parameter: Parameter) -> ArrayArgument:
        _check_array(where, word, array, parameter)
        found = block_of(array)
        if found is not None:
            return ArrayArgument(word, array, *found, writable=not parameter.const, copied=False)
        key = (array.__array_interface__["data"][0], array.nbytes)  # the same array twice is one memory in C, too
        block = self._copies.setdefault(key, None) or SharedBlock(array.nbytes)
        self._copies[key] = block
        return ArrayArgument(word, array, block, 0, writable=not parameter.const, copied=True)

    def _check_overlaps(self) -> None:
        copied = [item for item in self.arrays if item.copied and item.array.size]
        for i, first in enumerate(copied):
            for second in copied[i + 1 :]:
                apart = first.block is not second.block and (first.writable or second.writable)
                if apart and np.may_share_memory(first.array, second.array):
                    raise UsageError(
                        f"--args: {first.name} and {second.name} share memory in the notebook, and would not in C: "
                        f"make "
                        f"the array they are parts of with shared_array(...) of labkit.openmp.cell."
                    )

    def _check_lengths(self) -> None:
        """``double a[n][m]``: constants and other parameters between the brackets agree with the shape."""
        known = {
            p.name: int(item.text) for p, item in zip(self.function.parameters, self.items, strict=True)
            if isinstance(item, ScalarArgument) and item.kind in "iu"
        }
        for parameter, item in zip(self.function.parameters, self.items, strict=True):
            if not isinstance(item, ArrayArgument) or not parameter.lengths:
                continue
            shape, lengths = item.array.shape, parameter.lengths
            if len(lengths) > 1 and len(shape) != len(lengths):
                raise UsageError(
                    f"--args: {item.name} has shape {shape}, but C wants {len(lengths)} dimensions "
                    f"({parameter.declared}): reshape it."
                )
            if len(lengths) == 1:
                shape = (item.array.size,)
            for axis, (length, there) in enumerate(zip(lengths, shape, strict=True)):
                wanted = int(length) if length.isdigit() else known.get(length)
                if wanted is not None and (there < wanted if axis == 0 else there != wanted):
                    value = length if length.isdigit() else f"{length} = {wanted}"
                    raise UsageError(
                        f"--args: {item.name} has shape {item.array.shape}, but C wants {parameter.declared} with "
                        f"{value}: pass numbers that fit."
                    )


def _bytes(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _check_count(function: Function, words) -> None:
    if len(function.parameters) > MOST_ARGUMENTS:
        raise UsageError(
            f"--args: {function.name} has more than {MOST_ARGUMENTS} parameters: pass a few arrays instead."
        )
    wanted = ", ".join(p.declared for p in function.parameters)
    if len(words) != len(function.parameters):
        one = "argument" if len(function.parameters) == 1 else "arguments"
        raise UsageError(
            f"--args: {function.name}({wanted or 'void'}) wants {len(function.parameters)} {one}, and {len(words)} "
            f"{'was' if len(words) == 1 else 'were'} given: name one variable of the notebook for each, in this order."
        )


def _value(word: str, namespace: Mapping[str, object]):
    if NUMBER.fullmatch(word):
        return int(word, 0) if re.fullmatch(r"[-+]?(0[xX][0-9a-fA-F]+|0|[1-9]\d*)", word) else float(word)
    if not word.isidentifier():
        raise UsageError(f"--args: {word!r} is neither the name of a variable nor a number: write such as x,y,1000.")
    if word not in namespace:
        raise UsageError(
            f"--args: the notebook has no variable {word!r}: define it in a cell above, or correct the name."
        )
    return namespace[word]


def _check_known(where: str, parameter: Parameter) -> None:
    if parameter.pointers > 1 or (parameter.pointers and parameter.lengths):
        raise UsageError(
            f"{where}: C wants {parameter.declared}; only arrays of numbers and numbers are passed: take a plain "
            f"pointer."
        )
    if parameter.dtype is None and not (parameter.pointer and parameter.base == "void"):
        raise UsageError(
            f"{where}: C wants {parameter.declared}, and %%openmp does not know the type {parameter.base!r}: use "
            f"double, "
            f"float, int, size_t, int64_t, ... or a typedef of one in the cell."
        )


def _check_array(where: str, word: str, array, parameter: Parameter) -> None:
    wanted = f"C wants {parameter.declared}"
    if parameter.dtype is not None:
        wanted += f" ({parameter.dtype})"
    if not isinstance(array, np.ndarray):
        example = f"np.asarray({word}" + (f", np.{parameter.dtype})" if parameter.dtype is not None else ")")
        raise UsageError(f"{where}: {wanted}, the notebook's {word} is {_kind(array)}: pass {example}.")
    if array.dtype.hasobject:
        raise UsageError(
            f"{where}: {wanted}, but an array of Python objects cannot be read by C: make it numbers first."
        )
    if parameter.dtype is not None and not _same(array.dtype, parameter):
        raise UsageError(
            f"{where}: {wanted}, the notebook's {word} is an array of {_dtype_words(array.dtype)}: convert one of "
            f"the two, "
            f"for example {word} = {word}.astype(np.{parameter.dtype})."
        )
    if not array.flags.c_contiguous:
        raise UsageError(
            f"{where}: its elements do not lie one after the other as C reads them (strides {array.strides}): "
            f"pass np.ascontiguousarray({word})."
        )
    if not parameter.const and not array.flags.writeable:
        raise UsageError(
            f"{where}: {wanted} and may write there, but {word} is read-only: declare it const {parameter.declared}, "
            f"or pass a copy."
        )


def _same(dtype: np.dtype, parameter: Parameter) -> bool:
    if parameter.base == "char":  # plain char is signed or not, as the machine likes
        return dtype in (np.dtype("int8"), np.dtype("uint8"))
    return dtype == parameter.dtype


def _dtype_words(dtype: np.dtype) -> str:
    return f"{dtype}" if dtype.isnative else f"{dtype} in foreign byte order"


def _kind(value) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _scalar(where: str, word: str, value, parameter: Parameter) -> ScalarArgument:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    wanted, dtype = f"{where}: C wants {parameter.declared}", parameter.dtype
    found = f"the notebook's {word} is {_kind(value)}" if word.isidentifier() else f"{word} is {_kind(value)}"
    if dtype.kind == "c":
        raise UsageError(
            f"{wanted}, and complex numbers are passed as arrays only: take a pointer, pass an array of one."
        )
    if dtype.kind in "iub":
        if not isinstance(value, (Integral, np.bool_)):
            hint = f": pass int({word})" if isinstance(value, Real) else ": pass a whole number"
            raise UsageError(f"{wanted} ({dtype}), {found}{hint}.")
        low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
        if not low <= int(value) <= high:
            raise UsageError(f"{wanted} ({dtype}: {low} to {high}), and {word} is {int(value)}: take a wider type.")
        return ScalarArgument(word, "u" if dtype.kind == "u" else "i", str(int(value)))
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
        raise UsageError(f"{wanted} ({dtype}), {found}: pass a number.")
    try:
        number = float(value)
    except OverflowError:
        raise UsageError(f"{wanted} ({dtype}), and {word} is too large for it: pass a smaller number.") from None
    if math.isfinite(number) and abs(number) > float(min(np.finfo(dtype).max, np.finfo(np.float64).max)):
        raise UsageError(f"{wanted} ({dtype}), and {word} = {number:g} is too large for it: take double.")
    return ScalarArgument(word, "d", number.hex() if math.isfinite(number) else str(number))
