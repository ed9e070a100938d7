"""Checkpoints of one process: what goes in comes out, damage is found, another model is refused, nothing is run."""

import json
import pickle
import random

import numpy as np
import pytest
import torch

from labkit.errors import CheckpointError, UsageError
from labkit.training.checkpoint import (
    CheckpointFolder,
    CheckpointWriter,
    PerRank,
    Shard,
    load_checkpoint,
    random_state,
    restore_random_state,
    save_checkpoint,
    signature,
)
from labkit.training.checkpoint.checksum import BLOCK_BYTES
from labkit.training.checkpoint.tree import flatten


def trained_model(steps=2, seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 3))
    optimizer = torch.optim.Adam(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(8, 5)).square().mean().backward()
        optimizer.step()
    return model, optimizer


def same(a, b):
    """Equality with types, bit by bit."""
    if isinstance(a, (PerRank,)):
        return isinstance(b, PerRank) and same(a.value, b.value)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, torch.Tensor):
        bits = [x.contiguous().reshape(-1).view(torch.uint8) for x in (a, b)] if a.numel() else [a, b]
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(*bits)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes()
    return a == b


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int64, torch.int8,
          torch.uint8, torch.bool, torch.complex64]  # fmt: skip


def everything():
    generator = torch.Generator().manual_seed(3)
    tensors = {str(d): torch.randn(37, generator=generator).mul(9).to(d).reshape(37, 1) for d in DTYPES}
    nan = torch.tensor([0x7FC00001, 0x7F800000, 0xFF800000 - 2**32, 0x80000000 - 2**32, 1], dtype=torch.int32)
    return {
        "tensors": tensors, "bits": nan.view(torch.float32), "none": torch.empty(0, 3), "scalar": torch.tensor(2.5),
        "transposed": torch.arange(12.0).reshape(3, 4).t(), "strided": torch.arange(20)[::3],
        "conjugate": torch.tensor([1 + 2j]).conj(), "big": torch.arange(BLOCK_BYTES // 4 + 1000, dtype=torch.float32),
        "arrays": [np.arange(6, dtype=np.uint16).reshape(2, 3), np.arange(4.0)[::-1], np.array(3), np.empty((0, 2))],
        "swapped": np.arange(3, dtype=">i4"), 7: (True, None, -0.0, float("inf"), float("nan"), 10**30, "ä\n"),
        "numbers": [np.float32(1.1), np.int64(-5), np.bool_(True)], "bytes": b"\x00\xff", "empty": {}, "list": [],
        -1: {0: {"deep": [((),)]}},
    }  # fmt: skip


def test_all_that_a_state_may_hold_comes_back_bit_by_bit(tmp_path):
    state = everything()
    save_checkpoint(tmp_path, 5, state)
    loaded = load_checkpoint(tmp_path)
    expected = everything()
    expected["swapped"] = expected["swapped"].astype(np.int32)
    expected["arrays"][1] = expected["arrays"][1].copy()
    expected["conjugate"] = torch.tensor([1 - 2j])
    assert (loaded.step, loaded.num_ranks, loaded.notes) == (5, 1, ())
    for key in expected:
        assert same(loaded.state[key], expected[key]), key
    assert all(t.data_ptr() % 64 == 0 for t in loaded.state["tensors"].values())


def test_a_model_with_its_optimizer_goes_on_as_if_nothing_had_been(tmp_path):
    model, optimizer = trained_model()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": PerRank(random_state())}
    save_checkpoint(tmp_path, 2, state)
    other, other_optimizer = trained_model(steps=0, seed=9)
    loaded = load_checkpoint(tmp_path, model=signature(other.state_dict()))
    other.load_state_dict(loaded.state["model"])
    other_optimizer.load_state_dict(loaded.state["optimizer"])
    restore_random_state(loaded.state["rng"].value)
    after = []
    for one, its in ((other, other_optimizer), (model, optimizer)):
        for _ in range(3):
            its.zero_grad()
            one(torch.randn(8, 5)).square().mean().backward()
            its.step()
        after.append((one.state_dict(), random.random(), np.random.rand()))
        restore_random_state(loaded.state["rng"].value)
    assert same(dict(after[0][0]), dict(after[1][0])) and after[0][1:] == after[1][1:]


@pytest.mark.parametrize("make", [np.random.default_rng, random.Random, lambda s: torch.Generator().manual_seed(s)])
def test_generators_of_ones_own(make, tmp_path):
    def draws(g):
        return [g.normal(), g.integers(9)] if isinstance(g, np.random.Generator) else (
            [g.gauss(), g.random()] if isinstance(g, random.Random) else torch.randn(3, generator=g).tolist())  # fmt: skip

    generator = make(4)
    draws(generator)  # half of a pair of normal numbers may be kept for the next call
    save_checkpoint(tmp_path, 1, {"rng": PerRank(random_state({"mine": generator}))})
    expected = draws(generator)
    fresh = make(99)
    restore_random_state(load_checkpoint(tmp_path).state["rng"].value, {"mine": fresh, "unknown": make(1)})
    assert draws(fresh) == expected


def test_what_a_checkpoint_cannot_hold_is_refused_before_anything_is_written(tmp_path):
    class Odd:
        def __reduce__(self):
            return print, ("code was run",)

    for value, words in [
        ({"a": {"b": Odd()}}, "Odd at a.b"), ({(1, 2): 3}, r"key \(1, 2\)"), ({"a.b": torch.ones(1), "a": {"b": torch.ones(1)}}, "a.b"),
        ({"x": np.array([Odd()])}, "ndarray at x"), ({"rank0:x": torch.ones(1)}, "rank0:x"), ({"s": torch.eye(2).to_sparse()}, "sparse"),
        ({"s": Shard(torch.ones(3), (4,), 2)}, "from element 2 to 5"),
    ]:  # fmt: skip
        with pytest.raises(UsageError, match=words):
            save_checkpoint(tmp_path / "none", 1, value)
    for step in (-1, 1.0, True, 10**12):
        with pytest.raises(UsageError, match="whole number"):
            save_checkpoint(tmp_path / "none", step, {})
    assert not (tmp_path / "none").exists()


def damaged_folder(tmp_path, damage, steps=(10, 20)):
    """Two checkpoints, the newer one damaged; returns the folder and a file of it."""
    for step in steps:
        save_checkpoint(tmp_path, step, {"model": {"w": torch.full((BLOCK_BYTES // 2,), float(step)), "b": torch.ones(3)}})
    target = CheckpointFolder(tmp_path).of_step(steps[-1])
    damage(next(target.glob("*.bin")), target / "manifest.json")
    return CheckpointFolder(tmp_path)


def cut(path, size):
    with open(path, "r+b") as file:
        file.truncate(size)


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


DAMAGE = {
    "one bit of the first block": (lambda shard, manifest: flip(shard, 0), "block 0 of 3 .*bytes 0 to 4,194,304, of model.w"),
    "one bit of the last block": (lambda shard, manifest: flip(shard, -1), "block 2 of 3 .*of model.b"),
    "cut off": (lambda shard, manifest: cut(shard, 1000), "has 1,000 bytes, and had 8,388,620"),
    "cut off by a byte": (lambda shard, manifest: cut(shard, 8_388_619), "8,388,619 bytes"),
    "one byte more": (lambda shard, manifest: shard.write_bytes(shard.read_bytes() + b"x"), "8,388,621 bytes"),
    "empty": (lambda shard, manifest: cut(shard, 0), "has 0 bytes"),
    "zeros": (lambda shard, manifest: (cut(shard, 0), cut(shard, 8_388_620)), "does not have its checksum"),
    "gone": (lambda shard, manifest: shard.unlink(), "is missing"),
    "manifest cut off": (lambda shard, manifest: cut(manifest, manifest.stat().st_size // 2), "its manifest is cut off"),
    "manifest empty": (lambda shard, manifest: cut(manifest, 0), "its manifest is cut off"),
    "manifest changed": (
        lambda shard, manifest: manifest.write_text(manifest.read_text().replace('"step": 20', '"step": 21')),
        "its manifest does not have the checksum",
    ),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_found_and_the_checkpoint_before_is_used(what, tmp_path):
    damage, words = DAMAGE[what]
    folder = damaged_folder(tmp_path, damage)
    loaded = load_checkpoint(folder)
    assert loaded.step == 10 and loaded.state["model"]["w"].unique().tolist() == [10.0]
    with pytest.raises(CheckpointError, match=words):
        load_checkpoint(folder, step=20)
    (note,) = loaded.notes
    assert note.startswith("the checkpoint of step 20") and note.endswith("The one of step 10 is used instead.")
    # A run that goes on sets it aside, and writes the step again.
    loaded = load_checkpoint(folder, set_aside=True)
    assert folder.steps == (10,) and "step-000000000020.damaged" in loaded.notes[0]
    save_checkpoint(folder, 20, {"model": {}}, keep=1)
    assert folder.steps == (20,) and load_checkpoint(folder).step == 20
    assert (tmp_path / "step-000000000020.damaged").is_dir()


def test_when_none_is_whole_it_says_so_and_loses_nothing(tmp_path):
    folder = damaged_folder(tmp_path, lambda shard, manifest: flip(shard, 5), steps=(20,))
    with pytest.raises(CheckpointError, match="checksum.*There is no other"):
        load_checkpoint(folder)
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="of step 30; it has: 20"):
        load_checkpoint(folder, step=30)


def test_another_model_is_refused_with_the_difference(tmp_path):
    model, _ = trained_model()
    save_checkpoint(tmp_path, 1, {"model": model.state_dict(), "optimizer": {"x": torch.ones(2)}})
    other = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.BatchNorm1d(7).double(), torch.nn.Identity(), torch.nn.Linear(7, 3))
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path, model=signature(other.state_dict()))
    text = str(caught.value)
    for words in (
        "0.weight: shape (7, 5) in the checkpoint, (8, 5) in the model", "1.bias: float32 in the checkpoint, float64 in the model",
        "and 4 more", "Nothing was changed", "0.bias: shape (7,) in the checkpoint, (8,)",
    ):  # fmt: skip
        assert words in text
    assert "optimizer" not in text


def test_a_pickle_in_the_place_of_a_file_is_not_run(tmp_path):
    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('code of a checkpoint was run')",)

    folder = damaged_folder(tmp_path, lambda shard, manifest: manifest.write_bytes(pickle.dumps(Bomb())))
    assert load_checkpoint(folder).step == 10
    content = json.loads((folder.of_step(10) / "manifest.json").read_text())["content"]
    assert content["format"] == "labkit checkpoint" and content["num_ranks"] == 1


def test_the_newest_stay_and_nothing_else(tmp_path):
    folder = CheckpointFolder(tmp_path)
    (tmp_path / "mine.txt").write_text("not a checkpoint")
    for step in range(5):
        save_checkpoint(folder, step, {"w": torch.ones(step)}, keep=3)
    assert folder.steps == (2, 3, 4)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.txt", *(f"step-{s:012}" for s in (2, 3, 4))]
    # What a killed run left behind goes when it is older than the newest, and stays when it may still become one.
    for step in (1, 3, 9):
        path = folder.of_step(step)
        path.mkdir(exist_ok=True)
        (path / "shard-00000-of-00002.dead.bin.writing").write_bytes(b"half")
    save_checkpoint(folder, 5, {"w": torch.ones(5)}, keep=3)
    assert folder.steps == (3, 4, 5) and not folder.of_step(1).exists()
    assert not list(folder.of_step(3).glob("*.writing")) and list(folder.of_step(9).glob("*.writing"))
    assert [load_checkpoint(folder, step=s).state["w"].numel() for s in (3, 4, 5)] == [3, 4, 5]


def test_two_runs_do_not_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.training.checkpoint.folder.LOCK_WAIT_S", 0.1)
    monkeypatch.setattr(CheckpointFolder.lock, "__defaults__", (0.1,))
    with CheckpointWriter(tmp_path):
        with pytest.raises(UsageError, match="another run writes checkpoints.*process"):
            CheckpointWriter(tmp_path)
    CheckpointWriter(tmp_path).close()
    for arguments in ({"when_busy": "never"}, {"keep": 0}):
        with pytest.raises(UsageError):
            CheckpointWriter(tmp_path, **arguments)


def test_names_of_the_parts(tmp_path):
    flat = flatten({"a": [torch.ones(2), PerRank({"g": torch.ones(3)})]}, rank=4)
    assert [leaf.name for leaf in flat.leaves] == ["a.0", "rank4:a.1.g"]
