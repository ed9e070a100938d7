"""Run by test_on_ranks.py under mpiexec: the stages of ZeRO on real ranks, where gradients are shared out in backward."""

import importlib.util
import sys
import traceback
from pathlib import Path

import torch
from mpi4py import MPI

from labkit.errors import TrainingError
from labkit.training import TrainingOptions, train
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
from labkit.training.trainer import Trainer
from labkit.training.zero.units import live_bytes

comm = MPI.COMM_WORLD


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stages_equal_one_process(cases):
    options = cases.OPTIONS.replace(optimizer="adam", learning_rate=0.003, num_micro_batches=2)
    expected = run_alone(cases.Odd, cases.DIGITS, options)
    for stage in (1, 2, 3):
        found = check_equivalence(comm, cases.Odd, cases.DIGITS, options, f"zero_{stage}", expected=expected)
        assert found.is_right, str(found)
    plain = run_alone(cases.mlp, cases.DIGITS, cases.OPTIONS, num_parts=comm.size)
    for stage in (1, 2, 3):
        found = check_equivalence(comm, cases.mlp, cases.DIGITS, cases.OPTIONS, f"zero_{stage}", expected=plain)
        assert found.is_right and found.is_bitwise, str(found)


def deep():
    torch.manual_seed(3)
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 128)]
    for _ in range(8):
        layers += [torch.nn.ReLU(), torch.nn.Linear(128, 128)]
    return torch.nn.Sequential(*layers, torch.nn.Linear(128, 10))


def few_units_are_whole_at_a_time(cases):
    """Stage 3: the most that is gathered at any moment, seen by the memory of all units at every gather."""
    most = []
    options = TrainingOptions(num_steps=2, batch_size=16)
    with Trainer(comm, deep(), cases.DIGITS, options, strategy="zero_3", progress=False) as trainer:
        strategy = trainer.strategy
        gather = strategy._gather

        def watched(unit):
            gather(unit)
            most.append(live_bytes([unit.full for unit in strategy.units]))

        strategy._gather = watched
        trainer.run()
        total = sum(unit.full.numel() * 4 for unit in strategy.units)
        assert max(most) <= 3 * max(unit.full.numel() * 4 for unit in strategy.units) < total / 2, (max(most), total)
        assert live_bytes([unit.full for unit in strategy.units]) == 0


def a_failure_in_the_middle_stops_all(cases):
    for stage in (1, 2, 3):
        model, calls = deep(), []

        def fail(module, inputs, calls=calls):
            calls.append(1)
            if comm.rank == comm.size - 1 and len(calls) == 3:
                raise RuntimeError("a cable was pulled")

        model[9].register_forward_pre_hook(fail)
        try:
            train(comm, model, cases.DIGITS, TrainingOptions(num_steps=6, batch_size=16), strategy=f"zero_{stage}", progress=False)
        except TrainingError as error:
            assert str(error).startswith(f"step 2: rank {comm.size - 1} raised RuntimeError: a cable was pulled"), str(error)
        else:
            raise AssertionError("no error")
        assert len(set(comm.allgather(sum(float(p.detach().double().sum()) for p in model.parameters())))) == 1


def a_failure_beside_synchronised_batch_norm_stops_all(cases):
    """The failed rank and the others would wait for each other in different places: a layer, and a unit."""
    trouble = load("zero_rank_trouble", Path(__file__).with_name("trouble.py"))
    for stage, where in ((3, "between"), (3, "backward"), (3, "evaluation"), (2, "backward")):
        assert len(set(comm.allgather(trouble.check(comm, f"zero_{stage}", where)))) == 1


def main():
    torch.set_num_threads(1)
    cases = load("zero_rank_cases", Path(__file__).parents[1] / "data_parallel" / "cases.py")
    for case in (
        stages_equal_one_process, few_units_are_whole_at_a_time, a_failure_in_the_middle_stops_all,
        a_failure_beside_synchronised_batch_norm_stops_all,
    ):
        try:
            case(cases)
        except Exception:
            sys.stderr.write(f"{case.__name__} on rank {comm.rank}:\n{traceback.format_exc()}")
            sys.stderr.flush()
            comm.Abort(1)
    if comm.rank == 0:
        print("all is well")


if __name__ == "__main__":
    main()
