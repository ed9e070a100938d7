"""mpi4py, interruptible and simulated communicators have the protocol's methods, with its arguments."""

import inspect

import pytest
from mpi4py import MPI

from labkit.comm.interruptible import requests as interruptible_requests
from labkit.comm.interruptible.communicator import InterruptibleCartcomm, InterruptibleComm
from labkit.comm.protocol import Communicator, Request
from labkit.comm.simulated import requests as simulated_requests
from labkit.comm.simulated.cartesian import SimulatedCartcomm
from labkit.comm.simulated.communicator import SimulatedComm
from labkit.comm.simulated.run import simulate

COMMUNICATORS = (MPI.Intracomm, MPI.Cartcomm, InterruptibleComm, InterruptibleCartcomm, SimulatedComm, SimulatedCartcomm)
REQUESTS = (MPI.Request, MPI.Prequest, *(
    cls for module in (interruptible_requests, simulated_requests) for cls in (module.Request, module.Prequest)
))


def methods(protocol):
    return sorted(name for name, value in vars(protocol).items() if not name.startswith("_") and not isinstance(value, property))


def arguments(function):
    """(name, default, may be given by position) of each argument; INFO_NULL and None mean the same."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        default = parameter.default
        default = "none" if default is None or default == MPI.INFO_NULL else repr(default)
        found.append((parameter.name, default, parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD))
    return found


PAIRS = [(protocol, cls, name) for protocol, classes in ((Communicator, COMMUNICATORS), (Request, REQUESTS))
         for cls in classes for name in methods(protocol)]


def test_the_protocol_is_whole():
    assert len(methods(Communicator)) > 75 and len(methods(Request)) > 15
    for protocol in (Communicator, Request):
        assert all(inspect.getdoc(getattr(protocol, name)) for name in methods(protocol))


@pytest.mark.parametrize("protocol, cls, name", PAIRS, ids=lambda value: getattr(value, "__module__", "") + "." + getattr(value, "__name__", str(value)))
def test_same_arguments(protocol, cls, name):
    assert name in dir(cls)
    assert arguments(getattr(cls, name)) == arguments(getattr(protocol, name))


def test_instances_satisfy_it():
    assert isinstance(MPI.COMM_WORLD, Communicator) and isinstance(MPI.REQUEST_NULL, Request)
    assert not isinstance(object(), Communicator)

    def main(comm):
        return isinstance(comm, Communicator), isinstance(comm.Create_cart([comm.size]), Communicator), isinstance(
            comm.Irecv(bytearray(1), MPI.PROC_NULL), Request)

    assert simulate(2, main).results == [(True, True, True)] * 2
