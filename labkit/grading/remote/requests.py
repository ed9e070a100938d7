"""The rank's side of requests and matched messages, which the judge holds."""

from __future__ import annotations

import numpy as np
from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.request_lists import fill_empty
from labkit.comm.source_lines import cell_line
from labkit.errors import UsageError
from labkit.grading.remote.arguments import Arguments, Wires
from labkit.grading.remote.calls import NULL
from labkit.grading.remote.wire import decode

_MPIRequest = MPI.Request  # the name in MPI means RemoteRequest later


class RemoteRequest:
    """Stands for a request that the judge holds; ``handle`` is NULL once it is complete."""

    words = ""  # of a send: the call, to say which buffer has changed
    sent = None  # what the buffer of a send held when it was started

    def __init__(self, wires: Wires, handle: int, rooms=()):
        self.wires, self.handle, self.rooms = wires, handle, rooms

    def __bool__(self):
        return self.handle != NULL

    def __eq__(self, other):
        """As mpi4py's: requests that are over are all equal, to MPI.REQUEST_NULL too. So they have no hash."""
        return self is other or (not self and isinstance(other, (RemoteRequest, _MPIRequest)) and not other)

    def note_sent(self, words: str, buffer, block) -> None:
        """This sends ``buffer``, which may not change before it is complete."""
        self.words, self.buffer, self.line = words, buffer, cell_line()
        self.sent = np.array(np.frombuffer(block, np.uint8))

    def end(self) -> None:
        """It is complete."""
        self.rooms = ()
        self.handle = NULL
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """The buffer of a send is what it was when the send was started.

        Raises
        ------
        UsageError
            It is not: what arrives depends on the machine.
        """
        if self.sent is None:
            return
        sent, self.sent = self.sent, None
        arguments = Arguments(self.wires)
        arguments.data(self.buffer)
        if not np.array_equal(np.frombuffer(arguments.blocks[0], np.uint8), sent):
            where = f" of line {self.line}" if self.line else ""
            raise UsageError(
                f"the buffer of {self.words}{where} changed before the request was complete: wait for the send first, "
                "or send from another array."
            )

    def Wait(self, status=None):
        of_family("Wait", [self], [status])
        return True

    def wait(self, status=None):
        return of_family("wait", [self], [status])

    def Test(self, status=None):
        return of_family("Test", [self], [status])

    def test(self, status=None):
        return tuple(of_family("test", [self], [status]))

    def Get_status(self, status=None):
        return of_family("Get_status", [self], [status])

    def Cancel(self):
        of_family("Cancel", [self])

    cancel = Cancel

    def Free(self):
        of_family("Free", [self])

    @classmethod
    def Waitall(cls, requests, statuses=None):
        of_family("Waitall", requests, statuses)
        return True

    @classmethod
    def waitall(cls, requests, statuses=None):
        return of_family("waitall", requests, statuses)

    @classmethod
    def Testall(cls, requests, statuses=None):
        return of_family("Testall", requests, statuses)

    @classmethod
    def testall(cls, requests, statuses=None):
        return tuple(of_family("testall", requests, statuses))

    @classmethod
    def Waitany(cls, requests, status=None):
        return of_family("Waitany", requests, [status])

    @classmethod
    def waitany(cls, requests, status=None):
        return tuple(of_family("waitany", requests, [status]))

    @classmethod
    def Testany(cls, requests, status=None):
        return tuple(of_family("Testany", requests, [status]))

    @classmethod
    def testany(cls, requests, status=None):
        return tuple(of_family("testany", requests, [status]))

    @classmethod
    def Waitsome(cls, requests, statuses=None):
        return of_family("Waitsome", requests, statuses)

    @classmethod
    def waitsome(cls, requests, statuses=None):
        return tuple(of_family("waitsome", requests, statuses))

    @classmethod
    def Testsome(cls, requests, statuses=None):
        return of_family("Testsome", requests, statuses)

    @classmethod
    def testsome(cls, requests, statuses=None):
        return tuple(of_family("testsome", requests, statuses))


class RemotePrequest(RemoteRequest):
    """Stands for a persistent request."""

    def end(self) -> None:
        self.check_unchanged()  # it can be started again

    def Free(self):
        of_family("Free", [self])
        super().end()

    def Start(self):
        arguments = Arguments(self.wires)
        content = arguments.data(self.buffer) if self.words else None
        self.wires.call(self.handle, "Start", [content], arguments.blocks)
        if self.words:
            self.note_sent(self.words, self.buffer, arguments.blocks[0])

    @classmethod
    def Startall(cls, requests):
        for request in requests:
            request.Start()


def of_family(method: str, requests, statuses=None):
    """A wait or test on requests, at the judge."""
    requests = list(requests)
    wrong = [request for request in requests if not isinstance(request, (RemoteRequest, _MPIRequest))]
    if wrong:
        raise TypeError(f"{method}: expected requests, got {type(wrong[0]).__name__}")
    handles = [request.handle if isinstance(request, RemoteRequest) else NULL for request in requests]
    wires = next((request.wires for request in requests if isinstance(request, RemoteRequest) and request.handle), None)
    if wires is None:
        if statuses is not None and method.lower() in ("waitall", "testall"):
            _lengthen(statuses, len(requests))
        for status in statuses or ():
            if status is not None:
                fill_empty(status)
        return _of_nothing(method, requests)
    one_each = method.lower().endswith(("all", "some"))
    found = [MPI.Status() for _ in requests] if one_each and statuses is not None else statuses or ()
    rooms = [request.rooms if isinstance(request, RemoteRequest) else () for request in requests]
    try:
        value, got, ended = wires.call(0, method, handles, (), rooms, found)
    except MPIError as error:  # of one of them, and all are over
        for index in error.ended:
            requests[index].end()
        raise
    value = returned(wires, value, got)
    if one_each and statuses is not None:
        _hand_over(method, value, statuses, found)
    for index in ended:
        requests[index].end()
    return value


def _hand_over(method: str, value, statuses: list, found: list) -> None:
    """mpi4py's way with a list of statuses: it is made as long as the list of requests that are complete."""
    number = len(found)
    if method.lower().endswith("some"):
        indices = value[0] if method[0].islower() else value
        number = len(indices or ())
    _lengthen(statuses, number)
    for status, one in zip(statuses, found[:number], strict=False):
        status.source, status.tag = one.source, one.tag
        status.Set_elements(MPI.BYTE, one.Get_count(MPI.BYTE))
        status.Set_cancelled(one.Is_cancelled())


def _lengthen(statuses: list, number: int) -> None:
    statuses += [MPI.Status() for _ in range(number - len(statuses))]


def _of_nothing(method: str, requests):
    """What MPI says when no request of a family is active."""
    word = method.lower()
    if word.endswith("any"):
        undefined = MPI.UNDEFINED
        return {
            "Waitany": undefined, "waitany": (undefined, None), "Testany": (undefined, True),
            "testany": (undefined, True, None),
        }[method]
    if word.endswith("some"):
        return None if method[0].isupper() else (None, None)
    objects = [None] * len(requests)
    return {"waitall": objects, "testall": (True, objects), "wait": None, "test": (True, None)}.get(method, True)


class RemoteMessage:
    """Stands for a message that ``Mprobe`` has found."""

    def __init__(self, wires: Wires, handle: int):
        self.wires, self.handle = wires, handle

    def _receive(self, call, args=(), rooms=(), statuses=()):
        if self.handle == NULL:
            raise MPIError(MPI.ERR_REQUEST, f"{call}: this message has been received already")
        handle, self.handle = self.handle, NULL
        value, got, _ = self.wires.call(handle, call, args, (), [rooms], statuses)
        return returned(self.wires, value, got, rooms)

    def Recv(self, buf, status=None):
        arguments = Arguments(self.wires)
        self._receive("Recv", [arguments.room(buf)], arguments.rooms, [status])

    def recv(self, status=None):
        return self._receive("recv", statuses=[status])

    def Irecv(self, buf):
        arguments = Arguments(self.wires)
        return self._receive("Irecv", [arguments.room(buf)], arguments.rooms)

    def irecv(self):
        return self._receive("irecv")


def returned(wires: Wires, value, got, rooms=()):
    """What a call returns; ``rooms`` are the buffers of a request, if it is one."""
    if isinstance(value, dict):
        ((word, content),) = value.items()
        if word == "request":
            return RemoteRequest(wires, content, rooms)
        if word == "persistent":
            return RemotePrequest(wires, content, rooms)
        if word == "message":
            return RemoteMessage(wires, content)
        if word == "object":
            return MPI.pickle.loads(got[content])
        if word == "items":
            return [returned(wires, item, got) for item in content]
    return decode(value, got)
