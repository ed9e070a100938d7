"""Point-to-point calls: each blocking call is a nonblocking one and an interruptible wait."""

from __future__ import annotations

from functools import partial

from mpi4py import MPI

from labkit.comm.interruptible.requests import Message, Pending, copy_of_buffer, explained, message_bytes, track

_Comm, _Request, _Status = MPI.Comm, MPI.Request, MPI.Status
_dumps = MPI.pickle.dumps


def _send(call: str, start):
    """A blocking send of a buffer, from the nonblocking ``start``."""

    def method(self, buf, dest, tag=0):
        recorder = self.recorder
        start_ns = recorder.now() if recorder is not None else 0
        try:
            request = (_Comm.Issend if self.check_unsafe_sends and call == "Send" else start)(
                self, buf, dest, tag
            )
        except MPI.Exception as error:
            raise explained(error, self, call, "dest", dest, tag) from None
        if not request.Test():
            self._wait_for_send(call, request, buf, dest, tag)
        if recorder is not None:
            name = "Ssend" if self.check_unsafe_sends and call == "Send" else call
            self._record("send", name, dest, tag, message_bytes(buf), start_ns)

    return method


def _send_object(call: str, start):
    """A blocking send of a pickled object."""

    def method(self, obj, dest, tag=0):
        recorder = self.recorder
        start_ns = recorder.now() if recorder is not None else 0
        data = _dumps(obj) if dest != MPI.PROC_NULL else b""
        try:
            request = (_Comm.Issend if self.check_unsafe_sends and call == "send" else start)(
                self, [data, MPI.BYTE], dest, tag
            )
        except MPI.Exception as error:
            raise explained(error, self, call, "dest", dest, tag) from None
        if not request.Test():
            self._wait_for_send(call, request, data, dest, tag)
        if recorder is not None:
            name = "ssend" if self.check_unsafe_sends and call == "send" else call
            self._record("send", name, dest, tag, len(data), start_ns)

    return method


def _start(kind: str, call: str, start):
    """A nonblocking or persistent call ``(buffer, peer, tag)``."""

    def method(self, buf, peer=MPI.ANY_SOURCE, tag=0 if kind == "send" else MPI.ANY_TAG):
        start_ns = self.recorder.now() if self.recorder is not None else 0
        pending = Pending(kind, call, self, peer, tag, message_bytes(buf))
        try:
            request = track(start(self, buf, peer, tag), pending)
        except MPI.Exception as error:
            raise explained(error, self, call, "dest" if kind == "send" else "source", peer, tag) from None
        if self.recorder is not None and not call.endswith("_init"):
            self._record_start(kind, call, peer, tag, pending.num_bytes, start_ns)
        return request

    if kind == "send":
        return lambda self, buf, dest, tag=0: method(self, buf, dest, tag)
    return lambda self, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG: method(self, buf, source, tag)


def _start_object(call: str, start):
    def method(self, obj, dest, tag=0):
        start_ns = self.recorder.now() if self.recorder is not None else 0
        data = _dumps(obj)
        pending = Pending("send", call, self, dest, tag, len(data))
        try:
            request = track(start(self, [data, MPI.BYTE], dest, tag), pending)
        except MPI.Exception as error:
            raise explained(error, self, call, "dest", dest, tag) from None
        if self.recorder is not None:
            self._record_start("send", call, dest, tag, len(data), start_ns)
        return request

    return method


class PointToPoint:
    """Sends, receives and probes of an interruptible communicator (see :mod:`.communicator`)."""

    Send = _send("Send", _Comm.Isend)
    Ssend = _send("Ssend", _Comm.Issend)
    Rsend = _send("Rsend", _Comm.Irsend)
    send = _send_object("send", _Comm.Isend)
    ssend = _send_object("ssend", _Comm.Issend)

    Isend = _start("send", "Isend", _Comm.Isend)
    Issend = _start("send", "Issend", _Comm.Issend)
    Irsend = _start("send", "Irsend", _Comm.Irsend)
    Ibsend = _start("send", "Ibsend", _Comm.Ibsend)
    Irecv = _start("recv", "Irecv", _Comm.Irecv)
    isend = _start_object("isend", _Comm.Isend)
    issend = _start_object("issend", _Comm.Issend)
    ibsend = _start_object("ibsend", _Comm.Ibsend)
    Send_init = _start("send", "Send_init", _Comm.Send_init)
    Ssend_init = _start("send", "Ssend_init", _Comm.Ssend_init)
    Bsend_init = _start("send", "Bsend_init", _Comm.Bsend_init)
    Rsend_init = _start("send", "Rsend_init", _Comm.Rsend_init)
    Recv_init = _start("recv", "Recv_init", _Comm.Recv_init)

    def Bsend(self, buf, dest, tag=0):
        start_ns = self.recorder.now() if self.recorder is not None else 0
        super().Bsend(buf, dest, tag)  # local by definition: it never waits
        if self.recorder is not None:
            self._record("send", "Bsend", dest, tag, message_bytes(buf), start_ns)

    def bsend(self, obj, dest, tag=0):
        self.Bsend([_dumps(obj), MPI.BYTE], dest, tag)

    def Recv(self, buf, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        recorder = self.recorder
        if recorder is not None:
            start_ns = recorder.now()
            status = _Status() if status is None else status
        try:
            request = _Comm.Irecv(self, buf, source, tag)
            if not request.Test(status):
                self._wait_for_receive("Recv", request, partial(request.Test, status), buf, source, tag)
        except MPI.Exception as error:
            raise explained(error, self, "Recv", "source", source, tag) from None
        if recorder is not None:
            self._record("recv", "Recv", status.source, status.tag, status.count, start_ns)

    def recv(self, buf=None, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        if source == MPI.PROC_NULL:
            return super().recv(None, source, tag, status)
        recorder = self.recorder
        start_ns = recorder.now() if recorder is not None else 0
        status = _Status() if status is None else status
        message = self._match("recv", "recv", _Comm.improbe, source, tag, status)
        num_bytes, source, tag = status.count, status.source, status.tag
        request = message.irecv()
        result = None

        def received():
            nonlocal result
            done, result = request.test(status)
            return done

        if not received():
            self._wait_for_receive("recv", request, received, None, source, tag)
        if recorder is not None:
            self._record("recv", "recv", source, tag, num_bytes, start_ns)
        return result

    def irecv(self, buf=None, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG):
        start_ns = self.recorder.now() if self.recorder is not None else 0
        pending = Pending("recv", "irecv", self, source, tag)
        try:
            request = track(super().irecv(buf, source, tag), pending)
        except MPI.Exception as error:
            raise explained(error, self, "irecv", "source", source, tag) from None
        if self.recorder is not None:
            self._record_start("recv", "irecv", source, tag, 0, start_ns)
        return request

    def Sendrecv(
        self, sendbuf, dest, sendtag=0, recvbuf=None, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG,
        status=None,
    ):
        self._sendrecv("Sendrecv", sendbuf, dest, sendtag, recvbuf, source, recvtag, status)

    def Sendrecv_replace(
        self, buf, dest, sendtag=0, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG, status=None
    ):
        # Not MPI's own Isendrecv_replace: MPICH 5.0.2 leaves its status unset.
        self._sendrecv("Sendrecv_replace", copy_of_buffer(buf), dest, sendtag, buf, source, recvtag, status)

    def sendrecv(
        self, sendobj, dest, sendtag=0, recvbuf=None, source=MPI.ANY_SOURCE, recvtag=MPI.ANY_TAG,
        status=None,
    ):
        try:  # what is wrong with the receive is seen before anything is sent
            _Comm.Recv_init(self, bytearray(), source, recvtag).Free()
        except MPI.Exception as error:
            raise explained(error, self, "sendrecv", "source", source, recvtag) from None
        sending = self.isend(sendobj, dest, sendtag)
        result = self.recv(recvbuf, source, recvtag, status)
        sending.Wait()
        return result

    # Probes -------------------------------------------------------------------------------------

    def Probe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        status = _Status() if status is None else status
        self._match("probe", "Probe", _Comm.Iprobe, source, tag, status)
        return True

    def probe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        status = _Status() if status is None else status
        self._match("probe", "probe", _Comm.Iprobe, source, tag, status)
        return True

    def Mprobe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        status = _Status() if status is None else status
        raw = self._match("probe", "Mprobe", _Comm.Improbe, source, tag, status)
        return Message(raw)._prepare(self, status)

    def mprobe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        status = _Status() if status is None else status
        raw = self._match("probe", "mprobe", _Comm.improbe, source, tag, status)
        return Message(raw)._prepare(self, status)

    def Iprobe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._look("Iprobe", _Comm.Iprobe, source, tag, status)

    def iprobe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        return self._look("iprobe", _Comm.Iprobe, source, tag, status)

    def Improbe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        status = _Status() if status is None else status
        raw = self._look("Improbe", _Comm.Improbe, source, tag, status)
        return None if raw is None else Message(raw)._prepare(self, status)

    def improbe(self, source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=None):
        status = _Status() if status is None else status
        raw = self._look("improbe", _Comm.improbe, source, tag, status)
        return None if raw is None else Message(raw)._prepare(self, status)

    # What the calls above share -----------------------------------------------------------------

    def _wait_for_send(self, call, request, buf, dest, tag):
        def describe():
            operation = Pending("send", call, self, dest, tag, message_bytes(buf)).operation()
            return f"{operation.text} of {operation.num_bytes} bytes", [operation], "all"

        try:
            self.monitor.wait(request.Test, describe)
        except BaseException:
            if request != MPI.REQUEST_NULL:
                track(request, Pending("send", call, self, dest, tag, message_bytes(buf)))  # its data are still read
            raise

    def _wait_for_receive(self, call, request, test, buf, source, tag):
        def describe():
            operation = Pending("recv", call, self, source, tag, message_bytes(buf)).operation()
            return operation.text, [operation], "all"

        self.monitor.probed[self.context] = self
        try:
            self.monitor.wait(test, describe)
        except BaseException:
            if request != MPI.REQUEST_NULL:  # not one that ended with an error
                request.Cancel()
            raise

    def _look(self, call, probe, source, tag, status):
        """One immediate probe."""
        try:
            return probe(self, source, tag, status)
        except MPI.Exception as error:
            raise explained(error, self, call, "source", source, tag) from None

    def _match(self, kind, call, probe, source, tag, status):
        """Poll ``probe`` until a message matches; return what it gave."""
        recorder = self.recorder if kind == "probe" else None
        start_ns = recorder.now() if recorder is not None else 0
        found = self._look(call, probe, source, tag, status)
        if not found:

            def matched():
                nonlocal found
                found = probe(self, source, tag, status)
                return found

            def describe():
                operation = Pending(kind, call, self, source, tag).operation()
                return operation.text, [operation], "all"

            self.monitor.probed[self.context] = self
            self.monitor.wait(matched, describe)
        if recorder is not None:
            recorder.span(
                call, "probe", start_ns, self, peer=self._world(status.source), tag=status.tag,
                num_bytes=status.count,
            )
        return found

    def _sendrecv(self, call, sendbuf, dest, sendtag, recvbuf, source, recvtag, status):
        """Start a receive and a send, and wait for both together."""
        send = Pending("send", call, self, dest, sendtag, message_bytes(sendbuf))
        recv = Pending("recv", call, self, source, recvtag, message_bytes(recvbuf))
        try:  # whether it can be sent is seen first: a receive that has been started may have taken its message
            _Comm.Send_init(self, sendbuf, dest, sendtag).Free()
        except MPI.Exception as error:
            raise explained(error, self, call, "dest", dest, sendtag) from None
        try:
            receiving = _Comm.Irecv(self, recvbuf, source, recvtag)
        except MPI.Exception as error:
            raise explained(error, self, call, "source", source, recvtag) from None
        try:
            sending = _Comm.Isend(self, sendbuf, dest, sendtag)
        except BaseException:  # the cell is being ended
            receiving.Cancel()
            receiving.Wait()
            raise
        recorder = self.recorder
        status = _Status() if status is None else status
        received = sent = False

        def done():
            nonlocal received, sent
            try:
                received = received or receiving.Test(status)
            except MPI.Exception as error:
                received = True
                raise explained(error, self, call, "source", source, recvtag) from None
            sent = sent or sending.Test()
            return received and sent

        def describe():
            parts = [p.operation() for p, over in ((send, sent), (recv, received)) if not over]
            return " and ".join(part.text for part in parts), parts, "all"

        if not done():
            self.monitor.probed[self.context] = self
            try:
                self.monitor.wait(done, describe)
            except BaseException:
                if not received:
                    receiving.Cancel()
                if not sent:
                    track(sending, send)  # its data are still read
                raise
        if recorder is not None:
            span, end_ns = recorder.span(
                call, "sendrecv", send.posted_ns, self, peer=self._world(send.peer), tag=send.tag,
                num_bytes=send.num_bytes + status.count,
            )
            ends = (("send", send.peer, send.tag, send.num_bytes, send),
                    ("recv", status.source, status.tag, status.count, recv))
            for direction, peer, tag, num_bytes, pending in ends:
                if peer >= 0:
                    recorder.endpoint(
                        direction, self.members[peer], tag, num_bytes, self.context,
                        pending.posted_ns, end_ns, pending.line, span,
                    )

    def _world(self, peer) -> int | None:
        return self.members[peer] if peer is not None and peer >= 0 else None

    def _record(self, direction, call, peer, tag, num_bytes, start_ns):
        """Record a blocking call that is over, and the end of the message it moved."""
        recorder, world = self.recorder, self._world(peer)
        span, end_ns = recorder.span(
            call, direction, start_ns, self, peer=world, tag=tag, num_bytes=num_bytes
        )
        if span is not None and world is not None:
            line = recorder.spans[span][-1]
            recorder.endpoint(
                direction, world, tag, num_bytes, self.context, start_ns, end_ns, line, span
            )

    def _record_start(self, direction, call, peer, tag, num_bytes, start_ns):
        tag = None if tag == MPI.ANY_TAG else tag
        self.recorder.span(
            call, direction, start_ns, self, peer=self._world(peer), tag=tag, num_bytes=num_bytes
        )
