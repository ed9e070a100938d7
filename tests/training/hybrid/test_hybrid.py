"""On simulated ranks: training on a mesh equals one process, finds its known slips, and stops as one."""

import functools
import importlib.util
from pathlib import Path

import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import NonFiniteError, RankFailedError, TrainingError, UsageError
from labkit.training.data_parallel.equivalence import check_equivalence, run_alone
from labkit.training.hooks import TrainingHook
from labkit.training.hybrid.bugs import BUGS
from labkit.training.hybrid.strategy import train_hybrid
from labkit.training.mesh import Mesh
from labkit.training.models.registry import make_model
from labkit.training.serial import train_serial
from labkit.training.trainer import Trainer

spec = importlib.util.spec_from_file_location("hybrid_cases", Path(__file__).with_name("cases.py"))
cases = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cases)


@functools.cache
def expected(case):
    return run_alone(*cases.CASES[case])


def check(case, mesh, strategy="hybrid", **settings):
    make, data, options = cases.CASES[case]
    known = expected(case)
    if strategy == "hybrid":
        settings["mesh"] = mesh
    return simulate(
        mesh.size, lambda comm: check_equivalence(
            comm, make, data, options, strategy if isinstance(strategy, str) else strategy(mesh), expected=known, **settings
        ),
    ).results[0]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("case", "mesh", "settings"),
    [
        ("mlp", Mesh(1, 1, 1), {}), ("mlp", Mesh(2, 2, 1), {}), ("mlp", Mesh(2, 2, 2), {}), ("mlp", Mesh(3, 1, 2), {}),
        ("mlp", Mesh(2, 2, 2, order=("tp", "pp", "dp")), {"zero_stage": 1}), ("mlp", Mesh(2, 2, 2), {"schedule": "zb-h1"}),
        ("cnn", Mesh(2, 2, 1), {"zero_stage": 1}), ("cnn", Mesh(2, 2, 1), {"schedule": "gpipe", "checkpointing": True}),
        ("reviews", Mesh(2, 2, 2), {}), ("reviews", Mesh(1, 2, 2), {"sequence_parallel": True, "schedule": "zb-h1"}),
        ("reviews", Mesh(1, 3, 2), {"checkpointing": [1]}),
        ("language", Mesh(2, 2, 2), {"zero_stage": 1}), ("language", Mesh(1, 2, 2), {"sequence_parallel": True}),
        ("language", Mesh(2, 3, 1), {"schedule": "zb-h2"}),
    ],
    ids=str,
)
def test_equals_one_process(case, mesh, settings):
    """Uneven shards, micro-batches and vocabularies, dropout, tied tables, clipping, Adam."""
    found = check(case, mesh, **settings)
    assert found.is_right and found.replicas_are_equal, str(found)


@pytest.mark.parametrize("name", BUGS)
def test_every_slip_is_found(name):
    bug = BUGS[name]
    mesh = Mesh(**{bug.axis: 2})
    settings = {"sequence_parallel": True} if bug.axis == "tp" else {}
    found = check("language", mesh, lambda mesh: bug.strategy(mesh, **settings))
    assert not found.is_right and found.problems
    alone = check("language", Mesh(), lambda mesh: bug.strategy(mesh, **settings))
    assert alone.is_right, str(alone)


def test_a_checkpoint_of_any_mesh_goes_on_on_any_other():
    """Two steps on one mesh, the rest on another one or in one process: the losses of a run that was never broken off."""
    make, data, options = cases.CASES["language"]
    whole = train_serial(make(), data, options)

    def first(comm, mesh):
        with Trainer(comm, make(), data, options.replace(num_steps=2), strategy="hybrid", mesh=mesh, zero_stage=1,
                     progress=False) as trainer:
            losses = list(trainer.run().losses)
            return losses, trainer.state_dict()

    def rest(comm, state, **settings):
        with Trainer(comm, make(), data, options, progress=False, **settings) as trainer:
            trainer.load_state_dict(state)
            return trainer.run().losses

    losses, state = simulate(4, lambda comm: first(comm, Mesh(2, 1, 2))).results[3]
    for size, settings in (
        (4, {"strategy": "hybrid", "mesh": Mesh(2, 2, 1)}), (2, {"strategy": "hybrid", "mesh": Mesh(1, 1, 2), "zero_stage": 1}),
        (1, {"strategy": "serial"}),
    ):
        later = simulate(size, lambda comm, s=settings: rest(comm, state, **s)).results[0]
        assert later[-3:] == pytest.approx(whole.losses[2:], rel=1e-5), settings
    assert losses == pytest.approx(whole.losses[:2], rel=1e-5)


@pytest.mark.parametrize("zero_stage", [0, 1])
def test_a_stage_may_be_frozen(zero_stage):
    """Its ranks have nothing to train, to remember or to add up, and take part all the same; checkpoints too."""
    _, data, options = cases.CASES["mlp"]
    options = options.replace(momentum=0.9)

    def make():
        model = cases.mlp()
        model.layers[0].requires_grad_(False)
        return model

    whole = train_serial(make(), data, options)
    settings = {"strategy": "hybrid", "mesh": Mesh(2, 2, 1), "zero_stage": zero_stage, "progress": False}
    settings["partition"] = [["layers.0"], ["layers.1", "layers.2", "layers.3"]]

    def program(comm):
        with Trainer(comm, make(), data, options.replace(num_steps=2), **settings) as trainer:
            report, state = trainer.run(), trainer.state_dict()
        with Trainer(comm, make(), data, options, **settings) as trainer:
            trainer.load_state_dict(state)
            return report.losses, trainer.run().losses[-3:], report.gradient_norms

    losses, later, norms = simulate(4, program).results[0]
    assert losses == pytest.approx(whole.losses[:2], rel=1e-5) and later == pytest.approx(whole.losses[2:], rel=1e-5)
    assert norms == pytest.approx(whole.gradient_norms[:2], rel=1e-5)


def test_afterwards_every_rank_has_the_trained_model():
    make, data, options = cases.CASES["reviews"]
    serial = make()
    train_serial(serial, data, options)

    def program(comm):
        model = make()
        report = train_hybrid(comm, model, data, options, mesh=Mesh(1, 2, 2), progress=False)
        return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}, report

    for state, report in simulate(4, program).results:
        for name, tensor in serial.state_dict().items():
            torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-5)
        assert report.details.num_ranks == 2 if hasattr(report.details, "num_ranks") else report.details is not None


def test_running_statistics_are_those_of_the_first_replica():
    """Batch norm has statistics of each micro-batch of a replica; afterwards all ranks have the same model all the same."""
    _, data, options = cases.CASES["cnn"]
    make = functools.partial(make_model, "cnn", data, channels=(4, 6))

    def program(comm):
        return train_hybrid(comm, make(), data, options, mesh=Mesh(2, 2, 1), progress=False).digests

    digests = {digest for result in simulate(4, program).results for digest in result}
    assert len(digests) == 1


class Fails(TrainingHook):
    """Layers of one rank raise in the third step."""

    def __init__(self, comm, rank):
        self.is_here = comm.rank == rank

    def after_step(self, trainer, record) -> None:
        if self.is_here and trainer.num_done == 2:
            for stage in trainer.strategy.executor.cut.stages:
                stage.train.register_forward_pre_hook(self._raise)

    @staticmethod
    def _raise(module, inputs):
        raise RuntimeError("a part is broken")


@pytest.mark.parametrize("mesh", [Mesh(2, 2, 2), Mesh(1, 2, 2), Mesh(2, 1, 2), Mesh(2, 2, 1)], ids=str)
@pytest.mark.parametrize("where", ["first", "last"])
def test_a_rank_that_fails_stops_all(mesh, where):
    make, data, options = cases.CASES["mlp"]
    rank = 0 if where == "first" else mesh.size - 1

    def program(comm):
        with pytest.raises(TrainingError, match=f"rank {rank} raised .*a part is broken") as found:
            train_hybrid(comm, make(), data, options, mesh=mesh, progress=False, hooks=[Fails(comm, rank)])
        return found.value.step, found.value.ranks

    assert set(simulate(mesh.size, program).results) == {(2, (rank,))}


def test_a_loss_that_is_no_number_stops_all():
    make, data, options = cases.CASES["mlp"]

    def program(comm):
        with pytest.raises(NonFiniteError) as found:
            train_hybrid(
                comm, make(), data, options.replace(learning_rate=1e30, max_gradient_norm=None), mesh=Mesh(2, 2, 2),
                progress=False,
            )
        return found.value.step

    assert len(set(simulate(8, program).results)) == 1


@pytest.mark.parametrize(
    ("size", "case", "settings", "words"),
    [
        (4, "mlp", {"mesh": Mesh(2, 2, 2)}, r"dp\(2\) \* pp\(2\) \* tp\(2\) = 8, but world_size is 4"),
        (3, "reviews", {"mesh": Mesh(1, 1, 3)}, "heads"),
        (4, "mlp", {"mesh": Mesh(1, 4, 1), "plan": "interleaved"}, "micro-batches"),
        (8, "reviews", {"mesh": Mesh(1, 4, 2)}, "3 blocks|micro-batch"),
        (4, "cnn", {"mesh": Mesh(1, 2, 2)}, "CNN"),
        (4, "mlp", {"mesh": Mesh(2, 2, 1), "zero_stage": 2}, "zero_stage=2"),
        (2, "mlp", {"mesh": (2, 1, 1)}, "Mesh"),
        (4, "mlp", {"mesh": Mesh(1, 2, 2), "partition": [["layers.0"], ["layers.1", "layers.2", "layers.3"]]}, "belong together"),
        (4, "reviews", {"mesh": Mesh(1, 2, 2), "partition": [["embed"], ["blocks.0", "blocks.1", "blocks.2", "norm"]]}, "stage 0"),
        (2, "mlp", {"mesh": Mesh(1, 1, 2), "sequence_parallel": True}, "MLP"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_by_all_ranks(size, case, settings, words):
    make, data, options = cases.CASES[case]

    def program(comm):
        with pytest.raises(UsageError, match=words):
            train_hybrid(comm, make(), data, options, progress=False, **settings)
        return True

    try:
        assert all(simulate(size, program).results)
    except RankFailedError as error:
        raise error.__cause__ or error from None
