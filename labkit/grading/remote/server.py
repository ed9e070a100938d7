"""The judge's side of a rank: makes the calls that the rank asks for on the simulated communicator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

from mpi4py import MPI

from labkit.comm.mpi_errors import MPIError
from labkit.comm.simulated.communicator import Aborted, SimulatedComm
from labkit.comm.simulated.names import self_comm
from labkit.comm.simulated.point_to_point import MatchedMessage
from labkit.comm.simulated.requests import Prequest, Request
from labkit.errors import LabkitError
from labkit.grading.remote.calls import (
    BLOCKING,
    NULL,
    OF_A_COMMUNICATOR,
    OF_A_MESSAGE,
    OF_REQUESTS,
    SELF,
    WITH_STATUS,
    WORLD,
)
from labkit.grading.remote.given import Given
from labkit.grading.remote.ledger import MAX_THINGS, Ledger
from labkit.grading.remote.outgoing import block_of, cell_of, fresh_statuses, told, words_of
from labkit.grading.remote.raised import ANSWER_FILE, MAX_LINE, AnswerRaised, ForbiddenCall, raised_from
from labkit.grading.remote.wire import Closed, Late, Link, WireError, decode, plain_text

REFUSED = (
    LabkitError, MPI.Exception, TypeError, ValueError, KeyError, IndexError, AttributeError, NotImplementedError,
    BufferError,
)
MAX_CHARGE = 2**53


class RankServer:
    """Makes the calls of one rank in one simulation.

    Parameters
    ----------
    link : Link
        To the rank's process.
    comm : SimulatedComm
        Its communicator.
    forbidden : frozenset of str
        Calls that end the simulation, in lower case.
    ledger : Ledger
        Of the simulation.
    file : str
        Name of the answer's source in :mod:`linecache`.

    Attributes
    ----------
    line : int or None
        Of the answer, where its last call was.
    problem : Exception or None
        Why the answer could not be started.
    """

    def __init__(self, link: Link, comm, forbidden: frozenset[str], ledger: Ledger, file: str = ANSWER_FILE):
        self.link, self.comm, self.forbidden, self.ledger, self.file = link, comm, forbidden, ledger, file
        self.things: dict[int, object] = {WORLD: comm}
        self.num_things = SELF
        self.rooms: dict[int, tuple[list, int]] = {}  # request -> (arrays that it fills, bytes that it holds)
        self.line: int | None = None
        self.problem: Exception | None = None
        self.me = comm.me if isinstance(comm, SimulatedComm) else None

    def start(self, arguments: list, blocks: list, counted: bool | dict = False) -> None:
        """Let the rank call the answer; what goes wrong is raised by :meth:`run`.

        ``counted``: the results tell how often it went through memory, see :mod:`.counted`; a dict: its first argument is
        a team of threads, see :mod:`.team`.
        """
        try:
            self.link.send(["run", self.comm.rank, self.comm.size, arguments, counted], blocks)
        except (Closed, Late, WireError) as error:
            self.problem = error

    def run(self) -> dict:
        """Make the calls of the answer that was started; return ``{"return": ..., 0: ..., ...}``.

        Raises
        ------
        AnswerRaised, ForbiddenCall, Closed, Late, WireError
        """
        if self.problem is not None:
            raise self.problem
        while True:
            self._let_others_run()
            match self._receive():
                case ["call", handle, method, args, line, charges], got:
                    self.line = line if type(line) is int and 0 < line < MAX_LINE else None
                    cost = self.link.cost
                    self.ledger.held += cost
                    try:
                        reply, out = self._answer(handle, method, args, charges, got)
                    finally:
                        self.ledger.held -= cost
                    self.link.send(reply, out)
                case ["result", value, charges], got:
                    self._charge(charges)
                    self.ledger.held += self.link.cost
                    found = decode(value, got)
                    if not isinstance(found, dict):
                        raise WireError("a result that is none")
                    return found
                case ["raised", *words], _:
                    raise raised_from(words)
                case _:
                    raise WireError("not a message of a rank")

    def _let_others_run(self) -> None:
        """While the answer computes towards its next call: those whose clocks are earlier than this rank's."""
        if self.me is not None:
            self._from_line(self.me.catch_up)

    def _receive(self):
        self.link.max_bytes = self.ledger.room()
        return self.link.receive()

    def combined(self, number: int, code: str | None, blocks: list) -> bytes | memoryview:
        """Two values combined by an operation of the answer, in its process.

        Raises
        ------
        AnswerRaised
            The operation raised.
        """
        self.link.send(["combine", number, code], blocks)
        match self._receive():
            case ["combined"], [found]:
                if code is not None and len(found) != len(blocks[1]):
                    raise WireError(f"{len(found)} bytes of {len(blocks[1])} were combined")
                return found
            case ["failed", *words], _:
                raise raised_from(words)
            case _:
                raise WireError("no combined values")

    def _charge(self, charges) -> None:
        """Let the time pass, and count the reductions, of what was computed since the last call."""
        for charge in charges if isinstance(charges, list) else [None]:
            match charge:
                case [0, handle, int(amount), int(num_bytes)] if 0 <= min(amount, num_bytes) \
                        and max(amount, num_bytes) < MAX_CHARGE:
                    self._comm(handle).charge_reduction(amount, num_bytes)
                case [1, handle, float(amount), _] if 0 <= amount < math.inf:
                    self._comm(handle).charge_compute(amount)
                case _:
                    raise WireError(f"{charge!r:.80} is neither a reduction nor a computation")

    def _thing(self, handle):
        if handle == SELF and isinstance(self.comm, SimulatedComm):
            self.things.setdefault(SELF, self_comm(self.comm.world, self.comm.me))
        if type(handle) is not int or handle not in self.things:
            raise WireError(f"there is nothing with the handle {handle!r:.40}")
        return self.things[handle]

    def _comm(self, handle) -> SimulatedComm:
        found = self._thing(handle)
        if not isinstance(found, SimulatedComm):
            raise WireError(f"{handle} is no communicator")
        return found

    def _keep(self, thing) -> int:
        if len(self.things) >= MAX_THINGS:
            raise WireError(f"more than {MAX_THINGS} requests, messages and communicators at a time")
        self.num_things += 1
        self.things[self.num_things] = thing
        return self.num_things

    def _answer(self, handle, method, args, charges, got):
        """The reply to a call, ``[word, value, statuses, filled, ended]``, and its blocks."""
        out: list = []
        try:
            self._charge(charges)
            if handle == 0:
                return self._of_requests(method, args, out), out
            value, statuses, filled = self._of_thing(handle, method, args, got, out)
            return ["ok", value, statuses, filled, []], out
        except AnswerRaised:  # an operation of the answer, whose process knows the exception itself
            return ["error", ["raised", 0, ""], [], [], []], []
        except (ForbiddenCall, Aborted, WireError, Closed, Late):
            raise
        except REFUSED as error:
            return ["error", _refusal(error), [], [], []], []
        except Exception as error:  # what no call of a communicator does
            raise WireError(f"{plain_text(str(method), 40)}: {type(error).__name__}: {str(error):.200}") from None

    def _from_line(self, call: Callable):
        if self.line is None:
            return call()
        names = {"call": call}
        exec(cell_of(self.file, self.line), names)
        return names["found"]

    def _of_thing(self, handle, method, args, got, out):
        """A call of a communicator, a matched message or a persistent request."""
        thing = self._thing(handle)
        if method == "wtime":
            return float(self._comm(WORLD).me.now), [], []
        if isinstance(thing, Prequest) and method == "Start":
            return self._start(thing, args, got)
        table = OF_A_COMMUNICATOR if isinstance(thing, SimulatedComm) else (
            OF_A_MESSAGE if isinstance(thing, MatchedMessage) else {}
        )
        if not isinstance(method, str) or method not in table:
            raise WireError(f"a {type(thing).__name__} has no {method!r:.40}")
        self._check_allowed(method)
        given = Given(self, table[method], args, got, self.ledger.room())
        values = given.values
        statuses = fresh_statuses(1) if method in WITH_STATUS else []
        options = {"status": statuses[0]} if statuses else {}
        if table is OF_A_MESSAGE:
            del self.things[handle]  # nobody else receives it
        call = functools.partial(getattr(thing, method), *values, **options)
        self.me.may_run_ahead = method in BLOCKING
        try:
            value = self._from_line(call)
        finally:
            self.me.may_run_ahead = False
        answer = told(value, out, self._keep)
        filled = []
        if isinstance(value, Request):
            number = next(iter(answer.values()))
            self.rooms[number] = given.rooms, given.num_bytes + self.link.cost
            self.ledger.held += self.rooms[number][1]
        else:
            for number, array in enumerate(given.rooms):
                part = array[: statuses[0].Get_count(MPI.BYTE)] if statuses else array
                filled.append([0, number, block_of(part, out)])
        return answer, [words_of(status) for status in statuses], filled

    def _start(self, request: Prequest, args, got):
        given = Given(self, "d" if request.kind == "send" else "_", args, got, self.ledger.room())
        if request.kind == "send":
            (content,) = given.values
            if content.size != request.num_bytes:
                raise WireError(f"{content.size} bytes for a request of {request.num_bytes}")
            request.buffer = content
        self._from_line(request.Start)
        return None, [], []

    def _check_allowed(self, method: str) -> None:
        plain = method.lower()
        if plain in self.forbidden or (plain[:1] == "i" and plain[1:] in self.forbidden):
            raise ForbiddenCall(method, self.line)

    def _of_requests(self, method, handles, out):
        """A wait or test on requests: the whole reply."""
        if method not in OF_REQUESTS or not isinstance(handles, list) or not handles:
            raise WireError(f"{method!r:.40} of {handles!r:.40}")
        requests = [self._thing(handle) if handle != NULL else _Inactive(self.comm) for handle in handles]
        if not all(isinstance(request, (Request, _Inactive)) for request in requests):
            raise WireError(f"{method}: these are no requests")
        was_active = [request.active for request in requests]
        statuses = fresh_statuses(len(requests))
        word, value = "ok", None
        try:
            value = told(self._from_line(functools.partial(_wait_or_test, method, requests, statuses)), out, self._keep)
        except MPIError as error:  # others of them may be complete
            word, value, statuses = "error", _refusal(error), []
        filled, ended = [], []
        for index, (handle, request, was) in enumerate(zip(handles, requests, was_active, strict=True)):
            if handle == NULL or request.active:
                continue
            if was:
                filled += [[index, number, block_of(part, out)] for number, part in self._received(handle, request)]
            if was or method == "Free":
                ended.append(index)
            if handle in self.things and (not isinstance(request, Prequest) or method == "Free"):
                del self.things[handle]
                self.ledger.held -= self.rooms.pop(handle, ((), 0))[1]
        return [word, value, [words_of(status) for status in statuses], filled, ended]

    def _received(self, handle, request):
        """(Number, array) of the buffers that a request which is complete has filled."""
        for number, array in enumerate(self.rooms.get(handle, ((), 0))[0]):
            if request.kind == "collective":
                yield number, array
            elif request.message is not None and request.message.num_bytes <= array.nbytes:
                yield number, array[: request.message.num_bytes]


class _Inactive:
    """Stands for MPI.REQUEST_NULL in a list of requests."""

    active, kind = False, "null"

    def __init__(self, comm):
        self.comm = comm

    def finish(self, status=None):
        return None


def _wait_or_test(method: str, requests: list, statuses: list):
    word = method.lower()
    if word in ("cancel", "free"):
        return getattr(requests[0], method)()
    if word in ("wait", "test", "get_status"):
        return getattr(requests[0], method)(statuses[0])
    if word.endswith("any"):
        return getattr(Request, method)(requests, statuses[0])
    return getattr(Request, method)(requests, statuses)


def _refusal(error: Exception) -> list:
    """An error as the rank hears it."""
    if isinstance(error, MPI.Exception):
        return ["MPIError", error.Get_error_class(), error.text if isinstance(error, MPIError) else str(error)]
    return [type(error).__name__, 0, str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)]
