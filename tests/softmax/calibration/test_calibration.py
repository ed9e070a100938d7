"""Classification of digits: gradients, likelihood, reliability and temperature against torch, scikit-learn, scans."""

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.softmax.calibration.loss_line import loss_line
from labkit.softmax.calibration.network import Network, network_gradients, train_network
from labkit.softmax.calibration.reliability import calibration, negative_log_likelihood
from labkit.softmax.calibration.study import digits_study
from labkit.softmax.calibration.temperature import fit_temperature


@pytest.fixture(scope="module")
def study():
    return digits_study()


def some_logits(n=400, c=7, scale=3.0, seed=1, dtype=np.float64):
    """Logits, and classes that follow their softmax at temperature 1."""
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, c)) * scale).astype(dtype)
    return x, (x + rng.gumbel(size=x.shape)).argmax(axis=1)


def test_gradients_by_finite_differences_and_torch():
    import torch

    rng = np.random.default_rng(5)
    network = Network.random(6, 5, 4, seed=3)
    pictures, targets = rng.normal(size=(9, 6)), rng.integers(0, 4, 9)
    for smoothing in (0.0, 0.2):
        loss, gradients = network_gradients(network, pictures, targets, label_smoothing=smoothing)
        tensors = [torch.tensor(w, requires_grad=True) for w in network.weights]
        w1, b1, w2, b2 = tensors
        theirs = torch.nn.functional.cross_entropy(
            torch.relu(torch.tensor(pictures) @ w1 + b1) @ w2 + b2, torch.tensor(targets), label_smoothing=smoothing
        )
        theirs.backward()
        assert loss == pytest.approx(theirs.item(), rel=1e-13)
        for ours, tensor in zip(gradients, tensors, strict=True):
            assert np.allclose(ours, tensor.grad.numpy(), rtol=1e-12, atol=1e-15)
        for weights, gradient in zip(network.weights, gradients, strict=True):
            for index in [tuple(rng.integers(0, s) for s in weights.shape) for _ in range(4)]:
                kept, found = weights[index], []
                for step in (1e-6, -1e-6):
                    weights[index] = kept + step
                    found.append(network_gradients(network, pictures, targets, label_smoothing=smoothing)[0])
                weights[index] = kept
                assert gradient[index] == pytest.approx((found[0] - found[1]) / 2e-6, abs=1e-8)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 4.0])
@pytest.mark.parametrize("scale", [0.5, 8.0])
def test_numbers_are_those_of_scikit_learn(scale, temperature):
    from sklearn.calibration import calibration_curve
    from sklearn.metrics import log_loss

    x, targets = some_logits(scale=scale)
    p = np.exp(x / temperature - (x / temperature).max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    right, confidence = p.argmax(axis=1) == targets, p.max(axis=1)
    for bins, strategy in (("width", "uniform"), ("count", "quantile")):
        found = calibration(x, targets, temperature=temperature, num_bins=10, bins=bins)
        accuracies, confidences = calibration_curve(right, confidence, n_bins=10, strategy=strategy)
        there = found.counts > 0
        assert there.sum() == len(accuracies) and found.counts.sum() == len(x)
        assert np.allclose(found.accuracies[there], accuracies) and np.allclose(found.confidences[there], confidences)
        gaps = np.abs(accuracies - confidences)
        assert found.expected_error == pytest.approx((gaps * found.counts[there]).sum() / len(x))
        assert found.largest_error == pytest.approx(gaps.max())
    assert found.accuracy == right.mean() and found.mean_confidence == pytest.approx(confidence.mean())
    assert found.brier == pytest.approx(((p - np.eye(7)[targets]) ** 2).sum(axis=1).mean())
    if p[np.arange(len(p)), targets].min() > 1e-12:  # scikit-learn cuts probabilities off at 2e-16
        assert found.loss == pytest.approx(log_loss(targets, p, labels=range(7)), rel=1e-9)
    assert negative_log_likelihood(x, targets, temperature=temperature) == found.loss


def test_likelihood_is_torchs_far_beyond_what_probabilities_can_say():
    import torch

    x, targets = some_logits(scale=3000.0)
    targets[:5] = x[:5].argmin(axis=1)
    theirs = torch.nn.functional.cross_entropy(torch.tensor(x) / 0.1, torch.tensor(targets)).item()
    assert negative_log_likelihood(x, targets, temperature=0.1) == pytest.approx(theirs, rel=1e-12) and theirs > 745


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.5, 40.0])
def test_the_fitted_temperature_has_the_least_likelihood_of_a_scan(factor, dtype):
    x, targets = some_logits(3000, scale=2.0)
    x = (x * factor + 100).astype(dtype)  # too sure by the factor; an offset means nothing
    fit = fit_temperature(x, targets)
    rounded = float(np.finfo(dtype).eps) * 200 / factor
    assert fit.temperature == pytest.approx(factor, rel=0.1 + rounded) and not fit.is_at_end
    losses = {t: negative_log_likelihood(x, targets, temperature=t) for t in np.geomspace(0.01, 100, 101)}
    assert fit.loss_after <= min(losses.values()) and fit.loss_after <= fit.loss_before
    best = min(losses, key=losses.get)
    assert best / 1.1 < fit.temperature < best * 1.1
    for near in (0.999, 1.001):
        assert negative_log_likelihood(x, targets, temperature=near * fit.temperature) > fit.loss_after


def test_where_there_is_no_least_value():
    x, _ = some_logits()
    always, never = fit_temperature(x, x.argmax(axis=1)), fit_temperature(x, x.argmin(axis=1))
    assert (always.temperature, always.is_at_end) == (0.01, True)
    assert (never.temperature, never.is_at_end) == (100.0, True)
    flat = fit_temperature(np.zeros((5, 3)), [0, 1, 2, 0, 1])
    assert flat.loss_before == flat.loss_after == pytest.approx(np.log(3))
    huge = fit_temperature(np.array([[1e308, -1e308], [0.0, 1.0]]), [0, 1])
    assert huge.temperature == 0.01 and huge.loss_after == pytest.approx(0, abs=1e-9)


def test_bins_have_their_upper_edge_and_may_be_empty():
    found = calibration(np.log([[0.5, 0.5], [0.75, 0.25], [0.76, 0.24]]), [1, 0, 1], num_bins=4)
    assert found.counts.tolist() == [0, 1, 1, 1] and np.isnan(found.accuracies[0])
    assert found.accuracies[1:].tolist() == [0, 1, 0]
    sure = calibration(np.array([[500.0, -500.0], [-np.inf, 3.0]]), [0, 0], num_bins=3)
    assert sure.counts.tolist() == [0, 0, 2] and sure.loss == np.inf and sure.expected_error == 0.5


def test_digits_are_learnt_and_one_number_mends_confidence(study):
    before, after = study.test.calibration(), study.test.calibration(study.temperature.temperature)
    assert after.accuracy == before.accuracy > 0.9 and before.mean_confidence - before.accuracy > 0.03
    assert after.expected_error < 0.5 * before.expected_error and after.loss < before.loss - 0.05
    assert 1.5 < study.temperature.temperature < 3 and abs(after.mean_confidence - after.accuracy) < 0.02
    assert study.losses[-1] < 0.01 < 1 < study.losses[0]
    pictures = {row.tobytes() for part in (study.trained, study.held_out, study.test) for row in part.pictures}
    assert len(pictures) == 1797
    logits = study.network.logits(study.test.pictures)
    assert np.array_equal(logits, study.test.logits) and digits_study() is study
    smooth = digits_study(label_smoothing=0.1)
    assert smooth.temperature.temperature < 1 and smooth.test.calibration().mean_confidence < before.accuracy - 0.05


def test_the_same_seed_trains_the_same_network(study):
    again, losses = train_network(study.trained.pictures, study.trained.targets)
    assert np.array_equal(losses, study.losses)
    assert all(np.array_equal(a, b) for a, b in zip(again.weights, study.network.weights, strict=True))
    other, _ = train_network(study.trained.pictures, study.trained.targets, num_epochs=1, seed=2)
    assert not np.array_equal(other.w1, again.w1)


def test_errors_have_steps_and_the_loss_a_slope(study):
    line = loss_line(study.network, study.test.pictures[:40], study.test.targets[:40], num_points=2001, reach=0.5)
    jumps = np.diff(line.errors)
    assert (jumps == 0).mean() > 0.9 and jumps.any()  # no slope nearly everywhere
    assert np.allclose(line.errors * 40, np.round(line.errors * 40))
    slopes = np.gradient(line.losses, line.steps)
    assert np.allclose(slopes[1:-1], line.slopes[1:-1], rtol=1e-2, atol=0.03) and (line.slopes != 0).all()
    middle = line.steps.tolist().index(0.0)
    assert line.losses[middle] == pytest.approx(negative_log_likelihood(study.test.logits[:40], study.test.targets[:40]))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: calibration(np.zeros((0, 3)), []), "at least one row"), (lambda: calibration(np.zeros((2, 3)), [0, 3]), "from 0 to 2"),
        (lambda: calibration(np.full((1, 2), np.nan), [0]), "row 0 is nan"), (lambda: calibration(np.zeros((1, 2)), [0], bins="x"), "width, count"),
        (lambda: calibration(np.zeros((1, 2)), [0], temperature=0), "temperature"), (lambda: calibration([[1.0]], [0]), "not a list"),
        (lambda: calibration(np.zeros((1, 2)), [0], num_bins=0), "num_bins"),
        (lambda: fit_temperature(np.array([[0.0, -np.inf]]), [0]), "some are -inf"), (lambda: digits_study(num_train=1098), "1 to 1097"),
        (lambda: train_network(np.zeros((0, 4)), []), "at least one"), (lambda: train_network(np.zeros((2, 4)), [0, 10]), "from 0 to 9"),
        (lambda: train_network(np.zeros((2, 4)), [0, 1], label_smoothing=2), "label_smoothing"),
        (lambda: digits_study(seed=-1), "seed"), (lambda: Network.random(4, 2, 2).logits(np.zeros(4)), "rows of 4 pixels"),
    ],
)  # fmt: skip
def test_bad_input_says_the_rule(call, words):
    with pytest.raises(UsageError, match=words):
        call()
