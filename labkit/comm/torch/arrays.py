"""Tensors as algorithms see them: :class:`TensorArray`, a flat vector with NumPy's manners over torch's memory.

labkit's collective algorithms are written for flat NumPy arrays. A tensor on a GPU, or one of a type that NumPy
lacks (bfloat16), cannot be such an array; a :class:`TensorArray` over it has the few things that the algorithms
use: ``size``, ``dtype``, slices, assignment, and NumPy's functions by their names. So ``np.add(a, b, out=b)`` adds on
the GPU, and the text of an algorithm stays as it is.
"""

from __future__ import annotations

import numpy as np
import torch

HALF_TYPES = (torch.float16, torch.bfloat16)  # MPI has none of them
_UFUNCS = {
    np.add: torch.add, np.multiply: torch.mul, np.maximum: torch.maximum, np.minimum: torch.minimum,
    np.bitwise_and: torch.bitwise_and, np.bitwise_or: torch.bitwise_or, np.bitwise_xor: torch.bitwise_xor,
    np.logical_and: torch.logical_and, np.logical_or: torch.logical_or, np.logical_xor: torch.logical_xor,
}


class TensorType:
    """Type and device of a tensor, where an array has its ``dtype``.

    Examples
    --------
    >>> TensorType(torch.bfloat16, torch.device("cpu"))
    torch.bfloat16 on cpu
    """

    isnative = True

    def __init__(self, torch_type: torch.dtype, device: torch.device):
        self.torch_type, self.device = torch_type, device
        self.itemsize = torch_type.itemsize

    @property
    def kind(self) -> str:
        """NumPy's letter for the kind of type."""
        if self.torch_type == torch.bool:
            return "b"
        if self.torch_type.is_complex:
            return "c"
        return "f" if self.torch_type.is_floating_point else "i" if self.torch_type.is_signed else "u"

    def __eq__(self, other) -> bool:
        return isinstance(other, TensorType) and (self.torch_type, self.device) == (other.torch_type, other.device)

    def __hash__(self) -> int:
        return hash((self.torch_type, self.device))

    def __repr__(self) -> str:
        return f"{self.torch_type} on {self.device}"

    def empty(self, num_elements: int) -> TensorArray:
        """Room for so many elements, as from ``np.empty``."""
        return TensorArray(torch.empty(num_elements, dtype=self.torch_type, device=self.device))


class _Flags:
    c_contiguous = writeable = True


class TensorArray:
    """A contiguous tensor with the face of a NumPy array; slices and reshapes share its memory.

    Examples
    --------
    >>> tensor = torch.ones(4, dtype=torch.bfloat16)
    >>> array = TensorArray(tensor)
    >>> np.add(array[:2], array[2:], out=array[:2]).size, tensor.tolist()
    (2, [2.0, 2.0, 1.0, 1.0])
    """

    flags = _Flags()

    def __init__(self, tensor: torch.Tensor):
        self.tensor = tensor.detach()
        self.dtype = TensorType(tensor.dtype, tensor.device)
        self.size, self.itemsize = tensor.numel(), tensor.element_size()
        self.nbytes = self.size * self.itemsize

    shape = property(lambda self: tuple(self.tensor.shape))

    def __len__(self) -> int:
        return len(self.tensor)

    def __getitem__(self, key) -> TensorArray:
        return TensorArray(self.tensor[key])

    def __setitem__(self, key, value) -> None:
        self.tensor[key] = value.tensor if isinstance(value, TensorArray) else torch.as_tensor(value)

    def reshape(self, *shape) -> TensorArray:
        return TensorArray(self.tensor.view(*shape))

    def copy(self) -> TensorArray:
        return TensorArray(self.tensor.clone())

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        function = _UFUNCS.get(ufunc)
        if function is None or method != "__call__" or options or len(out) > 1:
            return NotImplemented
        values = [value.tensor if isinstance(value, TensorArray) else value for value in inputs]
        result = function(*values)
        if not out:
            return TensorArray(result)
        out[0].tensor.copy_(result)
        return out[0]

    def __array_function__(self, function, types, args, options):
        return _FUNCTIONS[function](*args, **options) if function in _FUNCTIONS else NotImplemented


def _concatenate(parts, axis=0, out=None):
    tensors = [part.tensor for part in parts]
    if out is None:
        return TensorArray(torch.cat(tensors, axis))
    torch.cat(tensors, axis, out=out.tensor)
    return out


def _take(array, rows, axis=0, out=None, mode="raise"):
    index = torch.as_tensor(rows, device=array.tensor.device)
    torch.index_select(array.tensor, axis, index, out=out.tensor)
    return out


def _may_share_memory(a, b) -> bool:
    if not (isinstance(a, TensorArray) and isinstance(b, TensorArray)):
        return False
    (low, high), (first, last) = ((x.tensor.data_ptr(), x.tensor.data_ptr() + x.nbytes) for x in (a, b))
    return low < last and first < high


_FUNCTIONS = {np.concatenate: _concatenate, np.take: _take, np.may_share_memory: _may_share_memory}


def needs_tensor_array(tensor: torch.Tensor) -> bool:
    """Whether NumPy cannot look at this tensor, or not reduce it as MPI should."""
    return tensor.device.type != "cpu" or tensor.dtype in HALF_TYPES
