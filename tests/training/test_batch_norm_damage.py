"""The experiment of batch norm over each rank's own shard."""

import pytest
import torch

from labkit.errors import UsageError
from labkit.training.batch_norm_damage import batch_norm_damage
from labkit.training.data import load_digits
from labkit.training.models.registry import make_model

torch.set_num_threads(1)
DATA = load_digits()


def make(seed):
    return make_model("cnn", DATA, channels=(8, 16), seed=seed)


@pytest.mark.timeout(240)
def test_small_shards_harm_and_synchronised_ones_do_not():
    seen = []
    found = batch_norm_damage(
        make, DATA, nums_ranks=(1, 8), batch_size=16, num_steps=40, seeds=(0, 1), on_point=seen.append
    )
    assert tuple(seen) == found.points and [point.shard_size for point in found.points] == [16, 2]
    for point in found.points:
        for mine, expected in zip(point.synchronised.losses, found.alone.losses, strict=True):
            # The same function; rounding grows over the steps.
            assert mine == pytest.approx(expected, rel=0.02, abs=1e-3)
    one, eight = (point.unsynchronised for point in found.points)
    assert one.losses[0] == pytest.approx(found.alone.losses[0], rel=1e-5)
    for mine, expected in zip(eight.losses, found.alone.losses, strict=True):  # two samples a rank: it learns later
        assert sum(mine[-10:]) > 1.05 * sum(expected[-10:])
    assert eight.test_loss > found.alone.test_loss
    assert eight.test_errors != found.alone.test_errors


def test_what_it_refuses():
    for settings, words in (
        ({"nums_ranks": (64,)}, "from 1 to 32"), ({"nums_ranks": ()}, "needs seeds"), ({"seeds": ()}, "needs seeds"),
    ):
        with pytest.raises(UsageError, match=words):
            batch_norm_damage(make, DATA, **settings)
    with pytest.raises(UsageError, match="no batch norm"):
        batch_norm_damage(lambda seed: make_model("mlp", DATA, seed=seed), DATA)
