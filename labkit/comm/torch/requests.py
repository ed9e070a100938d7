"""Requests of messages that are staged: when one is complete, what has been received goes back to its tensor."""

from __future__ import annotations

import time

from mpi4py import MPI

POLL_S = 2e-5


def fill_count(status, source: int, tag: int, num_bytes: int) -> None:
    """Say of which message a receive was."""
    status.Set_source(source)
    status.Set_tag(tag)
    status.Set_elements(MPI.BYTE, num_bytes)


class TensorRequest:
    """A communication of tensors that has been started, like ``mpi4py.MPI.Request``.

    Parameters
    ----------
    inner : request
        Of the communicator below; it has ``Wait``, ``Test``, ``Get_status``, ``Cancel``, ``Free``.
    on_complete : callable
        Called once with the status, when it is complete.
    """

    def __init__(self, inner, on_complete):
        self.inner, self.on_complete = inner, on_complete
        self.active = True

    def _finish(self, status, mine) -> None:
        if self.active:
            self.active = False
            self.on_complete(mine)
        if status is not None:
            fill_count(status, mine.Get_source(), mine.Get_tag(), mine.Get_count(MPI.BYTE))
            status.Set_cancelled(mine.Is_cancelled())
        self.mine = mine

    def Wait(self, status=None):
        if not self.active:
            self._finish(status, self.mine)
            return True
        mine = MPI.Status()
        self.inner.Wait(mine)
        self._finish(status, mine)
        return True

    def Test(self, status=None):
        return self.Wait(status) if self.Get_status() else False

    def Get_status(self, status=None):
        return not self.active or self.inner.Get_status(status)

    def wait(self, status=None):
        self.Wait(status)

    def test(self, status=None):
        return self.Test(status), None

    def Cancel(self):
        self.inner.Cancel()

    cancel = Cancel

    def Free(self):
        self.inner.Free()
        self.active = False

    # -- families: the requests may be of several classes, for example of arrays and of tensors ---

    @classmethod
    def Waitall(cls, requests, statuses=None):
        statuses = _statuses(requests, statuses)
        for number, request in enumerate(requests):
            request.Wait(statuses[number])
        return True

    @classmethod
    def waitall(cls, requests, statuses=None):
        statuses = _statuses(requests, statuses)
        return [request.wait(statuses[number]) for number, request in enumerate(requests)]

    @classmethod
    def Testall(cls, requests, statuses=None):
        if not all(_is_active(r) is False or r.Get_status() for r in requests):
            return False
        return cls.Waitall(requests, statuses)

    @classmethod
    def testall(cls, requests, statuses=None):
        done = cls.Testall(requests, statuses)
        return done, [None] * len(requests) if done else None

    @classmethod
    def Testany(cls, requests, status=None):
        live = [number for number, request in enumerate(requests) if _is_active(request)]
        for number in live:
            if requests[number].Test(status):
                return number, True
        return MPI.UNDEFINED, not live

    @classmethod
    def testany(cls, requests, status=None):
        return *cls.Testany(requests, status), None

    @classmethod
    def Waitany(cls, requests, status=None):
        while True:
            number, done = cls.Testany(requests, status)
            if done:
                return number
            time.sleep(POLL_S)

    @classmethod
    def waitany(cls, requests, status=None):
        return cls.Waitany(requests, status), None

    @classmethod
    def Testsome(cls, requests, statuses=None):
        live = [number for number, request in enumerate(requests) if _is_active(request)]
        if not live:
            return None
        done = [number for number in live if requests[number].Get_status()]
        chosen = _statuses(done, statuses)
        for place, number in enumerate(done):
            requests[number].Wait(chosen[place])
        return done

    @classmethod
    def testsome(cls, requests, statuses=None):
        done = cls.Testsome(requests, statuses)
        return done, None if done is None else [None] * len(done)

    @classmethod
    def Waitsome(cls, requests, statuses=None):
        while True:
            done = cls.Testsome(requests, statuses)
            if done is None or done:
                return done
            time.sleep(POLL_S)

    @classmethod
    def waitsome(cls, requests, statuses=None):
        done = cls.Waitsome(requests, statuses)
        return done, None if done is None else [None] * len(done)


def _is_active(request) -> bool:
    """Whether a request still waits to be completed; mpi4py's own ones are null afterwards."""
    return request.active if hasattr(request, "active") else request != MPI.REQUEST_NULL


def _statuses(requests, statuses) -> list:
    if statuses is None:
        return [None] * len(requests)
    statuses += [MPI.Status() for _ in range(len(requests) - len(statuses))]
    return statuses
