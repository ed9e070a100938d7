"""Losses, label smoothing, temperature, masks, top-k, and softmax times a matrix: torch in float64 is the oracle."""

import numpy as np
import pytest
import torch

from labkit.errors import UsageError
from labkit.softmax.cross_entropy import cross_entropy, cross_entropy_backward
from labkit.softmax.options import masked_softmax, masked_softmax_backward, prepared_logits
from labkit.softmax.streaming import attention, attention_backward, softmax_times

INF = np.inf
X = np.random.default_rng(8).normal(size=(5, 12)) * 4


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_loss_and_gradient(dtype, smoothing):
    x = (X + np.array([[0], [900], [0], [-2000], [0]])).astype(dtype)
    targets = np.array([0, 11, 3, 3, 7])
    leaf = torch.tensor(x.astype(np.float64), requires_grad=True)
    options = {"reduction": "none", "label_smoothing": smoothing}
    expected = torch.nn.functional.cross_entropy(leaf, torch.tensor(targets), **options)
    eps = np.finfo(dtype).eps if dtype != np.float16 else 1e-6
    losses = cross_entropy(x, targets, label_smoothing=smoothing)
    assert np.allclose(losses, expected.detach(), rtol=20 * eps, atol=20 * eps)
    expected.mean().backward()
    found = cross_entropy_backward(x, targets, label_smoothing=smoothing)
    assert found.dtype == dtype and np.allclose(found, leaf.grad, rtol=0, atol=4 * np.finfo(dtype).eps)
    out = x.copy()
    assert cross_entropy_backward(out, targets, label_smoothing=smoothing, out=out) is out
    assert np.array_equal(out, found)


def test_losses_of_special_rows():
    x = np.array([[-INF, 0.0], [INF, 0.0], [np.nan, 0.0], [-INF, -INF]])
    losses = cross_entropy(x, [0, 0, 0, 0])
    assert losses[0] == INF and np.isnan(losses[1:]).all()
    assert cross_entropy(np.empty((0, 3)), []).shape == (0,)


def test_all_the_target_on_all_classes_leaves_nothing_of_the_right_one():
    """0 times infinity is no number."""
    x = np.array([[0, -INF, 1], [0.0, 2.0, 1.0]])
    losses = cross_entropy(x, [1, 1], label_smoothing=1.0)
    expected = np.log(np.exp(x[1]).sum()) - x[1].mean()
    assert losses[0] == INF and np.isclose(losses[1], expected, rtol=1e-15)


@pytest.mark.parametrize("temperature", [0.3, 0.7, 3.0, 1e5])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_logits_divided_by_a_temperature_are_rounded_once(dtype, temperature):
    x = (np.random.default_rng(3).standard_normal((20, 200)) * 3).astype(dtype)
    wide = x.astype(np.float64) / temperature
    expected = np.exp(wide - wide.max(axis=1, keepdims=True))
    expected /= expected.sum(axis=1, keepdims=True)
    found = masked_softmax(x, temperature=temperature)
    normal = expected > np.finfo(dtype).tiny
    assert found.dtype == dtype
    assert (abs(found - expected) / expected)[normal].max() <= 0.51 * np.finfo(dtype).eps


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_gradients_by_logits_of_any_temperature(dtype):
    y, g = np.array([[1, 0], [0.25, 0.75]], dtype), np.array([[2, 1], [1, 0]], dtype)
    assert masked_softmax_backward(y[:1], g[:1], temperature=1e-46).tolist() == [[0, 0]]
    found = masked_softmax_backward(y[1:], g[1:], temperature=1e5)
    assert found.dtype == dtype and np.allclose(found, [[1.875e-6, -1.875e-6]], rtol=0.02 if dtype == np.float16 else 1e-6, atol=0)
    assert np.isinf(masked_softmax_backward(y[1:], g[1:], temperature=1e-320)).all()
    out = np.empty((1, 2), dtype)
    assert masked_softmax_backward(y[1:], g[1:], out=out) is out and out.tolist() == [[0.1875, -0.1875]]
    with pytest.raises(UsageError, match="gradient has the shape and type of y"):
        masked_softmax_backward(y, g[:1])


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_empty_rows_of_logarithms(temperature):
    options = {"mask": [False] * 4, "empty_rows": "zeros", "temperature": temperature}
    assert masked_softmax(np.zeros((1, 4)), version="log", **options).tolist() == [[-INF] * 4]
    assert masked_softmax(np.zeros((1, 4)), **options).tolist() == [[0] * 4]


@pytest.mark.parametrize(
    ("targets", "words"),
    [([0, 1], "one a row"), ([0.0] * 5, "whole numbers"), ([0, 1, 2, 3, 12], "row 4"), ([-1] * 5, "row 0")],
)
def test_bad_targets(targets, words):
    with pytest.raises(UsageError, match=words):
        cross_entropy(X, targets)


def test_other_bad_input_of_losses():
    with pytest.raises(UsageError, match="at least one class"):
        cross_entropy(np.empty((2, 0)), [0, 0])
    for smoothing in (-0.1, 1.5, "a", np.nan, True):
        with pytest.raises(UsageError, match="label_smoothing"):
            cross_entropy(X, [0] * 5, label_smoothing=smoothing)
    with pytest.raises(UsageError, match="one for each of the 5 rows"):
        cross_entropy_backward(X, [0] * 5, gradient=np.ones(4))


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 0.5, 1, 3.0, 1e300])
def test_temperature(temperature):
    found = masked_softmax(X, temperature=temperature)
    expected = torch.softmax((torch.tensor(X) - torch.tensor(X).max(1, keepdim=True).values) / temperature, 1)
    assert np.allclose(found, expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("temperature", [0, -1.0, np.nan, INF, "1", None, True])
def test_bad_temperature(temperature):
    for function, arrays in ((masked_softmax, (X,)), (masked_softmax_backward, (X, X))):
        with pytest.raises(UsageError, match="temperature is a finite number more than 0"):
            function(*arrays, temperature=temperature)


def test_masks():
    mask = np.random.default_rng(1).random(X.shape) < 0.5
    mask[2] = False
    x = X.copy()
    x[0, ~mask[0]] = np.nan  # what takes no part does not matter
    expected = torch.softmax(torch.tensor(X).masked_fill(torch.tensor(~mask), -INF), 1).numpy()
    found = masked_softmax(x, mask=mask)
    assert np.allclose(found, expected, equal_nan=True) and np.isnan(found[2]).all()
    for temperature in (1.0, 0.5, 1e-300, 3.0):  # nothing takes part, however it is divided
        found = masked_softmax(x, mask=mask, empty_rows="zeros", temperature=temperature)
        assert (found[2] == 0).all() and not np.isnan(found[:2]).any()
        assert np.isnan(masked_softmax(x, mask=mask, temperature=temperature)[2]).all()
    assert np.allclose(masked_softmax(X, mask=mask[0]), masked_softmax(X, mask=np.tile(mask[0], (5, 1))))
    for wrong, words in ((mask.astype(int), "bool"), (mask[:, :3], "shape")):
        with pytest.raises(UsageError, match=words):
            masked_softmax(X, mask=wrong)
    with pytest.raises(UsageError, match="nan, zeros"):
        masked_softmax(X, empty_rows="one")


@pytest.mark.parametrize("k", [1, 3, 12, 50])
def test_top_k(k):
    x = np.tile(np.round(X), 20)  # with many equal logits
    found = masked_softmax(x, top_k=k)
    assert ((found > 0).sum(axis=1) == k).all()
    for row, p in zip(x, found, strict=True):
        kept = sorted(range(row.size), key=lambda c: (-row[c], c))[:k]
        e = np.exp(row[kept] - row[kept].max())
        assert np.allclose(p[kept], e / e.sum())
    assert np.isnan(masked_softmax(np.array([[1.0, np.nan, 2.0]]), top_k=1)).all()
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(UsageError, match="top_k"):
            masked_softmax(X, top_k=wrong)


def test_gradient_with_temperature_and_mask():
    mask = X > -2
    leaf = torch.tensor(X, requires_grad=True)
    g = np.random.default_rng(2).normal(size=X.shape)
    y = torch.softmax(leaf.masked_fill(torch.tensor(~mask), -INF) / 0.7, 1)
    y.backward(torch.tensor(g))
    found = masked_softmax_backward(masked_softmax(X, mask=mask, temperature=0.7), g, temperature=0.7)
    assert np.allclose(found, leaf.grad, rtol=1e-11, atol=1e-15)
    assert prepared_logits(X).tolist() == X.tolist()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("block_size", [1, 5, 12, 100])
def test_softmax_times_a_matrix(block_size, dtype):
    rng = np.random.default_rng(3)
    x = (X * 10).astype(dtype)
    x[1, :7] = -INF
    x[2] = -INF
    v = rng.normal(size=(12, 4)).astype(dtype)
    expected = (torch.softmax(torch.tensor(x.astype(float)), 1) @ torch.tensor(v.astype(float))).numpy()
    found = softmax_times(x, v, block_size=block_size)
    tolerance = {np.float16: 3e-3, np.float32: 1e-4, np.float64: 1e-12}[dtype]
    assert found.dtype == dtype and np.allclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    assert np.isnan(found[2]).all()
    for wrong in (v[:5], v.astype(int), v.T):
        with pytest.raises(UsageError):
            softmax_times(x, wrong)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("block_size", [1, 7, 64])
def test_attention(causal, block_size):
    seeds = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(30, d, dtype=torch.float64, generator=seeds).requires_grad_() for d in (8, 8, 5))
    q.data *= 6
    expected = torch.nn.functional.scaled_dot_product_attention(q[None], k[None], v[None], is_causal=causal)[0]
    g = torch.randn(30, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected.backward(g)
    arrays = [tensor.detach().numpy() for tensor in (q, k, v)]
    output, log_sums = attention(*arrays, causal=causal, block_size=block_size)
    assert np.allclose(output, expected.detach(), rtol=1e-10, atol=1e-12)
    found = attention_backward(*arrays, output, log_sums, g.numpy(), causal=causal, block_size=block_size)
    for ours, theirs in zip(found, (q, k, v), strict=True):
        assert np.allclose(ours, theirs.grad, rtol=1e-9, atol=1e-11)
    with pytest.raises(UsageError, match="scale"):
        attention(*arrays, scale=0)
    with pytest.raises(UsageError, match="as many queries"):
        attention(arrays[0][:3].copy(), *arrays[1:], causal=True)
