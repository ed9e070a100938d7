"""Arrays that count how often an answer goes through memory: bytes read and written, by NumPy's rules.

``CountedArray`` stands for an array that an answer is given, and for every array made from it. It is no ndarray: what
cannot be counted is refused (``np.asarray``, buffers, ``out=`` of an uncounted array), so no plain array is to be had
from it. The rules:

==========================  ==================================================================================
arithmetic, ufuncs          every array operand is read once, every result written once; so are temporaries
reductions                  the array is read, the result written
other functions, methods    arguments are read once, results written once, whatever NumPy does inside: a lower bound
slices, reshape, transpose  nothing, they are views
masks, lists of indices     the index and the selected elements are read, the copy is written
assignment                  the value is read, the selected elements are written
==========================  ==================================================================================

Not seen: what happens to values that have left as Python numbers (``tolist()``, one element after the other), which
count as read once; arrays made of such numbers; and caches, for every pass counts alike. The count is made in the
process of the answer: it measures honest answers, and an answer that takes this module apart can falsify it. So it
is for budgets, never for whether values are right.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

FREE = {np.shape, np.ndim, np.size, np.result_type, np.may_share_memory, np.shares_memory}
NOT_READ = {np.empty_like, np.zeros_like, np.ones_like, np.full_like}
ATTRIBUTES = ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides")
CHANGE_SELF = ("sort", "partition", "fill", "put", "itemset", "byteswap")
REFUSED = (
    "data", "ctypes", "base", "flat", "view", "getfield", "setfield", "setflags", "resize", "dump", "dumps", "tofile",
)


class Book:
    """Bytes that were read and written."""

    def __init__(self):
        self.num_bytes = 0


class CountedArray(NDArrayOperatorsMixin):
    """An array whose every use is entered in a book."""

    __slots__ = ("__data", "__book")
    __hash__ = None

    def __init__(self, data: np.ndarray, book: Book):
        self.__data, self.__book = data, book

    @staticmethod
    def plain(value):
        """The array itself, for who counts; other values as they are."""
        return value.__data if isinstance(value, CountedArray) else value

    def _made(self, result, given=()):
        """What an operation has made: arrays are counted, as written unless they are views of what was given."""
        if isinstance(result, (tuple, list)):
            return type(result)(self._made(item, given) for item in result)
        if not isinstance(result, np.ndarray):
            return result
        if not any(np.may_share_memory(result, array) for array in given):
            self.__book.num_bytes += result.nbytes
        return CountedArray(result, self.__book)

    def _read(self, values) -> None:
        self.__book.num_bytes += sum(value.nbytes for value in values if isinstance(value, np.ndarray))

    def _written(self, out) -> list:
        """The arrays of ``out=``, entered as written."""
        for array in out:
            if isinstance(array, np.ndarray):
                raise TypeError(
                    "this case counts passes through memory: out= is one of the given arrays, or np.empty_like of one"
                )
        arrays = [mapped(array, CountedArray.plain) for array in out]
        self._read(arrays)  # as many bytes are written
        return arrays

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [mapped(value, CountedArray.plain) for value in inputs]
        self._read(plain)
        if method == "at":  # changes its first operand where the indices say
            self._read([self._selected(plain[0], plain[1])])
        if "where" in options:
            options["where"] = CountedArray.plain(options["where"])
            self._read([options["where"]])
        if out is None:
            return self._made(getattr(ufunc, method)(*plain, **options))
        getattr(ufunc, method)(*plain, out=tuple(self._written(out)), **options)
        return out[0] if len(out) == 1 else out

    def __array_function__(self, function, types, args, kwargs):
        if function in (np.asarray, np.asanyarray, np.array):
            self.__array__()
        out = kwargs.get("out")
        outputs = (out if isinstance(out, tuple) else (out,)) if out is not None else ()
        kwargs = {name: value for name, value in kwargs.items() if name != "out"}
        plain = [mapped(value, CountedArray.plain) for value in (args, kwargs)]
        given = arrays_in(plain)
        if function in FREE:
            return function(*plain[0], **plain[1])
        if outputs:
            written = self._written(outputs)
            plain[1]["out"] = tuple(written) if isinstance(out, tuple) else written[0]
        result = function(*plain[0], **plain[1])
        views = [array for array in arrays_in(result) if any(np.may_share_memory(array, one) for one in given)]
        if function not in NOT_READ and not (views and not outputs):
            self._read(given)
        return out if outputs else self._made(result, given)

    def __getattr__(self, name: str):
        if name in ATTRIBUTES:
            return getattr(self.__data, name)
        if name in ("T", "real", "imag"):
            return self._made(getattr(self.__data, name), [self.__data])
        if name.startswith("_") or name in REFUSED or not callable(getattr(np.ndarray, name, None)):
            raise AttributeError(f"an array whose passes are counted has no {name!r}: use NumPy's functions on it")
        return lambda *args, **kwargs: self._method(name, args, kwargs)

    def _method(self, name: str, args, kwargs):
        out = kwargs.pop("out", None)
        plain = [mapped(value, CountedArray.plain) for value in (args, kwargs)]
        options = {} if out is None else {"out": self._written([out])[0]}
        result = getattr(self.__data, name)(*plain[0], **plain[1], **options)
        views = [array for array in arrays_in(result) if np.may_share_memory(array, self.__data)]
        if name != "fill" and not (views and out is None):
            self._read([self.__data, *arrays_in(plain)])
        if name in CHANGE_SELF:
            self._read([self.__data])  # as many bytes are written
        return out if out is not None else self._made(result, [self.__data])

    @staticmethod
    def _selected(data, key) -> np.ndarray:
        return np.asarray(data[key])

    def __getitem__(self, key):
        key = mapped(key, CountedArray.plain)
        found = self.__data[key]
        if isinstance(found, np.ndarray) and np.may_share_memory(found, self.__data):
            return CountedArray(found, self.__book)
        self._read([*arrays_in(key), np.asarray(found)])
        return self._made(found)

    def __setitem__(self, key, value):
        key, value = mapped(key, CountedArray.plain), mapped(value, CountedArray.plain)
        target = self._selected(self.__data, key)
        is_itself = isinstance(value, np.ndarray) and same_place(value, target)  # x[a:b] += 1 ends with x[a:b] = x[a:b]
        if not is_itself:
            self._read([*arrays_in(key), value, target])
            self.__data[key] = value

    def __len__(self):
        return len(self.__data)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __contains__(self, value):
        self._read([self.__data])
        return CountedArray.plain(value) in self.__data

    def __float__(self):
        return float(self.__data)

    def __int__(self):
        return int(self.__data)

    def __bool__(self):
        return bool(self.__data)

    def __repr__(self):
        return f"counted {self.__data!r}"

    def __array__(self, *_, **__):
        raise TypeError(
            "this case counts passes through memory: work on the given array with NumPy's functions, not on a plain "
            "copy of it"
        )

    def __reduce_ex__(self, protocol):
        self.__array__()


def same_place(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays are the same elements of the same memory."""
    keys = ("data", "shape", "strides", "typestr")
    first, second = ({**array.__array_interface__, "strides": array.strides} for array in (one, other))
    return all(first[key] == second[key] for key in keys)


def mapped(value, change: Callable):
    """A value with ``change`` applied to what is in its lists, tuples and dicts."""
    if type(value) in (list, tuple):
        return type(value)(mapped(item, change) for item in value)
    if type(value) is dict:
        return {key: mapped(item, change) for key, item in value.items()}
    return change(value)


def arrays_in(value) -> list[np.ndarray]:
    """The arrays in a value, each once."""
    found: dict[int, np.ndarray] = {}

    def keep(item):
        if isinstance(item, np.ndarray):
            found[id(item)] = item

    mapped(value, keep)
    return list(found.values())


class Passes:
    """Counted arguments of one call, and what they have counted."""

    def __init__(self, arguments: list):
        self.book = Book()
        self.size_bytes = max([array.nbytes for array in arrays_in(arguments)], default=0)
        self.arguments = mapped(arguments, self._counted)

    def _counted(self, value):
        return CountedArray(value, self.book) if isinstance(value, np.ndarray) else value

    def number(self) -> float:
        """Bytes read and written so far, in multiples of the largest given array."""
        return self.book.num_bytes / self.size_bytes if self.size_bytes else 0.0
