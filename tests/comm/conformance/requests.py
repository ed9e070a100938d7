"""What every communicator does: requests, and all ways to wait for them."""

import numpy as np

from .common import around, equal


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
