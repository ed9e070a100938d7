"""On real ranks: gradients in memory that the ranks share."""

import os
import sys
import threading
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cases  # noqa: E402

from labkit.errors import LabkitError, TrainingError  # noqa: E402
from labkit.training.data_parallel import equivalence, node_memory  # noqa: E402
from labkit.training.data_parallel.node_memory import open_node_memory  # noqa: E402
from labkit.training.data_parallel.overlapped import Overlapped  # noqa: E402
from labkit.training.data_parallel.reducers import Delayed  # noqa: E402
from labkit.training.data_parallel.shared_sum import SharedSum  # noqa: E402
from labkit.training.trainer import Trainer, train  # noqa: E402

ADAM = cases.OPTIONS.replace(optimizer="adam", learning_rate=0.003, num_micro_batches=2, max_gradient_norm=0.5)


def check_sums_in_the_order_of_the_ranks(comm):
    """The bits of one process that takes the shards one after the other, whatever the buckets and whoever adds up."""
    for make, options in ((cases.Odd, cases.OPTIONS), (cases.exact_mlp, ADAM)):
        expected = equivalence.run_alone(make, cases.DIGITS, options, num_parts=comm.size)
        for settings in (
            {}, {"driver": "thread", "bucket_bytes": 700}, {"algorithm": Delayed(SharedSum(), 1e-3)},
            {"driver": "hooks", "algorithm": "auto", "bucket_bytes": 1},
        ):
            found = equivalence.check_equivalence(
                comm, make, cases.DIGITS, options, "overlapped", expected=expected, **settings
            )
            assert found.is_right and (found.is_bitwise or options.num_micro_batches > 1), f"{settings} {found}"
        for strategy in ("bucketed", "flat", "naive"):
            found = equivalence.check_equivalence(
                comm, make, cases.DIGITS, options, strategy, expected=expected, algorithm="auto"
            )
            assert found.is_right, f"{strategy} {found}"
    assert equivalence.check_equivalence(
        comm, cases.Odd, cases.DIGITS, ADAM, "overlapped", sync_every_micro_batch=True, bucket_bytes=900
    ).is_right


def check_gradients_lie_in_shared_memory_and_it_goes(comm):
    before = set(os.listdir("/proc/self/fd"))
    with Trainer(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, strategy="overlapped") as trainer:
        trainer.run(2)
        strategy = trainer.strategy
        assert strategy.reducer.can_start and strategy.thread is None
        vectors = strategy.reducer.vectors[0]
        assert strategy.buckets[0].flat.data_ptr() == vectors[comm.rank].ctypes.data
        comm.Barrier()
        assert all((vector == vectors[0]).all() for vector in vectors), "all ranks' vectors, seen from here"
        comm.Barrier()
        with open("/proc/self/maps") as maps:
            assert "labkit-" in maps.read()
        assert not list(node_memory.SHARED_FOLDER.glob(f"labkit-*/memory {comm.rank}")), "names go when it is open"
        del vectors
    with open("/proc/self/maps") as maps:
        assert "labkit-" not in maps.read(), "still mapped after training"
    assert set(os.listdir("/proc/self/fd")) == before


def check_ranks_that_share_no_memory_use_the_library(comm):
    """As on several nodes: the last rank does not find the folder; then memory that is too small."""
    real, make, seen = node_memory.SHARED_FOLDER, node_memory._make, []
    try:
        for fault in ("no folder", "not found", "full"):
            if fault == "no folder":
                node_memory.SHARED_FOLDER = Path("/nowhere")
            elif fault == "not found":
                node_memory.SHARED_FOLDER = real
                is_elsewhere = comm.rank == comm.size - 1
                node_memory._make = lambda folder, *rest: (
                    seen.append(folder) or make(folder / "elsewhere" if is_elsewhere else folder, *rest)
                )
            else:
                node_memory._make = lambda folder, rank, size: make(folder, rank, 1 << 60)
            with Trainer(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, strategy="overlapped") as trainer:
                assert not trainer.strategy.reducer.can_start and trainer.strategy.thread is not None
                report = trainer.run()
                assert report.replicas_are_equal
    finally:
        node_memory.SHARED_FOLDER, node_memory._make = real, make
    expected = train(comm, cases.mlp(), cases.DIGITS, cases.OPTIONS, strategy="overlapped", algorithm="library")
    assert report.digests == expected.digests
    comm.Barrier()
    assert seen and not [folder for folder in seen if folder.exists()], "names are left behind"


def check_a_rank_that_leaves_is_not_waited_for(comm):
    """Rank 0 comes no more: the others, and a thread of its own, are told."""
    memory, told = open_node_memory(comm, 64), []
    if comm.rank == 0:
        def wait():
            try:
                while memory.lowest(0) < 2:
                    memory.nap(60.0, 0, 2)
            except LabkitError as error:
                told.append(str(error))

        memory.announce(0, 1)
        waiting = threading.Thread(target=wait)
        waiting.start()
        comm.Barrier()
        memory.leave()
        waiting.join(60)
        assert not waiting.is_alive() and "broken off" in told[0], told
    else:
        comm.Barrier()
        memory.announce(0, 2)
        try:
            while memory.lowest(0) < 1:
                memory.nap(60.0, 0, 1)  # what came before counts
            while memory.lowest(0) < 2:
                memory.nap(60.0, 0, 2)
            raise AssertionError("rank 0 was never here")
        except LabkitError as error:
            assert "rank 0 has left" in str(error)
    comm.Barrier()
    memory.close()


def check_delays_take_no_core_and_add_up(comm):
    """A slow link passes one vector after the other on, and all of them before the step ends."""
    options = cases.OPTIONS.replace(num_steps=4)
    plain = train(comm, cases.mlp(), cases.DIGITS, options, strategy="overlapped", bucket_bytes=2000)
    late = train(
        comm, cases.mlp(), cases.DIGITS, options, strategy="overlapped", bucket_bytes=2000,
        algorithm=Delayed(SharedSum(), 0.01),
    )
    assert late.digests == plain.digests and late.losses == plain.losses
    calls = late.traffic[0].num_calls // 4
    assert late.traffic == plain.traffic and calls >= 2
    assert late.times.step_s[:, 1:].min() >= 0.01 * calls  # sleeping cannot be quicker
    assert not [thread for thread in threading.enumerate() if thread.name == "labkit communication"]


def check_memory_of_the_first_touch(comm):
    """Vectors are full of zeros, and of their types."""
    reducer = SharedSum()
    here = torch.device("cpu")
    kinds = [(5, torch.float32, here), (0, torch.float64, here), (7, torch.float64, here)]
    rooms = reducer.rooms(comm, kinds)
    assert [(len(room), room.dtype) for room in rooms] == [(5, torch.float32), (0, torch.float64), (7, torch.float64)]
    assert not any(room.any() for room in rooms) and all(room.data_ptr() % 64 == 0 for room in rooms if len(room))
    assert reducer.rooms(comm, [(3, torch.bfloat16, here)]) is None
    reducer.close()


class Notes(Overlapped):
    """Which parameters the optimizer had gradients of, by call."""

    def attach(self, *arguments):
        super().attach(*arguments)
        self.calls, step = [], self.optimizer.step
        self.optimizer.step = lambda: (self.calls.append(sum(p.grad is not None for p in self.parameters)), step())[1]


def check_the_optimizer_goes_on_beside_the_last_bucket(comm):
    """In pieces only where nothing needs the whole gradient; bits, failures and gradients as without."""
    for optimizer in ("sgd", "adam"):
        options = cases.OPTIONS.replace(optimizer=optimizer, learning_rate=0.01, weight_decay=0.01, num_steps=6)
        digests = set()
        for changes, in_pieces in (
            ({"check_gradients": False}, True), ({}, False),
            ({"check_gradients": False, "max_gradient_norm": 1e9}, False),
        ):
            strategy = Notes(algorithm=Delayed(SharedSum(), 0.02), bucket_bytes=2000)
            with Trainer(comm, cases.Odd(), cases.DIGITS, options.replace(**changes), strategy=strategy) as trainer:
                report = trainer.run()
                digests |= set(report.digests)
                num = len(strategy.parameters)
                assert sum(strategy.calls) == 6 * num, strategy.calls  # each once a step
                assert (len(strategy.calls) > 6) == in_pieces, strategy.calls
                assert all(parameter.grad is not None for parameter in strategy.parameters)
        assert len(digests) == 1


def check_a_rank_that_fails_leaves_parameters_alone(comm):
    """Also with vectors on their way: the ranks agree before the optimizer begins."""
    options = cases.OPTIONS.replace(check_gradients=False)

    class Bad(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.num_calls = cases.mlp(), 0

        def forward(self, inputs):
            outputs = self.inner(inputs)
            self.num_calls += 1
            if self.num_calls == 3 and comm.rank == comm.size - 1:
                outputs.register_hook(lambda gradient: 1 / 0)
            return outputs

    same = cases.mlp()
    train(comm, same, cases.DIGITS, options.replace(num_steps=2))
    for settings in ({}, {"algorithm": Delayed(SharedSum(), 0.05)}):
        model = Bad()
        strategy = Overlapped(bucket_bytes=500, **settings)
        with Trainer(comm, model, cases.DIGITS, options, strategy=strategy) as trainer:
            try:
                trainer.run()
                raise AssertionError("nothing was raised")
            except TrainingError as error:
                assert error.step == 2 and error.ranks == (comm.size - 1,)
            assert all(torch.equal(a, b) for a, b in zip(model.inner.parameters(), same.parameters(), strict=True))
            trainer.run(2)  # goes on: what was on its way is finished first
