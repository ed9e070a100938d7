"""Run by test_on_ranks.py under mpiexec: meshes of real ranks equal one process, and a broken rank stops all."""

import importlib.util
import sys
import traceback
from pathlib import Path

import torch
from mpi4py import MPI

from labkit.errors import TrainingError
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
from labkit.training.hooks import TrainingHook
from labkit.training.hybrid.strategy import train_hybrid
from labkit.training.mesh import Mesh

comm = MPI.COMM_WORLD
MESHES = {
    4: [
        ("mlp", Mesh(2, 2, 1), {}), ("language", Mesh(1, 2, 2), {"schedule": "zb-h1"}),
        ("reviews", Mesh(2, 1, 2), {"sequence_parallel": True}), ("cnn", Mesh(2, 2, 1), {"zero_stage": 1}),
    ],
    8: [("language", Mesh(2, 2, 2), {"zero_stage": 1})],
}


def load_cases():
    spec = importlib.util.spec_from_file_location("hybrid_cases", Path(__file__).parents[1] / "cases.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Fails(TrainingHook):
    """Layers of the last rank raise in the second step."""

    def after_step(self, trainer, record) -> None:
        if comm.rank == comm.size - 1 and trainer.num_done == 1:
            for stage in trainer.strategy.executor.cut.stages:
                stage.train.register_forward_pre_hook(self._raise)

    @staticmethod
    def _raise(module, inputs):
        raise RuntimeError("a part is broken")


def a_broken_rank_stops_all(cases, mesh):
    make, data, options = cases.CASES["language"]
    try:
        train_hybrid(comm, make(), data, options, mesh=mesh, progress=False, hooks=[Fails()])
    except TrainingError as error:
        assert error.step == 1 and error.ranks == (comm.size - 1,) and "a part is broken" in str(error), str(error)
    else:
        raise AssertionError("nobody has noticed")


def main():
    torch.set_num_threads(1)
    cases = load_cases()
    for case, mesh, settings in MESHES[comm.size]:
        make, data, options = cases.CASES[case]
        expected = run_alone(make, data, options)
        found = check_equivalence(comm, make, data, options, "hybrid", mesh=mesh, expected=expected, **settings)
        assert found.is_right and found.replicas_are_equal, str(found)
    a_broken_rank_stops_all(cases, MESHES[comm.size][1 if comm.size == 4 else 0][1])
    comm.Barrier()
    if comm.rank == 0:
        print("all is well", flush=True)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        comm.Abort(1)
