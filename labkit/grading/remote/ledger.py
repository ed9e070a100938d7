"""How much memory of the judge one simulation may hold."""

from __future__ import annotations

from labkit.grading.remote.wire import WireError

MAX_BYTES = 1 << 28
MAX_MESSAGES = 100_000
MAX_THINGS = 20_000  # open requests, matched messages and communicators of one rank


class Ledger:
    """What calls and results hold, and messages that have been sent and not received.

    Parameters
    ----------
    ranks : list of labkit.comm.simulated.world.SimulatedRank
    """

    def __init__(self, ranks):
        self.ranks = ranks
        self.held = 0

    def room(self) -> int:
        """Bytes that the next frame may need.

        Raises
        ------
        WireError
            Too many messages are on their way.
        """
        travelling, number = 0, 0
        for rank in self.ranks:
            travelling += rank.bytes_sent - rank.bytes_received
            number += rank.num_sent - rank.num_received
        if number > MAX_MESSAGES:
            raise WireError(f"more than {MAX_MESSAGES} messages were sent and not received")
        return max(0, MAX_BYTES - self.held - travelling)
