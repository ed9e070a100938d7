"""What every communicator does: one body for mpi4py's own, the interruptible, the traced and the simulated one.

Each check compares with values made here from the ranks alone. ``MPI`` is mpi4py's module, or a copy of it
in which ``Request`` is the machine's own class. A check that does not hold raises AssertionError.
"""

import operator
import re
from array import array
from functools import reduce

import numpy as np


def equal(actual, expected, what):
    """Same values; of arrays also shape and type."""
    if isinstance(expected, np.ndarray):
        same = actual.shape == expected.shape and actual.dtype == expected.dtype and np.array_equal(actual, expected)
    else:
        same = actual == expected
    assert same, f"{what}: {actual!r} is not {expected!r}"


def refused(MPI, error_class, call, *words):
    """``call`` raises MPI's exception of this class, with these words in its text if labkit made it."""
    try:
        call()
    except MPI.Exception as error:
        got = error.Get_error_class()
        assert got == error_class, f"{error} is of class {got}, not {error_class}"
        if hasattr(error, "text"):
            missing = [word for word in words if word not in str(error)]
            assert not missing, f"{missing} not in: {error}"
    else:
        raise AssertionError(f"not refused: {words}")


def around(comm):
    """(rank, size, right neighbour, left neighbour) on a ring."""
    rank, size = comm.Get_rank(), comm.Get_size()
    assert (rank, size) == (comm.rank, comm.size)
    return rank, size, (rank + 1) % size, (rank - 1) % size


def roots(comm):
    return sorted({0, 1 % comm.size, comm.size // 2, comm.size - 1})


# -- point to point -----------------------------------------------------------------------------


def check_buffers_of_all_sizes(comm, MPI):
    rank, size, right, left = around(comm)
    for count in (0, 1, 7, 5000, 100_000):
        for dtype in (np.int64, np.float32, np.complex128, np.uint8, np.bool_):
            data, expected = ((np.arange(count) * 7 + r).astype(dtype) for r in (rank, left))
            for send in (comm.Isend, comm.Issend):
                room, status = np.zeros(count, dtype), MPI.Status()
                request = send(data, right, 3)
                equal(comm.Recv(room, left, 3, status), None, "Recv")
                equal(request.Wait(), True, "Wait")
                equal(room, expected, f"{count} items")
                equal((status.source, status.tag, status.Get_error()), (left, 3, MPI.SUCCESS), "status")
                equal(status.Get_count(MPI.BYTE), data.nbytes, "bytes")
            if count > 7:
                break
        data, expected = np.arange(count) + 1000 * rank, np.arange(count) + 1000 * left
        room, status = np.full(count + 2, -1), MPI.Status()
        comm.Sendrecv(data, right, 1, room, left, 1, status)  # the buffer may be larger
        equal(room, np.append(expected, [-1, -1]), "Sendrecv")
        equal((status.Get_source(), status.Get_tag(), status.Get_count(MPI.INT64_T)), (left, 1, count), "status")
        comm.Sendrecv_replace(data, dest=right, sendtag=2, source=left, recvtag=2)
        equal(data, expected, "Sendrecv_replace")


def check_blocking_sends(comm, MPI):
    rank, size, right, left = around(comm)
    if size == 1:
        return
    count = 20
    if rank == 0:
        data = np.arange(count)
        comm.Send([data, MPI.INT64_T], right, 4)
        comm.Ssend(data, dest=right, tag=5)
        comm.Send([data, count, MPI.INT64_T], right, 6)
        comm.Send((data, (3, 5), MPI.INT64_T), right, 7)  # count and displacement
        comm.Send(data[3:8], right, 8)
        comm.Send(memoryview(data), right, 9)
        comm.Send(b"bytes", right, 10)
        comm.Send(np.float64(2.5).reshape(()), right, 11)
        comm.Send(np.arange(6.0).reshape(2, 3), right, 12)
        comm.Send(np.asfortranarray(np.arange(6.0).reshape(2, 3)), right, 13)
        comm.send({"count": count}, right, 14)
        comm.ssend(("text", None), dest=right, tag=15)
    elif rank == 1:
        for tag in (4, 5, 6):
            room = np.full(count, -1)
            comm.Recv(room, source=MPI.ANY_SOURCE, tag=tag)
            equal(room, np.arange(count), f"tag {tag}")
        room = np.full(6, -1)
        comm.Recv([room, (3, 2), MPI.INT64_T], 0, 7)
        equal(room, np.array([-1, -1, 5, 6, 7, -1]), "displacement")
        comm.Recv(room, 0, 8)
        equal(room[:5], np.arange(3, 8), "slice")
        comm.Recv(room := np.empty(count, int), 0, 9)
        equal(room, np.arange(count), "memoryview")
        comm.Recv(room := bytearray(5), 0, 10)
        equal(bytes(room), b"bytes", "bytes")
        comm.Recv(room := np.empty(()), 0, 11)
        equal(room, np.array(2.5), "scalar")
        comm.Recv(room := np.empty((3, 2)), 0, 12)
        equal(room, np.arange(6.0).reshape(3, 2), "2-D")
        comm.Recv(room := np.empty((2, 3), order="F"), 0, 13)
        equal(room, np.arange(6.0).reshape(2, 3), "Fortran order at both ends")
        equal(comm.recv(source=0, tag=14), {"count": count}, "recv")
        equal(comm.recv(None, 0, 15), ("text", None), "ssend")


def check_objects(comm, MPI):
    rank, size, right, left = around(comm)
    for obj in (None, "text", {"rank": rank}, np.arange(20_000).tolist()):
        for start in (comm.isend, comm.issend):
            sending, status = start(obj, right, 8), MPI.Status()
            got = comm.recv(source=left, tag=8, status=status)
            equal(sending.wait(), None, "wait of a send")
            equal(got, {"rank": left} if isinstance(obj, dict) else obj, "object")
            equal((status.source, status.tag), (left, 8), "status")
    equal(comm.sendrecv(rank, right, source=left), left, "sendrecv")
    equal(comm.sendrecv(rank, right, 1, None, left, 1), left, "sendrecv")
    receiving = comm.irecv(source=left, tag=9)
    comm.isend(rank * 2, right, 9).wait()
    equal(receiving.wait(), left * 2, "irecv")


def check_nobody(comm, MPI):
    status = MPI.Status()
    equal(comm.recv(source=MPI.PROC_NULL, status=status), None, "recv from nobody")
    equal((status.source, status.tag, status.count), (MPI.PROC_NULL, MPI.ANY_TAG, 0), "status of nobody")
    room, status = np.ones(3), MPI.Status()
    comm.Send(np.zeros(3), MPI.PROC_NULL)
    comm.Ssend(np.zeros(3), MPI.PROC_NULL)
    comm.send("text", MPI.PROC_NULL)
    comm.Recv(room, MPI.PROC_NULL, 3, status)
    equal((status.source, status.tag, status.count), (MPI.PROC_NULL, MPI.ANY_TAG, 0), "status of nobody")
    comm.Sendrecv(np.zeros(3), MPI.PROC_NULL, 0, room, MPI.PROC_NULL, 0)
    comm.Sendrecv_replace(room, MPI.PROC_NULL, 0, MPI.PROC_NULL, 0)
    equal(room, np.ones(3), "untouched")
    requests = [comm.Isend(room, MPI.PROC_NULL), comm.Irecv(room, MPI.PROC_NULL), comm.irecv(source=MPI.PROC_NULL)]
    equal(type(requests[0]).Waitall(requests), True, "Waitall of nobody")
    equal(comm.Probe(MPI.PROC_NULL, 3, status), True, "Probe of nobody")
    equal(status.source, MPI.PROC_NULL, "Probe status")
    equal(comm.Iprobe(MPI.PROC_NULL, 3, status), True, "Iprobe of nobody")
    persistent = comm.Recv_init(room, MPI.PROC_NULL)
    for _ in range(2):
        persistent.Start()
        persistent.Wait()
    persistent.Free()


def check_nothing_to_nobody(comm, MPI):
    """What is sent to nobody, or received from nobody, is not looked at."""
    nobody, room = MPI.PROC_NULL, np.ones(3)
    for nothing in (None, [1, 2], "text", b"bytes", np.ones((4, 4))[:, 1]):
        for call in (comm.Send, comm.Ssend, comm.Rsend, comm.Recv):
            equal(call(nothing, nobody), None, call.__name__)
        for call in (comm.Isend, comm.Issend, comm.Irecv):
            equal(call(nothing, nobody).Wait(), True, call.__name__)
        for call in (comm.Send_init, comm.Ssend_init, comm.Recv_init):
            request = call(nothing, nobody)
            request.Start()
            request.Wait()
            request.Free()
        equal(comm.Sendrecv(nothing, nobody, 0, room, nobody), None, "Sendrecv")
        equal(comm.Sendrecv(room, nobody, 0, nothing, nobody), None, "Sendrecv")
    equal(comm.Sendrecv(room, nobody, source=nobody), None, "Sendrecv without a buffer")
    rank, size, right, left = around(comm)
    equal(comm.Sendrecv(None, nobody, 0, room[:0], nobody), None, "Sendrecv")
    sending = comm.Isend(room, right)
    comm.Sendrecv(None, nobody, 0, got := np.zeros(3), left)
    sending.Wait()
    equal(got, room, "a Sendrecv that only receives")
    for call in (comm.Send, comm.Isend, comm.Send_init, comm.Recv, comm.Irecv, comm.Recv_init):
        try:
            call(None, right)
        except TypeError:
            pass
        else:
            raise AssertionError(f"{call.__name__} took None")


def check_wildcards_and_order(comm, MPI):
    rank, size, right, left = around(comm)
    if rank:
        for turn in range(5):
            comm.Send(np.array([rank, turn]), 0, turn % 2)
    else:
        seen = {r: [] for r in range(1, size)}
        for _ in range(5 * (size - 1)):
            room, status = np.zeros(2, int), MPI.Status()
            comm.Recv(room, MPI.ANY_SOURCE, MPI.ANY_TAG, status)
            equal((status.source, status.tag), (room[0], room[1] % 2), "wildcard status")
            seen[status.source].append(int(room[1]))
        for turns in seen.values():
            equal(turns, list(range(5)), "messages of a pair keep their order")
    comm.Barrier()
    requests = [comm.Isend(np.array([turn]), right, turn % 3) for turn in range(9)]
    found = []
    for tag in (2, MPI.ANY_TAG, 0, 1, MPI.ANY_TAG, 2, 1, MPI.ANY_TAG, MPI.ANY_TAG):  # by tag, in order within one
        comm.Recv(room := np.zeros(1, int), left, tag)
        found.append(int(room[0]))
    equal(found, [2, 0, 3, 1, 4, 5, 7, 6, 8], "order by tag")
    type(requests[0]).Waitall(requests)
    # Receives are matched in the order in which they were posted, wild or not.
    rooms = [np.full(1, -1) for _ in range(4)]
    receives = [
        comm.Irecv(rooms[0], MPI.ANY_SOURCE, 7), comm.Irecv(rooms[1], left, MPI.ANY_TAG),
        comm.Irecv(rooms[2], MPI.ANY_SOURCE, MPI.ANY_TAG), comm.Irecv(rooms[3], left, 7),
    ]
    comm.Barrier()
    for number in range(4):
        comm.Send(np.array([number]), right, 7)
    type(receives[0]).Waitall(receives)
    equal([int(room[0]) for room in rooms], [0, 1, 2, 3], "receives in order")


def check_derived_datatypes(comm, MPI):
    rank, size, right, left = around(comm)
    column = MPI.DOUBLE.Create_vector(4, 1, 5).Commit()
    grid = np.arange(20.0).reshape(4, 5) + 100 * rank
    target, status = np.zeros((4, 5)), MPI.Status()
    request = comm.Isend([grid, 1, column], right, 1)
    comm.Recv([target, 1, column], left, 1, status)
    request.Wait()
    expected = np.zeros((4, 5))
    expected[:, 0] = np.arange(0, 20, 5) + 100 * left
    equal(target, expected, "a column into a column")
    equal((status.Get_count(column), status.Get_elements(MPI.DOUBLE)), (1, 4), "elements")
    request = comm.Isend([grid, 1, column], right, 2)
    comm.Recv(room := np.zeros(4), left, 2)
    request.Wait()
    equal(room, np.arange(0, 20, 5.0) + 100 * left, "a column into an array")
    comm.Sendrecv([grid, 1, column], right, 3, [target, 1, column], left, 3)
    equal(target, expected, "Sendrecv of columns")
    column.Free()
    pair = np.zeros(3, [("number", "i4"), ("value", "f8")])
    pair["number"], pair["value"] = rank, rank / 2
    datatype = MPI.Datatype.Create_struct([1, 1], [0, 4], [MPI.INT32_T, MPI.DOUBLE]).Create_resized(0, 12).Commit()
    got = np.zeros_like(pair)
    comm.Sendrecv([pair, 3, datatype], right, 0, [got, 3, datatype], left, 0)
    equal((got["number"].tolist(), got["value"].tolist()), ([left] * 3, [left / 2] * 3), "structures")
    datatype.Free()


# -- requests -----------------------------------------------------------------------------------


def check_waits(comm, MPI):
    rank, size, right, left = around(comm)
    Request = MPI.Request
    rooms = [np.full(2, -1) for _ in range(4)]
    requests = [comm.Irecv(room, left, tag) for tag, room in enumerate(rooms)]
    for tag in (2, 0, 3, 1):
        comm.Send(np.array([rank, tag]), right, tag)
    statuses = [MPI.Status() for _ in requests]
    equal(Request.Waitall(requests, statuses), True, "Waitall")
    equal([s.tag for s in statuses], [0, 1, 2, 3], "Waitall statuses")
    for tag, room in enumerate(rooms):
        equal(room, np.array([left, tag]), "Waitall data")
    requests = [comm.Irecv(room, left, tag) for tag, room in enumerate(rooms)]
    comm.Send(np.array([rank, 2]), right, 2)
    status = MPI.Status()
    equal((Request.Waitany(requests, status), status.tag), (2, 2), "Waitany")
    comm.Barrier()
    for tag in (0, 1, 3):
        comm.Send(np.array([rank, tag]), right, tag)
    done, statuses = [], []
    while len(done) < 3:
        some = Request.Waitsome(requests, statuses)
        equal([s.tag for s in statuses[: len(some)]], list(some), "Waitsome statuses")
        done += some
    equal(sorted(done), [0, 1, 3], "Waitsome")
    equal((Request.Waitsome(requests), Request.Waitany(requests)), (None, MPI.UNDEFINED), "nothing active")
    equal((Request.Testsome(requests), Request.Testany(requests), Request.Testall(requests)),
          (None, (MPI.UNDEFINED, True), True), "nothing active")
    equal((Request.Waitall([]), Request.Testall([]), Request.Waitany([])), (True, True, MPI.UNDEFINED), "no requests")
    equal((Request.waitall([]), Request.Waitsome([])), ([], None), "no requests")
    request = comm.Irecv(rooms[0], left, 7)
    comm.Isend(np.array([rank, 7]), right, 7).Wait()
    request.Wait()
    equal((request.Wait(), request.Test(), request.wait()), (True, True, None), "complete is complete")
    equal(rooms[0], np.array([left, 7]), "data")


def check_requests_that_are_over(comm, MPI):
    rank, size, right, left = around(comm)
    null, room = MPI.REQUEST_NULL, np.zeros(2, int)
    first, second = comm.Irecv(room, left, 1), comm.Irecv(room.copy(), left, 2)
    found = first == null, null == first, first == first, first == second, bool(first)
    equal(found, (False, False, True, False, True), "active")
    sends = [comm.Isend(np.array([rank, tag]), right, tag) for tag in (1, 2)]
    for request in (first, second, *sends):
        while request != null:
            request.Wait()
    equal((first == null, null == first, first == second, bool(first), first == 3), (True, True, True, False, False), "over")
    persistent = comm.Recv_init(room, MPI.PROC_NULL)
    persistent.Start()
    persistent.Wait()
    equal((persistent == null, persistent != null, bool(persistent)), (False, True, True), "a persistent one stays itself")
    persistent.Free()
    nobody = (MPI.ANY_SOURCE, MPI.ANY_TAG, 0)
    for call in (lambda s: first.Wait(s), lambda s: first.Test(s), lambda s: first.Get_status(s),
                 lambda s: MPI.Request.Waitany([first], s), lambda s: MPI.Request.Testany([null], s),
                 lambda s: MPI.Request.Waitall([first], [s])):
        status = MPI.Status()
        sending = comm.Isend(np.array([rank, 3]), right, 3)
        comm.Recv(room, left, 3, status)
        sending.Wait()
        call(status)
        equal((status.source, status.tag, status.Get_count(MPI.BYTE)), nobody, "status of what is over")


def check_null_requests(comm, MPI):
    rank, size, right, left = around(comm)
    null, Request = MPI.REQUEST_NULL, MPI.Request
    for family, nothing in (
        ("Waitall", True), ("Testall", True), ("Waitany", MPI.UNDEFINED), ("Testany", (MPI.UNDEFINED, True)),
        ("Waitsome", None), ("Testsome", None),
    ):
        equal(getattr(Request, family)([null, null]), nothing, f"{family} of nothing")
        room = np.zeros(1, int)
        requests = [null, comm.Irecv(room, left, 4), null]
        comm.Sendrecv(np.zeros(1), right, 6, np.zeros(1), left, 6)  # the receive is there
        comm.Send(np.array([rank]), right, 4)
        comm.Sendrecv(np.zeros(1), right, 5, np.zeros(1), left, 5)
        expected = {"all": (True,), "any": (1, (1, True)), "ome": ([1],)}[family[-3:]]
        while (found := getattr(Request, family)(requests)) not in expected:
            assert found in (False, (MPI.UNDEFINED, False), []), f"{family}: {found}"
        equal((int(room[0]), requests[1] == null), (left, True), family)
    equal(Request.waitall([null, comm.irecv(source=MPI.PROC_NULL)]), [None, None], "waitall")


def check_tests(comm, MPI):
    rank, size, right, left = around(comm)
    Request, room, status = MPI.Request, np.zeros(2, int), MPI.Status()
    request = comm.Irecv(room, left, 6)
    equal((request.Test(), request.Get_status(), Request.Testall([request]), Request.Testany([request]),
           Request.Testsome([request])), (False, False, False, (MPI.UNDEFINED, False), []), "before it is sent")
    comm.Barrier()
    comm.Send(np.array([rank, 6]), right, 6)
    while not request.Get_status(status):
        pass
    equal((status.source, status.tag), (left, 6), "Get_status")
    equal(request.Test(status), True, "Test")
    equal(room, np.array([left, 6]), "Test data")
    for family in ("Testall", "Testany", "Testsome"):
        rooms = [np.zeros(2, int) for _ in range(3)]
        requests = [comm.Irecv(room, left, tag) for tag, room in enumerate(rooms)]
        for tag in (1, 2, 0):
            comm.Send(np.array([rank, tag]), right, tag)
        done = []
        while len(done) < 3:
            if family == "Testall":
                done = [0, 1, 2] if Request.Testall(requests) else []
            elif family == "Testany":
                index, flag = Request.Testany(requests)
                done += [index] if flag else []
            else:
                done += Request.Testsome(requests)
        equal(sorted(done), [0, 1, 2], family)
        equal([room.tolist() for room in rooms], [[left, 0], [left, 1], [left, 2]], family)


def check_object_requests(comm, MPI):
    rank, size, right, left = around(comm)
    Request, status = MPI.Request, MPI.Status()
    equal(Request.waitall([comm.isend(rank, right, 5), comm.irecv(source=left, tag=5)]), [None, left], "waitall")
    request = comm.irecv(source=left, tag=5)
    equal((request.test(), Request.testall([request]), Request.testany([request]), Request.testsome([request])),
          ((False, None), (False, None), (MPI.UNDEFINED, False, None), ([], [])), "before it is sent")
    comm.Barrier()
    comm.send((rank, "a"), right, 5)
    while not (found := request.test(status))[0]:
        pass
    equal((found, status.tag), ((True, (left, "a")), 5), "test")
    requests = [comm.irecv(source=left, tag=tag) for tag in range(3)]
    comm.send("one", right, 1)
    equal(Request.waitany(requests, status), (1, "one"), "waitany")
    comm.Barrier()
    comm.send("zero", right, 0)
    comm.send("two", right, 2)
    found = {}
    while len(found) < 2:
        found |= dict(zip(*Request.waitsome(requests), strict=True))
    equal(found, {0: "zero", 2: "two"}, "waitsome")
    equal((Request.waitsome(requests), Request.testany(requests)), ((None, None), (MPI.UNDEFINED, True, None)), "none")


def check_persistent(comm, MPI):
    rank, size, right, left = around(comm)
    data, room = np.zeros(3, int), np.zeros(3, int)
    for init in (comm.Send_init, comm.Ssend_init):
        sender, receiver = init(data, right, 1), comm.Recv_init(room, left, 1)
        equal((sender.Test(), sender.Wait(), MPI.Request.Waitall([sender, receiver])), (True, True, True), "inactive")
        for turn in range(3):
            data[:] = rank + 10 * turn
            if turn == 1:
                receiver.Start()
                sender.Start()
            else:
                type(sender).Startall([receiver, sender])
            statuses = [MPI.Status(), MPI.Status()]
            MPI.Request.Waitall([receiver, sender], statuses)
            equal(room, np.full(3, left + 10 * turn), "persistent")
            equal((statuses[0].source, statuses[0].tag), (left, 1), "persistent status")
        sender.Free()
        receiver.Free()


def check_cancel(comm, MPI):
    rank, size, right, left = around(comm)
    room, status = np.full(1, -1), MPI.Status()
    request = comm.Irecv(room, left, 20)
    request.Cancel()
    equal(request.Wait(status), True, "Wait of a cancelled receive")
    equal((status.Is_cancelled(), int(room[0])), (True, -1), "cancelled")
    comm.Barrier()
    sending = comm.Isend(np.array([rank]), right, 20)  # it goes to the next receive, not to the cancelled one
    comm.Recv(room, left, 20, status)
    sending.Wait()
    equal((int(room[0]), status.Is_cancelled()), (left, False), "after a cancel")
    wild = comm.Irecv(room, MPI.ANY_SOURCE, 21)
    wild.Cancel()
    while not wild.Test(status):
        pass
    equal(status.Is_cancelled(), True, "a wildcard cancelled")


# -- probes -------------------------------------------------------------------------------------


def check_probes(comm, MPI):
    rank, size, right, left = around(comm)
    equal((comm.Iprobe(), comm.iprobe(left, 3), comm.Improbe(), comm.improbe(left)), (False, False, None, None), "empty")
    comm.Barrier()
    sending, status = comm.Isend(np.arange(5) + rank, right, 11), MPI.Status()
    equal(comm.Probe(MPI.ANY_SOURCE, 11, status), True, "Probe")
    equal((status.source, status.tag, status.Get_count(MPI.INT64_T)), (left, 11, 5), "Probe status")
    equal((comm.Iprobe(left, MPI.ANY_TAG, status), status.tag), (True, 11), "Iprobe")
    equal(comm.Iprobe(left, 99), False, "Iprobe for another tag")
    message = comm.Mprobe(left, 11, status)
    equal((status.source, comm.Iprobe(left, 11)), (left, False), "Mprobe takes it")
    message.Recv(room := np.zeros(5, int), status)
    equal(room, np.arange(5) + left, "Recv of a matched message")
    equal((status.source, status.tag), (left, 11), "its status")
    sending.Wait()
    sending = comm.isend("probed", right, 12)
    equal(comm.probe(left, 12, status), True, "probe")
    equal(comm.mprobe(left, 12).recv(), "probed", "mprobe")
    sending.wait()
    sending = comm.Issend(np.array([1.5]), right, 13)
    while (message := comm.Improbe(MPI.ANY_SOURCE, 13, status)) is None:
        pass
    request = message.Irecv(room := np.zeros(1))
    request.Wait()
    sending.Wait()
    equal((room[0], status.source), (1.5, left), "Improbe")
    sending = comm.isend(["x"], right, 14)
    while (message := comm.improbe(left, 14)) is None:
        pass
    equal(message.irecv().wait(), ["x"], "improbe")
    sending.wait()
    message = comm.Mprobe(MPI.PROC_NULL)
    message.Recv(room)
    equal(room[0], 1.5, "a message from nobody")


# -- collectives --------------------------------------------------------------------------------


def check_rooted_collectives(comm, MPI):
    rank, size, right, left = around(comm)
    for count in (0, 1, 5, 3000):
        mine = np.arange(count) * 1.0 + rank
        everyone = [np.arange(count) * 1.0 + r for r in range(size)]
        table = np.array(everyone).reshape(size, count)
        for root in roots(comm):
            at_root = rank == root
            box = mine.copy()
            comm.Bcast(box, root=root)
            equal(box, everyone[root], "Bcast")
            out = np.empty(count) if at_root else None
            comm.Reduce(mine, out, MPI.MAX, root)
            if at_root:
                equal(out, everyone[-1], "Reduce")
            both = mine.copy()
            comm.Reduce(MPI.IN_PLACE if at_root else both, both if at_root else None, MPI.SUM, root)
            equal(both, sum(everyone) if at_root else mine, "Reduce in place")
            out = np.full((size, count), -1.0) if at_root else None
            comm.Gather(mine, out, root)
            if at_root:
                equal(out, table, "Gather")
                out[:] = -1
                out[rank] = mine
            comm.Gather(MPI.IN_PLACE if at_root else mine, out, root)
            if at_root:
                equal(out, table, "Gather in place")
            comm.Scatter(out, box, root)
            equal(box, mine, "Scatter")
            comm.Scatter(out, MPI.IN_PLACE if at_root else box, root)
            equal(box, mine, "Scatter in place")
    comm.Barrier()
    comm.barrier()


def check_collectives_to_all(comm, MPI):
    rank, size, right, left = around(comm)
    for count in (0, 1, 5, 3000):
        mine = np.arange(count) * 1.0 + rank
        everyone = [np.arange(count) * 1.0 + r for r in range(size)]
        table = np.array(everyone).reshape(size, count)
        comm.Allreduce(mine, out := np.empty(count))
        equal(out, sum(everyone), "Allreduce")
        comm.Allreduce(MPI.IN_PLACE, both := mine.copy(), MPI.SUM)
        equal(both, sum(everyone), "Allreduce in place")
        comm.Allgather(mine, out := np.empty((size, count)))
        equal(out, table, "Allgather")
        out[:] = -1
        out[rank] = mine
        comm.Allgather(MPI.IN_PLACE, out)
        equal(out, table, "Allgather in place")
        comm.Alltoall(table + rank, out)
        equal(out, np.array([everyone[rank] + r for r in range(size)]).reshape(size, count), "Alltoall")
        comm.Alltoall(MPI.IN_PLACE, both := table + rank)
        equal(both, out, "Alltoall in place")
        comm.Scan(mine, out := np.empty(count))
        equal(out, sum(everyone[: rank + 1]), "Scan")
        comm.Scan(MPI.IN_PLACE, both := mine.copy())
        equal(both, out, "Scan in place")
        comm.Exscan(mine, out := np.full(count, -1.0))
        equal(out, sum(everyone[:rank]) if rank else np.full(count, -1.0), "Exscan")
        comm.Reduce_scatter_block(table, out := np.empty(count))
        equal(out, everyone[rank] * size, "Reduce_scatter_block")
        comm.Reduce_scatter_block(MPI.IN_PLACE, both := table.copy())
        equal(both[:1].reshape(-1)[:count], everyone[rank] * size, "Reduce_scatter_block in place")
    counts = np.arange(size) % 3
    ends = np.cumsum(counts)
    whole = np.arange(counts.sum()) + 10 * rank
    comm.Reduce_scatter(whole, out := np.empty(counts[rank], int), counts, MPI.SUM)
    block = np.arange(counts.sum())[ends[rank] - counts[rank] : ends[rank]]
    equal(out, block * size + 10 * sum(range(size)), "Reduce_scatter")


def check_v_variants(comm, MPI):
    rank, size, right, left = around(comm)
    counts = [(r + 1) % 4 for r in range(size)]  # some are 0
    displs = [5 * r for r in range(size)]  # with gaps
    expected, packed = np.full(5 * size, -1), []
    for r in range(size):
        expected[displs[r] : displs[r] + counts[r]] = 100 * r + np.arange(counts[r])
        packed += (100 * r + np.arange(counts[r])).tolist()
    mine = 100 * rank + np.arange(counts[rank])
    for form in (
        lambda out: [out, counts, displs, MPI.INT64_T], lambda out: [out, (counts, displs), MPI.INT64_T],
        lambda out: [out, (counts, displs)], lambda out: (out, np.array(counts), np.array(displs), "q"),
    ):
        out = np.full(5 * size, -1)
        comm.Allgatherv(mine, form(out))
        equal(out, expected, "Allgatherv with displacements")
    out = np.full(sum(counts), -1)
    comm.Allgatherv(mine, [out, counts])
    equal(out, np.array(packed, int), "Allgatherv")
    out = np.full(5 * size, -1)
    out[displs[rank] : displs[rank] + counts[rank]] = mine
    comm.Allgatherv(MPI.IN_PLACE, [out, counts, displs, MPI.INT64_T])
    equal(out, expected, "Allgatherv in place")
    for root in roots(comm):
        at_root = rank == root
        out = np.full(5 * size, -1)
        comm.Gatherv(mine, [out, counts, displs, MPI.INT64_T] if at_root else None, root)
        equal(out, expected if at_root else np.full(5 * size, -1), "Gatherv")
        room = np.full(counts[rank] + 1, -7)
        comm.Scatterv([out, counts, displs, MPI.INT64_T] if at_root else None, [room, counts[rank]], root=root)
        equal(room, np.append(mine, -7), "Scatterv")
        room = np.full(counts[rank], -7)
        comm.Scatterv([np.array(packed, int), counts] if at_root else None, room, root=root)
        equal(room, mine, "Scatterv, packed")
    send_counts = [(rank + r) % 3 for r in range(size)]
    places = [sum(send_counts[:r]) for r in range(size)]
    data = np.concatenate([np.full(c, 100 * rank + r) for r, c in enumerate(send_counts)] + [np.zeros(0, int)]).astype(int)
    out = np.full(sum(send_counts), -1)
    comm.Alltoallv([data, send_counts, places, MPI.INT64_T], [out, send_counts, places, MPI.INT64_T])
    answer = [100 * r + rank for r, c in enumerate(send_counts) for _ in range(c)]
    equal(out, np.array(answer, int), "Alltoallv")
    out = np.full(sum(send_counts), -1)
    comm.Alltoallv([data, send_counts], [out, send_counts])
    equal(out, np.array(answer, int), "Alltoallv, packed")


def check_operations(comm, MPI):
    rank, size, right, left = around(comm)
    numbers = [np.array([r + 1, r % 2, 7 ^ r]) for r in range(size)]
    for op, ufunc in ((op, u) for op, u in _pairs(MPI) if size < 20 or op != MPI.PROD):
        comm.Allreduce(numbers[rank], out := np.zeros(3, int), op)
        equal(out, reduce(ufunc, numbers), f"Allreduce {op}")
    flags = [np.array([r % 2 == 0, True, False]) for r in range(size)]
    for op, ufunc in ((MPI.LAND, np.logical_and), (MPI.LOR, np.logical_or), (MPI.LXOR, np.logical_xor)):
        comm.Allreduce(flags[rank], out := np.zeros(3, bool), op)
        equal(out, reduce(ufunc, flags), f"Allreduce {op}")
        comm.Allreduce(np.array([rank % 3]), out := np.zeros(1, int), op)
        equal(out, reduce(ufunc, [np.array([r % 3]) for r in range(size)]).astype(int), f"{op} of integers")
    # x -> a x + b, composed: it is associative and does not commute. On integers modulo 251, exactly.
    def compose(first, second, datatype):
        a, b = (np.frombuffer(buffer, np.int64).reshape(-1, 2) for buffer in (first, second))
        b[:] = np.stack([a[:, 0] * b[:, 0] % 251, (a[:, 1] * b[:, 0] + b[:, 1]) % 251], 1)

    def composed(ranks, count):
        maps = [np.stack([np.arange(count) + 2 + r, np.arange(count) * r + 1], 1) for r in ranks]
        result = maps[0]
        for one in maps[1:]:
            result = np.stack([result[:, 0] * one[:, 0] % 251, (result[:, 1] * one[:, 0] + one[:, 1]) % 251], 1)
        return result

    op = MPI.Op.Create(compose, commute=False)
    for count in (1, 6, 600):
        mine = composed([rank], count)
        for root in roots(comm):
            comm.Reduce(mine, out := np.zeros_like(mine), op, root)
            if rank == root:
                equal(out, composed(range(size), count), "Reduce of an operation that does not commute")
        comm.Allreduce(mine, out := np.zeros_like(mine), op)
        equal(out, composed(range(size), count), "Allreduce of an operation that does not commute")
        comm.Scan(mine, out := np.zeros_like(mine), op)
        equal(out, composed(range(rank + 1), count), "Scan of an operation that does not commute")
        comm.Exscan(mine, out := np.zeros_like(mine), op)
        equal(out, composed(range(rank), count) if rank else np.zeros_like(mine), "Exscan")
        table = np.concatenate([mine] * size)
        comm.Reduce_scatter_block(table, out := np.zeros_like(mine), op)
        equal(out, composed(range(size), count), "Reduce_scatter_block of an operation that does not commute")
    op.Free()
    own = MPI.Op.Create(lambda a, b, t: np.maximum(np.frombuffer(a), np.frombuffer(b), out=np.frombuffer(b)), commute=True)
    comm.Allreduce(np.array([rank * 1.0] * 40), out := np.zeros(40), own)
    equal(out, np.full(40, size - 1.0), "an operation of one's own")
    own.Free()


def _pairs(MPI):
    return (
        (MPI.SUM, np.add), (MPI.PROD, np.multiply), (MPI.MAX, np.maximum), (MPI.MIN, np.minimum),
        (MPI.BAND, np.bitwise_and), (MPI.BOR, np.bitwise_or), (MPI.BXOR, np.bitwise_xor),
    )


def check_object_collectives(comm, MPI):
    rank, size, right, left = around(comm)
    for root in roots(comm):
        at_root = rank == root
        equal(comm.bcast({"r": rank} if at_root else None, root), {"r": root}, "bcast")
        equal(comm.gather((rank,), root), [(r,) for r in range(size)] if at_root else None, "gather")
        parts = [f"part {r} of {root}" for r in range(size)] if at_root else None
        equal(comm.scatter(parts, root=root), f"part {rank} of {root}", "scatter")
        words = comm.reduce(f"{rank}-", root=root)  # "+" of texts does not commute
        equal(words, "".join(f"{r}-" for r in range(size)) if at_root else None, "reduce")
    equal(comm.allgather(rank * 3), [r * 3 for r in range(size)], "allgather")
    equal(comm.alltoall([(rank, r) for r in range(size)]), [(r, rank) for r in range(size)], "alltoall")
    equal(comm.allreduce(rank + 1, MPI.PROD), reduce(operator.mul, range(1, size + 1)), "allreduce")
    equal(comm.allreduce([rank]), list(range(size)), "allreduce of lists")
    equal(comm.allreduce({rank}, op=operator.or_), set(range(size)), "allreduce with a function")
    best = max(r % 2 for r in range(size))
    equal(comm.allreduce((rank % 2, rank), MPI.MAXLOC), (best, min(r for r in range(size) if r % 2 == best)), "MAXLOC")
    equal(comm.scan(f"{rank}."), "".join(f"{r}." for r in range(rank + 1)), "scan")
    equal(comm.exscan(f"{rank}."), "".join(f"{r}." for r in range(rank)) if rank else None, "exscan")
    try:
        comm.alltoall([0] * (size + 1))
    except ValueError:
        pass
    else:
        raise AssertionError("alltoall of too many items")


def check_nonblocking_collectives(comm, MPI):
    rank, size, right, left = around(comm)
    Request, root = MPI.Request, size - 1
    total, table = sum(range(size)), np.arange(size)
    mine = np.array([rank])
    outs = [np.full(size, -1) for _ in range(8)]
    box, part, one, reduced, before, upto = mine.copy(), *(np.full(1, -1) for _ in range(5))
    requests = [
        comm.Ibarrier(),
        comm.Ibcast(box, root=root),
        comm.Igather(mine, outs[0] if rank == root else None, root),
        comm.Iscatter(table if rank == root else None, part, root),
        comm.Iallgather(mine, outs[1]),
        comm.Ialltoall(table + rank, outs[2]),
        comm.Iallreduce(mine, one),
        comm.Ireduce(mine, reduced if rank == root else None, MPI.SUM, root),
        comm.Iscan(mine, upto),
        comm.Iexscan(mine, before),
        comm.Iallgatherv(mine, [outs[3], [1] * size]),
        comm.Igatherv(mine, [outs[4], [1] * size] if rank == root else None, root),
        comm.Ialltoallv([table + rank, [1] * size], [outs[5], [1] * size]),
    ]
    comm.Sendrecv(mine, right, 1, room := np.zeros(1, int), left, 1)  # other messages may pass
    equal(int(room[0]), left, "a message beside collectives")
    equal(comm.allreduce(1), size, "a collective beside collectives")
    equal(Request.Waitall(requests[::-1]), True, "Waitall in another order")
    equal([int(x[0]) for x in (box, part, one)], [root, rank, total], "Ibcast, Iscatter, Iallreduce")
    equal(outs[1], table, "Iallgather")
    equal(outs[2], table + rank, "Ialltoall")
    equal(outs[3], table, "Iallgatherv")
    equal(outs[5], table + rank, "Ialltoallv")
    equal(int(upto[0]), sum(range(rank + 1)), "Iscan")
    equal(int(before[0]), sum(range(rank)) if rank else -1, "Iexscan")
    if rank == root:
        equal((outs[0].tolist(), outs[4].tolist(), int(reduced[0])), (table.tolist(), table.tolist(), total), "at root")
    requests = [
        comm.Ireduce_scatter_block(table * 1, one), comm.Iscatterv([table, [1] * size] if rank == 0 else None, part, 0),
        comm.Ireduce_scatter(table + 1, reduced, [1] * size),
    ]
    while not Request.Testall(requests):
        pass
    equal([int(x[0]) for x in (one, part, reduced)], [rank * size, rank, (rank + 1) * size], "by Testall")


# -- communicators ------------------------------------------------------------------------------


def check_communicators(comm, MPI):
    rank, size, right, left = around(comm)
    twin = comm.Dup()
    equal(twin.allreduce(1), size, "Dup")
    first, second = comm.Isend(np.array([1]), right, 5), twin.Isend(np.array([2]), right, 5)
    twin.Recv(room := np.zeros(1, int), left, 5)
    comm.Recv(other := np.zeros(1, int), left, 5)
    equal((int(room[0]), int(other[0])), (2, 1), "communicators keep their messages apart")
    first.Wait()
    second.Wait()
    half = twin.Split(color=rank % 2, key=-rank)
    members = sorted((r for r in range(size) if r % 2 == rank % 2), reverse=True)
    equal((half.rank, half.size, half.allgather(rank)), (members.index(rank), len(members), members), "Split")
    same = twin.Split(3, 0)
    equal((same.rank, same.size), (rank, size), "equal keys keep the order")
    equal(comm.Split(MPI.UNDEFINED if rank else 0) == MPI.COMM_NULL, rank != 0, "Split undefined")
    third = half.Split(half.rank // 2)
    equal(third.allgather(rank), members[half.rank // 2 * 2 :][:2], "Split of a Split")
    half.Free()
    twin.Free()
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    equal(node.allreduce(1), node.size, "Split_type")


def check_cartesian(comm, MPI):
    rank, size, right, left = around(comm)
    ring = comm.Create_cart([size], periods=[True])
    equal((ring.Shift(0, 1), ring.Shift(0, 2)), ((left, right), ((rank - 2) % size, (rank + 2) % size)), "Shift")
    equal(ring.sendrecv(rank, right, source=left), left, "in a Cartesian communicator")
    line = comm.Create_cart([size])
    nobody = MPI.PROC_NULL
    equal(line.Shift(0, 1), (rank - 1 if rank else nobody, rank + 1 if rank < size - 1 else nobody), "ends")
    rows = next(d for d in range(int(size**0.5), 0, -1) if size % d == 0)
    grid = comm.Create_cart((rows, size // rows), (True, False), False)
    coords = list(divmod(rank, size // rows))
    equal((grid.Get_coords(rank), grid.coords, grid.Get_cart_rank(coords)), (coords, coords, rank), "coordinates")
    equal((grid.Get_topo(), grid.dims, grid.periods, grid.Get_dim(), grid.ndim),
          (([rows, size // rows], [1, 0], coords), [rows, size // rows], [1, 0], 2, 2), "topology")
    equal(grid.Get_cart_rank([coords[0] + rows, coords[1]]), rank, "a periodic dimension wraps")
    equal(grid.Get_topology(), MPI.CART, "topology")
    row, column = grid.Sub([False, True]), grid.Sub([True, False])
    equal(row.allgather(rank), [coords[0] * (size // rows) + c for c in range(size // rows)], "Sub of rows")
    equal(column.allgather(rank), [r * (size // rows) + coords[1] for r in range(rows)], "Sub of columns")
    equal((row.coords, column.coords), ([coords[1]], [coords[0]]), "coordinates in a Sub")
    twin = grid.Dup()
    equal((twin.coords, twin.allreduce(1)), (coords, size), "Dup of a grid")
    equal(ring.Clone().Shift(0, 1), (left, right), "Clone of a ring")
    equal(MPI.Compute_dims(size, 2), sorted(MPI.Compute_dims(size, 2), reverse=True), "Compute_dims")
    if size > 1:
        part = comm.Create_cart([size - 1])
        equal(part == MPI.COMM_NULL, rank == size - 1, "a grid for fewer ranks")


# -- the order of memory ------------------------------------------------------------------------


def check_arrays_in_fortran_order(comm, MPI):
    """MPI moves memory as it lies: also of arrays whose columns are contiguous, and of other typed buffers."""
    rank, size, right, left = around(comm)
    numbers = np.arange(6.0).reshape(2, 3)
    whole = np.zeros((2, 3), order="F")
    if rank == 0:
        whole[:] = numbers
    comm.Bcast(whole)
    equal(whole, numbers, "Bcast")
    ones = np.ones((2, 2), order="F")
    comm.Allreduce(MPI.IN_PLACE, ones)
    equal(ones, np.full((2, 2), float(size)), "Allreduce in place")
    room = np.zeros((size, 2), order="F")
    comm.Allgather(np.array([rank, -rank], float), room)
    equal(room.T.ravel(), np.array([[r, -r] for r in range(size)], float).ravel(), "Allgather")
    total = np.zeros(2)
    comm.Allreduce(array("d", [1.5, rank]), total)
    equal(total, np.array([1.5 * size, sum(range(size))]), "Allreduce of an array of Python's")
    mine = np.arange(size) + 10.0 * rank
    comm.Alltoallv(MPI.IN_PLACE, mine)
    equal(mine, np.arange(size) * 10.0 + rank, "Alltoallv in place")
    replaced = np.asfortranarray(numbers + 10 * rank)
    comm.Sendrecv_replace(replaced, right, 0, left, 0)
    equal(replaced, numbers + 10 * left, "Sendrecv_replace")
    by_columns = np.zeros((2, 3), order="F")
    request = comm.Irecv(by_columns, left, 1)
    comm.Send(numbers, right, 1)
    request.Wait()
    equal(by_columns.T.ravel(), numbers.ravel(), "rows into columns")


# -- errors -------------------------------------------------------------------------------------


def check_wrong_arguments(comm, MPI):
    rank, size, right, left = around(comm)
    buffer, who = np.zeros(2), f"rank {rank}: "
    for name in ("Send", "Ssend", "Isend", "Issend", "Send_init", "send", "ssend", "isend", "issend"):
        call = getattr(comm, name)
        for peer in (size, -7):
            refused(MPI, MPI.ERR_RANK, lambda: call(buffer, peer), who, f"{name}(dest={peer}")
        refused(MPI, MPI.ERR_TAG, lambda: call(buffer, right, -5), who, f"{name}(dest={right}, tag=-5)")
        refused(MPI, MPI.ERR_TAG, lambda: call(buffer, right, MPI.ANY_TAG), who)
    for name in ("Recv", "Irecv", "Recv_init"):
        call = getattr(comm, name)
        refused(MPI, MPI.ERR_RANK, lambda: call(buffer, size), who, f"{name}(source={size}")
        refused(MPI, MPI.ERR_TAG, lambda: call(buffer, left, -5), who, f"{name}(source={left}, tag=-5)")
    for name in ("recv", "irecv"):
        refused(MPI, MPI.ERR_RANK, lambda: getattr(comm, name)(None, size), who, f"{name}(source={size}")
    for name in ("Probe", "Iprobe", "Mprobe", "Improbe", "probe", "iprobe", "mprobe", "improbe"):
        refused(MPI, MPI.ERR_RANK, lambda: getattr(comm, name)(size), who, f"{name}(source={size}")
        refused(MPI, MPI.ERR_TAG, lambda: getattr(comm, name)(left, -5), who, f"{name}(source={left}, tag=-5)")
    refused(MPI, MPI.ERR_RANK, lambda: comm.Sendrecv(buffer, size, 0, buffer.copy(), left, 0), who, "Sendrecv", f"{size}")
    refused(MPI, MPI.ERR_RANK, lambda: comm.Sendrecv_replace(buffer, size, 0, left, 0), who, "Sendrecv_replace")
    refused(MPI, MPI.ERR_RANK, lambda: comm.Sendrecv(buffer, right, 0, buffer.copy(), size, 0), who, "Sendrecv")
    refused(MPI, MPI.ERR_TAG, lambda: comm.Sendrecv(buffer, right, -3, buffer.copy(), left, 0), who, "Sendrecv")
    refused(MPI, MPI.ERR_RANK, lambda: comm.sendrecv(1, size, source=left), who, f"(dest={size}")
    refused(MPI, MPI.ERR_TAG, lambda: comm.Send(buffer, MPI.PROC_NULL, -5), who, "tag=-5")
    equal(comm.sendrecv(rank, right, source=left), left, "no receive was left behind")
    sending = comm.Isend(np.full(2, float(rank)), right, 3)
    comm.Barrier()  # the message is there
    for call in (
        lambda: comm.Sendrecv(np.zeros(2), size, 0, np.zeros(2), left, 3), lambda: comm.Sendrecv_replace(np.zeros(2), size, 0, left, 3),
        lambda: comm.sendrecv(1, size, source=left, recvtag=3),
    ):
        refused(MPI, MPI.ERR_RANK, call, who)
    if type(comm).__module__.startswith(("labkit.comm.interruptible", "labkit.comm.simulated")):  # mpi4py itself sends first
        refused(MPI, MPI.ERR_RANK, lambda: comm.sendrecv(1, right, 5, None, size, 5), who)
    found = np.zeros(2)
    comm.Recv(found, left, 3)
    equal(found.tolist(), [left, left], "the message was not lost with the call that was wrong")
    sending.Wait()
    comm.Barrier()
    equal(comm.Iprobe(), False, "nothing was sent")
    for name, arguments in (
        ("Bcast", (buffer,)), ("Gather", (buffer, np.zeros(2 * size))), ("Scatter", (np.zeros(2 * size), buffer)),
        ("Reduce", (buffer, buffer.copy(), MPI.SUM)), ("bcast", (1,)), ("gather", (1,)), ("scatter", ([1] * size,)),
        ("reduce", (1, MPI.SUM)), ("Ibcast", (buffer,)),
    ):
        for root in (size, -3):
            refused(MPI, MPI.ERR_ROOT, lambda: getattr(comm, name)(*arguments, root), who, f"{name}(root={root}")
    refused(MPI, MPI.ERR_ARG, lambda: comm.Create_cart([size + 1, 2]))
    cart = comm.Create_cart([size])
    refused(MPI, MPI.ERR_RANK, lambda: cart.Get_coords(size))
    for wrong in (np.zeros((4, 4))[:, ::2], np.zeros((4, 4))[:, 1]):
        for call in (lambda b: comm.Send(b, right), lambda b: comm.Recv(b, left), lambda b: comm.Isend(b, right),
                     lambda b: comm.Bcast(b), lambda b: comm.Allreduce(b, np.zeros(b.size))):
            try:
                call(wrong)
            except (ValueError, BufferError):
                pass
            else:
                raise AssertionError("a buffer that is not contiguous was taken")
    for call in (lambda: comm.Send([1, 2, 3], right), lambda: comm.Send("text", right), lambda: comm.Send(None, right, tag="x"),
                 lambda: comm.Send(np.array([object()]), right), lambda: comm.Send(buffer), lambda: comm.Recv(b"readonly", left)):
        try:
            call()
        except (TypeError, ValueError, KeyError, BufferError, MPI.Exception):
            pass
        else:
            raise AssertionError("what is no buffer was taken")
    comm.Barrier()
    equal(comm.Iprobe(), False, "nothing was sent")


def check_wrong_reductions(comm, MPI):
    rank, size, right, left = around(comm)
    who = f"rank {rank}: Allreduce()"
    for op, dtypes in ((MPI.MAX, "Dc16?"), (MPI.SUM, "?"), (MPI.BAND, "fd?"), (MPI.LAND, "fdD")):
        for dtype in re.findall("c16|.", dtypes):
            refused(MPI, MPI.ERR_OP, lambda: comm.Allreduce(np.ones(3, dtype), np.ones(3, dtype), op), who, "not defined for")
    both = np.ones(3)
    refused(MPI, MPI.ERR_BUFFER, lambda: comm.Allreduce(both, both), who, "MPI.IN_PLACE")
    refused(MPI, MPI.ERR_BUFFER, lambda: comm.Scan(both, both), "Scan()")
    for call in (
        lambda: comm.Allreduce(both, np.zeros(3, np.float32)), lambda: comm.Allreduce(both, np.zeros(2)),
        lambda: comm.Scan(both, np.zeros(4)), lambda: comm.Reduce_scatter(np.ones(3 * size), np.ones(3), [2] * size),
    ):
        try:
            call()
        except ValueError:
            pass
        else:
            raise AssertionError("buffers that do not fit were taken")
    equal(comm.allreduce(1), size, "the communicator goes on")


def check_truncation(comm, MPI):
    rank, size, right, left = around(comm)
    words = (f"rank {rank}: ", f"from rank {left}", "tag 7", "32 bytes", "24")
    for count in (4,):
        request = comm.Isend(np.arange(count) * 1.0, right, 7)
        refused(MPI, MPI.ERR_TRUNCATE, lambda: comm.Recv(np.zeros(3), left, 7), *words, "Recv")
        request.Wait()
        comm.Barrier()
        receive = comm.Irecv(np.zeros(3), left, 7)
        comm.Barrier()
        comm.Send(np.arange(count) * 1.0, right, 7)
        refused(MPI, MPI.ERR_TRUNCATE, receive.Wait, *words)
        comm.Barrier()
        refused(MPI, MPI.ERR_TRUNCATE,
                lambda: comm.Sendrecv(np.arange(count) * 1.0, right, 7, np.zeros(3), left, 7), *words, "Sendrecv")
        comm.Barrier()
    equal(comm.sendrecv(rank, right, source=left), left, "the communicator goes on")


CHECKS = {name: value for name, value in list(globals().items()) if name.startswith("check_")}


def check(comm, MPI, only=()):
    """Every check, each on a communicator of its own; AssertionError names the check and the rank."""
    for name, one in CHECKS.items():
        if only and name not in only:
            continue
        own = comm.Dup()
        try:
            one(own, MPI)
        except Exception as error:
            raise AssertionError(f"{name} on rank {comm.rank} of {comm.size}: {error!r}") from error
        own.Barrier()
        own.Free()
