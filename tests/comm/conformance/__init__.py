"""What every communicator does: one body for mpi4py's own, the interruptible, the traced and the simulated one.

Each check compares with values made here from the ranks alone. ``MPI`` is mpi4py's module, or a copy of it
in which ``Request`` is the machine's own class. A check that does not hold raises AssertionError.
"""

from . import collectives, communicators, errors, messages, requests
from .common import run

PARTS = (messages, requests, collectives, communicators, errors)
CHECKS = {name: value for part in PARTS for name, value in vars(part).items() if name.startswith("check_")}


def check(comm, MPI, only=CHECKS):
    """These checks, each on a communicator of its own; AssertionError names the check and the rank."""
    run(comm, MPI, {name: CHECKS[name] for name in only})
