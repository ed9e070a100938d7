"""Training in short formats: gradients against finite differences and torch, loss scaling, lost updates."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.floating_point.codec import encode
from labkit.floating_point.mixed_precision.digits import split_digits
from labkit.floating_point.mixed_precision.loss_scaling import LossScaling, underflow_share
from labkit.floating_point.mixed_precision.product import round_to
from labkit.floating_point.mixed_precision.training import Precision, find_gradients, train
from labkit.floating_point.mixed_precision.updates import apply_updates


@pytest.fixture(scope="module")
def batch():
    ((pictures, digits),) = split_digits(64, seed=2)
    rng = np.random.default_rng(3)  # 11 digits move no sum of a hidden unit across 0
    weights = [rng.standard_normal((64, 16)) / 8, rng.standard_normal((16, 10)) / 4]
    return [round_to(w, "binary32") for w in weights], pictures, digits


def torch_gradients(weights, pictures, digits):
    import torch

    x = torch.tensor(pictures)
    first, second = (torch.tensor(w, requires_grad=True) for w in weights)
    loss = torch.nn.functional.cross_entropy(torch.relu(x @ first) @ second, torch.tensor(digits))
    loss.backward()
    return loss.item(), first.grad.numpy(), second.grad.numpy()


@pytest.mark.parametrize(("name", "tolerance"), [("binary32", 1e-6), ("TF32", 2e-3), ("binary16", 2e-3), ("bfloat16", 0.1), ("E5M2", 0.4)])
def test_gradients_are_torchs_up_to_the_format(batch, name, tolerance):
    scale = 1.0 if name == "binary32" else 256.0
    found = find_gradients(*batch, Precision(name), scale)
    loss, first, second = torch_gradients(*batch)
    assert found.loss == pytest.approx(loss, rel=tolerance)
    for ours, theirs in zip(found.of_weights, (first, second), strict=True):
        assert np.linalg.norm(ours / scale - theirs) < tolerance * np.linalg.norm(theirs)
        assert np.array_equal(round_to(ours, name), ours)  # numbers of the format
    assert not found.has_overflow and found.num_lost <= found.num_nonzero


def test_a_scale_that_is_a_power_of_two_changes_no_digit(batch):
    one, many = (find_gradients(*batch, Precision("bfloat16"), scale) for scale in (1.0, 2.0**12))
    for ours, scaled in zip(one.of_weights, many.of_weights, strict=True):
        assert np.array_equal(ours * 2.0**12, scaled)


def test_what_underflows_is_kept_by_scaling(batch):
    plain, scaled = (find_gradients(*batch, Precision("E4M3"), scale) for scale in (1.0, 2.0**8))
    assert plain.num_lost > 0.1 * plain.num_nonzero > 10 * scaled.num_lost
    too_much = find_gradients(*batch, Precision("E4M3"), 2.0**20)
    assert too_much.has_overflow


def test_share_of_underflow_by_counting():
    gradients = 2.0 ** np.random.default_rng(3).uniform(-40, 0, 5000)
    for fmt in ("binary16", "E5M2", "E4M3", "bfloat16"):
        for scale in (1.0, 2.0**10):
            share = np.mean([encode(float(g * scale), fmt) == 0 for g in gradients])
            assert underflow_share(gradients, fmt, scale=scale) == pytest.approx(share)
    assert underflow_share([], "E4M3") == underflow_share([0.0], "E4M3") == 0
    assert 0.3 < underflow_share(gradients, "binary16") < 0.45 and underflow_share(gradients, "bfloat16") == 0


def test_training_learns_in_every_format():
    runs = {
        "binary32": train(num_steps=80), "binary16": train(Precision("binary16", loss_scaling=LossScaling(2.0**10)), num_steps=80),
        "fp8": train(Precision("E4M3", "E5M2", loss_scaling=LossScaling(2.0**8)), num_steps=80),
    }  # fmt: skip
    for run in runs.values():
        assert run.losses[-10:].mean() < 0.35 * run.losses[:5].mean() and run.accuracy > 0.7 and not run.skipped.any()
        assert run.hidden_gradients.all() and np.isfinite(run.hidden_gradients).all()
    assert abs(runs["binary16"].losses - runs["binary32"].losses).max() < 0.05
    assert (runs["binary32"].underflow_shares == 0).all()


def test_without_scaling_gradients_of_eight_bits_are_lost():
    plain = train(Precision("E4M3"), num_steps=80)
    scaled = train(Precision("E4M3", loss_scaling=LossScaling(2.0**8)), num_steps=80)
    assert plain.underflow_shares[-20:].mean() > 5 * scaled.underflow_shares[-20:].mean() > 0
    assert scaled.losses[-20:].mean() < plain.losses[-20:].mean()


def test_dynamic_scaling_finds_its_way():
    scaling = LossScaling(2.0**30, is_dynamic=True, growth_interval=10)
    run = train(Precision("binary16", loss_scaling=scaling), num_steps=60)
    num_skipped = int(run.skipped.sum())
    first_good = int(np.argmin(run.skipped))
    assert num_skipped >= 5 and run.skipped[:first_good].all() and first_good >= 5
    assert run.scales[first_good] == 2.0 ** (30 - first_good)
    changes = run.scales[1:] / run.scales[:-1]
    assert (changes[run.skipped[:-1]] == 0.5).all() and set(changes[~run.skipped[:-1]]) <= {1.0, 2.0}
    assert (changes == 2.0).any()
    static = train(Precision("binary16", loss_scaling=LossScaling(2.0**30)), num_steps=10)
    assert static.skipped.all() and (static.losses > 1).all() and static.hidden_gradients is not None


def test_the_same_seed_gives_the_same_run():
    stochastic = Precision("bfloat16", weights="bfloat16", weight_rounding="stochastic")
    runs = [train(stochastic, num_steps=10, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0].losses, runs[1].losses) and not np.array_equal(runs[0].losses, runs[2].losses)


def test_parts_are_the_pictures_of_scikit_learn_and_share_none():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    parts = split_digits(1000, 500, 297, seed=4)
    pictures, digits = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    assert pictures.min() == 0 and pictures.max() == 1
    ours = sorted((tuple(p), d) for p, d in zip((pictures * 16).tolist(), digits.tolist(), strict=True))
    assert ours == sorted((tuple(p), d) for p, d in zip(theirs.data.tolist(), theirs.target.tolist(), strict=True))
    again, other = split_digits(1000, 500, seed=4), split_digits(1000, 500, seed=5)
    assert np.array_equal(again[1][0], parts[1][0]) and not np.array_equal(other[1][0], parts[1][0])
    assert min(np.bincount(part[1]).min() / len(part[1]) for part in parts) > 0.05  # of every digit


def test_small_updates_are_lost_or_kept_on_average():
    n, p = 2000, 1e-4
    even = apply_updates(n, update=p, rounding="ties_to_even", num_weights=3)
    assert (even.mean == 1).all() and even.exact[-1] == pytest.approx(1.2)
    found = apply_updates(n, update=p, num_weights=2000)
    off = np.abs(found.mean - found.exact)[1:]
    assert (off < 5 * found.expected_deviation[1:] / np.sqrt(2000)).all()
    one = apply_updates(500, update=p, num_weights=1)
    assert abs(one.mean[-1] - one.exact[-1]) < 5 * one.expected_deviation[-1]
    assert (found.most > found.least)[1:].all() and found.expected_deviation[1] == pytest.approx(2.0**-7 * np.sqrt(0.0128 * (1 - 0.0128)))
    again = apply_updates(100, update=p, num_weights=50)
    assert np.array_equal(again.mean, apply_updates(100, update=p, num_weights=50).mean)
    assert not np.array_equal(again.mean, apply_updates(100, update=p, num_weights=50, seed=2).mean)


def test_an_update_of_a_whole_spacing_is_exact_in_every_mode():
    for rounding in ("ties_to_even", "stochastic", "up"):
        found = apply_updates(100, update=2.0**-7, rounding=rounding, num_weights=4)
        assert np.array_equal(found.mean, found.exact) and not found.expected_deviation.any()
    assert apply_updates(10, update=1e-4, rounding="up", num_weights=1).mean[-1] == 1 + 10 * 2.0**-7


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Precision("binary64"), "forward is a format within binary32"), (lambda: Precision("fp17"), "no format"),
        (lambda: Precision(weight_rounding="up"), "weight_rounding is ties_to_even or stochastic"),
        (lambda: LossScaling(0), "scale is a number from"), (lambda: LossScaling(factor=1), "factor is a number above 1"),
        (lambda: LossScaling(growth_interval=0), "growth_interval"), (lambda: train(num_steps=0), "num_steps is a whole"),
        (lambda: train(learning_rate=0), "learning_rate"), (lambda: train(batch_size=True), "batch_size"),
        (lambda: split_digits(5, 0), "sizes are whole"), (lambda: split_digits(1000, 798), "come to 1798"),
        (lambda: split_digits(), "come to 0"), (lambda: split_digits(5, seed=-1), "seed is a whole"),
        (lambda: apply_updates(0), "num_updates"), (lambda: apply_updates(5, num_weights=0), "num_weights"),
        (lambda: apply_updates(100_000, num_weights=100_000), "more than"), (lambda: apply_updates(5, update=np.nan), "update is a finite"),
        (lambda: apply_updates(5, seed=-1), "seed"), (lambda: apply_updates(5, rounding="odd"), "no rounding mode"),
    ],
)  # fmt: skip
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
