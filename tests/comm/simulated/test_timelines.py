"""Timelines of simulated ranks: whole, in order, and of the same shape as those of real ranks."""

import json
from pathlib import Path

import pytest
from mpi4py import MPI

from labkit.comm.network.model import alpha_beta, loggp
from labkit.comm.simulated.run import Simulation
from labkit.hardware.messages import run_mpi
from tests.comm import conformance
from tests.comm.simulated import timeline_program as program


HERE = Path(__file__).parent


@pytest.mark.parametrize("check", sorted(set(conformance.CHECKS) - {"check_truncation"}))
@pytest.mark.parametrize("network", [alpha_beta(1e-6, 1e-9, eager_limit_bytes=64), loggp(1e-6, 1e-7, 1e-6, 1e-9)], ids=str)
def test_spans_nest_and_messages_match(check, network):
    for num_ranks in (1, 3):
        simulation = Simulation(num_ranks, network=network, trace=True)
        simulation.run(lambda comm: conformance.check(comm, MPI, [check]))
        timeline = simulation.outcome().timeline
        assert (timeline.num_unmatched, timeline.num_dropped, timeline.num_ranks) == (0, 0, num_ranks)
        assert timeline.end_ns == round(simulation.outcome().time_s * 1e9)
        for rank in simulation.world.ranks:
            end = 0
            for name, _, start_ns, end_ns, *_ in rank.recorder.spans:
                assert end <= start_ns <= end_ns, name  # one thread: one call at a time
                end = end_ns
        for message in timeline.messages:
            assert message.send_start_ns <= message.recv_end_ns and message.send_start_ns <= message.send_end_ns
            assert message.recv_start_ns <= message.recv_end_ns


@pytest.mark.mpi
@pytest.mark.parametrize("num_ranks", [2, 4])
def test_same_shape_as_on_real_ranks(num_ranks):
    real = json.loads(run_mpi([str(HERE / "timeline_program.py")], num_ranks, 60))
    simulation = Simulation(num_ranks, trace=True)
    simulation.run(lambda comm: program.main(comm, MPI))
    assert simulation.error() is None
    for rank, (spans, ends) in enumerate(real):
        mine, my_ends = program.shape(simulation.world.ranks[rank].recorder.record(0))
        assert mine == spans
        assert my_ends == ends
