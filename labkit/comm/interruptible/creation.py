"""Making communicators out of communicators.

These calls of MPI have no nonblocking form (or none that all libraries have), so they go through a
gate: an interruptible barrier, on a communicator that nobody else uses, that compares the names of
the calls. Only when every member has arrived at the same call is the real one made; it then
returns promptly.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable

import numpy as np
from mpi4py import MPI

from labkit.comm.interruptible.worker import call_in_worker
from labkit.errors import CollectiveMismatchError

_Comm = MPI.Comm
MAX_TAG = 32767  # every MPI allows at least this


class Creation:
    """Constructors of an interruptible communicator (see :mod:`.communicator`)."""

    _groups_made: Counter | None = None

    def Dup(self, info=None):
        return self._derive("Dup", lambda: self.raw.Dup(info))

    def Clone(self):
        return self._derive("Clone", self.raw.Clone)

    def Dup_with_info(self, info):
        return self._derive("Dup_with_info", lambda: self.raw.Dup_with_info(info))

    def Split(self, color=0, key=0):
        return self._derive("Split", lambda: self.raw.Split(color, key))

    def Split_type(self, split_type, key=0, info=MPI.INFO_NULL):
        return self._derive("Split_type", lambda: self.raw.Split_type(split_type, key, info))

    def Create(self, group):
        return self._derive("Create", lambda: self.raw.Create(group))

    def Create_group(self, group, tag=0):
        def create():
            return call_in_worker(
                self, "Create_group()", lambda: self.raw.Create_group(group, tag),
                "Create_group was interrupted",
            )

        # Only the group takes part, so there is no gate and no common count of calls on self.
        raw = create()
        if raw == MPI.COMM_NULL:
            return raw
        # The same groups are made in the same order by all who are in them.
        ranks = MPI.Group.Translate_ranks(raw.group, list(range(raw.size)), self.group)
        self._groups_made = self._groups_made or Counter()
        self._groups_made[tag, *ranks] += 1
        number = f"{self.monitor.cell_number}.{'-'.join(map(str, ranks))}.{self._groups_made[tag, *ranks]}"
        return self._adopt(raw, f"Create_group(tag={tag})#{number}")

    def Create_cart(self, dims, periods=None, reorder=False):
        return self._derive("Create_cart", lambda: self.raw.Create_cart(dims, periods, reorder))

    def Create_graph(self, index, edges, reorder=False):
        return self._derive("Create_graph", lambda: self.raw.Create_graph(index, edges, reorder))

    def Create_dist_graph_adjacent(self, *args, **kwargs):
        return self._derive(
            "Create_dist_graph_adjacent",
            lambda: self.raw.Create_dist_graph_adjacent(*args, **kwargs),
        )

    def Create_dist_graph(self, *args, **kwargs):
        return self._derive(
            "Create_dist_graph", lambda: self.raw.Create_dist_graph(*args, **kwargs)
        )

    def Sub(self, remain_dims):
        return self._derive("Sub", lambda: self.raw.Sub(remain_dims))

    # The gate -----------------------------------------------------------------------------------

    def pass_gate(self, name: str, num_bytes: int = 0):
        """Wait, interruptibly, until all members have called ``name``; return the logged call.

        A dissemination barrier (Hensgen, Finkel, Manber 1988) that carries the smallest and the
        largest signature seen. It is made of messages, not of a collective of MPI, because an
        abandoned receive can be cancelled: the tag keeps what a cell has left behind from the next.
        """
        call = self._enter(name, None, num_bytes)
        signature = zlib.crc32(name.encode())
        extremes = np.array([signature, -signature], np.int64)
        arriving = np.empty_like(extremes)
        tag = self.monitor.cell_number % MAX_TAG
        rank, size, distance = self.gate.rank, self.gate.size, 1
        while distance < size:
            receiving = _Comm.Irecv(self.gate, arriving, (rank - distance) % size, tag)
            sending = _Comm.Isend(self.gate, extremes.copy(), (rank + distance) % size, tag)
            try:
                for request in (sending, receiving):
                    self.monitor.wait(request.Test, call.describe)
            except BaseException:
                receiving.Cancel()
                self.interrupted_in = call.pending.call
                raise
            np.maximum(extremes, arriving, out=extremes)
            distance *= 2
        if extremes[0] != -extremes[1]:
            raise CollectiveMismatchError(
                f"rank {self.monitor.rank} called {call.pending.call}, another member of "
                f"{self.describe()} called a different collective"
            )
        return call

    def _derive(self, name: str, create: Callable):
        start_ns = self.recorder.now() if self.recorder is not None else 0
        call = self.pass_gate(name)
        # Equal on all members, and different for any two communicators, also of different cells.
        number = f"{self.monitor.cell_number}.{call.pending.sequence}"
        derived = self._adopt(create(), f"{name}#{number}")
        call.record(start_ns)
        return derived

    def _adopt(self, raw, how: str):
        """The interruptible form of ``raw``, a communicator made from this one."""
        if raw == MPI.COMM_NULL or not isinstance(raw, MPI.Intracomm):
            return raw
        to_self = MPI.Group.Translate_ranks(raw.group, list(range(raw.size)), self.group)
        members = tuple(self.members[rank] for rank in to_self)
        derived = self._class_for(raw)(raw)
        derived.bind(
            self.monitor,
            context=f"{self.context}/{how}@{members[0]}",
            members=members,
            gate=raw.Dup(),
            recorder=self.recorder,
            check_unsafe_sends=self.check_unsafe_sends,
        )
        return derived
