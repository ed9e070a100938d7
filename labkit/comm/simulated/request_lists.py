"""mpi4py's Wait and Test families for lists of requests of simulated ranks, and the statuses they fill."""

from __future__ import annotations

from collections.abc import Sequence

from mpi4py import MPI

UNDEFINED, BYTE = MPI.UNDEFINED, MPI.BYTE
MPIRequest, REQUEST_NULL = MPI.Request, MPI.REQUEST_NULL  # while a simulation runs, the name in MPI means a simulated one


def fill_status(status, message) -> None:
    """Say which message it is; None for a receive from MPI.PROC_NULL, or a cancelled one."""
    if message is not None:
        status.Set_source(message.source)
        status.Set_tag(message.tag)
        status.Set_elements(BYTE, message.num_bytes)
    else:
        status.Set_source(MPI.PROC_NULL)
        status.Set_tag(MPI.ANY_TAG)
        status.Set_elements(BYTE, 0)


def fill_empty(status) -> None:
    """What MPI says of a request that is not active."""
    status.Set_source(MPI.ANY_SOURCE)
    status.Set_tag(MPI.ANY_TAG)
    status.Set_elements(BYTE, 0)
    status.Set_cancelled(False)


class _Null:
    """Stands for MPI.REQUEST_NULL in a list of requests."""

    active = False

    def finish(self, status=None):
        if status is not None:
            fill_empty(status)


_NULL = _Null()


def _own(requests) -> list:
    """The requests, of which some may be MPI.REQUEST_NULL."""
    return [_NULL if isinstance(r, MPIRequest) and r == REQUEST_NULL else r for r in requests]


def _live(requests) -> list:
    return [r for r in requests if r.active]


def wait(comm, requests: Sequence, call: str) -> None:
    """Until all are complete, keeping the books of the timeline."""
    me = comm.me
    start = me.now
    live = _live(requests)
    if live:
        me.wait_for(live, call)
    if me.recorder is not None and live:
        me.recorder.wait_span(call, start, live)


def lengthened(requests, statuses):
    """mpi4py's way with a list of statuses: it is made as long as the list of requests."""
    if statuses is None:
        return None
    statuses += [MPI.Status() for _ in range(len(requests) - len(statuses))]
    return statuses


def _finish_all(requests, statuses) -> list:
    """Finish every one, also those after one that fails; then the first failure is raised."""
    results, failure = [], None
    for i, request in enumerate(requests):
        try:
            results.append(request.finish(statuses[i] if statuses is not None else None))
        except Exception as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return results


def wait_all(requests, call, statuses):
    requests = _own(requests)
    live = _live(requests)
    if live:
        wait(live[0].comm, live, call)
    return _finish_all(requests, lengthened(requests, statuses))


def test_all(requests, call, statuses):
    """The objects of the requests if all are complete, else None."""
    requests = _own(requests)
    live = _live(requests)
    pending = [r for r in live if not r.is_complete()]
    if pending:
        pending[0].comm.me.poll(call, pending)
        if any(not r.is_complete() for r in live):
            return None
    if live:
        me = live[0].comm.me
        me.num_polls = 0
        if me.recorder is not None:
            me.recorder.wait_span(call, me.now, live)
    return _finish_all(requests, statuses)


def _complete(requests) -> list[int]:
    """Indices of active requests that are complete, in order of their completion."""
    done = [(r.done_at, i) for i, r in enumerate(requests) if r.active and r.is_complete()]
    return [i for _, i in sorted(done)]


def wait_any(requests, call, status):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        _NULL.finish(status)
        return UNDEFINED, None
    me = live[0].comm.me
    start = me.now
    if not _complete(live):
        me.wait_for(live, call, any_of_them=True)
    index = _complete(requests)[0]
    if me.recorder is not None:
        me.recorder.wait_span(call, start, [requests[index]])
    return index, requests[index].finish(status)


def test_any(requests, call, status):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        _NULL.finish(status)
        return UNDEFINED, True, None
    me = live[0].comm.me
    if not _complete(live):
        me.poll(call, live)
        if not _complete(live):
            return UNDEFINED, False, None
    me.num_polls = 0
    index = _complete(requests)[0]
    if me.recorder is not None:
        me.recorder.wait_span(call, me.now, [requests[index]])
    return index, True, requests[index].finish(status)


def _some(requests, indices, statuses):
    if statuses is not None:
        statuses += [MPI.Status() for _ in range(len(indices) - len(statuses))]
    return indices, _finish_all([requests[index] for index in indices], statuses)


def wait_some(requests, call, statuses):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        return None, None
    me = live[0].comm.me
    start = me.now
    if not _complete(live):
        me.wait_for(live, call, any_of_them=True)
    indices = sorted(_complete(requests))
    if me.recorder is not None:
        me.recorder.wait_span(call, start, [requests[i] for i in indices])
    return _some(requests, indices, statuses)


def test_some(requests, call, statuses):
    requests = _own(requests)
    live = _live(requests)
    if not live:
        return None, None
    me = live[0].comm.me
    if not _complete(live):
        me.poll(call, live)
    indices = sorted(_complete(requests))
    if indices:
        me.num_polls = 0
        if me.recorder is not None:
            me.recorder.wait_span(call, me.now, [requests[i] for i in indices])
    return _some(requests, indices, statuses)
