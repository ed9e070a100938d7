"""What runs inside an MPI engine: preparing it once, and running one cell.

Nothing here is called by the notebook's process; it sends these calls to the engines. The values
that come back are dicts of plain values, so that an engine and a notebook need not agree on more.
"""

from __future__ import annotations

import os
import platform
import signal
import sys
import types
from collections import deque
from contextlib import nullcontext
from pathlib import Path

from labkit.cluster.death import leave_abort_note
from labkit.cluster.devices import take_gpu
from labkit.cluster.execution import compile_cell, execute
from labkit.cluster.output import LimitedStream

KEPT_COMMUNICATORS = 32  # of past cells
FRESH_COMMUNICATORS = 32  # made at a time, for cells to come
_state: types.SimpleNamespace | None = None


def set_up(owner_pid: int | None = None) -> dict:
    """Prepare this engine: private communicators, monitor, names for cells. Collective.

    Parameters
    ----------
    owner_pid : int, optional
        The notebook's process, if it is on this machine: the engine ends itself when it is gone.

    Returns
    -------
    dict
        Rank, size, process, machine, MPI library and device of this engine. Asked again, for a
        notebook that takes the ranks over, it prepares nothing: variables stay.
    """
    global _state
    if _state is not None:
        return _state.facts
    # A launcher that ends the others after a death need not wait for Python, nor for MPI while it starts.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    import numpy as np
    import psutil
    from ipyparallel.datapub import publish_data
    from IPython import get_ipython
    from mpi4py import MPI

    from labkit.comm.interruptible.monitor import Monitor
    from labkit.comm.interruptible.requests import Prequest, Request
    from labkit.comm.interruptible.windows import Win

    world = MPI.COMM_WORLD
    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    num_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    monitor = Monitor(world.rank, publish_data, oversubscribed=node.size > num_cores)
    monitor.on_abort = _note_abort
    _state = types.SimpleNamespace(
        shell=get_ipython(),
        world=world,
        reserved=world.Dup(),
        gate=world.Dup(),
        monitor=monitor,
        comm=None,
        streams=(LimitedStream(sys.stdout), LimitedStream(sys.stderr)),
        fresh=[],
        retired=deque(),
        abandoned=[],
        facts={},
    )
    gpu = take_gpu(node.rank) if node.size > 1 else ""  # a rank that is alone has them all
    node.Free()
    # In an engine the names of mpi4py mean the interruptible forms, so that the usual
    # "from mpi4py import MPI; comm = MPI.COMM_WORLD" cannot hang a cell either.
    MPI.Request, MPI.Prequest, MPI.Win = Request, Prequest, Win
    # A program of its own begins with Init and ends with Finalize; these processes serve the next cell, too.
    MPI.Init = MPI.Finalize = _nothing
    MPI.Init_thread = lambda required=MPI.THREAD_MULTIPLE: MPI.Query_thread()
    _state.shell.user_ns.update(MPI=MPI, np=np, exit=sys.exit, quit=sys.exit)
    _make_first_victim()
    if owner_pid is not None:
        from labkit.cluster.owner import end_with

        end_with(owner_pid, lambda: os._exit(0))
    _state.facts = {
        "rank": world.rank,
        "size": world.size,
        "pid": os.getpid(),
        "guard_pid": os.getppid(),
        "created": psutil.Process().create_time(),
        "host": platform.node(),
        "library": MPI.Get_library_version().splitlines()[0].strip("\0 "),
        "thread_level": MPI.Query_thread(),
        "gpu": gpu,
    }
    return _state.facts


def run_cell(
    source: str,
    number: int,
    *,
    ranks: list[int] | None = None,
    trace: bool = False,
    live: bool = False,
    check_unsafe_sends: bool = False,
) -> dict:
    """Run one cell on this rank and tell how it ended.

    Every rank of the world calls this, also those not in ``ranks``: making the cell's communicator
    is collective. Returns a dict with ``status`` (``"ok"``, ``"exit"``, ``"error"``,
    ``"interrupted"`` or ``"absent"``) and what belongs to it.
    """
    from mpi4py import MPI

    from labkit.comm.interruptible.clock import clock_offset_ns
    from labkit.comm.interruptible.communicator import InterruptibleComm
    from labkit.comm.interruptible.recorder import Recorder

    state, monitor = _state, _state.monitor
    retiring, state.comm = state.comm, None
    state.shell.user_ns.pop("comm", None)
    MPI.COMM_WORLD = state.world
    _retire(retiring)
    del retiring
    monitor.begin_cell(number)
    if not state.fresh:
        # Many at a time: on fewer cores than ranks, meeting for one costs a few time slices.
        state.fresh = [state.reserved.Dup() for _ in range(FRESH_COMMUNICATORS)]
    comm = state.comm = InterruptibleComm(state.fresh.pop())
    offset_ns = 0
    if trace:
        offset_ns = clock_offset_ns(state.reserved)
        _start_together(state.reserved)
    comm.bind(
        monitor,
        members=tuple(range(comm.size)),
        gate=state.gate,
        recorder=Recorder(comm.rank, offset_ns) if trace else None,
        check_unsafe_sends=check_unsafe_sends,
    )
    if ranks is not None and comm.rank not in ranks:
        return {"status": "absent"}
    MPI.COMM_WORLD = comm
    state.shell.user_ns["comm"] = comm
    with _live(comm) if trace and live else nullcontext():
        outcome = _execute(state.shell, source, number)
    outcome["left_over"] = _clean_up(monitor)
    outcome["collectives"] = monitor.collective_logs(4096)
    outcome["damaged"] = monitor.damaged
    if trace:
        outcome["record"] = comm.recorder.record()
    return outcome


def broadcast(names: list[str], values: list | None) -> None:
    """Give variables of rank 0 to all ranks. Collective; large arrays travel without being copied into a pickle."""
    from mpi4py.util.pkl5 import Intracomm

    values = Intracomm(_state.reserved).bcast(values)
    _state.shell.user_ns.update(zip(names, values, strict=True))


def _live(comm):
    """While the cell runs, tell the notebook what ``comm`` has recorded so far."""
    from labkit.comm.interruptible.live import MAX_CALLS, LiveRecord

    monitor = _state.monitor
    return LiveRecord(comm.recorder, monitor, monitor.publish, max_calls=max(100, MAX_CALLS // comm.size))


def _nothing() -> None:
    """What MPI's Init and Finalize do in a cell."""


def _note_abort(errorcode: int) -> None:
    """Leave a note of our own, for mpiexec may end any rank first after an MPI Abort."""
    leave_abort_note(platform.node(), os.getppid(), errorcode)


def _start_together(raw) -> None:
    """A barrier that gives the core away while it waits: traced ranks start as one."""
    request = raw.Ibarrier()
    while not request.Test():
        os.sched_yield()


def _execute(shell, source: str, number: int) -> dict:
    """Execute the text of a cell in the user's namespace; the last expression is the result."""
    program = compile_cell(shell, source, f"<mpi cell {number}>")
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _state.streams
    for stream in _state.streams:
        stream.begin_cell()
    try:
        return execute(shell, program, shell.user_ns, after=_ignore_interrupts)
    finally:
        for stream in _state.streams:
            stream.close_cell()
        sys.stdout, sys.stderr = streams
        for stream in streams:
            stream.flush()


def _ignore_interrupts() -> None:
    """A rank is told to stop once more if it does not answer soon. Before the next cell ipykernel listens again."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _clean_up(monitor) -> list[str]:
    """Cancel the receives that the cell has left open; say which requests were never completed."""
    left_over = []
    for request in list(monitor.active.values()):
        operation = request.incomplete()
        if operation is not None:
            left_over.append(f"{operation.text}, line {operation.line}")
            if operation.kind == "recv":
                request.Cancel()
    # The requests stay alive: MPI may still write into the buffers they hold.
    _state.abandoned += [r for r in monitor.active.values() if r.incomplete() is not None]
    return left_over


def _retire(comm) -> None:
    """Free the communicators of cells long past, unless the student still holds them.

    A freed context may be used again by MPI at once, and with it messages that nobody received. So
    a communicator is freed only after some cells, when whatever was sent on it has arrived, and
    what has arrived is received first.
    """
    from mpi4py import MPI

    retired = _state.retired
    if comm is not None:
        retired.append(comm)
    del comm
    while len(retired) > KEPT_COMMUNICATORS:
        oldest = retired.popleft()
        # Held by: oldest, getrefcount's parameter.
        if oldest == MPI.COMM_NULL or sys.getrefcount(oldest) > 2:
            continue
        while (message := MPI.Comm.Improbe(oldest, MPI.ANY_SOURCE, MPI.ANY_TAG, status := MPI.Status())):
            message.Irecv([bytearray(status.count), MPI.BYTE]).Wait()
        MPI.Comm.Free(oldest)


def _make_first_victim() -> None:
    """Ask Linux to end an engine, rather than the notebook, when memory runs out."""
    try:
        Path("/proc/self/oom_score_adj").write_text("800")
    except OSError:
        pass  # not Linux, or not allowed: the system's own choice stands

