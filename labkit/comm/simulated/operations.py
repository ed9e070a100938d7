"""Operations of one's own on simulated ranks.

mpi4py has room for a few per process, and simulated ranks, each of which may make some, share a process:
so a simulated one is a Python function that MPI never hears of.
"""

from __future__ import annotations

from mpi4py import MPI
from mpi4py.util import dtlib


class _IsOp(type):
    """MPI's predefined operations are instances of ``MPI.Op`` during a simulation, too."""

    def __instancecheck__(cls, instance):
        return isinstance(instance, _MPIOp)


_MPIOp = MPI.Op


class Op(_MPIOp, metaclass=_IsOp):
    """What ``MPI.Op.Create`` gives while a simulation runs."""

    function = None
    commute = False

    @classmethod
    def Create(cls, function, commute=False):
        op = cls()
        op.function, op.commute = function, bool(commute)
        return op

    def Reduce_local(self, inbuf, inoutbuf):
        if self.function is None:
            return super().Reduce_local(inbuf, inoutbuf)
        a, b = (MPI.buffer.frombuffer(buffer) for buffer in (inbuf, inoutbuf))
        return self.function(a, b, dtlib.from_numpy_dtype(inbuf.dtype))

    def Is_commutative(self):
        return self.commute

    def Is_predefined(self):
        return False

    is_predefined = property(Is_predefined)

    def __call__(self, x, y):
        return self.function(x, y, None)  # as mpi4py does for objects

    def __eq__(self, other):
        return self is other

    __hash__ = object.__hash__

    def Free(self):
        self.function = None

    free = Free
