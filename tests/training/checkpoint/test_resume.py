"""A run that was interrupted goes on as if it had not been: bit by bit on as many ranks, closely on another number."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.comm.simulated.run import simulate
from labkit.errors import CheckpointError, LabkitError, TrainingError, UsageError
from labkit.hardware.messages import find_mpiexec
from labkit.training import TrainingHook, TrainingOptions, load_digits, make_model, train, train_serial
from labkit.training.checkpoint import (
    CheckpointFolder,
    CheckpointHook,
    PerRank,
    Shard,
    load_checkpoint,
    save_checkpoint,
)

DATA = load_digits()
OPTIONS = TrainingOptions(num_steps=12, batch_size=150, learning_rate=0.05, max_gradient_norm=1.0)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads that wait for each other on a busy machine take longer than the sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Batches(TrainingHook):
    """Which samples came, in order."""

    def __init__(self):
        self.ends = []

    def after_step(self, trainer, record):
        self.ends.append((record.step, trainer.sampler.epoch, trainer.sampler.position))


class Trouble(TrainingHook):
    """One rank fails after a step."""

    def __init__(self, step, rank=0):
        self.step, self.rank = step, rank

    def after_step(self, trainer, record):
        if record.step == self.step and trainer.comm.rank == self.rank:
            raise RuntimeError("trouble")


def run(comm, folder, *, steps=12, hooks=(), kind="cnn", checkpoints=None, changes=None):
    model = make_model(kind, DATA, **({"channels": (4, 4)} if kind == "cnn" else {"hidden": (16,)}))
    batches = Batches()
    if folder is not None:
        checkpoints = CheckpointHook(folder, **(checkpoints or {"every_steps": 5, "keep": 3}))
    report = train(
        comm, model, DATA, OPTIONS.replace(num_steps=steps, **(changes or {})), strategy="flat", checkpoints=checkpoints,
        hooks=(batches, *hooks), progress=False,
    )  # fmt: skip
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return report, weights, batches.ends, checkpoints


def on(num_ranks, function, *arguments, **settings):
    """Run on simulated ranks; what each returned."""
    return simulate(num_ranks, lambda comm: function(comm, *arguments, **settings)).results


def is_same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("optimizer", "pairs"), [("sgd", [(1, 2), (2, 1), (2, 3), (3, 3)]), ("adam", [(1, 1), (2, 2), (3, 2)])]
)
def test_on_the_same_and_on_other_numbers_of_ranks(optimizer, pairs, tmp_path):
    changes = {"optimizer": optimizer, "warmup_steps": 8, "weight_decay": 0.01}
    # 1438 samples: a batch of 150 ends the first epoch at step 10, with a short batch.
    # (Batch norm by shard depends on the number of ranks: the convolutional net is for the tests below.)
    settings = {"changes": changes, "kind": "mlp"}
    whole = {p: on(p, run, None, **settings)[0] for p in (1, 2, 3)}
    for first, then in pairs:
        folder = tmp_path / f"{first}-{then}"
        on(first, run, folder, steps=7, **settings)
        assert CheckpointFolder(folder).steps == (5, 7)
        results = on(then, run, folder, **settings)
        report, weights, ends, hook = results[0]
        expected, expected_weights, expected_ends, _ = whole[then]
        assert report.first_step == 7 and report.replicas_are_equal and CheckpointFolder(folder).steps == (7, 10, 12)[-3:]
        assert ends == expected_ends[7:]  # the same samples
        assert hook.losses[7:] == list(report.losses) and len(hook.losses) == 12
        if first == then:
            assert report.losses == expected.losses[7:] and is_same(weights, expected_weights)
            assert hook.losses == list(expected.losses)
            assert report.test_loss == expected.test_loss
        # Sums over ranks in another order: a few units of the last place of float32, grown over a dozen steps.
        np.testing.assert_allclose(hook.losses, expected.losses, rtol=2e-5)
        for name, tensor in expected_weights.items():
            torch.testing.assert_close(weights[name], tensor, rtol=1e-4, atol=2e-4 if optimizer == "adam" else 2e-5)


def test_damage_and_other_runs(tmp_path):
    run_it = lambda *args, **kwargs: on(2, run, tmp_path, **kwargs)[0]  # noqa: E731
    whole = on(2, run, None)[0]
    run_it(steps=10)
    shard = sorted(CheckpointFolder(tmp_path).of_step(10).glob("*.bin"))[1]
    shard.write_bytes(shard.read_bytes()[:-1])
    report, weights, _, hook = run_it()
    assert report.first_step == 5 and report.losses == whole[0].losses[5:] and is_same(weights, whole[1])
    assert "step 10" in hook.loaded.notes[0] and "step 5 is used instead" in hook.loaded.notes[0]
    # The run is over: another one has nothing to do.
    report, weights, _, _ = run_it()
    assert (report.first_step, report.losses) == (12, ()) and is_same(weights, whole[1])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    with pytest.raises(LabkitError, match=r"another model: .*not in the model.*not in the checkpoint"):
        run_it(kind="mlp", steps=20)
    with pytest.raises(LabkitError, match="has checkpoints of steps .*resume=True"):
        run_it(checkpoints={"resume": False})
    with pytest.raises(LabkitError, match="saved with seed = 0, this one has 5"):
        on(2, run, tmp_path, steps=20, changes={"seed": 5})
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"}
    for arguments in ({"every_steps": 0}, {"every_steps": 1.5}, {"every_s": 0}, {"every_s": float("nan")}):
        with pytest.raises(UsageError):
            CheckpointHook(tmp_path, **arguments)


def test_training_that_stops_leaves_a_checkpoint(tmp_path):
    whole = on(2, run, None)[0]
    with pytest.raises(LabkitError, match="TrainingError: step 8: rank 1 raised RuntimeError: trouble") as caught:
        on(2, run, tmp_path, hooks=(Trouble(7, rank=1),))
    assert CheckpointFolder(tmp_path).steps == (5, 8), caught.value  # step 7 was done, step 8 was not
    report, weights, _, _ = on(2, run, tmp_path)[0]
    assert report.first_step == 8 and report.losses == whole[0].losses[8:] and is_same(weights, whole[1])


def test_nan_stops_with_a_checkpoint_of_the_last_good_state(tmp_path):
    def diverge(outputs, targets):
        count[0] += 1
        return outputs.square().sum(1) * (float("nan") if count[0] == 7 else 1.0)

    count = [0]
    model = make_model("mlp", DATA, hidden=(4,))
    with pytest.raises(TrainingError, match="step 6") as caught:
        train_serial(model, DATA, OPTIONS, loss=diverge, checkpoints=tmp_path, progress=False)
    assert any("A checkpoint of step 6" in note for note in caught.value.__notes__)
    loaded = load_checkpoint(tmp_path)
    assert loaded.step == 6 and all(torch.isfinite(t).all() for t in loaded.state["model"].values())


def test_checkpoints_by_the_clock(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("labkit.training.checkpoint.hook.time", type("Clock", (), {"monotonic": staticmethod(lambda: now[0])}))

    class Tick(TrainingHook):
        def after_step(self, trainer, record):
            now[0] += 1.0 if trainer.comm.rank == 0 else 0.0

    on(2, run, tmp_path, hooks=(Tick(),), checkpoints={"every_s": 2.5, "keep": 99})
    assert CheckpointFolder(tmp_path).steps == (3, 6, 9, 12)


# -- parts that are spread over ranks ---------------------------------------------------------------


def test_shards_are_cut_anew_for_any_number_of_ranks(tmp_path):
    whole = torch.arange(1_500_001.0)  # two blocks
    small = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))

    def share(n, rank, size):  # not even: rank 0 holds nothing
        return (n * rank * rank // (size * size), n * (rank + 1) ** 2 // (size * size)) if size > 1 else (0, n)

    def write(comm, folder):
        state = {"own": PerRank({"rank": comm.rank, "t": torch.full((comm.rank,), 1.0)}), "equal": small}
        for name, tensor in (("whole", whole), ("small", small)):
            start, stop = share(tensor.numel(), comm.rank, comm.size)
            state[name] = Shard(tensor.reshape(-1)[start:stop], tuple(tensor.shape), start)
        save_checkpoint(folder, 1, state, comm=comm)
        return sum(path.stat().st_size for path in CheckpointFolder(folder).of_step(1).glob("*.bin"))

    def read(comm, folder, **settings):
        return load_checkpoint(folder, comm=comm, **settings).state

    for size in (1, 2, 3, 5):
        folder = tmp_path / str(size)
        num_bytes = on(size, write, folder)[0]
        assert abs(num_bytes - 4 * (len(whole) + 2 * 21)) < 64 * 5 * size + 40  # nothing is written twice
        for other in (1, 2, 4, 9):
            for settings in ({}, {"share": share}):
                states = on(other, read, folder, **settings)
                for name, tensor in (("whole", whole), ("small", small)):
                    shards = [state[name] for state in states]
                    assert all(s.shape == tuple(tensor.shape) for s in shards)
                    starts = [s.start for s in shards]
                    assert starts == sorted(starts) and shards[0].start == 0
                    assert torch.equal(torch.cat([s.tensor for s in shards]), tensor.reshape(-1))
                for rank, state in enumerate(states):
                    own = state["own"].value
                    assert own["rank"] == rank % size and own["t"].numel() == rank % size
                    assert torch.equal(state["equal"], small)


def test_a_rank_that_cannot_write_is_named_on_all_ranks(tmp_path):
    from labkit.training.checkpoint import CheckpointWriter, save

    real = save.write_shard

    def write_shard(folder, snapshot, attempt, rank, size):
        if rank == 2 and snapshot.step == 2:
            raise OSError(28, "No space left on device")
        return real(folder, snapshot, attempt, rank, size)

    def program(comm, folder, asynchronous):
        words = []
        with CheckpointWriter(folder, comm, asynchronous=asynchronous) as writer:
            for step in (1, 2, 3, 4):
                try:
                    writer.save(step, {"w": torch.full((1000,), float(step))})
                    writer.wait()
                except CheckpointError as error:
                    words.append((step, str(error)))
        return words

    for asynchronous in (False, True):
        folder = tmp_path / str(asynchronous)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(save, "write_shard", write_shard)
            results = on(3, program, folder, asynchronous)
        assert results[0] == results[1] == results[2] and len(results[0]) == 1
        step, words = results[0][0]
        assert step == 2 and words.startswith("rank 2: the checkpoint of step 2 could not be written") and "disk is full" in words
        assert CheckpointFolder(folder).steps == (3, 4) and not CheckpointFolder(folder).of_step(2).exists()


# -- real ranks --------------------------------------------------------------------------------------

PROGRAM = '''
import sys
import torch
from mpi4py import MPI
torch.set_num_threads(1)
from labkit.training import TrainingHook, TrainingOptions, load_digits, make_model, train
from labkit.training.checkpoint import CheckpointHook

data = load_digits()
options = TrainingOptions(num_steps=9, batch_size=64, learning_rate=0.05)
world = MPI.COMM_WORLD

def run(size, folder, steps=9):
    """Losses and the digest of the weights, of the first ranks; dropout draws from each rank's own numbers."""
    comm = world.Split(0 if world.rank < size else MPI.UNDEFINED)
    if comm == MPI.COMM_NULL:
        return None
    torch.manual_seed(100 + comm.rank)
    inner = make_model("mlp", data, hidden=(16,))
    model = torch.nn.Sequential(inner, torch.nn.Dropout(0.3)) if size < 3 else inner
    hook = None if folder is None else CheckpointHook(folder, every_steps=3)
    report = train(comm, model, data, options.replace(num_steps=steps), strategy="flat", checkpoints=hook, progress=False)
    comm.Free()
    return report.losses, report.digests, report.first_step

base = sys.argv[1]
whole = run(2, None)
run(2, base + "/two", 4)
again = run(2, base + "/two")
plain = run(3, None)
run(3, base + "/three", 4)
rest = run(3, base + "/three")
if world.rank == 0:
    assert again[2] == 4 and again[0] == whole[0][4:] and again[1] == whole[1], (whole, again)
    assert rest[2] == 4 and rest[0] == plain[0][4:] and rest[1] == plain[1], (plain, rest)
    print("equal")
'''


@pytest.mark.mpi
@pytest.mark.timeout(110)
def test_real_ranks_with_dropout_go_on_bit_by_bit(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [find_mpiexec(), "-n", "3", sys.executable, "-m", "mpi4py", str(program), str(tmp_path)], capture_output=True,
        text=True, timeout=100, stdin=subprocess.DEVNULL, cwd=Path(__file__).parents[3], start_new_session=True,
        env={**__import__("os").environ, "PYTHONPATH": str(Path(__file__).parents[3]), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0 and done.stdout.strip() == "equal", done.stdout + done.stderr[-3000:]
