"""Starting, using and ending the processes of ranks."""

from __future__ import annotations

import contextlib
import itertools
import linecache
import socket
import time

from labkit.comm.network.model import Network
from labkit.comm.simulated.run import DEFAULT_NETWORK, Simulation
from labkit.comm.source_lines import CELL_FILENAME
from labkit.errors import NotAvailableError
from labkit.grading.remote.ledger import Ledger
from labkit.grading.remote.sandboxed import START_LIMIT_S, Zygote
from labkit.grading.remote.server import RankServer
from labkit.grading.remote.unopened import Unopened
from labkit.grading.remote.wire import Closed, Late, Link, WireError, encode, plain_text

HOPELESS_POLLS = 15_000  # each look of a rank crosses to another process and back

_numbers = itertools.count(1)


class RankProcesses:
    """So many processes with the answer in them, good for any number of cases one after the other.

    Their number can grow, see :meth:`use`.

    Attributes
    ----------
    links : list of Link
        To the ranks that are used.
    """

    def __init__(
        self, zygote: Zygote, number: int, source: str, function: str, *, memory_bytes: int, cpu_seconds: float,
        has_team: bool = False,
    ):
        self.zygote, self.source, self.function = zygote, source, function
        self.options = {
            "memory_bytes": memory_bytes, "cpu_seconds": max(1, int(cpu_seconds + 1)), "has_team": has_team,
        }
        self.links: list[Link] = []
        self._all: list[Link] = []
        self._numbers: list[int] = []  # by which the zygote knows them
        self._num_confined = 0
        self.file = f"{CELL_FILENAME}answer {next(_numbers)}>"  # verdicts quote its lines
        linecache.cache[self.file] = (len(source), None, source.splitlines(keepends=True), self.file)
        try:
            self.use(number)
        except BaseException:
            self.close()
            raise

    def start(self, number: int) -> None:
        """There will be this number of processes soon; they start while others work.

        Raises
        ------
        NotAvailableError
            The process that starts them is not there any more.
        """
        pairs = [socket.socketpair() for _ in range(len(self._all), number)]
        if not pairs:
            return
        numbers = [next(self.zygote.numbers) for _ in pairs]
        self._all += [Link(ours) for ours, _ in pairs]
        self._numbers += numbers
        try:
            order = ["ranks", numbers, self.source, self.function, self.options]
            self.zygote.ask(order, fds=[theirs.fileno() for _, theirs in pairs])
        finally:
            for _, theirs in pairs:
                theirs.close()

    def use(self, number: int) -> None:
        """From now on, this number of ranks; what an answer has stored in its own names is forgotten.

        Raises
        ------
        NotAvailableError
            A process could not be started, or not confined.
        """
        self.start(number)
        used = self._all[: min(number, self._num_confined)]
        self._see_confined(self._all[self._num_confined : number])
        self._num_confined = max(number, self._num_confined)
        self.links = self._all[:number]
        for link in used:
            link.set_deadline(START_LIMIT_S)
            with contextlib.suppress(Closed, Late):  # it has ended: its next call tells
                link.send(["forget"])

    def _see_confined(self, links: list[Link]) -> None:
        """Every process says that it is confined, before anything of the answer is executed in it."""
        for link in links:
            link.set_deadline(START_LIMIT_S)
            try:
                message, _ = link.receive()
            except (Closed, Late, WireError):
                message = ["unconfined", "it ended"]
            if message != ["confined"]:
                words = plain_text(message[-1], 500)
                raise NotAvailableError(f"a process for the answer could not be confined: {words}. Run labkit doctor.")

    def __enter__(self) -> RankProcesses:
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """End the processes."""
        linecache.cache.pop(self.file, None)
        for link in self._all:
            link.close()
        with contextlib.suppress(NotAvailableError):
            self.zygote.ask(["end", self._numbers])

    def exit_statuses(self) -> list[int | None]:
        """How each process ended, as ``subprocess`` says it; None if it runs."""
        time.sleep(0.01)
        return self.zygote.ask(["status", self._numbers])[1]

    def set_deadline(self, seconds: float) -> None:
        """Whatever the ranks do must be done within so many seconds from now."""
        for link in self.links:
            link.set_deadline(seconds)

    def call(self, arguments: tuple, *, counted: bool = False, team: dict | None = None):
        """Call a function that has no communicator; return its results, ``counted`` with its passes through memory.

        ``team``: its first argument is a team of threads, see :mod:`.team`.
        """
        server = RankServer(self.links[0], _NoComm(), frozenset(), Ledger())
        server.start(*_packed(arguments), team or counted)
        return server.run()

    def simulate(
        self, arguments: tuple, *, network: Network | None = None, seed: int | None = None, unsafe_sends: bool = False,
        forbidden: frozenset[str] = frozenset(), trace: bool = False,
    ) -> tuple[Simulation, list[RankServer]]:
        """Run the answer on simulated ranks; what came of it is in the simulation."""
        simulation = Simulation(
            len(self.links), network=network or DEFAULT_NETWORK, seed=seed, check_unsafe_sends=unsafe_sends, trace=trace
        )
        simulation.world.pickle = Unopened()
        simulation.world.hopeless_polls = HOPELESS_POLLS
        ledger = Ledger(simulation.world)
        servers = [
            RankServer(link, comm, forbidden, ledger, self.file)
            for link, comm in zip(self.links, simulation.comms, strict=True)
        ]

        for server, own in zip(servers, arguments, strict=True):
            server.start(*_packed(own))
        simulation.run(lambda comm: servers[comm.rank].run(), own_names=False)
        if simulation.world.interrupted:  # not by the answer, whose exceptions are AnswerRaised
            raise KeyboardInterrupt
        return simulation, servers


class _NoComm:
    """Stands for the communicator of a function that has none."""

    rank = size = 0


def _packed(arguments: tuple) -> tuple:
    blocks: list = []
    return encode(list(arguments), blocks), blocks
