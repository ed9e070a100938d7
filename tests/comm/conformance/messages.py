"""What every communicator does: messages and probes."""

import numpy as np

from .common import around, equal


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
