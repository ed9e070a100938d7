"""Point-to-point calls of a simulated communicator (see :mod:`.communicator`)."""

from __future__ import annotations

from operator import index

from mpi4py import MPI

from labkit.comm.mpi_errors import TAG_UB, MPIError, peer_problem, tag_problem
from labkit.comm.simulated.buffers import is_plain, room_of, size_of, taken
from labkit.comm.simulated.matching import Message
from labkit.comm.simulated.request_lists import fill_status
from labkit.comm.simulated.requests import Prequest, Request, posted_line

ANY_SOURCE, ANY_TAG, PROC_NULL = MPI.ANY_SOURCE, MPI.ANY_TAG, MPI.PROC_NULL


class MatchedMessage:
    """A message found by ``Mprobe``, to be received by nobody else, like ``mpi4py.MPI.Message``."""

    def __init__(self, comm, message: Message | None):
        self.comm, self.message = comm, message  # None: from MPI.PROC_NULL
        if message is not None:
            comm.mailbox.take(message)

    def Irecv(self, buf):
        return self._receive("Irecv", buf, False)

    def irecv(self):
        return self._receive("irecv", None, True)

    def Recv(self, buf, status=None):
        self._receive("Recv", buf, False).Wait(status)

    def recv(self, status=None):
        return self._receive("recv", None, True).wait(status)

    def _receive(self, call, buf, pickled):
        comm, message = self.comm, self.message
        if comm is None:
            raise MPIError(MPI.ERR_REQUEST, f"{call}: this message has been received already")
        self.comm = self.message = None
        if message is None:
            return comm._post(call, buf, PROC_NULL, ANY_TAG, 0, pickled)
        room = message.num_bytes if pickled else room_of(buf)
        request = Request("recv", call, comm, message.source, message.tag, buf, room)
        request.pickled = pickled
        comm.mailbox.match(request, message)
        comm.note_start(request)
        return request


class PointToPoint:
    """Sends, receives, probes. ``me`` is the rank, ``mailboxes`` those of all members."""

    # -- blocking sends and receives ------------------------------------------------------------

    def Send(self, buf, dest, tag=0):
        self._send("Send", buf, dest, tag, self.world.check_unsafe_sends)

    def Rsend(self, buf, dest, tag=0):
        self._send("Rsend", buf, dest, tag, False)

    def Ssend(self, buf, dest, tag=0):
        self._send("Ssend", buf, dest, tag, True)

    def Bsend(self, buf, dest, tag=0):
        self._check_room("Bsend", buf, dest)
        self._send("Bsend", buf, dest, tag, False, buffered=True)

    def send(self, obj, dest, tag=0):
        self._send("send", self.world.pickle.dumps(obj), dest, tag, self.world.check_unsafe_sends)

    def ssend(self, obj, dest, tag=0):
        self._send("ssend", self.world.pickle.dumps(obj), dest, tag, True)

    def bsend(self, obj, dest, tag=0):
        data = self.world.pickle.dumps(obj)
        self._check_room("bsend", data, dest)
        self._send("bsend", data, dest, tag, False, buffered=True)

    def Recv(self, buf, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        me = self.me
        start = me.now
        request = self._post("Recv", buf, source, tag, room_of(buf, source), False)
        me.end_with(request)
        request.finish(status)
        if me.recorder is not None:
            me.recorder.receive_span("Recv", start, request)

    def recv(self, buf=None, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        me = self.me
        start = me.now
        request = self._post("recv", None, source, tag, 0, True)
        me.end_with(request)
        result = request.finish(status)
        if me.recorder is not None:
            me.recorder.receive_span("recv", start, request)
        return result

    def Sendrecv(
        self, sendbuf, dest, sendtag=0, recvbuf=None, source=ANY_SOURCE, recvtag=ANY_TAG, status=None
    ):
        room = room_of(recvbuf, source)
        self._sendrecv("Sendrecv", sendbuf, dest, sendtag, recvbuf, source, recvtag, status, room, False)

    def Sendrecv_replace(self, buf, dest, sendtag=0, source=ANY_SOURCE, recvtag=ANY_TAG, status=None):
        nobody = dest == source == PROC_NULL
        size, data = (0, b"") if nobody else (room_of(buf), taken(buf))
        self._sendrecv("Sendrecv_replace", data, dest, sendtag, buf, source, recvtag, status, size, False)

    def sendrecv(
        self, sendobj, dest, sendtag=0, recvbuf=None, source=ANY_SOURCE, recvtag=ANY_TAG, status=None
    ):
        data = self.world.pickle.dumps(sendobj)
        return self._sendrecv("sendrecv", data, dest, sendtag, None, source, recvtag, status, 0, True)

    # -- nonblocking and persistent -------------------------------------------------------------

    def Isend(self, buf, dest, tag=0):
        return self._isend("Isend", buf, dest, tag, self.world.check_unsafe_sends)

    def Irsend(self, buf, dest, tag=0):
        return self._isend("Irsend", buf, dest, tag, False)

    def Issend(self, buf, dest, tag=0):
        return self._isend("Issend", buf, dest, tag, True)

    def Ibsend(self, buf, dest, tag=0):
        self._check_room("Ibsend", buf, dest)
        return self._isend("Ibsend", buf, dest, tag, False, buffered=True)

    def isend(self, obj, dest, tag=0):
        return self._isend("isend", self.world.pickle.dumps(obj), dest, tag, self.world.check_unsafe_sends)

    def issend(self, obj, dest, tag=0):
        return self._isend("issend", self.world.pickle.dumps(obj), dest, tag, True)

    def ibsend(self, obj, dest, tag=0):
        data = self.world.pickle.dumps(obj)
        self._check_room("ibsend", data, dest)
        return self._isend("ibsend", data, dest, tag, False, buffered=True)

    def Irecv(self, buf, source=ANY_SOURCE, tag=ANY_TAG):
        request = self._post("Irecv", buf, source, tag, room_of(buf, source), False)
        self.note_start(request)
        return request

    def irecv(self, buf=None, source=ANY_SOURCE, tag=ANY_TAG):
        request = self._post("irecv", None, source, tag, 0, True)
        self.note_start(request)
        return request

    def Send_init(self, buf, dest, tag=0):
        return self._prepare("send", "Send_init", buf, dest, tag)

    def Ssend_init(self, buf, dest, tag=0):
        return self._prepare("send", "Ssend_init", buf, dest, tag)

    def Bsend_init(self, buf, dest, tag=0):
        return self._prepare("send", "Bsend_init", buf, dest, tag)

    def Rsend_init(self, buf, dest, tag=0):
        return self._prepare("send", "Rsend_init", buf, dest, tag)

    def Recv_init(self, buf, source=ANY_SOURCE, tag=ANY_TAG):
        return self._prepare("recv", "Recv_init", buf, source, tag)

    # -- probes ---------------------------------------------------------------------------------

    def Probe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        self._probe("Probe", source, tag).finish(status)
        return True

    def probe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        self._probe("probe", source, tag).finish(status)
        return True

    def Iprobe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        return self._look("Iprobe", source, tag, status)[0]

    def iprobe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        return self._look("iprobe", source, tag, status)[0]

    def Mprobe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        return self._matched_probe("Mprobe", source, tag, status)

    def mprobe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        return self._matched_probe("mprobe", source, tag, status)

    def Improbe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        found, message = self._look("Improbe", source, tag, status)
        return MatchedMessage(self, message) if found else None

    def improbe(self, source=ANY_SOURCE, tag=ANY_TAG, status=None):
        found, message = self._look("improbe", source, tag, status)
        return MatchedMessage(self, message) if found else None

    def _matched_probe(self, call, source, tag, status):
        request = self._probe(call, source, tag)
        request.finish(status)
        return MatchedMessage(self, request.message)

    # -- parts ----------------------------------------------------------------------------------

    def _launch(self, call, buf, dest, tag, synchronous, buffered=False, request=None, num_bytes=None):
        """Put a message on its way: the time when the sender can go on, or the request that knows it."""
        if type(dest) is not int or type(tag) is not int:
            dest, tag = index(dest), index(tag)
        if not (0 <= dest < self.size and 0 <= tag <= TAG_UB):
            self._check_dest(call, dest, tag)
            return self.me.now
        me, world = self.me, self.world
        is_bytes = type(buf) is bytes
        data = buf if is_bytes else None
        transport, dest_world = world.transport, self.members[dest]
        cost = transport.cost if transport.ranks_per_node == 1 else transport.cost_between(me.rank, dest_world)
        if cost.overhead_s:
            me.advance_to(me.now + cost.overhead_s)
        if num_bytes is None:
            if is_bytes or is_plain(buf):
                num_bytes = len(buf) if is_bytes else buf.nbytes
            else:
                data = taken(buf)
                num_bytes = data.nbytes
        me.sent_round = message_round = (me.depth if me.depth > me.sent_round else me.sent_round) + 1
        me.num_sent += 1
        me.bytes_sent += num_bytes
        if synchronous or (num_bytes > world.network.eager_limit_bytes and not buffered):
            if request is None:
                request = Request("send", call, self, dest, tag, buf, num_bytes)
                request.data = data
            message = Message(self.rank, tag, data, num_bytes, None, message_round, request)
            begin = transport.free_at(me.rank, dest_world)
            if begin > me.now:  # behind another message at its port
                world.at(begin, self.mailboxes[dest].announce, message)
            else:
                self.mailboxes[dest].announce(me.now, message)
            return request
        if data is None:
            data = buf.copy()
        begin, left, arrival = transport.send(me.rank, dest_world, num_bytes, me.now, cost)
        message = Message(self.rank, tag, data, num_bytes, arrival, message_round)
        if arrival is None:  # behind another message at its port
            world.at(begin, self.mailboxes[dest].set_out, message)
        else:
            self.mailboxes[dest].deliver(message)
        return me.now if buffered else left

    def _send(self, call, buf, dest, tag, synchronous, buffered=False):
        me = self.me
        start = me.now
        sent = self._launch(call, buf, dest, tag, synchronous, buffered)
        if type(sent) is Request:
            me.end_with(sent)
            sent.finish()
        elif sent > me.now:
            me.end_at(sent)
        if me.recorder is not None:
            me.recorder.send_span(self, call, start, dest, tag, len(buf) if type(buf) is bytes else size_of(buf, dest))

    def _isend(self, call, buf, dest, tag, synchronous, buffered=False):
        start = self.me.now
        sent = self._launch(call, buf, dest, tag, synchronous, buffered)
        if type(sent) is not Request:
            num_bytes = 0 if dest == PROC_NULL else len(buf) if type(buf) is bytes else size_of(buf)
            request = Request("send", call, self, dest, tag, None, num_bytes)
            request.posted_at, request.done_at = start, sent
        else:
            request = sent
        self.note_start(request, start)
        return request

    def _post(self, call, buf, source, tag, room, pickled):
        """Post a receive."""
        if type(source) is not int or type(tag) is not int:
            source, tag = index(source), index(tag)
        if not (0 <= source < self.size and 0 <= tag <= TAG_UB):
            self._check_source(call, source, tag)
        request = Request("recv", call, self, source, tag, buf, room)
        if pickled:
            request.pickled = True
        if source == PROC_NULL:
            request.done_at = self.me.now
        else:
            self.mailbox.post(request)
        return request

    def _sendrecv(self, call, sendbuf, dest, sendtag, recvbuf, source, recvtag, status, room, pickled):
        me = self.me
        start = me.now
        # What is wrong with the send is found before the receive is posted, which would take the next message.
        if not (type(dest) is int and type(sendtag) is int and 0 <= dest < self.size and 0 <= sendtag <= TAG_UB):
            self._check_dest(call, dest, sendtag)
        if type(sendbuf) is not bytes and not is_plain(sendbuf):
            sendbuf = taken(sendbuf) if dest != PROC_NULL else b""
        receive = self._post(call, recvbuf, source, recvtag, room, pickled)
        num_bytes = len(sendbuf) if type(sendbuf) is bytes else sendbuf.nbytes
        sent = self._launch(call, sendbuf, dest, sendtag, False, num_bytes=num_bytes)
        if type(sent) is Request:
            me.wait_for((receive, sent), call)
            sent.finish()
        else:
            me.end_with(receive)
            if sent > me.now:
                me.end_at(sent)
        result = receive.finish(status)
        if me.recorder is not None:
            me.recorder.sendrecv_span(self, call, start, receive, dest, sendtag, num_bytes)
        return result

    def _prepare(self, kind, call, buf, peer, tag):
        peer, tag = index(peer), index(tag)
        if kind == "recv":
            self._check_source(call, peer, tag)
        else:
            self._check_dest(call, peer, tag)
        return Prequest(kind, call, self, peer, tag, buf, room_of(buf, peer) if kind == "recv" else size_of(buf, peer))

    def begin(self, request: Prequest) -> None:
        """Start a persistent request."""
        if request.peer == PROC_NULL:
            request.done_at = self.me.now
        elif request.kind == "recv":
            self.mailbox.post(request)
        else:
            call = request.call
            if call == "Bsend_init":
                self._check_room(call, request.buffer, request.peer)
            synchronous = call == "Ssend_init" or (call == "Send_init" and self.world.check_unsafe_sends)
            sent = self._launch(
                call, request.buffer, request.peer, request.tag, synchronous, call == "Bsend_init", request
            )
            if sent is not request:
                request.done_at = sent
        posted_line(request)

    def note_start(self, request: Request, start=None) -> None:
        """Books of a nonblocking request: the line that started it, and its part of the timeline."""
        posted_line(request)
        recorder = self.me.recorder
        if recorder is not None:
            recorder.start_span(self, request, self.me.now if start is None else start)

    def _probe(self, call, source, tag):
        self._check_source(call, source, tag)
        me = self.me
        start = me.now
        request = Request("probe", call, self, source, tag)
        if source == PROC_NULL:
            request.done_at = me.now
        else:
            self.mailbox.probe(request)
            me.wait_for((request,), "")
        if me.recorder is not None:
            me.recorder.probe_span(call, start, request)
        return request

    def _look(self, call, source, tag, status):
        """(Whether an immediate probe finds something now, the message or None for MPI.PROC_NULL)."""
        self._check_source(call, source, tag)
        if source == PROC_NULL:
            Request("probe", call, self, source, tag).finish(status)
            return True, None
        me = self.me
        message = self.mailbox.find(source, tag, me.now)
        if message is None:
            request = Request("probe", call, self, source, tag)
            me.poll(call, [request])
            message = self.mailbox.find(source, tag, me.now)
        if message is not None:
            me.num_polls = 0
            if status is not None:
                fill_status(status, message)
        return message is not None, message

    def _check_room(self, call, buf, dest):
        """A buffered send needs an attached buffer; ranks in processes of their own have none that is known here."""
        buffers = getattr(self.world, "send_buffers", None)
        if buffers is not None and dest != PROC_NULL:
            buffers.check_room(call, len(buf) if type(buf) is bytes else size_of(buf))

    def _check_dest(self, call, dest, tag):
        """Raise the error of a destination or tag that a send cannot have."""
        if not (0 <= index(dest) < self.size or dest == PROC_NULL) or not 0 <= index(tag) <= TAG_UB:
            self._refuse(call, "dest", dest, tag)

    def _check_source(self, call, source, tag):
        """Raise the error of a source or tag that a receive or probe cannot have."""
        if not (0 <= source < self.size or source in (ANY_SOURCE, PROC_NULL)) or not (
            0 <= tag <= TAG_UB or tag == ANY_TAG
        ):
            self._refuse(call, "source", source, tag)

    def _refuse(self, call, word, peer, tag):
        """An argument is wrong: say which."""
        wrong_rank = not 0 <= peer < self.size and not (word == "source" and peer == ANY_SOURCE) and peer != PROC_NULL
        problem = peer_problem(peer, self.size, word=word) if wrong_rank else tag_problem(tag)
        raise MPIError(
            MPI.ERR_RANK if wrong_rank else MPI.ERR_TAG,
            f"rank {self.rank}: {call}({word}={peer}, tag={tag}){self.where}: {problem}",
        )

