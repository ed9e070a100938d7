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
    world : labkit.comm.simulated.world.World, optional
        None for a function without a communicator.
    """

    def __init__(self, world=None):
        self.world = world
        self.held = 0

    def room(self) -> int:
        """Bytes that the next frame may need.

        Raises
        ------
        WireError
            Too many messages are on their way.
        """
        world = self.world
        if world is None:
            return max(0, MAX_BYTES - self.held)
        num_messages, num_bytes = world.underway()
        if num_messages > MAX_MESSAGES:
            raise WireError(f"more than {MAX_MESSAGES} messages were sent and not received")
        return max(0, MAX_BYTES - self.held - num_bytes)
