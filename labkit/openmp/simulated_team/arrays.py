"""Arrays that tell of every access to their elements, in the memory of the arrays that they stand for.

An element is read or written in a step of its own. A slice is a view and costs nothing; a NumPy function or an
operator on it reads all its elements in one step, and writes the result in another one.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from labkit.errors import UsageError
from labkit.openmp.simulated_team.memory import Allocation, address_of
from labkit.openmp.simulated_team.now import now
from labkit.openmp.simulated_team.report import READ, WRITE

ATTRIBUTES = ("shape", "dtype", "ndim", "size", "nbytes", "itemsize", "strides")
VIEWS = ("T", "real", "imag")
CHANGE_SELF = ("sort", "partition", "fill", "put")
NOT_READ = {np.shape, np.ndim, np.size, np.empty_like, np.zeros_like, np.ones_like, np.full_like, np.result_type}
WHOLE = (int, np.integer)


class WatchedArray(NDArrayOperatorsMixin):
    """Stands for an array, or for a view of one."""

    __slots__ = ("_data", "_of", "_address")
    __hash__ = None

    def __init__(self, data: np.ndarray, of: Allocation):
        self._data, self._of, self._address = data, of, address_of(data)

    def __getitem__(self, key):
        place = self._place(key)
        if place is not None:
            return self._tell(READ, (place,), lambda: self._data[key])
        key = mapped(key, _content)
        found = self._data[key]
        if isinstance(found, np.ndarray) and found.size and np.may_share_memory(found, self._data):
            return WatchedArray(found, self._of)
        addresses = np.ravel(addresses_of(self._data)[key]).tolist()
        return self._tell(READ, addresses, lambda: self._data[key])

    def __setitem__(self, key, value):
        def write():
            self._data[key] = value
            return value

        place = self._place(key)
        if place is not None and type(value) is not WatchedArray:
            self._tell(WRITE, (place,), write)
            return
        if isinstance(value, WatchedArray) and place is None:
            target = self._data[mapped(key, lambda item: item)] if not _has_watched(key) else None
            if target is not None and _same_place(value._data, target):
                return  # x[a:b] += 1 ends with x[a:b] = x[a:b]
        key, value = mapped(key, _content), mapped(value, _content)
        self._tell(WRITE, np.ravel(addresses_of(self._data)[key]).tolist(), write)

    def _place(self, key) -> int | None:
        """The address of one element; None if the key selects something else."""
        data = self._data
        if isinstance(key, WHOLE) and data.ndim == 1:
            keys = (key,)
        elif type(key) is tuple and len(key) == data.ndim and all(isinstance(item, WHOLE) for item in key):
            keys = key
        else:
            return None
        address = self._address
        for index, size, stride in zip(keys, data.shape, data.strides, strict=True):
            if not -size <= index < size:
                shape = size if data.ndim == 1 else data.shape
                raise IndexError(
                    f"{self._of.name}[{', '.join(map(str, keys))}] is outside: the array has {shape} elements; "
                    "compiled code would read or write other memory"
                )
            address += int(index % size) * stride
        return address

    def _tell(self, kind, addresses, do):
        """Do it, in a step that another thread may precede."""
        region = now.region
        if region is None:
            self._of.num_outside += len(addresses)
            return do()
        region.pause()
        value = do()
        region.note(self._of, addresses, kind, value if len(addresses) == 1 else None)
        return value

    def _all(self, kind, do=lambda: None):
        return self._tell(kind, addresses_of(self._data).ravel().tolist(), do)

    def _read(self) -> np.ndarray:
        """A copy: what another thread writes in the next step does not change it."""
        return self._all(READ, self._data.copy)

    # -- NumPy ----------------------------------------------------------------------------------

    def __array__(self, dtype=None, copy=None):
        return self._read() if dtype is None else self._read().astype(dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        if method == "at":  # np.add.at(x, indices, 1): reads and writes what it selects
            target, key = inputs[0], mapped(inputs[1], _content)
            if isinstance(target, WatchedArray):
                selected = np.ravel(addresses_of(target._data)[key]).tolist()
                target._tell(READ, selected, lambda: None)
                return target._tell(
                    WRITE, selected, lambda: getattr(ufunc, method)(target._data, key, *mapped(inputs[2:], _content))
                )
        result = getattr(ufunc, method)(*(_content(value) for value in inputs), **mapped(options, _content))
        if out is None:
            return result
        (target,) = out
        if not isinstance(target, WatchedArray):
            target[...] = result
            return target

        def write():
            target._data[...] = result

        target._all(WRITE, write)
        return target

    def __array_function__(self, function, types, args, kwargs):
        out = kwargs.pop("out", None)
        if function in NOT_READ:
            return function(*mapped(args, _data), **mapped(kwargs, _data))
        result = function(*mapped(args, _content), **mapped(kwargs, _content))
        if out is None:
            return result
        out[...] = result
        return out

    def __getattr__(self, name: str):
        if name in ATTRIBUTES:
            return getattr(self._data, name)
        if name in VIEWS:
            return WatchedArray(getattr(self._data, name), self._of)
        if name.startswith("_") or not callable(getattr(np.ndarray, name, None)):
            raise AttributeError(f"an array of a simulated thread has no {name!r}")
        return lambda *args, **kwargs: self._method(name, mapped(args, _content), mapped(kwargs, _content))

    def _method(self, name: str, args, kwargs):
        if name in CHANGE_SELF:
            self._all(READ)
            return self._all(WRITE, lambda: getattr(self._data, name)(*args, **kwargs))
        if name in ("reshape", "ravel", "view", "transpose", "swapaxes", "squeeze", "diagonal"):
            found = getattr(self._data, name)(*args, **kwargs)
            if np.may_share_memory(found, self._data):
                return WatchedArray(found, self._of)
        return getattr(self._read(), name)(*args, **kwargs)

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        return (self[index] for index in range(len(self)))

    def __repr__(self):
        return f"watched {self._data!r}"

    def __float__(self):
        return float(self._read())

    def __int__(self):
        return int(self._read())

    def __bool__(self):
        return bool(self._read())


def watched(value, name: str):
    """An argument as the threads see it: arrays watched under this name, those in tuples too."""
    if isinstance(value, tuple):
        return tuple(watched(item, f"{name}[{k}]") for k, item in enumerate(value))
    data = data_of(value)
    if not isinstance(data, np.ndarray):
        return value
    if data.dtype.hasobject:
        raise UsageError(f"{name} is an array of Python objects: kernels take arrays of numbers; use astype(float).")
    return WatchedArray(data, Allocation(data, name))


def data_of(value):
    """The array that a watched one stands for; other values as they are."""
    return value._data if isinstance(value, WatchedArray) else value


def offset_address(array, index: int) -> int:
    """The address of an element of an array of one dimension, watched or not."""
    data = data_of(array)
    if not 0 <= index < data.size:
        raise IndexError("atomic_add: the index is outside of the array")
    return address_of(data) + int(index) * data.strides[0]


def addresses_of(data: np.ndarray) -> np.ndarray:
    """The address of every element, in its shape."""
    found = np.array(address_of(data), np.int64)
    for size, stride in zip(data.shape, data.strides, strict=True):
        found = found[..., np.newaxis] + np.arange(size, dtype=np.int64) * stride
    return found


def mapped(value, change):
    """A value with ``change`` applied to what is in its lists, tuples and dicts."""
    if type(value) in (list, tuple):
        return type(value)(mapped(item, change) for item in value)
    if type(value) is dict:
        return {key: mapped(item, change) for key, item in value.items()}
    return change(value)


_data = data_of


def _content(value):
    return value._read() if isinstance(value, WatchedArray) else value


def _has_watched(key) -> bool:
    return any(isinstance(item, WatchedArray) for item in (key if type(key) is tuple else (key,)))


def _same_place(one: np.ndarray, other: np.ndarray) -> bool:
    return isinstance(other, np.ndarray) and (address_of(one), one.shape, one.strides) == (
        address_of(other), other.shape, other.strides)


class WatchedNumpy:
    """Stands for the module NumPy in kernels: arrays made there may be handed to tasks, so they are watched too.

    ``empty`` gives NaN, or a very small integer: what nobody has written is no value.
    """

    def __getattr__(self, name: str):
        return MAKERS.get(name) or getattr(np, name)


def _maker(make):
    def made(*args, **kwargs):
        return watched(make(*mapped(args, _data), **mapped(kwargs, _data)), "a local array")

    return made


def _empty(*args, **kwargs):
    array = np.zeros(*args, **kwargs)
    array[...] = np.nan if array.dtype.kind in "fc" else 0 if array.dtype.kind == "b" else np.iinfo(array.dtype).min
    return array


MAKERS = {name: _maker(getattr(np, name)) for name in ("zeros", "ones", "full", "zeros_like", "ones_like", "full_like")}
MAKERS["empty"] = _maker(_empty)
MAKERS["empty_like"] = _maker(lambda array, dtype=None: _empty(array.shape, array.dtype if dtype is None else dtype))
STAND_INS = [(getattr(np, name), made) for name, made in MAKERS.items()]
